#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Boots a Debian guest without the agent and tells, in TAP, how its package is installed, used, upgraded and removed.

    tests/vm/run_package.py [--only WORD] [--release NAME] [STORY…]

The packages are those in $INFINISERVICE_BUILD/deb (`make deb`). The stories of installed/ are told in their order, each
on what the one before left. Exit 77: this machine cannot run a guest, or there are no packages.
"""

import argparse
import glob
import os
import signal
import subprocess
import sys
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "lib"))
sys.dont_write_bytecode = True

import agent_guest  # noqa: E402
import stories  # noqa: E402
from guest import Guest, Timeout  # noqa: E402
from image import Overlay, Unavailable, build_dir, need  # noqa: E402

PLACE = "/var/tmp/packages/"


def package():
    found = glob.glob(os.path.join(build_dir(), "deb", "infiniservice_*.deb"))
    if len(found) != 1:
        raise Unavailable("no package in %s: make deb" % os.path.join(build_dir(), "deb"))
    return found[0]


def next_version(path, out):
    """The same package under a higher version."""
    need("dpkg-deb")
    with tempfile.TemporaryDirectory() as work:
        subprocess.run(["dpkg-deb", "-R", path, work], check=True)
        control = os.path.join(work, "DEBIAN", "control")
        with open(control, encoding="utf-8") as file:
            text = file.read().replace("\nVersion: ", "\nVersion: 1:", 1)
        with open(control, "w", encoding="utf-8") as file:
            file.write(text)
        subprocess.run(["dpkg-deb", "--root-owner-group", "-Zgzip", "-z1", "-b", work, out], check=True,
                       stdout=subprocess.DEVNULL)


def overlay():
    files = Overlay()
    files.copy(PLACE + "now.deb", package(), 0o644)
    with tempfile.NamedTemporaryFile(suffix=".deb") as newer:
        next_version(package(), newer.name)
        files.copy(PLACE + "next.deb", newer.name, 0o644)
    return files


def main():
    options = argparse.ArgumentParser(description="tell the stories of the installed package")
    options.add_argument("--only", help="only stories with this word in their function's name")
    options.add_argument("--release", default="bookworm")
    options.add_argument("stories", nargs="*")
    args = options.parse_args()
    # atexit, and with it the end of QEMU, needs an orderly exit
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))

    try:
        stories.load(os.path.join(HERE, "installed"), args.stories)
        with Guest(args.release, overlay=overlay(), ports=agent_guest.PORTS) as guest:
            guest.start(120)
            stories.remark("guest: " + ", ".join("%s after %.1f s" % item for item in guest.took.items()))
            failed = stories.tell_all(guest, agent_guest.evidence, args.only)
    except Unavailable as reason:
        print(reason)
        return 77
    except Timeout as error:
        print("1..1\nnot ok 1 - the guest boots")
        stories.remark(str(error))
        return 1
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
