#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Services, users, processes, power and security checks: who may ask for what, and that a hostile parameter runs nothing."""
import contextlib
import json
import os
import pwd
import re
import signal
import subprocess
import tempfile
import time

import schema
import tap
from fakehost import Agent, UnixHost, children_of, descendants, talk, wait_until

ALLOWED = {"commands.allow": "observe control", "commands.deny": ""}
SYSTEM_BUS = "/run/dbus/system_bus_socket"
HOSTILE = ["", "-", "--help", "-H", "../../etc/passwd", "/etc/passwd", "ssh\n", "ssh\nExecStart=/bin/sh", "ssh; id", "$(touch /x)",
           "`id`", "a|b", "@", "@.service", "getty@.service", "\\x2d-help", "\\x2e\\x2e\\x2fssh", "a\\", "a\\q", "ssh\u00e9", "~",
           "*", "?", "reboot.target", "-.mount", "system.slice", "a" * 256, "a" * 100000, "ssh\u0000", " ssh", "ssh.service/x"]


def refused(answer, code, reason=None):
    assert not answer["success"] and answer["error_code"] == code, answer
    assert reason is None or answer.get("reason") == reason, answer
    assert answer["data"] is None, answer


def sleeper():
    child = subprocess.Popen(["sleep", "60"])
    tap.keep(Ended(child))
    return child


class Ended:
    """A child that does not outlive its story."""

    def __init__(self, child):
        self.child = child

    def __enter__(self):
        return self.child

    def __exit__(self, *_):
        self.child.kill()
        self.child.wait()


def story_status_of_a_service_is_observing_and_the_rest_of_service_control_is_not():
    _, host = talk(tap.keep)
    for operation in ("start", "stop", "restart", "enable", "disable", "nonsense", None):
        refused(host.ask("ServiceControl", service="no-such-service-here", operation=operation), "POLICY_DENIED")
    assert host.ask("ServiceControl", service="no-such-service-here", operation="status")["error_code"] != "POLICY_DENIED"
    assert host.ask("ServiceControl", params={"service": "no-such-service-here", "operation": "status"})["error_code"] != "POLICY_DENIED"
    for action, more in (("RestartServices", {}), ("ProcessKill", {"pid": 999999}), ("RebootSystem", {}), ("ShutdownSystem", {})):
        refused(host.ask(action, **more), "POLICY_DENIED")


def story_a_name_that_is_no_unit_runs_nothing():
    _, host = talk(tap.keep, ALLOWED)
    for name in HOSTILE:
        for operation in ("status", "start", "enable"):
            refused(host.ask("ServiceControl", service=name, operation=operation), "INVALID_PARAMETERS")
        refused(host.ask("RestartServices", service_name=name), "INVALID_PARAMETERS")
    host.in_step()


def story_parameters_of_the_wrong_type_or_missing_are_named():
    _, host = talk(tap.keep, ALLOWED)
    for value in (7, True, [], {"a": 1}):
        refused(host.ask("ServiceControl", service=value, operation="status"), "INVALID_PARAMETERS")
        refused(host.ask("ServiceControl", service="ssh", operation=value), "INVALID_PARAMETERS")
    refused(host.ask("ServiceControl", operation="status"), "INVALID_PARAMETERS", "missing_field")
    refused(host.ask("ServiceControl", service="ssh"), "INVALID_PARAMETERS", "missing_field")
    refused(host.ask("ServiceControl", service="ssh", operation="START"), "INVALID_PARAMETERS", "bad_value")


DENIED = ("infiniservice", "infiniservice-exec.socket", "infiniservice-port@vport1p1", "infiniservice-port@zz\\x3btouch\\x20x",
          "debug-shell", "rescue", "emergency", "user@0", "user-runtime-dir@0", "getty@tty1", "serial-getty@ttyS0", "console-getty",
          "modprobe@dccp", "systemd-nspawn@x", "systemd-sysext", "systemd-reboot.service", "systemd-poweroff", "kexec",
          "any@\\x2d.socket", "mine.timer")


