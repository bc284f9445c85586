# SPDX-License-Identifier: MIT
"""Commands: the round trip of a small one, and how many programs a second."""
import os
import shutil
import subprocess

from accounting import memory_text
from programs import BUILD, QUIET, Scratch, output_of, wait_for
from table import row, section, times


def measure_round_trip():
    section("Round trip on one CPU (us): median, 99th percentile")
    cpu = max(os.sched_getaffinity(0))
    with Scratch() as scratch:
        def pinned():
            os.sched_setaffinity(0, {cpu})
        arguments = [cpu, scratch.path("port")]
        if shutil.which("qemu-ga"):
            scratch.start("qemu-ga", "-m", "unix-listen", "-p", scratch.path("qga"), "-t", scratch.directory, "-f",
                          scratch.path("qga.pid"), preexec_fn=pinned)
            wait_for(scratch.path("qga"))
            arguments.append(scratch.path("qga"))
        trip = scratch.bench("round_trip", *arguments, stdout=subprocess.PIPE)
        wait_for(scratch.path("port"))
        scratch.agent("agent", "unix:" + scratch.path("port"), QUIET, preexec_fn=pinned)
        found = {name: (float(p50), float(p99)) for name, p50, p99 in map(str.split, output_of(trip).splitlines())}
    for name, (p50, p99) in found.items():
        value = f"{p50:.1f}, {p99:.1f}"
        if name == "agent":
            one, two = p50 / found["echo"][0], p99 / found["echo"][1]
            row("agent: keep_alive_request", value, times(one), "<= 1.7 x echo", one <= 1.7)
            row("agent: 99th percentile", "", times(two), "<= 2 x echo", two <= 2)
        else:
            row(name, value)


def report_rate(name, text, word, goal):
    numbers = text.splitlines()[-1].replace("/s", "").split()
    ratio = float(numbers[-1])
    row("posix_spawn of sh -c true", numbers[numbers.index("(posix_spawn)") + 1] + "/s")
    value = numbers[numbers.index(word) + 1] + "/s"
    row(name, value, times(ratio), f">= {goal} x the floor" if goal else "", ratio >= goal if goal else None)


def measure_exec():
    section("Commands a second, five in flight")
    with Scratch() as scratch:
        text = output_of(scratch.bench("exec_rate", 500, 7, stdout=subprocess.PIPE,
                                       env={**os.environ, "INFINISERVICE_EXEC": os.path.join(BUILD, "infiniservice-exec")}))
        report_rate("the executor alone", text, "executor", 0.85)
        rate = scratch.bench("command_rate", scratch.path("port"), 500, 7, stdout=subprocess.PIPE)
        wait_for(scratch.path("port"))
        agent = scratch.agent("agent", "unix:" + scratch.path("port"), {**QUIET, "commands.allow_unsafe": "yes"})
        report_rate("UnsafeCommand `true` through the whole agent", output_of(rate), "agent", 0.5)
        row("private dirty / PSS with the executor, afterwards", memory_text(agent.pid))
    with Scratch() as scratch:
        rate = scratch.bench("command_rate", scratch.path("port"), 500, 7, 5, 100, stdout=subprocess.PIPE)
        wait_for(scratch.path("port"))
        scratch.agent("agent", "unix:" + scratch.path("port"), {**QUIET, "commands.allow_unsafe": "yes"})
        report_rate("the same, the host hangs up after every 100", output_of(rate), "agent", None)
