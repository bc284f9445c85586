#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""A real autofs of the kernel's, with this test as its daemon: what it mounts goes away again while the agent measures it.

All of it happens in the test's own room, as nothing may be left mounted. Of the machine's devices one loop device is used."""
import contextlib
import ctypes
import fcntl
import os
import shutil
import struct
import subprocess
import tempfile
import threading
import time

import tap
from fakehost import SLOW, talk

TIMEOUT_S = 3
SETTINGS = {"timers.metrics_interval_ms": 200, "timers.collect_timeout_ms": 100}
# include/uapi/linux/auto_fs.h
READY, FAIL, SETTIMEOUT, EXPIRE_MULTI = 0x9360, 0x9361, 0xC0089364, 0x40049366
MISSING, EXPIRE = 3, 4
# include/uapi/linux/loop.h
LOOP_SET_FD, LOOP_SET_STATUS64, LOOP_CTL_GET_FREE = 0x4C00, 0x4C04, 0x4C82
LOOP_INFO = struct.Struct("=5Q4I176x")
AUTOCLEAR = 4
MS_BIND = 4096
PACKET = struct.Struct("=iiIIQIIIII256s4x")

libc = ctypes.CDLL(None, use_errno=True)


def mount(source, target, kind, options, flags=0):
    if libc.mount(source.encode(), target.encode(), kind.encode(), flags, options.encode()) != 0:
        raise OSError(ctypes.get_errno(), f"mount {kind} on {target}")


def loop_device(image, directory):
    """A loop device over the image, by its node alone: the others of the machine are seen for a moment, and by this process only.
    It is free again as soon as nobody uses it."""
    devices = os.path.join(directory, "devices")
    os.mkdir(devices)
    mount("none", devices, "devtmpfs", "")
    try:
        with open(devices + "/loop-control", "rb") as control:
            number = fcntl.ioctl(control, LOOP_CTL_GET_FREE)
        node = os.path.join(directory, "loop")
        with open(node, "wb"):
            mount(f"{devices}/loop{number}", node, "", "", MS_BIND)
    finally:
        libc.umount2(devices.encode(), 0)
    device = os.open(node, os.O_RDWR)
    with open(image, "r+b") as file:
        fcntl.ioctl(device, LOOP_SET_FD, file.fileno())
    fcntl.ioctl(device, LOOP_SET_STATUS64, LOOP_INFO.pack(0, 0, 0, 0, 0, 0, 0, 0, AUTOCLEAR))
    return node, device


class Automounter:
    """An indirect map of one key, `disk`, which is an ext4 image."""

    def __init__(self):
        self.directory = tempfile.mkdtemp(prefix="infini-autofs-")
        self.base = os.path.join(self.directory, "auto")
        self.image = os.path.join(self.directory, "image")
        self.mounted = self.unmounted = 0
        self.failure = None
        self.over = False
        self.device = -1

    def __enter__(self):
        tap.need_root()
        tap.need_room()
        # The group this process came with has no number in the room.
        os.setpgid(0, 0)
        os.mkdir(self.base)
        with open(self.image, "wb") as file:
            file.truncate(8 << 20)
        subprocess.run(["mkfs.ext4", "-q", self.image], check=True)
        try:
            self.loop, self.device = loop_device(self.image, self.directory)
        except OSError as error:
            self.__exit__()
            raise tap.Skip(f"this machine gives no loop device: {error}") from None
        self.pipe, wanted = os.pipe()
        try:
            mount("map", self.base, "autofs", f"fd={wanted},pgrp={os.getpgrp()},minproto=5,maxproto=5,indirect")
        except OSError as error:
            self.__exit__()
            raise tap.Skip(f"this machine mounts no autofs: {error}") from None
        os.close(wanted)
        self.control = os.open(self.base, os.O_RDONLY | os.O_DIRECTORY)
        fcntl.ioctl(self.control, SETTIMEOUT, struct.pack("=L", TIMEOUT_S) + bytes(8))
        for work in (self.serve, self.expire):
            threading.Thread(target=work, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.over = True
        for point in (self.base + "/disk", self.base, self.directory + "/loop"):
            subprocess.run(["umount", "-l", point], stderr=subprocess.DEVNULL, check=False)
        if self.device >= 0:
            os.close(self.device)
        shutil.rmtree(self.directory, ignore_errors=True)

    def answer(self, kind, name):
        target = os.path.join(self.base, name)
        if kind == MISSING and name == "disk":
            os.makedirs(target, exist_ok=True)
            mount(self.loop, target, "ext4", "")
            self.mounted += 1
        elif kind == EXPIRE:
            if libc.umount2(target.encode(), 0) != 0:
                return FAIL
            os.rmdir(target)
            self.unmounted += 1
        else:
            return FAIL
        return READY

    def serve(self):
        while not self.over:
            packet = os.read(self.pipe, PACKET.size)
            if len(packet) < PACKET.size:
                return
            _, kind, token, _, _, _, _, _, _, length, name = PACKET.unpack(packet)
            try:
                verdict = self.answer(kind, name[:length].decode())
            except OSError as error:
                self.failure, verdict = error, FAIL
            fcntl.ioctl(self.control, verdict, token)

    def expire(self):
        """As automount(8) does: asks for what has not been used for long enough, again and again."""
        while not self.over:
            with contextlib.suppress(OSError):
                fcntl.ioctl(self.control, EXPIRE_MULTI, struct.pack("=i", 0))
            time.sleep(0.2)

    def use(self):
        """By another process group: what the daemon's own does never mounts anything."""
        subprocess.run(["ls", self.base + "/disk"], stdout=subprocess.DEVNULL, check=True, start_new_session=True)
        assert self.failure is None, self.failure


