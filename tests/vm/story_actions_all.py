# SPDX-License-Identifier: MIT
"""Every action of the agent's own table, over the port, by the privileged executor where it takes one: what it says is compared with what
systemctl, dpkg-query, apt, ps, df and getent say in the guest. Those with stories of their own are named here with them, so that none is
forgotten."""

import importlib
import inspect
import re
import sys
import time

import story_actions_packages as packages
import story_actions_system as system
from agent_guest import configured, schema
from guest import wait_for
from repository import PLACE, publish, repository, unpack
from stories import registered, story
from story_actions_packages import ask, data_of, host

CONFIG = "[commands]\nallow = observe control packages power\n"
FOREIGN = ("GetThreatHistory", "AutoOptimizeDisk", "CheckWindowsUpdates", "GetWindowsUpdateHistory", "InstallWindowsUpdates", "CheckWindowsDefender",
           "GetDefenderStatus", "RunDefenderQuickScan", "GetDefenderThreats", "ExecutePowerShellScript")

# Which story drives the action and compares what it says.
DRIVEN = {
    "SystemInfo": "the_guest_is_what_its_own_tools_say",
    "OsInfo": "the_guest_is_what_its_own_tools_say",
    "ProcessList": "the_processes_are_those_of_ps",
    "ProcessTop": "the_processes_are_those_of_ps",
    "CheckDiskSpace": "disks_are_as_full_as_df_says",
    "DiskCleanup": "old_files_go_and_what_links_lead_to_stays",
    "CleanTemporaryFiles": "old_files_go_and_what_links_lead_to_stays",
    "PrepareGoldenImage": "a_golden_image_has_lost_its_identity_and_gets_another",
    "RunHealthCheck": "each_check_of_health_says_what_the_guest_says",
    "RunAllHealthChecks": "the_health_of_the_guest_is_told",
    "ValidateSystemHealth": "the_health_of_the_guest_is_told",
    "CheckResourceOptimization": "the_health_of_the_guest_is_told",
    "CheckSystemIntegrity": "a_changed_file_is_found_by_the_integrity_check",
    "RunMaintenanceTask": "a_maintenance_task_does_what_its_action_does",
    "PackageList": "a_package_is_found_installed_updated_listed_and_removed",
    "PackageSearch": "a_package_is_found_installed_updated_listed_and_removed",
    "PackageInstall": "a_package_is_found_installed_updated_listed_and_removed",
    "PackageRemove": "a_package_is_found_installed_updated_listed_and_removed",
    "PackageUpdate": "a_package_is_found_installed_updated_listed_and_removed",
    "UpdateSystemSoftware": "the_whole_system_is_brought_up_to_date",
    "CheckLinuxUpdates": "updates_have_the_same_numbers_under_every_name",
    "GetLinuxSecurityUpdates": "updates_have_the_same_numbers_under_every_name",
    "GetPendingLinuxUpdates": "updates_have_the_same_numbers_under_every_name",
    "GetAvailableUpdates": "updates_have_the_same_numbers_under_every_name",
    "GetPendingUpdates": "updates_have_the_same_numbers_under_every_name",
    "GetSecurityUpdates": "updates_have_the_same_numbers_under_every_name",
    "GetLinuxUpdateHistory": "updates_have_the_same_numbers_under_every_name",
    "GetUpdateHistory": "updates_have_the_same_numbers_under_every_name",
    "CheckApplicationUpdates": "applications_are_the_packages_of_dpkg",
    "GetInstalledApplicationsWMI": "applications_are_the_packages_of_dpkg",
    "GetApplicationDetails": "applications_are_the_packages_of_dpkg",
    "CheckSpecificAppUpdates": "applications_are_the_packages_of_dpkg",
    "EstimateUpdateSize": "applications_are_the_packages_of_dpkg",
    "ServiceList": "the_list_of_services_is_that_of_systemctl",
    "ServiceControl": "units_with_instances_and_escapes_are_units",
    "RestartServices": "units_with_instances_and_escapes_are_units",
    "UserList": "the_users_are_those_getent_names",
    "ProcessKill": "a_process_is_killed_and_kernel_threads_are_not",
    "RebootSystem": "a_reboot_is_answered_before_it_happens",
    "ShutdownSystem": "a_shutdown_is_answered_before_it_happens",
    "CheckLinuxSecurity": "the_security_of_the_guest_is_what_its_tools_say",
    "GetLinuxSecurityStatus": "the_security_of_the_guest_is_what_its_tools_say",
    "GetLinuxFirewallStatus": "the_security_of_the_guest_is_what_its_tools_say",
    "CheckFirewallStatus": "the_security_of_the_guest_is_what_its_tools_say",
    "CheckSecurityModules": "the_security_of_the_guest_is_what_its_tools_say",
    "Status": "what_is_of_another_system_is_refused_at_once",
    "JoinDomain": "what_is_of_another_system_is_refused_at_once",
}


