#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Signed envelopes, made here with Python's own HMAC: what is signed is done once, anything else fails closed."""
import hashlib
import hmac
import json
import os
import re
import signal
import subprocess
import time
import uuid

import tap
from fakeclock import with_clock
from fakehost import Agent, UnixHost, children_of, descendants, processes_running, program, talk, wait_until
from localclient import LocalClient

SECRET = "69694c4da93700c86640f8db66ef84d3c6441ba86725212ec25b552ea20bfa56"
VECTOR_PAYLOAD = ('{"type":"SafeCommand","id":"c1","command_type":{"action":"SystemInfo"},"params":null,"timeout":30}')


def signature(payload, ts, nonce, v=1, secret=SECRET):
    return hmac.new(secret.encode(), f"{v}\n{ts}\n{nonce}\n{payload}".encode(), hashlib.sha256).hexdigest()


def envelope(payload, ts=None, nonce=None, secret=SECRET, **changes):
    if isinstance(payload, dict):
        payload = json.dumps(payload)
    ts = int(time.time() * 1000) if ts is None else ts
    nonce = nonce or uuid.uuid4().hex
    return {"type": "signed", "v": 1, "ts": ts, "nonce": nonce, "payload": payload,
            "sig": signature(payload, ts, nonce, secret=secret), **changes}


def command(command_id, action="SystemInfo"):
    return {"type": "SafeCommand", "id": command_id, "command_type": {"action": action}, "params": None, "timeout": 10}


def signed_talk(text=SECRET, **more):
    """A conversation whose agent has a secret file."""
    host = tap.keep(UnixHost())
    agent = Agent(host.spec, **more)
    path = agent.path("secret")
    with open(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600), "w", encoding="ascii") as file:
        file.write(text)
    agent.settings["auth.secret_file"] = path
    tap.keep(agent)
    host.accept()
    return agent, host


def refused(host, message, code, command_id=None):
    """Sends it and asserts the one error with this code, and no response. The id is that of the payload where it can be read."""
    if command_id is None and message["type"] == "signed":
        command_id = json.loads(message["payload"])["id"]
    host.send(message)
    while True:
        answer = host.next()
        if answer["type"] in ("error", "response"):
            break
    assert answer["type"] == "error", answer
    assert answer["details"]["code"] == code, answer
    assert answer["details"].get("id") == command_id, answer
    assert set(answer["details"]) == {"component", "code", "reason", "id"}, answer
    host.quiet(0.1)


def story_the_published_vector_has_the_published_signature():
    assert signature(VECTOR_PAYLOAD, 1790000000000, "nonce-0001") == (
        "1d4f19b209c9e905f9f5c4289166b9410aab120267162afb5a768cba14c89e63")


def story_a_signed_command_is_done():
    _, host = signed_talk(SECRET + "\n")
    host.send(envelope(command("s1")))
    assert host.response("s1")["success"]
    payload = ' { "type" : "SafeCommand","id":"s2\u00e9","command_type":{"action":"SystemInfo"} } '
    host.send(envelope(payload))
    assert host.response("s2\u00e9")["success"]


def story_a_plain_message_is_refused_as_unsigned():
    _, host = signed_talk()
    host.send(command("plain"))
    answer = host.response("plain")
    assert not answer["success"] and answer["error_code"] == "UNSIGNED", answer
    refused(host, {"type": "keep_alive_request", "sequence_number": 1, "timestamp": "2026-01-01T00:00:00Z"}, "UNSIGNED")
    refused(host, {"type": "Metrics"}, "UNSIGNED")


