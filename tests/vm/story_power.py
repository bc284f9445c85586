# SPDX-License-Identifier: MIT
"""Reboot and power-off by way of the executor, of an agent without rights: answered first, then they happen, and nobody is told twice."""

import subprocess

from agent_guest import host, main_pid
from executor_guest import executor
from guest import Timeout
from stories import story


def goes_down(guest, reason):
    """QEMU runs with -no-reboot: it ends where the machine would begin anew, and says which of both it was."""
    assert guest.monitor.wait_event("SHUTDOWN", 200)["data"]["reason"] == reason
    try:
        guest.process.wait(30)
    except subprocess.TimeoutExpired:
        raise Timeout("the machine stays") from None
    guest.kill()
    guest.start(300)


def told(guest, action, command_id, reason):
    boot_id = guest.sh("cat /proc/sys/kernel/random/boot_id")
    with executor(guest):
        assert guest.sh("ps -o user= -p %d" % main_pid(guest)).startswith("infini")
        with host(guest, 60) as port:
            answer = port.ask(action, command_id, 30, delay_s=3)
            assert answer["success"], answer
            goes_down(guest, reason)
        assert guest.sh("cat /proc/sys/kernel/random/boot_id") != boot_id
        with host(guest, 60) as port:
            port.keep_alive(1, 30)
            late = port.drain(0.5)
            assert not [m for m in port.seen + late if m.get("id") == command_id], late


@story(limit_s=600)
def a_reboot_by_the_executor_is_answered_first_and_happens(guest):
    told(guest, "RebootSystem", "reboot", "guest-reset")


@story(limit_s=600)
def a_shutdown_by_the_executor_is_answered_first_and_happens(guest):
    told(guest, "ShutdownSystem", "off", "guest-shutdown")
