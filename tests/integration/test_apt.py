#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""The real apt and dpkg in a machine of their own (apt_machine.py): what their exit codes do not say is said all the same."""
import os

import tap
from apt_machine import INSIDE, Machine, ask, data_of

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


def story_a_package_that_becomes_one_for_all_architectures_or_for_one_is_updated_under_its_name():
    machine = tap.keep(Machine())
    own = machine.sh("dpkg --print-architecture").strip()
    machine.write("dpkgcfg/dpkg.cfg", "log /var/log/dpkg.log\n")
    machine.make("story-wide", "1.0")
    machine.sources(machine.own())
    host = machine.talk()
    assert ask(host, "UpdateSystemSoftware")["success"] and ask(host, "PackageInstall", package="story-wide")["success"]
    for before, after, architecture in (("1.0", "2.0", own), ("2.0", "3.0", "all")):
        machine.make("story-wide", after, architecture=architecture)
        machine.sh("apt-get update")
        rows = data_of(host, "CheckLinuxUpdates")["pending_updates"]
        assert [(row["package_name"], row["current_version"], row["available_version"], row["architecture"]) for row in rows] == \
            [("story-wide", before, after, architecture)], rows
        data = data_of(host, "CheckApplicationUpdates")
        assert [(row["name"], row["current_version"], row["update_available"]) for row in data["applications"]] == \
            [("story-wide", before, after)], data
        assert data["summary"]["updates_available"] == 1, data
        size = data_of(host, "EstimateUpdateSize", app_id="story-wide")
        assert size["size_bytes"] == os.path.getsize(machine.path(f"repo/story-wide_{after}_{architecture}.deb")), size
        assert data_of(host, "UpdateSystemSoftware")["updated"] == ["story-wide"]
        told = data_of(host, "GetUpdateHistory", days=1)["updates"]
        assert len(told) == int(after[0]) and "story-wide" in told[0]["title"] and after in told[0]["title"], told
        assert all(event["status"] == "Succeeded" for event in told), told


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


def story_lists_of_repositories_that_are_gone_say_nothing_of_those_that_are_configured():
    machine = tap.keep(Machine())
    machine.make("story-tiny", "1.0")
    machine.sources(machine.own())
    host = machine.talk()
    assert ask(host, "UpdateSystemSoftware")["success"]
    machine.sources(AWAY)
    failed(ask(host, "UpdateSystemSoftware"), "network")
    assert [name for name in os.listdir(machine.path("aptstate/lists")) if "Packages" in name], "apt has left the old list there"
    for sources in ([AWAY], [], ["# " + machine.own()]):
        machine.sources(*sources)
        for action in CHECKS:
            failed(ask(host, action), "network")


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


def story_an_update_that_apt_calls_a_success_is_one_whatever_forms_of_a_list_it_tried():
    machine = tap.keep(Machine())
    machine.make("story-tiny", "1.0")
    own, repo = machine.own(), machine.path("repo")
    host = machine.talk()
    for script in ("true", "gzip -k Packages", "rm Packages", "gunzip -k Packages.gz && xz Packages", "xz -dk Packages.xz; rm Packages.*"):
        machine.sh(f"cd {repo} && {script}")
        for source in (own, own.replace("file:", "copy:"), own.replace("trusted", "allow-insecure")):
            machine.sources(source)
            for _ in range(2):
                assert data_of(host, "UpdateSystemSoftware")["warnings"] == [], (script, source)
            assert data_of(host, "CheckLinuxUpdates")["warnings"] == [], (script, source)


def health(host):
    return data_of(host, "RunHealthCheck", check_name="packages")


def states(host):
    return {row["name"]: row["status"] for row in data_of(host, "PackageList")["packages"]}


