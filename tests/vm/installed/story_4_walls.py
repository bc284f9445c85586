# SPDX-License-Identifier: MIT
"""What a host that may control services, and an agent that somebody else has taken over, can have done: nothing that is more than that."""

import struct
import time

from agent_guest import AGENT_NODE, configured, host
from guest import wait_for
from package_guest import story

CONTROL = "[commands]\nallow = observe, control\ndeny_units = story-owners*\n"
TOUCHED = "/run/was-here"
UNITS = {
    "story-real.service": "[Service]\nType=oneshot\nExecStart=/bin/touch %s\nRemainAfterExit=yes\n[Install]\nAlias=story-alias.service\n" % TOUCHED,
    "story-shell.timer": "[Timer]\nOnActiveSec=1\nUnit=debug-shell.service\n",
    "story-reboot.path": "[Path]\nPathExists=/etc\nUnit=reboot.target\n",
    "story-needs.service": "[Unit]\nRequires=emergency.service\n[Service]\nExecStart=/bin/true\n",
    "story-owners.service": "[Service]\nExecStart=/bin/touch %s\n" % TOUCHED,
    "story-broken.service": "[Service]\nRestart=no\n",
    "story@.service": "[Service]\nExecStart=/bin/touch %s\n" % TOUCHED,
    "story-plain.service": "[Service]\nExecStart=/bin/sleep 3900\n[Install]\nWantedBy=multi-user.target\n",
}
ATTACK = "infiniservice-port@zz\\x3btouch\\x20%s.service" % TOUCHED.replace("/", "-")
# What it is named, and what speaks against it. All verbs are tried on each.
DENIED = {
    ATTACK: "InfiniService",
    "infiniservice-port@vport1p1.service": "InfiniService",
    "infiniservice.service": "InfiniService",
    "infiniservice-exec.socket": "InfiniService",
    "debug-shell.service": "shell",
    "rescue.service": "shell",
    "user@0.service": "session",
    "user-runtime-dir@0.service": "session",
    "getty@tty3.service": "login",
    "modprobe@dccp.service": "kernel",
    "systemd-nspawn@x.service": "container",
    "systemd-reboot.service": "turning",
    "story@\\x2e\\x2e.service": "escape",
    "story-shell-alias.service": "debug-shell.service",
    "story-shell.timer": "debug-shell.service",
    "story-reboot.path": "reboot.target",
    "story-needs.service": "emergency.service",
    "story-owners.service": "deny_units",
}
VERBS = ("start", "restart", "enable", "stop", "disable")

# An executor's client: each argument is a packet in hexadecimal, each answer is printed in it. (The guest has no other language.)
SPEAK = r"""exec perl -MSocket -e '
$SIG{ALRM} = sub { die "no answer\n" }; alarm 20;
socket(S, PF_UNIX, SOCK_SEQPACKET, 0) or die; connect(S, sockaddr_un("/run/infiniservice-exec/exec.sock")) or die "connect: $!\n";
for (@ARGV) { send(S, pack("H*", $_), 0) or die "send: $!\n"; defined recv(S, my $b, 4096, 0) or die "recv: $!\n"; print unpack("H*", $b), "\n" }' """
VERSION = 5  # this and the next as in agent/runner/protocol.h
DEEDS = {"start": 1, "stop": 2, "restart": 3, "enable": 4, "disable": 5}
GROUP_CONTROL, REFUSED, ANSWERED, STAGE_UNIT = 1, 67, 68, 8
NEVER = (1 << 64) - 1


def deed(number, verb, unit, action="ServiceControl"):
    strings = action.encode() + b"\0" + unit.encode() + b"\0"
    head = struct.pack("=HHIQQQIIII", VERSION, 4, 48 + len(strings), number, NEVER, NEVER, DEEDS[verb], GROUP_CONTROL, len(strings), 0)
    return (head + strings).hex()


def speak(guest, packets):
    """As the agent's uid, past the agent: (op, error, stage, words) of each answer."""
    guest.put("/var/tmp/speak.sh", SPEAK + " ".join(packets))
    said = guest.sh("chmod 755 /var/tmp/speak.sh; setpriv --reuid infiniservice --regid infiniservice --clear-groups sh /var/tmp/speak.sh", 30)
    answers = []
    for line in said.splitlines():
        packet = bytes.fromhex(line)
        _, op, _, _, _, error, stage, _, _, text, _ = struct.unpack("=HHIQiiiiQII", packet[:48])
        answers.append((op, error, stage, packet[48:48 + text].rstrip(b"\0").decode()))
    return answers


class Ground:
    """Units to try things with, the executor on, and control granted."""

    def __init__(self, guest):
        self.guest = guest

    def __enter__(self):
        for name, text in UNITS.items():
            self.guest.put("/etc/systemd/system/" + name, text)
        self.guest.sh("ln -sf /lib/systemd/system/debug-shell.service /etc/systemd/system/story-shell-alias.service; systemctl daemon-reload;"
                      "systemctl start infiniservice-exec.socket")
        self.before = self.changed()

    def __exit__(self, *_):
        self.guest.sh("systemctl stop infiniservice-exec.socket infiniservice-exec.service 'story*'; rm -f /etc/systemd/system/story* "
                      "/etc/systemd/system/*/story* %s; systemctl daemon-reload; systemctl start infiniservice" % TOUCHED)

    def changed(self):
        """What the attacks are after."""
        return self.guest.run("systemctl is-active debug-shell.service user@0.service rescue.service emergency.service getty@tty3.service; "
                              "systemctl is-enabled debug-shell.service infiniservice.service; ls %s /zz* 2>&1; find /etc/systemd -type l | sort" % TOUCHED)