def story_units_that_are_never_controlled_are_refused_whatever_the_policy_grants():
    """Before any bus is asked, and by every action that leads there; status alone is left."""
    _, host = talk(tap.keep, dict(ALLOWED, **{"commands.deny_units": "mine*"}))
    for name in DENIED:
        for operation in ("start", "stop", "restart", "enable", "disable"):
            refused(host.ask("ServiceControl", service=name, operation=operation), "POLICY_DENIED", "unit_denied")
        refused(host.ask("RestartServices", service_name=name), "POLICY_DENIED", "unit_denied")
        refused(host.ask("RunMaintenanceTask", task_type="restart_services", service_name=name), "POLICY_DENIED", "unit_denied")
        refused(host.ask("RunMaintenanceTask", task_type="restart_services", parameters={"service_name": name}), "POLICY_DENIED", "unit_denied")
        assert host.ask("ServiceControl", service=name, operation="status")["error_code"] not in ("POLICY_DENIED", "INVALID_PARAMETERS"), name
    member = {"type": "SafeCommand", "id": "member", "command_type": {"action": "ServiceControl", "service": "debug-shell", "operation": "start"}}
    host.send({"type": "CommandBatch", "id": "batch", "commands": [member], "on_error": "continue"})
    refused(host.response("member"), "POLICY_DENIED", "unit_denied")


def story_without_a_bus_the_answer_says_so_at_once():
    if os.path.exists(SYSTEM_BUS):
        raise tap.Skip("this machine has a system bus")
    _, host = talk(tap.keep, ALLOWED)
    begun = time.monotonic()
    refused(host.ask("ServiceList"), "COMMAND_FAILED", "no_bus")
    refused(host.ask("ServiceControl", service="ssh", operation="status"), "COMMAND_FAILED", "no_bus")
    assert time.monotonic() - begun < 2
    host.in_step()


def story_without_an_executor_what_it_alone_does_is_refused():
    _, host = talk(tap.keep, {"commands.allow": "observe control power"})
    refused(host.ask("ServiceControl", service="no-such-service-here", operation="start"), "PERMISSION_DENIED", "no_executor")
    refused(host.ask("RestartServices", service_name="no-such-service-here"), "PERMISSION_DENIED", "no_executor")
    refused(host.ask("RebootSystem"), "PERMISSION_DENIED", "no_executor")
    refused(host.ask("ProcessKill", pid=1), "PERMISSION_DENIED")


def story_power_has_a_range_for_its_delay():
    _, host = talk(tap.keep, {"commands.allow": "power"})
    for delay in (-1, 86401, 2 ** 63, 1.5, "3"):
        for action in ("RebootSystem", "ShutdownSystem"):
            refused(host.ask(action, delay_s=delay), "INVALID_PARAMETERS")
    refused(host.ask("RebootSystem", force="yes"), "INVALID_PARAMETERS")


def story_the_users_are_those_of_etc_passwd():
    _, host = talk(tap.keep)
    data = host.ask("UserList")["data"]
    schema.check_data("UserList", data)
    local = {}
    with open("/etc/passwd", encoding="utf-8", errors="replace") as file:
        for line in file:
            fields = line.rstrip("\n").split(":")
            if len(fields) == 7 and fields[2].isdigit():
                local[fields[0]] = fields
    assert data["count"] == len(data["users"]) == len(local), (data["count"], len(local))
    for user in data["users"]:
        fields = local[user["name"]]
        assert (str(user["uid"]), str(user["gid"])) == (fields[2], fields[3]), user
        assert (user["home"], user["shell"]) == (fields[5], fields[6]), user
    assert pwd.getpwuid(0).pw_name in [user["name"] for user in data["users"]]