def story_a_wrong_signature_is_refused():
    _, host = signed_talk()
    good = envelope(command("bad"))
    refused(host, {**good, "sig": "0" * 64}, "BAD_SIGNATURE")
    refused(host, {**good, "payload": good["payload"] + " "}, "BAD_SIGNATURE")
    refused(host, {**good, "ts": good["ts"] + 1}, "BAD_SIGNATURE")
    refused(host, {**good, "nonce": good["nonce"] + "x"}, "BAD_SIGNATURE")
    refused(host, envelope(command("bad"), secret="0" * 64), "BAD_SIGNATURE")
    # None of these burnt the nonce.
    host.send(good)
    assert host.response("bad")["success"]


def story_an_envelope_of_another_shape_is_refused():
    _, host = signed_talk()
    good = envelope(command("shape"))
    for change in ({"v": 2}, {"v": "1"}, {"ts": str(good["ts"])}, {"ts": 1.5}, {"nonce": ""}, {"nonce": 7}, {"nonce": "n" * 4096},
                   {"payload": {"type": "Status"}}, {"sig": "zz" * 32}, {"sig": good["sig"][:-1]}, {"sig": None}):
        host.send({**good, **change})
        while (answer := host.next())["type"] not in ("error", "response"):
            pass
        assert answer["type"] == "error" and answer["details"]["code"] in ("INVALID_MESSAGE", "BAD_SIGNATURE"), (change, answer)
    for key in ("v", "ts", "nonce", "payload", "sig"):
        host.send({k: v for k, v in good.items() if k != key})
        assert host.expect("error")["details"]["code"] == "INVALID_MESSAGE", key
    host.send(good)
    assert host.response("shape")["success"]


def story_row_b3_a_refused_envelope_names_its_id_where_there_is_one():
    _, host = signed_talk()
    deep = '{"type":"Status","id":"deep","x":' + "[" * 20 + "]" * 20 + "}"
    many = '{"type":"Status","id":"many","x":[' + "1," * 5000 + "1]}"
    for payload, named in (('{"id":"only"}', "only"), ('{"type":"TeleportVM","id":"x\\u0041"}', "xA"), ('{"type":"Status","id":"' + "i" * 128 + '"}', "i" * 128),
                           ('{"type":"Status","id":"' + "i" * 129 + '"}', None), ('{"type":"Status","id":""}', None), ('{"type":"Status","id":7}', None),
                           ('{"type":"Status"}', None), ("nonsense", None), ("", None), ('{"type":"Status","id":"half', None), (deep, None),
                           (many, None), ('{"id":"a","id":"b"}', None), ('{"id":"x","a":1,"a":2}', None), ('["id","x"]', None),
                           ('{"id":"a\\u0000"}', None), ('{"x":{"id":"inner"}}', None), ('{"id":"x"} {"id":"y"}', None)):
        for message, code in ((envelope(payload, secret="0" * 64), "BAD_SIGNATURE"), (envelope(payload, ts=1), "STALE"),
                              (envelope(payload, v=2), "INVALID_MESSAGE")):
            host.send(message)
            while (answer := host.next())["type"] not in ("error", "response"):
                pass
            assert answer["type"] == "error" and answer["details"]["code"] == code, (payload, answer)
            assert answer["details"]["id"] == named, (payload, answer)
            host.quiet(0.05)


def story_row_b3_a_replayed_line_does_not_end_the_command_under_way():
    _, host = signed_talk(settings={"commands.allow_unsafe": "yes"})
    message = envelope({"type": "UnsafeCommand", "id": "long", "raw_command": "sleep 1; echo whole", "timeout": 20})
    host.send(message)
    refused(host, message, "REPLAYED", "long")
    refused(host, {**message, "sig": "0" * 64}, "BAD_SIGNATURE", "long")
    assert host.response("long")["stdout"] == "whole\n"
    host.quiet(0.3)


def story_stale_messages_are_refused_on_both_sides_of_the_window():
    _, host = signed_talk()
    now = int(time.time() * 1000)
    for ts in (now - 301000, now + 301000, 0, 1790000000000 if abs(now - 1790000000000) > 400000 else 1):
        refused(host, envelope(command("stale"), ts=ts), "STALE")
    for ts in (now - 290000, now + 290000):
        host.send(envelope(command("near"), ts=ts))
        assert host.response("near")["success"]