@story(limit_s=150)
def a_host_that_may_control_services_gets_no_shell_no_session_and_nothing_of_ours(guest):
    ground = Ground(guest)
    with ground, configured(guest, CONTROL), host(guest) as port:
        for name, words in DENIED.items():
            for verb in ("start", "enable", "stop"):
                answer = port.ask("ServiceControl", "%s %s" % (verb, name[:100]), service=name, operation=verb)
                assert answer["error_code"] == "POLICY_DENIED" and answer["reason"] == "unit_denied", (name, verb, answer)
                assert words in answer["error"], (name, verb, answer)
            for action, parameters in (("RestartServices", {"service_name": name}),
                                       ("RunMaintenanceTask", {"task_type": "restart_services", "parameters": {"service_name": name}})):
                answer = port.ask(action, "%s %s" % (action, name[:80]), **parameters)
                assert answer["error_code"] == "POLICY_DENIED" and answer["reason"] == "unit_denied", (name, action, answer)
            assert port.ask("ServiceControl", "status " + name[:100], service=name, operation="status").get("reason") != "unit_denied"
        port.send({"type": "CommandBatch", "id": "batch", "commands": [
            {"type": "SafeCommand", "id": "member", "command_type": {"action": "ServiceControl", "service": "story-shell-alias", "operation": "start"}}]})
        assert port.response("member")["reason"] == "unit_denied"
        answer = port.ask("ServiceControl", "broken", service="story-broken", operation="start")
        assert not answer["success"] and answer["error_code"] == "COMMAND_FAILED", answer
        assert ground.changed() == ground.before
        # Ordinary units are what it may control, under any of their names.
        for number, (name, verb, state) in enumerate((("story-plain", "start", "active"), ("story-plain", "restart", "active"),
                                                      ("story-plain", "enable", "active"), ("story-plain", "disable", "active"),
                                                      ("story-plain", "stop", "inactive"), ("story-real", "start", "active"))):
            answer = port.ask("ServiceControl", "plain%d" % number, service=name, operation=verb)
            assert answer["success"] and answer["data"]["active_state"] == state, answer
        assert guest.run("test -e " + TOUCHED).status == 0
        assert port.ask("RestartServices", "plain restart", service_name="story-plain")["data"]["restarted"] == ["story-plain.service"]


@story(limit_s=120)
def an_agent_that_was_taken_over_gets_no_more_from_the_executor_itself(guest):
    """The same by a client that asks the executor directly, as the agent's user."""
    ground = Ground(guest)
    with ground, configured(guest, CONTROL):
        guest.sh("systemctl stop infiniservice")
        wishes = [(verb, name) for name in DENIED for verb in VERBS]
        answers = speak(guest, [deed(1 + number, verb, name) for number, (verb, name) in enumerate(wishes)])
        assert len(answers) == len(wishes), answers
        for (verb, name), (op, error, stage, words) in zip(wishes, answers):
            assert (op, error, stage) == (REFUSED, 13, STAGE_UNIT) and DENIED[name] in words, (verb, name, op, error, stage, words)
        assert ground.changed() == ground.before
        op, error, _, words = speak(guest, [deed(900, "start", "story-broken.service")])[0]
        assert op == ANSWERED and error != 0, words
        op, error, _, words = speak(guest, [deed(901, "start", "story-real.service")])[0]
        assert (op, error, words) == (ANSWERED, 0, "done"), words
        assert guest.run("test -e " + TOUCHED).status == 0
        # And no line of the journal is of its making.
        speak(guest, [deed(902, "start", "x\n<0>forged by the agent")])
        assert guest.sh("journalctl -b -o cat | grep -c '^forged by the agent' || true") == "0"
        assert "x\\x0a<0>forged" in guest.sh("journalctl -u infiniservice-exec -o cat -n 20 | tr -d '\\r'")
        guest.sh("systemctl start infiniservice")


LOOKED = "/run/story-looked"
EVERYTHING = "[commands]\nallow = observe, control, packages, power\nallow_unsafe = yes\n"


