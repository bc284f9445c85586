#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Services as the manager has them: what is listed, what is refused, and what every answer of the manager is read for."""
import contextlib
import os
import subprocess
import sys
import tempfile
import time

import schema
import tap
from fakebus import MANAGER, Executor, FakeBus
from fakehost import SLOW, talk, wait_until

ALLOWED = {"commands.allow": "observe control", "commands.deny": "", "commands.executor_socket": Executor.SOCKET}


def units():
    return {
        "real.service": {"active": "active", "sub": "running", "file": "enabled"},
        "other.service": {"alias": "real.service", "file": "alias"},
        "dbus-org.example.old.service": {"alias": "real.service", "file": "enabled"},
        "down.service": {"active": "inactive", "sub": "dead", "file": "disabled"},
        "asleep.service": {"file": "disabled"},
        "static.service": {"file": "static", "install": False},
        "stuck.service": {"file": "static", "stuck": True},
        "held.service": {"file": "enabled", "stuck": True},
        "debug-shell.service": {"active": "inactive", "sub": "dead", "file": "disabled"},
        "nice.service": {"alias": "debug-shell.service", "file": "alias"},
        "nice.timer": {"active": "inactive", "file": "disabled", "triggers": ["debug-shell.service"]},
    }


def refused(answer, code, reason):
    assert not answer["success"] and answer["error_code"] == code and answer.get("reason") == reason, answer


def story_an_alias_is_not_listed_beside_its_target_and_the_rest_says_what_makes_sense_now():
    with FakeBus(units()):
        _, host = talk(tap.keep, ALLOWED)
        answer = host.ask("ServiceList")
        schema.check_data("ServiceList", answer["data"])
        rows = {row["name"]: row for row in answer["data"]}
        assert "partial" not in answer and not {"other.service", "nice.service", "dbus-org.example.old.service"} & set(rows), answer
        assert len(rows) == 7, rows
        wanted = {"real.service": (False, True, True), "down.service": (True, False, False), "asleep.service": (True, False, False),
                  "debug-shell.service": (False, False, False)}
        for name, verbs in wanted.items():
            row = rows[name]
            assert (row["can_start"], row["can_stop"], row["can_restart"]) == verbs, row
        status = host.ask("ServiceControl", service="other", operation="status")["data"]
        assert status["active_state"] == "active" and status["enabled"], status


def story_a_slow_manager_gives_what_it_has_said_by_the_deadline_marked_partial():
    with FakeBus(units(), silent=["ListUnitFiles"]):
        _, host = talk(tap.keep, ALLOWED)
        begun = time.monotonic()
        answer = host.ask("ServiceList", 4)
        assert answer["success"] and answer["partial"] is True and time.monotonic() - begun < 4, answer
        schema.check_data("ServiceList", answer["data"])
        names = [row["name"] for row in answer["data"]]
        assert "real.service" in names and "down.service" in names and "asleep.service" not in names, names
    with FakeBus(units(), silent=["ListUnits"]):
        _, host = talk(tap.keep, ALLOWED)
        answer = host.ask("ServiceList", 4)
        assert not answer["success"] and answer["error_code"] in ("COMMAND_TIMEOUT", "COMMAND_FAILED"), answer


def story_enabling_what_cannot_be_enabled_is_a_failure_with_the_managers_words():
    with Executor(), FakeBus(units()) as bus:
        _, host = talk(tap.keep, ALLOWED)
        answer = host.ask("ServiceControl", service="static", operation="enable")
        refused(answer, "COMMAND_FAILED", "no_install_section")
        assert "[Install]" in answer["error"], answer
        refused(host.ask("ServiceControl", service="stuck", operation="enable"), "COMMAND_FAILED", "not_enabled")
        refused(host.ask("ServiceControl", service="held", operation="disable"), "COMMAND_FAILED", "still_enabled")
        answer = host.ask("ServiceControl", service="down", operation="enable")
        assert answer["success"] and answer["data"]["enabled"], answer
        answer = host.ask("ServiceControl", service="down", operation="disable")
        assert answer["success"] and not answer["data"]["enabled"], answer
        assert ("EnableUnitFiles", [["down.service"], 0, 0]) in bus.calls


def story_what_the_manager_calls_a_unit_is_judged_before_each_verb():
    with Executor(), FakeBus(units()) as bus:
        _, host = talk(tap.keep, ALLOWED)
        for name in ("nice", "nice.timer", "debug-shell"):
            for operation in ("start", "stop", "restart", "enable", "disable"):
                refused(host.ask("ServiceControl", service=name, operation=operation), "POLICY_DENIED", "unit_denied")
            refused(host.ask("RestartServices", service_name=name), "POLICY_DENIED", "unit_denied")
            refused(host.ask("RunMaintenanceTask", task_type="restart_services", parameters={"service_name": name}), "POLICY_DENIED", "unit_denied")
        refused(host.ask("ServiceControl", service="absent", operation="start"), "NOT_FOUND", "no_such_unit")
        assert not [call for call in bus.calls if call[0].endswith(("Unit", "UnitFiles")) and call[0] != "LoadUnit"], bus.calls
        answer = host.ask("ServiceControl", service="other", operation="restart")
        assert answer["success"] and answer["data"]["active_state"] == "active", answer
        answer = host.ask("ServiceControl", service="down", operation="start")
        assert answer["success"] and answer["data"]["active_state"] == "active", answer


