#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Boots a Debian guest once and tells every story of story_*.py in it, in TAP.

    tests/vm/run_guest.py [--again] [--only WORD] [--release NAME] [STORY…]       e.g. `run_guest.py boot port --only unplug`

The programs under test are those in $INFINISERVICE_BUILD (default build/). Exit 77: this machine cannot run a guest.
"""

import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "lib"))
sys.dont_write_bytecode = True

import agent_guest  # noqa: E402
import guest_main  # noqa: E402

if __name__ == "__main__":
    sys.exit(guest_main.main(__doc__, HERE, agent_guest.overlay))
