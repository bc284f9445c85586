# SPDX-License-Identifier: MIT
"""Packages, updates, health and cleanup in a real Debian: real packages from a repository made here come, grow and go, and a post-installation
script that takes its time holds up nothing else. What the agent says is compared with what dpkg-query, apt-cache and df say."""

import contextlib
import itertools
import time

from agent_guest import configured, schema
from agent_guest import host as connected
from guest import wait_for
from repository import PLACE, publish, repository, unpack
from stories import story

numbers = itertools.count(1)

CONFIG = "[commands]\nallow = observe control packages power\nqueue_size = 100\n"


@contextlib.contextmanager
def host(guest):
    """A host of a guest whose owner lets the privileged executor work."""
    guest.sh("systemctl start infiniservice-exec.socket")
    try:
        with connected(guest) as port:
            yield port
    finally:
        guest.run("systemctl stop infiniservice-exec.socket infiniservice-exec.service", 20)


def ask(port, action, timeout_s=120, **parameters):
    answer = port.ask(action, "p%d" % next(numbers), timeout_s, **parameters)
    if answer["success"]:
        schema.check_data(action, answer["data"])
    return answer


def data_of(port, action, timeout_s=120, **parameters):
    answer = ask(port, action, timeout_s, **parameters)
    assert answer["success"], answer
    return answer["data"]


def version(guest, name):
    return guest.sh("dpkg-query -W -f '${db:Status-Status} ${Version}' %s 2>/dev/null || true" % name).strip()


@story(limit_s=240)
def a_package_is_found_installed_updated_listed_and_removed(guest):
    with repository(guest, ("story-tiny", "1.0", "true")), configured(guest, CONFIG), host(guest) as port:
        found = data_of(port, "PackageSearch", query="story-tiny")["packages"]
        assert [(row["name"], row["version"], row["installed"]) for row in found] == [("story-tiny", "1.0", False)], found
        assert ask(port, "PackageRemove", package="story-tiny")["error_code"] == "NOT_FOUND"
        answer = ask(port, "PackageInstall", 300, package="story-tiny")
        assert answer["success"] and answer["data"] is None and answer["exit_code"] == 0, answer
        assert "story-tiny" in answer["stdout"], answer
        assert version(guest, "story-tiny") == "installed 1.0"
        listed = {(row["name"], row["version"]) for row in data_of(port, "PackageList")["packages"]}
        want = guest.sh("dpkg-query -W -f '${Package} ${Version} ${db:Status-Status}\\n' | sed -n 's/ installed$//p'").splitlines()
        assert listed == {tuple(line.split()) for line in want}
        publish(guest, ("story-tiny", "1.1", "true"))
        update = [row for row in data_of(port, "CheckLinuxUpdates", 300)["pending_updates"] if row["package_name"] == "story-tiny"]
        assert [(row["current_version"], row["available_version"], row["is_security"]) for row in update] == [("1.0", "1.1", False)], update
        size = data_of(port, "EstimateUpdateSize", app_id="story-tiny")["size_bytes"]
        assert size == int(guest.sh("stat -c %%s %s/story-tiny_1.1_all.deb" % PLACE)), size
        assert data_of(port, "CheckSpecificAppUpdates", app_id="story-tiny")["new_version"] == "1.1"
        assert ask(port, "PackageUpdate", 300, package="story-tiny")["success"]
        assert version(guest, "story-tiny") == "installed 1.1"
        events = data_of(port, "GetLinuxUpdateHistory", 300, days=1)["history"]
        mine = [(event["action"], event["version"]) for event in reversed(events) if event["package_name"] == "story-tiny"]
        assert mine == [("install", "1.0"), ("upgrade", "1.1")], mine
        assert ask(port, "PackageRemove", 300, package="story-tiny")["success"]
        assert version(guest, "story-tiny") != "installed 1.1"