def story_failed_services_that_are_never_controlled_are_left_alone_and_told():
    failed = {"broken.service": {"active": "failed", "sub": "failed", "file": "enabled"},
              "getty@tty1.service": {"active": "failed", "sub": "failed"}}
    with Executor(), FakeBus(failed) as bus:
        _, host = talk(tap.keep, ALLOWED)
        answer = host.ask("RestartServices")
        assert answer["success"], answer
        assert answer["data"]["restarted"] == ["broken.service"] and answer["data"]["denied"] == ["getty@tty1.service"], answer
        assert ("RestartUnit", ["getty@tty1.service", "replace"]) not in bus.calls


def story_without_an_executor_no_unit_is_changed_whoever_the_agent_is():
    with FakeBus(units()) as bus:
        _, host = talk(tap.keep, ALLOWED)
        for operation in ("start", "stop", "restart", "enable", "disable"):
            refused(host.ask("ServiceControl", service="down", operation=operation), "PERMISSION_DENIED", "no_executor")
        refused(host.ask("RestartServices"), "PERMISSION_DENIED", "no_executor")
        assert not [call for call in bus.calls if call[0].endswith(("Unit", "UnitFiles"))], bus.calls


def story_a_job_that_ended_badly_is_told_with_the_state_and_another_job_is_not_taken_for_it():
    class Failing(FakeBus):
        def _called(self, client, serial, path, member, arguments):
            if member != "StartUnit":
                super()._called(client, serial, path, member, arguments)
                return
            self._send(client, 2, {5: ("u", serial)}, "o", ["/org/freedesktop/systemd1/job/7"])
            for job, result in ((6, "done"), (7, "failed")):
                self._send(client, 4, {1: ("o", "/org/freedesktop/systemd1"), 2: ("s", MANAGER), 3: ("s", "JobRemoved")}, "uoss",
                           [job, f"/org/freedesktop/systemd1/job/{job}", arguments[0], result])

    with Executor(), Failing(units()):
        _, host = talk(tap.keep, ALLOWED)
        answer = host.ask("ServiceControl", service="down", operation="start")
        refused(answer, "COMMAND_FAILED", "job_failed")
        assert '"failed"' in answer["error"] and answer["data"]["active_state"] == "inactive", answer


def story_without_a_bus_a_verb_is_answered_at_once():
    with Executor():
        _, host = talk(tap.keep, ALLOWED)
        begun = time.monotonic()
        refused(host.ask("ServiceControl", service="down", operation="start"), "COMMAND_FAILED", "no_bus")
        refused(host.ask("RestartServices"), "COMMAND_FAILED", "no_bus")
        assert time.monotonic() - begun < 2


def story_a_job_that_does_not_end_by_the_deadline_is_given_up():
    with Executor(), FakeBus(units(), silent=["StartUnit"]) as bus:
        _, host = talk(tap.keep, ALLOWED)
        refused(host.ask("ServiceControl", 3, service="down", operation="start"), "COMMAND_TIMEOUT", None)
        bus.silent.clear()
        assert host.ask("ServiceControl", service="down", operation="start")["success"]


def story_a_power_off_that_is_due_is_done_by_the_executor_alone():
    for executor, begun in ((Executor("power"), True), (None, False)):
        with FakeBus({}) as bus, executor or contextlib.nullcontext():
            _, host = talk(tap.keep, {**ALLOWED, "commands.allow": "power"})
            answer = host.ask("ShutdownSystem", delay_s=1)
            if not begun:
                refused(answer, "PERMISSION_DENIED", "no_executor")
                continue
            assert answer["success"], answer
            wait_until(lambda: [call for call in bus.calls if call[0] == "PowerOff"], 10, "the power-off")


def story_a_clock_that_the_kernel_may_not_be_asked_about_is_asked_for_on_the_bus():
    without = [sys.executable, os.path.join(os.path.dirname(os.path.abspath(__file__)), "without_adjtimex.py")]
    if subprocess.run(without + ["true"], stderr=subprocess.DEVNULL, check=False).returncode:
        raise tap.Skip("no seccomp filter for this machine")

    class Dated(FakeBus):
        def do_Get(self, *_):
            return "v", [("b", self.synchronised)]

    with Dated({}) as bus:
        _, host = talk(tap.keep, wrapper=without)
        for bus.synchronised, status, words in ((True, "passed", "is synchronised"), (False, "warning", "nothing synchronises")):
            check = host.ask("RunHealthCheck", check_name="clock")["data"]
            assert check["status"] == status and words in check["message"], check
        assert ("Get", ["org.freedesktop.timedate1", "NTPSynchronized"]) in bus.calls, bus.calls
    _, host = talk(tap.keep, wrapper=without)
    check = host.ask("RunHealthCheck", check_name="clock")["data"]
    assert check["status"] == "warning" and "not known" in check["message"], check



