# SPDX-License-Identifier: MIT
"""The package upgraded by a command to the agent that is in it: agent and executor are replaced in the middle of it, and it is answered once."""

import time

from agent_guest import configured, host, main_pid, port_is_open
from guest import wait_for
from repository import repository
from stories import story

BEFORE = "/var/tmp/packages/before.deb"
NOW = "/var/tmp/packages/now.deb"
POLICY = "[commands]\nallow = observe packages\n"


def version(guest):
    return guest.sh("dpkg-query -W -f '${Version}' infiniservice")


def pid_of_executor(guest):
    return int(guest.sh("systemctl show -p MainPID --value infiniservice-exec"))


@story(limit_s=400)
def the_agent_upgrades_itself_and_answers_once(guest):
    guest.sh("rm -f /usr/sbin/policy-rc.d; DEBIAN_FRONTEND=noninteractive apt-get -q -y --allow-downgrades install %s 2>&1" % BEFORE, 300)
    before = version(guest)
    try:
        with repository(guest, NOW):
            guest.sh("systemctl start infiniservice-exec.socket", 120)
            wait_for(lambda: port_is_open(guest), 150, 0.3, "the agent opens its port")
            with configured(guest, POLICY):
                with host(guest, 300) as port:
                    agent = main_pid(guest)
                    begin = time.monotonic()
                    port.send({"type": "SafeCommand", "id": "upgrade", "timeout": 500,
                               "command_type": {"action": "PackageUpdate", "package": "infiniservice"}})
                    wait_for(lambda: pid_of_executor(guest) != 0, 200, 0.3, "the executor is at work")
                    executor = pid_of_executor(guest)
                    answer = port.response("upgrade", 500)
                    took = time.monotonic() - begin
                    assert answer["success"] and answer["exit_code"] == 0, answer
                    assert "Setting up infiniservice (%s)" % version(guest) in answer["stdout"], answer
                    assert answer["execution_time_ms"] <= took * 1000 + 1000, (answer, took)
                    assert [m for m in port.seen if m["type"] == "handshake"], "a new agent has answered"
                    assert version(guest) == before.replace("0~", "", 1) != before
                    assert main_pid(guest) not in (0, agent) and pid_of_executor(guest) != executor
                    wait_for(lambda: guest.sh("systemctl list-units --all --plain --no-legend 'infiniservice-detached-*' 'infiniservice-keep-*'") == "", 20, 0.3,
                             "its unit is gone")
                    late = port.drain(1)
                    assert not [m for m in port.seen + late if m.get("id") == "upgrade"], "once"
                guest.sh("systemctl restart infiniservice", 120)
                wait_for(lambda: port_is_open(guest), 150, 0.3, "the agent opens its port")
                with host(guest) as port:
                    port.keep_alive(1)
                    late = port.drain(0.5)
                    assert not [m for m in port.seen + late if m.get("id") == "upgrade"], "not again"
    finally:
        guest.sh("systemctl stop infiniservice-exec.socket infiniservice-exec.service", 120)