def story_a_process_is_asked_to_end_or_killed():
    _, host = talk(tap.keep, ALLOWED)
    child = sleeper()
    answer = host.ask("ProcessKill", pid=child.pid)
    assert answer["success"] and answer["data"] is None, answer
    assert child.wait(5) == -signal.SIGTERM
    stubborn = subprocess.Popen(["sh", "-c", "trap '' TERM; echo; while :; do sleep 0.1; done"], stdout=subprocess.PIPE)
    tap.keep(Ended(stubborn))
    stubborn.stdout.readline()
    assert host.ask("ProcessKill", pid=stubborn.pid)["success"]
    time.sleep(0.2)
    assert stubborn.poll() is None
    assert host.ask("ProcessKill", pid=stubborn.pid, force=True)["success"]
    assert stubborn.wait(5) == -signal.SIGKILL
    stubborn.stdout.close()


def story_a_process_that_is_gone_or_is_another_by_now_is_not_found():
    _, host = talk(tap.keep, ALLOWED)
    child = sleeper()
    row = [row for row in host.ask("ProcessList")["data"] if row["pid"] == child.pid][0]
    refused(host.ask("ProcessKill", pid=child.pid, start_time="2001-01-01T00:00:00.000Z"), "NOT_FOUND", "start_time")
    refused(host.ask("ProcessKill", pid=child.pid, start_time="yesterday"), "INVALID_PARAMETERS", "bad_value")
    assert child.poll() is None
    assert host.ask("ProcessKill", pid=child.pid, start_time=row["start_time"])["success"]
    child.wait(5)
    refused(host.ask("ProcessKill", pid=child.pid), "NOT_FOUND", "no_such_process")


def story_pids_out_of_range_are_refused():
    _, host = talk(tap.keep, ALLOWED)
    for pid in (0, -1, -999, 2 ** 22 + 1, 2 ** 32 + 1, 1.5, "1", None):
        refused(host.ask("ProcessKill", pid=pid), "INVALID_PARAMETERS")


def story_init_and_the_agent_with_its_helpers_are_protected():
    agent, host = talk(tap.keep, {**ALLOWED, "commands.allow_unsafe": "yes"})
    host.run("true")
    family = [1, agent.pid] + children_of(agent.pid)
    assert len(family) > 2
    for pid in family:
        refused(host.ask("ProcessKill", pid=pid, force=True), "PERMISSION_DENIED", "protected")
    assert agent.alive()
    host.in_step()


def story_a_command_of_a_host_may_be_killed_by_its_pid():
    tap.need_root()
    agent, host = talk(tap.keep, {**ALLOWED, "commands.allow_unsafe": "yes"})
    command = host.unsafe("exec sleep 61.25", timeout=30)

    def sleeping():
        for pid in descendants(agent.pid):
            with open(f"/proc/{pid}/cmdline", "rb") as file:
                if file.read() == b"sleep\x0061.25\x00":
                    return pid
        return None

    pid = wait_until(sleeping, what="the command runs")
    answers = {answer["id"]: answer for answer in host.responses([command, host.command("ProcessKill", pid=pid)])}
    assert answers.pop(command)["exit_code"] == 128 + signal.SIGTERM, answers
    assert [answer["success"] for answer in answers.values()] == [True], answers


def story_limits_of_memory_and_tasks_reach_commands():
    tap.need_root()
    _, host = talk(tap.keep, {"commands.allow_unsafe": "yes", "commands.max_memory_bytes": "256M", "commands.max_tasks": "4321"})
    limits = host.run("cat /proc/self/limits")["stdout"]
    assert re.search(r"^Max address space +%d +%d " % (256 << 20, 256 << 20), limits, re.M), limits
    assert re.search(r"^Max processes +4321 +4321 ", limits, re.M), limits
    assert host.run("head -c 400M /dev/zero | tail -c 400M | wc -c")["stdout"] != f"{400 << 20}\n"
    host.in_step()