def row(host, mount_point):
    listed = host.expect("metrics", 5)["data"]["system"]["disk"]["usage_stats"]
    found = [m for m in listed if m["mount_point"] == mount_point]
    return found[0] if found else None


def lifetime(auto, limit_s):
    """For how long the mount is there after its last use by somebody else than the agent."""
    auto.use()
    begun = time.monotonic()
    while auto.unmounted < auto.mounted and time.monotonic() - begun < limit_s:
        time.sleep(0.05)
    return time.monotonic() - begun


def story_an_autofs_mount_expires_while_it_is_measured():
    auto = tap.keep(Automounter())
    alone = lifetime(auto, 30 * SLOW)
    assert auto.unmounted == 1, f"without an agent it is still there after {alone:.1f} s"
    agent, host = talk(tap.keep, SETTINGS, wrapper=["setsid"])
    assert os.getpgid(agent.pid) != os.getpgrp(), "the agent is in the daemon's process group"
    auto.use()
    target = auto.base + "/disk"
    seen = None
    end = time.monotonic() + 10 * SLOW
    while not (seen and seen["total_bytes"]) and time.monotonic() < end:
        seen = row(host, target)
    assert seen and seen["total_bytes"] > 1 << 20, seen
    taken = lifetime(auto, 60 * SLOW)
    assert auto.unmounted == 2, f"while it is measured it is still there after {taken:.1f} s; alone it went after {alone:.1f} s"
    assert taken <= 3 * TIMEOUT_S + 4 * SLOW, (taken, alone)
    # And asking for what has gone does not bring it back.
    end = time.monotonic() + 3
    while time.monotonic() < end:
        gone = row(host, target)
    assert gone is None and auto.mounted == 2, (gone, auto.mounted)


def story_the_figures_of_an_autofs_mount_in_use_carry_their_age():
    auto = tap.keep(Automounter())
    auto.use()
    with open(auto.base + "/disk/lost+found/../held", "wb") as _:
        _, host = talk(tap.keep, SETTINGS, wrapper=["setsid"])
        ages = set()
        end = time.monotonic() + 2 * TIMEOUT_S
        while time.monotonic() < end:
            seen = row(host, auto.base + "/disk")
            if seen and seen["total_gb"]:
                ages.add(seen.get("age_s", 0))
        assert len(ages) >= 3 and max(ages) <= 2 * TIMEOUT_S + 1, ages


tap.main(globals())
