# SPDX-License-Identifier: MIT
"""A host of the QEMU guest agent's language on a real port beside the agent's own: the spare one, which qga.spec names."""

import contextlib
import json
import time

from agent_guest import freshly_started, host, main_pid, wakeups
from guest import Timeout, wait_for
from stories import story

SPARE = 2
CONFIG = "[qga]\nspec = virtio:org.infinibay.spare\n[timers]\nmetrics_interval_ms = 3600000\nhealth_interval_ms = 3600000\n"
SYNC = b'{"execute":"guest-sync-delimited","arguments":{"id":%d}}'


@contextlib.contextmanager
def second_port(guest, more=""):
    """The agent with its second port, given to it by its own start."""
    guest.sh("cat >/etc/infiniservice/conf.d/90-story.conf && systemctl restart infiniservice", stdin=(CONFIG + more).encode())
    try:
        wait_for(lambda: connected(guest), 20, 0.2, "the agent opens the second port")
        yield
    finally:
        freshly_started(guest)


def connected(guest):
    return guest.run("grep -q 'guest_connected: 1' $(grep -l org.infinibay.spare /sys/kernel/debug/virtio-ports/*)").status == 0


@contextlib.contextmanager
def qga(guest, apart=True):
    """A connection; `apart`: not within a second of the one before it."""
    if apart:
        time.sleep(1.2)
    with guest.port(SPARE) as port:
        yield port


def synchronized(port, number, more=b"", limit_s=10):
    """Sends a delimited sync and what follows it; the line behind the answer of that sync is the next to be read."""
    port.send_bytes(SYNC % number + more)
    wanted = b'\xff{"return":%d}' % number
    end = time.monotonic() + limit_s
    while (line := port.line(max(0.1, end - time.monotonic()))) != wanted:
        assert not line.startswith(b"\xff"), line


def answer(port, limit_s=10):
    return json.loads(port.line(limit_s))


@story(limit_s=90)
def both_languages_are_answered_each_on_its_port(guest):
    with second_port(guest), host(guest) as own, qga(guest) as port:
        assert guest.sh("stat -L -c '%U %a' /dev/virtio-ports/org.infinibay.spare") == "infiniservice 600"
        synchronized(port, 1, b'{"execute":"guest-info"}')
        commands = {row["name"]: row["enabled"] for row in answer(port)["return"]["supported_commands"]}
        assert commands["guest-get-fsinfo"] and not commands["guest-exec"]
        for number in range(20):
            port.send_bytes(b'{"execute":"guest-sync","arguments":{"id":%d}}' % number)
            own.keep_alive(number)
            assert answer(port) == {"return": number}
        # Nothing is said unasked, whatever the other port says.
        own.send({"type": "Metrics"})
        own.expect("metrics", 20)
        try:
            raise AssertionError("said unasked: %r" % port.line(1))
        except Timeout:
            pass


@story(limit_s=120)
def answers_come_within_a_second_and_describe_the_guest(guest):
    with second_port(guest), qga(guest) as port:
        synchronized(port, 2)
        answers = {}
        for name in ("guest-get-osinfo", "guest-get-host-name", "guest-get-users", "guest-get-timezone", "guest-network-get-interfaces",
                     "guest-get-fsinfo", "guest-get-disks", "guest-get-vcpus", "guest-get-memory-block-info", "guest-get-cpustats"):
            begin = time.monotonic()
            port.send_bytes(b'{"execute":"%s"}' % name.encode())
            answers[name] = answer(port)["return"]
            assert time.monotonic() - begin < 1, name
        assert answers["guest-get-host-name"]["host-name"] == guest.sh("hostname").strip()
        assert answers["guest-get-osinfo"]["kernel-release"] == guest.sh("uname -r").strip()
        root = next(row for row in answers["guest-get-fsinfo"] if row["mountpoint"] == "/")
        assert root["name"] == guest.sh("basename $(findmnt -n -o SOURCE /)").strip(), root
        assert root["disk"][0]["bus-type"] == "virtio" and root["disk"][0]["pci-controller"]["slot"] >= 0, root
        assert 0 < root["used-bytes"] < root["total-bytes"]


@story(limit_s=120)
def hosts_that_come_and_go_in_the_middle_of_a_request_leave_the_next_one_its_answers(guest):
    halves = (b'{"execute":"guest-pi', b'{"execute":"guest-get-fsinfo"}{"execute":"guest-get-disks"', b'{"execute":"guest-info"}' * 20)
    with second_port(guest):
        for number, half in enumerate(halves * 2, 100):
            with qga(guest, apart=number < 103) as port:  # then at once: such a change the port does not show
                port.send_bytes(half)
            with qga(guest, apart=number < 103) as port:
                port.send_bytes(b"\xff")
                synchronized(port, number, b'{"execute":"guest-ping"}')
                assert answer(port) == {"return": {}}


@story(limit_s=120)
def a_second_port_without_a_host_wakes_nobody(guest):
    with second_port(guest):
        with qga(guest) as port:
            synchronized(port, 3)
        pid = main_pid(guest)
        time.sleep(3)
        before = wakeups(guest, pid)
        time.sleep(10)
        # the watchdog's half time may lie in between
        assert wakeups(guest, pid) - before <= 1, wakeups(guest, pid) - before
        with qga(guest) as port:
            synchronized(port, 4)


@story(limit_s=90)
def requests_wait_over_a_restart_of_the_agent(guest):
    with second_port(guest):
        with qga(guest) as port:
            synchronized(port, 5)
            restarted = guest.background("systemctl restart infiniservice", 30)
            for number in range(6, 12):
                synchronized(port, number, limit_s=20)
                time.sleep(0.2)
            restarted()


@story(limit_s=90)
def a_port_that_another_program_holds_stays_its_own_and_is_told(guest):
    holder = guest.background("exec 9<>/dev/virtio-ports/org.infinibay.spare; sleep 12", 30)
    wait_for(lambda: connected(guest), 5, 0.1)
    guest.sh("cat >/etc/infiniservice/conf.d/90-story.conf && systemctl restart infiniservice", stdin=CONFIG.encode())
    try:
        guest.wait("infinictl status | grep -q 'state: backoff'", 10)
        with host(guest) as own:
            told = own.expect(lambda m: m["type"] == "agent_event" and "another program holds it" in m["message"], 10)
            assert "org.infinibay.spare" in told["message"] or "vport" in told["message"], told
        holder()
        with qga(guest) as port:
            wait_for(lambda: guest.run("infinictl status | grep -A3 qga: | grep -q connected").status == 0, 40, 0.5)
            synchronized(port, 6)
    finally:
        freshly_started(guest)