def story_packages_in_every_state_of_dpkg_are_listed_with_it_and_counted():
    machine = tap.keep(Machine())
    machine.make("story-good", "1.0")
    machine.make("story-bad", "1.0", scripts={"postinst": "exit 1"})
    machine.make("story-unpacked", "1.0")
    machine.make("story-trigger", "1.0", scripts={"postinst": "exit 0"})
    machine.make("story-gone", "1.0", files={"/opt/story-gone/conf": "x\n"}, conffiles=["/opt/story-gone/conf"])
    machine.sources(machine.own())
    host = machine.talk()
    assert health(host)["status"] == "passed" and states(host) == {}
    repo = machine.path("repo")
    machine.sh(f"cd {repo} && dpkg -i story-good_1.0_all.deb story-gone_1.0_all.deb story-trigger_1.0_all.deb && dpkg --remove story-gone")
    machine.sh(f"cd {repo} && dpkg --unpack story-unpacked_1.0_all.deb; dpkg -i story-bad_1.0_all.deb || true; echo story-good hold | dpkg --set-selections")
    for state, more in (("triggers-pending", "\\nTriggers-Pending: x"), ("triggers-awaited", "\\nTriggers-Awaited: story-good"), ("half-installed", "")):
        machine.sh(f"sed -i '/^Triggers-/d; /^Package: story-trigger$/,/^$/s/^Status: .*/Status: install ok {state}{more}/' /var/lib/dpkg/status")
        want = dict(line.split(" ") for line in machine.sh("dpkg-query -W -f '${Package} ${db:Status-Status}\n'").splitlines())
        assert want.pop("story-gone") == "config-files" and want["story-trigger"] == state and want["story-bad"] == "half-configured", want
        assert states(host) == want, (states(host), want)
        rows = {row["name"]: row for row in data_of(host, "PackageList")["packages"]}
        assert {name for name, row in rows.items() if row["held"]} == {"story-good"}, rows
        assert {name for name, row in rows.items() if row["installed"]} == {"story-good", "story-trigger"} - ({"story-trigger"} if "half" in state else set())
        told = health(host)
        assert told["status"] == "warning" and told["details"]["incomplete"] == (3 if "half" in state else 2), told
        assert "story-bad" in told["details"]["incomplete_packages"] and "story-unpacked" in told["message"], told
    assert data_of(host, "RunAllHealthChecks")["packages"]["status"] == "warning"


def story_what_stops_dpkg_and_apt_is_named_by_every_action_that_meets_it():
    machine = tap.keep(Machine())
    for name in ("story-good", "story-more"):
        machine.make(name, "1.0")
    machine.make("story-bad", "1.0", scripts={"postinst": "exit 1"})
    machine.make("story-needs", "1.0", fields="Depends: story-absent\n")
    machine.sources(machine.own())
    host = machine.talk()
    assert ask(host, "UpdateSystemSoftware")["success"] and ask(host, "PackageInstall", package="story-good")["success"]

    failed(ask(host, "PackageInstall", package="story-needs"), "broken_dependencies")
    machine.sh(f"dpkg --force-depends -i {machine.path('repo')}/story-needs_1.0_all.deb")
    told = health(host)
    assert told["status"] == "warning" and told["details"]["unmet_dependencies"] == 1 and told["details"]["dependencies"] == "broken", told
    assert "story-needs" in told["message"], told
    for action in ("PackageInstall", "UpdateSystemSoftware", "CheckLinuxUpdates", "CheckApplicationUpdates"):
        failed(ask(host, action, package="story-more" if action == "PackageInstall" else None), "broken_dependencies")
    machine.sh("dpkg --purge --force-depends story-needs")
    assert health(host)["status"] == "passed"

    failed(ask(host, "PackageInstall", package="story-bad"), "script_failed")
    machine.sh("dpkg --purge --force-all story-bad")
    status = open(machine.path("dpkg/status"), encoding="utf-8").read()
    machine.write("dpkg/updates/0001", "Package: story-good\nStatus: install ok half-installed\nVersion: 1.0\nArchitecture: all\nMaintainer: x\nDescription: x\n")
    told = health(host)
    assert told["status"] == "failed" and told["details"]["interrupted"] == "yes" and "--configure -a" in told["message"], told
    for action in ("PackageInstall", "UpdateSystemSoftware", "PackageRemove"):
        answer = ask(host, action, package={"PackageInstall": "story-more", "PackageRemove": "story-good"}.get(action))
        failed(answer, "dpkg_interrupted")
        assert "dpkg --configure -a" in answer["error"], answer
    os.unlink(machine.path("dpkg/updates/0001"))

    machine.write("dpkg/status", status + "garbage\n")
    for action in ("PackageList", "UpdateSystemSoftware", "CheckLinuxUpdates", "GetInstalledApplicationsWMI"):
        failed(ask(host, action), "database_broken")
    assert health(host)["status"] == "failed"
    machine.write("dpkg/status", status)

    machine.sh("echo story-good hold | dpkg --set-selections")
    failed(ask(host, "PackageRemove", package="story-good"), "protected")
    machine.sh("echo story-good install | dpkg --set-selections")
    machine.sources(machine.own().replace("[trusted=yes] ", "[allow-insecure=yes] "))
    machine.sh("apt-get -q update")
    failed(ask(host, "PackageInstall", package="story-more"), "untrusted")
    machine.sources(machine.own())
    machine.sh("apt-get -q update && mount -t tmpfs -o size=16k,nr_inodes=4 tmpfs /opt")
    machine.make("story-large", "1.0", files={"/opt/story-large/data": "x" * 200000})
    machine.sh("apt-get -q update")
    failed(ask(host, "PackageInstall", package="story-large"), "no_space")
    machine.sh("umount /opt && mount -o remount,bind,ro /opt")
    failed(ask(host, "PackageInstall", package="story-large"), "read_only")


