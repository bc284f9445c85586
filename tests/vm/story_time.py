# SPDX-License-Identifier: MIT
"""Clocks that jump and machines that sleep."""

import contextlib
import time

from agent_guest import configured, host, main_pid
from guest import Timeout
from stories import Skip, story


def samples_for(port, seconds):
    """Arrival times of the samples of the next seconds, and the samples."""
    begin = time.monotonic()
    found = []
    while time.monotonic() - begin < seconds:
        with contextlib.suppress(Timeout):
            message = port.message(0.3)
            if message["type"] == "metrics":
                found.append((time.monotonic() - begin, message))
            else:
                port.seen.append(message)
    return found


@story(rows=[78], limit_s=60)
def a_clock_that_jumps_ten_years_changes_no_interval(guest):
    pid = main_pid(guest)
    with configured(guest, "[timers]\nmetrics_interval_ms = 500\n"):
        with host(guest) as port:
            for step in ("+10 years", "-20 years", "+10 years"):
                guest.sh("date -s \"$(date -d '%s' '+%%F %%T')\"" % step)
                year = int(guest.sh("date -u +%Y"))
                # What waited in the socket is not of this window: two a second, and one out of turn that tells of the step.
                found = [(at, message) for at, message in samples_for(port, 3) if at > 0.05]
                assert 5 <= len(found) <= 8, (step, [at for at, _ in found])
                stamped = [int(message["timestamp"][:4]) for _, message in found]
                assert stamped[-1] == year, (step, stamped)
            port.keep_alive(78)
    assert main_pid(guest) == pid


@story(rows=[78], limit_s=60)
def a_step_of_the_clock_is_reported_at_once_however_long_the_interval(guest):
    with configured(guest, "[timers]\nmetrics_interval_ms = 600000\n"):
        with host(guest) as port:
            port.drain(1)
            guest.sh("date -s \"$(date -d '+1 hour' '+%F %T')\"")
            hour = guest.sh("date -u +%FT%H")
            begin = time.monotonic()
            message = port.message(5)
            assert message["timestamp"].startswith(hour), (message["timestamp"], hour)
            assert time.monotonic() - begin < 3
            guest.sh("date -s \"$(date -d '-1 hour' '+%F %T')\"")


@story(rows=[79], limit_s=90)
def a_machine_that_slept_reports_once_and_marks_the_gap(guest):
    pid = main_pid(guest)
    if guest.run("grep -qw mem /sys/power/state").status != 0:
        raise Skip("the guest's kernel cannot suspend")
    with configured(guest, "[timers]\nmetrics_interval_ms = 1000\n"):
        with host(guest) as port:
            port.expect("metrics")
            guest.background("sleep 0.2; echo mem >/sys/power/state", 60)
            guest.monitor.wait_event("SUSPEND", 20)
            time.sleep(5)
            guest.qmp("system_wakeup")
            guest.monitor.wait_event("WAKEUP", 20)
            found = samples_for(port, 4)
            assert found, "a sample after the sleep"
            assert len(found) <= 7, [at for at, _ in found]
        with host(guest) as port:
            port.keep_alive(79)
    assert main_pid(guest) == pid
