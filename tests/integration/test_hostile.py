#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Hostile parameters, for every parameter of every action: each is answered INVALID_PARAMETERS, and nothing runs. That nothing ran is told by
the audit record, which has the words of each program, by a file that every one of them would make, and by what the agent has for children."""
import json
import os
import shutil
import tempfile
import time

import tap
from fakehost import descendants, command_line, talk

ALL = {"commands.allow": "observe,control,packages,power", "commands.allow_unsafe": "yes"}
ABSENT = object()

# (action, parameter, the others): texts that name something.
TEXTS = [
    ("PackageInstall", "package", {}), ("PackageRemove", "package", {}), ("PackageUpdate", "package", {}),
    ("UpdateSystemSoftware", "package", {}), ("PackageSearch", "query", {}), ("GetApplicationDetails", "app_id", {}),
    ("CheckSpecificAppUpdates", "app_id", {}), ("EstimateUpdateSize", "app_id", {}),
    ("ServiceControl", "service", {"operation": "start"}), ("ServiceControl", "service", {"operation": "status"}),
    ("ServiceControl", "operation", {"service": "ssh"}), ("RestartServices", "service_name", {}), ("RunHealthCheck", "check_name", {}),
    ("ProcessTop", "sort_by", {}), ("ProcessKill", "start_time", {"pid": 999999}), ("PrepareGoldenImage", "cleanup_level", {"dry_run": True}),
    ("DiskCleanup", "targets", {"dry_run": True}), ("CleanTemporaryFiles", "targets", {"dry_run": True}),
    ("RunMaintenanceTask", "task_type", {}),
]
NUMBERS = [
    ("ProcessList", "limit", {}), ("ProcessTop", "limit", {}), ("ProcessKill", "pid", {}), ("CheckDiskSpace", "warning_threshold", {}),
    ("CheckDiskSpace", "critical_threshold", {}), ("CheckResourceOptimization", "evaluation_window_days", {}),
    ("GetLinuxUpdateHistory", "days", {}), ("GetUpdateHistory", "days", {}), ("DiskCleanup", "age_days", {"dry_run": True}),
    ("CleanTemporaryFiles", "age_days", {"dry_run": True}),
]
# Where nought means at once.
DELAYS = [("RebootSystem", "delay_s", {}), ("ShutdownSystem", "delay_s", {})]
FLAGS = [
    ("ProcessKill", "force", {"pid": 999999}), ("RebootSystem", "force", {}), ("ShutdownSystem", "force", {}), ("DiskCleanup", "dry_run", {}),
    ("CleanTemporaryFiles", "dry_run", {}), ("PrepareGoldenImage", "dry_run", {}), ("PrepareGoldenImage", "sanitize_user_data", {"dry_run": True}),
    ("PrepareGoldenImage", "shutdown_after", {"dry_run": True}), ("RunMaintenanceTask", "validate_before", {"task_type": "health"}),
    ("RunMaintenanceTask", "validate_after", {"task_type": "health"}),
]


def hostile_texts(canary):
    touch = f"touch {canary}"
    return ["", " ", "-", "--", "--force-yes", "-oDPkg::Pre-Invoke::=" + touch, "-o=" + touch, "--allow-unauthenticated", "-H" + canary, "../../etc/passwd",
            "/etc/passwd", "./x.deb", "foo/suite", "foo=1.0", "foo=", "a b;" + touch, "$(" + touch + ")", "`" + touch + "`", "a|" + touch, "a&&" + touch,
            "a>" + canary, "a\n" + touch, "a\r\nb", "a\tb", "a\u0000b", "\u0000", "a*", "?", "[a-z]", "{a,b}", "~root", "%s%n", "a'", 'a"', "\\", "a\\x",
            "\u00e9", "\u202etxt", "a\u2028b", "x" * 100000, "-" * 100000, "a\n" * 30000, 5, 0, True, 1.5, [], {}, ["a", "-y"], [["tmp"]], {"a": 1}]


WRONG_NUMBERS = [-1, 0, 2 ** 31 * 1000, 2 ** 63, 2 ** 64 - 1, -2 ** 63, 1.5, "1", "--1", "1;id", "", True, [], {}, [1], "9" * 100000]
WRONG_FLAGS = [0, 1, "true", "yes", "no;id", "", [], {}, [True], "x" * 100000]


def audit_records(agent, ids):
    try:
        with open(agent.path("state/audit.ndjson"), encoding="ascii") as file:
            return [record for record in (json.loads(line) for line in file if line.endswith("\n")) if record["id"] in ids]
    except FileNotFoundError:
        return []


def programs(agent, ids):
    """Records of programs that ran for these commands; None where a journal has them."""
    if os.path.exists("/run/systemd/journal/socket"):
        return None
    # A process of its own writes them.
    end = time.monotonic() + 10
    while not (records := audit_records(agent, ids)):
        assert time.monotonic() < end, "no record of what was refused"
        time.sleep(0.05)
    return [record for record in records if record["phase"] == "program"]


class Watched:
    """An agent, its host, and the file that must never be there."""

    def __init__(self, settings=None):
        self.directory = tap.keep(tempfile.TemporaryDirectory())
        os.chmod(self.directory, 0o777)
        self.canary = os.path.join(self.directory, "ran")
        self.agent, self.host = talk(tap.keep, {**ALL, **(settings or {})})
        self.ids = set()

    def refused(self, what, answer):
        self.ids.add(answer["id"])
        assert answer["error_code"] == "INVALID_PARAMETERS", (str(what)[:200], str(answer)[:500])
        assert answer["exit_code"] == 1 and answer["stdout"] == "" and answer["data"] is None, (str(what)[:200], str(answer)[:500])

    def nothing_ran(self):
        assert not os.path.exists(self.canary)
        assert not programs(self.agent, self.ids)
        left = [command_line(pid) for pid in descendants(self.agent.pid)]
        assert not [line for line in left if "apt" in line or "dpkg" in line or self.directory in line], left
        self.host.in_step(1)


def try_all(table, values):
    watched = Watched()
    for action, key, others in table:
        for value in values(watched.canary):
            watched.refused((action, key, value), watched.host.ask(action, **{key: value}, **others))
    watched.nothing_ran()


def story_no_text_that_is_no_name_runs_anything():
    if not shutil.which("apt-get"):
        raise tap.Skip("this machine has no apt: there the search says so before it looks at the query")
    try_all(TEXTS, hostile_texts)


def story_no_number_out_of_its_range_runs_anything():
    try_all(NUMBERS, lambda _: WRONG_NUMBERS)
    try_all(DELAYS, lambda _: [value for value in WRONG_NUMBERS if value != 0 or isinstance(value, bool)])


def story_no_flag_is_guessed():
    try_all(FLAGS, lambda _: WRONG_FLAGS)


def story_what_is_needed_and_missing_is_said():
    watched = Watched()
    for action, more in (("PackageInstall", {}), ("PackageRemove", {}), ("PackageUpdate", {}), ("PackageSearch", {}), ("GetApplicationDetails", {}),
                         ("CheckSpecificAppUpdates", {}), ("EstimateUpdateSize", {}), ("ServiceControl", {"service": "ssh"}),
                         ("ServiceControl", {"operation": "start"}), ("ProcessKill", {}), ("RunMaintenanceTask", {})):
        for value in ({}, {key: None for key in ("package", "query", "app_id", "pid", "task_type")}):
            if action == "PackageSearch" and not shutil.which("apt-get"):
                continue
            watched.refused((action, value), watched.host.ask(action, **more, **value))
    watched.nothing_ran()


def story_a_maintenance_task_hands_on_no_hostile_parameter():
    watched = Watched()
    for text in hostile_texts(watched.canary):
        for task in ({"task_type": "updates", "parameters": {"package": text}}, {"task_type": "restart_services", "parameters": {"service_name": text}},
                     {"task_type": "cleanup", "parameters": {"targets": text, "dry_run": True}}):
            watched.refused(task, watched.host.ask("RunMaintenanceTask", **task))
    watched.nothing_ran()


def unsafe(watched, **more):
    return watched.host.run(f"touch {watched.canary}", **more)


def story_a_shell_user_or_directory_that_is_none_runs_nothing():
    watched = Watched()
    for text in hostile_texts(watched.canary):
        watched.refused(("shell", text), unsafe(watched, shell=text))
        if text != "":  # nobody in particular
            watched.refused(("run_as", text), unsafe(watched, run_as=text))
        if text != "/etc/passwd":
            watched.refused(("working_dir", text), unsafe(watched, working_dir=text))
    for shell in ("/bin/sh", "./sh", "sh -c id", "python", "perl", "bash\n", "busybox"):
        watched.refused(shell, unsafe(watched, shell=shell))
    for user in ("no-such-user-here", "root; id", "0", "4294967295", "+0", "root:root", "#0"):
        watched.refused(user, unsafe(watched, run_as=user))
    for directory in ("etc", "./", "~", "/etc/passwd", "/no/such/directory", "/proc/self/fd/99", "/etc/../no-such"):
        watched.refused(directory, unsafe(watched, working_dir=directory))
    for variables in ({"": "x"}, {"A=B": "x"}, {"A\u0000B": "x"}, {"A": 5}, {"A": "x\u0000y"}, [], "A=B", {"A B\n": None}, {"1": None}):
        answer = unsafe(watched, env_vars=variables)
        watched.ids.add(answer["id"])
        assert answer["error_code"] in ("INVALID_PARAMETERS", "INVALID_MESSAGE"), (variables, answer)
    watched.nothing_ran()


def story_a_script_with_a_hostile_field_is_completed_and_not_run():
    watched = Watched()
    number = 0
    for key in ("shell", "run_as", "timeout_seconds"):
        for value in hostile_texts(watched.canary):
            if (key != "timeout_seconds" and value == "") or (key == "timeout_seconds" and value == 5):
                continue  # nothing said; a time-out as any
            number += 1
            script = {"execution_id": f"h{number}", "script_content": f"touch {watched.canary}", key: value}
            watched.host.send({"type": "pending_scripts_response", "scripts": [script]})
            done = watched.host.expect("script_completion", 10)
            assert done["execution_id"] == f"h{number}" and done["exit_code"] == -1 and done["stderr"], (key, str(value)[:80], done)
    assert not os.path.exists(watched.canary)
    watched.host.in_step(1)


def story_the_owner_says_whom_commands_run_as_and_no_host_names_another():
    tap.need_root()
    watched = Watched({"commands.run_as": "nobody"})
    for wanted in (None, "", "nobody"):
        answer = watched.host.run("id -un", run_as=wanted)
        assert answer["success"] and answer["stdout"] == "nobody\n", answer
    for wanted in ("root", "daemon", "Nobody", "0"):
        answer = unsafe(watched, run_as=wanted)
        assert answer["error_code"] == "POLICY_DENIED" and answer["reason"] == "run_as", answer
        watched.host.send({"type": "pending_scripts_response", "scripts": [
            {"execution_id": "s" + wanted, "script_content": f"touch {watched.canary}", "run_as": wanted}]})
        done = watched.host.expect("script_completion", 10)
        assert done["exit_code"] == -1 and "run_as" in done["stderr"], done
    assert not os.path.exists(watched.canary)


tap.main(globals())
