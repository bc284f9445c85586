#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Every file that the agent makes, with its owner, group and mode, whatever the umask: what was measured is for the viewing group, the
rest for the agent."""
import grp
import hashlib
import hmac
import json
import os
import re
import stat
import subprocess
import tempfile
import time

import tap
from fakehost import BUILD, Agent, UnixHost, program, wait_until

SECRET = "69694c4da93700c86640f8db66ef84d3c6441ba86725212ec25b552ea20bfa56"
UID, GID = 54321, 54322
FAST = {"timers.metrics_interval_ms": 100, "commands.allow_unsafe": "yes", "commands.allow": "observe control"}

# Below the agent's directory: (pattern, whose group, mode).
RULES = [(re.compile(pattern + r"\Z"), group, mode) for pattern, group, mode in (
    (r"state|run|log", None, None),  # made for it
    (r"state/(lock|\.?seq)", "own", 0o600),
    (r"state/(vm_id|nonces|replay)", "own", 0o600),
    (r"state/audit\.ndjson", "own", 0o640),
    (r"run/latest\.json", "viewers", 0o640),
    (r"run/(commands\.journal|nonces|replay)", "own", 0o600),
    (r"run/(output|scripts)", "own", 0o700),
    (r"log/1[mh]", "viewers", 0o750),
    (r"log/(1[mh]/)?metrics-[^/]*\.ndjson(\.zst)?", "viewers", 0o640),
    (r"agent\.sock", "viewers", 0o660),
)]


def viewing_group():
    """A group of this machine that is neither root's nor the agent's."""
    for group in grp.getgrall():
        if group.gr_gid not in (0, GID, os.getgid()):
            return group
    raise tap.Skip("this machine has no group to view with")


def busy_agent(groups, **settings):
    """An agent that has done a bit of everything, as another user, with whatever is left of its files for all by its umask."""
    tap.need_root()
    top = tap.keep(tempfile.TemporaryDirectory(prefix="infini-"))
    os.chmod(top, 0o755)
    os.chown(top, UID, GID)
    wrapper = ["setpriv", "--reuid", str(UID), "--regid", str(GID), *groups, "sh", "-c", 'umask 0; exec "$@"', "sh"]
    if subprocess.run(wrapper + [program("infiniservice"), "--version"], capture_output=True, check=False).returncode != 0:
        raise tap.Skip("another user cannot reach %s" % BUILD)
    with open(top + "/secret", "w", encoding="ascii") as file:
        file.write(SECRET)
    os.chown(top + "/secret", UID, GID)
    os.chmod(top + "/secret", 0o600)
    host = tap.keep(UnixHost(top + "/host.sock"))
    os.chmod(top + "/host.sock", 0o666)
    agent = Agent(host.spec, {**FAST, "agent.vm_id": "", "auth.secret_file": top + "/secret", **settings}, wrapper=wrapper, directory=top)
    for name in ("agent.conf", "state", "run", "log"):
        os.chown(agent.path(name), UID, GID)
    return agent, host


def wrong(agent, viewers):
    found = []
    for folder, folders, names in os.walk(agent.directory):
        for name in folders + names:
            path = os.path.join(folder, name)
            below = os.path.relpath(path, agent.directory)
            if below in ("secret", "agent.conf", "stderr", "host.sock"):
                continue
            st = os.lstat(path)
            rule = next((rule for rule in RULES if rule[0].match(below)), None)
            if rule is None:
                found.append("%s: not expected" % below)
            elif rule[1] and (st.st_uid, st.st_gid, stat.S_IMODE(st.st_mode)) != (UID, GID if rule[1] == "own" else viewers, rule[2]):
                found.append("%s: %d:%d %o" % (below, st.st_uid, st.st_gid, stat.S_IMODE(st.st_mode)))
    return found


def signed(host, message):
    payload, now, nonce = json.dumps(message), int(time.time() * 1000), "n%d" % time.monotonic_ns()
    mark = hmac.new(SECRET.encode(), ("1\n%d\n%s\n%s" % (now, nonce, payload)).encode(), hashlib.sha256).hexdigest()
    host.send({"type": "signed", "v": 1, "ts": now, "nonce": nonce, "payload": payload, "sig": mark})


def use_everything(agent, host):
    host.accept()
    signed(host, {"type": "SafeCommand", "id": "look", "command_type": {"action": "SystemInfo"}, "params": None, "timeout": 20})
    assert host.response("look", 20)["success"]
    signed(host, {"type": "UnsafeCommand", "id": "do", "raw_command": "echo done; head -c 300000 /dev/zero | tr '\\0' x", "timeout": 20})
    host.response("do", 20)  # which another user's agent may refuse: it is what a refusal leaves that counts here, too
    signed(host, {"type": "SafeCommand", "id": "disk", "command_type": {"action": "CheckDiskSpace"}, "params": None, "timeout": 20})
    host.response("disk", 20)
    wait_until(lambda: os.path.exists(agent.path("run/latest.json")) and agent.has_logged(), 10, "a sample")
    assert os.path.exists(agent.path("state/lock")) and os.path.exists(agent.path("agent.sock"))


def story_every_file_has_its_owner_and_mode_and_none_is_for_everybody():
    group = viewing_group()
    agent, host = busy_agent(["--groups", str(group.gr_gid)], **{"socket.group": group.gr_name})
    with agent:
        use_everything(agent, host)
        assert not wrong(agent, group.gr_gid), wrong(agent, group.gr_gid)
    assert not wrong(agent, group.gr_gid), ("after its end", wrong(agent, group.gr_gid))
    assert "cannot be given" not in agent.stderr() and "may then sign" not in agent.stderr(), agent.stderr()


def story_where_the_group_cannot_be_given_the_newest_sample_is_the_agents_alone_and_it_is_said_once():
    group = viewing_group()
    agent, host = busy_agent(["--clear-groups"], **{"socket.group": group.gr_name})
    with agent:
        use_everything(agent, host)
        time.sleep(0.5)
        st = os.stat(agent.path("run/latest.json"))
        assert (st.st_uid, st.st_gid, stat.S_IMODE(st.st_mode)) == (UID, GID, 0o600), st
    assert agent.stderr().count("latest.json cannot be given to group '%s'" % group.gr_name) == 1, agent.stderr()


def story_without_a_viewing_group_the_newest_sample_is_the_agents_alone():
    for name in ("", "no-such-group"):
        agent, host = busy_agent(["--clear-groups"], **{"socket.group": name})
        with agent:
            use_everything(agent, host)
            assert stat.S_IMODE(os.stat(agent.path("run/latest.json")).st_mode) == 0o600


def story_a_secret_that_the_viewing_group_can_read_is_told_at_start_and_at_reload_with_the_cure():
    group = viewing_group()
    agent, host = busy_agent(["--clear-groups"], **{"socket.group": ""})
    os.chown(agent.path("secret"), UID, group.gr_gid)
    os.chmod(agent.path("secret"), 0o640)
    told = "secret: can be read by its group (mode 0640), who may then sign as the host; cure: chown %d" % UID
    with agent:
        use_everything(agent, host)
        assert agent.stderr().count(told) == 1, agent.stderr()
        assert SECRET not in agent.stderr()
        agent.process.send_signal(1)
        wait_until(lambda: agent.stderr().count(told) == 2, 10, "the warning of the reload")
        os.chmod(agent.path("secret"), 0o600)
        agent.process.send_signal(1)
        wait_until(lambda: agent.stderr().count("configuration reloaded") == 2, 10, "the second reload")
        assert agent.stderr().count(told) == 2


if __name__ == "__main__":
    tap.main(globals())