@story()
def no_action_of_the_table_is_left_untried(_guest):
    table = schema.actions_of_the_table()
    assert len(table) > 40 and table == set(DRIVEN), table ^ set(DRIVEN)
    turned_off = importlib.import_module("story_turned_off")  # not at the top: its stories come last of all
    functions = {}
    for module in (packages, system, turned_off, sys.modules[__name__]):
        functions.update(inspect.getmembers(module, inspect.isfunction))
    told = {function.__name__ for function, _, _ in registered}
    for action, name in DRIVEN.items():
        assert name in told, name
        source = inspect.getsource(functions[name])
        used = {word for word in re.findall(r"\b(\w+)\(", source) if word in functions}
        source += "".join(inspect.getsource(functions[word]) for word in used)
        assert '"%s"' % action in source, "%s does not drive %s" % (name, action)


# ------------------------------------------------------------------------------------------------- questions of the guest

@story()
def the_guest_is_what_its_own_tools_say(guest):
    with host(guest) as port:
        for action in ("SystemInfo", "OsInfo"):
            data = data_of(port, action)
            assert data["hostname"] == guest.sh("uname -n"), data
            assert data["kernel_version"] == guest.sh("uname -r"), data
            assert data["architecture"] == guest.sh("uname -m"), data
            assert guest.sh(". /etc/os-release; echo $VERSION_ID") in data["version"], data
            assert data["os_type"].lower() == guest.sh("uname -s").lower(), data
            assert data["linux_distro"].lower().startswith(guest.sh(". /etc/os-release; echo $ID")), data
        there = guest.sh("for p in apt dpkg dnf yum rpm apk pacman zypper snap flatpak; do command -v $p >/dev/null && echo $p; done; true")
        assert sorted(data["available_package_managers"]) == sorted(there.split()), (data, there)
        assert data["default_shell"] in guest.sh("cat /etc/shells; getent passwd root | cut -d: -f7").split(), data


def ps_of(guest):
    rows = {}
    for line in guest.sh("LC_ALL=C ps -eo pid=,ppid=,user:32=,rss=,comm=").splitlines():
        pid, ppid, user, rss, comm = line.split(None, 4)
        rows[int(pid)] = (int(ppid), user, int(rss), comm)
    return rows