def library():
    """Where libsystemd lies, as the linker finds it for any program."""
    found = subprocess.run(["ldconfig", "-p"], capture_output=True, text=True, check=False, env={"PATH": "/usr/sbin:/sbin:/usr/bin:/bin"}).stdout
    paths = [line.split("=> ")[1] for line in found.splitlines() if line.strip().startswith("libsystemd.so.0 ")]
    return os.path.realpath(paths[0]) if paths else None


def mapped(agent):
    with open("/proc/%d/maps" % agent.pid, encoding="utf-8") as file:
        return "libsystemd" in file.read()


def story_libsystemd_is_loaded_when_the_bus_is_first_asked_and_status_tells_what_that_took():
    with FakeBus(units()):
        agent, host = talk(tap.keep, ALLOWED)
        host.expect("metrics", 10)
        bus = host.ask("Status")["data"]["bus"]
        assert bus == {"state": "unused", "fault": None, "open_us": 0} and not mapped(agent), bus
        # All at once: each waits for the library, and none fails for it.
        numbers = [host.command("ServiceList", 20), host.command("CheckFirewallStatus", 20),
                   host.command("ServiceControl", 20, service="real", operation="status")]
        assert all(answer["success"] for answer in host.responses(numbers))
        bus = host.ask("Status")["data"]["bus"]
        assert bus["state"] == "ready" and bus["open_us"] > 0 and mapped(agent), bus


def story_a_disk_that_does_not_give_libsystemd_holds_up_those_who_need_it_and_nobody_else():
    tap.need_root()
    path = library()
    if not path:
        raise tap.Skip("there is no libsystemd here that could be hidden")
    directory = tap.keep(tempfile.TemporaryDirectory(prefix="infini-"))
    pipe = os.path.join(directory, "fifo")
    os.mkfifo(pipe)  # whoever opens it to read waits for ever
    with FakeBus(units()):
        _, host = talk(tap.keep, ALLOWED, wrapper=["unshare", "-m", "sh", "-c", 'mount --bind "$0" "$1" && shift && exec "$@"', pipe, path])
        host.expect("metrics", 10)
        late, cancelled = host.command("ServiceList", 4), host.command("ServiceControl", 60, service="real", operation="status")
        begun = time.monotonic()
        assert host.ask("SystemInfo", 4)["success"]
        status = host.ask("Status", 4)["data"]
        assert status["bus"]["state"] == "reading" and time.monotonic() - begun < 2 * SLOW, status["bus"]
        host.send({"type": "CancelCommand", "id": "c", "target_id": cancelled})
        answers = {answer["id"]: answer for answer in host.responses([late, cancelled, "c"])}
        assert answers[cancelled]["error_code"] == "CANCELLED" and answers["c"]["success"], answers
        assert answers[late]["error_code"] == "COMMAND_TIMEOUT", answers
        # It is given up, told, and asked for again a minute later.
        host.expect("agent_event", 20, lambda m: m["source"] == "bus" and "in time" in m["message"])
        refused(host.ask("ServiceList", 20), "COMMAND_FAILED", "no_bus")


def story_without_libsystemd_the_package_is_named_and_all_else_goes_on():
    tap.need_root()
    path = library()
    if not path:
        raise tap.Skip("there is no libsystemd here that could be hidden")
    with FakeBus(units()):
        _, host = talk(tap.keep, ALLOWED, wrapper=["unshare", "-m", "sh", "-c", 'mount --bind /dev/null "$0" && exec "$@"', path])
        number = host.command("ServiceList", 20)
        host.expect("agent_event", 20, lambda m: m["source"] == "bus" and "package libsystemd0" in m["message"])
        answer = host.response(number, 20)
        refused(answer, "COMMAND_FAILED", "no_bus")
        assert "package libsystemd0" in answer["error"] and "libsystemd.so.0" in answer["error"], answer
        os.makedirs("/run/systemd/system")  # of the room
        check = host.ask("RunHealthCheck", 20, check_name="failed_units")["data"]
        assert check["status"] == "warning", check
        assert host.ask("CheckLinuxSecurity", 30)["success"] and host.ask("SystemInfo")["success"]
        bus = host.ask("Status")["data"]["bus"]
        assert bus["state"] == "unusable" and "libsystemd0" in bus["fault"], bus


tap.main(globals())
