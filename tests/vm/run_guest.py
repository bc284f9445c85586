#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Boots a Debian guest once and tells every story of story_*.py in it, in TAP.

    tests/vm/run_guest.py [--only WORD] [STORY…]       e.g. `run_guest.py boot port --only unplug`

The programs under test are those in $INFINISERVICE_BUILD (default build/). Exit 77: this machine cannot run a guest.
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
    options = argparse.ArgumentParser(description="tell the guest's stories")
    options.add_argument("--only", help="only stories with this word in their function's name")
    options.add_argument("stories", nargs="*")
    args = options.parse_args()
    # atexit, and with it the end of QEMU, needs an orderly exit
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))

    try:
        stories.load(HERE, args.stories)
        with Guest(overlay=agent_guest.overlay(), ports=agent_guest.PORTS) as guest:
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
