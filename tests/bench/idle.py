# SPDX-License-Identifier: MIT
"""The start, and what an agent costs that has nothing to do."""
import os
import shutil
import socket
import statistics
import time

from accounting import memory_text, wakeups
from programs import QUIET, Scratch, wait_for
from table import row, section


def start_time_ms(scratch, number):
    path = scratch.path("notify")
    ready = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    ready.bind(path)
    ready.settimeout(5)
    begun = time.monotonic()
    process = scratch.agent(f"start-{number}", "none", QUIET, env={**os.environ, "NOTIFY_SOCKET": path})
    while b"READY=1" not in ready.recv(4096):
        pass
    took = (time.monotonic() - begun) * 1000
    ready.close()
    os.unlink(path)
    scratch.end(process)
    return took


def measure_start():
    section("Start")
    with Scratch() as scratch:
        took = statistics.median(start_time_ms(scratch, number) for number in range(9))
        row("exec to READY=1", f"{took:.1f} ms", "", "< 10 ms", took < 10)


def measure_idle():
    section("Idle, no tick in between: wake-ups of all processes in 10 s, memory of a started agent")
    with Scratch() as scratch:
        scratch.bench("sink_host", scratch.path("port"))
        wait_for(scratch.path("port"))
        agents = {"no port": scratch.agent("absent", "virtio:org.infinibay.bench.absent", QUIET),
                  "host connected": scratch.agent("present", "unix:" + scratch.path("port"), QUIET)}
        if shutil.which("qemu-ga"):
            agents["qemu-ga, no host"] = scratch.start("qemu-ga", "-m", "unix-listen", "-p", scratch.path("qga"), "-t",
                                                       scratch.directory, "-f", scratch.path("qga.pid"))
        time.sleep(4)
        before = {name: wakeups(process.pid) for name, process in agents.items()}
        time.sleep(10)
        for name, process in agents.items():
            count = wakeups(process.pid) - before[name]
            if name.startswith("qemu"):
                row(name, f"{count}")
                row(f"{name}: private dirty / PSS", memory_text(process.pid))
                continue
            row(f"agent, {name}", f"{count}", "", "0", count == 0)
            row(f"agent, {name}: private dirty / PSS", memory_text(process.pid))
