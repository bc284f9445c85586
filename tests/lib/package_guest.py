# SPDX-License-Identifier: MIT
"""The package in a guest: installing and removing it, what it brought along, and how its services are."""

import functools
import re
import time

import stories
from guest import SLOW, wait_for

PLACE = "/var/tmp/packages/"
NOW = PLACE + "now.deb"
BEFORE = PLACE + "before.deb"
HOST = PLACE + "host.deb"
# What other programs write while the package comes and goes.
FOREIGN = ("/proc", "/sys", "/dev", "/run", "/tmp", "/var/tmp", "/var/lib/dpkg", "/var/cache", "/var/log/journal", "/var/log/apt",
           "/var/log/dpkg.log", "/var/lib/systemd", "/var/lib/apt", "/root", "/etc/systemd/system/multi-user.target.wants")
LOG = "/var/log/infiniservice"


def dpkg(guest, arguments):
    return guest.sh("DEBIAN_FRONTEND=noninteractive dpkg %s 2>&1" % arguments, 100)


def allow_starts(guest):
    """An image is made with a policy that nothing is started."""
    guest.sh("rm -f /usr/sbin/policy-rc.d")


def install(guest, package=NOW):
    allow_starts(guest)
    # The image leaves out what nobody reads there, and so would its dpkg.
    return dpkg(guest, "--path-include='/usr/share/*' -i " + package)


def story(**options):
    """A story of the installed package: one that is told alone finds it installed too."""
    def register(function):
        @functools.wraps(function)
        def told(guest):
            if guest.run("test -e /usr/sbin/infiniservice").status != 0:
                install(guest)
            function(guest)
        return stories.story(**options)(told)
    return register


def files(guest):
    """All there is but for what others write."""
    prune = " -o ".join("-path %s" % path for path in FOREIGN)
    return set(guest.sh("find / \\( %s \\) -prune -o -print" % prune, 30).splitlines())


def property_of(guest, name, unit="infiniservice"):
    return guest.sh("systemctl show -p %s --value %s" % (name, unit))


def is_active(guest, unit="infiniservice"):
    return guest.run("systemctl is-active " + unit).strip() == "active"


def uptime_s(guest):
    return float(guest.sh("cut -d' ' -f1 /proc/uptime"))


def is_back(guest, pid, limit_s=10):
    """Waits for another agent than that one to be ready; returns when it was, in seconds of the guest's uptime. To ask often would
    take the one processor from what is asked about."""
    def ready():
        said = dict(line.split("=", 1) for line in guest.sh(
            "systemctl show -p ActiveState,MainPID,ActiveEnterTimestampMonotonic infiniservice").splitlines())
        if said["ActiveState"] == "active" and said["MainPID"] != str(pid):
            return int(said["ActiveEnterTimestampMonotonic"]) / 1e6
        return None
    time.sleep(2 * SLOW)
    return wait_for(ready, limit_s, 1, "another agent than %d is ready" % pid)


# ------------------------------------------------------------------------------------------------------------- the log

def samples(guest):
    """Every logged sample, in the order of the log, as (seq, what its `gap` says or "-")."""
    text = guest.sh("infinictl log --json | cut -c 1-240 | sed -n 's/^{\"type\":\"metrics\",[^{]*\"seq\":\\([0-9]*\\),[^{]*"
                    "\"schema\":[0-9]*,\\(\"gap\":\"[a-z]*\"\\)\\?.*$/\\1 \\2/p'", 60)
    return [(int(number), gap[len('"gap":"'):-1] or "-") for number, _, gap in (line.partition(" ") for line in text.splitlines())]


def numbers(guest):
    return [number for number, _ in samples(guest)]


def last_logged(guest):
    """The number of the newest sample that is on the disk."""
    return int(re.search(r'"log":.*"last_seq":(\d+)', guest.sh("infinictl status --json | tr -d ' \\n'")).group(1))


def more_samples(guest, count=1, limit_s=10):
    """Waits for so many further samples in the log."""
    before = last_logged(guest)
    wait_for(lambda: last_logged(guest) >= before + count, limit_s, 0.1, "%d further samples in the log" % count)


# -------------------------------------------------------------------------------------------------------------- others

def as_nobody(guest, script, group=False, limit_s=20):
    """A script run by an ordinary user, who may be a member of the agent's group."""
    groups = "--groups $(id -g infiniservice)" if group else "--clear-groups"
    guest.put("/var/tmp/nobody.sh", script)
    return guest.run("setpriv --reuid 65534 --regid 65534 %s sh /var/tmp/nobody.sh 2>&1" % groups, limit_s)


class Load:
    """Commands sent one after the other, and what comes back. So many wait for their answers at most, and between two there is a moment:
    more would take the guest's one processor from what is done under the load."""
    AHEAD = 100

    def __init__(self, port, word, pause_s=0.01):
        self.port = port
        self.pause_s = pause_s
        self.word = word
        self.sent = []
        self.answers = {}
        self.handshakes = 0

    def take(self, message):
        if message["type"] == "response":
            self.answers.setdefault(message["id"], []).append(message)
        elif message["type"] == "handshake":
            self.handshakes += 1

    def one(self, **command):
        """Takes what is there, and sends a command unless too many wait."""
        if len(self.sent) - len(self.answers) >= self.AHEAD:
            for message in self.port.drain(0.1, 0.1):
                self.take(message)
            return
        name = "%s%d" % (self.word, len(self.sent))
        self.port.send(dict({"type": "SafeCommand", "id": name, "command_type": {"action": "SystemInfo"}, "timeout": 30}, **command))
        self.sent.append(name)
        end = time.monotonic() + self.pause_s
        while (left := end - time.monotonic()) > 0:
            for message in self.port.drain(left, left):
                self.take(message)

    def finish(self, limit_s=20):
        """Takes what still comes, and checks that each was answered exactly once."""
        def complete():
            for message in self.port.drain(0.1, 0.5):
                self.take(message)
            return len(self.answers) >= len(self.sent)
        try:
            wait_for(complete, limit_s, 0)
        except AssertionError:
            missing = [name for name in self.sent if name not in self.answers]
            raise AssertionError("%d of %d unanswered: %s" % (len(missing), len(self.sent), missing[:20])) from None
        for message in self.port.drain(0.3, 1):
            self.take(message)
        twice = [name for name, answers in self.answers.items() if len(answers) != 1]
        assert not twice, "answered more than once: %s" % twice
        assert set(self.answers) == set(self.sent), set(self.answers) ^ set(self.sent)
