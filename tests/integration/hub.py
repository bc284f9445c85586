# SPDX-License-Identifier: MIT
"""A hub over VMs' channels, for the tests: real agents behind sockets that serve one client as QEMU's chardevs do, and guests that are played."""
import contextlib
import json
import os
import select
import socket
import subprocess
import tempfile
import threading
import time
import urllib.error
import urllib.parse
import urllib.request

import tap
from fakehost import ROOT, SLOW, Agent, cpu_seconds, memory_kb, program, wait_until

# What tools/deps.sh unpacks rather than installs, as it would start a service.
os.environ["PATH"] += os.pathsep + os.path.join(ROOT, "build", "cache", "unpacked", "usr", "bin")

HTTPError = urllib.error.HTTPError


class Chardev:
    """QEMU's socket chardev: listens, serves one client at a time, and is the guest's port on the other side."""

    def __init__(self, path, port):
        self.path = path
        self.port = port
        self.outside = self._listen(path)
        self.inside = None  # is there while a host is: an agent without one knows that it has none
        self.ends = [None, None]
        self.cut = False
        self.wake_r, self.wake_w = os.pipe()
        self.thread = threading.Thread(target=self._serve, daemon=True)
        self.thread.start()

    @staticmethod
    def _listen(path):
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        listener.bind(path)
        listener.listen(1)
        return listener

    def _drop(self):
        """A host that leaves ends the guest's session: the agent sees the border."""
        for end in self.ends:
            if end:
                end.close()
        self.ends = [None, None]
        if self.inside:
            self.inside.close()
            os.unlink(self.port)
            self.inside = None

    def _serve(self):
        while True:
            if self.ends[0] and not self.inside:
                self.inside = self._listen(self.port)
            listeners = [self.outside, self.inside]
            wanted = [self.outside] if not self.ends[0] else [] if self.ends[1] else [self.inside]
            readable, _, _ = select.select(wanted + [end for end in self.ends if end] + [self.wake_r], [], [])
            if self.wake_r in readable:
                if not os.read(self.wake_r, 1).strip(b"c"):
                    self._drop()
                    continue
                return
            for at, listener in enumerate(listeners):
                if listener in readable:
                    self.ends[at] = listener.accept()[0]
            for at in (0, 1):
                end, other = self.ends[at], self.ends[1 - at]
                if end is None or end not in readable:
                    continue
                try:
                    data = end.recv(65536)
                    if data and other:
                        other.sendall(data)
                except OSError:
                    data = b""
                if data:
                    continue
                if at == 0:
                    self._drop()
                    break
                end.close()
                self.ends[1] = None

    def drop_host(self):
        os.write(self.wake_w, b"c")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        os.write(self.wake_w, b"x")
        self.thread.join(5)
        self._drop()
        self.outside.close()
        os.close(self.wake_r)
        os.close(self.wake_w)


class Played:
    """A guest that is played: `talk(connection)` is called for each host that comes, in a thread."""

    def __init__(self, path, talk):
        self.path = path
        self.talk = talk
        self.heard = []
        self.listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.listener.bind(path)
        self.listener.listen(1)
        self.connections = []
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self):
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            self.connections.append(connection)
            threading.Thread(target=self._talk, args=(connection,), daemon=True).start()

    def _talk(self, connection):
        try:
            self.talk(self, connection)
        except OSError:
            pass

    def lines(self, connection):
        with contextlib.suppress(OSError, ValueError), connection.makefile("r", encoding="utf-8") as stream:
            for line in stream:
                if line.strip():
                    self.heard.append(json.loads(line))
                    yield self.heard[-1]

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        for connection in self.connections:
            connection.close()


def stamp(seconds):
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds)) + ".%03dZ" % (seconds % 1 * 1000)


def sample(seq, when=None, data=None, **more):
    data = data or {"system": {"cpu": {"usage_percent": 12.5}, "load_average": {"load_1min": 0.5}}}
    return {"type": "metrics", "timestamp": stamp(when or time.time()), "seq": seq, "boot_id": "b" * 32, "generation": "0123456789abcdef", "schema": 1,
            "data": data, **more}


def say(connection, message):
    connection.sendall((json.dumps(message) + "\n").encode())


HANDSHAKE = {"type": "handshake", "vm_id": "claimed", "version": "9.9", "platform": "linux", "generation": "0123456789abcdef", "capabilities": []}