@story(limit_s=90)
def the_processes_are_those_of_ps(guest):
    guest.background("exec perl -e 'my $x = \"x\" x 60000000; $0 = \"story hog\"; sleep 100'", 120)
    guest.background("exec sh -c 'while :; do :; done'", 120)
    try:
        with host(guest) as port:
            wait_for(lambda: guest.run("grep -lx 'story hog' /proc/[0-9]*/comm").status == 0, 20, 0.2, "it has its memory and its name")
            before = ps_of(guest)
            listed = {row["pid"]: row for row in data_of(port, "ProcessList", limit=10000)}
            after = ps_of(guest)
            stayed = {pid for pid in before if pid in after and before[pid][3] == after[pid][3] and not before[pid][3].startswith("kworker")}
            assert len(stayed) > 5 and stayed <= set(listed), stayed - set(listed)
            for pid in stayed:
                told = (listed[pid]["ppid"], listed[pid]["user"], listed[pid]["name"])
                assert told == (before[pid][0], before[pid][1], before[pid][3]), (told, before[pid])
                assert abs(listed[pid]["memory_kb"] - after[pid][2]) <= max(4096, after[pid][2] // 4), (listed[pid], after[pid])
            assert [pid for pid in stayed if listed[pid]["cmd_line"] and "story hog" in listed[pid]["cmd_line"]], "as it calls itself"
            most = data_of(port, "ProcessTop", sort_by="memory", limit=3)
            assert most[0]["pid"] == max(after, key=lambda pid: after[pid][2]) and len(most) == 3, most
            assert [row["memory_kb"] for row in most] == sorted((row["memory_kb"] for row in most), reverse=True), most
            assert 5 < len(data_of(port, "ProcessTop")) <= 10
            wait_for(lambda: data_of(port, "ProcessTop", sort_by="cpu")[0]["cmd_line"].startswith("sh -c while :"), 30, 1, "the busy one is first")
    finally:
        guest.run("pkill -f 'story ho[g]'; pkill -f 'while :; do :[;]'")


@story(limit_s=90)
def disks_are_as_full_as_df_says(guest):
    guest.sh("dd if=/dev/zero of=/root/filler bs=1M count=60 2>/dev/null; sync")
    try:
        with configured(guest, CONFIG + "[timers]\nmetrics_interval_ms = 500\n"), host(guest) as port:
            total, used, available, percent = guest.sh(
                "df -B1 --output=size,used,avail,pcent / | tail -1").replace("%", "").split()

            def agrees():
                disk = data_of(port, "CheckDiskSpace")["disks"][0]
                pairs = ((disk["total_gb"], total), (disk["used_gb"], used), (disk["available_gb"], available))
                return all(abs(told - int(want) / 2 ** 30) < 0.01 for told, want in pairs) and disk
            disk = wait_for(agrees, 15, 0.5, "the numbers of df")
            assert disk["mount_point"] == "/" and abs(disk["usage_percent"] - int(percent)) <= 1, (disk, percent)
            data = data_of(port, "CheckDiskSpace")
            assert data["status"] == "ok" and data["drives"][0]["drive"] == "/", data
            assert data["drives"][0]["free_gb"] == data["disks"][0]["available_gb"], data
            for warning, critical, status in ((1, 99, "warning"), (1, 1, "critical"), (None, None, "ok")):
                told = data_of(port, "CheckDiskSpace", warning_threshold=warning, critical_threshold=critical)
                assert told["status"] == status, told
    finally:
        guest.run("rm -f /root/filler")


FILLED = """
set -e
mkdir -p /srv/at/one /srv/at/two /srv/fill
for name in one two; do
	truncate -s 8M /srv/$name; mkfs.ext4 -q -m 0 -N 64 -F /srv/$name; mount -o loop /srv/$name /srv/fill
	case $name in
	one) ! dd if=/dev/zero of=/srv/fill/full bs=64k 2>/dev/null ;;
	two) i=0; { while true >/srv/fill/$i; do i=$((i + 1)); done } 2>/dev/null ;;
	esac
	umount /srv/fill
	mount -o loop /srv/$name /srv/at/$name; mount -o remount,ro /srv/at/$name  # a loop made read-only could not be written to later
done
"""


@story(limit_s=120)
def what_is_read_only_is_not_judged_and_both_who_judge_say_the_same(guest):
    one, two = "/srv/at/one", "/srv/at/two"
    try:
        guest.sh(FILLED, 60)
        with configured(guest, CONFIG + "[timers]\nmetrics_interval_ms = 500\n"), host(guest) as port:
            for judged in (False, True):
                if judged:
                    guest.sh("mount -o remount,rw %s; mount -o remount,rw %s" % (one, two))

                def both():
                    rows = {row["mount_point"]: row for row in data_of(port, "CheckDiskSpace")["disks"]}
                    return {one, two} <= set(rows) and rows[one]["judged"] is rows[two]["judged"] is judged  # pylint: disable=cell-var-from-loop
                wait_for(both, 20, 0.5, "both file systems, as they are mounted")
                check = data_of(port, "CheckDiskSpace")
                health, drives = data_of(port, "RunHealthCheck", check_name="disk_space"), {row["drive"] for row in check["drives"]}
                rows = {row["mount_point"]: row for row in check["disks"]}
                assert rows[one]["usage_percent"] > 95 and rows[one]["judged"] is judged, rows[one]
                # What is read-only cannot run out of inodes.
                assert rows[two]["inodes_percent"] > 95 if judged else rows[two]["inodes_percent"] is None, rows[two]
                assert {"ok": "passed", "warning": "warning", "critical": "failed"}[check["status"]] == health["status"], (check, health)
                if judged:
                    assert health["status"] == "failed" and {one, two} <= drives and two in health["message"], (health, drives)
                    assert health["details"]["fullest_mount_point"] == one and health["details"]["inodes_percent"] > 95, health
                else:
                    assert health["status"] == "passed" and not drives & {one, two}, (health, drives)
                    assert health["details"]["mounts_not_judged"] >= 2, health
    finally:
        guest.run("umount /srv/at/one; umount /srv/at/two; umount /srv/fill; rm -rf /srv/at /srv/fill /srv/one /srv/two")


@story(limit_s=120)
def each_check_of_health_says_what_the_guest_says(guest):
    guest.put("/run/systemd/system/story-broken.service", "[Service]\nExecStart=/bin/false\n")
    guest.run("systemctl daemon-reload; systemctl start story-broken; touch /run/reboot-required")
    try:
        with configured(guest, CONFIG), host(guest) as port:
            names = sorted(set(data_of(port, "RunAllHealthChecks")) - {"overall_health"})
            assert len(names) == 12, names
            found = {name: data_of(port, "RunHealthCheck", check_name=name) for name in names}
            total, available = (int(guest.sh("awk '/^%s:/{print $2}' /proc/meminfo" % key)) for key in ("MemTotal", "MemAvailable"))
            memory = found["memory"]["details"]
            assert memory["total_kb"] == total and abs(memory["available_kb"] - available) < total / 5, (memory, total, available)
            assert found["cpu_load"]["details"]["cores"] == int(guest.sh("nproc"))
            assert abs(found["cpu_load"]["details"]["load_15min"] - float(guest.sh("cut -d' ' -f3 /proc/loadavg"))) < 0.5
            failed = guest.sh("systemctl list-units --failed --plain --no-legend | cut -d' ' -f1").split()
            synchronised = guest.sh("timedatectl show -p NTPSynchronized --value") == "yes"
            assert ("nothing" not in found["clock"]["message"]) == synchronised and "not known" not in found["clock"]["message"], found["clock"]
            assert found["failed_units"]["status"] == "warning", found["failed_units"]
            assert found["failed_units"]["details"]["failed_units"] == len(failed) and "story-broken.service" in failed
            assert found["reboot_required"]["status"] == "warning", found["reboot_required"]
            assert found["log"]["status"] == "passed" and found["log"]["details"]["written"] > 0, found["log"]
            guest.run("systemctl reset-failed; rm /run/reboot-required")
            assert data_of(port, "RunHealthCheck", check_name="failed_units")["status"] == "passed"
            assert data_of(port, "RunHealthCheck", check_name="reboot_required")["status"] == "passed"
    finally:
        guest.run("systemctl reset-failed; rm -f /run/reboot-required /run/systemd/system/story-broken.service; systemctl daemon-reload")


@story(limit_s=60)
def the_security_of_the_guest_is_what_its_tools_say(guest):
    with host(guest) as port:
        all_of = data_of(port, "CheckLinuxSecurity")
        assert data_of(port, "GetLinuxSecurityStatus") == all_of
        firewall = data_of(port, "GetLinuxFirewallStatus")
        assert data_of(port, "CheckFirewallStatus") == firewall and all_of["details"]["firewall"] == firewall
        modules = data_of(port, "CheckSecurityModules")
        assert all_of["details"]["security_modules"] == modules
        lsm = guest.run("cat /sys/kernel/security/lsm 2>/dev/null").strip()
        assert modules["details"]["active_modules"] == (lsm or "unknown"), (modules, lsm)
        enforced = guest.run("cat /sys/module/apparmor/parameters/enabled 2>/dev/null").strip() == "Y"
        assert modules["details"]["apparmor"]["enabled"] == enforced, modules
        assert modules["details"]["selinux"]["enabled"] == (guest.run("test -d /sys/fs/selinux/class").status == 0), modules
        units = ("nftables", "ufw", "firewalld")
        shown = guest.sh("systemctl show -p LoadState --value %s; systemctl is-active %s; true" % (" ".join(units), " ".join(units))).split()
        for unit, loaded, state in zip(units, shown[:3], shown[3:]):
            assert firewall["details"][unit]["service"] == ("not-installed" if loaded == "not-found" else state), (unit, firewall)
        assert firewall["details"]["active"] is False and firewall["status"] != "passed", firewall
        installed = guest.run("dpkg-query -W unattended-upgrades").status == 0
        assert all_of["details"]["automatic_updates"]["details"]["unattended_upgrades_installed"] == installed, all_of
        assert all_of["details"]["ssh"]["details"]["installed"] == (guest.run("test -e /usr/sbin/sshd").status == 0), all_of


# -------------------------------------------------------------------------------------------------------------- units

def refused(answer, what):
    assert answer["error_code"] == "POLICY_DENIED" and answer["reason"] == "unit_denied" and answer["exit_code"] == 1, (what, answer)
    assert not answer["success"] and "escape" in answer["error"], (what, answer)


@story(limit_s=180)
def units_with_instances_and_escapes_are_units(guest):
    guest.put("/run/systemd/system/story-a@.service", "[Service]\nExecStart=/bin/sleep 3700\n")
    guest.put("/run/systemd/system/story-b\\x2dc.service", "[Service]\nExecStart=/bin/sleep 3701\n")
    guest.sh("systemctl daemon-reload")
    try:
        with configured(guest, CONFIG), host(guest) as port:
            for name in ("story-a@one", "story-a@one-two.service", "story-b\\x2dc"):
                unit = name if name.endswith(".service") else name + ".service"
                for operation, state in (("status", "inactive"), ("start", "active"), ("restart", "active"), ("stop", "inactive")):
                    data = data_of(port, "ServiceControl", params={"service": name, "operation": operation})
                    shown = dict(line.split("=", 1) for line in
                                 guest.sh("systemctl show -p ActiveState,SubState,MainPID '%s'" % unit).splitlines())
                    assert data["service"] == unit and data["active_state"] == state == shown["ActiveState"], (operation, data, shown)
                    assert (data["sub_state"], str(data["main_pid"])) == (shown["SubState"], shown["MainPID"]), (data, shown)
            guest.sh("systemctl start story-a@one")
            first = guest.sh("systemctl show -p MainPID --value story-a@one")
            assert data_of(port, "RestartServices", service_name="story-a@one")["restarted"] == ["story-a@one.service"]
            assert guest.sh("systemctl show -p MainPID --value story-a@one") not in (first, "0")
            # An escape in an instance may become anything in the unit's command line: such a unit is looked at, and left as it is.
            for name in ("story-a@one\\x2dtwo", "story-a@a\\x20b.service"):
                unit = name if name.endswith(".service") else name + ".service"
                guest.sh("systemctl start '%s'" % unit)
                pid = guest.sh("systemctl show -p MainPID --value '%s'" % unit)
                for operation in ("stop", "restart", "disable", "enable", "start"):
                    refused(ask(port, "ServiceControl", service=name, operation=operation), operation)
                refused(ask(port, "RestartServices", service_name=name), "RestartServices")
                data = data_of(port, "ServiceControl", service=name, operation="status")
                assert (data["service"], data["active_state"], str(data["main_pid"])) == (unit, "active", pid), (data, pid)
                assert pid != "0" and guest.sh("systemctl show -p MainPID --value '%s'" % unit) == pid
                guest.sh("systemctl stop '%s'" % unit)
                refused(ask(port, "ServiceControl", service=name, operation="start"), "start")
                assert data_of(port, "ServiceControl", service=name, operation="status")["active_state"] == "inactive"
                assert guest.run("systemctl is-active '%s'" % unit).strip() == "inactive"
            for wrong in ("story-a@", "story-a@.service", "story-b\\x2", "story-b\\y2d", "--help", "../story-b", "story-a@a b"):
                answer = ask(port, "ServiceControl", service=wrong, operation="start")
                assert answer["error_code"] == "INVALID_PARAMETERS" and answer["exit_code"] == 1, (wrong, answer)
    finally:
        guest.run("systemctl stop 'story-a@*' 'story-b\\x2dc'; rm -f /run/systemd/system/story-[ab]*; systemctl daemon-reload")


# ----------------------------------------------------------------------------------------------------------- packages

SECURITY = r"""
size=$(stat -c %s Packages); sum=$(sha256sum Packages | cut -d' ' -f1)
printf 'Origin: Debian\nLabel: Debian-Security\nSuite: stable-security\nVersion: 12\nCodename: bookworm-security\nDate: %s\nSHA256:\n %s %s Packages\n' \
	"$(LC_ALL=C date -u '+%a, %d %b %Y %H:%M:%S UTC')" $sum $size >Release
"""


def upgradable(guest):
    """{name: (before, after)} as apt list says: "story-tiny/stable-security 1.1 all [upgradable from: 1.0]"."""
    found = {}
    for line in guest.sh("LC_ALL=C apt list --upgradable 2>/dev/null", 60).splitlines():
        match = re.match(r"([^/]+)/\S* (\S+) \S+ \[upgradable from: (\S+)\]", line)
        if match:
            found[match[1]] = (match[3], match[2])
    return found


def stamp(seconds):
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(int(seconds)))


