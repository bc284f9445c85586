#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Boots a guest with a disk for each of ext4, xfs and btrfs, and tells the stories of what a host has root do there, in TAP.

    tests/vm/run_freeze.py [--again] [--only WORD]         (story_freeze.py, story_qga_root.py)

INFINISERVICE_FREEZES=100 freezes as often under load (default 10). Exit 77: this machine cannot run a guest.
"""

import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "lib"))
sys.dont_write_bytecode = True

import freeze_guest  # noqa: E402
import guest_main  # noqa: E402
import stories  # noqa: E402


def prepare(guest):
    guest.disks = DISKS
    for reason in DISKS.missing:
        stories.remark("left out: " + reason)
    guest.hardware += DISKS.hardware()


def overlay():
    return freeze_guest.with_modules(freeze_guest.overlay(), DISKS.kinds)


if __name__ == "__main__":
    DISKS = freeze_guest.Disks()
    sys.argv += ["freeze", "qga_root"]
    sys.exit(guest_main.main(__doc__, HERE, overlay, ports=freeze_guest.PORTS, prepare=prepare))
