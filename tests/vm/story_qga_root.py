# SPDX-License-Identifier: MIT
"""What a host has the executor do by the QEMU guest agent's language, and its effect in the guest. Told by run_freeze.py, whose
guest has a port for that language."""

import base64
import contextlib
import time

from agent_guest import configured
from freeze_guest import qga
from guest import wait_for
from stories import story
from story_freeze import ready

ALL = "[qga]\nallow = observe shutdown freeze control exec files\nallow_unsafe = yes\n"
KEYS = ["ssh-ed25519 AAAAfirst one@story", "ssh-ed25519 AAAAsecond two@story"]


def coded(text):
    return base64.b64encode(text.encode()).decode()


@contextlib.contextmanager
def unlocked(guest, more=""):
    with ready(guest), configured(guest, ALL + more), qga(guest) as port:
        yield port


def run_program(port, path, *words, **more):
    """The end of a program, its output decoded."""
    pid = port.must("guest-exec", path=path, arg=list(words), capture_output=True, **more)["pid"]
    status = wait_for(lambda: (lambda told: told if told["exited"] else None)(port.must("guest-exec-status", pid=pid)), 15, 0.1)
    for key in ("out-data", "err-data"):
        status[key] = base64.b64decode(status.get(key, "")).decode()
    return status


@story(limit_s=60)
def what_is_roots_power_is_off_until_the_owner_says_so(guest):
    with ready(guest), qga(guest) as port:
        commands = {entry["name"]: entry["enabled"] for entry in port.must("guest-info")["supported_commands"]}
        assert commands["guest-fsfreeze-freeze"] and commands["guest-shutdown"], commands
        for name in ("guest-exec", "guest-set-user-password", "guest-ssh-add-authorized-keys", "guest-set-time", "guest-suspend-ram"):
            assert not commands[name], name
            assert port.execute(name)["error"]["class"] == "CommandNotFound", name
    # The executor reads the policy itself; what commands are allowed says nothing here.
    with ready(guest), configured(guest, "[qga]\nallow = exec\n[commands]\nallow_unsafe = yes\n"), qga(guest) as port:
        assert port.execute("guest-exec", path="/bin/true")["error"]["class"] == "CommandNotFound"


@story(limit_s=60)
def programs_run_as_root_with_the_hosts_input_and_environment(guest):
    with unlocked(guest) as port:
        status = run_program(port, "sh", "-c", "id -u; cat; echo $STORY >&2; exit 3", env=["STORY=told", "PATH=/bin:/usr/bin"],
                             input_data=coded("from the host\n"))
        assert (status["out-data"], status["err-data"], status["exitcode"]) == ("0\nfrom the host\n", "told\n", 3), status
        status = run_program(port, "/bin/sh", "-c", "kill -9 $$")
        assert status["signal"] == 9 and "exitcode" not in status, status
        assert run_program(port, "/no/such/program")["exitcode"] == 127


@story(limit_s=60)
def a_password_is_set_and_stands_nowhere_but_in_shadow(guest):
    guest.sh("id storyteller 2>/dev/null || useradd -m storyteller")
    with unlocked(guest) as port:
        before = guest.sh("grep ^storyteller: /etc/shadow")
        port.must("guest-set-user-password", username="storyteller", password=coded("xYzZy-plugh"), crypted=False)
        after = guest.sh("grep ^storyteller: /etc/shadow")
        assert after != before and "$" in after, after
        port.must("guest-set-user-password", username="storyteller", password=coded("$6$salt$hash"), crypted=True)
        assert ":$6$salt$hash:" in guest.sh("grep ^storyteller: /etc/shadow")
        root = guest.sh("grep ^root: /etc/shadow")
        answer = port.execute("guest-set-user-password", username="root", password=coded("xYzZy-plugh"), crypted=False)
        assert "deny_root_password" in answer["error"]["desc"], answer
        assert guest.sh("grep ^root: /etc/shadow") == root
        assert "no such user" in port.execute("guest-set-user-password", username="nobody-there", password=coded("x"),
                                              crypted=False)["error"]["desc"]
        # Samples hold command lines, those of these commands too: they do not contain what they look for.
        words = "-e '[x]YzZy' -e '[%s]%s'" % (coded("xYzZy-plugh")[0], coded("xYzZy-plugh")[1:])
        assert guest.run("journalctl --no-pager | grep " + words) == ""
        assert guest.run("grep -rhs %s /run/systemd /var/lib/infiniservice /var/log/infiniservice" % words) == ""


@story(limit_s=60)
def keys_of_a_user_are_added_listed_and_removed_as_that_user(guest):
    guest.sh("id storyteller 2>/dev/null || useradd -m storyteller; rm -rf ~storyteller/.ssh")
    with unlocked(guest) as port:
        port.must("guest-ssh-add-authorized-keys", username="storyteller", keys=KEYS)
        assert guest.sh("stat -c '%U:%G %a' ~storyteller/.ssh ~storyteller/.ssh/authorized_keys").splitlines() == [
            "storyteller:storyteller 700", "storyteller:storyteller 600"]
        assert port.must("guest-ssh-get-authorized-keys", username="storyteller")["keys"] == KEYS
        port.must("guest-ssh-remove-authorized-keys", username="storyteller", keys=KEYS[:1])
        assert port.must("guest-ssh-get-authorized-keys", username="storyteller")["keys"] == KEYS[1:]
        # A user may set traps in a home: nothing of root's is reached through them.
        guest.sh("rm -rf ~storyteller/.ssh; mkdir -p /root/trap; ln -s /root/trap ~storyteller/.ssh")
        assert "error" in port.execute("guest-ssh-add-authorized-keys", username="storyteller", keys=KEYS)
        assert guest.sh("ls -A /root/trap") == ""
        for name in ("root", "daemon", "nobody"):
            assert "left alone" in port.execute("guest-ssh-add-authorized-keys", username=name, keys=KEYS)["error"]["desc"]
        assert guest.run("test -e /root/.ssh/authorized_keys").status != 0


@story(limit_s=60)
def the_clock_and_processors_are_set(guest):
    with unlocked(guest) as port:
        try:
            wanted = int((time.time() + 7200) * 1e9)
            port.must("guest-set-time", time=wanted)
            assert abs(port.must("guest-get-time") - wanted) < 30e9
            assert abs(int(guest.sh("cat /sys/class/rtc/rtc0/since_epoch")) - wanted // 10 ** 9) < 30
            # By the hardware clock, which is two hours ahead now.
            guest.sh("date -s '2020-01-01'")
            port.must("guest-set-time")
            assert abs(port.must("guest-get-time") - wanted) < 60e9
        finally:
            port.must("guest-set-time", time=int(time.time() * 1e9))
        assert port.must("guest-set-vcpus", vcpus=[{"logical-id": 0, "online": True}]) == 1
        assert "error" in port.execute("guest-set-vcpus", vcpus=[{"logical-id": 99, "online": True}])


@story(limit_s=90)
def the_guest_sleeps_and_is_woken_by_its_host(guest):
    with unlocked(guest) as port:
        port.send({"execute": "guest-suspend-ram"})
        guest.monitor.wait_event("SUSPEND", 40)
        guest.qmp("system_wakeup")
        # A success has no answer: the next one is of the next request.
        assert port.must("guest-ping", 40) == {}
