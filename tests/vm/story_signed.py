# SPDX-License-Identifier: MIT
"""A guest with a secret: what is not signed as it should be runs nothing and is told why, and the secret is nowhere it can be read."""

import contextlib
import hashlib
import hmac
import json
import time
import uuid

from agent_guest import command, host, main_pid, port_is_open, processes, unsafe
from guest import wait_for
from stories import story

SECRET = "5d1f0c3b9a7e42868f6b1d2c3e4f50617283940a1b2c3d4e5f60718293a4b5c6"
FILE = "/etc/infiniservice/secret"
NEEDLE = "/root/story-needle"  # searched for by grep -f: scripts are argv in the guest, and would find themselves
DROP_IN = "/etc/systemd/system/infiniservice.service.d/90-story.conf"
PLACES = "/var/log /var/lib/infiniservice /run/infiniservice /run/log /etc/infiniservice/conf.d /tmp /var/tmp"


def envelope(payload, ts, nonce=None, secret=SECRET, **changes):
    payload = json.dumps(payload) if isinstance(payload, dict) else payload
    nonce = nonce or uuid.uuid4().hex
    key = secret if isinstance(secret, bytes) else secret.encode()
    sig = hmac.new(key, ("1\n%d\n%s\n%s" % (ts, nonce, payload)).encode(), hashlib.sha256).hexdigest()
    return dict({"type": "signed", "v": 1, "ts": ts, "nonce": nonce, "payload": payload, "sig": sig}, **changes)


def guest_ms(guest):
    return int(guest.sh("date +%s%3N"))


class SignedHost:
    """What a host does: it signs in the guest's clock."""

    def __init__(self, guest, port):
        self.port = port
        self.skew_ms = guest_ms(guest) - int(time.time() * 1000)

    def now(self):
        return int(time.time() * 1000) + self.skew_ms

    def send(self, payload, **changes):
        message = envelope(payload, self.now(), **changes)
        self.port.send(message)
        return message

    def ask(self, payload, limit_s=30):
        self.send(payload)
        return self.port.response(payload["id"], limit_s)

    def refused(self, message, code):
        """One error with this code, nothing else."""
        self.port.send(message)
        answer = self.port.expect(lambda m: m["type"] in ("error", "response"), 10)
        assert answer["type"] == "error" and answer["details"]["code"] == code, (code, answer)
        payload = message.get("payload")
        named = json.loads(payload).get("id") if isinstance(payload, str) else None
        assert answer["details"]["id"] == named, answer


def restart(guest, before="true"):
    guest.sh("%s; systemctl reset-failed infiniservice; systemctl restart infiniservice" % before)
    wait_for(lambda: port_is_open(guest), 15, 0.1, "the agent opens its port")


@contextlib.contextmanager
def with_secret(guest, how="file", more=""):
    """The secret as install-linux.sh leaves it, as a credential, or in the environment of a drop-in."""
    lines = more + {"file": "", "credential": "LoadCredential=secret:/root/story-secret\n",
                    "environment": "Environment=INFINISERVICE_SHARED_SECRET=%s\n" % SECRET}[how]
    if how == "file":
        guest.put(FILE, SECRET + "\n", 0o600)
        guest.sh("chown infiniservice:infiniservice " + FILE)
    if how == "credential":
        guest.put("/root/story-secret", SECRET + "\n", 0o600)
    if lines:
        guest.sh("mkdir -p $(dirname %s); cat >%s; systemctl daemon-reload" % (DROP_IN, DROP_IN), stdin=("[Service]\n" + lines).encode())
    try:
        restart(guest)
        yield
    finally:
        restart(guest, "rm -f %s %s /root/story-secret%s" % (FILE, DROP_IN, "; systemctl daemon-reload" if lines else ""))


