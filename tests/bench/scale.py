# SPDX-License-Identifier: MIT
"""Guests with many of something, in name spaces of their own: cost, turn of the loop, bytes and memory, beside an agent on a guest with none."""
import os
import shutil
import statistics
import subprocess
import time

from accounting import Meter, watch
from programs import BUILD, Scratch, status_of, wait_for
from table import plot, row, section, times

STATES = [("nothing", 1), ("processes", 1000), ("processes", 10000), ("sockets", 1000), ("sockets", 10000), ("interfaces", 500), ("mounts", 1000)]
APART = ["unshare", "--net", "--mount", "--pid", "--fork", "--mount-proc"]
SECONDS = max(6, int(os.environ.get("BENCH_SCALE_SECONDS", "10")))


def may_unshare():
    return shutil.which("unshare") and shutil.which("ip") and subprocess.run([*APART, "true"], stderr=subprocess.DEVNULL, check=False).returncode == 0


def makes_veth():
    return subprocess.run(["unshare", "--net", "ip", "link", "add", "v0", "type", "veth", "peer", "name", "w0"], stderr=subprocess.DEVNULL,
                          check=False).returncode == 0


def within(scratch, kind, count):
    """The command line that makes the state and runs in it what follows."""
    crowd = [os.path.join(BUILD, "tests/bench/crowd"), "nothing" if kind == "interfaces" else kind, str(count)]
    batch = scratch.path("links")
    with open(batch, "w", encoding="ascii") as file:
        file.write("link set lo up\n")
        if kind == "interfaces":
            file.writelines(f"link add v{i} type veth peer name w{i}\nlink set v{i} up\nlink set w{i} up\n" for i in range(count // 2))
    return [*APART, "sh", "-c", 'ip -batch "$0" && exec "$@"', batch, *crowd]


def agent_below(pid):
    """The agent among all that a state is made of: the one child of that name."""
    todo = [pid]
    while todo:
        one = todo.pop()
        try:
            with open(f"/proc/{one}/comm", encoding="ascii") as file:
                if file.read() == "infiniservice\n":
                    return one
            with open(f"/proc/{one}/task/{one}/children", encoding="ascii") as file:
                todo += map(int, file.read().split())
        except OSError:
            pass
    return None


def measure_state(kind, count, interval_s=1):
    with Scratch() as scratch:
        port = scratch.path("port")
        scratch.bench("sink_host", port)
        wait_for(port)
        outer = scratch.agent("agent", "unix:" + port, {"timers.metrics_interval_ms": 1000 * interval_s, "timers.collect_timeout_ms": 1000},
                              within=within(scratch, kind, count))
        wait_for(scratch.path("agent/agent.sock"), 60)
        pid = agent_below(outer.pid)
        if not pid:
            return None
        meter = Meter(kind, pid, 1 / interval_s)
        time.sleep(3)
        watch([meter], SECONDS)
        turns = status_of(scratch, "agent", "--loop")
        port = status_of(scratch, "agent")["port"]
        return {"us": statistics.median(meter.us), "pss": meter.pss, "turn": turns["turn_cpu"], "worst": turns["work"][0]["name"],
                "bytes": port["bytes_out"] // max(1, port["samples_sent"])}


def measure_scale():
    section(f"Large guests, one sample a second, {SECONDS} s each: CPU of a sample (us; ratio: to the first), PSS; bytes; turns")
    if not may_unshare():
        row("name spaces of its own", "not permitted here")
        return
    first, found = None, []
    for kind, count in STATES:
        name = f"{count} {kind}" if kind != "nothing" else "nothing"
        if kind == "interfaces" and not makes_veth():
            row(name, "no veth in this kernel")
            continue
        state = measure_state(kind, count)
        if not state:
            row(name, "could not be made")
            continue
        first = first or state
        goal = 300 if kind == "nothing" else 1000
        turn = state["turn"]
        found.append((name, state))
        row(name, f"{state['us']:.0f}", times(state["us"] / first["us"]), f"{state['pss']} KiB")
        row(f"{name}: bytes of a sample", str(state["bytes"]), "", "<= 32768", state["bytes"] <= 32768)
        row(f"{name}: CPU of a turn, p99, p99.9, max", f"{turn['p99_us']}, {turn['p999_us']}, {turn['max_us']} us", "", f"p99.9 <= {goal} us",
            turn["p999_us"] <= goal)
        if turn["p999_us"] > goal:
            row(f"{name}: the longest was", state["worst"])
    row("64 disks", "not here: loop devices have no name space")
    plot("CPU of a sample on large guests", "us", [(name, state["us"]) for name, state in found])
    plot("CPU of a turn of the loop on large guests, p99.9", "us", [(name, state["turn"]["p999_us"]) for name, state in found])
    plot("Bytes of a sample on large guests", "bytes", [(name, state["bytes"]) for name, state in found])
    plot("Memory on large guests, PSS", "KiB", [(name, state["pss"]) for name, state in found])
