#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Boots a Debian guest without the agent and tells, in TAP, how its package is installed, used, upgraded and removed.

    tests/vm/run_package.py [--again] [--only WORD] [--brief] [--release NAME] [STORY…]

The packages are those in $INFINISERVICE_BUILD/deb (`make deb`), whatever the guest's release. The stories of installed/ are told
in their order, each on what the one before left; --brief tells those alone that another release can make different. Exit 77: this
machine cannot run a guest, or there are no packages.
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
# What is not the agent's own: dpkg and its helpers, the libraries the packages depend on, systemd's sandbox, units, watchdog and users, udev,
# the kernel's files. The others are of the same program's behaviour on the same kernel interfaces: they are told in one release.
BRIEF = (
    "installed_without_a_port_it_runs_and_logs_locally",
    "purged_while_running_it_leaves_nothing",
    "installed_with_the_port_present_it_talks_within_5_s",
    "every_file_it_makes_has_the_owner_and_mode_it_should",
    "what_is_shown_to_a_manager_is_true",
    "an_upgrade_under_load_marks_the_gap_and_loses_nothing_else",
    "after_the_upgrade_every_file_still_has_the_owner_and_mode_it_should",
    "the_package_for_hosts_installs_runs_and_goes",
    "the_unprivileged_agent_gets_a_port_that_is_unplugged_and_replugged",
    "another_port_is_left_alone",
    "killed_it_is_back_within_2_s_and_its_log_is_whole",
    "a_stalled_loop_is_restarted_by_the_watchdog",
    "inside_the_sandbox_it_measures_what_it_measures_outside",
    "what_needs_root_is_denied_while_the_executor_is_off",
    "switched_on_by_one_command_a_package_with_a_setuid_file_is_installed",
    "neither_can_write_to_any_file_of_the_agent",
    "a_port_is_given_to_the_agent_by_udev_alone_and_by_no_shell",
    "after_a_reboot_it_runs_and_so_does_an_executor_that_was_switched_on",
    "purged_at_last_nothing_is_left",
)


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
    sys.exit(guest_main.main(__doc__, os.path.join(HERE, "installed"), overlay, BRIEF))
