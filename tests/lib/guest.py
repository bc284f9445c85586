# SPDX-License-Identifier: MIT
"""A booted Debian under QEMU, seen from its host: the machine, its monitor, its virtio-serial ports, a root shell.

    with Guest() as guest:
        guest.start()
        guest.sh("uname -r")                        # never through the agent
        port = guest.port()                         # the host's end of org.infinibay.agent
        port.send({"type": "keep_alive_request", "sequence_number": 1})
        guest.qmp("stop")

The emulator is plain TCG: a /dev/kvm that can be opened may still be unable to run a stock kernel. Everything has a
time limit, and no QEMU outlives the process that started it.
"""

import atexit
import contextlib
import ctypes
import json
import os
import select
import shutil
import signal
import socket
import struct
import subprocess
import tempfile
import time

from image import Overlay, Unavailable, need, root_image, run, vmlinuz

AGENT_PORT = "org.infinibay.agent"
TEST_PORT = "org.infinibay.test"
MACHINE_UUID = "6d4f1c1e-29a8-4c3b-9f0e-7a5b1d2c3e4f"
PR_SET_PDEATHSIG = 1
# How much slower than ours a machine is, or one that others work on: it stretches all waiting, and no figure that is asserted.
SLOW = float(os.environ.get("TEST_SLOW") or 1)


class Timeout(AssertionError):
    """Something did not happen in time; to a test that is a failure like any other."""


def wait_for(condition, limit_s=10, every_s=0.05, what=None):
    """The first true value of condition(); its last value is in the message if there is none."""
    end = time.monotonic() + limit_s * SLOW
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise Timeout("%s not within %g s (last: %r)" % (what or "condition", limit_s, value))
        time.sleep(every_s)


class Qmp:
    """The machine's monitor (QEMU's docs/interop/qmp-spec)."""

    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.connect(path)
        self.lines = self.socket.makefile("rwb")
        self.events = []
        self._read(10)
        self("qmp_capabilities")

    def _read(self, limit_s):
        self.socket.settimeout(limit_s)
        try:
            line = self.lines.readline()
        except TimeoutError:
            raise Timeout("the monitor is silent") from None
        if not line:
            raise ConnectionError("the monitor closed")
        return json.loads(line)

    def __call__(self, command, limit_s=20, **arguments):
        request = {"execute": command}
        if arguments:
            request["arguments"] = {key.replace("_", "-"): value for key, value in arguments.items()}
        self.lines.write(json.dumps(request).encode() + b"\n")
        self.lines.flush()
        while True:
            message = self._read(limit_s)
            if "event" in message:
                self.events.append(message)
            elif "error" in message:
                raise RuntimeError("%s: %s" % (command, message["error"]["desc"]))
            else:
                return message["return"]

    def wait_event(self, name, limit_s=10):
        """Takes the first event of this name, one that came earlier included."""
        end = time.monotonic() + limit_s
        while True:
            for event in self.events:
                if event["event"] == name:
                    self.events.remove(event)
                    return event
            message = self._read(max(0.01, end - time.monotonic()))
            if "event" in message:
                self.events.append(message)

    def close(self):
        self.lines.close()
        self.socket.close()


