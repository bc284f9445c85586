#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Where the machine ends: a gigabyte of output, no descriptors left, programs that cannot be executed (rows 22 to 24 and 35)."""
import contextlib
import json
import os
import resource
import shutil
import subprocess
import tempfile
import time
import unittest.mock

import fakehost
import schema
import tap
from fakehost import SLOW, TimeOut, cpu_seconds, memory_kb, program, talk, wait_until
from localclient import LocalClient

UNSAFE = {"commands.allow_unsafe": "yes"}
GIGABYTE = 1 << 30


def infinictl(*arguments):
    return subprocess.run([program("infinictl"), *arguments], stdout=subprocess.PIPE, check=True, timeout=20 * SLOW, text=True).stdout


def story_row_22_what_cannot_be_executed_is_told_with_the_reason():
    agent, host = talk(tap.keep, UNSAFE)
    missing = [shell for shell in ("zsh", "ksh") if not shutil.which(shell)]
    if not missing:
        raise tap.Skip("every shell that may be asked for is installed here")
    answer = host.run("true", shell=missing[0])
    assert answer["error_code"] == "COMMAND_FAILED" and answer["reason"] == "exec_failed" and answer["exit_code"] == 1, answer
    assert "No such file or directory" in answer["error"], answer
    os.mkdir(agent.path("folder"))
    with open(agent.path("plain"), "w", encoding="ascii") as file:
        file.write("true\n")
    with open(agent.path("shebang"), "w", encoding="ascii") as file:
        file.write("#!/no/such/interpreter\n")
    os.chmod(agent.path("shebang"), 0o755)
    for name, code in (("folder", 126), ("plain", 126), ("shebang", 127), ("absent", 127)):
        answer = host.run(agent.path(name))
        # dash says 127 of a missing interpreter, bash 126
        assert answer["exit_code"] in (code, 126 if name == "shebang" else code) and answer["stderr"], (name, answer)
        assert answer["error_code"] == "COMMAND_FAILED", answer
    host.in_step()


def story_row_23_a_gigabyte_of_output_is_capped_and_counted_in_flat_memory():
    agent, host = talk(tap.keep, {**UNSAFE, "timers.metrics_interval_ms": 3600000})
    host.run("head -c 10000000 /dev/zero", timeout=60)
    before = memory_kb(agent.pid, "VmHWM")
    answer = host.run(f"head -c {GIGABYTE} /dev/zero; echo end >&2", timeout=200)
    assert answer["exit_code"] == 0 and answer["stderr"] == "end\n", {key: answer[key] for key in ("exit_code", "stderr", "error")}
    assert answer["truncated"] is True and answer["stdout_bytes"] == GIGABYTE, answer["stdout_bytes"]
    assert memory_kb(agent.pid, "VmHWM") - before < 1024, memory_kb(agent.pid, "VmHWM") - before
    host.in_step()


def story_the_loop_says_which_work_its_turns_were_spent_on():
    agent, host = talk(tap.keep, UNSAFE)
    host.run("true")
    host.expect("metrics")
    loop = json.loads(infinictl("status", "--loop", "--json", "--socket", agent.path("agent.sock")))
    works = {work["name"]: work for work in loop["work"]}
    assert loop["turn_cpu"]["turns"] == sum(work["turns"] for work in works.values()) > 5, loop
    assert [work["max_us"] for work in loop["work"]] == sorted((work["max_us"] for work in works.values()), reverse=True), loop
    assert all(0 <= work["p50_us"] <= work["p99_us"] <= work["p999_us"] <= work["max_us"] <= work["total_us"] for work in works.values()), loop
    assert any(name.startswith("collect ") for name in works), sorted(works)
    lines = infinictl("status", "--loop", "--socket", agent.path("agent.sock")).splitlines()
    assert lines[0].startswith("CPU of a turn (ms)") and lines[1].startswith("all ") and len(lines) >= len(works), lines
    assert "p999_us" in infinictl("status", "--socket", agent.path("agent.sock"))


def story_turns_over_their_budget_are_told_to_who_watches():
    folder = tempfile.mkdtemp(prefix="infini-")
    watched = os.path.join(folder, "turns")
    with open(watched, "w", encoding="ascii"):
        pass
    with unittest.mock.patch.dict(fakehost.TURNS_WATCHED, INFINISERVICE_TURNS=watched):
        _, host = talk(tap.keep, {"port.max_line_bytes": "16M", "port.queue_bytes": "16M"})
    host.ask("Status", filler="x" * (8 << 20))  # no turn can read so much in a millisecond
    wait_until(lambda: os.path.getsize(watched) > 0, 10, "the turn that has answered is told at its end")
    with open(watched, encoding="ascii") as file:
        told = [line.split(None, 1) for line in file]
    assert told and all(int(us) >= 1000 for us, _ in told), told
    shutil.rmtree(folder)