def story_security_checks_have_the_shape_of_health_checks_and_no_null():
    _, host = talk(tap.keep)
    for action in ("CheckLinuxSecurity", "GetLinuxSecurityStatus", "GetLinuxFirewallStatus", "CheckFirewallStatus",
                   "CheckSecurityModules"):
        answer = host.ask(action)
        assert answer["success"], answer
        schema.check_data(action, answer["data"])
        assert "null" not in json.dumps(answer["data"]), answer["data"]
    details = host.ask("CheckLinuxSecurity")["data"]["details"]
    assert set(details) == {"security_modules", "firewall", "automatic_updates", "ssh"}, details
    for check in details.values():
        schema.check_data("CheckSecurityModules", check)


# $1: a directory whose folders stand in the place of those of /etc; the rest: what to run so, as nobody.
AS_NOBODY = """set -e
for name in ssh apt dnf ufw nft; do
	test ! -d "$1/$name" || { mkdir -p /etc/$name; mount --bind "$1/$name" /etc/$name; }
done
test ! -f "$1/nftables.conf" || { test -e /etc/nftables.conf || : >/etc/nftables.conf; mount --bind "$1/nftables.conf" /etc/nftables.conf; }
shift
exec setpriv --reuid 65534 --regid 65534 --clear-groups "$@"
"""


class Nobody:
    """An agent without rights, and what it finds below /etc: {path: (text, mode)}."""

    def __init__(self, keep, files):
        tap.need_root()
        tap.need_room()
        self.keep = keep
        self.directory = keep(tempfile.TemporaryDirectory())
        os.chmod(self.directory, 0o755)
        for path, (text, mode) in {**files, "inside": (AS_NOBODY, 0o644)}.items():
            os.makedirs(os.path.dirname(os.path.join(self.directory, path)), exist_ok=True)
            with open(os.path.join(self.directory, path), "w", encoding="utf-8") as file:
                file.write(text)
            os.chmod(os.path.join(self.directory, path), mode)

    def talk(self):
        host = self.keep(UnixHost())
        os.chmod(os.path.dirname(host.path), 0o755)
        os.chmod(host.path, 0o777)
        agent = Agent(host.spec, wrapper=["unshare", "-m", "sh", os.path.join(self.directory, "inside"), self.directory])
        for folder, _, names in os.walk(agent.directory):
            for path in [folder] + [os.path.join(folder, name) for name in names]:
                os.chown(path, 65534, 65534)
        self.keep(agent)
        host.accept(20)
        return host


KEYS_ONLY = "PasswordAuthentication no\nKbdInteractiveAuthentication no\nUsePAM yes\n"
INCLUDING = "Include /etc/ssh/sshd_config.d/*.conf\n" + KEYS_ONLY


