# SPDX-License-Identifier: MIT
"""A package repository in the guest, which is the only one that apt knows there for a while. Its packages are made here: dpkg-deb for each
would keep an emulated processor busy for seconds."""

import contextlib
import hashlib
import io
import shlex
import tarfile
import time

PLACE = "/srv/story-repository"
PACKAGE = "infini-story"  # of with_setuid
SOURCES = "/etc/apt/sources.list /etc/apt/sources.list.d/*.list /etc/apt/sources.list.d/*.sources"
LIST = "/etc/apt/sources.list.d/story.list"

UPDATE = "apt-get -q update >/dev/null\n"
AWAY = "for f in %s; do test ! -f $f || mv $f $f.away; done; echo 'deb [trusted=yes] file:%s ./' >%s\n" % (SOURCES, PLACE, LIST)
BACK = ("rm -rf %s %s /var/lib/apt/lists/*story-repository*; "
        "for f in /etc/apt/sources.list.away /etc/apt/sources.list.d/*.away; do test ! -f $f || mv $f ${f%%.away}; done" % (PLACE, LIST))
# A package that is a file of the guest: the file, and its lines of the index.
GIVEN = """cp %(path)s %(place)s/%(name)s; cd %(place)s
{ dpkg-deb -f %(name)s; printf 'Filename: ./%%s\\nSize: %%s\\nSHA256: %%s\\n\\n' %(name)s $(stat -c %%s %(name)s) $(sha256sum <%(name)s | cut -d' ' -f1); } >>Packages
"""
there = []  # what is published now


def archive(*files):
    """A tar of (path, mode, bytes), each below the folders that lead to it: all of it is root's."""
    out, folders = io.BytesIO(), set()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.GNU_FORMAT) as tar:
        def add(path, mode, kind, data=b""):
            entry = tarfile.TarInfo(path)
            entry.mode, entry.type, entry.size, entry.uname, entry.gname = mode, kind, len(data), "root", "root"
            entry.mtime = int(time.time())
            tar.addfile(entry, io.BytesIO(data))

        for path, mode, data in files:
            parts = path.split("/")
            for folder in ("/".join(parts[:count]) for count in range(1, len(parts))):
                if folder not in folders:
                    folders.add(folder)
                    add(folder, 0o755, tarfile.DIRTYPE)
            add(path, mode, tarfile.REGTYPE, data.encode() if isinstance(data, str) else data)
    return out.getvalue()


def member(name, data):
    """One of an ar archive (deb(5))."""
    return b"%-16s%-12d%-6d%-6d%-8s%-10d`\n" % (name, 0, 0, 0, b"100644", len(data)) + data + b"\n" * (len(data) % 2)


def made(name, version, postinst, mode="755"):
    """(file name, bytes, lines of the index) of a package of one program, which has this mode."""
    control = ("Package: %s\nVersion: %s\nArchitecture: all\nMaintainer: A Story <story@example.org>\nSection: misc\nPriority: optional\n"
               "Installed-Size: 12\nDescription: a package of the story %s\n" % (name, version, name))
    deb = (b"!<arch>\n" + member(b"debian-binary", b"2.0\n")
           + member(b"control.tar", archive(("./control", 0o644, control), ("./postinst", 0o755, "#!/bin/sh\n%s\n" % postinst)))
           + member(b"data.tar", archive(("./usr/bin/" + name, int(mode, 8), "#!/bin/sh\necho %s\n" % version))))
    file = "%s_%s_all.deb" % (name, version)
    return file, deb, control + "Filename: ./%s\nSize: %d\nSHA256: %s\n\n" % (file, len(deb), hashlib.sha256(deb).hexdigest())


def laid_down(packages):
    """The script that makes these the repository's, and its standard input."""
    debs = [made(*package) for package in packages if not isinstance(package, str)]
    files = [("./" + file, 0o644, deb) for file, deb, _ in debs] + [("./Packages", 0o644, "".join(lines for _, _, lines in debs))]
    given = [GIVEN % {"path": shlex.quote(path), "name": path.rpartition("/")[2], "place": PLACE} for path in packages if isinstance(path, str)]
    # By the guest's clock they are new: apt reads again what is newer.
    return "set -e; mkdir -p %s; tar -xmf - -C %s\n%s" % (PLACE, PLACE, "".join(given)), archive(*files)


def publish(guest, *packages, before="", then=""):
    """These come to those that are there; of one package apt takes the newest. What comes then may change the files before apt reads them."""
    there.extend(packages)
    script, files = laid_down(there)
    guest.sh(before + script + "cd %s\n%s\n" % (PLACE, then) + UPDATE, 120, files)


def unpack(guest, *names):
    """Installs packages of the repository without apt or the agent: they are only what something else is tried with."""
    guest.sh("dpkg -i %s" % " ".join("%s/%s_*.deb" % (PLACE, name) for name in names), 60)


@contextlib.contextmanager
def repository(guest, *packages):
    """A package is (name, version, postinst) or (name, version, postinst, mode), or the path of a file in the guest."""
    del there[:]
    try:
        publish(guest, *packages, before=AWAY)
        yield
    finally:
        names = sorted({package[0] for package in packages if not isinstance(package, str)})
        guest.run(("dpkg --purge %s\n" % " ".join(names) if names else "") + BACK, 60)


def with_setuid(guest, postinst="true"):
    """A repository with one package, whose program /usr/bin/infini-story is setuid."""
    return repository(guest, (PACKAGE, "1", postinst, "4755"))
