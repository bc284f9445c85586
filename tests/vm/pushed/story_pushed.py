# SPDX-License-Identifier: MIT
"""What real hosts of this system do: push two files into a VM, run the script as root, and drive the agent with signed commands over the port.
Each story goes on from what the one before left, up to the last trace."""

import hashlib
import hmac
import itertools
import json
import os
import subprocess
import time
import uuid

from agent_guest import AGENT_NODE, AgentPort, configured, main_pid, restarts, schema
from agent_guest import host as connected
from guest import Timeout, wait_for
from image import Unavailable, build_dir
from repository import PACKAGE, with_setuid
from stories import story

PLACE = "/root/pushed/"
VM_ID = "pushed-vm-0017"
SECRET = "8f3c" * 16
UNIT = "story-pushed.service"
UNIT_TEXT = "[Unit]\nDescription=A unit of a story\n[Service]\nExecStart=/bin/sleep 3600\n[Install]\nWantedBy=multi-user.target\n"
# What other programs write meanwhile.
FOREIGN = ("/proc", "/sys", "/dev", "/tmp", "/var/tmp", "/root", "/run", "/var/lib/dpkg", "/var/cache", "/var/log/journal",
           "/var/log/apt", "/var/log/dpkg.log", "/var/lib/systemd", "/var/lib/apt")
numbers = itertools.count(1)
before = {}


def pushed(name):
    path = os.path.join(build_dir(), "portable", name)
    if not os.path.exists(path):
        raise Unavailable("no %s: make portable" % path)
    with open(path, "rb") as file:
        return file.read()


def push(guest, program=None):
    guest.sh("mkdir -p " + PLACE)
    guest.put(PLACE + "infiniservice", program or pushed("infiniservice"), 0o755)
    guest.put(PLACE + "install-linux.sh", pushed("install-linux.sh"), 0o755)


def script(guest, arguments, secret=None):
    given = "INFINISERVICE_SHARED_SECRET=%s " % secret if secret else ""
    said = guest.run("%ssh %sinstall-linux.sh %s 2>&1" % (given, PLACE, arguments), 160)
    assert said.status == 0, "exit status %d: %s" % (said.status, said)
    assert SECRET not in said
    return said


def files(guest):
    prune = " -o ".join("-path %s" % path for path in FOREIGN)
    return set(guest.sh("find / \\( %s \\) -prune -o -print; ls -d /run/infiniservice* 2>/dev/null || true" % prune, 60).splitlines())


def accounts(guest):
    return guest.sh("cat /etc/passwd /etc/group")


class SignedPort(AgentPort):
    """A host that has the secret: everything it says is in an envelope."""

    def send(self, message):
        payload, now, nonce = json.dumps(message), self.now_ms, uuid.uuid4().hex
        mark = hmac.new(SECRET.encode(), ("1\n%d\n%s\n%s" % (now, nonce, payload)).encode(), hashlib.sha256).hexdigest()
        super().send({"type": "signed", "v": 1, "ts": now, "nonce": nonce, "payload": payload, "sig": mark})

    @property
    def now_ms(self):
        return int(time.time() * 1000)

    def data_of(self, action, timeout_s=60, **parameters):
        answer = self.ask(action, "pushed%d" % next(numbers), timeout_s, **parameters)
        assert answer["success"], answer
        schema.check_data(action, answer["data"])
        return answer["data"]


def host(guest, limit_s=15):
    return connected(guest, limit_s, SignedPort)


def show(guest, unit=UNIT):
    text = guest.sh("systemctl show -p ActiveState,SubState,UnitFileState,MainPID %s" % unit)
    return dict(line.split("=", 1) for line in text.splitlines())


# ------------------------------------------------------------------------------------------------------- installing