@story(limit_s=300)
def updates_have_the_same_numbers_under_every_name(guest):
    with repository(guest, ("story-tiny", "1.0", "true"), ("story-plain", "1.0", "true")), configured(guest, CONFIG), host(guest) as port:
        unpack(guest, "story-tiny", "story-plain")
        publish(guest, ("story-tiny", "1.1", "true"), then=SECURITY)
        want = upgradable(guest)
        assert want.get("story-tiny") == ("1.0", "1.1"), want
        security = {line.split()[1] for line in guest.sh("LC_ALL=C apt-get -s dist-upgrade", 60).splitlines()
                    if line.startswith("Inst ") and "ecurity" in line and "[" in line}
        assert security == {"story-tiny"}, security
        checked = guest.sh("stat -c %Y /var/lib/apt/lists")
        for action in ("CheckLinuxUpdates", "GetPendingLinuxUpdates", "GetLinuxSecurityUpdates", "GetAvailableUpdates", "GetPendingUpdates",
                       "GetSecurityUpdates", "GetLinuxUpdateHistory"):
            data = data_of(port, action, 300)
            told = {row["package_name"]: (row["current_version"], row["available_version"]) for row in data["pending_updates"]}
            only = {name: want[name] for name in security} if "Security" in action else want
            assert told == only, (action, told, only)
            assert {row["package_name"] for row in data["pending_updates"] if row["is_security"]} == security, (action, data)
            assert data["total_pending_count"] == len(only) and data["security_updates_count"] == len(security), data
            assert data["package_manager"] == "apt" and data["reboot_required"] is False, data
            assert data["last_check"][:19] == stamp(checked), (data["last_check"], checked)
            assert data["distro"] and data["distro"].lower().startswith("debian"), data["distro"]
            if "applications" in data:
                assert {row["name"] for row in data["applications"]} == set(only), (action, data["applications"])
            if "history" in data:
                events = [(row["action"], row["package_name"], row["version"]) for row in data["history"]]
                logged = [line.split() for line in guest.sh("grep -E ' (install|upgrade|remove) story-' /var/log/dpkg.log").splitlines()]
                logged = [(words[2], words[3].split(":")[0], words[5]) for words in logged][-2:]
                assert events[:2][::-1] == logged, (events[:4], logged)
                told = data_of(port, "GetUpdateHistory")["updates"]
                assert [(row["action"], row["package_name"]) for row in told[:2][::-1]] == [event[:2] for event in logged], told[:4]
                assert all(row["status"] == "Succeeded" for row in told[:2]), told[:2]


