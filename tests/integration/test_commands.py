#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Commands: as many at once as allowed, a bounded queue, exactly one answer each whatever the command does, and not a process left."""
import contextlib
import os
import shutil
import signal
import time
import uuid

import tap
from fakehost import (SLOW, Agent, TimeOut, UnixHost, children_of, command_line, descendants, fd_count, is_zombie, memory_kb,
                      processes_running, program, talk, wait_until)

UNSAFE = {"commands.allow_unsafe": "yes"}


def unsafe(**more):
    return {**UNSAFE, **{key.replace("__", "."): value for key, value in more.items()}}


def marked(seconds):
    """A sleep that can be found again among all processes: (command, marker)."""
    marker = f"{seconds}.{uuid.uuid4().int % 10**9:09d}"
    return f"sleep {marker}", marker


def story_25_sleeps_of_one_second_at_5_at_once_take_5_to_6_seconds():
    _, host = talk(tap.keep, UNSAFE)
    host.run("true")
    begun = time.monotonic()
    answers = host.responses([host.unsafe("sleep 1", timeout=30) for _ in range(25)])
    took = time.monotonic() - begun
    assert all(m["success"] for m in answers), [m for m in answers if not m["success"]][:1]
    assert 5 <= took < 6 * SLOW, f"{took:.2f} s"


@tap.beside
def story_more_than_5_running_and_100_queued_give_queue_full_for_each():
    _, host = talk(tap.keep, unsafe(commands__queue_size=100))
    ids = [host.unsafe("sleep 0.3", timeout=60) for _ in range(5 + 100 + 10)]
    answers = {m["id"]: m for m in host.responses(ids, 60)}
    full = [i for i in ids if answers[i].get("error_code") == "QUEUE_FULL"]
    assert full == ids[105:], f"{len(full)} QUEUE_FULL"
    assert all(answers[i]["success"] for i in ids[:105])
    host.quiet(0.2)


def story_row_20_ten_thousand_commands_in_one_burst_are_each_answered_exactly_once():
    agent, host = talk(tap.keep, unsafe(commands__max_concurrent=5))
    host.run("true")
    before = memory_kb(agent.pid)
    ids = [f"b{i}" for i in range(10000)]
    host.send("".join('{"type":"UnsafeCommand","id":"%s","raw_command":"sleep 0.05","timeout":60}\n' % i for i in ids), 60)
    answers = host.responses(ids, 120)
    codes = {m.get("error_code") for m in answers}
    assert codes == {None, "QUEUE_FULL"} or codes == {"", "QUEUE_FULL"}, codes
    done = [m for m in answers if m["success"]]
    assert len(done) >= 105, len(done)
    host.quiet(0.3)
    host.in_step()
    assert memory_kb(agent.pid) - before < 8192


def story_what_is_answered_in_the_loop_does_not_wait_for_slots():
    _, host = talk(tap.keep, UNSAFE)
    ids = [host.unsafe("sleep 1", timeout=30) for _ in range(30)]
    begun = time.monotonic()
    assert host.ask("SystemInfo")["success"]
    host.in_step()
    assert time.monotonic() - begun < 0.5 * SLOW
    del ids


def story_a_command_that_ignores_term_is_killed_and_answered_in_time():
    _, host = talk(tap.keep, UNSAFE)
    sleep, marker = marked(60)
    begun = time.monotonic()
    answer = host.run(f"trap '' TERM; echo begun; {sleep}; {sleep}", timeout=4)
    took = time.monotonic() - begun
    assert answer["error_code"] == "COMMAND_TIMEOUT", answer
    assert answer["stdout"] == "begun\n", answer
    assert 2.8 <= took < 3.3 * SLOW, f"{took:.2f} s; the deadline is at 3 s"
    wait_until(lambda: not processes_running(marker), 1, "the end of the command's processes")


def story_a_command_that_obeys_term_may_still_say_something():
    _, host = talk(tap.keep, UNSAFE)
    begun = time.monotonic()
    answer = host.run("trap 'echo saved; exit 0' TERM; sleep 60 & wait", timeout=4)
    assert answer["error_code"] == "COMMAND_TIMEOUT" and answer["stdout"] == "saved\n", answer
    assert 2.0 <= time.monotonic() - begun < 2.9 * SLOW


def story_a_daemon_that_holds_the_pipes_delays_no_answer_and_does_not_stay():
    _, host = talk(tap.keep, UNSAFE)
    sleep, marker = marked(60)
    begun = time.monotonic()
    answer = host.run(f"setsid sh -c \"trap '' TERM HUP; {sleep}; {sleep}\" & echo done", timeout=10)
    took = time.monotonic() - begun
    assert answer["success"] and answer["stdout"] == "done\n", answer
    assert took < 1 * SLOW, f"{took:.2f} s"
    wait_until(lambda: not processes_running(marker), 2, "the end of the daemon")


