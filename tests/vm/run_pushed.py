#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Boots a Debian guest without the agent and tells, in TAP, how a host pushes the portable program into it and what it then does.

    tests/vm/run_pushed.py [--only WORD] [--release NAME] [STORY…]

What is pushed are the two files in $INFINISERVICE_BUILD/portable (`make portable`). The stories of pushed/ are told in their order, each
on what the one before left. Exit 77: this machine cannot run a guest, or there is no portable program.
"""

import argparse
import os
import signal
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "lib"))
sys.dont_write_bytecode = True

import agent_guest  # noqa: E402
import stories  # noqa: E402
from guest import Guest, Timeout  # noqa: E402
from image import Unavailable  # noqa: E402


def main():
    options = argparse.ArgumentParser(description="tell the stories of the program that is pushed")
    options.add_argument("--only", help="only stories with this word in their function's name")
    options.add_argument("--release", default="bookworm")
    options.add_argument("stories", nargs="*")
    args = options.parse_args()
    # atexit, and with it the end of QEMU, needs an orderly exit
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))

    try:
        stories.load(os.path.join(HERE, "pushed"), args.stories)
        with Guest(args.release, ports=agent_guest.PORTS) as guest:
            guest.start(150)
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
