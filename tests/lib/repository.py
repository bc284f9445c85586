# SPDX-License-Identifier: MIT
"""A package repository in the guest, which is the only one it knows for a while."""

import contextlib

PACKAGE = "infini-story"


@contextlib.contextmanager
def repository(guest, postinst=":"):
    """With one package in it, infini-story, which has a setuid file."""
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
