# SPDX-License-Identifier: MIT
"""The privileged executor of an installation: off, on, its own look at the policy, its units and their limits, and what becomes
of them when one of those who know of them dies."""

import time

from agent_guest import command, configured, host, main_pid, port_is_open, unsafe
from executor_guest import ROOT, executor, running, units
from guest import wait_for
from repository import PACKAGE, with_setuid
from stories import story


@story(limit_s=60)
def without_an_executor_nothing_is_done_that_needs_rights(guest):
    with configured(guest, ROOT), host(guest) as port:
        for answer in (port.execute("id", "command"), port.ask("ServiceControl", "service", service="cron", operation="start"),
                       port.ask("RebootSystem", "reboot"), port.ask("DiskCleanup", "clean")):
            assert answer["error_code"] == "PERMISSION_DENIED" and answer["reason"] == "no_executor", answer
            assert "systemctl enable --now infiniservice-exec.socket" in answer["error"], answer


@story(limit_s=60)
def a_command_runs_as_root_in_a_transient_unit_with_nothing_of_ours(guest):
    with executor(guest, "max_memory_bytes = 100M\nmax_tasks = 50\n"), host(guest) as port:
        script = ("id -u; cat /proc/self/cgroup; sed -n 's/^NoNewPrivs:\\t//p' /proc/self/status; ls /proc/self/fd | wc -l;"
                  "unit=$(sed 's|.*/||' /proc/self/cgroup); systemctl show -p MemoryMax,TasksMax,KillMode,BindsTo $unit; env")
        text = port.execute(script, "where")["stdout"]
        lines = text.splitlines()
        assert lines[0] == "0" and lines[2] == "0" and int(lines[3]) <= 4, text
        assert lines[1].startswith("0::/infiniservice.slice/infiniservice-cmd-"), text
        for wanted in ("MemoryMax=104857600", "TasksMax=50", "KillMode=control-group", "BindsTo=infiniservice-exec.service"):
            assert wanted in lines, text
        assert not [line for line in lines if line.startswith(("LISTEN_", "INVOCATION_ID", "NOTIFY_", "SYSTEMD_"))], text
        wait_for(lambda: not units(guest), 3, 0.1, "no unit is left")


@story()
def the_executor_itself_may_do_nothing_and_only_the_agent_may_ask_it(guest):
    with executor(guest), host(guest) as port:
        assert port.execute("true", "wake")["success"]
        pid = guest.sh("systemctl show -p MainPID --value infiniservice-exec")
        status = guest.sh("grep -E '^(Uid|CapEff|NoNewPrivs)' /proc/%s/status" % pid).split()
        assert status[1] == "0" and "0000000000000000" in status and status[-1] == "1", status
        assert guest.sh("stat -c '%U:%G %a' /run/infiniservice-exec /run/infiniservice-exec/exec.sock").splitlines() == [
            "root:infiniservice 710", "infiniservice:infiniservice 600"]
        guest.sh("systemd-analyze security --threshold=10 infiniservice-exec.service >/dev/null")


@story(limit_s=60)
def what_a_command_answers_is_what_it_did(guest):
    with executor(guest), host(guest) as port:
        answer = port.execute("echo out; echo err >&2; exit 3", "code")
        assert (answer["exit_code"], answer["stdout"], answer["stderr"]) == (3, "out\n", "err\n"), answer
        assert port.execute("kill -9 $$", "signal")["exit_code"] == 137
        port.send(dict(unsafe("true", "dir"), working_dir="/nowhere"))
        assert port.response("dir")["error_code"] == "INVALID_PARAMETERS"
        port.send(dict(unsafe("printf %s \"$STORY\"", "env"), env_vars={"STORY": "a $b %i \\ '\""}))
        assert port.response("env")["stdout"] == "a $b %i \\ '\"", "nothing on the way expands anything"
        assert "STORY" not in guest.sh("grep -r STORY /run/systemd/transient || true")
        port.send(dict(unsafe("head -c 1000000 /dev/zero | tr '\\0' x", "much"), timeout=30))
        assert port.response("much")["truncated"]


