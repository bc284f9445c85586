#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""The real dnf and rpm behind the same table of actions: the agent runs in a mount namespace of its own where there is no apt and where
rpm's database, dnf's caches, logs and repositories and /opt are empty directories, with a repository of packages that are made here."""
import os
import shutil
import subprocess
import tempfile
import threading

import schema
import tap
from fakehost import SLOW, Agent, UnixHost, wait_until

ALL = {"commands.allow": "observe,control,packages,power", "timers.metrics_interval_ms": 60000}
ENVIRONMENT = {"LC_ALL": "C.UTF-8", "PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/"}
NEEDED = ("dnf", "rpm", "rpmbuild", "createrepo_c", "modifyrepo_c", "unshare", "nsenter")

# $1: where the empty directories are; the rest: what to run in there. rpm's database is where Fedora has it.
INSIDE = """set -e
for pair in rpmdb:/var/lib/rpm cache:/var/cache/dnf state:/var/lib/dnf repos:/etc/yum.repos.d log:/var/log opt:/opt macros:/etc/rpm; do
	mkdir -p "$1/${pair%%:*}" "${pair#*:}"
	mount --bind "$1/${pair%%:*}" "${pair#*:}"
done
echo "%_dbpath /var/lib/rpm" >/etc/rpm/macros
mount --bind /dev/null "$(command -v apt-get)" 2>/dev/null || true
shift
exec "$@"
"""

SPEC = """Name: {name}
Version: {version}
Release: 1
{epoch}
Summary: the {name} of a story
License: MIT
Vendor: A Story
Group: Stories
URL: https://example.org/{name}
BuildArch: noarch
%description
A package that a test makes.
{post}
%install
mkdir -p %{{buildroot}}/opt/{name}
echo {version} >%{{buildroot}}/opt/{name}/version
echo setting >%{{buildroot}}/opt/{name}/conf
for file in {names}; do echo x >%{{buildroot}}/opt/{name}/$file; done
%files
/opt/{name}/version
%config /opt/{name}/conf
{files}"""
# There is no shell among these packages: what takes its time is written in rpm's own Lua.
SLOW_POST = "%post -p <lua>\nlocal t = os.time() + 5\nwhile os.time() < t do end\n"

UPDATEINFO = """<?xml version="1.0" encoding="UTF-8"?>
<updates><update from="a@example.org" status="stable" type="security" version="1"><id>STORY-1</id><title>t</title>
<severity>Important</severity><issued date="2026-01-01 00:00:00"/><description>d</description><pkglist><collection short="s"><name>s</name>
<package name="{name}" version="{version}" release="1" epoch="{epoch}" arch="noarch" src="x.src.rpm"><filename>x.rpm</filename></package>
</collection></pkglist></update></updates>
"""


def run(*argv, **more):
    done = subprocess.run(argv, env=ENVIRONMENT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False, **more)
    assert done.returncode == 0, f"{argv}: {done.stdout.decode(errors='replace')}"
    return done.stdout.decode()


class Distribution:
    """The directory that stands for a machine with dnf, and its repository."""

    def __init__(self):
        tap.need_root()
        missing = [name for name in NEEDED if not shutil.which(name, path=ENVIRONMENT["PATH"])]
        if missing:
            raise tap.Skip("this machine has no " + ", ".join(missing))
        self.directory = tempfile.mkdtemp(prefix="infini-dnf-")
        os.makedirs(self.path("repo"))
        os.makedirs(self.path("repos"))
        self.agent = None
        try:
            run("unshare", "-m", "true")
        except AssertionError:
            self.__exit__()
            raise tap.Skip("this machine allows no mount namespace") from None

    def __enter__(self):
        with open(self.path("repos/story.repo"), "w", encoding="ascii") as file:
            file.write(f"[story]\nname=story\nbaseurl=file://{self.path('repo')}\ngpgcheck=0\n")
        return self

    def __exit__(self, *_):
        shutil.rmtree(self.directory, ignore_errors=True)

    def path(self, name):
        return os.path.join(self.directory, name)

    def make(self, name, version, epoch=None, post="", files="", names=()):
        with open(self.path(name + ".spec"), "w", encoding="ascii") as file:
            file.write(SPEC.format(name=name, version=version, epoch=f"Epoch: {epoch}" if epoch else "", post=post, files=files,
                                   names=" ".join(names)))
        run("rpmbuild", "--quiet", "-bb", "--define", "_topdir " + self.path("top"), "--define", "_rpmdir " + self.path("repo"),
            "--define", "_dbpath " + self.path("none"), self.path(name + ".spec"))

    def index(self, security=None):
        run("createrepo_c", "-q", self.path("repo"))
        if security:
            with open(self.path("updateinfo.xml"), "w", encoding="ascii") as file:
                file.write(UPDATEINFO.format(**security))
            run("modifyrepo_c", "--mdtype=updateinfo", self.path("updateinfo.xml"), self.path("repo/repodata"))

    def talk(self):
        """The agent in there, and its host."""
        with open(self.path("inside"), "w", encoding="ascii") as file:
            file.write(INSIDE)
        host = tap.keep(UnixHost())
        self.agent = tap.keep(Agent(host.spec, ALL, wrapper=["unshare", "-m", "sh", self.path("inside"), self.directory]))
        host.accept(20)
        return host

    def sh(self, *argv):
        """What the agent's own machine says, asked beside the agent."""
        return run("nsenter", "-t", str(self.agent.pid), "-m", *argv)

    def installed(self):
        return set(self.sh("rpm", "-qa", "--qf", "%{NAME} %|EPOCH?{%{EPOCH}:}:{}|%{VERSION}-%{RELEASE}\n").split("\n")) - {""}


