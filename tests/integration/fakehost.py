# SPDX-License-Identifier: MIT
"""The agent under test and the host it believes to talk to.

Agent starts the real binary with everything it writes below one private directory, in the room that the test runs in; outside of
one (see tap.py) an agent that may do more than observe is not started, and its story is skipped. UnixHost and PtyHost are hosts over a
socket and a terminal line; every line they receive goes through the strict checker of schema.py. The test process makes itself the
reaper of orphans (PR_SET_CHILD_SUBREAPER), so that a process left behind by the agent cannot hide.
"""
import collections
import contextlib
import ctypes
import itertools
import json
import os
import pty
import re
import select
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import tty

import schema
import tap

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.environ.get("INFINISERVICE_BUILD") or os.path.join(ROOT, "build")
PR_SET_CHILD_SUBREAPER = 36
SANITIZED = "ASAN_OPTIONS" in os.environ
# Sanitizers and emulated machines are slower: limits of the tests, not of the product, are multiplied by this.
SLOW = float(os.environ.get("TEST_SLOW") or (4 if SANITIZED else 1))

ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)
# Of tests/run: the file that every agent tells of turns of its loop that took too long.
TURNS_WATCHED = {key: value for key, value in os.environ.items() if key == "INFINISERVICE_TURNS"}


class TimeOut(AssertionError):
    pass


def program(name):
    path = os.path.join(BUILD, name)
    assert os.access(path, os.X_OK), f"{path} is not built"
    return path


def wait_until(condition, timeout=5.0, what="the condition", step=0.01):
    """Polls until `condition()` is true and gives its value."""
    end = time.monotonic() + timeout * SLOW
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise TimeOut(f"{what} was not seen within {timeout * SLOW:.1f} s")
        time.sleep(step)


# ------------------------------------------------------------------------------------------------------- processes

def stat_fields(pid):
    """Fields of /proc/PID/stat behind the name: [0] is the state, [1] the parent. None when the process is gone."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            return file.read().rpartition(b") ")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None


def all_pids():
    return [int(name) for name in os.listdir("/proc") if name.isdigit()]


def children_of(pid):
    found = []
    for other in all_pids():
        fields = stat_fields(other)
        if fields and int(fields[1]) == pid:
            found.append(other)
    return found


def descendants(pid):
    parents = {}
    for other in all_pids():
        fields = stat_fields(other)
        if fields:
            parents.setdefault(int(fields[1]), []).append(other)
    found, todo = [], [pid]
    while todo:
        for child in parents.get(todo.pop(), []):
            found.append(child)
            todo.append(child)
    return found


def is_zombie(pid):
    fields = stat_fields(pid)
    return bool(fields) and fields[0] == b"Z"


def command_line(pid):
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            return file.read().replace(b"\0", b" ").decode(errors="replace").strip()
    except OSError:
        return ""


def processes_running(marker):
    """Living processes whose command line holds `marker`."""
    return [pid for pid in all_pids() if marker in command_line(pid) and not is_zombie(pid)]


def fd_count(pid):
    """Open descriptors, without those of processes watched: they come and go with the machine's processes."""
    count = 0
    for name in os.listdir(f"/proc/{pid}/fd"):
        with contextlib.suppress(FileNotFoundError):
            count += not re.match(r"/proc/\d+/", os.readlink(f"/proc/{pid}/fd/{name}"))
    return count


def memory_kb(pid, key="VmRSS"):
    """0 under a sanitizer: it keeps what was freed, so that growth says nothing."""
    if SANITIZED:
        return 0
    with open(f"/proc/{pid}/status", encoding="utf-8", errors="replace") as file:
        for line in file:
            if line.startswith(key + ":"):
                return int(line.split()[1])
    return 0