@story(limit_s=60)
def services_are_started_and_stopped_by_it(guest):
    guest.put("/etc/systemd/system/story.service", "[Service]\nExecStart=/bin/sleep 3999\n[Install]\nWantedBy=multi-user.target\n")
    guest.sh("systemctl daemon-reload")
    try:
        with executor(guest), host(guest) as port:
            def control(operation):
                answer = port.ask("ServiceControl", "story-%s-%g" % (operation, time.monotonic()), service="story",
                                  operation=operation)
                assert answer["success"], answer
                return answer["data"]

            assert control("start")["active_state"] == "active"
            first = guest.sh("systemctl show -p MainPID --value story")
            assert str(control("restart")["main_pid"]) != first
            assert control("enable")["enabled"] and guest.sh("systemctl is-enabled story") == "enabled"
            assert not control("disable")["enabled"]
            assert control("stop")["active_state"] == "inactive"
            answer = port.ask("ServiceControl", "absent", service="no-such-unit", operation="start")
            assert answer["error_code"] == "NOT_FOUND", answer
    finally:
        guest.sh("systemctl stop story; rm /etc/systemd/system/story.service; systemctl daemon-reload")


@story()
def a_process_of_another_user_is_killed_by_it(guest):
    with executor(guest), host(guest) as port:
        pid = int(guest.sh("sleep 3998 >/dev/null 2>&1 & echo $!"))
        assert port.ask("ProcessKill", "kill", pid=pid)["success"]
        wait_for(lambda: not running(guest, "sleep 3998"), 3, 0.1, "it is dead")
        assert port.ask("ProcessKill", "again", pid=pid)["error_code"] == "NOT_FOUND"
        assert port.ask("ProcessKill", "init", pid=1)["reason"] == "protected"


@story(limit_s=90)
def a_package_with_a_setuid_file_is_installed_and_removed(guest):
    with with_setuid(guest):
        with executor(guest), host(guest, 60) as port:
            answer = port.ask("PackageInstall", "install", package=PACKAGE, timeout_s=60)
            assert answer["success"], answer
            assert guest.sh("stat -c '%%U %%a' /usr/bin/%s" % PACKAGE) == "root 4755"
            answer = port.ask("PackageRemove", "remove", package=PACKAGE, timeout_s=60)
            assert answer["success"], answer
            assert guest.run("test -e /usr/bin/%s" % PACKAGE).status != 0


@story(rows=[29], limit_s=60)
def a_fork_bomb_stays_within_its_tasks_and_goes_with_its_unit(guest):
    with executor(guest, "max_tasks = 40\n"), host(guest) as port:
        port.send(unsafe("f() { f | f & }; f; sleep 3997", "bomb", 6))
        time.sleep(2)
        port.keep_alive(29)
        answer = port.response("bomb")
        assert answer["error_code"] == "COMMAND_TIMEOUT", answer
        wait_for(lambda: not units(guest), 5, 0.2, "its unit is gone")
        assert int(guest.sh("ps -e | wc -l")) < 80


@story(rows=[30], limit_s=60)
def a_memory_hog_dies_alone_and_is_told_so(guest):
    with executor(guest, "max_memory_bytes = 48M\n"), host(guest) as port:
        pid = main_pid(guest)
        port.send(unsafe("sleep 5; echo lives", "neighbour"))
        answer = port.execute("head -c 300000000 /dev/zero | tail", "hog", 25)
        assert answer["error_code"] == "COMMAND_FAILED" and answer["reason"] == "oom_killed", answer
        assert port.response("neighbour", 15)["stdout"] == "lives\n"
        assert main_pid(guest) == pid


@story(rows=[25, 26], limit_s=60)
def a_daemon_that_ignores_term_leaves_nothing(guest):
    with executor(guest), host(guest) as port:
        daemon = "trap '' TERM; setsid setsid sh -c 'trap \"\" TERM; sleep 3996' & "
        assert port.execute(daemon + "echo started", "leaves")["stdout"] == "started\n"
        wait_for(lambda: not running(guest, "sleep 3996"), 3, 0.1, "what it left is gone")
        begin = time.monotonic()
        answer = port.execute(daemon + "sleep 3996", "stays", 4)
        assert answer["error_code"] == "COMMAND_TIMEOUT" and time.monotonic() - begin < 4, answer
        wait_for(lambda: not running(guest, "sleep 3996"), 3, 0.1, "nothing is left")