@story(limit_s=240)
def the_whole_system_is_brought_up_to_date(guest):
    with repository(guest, ("story-tiny", "1.0", "true")), configured(guest, CONFIG), host(guest) as port:
        unpack(guest, "story-tiny")
        publish(guest, ("story-tiny", "2.0", "true"))
        data = data_of(port, "UpdateSystemSoftware", 600)
        assert data["updated"] == ["story-tiny"], data
        assert data["reboot_required"] is False
        assert version(guest, "story-tiny") == "installed 2.0"
        assert data_of(port, "UpdateSystemSoftware", 600, package="story-tiny")["updated"] == []
        assert ask(port, "UpdateSystemSoftware", 600, package="no-such-package")["error_code"] == "NOT_FOUND"


@story(limit_s=300)
def an_installation_that_takes_its_time_delays_nothing_else(guest):
    slow = ("story-slow", "1.0", "sleep 20")
    queued = [("story-q%d" % i, "1.0", "true") for i in range(4)]
    with repository(guest, slow, *queued), configured(guest, CONFIG + "[timers]\nmetrics_interval_ms = 1000\n"), host(guest) as port:
        begin = time.monotonic()
        port.send({"type": "SafeCommand", "id": "slow", "command_type": {"action": "PackageInstall", "package": "story-slow"}, "timeout": 300})
        for name, _, _ in queued:
            port.send({"type": "SafeCommand", "id": name, "command_type": {"action": "PackageInstall", "package": name}, "timeout": 300})
        wait_for(lambda: guest.run("pgrep -f 'sleep 2[0]'").status == 0, 40, 0.2, "the script of the package runs")
        took, answered, samples, seen = [], set(), [], time.monotonic()
        while time.monotonic() - seen < 16:
            asked = time.monotonic()
            assert port.ask("SystemInfo", "s%d" % next(numbers))["success"]
            took.append(time.monotonic() - asked)
            port.keep_alive(next(numbers))
            message = port.expect("metrics", 5)
            samples.append(message["seq"])
        # An emulated guest shares this machine's two CPUs with others: the median is the agent's, the worst is the machine's.
        assert sorted(took)[len(took) // 2] < 0.05, sorted(took)
        assert len(samples) >= 8
        while len(answered) < 1 + len(queued):
            answer = port.expect("response", 200)
            assert answer["id"] not in answered and answer["success"], answer
            answered.add(answer["id"])
        assert time.monotonic() - begin >= 20
        assert all(version(guest, name) == "installed 1.0" for name, _, _ in (slow, *queued))


@story(limit_s=120)
def a_lock_that_somebody_else_holds_is_told_as_such(guest):
    hold = ("exec perl -e 'use Fcntl; open(F,\">>\",\"/var/lib/dpkg/lock-frontend\"); my $l=pack(\"s s l! l! i\",F_WRLCK,0,0,0,0);"
            "fcntl(F,F_SETLKW,$l) or die; open(H,\">\",\"/run/story-held\"); close(H); for (1..300) { last unless -e \"/run/story-held\"; select(undef,undef,undef,0.2) }'")
    with repository(guest, ("story-tiny", "1.0", "true")), configured(guest, CONFIG), host(guest) as port:
        release = guest.background(hold, 90)
        guest.wait("test -e /run/story-held", 20)
        try:
            answer = ask(port, "PackageInstall", 60, package="story-tiny")
        finally:
            guest.sh("rm /run/story-held")
        assert answer["error_code"] == "COMMAND_FAILED" and answer["reason"] == "lock_busy", answer
        assert version(guest, "story-tiny") == ""
        assert release().status == 0
        assert ask(port, "PackageInstall", 120, package="story-tiny")["success"]


@story(limit_s=120)
def a_farm_of_links_in_tmp_costs_the_cleanup_nothing_outside(guest):
    guest.sh("""mkdir -p /root/precious /tmp/farm/deep /mnt/other /tmp/farm/bound /tmp/farm/mounted
        echo keep >/root/precious/file; echo keep >/mnt/other/file
        ln -s /root/precious /tmp/farm/dir; ln -s /root/precious/file /tmp/farm/file; ln -s / /tmp/farm/root
        ln -s ../../root/precious /tmp/farm/up; ln -s /proc/self/root /tmp/farm/magic
        ln /root/precious/file /tmp/farm/hard 2>/dev/null || true
        mount --bind /mnt/other /tmp/farm/bound; mount -t tmpfs none /tmp/farm/mounted; echo keep >/tmp/farm/mounted/file
        echo old >/tmp/farm/deep/old; echo young >/tmp/farm-young""")
    try:
        with configured(guest, CONFIG), host(guest) as port:
            # The change of an inode cannot be set back: old is made by asking for it, the clock stays as it is.
            data = data_of(port, "CleanTemporaryFiles", dry_run=True, targets=["tmp"])
            assert data["cleaned_items"] == [], data
            data_of(port, "DiskCleanup", targets=["tmp"])
            assert guest.sh("cat /tmp/farm/deep/old /tmp/farm-young") == "old\nyoung"
            guest.sh("/usr/libexec/infiniservice-exec clean --age-days 0 -- tmp", 30)
            assert guest.sh("cat /root/precious/file /mnt/other/file /tmp/farm/mounted/file") == "keep\nkeep\nkeep"
            assert guest.run("test -e /tmp/farm/deep || test -L /tmp/farm/root").status != 0
    finally:
        guest.run("umount /tmp/farm/bound /tmp/farm/mounted; rm -rf /tmp/farm /tmp/farm-young /root/precious /mnt/other")


@story(limit_s=120)
def the_health_of_the_guest_is_told(guest):
    guest.put("/run/systemd/system/story-broken.service", "[Service]\nExecStart=/bin/false\n")
    guest.run("systemctl daemon-reload; systemctl start story-broken; touch /run/reboot-required")
    try:
        with configured(guest, CONFIG), host(guest) as port:
            data = data_of(port, "ValidateSystemHealth", 120)
            assert data["failed_units"]["status"] == "warning" and "story-broken.service" in data["failed_units"]["details"]["units"], data
            assert data["reboot_due"] is True and data["reboot_required"]["status"] == "warning"
            assert data["overall_health"] in ("Warning", "Critical")
            guest.run("systemctl reset-failed; rm /run/reboot-required")
            # after a change of mounts, how full they are is known with the next sample
            data = wait_for(lambda: (lambda d: "usage_percent" in d["disk_space"]["details"] and d)(
                data_of(port, "RunAllHealthChecks", 120)), 40, 1, "how full the disk is")
            assert data["failed_units"]["status"] == "passed" and data["reboot_required"]["status"] == "passed", data
            used = int(guest.sh("df --output=pcent / | tail -1").strip().rstrip("%"))
            assert abs(data["disk_space"]["details"]["usage_percent"] - used) <= 2 or data["disk_space"]["details"]["fullest_mount_point"] != "/"
            assert "not enough" in data_of(port, "CheckResourceOptimization")["message"]
    finally:
        guest.run("systemctl reset-failed; rm -f /run/reboot-required /run/systemd/system/story-broken.service; systemctl daemon-reload")


@story(limit_s=240)
def a_changed_file_is_found_by_the_integrity_check(guest):
    with repository(guest, ("story-tiny", "1.0", "true")), configured(guest, CONFIG), host(guest) as port:
        unpack(guest, "story-tiny")
        guest.sh("echo changed >/usr/bin/story-tiny")
        data = data_of(port, "CheckSystemIntegrity", 200)
        changed = {row["path"]: row for row in data["changed_files"]}
        if "/usr/bin/story-tiny" not in changed:  # without md5sums in the package only what is missing can be told
            guest.sh("rm /usr/bin/story-tiny")
            changed = {row["path"]: row for row in data_of(port, "CheckSystemIntegrity", 200)["changed_files"]}
        assert "/usr/bin/story-tiny" in changed, list(changed)[:20]


@story(limit_s=60)
def a_golden_image_can_be_planned_without_being_made(guest):
    before = guest.sh("cat /etc/machine-id; ls /etc/ssh 2>/dev/null; true")
    with configured(guest, CONFIG), host(guest) as port:
        data = data_of(port, "PrepareGoldenImage", 60, dry_run=True)
        assert "/etc/machine-id" in data["cleaned_items"] and data["shutdown_scheduled"] is False, data
    assert guest.sh("cat /etc/machine-id; ls /etc/ssh 2>/dev/null; true") == before
