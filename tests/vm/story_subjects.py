# SPDX-License-Identifier: MIT
"""What a sample says of units, control groups, clock, limits and the machine, against the guest's own tools."""

from agent_guest import host
from guest import wait_for
from stories import story


def fresh(port):
    """A sample that was asked for now: the first one to come may be older, as a new session begins with the latest."""
    del port.seen[:]
    for _ in range(2):
        port.send({"type": "Metrics"})
        data = port.expect("metrics")["data"]
    return data


@story(limit_s=60)
def failed_and_restarting_units_are_those_of_systemctl(guest):
    guest.sh("systemd-run --unit=breaks false; systemd-run --unit=loops -p Restart=always -p RestartSec=600 true")
    wait_for(lambda: guest.run("systemctl is-failed breaks && systemctl show -P SubState loops | grep auto-restart").status == 0, 20, 0.5,
             "one fails, the other waits")
    try:
        with host(guest) as port:
            units = fresh(port)["units"]
        listed = [line.split()[0] for line in guest.sh("systemctl list-units --failed --plain --no-legend").splitlines()]
        assert sorted(units["failed"]) == sorted(listed) and units["failed_total"] == len(listed), (units, listed)
        assert units["restarting"] == ["loops.service"] and units["restarting_total"] == 1, units
    finally:
        guest.run("systemctl stop loops; systemctl reset-failed breaks loops")


@story(limit_s=90)
def a_busy_unit_is_listed_as_its_control_group_has_it(guest):
    group = "/sys/fs/cgroup/system.slice/burns.service/"
    guest.sh("systemd-run --unit=burns -p CPUAccounting=yes -p MemoryMax=100M sh -c 'while :; do :; done'; sleep 1")
    try:
        with host(guest) as port:
            fresh(port)
            guest.sh("sleep 2")
            usage = "sed -n 's/^usage_usec //p' %scpu.stat" % group
            before, data, after = int(guest.sh(usage)), fresh(port), int(guest.sh(usage))
        rows = [row for row in data["cgroup"] if row["path"] == "/system.slice/burns.service"]
        assert data["cgroup_mode"] == "v2" and len(rows) == 1, (data["cgroup_mode"], data["cgroup"])
        row = rows[0]
        assert before <= row["cpu_us"] <= after and row["cpu_percent"] > 10 and row["kind"] == "service", (before, row, after)
        assert row["memory_max_kb"] == 100 * 1024 and row["tasks"] == int(guest.sh("cat %spids.current" % group)), row
    finally:
        guest.run("systemctl stop burns")


@story(limit_s=60)
def clock_limits_and_machine_are_what_the_guest_says_within_the_sandbox(guest):
    with host(guest) as port:
        data = fresh(port)
    assert isinstance(data["clock"]["synchronized"], bool), data["clock"]
    assert data["clock"]["source"] == guest.sh("cat /sys/devices/system/clocksource/clocksource0/current_clocksource"), data["clock"]
    assert data["limits"]["files"]["max"] == int(guest.sh("cut -f3 /proc/sys/fs/file-nr")), data["limits"]
    assert data["limits"]["threads"]["max"] == int(guest.sh("cat /proc/sys/kernel/threads-max")), data["limits"]
    assert data["guest"]["hypervisor"] == guest.sh("systemd-detect-virt"), data["guest"]
    assert data["guest"]["boot_id"] == guest.sh("cat /proc/sys/kernel/random/boot_id"), data["guest"]
    assert data["guest"]["dmi"]["vendor"] == guest.sh("cat /sys/class/dmi/id/sys_vendor"), data["guest"]
    assert data["tcp"]["sockets"]["used"] > 0 and data["users"]["source"], (data["tcp"], data["users"])