@story(limit_s=180)
def two_files_and_a_script_make_a_running_agent(guest):
    # An image is made with a policy that nothing is started.
    guest.sh("rm -f /usr/sbin/policy-rc.d")
    before["files"], before["accounts"] = files(guest), accounts(guest)
    push(guest)
    said = script(guest, "normal " + VM_ID, SECRET)
    assert "is installed" in said and "runs" in said, said
    begin = time.monotonic()
    with host(guest) as port:
        assert time.monotonic() - begin < 5
        assert port.handshake["vm_id"] == VM_ID, port.handshake
        assert port.ask("SystemInfo", "info%d" % next(numbers))["success"]
    assert guest.sh("stat -L -c '%%U:%%G %%a' %s" % AGENT_NODE) == "infiniservice:infiniservice 600"
    assert guest.sh("stat -c '%U:%G %a' /etc/infiniservice/secret") == "infiniservice:infiniservice 600"
    assert guest.sh("systemctl is-active infiniservice") == "active" and restarts(guest) == 0
    uid = guest.sh("id -u infiniservice")
    assert guest.sh("sed -n 's/^Uid:\\t\\([0-9]*\\).*/\\1/p' /proc/%d/status" % main_pid(guest)) == uid
    ignored = guest.run("journalctl -b -u infiniservice -u infiniservice-exec --no-pager | grep -i 'unknown\\|ignoring'")
    print("#", ignored.strip() or "no directive is unknown to this systemd", flush=True)


@story()
def what_is_not_signed_is_refused(guest):
    with host(guest) as port:
        AgentPort.send(port, {"type": "SafeCommand", "id": "plain", "command_type": {"action": "SystemInfo"}, "params": None, "timeout": 5})
        answer = port.response("plain", 5)
        assert not answer["success"] and answer["error_code"] == "UNSIGNED", answer


# ------------------------------------------------------------------------------------------------------------ using

@story(limit_s=90)
def what_roots_processes_do_is_seen(guest):
    """The host owns this machine: path and bytes of what is root's are told, and so is who listens."""
    listener = guest.background("timeout 60 perl -MIO::Socket::INET -e '$s = IO::Socket::INET->new(Listen => 1, LocalPort => 7017) or die; sleep 60'", 90)
    guest.wait("grep -q ':1B69 ' /proc/net/tcp", 30)
    with configured(guest, "[collectors]\nprocesses_top = 1000\n[timers]\nmetrics_interval_ms = 1000\n"), host(guest) as port:
        def init(message):
            return message["type"] == "metrics" and any(row["pid"] == 1 and row["disk_read_bytes"] is not None for row in message["data"]["processes"])
        sample = port.expect(init, 40)["data"]
        row = next(row for row in sample["processes"] if row["pid"] == 1)
        assert row["exe_path"] and row["exe_path"].endswith("systemd"), row
        open_port = next(row for row in sample["ports"] if row["port"] == 7017)
        assert open_port["process_name"] == "perl" and open_port["pid"], open_port
    guest.sh("pkill -f '[L]ocalPort => 7017' || true")
    listener()


@story(limit_s=60)
def the_list_of_services_is_that_of_systemctl(guest):
    with host(guest) as port:
        listed = {row["name"]: row for row in port.data_of("ServiceList")}
    loaded = guest.sh("systemctl list-units --all --type=service --plain --no-legend | sed 's/^[^a-zA-Z0-9_-]*//'").splitlines()
    for line in loaded:
        name, load, _active, sub = line.split()[:4]
        if load == "loaded" and not name.startswith("infiniservice-cmd-"):
            assert name in listed, (name, sorted(listed))
    assert "dbus.service" in listed and listed["dbus.service"]["status"] == "running", listed["dbus.service"]
    assert len(listed) > 30, len(listed)


@story(limit_s=90)
def a_real_unit_is_started_stopped_and_enabled(guest):
    guest.put("/etc/systemd/system/" + UNIT, UNIT_TEXT)
    guest.sh("systemctl daemon-reload")
    try:
        with host(guest) as port:
            for operation in ("start", "restart", "enable", "disable", "stop"):
                data = port.data_of("ServiceControl", 30, service="story-pushed", operation=operation)
                seen = show(guest)
                assert (data["active_state"], data["main_pid"]) == (seen["ActiveState"], int(seen["MainPID"])), (operation, data, seen)
                assert data["enabled"] == (seen["UnitFileState"] == "enabled") == (operation == "enable"), (operation, data, seen)
                assert seen["ActiveState"] == ("inactive" if operation == "stop" else "active"), (operation, seen)
            answer = port.ask("ServiceControl", "absent", service="no-such-unit", operation="start")
            assert answer["error_code"] == "NOT_FOUND", answer
    finally:
        guest.run("systemctl disable --now %s; rm -f /etc/systemd/system/%s; systemctl daemon-reload" % (UNIT, UNIT))