def ask(host, action, timeout=120, **parameters):
    return host.response(host.command(action, timeout, **parameters), timeout * SLOW)


def data_of(host, action, timeout=120, **parameters):
    answer = ask(host, action, timeout, **parameters)
    assert answer["success"], answer
    schema.check_data(action, answer["data"])
    return answer["data"]


def story_packages_of_dnf_are_found_installed_updated_listed_and_removed():
    machine = tap.keep(Distribution())
    machine.make("story-tiny", "1.0")
    machine.make("story-epoch", "2.0", epoch=3)
    machine.index()
    host = machine.talk()
    assert "dnf" in data_of_os(host), "what OsInfo finds"
    assert data_of(host, "PackageList")["packages"] == []
    machine.sh("dnf", "-y", "-q", "makecache")
    for query, want in (("story", ["story-epoch", "story-tiny"]), ("tin", ["story-tiny"]), ("story TINY", ["story-tiny"]),
                        ("epoch nothing", []), ("story-tiny", ["story-tiny"])):
        rows = data_of(host, "PackageSearch", query=query)["packages"]
        assert sorted(row["name"] for row in rows) == want, (query, rows)
        assert all(row["installed"] is False and row["source"] == "dnf" and "of a story" in row["description"] for row in rows), rows
    for action in ("PackageInstall", "PackageRemove", "PackageUpdate"):
        answer = ask(host, action, package="no-such-package")
        assert answer["error_code"] == "NOT_FOUND" and answer["reason"] == "no_such_package", (action, answer)
    for name in ("story-tiny", "story-epoch"):
        answer = ask(host, "PackageInstall", package=name)
        assert answer["success"] and answer["exit_code"] == 0 and name in answer["stdout"], answer
    assert machine.installed() == {"story-tiny 1.0-1", "story-epoch 3:2.0-1"}
    rows = {row["name"]: row for row in data_of(host, "PackageList")["packages"]}
    assert {f"{name} {row['version']}" for name, row in rows.items()} == machine.installed(), rows
    assert rows["story-tiny"]["publisher"] == "A Story" and rows["story-tiny"]["architecture"] == "noarch", rows
    assert data_of(host, "PackageSearch", query="story-epoch")["packages"][0]["installed_version"] == "3:2.0-1"
    assert data_of(host, "CheckLinuxUpdates")["pending_updates"] == []

    machine.make("story-tiny", "1.1")
    machine.make("story-epoch", "2.1", epoch=3)
    machine.index(security={"name": "story-epoch", "version": "2.1", "epoch": 3})
    machine.sh("dnf", "-y", "-q", "makecache")
    data = data_of(host, "CheckLinuxUpdates")
    told = {row["package_name"]: (row["current_version"], row["available_version"], row["is_security"], row["repository"], row["architecture"])
            for row in data["pending_updates"]}
    assert told == {"story-tiny": ("1.0-1", "1.1-1", False, "story", "noarch"),
                    "story-epoch": ("3:2.0-1", "3:2.1-1", True, "story", "noarch")}, told
    assert data["security_updates_count"] == 1 and data["package_manager"] == "dnf" and data["reboot_required"] is None, data
    assert abs(os.stat(machine.path("cache")).st_mtime - stamp_of(data["last_check"])) < 2, data["last_check"]
    assert [row["package_name"] for row in data_of(host, "GetLinuxSecurityUpdates")["pending_updates"]] == ["story-epoch"]
    size = data_of(host, "EstimateUpdateSize", app_id="story-tiny")["size_bytes"]
    assert size == os.path.getsize(machine.path("repo/noarch/story-tiny-1.1-1.noarch.rpm")), size
    details = data_of(host, "GetApplicationDetails", app_id="story-epoch")
    assert details["application"]["new_version"] == "3:2.1-1" and details["application"]["is_security_update"] is True, details
    assert details["metadata"]["homepage"] == "https://example.org/story-epoch" and details["metadata"]["section"] == "Stories", details
    assert {row["name"] for row in data_of(host, "CheckApplicationUpdates")["applications"]} == {"story-tiny", "story-epoch"}

    assert ask(host, "PackageUpdate", package="story-tiny")["success"]
    assert machine.installed() == {"story-tiny 1.1-1", "story-epoch 3:2.0-1"}
    assert ask(host, "PackageUpdate", package="story-tiny")["success"], "there is nothing more to update"
    data = data_of(host, "UpdateSystemSoftware", 300)
    assert data["updated"] == ["story-epoch"], data
    answer = ask(host, "PackageRemove", package="story-tiny")
    assert answer["success"], answer
    assert machine.installed() == {"story-epoch 3:2.1-1"}
    data = data_of(host, "GetLinuxUpdateHistory", days=2)
    told = [(row["action"], row["package_name"], row["previous_version"], row["version"]) for row in reversed(data["history"])]
    assert told == [("install", "story-tiny", None, "1.0-1"), ("install", "story-epoch", None, "3:2.0-1"),
                    ("upgrade", "story-tiny", "1.0-1", "1.1-1"), ("upgrade", "story-epoch", "3:2.0-1", "3:2.1-1"),
                    ("remove", "story-tiny", "1.1-1", None)], told
    assert data["history_available"] is True and data["history"][0]["architecture"] == "noarch", data


