# SPDX-License-Identifier: MIT
"""A sample: in a hot loop, and whole, from timer to port and log, beside the floor that reads and sends as much, and beside peers."""
import os
import statistics
import subprocess
import time

from accounting import Meter, watch
from peers import start_peers
from programs import SECONDS, SYSTEM_ONLY, Scratch, output_of, status_of, wait_for
from table import plot, row, section, times


def measure_hot_loop():
    section("One sample, hot loop in one process (us)")
    with Scratch() as scratch:
        text = output_of(scratch.bench("sample_cost", stdout=subprocess.PIPE))
    for line in text.splitlines():
        name, *numbers, size = line.split()
        floor, collect, encode, ratio = map(float, numbers)
        goal = 1.6 if name == "system" else 2.0
        row(f"{name}: floor", f"{floor / 1000:.1f}")
        row(f"{name}: collected + encoded, {size} bytes", f"{collect / 1000:.1f} + {encode / 1000:.1f}", times(ratio), f"<= {goal} x the floor",
            ratio <= goal)


def bytes_of_a_sample(scratch, name):
    """Of those on the wire, which are brief but for a few."""
    port = status_of(scratch, name)["port"]
    return round(port["bytes_out"] / max(1, port["samples_sent"]))


class Pair:
    """An agent with a host that reads, and the floor at the same interval: it reads as much, sends as many bytes, and has them appended."""

    def __init__(self, scratch, kind, interval_ms, settings):
        self.scratch, self.kind, self.rate, self.name = scratch, kind, 1000 / interval_ms, f"{kind}-{interval_ms}"
        self.interval_ms = interval_ms
        self.port = scratch.path(self.name + ".port")
        scratch.bench("sink_host", self.port)
        wait_for(self.port)
        agent = scratch.agent(self.name, "unix:" + self.port,
                              {"timers.metrics_interval_ms": interval_ms, "timers.collect_timeout_ms": min(5000, interval_ms), **settings})
        self.agent = Meter(f"{kind} agent", agent.pid, self.rate)
        self.floor = None

    def start_floor(self):
        self.size = bytes_of_a_sample(self.scratch, self.name)
        port = self.scratch.path(self.name + ".floor")
        self.scratch.bench("sink_host", port)
        wait_for(port)
        floor = self.scratch.bench("floor_ticks", self.kind, self.interval_ms, port, self.size, self.scratch.path(self.name + ".appended"))
        self.floor = Meter(f"{self.kind} floor with output", floor.pid, self.rate)

    def meters(self):
        return [self.floor, self.agent]

    def report(self, goal):
        row(self.floor.name, f"{statistics.median(self.floor.us):.0f}")
        ratio = self.agent.ratio(self.floor)
        row(f"{self.agent.name}, with log writer, port and helpers", f"{statistics.median(self.agent.us):.0f}", times(ratio),
            f"<= {goal} x the floor", ratio <= goal)

    def report_memory(self):
        row(f"{self.agent.name}: private dirty, all processes", f"{self.agent.dirty} KiB", "", "<= 400 KiB", self.agent.dirty <= 400)
        row(f"{self.agent.name}: PSS, all processes", f"{self.agent.pss} KiB", "", "<= 2048 KiB", self.agent.pss <= 2048)

    def report_turns(self, goal_us=300):
        turns = status_of(self.scratch, self.name, "--loop")["turn_cpu"]
        row(f"{self.agent.name}: CPU of a turn, p99, p99.9, max", f"{turns['p99_us']}, {turns['p999_us']}, {turns['max_us']} us", "",
            f"p99.9 <= {goal_us} us", turns["p999_us"] <= goal_us)


def start_pairs(scratch, interval_ms):
    pairs = [Pair(scratch, "system", interval_ms, SYSTEM_ONLY)]
    time.sleep(0.13)  # so that not all tick at the same moment
    pairs.append(Pair(scratch, "full", interval_ms, {}))
    time.sleep(max(1, 4 * interval_ms / 1000))
    for pair in pairs:
        pair.start_floor()
        time.sleep(0.17)
    return pairs


def measure_fast_ticks():
    section(f"One sample every 10 ms, whole path, CPU of all processes (us), {SECONDS} s")
    with Scratch() as scratch:
        pairs = start_pairs(scratch, 10)
        time.sleep(1)
        watch([meter for pair in pairs for meter in pair.meters()], SECONDS)
        pairs[0].report(1.3)
        pairs[1].report(1.4)
        section(f"Memory after {int((SECONDS + 1) * 100)} samples")
        for pair in pairs:
            pair.report_memory()


def measure_slow_ticks():
    section(f"One sample a second, whole path, CPU of all processes (us), {SECONDS} s")
    with Scratch() as scratch:
        pairs = start_pairs(scratch, 1000)
        others, absent = start_peers(scratch)
        time.sleep(3)
        watch([meter for pair in pairs for meter in pair.meters()] + others, SECONDS)
        system, full = pairs
        for pair in pairs:
            pair.report(1.4)
        section("Peers at one sample a second (us; ratio: the system agent to it), PSS, wake-ups a second")
        meters = [system.agent, full.agent, *others]
        for meter in meters:
            row(meter.name, f"{statistics.median(meter.us):.0f}", times(system.agent.ratio(meter)),
                f"{meter.pss} KiB, {statistics.median(meter.wakes):.1f}/s")
        for name in absent:
            row(name, "not installed")
        plot("CPU of a sample, one a second", "us", [(meter.name, statistics.median(meter.us)) for meter in [system.floor, full.floor, *meters]])
        plot("Memory, PSS", "KiB", [(meter.name, meter.pss) for meter in meters])
        plot("Wake-ups a second at one sample a second", "1/s", [(meter.name, statistics.median(meter.wakes)) for meter in meters])
        section("Bytes of a sample on the wire")
        for pair, goal in ((system, 4096), (full, 14 << 10)):
            size = bytes_of_a_sample(scratch, pair.name)
            row(pair.kind, str(size), "", f"<= {goal}", size <= goal)
        section("CPU of one turn of the loop")
        for pair in pairs:
            pair.report_turns()
