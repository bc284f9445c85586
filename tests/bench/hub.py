#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""One hub over many guests that are played: CPU, bytes and memory a VM, the time of a scrape, and a crowd that comes back at once.

    tests/bench/hub.py [GUESTS [INTERVAL_MS]]      (1000, each a sample a second)

BENCH_SECONDS (20) is how long the steady part lasts.
"""
import os
import resource
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.environ.get("INFINISERVICE_BUILD") or os.path.join(ROOT, "build")
SECONDS = int(os.environ.get("BENCH_SECONDS", "20"))


def wait(condition, seconds, what):
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            sys.exit(f"{what}: not within {seconds} s")
        time.sleep(0.02)


class Hub:
    def __init__(self, folder, count):
        self.log = os.path.join(folder, "log")
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen([os.path.join(BUILD, "infinihost"), "serve", "--vms", os.path.join(folder, "vms"), "--listen", "127.0.0.1:0",
                                             "--socket", os.path.join(folder, "control.sock"), "--state", folder], stderr=log, stdin=subprocess.DEVNULL)
        wait(lambda: "metrics at" in self.told(), 30, "the hub's start")
        self.address = self.told().rsplit("metrics at ", 1)[1].split(";")[0]
        self.count = count

    def told(self):
        with open(self.log, encoding="utf-8", errors="replace") as file:
            return file.read()

    def get(self, path, headers=None):
        begun = time.monotonic()
        with urllib.request.urlopen(urllib.request.Request(f"http://{self.address}{path}", headers=headers or {}), timeout=60) as answer:
            body = answer.read()
        return body, time.monotonic() - begun

    def up(self):
        return int(self.get("/hub")[0].decode().split('infinihost_vms{state="up"} ')[1].split()[0])

    def figure(self, name):
        return float(self.get("/hub")[0].decode().split("\n%s " % name)[1].split()[0])

    def cpu_s(self):
        with open(f"/proc/{self.process.pid}/stat", encoding="ascii") as file:
            fields = file.read().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def memory_kb(self):
        with open(f"/proc/{self.process.pid}/status", encoding="ascii") as file:
            text = file.read()
        return int(text.split("VmRSS:")[1].split()[0])


def row(what, value, goal="", good=True):
    print(f"  {what:44s} {value:>14s}  {goal}{'' if good else '   MISSED'}", flush=True)
    return good


def main():
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
    interval_ms = int(sys.argv[2]) if len(sys.argv) > 2 else 1000
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    good = True
    with tempfile.TemporaryDirectory(prefix="infini-hub-") as folder:
        os.mkdir(os.path.join(folder, "vms"))
        sample = os.path.join(folder, "sample")
        with open(sample, "wb") as file:
            file.write(subprocess.run([os.path.join(BUILD, "infiniservice"), "--once", "--set", "agent.state_dir=" + folder, "--set", "agent.runtime_dir=" + folder], check=True,
                                      stdout=subprocess.PIPE, stderr=subprocess.DEVNULL).stdout)
        size = os.path.getsize(sample)
        guests = subprocess.Popen([os.path.join(BUILD, "tests/bench/replay_guests"), os.path.join(folder, "vms"), str(count), str(interval_ms), sample], stdout=subprocess.PIPE)
        assert guests.stdout.readline() == b"ready\n"
        begun = time.monotonic()
        hub = Hub(folder, count)
        try:
            print(f"A hub over {count} guests, a sample of {size} bytes every {interval_ms} ms")
            wait(lambda: hub.up() == count, 60, "all guests up")
            row("all up after its start", f"{time.monotonic() - begun:.2f} s")
            cpu, begun = hub.cpu_s(), time.monotonic()
            time.sleep(SECONDS)
            took = time.monotonic() - begun
            used = (hub.cpu_s() - cpu) / took
            row("CPU, steady", f"{100 * used:.1f} %")
            row("CPU a VM", f"{1e6 * used / count:.0f} µs/s")
            row("bytes a VM and second, in", f"{size * 1000 / interval_ms:.0f}")
            body, _ = hub.get("/metrics")
            plain = min(hub.get("/metrics")[1] for _ in range(3))
            packed, packed_s = hub.get("/metrics", {"Accept-Encoding": "gzip"})
            row("a scrape of all: bytes, series", f"{len(body) / 1e6:.1f} MB", f"{sum(1 for line in body.splitlines() if line[:1] != b'#')} series")
            good &= row("a scrape of all, plain", f"{plain:.2f} s", "< 1 s", plain < 1)
            row("a scrape of all, gzip", f"{packed_s:.2f} s", f"{len(packed) / 1e6:.2f} MB")
            row("a scrape of one", f"{1000 * hub.get('/metrics?vm=vm7')[1]:.1f} ms")
            held = hub.figure("infinihost_vm_memory_bytes") / count
            good &= row("held for a VM", f"{held / 1024:.1f} KB", "<= 64 KB", held <= 65536)
            good &= row("resident a VM, all in all", f"{hub.memory_kb() / count:.1f} KB", "<= 64 KB", hub.memory_kb() / count <= 64)
            guests.send_signal(signal.SIGUSR1)
            time.sleep(0.1)
            begun = time.monotonic()
            wait(lambda: b'infinihost_vms{state="up"} %d\n' % count in hub.get("/hub")[0] and hub.told().count(": connected") >= 2 * count, 60, "the crowd is back")
            took = time.monotonic() - begun + 0.1
            good &= row("a crowd of all that comes back", f"{took:.2f} s", "< 5 s", took < 5)
        finally:
            hub.process.terminate()
            guests.kill()
            hub.process.wait()
            guests.wait()
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
