# SPDX-License-Identifier: MIT
"""A kernel that was started with psi=0 and the control groups of version 1, as older distributions are."""

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
def a_kernel_whose_psi_is_switched_off_gives_null_and_the_reason(guest):
    assert "psi=0" in guest.sh("cat /proc/cmdline")
    with host(guest) as port:
        data = fresh(port)
    nothing = {"some": None, "full": None, "reason": "unsupported"}
    assert data["system"]["pressure"] == {"cpu": nothing, "memory": nothing, "io": nothing}, data["system"]["pressure"]
    assert "failed_collectors" not in data, data["failed_collectors"]


@story(limit_s=90)
def control_groups_of_version_1_are_listed_as_their_files_have_them(guest):
    assert guest.sh("stat -f -c %T /sys/fs/cgroup") == "tmpfs"
    guest.sh("systemd-run --unit=burns -p CPUAccounting=yes -p MemoryAccounting=yes sh -c 'while :; do :; done'")
    try:
        guest.sh("sleep 2")
        with host(guest) as port:
            fresh(port)
            guest.sh("sleep 2")
            usage = "cat /sys/fs/cgroup/cpuacct/system.slice/burns.service/cpuacct.usage"
            before, data, after = int(guest.sh(usage)), fresh(port), int(guest.sh(usage))
        rows = [row for row in data["cgroup"] if row["path"] == "/system.slice/burns.service"]
        assert data["cgroup_mode"] in ("v1", "hybrid") and len(rows) == 1, (data["cgroup_mode"], data["cgroup"])
        assert before // 1000 <= rows[0]["cpu_us"] <= after // 1000, (before, rows[0], after)
        assert rows[0]["memory_kb"] > 0 and rows[0]["pressure"]["cpu"] is None and rows[0]["reason"] == "unsupported", rows[0]
    finally:
        guest.run("systemctl stop burns")


@story(limit_s=60)
def a_unit_that_fails_is_named_as_systemctl_has_it(guest):
    guest.sh("systemd-run --unit=breaks false")
    wait_for(lambda: "breaks" in guest.sh("systemctl list-units --failed --plain --no-legend"), 20, 0.5, "the unit fails")
    try:
        with host(guest) as port:
            units = fresh(port)["units"]
        listed = [line.split()[0] for line in guest.sh("systemctl list-units --failed --plain --no-legend").splitlines()]
        assert sorted(units["failed"]) == sorted(listed) and units["failed_total"] == len(listed), (units, listed)
    finally:
        guest.run("systemctl reset-failed breaks")
