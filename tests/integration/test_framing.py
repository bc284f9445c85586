#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Rows 1 to 19 of the fault matrix: what a host may send, in whatever pieces and however wrong, is answered exactly once, and
the next valid request within 100 ms."""
import json
import time

import tap
from fakehost import SLOW, cpu_seconds, fd_count, memory_kb, talk

MAX_LINE = 1 << 20


def command(command_id, action="SystemInfo"):
    return json.dumps({"type": "SafeCommand", "id": command_id, "command_type": {"action": action}, "params": None,
                       "timeout": 10})


def refused(host, line, reason, command_id=None, timeout=5.0, ends=b"\n"):
    """Sends a bad line and asserts its one answer: a response when its id can be read, else an error."""
    line = line.encode() if isinstance(line, str) else line
    host.send(line + ends)
    kinds = ("response",) if command_id else ("error",)
    while True:
        message = host.next(timeout)
        if message["type"] in ("response", "error"):
            break
    assert message["type"] in kinds, f"{line[:80]!r}: {message}"
    if command_id:
        assert message["id"] == command_id and not message["success"], message
        if "reason" in message and reason:
            assert message["reason"] in reason.split("|"), message
    elif reason:
        assert message["details"]["reason"] in reason.split("|"), f"{line[:80]!r}: {message}"
    host.in_step()
    while host.pending:
        assert host.pending.popleft()["type"] not in ("response", "error"), "answered twice"
    return message


def story_row_1_a_partial_line_then_the_rest_gives_one_reply():
    _, host = talk(tap.keep)
    line = command("r1") + "\n"
    for cut in (1, 10, len(line) - 1):
        host.send(line[:cut])
        host.quiet(0.15)
        host.send(line[cut:])
        assert host.response("r1")["success"]
    host.quiet(0.2)


def story_row_2_one_byte_at_a_time_gives_the_same_reply():
    agent, host = talk(tap.keep)
    whole = host.ask("SystemInfo")["data"]
    before = cpu_seconds(agent.pid)
    for byte in (command("r2") + "\n").encode():
        host.send(bytes([byte]))
    assert host.response("r2")["data"] == whole
    for _ in range(20000):  # a long line in single bytes costs no quadratic work
        host.send(b" ")
    host.send(command("r2b") + "\n")
    assert host.response("r2b")["success"]
    assert cpu_seconds(agent.pid) - before < 3 * SLOW


def story_row_3_many_lines_in_one_write_are_answered_in_order():
    _, host = talk(tap.keep)
    ids = [f"r3-{i}" for i in range(200)]
    host.send("".join(command(i) + "\n" for i in ids))
    assert [m["id"] for m in host.responses(ids)] == ids


def story_row_4_empty_lines_and_crlf_are_tolerated():
    _, host = talk(tap.keep)
    host.send("\n\r\n\n   \n" + command("r4") + "\r\n\n")
    assert host.response("r4")["success"]
    host.quiet(0.2)


def padded(command_id, length):
    """A valid command of exactly this many bytes."""
    line = command(command_id)
    return line[:-1] + " " * (length - len(line)) + "}"


def story_row_5_a_line_of_the_limit_passes_and_one_byte_more_does_not():
    agent, host = talk(tap.keep)
    host.in_step()
    host.send(padded("r5", MAX_LINE) + "\n")
    assert host.response("r5")["success"]
    for length in (MAX_LINE + 1, MAX_LINE + 2, 3 << 20):
        message = refused(host, padded("r5x", length), "line_too_long")
        assert message["details"]["code"] == "TOO_LARGE", message
    before = memory_kb(agent.pid)
    refused(host, b"x" * (100 << 20), "line_too_long", timeout=30)
    assert memory_kb(agent.pid) - before < 512


def story_row_6_without_any_newline_memory_is_bounded_and_the_fault_is_said_once():
    agent, host = talk(tap.keep)
    host.send(b"{" * (2 << 20))
    message = host.expect("error", 5)
    assert message["details"]["reason"] == "line_too_long", message
    before = memory_kb(agent.pid)
    host.send(b"y" * (8 << 20))
    host.quiet(0.5)
    assert memory_kb(agent.pid) - before < 512
    host.send(b"\n" + command("r6").encode() + b"\n")
    assert host.response("r6")["success"]


@tap.beside
def story_row_6_a_half_line_with_nothing_after_it_is_reported_after_30_s():
    _, host = talk(tap.keep)
    host.send('{"type":"SafeCommand","id":"half"')
    begun = time.monotonic()
    message = host.expect("error", 40)
    assert 25 < time.monotonic() - begun < 36, message
    host.send(command("r6b") + "\n")
    assert host.response("r6b")["success"]


def story_row_7_nul_bytes_are_bad_json():
    _, host = talk(tap.keep)
    refused(host, b"\0", "bad_json")
    refused(host, b'{"type":"Sa\0feCommand","x":1}', "bad_json")
    refused(host, b"\0" * 1000, "bad_json")


def story_row_8_invalid_utf8_is_refused():
    _, host = talk(tap.keep)
    for bad in (b"\x80", b"\xc0\xaf", b"\xe0\x80\xaf", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\xc3", b"\xf8\x88\x80\x80\x80"):
        refused(host, b'{"type":"Status","x":"' + bad + b'"}', "bad_utf8")
    refused(host, b'{"type":"Status","x":"\\ud800"}', "bad_utf8|bad_json")


def story_row_9_100000_brackets_are_too_deep():
    agent, host = talk(tap.keep)
    before = memory_kb(agent.pid)
    refused(host, b"[" * 100000, "too_deep")
    refused(host, b'{"a":' * 100000, "too_deep")
    refused(host, b'{"type":"Status","id":"r9","x":' + b"[" * 17 + b"]" * 17 + b"}", "too_deep", "r9")
    assert memory_kb(agent.pid) - before < 1024


def story_row_10_a_megabyte_of_objects_costs_less_than_a_megabyte():
    agent, host = talk(tap.keep)
    host.in_step()
    before = memory_kb(agent.pid, "VmHWM")
    refused(host, b'{"type":"Status","x":[' + b"{}," * 340000 + b"{}]}", "too_many_tokens")
    assert memory_kb(agent.pid, "VmHWM") - before < 1024 + 2048  # the line itself, as its buffer grows, and less than 1 MiB


def story_row_11_60000_keys_are_too_many():
    _, host = talk(tap.keep)
    keys = ",".join(f'"k{i}":{i}' for i in range(60000))
    refused(host, "{" + keys + "}", "too_many_tokens")


def story_row_12_duplicate_keys_are_refused():
    _, host = talk(tap.keep)
    refused(host, '{"type":"Status","x":1,"x":2}', "duplicate_key")
    refused(host, '{"type":"Status","x":1,"\\u0078":2}', "duplicate_key")
    refused(host, '{"type":"SafeCommand","id":"r12","command_type":{"action":"SystemInfo","action":"OsInfo"}}',
            "duplicate_key", "r12")
    refused(host, '{"type":"Status","id":"a","id":"b"}', "duplicate_key")


def story_row_13_a_nul_in_a_key_is_refused():
    _, host = talk(tap.keep)
    refused(host, '{"type":"Status","a\\u0000b":1}', "nul_in_key")
    refused(host, '{"type":"SafeCommand","id":"r13","command_type":{"action\\u0000x":"SystemInfo"}}', "nul_in_key", "r13")


def story_row_14_nan_and_infinity_are_refused():
    _, host = talk(tap.keep)
    for value in ("NaN", "Infinity", "-Infinity"):
        refused(host, '{"type":"Status","x":%s}' % value, "bad_json")
    refused(host, '{"type":"Status","x":1e999}', "out_of_range|bad_json")


def story_row_15_numbers_outside_their_range_are_refused_never_clamped():
    _, host = talk(tap.keep)
    refused(host, '{"type":"keep_alive_request","sequence_number":18446744073709551616}', "out_of_range")
    for value in ("-1", "1.5", '"1"', "true", "[]"):
        refused(host, '{"type":"keep_alive_request","sequence_number":%s}' % value, "out_of_range|bad_type|bad_value")
    for value in ("-1", "0", "1.5", '"30"', "99999999999999999999", "1000000000"):
        message = refused(host, '{"type":"SafeCommand","id":"r15","command_type":{"action":"SystemInfo"},"timeout":%s}' % value,
                          "out_of_range|bad_type|bad_value", "r15")
        assert message["error_code"] in ("INVALID_MESSAGE", "INVALID_PARAMETERS"), message


def story_row_16_what_is_no_json_object_is_refused():
    _, host = talk(tap.keep)
    for line in ("[]", "1", "null", '"text"', "true"):
        refused(host, line, "not_object")
    for line in ("{'type':'Status'}", '{"type":"Status"} // comment', '/* x */{"type":"Status"}', '{"type":"Status",}',
                 '{"type":"Status"}{"type":"Status"}', '{"type":"Status"} x', "{type:1}", '{"type" "Status"}', "{", "}",
                 '{"type":"Status","x":01}', '{"type":"Status","x":"\t"}', '{"type":"Status","x":"\\x41"}', "hello"):
        refused(host, line, "bad_json|not_object")
    for line in ('{"type":5}', '{"type":null}', "{}", '{"type":["Status"]}'):
        refused(host, line, "bad_type|missing_field|unknown_type")
    refused(host, '{"type":"SafeCommand","id":"r16","command_type":"SystemInfo"}', "bad_type", "r16")
    refused(host, '{"type":"SafeCommand","id":"r16"}', "missing_field", "r16")
    refused(host, '{"type":"SafeCommand","id":"r16","command_type":{}}', "missing_field", "r16")
    refused(host, '{"type":"UnsafeCommand","id":"r16","raw_command":7}', "bad_type", "r16")


def story_row_17_a_missing_empty_oversized_or_wrong_id_gives_an_error():
    _, host = talk(tap.keep)
    for value in (None, '""', '"%s"' % ("i" * 5000), "7", "null", "{}", "[1]", '"a\\u0000b"'):
        member = "" if value is None else f'"id":{value},'
        message = refused(host, '{"type":"SafeCommand",%s"command_type":{"action":"SystemInfo"}}' % member,
                          "bad_id|missing_id|missing_field|bad_type|bad_value|bad_json")
        assert message["details"].get("id") is None, message


def story_row_18_the_same_id_in_flight_is_refused_and_the_first_unaffected():
    _, host = talk(tap.keep, {"commands.allow_unsafe": "yes"})
    host.unsafe("sleep 0.7; echo first", command_id="twin")
    host.unsafe("echo second", command_id="twin")
    message = host.expect("error", 2)
    assert message["details"]["code"] == "DUPLICATE_ID" and message["details"]["id"] == "twin", message
    assert host.response("twin")["stdout"] == "first\n"
    host.quiet(0.5)
    assert host.run("echo again", command_id="twin")["stdout"] == "again\n"


def story_row_19_unknown_types_are_refused_and_unknown_fields_ignored():
    _, host = talk(tap.keep)
    message = refused(host, '{"type":"TeleportVM"}', "unknown_type")
    assert message["details"]["code"] in ("UNKNOWN_COMMAND", "INVALID_MESSAGE"), message
    refused(host, '{"type":"TeleportVM","id":"r19"}', "unknown_type", "r19")
    host.send(json.dumps({**json.loads(command("r19b")), "color": "green", "nested": {"a": [1, None]}}) + "\n")
    assert host.response("r19b")["success"]


def story_ten_thousand_bad_lines_are_each_answered_once_and_leak_nothing():
    agent, host = talk(tap.keep)
    host.expect("metrics")
    time.sleep(0.3)
    descriptors = fd_count(agent.pid)
    lines = [b"{", b"[]", b"\xff\xfe", b'{"type":"x"}', b"nonsense", b'{"type":"Status","a":1,"a":1}']
    for _ in range(100):
        host.send(b"\n".join(lines[i % 6] for i in range(100)) + b"\n")
        answers = 0
        while answers < 100:
            answers += host.next(10)["type"] in ("response", "error")
    host.in_step()
    host.quiet(0.2)
    assert fd_count(agent.pid) == descriptors
    assert len(agent.stderr()) < 20000, "each bad line was logged"


HALVES = ('{"type":"SafeCommand","id":"half', '{"type":"SafeCommand","id":"half","command_type":{"action":"SystemInfo"},',
          command("half"), '{ "id" : "half", "type":"CommandBatch","commands":[', '{"type":"UnsafeCommand","id":"half","raw_command":"x\\',
          '{"type":', '{"type":"keep_alive_request","sequence_number":1', '{"a":"\ufffd', 'x' * 3000,
          '{"type":"Status","id":"half{"type":"Status","id":"half","x":{"type":"Status","id":"half"}')
WHOLES = ('{"type":"SafeCommand","id":"%s","command_type":{"action":"SystemInfo"}}',
          '{ "type" : "Status" , "id" : "%s" }', '{\t"id":"%s",\t"type":"Status"}\r',
          '{"type":"SafeCommand","id":"%s","command_type":{"action":"SystemInfo"},"note":"{\\"type\\":\\"Status\\",\\"id\\":\\"half\\"}"}')


def told_of_half(host, half, whole, whole_id, reason="half_line"):
    """Sends a half line with a whole one behind it, in one write and in two: the whole one is answered, the half told once as an error."""
    for cut in (0, len(half)):
        host.send(half[:cut])
        host.send(half[cut:] + whole + "\n")
        seen = []
        while not any(m.get("id") == whole_id for m in seen):
            message = host.next(10)
            if message["type"] in ("response", "error"):
                seen.append(message)
        assert [m["type"] for m in seen] == ["error", "response"], (half[:80], whole[:80], seen)
        assert seen[0]["details"]["reason"] == reason and seen[0]["details"]["id"] is None, seen
        yield seen[1]
        host.in_step()
        while host.pending:
            message = host.pending.popleft()
            assert message["type"] not in ("response", "error"), (half[:80], whole[:80], message)


def story_row_e1_a_whole_line_behind_a_half_one_is_answered_and_the_half_told_once():
    _, host = talk(tap.keep)
    before = host.ask("Status")["data"]["port"]
    told = 0
    for i, half in enumerate(HALVES):
        for j, whole in enumerate(WHOLES):
            for answer in told_of_half(host, half, whole % f"e1-{i}-{j}", f"e1-{i}-{j}"):
                assert answer["success"], answer
                told += 1
    after = host.ask("Status")["data"]["port"]
    assert after["half_lines"] - before["half_lines"] == after["bad_lines"] - before["bad_lines"] == told, (before, after)


def story_row_e1_a_half_line_of_megabytes_costs_no_whole_line_behind_it():
    _, host = talk(tap.keep)
    host.in_step()
    for size, whole in ((MAX_LINE - 40, command("e1m")), (MAX_LINE + 1, command("e1m")), (5 << 20, command("e1m")),
                        (MAX_LINE // 2, padded("e1m", MAX_LINE)), (3 << 20, padded("e1m", MAX_LINE))):
        for filler in ("x", '{"type":', "\\", "["):
            half = '{"type":"SafeCommand","id":"half","x":"' + (filler * (size // len(filler) + 1))[:size]
            for answer in told_of_half(host, half, whole, "e1m", "line_too_long"):
                assert answer["success"], answer


def story_row_e1_a_bad_line_behind_a_half_one_is_answered_to_its_own_id():
    _, host = talk(tap.keep)
    for whole, reason in (('{"type":"TeleportVM","id":"e1b"}', "unknown_type"), ('{"type":"SafeCommand","id":"e1b"}', "missing_field"),
                          ('{"type":"UnsafeCommand","id":"e1b","raw_command":7}', "bad_type")):
        for answer in told_of_half(host, HALVES[1], whole, "e1b"):
            assert not answer["success"] and answer["reason"] == reason, answer
    # Without an id it is one error in any case, and the half one's id is not taken for that of the line.
    for whole in ('{"type":"keep_alive_request","sequence_number":-1}', '{"type":"Status"}', '{"type":"TeleportVM"}'):
        for half in HALVES[:4]:
            refused(host, half + whole, "")


def story_row_e1_no_message_within_a_message_is_taken_for_one():
    _, host = talk(tap.keep, {"commands.allow_unsafe": "yes"})
    inner = json.dumps({"type": "UnsafeCommand", "id": "inner", "raw_command": "true"})
    for line in (json.dumps({"type": "SafeCommand", "id": "outer", "x": inner}) + "]", '{"type":"Status","id":"outer","x":01,"y":' + inner + "}",
                 "[" + inner + "]", '{"type":"Status","id":"outer","id":"outer","x":[' + inner + "]}", inner + "x",
                 '{"type":"Status","id":"outer","x":' + json.dumps(inner) + ',"y":"\t"}'):
        host.send(line + "\n")
        host.in_step()
        while host.pending:
            message = host.pending.popleft()
            assert message.get("id") != "inner", (line, message)


tap.main(globals())
