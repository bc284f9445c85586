# SPDX-License-Identifier: MIT
"""Values that only a machine whose parts come and go can get wrong."""

import time

from agent_guest import configured, host, main_pid
from stories import Skip, story

CPU = "/sys/devices/system/cpu/cpu1/online"


def plug_cpu(guest):
    """A second processor, which the machine was made with room for. It stays; what a story leaves is that it is offline."""
    if guest.run("test -e " + CPU).status != 0:
        free = [cpu for cpu in guest.qmp("query-hotpluggable-cpus") if "qom-path" not in cpu]
        if not free:
            raise Skip("this machine has no room for another processor")
        guest.qmp("device_add", driver=free[0]["type"], id="cpu1", **free[0]["props"])
        guest.wait("test -e " + CPU, 60)
    guest.sh("echo 1 >%s 2>/dev/null; grep -q 1 %s" % (CPU, CPU))


def cpu_of(port):
    return port.expect("metrics")["data"]["system"]["cpu"]


@story(limit_s=150)
def a_processor_that_goes_and_comes_back_is_no_full_load(guest):
    pid = main_pid(guest)
    plug_cpu(guest)
    resets = changes = 0
    with configured(guest, "[timers]\nmetrics_interval_ms = 500\n"):
        with host(guest) as port:
            for _ in range(3):
                for state in ("0", "1"):
                    # Idle for a while: that is the time which is lost, and gained again.
                    time.sleep(3)
                    guest.sh("echo %s >%s" % (state, CPU))
                    del port.seen[:]
                    begin, counts = time.monotonic(), set()
                    while time.monotonic() - begin < 3:
                        cpu = cpu_of(port)
                        cores, total = cpu["cores_usage"], cpu["usage_percent"]
                        counts.add(len(cores))
                        resets += "cores_reset" in cpu
                        assert ("cores_reset" in cpu) <= (cpu["state"] == "reset"), cpu
                        # A core that is really busy makes the total so, however busy this machine is.
                        assert all(core <= total * len(cores) + 15 for core in cores), cpu
                    changes += len(counts) > 1
            assert guest.sh("nproc") == "2", guest.sh("nproc")
    guest.sh("echo 0 >" + CPU)
    assert resets >= 2, (resets, changes)
    assert main_pid(guest) == pid
