# SPDX-License-Identifier: MIT
"""The ground the other stories stand on: none of these has the agent in it."""

import time

from stories import story

SPARE = 2
SPARE_NODE = "/dev/virtio-ports/org.infinibay.spare"
# An echo that a port without a host does not turn into a busy loop or an end: reading nothing means no host.
ECHO = "while sleep 0.02; do cat; done <>%s >&0" % SPARE_NODE


@story()
def a_script_runs_as_root_beside_the_agent(guest):
    assert "cloud-amd64" in guest.sh("uname -r")
    assert guest.sh("id -u; cat", stdin=b"given") == "0\ngiven"
    assert guest.run("exit 3").status == 3
    assert guest.run("sleep 5", limit_s=0.2).status == 124


@story()
def two_scripts_run_side_by_side(guest):
    begin = time.monotonic()
    slow = guest.background("sleep 1; echo slow")
    assert guest.sh("echo fast") == "fast"
    assert time.monotonic() - begin < 0.9
    assert slow() == "slow\n"


@story()
def systemd_came_up_whole(guest):
    assert guest.sh("systemctl is-active multi-user.target") == "active"
    assert guest.sh("systemctl --failed --plain --no-legend") == ""


@story()
def a_port_carries_bytes_both_ways(guest):
    guest.background(ECHO, 5)
    with guest.port(SPARE) as port:
        port.send_bytes(b"hello\n")
        assert port.line() == b"hello"


@story()
def a_port_is_unplugged_and_comes_back_under_another_number(guest):
    before = guest.sh("readlink " + SPARE_NODE)
    guest.unplug(SPARE)
    guest.wait("! test -e " + SPARE_NODE)
    guest.plug(SPARE, nr=9)
    guest.wait("test -e " + SPARE_NODE)
    assert guest.sh("readlink " + SPARE_NODE) != before
    guest.unplug(SPARE)
    guest.wait("! test -e " + SPARE_NODE)
    guest.plug(SPARE)
    guest.wait("test -e " + SPARE_NODE)
    assert guest.sh("readlink " + SPARE_NODE) == before


@story()
def a_stopped_guest_does_not_see_the_time_that_passes(guest):
    before = float(guest.sh("cut -d' ' -f1 /proc/uptime"))
    guest.qmp("stop")
    time.sleep(2)
    guest.qmp("cont")
    assert float(guest.sh("cut -d' ' -f1 /proc/uptime")) - before < 1.5
