# SPDX-License-Identifier: MIT
"""Services, users, processes and power of a real systemd, as an agent with root's rights shows and, by the executor, changes them: what it
says is compared with what systemctl, getent and ps say. It is a second agent, on the spare port, beside the installed one."""

import contextlib
import itertools
import re
import subprocess
import time

from agent_guest import AgentPort, host, schema
from executor_guest import executor
from guest import Timeout, wait_for
from stories import story

numbers = itertools.count(1)

UNIT = "story-probe.service"
ALIAS = "story-probe-alias.service"
UNIT_PATH = "/etc/systemd/system/" + UNIT
UNIT_TEXT = """[Unit]
Description=A unit of a story
[Service]
ExecStart=/bin/sleep 3600
[Install]
WantedBy=multi-user.target
"""
CONFIG = """[port]
spec = virtio:org.infinibay.spare
[agent]
state_dir = /run/root-agent/state
runtime_dir = /run/root-agent/run
[log]
enabled = no
[socket]
path = /run/root-agent/agent.sock
group =
[commands]
allow = observe control power
"""


@contextlib.contextmanager
def root_agent(guest, *options):
    guest.sh("mkdir -p /run/root-agent")
    guest.put("/run/root-agent/agent.conf", CONFIG)
    guest.sh("systemctl reset-failed root-agent 2>/dev/null; systemctl stop root-agent 2>/dev/null;"
             "systemd-run -q --collect --unit=root-agent %s /usr/sbin/infiniservice --config /run/root-agent/agent.conf" % " ".join(options))
    try:
        time.sleep(max(0, AgentPort.last_left + 1.2 - time.monotonic()))
        port = AgentPort(guest.path("port2"), 15)
        try:
            port.expect("handshake", 20)
            yield port
        finally:
            port.close()
    finally:
        with contextlib.suppress(ConnectionError, OSError, Timeout):
            guest.run("systemctl stop root-agent", 8)


@contextlib.contextmanager
def probe_unit(guest, text=UNIT_TEXT):
    guest.put(UNIT_PATH, text)
    guest.sh("systemctl daemon-reload")
    try:
        yield
    finally:
        guest.run("systemctl disable --now %s; rm -f %s; systemctl daemon-reload; systemctl reset-failed %s"
                  % (UNIT, UNIT_PATH, UNIT))


def show(guest, unit=UNIT):
    text = guest.sh("systemctl show -p ActiveState,SubState,UnitFileState,MainPID,LoadState %s" % unit)
    return dict(line.split("=", 1) for line in text.splitlines())


def control(port, operation, service="story-probe"):
    answer = port.ask("ServiceControl", "control%d" % next(numbers), 30, service=service, operation=operation)
    if answer["success"]:
        schema.check_data("ServiceControl", answer["data"])
    return answer


def assert_same(guest, data):
    seen = show(guest)
    assert data["service"] == UNIT, data
    assert (data["active_state"], data["sub_state"]) == (seen["ActiveState"], seen["SubState"]), (data, seen)
    assert data["enabled"] == (seen["UnitFileState"] == "enabled"), (data, seen)
    assert data["main_pid"] == int(seen["MainPID"]), (data, seen)


@story(limit_s=90)
def a_unit_is_started_stopped_restarted_enabled_and_disabled(guest):
    with probe_unit(guest), executor(guest), root_agent(guest) as port:
        pids = []
        for operation, active in (("status", "inactive"), ("start", "active"), ("restart", "active"), ("enable", "active"),
                                  ("status", "active"), ("disable", "active"), ("stop", "inactive")):
            answer = control(port, operation)
            assert answer["success"], answer
            assert answer["data"]["active_state"] == active, (operation, answer)
            assert_same(guest, answer["data"])
            assert answer["data"]["enabled"] == (operation == "enable" or (operation == "status" and active == "active")), answer
            pids.append(answer["data"]["main_pid"])
        assert pids[1] and pids[2] and pids[1] != pids[2], pids
        nested = {"type": "SafeCommand", "id": "nested", "params": None, "timeout": 30, "command_type":
                  {"action": "ServiceControl", "params": {"service": UNIT, "operation": "start"}}}
        port.send(nested)
        answer = port.response("nested", 20)
        assert answer["success"] and answer["data"]["active_state"] == "active", answer
        assert_same(guest, answer["data"])