def story_a_double_forked_daemon_that_ignores_term_dies_with_its_command():
    _, host = talk(tap.keep, UNSAFE)
    sleep, marker = marked(60)
    script = f"(setsid sh -c \"trap '' TERM; (setsid {sleep} &) ; {sleep}\" &) ; trap '' TERM; echo up; sleep 30"
    answer = host.run(script, timeout=4)
    assert answer["error_code"] == "COMMAND_TIMEOUT" and answer["stdout"] == "up\n", answer
    wait_until(lambda: not processes_running(marker), 2, "the end of the daemons")


def story_a_command_that_stops_itself_is_killed_at_its_deadline():
    _, host = talk(tap.keep, UNSAFE)
    begun = time.monotonic()
    answer = host.run("kill -STOP $$", timeout=2)
    assert answer["error_code"] == "COMMAND_TIMEOUT", answer
    assert time.monotonic() - begun < 2 * SLOW


def story_a_signalled_command_has_exit_code_128_and_the_signal():
    _, host = talk(tap.keep, UNSAFE)
    answer = host.run("kill -9 $$")
    assert not answer["success"] and answer["exit_code"] == 137, answer


def story_kill_minus_9_of_the_agent_leaves_no_child_after_one_second():
    host = tap.keep(UnixHost())
    agent = tap.keep(Agent(host.spec, UNSAFE, check_exit=False))
    host.accept()
    sleep, marker = marked(60)
    for _ in range(3):
        host.unsafe(f"trap '' TERM HUP; (setsid sh -c \"trap '' TERM HUP; {sleep}; {sleep}\" &) ; {sleep}; {sleep}", timeout=60)
    wait_until(lambda: len(processes_running(marker)) >= 6, 5, "the start of the commands")
    children = descendants(agent.pid)
    assert len(children) >= 4, children
    agent.kill()
    with contextlib.suppress(TimeOut):
        wait_until(lambda: not agent.left_behind() and not processes_running(marker), 1.0)
    left = [(pid, command_line(pid)) for pid in agent.left_behind()] + processes_running(marker)
    assert not left, f"left behind: {left}"


def story_output_is_capped_and_the_rest_is_counted_without_blocking_the_command():
    agent, host = talk(tap.keep, UNSAFE)
    host.run("true")
    before = memory_kb(agent.pid, "VmHWM")
    answer = host.run("head -c 50000000 /dev/zero | tr '\\0' a; echo end >&2", timeout=30)
    assert answer["exit_code"] == 0 and answer["stderr"] == "end\n", (answer["exit_code"], answer["stderr"])
    assert answer["truncated"] is True and answer["stdout_bytes"] == 50000000, {k: answer.get(k) for k in ("truncated", "stdout_bytes")}
    assert 100000 < len(answer["stdout"]) <= 262144, len(answer["stdout"])
    assert memory_kb(agent.pid, "VmHWM") - before < 8192


def story_binary_output_on_both_streams_keeps_the_line_within_its_limit():
    _, host = talk(tap.keep, unsafe(commands__max_output_bytes="512K"))
    answer = host.run("head -c 3000000 /dev/urandom; head -c 3000000 /dev/urandom >&2", timeout=30)
    assert answer["truncated"] is True
    assert answer["stdout_bytes"] == 3000000 and answer["stderr_bytes"] == 3000000, answer["stdout_bytes"]
    longest = max(len(line) for line in host.lines)
    assert longest <= 600000, longest  # both streams are at most 512 KiB as encoded


def story_deadlines_count_from_receipt_also_in_the_queue():
    _, host = talk(tap.keep, unsafe(commands__max_concurrent=1))
    blocker = host.unsafe("sleep 5", timeout=20)
    begun = time.monotonic()
    late = host.unsafe("echo never", timeout=2)
    answer = host.response(late)
    took = time.monotonic() - begun
    assert answer["error_code"] == "COMMAND_TIMEOUT" and answer["stdout"] == "", answer
    assert 1.3 <= took < 1.75 * SLOW, f"{took:.2f} s; 2 s less a quarter"
    assert host.response(blocker)["success"]


def story_a_command_queued_first_starts_first():
    agent, host = talk(tap.keep, unsafe(commands__max_concurrent=1))
    proof = agent.path("order")
    host.responses([host.unsafe(f"echo {i} >>{proof}", timeout=30) for i in range(20)])
    with open(proof, encoding="ascii") as file:
        assert file.read().split() == [str(i) for i in range(20)]