@story(limit_s=60)
def a_cancelled_command_is_ended_with_its_unit(guest):
    with executor(guest), host(guest) as port:
        for pause in (0, 1.5):
            port.send(unsafe("sleep 3995", "target%g" % pause))
            time.sleep(pause)
            port.send({"type": "CancelCommand", "id": "cancel%g" % pause, "target_id": "target%g" % pause})
            assert port.response("target%g" % pause)["error_code"] == "CANCELLED"
        wait_for(lambda: not running(guest, "sleep 3995"), 3, 0.1, "it is dead")


@story(limit_s=60)
def the_executor_reads_the_policy_itself(guest):
    path = "/etc/infiniservice/conf.d/95-executor.conf"
    with executor(guest), host(guest) as port:
        assert port.execute("true", "before")["success"]
        try:
            # the agent is not told to reload: it still allows what the executor reads to be forbidden
            guest.put(path, "[commands]\nallow_unsafe = no\nallow = observe\n")
            answer = port.execute("true", "denied")
            assert answer["error_code"] == "POLICY_DENIED" and answer["reason"] == "executor", answer
            answer = port.ask("ServiceControl", "service", service="cron", operation="stop")
            assert answer["error_code"] in ("POLICY_DENIED", "NOT_FOUND"), answer
            guest.put(path, "[commands]\nallow_unsafe = yes\n", 0o666)
            answer = port.execute("true", "unsafe file")
            assert answer["error_code"] == "POLICY_DENIED" and "95-executor.conf" in answer["error"], answer
        finally:
            guest.sh("rm -f " + path)
        assert port.execute("true", "after")["success"]


@story(rows=[86], limit_s=60)
def a_killed_executor_costs_its_commands_one_answer_and_is_back(guest):
    with executor(guest), host(guest) as port:
        port.send(unsafe("sleep 3994", "lost"))
        wait_for(lambda: running(guest, "sleep 3994"), 10, 0.1, "it runs")
        guest.sh("kill -9 $(systemctl show -p MainPID --value infiniservice-exec)")
        answer = port.response("lost", 3)
        assert answer["error_code"] == "INTERNAL" and answer["reason"] == "lost", answer
        wait_for(lambda: not running(guest, "sleep 3994"), 1, 0.05, "its command is dead")
        assert port.execute("echo back", "next", 20)["stdout"] == "back\n"
        assert not [m for m in port.seen if m.get("id") == "lost" and m is not answer]


@story(rows=[38], limit_s=60)
def a_killed_agent_takes_its_units_along_within_a_second(guest):
    with executor(guest):
        with host(guest) as port:
            for number in range(2):
                port.send(unsafe("setsid setsid sleep 3993 & sleep 3993", "doomed%d" % number))
            wait_for(lambda: len(running(guest, "sleep 3993")) >= 4, 10, 0.1, "the commands run")
            guest.sh("kill -9 %d" % main_pid(guest))
            wait_for(lambda: not running(guest, "sleep 3993"), 1.2, 0.05, "they are gone")
        wait_for(lambda: port_is_open(guest), 10, 0.1, "the new agent opens the port")
        with host(guest) as port:
            assert port.execute("echo again", "again", 20)["stdout"] == "again\n"


@story(limit_s=90)
def a_service_manager_that_is_read_or_executed_anew_costs_no_command(guest):
    with executor(guest), host(guest) as port:
        for verb in ("daemon-reload", "daemon-reexec"):
            port.send(unsafe("sleep 3; echo survived", verb))
            time.sleep(1)
            guest.sh("systemctl " + verb)
            assert port.response(verb, 20)["stdout"] == "survived\n", verb


@story(limit_s=60)
def a_stop_of_the_executor_is_noticed_at_the_next_command(guest):
    with executor(guest), host(guest) as port:
        assert port.execute("true", "on")["success"]
        guest.sh("systemctl stop infiniservice-exec.socket infiniservice-exec.service")
        answer = port.execute("true", "off")
        assert answer["error_code"] == "PERMISSION_DENIED" and answer["reason"] == "no_executor", answer
        guest.sh("systemctl start infiniservice-exec.socket")
        port.send(command("SystemInfo", "alive"))
        port.response("alive")
        assert port.execute("true", "on again")["success"]
