#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Packages, updates, health and cleanup against this very machine: what is said is compared with what the tools say, what is hostile runs
nothing. Nothing here changes the machine: that is done in the guest."""
import json
import os
import re
import shutil
import subprocess
import time

import schema
import tap
from aptcache import keep_cache
from fakehost import SLOW, children_of, descendants, command_line, talk, wait_until

ALL = {"commands.allow": "observe,control,packages,power"}
ENVIRONMENT = {"LC_ALL": "C.UTF-8", "PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}
HOSTILE = ["", "-", "-y", "--help", "--allow-unauthenticated", "../etc/passwd", "/etc/passwd", "a/b", "a b", "a\nb", "a\n", "a;id", "$(id)",
           "`id`", "a|b", "a&b", "a>b", "a*", "a?", "[a]", "a=1", "bash-", "@core", "a\\x2d", "a'", 'a"', "é", "a" * 129, "a" * 100000,
           "a\u0000b", "%s", "~root", "."]


def need_apt():
    if not shutil.which("apt-get") or not shutil.which("dpkg-query"):
        raise tap.Skip("this machine has no apt")
    keep_cache()


def run(*argv):
    return subprocess.run(argv, env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=False).stdout.decode()


def data_of(host, action, timeout=120, **parameters):
    answer = host.response(host.command(action, timeout, **parameters), timeout * SLOW)
    assert answer["success"], answer
    schema.check_data(action, answer["data"])
    return answer["data"]


def installed():
    lines = run("dpkg-query", "-W", "-f", "${Package}\t${Version}\t${db:Status-Status}\n").splitlines()
    return {tuple(line.split("\t")[:2]) for line in lines if line.endswith("\tinstalled")}


def story_package_list_is_what_dpkg_query_lists():
    need_apt()
    _, host = talk(tap.keep)
    for _ in range(3):  # another program may install something meanwhile
        before, data = installed(), data_of(host, "PackageList")
        told = {(row["name"], row["version"]) for row in data["packages"]}
        if before == installed():
            break
    assert told == before if not data.get("truncated") else told < before, told ^ before
    assert data["packages"] and all(row["installed"] and row["source"] == "apt" for row in data["packages"])


def story_a_search_finds_what_apt_cache_finds():
    need_apt()
    _, host = talk(tap.keep)
    for query, words in (("dash posix", ["dash", "posix"]), ("libstdc++6", ["libstdc\\+\\+6"])):
        want = [line.split(" - ")[0] for line in run("apt-cache", "search", "--", *words).splitlines()]
        rows = data_of(host, "PackageSearch", query=query)["packages"]
        assert sorted(set(row["name"] for row in rows)) == sorted(set(want)), (query, want, rows)
        for row in rows:
            assert row["installed"] == any(name == row["name"] for name, _ in installed()), row


def pending():
    text = run("apt-get", "-s", "-o", "Debug::NoLocking=1", "dist-upgrade")
    return {(m[1], m[2], m[3]) for m in re.finditer(r"^Inst ([^ :]+)\S* \[(\S+)\] \((\S+) ", text, re.M)}


def story_updates_are_those_that_apt_would_install():
    need_apt()
    _, host = talk(tap.keep)
    data = data_of(host, "CheckLinuxUpdates", 300)
    want = pending()
    told = {(row["package_name"], row["current_version"], row["available_version"]) for row in data["pending_updates"]}
    assert told == want, told ^ want
    assert data["total_pending_count"] == len(want)
    assert data["security_updates_count"] == sum(row["is_security"] for row in data["pending_updates"])
    assert data["package_manager"] == "apt"
    assert data["reboot_required"] == os.path.exists("/run/reboot-required")
    security = data_of(host, "GetLinuxSecurityUpdates", 300)
    assert all(row["is_security"] for row in security["pending_updates"])
    assert len(security["pending_updates"]) == data["security_updates_count"]


def story_every_name_of_the_same_question_has_the_shape_a_host_expects():
    need_apt()
    _, host = talk(tap.keep)
    for action in ("GetPendingLinuxUpdates", "GetAvailableUpdates", "GetPendingUpdates", "GetSecurityUpdates",
                   "CheckApplicationUpdates", "GetInstalledApplicationsWMI"):
        data_of(host, action, 300)
    for action in ("GetLinuxUpdateHistory", "GetUpdateHistory"):
        data_of(host, action, 300, days=3650)


def story_applications_say_which_of_them_have_updates():
    need_apt()
    _, host = talk(tap.keep)
    answer = host.response(host.command("CheckApplicationUpdates", 300), 300 * SLOW)
    data, want = answer["data"], pending()
    schema.check_data("CheckApplicationUpdates", data)
    assert {(row["name"], row["current_version"], row["update_available"]) for row in data["applications"]} == want
    assert all(row["available_version"] == row["new_version"] == row["update_available"] for row in data["applications"])
    assert data["summary"]["updates_available"] == len(want)
    assert answer["stdout"].startswith(f"{len(want)} of ") and answer["stdout"].count("\n") == 1, answer["stdout"]
    everything = data_of(host, "GetInstalledApplicationsWMI", 300)["applications"]
    assert len(everything) == min(5000, data["summary"]["total_applications"]) > len(want)
    assert {(row["name"], row["update_available"]) for row in everything if row["can_update"]} == {(name, new) for name, _, new in want}
    current = [row for row in everything if not row["can_update"]]
    assert current and all(row["update_available"] is None and row["available_version"] is None for row in current)


def programs_run(agent):
    with open(agent.path("state/audit.ndjson"), encoding="ascii") as file:
        records = [json.loads(line) for line in file]
    return [record["detail"] for record in records if record["phase"] == "program"]


def story_the_update_history_is_that_of_the_log_without_a_simulation():
    need_apt()
    agent, host = talk(tap.keep)
    answer = host.response(host.command("GetUpdateHistory", 300, days=3650), 300 * SLOW)
    if not os.path.exists("/run/systemd/journal/socket"):  # else the journal has the records
        ran = programs_run(agent)
        assert len(ran) == 1 and ran[0].split()[0].endswith("/tail"), ran
    data = answer["data"]
    schema.check_data("GetUpdateHistory", data)
    assert len(str(data)) < 100000 and set(data) >= {"updates"} and "pending_updates" not in data and "applications" not in data
    lines = run("tail", "-q", "-c", "2097152", "--", "/var/log/dpkg.log.1", "/var/log/dpkg.log").splitlines()
    changes = [line.split(" ") for line in lines if re.match(r"\S+ \S+ (install|upgrade|remove|purge) ", line)]
    assert data["history_count"] == len(changes), (data["history_count"], len(changes))
    assert len(data["updates"]) == min(250, len(changes))
    assert len(changes) <= 250 or (data["truncated"] is True and data["total_count"] == len(changes)), data["history_count"]
    for told, (day, clock, action, name, _, version) in zip(data["updates"], reversed(changes)):
        stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(time.mktime(time.strptime(f"{day} {clock}", "%Y-%m-%d %H:%M:%S"))))
        assert told["install_date"].startswith(stamp) and told["action"] == action, (told, name)
        assert name.split(":")[0] in told["title"] and (action in ("remove", "purge") or version in told["title"]), (told, name)


def story_one_application_and_what_its_update_would_take():
    need_apt()
    _, host = talk(tap.keep)
    details = data_of(host, "GetApplicationDetails", app_id="dpkg")
    assert details["application"]["version"] == run("dpkg-query", "-W", "-f", "${Version}", "dpkg")
    assert data_of(host, "CheckSpecificAppUpdates", app_id="dpkg")["name"] == "dpkg"
    assert data_of(host, "EstimateUpdateSize", app_id="dpkg")["app_id"] == "dpkg"
    for action in ("GetApplicationDetails", "CheckSpecificAppUpdates", "EstimateUpdateSize"):
        assert data_of(host, action, app_id="no-such-package-here") is None


def story_hostile_names_run_nothing():
    need_apt()
    agent, host = talk(tap.keep, ALL)
    questions = [("PackageInstall", "package"), ("PackageRemove", "package"), ("PackageUpdate", "package"),
                 ("UpdateSystemSoftware", "package"), ("PackageSearch", "query"), ("GetApplicationDetails", "app_id"),
                 ("CheckSpecificAppUpdates", "app_id"), ("EstimateUpdateSize", "app_id")]
    for action, key in questions:
        for name in HOSTILE + [5, True, [], {}, ["bash"]]:
            if key == "query" and name in ("a b",):
                continue
            answer = host.ask(action, **{key: name})
            assert answer["error_code"] == "INVALID_PARAMETERS", (action, name, answer)
            assert answer["exit_code"] == 1 and answer["stdout"] == "", answer
    tools = [pid for pid in descendants(agent.pid) if re.search(r"apt|dpkg", command_line(pid))]
    assert not tools, tools


def story_a_package_that_does_not_exist_is_not_found():
    need_apt()
    _, host = talk(tap.keep, ALL)
    for action in ("PackageInstall", "PackageRemove", "PackageUpdate"):
        answer = host.ask(action, timeout=60, package="no-such-package-here")
        assert answer["error_code"] == "NOT_FOUND" and answer["reason"] == "no_such_package", answer


def story_what_changes_packages_needs_its_group():
    _, host = talk(tap.keep, {"commands.allow": "observe,control"})
    for action, more in (("PackageInstall", {"package": "x"}), ("PackageRemove", {"package": "x"}), ("PackageUpdate", {"package": "x"}),
                         ("UpdateSystemSoftware", {}), ("RunMaintenanceTask", {"task_type": "updates"})):
        answer = host.ask(action, **more)
        assert answer["error_code"] == "POLICY_DENIED", answer


def story_what_is_denied_is_denied_as_a_maintenance_task_too():
    _, host = talk(tap.keep, {"commands.allow": "observe,control", "commands.deny": "DiskCleanup"})
    answer = host.ask("RunMaintenanceTask", task_type="cleanup", parameters={"dry_run": True})
    assert answer["error_code"] == "POLICY_DENIED", answer


def story_health_checks_have_their_shape_and_no_nulls():
    _, host = talk(tap.keep)
    host.expect("metrics")
    data = data_of(host, "RunAllHealthChecks")
    names = set(data) - {"overall_health"}
    assert {"disk_space", "resource_optimization"} <= set(names)
    for name in names:
        schema.check_data("RunHealthCheck", data[name])
        one = data_of(host, "RunHealthCheck", check_name=name)
        assert None not in one["details"].values(), one
    worst = {"passed": 0, "warning": 1, "failed": 2}
    for _ in range(3):  # a check may change its mind in between
        one, data = data_of(host, "RunHealthCheck"), data_of(host, "RunAllHealthChecks")
        if one["status"] == max((data[name]["status"] for name in names), key=worst.get):
            break
    assert one["status"] == max((data[name]["status"] for name in names), key=worst.get), (one, data)
    assert set(one) == {"status", "message", "details"} and one["details"]["check_name"] in names, one
    assert set(data_of(host, "ValidateSystemHealth")) == names | {"overall_health"} | set(schema.VALIDATION)


def story_the_check_that_is_named_is_the_one_that_is_made_in_any_case():
    _, host = talk(tap.keep)
    host.expect("metrics")
    for name, detail in (("disk_space", "usage_percent"), ("DISK_SPACE", "usage_percent"), ("Memory", "total_kb"), ("MEMORY_USAGE", "total_kb"),
                         ("CPU_USAGE", "load_5min"), ("RESOURCE_OPTIMIZATION", "window_days"), ("log", "written")):
        for action in ("RunHealthCheck", "ValidateSystemHealth"):
            data = data_of(host, action, check_name=name)
            assert set(data) == {"status", "message", "details"} and detail in data["details"], (action, name, data)
            schema.check_data("RunHealthCheck", data)
            assert data_of(host, action, params={"check_name": name})["details"].keys() == data["details"].keys()
    for name in ("nonsense", "", "../x", "a" * 100000):
        for action in ("RunHealthCheck", "ValidateSystemHealth"):
            assert host.ask(action, check_name=name)["error_code"] == "INVALID_PARAMETERS"


def story_the_disk_check_says_what_df_says():
    _, host = talk(tap.keep)
    host.expect("metrics")
    data = data_of(host, "RunHealthCheck", check_name="disk_space")
    path = data["details"]["fullest_mount_point"]
    used = int(run("df", "--output=pcent", path).split()[-1].rstrip("%"))
    assert abs(used - data["details"]["usage_percent"]) <= 2, (used, data)


def story_without_history_nothing_is_recommended():
    _, host = talk(tap.keep)
    host.expect("metrics")
    data = data_of(host, "CheckResourceOptimization", evaluation_window_days=30)
    assert data["recommendations"] == [] and data["history"]["enough"] is False and "not enough" in data["message"], data
    for days in (0, -1, 366, "7", 1.5):
        assert host.ask("CheckResourceOptimization", evaluation_window_days=days)["error_code"] == "INVALID_PARAMETERS", days


def story_the_agents_own_processes_are_nobodys_top_consumer():
    busy = subprocess.Popen(["sh", "-c", "while :; do :; done"])
    try:
        agent, host = talk(tap.keep, {"timers.metrics_interval_ms": 50, "commands.allow_unsafe": "yes"})
        work = host.unsafe("while :; do :; done", 60)
        time.sleep(1.5)
        for _ in range(5):
            host.expect("metrics")
            ours = {agent.pid, *agent.children()} | {pid for child in agent.children() for pid in children_of(child)}
            told = data_of(host, "CheckResourceOptimization")["processes"]
            assert not ours & {row["pid"] for row in told}, (ours, told)
            assert not [row for row in told if row["name"].startswith("infiniservice")], told
            assert busy.pid in [row["pid"] for row in told], told
        # What a host has asked for is its own work, not the agent's.
        assert set(descendants(agent.pid)) - ours & {row["pid"] for row in told}, told
        host.send({"type": "CancelCommand", "id": "stop", "target_id": work})
        host.responses([work, "stop"])
    finally:
        busy.kill()
        busy.wait()


def write_history(directory, cpu):
    """Two days of samples, one in five minutes, as the log holds them."""
    os.makedirs(directory, exist_ok=True)
    begin = int(time.time()) - 2 * 86400
    path = os.path.join(directory, time.strftime("metrics-%Y%m%dT%H%M%S.000Z-000001.ndjson", time.gmtime(begin)))
    with open(path, "w", encoding="ascii") as file:
        for i in range(2 * 288):
            stamp = time.strftime("%Y-%m-%dT%H:%M:%S.000Z", time.gmtime(begin + i * 300))
            file.write('{"type":"metrics","timestamp":"%s","seq":%d,"data":{"system":{"cpu":{"usage_percent":%s,"cores_usage":[1,1,1,1]},'
                       '"memory":{"total_kb":8388608,"used_kb":5000000},"disk":{"usage_stats":[]}}}}\n' % (stamp, i + 1, cpu))


def story_with_history_the_guest_is_told_what_it_does_not_need():
    directory = tap.keep(__import__("tempfile").TemporaryDirectory())
    write_history(directory, 3.0)
    _, host = talk(tap.keep, {"log.dir": directory})
    host.expect("metrics")
    data = data_of(host, "CheckResourceOptimization")
    assert data["history"]["enough"] and data["history"]["samples"] >= 570, data
    assert data["status"] == "suboptimal", data
    cpu = [row for row in data["recommendations"] if row["resource"] == "cpu"]
    assert cpu and cpu[0]["recommended_value"] < cpu[0]["current_value"], data


def story_a_dry_run_cleans_nothing_and_a_path_is_no_target():
    _, host = talk(tap.keep, ALL)
    for action in ("DiskCleanup", "CleanTemporaryFiles"):
        data = data_of(host, action, dry_run=True)
        assert data["dry_run"] is True
        for targets in ("/etc", ["/etc"], ["tmp", "../etc"], [], [5], {}, 5, ["-n"], "--dry-run", ["tmp\n"], ["a" * 100000]):
            answer = host.ask(action, targets=targets)
            assert answer["error_code"] == "INVALID_PARAMETERS", (targets, answer)
    for targets in (["temp_files", "browser_cache", "system_cache", "recycle_bin"], ["TEMP_FILES", "Browser_Cache"], "recycle_bin"):
        told = data_of(host, "DiskCleanup", dry_run=True, targets=targets)
        assert told["space_cleared_mb"] == round(told["freed_bytes"] / (1 << 20), 2), told
        assert told["files_deleted"] == told.get("total_count", len(told["cleaned_items"])), told
    assert told["files_deleted"] == told["freed_bytes"] == 0, told
    items = data_of(host, "DiskCleanup", dry_run=True, targets=["package_cache"])["cleaned_items"]
    assert all(path.startswith("/var/cache/") and os.path.lexists(path) for path in items), items[:3]


def machine_id():
    try:
        with open("/etc/machine-id", encoding="ascii") as file:
            return file.read()
    except FileNotFoundError:
        return None


def story_a_golden_image_may_be_tried_dry():
    before = machine_id()
    _, host = talk(tap.keep, ALL)
    data = data_of(host, "PrepareGoldenImage", dry_run=True, cleanup_level="deep", sanitize_user_data=True)
    assert data["dry_run"] is True and data["shutdown_scheduled"] is False
    assert machine_id() == before
    assert host.ask("PrepareGoldenImage", cleanup_level="rm -rf /")["error_code"] == "INVALID_PARAMETERS"


def story_a_maintenance_task_takes_the_parameters_of_its_action():
    _, host = talk(tap.keep, ALL)
    answer = host.ask("RunMaintenanceTask", timeout=60, task_type="cleanup", parameters={"dry_run": True, "targets": ["crash"]})
    assert answer["success"] and answer["data"]["dry_run"] is True, answer
    for task in (None, "", "format", 5, ["cleanup"]):
        assert host.ask("RunMaintenanceTask", task_type=task)["error_code"] == "INVALID_PARAMETERS", task
    bad = host.ask("RunMaintenanceTask", task_type="cleanup", parameters=["dry_run"])
    assert bad["error_code"] == "INVALID_PARAMETERS", bad
    bad = host.ask("RunMaintenanceTask", task_type="cleanup", parameters={"targets": ["/etc"]})
    assert bad["error_code"] == "INVALID_PARAMETERS", bad


def cleanup_task(host, timeout=60, **more):
    return host.ask("RunMaintenanceTask", timeout=timeout, task_type="cleanup", parameters={"dry_run": True, "targets": ["crash"]}, **more)


def story_a_maintenance_task_tells_the_health_before_and_after_it():
    _, host = talk(tap.keep, ALL)
    host.expect("metrics")
    for before, after in ((True, True), (True, False), (False, True)):
        answer = cleanup_task(host, validate_before=before, validate_after=after)
        if before and not answer["success"]:  # a machine that is loaded beyond its limits is told so here as well
            assert data_of(host, "RunAllHealthChecks")["overall_health"] == "Critical", answer
            continue
        assert answer["success"], answer
        schema.check_data("DiskCleanup", answer["data"])
        told = answer["data"]["validation"]
        for wanted, checks in ((before, told["before"]), (after, told["after"])):
            if wanted:
                schema.check_data("RunAllHealthChecks", checks)
            else:
                assert checks is None, told
    for no in ({}, {"validate_before": False, "validate_after": None}):
        assert "validation" not in cleanup_task(host, **no)["data"]
    for flag in ("validate_before", "validate_after"):
        assert cleanup_task(host, **{flag: "yes"})["error_code"] == "INVALID_PARAMETERS"
    bad = host.ask("RunMaintenanceTask", task_type="cleanup", validate_after=True, parameters={"targets": ["/etc"]})
    assert bad["error_code"] == "INVALID_PARAMETERS" and bad["data"] is None, bad


def story_a_guest_in_critical_health_is_not_maintained():
    directory = tap.keep(__import__("tempfile").TemporaryDirectory())
    with open(os.path.join(directory, "file"), "w", encoding="ascii"):
        pass
    _, host = talk(tap.keep, {**ALL, "log.dir": os.path.join(directory, "file")})
    host.expect("metrics")
    answer = wait_until(lambda: (lambda a: not a["success"] and a)(cleanup_task(host, validate_before=True)), 10, "a failing check", 0.3)
    assert answer["error_code"] == "COMMAND_FAILED" and answer["reason"] == "unhealthy", answer
    assert answer["data"]["validation"]["before"]["overall_health"] == "Critical" and "freed_bytes" not in answer["data"], answer
    assert answer["data"]["validation"]["before"]["log"]["status"] == "failed" and "log" in answer["error"], answer
    answer = cleanup_task(host, validate_after=True)
    assert answer["success"] and answer["data"]["validation"]["after"]["overall_health"] == "Critical", answer


tap.main(globals())