def story_a_replayed_message_is_refused():
    _, host = signed_talk()
    message = envelope(command("once"))
    host.send(message)
    assert host.response("once")["success"]
    refused(host, message, "REPLAYED")
    refused(host, envelope(command("other"), nonce=message["nonce"]), "REPLAYED")


def story_a_replay_into_the_next_session_is_refused_too():
    _, host = signed_talk()
    message = envelope(command("again"))
    host.send(message)
    assert host.response("again")["success"]
    host.disconnect()
    host.accept(35)
    refused(host, message, "REPLAYED")


def story_a_replay_to_the_next_agent_is_refused_whether_the_last_one_stopped_or_was_killed():
    agent, host = signed_talk(check_exit=False)
    messages = [envelope(command(f"before{number}")) for number in range(50)]
    for message in messages:
        host.send(message)
        assert host.response(json.loads(message["payload"])["id"])["success"]
    for end in (agent.kill, agent.stop):
        end()
        host.disconnect()
        agent.start()
        host.accept(10)
        for message in messages[::7]:
            refused(host, message, "REPLAYED")
        messages.append(envelope(command(f"new{len(messages)}")))
        host.send(messages[-1])
        assert host.response(json.loads(messages[-1]["payload"])["id"])["success"]
    agent.stop()
    os.unlink(agent.path("run/nonces"))  # as a reboot does
    host.disconnect()
    agent.start()
    host.accept(10)
    for message in messages[::-7]:
        refused(host, message, "REPLAYED")
    for name in ("run/nonces", "state/nonces"):
        if os.path.exists(agent.path(name)):
            assert os.stat(agent.path(name)).st_mode & 0o777 == 0o600
    with open(agent.path("state/nonces"), "wb") as file:  # of another making
        file.write(b"\xff" * 5000 + b"x")
    agent.stop()


def refused_as_soon_as_the_clock_is_set(host, message):
    """The program sees a new clock a moment after it was set; until then the message is out of its window."""
    def answered():
        host.send(message)
        return host.expect("error")["details"]["code"]
    assert wait_until(lambda: (lambda code: code != "STALE" and code)(answered()), 15, "the clock", 0.2) == "REPLAYED"


def story_a_replay_is_refused_over_clock_steps_and_restarts():
    """A message is done; the clock is set, the agent restarted, does one message more, is restarted; then the clock is right again."""
    for step_s, text, stop in ((-3600, "-3600", "kill"), (3600, "+3600", "kill"), (-3600, "-3600", "stop"), (86400 * 400, "+400d", "stop")):
        host = tap.keep(UnixHost())
        agent = Agent(host.spec)
        path = agent.path("secret")
        with open(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600), "w", encoding="ascii") as file:
            file.write(SECRET)
        agent.settings["auth.secret_file"] = path
        set_clock = with_clock(agent)
        tap.keep(agent)
        host.accept()

        def again(agent=agent, host=host, stop=stop):
            getattr(agent, stop)()
            host.disconnect()
            agent.start()
            host.accept(35)

        heard = envelope(command("heard"))
        host.send(heard)
        assert host.response("heard")["success"]
        set_clock(text)
        again()
        host.send(envelope(command("one"), ts=int((time.time() + step_s) * 1000)))
        assert host.response("one")["success"], text
        again()
        set_clock("+0")
        refused_as_soon_as_the_clock_is_set(host, heard)
        again()
        refused(host, heard, "REPLAYED")
        host.send(envelope(command("two")))
        assert host.response("two")["success"]


