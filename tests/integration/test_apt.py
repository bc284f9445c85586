#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""The real apt and dpkg in a machine of their own (apt_machine.py): what their exit codes do not say is said all the same."""
import os

import tap
from apt_machine import Machine, ask, data_of

AWAY = "deb http://127.0.0.1:9/debian bookworm main"
CHECKS = ("CheckLinuxUpdates", "GetPendingLinuxUpdates", "GetLinuxSecurityUpdates", "GetAvailableUpdates", "GetPendingUpdates",
          "GetSecurityUpdates", "CheckApplicationUpdates")


def failed(answer, reason):
    assert not answer["success"] and answer["error_code"] == "COMMAND_FAILED" and answer["reason"] == reason, answer
    assert answer["exit_code"] != 0, answer


def story_packages_of_apt_are_installed_updated_and_removed_in_a_machine_of_their_own():
    machine = tap.keep(Machine())
    machine.make("story-tiny", "1.0")
    machine.sources(machine.own())
    host = machine.talk()
    assert data_of(host, "UpdateSystemSoftware")["warnings"] == []
    assert ask(host, "PackageInstall", package="story-tiny")["success"]
    assert [row["name"] for row in data_of(host, "PackageList")["packages"]] == ["story-tiny"]
    data = data_of(host, "CheckLinuxUpdates")
    assert data["pending_updates"] == data["warnings"] == [], data
    machine.make("story-tiny", "1.1")
    data = data_of(host, "UpdateSystemSoftware")
    assert data["updated"] == ["story-tiny"] and data["warnings"] == [], data
    assert ask(host, "PackageRemove", package="story-tiny")["success"]
    assert not os.path.exists("/opt/story-tiny")


def story_an_update_that_reaches_no_repository_fails_and_nothing_is_called_up_to_date():
    machine = tap.keep(Machine())
    host = machine.talk()
    for sources in ([AWAY], [AWAY, "deb http://127.0.0.1:9/security bookworm-security main"], [], ["# deb http://example.org/debian x main"]):
        machine.sources(*sources)
        answer = ask(host, "UpdateSystemSoftware")
        failed(answer, "network")
        assert not sources or not sources[0].startswith("deb") or "http://127.0.0.1:9/debian bookworm" in answer["error"], answer
        for action in CHECKS:
            answer = ask(host, action)
            failed(answer, "network")
            assert answer["data"] is None, answer
        for action in ("GetInstalledApplicationsWMI", "GetLinuxUpdateHistory"):
            answer = ask(host, action)
            assert answer["success"] and answer["data"]["warnings"] and answer["stderr"], answer


def story_a_repository_that_is_out_of_reach_is_named_beside_what_the_others_brought():
    machine = tap.keep(Machine())
    machine.make("story-tiny", "1.0")
    machine.sources(machine.own())
    host = machine.talk()
    assert ask(host, "UpdateSystemSoftware")["success"] and ask(host, "PackageInstall", package="story-tiny")["success"]
    machine.make("story-tiny", "1.1")
    machine.sources(machine.own(), AWAY.replace("127.0.0.1", "somebody:hunter2@127.0.0.1"))
    for action in CHECKS:
        answer = ask(host, action)
        assert answer["success"] and "http://127.0.0.1:9/debian/dists/bookworm" in answer["data"]["warnings"][0], answer
        assert answer["data"]["warnings"][0] in answer["stderr"] and "hunter2" not in str(answer), answer
    answer = ask(host, "UpdateSystemSoftware")
    assert answer["success"] and answer["data"]["updated"] == ["story-tiny"], answer
    assert len(answer["data"]["warnings"]) == 1 and "http://127.0.0.1:9/debian bookworm" in answer["data"]["warnings"][0], answer
    assert machine.path("repo") not in answer["data"]["warnings"][0] and "hunter2" not in str(answer["data"]), answer


def story_lists_that_could_not_be_refreshed_are_old_ones():
    machine = tap.keep(Machine())
    machine.make("story-tiny", "1.0")
    machine.make("story-other", "1.0", repository="second")
    machine.sources(machine.own(), machine.own("second"))
    host = machine.talk()
    assert data_of(host, "UpdateSystemSoftware")["warnings"] == []
    assert data_of(host, "CheckLinuxUpdates")["last_check"] is not None
    os.rename(machine.path("second"), machine.path("gone"))
    warnings = data_of(host, "UpdateSystemSoftware")["warnings"]
    assert len(warnings) == 1 and machine.path("second") in warnings[0] and machine.path("repo") not in warnings[0], warnings
    data = data_of(host, "CheckLinuxUpdates")
    assert machine.path("second") in data["warnings"][0] and data["last_check"] is None, data
    os.rename(machine.path("gone"), machine.path("second"))
    assert data_of(host, "UpdateSystemSoftware")["warnings"] == []
    data = data_of(host, "CheckLinuxUpdates")
    assert data["warnings"] == [] and data["last_check"] is not None, data
    os.rename(machine.path("second"), machine.path("gone"))
    os.rename(machine.path("repo"), machine.path("away"))
    failed(ask(host, "UpdateSystemSoftware"), "network")


def story_a_repository_that_nobody_has_signed_is_told_as_one_that_is_not_used():
    machine = tap.keep(Machine())
    machine.make("story-tiny", "1.0")
    machine.make("story-other", "1.0", repository="second")
    machine.sources(machine.own(), machine.own("second").replace("[trusted=yes] ", ""))
    host = machine.talk()
    answer = ask(host, "UpdateSystemSoftware")
    assert answer["success"] and machine.path("second") in answer["data"]["warnings"][0], answer


tap.main(globals())
