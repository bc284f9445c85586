# SPDX-License-Identifier: MIT
"""File systems are frozen and thawed: by a host, by the owner's time limit, and when one of those who know of it dies. Told by
run_freeze.py alone, whose guest has disks for it."""

import contextlib
import os
import time

import freeze_guest
from agent_guest import host, main_pid
from freeze_guest import qga
from guest import Guest, wait_for
from image import Overlay, run
from stories import Skip, story

RECORD = "/run/infiniservice-root/frozen"
HOOKS = "/etc/infiniservice/fsfreeze-hook.d"
ROUNDS = int(os.environ.get("INFINISERVICE_FREEZES", "10"))
# Waits until the record is gone, and says how long that took by the guest's own clock.
WHEN_THAWED = ("read a b </proc/uptime; %s; while test -e " + RECORD + "; do sleep 0.02; done; read c d </proc/uptime; "
               "echo $a $c; systemctl is-active infiniservice-freeze; echo x >/var/tmp/after; true")


@contextlib.contextmanager
def ready(guest):
    """The executor is on, the disks are mounted, the agent has both ports."""
    if not hasattr(guest, "disks"):
        raise Skip("run_freeze.py has the disks")
    if guest.run("mountpoint -q /mnt/ext4").status:
        freeze_guest.mount(guest, guest.disks.kinds)
        guest.sh("for f in /sys/class/virtio-ports/*; do grep -q qemu.guest_agent $f/name && "
                 "chown infiniservice /dev/${f##*/}; done; systemctl restart infiniservice")
    guest.sh("systemctl start infiniservice-exec.socket")
    try:
        yield 1 + len(guest.disks.kinds)  # with that of /
    finally:
        guest.sh("rm -rf %s; systemctl stop infiniservice-exec.socket infiniservice-exec.service" % HOOKS)
        wait_for(lambda: guest.run("test -e " + RECORD).status, 15, 0.2, "all is thawed")


def places(guest):
    return ["/mnt/" + kind for kind in guest.disks.kinds] + ["/var/tmp"]


@contextlib.contextmanager
def load(guest):
    """Somebody writes and syncs without end everywhere."""
    for place in places(guest):
        guest.sh("(while :; do dd if=/proc/kallsyms of=%s/load bs=32k count=4 conv=fsync 2>/dev/null; sleep 0.05; done) >/dev/null 2>&1 &" % place)
    try:
        yield
    finally:
        guest.run("pkill -f 'while :'; true")


def writes(guest):
    """Sectors that were written to each disk."""
    return guest.sh("cat /sys/block/vd[a-d]/stat | while read a b c d e f g h; do echo $g; done").split()


@story(limit_s=120 + 15 * ROUNDS)
def file_systems_are_frozen_and_thawed_under_load_and_nothing_is_written_between(guest):
    with ready(guest) as count, load(guest), qga(guest) as port:
        for _ in range(ROUNDS):
            assert port.must("guest-fsfreeze-freeze", 60) == count
            assert port.must("guest-fsfreeze-status") == "frozen"
            before = writes(guest)
            assert guest.sh("cat " + RECORD).count("f ") == count
            assert writes(guest) == before
            assert port.must("guest-fsfreeze-thaw") == count
            assert port.must("guest-fsfreeze-status") == "thawed"
        wait_for(lambda: [a for a, b in zip(before, writes(guest)) if a == b] == [], 10, 0.5, "writing goes on everywhere")


@story(limit_s=240)
def a_snapshot_of_frozen_disks_is_whole(guest):
    with ready(guest), qga(guest) as port:
        sums = {}
        for place in places(guest)[:-1]:
            guest.sh("cd %s && dd if=/dev/urandom of=synced bs=64k count=20 conv=fsync 2>/dev/null" % place)
            sums[place] = guest.sh("cd %s && sha256sum synced" % place)
        with load(guest):
            time.sleep(1)
            port.must("guest-fsfreeze-freeze", 60)
            guest.disks.copy()
            port.must("guest-fsfreeze-thaw")
    run(["e2fsck", "-fn", guest.disks.path("ext4", True)], 60)
    assert "filesystem state:         clean" in run(["dumpe2fs", "-h", guest.disks.path("ext4", True)], 60).lower()
    # xfs replays its log after a freeze, by design: another guest mounts the copies.
    kinds = guest.disks.kinds
    other = Guest(overlay=freeze_guest.with_modules(Overlay(), kinds), hardware=guest.disks.hardware(True))
    with other:
        other.start(120)
        freeze_guest.mount(other, kinds)
        for place, wanted in sums.items():
            assert other.sh("cd %s && sha256sum synced" % place) == wanted, place
            other.sh("umount " + place)
        other.sh("sync")
    run(["e2fsck", "-fn", guest.disks.path("ext4", True)], 60)
    if "xfs" in kinds:
        run(["xfs_repair", "-n", guest.disks.path("xfs", True)], 60)
    if "btrfs" in kinds:
        run(["btrfs", "check", "--readonly", guest.disks.path("btrfs", True)], 60)


def thawed_within_a_second(guest, deed):
    text = guest.sh(WHEN_THAWED % deed, 30).split()
    assert float(text[1]) - float(text[0]) < 1, text


