# SPDX-License-Identifier: MIT
"""The agent in the guest: where its files go, its host's end of the port, and what can be seen of it from outside."""

import contextlib
import os
import sys
import time

from guest import HostPort, wait_for
from image import TOP, Overlay, Unavailable, build_dir

sys.path.insert(0, os.path.join(TOP, "tests", "integration"))
import schema  # noqa: E402  pylint: disable=wrong-import-position

PORTS = ("org.infinibay.agent", "org.infinibay.spare")
AGENT_NODE = "/dev/virtio-ports/org.infinibay.agent"
PLACES = {
    "infiniservice": "/usr/sbin/infiniservice",
    "infiniservice-exec": "/usr/libexec/infiniservice-exec",
    "infinictl": "/usr/bin/infinictl",
}
UNITS = "/lib/systemd/system/"
PACKAGING = {
    "60-infiniservice.rules": "/lib/udev/rules.d/60-infiniservice.rules",
    "sysusers.conf": "/usr/lib/sysusers.d/infiniservice.conf",
    "infiniservice.conf": "/etc/infiniservice/infiniservice.conf",
}
# As its own user the agent runs commands itself; story_executor.py tells of those that need more.
CONFIG = "[commands]\nallow_unsafe = yes\nrun_as = infiniservice\n"


def overlay():
    """Where `make install` puts things, and the service enabled."""
    files = Overlay()
    for name, place in PLACES.items():
        if not os.path.exists(os.path.join(build_dir(), name)):
            raise Unavailable("%s is not built" % name)
        files.copy(place, os.path.join(build_dir(), name), 0o755)
    packaging = os.path.join(TOP, "packaging")
    units = {name: UNITS + name for name in os.listdir(packaging) if name.endswith((".service", ".socket"))}
    for name, place in sorted(dict(PACKAGING, **units).items()):
        files.copy(place, os.path.join(packaging, name), 0o644)
    files.link("/etc/systemd/system/multi-user.target.wants/infiniservice.service", UNITS + "infiniservice.service")
    files.file("/etc/infiniservice/conf.d/10-stories.conf", CONFIG)
    return files


def evidence(guest):
    """What a failure's reader wants to see."""
    return guest.sh("journalctl -u 'infiniservice*' -n 40 --no-pager -o short-monotonic; ls -l /dev/virtio-ports", 15)


# ----------------------------------------------------------------------------------------------------- the host's end

class AgentPort(HostPort):
    """Every line is checked against the protocol as a host needs it."""
    last_left = 0.0

    def close(self):
        super().close()
        AgentPort.last_left = time.monotonic()

    def message(self, limit_s=None):
        return schema.parse_line(self.line(limit_s))

    def ask(self, action, command_id, timeout_s=30, **parameters):
        self.send(command(action, command_id, timeout_s, **parameters))
        return self.response(command_id, timeout_s + 2)

    def execute(self, script, command_id, timeout_s=30):
        self.send(unsafe(script, command_id, timeout_s))
        return self.response(command_id, timeout_s + 2)

    def status(self, command_id="status"):
        self.send({"type": "Status", "id": command_id})
        return self.response(command_id)["data"]

    def keep_alive(self, number, limit_s=5):
        """A round trip that touches nothing but the agent's loop."""
        self.send({"type": "keep_alive_request", "sequence_number": number, "timestamp": "2026-01-01T00:00:00.000Z"})
        return self.expect(lambda m: m["type"] == "keep_alive" and m["sequence_number"] == number, limit_s)


def command(action, command_id, timeout_s=30, **parameters):
    return {"type": "SafeCommand", "id": command_id, "command_type": dict(parameters, action=action), "params": None,
            "timeout": timeout_s}


def unsafe(script, command_id, timeout_s=30):
    return {"type": "UnsafeCommand", "id": command_id, "raw_command": script, "timeout": timeout_s}


@contextlib.contextmanager
def host(guest, limit_s=10, kind=AgentPort):
    """A host that connects and is greeted. Like real ones it does not come back within the same second: on a
    virtio port such a change of hosts looks like nothing but a port that became writable."""
    time.sleep(max(0, AgentPort.last_left + 1.2 - time.monotonic()))
    port = kind(guest.path("port1"), limit_s)
    try:
        port.handshake = port.expect("handshake")
        yield port
    finally:
        port.close()


# ------------------------------------------------------------------------------------------------ seen from outside

def main_pid(guest):
    return int(guest.sh("systemctl show -p MainPID --value infiniservice"))


def restarts(guest):
    return int(guest.sh("systemctl show -p NRestarts --value infiniservice"))


def processes(guest):
    """All processes of the service: the agent, its helpers, its commands."""
    return [int(pid) for pid in guest.sh(
        "cat $(find /sys/fs/cgroup/system.slice/infiniservice.service -name cgroup.procs)").split()]


def resources(guest):
    """Open descriptors of the agent itself, without those that it has of each process of the guest, and its private dirty memory."""
    pid = main_pid(guest)
    text = guest.sh("ls -l /proc/%d/fd | grep -vc ' /proc/[0-9]'; sed -n 's/^Private_Dirty: *//p' /proc/%d/smaps_rollup" % (pid, pid))
    fds, dirty = text.split()[:2]
    return int(fds), int(dirty)


def switches(guest, pid):
    """How often the process was put on a CPU, of its own will or not."""
    text = guest.sh("sed -n 's/.*ctxt_switches:\\s*//p' /proc/%d/status" % pid)
    return sum(int(number) for number in text.split())


def wakeups(guest, pid):
    """How often it went to sleep, and so was woken: being preempted while it works is none."""
    return int(guest.sh("sed -n 's/^voluntary_ctxt_switches:\\s*//p' /proc/%d/status" % pid))


def cpu_ns(guest, pid):
    return int(guest.sh("cut -d' ' -f1 /proc/%d/schedstat" % pid))


def logged(guest):
    """Samples in the local log so far; the log is plain text as long as a segment is young."""
    return int(guest.sh("cat /var/log/infiniservice/*.ndjson | grep -c '\"type\":\"metrics\"'"))


@contextlib.contextmanager
def configured(guest, text):
    """Other settings for a while, by a drop-in and a reload; restored likewise."""
    path = "/etc/infiniservice/conf.d/90-story.conf"
    guest.sh("cat >%s && systemctl reload infiniservice" % path, stdin=text.encode())
    try:
        yield
    finally:
        guest.sh("rm -f %s; systemctl reload infiniservice || systemctl restart infiniservice" % path)


def freshly_started(guest):
    """The service as after a boot, the port with it."""
    guest.sh("rm -f /etc/infiniservice/conf.d/90-story.conf; systemctl restart infiniservice")
    wait_for(lambda: port_is_open(guest), 10, 0.1, "the agent opens its port")


def port_is_open(guest):
    # By the shell itself: a program would be started for each of many looks.
    look = ("for f in /sys/kernel/debug/virtio-ports/*; do t=; while read -r l; do t=\"$t$l;\"; done <$f;"
            "case $t in *org.infinibay.agent*'guest_connected: 1'*) exit 0;; esac; done; exit 1")
    return guest.run(look).status == 0