@story(limit_s=180)
def what_is_not_signed_as_it_should_be_runs_nothing(guest):
    mark = "/run/infiniservice/story-ran"
    with with_secret(guest):
        with host(guest) as port:
            signed = SignedHost(guest, port)
            deed = unsafe("touch " + mark, "deed")
            good = envelope(deed, signed.now())
            for change in ({"payload": good["payload"] + " "}, {"payload": good["payload"].replace("touch", "tOuch")},
                           {"ts": good["ts"] + 1}, {"nonce": good["nonce"] + "x"}, {"sig": "0" * 64}, {"sig": good["sig"][::-1]}):
                signed.refused(dict(good, **change), "BAD_SIGNATURE")
            signed.refused(envelope(deed, signed.now(), secret="f" * 64), "BAD_SIGNATURE")
            signed.refused(envelope(deed, signed.now(), secret=bytes.fromhex(SECRET)), "BAD_SIGNATURE")
            for change in ({"v": 2}, {"v": "1"}, {"ts": str(good["ts"])}, {"ts": 1.5}, {"nonce": ""}, {"nonce": "n" * 129},
                           {"payload": deed}, {"sig": good["sig"][:-1]}, {"sig": "zz" * 32}, {"sig": None}):
                signed.refused(dict(good, **change), "INVALID_MESSAGE")
            for key in ("v", "ts", "nonce", "payload", "sig"):
                signed.refused({name: value for name, value in good.items() if name != key}, "INVALID_MESSAGE")
            for away_ms in (-301500, 301500, -10**10, 10**10):
                signed.refused(envelope(deed, signed.now() + away_ms), "STALE")
            signed.refused(envelope(json.dumps(envelope(deed, signed.now())), signed.now()), "INVALID_MESSAGE")

            port.send(unsafe("touch " + mark, "plain"))
            assert port.response("plain")["error_code"] == "UNSIGNED"
            port.send(command("SystemInfo", "plain too"))
            assert port.response("plain too")["error_code"] == "UNSIGNED"
            signed.refused({"type": "keep_alive_request", "sequence_number": 1, "timestamp": "2026-01-01T00:00:00.000Z"}, "UNSIGNED")
            assert guest.run("test -e " + mark).status == 1, "something ran"

            # none of these has burnt the nonce; hexadecimal digits may be capitals; the window is wide enough
            port.send(dict(good, sig=good["sig"].upper()))
            assert port.response("deed")["success"]
            guest.sh("rm " + mark)
            signed.refused(good, "REPLAYED")
            signed.refused(envelope(unsafe("touch " + mark, "other"), signed.now(), nonce=good["nonce"]), "REPLAYED")
            signed.send({"type": "keep_alive_request", "sequence_number": 77, "timestamp": "2026-01-01T00:00:00.000Z"})
            port.expect(lambda m: m["type"] == "keep_alive" and m["sequence_number"] == 77, 5)
            for name, away_ms in (("early", -290000), ("late", 290000)):
                port.send(envelope(command("SystemInfo", name), signed.now() + away_ms))
                assert port.response(name)["success"]
        restart(guest)
        with host(guest) as port:
            # as above, with another agent
            SignedHost(guest, port).refused(good, "REPLAYED")
            assert guest.run("test -e " + mark).status == 1, "something ran again"


@story(limit_s=240)
def the_secret_is_in_no_log_no_answer_and_no_other_process(guest):
    with with_secret(guest, more="LimitCORE=infinity\n"), host(guest) as port:
        signed = SignedHost(guest, port)
        seen = [json.dumps(signed.ask({"type": "Status", "id": "status"}))]
        signed.send(unsafe("sleep 41.5", "long"))
        wait_for(lambda: guest.run("pgrep -f '[s]leep 41.5'"), 10, 0.1, "the command runs")
        looks = "env; tr '\\0' '\\n' </proc/$PPID/environ; cat /proc/self/cmdline; ls -l /proc/self/fd; ls /run/credentials"
        seen.append(json.dumps(signed.ask(unsafe(looks, "looks"))))
        signed.refused(envelope(command("SystemInfo", "x"), signed.now(), secret="0" * 64), "BAD_SIGNATURE")
        signed.ask({"type": "GetHistory", "id": "past", "begin": "2026-01-01T00:00:00Z", "limit": 3})
        seen.append(guest.sh("infinictl status; infinictl config show; infinictl ps; infinictl audit --help >/dev/null; "
                             "infinictl audit 2>&1; systemctl show infiniservice; systemctl status infiniservice", 40))
        assert "commands" in seen[-1] and "secret_file" in seen[-1], seen[-1][:2000]
        guest.sh("systemctl reload infiniservice; journalctl --sync")
        seen.append(guest.sh("journalctl --no-pager -o export", 60))
        assert not [text for text in seen if SECRET in text]
        assert not [line for line in port.seen if SECRET in json.dumps(line)]
        guest.put(NEEDLE, SECRET + "\n", 0o600)
        assert not guest.run("grep -rlFf %s %s 2>/dev/null" % (NEEDLE, PLACES), 60)
        assert guest.run("grep -lFf %s %s" % (NEEDLE, FILE)), "the search finds nothing at all"
        shown = guest.sh("for pid in $(ls /proc | grep '^[0-9]'); do cat /proc/$pid/environ /proc/$pid/cmdline 2>/dev/null; done | "
                         "tr '\\0' '\\n' | grep -cFf %s; true" % NEEDLE)
        assert shown == "0", shown
        in_no_dump(guest)


