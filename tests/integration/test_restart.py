#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""An agent killed in the middle owes answers: the next one gives each exactly once, and nothing that was answered is answered again."""
import fnmatch
import json
import os
import subprocess
import time
import uuid

import tap
from fakehost import SLOW, Agent, UnixHost, processes_running, program, wait_until

UNSAFE = {"commands.allow_unsafe": "yes"}


def pair(settings=None):
    host = tap.keep(UnixHost())
    agent = tap.keep(Agent(host.spec, {**UNSAFE, **(settings or {})}, check_exit=False))
    host.accept()
    return agent, host


def again(agent, host, **more):
    """The agent is killed with no chance to say anything, and started anew over the same directories."""
    agent.kill()
    host.disconnect()
    wait_until(lambda: not agent.left_behind(), 3, "the end of all helpers")
    fresh = tap.keep(Agent(host.spec, dict(agent.settings), directory=agent.directory, check_exit=False, **more))
    passed = [host.accept(10)]
    return fresh, passed


def lost_of(host, count, passed=None):
    return [host.expect("response", 5, passed=passed) for _ in range(count)]


def story_what_ran_and_what_waited_is_answered_once_after_the_restart():
    agent, host = pair({"commands.max_concurrent": 2})
    marker = f"31.{uuid.uuid4().int % 10**9:09d}"
    assert host.run("echo done", command_id="finished before")["success"]
    ids = [host.unsafe(f"sleep {marker}", timeout=60, command_id=i) for i in ("runs", "queued too", "odd \n %41 \u20ac id", "last")]
    wait_until(lambda: len(processes_running(marker)) >= 2, 5, "the start")
    host.in_step()
    fresh, _ = again(agent, host)
    assert not processes_running(marker)
    answers = {m["id"]: m for m in lost_of(host, 4)}
    assert set(answers) == set(ids), (set(answers), ids)
    for answer in answers.values():
        assert answer["error_code"] == "INTERNAL" and answer["reason"] == "lost: agent_restart", answer
        assert answer["command_type"] == "unsafe" and answer["exit_code"] == 1
    host.quiet(0.5)
    again(fresh, host)
    host.quiet(1.0)


def story_the_host_may_come_later_than_the_agent():
    agent, host = pair()
    target = host.unsafe("sleep 30", timeout=60)
    host.in_step()
    agent.kill()
    host.disconnect()
    host.deafen()
    fresh = tap.keep(Agent(host.spec, dict(agent.settings), directory=agent.directory, check_exit=False))
    time.sleep(1)
    fresh.kill()  # nobody was told yet: the debt is inherited once more
    host.listen()
    tap.keep(Agent(host.spec, dict(agent.settings), directory=agent.directory, check_exit=False))
    host.accept(20)
    assert lost_of(host, 1)[0]["id"] == target
    host.quiet(0.5)


def story_a_script_is_completed_after_a_restart_in_the_middle_of_it():
    agent, host = pair()
    host.send({"type": "pending_scripts_response", "scripts": [
        {"execution_id": "exec-1", "script_content": "sleep 30.1", "shell": "bash", "timeout_seconds": 60},
        {"execution_id": "exec-0", "script_content": "true", "shell": "bash", "timeout_seconds": 60}]})
    host.expect("script_completion", where=lambda m: m["execution_id"] == "exec-0")
    fresh, _ = again(agent, host)
    message = host.expect("script_completion", 5)
    assert message["execution_id"] == "exec-1" and message["exit_code"] == -1, message
    assert "lost: agent_restart" in message["stderr"]
    assert not [name for name in os.listdir(agent.path("run")) if "script" in name], "its text was left behind"
    again(fresh, host)
    host.quiet(0.7, kinds=("script_completion", "response"))


def story_a_batch_is_answered_after_its_members():
    agent, host = pair()
    host.send({"type": "CommandBatch", "id": "batch", "commands": [
        {"type": "UnsafeCommand", "id": f"m{i}", "raw_command": "sleep 30.2", "timeout": 60} for i in range(3)]})
    host.in_step()
    again(agent, host)
    assert sorted(m["id"] for m in lost_of(host, 4)) == ["batch", "m0", "m1", "m2"]
    host.quiet(0.5)


def story_a_clean_stop_leaves_no_debt():
    agent, host = pair({"agent.shutdown_grace_s": 0})
    ids = [host.unsafe("sleep 30", timeout=60) for _ in range(8)]
    host.in_step()
    agent.process.terminate()
    assert all(m["error_code"] == "SHUTTING_DOWN" for m in host.responses(ids))
    assert agent.wait() == 0
    host.disconnect()
    tap.keep(Agent(host.spec, dict(agent.settings), directory=agent.directory, check_exit=False))
    host.accept(10)
    host.quiet(1.0)


def logged(agent):
    """Every logged sample as (seq, what its `gap` says)."""
    found = []
    for name in sorted(fnmatch.filter(os.listdir(agent.path("log")), "metrics-*")):
        if name.endswith(".ndjson"):
            with open(os.path.join(agent.path("log"), name), encoding="ascii") as file:
                found += [(m["seq"], m.get("gap")) for m in map(json.loads, file) if m["type"] == "metrics"]
    return found


def story_the_first_sample_after_each_start_says_so_and_no_other_does():
    agent, host = pair({"timers.metrics_interval_ms": 100})
    wait_until(lambda: len(logged(agent)) > 4, 10, "samples")
    before = len(logged(agent))
    fresh, _ = again(agent, host)
    wait_until(lambda: len(logged(fresh)) > before + 4, 10, "samples after the restart")
    fresh.stop()
    samples = logged(fresh)
    marked = [index for index, (_, gap) in enumerate(samples) if gap]
    assert marked[0] == 0 and len(marked) == 2 and {samples[i][1] for i in marked} == {"start"}, samples
    assert [seq for seq, _ in samples] == sorted({seq for seq, _ in samples}), samples
    shown = subprocess.run([program("infinictl"), "log", "--dir", fresh.path("log")], capture_output=True, text=True, check=True)
    assert [row.endswith("  gap: start") for row in shown.stdout.splitlines() if row[:2] == "20"] == [bool(gap) for _, gap in samples]


def story_a_torn_or_foreign_journal_is_survived():
    agent, host = pair()
    journal = agent.path("run/commands.journal")
    host.unsafe("sleep 30", timeout=60, command_id="kept")
    host.in_step()
    agent.kill()
    host.disconnect()
    with open(journal, "ab") as file:
        file.write(b"garbage\n+ 99 c\n- x\n+ 5000 c unsafe %zz\n+ 123 c unsafe torn")
    tap.keep(Agent(host.spec, dict(agent.settings), directory=agent.directory, check_exit=False))
    host.accept(10)
    assert lost_of(host, 1)[0]["id"] == "kept"
    host.quiet(0.5)


def story_the_journal_stays_small_over_thousands_of_commands():
    agent, host = pair()
    for _ in range(12):
        host.responses([host.unsafe(":", timeout=60, command_id=f"{'i' * 100}{n}") for n in range(100)], 60)
    assert os.path.getsize(agent.path("run/commands.journal")) < 400 * 1024

    def settled():
        """An answer is on its way before the journal says so: killed in between, it would be given again."""
        with open(agent.path("run/commands.journal"), encoding="ascii") as file:
            lines = file.read().splitlines()
        return len([l for l in lines if l[0] == "+"]) == len([l for l in lines if l[0] == "-"])

    wait_until(settled, 2, "a record of every answer")
    begun = time.monotonic()
    again(agent, host)
    host.quiet(0.5)
    assert time.monotonic() - begun < 5 * SLOW


tap.main(globals())