@story(limit_s=120)
def who_kills_agent_executor_or_helper_thaws_within_a_second(guest):
    with ready(guest) as count, load(guest):
        with qga(guest) as port:
            assert port.must("guest-fsfreeze-freeze", 60) == count
            thawed_within_a_second(guest, "kill -9 $(systemctl show -p MainPID --value infiniservice-exec)")
            # The host is told, once.
            answer = port.execute("guest-fsfreeze-thaw")
            assert "the executor had ended" in answer["error"]["desc"], answer
            assert port.must("guest-fsfreeze-thaw") == 0
            assert port.must("guest-fsfreeze-freeze", 60) == count
            # PID 1 runs our program from the file system that is frozen.
            thawed_within_a_second(guest, "kill -9 $(systemctl show -p MainPID --value infiniservice-freeze)")
            assert "was killed" in port.execute("guest-fsfreeze-thaw")["error"]["desc"]
            assert port.must("guest-fsfreeze-freeze", 60) == count
        thawed_within_a_second(guest, "kill -9 %d" % main_pid(guest))
        with qga(guest) as port:
            assert port.must("guest-fsfreeze-status", 30) == "thawed"
            assert "the agent had ended" in port.execute("guest-fsfreeze-thaw")["error"]["desc"]


@story(limit_s=120)
def samples_and_answers_go_on_while_frozen_and_what_would_write_is_refused(guest):
    with ready(guest), qga(guest) as port, host(guest) as own:
        port.must("guest-fsfreeze-freeze", 60)
        for number in range(3):
            own.expect("metrics", 5)
            own.keep_alive(100 + number)
        for name in ("DiskCleanup", "CheckLinuxSecurity", "PackageRemove"):
            answer = own.ask(name, "frozen-" + name, package="x", targets=["tmp"])
            assert (answer["error_code"], answer["reason"]) == ("COMMAND_FAILED", "frozen"), answer
        assert own.status("frozen")["uptime_s"] >= 0
        # In the other language only what leads out of it.
        for name in ("guest-get-osinfo", "guest-shutdown", "guest-fsfreeze-freeze", "guest-fstrim"):
            answer = port.execute(name)
            assert "disabled" in answer["error"]["desc"], answer
        assert port.must("guest-ping") == {} and port.must("guest-fsfreeze-status") == "frozen"
        port.must("guest-fsfreeze-thaw")
        assert own.ask("ProcessTop", "after")["success"]
        # Every sample that the agent took meanwhile is in the log, or counted as dropped.
        log = own.status("log")["log"]
        assert log["dropped"] == 0 and log["state"] == "ok", log


@story(limit_s=90)
def the_owners_time_limit_thaws_and_the_host_is_told_once(guest):
    with ready(guest) as count, qga(guest) as port, host(guest) as own:
        assert port.must("guest-fsfreeze-freeze", 60) == count
        event = own.expect(lambda m: m["type"] == "agent_event" and m["source"] == "freeze", 20)
        assert "freeze_max_s" in event["message"], event
        assert port.must("guest-fsfreeze-status") == "thawed"
        assert "freeze_max_s" in port.execute("guest-fsfreeze-thaw")["error"]["desc"]
        assert port.must("guest-fsfreeze-thaw") == 0


@story(limit_s=120)
def hooks_run_before_and_after_and_one_that_hangs_is_killed_and_nothing_is_frozen(guest):
    with ready(guest) as count, qga(guest) as port:
        guest.sh("mkdir -p " + HOOKS)
        guest.put(HOOKS + "/10-notes", "#!/bin/sh\necho $1 $(test -e %s && echo late) >>/run/story-hooks\n" % RECORD, 0o755)
        assert port.must("guest-fsfreeze-freeze", 60) == count
        port.must("guest-fsfreeze-thaw")
        wait_for(lambda: guest.run("cat /run/story-hooks").split() == ["freeze", "thaw"], 10, 0.2, "both hooks have run")
        guest.put(HOOKS + "/20-hangs", "#!/bin/sh\ntest $1 = thaw || exec sleep 3996\n", 0o755)
        answer = port.execute("guest-fsfreeze-freeze", 60)
        assert "hook" in answer["error"]["desc"], answer
        assert port.must("guest-fsfreeze-status") == "thawed"
        assert guest.run("pgrep -f 'sleep 399[6]'").status != 0
        # Those that had run before it are told that it is over.
        wait_for(lambda: guest.run("cat /run/story-hooks").split() == ["freeze", "thaw"] * 2, 15, 0.2, "the thaw of the hooks")


@story(limit_s=60)
def what_another_program_froze_stays_its_own(guest):
    with ready(guest) as count, qga(guest) as port:
        guest.sh("fsfreeze -f /mnt/ext4")
        try:
            assert port.must("guest-fsfreeze-freeze", 60) == count - 1
            assert port.must("guest-fsfreeze-thaw") == count - 1
            guest.sh("(echo x >/mnt/ext4/x; echo done >/run/story-wrote) >/dev/null 2>&1 &")
            time.sleep(0.5)
            assert guest.run("test -e /run/story-wrote").status, "it is still frozen"
        finally:
            guest.run("fsfreeze -u /mnt/ext4")
        guest.wait("test -e /run/story-wrote", 5)
        assert port.must("guest-fsfreeze-freeze-list", 60, mountpoints=["/mnt/ext4", "/nowhere"]) == 1
        assert port.must("guest-fsfreeze-thaw") == 1


@story(limit_s=60)
def unused_blocks_are_discarded_and_each_file_system_is_told(guest):
    with ready(guest), qga(guest) as port:
        paths = {entry["path"]: entry for entry in port.must("guest-fstrim", 60)["paths"]}
        assert "/" in paths and all("trimmed" in entry or "error" in entry for entry in paths.values()), paths
        assert any(entry.get("trimmed", 0) > 1 << 20 for entry in paths.values()), paths