@story(limit_s=60)
def what_fails_or_does_not_exist_says_so(guest):
    with probe_unit(guest, UNIT_TEXT.replace("/bin/sleep 3600", "/bin/false").replace("[Service]", "[Service]\nType=oneshot")), \
            executor(guest), root_agent(guest) as port:
        answer = control(port, "start")
        assert not answer["success"] and answer["error_code"] == "COMMAND_FAILED", answer
        assert answer["data"]["active_state"] == "failed", answer
        for operation in ("status", "start", "stop", "enable"):
            answer = control(port, operation, service="no-such-unit-anywhere")
            assert not answer["success"] and answer["error_code"] == "NOT_FOUND", (operation, answer)
        answer = port.ask("RestartServices", "restart-failed", 30)
        schema.check_data("RestartServices", answer["data"])
        assert not answer["success"] and [UNIT] == [job["name"] for job in answer["data"]["failed"]], answer


@story(limit_s=60)
def a_unit_that_takes_its_time_delays_no_other_answer(guest):
    slow = UNIT_TEXT.replace("[Service]", "[Service]\nType=oneshot\nExecStartPre=/bin/sleep 3")
    slow = slow.replace("/bin/sleep 3600", "/bin/true")
    with probe_unit(guest, slow), executor(guest), root_agent(guest) as port:
        begin = time.monotonic()
        port.send({"type": "SafeCommand", "id": "slow", "timeout": 30,
                   "command_type": {"action": "ServiceControl", "service": UNIT, "operation": "start"}})
        assert port.ask("SystemInfo", "between")["success"]
        assert port.keep_alive(7)
        assert time.monotonic() - begin < 2.5
        answer = port.response("slow", 20)
        assert answer["success"] and time.monotonic() - begin > 2.5, answer


def ids(guest, names):
    """What PID 1 calls the units of these names: another name than asked for has an alias."""
    told = guest.sh("systemctl show -p Id --value -- %s" % " ".join("'%s'" % name for name in names)).split()
    assert len(told) == len(names), (len(told), len(names))
    return dict(zip(names, told))


@story(limit_s=60)
def the_list_of_services_is_that_of_systemctl(guest):
    with probe_unit(guest, UNIT_TEXT + "Alias=%s\n" % ALIAS), root_agent(guest) as port:
        guest.sh("systemctl enable %s; systemctl start %s" % (UNIT, UNIT))
        answer = port.ask("ServiceList", "services", 30)
        assert answer["success"], answer
        schema.check_data("ServiceList", answer["data"])
        rows = {row["name"]: row for row in answer["data"]}
        assert len(rows) == len(answer["data"])
        listed = guest.sh("systemctl list-units --all --type=service --plain --no-legend --no-pager").splitlines()
        units = {line.split()[0]: line.split(None, 4) for line in listed}
        missing = [name for name, unit in units.items() if unit[1] != "not-found" and name not in rows]
        assert not missing, missing
        for name, unit in units.items():
            # units of other stories and of the manager itself come and go
            if name not in rows or unit[1] == "not-found" or re.search(r"@|root-agent|infinitest|run-", name):
                continue
            assert (rows[name]["active_state"], rows[name]["sub_state"]) == (unit[2], unit[3]), (rows[name], unit)
        files = dict(line.split()[:2] for line in
                     guest.sh("systemctl list-unit-files --type=service --plain --no-legend --no-pager").splitlines())
        files = {name: state for name, state in files.items() if "@." not in name}
        called = ids(guest, files)
        wrong = [name for name, state in files.items() if called[name] == name and rows.get(name, {}).get("startup_type") != state]
        assert not wrong, wrong
        # Another name of a unit would be a second row of it, with a state that it does not have.
        aliases = {name: unit for name, unit in called.items() if name != unit}
        assert aliases.get(ALIAS) == UNIT, aliases
        assert not set(aliases) & set(rows) and set(aliases.values()) <= set(rows), (aliases, sorted(rows))
        assert rows[UNIT]["status"] == "running" and rows[UNIT]["description"] == "A unit of a story", rows[UNIT]


