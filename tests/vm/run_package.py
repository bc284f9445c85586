#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Boots a Debian guest without the agent and tells, in TAP, how its package is installed, used, upgraded and removed.

    tests/vm/run_package.py [--again] [--only WORD] [--release NAME] [STORY…]

The packages are those in $INFINISERVICE_BUILD/deb (`make deb`), whatever the guest's release. The stories of installed/ are told
in their order, each on what the one before left. Exit 77: this machine cannot run a guest, or there are no packages.
"""

import glob
import os
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "lib"))
sys.dont_write_bytecode = True

import guest_main  # noqa: E402
from image import Overlay, Unavailable, build_dir, helper, need  # noqa: E402

PLACE = "/var/tmp/packages/"


def package(name):
    found = glob.glob(os.path.join(build_dir(), "deb", name + "_*.deb"))
    if len(found) != 1:
        raise Unavailable("no package in %s: make deb" % os.path.join(build_dir(), "deb"))
    return found[0]


def previous_version(path, out):
    """The same package under a lower version, with the user as 0.1.0 made it, stands for the release before."""
    need("dpkg-deb")
    with tempfile.TemporaryDirectory() as work:
        subprocess.run(["dpkg-deb", "-R", path, work], check=True)
        control = os.path.join(work, "DEBIAN", "control")
        with open(control, encoding="utf-8") as file:
            text = file.read().replace("\nVersion: ", "\nVersion: 0~", 1)
        with open(control, "w", encoding="utf-8") as file:
            file.write(text)
        user = os.path.join(work, "usr", "lib", "sysusers.d", "infiniservice.conf")
        with open(user, encoding="utf-8") as file:
            text = file.read().replace(" /nonexistent ", " /var/lib/infiniservice ")
        with open(user, "w", encoding="utf-8") as file:
            file.write(text)
        subprocess.run(["dpkg-deb", "--root-owner-group", "-Zgzip", "-z1", "-b", work, out], check=True,
                       stdout=subprocess.DEVNULL)


def overlay():
    files = Overlay()
    files.copy(PLACE + "now.deb", package("infiniservice"), 0o644)
    files.copy(PLACE + "host.deb", package("infiniservice-host"), 0o644)
    files.file("/usr/local/lib/infinitest-stall.so", helper("stall", "-shared", "-fPIC"), 0o755)
    with tempfile.NamedTemporaryFile(suffix=".deb") as before:
        previous_version(package("infiniservice"), before.name)
        files.copy(PLACE + "before.deb", before.name, 0o644)
    return files


if __name__ == "__main__":
    sys.exit(guest_main.main(__doc__, os.path.join(HERE, "installed"), overlay))
