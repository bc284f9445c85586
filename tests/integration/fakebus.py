# SPDX-License-Identifier: MIT
"""A system bus with a service manager on it, played by the test: where the agent looks for it, so only in a room (tests/lib/room.py).

    with FakeBus(units) as bus:    # {"ssh.service": {"active": "active", "sub": "running", "file": "enabled", "names": [...], …}}

`calls` has what was asked of the manager, (member, arguments). `silent` are members that are never answered. The manager is also where
the privileged executor looks for it; Executor is the real one of an installation, at Executor.SOCKET.
"""
import contextlib
import os
import signal
import socket
import struct
import subprocess
import threading

import tap
from fakehost import program

PATHS = ("/run/dbus/system_bus_socket", "/run/systemd/private")
UNIT_PATH = "/org/freedesktop/systemd1/unit/"
JOB = "/org/freedesktop/systemd1/job/1"
MANAGER = "org.freedesktop.systemd1.Manager"


# ------------------------------------------------------------------------------------------------------------- values

def one(signature):
    """The first complete type."""
    if signature[0] == "a":
        return "a" + one(signature[1:])
    if signature[0] not in "({":
        return signature[0]
    depth = 0
    for at, char in enumerate(signature):
        depth += (char in "({") - (char in ")}")
        if depth == 0:
            return signature[:at + 1]
    raise ValueError(signature)


def alignment(kind):
    return {"y": 1, "g": 1, "v": 1, "b": 4, "u": 4, "i": 4, "s": 4, "o": 4, "a": 4, "t": 8, "(": 8, "{": 8}[kind[0]]


def pad(out, to):
    out.extend(b"\0" * (-len(out) % to))


def put(out, kind, value):
    pad(out, alignment(kind))
    if kind in "yuit":
        out += struct.pack({"y": "<B", "u": "<I", "i": "<i", "t": "<Q"}[kind], value)
    elif kind == "b":
        out += struct.pack("<I", bool(value))
    elif kind in "so":
        out += struct.pack("<I", len(value.encode())) + value.encode() + b"\0"
    elif kind == "g":
        out += bytes([len(value)]) + value.encode() + b"\0"
    elif kind == "v":
        put(out, "g", value[0])
        put(out, value[0], value[1])
    elif kind[0] == "a":
        at = len(out)
        out += b"\0\0\0\0"
        pad(out, alignment(kind[1:]))
        begin = len(out)
        for item in value.items() if isinstance(value, dict) else value:
            put(out, kind[1:], item)
        out[at:at + 4] = struct.pack("<I", len(out) - begin)
    else:
        put_all(out, kind[1:-1], value)


def put_all(out, signature, values):
    for value in values:
        kind = one(signature)
        put(out, kind, value)
        signature = signature[len(kind):]


def take(data, at, kind):
    at += -at % alignment(kind)
    if kind in "yuitb":
        form = {"y": "<B", "u": "<I", "i": "<i", "t": "<Q", "b": "<I"}[kind]
        return struct.unpack_from(form, data, at)[0], at + struct.calcsize(form)
    if kind in "so":
        size = struct.unpack_from("<I", data, at)[0]
        return data[at + 4:at + 4 + size].decode(), at + 5 + size
    if kind == "g":
        return data[at + 1:at + 1 + data[at]].decode(), at + 2 + data[at]
    if kind == "v":
        inner, at = take(data, at, "g")
        return take(data, at, inner)
    if kind[0] == "a":
        size = struct.unpack_from("<I", data, at)[0]
        at += 4
        at += -at % alignment(kind[1:])
        end, items = at + size, []
        while at < end:
            item, at = take(data, at, kind[1:])
            items.append(item)
        return items, end
    return take_all(data, at, kind[1:-1])


def take_all(data, at, signature):
    values = []
    while signature:
        kind = one(signature)
        value, at = take(data, at, kind)
        values.append(value)
        signature = signature[len(kind):]
    return values, at


def escaped(name):
    return UNIT_PATH + "".join(c if c.isalnum() else "_%02x" % ord(c) for c in name)


# ---------------------------------------------------------------------------------------------------------------- bus