@story(limit_s=240)
def applications_are_the_packages_of_dpkg(guest):
    with repository(guest, ("story-tiny", "1.0", "true")), configured(guest, CONFIG), host(guest) as port:
        unpack(guest, "story-tiny")
        publish(guest, ("story-tiny", "1.1", "true"))
        updates = upgradable(guest)
        lines = guest.sh("dpkg-query -W -f '${Package}\\t${Version}\\t${Installed-Size}\\t${db:Status-Status}\\n'").splitlines()
        want = {line.split("\t")[0]: line.split("\t")[1:3] for line in lines if line.endswith("\tinstalled")}
        for action, names in (("CheckApplicationUpdates", set(updates)), ("GetInstalledApplicationsWMI", set(want))):
            data = data_of(port, action, 120)
            told = {row["name"]: row for row in data["applications"]}
            assert {name: row["version"] for name, row in told.items()} == {name: want[name][0] for name in names}
            for name, row in told.items():
                assert abs((row["size_mb"] or 0) - int(want[name][1] or 0) / 1024) < 0.02, (row, want[name])
                assert row["can_update"] == (name in updates), row
                assert row["update_available"] == row["new_version"] == (updates[name][1] if name in updates else None), row
            assert data["summary"]["total_applications"] == len(want) and data["summary"]["updates_available"] == len(updates)
        details = data_of(port, "GetApplicationDetails", 60, app_id="story-tiny")
        shown = dict(line.split(": ", 1) for line in guest.sh("dpkg-query -s story-tiny").splitlines() if ": " in line)
        assert details["application"] == data_of(port, "CheckSpecificAppUpdates", 60, app_id="story-tiny")
        assert details["application"]["publisher"] == shown["Maintainer"] and details["application"]["version"] == shown["Version"]
        assert details["application"]["install_date"][:19] == stamp(guest.sh("stat -c %Y /var/lib/dpkg/info/story-tiny.list"))
        metadata = details["metadata"]
        assert (metadata["section"], metadata["architecture"], metadata["description"]) == \
            (shown["Section"], shown["Architecture"], shown["Description"]), (metadata, shown)
        size = int(guest.sh("stat -c %%s %s/story-tiny_1.1_all.deb" % PLACE))
        estimate = data_of(port, "EstimateUpdateSize", 60, app_id="story-tiny")
        assert (estimate["app_id"], estimate["size_bytes"]) == ("story-tiny", size), (estimate, size)
        for action in ("GetApplicationDetails", "CheckSpecificAppUpdates", "EstimateUpdateSize"):
            assert data_of(port, action, 60, app_id="no-such-package") is None