def integrity(host):
    data = data_of(host, "CheckSystemIntegrity", 300)
    return data, {row["path"]: (row["kind"], row["missing"]) for row in data["changed_files"]}


def story_what_dpkg_was_told_not_to_install_is_no_damage():
    machine = tap.keep(Machine())
    files = {f"/opt/story-good/{name}": "x\n" for name in ("doc/README", "doc/copyright", "locale/de", "locale/en", "conf", "program", "moved", "mode")}
    machine.make("story-good", "1.0", files=files, conffiles=["/opt/story-good/conf"])
    machine.write("dpkgcfg/dpkg.cfg.d/slim", 'path-exclude=/opt/*/doc/*\npath-include = "/opt/*/doc/copyright"\n# path-exclude=/opt/*\n')
    machine.write("dpkgcfg/dpkg.cfg.d/slim.dpkg-old", "path-exclude=/opt/*\n")
    machine.write("dpkgcfg/dpkg.cfg", "path-exclude /opt/*/locale/*\npath-include /opt/*/locale/en\n")
    machine.sources(machine.own())
    host = machine.talk()
    assert ask(host, "UpdateSystemSoftware")["success"] and ask(host, "PackageInstall", package="story-good")["success"]
    assert sorted(machine.sh("cd /opt/story-good && ls doc locale").split()) == ["copyright", "doc:", "en", "locale:"]
    data, told = integrity(host)
    assert data["status"] == "passed" and told == {} and "truncated" not in data, data
    assert (data["details"]["excluded_count"], data["details"]["damaged_count"]) == (2, 0) and data["details"]["exclusions_known"] is True, data
    machine.sh("cd /opt/story-good && rm conf && dpkg-divert --add --rename --divert /opt/story-good/moved.orig /opt/story-good/moved && echo mine >moved")
    machine.sh("dpkg-statoverride --update --add nobody nogroup 0600 /opt/story-good/mode")
    data, told = integrity(host)
    assert data["status"] == "passed" and told == {"/opt/story-good/conf": ("config", True)}, data
    machine.sh("cd /opt/story-good && rm doc/copyright && echo changed >>program && rm mode")
    data, told = integrity(host)
    assert data["status"] == "warning", data
    assert told == {"/opt/story-good/conf": ("config", True), "/opt/story-good/doc/copyright": ("damage", True),
                    "/opt/story-good/program": ("damage", False), "/opt/story-good/mode": ("damage", True)}, told
    assert list(told)[-1] == "/opt/story-good/conf", "what is serious comes first"
    assert data["details"]["damaged_count"] == 3 and data["details"]["excluded_count"] == 2, data


MANY = 5200


