# SPDX-License-Identifier: MIT
"""A package repository in the guest, which is the only one that apt knows there for a while."""

import contextlib
import shlex

PLACE = "/srv/story-repository"
PACKAGE = "infini-story"  # of with_setuid
SOURCES = "/etc/apt/sources.list /etc/apt/sources.list.d/*.list /etc/apt/sources.list.d/*.sources"
LIST = "/etc/apt/sources.list.d/story.list"

# make NAME VERSION POSTINST MODE: a package of one program, which has this mode.
TOOLS = r"""
set -e; mkdir -p %(place)s; cd %(place)s
make() {
	mkdir -p tree/DEBIAN tree/usr/bin
	printf 'Package: %%s\nVersion: %%s\nArchitecture: all\nMaintainer: A Story <story@example.org>\nSection: misc\nPriority: optional\n' $1 $2 >tree/DEBIAN/control
	printf 'Installed-Size: 12\nDescription: a package of the story %%s\n' $1 >>tree/DEBIAN/control
	printf '#!/bin/sh\necho %%s\n' $2 >tree/usr/bin/$1; chmod $4 tree/usr/bin/$1
	printf '#!/bin/sh\n%%s\n' "$3" >tree/DEBIAN/postinst; chmod 755 tree/DEBIAN/postinst
	dpkg-deb --root-owner-group -Zgzip -z1 -b tree $1_$2_all.deb >/dev/null; rm -rf tree
}
index() {
	for deb in *.deb; do
		dpkg-deb -f $deb
		printf 'Filename: ./%%s\nSize: %%s\nSHA256: %%s\n\n' $deb $(stat -c %%s $deb) $(sha256sum $deb | cut -d' ' -f1)
	done >Packages
}
""" % {"place": PLACE}
UPDATE = "apt-get -q update >/dev/null\n"
AWAY = "for f in %s; do test ! -f $f || mv $f $f.away; done; echo 'deb [trusted=yes] file:%s ./' >%s" % (SOURCES, PLACE, LIST)
BACK = ("rm -rf %s %s /var/lib/apt/lists/*story-repository*; "
        "for f in /etc/apt/sources.list.away /etc/apt/sources.list.d/*.away; do test ! -f $f || mv $f ${f%%.away}; done" % (PLACE, LIST))


def made(package):
    """The line of shell for one: (name, version, postinst) or (name, version, postinst, mode), or the path of a file in the guest."""
    if isinstance(package, str):
        return "cp %s ." % shlex.quote(package)
    name, version, postinst, mode = (*package, "755")[:4]
    return "make %s %s %s %s" % (name, version, shlex.quote(postinst), mode)


def publish(guest, *packages):
    """These come to those that are there; of one package apt takes the newest."""
    guest.sh(TOOLS + "\n".join(made(package) for package in packages) + "\nindex\n" + UPDATE, 120)


def refresh(guest, script):
    """Runs the script among the repository's files, and lets apt read them again."""
    guest.sh(TOOLS + script + "\n" + UPDATE, 120)


@contextlib.contextmanager
def repository(guest, *packages):
    guest.sh(AWAY)
    try:
        publish(guest, *packages)
        yield
    finally:
        names = {package[0] for package in packages if not isinstance(package, str)}
        if names:
            guest.run("dpkg --purge " + " ".join(sorted(names)), 60)
        guest.run(BACK)


def with_setuid(guest, postinst="true"):
    """A repository with one package, whose program /usr/bin/infini-story is setuid."""
    return repository(guest, (PACKAGE, "1", postinst, "4755"))