# ----------------------------------------------------------------------------------------------- cleanup and maintenance

FARM = """mkdir -p /root/precious /mnt/other /tmp/farm/deep/er /tmp/farm/bound /tmp/farm/mounted /var/tmp/farm
echo keep >/root/precious/file; echo keep >/mnt/other/file; echo keep >/srv/story-kept; echo keep >/etc/story-kept
ln -s /root/precious /tmp/farm/dir; ln -s /root/precious/file /tmp/farm/file; ln -s / /tmp/farm/root; ln -s /etc /tmp/farm/deep/etc
ln -s ../../root/precious /tmp/farm/up; ln -s /proc/self/root /tmp/farm/magic; ln -s farm /tmp/farm-self; ln -s /srv /tmp/srv
ln /root/precious/file /tmp/farm/hard || ln -s /root/precious/file /tmp/farm/hard; ln -s /etc/story-kept /var/tmp/farm/etc; mkfifo /tmp/farm/fifo
mount --bind /mnt/other /tmp/farm/bound; mount -t tmpfs none /tmp/farm/mounted; echo keep >/tmp/farm/mounted/file
echo old >/tmp/farm/deep/er/old; echo old >/var/tmp/farm/old; head -c 100000 /dev/zero >/tmp/farm/deep/large"""
OUTSIDE = "cat /root/precious/file /mnt/other/file /tmp/farm/mounted/file /srv/story-kept /etc/story-kept"