def story_an_answer_that_the_queue_has_no_room_for_is_cut_and_said_to_be():
    _, host = talk(tap.keep, {**UNSAFE, "port.queue_bytes": "64K", "port.max_line_bytes": "64K"})
    answer = host.run("head -c 300000 /dev/zero | tr '\\0' x; exit 3")
    assert answer["exit_code"] == 3 and answer["truncated"] is True, answer
    assert 10000 < len(answer["stdout"]) < 48 << 10 and set(answer["stdout"]) == {"x"}, len(answer["stdout"])
    processes = host.ask("ProcessList", limit=5000)  # data of whatever size: whole, or said to be cut
    assert processes["success"] and (processes["truncated"] or processes["data"]), str(processes)[:200]
    host.in_step()


def story_row_24_a_gigabyte_of_bytes_on_both_streams_at_once_is_one_valid_line():
    agent, host = talk(tap.keep, {**UNSAFE, "timers.metrics_interval_ms": 3600000})
    half = GIGABYTE // 2
    # no newline in it, and every kind of byte at the beginning, which is what is kept
    flood = f"(head -c 300000 /dev/urandom | tr '\\n' x; head -c {half - 300000} /dev/zero)"
    host.run(f"{flood.replace(str(half - 300000), '10000000')}", timeout=60)
    before = memory_kb(agent.pid, "VmHWM")
    answer = host.run(f"{flood} & {flood} >&2; wait", timeout=200)
    assert answer["exit_code"] == 0 and answer["truncated"] is True, {key: answer[key] for key in ("exit_code", "error", "truncated")}
    assert answer["stdout_bytes"] == answer["stderr_bytes"] == half, (answer["stdout_bytes"], answer["stderr_bytes"])
    assert "\n" not in answer["stdout"] + answer["stderr"] and "\0" not in answer["stdout"] + answer["stderr"]
    assert max(len(line) for line in host.lines) < 1 << 20
    assert memory_kb(agent.pid, "VmHWM") - before < 2048, memory_kb(agent.pid, "VmHWM") - before
    host.in_step()


def tighten(pid, limit):
    """The soft limit of open files of a running process; gives the old one."""
    soft, hard = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (limit, hard))
    return soft


def full(pid):
    """A limit that leaves no descriptor free: below the first free number."""
    used = {int(name) for name in os.listdir(f"/proc/{pid}/fd")}
    return next(number for number in range(1 << 20) if number not in used)


def story_row_35_without_descriptors_accepting_pauses_and_nothing_else_stops():
    # processes come and go, and with them descriptors that are kept; what has to be opened for a sample is missing in it, and told as failed; the rest is there
    tap.keep(unittest.mock.patch.dict(schema.CHECKS, metrics=lambda message, path: message["data"]["system"]["cpu"]))
    agent, host = talk(tap.keep, {**UNSAFE, "timers.metrics_interval_ms": 500, "collectors.processes": "no", "collectors.ports": "no"})
    host.run("true")
    for _ in range(3):
        host.expect("metrics")
    before = tighten(agent.pid, full(agent.pid))
    client = tap.keep(LocalClient(agent))  # the kernel takes it, the agent cannot
    client.send({"type": "Status", "id": "later"})
    begun, spent = time.monotonic(), cpu_seconds(agent.pid)
    for _ in range(3):
        host.expect("metrics", 5)  # samples go on
    share = (cpu_seconds(agent.pid) - spent) / (time.monotonic() - begun)
    assert share < 0.5, f"{share:.0%} of a CPU: it spins"
    try:
        client.response("later", 0.2)
        raise AssertionError("it was accepted without a descriptor")
    except TimeOut:
        pass
    answer = host.run("true")  # no room for its pipes
    assert answer["error_code"] == "INTERNAL" and answer["reason"] == "resource" and "Too many open files" in answer["error"], answer
    host.in_step()
    tighten(agent.pid, before)
    assert client.response("later", 5)["success"], "it was not accepted when there was room again"
    assert host.run("echo room")["stdout"] == "room\n"
    wait_until(lambda: client.status()["log"]["state"] == "ok", 10, "a log that is written", 0.2)


def story_a_host_waits_one_turn_however_many_clients_send():
    agent, host = talk(tap.keep)
    clients = [tap.keep(LocalClient(agent)) for _ in range(200)]
    flood = b'{"type":"Status","id":"flood"}\n' * 20
    for client in clients:
        client.socket.setblocking(False)
        with contextlib.suppress(BlockingIOError, ConnectionError):
            while True:
                client.socket.send(flood)
    for _ in range(20):
        host.in_step(0.5)  # all that waits takes seconds


tap.main(globals())