def story_queued_commands_that_cannot_start_are_each_answered_when_their_turn_comes():
    """One that fails in the moment it leaves the queue gives its slot to the next one, which may fail likewise."""
    _, host = talk(tap.keep, unsafe(commands__max_concurrent=1))
    blocker = host.unsafe("sleep 0.3", timeout=30)
    ids = []
    for i in range(30):
        bad = {"shell": "fish-of-doom"} if i % 3 else {"working_dir": "/no/such/directory"}
        ids.append(host.unsafe("true", timeout=30, **bad))
    ids.append(host.unsafe("echo last", timeout=30))
    answers = {m["id"]: m for m in host.responses([blocker] + ids)}
    assert not any(answers[i]["success"] for i in ids[:-1])
    assert answers[ids[-1]]["stdout"] == "last\n"
    host.in_step()


def story_a_missing_program_and_a_script_without_interpreter_are_told():
    agent, host = talk(tap.keep, UNSAFE)
    answer = host.run("no-such-program-here")
    assert not answer["success"] and answer["exit_code"] == 127 and "not found" in answer["stderr"], answer
    script = agent.path("bad-script")
    with open(script, "w", encoding="ascii") as file:
        file.write("#!/no/such/interpreter\n")
    os.chmod(script, 0o755)
    assert host.run(script)["exit_code"] in (126, 127)


def story_time_outs_outside_their_range_are_refused():
    _, host = talk(tap.keep, UNSAFE)
    for value in (0, -1, 1e9, 10**15):
        host.send({"type": "UnsafeCommand", "id": "range", "raw_command": "true", "timeout": value})
        answer = host.response("range")
        assert not answer["success"] and answer["error_code"] in ("INVALID_MESSAGE", "INVALID_PARAMETERS"), answer


def story_a_time_out_that_fires_as_the_command_ends_gives_one_answer():
    _, host = talk(tap.keep, unsafe(commands__max_concurrent=20))
    for _ in range(3):
        ids = [host.unsafe(f"sleep {0.74 + i * 0.001:.3f}", timeout=1) for i in range(20)]
        host.responses(ids, 5)
        host.quiet(0.2)


def story_thousands_of_short_commands_leave_no_zombie_and_no_descriptor():
    agent, host = talk(tap.keep, UNSAFE)
    host.expect("metrics")
    host.responses([host.unsafe("sleep 0.1", timeout=30) for _ in range(20)], 30)  # all slots were in use once
    time.sleep(0.3)
    executor = max(children_of(agent.pid))
    before = {pid: fd_count(pid) for pid in [agent.pid] + children_of(agent.pid)}
    for _ in range(10):
        host.responses([host.unsafe(":", timeout=30) for _ in range(100)], 30)
    wait_until(lambda: {pid: fd_count(pid) for pid in before} == before, 3, "the closing of all descriptors")
    assert not [pid for pid in descendants(agent.pid) if is_zombie(pid)]
    assert executor in children_of(agent.pid)


def story_a_command_changes_nothing_of_the_agent():
    agent, host = talk(tap.keep, UNSAFE)
    host.run("cd /usr; umask 777; ulimit -n 5; trap '' INT; stty sane 2>/dev/null; true")
    with open(f"/proc/{agent.pid}/limits", encoding="ascii") as file:
        assert not [line for line in file if line.startswith("Max open files") and line.split()[3] == "5"]
    assert os.readlink(f"/proc/{agent.pid}/cwd") == "/"
    assert host.run("umask")["stdout"].strip() != "0777"


def story_a_killed_executor_costs_its_commands_only_and_each_is_answered():
    agent, host = talk(tap.keep, UNSAFE)
    sleep, marker = marked(60)
    ids = [host.unsafe(sleep, timeout=60) for _ in range(3)]
    running = wait_until(lambda: len(processes_running(marker)) >= 3 and processes_running(marker), 5)
    executor = [pid for pid in children_of(agent.pid) if running[0] in descendants(pid)][0]
    os.kill(executor, signal.SIGKILL)
    for answer in host.responses(ids, 5):
        assert not answer["success"] and answer["error_code"] == "INTERNAL", answer
    wait_until(lambda: not processes_running(marker), 2, "the end of its commands")
    wait_until(lambda: host.run("echo back")["stdout"] == "back\n", 10, "a new executor", 0.2)


def stop_with(agent, host, ids, timeout=15):
    """TERM to the agent; gives its answers to `ids` and its exit code."""
    agent.process.send_signal(signal.SIGTERM)
    answers, end = {}, time.monotonic() + timeout * SLOW
    while time.monotonic() < end:
        if not host.pump(0.1) and not host.pending:
            break
        while host.pending:
            message = host.pending.popleft()
            if message["type"] == "response":
                assert message["id"] in ids and message["id"] not in answers, message
                answers[message["id"]] = message
    return answers, agent.wait(timeout)