def clock(guest, by):
    guest.sh("date -s \"$(date -d '%s' '+%%F %%T')\"" % by)


@story(limit_s=180)
def old_files_go_and_what_links_lead_to_stays(guest):
    guest.sh(FARM)
    guest.sh("find /etc /srv /root -xdev | sort | sha256sum >/run/story-before")
    went = 0
    try:
        with configured(guest, CONFIG), host(guest) as port:
            guest.sh("find /etc /srv /root -xdev | sort | sha256sum >/run/story-before")
            new = data_of(port, "DiskCleanup", targets=["tmp", "var_tmp"])["cleaned_items"]
            assert not [path for path in new if "farm" in path], new
            # The age of a file is that of its newest time, which nobody can set back: the clock goes on instead.
            clock(guest, "+11 days")
            went = 11
            guest.sh("echo young >/tmp/story-young")
            dry = data_of(port, "CleanTemporaryFiles", targets=["tmp"], dry_run=True)
            assert "/tmp/farm/deep/er/old" in dry["cleaned_items"] and dry["dry_run"] is True, dry
            assert dry["freed_bytes"] >= 100000, dry
            assert data_of(port, "DiskCleanup", targets=["crash"])["cleaned_items"] == []
            # Not by reading them: that makes them young.
            guest.sh("test -s /tmp/farm/deep/er/old && test -s /var/tmp/farm/old")
            done = data_of(port, "DiskCleanup", targets=["tmp"])
            gone = set(done["cleaned_items"])
            assert {"/tmp/farm/deep/er/old", "/tmp/farm/root", "/tmp/farm/magic", "/tmp/farm-self", "/tmp/srv", "/tmp/farm/hard"} <= gone, done
            assert all(path.startswith("/tmp/") for path in gone), gone
            # Links go as links: what they led to was no part of what was freed.
            assert 100000 <= done["freed_bytes"] < 1000000, done
            assert guest.run("test -e /tmp/farm/deep || test -L /tmp/farm/root || test -e /tmp/farm/hard").status != 0
            guest.sh("test -s /tmp/story-young && test -s /var/tmp/farm/old")  # younger, and another target
            assert guest.sh(OUTSIDE) == "\n".join(["keep"] * 5)
            assert "/var/tmp/farm/old" not in data_of(port, "CleanTemporaryFiles", targets="var_tmp")["cleaned_items"], "30 days there"
            clock(guest, "+20 days")
            went = 31
            assert "/var/tmp/farm/old" in data_of(port, "CleanTemporaryFiles", targets="var_tmp")["cleaned_items"]
            assert guest.sh(OUTSIDE) == "\n".join(["keep"] * 5)
            assert guest.sh("find /etc /srv /root -xdev | sort | sha256sum") == guest.sh("cat /run/story-before")
    finally:
        guest.run("umount /tmp/farm/bound /tmp/farm/mounted; rm -rf /tmp/farm* /tmp/srv /tmp/story-young /var/tmp/farm /root/precious"
                  " /mnt/other /srv/story-kept /etc/story-kept")
        clock(guest, "-%d days" % went)