class HostPort:
    """The host's end of a port: a stream socket on which lines of JSON come and go."""

    def __init__(self, path, limit_s=10):
        self.path = path
        self.limit_s = limit_s
        self.buffer = b""
        self.seen = []
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(limit_s)
        wait_for(self._connected, limit_s, 0.005, "a connection to " + path)

    def _connected(self):
        """QEMU listens with a backlog of one: in a storm of connections it is full for a moment."""
        try:
            self.socket.connect(self.path)
        except BlockingIOError:
            return False
        return True

    def send_bytes(self, data, limit_s=None):
        self.socket.settimeout(limit_s or self.limit_s)
        self.socket.sendall(data)

    def send(self, message):
        """A message as a line: an object, or the text of one."""
        text = message if isinstance(message, str) else json.dumps(message, separators=(",", ":"))
        self.send_bytes(text.encode() + b"\n")

    def read_bytes(self, limit_s, most=65536):
        """What is there or comes within the time; None when nothing does, b"" when the other end closed."""
        ready, _, _ = select.select([self.socket], [], [], max(0, limit_s))
        return self.socket.recv(most) if ready else None

    def line(self, limit_s=None):
        """The next line that is not blank, without its newline."""
        end = time.monotonic() + (self.limit_s if limit_s is None else limit_s)
        while True:
            while b"\n" in self.buffer:
                line, self.buffer = self.buffer.split(b"\n", 1)
                if line.strip():
                    return line
            data = self.read_bytes(end - time.monotonic())
            if data == b"":
                raise ConnectionError("the port's socket closed")
            if data is None:
                raise Timeout("no line within the time; half a line: %r" % self.buffer[:200])
            self.buffer += data

    def message(self, limit_s=None):
        line = self.line(limit_s)
        line.decode("ascii")
        return json.loads(line)

    def expect(self, wanted, limit_s=None):
        """The first message that fits: a type's name, or a function of the message. Others are kept in self.seen."""
        end = time.monotonic() + (self.limit_s if limit_s is None else limit_s) * SLOW
        fits = wanted if callable(wanted) else lambda message: message.get("type") == wanted
        while True:
            try:
                message = self.message(max(0, end - time.monotonic()))
            except Timeout as error:
                kinds = [(m.get("type"), m.get("id") or m.get("details")) for m in self.seen[-8:]]
                raise Timeout("%s did not come; %s; before it: %s" % (wanted, error, kinds)) from None
            if fits(message):
                return message
            self.seen.append(message)

    def response(self, command_id, limit_s=None):
        return self.expect(lambda m: m.get("type") == "response" and m.get("id") == command_id, limit_s)

    def drain(self, quiet_s=0.3, limit_s=10):
        """All messages until nothing came for a while."""
        messages = []
        end = time.monotonic() + limit_s
        with contextlib.suppress(Timeout):
            while time.monotonic() < end:
                messages.append(self.message(quiet_s))
        return messages

    def close(self):
        self.socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


class Output(str):
    """What a script printed; its status is beside it."""
    status = 0


class Shell:
    """Scripts run as root in the guest by tests/vm/shelld.c."""

    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.connect(path)
        self.buffer = b""
        self.next_id = 1
        self.answers = {}

    def begin(self, script, stdin=b"", limit_s=20):
        number = self.next_id
        self.next_id += 1
        limit_s *= SLOW
        script = script.encode()
        self.socket.settimeout(limit_s + 5)
        self.socket.sendall(struct.pack("<4I", number, int(limit_s * 1000), len(script), len(stdin)) + script + stdin)
        return number

    def _take(self, size, end):
        while len(self.buffer) < size:
            ready, _, _ = select.select([self.socket], [], [], max(0, end - time.monotonic()))
            if not ready:
                raise Timeout("the guest's shell did not answer")
            data = self.socket.recv(1 << 20)
            if not data:
                raise ConnectionError("the guest's shell is gone")
            self.buffer += data
        taken, self.buffer = self.buffer[:size], self.buffer[size:]
        return taken

    def end(self, number, limit_s=25):
        end = time.monotonic() + limit_s * SLOW
        while number not in self.answers:
            which, status, size = struct.unpack("<3I", self._take(12, end))
            output = Output(self._take(size, end).decode("utf-8", "replace"))
            output.status = status
            self.answers[which] = output
        return self.answers.pop(number)

    def close(self):
        self.socket.close()


