# SPDX-License-Identifier: MIT
"""A guest that moves to another machine while it runs."""

from agent_guest import AgentPort, host, main_pid
from stories import story


@story(rows=[51], limit_s=120)
def a_guest_that_is_migrated_goes_on_with_the_host_it_finds_there(guest):
    pid = main_pid(guest)
    with host(guest) as port:
        port.keep_alive(1)
        guest.migrate()
    with AgentPort(guest.path("port1")) as port:
        port.send_bytes(b"\n")
        port.keep_alive(2)
        port.ask("SystemInfo", "in the new place")
    with host(guest) as port:
        port.ask("SystemInfo", "greeted there too")
    assert main_pid(guest) == pid