@story(limit_s=300)
def a_maintenance_task_does_what_its_action_does(guest):
    guest.put("/run/systemd/system/story-flaky.service", "[Service]\nExecStart=/bin/sh -c 'test -e /run/story-repaired && exec sleep 3702'\n")
    guest.run("systemctl daemon-reload; systemctl start story-flaky")
    wait_for(lambda: guest.run("systemctl is-failed story-flaky").strip() == "failed", 10, 0.2)
    try:
        with repository(guest, ("story-tiny", "1.0", "true")), configured(guest, CONFIG), host(guest) as port:
            unpack(guest, "story-tiny")
            publish(guest, ("story-tiny", "1.1", "true"))
            guest.sh("touch /run/story-repaired")
            # What came before may have kept an emulated disk busy for a minute.
            wait_for(lambda: data_of(port, "RunAllHealthChecks")["overall_health"] != "Critical", 100, 5, "a guest that is fit for it")
            data = data_of(port, "RunMaintenanceTask", task_type="restart_services", task_name="again", validate_before=True, validate_after=True)
            assert data["restarted"] == ["story-flaky.service"] and guest.sh("systemctl is-active story-flaky") == "active", data
            assert data["validation"]["before"]["failed_units"]["status"] == "warning", data["validation"]["before"]["failed_units"]
            assert data["validation"]["after"]["failed_units"]["status"] == "passed", data["validation"]["after"]["failed_units"]
            data = data_of(port, "RunMaintenanceTask", 600, task_type="updates", parameters={"package": "story-tiny"}, validate_after=True)
            assert data["updated"] == ["story-tiny"] and packages.version(guest, "story-tiny") == "installed 1.1", data
            assert data["validation"]["before"] is None and data["validation"]["after"]["disk_space"], data["validation"]
            data = data_of(port, "RunMaintenanceTask", task_type="cleanup", parameters={"targets": ["crash"], "dry_run": True})
            assert "validation" not in data and data["dry_run"] is True, data
            assert data_of(port, "RunMaintenanceTask", task_type="health")["overall_health"]
            answer = ask(port, "RunMaintenanceTask", task_type="defragment")
            assert answer["error_code"] == "INVALID_PARAMETERS", answer
    finally:
        guest.run("systemctl stop story-flaky; rm -f /run/story-repaired /run/systemd/system/story-flaky.service;"
                  "systemctl daemon-reload; systemctl reset-failed")


# -------------------------------------------------------------------------------------------------- what is not for here

@story()
def what_is_of_another_system_is_refused_at_once(guest):
    with configured(guest, CONFIG), host(guest) as port:
        for action in FOREIGN:
            answer = port.ask(action, "of-" + action, 300, password="hunter2", domain="d", script="id", update_ids=None)
            assert answer["error_code"] == "UNSUPPORTED_PLATFORM" and answer["data"] is None and answer["execution_time_ms"] < 1000, answer
        answer = port.ask("JoinDomain", "of-join", 300, domain="d.example.org", username="u", password="hunter2")
        assert answer["error_code"] == "NOT_FOUND" and "realmd" in answer["error"], answer
        assert port.ask("NoSuchAction", "none")["error_code"] == "UNKNOWN_COMMAND"
        assert port.ask("Status", "state")["data"]["audit"]["recorded"] > 0
    guest.wait("infinictl audit --id of-GetThreatHistory | grep UNSUPPORTED_PLATFORM | grep -F '***'", 10)
    # What another user writes into the journal in our name is no record.
    forged = "MESSAGE_ID=5d0c4f3e7a1b4d62b8e90f2c6a7d1e43\\nINFINISERVICE_PHASE=finished\\nINFINISERVICE_ID=of-GetThreatHistory\\nINFINISERVICE_ACTION=forged\\n"
    guest.sh("printf '%s' | setpriv --reuid=nobody --clear-groups logger --journald; printf '%s' | logger --journald" % (forged, forged.replace("forged", "by-root")))
    guest.wait("infinictl audit --id of-GetThreatHistory | grep by-root", 10)
    assert "forged" not in guest.sh("infinictl audit --id of-GetThreatHistory")
    assert "hunter2" not in guest.sh("journalctl --no-pager -o export -u infiniservice")


@story(limit_s=90)
def parameters_may_stand_in_three_places_and_be_null(guest):
    with configured(guest, CONFIG), host(guest) as port:
        shapes = [
            {"command_type": {"action": "ServiceControl", "service": "dbus", "operation": "status"}, "params": None},
            {"command_type": {"action": "ServiceControl", "params": {"service": "dbus", "operation": "status"}}},
            {"command_type": {"action": "ServiceControl", "service": None, "operation": None},
             "params": {"service": "dbus", "operation": "status"}},
        ]
        want = guest.sh("systemctl show -p MainPID --value dbus")
        for number, shape in enumerate(shapes):
            port.send(dict(shape, type="SafeCommand", id="shape%d" % number, timeout=None))
            assert str(port.response("shape%d" % number)["data"]["main_pid"]) == want
        # Optional fields that are null, and actions that come with nothing at all.
        for action, more in (("RunHealthCheck", {"check_name": None}), ("CheckResourceOptimization", {"evaluation_window_days": None}),
                             ("CleanTemporaryFiles", {"targets": None, "dry_run": True, "age_days": None}),
                             ("RestartServices", {"service_name": None}), ("GetLinuxUpdateHistory", {"days": None}), ("UserList", {})):
            answer = ask(port, action, 120, **more)
            assert answer["success"], (action, answer)
        for action in ("ProcessList", "ProcessTop", "CheckDiskSpace"):
            answer = port.ask(action, "null-" + action, limit=None, sort_by=None, warning_threshold=None, critical_threshold=None)
            assert answer["success"], answer
