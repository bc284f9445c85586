#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Boots a Debian guest without the agent and tells, in TAP, how a host pushes the portable program into it and what it then does.

    tests/vm/run_pushed.py [--again] [--only WORD] [--release NAME] [STORY…]

What is pushed are the two files in $INFINISERVICE_BUILD/portable (`make portable`). The stories of pushed/ are told in their order, each
on what the one before left. Exit 77: this machine cannot run a guest, or there is no portable program.
"""

import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "lib"))
sys.dont_write_bytecode = True

import guest_main  # noqa: E402
from image import Overlay  # noqa: E402

if __name__ == "__main__":
    sys.exit(guest_main.main(__doc__, os.path.join(HERE, "pushed"), Overlay))
