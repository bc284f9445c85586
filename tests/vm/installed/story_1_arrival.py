# SPDX-License-Identifier: MIT
"""The package from its first installation to its last trace, each story on what the one before left."""

import json
import time

from agent_guest import (AGENT_NODE, AgentPort, configured, host, main_pid, port_is_open, restarts)
from guest import wait_for
from stories import story

NOW = "/var/tmp/packages/now.deb"
NEXT = "/var/tmp/packages/next.deb"
# What other programs write while the package comes and goes.
FOREIGN = ("/proc", "/sys", "/dev", "/run", "/tmp", "/var/tmp", "/var/lib/dpkg", "/var/cache", "/var/log/journal", "/var/log/apt",
           "/var/log/dpkg.log", "/var/lib/systemd", "/var/lib/apt", "/root", "/etc/systemd/system/multi-user.target.wants")
before = {}


def dpkg(guest, arguments):
    return guest.sh("DEBIAN_FRONTEND=noninteractive dpkg %s 2>&1" % arguments, 60)


def install(guest, package=NOW):
    return dpkg(guest, "-i " + package)


def files(guest):
    prune = " -o ".join("-path %s" % path for path in FOREIGN)
    return set(guest.sh("find / \\( %s \\) -prune -o -print" % prune, 30).splitlines())


def property_of(guest, name, unit="infiniservice"):
    return guest.sh("systemctl show -p %s --value %s" % (name, unit))


def is_active(guest, unit="infiniservice"):
    return guest.run("systemctl is-active " + unit).strip() == "active"


def sequence_numbers(guest):
    """The seq of every logged sample, in the order of the log."""
    return [int(number) for number in guest.sh(
        "cat $(ls /var/log/infiniservice/*.ndjson) | sed -n 's/.*\"type\":\"metrics\".*\"seq\":\\([0-9]*\\).*/\\1/p'").split()]


# ------------------------------------------------------------------------------------------------------- installing

@story(limit_s=60)
def installed_without_a_port_it_runs_and_logs_locally(guest):
    # An image is made with a policy that nothing is started.
    guest.sh("rm -f /usr/sbin/policy-rc.d")
    before["files"] = files(guest)
    before["users"] = guest.sh("cat /etc/passwd /etc/group")
    guest.unplug()
    said = guest.sh("DEBIAN_FRONTEND=noninteractive apt-get -q -y install %s 2>&1" % NOW, 60)
    assert "error" not in said and "arning" not in said, said
    assert is_active(guest)
    guest.wait("grep -q '\"type\":\"metrics\"' /var/log/infiniservice/*.ndjson", 5)
    assert property_of(guest, "ActiveState", "infiniservice-exec.socket") == "inactive"


@story(limit_s=60)
def purged_while_running_it_leaves_nothing(guest):
    dpkg(guest, "--purge infiniservice")
    assert not guest.run("pgrep -a infiniservice")
    left = files(guest) - before["files"]
    assert not left, left
    missing = before["files"] - files(guest)
    assert not missing, missing
    assert guest.sh("cat /etc/passwd /etc/group") == before["users"]
    assert guest.run("ls -d /run/infiniservice* /run/systemd/system/infiniservice* 2>/dev/null") == ""
    assert property_of(guest, "LoadState") == "not-found"


@story(limit_s=60)
def installed_with_the_port_present_it_talks_within_5_s(guest):
    guest.plug()
    guest.wait("test -e " + AGENT_NODE)
    assert guest.sh("stat -L -c '%%U %%a' %s" % AGENT_NODE) == "root 600"
    install(guest)
    begin = time.monotonic()
    with host(guest) as port:
        port.keep_alive(1)
    assert time.monotonic() - begin < 5
    assert guest.sh("stat -L -c '%%U:%%G %%a' %s" % AGENT_NODE) == "infiniservice:infiniservice 600"
    assert guest.sh("systemctl is-enabled infiniservice") == "enabled"
    assert restarts(guest) == 0