@story(limit_s=60)
def a_shell_command_runs_as_root_in_a_unit_of_its_own(guest):
    with host(guest) as port:
        answer = port.execute("id -u; cat /proc/self/cgroup; sed -n 's/^NoNewPrivs:\\t//p;s/^CapEff:\\t//p' /proc/self/status; "
                              "unit=$(sed 's|.*/||' /proc/self/cgroup | tail -n 1); systemctl show -p KillMode,BindsTo $unit; echo gone >&2; exit 3",
                              "root")
        lines = answer["stdout"].splitlines()
        assert lines[0] == "0" and answer["exit_code"] == 3 and answer["stderr"] == "gone\n", answer
        assert "/infiniservice.slice/infiniservice-cmd-" in lines[1], answer
        assert "NoNewPrivs" not in lines and "0" in lines[2:4] and "BindsTo=infiniservice-exec.service" in lines, answer
        killed = port.execute("sleep 60", "late", 2)
        assert killed["error_code"] == "COMMAND_TIMEOUT", killed
    wait_for(lambda: not guest.run("pgrep -f 'sleep 6[0]'"), 5, 0.2, "nothing of it is left")
    wait_for(lambda: not guest.run("systemctl list-units --all --plain --no-legend 'infiniservice-cmd-*'").strip(), 5, 0.2, "no unit is left")


@story(limit_s=180)
def a_package_with_a_setuid_file_is_installed_and_removed(guest):
    with with_setuid(guest), host(guest) as port:
        answer = port.ask("PackageInstall", "install", 120, package=PACKAGE)
        assert answer["success"] and answer["exit_code"] == 0, answer
        assert guest.sh("dpkg-query -W -f '${db:Status-Status} ${Version}' %s" % PACKAGE) == "installed 1"
        assert guest.sh("stat -c '%%U %%a' /usr/bin/%s" % PACKAGE) == "root 4755"
        answer = port.ask("PackageRemove", "remove", 120, package=PACKAGE)
        assert answer["success"], answer
        assert not guest.run("dpkg-query -W -f '${db:Status-Status}' %s 2>/dev/null" % PACKAGE).startswith("installed")


@story(limit_s=60)
def without_the_bus_daemon_it_still_runs_commands_and_changes_units(guest):
    guest.sh("systemctl stop dbus.socket dbus.service")
    try:
        with host(guest) as port:
            port.keep_alive(1)
            assert port.execute("id -u", "root")["stdout"] == "0\n"
            assert not port.ask("ServiceList", "services", 10)["success"]
    finally:
        guest.sh("systemctl start dbus.socket dbus.service; systemctl restart systemd-logind")
    with host(guest) as port:
        assert port.data_of("ServiceList")


@story(limit_s=120)
def a_service_manager_that_executes_itself_anew_costs_no_command(guest):
    # It ends when the executor is connected again: what ends before is told as lost, since the manager forgets it at once.
    with host(guest) as port:
        port.send({"type": "UnsafeCommand", "id": "over", "raw_command": "until test -e /run/story-go; do sleep 0.2; done; echo over",
                   "timeout": 100})
        guest.wait("pgrep -f '[s]tory-go'", 20)
        guest.sh("systemctl daemon-reexec", 60)
        assert port.execute("id -u", "meanwhile", 60)["stdout"] == "0\n"
        guest.sh("touch /run/story-go")
        answer = port.response("over", 60)
        assert answer["success"] and answer["stdout"] == "over\n", answer
    guest.sh("rm -f /run/story-go")


@story(limit_s=90)
def an_agent_that_is_killed_comes_back_and_a_dead_executor_is_answered_for(guest):
    pid = main_pid(guest)
    guest.sh("kill -9 %d" % pid)
    wait_for(lambda: main_pid(guest) not in (0, pid), 15, 0.1, "the agent is back")
    with host(guest) as port:
        port.send({"type": "UnsafeCommand", "id": "lost", "raw_command": "sleep 50", "timeout": 60})
        wait_for(lambda: guest.run("pgrep -f 'sleep [5]0'").status == 0, 10, 0.1, "the command runs")
        guest.sh("kill -9 $(systemctl show -p MainPID --value infiniservice-exec)")
        answer = port.response("lost", 20)
        assert answer["error_code"] == "INTERNAL", answer
        wait_for(lambda: guest.run("pgrep -f 'sleep [5]0'").status != 0, 5, 0.1, "the command is gone")
        assert port.execute("id -u", "again")["stdout"] == "0\n"