def story_a_repository_that_dnf_skips_is_named_and_nothing_is_called_up_to_date():
    machine = tap.keep(Distribution())
    machine.make("story-tiny", "1.0")
    machine.index()
    repo = machine.path("repos/story.repo")
    with open(repo, encoding="ascii") as file:
        good = file.read()
    checks = ("CheckLinuxUpdates", "GetAvailableUpdates", "CheckApplicationUpdates")
    host = machine.talk()
    for skip in (1, 0):
        bad = f"[away]\nname=away\nbaseurl=http://127.0.0.1:9/away\ngpgcheck=0\nskip_if_unavailable={skip}\n"
        for text in (bad, "", bad.replace("[away]", "[away]\nenabled=0")):
            with open(repo, "w", encoding="ascii") as file:
                file.write(text)
            for action in ("UpdateSystemSoftware", *checks):
                answer = ask(host, action)
                assert not answer["success"] and answer["error_code"] == "COMMAND_FAILED" and answer["reason"] == "network", (text, answer)
                assert text != bad or "away" in answer["error"] + answer["stderr"], answer
    with open(repo, "w", encoding="ascii") as file:
        file.write(good + bad.replace("unavailable=0", "unavailable=1"))
    answer = ask(host, "UpdateSystemSoftware")
    assert answer["success"] and "away" in answer["data"]["warnings"][0] and "story" not in answer["data"]["warnings"][0], answer
    assert ask(host, "PackageInstall", package="story-tiny")["success"]
    for action in checks:
        answer = ask(host, action)
        assert answer["success"] and "away" in answer["data"]["warnings"][0], answer
    with open(repo, "w", encoding="ascii") as file:
        file.write(good)
    assert data_of(host, "UpdateSystemSoftware")["warnings"] == data_of(host, "CheckLinuxUpdates")["warnings"] == []
    os.rename(machine.path("repo"), machine.path("gone"))
    answer = ask(host, "UpdateSystemSoftware")
    assert not answer["success"] and answer["reason"] == "network", answer