@story()
def the_installed_agent_reads_but_does_not_change_services(guest):
    with host(guest) as port:
        assert port.ask("ServiceList", "list")["success"]
        status = port.ask("ServiceControl", "status", service="dbus", operation="status")
        assert status["success"] and status["data"]["active_state"] == "active", status
        start = port.ask("ServiceControl", "start", service="dbus", operation="restart")
        assert start["error_code"] in ("POLICY_DENIED", "PERMISSION_DENIED"), start


@story()
def the_users_are_those_getent_names(guest):
    with root_agent(guest) as port:
        users = port.ask("UserList", "users")["data"]
        want = [line.split(":") for line in guest.sh("getent passwd").splitlines()]
        assert users["count"] == len(want)
        assert sorted((u["name"], u["uid"], u["gid"], u["home"], u["shell"]) for u in users["users"]) == \
            sorted((f[0], int(f[2]), int(f[3]), f[5], f[6]) for f in want)


@story()
def a_process_is_killed_and_kernel_threads_are_not(guest):
    with root_agent(guest) as port:
        guest.background("exec sleep 4321")
        pid = int(wait_for(lambda: guest.run("pgrep -x -f 'sleep 4321'").strip(), 5))
        row = [row for row in port.ask("ProcessList", "list")["data"] if row["pid"] == pid][0]
        wrong = port.ask("ProcessKill", "wrong", pid=pid, start_time="2001-01-01T00:00:00.000Z")
        assert wrong["error_code"] == "NOT_FOUND", wrong
        assert port.ask("ProcessKill", "kill", pid=pid, force=True, start_time=row["start_time"])["success"]
        wait_for(lambda: guest.run("pgrep -x -f 'sleep 4321'").status == 1, 5)
        for protected in (1, 2, int(guest.sh("pgrep -x kswapd0"))):
            answer = port.ask("ProcessKill", "no%d" % protected, pid=protected, force=True)
            assert answer["error_code"] == "PERMISSION_DENIED", answer


@story()
def the_security_of_the_guest_is_told(guest):
    with root_agent(guest) as port:
        for action in ("CheckLinuxSecurity", "GetLinuxFirewallStatus", "CheckSecurityModules"):
            answer = port.ask(action, action)
            assert answer["success"], answer
            schema.check_data(action, answer["data"])
        lsm = guest.run("cat /sys/kernel/security/lsm").strip()
        if lsm:
            assert answer["data"]["details"]["active_modules"] == lsm, answer
        firewall = port.ask("GetLinuxFirewallStatus", "again")["data"]["details"]
        assert firewall["nftables"]["service"] in ("not-installed", guest.run("systemctl is-active nftables").strip())


@story(limit_s=150)
def a_reboot_is_answered_before_it_happens(guest):
    boot_id = guest.sh("cat /proc/sys/kernel/random/boot_id")
    with executor(guest), root_agent(guest) as port:
        begin = time.monotonic()
        answer = port.ask("RebootSystem", "reboot", 30, delay_s=4)
        assert answer["success"], answer
        schema.check_data("RebootSystem", answer["data"])
        assert time.monotonic() - begin < 3
        second = port.ask("ShutdownSystem", "second", 30)
        assert second["error_code"] == "COMMAND_FAILED" and second["reason"] == "pending", second
        time.sleep(1)
        assert guest.sh("cat /proc/sys/kernel/random/boot_id") == boot_id
        # QEMU runs with -no-reboot: it ends where the machine would begin anew.
        try:
            guest.process.wait(60)
        except subprocess.TimeoutExpired:
            raise Timeout("the guest did not reboot") from None
        guest.kill()
        guest.start(100)
        assert guest.sh("cat /proc/sys/kernel/random/boot_id") != boot_id