@story(limit_s=180)
def a_script_that_runs_as_somebody_is_readable_by_nobody_else(guest):
    """Not while it runs, by any name in /proc, /run or /tmp; and it runs as whom the host names, its presets being root."""
    guest.sh("systemctl start infiniservice-exec.socket; id story-reader >/dev/null 2>&1 || useradd -rM story-reader")
    try:
        with configured(guest, EVERYTHING), host(guest) as port:
            # It runs until both readers have looked, however long that takes them.
            content = "hidden_word=hunter%d; id -un; until test -e %s; do sleep 0.2; done; grep -c hidden_word $0" % (2, LOOKED)
            port.send({"type": "pending_scripts_response", "scripts": [
                {"execution_id": "walls", "script_content": content, "shell": "sh", "run_as": "nobody", "timeout_seconds": 200}]})
            wait_for(lambda: guest.run("pgrep -u nobody -f 'sh /proc/self/fd/[3]'").status == 0, 10, 0.1, "it runs")
            # A memfd is an ordinary file to test(1); whoever reads another's pipe or terminal waits there, or takes what is not theirs.
            guest.put("/var/tmp/look.sh", "grep -rls hunter[2] /proc/[0-9]*/cmdline /proc/[0-9]*/environ /run /tmp /var/tmp/infini* 2>/dev/null\n"
                      "for f in /proc/[0-9]*/fd/*; do [ -f $f ] && head -c 4096 $f 2>/dev/null | grep -q hunter[2] && echo $f; done; true")
            for reader in ("story-reader", "infiniservice"):
                found = guest.sh("setpriv --reuid %s --regid nogroup --clear-groups sh /var/tmp/look.sh" % reader, 60)
                assert not found, (reader, found)
            running = guest.sh("pgrep -u nobody -f 'sh /proc/self/fd/[3]'")
            guest.sh("[ -f /proc/%s/fd/3 ] && head -c 4096 /proc/%s/fd/3 | grep -q hunter2" % (running, running))  # root finds it so
            guest.sh("touch " + LOOKED)
            done = port.expect(lambda m: m["type"] == "script_completion" and m["execution_id"] == "walls", 20)
            assert (done["exit_code"], done["stdout"]) == (0, "nobody\n1\n"), done
            for preset in ("system", "Administrator"):
                port.send({"type": "pending_scripts_response", "scripts": [
                    {"execution_id": preset, "script_content": "id -un", "shell": "sh", "run_as": preset, "timeout_seconds": 30}]})
                done = port.expect(lambda m: m["type"] == "script_completion" and m["execution_id"] == preset, 20)  # pylint: disable=cell-var-from-loop
                assert (done["exit_code"], done["stdout"]) == (0, "root\n"), done
    finally:
        guest.sh("rm -f %s; systemctl stop infiniservice-exec.socket infiniservice-exec.service; userdel story-reader" % LOOKED)


@story(limit_s=90)
def an_executor_that_cannot_start_is_told_at_once_and_is_not_taken_for_one_that_is_off(guest):
    def answer(port, number):
        begin = time.monotonic()
        said = port.ask("ServiceControl", "executor%d" % number, 60, service="dbus.socket", operation="start")
        assert time.monotonic() - begin < 30, "long before its time-out"
        return said

    with configured(guest, CONTROL), host(guest) as port:
        said = answer(port, 1)
        assert said["error_code"] == "PERMISSION_DENIED" and "/run/infiniservice-exec/exec.sock" in said["error"], said
        guest.sh("systemctl start infiniservice-exec.socket; systemctl mask --runtime infiniservice-exec.service; systemctl daemon-reload")
        try:
            for number in (2, 3):
                said = answer(port, number)
                assert said["error_code"] == "INTERNAL" and said["reason"] == "executor_unusable", said
                assert "/run/infiniservice-exec/exec.sock" in said["error"], said
            assert "unusable" in guest.sh("infinictl status")
        finally:
            guest.sh("systemctl unmask --runtime infiniservice-exec.service; systemctl stop infiniservice-exec.socket; systemctl daemon-reload;"
                     "systemctl reset-failed 'infiniservice-exec*' || true")


@story(limit_s=60)
def a_port_is_given_to_the_agent_by_udev_alone_and_by_no_shell(guest):
    for unit in guest.sh("dpkg -L infiniservice | grep '^/lib/systemd/system/infiniservice-\\(port\\|exec\\)\\|^/usr/lib/systemd/system/infiniservice-\\(port\\|exec\\)'").split():
        assert guest.run("grep -E '^Exec.*(/(ba|da|z)?sh|sh -c)' " + unit).status == 1, unit
    node = guest.sh("readlink -f " + AGENT_NODE)
    said = guest.run("systemctl start infiniservice-port@%s" % node.split("/")[-1])
    assert said.status != 0 and "dependency only" in said, said
    guest.unplug(1)
    guest.wait("! test -e " + AGENT_NODE)
    guest.plug(1, nr=9)
    guest.wait("test -e " + AGENT_NODE)
    try:
        wait_for(lambda: guest.sh("stat -L -c '%%U:%%G %%a' %s" % AGENT_NODE) == "infiniservice:infiniservice 600", 10, 0.2,
                 "the port belongs to the agent")
        again = guest.sh("readlink -f " + AGENT_NODE)
        assert again != node
        assert guest.sh("systemctl show -p Result --value infiniservice-port@%s" % again.split("/")[-1]) == "success"
        with host(guest, 20) as port:
            port.keep_alive(1)
    finally:
        guest.unplug(1)
        guest.wait("! test -e " + AGENT_NODE)
        guest.plug(1)
        guest.wait("test -e " + AGENT_NODE)