def story_the_local_socket_takes_no_envelopes_and_uses_up_no_nonce():
    agent, host = signed_talk()
    clients = [tap.keep(LocalClient(agent)) for _ in range(4)]
    signed = envelope(command("mine"))
    for client in clients:
        for message in [envelope(command(f"n{i}")) for i in range(50)] + [signed, {"type": "signed"}]:
            client.send(message)
            answer = client.expect("error")
            assert (answer["details"]["code"], answer["details"]["reason"]) == ("INVALID_MESSAGE", "no_envelopes") or \
                (message == {"type": "signed"} and answer["details"]["code"] == "INVALID_MESSAGE"), answer
        assert client.ask("SystemInfo")["success"]
    host.send(signed)
    assert host.response("mine")["success"]
    open_agent, _ = talk(tap.keep)
    client = tap.keep(LocalClient(open_agent))
    client.send(signed)
    assert client.expect("error")["details"]["reason"] == "no_envelopes"


def story_a_signed_payload_that_makes_no_sense_is_answered_once():
    _, host = signed_talk()
    for payload in ("nonsense", "[]", '{"type":"TeleportVM"}', '{"type":"Status","a":1,"a":2}'):
        host.send(envelope(payload))
        while (answer := host.next())["type"] not in ("error", "response"):
            pass
        assert answer["details"]["code"] in ("INVALID_MESSAGE", "UNKNOWN_COMMAND"), answer
    host.send(envelope(envelope(command("nested"))))
    assert host.expect("error")["details"]["code"] == "INVALID_MESSAGE"


def story_without_a_secret_an_envelope_fails_closed():
    _, host = talk(tap.keep)
    host.send(envelope(command("x")))
    answer = host.expect("error")
    assert answer["details"]["code"] in ("BAD_SIGNATURE", "INVALID_MESSAGE"), answer
    assert host.ask("SystemInfo")["success"]


def story_a_required_signature_without_a_secret_refuses_everything():
    host = tap.keep(UnixHost())
    agent = Agent(host.spec, {"auth.require_signature": "yes"})
    with agent:
        try:
            host.accept()
        except AssertionError:
            assert not agent.alive() and agent.process.returncode == 2, agent.stderr()
            agent.check_exit = False
            return
        host.send(command("x"))
        assert host.response("x")["error_code"] == "UNSIGNED"


def story_the_secret_may_come_by_the_environment_and_reaches_no_child():
    host = tap.keep(UnixHost())
    agent = tap.keep(Agent(host.spec, {"commands.allow_unsafe": "yes"}, env={"INFINISERVICE_SHARED_SECRET": SECRET}))
    host.accept()
    host.send(envelope({"type": "UnsafeCommand", "id": "e", "timeout": 10,
                        "raw_command": "env; cat /proc/$PPID/environ 2>/dev/null | tr '\\0' '\\n'"}))
    answer = host.response("e")
    assert answer["success"] or answer["exit_code"] is not None, answer
    assert SECRET not in answer["stdout"], "the secret is in a child's environment"
    host.send(command("plain"))
    assert host.response("plain")["error_code"] == "UNSIGNED"
    assert SECRET not in agent.stderr()


SHADOW_BYTES = 1 << 34  # what sanitizers map for themselves is larger than any machine's memory


def mappings(pid):
    """(begin, end, flags) of all that may hold data."""
    with open(f"/proc/{pid}/smaps", encoding="ascii", errors="replace") as file:
        text = file.read()
    heads = re.split(r"^(?=[0-9a-f]+-[0-9a-f]+ )", text, flags=re.M)[1:]
    for head in heads:
        begin, end, mode = re.match(r"([0-9a-f]+)-([0-9a-f]+) (\S+)", head).groups()
        flags = re.search(r"^VmFlags: (.*)$", head, re.M)
        begin, end = int(begin, 16), int(end, 16)
        if mode.startswith("rw") and end - begin < SHADOW_BYTES:
            yield begin, end, flags.group(1).split() if flags else []