def cpu_seconds(pid):
    fields = stat_fields(pid)
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class Agent:
    """The real binary. `settings` are "section.key": value; `config` is the text of the file."""

    def __init__(self, port="none", settings=None, config="", arguments=(), directory=None, env=None, wrapper=(),
                 check_exit=True):
        self.own_directory = directory is None
        self.directory = directory or tempfile.mkdtemp(prefix="infini-")
        self.settings = {
            "agent.state_dir": self.path("state"), "agent.runtime_dir": self.path("run"), "log.dir": self.path("log"),
            "socket.path": self.path("agent.sock"), "agent.vm_id": "test-vm",
        }
        self.settings.update(settings or {})
        self.port = port
        self.arguments = list(arguments)
        self.wrapper = list(wrapper)
        self.env = {key: value for key, value in os.environ.items()
                    if not key.startswith("INFINI") and key not in ("STATE_DIRECTORY", "RUNTIME_DIRECTORY", "NOTIFY_SOCKET")}
        self.env.update(env or {})
        self.check_exit = check_exit
        self.process = None
        self.before = set()
        for name in ("state", "run", "log"):
            os.makedirs(self.path(name), mode=0o750, exist_ok=True)
        self.write_config(config)

    def has_logged(self):
        """Whether a sample has come to its log; the folders of summaries are there before."""
        return any(name.startswith("metrics-") for name in os.listdir(self.path("log")))

    def path(self, name):
        return os.path.join(self.directory, name)

    def write_config(self, text):
        with open(os.open(self.path("agent.conf"), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w",
                  encoding="utf-8") as file:
            file.write(text)

    def may_destroy(self):
        """True when the policy says anything at all: its default is to observe."""
        with open(self.path("agent.conf"), encoding="utf-8", errors="replace") as file:
            said = [file.read(), *self.settings, *self.arguments, *(key for key in self.env if key.startswith("INFINI"))]
        return any(word in text.lower() for text in said for word in ("commands", "infiniservice_"))

    def argv(self):
        if self.may_destroy():
            tap.need_room()
        argv = [program("infiniservice"), "--config", self.path("agent.conf"), "--port", self.port]
        for key, value in self.settings.items():
            argv += ["--set", f"{key}={value}"]
        return self.wrapper + argv + self.arguments

    def start(self):
        self.before = set(children_of(os.getpid()))
        with open(self.path("stderr"), "ab") as messages:
            self.process = subprocess.Popen(self.argv(), stdin=subprocess.DEVNULL, stdout=messages, stderr=messages,
                                            env={**self.env, **TURNS_WATCHED}, cwd="/")
        return self

    @property
    def pid(self):
        return self.process.pid

    def stderr(self):
        with open(self.path("stderr"), encoding="utf-8", errors="replace") as file:
            return file.read()

    def alive(self):
        return self.process is not None and self.process.poll() is None

    def children(self):
        return children_of(self.pid)

    def wait(self, timeout=15):
        try:
            return self.process.wait(timeout * SLOW)
        except subprocess.TimeoutExpired:
            raise TimeOut(f"the agent did not end; it said:\n{self.stderr()}") from None

    def left_behind(self):
        """Processes that were not there before the agent was, zombies reaped on the way."""
        left = []
        for pid in set(children_of(os.getpid())) - self.before - {self.pid}:
            if is_zombie(pid):
                try:
                    os.waitpid(pid, os.WNOHANG)
                except ChildProcessError:
                    pass
            else:
                left.append(pid)
        return left

    def stop(self, timeout=15):
        """Asks for the end as systemd does and asserts that it is a clean one."""
        assert self.alive(), f"the agent is gone ({self.process.poll()}); it said:\n{self.stderr()}"
        wait_until(lambda: not any(is_zombie(pid) for pid in self.children()), 2, "the reaping of all children")
        self.process.send_signal(signal.SIGTERM)
        code = self.wait(timeout)
        assert code == 0, f"exit code {code}; the agent said:\n{self.stderr()}"
        with contextlib.suppress(TimeOut):  # helpers end when they see the agent's end of their sockets closed
            wait_until(lambda: not self.left_behind(), 0.5)
        left = [(pid, command_line(pid)) for pid in self.left_behind()]
        assert not left, f"left behind: {left}"

    def kill(self):
        self.process.kill()
        self.process.wait()

    def __enter__(self):
        try:
            return self.start()
        except BaseException:
            self.remove()
            raise

    def remove(self):
        if self.own_directory and not os.environ.get("TEST_KEEP"):
            shutil.rmtree(self.directory, ignore_errors=True)

    def __exit__(self, kind, value, trace):
        try:
            if kind is None and self.check_exit and self.alive():
                self.stop()
            elif kind is None and self.check_exit:
                assert self.process.returncode == 0, (f"the agent ended with {self.process.returncode}; it said:\n"
                                                      f"{self.stderr()}")
        finally:
            if self.alive():
                self.kill()
            if kind is not None or os.environ.get("TEST_VERBOSE"):
                for line in self.stderr().splitlines()[-40:]:
                    print("# agent: " + line)
            for pid in self.left_behind():
                try:
                    os.kill(pid, signal.SIGKILL)
                    os.waitpid(pid, 0)
                except (ProcessLookupError, ChildProcessError):
                    pass
            self.remove()


# ------------------------------------------------------------------------------------------------------------ hosts

def ready(fd, events, timeout):
    """What of `events` an fd is ready for; 0 after `timeout` seconds."""
    poll = select.poll()  # not select(), which ends at descriptor 1023
    poll.register(fd, events)
    return next((found for _, found in poll.poll(max(0, timeout) * 1000)), 0)


class Channel:
    """A byte stream to the agent, read as a host reads it. Messages not yet asked for wait in `pending`."""

    _ids = itertools.count(1)

    def __init__(self):
        self.fd = -1
        self.restart_stream()

    def restart_stream(self):
        self.raw = bytearray()
        self.first_byte = None
        self.pending = collections.deque()
        self.lines = []  # every line of this connection, as received
        self.arrived = []  # and when

    def _read(self, size):
        raise NotImplementedError

    def _write(self, data):
        raise NotImplementedError

    def pump(self, timeout=0.0):
        """Reads what is there, waiting up to `timeout` for the first byte. False at the end of the stream."""
        if not ready(self.fd, select.POLLIN, timeout):
            return True
        data = self._read(1 << 16)
        if not data:
            return False
        if self.first_byte is None:
            self.first_byte = data[:1]
        self.raw += data
        while (at := self.raw.find(b"\n")) >= 0:
            line = bytes(self.raw[:at])
            del self.raw[:at + 1]
            if line.strip():
                message = schema.parse_line(line)
                schema.check_message(message)
                self.lines.append(line)
                self.arrived.append(time.monotonic())
                self.pending.append(message)
        return True

    def next(self, timeout=5.0):
        """The next message, of whatever type."""
        end = time.monotonic() + timeout * SLOW
        while not self.pending:
            left = end - time.monotonic()
            if left <= 0:
                raise TimeOut(f"no message within {timeout * SLOW:.1f} s")
            if not self.pump(left) and not self.pending:
                raise ConnectionError("the agent closed the connection")
        return self.pending.popleft()

    def expect(self, kind, timeout=5.0, where=None, passed=None):
        """The next message of type `kind` for which `where` holds; those passed over go to the list `passed`."""
        end = time.monotonic() + timeout * SLOW
        skipped = []
        while True:
            try:
                message = self.next(max(0.001, (end - time.monotonic()) / SLOW))
            except TimeOut:
                raise TimeOut(f"no {kind} within {timeout * SLOW:.1f} s; there came "
                              f"{[m['type'] + ' ' + str(m.get('id') or m.get('error') or '') for m in skipped]}") from None
            if message["type"] == kind and (where is None or where(message)):
                return message
            skipped.append(message)
            if passed is not None:
                passed.append(message)

    def quiet(self, seconds, kinds=("response", "error")):
        """Asserts that nothing of these kinds comes for a while."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            self.pump(left)
            while self.pending:
                message = self.pending.popleft()
                assert message["type"] not in kinds, f"unexpected {message}"

    def send(self, data, timeout=10.0):
        """Bytes or text as they are, an object as one line."""
        if isinstance(data, dict):
            data = json.dumps(data) + "\n"
        if isinstance(data, str):
            data = data.encode()
        view = memoryview(data)
        end = time.monotonic() + timeout * SLOW
        while view:
            events = ready(self.fd, select.POLLIN | select.POLLOUT, 1)
            if events & select.POLLIN:
                self.pump()
            if events & select.POLLOUT:
                view = view[self._write(view[:65536]):]
            if time.monotonic() > end:
                raise TimeOut("the agent does not read")

    def new_id(self):
        return f"t{next(self._ids)}"

    def command(self, action, timeout=10, command_id=None, **parameters):
        """Sends a SafeCommand and gives its id."""
        command_id = command_id or self.new_id()
        message = {"type": "SafeCommand", "id": command_id, "command_type": {"action": action, **parameters},
                   "params": None}
        if timeout is not None:
            message["timeout"] = timeout
        self.send(message)
        return command_id

    def unsafe(self, raw_command, timeout=10, command_id=None, **more):
        """Sends an UnsafeCommand and gives its id."""
        command_id = command_id or self.new_id()
        self.send({"type": "UnsafeCommand", "id": command_id, "raw_command": raw_command, "timeout": timeout, **more})
        return command_id

    def response(self, command_id, timeout=10.0, passed=None):
        return self.expect("response", timeout, lambda m: m["id"] == command_id, passed)

    def responses(self, ids, timeout=30.0):
        """One response for each id, in the order they came; a second one for any of them is a failure."""
        waiting, found = set(ids), []
        end = time.monotonic() + timeout * SLOW
        while waiting:
            message = self.expect("response", max(0.001, (end - time.monotonic()) / SLOW))
            assert message["id"] in waiting, f"answered twice or never asked: {message['id']}"
            waiting.discard(message["id"])
            found.append(message)
        return found

    def ask(self, action, timeout=10, **parameters):
        return self.response(self.command(action, timeout, **parameters), timeout)

    def run(self, raw_command, timeout=10, **more):
        return self.response(self.unsafe(raw_command, timeout, **more), timeout)

    def in_step(self, limit=0.1):
        """The rule for every fault: the next valid request is answered within 100 ms."""
        number = next(self._ids)
        begun = time.monotonic()
        self.send({"type": "keep_alive_request", "sequence_number": number, "timestamp": "2026-01-01T00:00:00.000Z"})
        self.expect("keep_alive", 5, lambda m: m["sequence_number"] == number)
        took = time.monotonic() - begun
        assert took < limit * SLOW, f"a keep-alive took {took * 1000:.0f} ms"


class UnixHost(Channel):
    """A host behind a listening socket, as QEMU's chardev is one; give the agent `host.spec`."""

    def __init__(self, path=None):
        super().__init__()
        self.directory = None
        if path is None:
            self.directory = tempfile.mkdtemp(prefix="infini-host-")
            path = os.path.join(self.directory, "port")
        self.path = path
        self.spec = "unix:" + path
        self.listener = None
        self.socket = None
        self.listen()

    def listen(self):
        self.listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.listener.bind(self.path)
        self.listener.listen(1)

    def deafen(self):
        """The host goes away altogether."""
        self.listener.close()
        os.unlink(self.path)

    def accept(self, timeout=5.0, hello=True):
        """Waits for the agent; with `hello` until its newline and handshake have come, which are given."""
        if not ready(self.listener.fileno(), select.POLLIN, timeout * SLOW):
            raise TimeOut(f"the agent did not connect within {timeout * SLOW:.1f} s")
        self.socket, _ = self.listener.accept()
        self.fd = self.socket.fileno()
        self.restart_stream()
        if not hello:
            return None
        message = self.next(timeout)
        assert self.first_byte == b"\n", f"the first byte was {self.first_byte}"
        assert message["type"] == "handshake", message
        return message

    def _read(self, size):
        try:
            return self.socket.recv(size)
        except ConnectionResetError:
            return b""

    def _write(self, data):
        return self.socket.send(data)

    def disconnect(self):
        if self.socket:
            self.socket.close()
        self.socket, self.fd = None, -1

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.disconnect()
        self.listener.close()
        if self.directory:
            shutil.rmtree(self.directory, ignore_errors=True)


class PtyHost(Channel):
    """A host at the other end of a serial line; give the agent `host.spec`."""

    def __init__(self):
        super().__init__()
        self.fd, self.slave = pty.openpty()
        tty.setraw(self.slave)
        tty.setraw(self.fd)
        self.spec = os.ttyname(self.slave)

    def release(self):
        """Closes our own hold of the agent's end."""
        os.close(self.slave)
        self.slave = -1

    def _read(self, size):
        try:
            return os.read(self.fd, size)
        except OSError:  # EIO: nobody has the other end open, pty(7)
            return b""

    def _write(self, data):
        return os.write(self.fd, data[:1024])

    def __enter__(self):
        return self

    def __exit__(self, *_):
        os.close(self.fd)
        if self.slave >= 0:
            os.close(self.slave)


def talk(keep, settings=None, **more):
    """A host and a connected agent for one story; the handshake and the first sample are read."""
    host = keep(UnixHost())
    agent = keep(Agent(host.spec, settings, **more))
    host.accept()
    return agent, host