class Hub:
    def __init__(self, config="", arguments=(), folder=None, env=None):
        self.temporary = None if folder else tempfile.TemporaryDirectory(prefix="infini-hub-")
        self.folder = folder or self.temporary.name
        for name in ("vms", "run", "state"):
            os.makedirs(os.path.join(self.folder, name), exist_ok=True)
        self.control = os.path.join(self.folder, "run", "control.sock")
        self.view = os.path.join(self.folder, "run", "view.sock")
        self.config = os.path.join(self.folder, "host.conf")
        if "[vms]" not in config:
            config = "[vms]\nsockets = %s/vms\ninterval_s = 2\n" % self.folder + config
        if "[web]" not in config:
            config += "\n[web]\nlisten = 127.0.0.1:0\n"
        with open(self.config, "w", encoding="utf-8") as file:
            file.write(config)
        self.arguments = arguments
        self.env = env or {}
        self.process = None
        self.address = None
        self.start()

    def start(self):
        self.log = open(os.path.join(self.folder, "log"), "ab")
        before = self.told().count("metrics at")
        self.process = subprocess.Popen([program("infinihost"), "serve", "--config", self.config, "--socket", self.control,
                                         "--state", os.path.join(self.folder, "state"), *self.arguments],
                                        stderr=self.log, stdin=subprocess.DEVNULL, env={**os.environ, **self.env})
        wait_until(lambda: self.told().count("metrics at") > before or self.process.poll() is not None, 10, "the hub's start")
        assert self.process.poll() is None, self.told()
        self.address = self.told().rsplit("metrics at ", 1)[1].split(";")[0]

    def told(self):
        with open(os.path.join(self.folder, "log"), encoding="utf-8", errors="replace") as file:
            return file.read()

    def vm_path(self, name):
        return os.path.join(self.folder, "vms", name + ".sock")

    def agent(self, name, settings=None, **more):
        """A real agent in a VM of this name."""
        port = os.path.join(self.folder, name + ".port")
        chardev = tap.keep(Chardev(self.vm_path(name), port))
        settings = {"timers.metrics_interval_ms": 300, "commands.allow_unsafe": "yes", "commands.allow": "observe control", **(settings or {})}
        return tap.keep(Agent("unix:" + port, settings, **more)), chardev

    def play(self, name, talk):
        return tap.keep(Played(self.vm_path(name), talk))

    def get(self, path, headers=None, raw=False):
        request = urllib.request.Request("http://%s%s" % (self.address, path), headers=headers or {})
        with urllib.request.urlopen(request, timeout=20 * SLOW) as answer:
            body = answer.read()
            self.headers = answer.headers
        return body if raw else body.decode()

    def values(self, path="/metrics", **more):
        """{line without its value: value}"""
        return dict((line.rsplit(" ", 1)[0], float(line.rsplit(" ", 1)[1])) for line in self.get(path, **more).splitlines() if line and line[0] != "#")

    def value(self, name, vm):
        """Of the first series of this name; None: it is absent, or the VM is not known yet."""
        try:
            found = [value for line, value in self.values("/metrics?vm=" + urllib.parse.quote(vm)).items() if line.split("{")[0] == name]
        except HTTPError:
            return None
        return found[0] if found else None

    def wait_up(self, *names, timeout=20):
        wait_until(lambda: all(self.value("infiniservice_up", name) == 1 for name in names), timeout, "infiniservice_up of %s" % (names,), 0.1)

    def host(self, *arguments, socket_path=None, timeout=30, **more):
        more.setdefault("stdin", subprocess.DEVNULL)
        return subprocess.run([program("infinihost"), "--socket", socket_path or self.control, *arguments], capture_output=True, text=True,
                              timeout=timeout * SLOW, check=False, **more)

    def vms(self):
        return {row["vm"]: row for row in map(json.loads, self.host("--json", "vms").stdout.splitlines())}

    def stop(self):
        if self.process and self.process.poll() is None:
            self.process.terminate()
            assert self.process.wait(10 * SLOW) == 0, self.told()
        self.log.close()

    def kill(self):
        self.process.kill()
        self.process.wait()
        self.log.close()

    def memory_kb(self):
        return memory_kb(self.process.pid)

    def cpu_s(self):
        return cpu_seconds(self.process.pid)

    def __enter__(self):
        return self

    def __exit__(self, kind, value, trace):
        if kind:
            tap.note(self.told()[-3000:])
        self.stop()
        if self.temporary:
            self.temporary.cleanup()

