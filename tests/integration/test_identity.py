#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Which name a machine goes by that has none of its own: its firmware and its machine-id are replaced in a mount namespace."""
import os
import re
import subprocess
import tempfile
import time

import tap
from fakehost import SLOW, program

UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")
HASH = re.compile(r"[0-9a-f]{32}")
REAL = "3b1f7c2e-9d04-4a55-8e61-0c2d4e6f8a90"
MACHINE = "00112233445566778899aabbccddee01"


class Machine:
    """A place for one agent after another; what they see of firmware and machine-id is ours."""

    def __init__(self):
        self.top = tempfile.TemporaryDirectory(prefix="infini-")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.top.cleanup()

    def path(self, name):
        return os.path.join(self.top.name, name)

    def write(self, name, text):
        with open(self.path(name), "w", encoding="utf-8") as file:
            file.write(text)

    def start(self, uuid=None, machine_id=None, read_only=False, copy=None):
        """One run of the agent: (vm_id, where it is from, warnings). None: there is no such file."""
        for name in ("state", "run", "dmi", "etc", "copied"):
            os.makedirs(self.path(name), exist_ok=True)
        script = ["set -e", "mount -t tmpfs none /sys"]
        if uuid is not None:
            self.write("dmi/product_uuid", uuid)
            script += ["mkdir -p /sys/class/dmi/id", "cat %s >/sys/class/dmi/id/product_uuid" % self.path("dmi/product_uuid")]
        self.write("etc/machine-id", machine_id or "")
        self.write("conf", "")
        script += ["test -e /etc/machine-id || exit 77", "mount --bind %s /etc/machine-id" % self.path("etc/machine-id")]
        if machine_id is None:
            script += ["umount /etc/machine-id", "mount --bind /dev/null /etc/machine-id"]
        script += ["mount -t tmpfs none /run"]
        if copy is not None:
            self.write("copied/product_uuid", copy)
            script += ["mkdir /run/infiniservice-root", "cp %s /run/infiniservice-root/" % self.path("copied/product_uuid")]
        if read_only:
            script += ["mount --bind %s %s" % (self.path("state"), self.path("state")),
                       "mount -o remount,bind,ro %s" % self.path("state")]
        argv = [program("infiniservice"), "-p", "none", "-c", self.path("conf")]
        for setting in ("agent.state_dir=" + self.path("state"), "agent.runtime_dir=" + self.path("run"), "log.enabled=no",
                        "socket.path=" + self.path("run/agent.sock")):
            argv += ["-s", setting]
        script += ['exec "$@"']
        env = {name: value for name, value in os.environ.items() if name != "INFINIBAY_VM_ID"}
        with subprocess.Popen(["unshare", "-m", "sh", "-c", "\n".join(script), "sh", *argv], stderr=subprocess.PIPE, text=True, env=env) as agent:
            lines = []
            end = time.monotonic() + 10 * SLOW
            for line in agent.stderr:
                lines.append(line)
                if ": vm " in line or time.monotonic() > end:
                    break
            agent.terminate()
            lines += agent.stderr.readlines()
        if agent.returncode == 77:
            raise tap.Skip("this machine has no /etc/machine-id to replace")
        said = re.search(r": vm (\S*) \((\S+)\)", "".join(lines))
        assert said, lines
        return said.group(1), said.group(2), [line for line in lines if line.startswith("<4>") and "machine-id" in line]


def machine():
    tap.need_root()
    if subprocess.run(["unshare", "-m", "true"], check=False).returncode != 0:
        raise tap.Skip("no mount namespace may be made here")
    return tap.keep(Machine())


def story_a_machine_without_uuid_and_machine_id_is_given_an_id_once_and_told():
    one = machine()
    first, source, warnings = one.start()
    assert UUID.fullmatch(first) and source == "state", (first, source)
    assert len(warnings) == 1 and first in warnings[0] and "agent.vm_id" in warnings[0], warnings
    again, source, warnings = one.start()
    assert (again, source) == (first, "state") and len(warnings) == 1, (again, warnings)
    kept = os.stat(one.path("state/vm_id"))
    assert kept.st_mode & 0o777 == 0o600 and kept.st_size == 37
    other, _, _ = machine().start()
    assert other != first, "two machines are two"


def story_what_every_machine_has_is_no_id():
    """Each pair on a machine of its own: what firmware and an unfinished installation leave in the place of an id."""
    for uuid, machine_id in (("", ""), ("\n", "\n"), ("Not Settable\n", "uninitialized\n"), ("00000000-0000-0000-0000-000000000000\n", "0" * 32 + "\n"),
                             ("FFFFFFFF-FFFF-FFFF-FFFF-FFFFFFFFFFFF\n", "f" * 32 + "\n"), ("03000200-0400-0500-0006-000700080009\n", "garbage\n"),
                             ("To Be Filled By O.E.M.\n", "0011223344\n")):
        vm_id, source, warnings = machine().start(uuid, machine_id)
        assert UUID.fullmatch(vm_id) and source == "state" and warnings, (uuid, machine_id, vm_id, source)


def story_a_machine_with_an_id_keeps_it_and_nothing_is_made():
    for arguments, wanted in (((REAL.upper() + "\n", MACHINE + "\n"), (REAL, "dmi")), ((REAL, ""), (REAL, "dmi")),
                              (("Not Settable\n", MACHINE + "\n"), (HASH, "machine-id")), ((None, MACHINE + "\n"), (HASH, "machine-id"))):
        one = machine()
        vm_id, source, warnings = one.start(*arguments)
        assert source == wanted[1] and not warnings, (arguments, vm_id, source, warnings)
        assert wanted[0].fullmatch(vm_id) if wanted[0] is HASH else vm_id == wanted[0], (arguments, vm_id)
        assert MACHINE not in vm_id and not os.path.exists(one.path("state/vm_id"))


def story_the_copy_that_root_made_is_read_where_the_uuid_itself_cannot_be():
    vm_id, source, warnings = machine().start(None, "", copy=REAL + "\n")
    assert (vm_id, source, warnings) == (REAL, "dmi", []), (vm_id, source, warnings)


def story_an_id_that_cannot_be_kept_lasts_until_the_next_boot_and_is_told():
    one = machine()
    os.makedirs(one.path("state"))
    first, source, warnings = one.start(read_only=True)
    assert UUID.fullmatch(first) and source == "boot" and "until it is booted again" in warnings[0], (first, source, warnings)
    assert one.start(read_only=True)[0] == first


def story_an_id_that_was_damaged_is_made_anew():
    for text in ("", "half-an-id", "\0" * 37, "x" * 500, "00000000-0000-0000-0000-000000000000\n"):
        one = machine()
        os.makedirs(one.path("state"))
        one.write("state/vm_id", text)
        vm_id, source, _ = one.start()
        assert UUID.fullmatch(vm_id) and source == "state", (text, vm_id, source)
        assert one.start()[0] == vm_id
    one = machine()
    os.makedirs(one.path("state"))
    os.mkfifo(one.path("state/vm_id"))
    assert one.start()[1] == "state", "a FIFO in its place is not waited for"


if __name__ == "__main__":
    tap.main(globals())
