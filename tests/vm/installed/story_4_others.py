# SPDX-License-Identifier: MIT
"""What others in the guest may do to the agent: an ordinary user nothing at all, a member of its group look, and neither wear it out."""

import json
import time

from agent_guest import AGENT_NODE, configured, host, main_pid, resources, restarts
from guest import wait_for
from package_guest import LOG, as_nobody, property_of, story
from stories import remark

# A client of the local socket: each argument is a line, each answer is printed. (The guest has no other language.)
ASK = r"""exec perl -MIO::Socket::UNIX -e '
$SIG{ALRM} = sub { die "no answer\n" }; alarm %d;
my $s = IO::Socket::UNIX->new(Peer => $ARGV[0]) or die "$ARGV[0]: $!\n"; shift;
for (@ARGV) { print $s "$_\n"; $s->flush; my $l; do { $l = <$s> // die "cut off\n" } until $l =~ /"type":"(response|error|script_completion)"/; print $l }' """
SOCKET = "/run/infiniservice/agent.sock"


def ask(guest, *messages, group=True, path=SOCKET, wait_s=15):
    words = " ".join("'%s'" % json.dumps(message) for message in messages)
    return as_nobody(guest, ASK % wait_s + path + " " + words, group, wait_s + 15)


# --------------------------------------------------------------------------------------------------- files and port

@story()
def an_ordinary_user_cannot_open_the_port(guest):
    for group in (False, True):
        for way in ("<>", "<", ">"):
            said = as_nobody(guest, "exec 3%s%s" % (way, AGENT_NODE), group)
            assert said.status != 0 and "Permission denied" in said, (group, way, said)


@story()
def an_ordinary_user_cannot_read_the_log_but_a_member_of_the_group_can(guest):
    said = as_nobody(guest, "ls %s; cat %s/*" % (LOG, LOG))
    assert said.status != 0 and "Permission denied" in said and '"type"' not in said, said
    said = as_nobody(guest, "infinictl log --json")
    assert said.status != 0 and "usermod -aG infiniservice" in said, said
    said = as_nobody(guest, "infinictl log --json | tail -n 1", True)
    assert json.loads(said)["type"] == "metrics"


@story()
def neither_can_write_to_any_file_of_the_agent(guest):
    places = ("$(dpkg -L infiniservice | grep infini) /etc/infiniservice /var/lib/infiniservice /var/log/infiniservice /run/infiniservice* "
              "/etc/systemd/system/*/infiniservice* /var/lib/systemd/deb-systemd-helper-enabled/*infiniservice*")
    guest.sh("systemctl start infiniservice-exec.socket")
    try:
        for group in (False, True):
            found = as_nobody(guest, "find %s -maxdepth 3 ! -type l -writable 2>/dev/null" % places, group)
            allowed = [SOCKET] if group else []  # to write to a socket is to connect to it
            assert sorted(set(found.split())) == allowed, (group, found)
        said = as_nobody(guest, "touch /run/infiniservice/new /var/log/infiniservice/new /etc/infiniservice/conf.d/99-new.conf;"
                         "rm -f /run/infiniservice/latest.json /run/infiniservice/agent.sock; mv /run/infiniservice/latest.json /tmp/mine", True)
        assert said.count("denied") >= 5, said
    finally:
        guest.sh("systemctl stop infiniservice-exec.socket")


# ------------------------------------------------------------------------------------------------------ having it do

WISHES = (
    {"type": "UnsafeCommand", "raw_command": "id >/tmp/was-run", "timeout": 5},
    {"type": "SafeCommand", "command_type": {"action": "ServiceControl", "service": "dbus", "operation": "restart"}, "timeout": 5},
    {"type": "SafeCommand", "command_type": {"action": "ProcessKill", "pid": 2}, "timeout": 5},
    {"type": "SafeCommand", "command_type": {"action": "PackageInstall", "package": "hello"}, "timeout": 5},
    {"type": "SafeCommand", "command_type": {"action": "DiskCleanup"}, "timeout": 5},
    {"type": "SafeCommand", "command_type": {"action": "RebootSystem"}, "timeout": 5},
    {"type": "SafeCommand", "command_type": {"action": "PrepareGoldenImage"}, "timeout": 5},
    {"type": "SetConfig", "values": {"timers.metrics_interval_ms": 1000}},
)
EVERYTHING = "[commands]\nallow = observe, control, packages, power\nallow_unsafe = yes\nrun_as = root\n"