@story(limit_s=300)
def a_reboot_is_answered_first_and_the_agent_is_there_after_it(guest):
    boot_id = guest.sh("cat /proc/sys/kernel/random/boot_id")
    with host(guest) as port:
        answer = port.ask("RebootSystem", "reboot", 30, delay_s=2)
        assert answer["success"], answer
        # QEMU runs with -no-reboot: it ends where the machine would begin anew.
        try:
            guest.process.wait(60)
        except subprocess.TimeoutExpired:
            raise Timeout("the guest did not reboot") from None
    guest.kill()
    guest.start(150)
    assert guest.sh("cat /proc/sys/kernel/random/boot_id") != boot_id
    with host(guest) as port:
        assert port.handshake["vm_id"] == VM_ID
        assert port.execute("id -u", "root")["stdout"] == "0\n"
    assert "infiniservice" not in guest.sh("systemctl --failed --plain --no-legend")


# ---------------------------------------------------------------------------------------------- again, newer, gone

def version(guest):
    return guest.sh("/usr/local/sbin/infiniservice --version")


@story(limit_s=180)
def run_again_it_changes_nothing_and_keeps_the_secret(guest):
    there, known = files(guest), accounts(guest)
    script(guest, "normal " + VM_ID)
    assert accounts(guest) == known
    with host(guest) as port:
        assert port.handshake["vm_id"] == VM_ID
        assert port.execute("id -u", "root")["stdout"] == "0\n"
    new = {path for path in files(guest) ^ there if not path.startswith(("/var/log/infiniservice/", "/run/infiniservice"))}
    assert not new, new


@story(limit_s=180)
def a_newer_program_takes_the_place_of_the_old_one(guest):
    old = version(guest)
    number = old.split()[1]
    newer = number[:-1] + ("9" if number[-1] != "9" else "8")
    push(guest, pushed("infiniservice").replace(number.encode(), newer.encode()))
    pid = main_pid(guest)
    said = script(guest, "normal " + VM_ID)
    assert newer in said, said
    assert version(guest) == old.replace(number, newer)
    assert main_pid(guest) not in (0, pid)
    with host(guest) as port:
        assert port.handshake["version"] == newer, port.handshake
        assert port.execute("readlink -f /proc/$PPID/exe >/dev/null; id -u", "root")["stdout"] == "0\n"


@story(limit_s=150)
def uninstalled_it_keeps_what_it_logged_alone(guest):
    logged = guest.sh("ls /var/log/infiniservice")
    script(guest, "uninstall")
    assert guest.run("pgrep -a infiniservice") == ""
    assert guest.sh("stat -L -c '%%U %%a' %s" % AGENT_NODE) == "root 600"
    left = {path for path in files(guest) - before["files"] if not path.startswith("/var/log/infiniservice")}
    known = {"/etc/passwd-", "/etc/group-", "/etc/shadow-", "/etc/gshadow-"}
    assert left <= known, left
    assert guest.sh("ls /var/log/infiniservice") == logged and logged


@story(limit_s=240)
def installed_once_more_and_purged_nothing_is_left(guest):
    script(guest, "normal " + VM_ID, SECRET)
    with host(guest) as port:
        assert port.ask("SystemInfo", "info%d" % next(numbers))["success"]
    script(guest, "uninstall --purge")
    assert guest.run("pgrep -a infiniservice") == ""
    left, gone = files(guest) - before["files"], before["files"] - files(guest)
    # Copies that the tools of the distribution make of what they change.
    assert left <= {"/etc/passwd-", "/etc/group-", "/etc/shadow-", "/etc/gshadow-"}, left
    assert not gone, gone
    assert accounts(guest) == before["accounts"]
    assert guest.sh("systemctl list-units --all --plain --no-legend '*infiniservice*'") == "", "the slices of its units are unloaded too"
    assert guest.run("systemctl show -p LoadState --value infiniservice infiniservice-exec.socket").split() == ["not-found"] * 2
    assert "infiniservice" not in guest.sh("systemctl --failed --plain --no-legend")