def story_configuration_that_could_not_be_read_whole_has_not_passed():
    drop_in, main = "ssh/sshd_config.d/50-cloud-init.conf", "ssh/sshd_config"
    yes = "PasswordAuthentication yes\n"
    cases = [
        ({main: (KEYS_ONLY, 0o644)}, "passed", "keys only"),
        ({main: (INCLUDING, 0o644), drop_in: ("# nothing\n", 0o644)}, "passed", "keys only"),
        ({main: (INCLUDING, 0o644), drop_in: (yes, 0o644)}, "warning", "accepts passwords"),
        ({main: (INCLUDING, 0o644), drop_in: (yes, 0o600)}, "warning", "50-cloud-init.conf"),
        ({main: (KEYS_ONLY, 0o600)}, "warning", "/etc/ssh/sshd_config"),
        ({main: (KEYS_ONLY.replace("ion no", "ion yes").replace("Password", "#Password") + "PasswordAuthentication no\n", 0o644)}, "warning", "PAM"),
        ({main: ("Include /etc/ssh/more/one.conf\n" + KEYS_ONLY, 0o644), "ssh/more/one.conf": (yes, 0o644)}, "warning", "accepts passwords"),
        ({main: ("Include more/*\n" + KEYS_ONLY, 0o644), "ssh/more/one": (yes, 0o644)}, "warning", "accepts passwords"),
        ({main: ('Include "/etc/ssh/my folder/*" # more/*\n' + KEYS_ONLY, 0o644), "ssh/my folder/one": (yes, 0o644)}, "warning", "accepts passwords"),
        ({main: ("Include more/one\\ two '#3'\n" + KEYS_ONLY, 0o644), "ssh/more/one two": ("# nothing\n", 0o644), "ssh/#3": (yes, 0o644)}, "warning", "accepts passwords"),
        ({main: (KEYS_ONLY + 'Banner "/etc/issue\n', 0o644)}, "warning", "makes no sense"),
        ({main: ("Include /etc/ssh/more/*/x.conf\n" + KEYS_ONLY, 0o644)}, "warning", "/etc/ssh/more/*/x.conf"),
        ({main: ("Include nothing-here.conf /etc/ssh/more/a.conf\n" + KEYS_ONLY, 0o644), "ssh/more/a.conf": (yes, 0o600)}, "warning", "more/a.conf"),
        ({main: (INCLUDING, 0o644), **{f"ssh/sshd_config.d/{i:03}.conf": ("# nothing\n", 0o644) for i in range(300)}}, "warning", "more than 256 files"),
        ({main: ("Include /etc/ssh/sshd_config\n" + KEYS_ONLY, 0o644)}, "warning", "not followed"),
        ({main: (KEYS_ONLY + "Match User backup\nPasswordAuthentication yes\n", 0o644)}, "warning", "Match"),
        ({main: (KEYS_ONLY + "Match User backup\nX11Forwarding yes\n", 0o644)}, "passed", "keys only"),
    ]
    for files, status, words in cases:
        with contextlib.ExitStack() as stack:
            check = Nobody(stack.enter_context, files).talk().ask("CheckLinuxSecurity")["data"]["details"]["ssh"]
        assert check["status"] == status and words in check["message"], (files, check)
        assert check["details"]["source"] == "files", check
        assert status == "warning" or "not_read" not in check["details"], check


def story_a_rule_set_that_includes_another_file_is_not_read_whole():
    tap.need_root()
    refusing = "table inet f {\n chain i {\n  type filter hook input priority 0; policy drop;\n }\n}\n"
    for text, mode, not_read in ((refusing, 0o644, None), (refusing, 0o600, "/etc/nftables.conf"),
                                 (refusing + 'include "/etc/nft/*.nft"\n', 0o644, "/etc/nft/*.nft"), ("\tinclude '/x'\n" + refusing, 0o644, "/x")):
        with contextlib.ExitStack() as stack:
            check = Nobody(stack.enter_context, {"nftables.conf": (text, mode)}).talk().ask("CheckFirewallStatus")["data"]
        assert check["details"]["source"] == "files" and check["status"] == "warning", check
        assert (not_read is None) == ("not_read" not in check["details"]) and (not_read or "") in check["details"].get("not_read", ""), (text, check)


def story_the_settings_of_apt_are_what_apt_says_of_them():
    if not os.path.exists("/usr/bin/apt-config"):
        raise tap.Skip("this machine has no apt")
    on = 'APT { Periodic { Unattended-Upgrade "1"; Update-Package-Lists "1"; }; };\n'
    old = "apt/apt.conf.d/20auto.dpkg-old"
    for files, enabled, unread in (({"apt/apt.conf.d/20auto": (on, 0o644)}, True, False),
                                   ({"apt/apt.conf.d/20auto": (on.upper(), 0o644)}, True, False),
                                   ({"apt/apt.conf.d/20auto": (on, 0o644), "apt/apt.conf.d/99off": ('APT::periodic::ENABLE "0";\n', 0o644)}, False, False),
                                   ({"apt/apt.conf.d/20auto": (on, 0o644), old: ('APT::Periodic::Enable "0";\n', 0o600)}, True, False),
                                   ({"apt/apt.conf.d/20auto": (on, 0o644), "apt/apt.conf.d/99last": ('APT::Periodic::Unattended-Upgrade "0";\n', 0o644)}, False, False),
                                   ({"apt/apt.conf.d/20auto": (on.replace("1", "0"), 0o644), "apt/apt.conf": (on, 0o644)}, None, False),
                                   ({"apt/apt.conf.d/20auto": (on, 0o644), "apt/apt.conf.d/99last": ("x", 0o600)}, None, True)):
        with contextlib.ExitStack() as stack:
            nobody = Nobody(stack.enter_context, files)
            with open("/usr/bin/unattended-upgrade", "a", encoding="ascii"):  # of the room alone
                pass
            check = nobody.talk().ask("CheckLinuxSecurity")["data"]["details"]["automatic_updates"]
        assert check["details"]["source"] == "apt-config" and ("not_read" in check["details"]) is unread, (files, check)
        assert enabled is None or check["details"]["unattended_upgrades_enabled"] is enabled, (files, check)
        assert not unread or (check["status"] == "warning" and "99last" in check["message"]), check