@story(limit_s=60)
def every_file_it_makes_has_the_owner_and_mode_it_should(guest):
    with host(guest) as port:
        port.ask("SystemInfo", "one command, so that all there is is there")
    listed = guest.sh("find /etc/infiniservice /var/lib/infiniservice /var/log/infiniservice /run/infiniservice* "
                      "-printf '%p %U:%G %m %y\\n' | sed \"s/$(id -u infiniservice):$(id -g infiniservice)/agent:agent/;"
                      "s/:$(id -g infiniservice)/:agent/\" | sort").splitlines()
    wanted = [
        "/etc/infiniservice 0:0 755 d", "/etc/infiniservice/conf.d 0:0 755 d", "/etc/infiniservice/infiniservice.conf 0:0 644 f",
        "/run/infiniservice agent:agent 755 d", "/run/infiniservice/agent.sock agent:agent 660 s",
        "/run/infiniservice/latest.json agent:agent 644 f", "/run/infiniservice/product_uuid 0:agent 440 f",
        "/var/lib/infiniservice agent:agent 750 d", "/var/log/infiniservice agent:agent 750 d",
    ]
    for line in wanted:
        assert line in listed, (line, listed)
    for line in listed:
        path, owner, mode, kind = line.split()
        if line in wanted:
            continue
        if path.startswith("/var/log/infiniservice/"):
            assert (owner, mode, kind) in (("agent:agent", "640", "f"), ("agent:agent", "750", "d"),
                                           ("agent:agent", "600", "f")), line
        elif path.startswith(("/var/lib/infiniservice/", "/run/infiniservice/")):
            assert owner == "agent:agent" and int(mode, 8) & 0o027 == 0 and kind in "fd", line
        else:
            raise AssertionError("not expected: " + line)


@story(limit_s=60)
def what_is_shown_to_a_manager_is_true(guest):
    assert "vm " in property_of(guest, "StatusText") or property_of(guest, "StatusText"), "a status text"
    assert property_of(guest, "Type") == "notify"
    mark = int(guest.sh("systemctl show -p ActiveEnterTimestampMonotonic --value infiniservice"))
    guest.sh("systemctl reload infiniservice")
    assert int(guest.sh("systemctl show -p ActiveEnterTimestampMonotonic --value infiniservice")) == mark
    assert guest.sh("cat /proc/%d/status | sed -n 's/^CapEff:\\s*//p;s/^CapBnd:\\s*//p;s/^NoNewPrivs:\\s*//p'" %
                    main_pid(guest)).split() == ["0000000000000000", "0000000000000000", "1"]


# ------------------------------------------------------------------------------------------------------------ using

@story(limit_s=60)
def the_unprivileged_agent_gets_a_port_that_is_unplugged_and_replugged(guest):
    pid = main_pid(guest)
    for number in (None, 17, None):
        guest.unplug()
        guest.plug(nr=number)
        with host(guest) as port:
            port.keep_alive(2)
    assert main_pid(guest) == pid


def as_nobody(guest, script):
    return guest.run("setpriv --reuid 65534 --regid 65534 --clear-groups sh -c '%s' 2>&1" % script)


@story()
def an_unprivileged_user_cannot_open_the_port(guest):
    assert "Permission denied" in as_nobody(guest, "exec 3<>%s" % AGENT_NODE)
    assert "Permission denied" in as_nobody(guest, "exec 3<%s" % AGENT_NODE)


@story()
def an_unprivileged_user_cannot_read_the_log_but_a_member_of_the_group_can(guest):
    said = as_nobody(guest, "cat /var/log/infiniservice/*")
    assert said.status != 0 and "Permission denied" in said, said
    said = as_nobody(guest, "infinictl log --json")
    assert said.status != 0 and "infiniservice" in said, said
    assert guest.sh("setpriv --reuid 65534 --regid 65534 --groups $(id -g infiniservice) infinictl log --json | tail -n 1 | "
                    "grep -c '\"type\"'") == "1"


@story()
def an_unprivileged_user_cannot_write_to_any_file_of_the_agent(guest):
    found = as_nobody(guest, "find /etc/infiniservice /var/lib/infiniservice /var/log/infiniservice /run/infiniservice "
                      "/usr/sbin/infiniservice /usr/libexec/infiniservice-exec /lib/systemd/system/infiniservice* "
                      "-writable ! -type l 2>/dev/null")
    assert found == "", found


