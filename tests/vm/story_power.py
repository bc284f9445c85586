# SPDX-License-Identifier: MIT
"""A reboot by way of the executor, of an agent without rights: answered first, then it happens, and nobody is told twice. Of its power-off
story_turned_off.py tells."""

import subprocess

from agent_guest import host, main_pid
from executor_guest import executor
from guest import Timeout
from stories import story


@story(limit_s=600)
def a_reboot_by_the_executor_is_answered_first_and_happens(guest):
    boot_id = guest.sh("cat /proc/sys/kernel/random/boot_id")
    with executor(guest):
        assert guest.sh("ps -o user= -p %d" % main_pid(guest)).startswith("infini")
        with host(guest, 60) as port:
            answer = port.ask("RebootSystem", "reboot", 30, delay_s=3)
            assert answer["success"], answer
            # QEMU runs with -no-reboot: it ends where the machine would begin anew, and says which of both it was.
            assert guest.monitor.wait_event("SHUTDOWN", 200)["data"]["reason"] == "guest-reset"
            try:
                guest.process.wait(30)
            except subprocess.TimeoutExpired:
                raise Timeout("the machine stays") from None
            guest.kill()
            guest.start(300)
        assert guest.sh("cat /proc/sys/kernel/random/boot_id") != boot_id
        with host(guest, 60) as port:
            port.keep_alive(1, 30)
            late = port.drain(0.5)
            assert not [m for m in port.seen + late if m.get("id") == "reboot"], late
