#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Boots a Debian guest without the agent and tells, in TAP, how a host pushes the portable program into it and what it then does.

    tests/vm/run_pushed.py [--again] [--only WORD] [--brief] [--release NAME] [STORY…]

What is pushed are the two files in $INFINISERVICE_BUILD/portable (`make portable`). The stories of pushed/ are told in their order, each
on what the one before left; --brief tells those alone that another release can make different. Exit 77: this machine cannot run a
guest, or there is no portable program.
"""

import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "lib"))
sys.dont_write_bytecode = True

import guest_main  # noqa: E402
from image import Overlay  # noqa: E402

# What the C library, libsystemd, the service manager and the tools for users make different.
BRIEF = (
    "two_files_and_a_script_make_a_running_agent",
    "a_real_unit_is_started_stopped_and_enabled",
    "a_shell_command_runs_as_root_in_a_unit_of_its_own",
    "a_package_with_a_setuid_file_is_installed_and_removed",
    "installed_once_more_and_purged_nothing_is_left",
)

if __name__ == "__main__":
    sys.exit(guest_main.main(__doc__, os.path.join(HERE, "pushed"), Overlay, BRIEF))