def populate(machine):
    """A machine with more of everything than an answer holds."""
    status, index, log = [], [], []
    for i in range(MANY):
        fields = (f"Package: story-{i:05}\nArchitecture: all\nMaintainer: A Story of many packages <story@example.org>\n"
                  f"Description: package number {i} of a story that has more of them than an answer holds\n")
        status.append(f"{fields}Version: 1.0\nStatus: install ok installed\n")
        index.append(f"{fields}Version: 1.1\nFilename: ./story-{i}.deb\nSize: 1000\nSHA256: {'0' * 64}\n")
        log.append(f"2026-01-02 03:04:05 install story-{i:05}:all <none> 1.0\n2026-01-02 03:04:05 status installed story-{i:05}:all 1.0\n")
        machine.write(f"dpkg/info/story-{i:05}.list", f"/.\n/opt\n/opt/story-of-many-packages-{i:05}\n")
        machine.write(f"dpkg/info/story-{i:05}.md5sums", f"{'0' * 32}  opt/story-of-many-packages-{i:05}\n")
    machine.write("dpkg/status", "\n".join(status))
    machine.write("repo/Packages", "\n".join(index))
    machine.write("log/dpkg.log", "".join(log))
    machine.write("passwd", "".join(f"user{i}:x:{1000 + i}:1000:User number {i}:/home/user{i}:/bin/sh\n" for i in range(100001)))


def story_a_list_that_could_not_be_read_whole_has_not_passed_the_check():
    machine = tap.keep(Machine())
    machine.write("dpkg/status", "\n".join(
        f"Package: story-{i:05}\nArchitecture: all\nMaintainer: A Story <story@example.org>\nDescription: {'long ' * 300}\nVersion: 1.0\n"
        "Status: install ok installed\n" for i in range(6000)))
    host = machine.talk()
    data = data_of(host, "RunHealthCheck", 300, check_name="packages")
    assert data["status"] == "warning" and "could not be read whole" in data["message"], data


def story_every_list_that_is_cut_says_so_with_its_count():
    machine = tap.keep(Machine())
    populate(machine)
    machine.sources(machine.own())
    machine.write("inside", INSIDE.replace("shift\n", 'mount --bind "$1/passwd" /etc/passwd\nshift\n'))
    host = machine.talk()
    machine.sh("apt-get -q update")

    def user_list():
        data = data_of(host, "UserList")
        assert data["source"] == "local" and data["count"] == len(data["users"]), data["count"]
        return len(data["users"]), 100001, data["truncated"], data["total_count"]

    def processes():
        answer = ask(host, "ProcessList", limit=2)
        return len(answer["data"]), len(ask(host, "ProcessList")["data"]), answer["truncated"], answer["total_count"]

    def listed(action, key, want, prefix="", **parameters):
        data = data_of(host, action, 300, **parameters)
        return len(data[key]), want, data[prefix + "truncated"], data[prefix + "total_count"]

    def two_lists():
        data = data_of(host, "GetAvailableUpdates", 300)
        assert data["applications_truncated"] is True and data["applications_total_count"] == MANY > len(data["applications"])
        return len(data["pending_updates"]), MANY, data["truncated"], data["total_count"]

    def history():
        data = data_of(host, "GetLinuxUpdateHistory", 300, days=3650)
        return len(data["history"]), MANY, data["history_truncated"], data["history_count"]

    cases = {
        "UserList": user_list,
        "ProcessList": processes,
        "PackageList": lambda: listed("PackageList", "packages", MANY),
        "PackageSearch": lambda: listed("PackageSearch", "packages", MANY, query="story"),
        "CheckLinuxUpdates": lambda: listed("CheckLinuxUpdates", "pending_updates", MANY),
        "CheckApplicationUpdates": lambda: listed("CheckApplicationUpdates", "applications", MANY, "applications_"),
        "GetAvailableUpdates": two_lists,
        "GetInstalledApplicationsWMI": lambda: listed("GetInstalledApplicationsWMI", "applications", MANY),
        "GetUpdateHistory": lambda: listed("GetUpdateHistory", "updates", MANY, days=3650),
        "GetLinuxUpdateHistory": history,
        "CheckSystemIntegrity": lambda: listed("CheckSystemIntegrity", "changed_files", MANY),
    }
    for name, case in cases.items():
        held, want, truncated, told = case()
        assert truncated is True and told == want > held >= 0, (name, held, want, truncated, told)
    data = data_of(host, "ProcessList")
    assert {row["user"] for row in data if row["pid"] == machine.agent.pid} <= {0, "root"}


tap.main(globals())