def holding(pid, secret=SECRET):
    """Flags of the mappings that hold the secret, plainly or as a pad of HMAC (RFC 2104: the key xor 0x36 or 0x5c)."""
    key = secret.encode()
    needles = [bytes(byte ^ pad for byte in part) for part in (key[:24], key[-24:]) for pad in (0, 0x36, 0x5c)]
    found = []
    with open(f"/proc/{pid}/mem", "rb", buffering=0) as memory:
        for begin, end, flags in mappings(pid):
            try:
                memory.seek(begin)
                data = memory.read(end - begin)
            except OSError:
                continue
            if any(needle in data for needle in needles):
                found.append(flags)
    return found


def story_no_other_process_and_no_dump_has_the_secret():
    """Helpers are forked from the agent: what it holds in its memory they would hold too, for as long as they live."""
    agent, host = signed_talk(SECRET + "\n", settings={"commands.allow_unsafe": "yes"})
    host.send(envelope(command("first")))
    assert host.response("first")["success"]
    helpers = children_of(agent.pid)
    assert helpers, "no helper to look into"
    for pid in helpers:  # the next ones are forked from an agent that has used its key
        os.kill(pid, signal.SIGKILL)
    host.send(envelope({"type": "UnsafeCommand", "id": "long", "raw_command": "sleep 61.5", "timeout": 60}))
    host.send(envelope({"type": "GetHistory", "id": "past", "begin": "2026-01-01T00:00:00Z"}))
    host.response("past")
    host.send(envelope({"type": "Metrics"}))
    wait_until(lambda: processes_running("sleep 61.5"), 10, "the command")
    wait_until(lambda: len(children_of(agent.pid)) >= 3, 15, "new helpers and the executor")
    own = holding(agent.pid)
    assert len(own) == 1, own  # one place, and the search finds it
    assert "dd" in own[0] and "wf" in own[0], own  # not in dumps, wiped by fork: proc_pid_smaps(5)
    for pid in descendants(agent.pid):
        assert not holding(pid), f"the secret is in {open(f'/proc/{pid}/comm').read()}"
        with open(f"/proc/{pid}/environ", "rb") as file:
            assert SECRET.encode() not in file.read()
    with open(agent.path("secret"), "w", encoding="ascii") as file:
        file.write("f" * 64)
    agent.process.send_signal(signal.SIGHUP)
    wait_until(lambda: "reloaded" in agent.stderr(), 5, "the reload")
    assert not holding(agent.pid), "the old secret is still there"
    host.send(envelope(command("new"), secret="f" * 64))
    assert host.response("new")["success"]


def story_a_secret_that_others_may_write_is_refused_at_start():
    agent = Agent("none", check_exit=False)
    path = agent.path("secret")
    with open(path, "w", encoding="ascii") as file:
        file.write(SECRET)
    os.chmod(path, 0o666)
    agent.settings["auth.secret_file"] = path
    with agent:
        assert agent.wait(10) == 2, agent.stderr()
        assert path in agent.stderr(), agent.stderr()
        assert SECRET not in agent.stderr()


def story_infinihost_signs_with_the_secret():
    path = os.path.join("/tmp", f"infini-{uuid.uuid4().hex}")
    host = tap.keep(UnixHost())
    agent = Agent("unix:" + path)
    secret = agent.path("secret")
    with open(os.open(secret, os.O_WRONLY | os.O_CREAT, 0o600), "w", encoding="ascii") as file:
        file.write(SECRET + "\n")
    agent.settings["auth.secret_file"] = secret
    tap.keep(agent)
    del host
    done = subprocess.run([program("infinihost"), "--listen", path, "--secret", secret, "run", "SystemInfo"],
                          capture_output=True, timeout=60, check=False, text=True)
    assert done.returncode == 0 and "kernel_version" in done.stdout, done
    done = subprocess.run([program("infinihost"), "--listen", path, "run", "SystemInfo"], capture_output=True, timeout=60,
                          check=False, text=True)
    assert done.returncode == 6 and "UNSIGNED" in done.stderr, done


tap.main(globals())
