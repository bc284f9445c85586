# SPDX-License-Identifier: MIT
"""Programs of the bench, each in a private directory, and ended with it."""
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.environ.get("INFINISERVICE_BUILD") or os.path.join(ROOT, "build")
SECONDS = max(8, int(os.environ.get("BENCH_SECONDS", "20")))
HOUR_MS = 3600000
QUIET = {"timers.metrics_interval_ms": HOUR_MS, "timers.health_interval_ms": HOUR_MS}
# As in sample_cost.c: what the floor of the system reads, and no more.
SYSTEM_ONLY = {f"collectors.{name}": "no" for name in
               ("processes", "ports", "tcp", "limits", "clock", "guest", "users", "units", "sensors", "gpu", "cgroup")}

commands = {}  # what was started, by pid


class Scratch:
    """A private directory; everything started in it ends with it."""

    def __init__(self):
        self.directory = tempfile.mkdtemp(prefix="infini-bench-")
        # /run is in memory on every guest, which is what the agent's runtime_dir is by default.
        in_memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
        self.runtime = tempfile.mkdtemp(prefix="infini-bench-", dir=in_memory)
        self.processes = []

    def path(self, name):
        return os.path.join(self.directory, name)

    def start(self, *argv, **more):
        more = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, **more}
        process = subprocess.Popen(argv, **more)
        commands[process.pid] = " ".join(argv)
        self.processes.append(process)
        return process

    def bench(self, name, *argv, **more):
        return self.start(os.path.join(BUILD, "tests/bench", name), *map(str, argv), **more)

    def agent_argv(self, name, port, settings):
        """The agent's command line, with everything it writes in a directory of its own."""
        base = self.path(name)
        runtime = os.path.join(self.runtime, name)
        for folder in (base + "/state", base + "/log", runtime):
            os.makedirs(folder, mode=0o750, exist_ok=True)
        with open(os.open(os.path.join(base, "agent.conf"), os.O_WRONLY | os.O_CREAT, 0o600), "w", encoding="utf-8"):
            pass
        settings = {"agent.state_dir": base + "/state", "agent.runtime_dir": runtime, "log.dir": base + "/log",
                    "socket.path": base + "/agent.sock", "socket.group": "", "agent.vm_id": "bench", **settings}
        argv = [os.path.join(BUILD, "infiniservice"), "--config", base + "/agent.conf", "--port", port]
        for key, value in settings.items():
            argv += ["--set", f"{key}={value}"]
        return argv

    def agent(self, name, port, settings, within=(), **more):
        """Starts it; `within`: the command line of what starts it in turn."""
        argv = self.agent_argv(name, port, settings)
        with open(self.path(name) + "/stderr", "ab") as messages:
            return self.start(*within, *argv, stderr=messages, cwd="/", **more)

    def end(self, process):
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(15)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        self.processes.remove(process)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for process in reversed(list(self.processes)):
            self.end(process)
        shutil.rmtree(self.directory, ignore_errors=True)
        shutil.rmtree(self.runtime, ignore_errors=True)


def wait_for(path, seconds=5):
    end = time.monotonic() + seconds
    while not os.path.exists(path) and time.monotonic() < end:
        time.sleep(0.01)


def output_of(process):
    text = process.communicate()[0].decode()
    if process.returncode != 0:
        sys.exit(f"bench: {process.args[0]} failed: {text}")
    return text


def status_of(scratch, name, *options):
    """What the agent says of itself, as infinictl status --json prints it."""
    done = subprocess.run([os.path.join(BUILD, "infinictl"), "status", "--json", "--socket", scratch.path(name + "/agent.sock"), *options],
                          stdout=subprocess.PIPE, check=True, timeout=30)
    return json.loads(done.stdout)