class Guest:
    def __init__(self, release="bookworm", overlay=None, memory_mib=512, cpus=1, ports=(AGENT_PORT,), hardware=(), parameters=""):
        need("qemu-system-x86_64")
        self.release = release
        self.overlay = overlay or Overlay()
        self.memory_mib = memory_mib
        self.cpus = cpus
        self.port_names = list(ports)
        self.uuid = MACHINE_UUID  # the machine's, as its firmware tells it: another one is another machine
        self.hardware = list(hardware)  # further arguments for QEMU
        self.parameters = parameters  # further ones of the kernel
        self.work = tempfile.mkdtemp(prefix="infinitest-")
        self.process = None
        self.monitor = None
        self.shell = None
        self.hosts = 0  # how many QEMUs this guest has lived in
        self.took = {}
        atexit.register(self.close)

    # ---------------------------------------------------------------------------------------------- life

    def path(self, name):
        """A file of the QEMU that the guest is in now."""
        return os.path.join(self.work, "%d.%s" % (self.hosts, name))

    def _disk(self):
        """A layer over the image, which itself is never written to. It lasts as long as this object does."""
        layer = os.path.join(self.work, "disk.qcow2")
        if not os.path.exists(layer):
            run(["qemu-img", "create", "-q", "-f", "qcow2", "-b", root_image(self.release), "-F", "raw", layer], 20)
        return ["-drive", "file=%s,if=virtio,format=qcow2,cache=unsafe" % layer]

    def _argv(self):
        # A plain processor: what it does not have (AVX, five levels of page tables, SMAP) need not be emulated.
        argv = ["qemu-system-x86_64", "-accel", "tcg", "-machine", "q35", "-cpu", "qemu64", "-smp",
                # One more may be plugged in, by a story that wants to see it come and go.
                "%d,maxcpus=%d" % (self.cpus, self.cpus + 1),
                "-m", str(self.memory_mib), "-uuid", self.uuid, "-display", "none", "-no-reboot", "-nodefaults",
                "-serial", "file:" + self.path("serial.log"), "-device", "virtio-rng-pci",
                "-qmp", "unix:%s,server=on,wait=off" % self.path("qmp"),
                "-kernel", vmlinuz(self.release), "-initrd", os.path.join(self.work, "initrd"),
                # no_timer_check: an emulator that waits for its turn gives no ticks, for which the kernel would panic.
                # norandmaps: code is translated anew for each address that it is seen at, so that every process began slowly.
                "-append", "console=ttyS0 panic=-1 quiet loglevel=4 root=/dev/vda rw mitigations=off no_timer_check "
                           "systemd.show_status=0 audit=0 init_on_alloc=0 norandmaps " + self.parameters,
                # A network of its own with nothing behind it; no boot ROM, which is another package.
                "-netdev", "user,id=net0,restrict=on", "-device", "virtio-net-pci,netdev=net0,romfile=",
                "-device", "virtio-serial-pci,id=bus0"] + self._disk() + self.hardware
        for number, name in enumerate([TEST_PORT] + self.port_names):
            argv += ["-chardev", "socket,path=%s,server=on,wait=off,id=c%d" % (self.path("port%d" % number), number),
                     "-device", "virtserialport,bus=bus0.0,nr=%d,chardev=c%d,id=p%d,name=%s" %
                     (number + 1, number, number, name)]
        return argv

    def boot(self):
        """Starts the machine and returns as soon as its monitor answers."""
        if len(self.path("qmp")) > 100:
            raise Unavailable("TMPDIR is too long for a socket's path")
        begin = time.monotonic()
        self.overlay.write(self.release, os.path.join(self.work, "initrd"))
        root_image(self.release)
        self.began = time.monotonic()
        self.took["made ready"] = self.began - begin
        self._launch([])
        self.shell = Shell(self.path("port0"))

    def _launch(self, more):
        self.hosts += 1
        argv = self._argv() + more
        libc = ctypes.CDLL(None)
        with open(self.path("qemu.log"), "wb") as log:
            self.process = subprocess.Popen(
                argv, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                preexec_fn=lambda: libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL))

        def monitor():
            if self.process.poll() is not None:
                with open(self.path("qemu.log"), encoding="utf-8", errors="replace") as log:
                    raise Unavailable("QEMU does not start: " + log.read().strip()[-300:])
            with contextlib.suppress(FileNotFoundError, ConnectionRefusedError):
                return Qmp(self.path("qmp"))
            return None

        self.monitor = wait_for(monitor, 20, 0.02, "QEMU's monitor")

    def start(self, limit_s=60):
        """Boots up to multi-user.target; `took` says how long the parts took."""
        self.boot()
        try:
            self.shell.end(self.shell.begin("true", limit_s=limit_s), limit_s)
            self.took["shell"] = time.monotonic() - self.began
            self.sh("systemctl is-system-running --wait >/dev/null; systemctl is-active multi-user.target", limit_s)
            self.took["multi-user"] = time.monotonic() - self.began
        except (Timeout, ConnectionError, AssertionError) as error:
            raise Timeout("the guest did not boot: %s\n%s" % (error, self.serial()[-2000:])) from None
        return self

    def alive(self):
        return self.process is not None and self.process.poll() is None

    def kill(self):
        """Pulls the plug."""
        for part in (self.monitor, self.shell):
            if part:
                with contextlib.suppress(OSError):
                    part.close()
        self.monitor = self.shell = None
        if self.process:
            self.process.kill()
            self.process.wait()
            self.process = None

    def shutdown(self, limit_s=30):
        """An orderly power-off; returns how long it took."""
        begin = time.monotonic()
        with contextlib.suppress(ConnectionError, Timeout):
            self.run("systemctl --no-block poweroff", 20)
        try:
            self.process.wait(limit_s * SLOW)
        except subprocess.TimeoutExpired:
            raise Timeout("the guest did not power off in %d s\n%s" % (limit_s, self.serial()[-1000:])) from None
        finally:
            self.kill()
        return time.monotonic() - begin

    def close(self):
        self.kill()
        shutil.rmtree(self.work, ignore_errors=True)
        atexit.unregister(self.close)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    # ------------------------------------------------------------------------------------- looking and doing

    def serial(self):
        try:
            with open(self.path("serial.log"), encoding="utf-8", errors="replace") as file:
                return file.read()
        except FileNotFoundError:
            return ""

    def run(self, script, limit_s=20, stdin=b""):
        """Runs a script, whatever its exit status: the output has a .status."""
        return self.shell.end(self.shell.begin(script, stdin, limit_s), limit_s + 5)

    def sh(self, script, limit_s=20, stdin=b""):
        """Runs a script that has to succeed."""
        output = self.run(script, limit_s, stdin)
        if output.status != 0:
            raise AssertionError("in the guest: %s: exit status %d\n%s" % (script, output.status, output[-2000:]))
        stripped = Output(output.strip())
        return stripped

    def background(self, script, limit_s=60):
        """Starts a script; the returned function waits for it and gives its output."""
        number = self.shell.begin(script, b"", limit_s)
        return lambda: self.shell.end(number, limit_s + 5)

    def put(self, path, data, mode=0o644):
        data = data if isinstance(data, bytes) else data.encode()
        self.sh("cat >'%s' && chmod %o '%s'" % (path, mode, path), stdin=data)

    def read(self, path):
        return self.run("cat '%s'" % path)

    def wait(self, script, limit_s=10, every_s=0.2):
        """Until the script succeeds; its output."""
        def tried():
            output = self.run(script, limit_s)
            return (output,) if output.status == 0 else None
        return wait_for(tried, limit_s, every_s, "in the guest: " + script)[0].strip()

    # ------------------------------------------------------------------------------------------ the hardware

    def qmp(self, command, **arguments):
        return self.monitor(command, **arguments)

    def port(self, number=1, limit_s=10):
        """Connects to a port as the host; 1 is the agent's. One client at a time."""
        return HostPort(self.path("port%d" % number), limit_s)

    def unplug(self, number=1):
        self.qmp("device_del", id="p%d" % number)
        self.monitor.wait_event("DEVICE_DELETED")

    def _human(self, line):
        """A command of the human monitor: it says something only when it fails."""
        said = self.qmp("human-monitor-command", command_line=line)
        if said.strip():
            raise AssertionError("%s: %s" % (line, said.strip()))

    def save(self, name):
        """Keeps the whole machine, memory and disk, to come back to."""
        self._human("savevm " + name)

    def load(self, name):
        self._human("loadvm " + name)

    def reload(self, name):
        """The same in a new QEMU, as after a host's own restart: its clocks know nothing of the life that is gone."""
        number = self.shell.next_id
        self.kill()
        self._launch(["-loadvm", name])
        self.shell = Shell(self.path("port0"))
        self.shell.next_id = number

    def migrate(self, limit_s=60):
        """Moves the running guest into another QEMU, as to another machine: sockets are others afterwards."""
        old, old_monitor, old_shell = self.process, self.monitor, self.shell
        channel = os.path.join(self.work, "migration")
        self._launch(["-incoming", "unix:" + channel])
        old_monitor("migrate", uri="unix:" + channel)

        def arrived():
            state = old_monitor("query-migrate").get("status")
            assert state not in ("failed", "cancelled"), state
            return state == "completed"

        wait_for(arrived, limit_s, 0.1, "the migration")
        self.shell = Shell(self.path("port0"))
        self.shell.next_id = old_shell.next_id
        for part in (old_monitor, old_shell):
            part.close()
        old.kill()
        old.wait()

    def plug(self, number=1, nr=None, name=None):
        """Puts the port (back) in; with another nr it gets another node, vport0pNR."""
        self.qmp("device_add", driver="virtserialport", bus="bus0.0", id="p%d" % number, chardev="c%d" % number,
                 nr=nr or number + 1, name=name or self.port_names[number - 1])
