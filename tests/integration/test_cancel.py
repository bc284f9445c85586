#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""CancelCommand: the target and the cancel are each answered once, nothing of a queued target is ever started, and what ran is dead."""
import time
import uuid

import tap
from fakehost import SLOW, Agent, UnixHost, processes_running, talk, wait_until
from localclient import LocalClient

UNSAFE = {"commands.allow_unsafe": "yes"}
ONE = {**UNSAFE, "commands.max_concurrent": 1}


def marked(seconds):
    marker = f"{seconds}.{uuid.uuid4().int % 10**9:09d}"
    return f"sleep {marker}", marker


def cancel(host, target):
    command_id = host.new_id()
    host.send({"type": "CancelCommand", "id": command_id, "target_id": target})
    return command_id


def story_a_running_command_is_killed_with_all_its_processes():
    _, host = talk(tap.keep, UNSAFE)
    sleep, marker = marked(60)
    target = host.unsafe(f"(setsid {sleep} &); {sleep}", timeout=60)
    wait_until(lambda: len(processes_running(marker)) >= 2, 5, "the start")
    begun = time.monotonic()
    asked = cancel(host, target)
    answers = {m["id"]: m for m in host.responses([asked, target])}
    assert answers[asked]["success"] and answers[asked]["data"]["target_id"] == target, answers[asked]
    assert not answers[target]["success"] and answers[target]["error_code"] == "CANCELLED", answers[target]
    assert time.monotonic() - begun < 3 * SLOW
    wait_until(lambda: not processes_running(marker), 2, "the end of its processes")
    host.quiet(0.3)


def story_one_that_ignores_term_is_killed_after_its_grace():
    _, host = talk(tap.keep, UNSAFE)
    sleep, marker = marked(60)
    target = host.unsafe(f"trap '' TERM; {sleep}; {sleep}", timeout=60)
    wait_until(lambda: len(processes_running(marker)) >= 2, 5, "the start")
    begun = time.monotonic()
    host.responses([cancel(host, target), target])
    assert 1.5 < time.monotonic() - begun < 3.5 * SLOW
    wait_until(lambda: not processes_running(marker), 2, "the end of its processes")


def story_a_queued_command_is_answered_at_once_and_never_started():
    agent, host = talk(tap.keep, ONE)
    proof = agent.path("proof")
    blocker = host.unsafe("sleep 1", timeout=30)
    queued = host.unsafe(f"touch {proof}", timeout=30)
    begun = time.monotonic()
    asked = cancel(host, queued)
    answers = {m["id"]: m for m in host.responses([queued, asked])}
    assert time.monotonic() - begun < 0.5 * SLOW
    assert answers[queued]["error_code"] == "CANCELLED" and answers[asked]["success"]
    assert host.response(blocker)["success"]
    time.sleep(0.2)
    assert not agent_has(proof)


def agent_has(path):
    try:
        with open(path, "rb"):
            return True
    except FileNotFoundError:
        return False


def story_row_21_unknown_and_finished_targets_are_not_found():
    _, host = talk(tap.keep, UNSAFE)
    done = host.unsafe("true")
    assert host.response(done)["success"]
    for target in (done, "never-heard-of", "x" * 128):
        answer = host.response(cancel(host, target))
        assert not answer["success"] and answer["error_code"] == "NOT_FOUND", answer
    own = host.new_id()
    host.send({"type": "CancelCommand", "id": own, "target_id": own})
    assert host.response(own)["error_code"] == "NOT_FOUND"


def story_a_cancel_needs_no_policy_but_reaches_only_its_own_commands():
    host = tap.keep(UnixHost())
    agent = tap.keep(Agent(host.spec, UNSAFE))
    host.accept()
    target = host.unsafe("sleep 1", timeout=30, command_id="shared")
    client = tap.keep(LocalClient(agent))
    answer = client.response(cancel(client, "shared"))
    assert answer["error_code"] == "NOT_FOUND", answer
    assert host.response(target)["success"]


def story_the_next_session_of_a_host_may_cancel_what_the_last_one_started():
    _, host = talk(tap.keep, UNSAFE)
    sleep, marker = marked(60)
    target = host.unsafe(sleep, timeout=60)
    wait_until(lambda: processes_running(marker), 5, "the start")
    host.disconnect()
    host.accept()
    assert host.response(cancel(host, target))["success"]
    wait_until(lambda: not processes_running(marker), 4, "the end of the command")


def story_a_hundred_cancels_of_a_hundred_commands_give_two_hundred_answers():
    _, host = talk(tap.keep, UNSAFE)
    targets = [host.unsafe("sleep 20", timeout=60) for _ in range(100)]
    cancels = [cancel(host, target) for target in targets]
    answers = {m["id"]: m for m in host.responses(targets + cancels, 30)}
    assert all(answers[i]["error_code"] == "CANCELLED" for i in targets)
    assert all(answers[i]["success"] for i in cancels)
    host.quiet(0.3)
    assert host.run("echo on")["stdout"] == "on\n"


tap.main(globals())