@story(limit_s=60)
def a_member_of_the_group_may_look_and_have_nothing_done(guest):
    """Not even where the host may do everything and the executor is on."""
    guest.sh("systemctl start infiniservice-exec.socket")
    try:
        with configured(guest, EVERYTHING), host(guest) as port:
            wishes = [dict(wish, id="wish%d" % number) for number, wish in enumerate(WISHES)]
            looks = [{"type": "SafeCommand", "id": "look", "command_type": {"action": "SystemInfo"}}, {"type": "Status", "id": "status"}]
            answers = [json.loads(line) for line in ask(guest, *wishes, *looks).splitlines()]
            assert [answer.get("id") for answer in answers] == [wish["id"] for wish in wishes] + ["look", "status"], answers
            assert {answer["error_code"] for answer in answers[:len(wishes)]} == {"POLICY_DENIED"}, answers
            assert all(answer["success"] for answer in answers[len(wishes):]), answers
            script = {"type": "pending_scripts_response", "scripts": [{"execution_id": "x", "script_content": "id >/tmp/was-run", "shell": "sh"}]}
            batch = {"type": "CommandBatch", "id": "batch", "commands": [dict(WISHES[0], id="member")]}
            said = ask(guest, script, {"type": "Status", "id": "between"}, batch)
            refused = [json.loads(line) for line in said.splitlines()]
            assert refused[0]["details"]["code"] == refused[2]["error_code"] == "POLICY_DENIED" and refused[1]["success"], said
            assert "script_completion" not in [message["type"] for message in port.drain(0.5, 3)], "the host hears nothing of it"
            assert guest.run("test -e /tmp/was-run").status != 0
            assert guest.sh("systemctl list-units --all --plain --no-legend 'infiniservice-cmd-*'") == ""
    finally:
        guest.sh("systemctl stop infiniservice-exec.socket infiniservice-exec.service")


LOOKS = ("CheckSystemIntegrity", "RunAllHealthChecks", "CheckLinuxSecurity", "PackageList", "ServiceList", "CheckFirewallStatus")


@story(limit_s=400)
def what_a_member_of_the_group_asks_for_starts_nothing_of_roots(guest):
    """With everything allowed and the executor switched on; the same question of the host's reaches it."""
    guest.sh("systemctl start infiniservice-exec.socket")
    try:
        with configured(guest, EVERYTHING), host(guest, 200) as port:
            for action in LOOKS:
                wish = {"type": "SafeCommand", "id": action, "command_type": {"action": action}, "timeout": 90}
                answer = json.loads(ask(guest, wish, wait_s=120))
                assert answer["id"] == action and answer.get("error_code") in (None, "COMMAND_FAILED", "COMMAND_TIMEOUT"), answer
                assert guest.sh("systemctl show -p ActiveState --value infiniservice-exec.service; "
                                "systemctl list-units --all --plain --no-legend 'infiniservice-cmd-*'") == "inactive", action
            port.ask("CheckSystemIntegrity", "host", 150)
            assert property_of(guest, "ActiveState", "infiniservice-exec.service") == "active"
    finally:
        guest.sh("systemctl stop infiniservice-exec.socket infiniservice-exec.service")


@story()
def a_member_of_the_group_cannot_read_the_secret_but_the_newest_sample(guest):
    guest.sh("umask 077; echo 8f3c8f3c8f3c8f3c8f3c8f3c >/etc/infiniservice/secret; chown infiniservice /etc/infiniservice/secret")
    try:
        said = as_nobody(guest, "cat /etc/infiniservice/secret", True)
        assert said.status != 0 and "Permission denied" in said and "8f3c" not in said, said
    finally:
        guest.sh("rm -f /etc/infiniservice/secret")
    assert json.loads(as_nobody(guest, "cat /run/infiniservice/latest.json", True))["type"] == "metrics"
    said = as_nobody(guest, "cat /run/infiniservice/latest.json /run/infiniservice-root/product_uuid")
    assert said.count("Permission denied") == 2 and "metrics" not in said, said


@story()
def an_ordinary_user_cannot_speak_to_the_agent(guest):
    assert "Permission denied" in ask(guest, {"type": "Status", "id": "s"}, group=False)
    said = as_nobody(guest, "infinictl status")
    assert said.status != 0 and "usermod -aG infiniservice" in said, said
    assert "samples" in as_nobody(guest, "infinictl status", True)