def in_no_dump(guest):
    """Every process of the service ends with a core dump, the agent last. Only an image of the whole memory would have it."""
    agent = main_pid(guest)
    others = [pid for pid in processes(guest) if pid != agent]
    assert len(others) >= 3, others  # log writer, executor, a command at least
    guest.sh("sysctl -q kernel.core_pattern=/var/log/infiniservice/.story-core.%%p; "
             "for pid in %s %d; do echo 0x3f >/proc/$pid/coredump_filter; done" % (" ".join(map(str, others)), agent))
    try:
        for pid in others + [agent]:
            guest.sh("kill -ABRT %d 2>/dev/null; true" % pid)
            guest.run("for i in $(seq 40); do test -d /proc/%d || break; sleep 0.05; done" % pid)
        dumps = guest.sh("ls -s /var/log/infiniservice/.story-core.*")
        assert ".story-core.%d" % agent in dumps and len(dumps.splitlines()) >= 3, dumps
        found = guest.run("grep -lFf %s /var/log/infiniservice/.story-core.*" % NEEDLE, 60)
        assert not found, found
        assert guest.run("grep -lF infiniservice /var/log/infiniservice/.story-core.%d" % agent), "the dump holds nothing at all"
    finally:
        guest.sh("rm -f %s; sysctl -q kernel.core_pattern=core; rm -f /var/log/infiniservice/.story-core.*" % NEEDLE)
    wait_for(lambda: port_is_open(guest), 15, 0.1, "the agent is back")


@story(limit_s=150)
def a_secret_of_the_environment_or_a_credential_serves_and_reaches_no_child(guest):
    for how in ("environment", "credential"):
        with with_secret(guest, how), host(guest) as port:
            signed = SignedHost(guest, port)
            answer = signed.ask(unsafe("env; cat /proc/$PPID/environ | tr '\\0' '\\n'; ls /proc/self/fd | wc -l", how))
            assert answer["success"] and SECRET not in json.dumps(answer), answer
            assert "INFINISERVICE_SHARED_SECRET" not in answer["stdout"] and "CREDENTIALS_DIRECTORY" not in answer["stdout"], answer
            assert int(answer["stdout"].split()[-1]) <= 4, answer
            left = guest.sh("tr '\\0' '\\n' </proc/%d/environ | grep -cF %s; true" % (main_pid(guest), SECRET))
            assert left == "0", "the agent's environment shows it"
            port.send(command("SystemInfo", "plain"))
            assert port.response("plain")["error_code"] == "UNSIGNED"


@story(limit_s=180)
def a_secret_or_policy_that_others_may_write_stops_the_service_and_is_named(guest):
    policy = "/etc/infiniservice/conf.d/80-story.conf"
    try:
        for path, owner, mode, words in ((FILE, "nobody", "0644", "belongs to uid"), (FILE, "root:infiniservice", "0660", "can be written by others"),
                                         (FILE, "root", "0666", "can be written by others"), (policy, "root", "0646", "can be written by others"),
                                         (policy, "nobody", "0644", "belongs to uid")):
            if path == policy:
                restart(guest)
            guest.put(path, SECRET + "\n" if path == FILE else "[commands]\nallow = observe\n")
            mark = guest.sh("chown %s %s; chmod %s %s; date +%%s.%%6N" % (owner, path, mode, path))
            if path == policy:  # a running agent keeps what it has
                before = main_pid(guest)
                guest.run("systemctl reload infiniservice")
                guest.wait("journalctl -u infiniservice --no-pager -n 5 | grep -q 'not reloaded.*%s'" % policy, 10)
                assert main_pid(guest) == before
            guest.run("systemctl restart infiniservice")
            shown = guest.wait("systemctl show -p ExecMainStatus,ActiveState infiniservice | tr '\\n' ' ' | "
                               "grep -F 'ExecMainStatus=2' | grep -F failed", 10)
            said = guest.sh("journalctl -u infiniservice --no-pager --since=@%s -o cat" % mark)
            assert path in said and words in said and "cure: ch" in said and SECRET not in said, (shown, said)
            guest.sh("rm -f " + path)
    finally:
        guest.sh("rm -f %s %s" % (FILE, policy))
        restart(guest)
    with host(guest) as port:
        assert port.ask("SystemInfo", "again")["success"]