def story_a_stop_answers_running_and_queued_commands_and_exits_0():
    agent, host = talk(tap.keep, unsafe(commands__max_concurrent=2, agent__shutdown_grace_s=2))
    sleep, marker = marked(60)
    ids = [host.unsafe(f"trap '' TERM; {sleep}; {sleep}", timeout=60), host.unsafe("sleep 0.5; echo finished", timeout=60)]
    ids += [host.unsafe("echo queued", timeout=60) for _ in range(10)]
    wait_until(lambda: processes_running(marker), 5, "the start")
    host.in_step()
    begun = time.monotonic()
    answers, code = stop_with(agent, host, ids)
    assert code == 0, code
    assert time.monotonic() - begun < 5 * SLOW
    assert set(answers) == set(ids), f"unanswered: {set(ids) - set(answers)}"
    assert answers[ids[1]]["stdout"] == "finished\n", answers[ids[1]]
    assert all(answers[i]["error_code"] == "SHUTTING_DOWN" for i in ids[2:]), answers[ids[2]]
    assert not answers[ids[0]]["success"]
    assert not processes_running(marker)


def story_a_stop_with_a_host_that_is_gone_takes_no_longer_than_its_grace():
    agent, host = talk(tap.keep, unsafe(agent__shutdown_grace_s=1))
    host.unsafe("trap '' TERM; sleep 60; sleep 60", timeout=60)
    time.sleep(0.3)
    host.disconnect()
    begun = time.monotonic()
    agent.stop()
    assert time.monotonic() - begun < 4 * SLOW


def story_commands_of_a_host_that_left_are_not_answered_to_the_next_one():
    _, host = talk(tap.keep, UNSAFE)
    host.unsafe("sleep 0.5; echo late", timeout=10, command_id="old")
    host.in_step()
    host.disconnect()
    host.accept()
    host.quiet(1.0)
    assert host.run("echo new", command_id="old")["stdout"] == "new\n"


def story_a_rate_limit_is_answered_queue_full():
    _, host = talk(tap.keep, unsafe(commands__rate_per_s=10))
    ids = [host.command("SystemInfo") for _ in range(50)]
    answers = host.responses(ids)
    full = [m for m in answers if m.get("error_code") == "QUEUE_FULL"]
    assert 25 <= len(full) <= 40, len(full)


def status(host):
    host.send({"type": "Status", "id": host.new_id()})
    return host.expect("response", 10, lambda m: m["command_type"] == "Status")["data"]


class Apart(Agent):
    """The agent in a directory of its own: what lies beside it is what it finds."""

    def argv(self):
        place = os.path.join(self.directory, "infiniservice")
        if not os.path.exists(place):
            shutil.copy(program("infiniservice"), place)
        return [place] + super().argv()[1:]


def story_an_executor_that_is_not_where_it_is_looked_for_is_told_at_once():
    """Or is no executor at all: each command is answered long before its time-out, with the file's name, and the state says so too."""
    host = tap.keep(UnixHost())
    agent = tap.keep(Apart(host.spec, {"commands.allow_unsafe": "yes", "commands.allow": "observe control"}))
    host.accept()
    beside = agent.path("infiniservice-exec")
    elsewhere = "/infiniservice-exec"
    for number, (text, place) in enumerate(((None, elsewhere), ("\x7fELF not for this machine", beside), ("#!/bin/sh\nexit 1\n", beside),
                                            ("#!/nowhere/sh\n", beside))):
        if text is not None:
            with open(beside, "w", encoding="latin-1") as file:
                file.write(text)
            os.chmod(beside, 0o755)
        for _ in range(3):
            begun = time.monotonic()
            answer = host.run("true", timeout=300)
            assert time.monotonic() - begun < 10 * SLOW, "at once, and not at its deadline"
            assert answer["error_code"] == "INTERNAL" and answer["reason"] == "executor_unusable", answer
            assert place in answer["error"], (place, answer["error"])
        state = status(host)["executor"]
        assert state["state"] == "unusable" and place in state["place"] and place in state["fault"], state
        check = host.ask("RunHealthCheck", check_name="executor")["data"]
        assert check["status"] == "failed" and place in check["message"], check
        script = {"execution_id": f"s{number}", "script_content": "true", "shell": "sh", "timeout_seconds": 300}
        host.send({"type": "pending_scripts_response", "scripts": [script]})
        done = host.expect("script_completion", 10)
        assert done["exit_code"] != 0 and place in done["stderr"], done
    os.unlink(beside)
    shutil.copy(program("infiniservice-exec"), beside)
    wait_until(lambda: host.run("echo back", timeout=20)["stdout"] == "back\n", 60, "an executor that has come")
    assert status(host)["executor"]["state"] == "ready"


tap.main(globals())
