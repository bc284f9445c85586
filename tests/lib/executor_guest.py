# SPDX-License-Identifier: MIT
"""The privileged executor of a guest: on for a while, and its units."""

import contextlib

from agent_guest import configured

ROOT = "[commands]\nallow = observe control packages power\nrun_as = root\n"


@contextlib.contextmanager
def executor(guest, more=""):
    """The executor is on, and commands run as root."""
    guest.sh("systemctl start infiniservice-exec.socket")
    try:
        with configured(guest, ROOT + more):
            yield
    finally:
        guest.sh("systemctl stop infiniservice-exec.socket infiniservice-exec.service")


def running(guest, marker):
    return guest.run("pgrep -f '[%s]%s'" % (marker[0], marker[1:])).split()


def units(guest):
    return guest.sh("systemctl list-units --all --plain --no-legend 'infiniservice-cmd-*' 'infiniservice-detached-*' 'infiniservice-keep-*' | cut -d' ' -f1").split()