def story_a_package_that_lacks_what_it_needs_is_named_by_actions_and_by_health():
    machine = tap.keep(Distribution())
    machine.make("story-tiny", "1.0")
    machine.make("story-needs", "1.0", epoch="2\nRequires: story-absent")
    machine.index()
    host = machine.talk()
    assert data_of(host, "RunHealthCheck", check_name="packages")["details"]["dependencies"] == "met"
    assert ask(host, "UpdateSystemSoftware")["success"]
    answer = ask(host, "PackageInstall", package="story-needs")
    assert answer["error_code"] == "COMMAND_FAILED" and answer["reason"] == "broken_dependencies", answer
    machine.sh("rpm", "-i", "--nodeps", machine.path("repo/noarch/story-needs-1.0-1.noarch.rpm"))
    told = data_of(host, "RunHealthCheck", check_name="packages")
    assert told["status"] == "warning" and "story-needs" in told["message"] and told["details"]["dependencies"] == "broken", told


def data_of_os(host):
    return host.ask("OsInfo")["data"]["available_package_managers"]


def stamp_of(text):
    return int(run("date", "-d", text, "+%s"))


def story_what_changed_under_rpm_is_found():
    machine = tap.keep(Distribution())
    machine.make("story-tiny", "1.0")
    machine.make("story-epoch", "2.0", epoch=3)
    machine.index()
    host = machine.talk()
    machine.sh("dnf", "-y", "-q", "install", "story-tiny", "story-epoch")
    data = data_of(host, "CheckSystemIntegrity", 300)
    assert data["changed_files"] == [] and data["status"] == "passed" and data["details"]["tool"] == "rpm", data
    with open(machine.path("opt/story-tiny/version"), "a", encoding="ascii") as file:
        file.write("changed\n")
    with open(machine.path("opt/story-tiny/conf"), "a", encoding="ascii") as file:
        file.write("changed\n")
    os.unlink(machine.path("opt/story-epoch/version"))
    data = data_of(host, "CheckSystemIntegrity", 300)
    told = {row["path"]: (row["missing"], row["config_file"], "5" in row["flags"]) for row in data["changed_files"]}
    assert told == {"/opt/story-tiny/version": (False, False, True), "/opt/story-tiny/conf": (False, True, True),
                    "/opt/story-epoch/version": (True, False, False)}, told
    assert data["status"] == "warning" and (data["details"]["changed_count"], data["details"]["missing_count"]) == (3, 1), data


def story_what_rpm_marks_as_documentation_or_ghost_is_no_damage_when_it_is_gone():
    machine = tap.keep(Distribution())
    machine.make("story-tiny", "1.0", files="%doc /opt/story-tiny/doc\n%license /opt/story-tiny/license\n%ghost /opt/story-tiny/ghost\n"
                 "%config(missingok) /opt/story-tiny/may\n", names=("doc", "license", "ghost", "may"))
    machine.index()
    host = machine.talk()
    machine.sh("dnf", "-y", "-q", "install", "story-tiny")
    machine.sh("rm", "-f", *[f"/opt/story-tiny/{name}" for name in ("doc", "license", "ghost", "may")])
    machine.sh("touch", "-d", "2001-01-01", "/opt/story-tiny/version")
    data = data_of(host, "CheckSystemIntegrity", 300)
    assert data["status"] == "passed" and all(row["kind"] == "config" for row in data["changed_files"]), data
    assert data["details"]["documentation_count"] == 2 and data["details"]["time_count"] == 1 and data["details"]["damaged_count"] == 0, data
    machine.sh("rm", "/opt/story-tiny/version")
    assert data_of(host, "CheckSystemIntegrity", 300)["status"] == "warning"


def story_a_lock_of_dnf_is_told_as_such_and_can_be_waited_for():
    machine = tap.keep(Distribution())
    machine.make("story-slow", "1.0", post=SLOW_POST)
    machine.make("story-tiny", "1.0")
    machine.index()
    host = machine.talk()
    machine.sh("dnf", "-y", "-q", "makecache")
    other = threading.Thread(target=lambda: machine.sh("dnf", "-y", "-q", "install", "story-slow"))
    other.start()
    try:
        wait_until(lambda: os.path.exists(machine.path("state/rpmdb_lock.pid")), 30, "the lock of the other one")
        answer = ask(host, "PackageInstall", package="story-tiny")
        assert answer["error_code"] == "COMMAND_FAILED" and answer["reason"] == "lock_busy", answer
        assert "story-tiny 1.0-1" not in machine.installed()
        host.send({"type": "SafeCommand", "id": "again", "timeout": 120, "retries": 10,
                   "command_type": {"action": "PackageInstall", "package": "story-tiny"}})
        answer = host.response("again", 120)
    finally:
        other.join()
    assert answer["success"] and answer["attempts"] > 1, answer
    assert machine.installed() == {"story-tiny 1.0-1", "story-slow 1.0-1"}


tap.main(globals())
