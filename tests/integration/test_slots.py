#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Who may run beside whom: packages and power one at a time, the rest up to the limit, and what waits for its kind holds up nobody else. The
package manager is a stand-in that does nothing but wait to be told to go on: what is tried is when it is started."""
import json
import os
import subprocess

import tap
from fakehost import Agent, UnixHost, wait_until

ALL = {"commands.allow": "observe,control,packages,power", "commands.allow_unsafe": "yes", "commands.max_concurrent": 5}

# In front of the real ones, in a mount namespace of the agent's own.
INSIDE = 'set -e\nmount --bind "$1" /usr/local/sbin\nshift\nexec "$@"\n'
APT_GET = """#!/bin/sh
for name; do :; done
echo "begin $name" >>%(log)s
while ! test -e %(go)s-"$name"; do sleep 0.05; done
echo "end $name" >>%(log)s
"""
APT_CACHE = """#!/bin/sh
for name; do :; done
case $name in none*) exit 100 ;; esac
printf 'Package: %s\\nVersion: 1\\nArchitecture: all\\nDescription: x\\n\\n' "$name"
"""


class Machine:
    def __init__(self):
        tap.need_root()
        self.host = tap.keep(UnixHost())
        self.agent = Agent(self.host.spec, ALL)
        self.log, self.go = self.agent.path("ran"), self.agent.path("go")
        os.mkdir(self.agent.path("bin"))
        for name, text in (("apt-get", APT_GET % {"log": self.log, "go": self.go}), ("apt-cache", APT_CACHE)):
            with open(os.open(self.agent.path("bin/" + name), os.O_WRONLY | os.O_CREAT, 0o755), "w", encoding="ascii") as file:
                file.write(text)
        with open(self.agent.path("inside"), "w", encoding="ascii") as file:
            file.write(INSIDE)
        if subprocess.run(["unshare", "-m", "true"], stderr=subprocess.DEVNULL, check=False).returncode:
            raise tap.Skip("this machine allows no mount namespace")
        self.agent.wrapper = ["unshare", "-m", "sh", self.agent.path("inside"), self.agent.path("bin")]
        tap.keep(self.agent)
        self.host.accept(10)

    def ran(self):
        try:
            with open(self.log, encoding="ascii") as file:
                return file.read().splitlines()
        except FileNotFoundError:
            return []

    def let(self, name):
        with open(f"{self.go}-{name}", "w", encoding="ascii"):
            pass

    def commands(self):
        self.host.send({"type": "Status", "id": "state"})
        return self.host.response("state")["data"]["commands"]


def story_packages_run_one_at_a_time_and_the_next_one_waits_its_turn():
    machine = Machine()
    host = machine.host
    ids = [host.command("PackageInstall", 60, name, package=name) for name in ("first", "second", "third")]
    wait_until(lambda: machine.ran() == ["begin first"], 10, "the first one runs")
    state = machine.commands()
    assert (state["running"], state["queued"]) == (1, 2), state
    # Four slots are left, for others than packages.
    held = [host.unsafe(f"echo begin other >>{machine.log}; until test -e {machine.go}-other; do sleep 0.05; done", 60) for _ in range(5)]
    wait_until(lambda: machine.ran().count("begin other") == 4, 10, "the others run")
    assert host.ask("SystemInfo")["success"] and host.ask("ProcessTop")["success"], "what takes no slot answers in any case"
    state = machine.commands()
    assert (state["running"], state["queued"]) == (5, 3), state
    machine.let("other")
    assert all(answer["success"] for answer in host.responses(held, 20))
    assert [line for line in machine.ran() if "other" not in line] == ["begin first"]
    for name in ("second", "third", "first"):
        machine.let(name)
    assert [answer["id"] for answer in host.responses(ids, 20)] == ids
    assert [line for line in machine.ran() if "other" not in line] == \
        ["begin first", "end first", "begin second", "end second", "begin third", "end third"]


def story_a_package_command_that_waits_can_be_cancelled_and_never_starts():
    machine = Machine()
    host = machine.host
    first, second = (host.command("PackageInstall", 60, name, package=name) for name in ("first", "second"))
    wait_until(lambda: machine.ran() == ["begin first"], 10, "the first one runs")
    host.send({"type": "CancelCommand", "id": "c", "target_id": second})
    answers = {m["id"]: m for m in host.responses([second, "c"])}
    assert answers[second]["error_code"] == "CANCELLED" and answers["c"]["success"], answers
    late = host.ask("PackageInstall", timeout=2, package="late")
    assert late["error_code"] == "COMMAND_TIMEOUT" and late["exit_code"] == 1, late
    machine.let("first")
    assert host.response(first)["success"]
    assert machine.ran() == ["begin first", "end first"]


def story_what_does_not_exist_is_not_tried_again():
    machine = Machine()
    machine.host.send({"type": "SafeCommand", "id": "n", "timeout": 30, "retries": 5,
                       "command_type": {"action": "PackageInstall", "package": "none-such"}})
    answer = machine.host.response("n")
    assert answer["error_code"] == "NOT_FOUND" and "attempts" not in answer and answer["execution_time_ms"] < 5000, answer
    assert machine.ran() == []


def story_power_is_one_at_a_time():
    if os.path.exists("/run/systemd/journal/socket"):
        raise tap.Skip("a journal takes the records that tell the order")
    host = tap.keep(UnixHost())
    agent = tap.keep(Agent(host.spec, ALL))
    host.accept()
    ids = ["one", "two", "three"]
    lines = [{"type": "SafeCommand", "id": name, "timeout": 60, "command_type": {"action": "PrepareGoldenImage", "dry_run": True}} for name in ids]
    host.send("".join(json.dumps(line) + "\n" for line in lines))  # at once: nothing but the slot is between them
    assert all(answer["success"] for answer in host.responses(ids, 60))
    wanted = [(name, phase) for name in ids for phase in ("started", "program", "finished")]

    def told():
        with open(agent.path("state/audit.ndjson"), encoding="ascii") as file:
            return [(record["id"], record["phase"]) for record in map(json.loads, file)]
    wait_until(lambda: len(told()) == len(wanted), 5, "the record of all")
    assert told() == wanted, told()


tap.main(globals())
