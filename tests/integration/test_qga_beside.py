#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""The same requests to Debian's qemu-guest-agent and to this agent, their answers compared field by field.

Every difference stands with its reason in qga-differences beside this file; one that does not, and a line there that nothing
differs by any more, is a fault. Only requests that read are made. The other agent comes from its packages, unpacked into a folder of
its own, and runs there in the room alone.
"""
import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time

import tap
from fakehost import ROOT, SLOW, Agent, wait_until

sys.path.insert(0, os.path.join(ROOT, "tests", "lib"))
import image  # noqa: E402  pylint: disable=wrong-import-position

RELEASES = ("bookworm", "trixie")
TABLE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "qga-differences")


def folder(release):
    """qemu-guest-agent of that Debian and what it needs, unpacked; made once."""
    with image.locked("qga-" + release):
        path = os.path.join(image.cache_dir(), "qga-" + release)
        if not os.path.exists(os.path.join(path, "usr/sbin/qemu-ga")):
            image.unpack(release, ["qemu-guest-agent", "base-files"], path + ".new")
            for name in ("proc", "sys", "dev", "tmp", "run", "machine"):
                os.makedirs(os.path.join(path + ".new", name), exist_ok=True)
            shutil.rmtree(path, ignore_errors=True)
            os.rename(path + ".new", path)
        return path


def prepare():
    if os.geteuid() != 0:
        return
    for release in RELEASES:
        with contextlib.suppress(image.Unavailable):
            folder(release)


# --------------------------------------------------------------------------------------------------------- requests

def request(name, arguments=None, **more):
    return json.dumps({"execute": name, **({} if arguments is None else {"arguments": arguments}), **more}).encode()


READS = ("guest-ping guest-info guest-get-time guest-get-osinfo guest-get-host-name guest-get-timezone guest-get-users "
         "guest-network-get-interfaces guest-network-get-route guest-get-fsinfo guest-get-disks guest-get-diskstats guest-get-cpustats "
         "guest-get-load guest-get-vcpus guest-get-memory-blocks guest-get-memory-block-info guest-get-devices guest-fsfreeze-status").split()

# Name of the case -> bytes of the request. None of them changes anything, whoever is asked.
CASES = {name: request(name) for name in READS}
CASES.update({name + " foo": request(name, {"foo": 1}) for name in READS})
CASES.update({
    "sync": request("guest-sync", {"id": 1}),
    "sync, largest": request("guest-sync", {"id": 2**63 - 1}),
    "sync, least": request("guest-sync", {"id": -2**63}),
    "sync, too large": request("guest-sync", {"id": 2**63}),
    "sync, unsigned": request("guest-sync", {"id": 2**64 - 1}),
    "sync, beyond": b'{"execute":"guest-sync","arguments":{"id":99999999999999999999999}}',
    "sync, fraction": request("guest-sync", {"id": 1.5}),
    "sync, whole fraction": request("guest-sync", {"id": 1.0}),
    "sync, text": request("guest-sync", {"id": "1"}),
    "sync, null": request("guest-sync", {"id": None}),
    "sync, missing": request("guest-sync", {}),
    "sync, no arguments": request("guest-sync"),
    "sync, more": request("guest-sync", {"id": 1, "foo": 2}),
    "delimited": request("guest-sync-delimited", {"id": 7}),
    "delimited behind 0xff": b"\xff" + request("guest-sync-delimited", {"id": 7}),
    "delimited and a command": request("guest-sync-delimited", {"id": 7}) + b"\n" + request("guest-ping") + b"\n",
    "id number": request("guest-ping", id=5),
    "id text": request("guest-ping", id="\u00e4\u20ac\"\\"),
    "id nothing": request("guest-ping", id=None),
    "id list": request("guest-ping", id=[1, [2, {"a": None}], True, "x"]),
    "id of an error": request("guest-sync", id={"a": 1}),
    "id of an unknown one": request("guest-foo", id=3),
    "unknown": request("guest-foo"),
    "unknown, of QEMU itself": request("query-status"),
    "no command": b"{}",
    "a member too many": request("guest-ping", more=1),
    "execute is a number": b'{"execute":5,"id":5}',
    "execute is nothing": b'{"execute":null}',
    "arguments are a list": b'{"execute":"guest-ping","arguments":[]}',
    "arguments are nothing": b'{"execute":"guest-ping","arguments":null}',
    "out of band": b'{"exec-oob":"guest-ping"}',
    "a list": b"[1]",
    "a text": b'"x"\n',
    "a word": b"hello\n",
    "a key twice": b'{"execute":"guest-ping","execute":"guest-ping"}',
    "single quotes": b"{'execute':'guest-ping'}",
    "no value": b'{"execute":}\n',
    "a trailing comma": b'{"execute":"guest-ping",}\n',
    "pipelined": request("guest-ping") * 3 + request("guest-foo") + request("guest-sync", {"id": 9}),
    "pretty": json.dumps({"execute": "guest-sync", "arguments": {"id": 11}}, indent=4).encode() + b"\n",
    "half, then whole behind 0xff": b'{"execute":"guest-pi\xff' + request("guest-sync", {"id": 12}),
    "half, then whole": b'{"execute":"guest-pi' + request("guest-sync", {"id": 13}) + b"\n",
    "blank lines": b"\n\r\n \t" + request("guest-ping") + b"\n\n",
    "escaped": b'{"\\u0065xecute":"guest-\\u0070ing"}',
    "shutdown, no such mode": request("guest-shutdown", {"mode": "foo"}),
    "shutdown, mode of another type": request("guest-shutdown", {"mode": 1}),
    "file-close, no such handle": request("guest-file-close", {"handle": 1000}),
    "exec-status, no such pid": request("guest-exec-status", {"pid": 2**31 - 2}),
    "set-vcpus, none": request("guest-set-vcpus", {"vcpus": []}),
})


# ---------------------------------------------------------------------------------------------------------- answers

def asked(path, data, many):
    """All that is said to it in a connection of its own, up to the answer of a sync behind it."""
    end = b'{"execute":"guest-sync","arguments":{"id":424242}}\n'
    client = socket.socket(socket.AF_UNIX)
    client.settimeout(5 * SLOW)
    client.connect(path)
    client.sendall(data)
    if many:
        time.sleep(0.15)  # the other one answers only what it has met when a connection ends
    client.sendall(b"\n" + end)
    said = b""
    with contextlib.suppress(socket.timeout):
        while b"424242" not in said:
            more = client.recv(1 << 16)
            if not more:
                break
            said += more
    client.close()
    time.sleep(0.02)
    found = []
    for line in said.split(b"\n"):
        marked = line.startswith(b"\xff")
        line = line.lstrip(b"\xff")
        if not line:
            continue
        answer = json.loads(line)
        if answer.get("return") != 424242:
            found.append({"0xff": True, **answer} if marked else answer)
    return found


# Lists are compared by these members, whatever their order.
KEYS = ("name", "iface", "destination", "desprefixlen", "logical-id", "phys-index", "cpu", "login-time", "ip-address", "dev")
# What goes on from one look to the next.
MOVING = {"guest-get-time[].return": 5e9}
COUNTERS = ("-bytes", "-packets", "-ios", "-merges", "-sectors", "-ticks", "ios-pgr")


def key_of(item):
    return " ".join(str(item[key]) for key in KEYS if key in item) if isinstance(item, dict) else None


def moves(path):
    return path.split(".")[-1].endswith(COUNTERS) or ("get-cpustats" in path and ".cpu" not in path) or "get-load" in path or path.split(".")[-1] in ("use", "refcnt")


def differences(path, theirs, ours):
    """Paths that differ, each with what is there."""
    if isinstance(theirs, dict) and isinstance(ours, dict):
        for key in sorted(set(theirs) | set(ours)):
            if key not in ours:
                yield f"{path}.{key}: only theirs"
            elif key not in theirs:
                yield f"{path}.{key}: only ours"
            else:
                yield from differences(f"{path}.{key}", theirs[key], ours[key])
    elif isinstance(theirs, list) and isinstance(ours, list):
        named = [key_of(item) for item in theirs + ours]
        if all(named):
            left, right = {key_of(item): item for item in theirs}, {key_of(item): item for item in ours}
            for key in sorted(set(left) | set(right)):
                if key not in right:
                    yield f"{path}[{key}]: only theirs"
                elif key not in left:
                    yield f"{path}[{key}]: only ours"
                else:
                    yield from differences(f"{path}[{key}]", left[key], right[key])
        elif len(theirs) != len(ours):
            yield f"{path}: {len(theirs)} theirs, {len(ours)} ours"
        else:
            for one, other in zip(theirs, ours):
                yield from differences(f"{path}[]", one, other)
    elif type(theirs) is not type(ours) and not (isinstance(theirs, (int, float)) and isinstance(ours, (int, float))):
        yield f"{path}: {json.dumps(theirs)} theirs, {json.dumps(ours)} ours"
    elif theirs != ours and not moves(path):
        if not (path in MOVING and abs(theirs - ours) < MOVING[path]):
            yield f"{path}: {json.dumps(theirs)} theirs, {json.dumps(ours)} ours"


def known():
    """(release or *, pattern, reason) of each line of the table."""
    rows = []
    with open(TABLE, encoding="utf-8") as file:
        for line in file:
            if line.strip() and not line.startswith("#"):
                release, pattern, reason = (part.strip() for part in line.rstrip("\n").split("|"))
                rows.append((release, pattern, reason))
    return rows


def explains(pattern, difference):
    """The pattern is the difference, in which * stands for anything."""
    at = 0
    parts = pattern.split("*")
    if not difference.startswith(parts[0]) or not difference.endswith(parts[-1]):
        return False
    for part in parts:
        at = difference.find(part, at)
        if at < 0:
            return False
        at += len(part)
    return True


def other_agent(release):
    """The path of the socket of the other agent, that runs for the rest of the story."""
    tap.need_root()
    tap.need_room()
    try:
        root = folder(release)
    except image.Unavailable as reason:
        raise tap.Skip(str(reason)) from None
    shared = tap.keep(tempfile.TemporaryDirectory(prefix="infini-"))
    os.chmod(shared, 0o755)
    # Its own libraries, this machine's kernel, and this machine's words about itself.
    setup = " && ".join((
        f"mount --bind {root} {root}", f"mount --rbind /proc {root}/proc", f"mount --rbind /sys {root}/sys", f"mount --rbind /dev {root}/dev",
        f"mount --bind {shared} {root}/tmp", f"mount --bind /etc/os-release {root}/usr/lib/os-release", f"mount --rbind /run {root}/run",
        f"exec chroot {root} /usr/sbin/qemu-ga -m unix-listen -p /tmp/qga.sock -t /tmp"))
    log = tap.keep(open(os.path.join(shared, "log"), "w", encoding="utf-8"))
    child = subprocess.Popen(["unshare", "--mount", "sh", "-c", setup], stdout=log, stderr=log, stdin=subprocess.DEVNULL)

    def stop():
        child.kill()
        child.wait()

    tap.keep(contextlib.ExitStack()).callback(stop)
    path = os.path.join(shared, "qga.sock")
    wait_until(lambda: os.path.exists(path) or child.poll() is not None, 10, "the other agent's socket")
    if child.poll() is not None:
        with open(os.path.join(shared, "log"), encoding="utf-8") as file:
            raise AssertionError("the other agent ended: " + file.read())
    return path


def compare(release):
    theirs = other_agent(release)
    agent = Agent("none")
    ours = agent.path("qga.sock")
    agent.settings["qga.spec"] = f"listen:{ours}"
    tap.keep(agent)
    wait_until(lambda: os.path.exists(ours), what="our socket")
    assert len(CASES) >= 60, len(CASES)
    table, used, faults = known(), set(), []
    for name, data in CASES.items():
        many = len(data) and not data.startswith(b"{") or b"\xff" in data or name.startswith(("half", "no value", "a trailing"))
        found = differences(name, asked(theirs, data, many), asked(ours, data, many))
        for difference in found:
            row = next((i for i, (where, pattern, _) in enumerate(table) if where in ("*", release) and explains(pattern, difference)), None)
            if row is None:
                faults.append(difference)
            else:
                used.add(row)
    idle = [pattern for i, (where, pattern, _) in enumerate(table) if i not in used and where == release]
    tap.note(f"{len(CASES)} requests, {len(used)} known differences")
    assert not faults, "differences that are not in the table:\n" + "\n".join(faults)
    assert not idle, "nothing differs by these any more:\n" + "\n".join(idle)


def story_it_answers_as_qemu_guest_agent_of_debian_12_does():
    compare("bookworm")


def story_it_answers_as_qemu_guest_agent_of_debian_13_does():
    compare("trixie")


if __name__ == "__main__":
    tap.main(globals(), prepare)