class FakeBus:
    def __init__(self, units, silent=()):
        self.units, self.silent, self.calls, self.serial = units, set(silent), [], 0
        self.listeners = []

    def __enter__(self):
        tap.need_room()
        for path in PATHS:
            os.makedirs(os.path.dirname(path), exist_ok=True)
            listener = socket.socket(socket.AF_UNIX)
            listener.bind(path)
            os.chmod(path, 0o666)
            listener.listen(8)
            self.listeners.append(listener)
            threading.Thread(target=self._accept, args=(listener,), daemon=True).start()
        return self

    def __exit__(self, *_):
        for listener, path in zip(self.listeners, PATHS):
            listener.close()
            os.unlink(path)

    def _accept(self, listener):
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client):
        with contextlib.suppress(OSError):  # the agent has gone
            self._talk(client)

    def _talk(self, client):
        stream = client.makefile("rb")
        stream.read(1)
        while True:  # sasl, see the D-Bus Specification
            line = stream.readline()
            if not line or line.startswith(b"BEGIN"):
                break
            if line.startswith(b"AUTH") or line.startswith(b"DATA"):
                client.sendall(b"OK 0123456789abcdef0123456789abcdef\r\n" if b"EXTERNAL" in line or line.startswith(b"DATA") else b"REJECTED EXTERNAL\r\n")
            else:
                client.sendall(b"AGREE_UNIX_FD\r\n" if line.startswith(b"NEGOTIATE") else b"ERROR\r\n")
        while True:
            head = stream.read(16)
            if len(head) < 16:
                return
            size, serial, fields = struct.unpack_from("<III", head, 4)
            data = head + stream.read(fields + (-fields % 8) + size)
            known = {key: value for key, value in take(data, 12, "a(yv)")[0]}
            body, _ = take_all(data, 16 + fields + (-fields % 8), known.get(8, ""))
            if head[1] == 1:
                self._called(client, serial, known.get(1), known.get(3), body)

    def _send(self, client, kind, fields, signature, values):
        body, out = bytearray(), bytearray()
        put_all(body, signature, values)
        self.serial += 1
        fields = {**fields, 7: ("s", ":1.0"), **({8: ("g", signature)} if signature else {})}
        put_all(out, "yyyyuua(yv)", [ord("l"), kind, 1, 1, len(body), self.serial, list(fields.items())])
        pad(out, 8)
        client.sendall(bytes(out + body))

    def _called(self, client, serial, path, member, arguments):
        self.calls.append((member, arguments))
        if member in self.silent:
            return
        answer = getattr(self, "do_" + member, None)
        result = answer(path, *arguments) if answer else ("", [])
        if isinstance(result, str):
            self._send(client, 3, {5: ("u", serial), 4: ("s", result)}, "s", [result])
            return
        self._send(client, 2, {5: ("u", serial)}, *result)
        if member in ("StartUnit", "StopUnit", "RestartUnit"):
            self._send(client, 4, {1: ("o", "/org/freedesktop/systemd1"), 2: ("s", MANAGER), 3: ("s", "JobRemoved")}, "uoss",
                       [1, JOB, arguments[0], "done"])

    # ------------------------------------------------------------------------------------------------- what it answers

    def do_Hello(self, _):
        return "s", [":1.7"]

    def do_ListUnits(self, _):
        return "a(ssssssouso)", [[[name, "About it", "loaded", unit["active"], unit.get("sub", "dead"), "", escaped(name), 0, "", "/"]
                                  for name, unit in self.units.items() if "active" in unit]]

    def do_ListUnitsFiltered(self, path, states):
        kind, rows = self.do_ListUnits(path)
        return kind, [[row for row in rows[0] if {row[2], row[3], row[4]} & set(states)]]

    def do_ListUnitsByPatterns(self, *_):  # of the executor, for units of its own
        return "a(ssssssouso)", [[]]

    def do_ListUnitFiles(self, _):
        return "a(ss)", [[["/lib/systemd/system/" + name, unit["file"]] for name, unit in self.units.items() if "file" in unit]]

    def do_LoadUnit(self, _, name):
        return "o", [escaped(name)]

    def _unit(self, path):
        for name, unit in self.units.items():
            if escaped(name) == path:
                target = unit.get("alias", name)
                return target, self.units.get(target, unit)
        return None, {}

    def do_GetAll(self, path, _interface):
        name, unit = self._unit(path)
        aliases = [alias for alias, other in self.units.items() if name and other.get("alias") == name]
        return "a{sv}", [{"Id": ("s", name or "none.service"), "Names": ("as", [name or "none.service"] + aliases),
                          "Triggers": ("as", unit.get("triggers", [])), "LoadState": ("s", "loaded" if name else "not-found"),
                          "ActiveState": ("s", unit.get("active", "inactive")), "SubState": ("s", unit.get("sub", "dead")),
                          "UnitFileState": ("s", unit.get("file", ""))}]

    def do_Get(self, *_):
        return "v", [("u", 4711)]

    def do_StartUnit(self, _, name, _mode):
        self.units[name].update(active="active", sub="running")
        return "o", [JOB]

    def do_RestartUnit(self, path, name, mode):
        return self.do_StartUnit(path, name, mode)

    def do_StopUnit(self, _, name, _mode):
        self.units[name].update(active="inactive", sub="dead")
        return "o", [JOB]

    def do_EnableUnitFiles(self, _, names, _runtime, _force):
        install = self.units[names[0]].get("install", True)
        if install and not self.units[names[0]].get("stuck"):
            self.units[names[0]]["file"] = "enabled"
        return "ba(sss)", [install, []]

    def do_DisableUnitFiles(self, _, names, _runtime):
        if not self.units[names[0]].get("stuck"):
            self.units[names[0]]["file"] = "disabled"
        return "a(sss)", [[]]


class Executor:
    """infiniservice-exec as its socket unit starts it, with a policy of its own: `allow`, and what else stands in [commands]."""
    SOCKET = "/run/infiniservice-exec.sock"
    POLICY = "/etc/infiniservice/infiniservice.conf"

    def __init__(self, allow="observe control", more=""):
        self.policy, self.process = f"[commands]\nallow = {allow}\n{more}", None

    def __enter__(self):
        tap.need_room()
        os.makedirs(os.path.dirname(self.POLICY), exist_ok=True)
        with open(self.POLICY, "w", encoding="ascii") as file:
            file.write(self.policy)
        with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
            listener.bind(self.SOCKET)
            listener.listen(8)
            script = f"exec 3<&{listener.fileno()}; LISTEN_FDS=1 LISTEN_PID=$$ exec {program('infiniservice-exec')}"
            self.process = subprocess.Popen(["bash", "-c", script], pass_fds=[listener.fileno()])
        return self

    def __exit__(self, *_):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(10)
        os.unlink(self.SOCKET)
        os.unlink(self.POLICY)
