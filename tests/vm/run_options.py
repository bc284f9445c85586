#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Boots a Debian guest whose kernel was given other options, and tells the stories of options/ in it, in TAP.

    tests/vm/run_options.py [--again] [--only WORD] [STORY…]

Exit 77: this machine cannot run a guest.
"""

import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "lib"))
sys.dont_write_bytecode = True

import agent_guest  # noqa: E402
import guest_main  # noqa: E402

PARAMETERS = "psi=0 systemd.unified_cgroup_hierarchy=0 systemd.legacy_systemd_cgroup_controller=1"

if __name__ == "__main__":
    sys.exit(guest_main.main(__doc__, os.path.join(HERE, "options"), agent_guest.overlay, parameters=PARAMETERS))
