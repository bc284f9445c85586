#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Nothing in the loop waits for a network or for another process: a directory service that does not answer, a service manager that does not read."""
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time

import tap
from fakehost import SANITIZED, Agent, UnixHost

HERE = os.path.dirname(os.path.abspath(__file__))
EVERYTHING = {"commands.allow": "observe,control,packages,power", "commands.allow_unsafe": "yes", "commands.max_concurrent": 20,
              "timers.metrics_interval_ms": 200, "timers.health_interval_ms": 100}
# All that asks the guest about users, names, units and programs, and what names a user that nobody knows here.
QUESTIONS = (("UserList", {}), ("ProcessTop", {"limit": 50}), ("ProcessList", {}), ("OsInfo", {}), ("SystemInfo", {}), ("ServiceList", {}),
             ("CheckDiskSpace", {}), ("CheckLinuxSecurity", {}), ("GetLinuxFirewallStatus", {}), ("CheckSecurityModules", {}),
             ("RunAllHealthChecks", {}), ("ServiceControl", {"service": "cron", "operation": "status"}),
             ("ServiceControl", {"service": "no-such-unit", "operation": "restart"}), ("ProcessKill", {"pid": 2 ** 22 - 1}),
             ("PackageList", {}), ("PrepareGoldenImage", {"dry_run": True}), ("Status", {}))


def slow_names(agent):
    """Every question to the name service takes ten seconds, and leaves word of who asked. Gives what reads that."""
    compiler = shutil.which("cc") or shutil.which("gcc") or shutil.which("clang")
    if not compiler:
        raise tap.Skip("there is no C compiler")
    if SANITIZED:
        raise tap.Skip("a sanitized agent refuses to start behind another preloaded library")
    library, asked = agent.path("slow_names.so"), agent.path("asked")
    subprocess.run([compiler, "-shared", "-fPIC", "-O1", "-o", library, os.path.join(HERE, "slow_names.c")], check=True)
    with open(os.open(asked, os.O_WRONLY | os.O_CREAT, 0o666), "w", encoding="ascii"):
        os.chmod(asked, 0o666)
    agent.wrapper += ["env", f"LD_PRELOAD={library}", f"SLOW_NAMES_LOG={asked}", "SLOW_NAMES_S=10"]

    def lines():
        with open(asked, encoding="ascii") as file:
            return [line.split() for line in file.read().splitlines()]

    # It works: who does ask is written down.
    subprocess.run(["env", f"LD_PRELOAD={library}", f"SLOW_NAMES_LOG={asked}", "SLOW_NAMES_S=0", sys.executable, "-c",
                    "import pwd; pwd.getpwnam('root')"], check=True)
    assert len(lines()) == 1, lines()
    return lines


def story_a_directory_service_that_does_not_answer_holds_up_nothing_but_who_asked():
    for uid in (61999, 0):
        if uid and os.geteuid() != 0:
            continue
        host = tap.keep(UnixHost())
        agent = Agent(host.spec, {**EVERYTHING, "commands.executor_socket": "/nonexistent/exec.sock"})
        if uid:
            agent.wrapper = ["setpriv", f"--reuid={uid}", f"--regid={uid}", "--clear-groups"]
            os.chmod(agent.directory, 0o755)
            os.chmod(os.path.dirname(host.path), 0o755)
            os.chmod(host.path, 0o666)
            os.mkdir(agent.path("socket"))
            for name in ("state", "run", "log", "socket", "agent.conf"):
                os.chown(agent.path(name), uid, uid)
            agent.settings["socket.path"] = agent.path("socket/agent.sock")
        asked = slow_names(agent)
        tap.keep(agent)
        host.accept(20)
        first = host.expect("metrics")["seq"]
        for user in ("root", "nobody", "daemon", "no-such-user", "a.b@example.org"):
            host.unsafe("true", 3, run_as=user)
        for action, parameters in QUESTIONS:
            if action == "PrepareGoldenImage" and uid == 0:
                continue
            host.command(action, 5, **parameters)
        host.send({"type": "pending_scripts_response", "scripts": [
            {"execution_id": "x", "script_id": "x", "script_name": "x", "script_content": "true", "shell": "sh", "execution_type": "x",
             "input_values": {}, "timeout_seconds": 3, "run_as": "no-such-user"}]})
        begun = time.monotonic()
        while time.monotonic() < begun + 3:
            host.in_step(1)  # a tenth of what one question takes
            time.sleep(0.1)
        came = sum(m["type"] == "metrics" and m["seq"] > first for m in host.pending) + \
            sum(b'"type":"metrics"' in line for line in host.lines)
        assert came >= 5, f"{came} samples"
        mine = [what for pid, what in asked() if int(pid) == agent.pid]
        assert not mine, mine
        agent.kill()
        agent.check_exit = False


def story_a_service_manager_that_does_not_read_holds_up_nothing_and_is_told_ready_when_it_does():
    directory = tap.keep(tempfile.TemporaryDirectory())
    manager = tap.keep(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM))
    manager.bind(os.path.join(directory, "notify"))
    filler = tap.keep(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM))
    filler.setblocking(False)
    try:
        while True:
            filler.sendto(b"X=1", os.path.join(directory, "notify"))
    except BlockingIOError:
        pass
    host = tap.keep(UnixHost())
    agent = tap.keep(Agent(host.spec, EVERYTHING, env={"NOTIFY_SOCKET": os.path.join(directory, "notify"), "WATCHDOG_USEC": "200000"}))
    host.accept(10)
    host.expect("metrics")
    for _ in range(10):
        host.in_step(1)
        time.sleep(0.1)
    assert host.ask("SystemInfo")["success"]
    manager.settimeout(10)
    told = b""
    while b"READY=1" not in told:
        told = manager.recv(4096)
    while b"WATCHDOG=1" not in told:
        told = manager.recv(4096)
    assert agent.alive()


tap.main(globals())
