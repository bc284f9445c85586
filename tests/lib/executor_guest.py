# SPDX-License-Identifier: MIT
"""The privileged executor of a guest: on for a while, its units, and a package for it to install."""

import contextlib

from agent_guest import configured

ROOT = "[commands]\nallow = observe control packages power\nrun_as = root\n"
PACKAGE = "infini-story"


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
    return guest.sh("systemctl list-units --all --plain --no-legend 'infiniservice-cmd-*' 'infiniservice-keep-*' | cut -d' ' -f1").split()


@contextlib.contextmanager
def repository(guest, postinst=":"):
    """A repository in the guest with one package in it, which has a setuid file; its installation runs `postinst`."""
    guest.sh("""
        set -e; mkdir -p /srv/repo/%(p)s/DEBIAN /srv/repo/%(p)s/usr/bin; cd /srv/repo; cp /bin/true %(p)s/usr/bin/%(p)s
        chmod 4755 %(p)s/usr/bin/%(p)s
        printf 'Package: %(p)s\\nVersion: 1\\nArchitecture: all\\nMaintainer: story <s@example.org>\\nDescription: story\\n' >%(p)s/DEBIAN/control
        printf '#!/bin/sh\\n%(postinst)s\\n' >%(p)s/DEBIAN/postinst; chmod 755 %(p)s/DEBIAN/postinst
        dpkg-deb --build %(p)s %(p)s.deb >/dev/null
        { cat %(p)s/DEBIAN/control; echo "Filename: ./%(p)s.deb"; echo "Size: $(stat -c %%s %(p)s.deb)";
          echo "SHA256: $(sha256sum %(p)s.deb | cut -d' ' -f1)"; } >Packages
        mkdir -p /srv/apt; mv /etc/apt/sources.list* /srv/apt/; echo 'deb [trusted=yes] file:/srv/repo ./' >/etc/apt/sources.list
        apt-get update >/dev/null 2>&1
    """ % {"p": PACKAGE, "postinst": postinst}, 60)
    try:
        yield
    finally:
        guest.sh("rm -rf /etc/apt/sources.list*; mv /srv/apt/* /etc/apt/; rm -rf /srv/repo /srv/apt")
