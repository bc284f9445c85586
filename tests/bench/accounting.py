# SPDX-License-Identifier: MIT
"""What programs cost: CPU, wake-ups and memory of a process and all its descendants, window by window."""
import glob
import statistics
import sys
import time

from programs import commands

WINDOW_S = 2


def family(pid):
    """The process and its descendants. A program that has ended costs nothing: that is no result but the end of the run."""
    state = sum_of(f"/proc/{pid}/stat", lambda text: text.rpartition(") ")[2][:1] not in "ZX")
    if not state:
        sys.exit(f"bench: process {pid} has ended: {commands.get(pid, 'a peer')}")
    found = [pid]
    for one in found:
        for path in glob.glob(f"/proc/{one}/task/*/children"):
            try:
                with open(path, encoding="ascii") as file:
                    found += map(int, file.read().split())
            except OSError:
                pass
    return found


def sum_of(pattern, pick):
    total = 0
    for path in glob.glob(pattern):
        try:
            with open(path, encoding="ascii", errors="replace") as file:
                total += pick(file.read())
        except OSError:
            pass
    return total


def cpu_ns(pid):
    return sum(sum_of(f"/proc/{one}/task/*/schedstat", lambda text: int(text.split()[0])) for one in family(pid))


def field(text, key):
    return next((int(line.split()[1]) for line in text.splitlines() if line.startswith(key)), 0)


def wakeups(pid):
    return sum(sum_of(f"/proc/{one}/task/*/status", lambda text: field(text, "voluntary_ctxt_switches:"))
               for one in family(pid))


def memory_kb(pid, key):
    return sum(sum_of(f"/proc/{one}/smaps_rollup", lambda text: field(text, key)) for one in family(pid))


def memory_text(pid):
    return f"{memory_kb(pid, 'Private_Dirty:')} / {memory_kb(pid, 'Pss:')} KiB"


class Meter:
    """CPU per sample and wake-ups of one program, window by window."""

    def __init__(self, name, pid, per_second, work=None):
        self.name, self.pid, self.per_second, self.work = name, pid, per_second, work
        self.us, self.wakes = [], []
        self.pss = self.dirty = 0

    def begin(self):
        self.cpu, self.switches, self.at = cpu_ns(self.pid), wakeups(self.pid), time.monotonic()

    def finish(self):
        seconds = time.monotonic() - self.at
        self.us.append((cpu_ns(self.pid) - self.cpu) / 1000 / (seconds * self.per_second))
        self.wakes.append((wakeups(self.pid) - self.switches) / seconds)

    def look_at_memory(self):
        self.pss, self.dirty = memory_kb(self.pid, "Pss:"), memory_kb(self.pid, "Private_Dirty:")

    def ratio(self, floor):
        return statistics.median(mine / theirs for mine, theirs in zip(self.us, floor.us))


def watch(meters, seconds):
    for _ in range(max(3, round(seconds / WINDOW_S))):
        for meter in meters:
            meter.begin()
        end = time.monotonic() + WINDOW_S
        while (left := end - time.monotonic()) > 0:  # peers that must be asked are asked once a second
            asked = time.monotonic()
            for meter in meters:
                if meter.work:
                    meter.work()
            time.sleep(max(0, min(left, 1 - (time.monotonic() - asked))))
        for meter in meters:
            meter.finish()
    for meter in meters:
        meter.look_at_memory()