def pretend(name, text, code=0):
    """A program of the room, which says this to the one question that it knows."""
    with open(f"/usr/local/sbin/{name}", "w", encoding="ascii") as file:
        file.write(f"#!/bin/sh\ncat <<'END'\n{text}\nEND\nexit {code}\n")
    os.chmod(f"/usr/local/sbin/{name}", 0o755)


def story_what_programs_say_of_themselves_counts_and_not_their_files():
    tap.need_root()
    tap.need_room()
    os.makedirs("/etc/ssh", exist_ok=True)
    with open("/etc/ssh/sshd_config", "w", encoding="ascii") as file:
        file.write(KEYS_ONLY)
    with open("/etc/nftables.conf", "w", encoding="ascii") as file:
        file.write("")
    said = "permitrootlogin without-password\npasswordauthentication {}\nkbdinteractiveauthentication no\nusepam yes\npermitemptypasswords no"
    chain = '{{"chain":{{"family":"inet","table":"x","name":"i","type":"filter","hook":"input","prio":0,"policy":"{}"}}}}'
    pretend("sshd", said.format("yes"))
    pretend("nft", '{"nftables":[%s]}' % chain.format("drop"))
    _, host = talk(tap.keep)
    for action in ("CheckLinuxSecurity", "GetLinuxSecurityStatus"):
        details = host.ask(action)["data"]["details"]
        assert details["ssh"]["status"] == "warning" and details["ssh"]["details"]["source"] == "sshd", details["ssh"]
        assert details["ssh"]["details"]["password_authentication"] == "yes", details["ssh"]
        assert details["firewall"]["status"] == "passed" and details["firewall"]["details"]["source"] == "nft", details["firewall"]
    pretend("nft", '{"nftables":[%s]}' % chain.format("accept"))
    assert host.ask("CheckFirewallStatus")["data"]["status"] == "warning"
    pretend("nft", '{"nftables":[%s]}' % ",".join([chain.format("drop")] * 12000))
    firewall = host.ask("CheckFirewallStatus")["data"]
    assert firewall["status"] == "warning" and "longer than 1 MiB" in firewall["details"]["not_read"], firewall
    assert "filters_input" not in firewall["details"]["nftables"] and firewall["details"]["source"] == "files", firewall
    for name, text, code in (("sshd", said.format("yes"), 1), ("sshd", "sshd: no hostkeys available -- exiting.", 0), ("sshd", "x" * 3000000, 0)):
        pretend(name, text, code)
        ssh = host.ask("CheckLinuxSecurity")["data"]["details"]["ssh"]
        assert ssh["status"] == "passed" and ssh["details"]["source"] == "files", ssh
    pretend("sshd", "true")
    with open("/usr/local/sbin/sshd", "w", encoding="ascii") as file:
        file.write("#!/bin/sh\nexec sleep 60\n")
    answer = host.ask("CheckLinuxSecurity", timeout=3)
    assert answer["success"] and answer["data"]["details"]["ssh"]["details"]["source"] == "files", answer


tap.main(globals())