@story()
def an_unprivileged_user_cannot_speak_to_the_agent(guest):
    said = as_nobody(guest, "infinictl status")
    assert said.status != 0 and "usermod -aG infiniservice" in said, said
    assert guest.sh("infinictl status | head -n 1")


@story(limit_s=60)
def an_unprivileged_user_cannot_exhaust_it(guest):
    # A member of the group, which may at least connect.
    pid = main_pid(guest)
    crowd = guest.background("setpriv --reuid 65534 --regid 65534 --groups $(id -g infiniservice) bash -c '"
                             "for i in $(seq 60); do (infinictl status >/dev/null 2>&1; exec sleep 3) & done; wait'", 50)
    with host(guest) as port:
        for number in range(10):
            port.keep_alive(number, 5)
    crowd()
    assert main_pid(guest) == pid
    assert guest.sh("infinictl status | head -n 1")


@story(limit_s=60)
def killed_it_is_back_within_2_s_and_its_log_is_whole(guest):
    with configured(guest, "[timers]\nmetrics_interval_ms = 100\n"):
        time.sleep(1)
        for _ in range(3):
            guest.sh("kill -9 %d" % main_pid(guest))
            begin = time.monotonic()
            wait_for(lambda: is_active(guest), 5, 0.05, "the service is active again")
            assert time.monotonic() - begin < 2.5, time.monotonic() - begin
            time.sleep(1)
    numbers = sequence_numbers(guest)
    assert numbers == sorted(set(numbers)), "every number once, growing"
    assert guest.run("cat /var/log/infiniservice/*.ndjson | infinictl log --json >/dev/null").status == 0
    guest.sh("systemctl restart infiniservice")


@story(rows=[84], limit_s=60)
def a_stalled_loop_is_restarted_by_the_watchdog(guest):
    """As installed after 30 s; here after 3, so as not to wait."""
    guest.sh("mkdir -p /run/systemd/system/infiniservice.service.d && "
             "printf '[Service]\\nWatchdogSec=3\\n' >/run/systemd/system/infiniservice.service.d/story.conf && "
             "systemctl daemon-reload && systemctl restart infiniservice")
    try:
        time.sleep(7)
        assert restarts(guest) == 0, "an agent that works is fed"
        pid = main_pid(guest)
        guest.sh("kill -STOP %d" % pid)
        wait_for(lambda: main_pid(guest) not in (0, pid), 12, 0.2, "a new agent")
        with host(guest) as port:
            port.keep_alive(84)
    finally:
        guest.sh("rm -r /run/systemd/system/infiniservice.service.d; systemctl daemon-reload; systemctl restart infiniservice")
    assert property_of(guest, "WatchdogUSec") == "30s"


@story(rows=[86], limit_s=60)
def a_helper_that_is_killed_is_replaced(guest):
    pid = main_pid(guest)
    with configured(guest, "[timers]\nmetrics_interval_ms = 200\n"):
        with host(guest) as port:
            port.ask("ProcessList", "all helpers are there")
            for turn in range(3):
                guest.run("pkill -9 -P %d" % pid)
                port.ask("SystemInfo", "turn %d" % turn)
                time.sleep(1.5)
            begin = len(sequence_numbers(guest))
            time.sleep(1)
            assert len(sequence_numbers(guest)) > begin, "the log goes on"
    assert main_pid(guest) == pid
    assert int(guest.sh("pgrep -c -P %d" % pid)) <= 3


@story(rows=[83], limit_s=60)
def at_its_memory_limit_it_is_restarted_and_goes_on(guest):
    with configured(guest, "[timers]\nmetrics_interval_ms = 200\n"):
        time.sleep(1)
        last = max(sequence_numbers(guest))
        was = restarts(guest)
        pid = main_pid(guest)
        guest.sh("echo 1M >/sys/fs/cgroup/system.slice/infiniservice.service/memory.max || true")
        wait_for(lambda: main_pid(guest) not in (0, pid), 10, 0.1, "the agent is killed and started anew")
        guest.sh("systemctl set-property --runtime infiniservice MemoryMax=512M")
        wait_for(lambda: is_active(guest), 10)
        with host(guest) as port:
            port.keep_alive(83)
        time.sleep(1)
        assert restarts(guest) > was
        assert max(sequence_numbers(guest)) > last
    guest.sh("systemctl revert infiniservice; systemctl daemon-reload; systemctl restart infiniservice")


