# SPDX-License-Identifier: MIT
"""The package comes: without a port, with one, under load over the version before it. Each story goes on from what the
one before left; the others of this folder are about what is upgraded here."""

import time

from agent_guest import AGENT_NODE, AgentPort, configured, host, main_pid, restarts
from guest import SLOW
from owners import check_files
from package_guest import (BEFORE, HOST, LOG, NOW, Load, allow_starts, dpkg, files, install, is_active, more_samples, property_of,
                           samples, story)
from stories import remark
from stories import story as bare

there = {}


def remember(guest):
    """What there was before the package: what is there after its purge."""
    there["files"] = files(guest)
    there["users"] = guest.sh("cat /etc/passwd /etc/group /etc/shadow /etc/gshadow")
    there["foreign"] = foreign(guest)


def foreign(guest):
    """Whatever bears the agent's name in the places that others write to, too."""
    return guest.run("find /run /tmp /var/tmp /var/lib/systemd /var/cache /etc/systemd -name '*infiniservice*' | sort")


def nothing_is_left(guest):
    assert not guest.run("pgrep -a infiniservice")
    left = files(guest) ^ there["files"]
    assert not left, left
    assert guest.sh("cat /etc/passwd /etc/group /etc/shadow /etc/gshadow") == there["users"]
    assert foreign(guest) == there["foreign"], foreign(guest)
    assert property_of(guest, "LoadState") == "not-found"
    assert guest.sh("systemctl list-units --all --plain --no-legend '*infiniservice*'") == "", "the slices of its units are unloaded too"
    assert guest.sh("stat -L -c '%%U %%a' %s 2>/dev/null || echo unplugged" % AGENT_NODE) in ("root 600", "unplugged")


@bare(limit_s=60)
def installed_without_a_port_it_runs_and_logs_locally(guest):
    allow_starts(guest)
    remember(guest)
    guest.unplug()
    said = guest.sh("DEBIAN_FRONTEND=noninteractive apt-get -q -y install %s 2>&1" % NOW, 60)
    assert "error" not in said and "arning" not in said, said
    assert is_active(guest)
    guest.wait("grep -q '\"type\":\"metrics\"' %s/*.ndjson" % LOG, 5)
    assert property_of(guest, "ActiveState", "infiniservice-exec.socket") == "inactive"


@story(limit_s=60)
def purged_while_running_it_leaves_nothing(guest):
    if not there:
        return  # told alone: there is nothing to compare with
    dpkg(guest, "--purge infiniservice")
    nothing_is_left(guest)


@bare(limit_s=60)
def installed_with_the_port_present_it_talks_within_5_s(guest):
    """From the end of dpkg, which itself takes seconds here; from its beginning is a remark."""
    if guest.run("test -e " + AGENT_NODE).status != 0:
        guest.plug()
    guest.wait("test -e " + AGENT_NODE)
    assert guest.sh("stat -L -c '%%U %%a' %s" % AGENT_NODE) == "root 600"
    begin = time.monotonic()
    with AgentPort(guest.path("port1"), 20) as port:
        install(guest, BEFORE)
        installed = time.monotonic()
        port.expect("handshake")
        port.keep_alive(1)
        talking = time.monotonic()
    remark("dpkg took %.1f s, the first answer came %.1f s after it" % (installed - begin, talking - installed))
    assert talking - installed < 5
    assert guest.sh("stat -L -c '%%U:%%G %%a' %s" % AGENT_NODE) == "infiniservice:infiniservice 600"
    assert guest.sh("systemctl is-enabled infiniservice") == "enabled"
    assert guest.sh("systemctl is-enabled infiniservice-exec.socket || true") == "disabled"
    assert restarts(guest) == 0


@story(limit_s=60)
def every_file_it_makes_has_the_owner_and_mode_it_should(guest):
    with host(guest) as port:
        assert port.ask("SystemInfo", "one command, so that all there is is there")["success"]
    check_files(guest, there.get("files"))


@story(limit_s=60)
def what_is_shown_to_a_manager_is_true(guest):
    with host(guest) as port:
        port.keep_alive(1)
        assert "samples" in property_of(guest, "StatusText")
    assert property_of(guest, "Type") == "notify"
    mark = property_of(guest, "ActiveEnterTimestampMonotonic")
    guest.sh("systemctl reload infiniservice")
    assert property_of(guest, "ActiveEnterTimestampMonotonic") == mark
    assert guest.sh("sed -n 's/^CapEff:\\s*//p;s/^CapBnd:\\s*//p;s/^NoNewPrivs:\\s*//p' /proc/%d/status" %
                    main_pid(guest)).split() == ["0000000000000000", "0000000000000000", "1"]


# ------------------------------------------------------------------------------------------------------- upgrading

SLEEPING = {"type": "UnsafeCommand", "raw_command": "sleep 2; echo slept", "timeout": 30}


