# SPDX-License-Identifier: MIT
"""A guest with disks of its own for each file system that is frozen: raw files, of which a copy is a snapshot."""

import atexit
import contextlib
import json
import os
import shutil
import tempfile

import agent_guest
from guest import AGENT_PORT, HostPort
from image import Unavailable, helper, module_files, need, run

QGA_PORT = "org.qemu.guest_agent.0"
PORTS = (AGENT_PORT, QGA_PORT)
MODULES = "/usr/local/lib/infinitest-modules"
# What each needs besides its module: what it asks the kernel for by name.
WANTED = {"xfs": ["crc32c_generic", "xfs"],
          "btrfs": ["crc32c_generic", "xxhash_generic", "sha256_generic", "blake2b_generic", "btrfs"]}
MAKE = {"ext4": ["mke2fs", "-q", "-F", "-t", "ext4"], "xfs": ["mkfs.xfs", "-q", "-f"], "btrfs": ["mkfs.btrfs", "-q", "-f"]}
DISK_MIB = 320
CONFIG = ("[qga]\nspec = virtio:%s\nfreeze_max_s = 10\n[timers]\nmetrics_interval_ms = 1000\n"
          "[commands]\nallow = observe control packages power\n" % QGA_PORT)


class Disks:
    """The files, in the order in which the guest has them as vdb and so on. Those of which this machine cannot make the
    file system are left out; `missing` says why."""

    def __init__(self):
        self.folder = tempfile.mkdtemp(prefix="infinitest-disks-")
        atexit.register(shutil.rmtree, self.folder, True)
        self.kinds, self.missing = [], []
        for kind, argv in MAKE.items():
            try:
                need(argv[0])
            except Unavailable as reason:
                self.missing.append("%s: %s" % (kind, reason))
                continue
            with open(self.path(kind), "wb") as file:
                file.truncate(DISK_MIB << 20)
            run(argv + [self.path(kind)], 30)
            self.kinds.append(kind)

    def path(self, kind, copy=False):
        return os.path.join(self.folder, kind + (".copy" if copy else ".raw"))

    def hardware(self, copies=False):
        """Arguments for QEMU. What the guest has written is in the file: QEMU itself keeps nothing back."""
        arguments = []
        for kind in self.kinds:
            arguments += ["-drive", "file=%s,if=virtio,format=raw,cache=writeback" % self.path(kind, copies)]
        return arguments

    def copy(self):
        for kind in self.kinds:
            run(["cp", "--sparse=always", self.path(kind), self.path(kind, True)], 60)


def with_modules(overlay, kinds, release="bookworm"):
    """The modules of these file systems, and what loads them."""
    overlay.file("/usr/local/sbin/infinitest-insmod", helper("insmod"), 0o755)
    names = []
    for name, text in module_files(release, [module for kind in kinds for module in WANTED.get(kind, [])]):
        overlay.file("%s/%s" % (MODULES, name), text)
        names.append(name)
    overlay.file(MODULES + "/order", " ".join(names))
    return overlay


def mount(guest, kinds):
    """/mnt/ext4 and so on."""
    guest.sh("cd %s && infinitest-insmod $(cat order)" % MODULES, 60)
    for number, kind in enumerate(kinds):
        guest.sh("mkdir -p /mnt/%s && mount -t %s /dev/vd%s /mnt/%s" % (kind, kind, "bcd"[number], kind), 30)


def overlay():
    files = agent_guest.overlay()
    files.file("/etc/infiniservice/conf.d/20-qga.conf", CONFIG)
    return files


class QgaPort(HostPort):
    """The host's end of the other language's port."""

    def execute(self, command, limit_s=30, **arguments):
        """The answer of a command: its return, or its error as {"error": …}."""
        request = {"execute": command}
        if arguments:
            request["arguments"] = {key.replace("_", "-"): value for key, value in arguments.items()}
        self.send(request)
        answer = json.loads(self.line(limit_s))
        return answer if "error" in answer else answer["return"]

    def must(self, command, limit_s=30, **arguments):
        answer = self.execute(command, limit_s, **arguments)
        assert not (isinstance(answer, dict) and "error" in answer), (command, answer)
        return answer


@contextlib.contextmanager
def qga(guest):
    port = QgaPort(guest.path("port2"))
    try:
        yield port
    finally:
        port.close()