@story()
def neither_can_speak_to_the_executor_or_for_the_agent_to_the_manager(guest):
    guest.sh("systemctl start infiniservice-exec.socket")
    try:
        for group in (False, True):
            said = as_nobody(guest, "perl -MSocket -e 'socket(S, PF_UNIX, SOCK_SEQPACKET, 0); "
                             "connect(S, sockaddr_un(\"/run/infiniservice-exec/exec.sock\")) or die \"$!\"'", group)
            assert said.status != 0 and "Permission denied" in said, (group, said)
    finally:
        guest.sh("systemctl stop infiniservice-exec.socket infiniservice-exec.service")
    pid, was = main_pid(guest), restarts(guest)
    said = as_nobody(guest, "kill -HUP %d; kill -9 %d; systemctl --no-ask-password restart infiniservice;"
                     "systemctl --no-ask-password start infiniservice-exec.socket; systemctl --no-ask-password reload infiniservice" % (pid, pid), True)
    assert said.count("not permitted") == 2 and main_pid(guest) == pid and restarts(guest) == was, said
    assert property_of(guest, "ActiveState", "infiniservice-exec.socket") == "inactive"
    status = property_of(guest, "StatusText")
    as_nobody(guest, "NOTIFY_SOCKET=/run/systemd/notify systemd-notify --pid=%d STATUS=mine WATCHDOG=trigger" % pid, True)
    assert "mine" not in property_of(guest, "StatusText") and status and main_pid(guest) == pid


# --------------------------------------------------------------------------------------------------------- wearing out

def crowd(body):
    """Many clients of one user for a while. `@s` are those that got a connection."""
    return r"""exec perl -MIO::Socket::UNIX -e '
$SIG{PIPE} = "IGNORE"; my @s; my $end = time + 4;
sub more { my $s = IO::Socket::UNIX->new(Peer => "%s"); push @s, $s if $s; $s }
%s'""" % (SOCKET, body)


CROWDS = {
    "connections that say nothing": "more() for 1..200; sleep 1 while time < $end",
    "connections that come and go": "while (time < $end) { @s = (); more() for 1..20 }",
    "half lines": "more() for 1..200; while (time < $end) { for (@s) { $_->blocking(0); syswrite $_, \"x\" x 4000 } select undef, undef, undef, 0.01 }",
    "floods of lines": "more() for 1..200; my $l = \"{\\\"type\\\":\\\"Status\\\",\\\"id\\\":\\\"f\\\"}\\n\" x 20;"
                       "while (time < $end) { for (@s) { $_->blocking(0); syswrite $_, $l } }",
    "floods of bad lines that are read": "more() for 1..200; while (time < $end) { for (@s) { $_->blocking(0); syswrite $_, \"bad\\n\" x 500; sysread $_, my $b, 65536 } }",
    "readers that do not read": "more() for 1..200; for (@s) { $_->blocking(0); syswrite $_, \"{\\\"type\\\":\\\"Subscribe\\\",\\\"id\\\":\\\"s\\\","
                                "\\\"topics\\\":[\\\"metrics\\\",\\\"events\\\",\\\"commands\\\"]}\\n\" } sleep 1 while time < $end",
}


@story(limit_s=150)
def a_member_of_the_group_cannot_wear_it_out(guest):
    """Meanwhile the host is answered and root has its look; afterwards nothing is kept."""
    pid, was = main_pid(guest), restarts(guest)
    with configured(guest, "[timers]\nmetrics_interval_ms = 500\n"), host(guest) as port:
        before = resources(guest)
        for name, body in CROWDS.items():
            guest.put("/var/tmp/crowd.sh", crowd(body))
            begin = time.monotonic()
            end = guest.background("setpriv --reuid 65534 --regid 65534 --groups $(id -g infiniservice) sh /var/tmp/crowd.sh 2>&1", 40)
            worst = 0.0
            while time.monotonic() - begin < 3:
                asked = time.monotonic()
                port.keep_alive(int(asked * 1000), 5)
                worst = max(worst, time.monotonic() - asked)
            assert guest.sh("infinictl status | head -n 1", 10), name
            fds, dirty = resources(guest)
            clients = port.status()["local"]["clients"]
            said = end()
            assert said.status == 0, (name, said)
            remark("%s: host answered within %.2f s, %d clients, %d fds, %d kB" % (name, worst, clients, fds, dirty))
            assert clients <= 18 and fds <= before[0] + 32 and dirty < before[1] + 24 * 1024, (name, clients, fds, dirty, before)
        wait_for(lambda: port.status()["local"]["clients"] == 0, 5, 0.2, "all clients are gone")
        assert resources(guest)[0] <= before[0] + 2, (resources(guest), before)
    assert main_pid(guest) == pid and restarts(guest) == was