@story(limit_s=180)
def an_upgrade_under_load_marks_the_gap_and_loses_nothing_else(guest):
    with configured(guest, "[timers]\nmetrics_interval_ms = 100\n[commands]\nallow_unsafe = yes\nrun_as = infiniservice\n"):
        more_samples(guest, 3)
        pid = main_pid(guest)
        version = guest.sh("dpkg-query -W -f '${Version}' infiniservice")
        with AgentPort(guest.path("port1"), 30) as port:
            port.expect("handshake")
            load = Load(port, "load", 0.04)
            upgrade = guest.background("DEBIAN_FRONTEND=noninteractive dpkg -i %s 2>&1" % NOW, 100)
            begin = time.monotonic()
            while not load.handshakes and time.monotonic() - begin < 100 * SLOW:
                load.one(**(SLEEPING if len(load.sent) % 25 == 0 else {}))
            for _ in range(20):
                load.one()
            said = upgrade()
            assert said.status == 0, said
            load.finish()
        remark("%d commands were sent in %.1f s" % (len(load.sent), time.monotonic() - begin))
        assert main_pid(guest) != pid and guest.sh("dpkg-query -W -f '${Version}' infiniservice") != version
        logged = samples(guest)
    codes = {answer["error_code"] for (answer,) in load.answers.values()}
    assert codes <= {None, "SHUTTING_DOWN"}, codes
    seqs = [seq for seq, _ in logged]
    assert seqs == list(range(seqs[0], seqs[0] + len(seqs))), "no hole and no double: %s" % seqs
    assert [gap for _, gap in logged].count("start") == 2 and logged[0][1] == "start", logged


@story(limit_s=60)
def after_the_upgrade_every_file_still_has_the_owner_and_mode_it_should(guest):
    check_files(guest, there.get("files"))


HOME_OF_0_1_0 = """set -e
systemctl stop infiniservice
usermod -d /var/lib/infiniservice infiniservice
cd /var/lib/infiniservice
mkdir -p .config/systemd/user/default.target.wants .local/share/systemd/user
printf '[Service]\\nType=oneshot\\nExecStart=/bin/touch /run/user/%s/planted\\n' "$(id -u infiniservice)" >.config/systemd/user/planted.service
ln -s ../planted.service .config/systemd/user/default.target.wants/planted.service
ln -s /etc .local/share/out
mkfifo .config/fifo
chown -hR infiniservice:infiniservice .config .local
mkdir -p /var/lib/systemd/linger
touch /var/lib/systemd/linger/infiniservice
printf '%s\\n' 8f3c8f3c8f3c8f3c8f3c8f3c8f3c8f3c >/etc/infiniservice/secret
chown root:infiniservice /etc/infiniservice/secret
chmod 640 /etc/infiniservice/secret
systemctl start infiniservice
"""


def planted_unit_ran(guest):
    """Whether a user's manager of the agent's uid, started as root can, runs what lies in its home."""
    uid = guest.sh("id -u infiniservice")
    guest.run("timeout 100 systemctl start user@%s.service" % uid, 120)
    ran = guest.run("test -e /run/user/%s/planted" % uid).status == 0
    guest.run("systemctl stop user@%s.service user-runtime-dir@%s.service" % (uid, uid), 60)
    return ran


@story(limit_s=400)
def an_upgrade_from_0_1_0_takes_the_home_the_units_planted_in_it_and_the_shared_secret_away(guest):
    guest.put("/var/tmp/home.sh", HOME_OF_0_1_0)
    guest.sh("sh /var/tmp/home.sh", 60)
    try:
        remark("with 0.1.0's home a planted unit %s" % ("ran" if planted_unit_ran(guest) else "did not run here: no manager for the user"))
        guest.sh("mkdir -p /var/lib/systemd/linger; touch /var/lib/systemd/linger/infiniservice")
        pid = main_pid(guest)
        said = dpkg(guest, "-i " + NOW)
        assert "usermod" not in said, said
        uid = guest.sh("id -u infiniservice")
        assert guest.sh("getent passwd infiniservice | cut -d: -f6-") == "/nonexistent:/usr/sbin/nologin"
        assert guest.run("ls -d /var/lib/infiniservice/.config /var/lib/infiniservice/.local /var/lib/systemd/linger/infiniservice 2>/dev/null") == ""
        assert guest.sh("stat -c '%U:%G %a' /etc/infiniservice/secret") == "infiniservice:infiniservice 600"
        assert is_active(guest) and main_pid(guest) != pid
        assert "can be read by" not in guest.sh("journalctl -u infiniservice --no-pager -o cat _PID=%d" % main_pid(guest))
        assert not planted_unit_ran(guest), uid
    finally:
        guest.sh("rm -f /etc/infiniservice/secret /var/tmp/home.sh; systemctl restart infiniservice", 60)


@story(limit_s=60)
def a_stop_by_the_administrator_survives_an_upgrade(guest):
    guest.sh("systemctl disable --now infiniservice 2>/dev/null")
    said = install(guest)
    assert not is_active(guest), said
    assert guest.sh("systemctl is-enabled infiniservice || true") == "disabled"
    guest.sh("systemctl enable --now infiniservice 2>/dev/null")
    with host(guest) as port:
        port.keep_alive(3)


@bare(limit_s=60)
def the_package_for_hosts_installs_runs_and_goes(guest):
    before, users = files(guest), guest.sh("cat /etc/passwd /etc/group /etc/shadow /etc/gshadow")
    dpkg(guest, "-i " + HOST)
    assert guest.sh("infinihost --version") == "infinihost " + guest.sh("dpkg-query -W -f '${Version}' infiniservice-host")
    guest.sh("getent passwd infinihost && getent group infinihost-view")
    dpkg(guest, "--purge infiniservice-host")
    assert files(guest) == before, files(guest) ^ before
    assert guest.sh("cat /etc/passwd /etc/group /etc/shadow /etc/gshadow") == users
