#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""CommandBatch and retries: members are judged, run and answered as if alone, the batch last; another try only where it may help."""
import time

import tap
from fakehost import SLOW, processes_running, talk, wait_until

UNSAFE = {"commands.allow_unsafe": "yes"}


def unsafe(raw_command, command_id, timeout=20, **more):
    return {"type": "UnsafeCommand", "id": command_id, "raw_command": raw_command, "timeout": timeout, **more}


def safe(action, command_id):
    return {"type": "SafeCommand", "id": command_id, "command_type": {"action": action}, "params": None, "timeout": 10}


def send_batch(host, commands, **more):
    command_id = host.new_id()
    host.send({"type": "CommandBatch", "id": command_id, "commands": commands, **more})
    return command_id


def whole_batch(host, commands, **more):
    """The answers of the members by id, and that of the batch, which must be the last."""
    command_id = send_batch(host, commands, **more)
    ids = [c["id"] for c in commands]
    found = host.responses(ids + [command_id], 30)
    assert found[-1]["id"] == command_id, [m["id"] for m in found]
    return {m["id"]: m for m in found[:-1]}, found[-1]


def story_results_come_in_the_order_given_whatever_the_order_of_the_ends():
    _, host = talk(tap.keep, UNSAFE)
    commands = [unsafe(f"sleep {0.5 - i * 0.1:.1f}; echo {i}", f"m{i}") for i in range(5)] + [safe("SystemInfo", "info")]
    answers, batch = whole_batch(host, commands)
    assert batch["success"] and batch["command_type"] == "CommandBatch", batch
    assert batch["data"]["results"] == [{"id": c["id"], "success": True, "error_code": None} for c in commands], batch["data"]
    assert [answers[f"m{i}"]["stdout"] for i in range(5)] == [f"{i}\n" for i in range(5)]
    assert answers["info"]["data"]["hostname"]


def story_members_run_together_under_the_limit():
    _, host = talk(tap.keep, UNSAFE)
    host.run("true")
    begun = time.monotonic()
    _, batch = whole_batch(host, [unsafe("sleep 1", f"s{i}") for i in range(10)])
    assert batch["success"]
    assert 2 <= time.monotonic() - begun < 3 * SLOW


def story_each_member_is_judged_by_the_policy_for_itself():
    _, host = talk(tap.keep)
    answers, batch = whole_batch(host, [safe("SystemInfo", "a"), unsafe("true", "b"), safe("NoSuchThing", "c"),
                                        safe("CheckWindowsUpdates", "d")])
    assert answers["a"]["success"] and answers["b"]["error_code"] == "POLICY_DENIED"
    codes = [r["error_code"] for r in batch["data"]["results"]]
    assert codes == [None, "POLICY_DENIED", "UNKNOWN_COMMAND", "UNSUPPORTED_PLATFORM"], codes
    assert not batch["success"] and batch["error_code"] == "COMMAND_FAILED"


def story_stop_cancels_what_runs_and_what_waits():
    agent, host = talk(tap.keep, {**UNSAFE, "commands.max_concurrent": 2})
    proof = agent.path("proof")
    begun = time.monotonic()
    commands = [unsafe("sleep 31.7", "long"), unsafe("sleep 0.3; exit 3", "bad"), unsafe(f"touch {proof}", "never"),
                unsafe(f"touch {proof}", "nor this")]
    answers, batch = whole_batch(host, commands, on_error="stop")
    assert time.monotonic() - begun < 4 * SLOW
    assert answers["bad"]["exit_code"] == 3
    codes = [r["error_code"] for r in batch["data"]["results"]]
    assert codes == ["CANCELLED", "COMMAND_FAILED", "CANCELLED", "CANCELLED"], codes
    assert not processes_running("sleep 31.7")
    assert not processes_running(proof)
    try:
        with open(proof, "rb"):
            raise AssertionError("a cancelled member was run")
    except FileNotFoundError:
        pass


def story_stop_starts_nothing_behind_a_member_that_is_refused():
    _, host = talk(tap.keep, UNSAFE)
    answers, batch = whole_batch(host, [safe("Nonsense", "x"), unsafe("true", "y"), safe("SystemInfo", "z")], on_error="stop")
    assert [r["error_code"] for r in batch["data"]["results"]] == ["UNKNOWN_COMMAND", "CANCELLED", "CANCELLED"]
    assert answers["y"]["error_code"] == "CANCELLED"


def story_continue_goes_on_after_a_failure():
    _, host = talk(tap.keep, UNSAFE)
    answers, batch = whole_batch(host, [unsafe("false", "f"), unsafe("echo on", "g")], on_error="continue")
    assert answers["g"]["stdout"] == "on\n" and not batch["success"]


def story_a_batch_may_have_one_hundred_members_and_not_more():
    _, host = talk(tap.keep, UNSAFE)
    _, batch = whole_batch(host, [unsafe(":", f"h{i}") for i in range(100)])
    assert batch["success"] and len(batch["data"]["results"]) == 100
    for count in (0, 101):
        answer = host.response(send_batch(host, [unsafe(":", f"i{i}") for i in range(count)]))
        assert answer["error_code"] == "INVALID_PARAMETERS", answer
    host.quiet(0.3)


