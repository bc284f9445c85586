# SPDX-License-Identifier: MIT
"""What of this project goes into the guest: the programs just built and the files of packaging/, where a package puts them."""

import os

from image import Overlay

TOP = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
PORTS = ("org.infinibay.agent", "org.infinibay.spare")
PLACES = {
    "infiniservice": "/usr/bin/infiniservice",
    "infiniservice-exec": "/usr/libexec/infiniservice-exec",
    "infinictl": "/usr/bin/infinictl",
}
PACKAGING = {
    "infiniservice.service": "/usr/lib/systemd/system/infiniservice.service",
    "infiniservice-port@.service": "/usr/lib/systemd/system/infiniservice-port@.service",
    "60-infiniservice.rules": "/usr/lib/udev/rules.d/60-infiniservice.rules",
    "sysusers.conf": "/usr/lib/sysusers.d/infiniservice.conf",
}


def build_dir():
    return os.path.abspath(os.environ.get("BUILD", os.path.join(TOP, "build")))


def built(name):
    return os.path.join(build_dir(), name)


def overlay():
    files = Overlay()
    for name, place in PLACES.items():
        if os.path.exists(built(name)):
            files.copy(place, built(name), 0o755)
    for name, place in PACKAGING.items():
        source = os.path.join(TOP, "packaging", name)
        if os.path.exists(source):
            files.copy(place, source, 0o644)
    return files


def evidence(guest):
    """What a failure's reader wants to see."""
    return guest.sh("journalctl -u 'infiniservice*' -n 40 --no-pager -o short-monotonic 2>&1; ls -l /dev/virtio-ports", 15)