# ------------------------------------------------------------------------------------------------------ the sandbox

def identity_of(row):
    """What tells one row of a list from the others."""
    return tuple(row.get(key) for key in ("mount_point", "name", "pid", "protocol", "port", "state") if key in row)


def flat(value, path=""):
    """Every leaf by its path; rows by what they are, not by their place."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from flat(inner, path + "." + key)
    elif isinstance(value, list) and value and isinstance(value[0], dict):
        for row in value:
            yield from flat(row, "%s%r" % (path, identity_of(row)))
    else:
        yield path, value


def same_kind(a, b):
    return type(a) is type(b) or {type(a), type(b)} == {int, float}


STEADY = ("total_kb", "total_gb", "filesystem", "device", "ip_addresses", "is_up", "hostname", "kernel_version", "os_version", "name",
          "mount_point", "exe_path", "cmd_line", "ppid")
# A first sample has no rates, and no two processes measure themselves alike.
OWN = (".self", "per_sec", "_state", ".rates", "percent", "temperature")


@story(limit_s=90)
def inside_the_sandbox_it_measures_what_it_measures_outside(guest):
    guest.sh("mkdir -p /home/data /srv/data; if command -v mkfs.ext4 >/dev/null; then truncate -s 8M /var/tmp/data.img && "
             "mkfs.ext4 -q /var/tmp/data.img && mount -o loop /var/tmp/data.img /home/data; fi")
    try:
        with configured(guest, "[collectors]\nprocesses_top = 1000\n"):
            with host(guest) as port:
                port.send({"type": "Metrics"})
                port.expect("metrics")
                time.sleep(1)
                port.send({"type": "Metrics"})
                inside = dict(flat(port.expect("metrics")["data"]))
            outside = dict(flat(json.loads(guest.sh("runuser -u infiniservice -- infiniservice --once"))["data"]))
    finally:
        guest.sh("umount /home/data 2>/dev/null; rm -f /var/tmp/data.img; rmdir /home/data /srv/data")
    both = {path for path in inside if path in outside and not any(word in path for word in OWN)}
    assert len(both) > 200, len(both)
    wrong = {path: (inside[path], outside[path]) for path in both if not same_kind(inside[path], outside[path])}
    assert not wrong, wrong
    wrong = {path: (inside[path], outside[path]) for path in both
             if path.split(".")[-1] in STEADY and inside[path] != outside[path]}
    assert not wrong, wrong
    # What one of them saw alone: processes that came or went, nothing else.
    for path in set(inside) ^ set(outside):
        assert path.startswith((".processes", ".ports", ".self")) or any(word in path for word in OWN), path
    seen = {path.split(")")[0] for path in inside if path.startswith(".processes")}
    there = {path.split(")")[0] for path in outside if path.startswith(".processes")}
    assert len(seen & there) > 0.8 * len(there), (len(seen), len(there))
    assert any("'/'" in path for path in both if "usage_stats" in path)


@story(limit_s=60)
def what_needs_root_is_denied_while_the_executor_is_off(guest):
    with configured(guest, "[commands]\nallow = observe, control, packages, power\n"):
        with host(guest) as port:
            answer = port.ask("ServiceControl", "restart", service="dbus", operation="restart")
            assert answer["error_code"] == "PERMISSION_DENIED", answer
            answer = port.ask("PackageRemove", "remove", package="procps")
            assert answer["error_code"] == "PERMISSION_DENIED", answer
            answer = port.ask("RebootSystem", "reboot")
            assert answer["error_code"] == "PERMISSION_DENIED", answer
    with host(guest) as port:
        assert port.ask("RebootSystem", "policy")["error_code"] == "POLICY_DENIED"


@story(limit_s=60)
def without_the_bus_it_measures_and_answers(guest):
    guest.sh("systemctl stop dbus.socket dbus.service; systemctl restart infiniservice")
    try:
        with host(guest) as port:
            port.keep_alive(1)
            assert port.ask("SystemInfo", "info")["success"]
            assert not port.ask("ServiceList", "services", 10)["success"]
            port.keep_alive(2)
    finally:
        guest.sh("systemctl start dbus.socket dbus.service")


@story(limit_s=60)
def two_ports_of_other_names_do_not_confuse_it(guest):
    assert guest.sh("ls /dev/virtio-ports | wc -l") == "3"
    owners = guest.sh("stat -L -c '%n %U' /dev/virtio-ports/*")
    assert owners.count(" infiniservice") == 1, owners
    guest.unplug(2)
    guest.plug(2, nr=5)
    with host(guest) as port:
        port.keep_alive(6)


@story(limit_s=60)
def on_a_read_only_root_it_reports_without_a_log(guest):
    # What a kernel does to a disk with errors: whoever has files open is not asked.
    guest.sh("systemctl stop infiniservice; echo u >/proc/sysrq-trigger")
    guest.wait("! touch /etc/infiniservice/writable 2>/dev/null")
    try:
        guest.sh("systemctl start infiniservice")
        with host(guest) as port:
            port.keep_alive(7)
            assert port.ask("SystemInfo", "info")["success"]
    finally:
        guest.sh("mount -o remount,rw /; systemctl restart infiniservice")


# ---------------------------------------------------------------------------------------------- upgrading, removing

@story(limit_s=90)
def an_upgrade_under_load_loses_nothing(guest):
    with configured(guest, "[timers]\nmetrics_interval_ms = 100\n"):
        time.sleep(1)
        with AgentPort(guest.path("port1"), 30) as port:
            port.expect("handshake")
            pid = main_pid(guest)
            upgrade = guest.background("export DEBIAN_FRONTEND=noninteractive; dpkg -i %s 2>&1" % NEXT, 60)
            asked = 0
            while main_pid(guest) in (0, pid) and asked < 200:
                port.send({"type": "SafeCommand", "id": "load%d" % asked, "command_type": {"action": "SystemInfo"}, "timeout": 5})
                asked += 1
            said = upgrade()
            assert said.status == 0, said
            port.expect("handshake")
            assert port.ask("SystemInfo", "after the upgrade")["success"]
        numbers = sequence_numbers(guest)
        assert numbers == list(range(numbers[0], numbers[0] + len(numbers))) or numbers == sorted(set(numbers)), numbers
    assert main_pid(guest) != pid
    assert guest.sh("dpkg-query -W -f '${Version}' infiniservice").startswith("1:")


@story(limit_s=60)
def a_stop_by_the_administrator_survives_an_upgrade(guest):
    guest.sh("systemctl stop infiniservice")
    install(guest, NEXT)
    assert not is_active(guest)
    guest.sh("systemctl start infiniservice")
    with host(guest) as port:
        port.keep_alive(3)


@story(limit_s=60)
def removed_it_stops_and_keeps_what_it_logged(guest):
    logged = guest.sh("ls /var/log/infiniservice")
    dpkg(guest, "--remove infiniservice")
    assert not guest.run("pgrep -a infiniservice")
    assert guest.sh("ls /var/log/infiniservice") == logged and logged
    assert guest.sh("stat -L -c '%%U %%a' %s" % AGENT_NODE) == "root 600"
    assert guest.run("ls -d /run/infiniservice 2>/dev/null") == ""


@story(limit_s=60)
def installed_again_it_runs_again(guest):
    last = max(sequence_numbers(guest))
    install(guest)
    with host(guest) as port:
        port.keep_alive(4)
        assert port.expect("metrics", 10)["seq"] > last if not port.seen else True
    assert is_active(guest)


@story(limit_s=120)
def after_a_reboot_it_runs(guest):
    guest.shutdown()
    guest.start(120)
    wait_for(lambda: port_is_open(guest), 15, 0.2, "the agent opens its port")
    with host(guest) as port:
        port.keep_alive(5)
    assert guest.sh("systemctl --failed --plain --no-legend") == ""


@story(limit_s=60)
def purged_at_last_nothing_is_left(guest):
    dpkg(guest, "--purge infiniservice")
    left = files(guest) - before["files"]
    assert not left, left
    assert guest.sh("cat /etc/passwd /etc/group") == before["users"]
