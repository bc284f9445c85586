#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""JoinDomain: what realm(8) is given, and that the password is nowhere but on its stdin."""
import contextlib
import json
import os

import schema
import tap
from fakehost import all_pids, command_line, descendants, talk, wait_until

POWER = {"commands.allow": "observe,control,packages,power"}
SECRET = "hunter2-&'secret"
WISH = {"domain": "corp.example.org", "username": "Administrator@corp", "password": SECRET}
REALM = """#!/bin/sh
printf '%s\\n' "$@" >/usr/local/share/asked
env >>/usr/local/share/environment
cat >/usr/local/share/stdin
ls -l /proc/self/fd >/usr/local/share/fds
{more}
echo joined
"""


def pretend(more=""):
    tap.need_root()
    tap.need_room()
    for name in ("asked", "environment", "stdin", "fds"):
        with contextlib.suppress(FileNotFoundError):
            os.unlink("/usr/local/share/" + name)
    with open("/usr/local/bin/realm", "w", encoding="ascii") as file:
        file.write(REALM.replace("{more}", more))
    os.chmod("/usr/local/bin/realm", 0o755)


def said(name):
    with open("/usr/local/share/" + name, encoding="utf-8", errors="replace") as file:
        return file.read()


def story_without_realm_the_package_that_lacks_is_named():
    if os.path.exists("/usr/bin/realm") or os.path.exists("/usr/sbin/realm"):
        raise tap.Skip("realm is installed here")
    _, host = talk(tap.keep, POWER)
    answer = host.ask("JoinDomain", **WISH)
    assert answer["error_code"] == "NOT_FOUND" and "realmd" in answer["error"] and answer["exit_code"] == 1, answer
    _, host = talk(tap.keep)
    assert host.ask("JoinDomain", **WISH)["error_code"] == "POLICY_DENIED"
    _, host = talk(tap.keep, {"commands.allow": "observe,control,packages"})
    assert host.ask("JoinDomain", **WISH)["error_code"] == "POLICY_DENIED", "who joins a domain lets its users in"


def story_realm_is_given_the_password_on_its_stdin_and_nowhere_else():
    pretend("sleep 0.5")
    agent, host = talk(tap.keep, {**POWER, "agent.log_level": "debug"})
    command = host.command("JoinDomain", 30, **WISH, ou="OU=Servers,DC=corp", computer_name="web1", restart_after=False)
    wait_until(lambda: os.path.exists("/usr/local/share/fds"), 10, "realm has been started")
    for pid in all_pids():
        assert SECRET not in command_line(pid), command_line(pid)
    for pid in descendants(agent.pid):
        try:
            with open(f"/proc/{pid}/environ", "rb") as file:
                assert SECRET.encode() not in file.read(), pid
        except OSError:
            pass
    answer = host.response(command, 30)
    assert answer["success"] and answer["exit_code"] == 0 and answer["stdout"] == "joined\n", answer
    schema.check_data("JoinDomain", answer["data"])
    assert answer["data"] == {"domain": "corp.example.org", "restart_scheduled": False}, answer
    assert said("asked").split("\n")[:-1] == ["join", "--unattended", "--user=Administrator@corp", "--computer-ou=OU=Servers,DC=corp",
                                             "--computer-name=web1", "--", "corp.example.org"], said("asked")
    assert said("stdin") == SECRET + "\n" and SECRET not in said("environment"), said("stdin")
    assert SECRET not in json.dumps(answer) and SECRET not in agent.stderr()
    for folder, _, names in os.walk(agent.directory):
        for name in names:
            path = os.path.join(folder, name)
            if os.path.isfile(path) and not name.endswith(".sock"):
                with open(path, "rb") as file:
                    assert b"hunter2" not in file.read(), path
    with open(agent.path("state/audit.ndjson"), encoding="ascii") as file:
        assert "***" in file.read()


def story_a_join_that_fails_is_told_as_such():
    pretend("echo no such realm >&2; exit 1")
    _, host = talk(tap.keep, POWER)
    answer = host.ask("JoinDomain", 30, **WISH)
    assert answer["error_code"] == "COMMAND_FAILED" and answer["exit_code"] == 1 and answer["stderr"] == "no such realm\n", answer
    pretend("sleep 60")
    answer = host.ask("JoinDomain", 3, **WISH)
    assert answer["error_code"] == "COMMAND_TIMEOUT", answer


def story_hostile_parameters_run_nothing():
    pretend()
    _, host = talk(tap.keep, POWER)
    bad = [{"domain": value} for value in ("", "-h", "--help", "a b", "a;id", "$(id)", "../x", "a/b", "a\nb", ".a", "a" * 254, 5, None, [], "a\u0000b")]
    bad += [{"username": value} for value in ("", "-h", "a\nb", "a" * 257, 5, None, {})]
    bad += [{"password": value} for value in ("", "a\nb", "a" * 1025, 5, None)]
    bad += [{"ou": "a\nb"}, {"ou": 5}, {"computer_name": "-x"}, {"computer_name": "a b"}, {"computer_name": "a.b"}, {"restart_after": "yes"}]
    for wrong in bad:
        answer = host.ask("JoinDomain", **{**WISH, **wrong})
        assert answer["error_code"] == "INVALID_PARAMETERS" and SECRET not in json.dumps(answer), (wrong, answer)
    assert not os.path.exists("/usr/local/share/asked")


tap.main(globals())