def story_oddly_shaped_members_are_each_answered():
    _, host = talk(tap.keep, UNSAFE)
    command_id = send_batch(host, [{"type": "CommandBatch", "id": "inner", "commands": []}, unsafe("echo 1", "same"),
                                   unsafe("sleep 0.5", "twin"), unsafe("true", "twin"), 5, {"type": "UnsafeCommand", "id": "none"},
                                   {"type": "Ack", "seq": 1}])
    passed = []
    answer = host.response(command_id, 10, passed)
    codes = [r["error_code"] for r in answer["data"]["results"]]
    assert codes == ["INVALID_PARAMETERS", None, None, "DUPLICATE_ID", "INVALID_MESSAGE", "INVALID_MESSAGE",
                     "INVALID_PARAMETERS"], codes
    assert len([m for m in passed if m["type"] == "response"]) == 4, passed
    assert len([m for m in passed if m["type"] == "error"]) == 3, passed
    host.in_step()


def story_a_batch_can_be_cancelled_as_a_whole():
    _, host = talk(tap.keep, UNSAFE)
    ids = [f"k{i}" for i in range(10)]
    batch = send_batch(host, [unsafe("sleep 20.3", i) for i in ids])
    host.in_step()
    host.send({"type": "CancelCommand", "id": "stop-it", "target_id": batch})
    answers = {m["id"]: m for m in host.responses(ids + [batch, "stop-it"], 10)}
    assert answers["stop-it"]["success"] and answers[batch]["error_code"] == "CANCELLED", answers[batch]
    assert all(answers[i]["error_code"] == "CANCELLED" for i in ids)
    wait_until(lambda: not processes_running("sleep 20.3"), 2, "the end of the members")
    host.quiet(0.3)


def story_a_batch_whose_host_leaves_ends_quietly():
    agent, host = talk(tap.keep, UNSAFE)
    send_batch(host, [unsafe("sleep 1", f"l{i}") for i in range(8)])
    host.in_step()
    host.disconnect()
    host.accept()
    host.quiet(2.5)
    assert agent.alive() and host.run("echo here")["success"]


def story_a_stop_of_the_agent_answers_batch_and_members():
    agent, host = talk(tap.keep, {**UNSAFE, "agent.shutdown_grace_s": 1})
    ids = [f"q{i}" for i in range(10)]
    batch = send_batch(host, [unsafe("sleep 30", i, 60) for i in ids])
    host.in_step()
    agent.process.terminate()
    answers = {m["id"]: m for m in host.responses(ids + [batch], 10)}
    assert all(answers[i]["error_code"] == "SHUTTING_DOWN" for i in ids), answers
    assert agent.wait() == 0


# ------------------------------------------------------------------------------------------------------------ retries

def story_a_command_that_failed_is_tried_again_and_its_slot_is_free_meanwhile():
    agent, host = talk(tap.keep, {**UNSAFE, "commands.max_concurrent": 1})
    count = agent.path("count")
    slow = host.unsafe(f"echo x >>{count}; test $(wc -l <{count}) -ge 4", timeout=30, retries=5)
    time.sleep(0.25)
    begun = time.monotonic()
    assert host.run("echo between")["success"]
    assert time.monotonic() - begun < 0.5 * SLOW
    answer = host.response(slow, 20)
    assert answer["success"] and answer["attempts"] == 4, answer
    host.quiet(0.2)


def story_tries_are_bounded_and_the_last_failure_is_told():
    agent, host = talk(tap.keep, UNSAFE)
    count = agent.path("count")
    answer = host.run(f"echo x >>{count}; exit 7", timeout=30, retries=2)
    assert answer["exit_code"] == 7 and answer["error_code"] == "COMMAND_FAILED" and answer["attempts"] == 3, answer
    with open(count, encoding="ascii") as file:
        assert file.read() == "x\nx\nx\n"


def story_time_outs_and_refusals_are_not_tried_again():
    agent, host = talk(tap.keep, UNSAFE)
    count = agent.path("count")
    answer = host.run(f"echo x >>{count}; sleep 9", timeout=2, retries=5)
    assert answer["error_code"] == "COMMAND_TIMEOUT", answer
    with open(count, encoding="ascii") as file:
        assert file.read() == "x\n"
    begun = time.monotonic()
    assert host.run("true", shell="powershell", retries=9)["error_code"] == "INVALID_PARAMETERS"
    assert time.monotonic() - begun < 0.5 * SLOW


def story_no_try_begins_that_the_deadline_would_cut_off():
    _, host = talk(tap.keep, UNSAFE)
    begun = time.monotonic()
    answer = host.run("exit 1", timeout=3, retries=10)
    assert answer["error_code"] == "COMMAND_FAILED" and 1 < answer["attempts"] < 10, answer
    assert time.monotonic() - begun < 2 * SLOW


def story_a_pausing_command_can_be_cancelled():
    _, host = talk(tap.keep, UNSAFE)
    target = host.unsafe("exit 1", timeout=60, retries=10)
    time.sleep(1.0)
    host.send({"type": "CancelCommand", "id": "c", "target_id": target})
    answers = {m["id"]: m for m in host.responses([target, "c"], 5)}
    assert answers[target]["error_code"] == "CANCELLED" and answers["c"]["success"]
    host.quiet(2)


tap.main(globals())
