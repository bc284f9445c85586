# SPDX-License-Identifier: MIT
"""Commands over the real port when everything goes wrong at once: hosts that hang up, no processes left, a child that cannot die, an
agent killed in the middle, answers that were on their way when the host left."""

import collections
import contextlib
import json
import random
import re
import time

from agent_guest import AgentPort, configured, host, main_pid, port_is_open, unsafe
from guest import Timeout, wait_for
from stories import story

# Says what it was given, what its own text is read from, which files of the agent hold that, and who runs it.
SPOKEN = "echo $INPUT_WORD $0; readlink /proc/$$/fd/3; grep -rlsF -D skip 'echo $INPUT_WORD' /run/infiniservice /var/lib/infiniservice; id -un"
GATE = "/run/story-thaw"
COUNT = 600  # emulated: some 60 a second


def running(guest, marker):
    return guest.run("pgrep -f '[%s]%s'" % (marker[0], marker[1:])).split()


def descriptors(guest):
    """Of the agent, without those of processes that it watches: they come and go with the guest's processes."""
    return int(guest.sh("ls -l /proc/%d/fd | grep -vc '> /proc/[0-9]'" % main_pid(guest)))


class Storm:
    """Commands that each leave a mark in a file; what came back by id."""

    def __init__(self, guest):
        self.guest, self.sent, self.answers, self.port, self.torn = guest, 0, {}, None, 0

    def enter(self):
        """As hosts do: with an empty line, and without trust in the first one that comes."""
        self.port = AgentPort(self.guest.path("port1"))
        self.port.send_bytes(b"\n")

    def next(self, limit_s):
        """The next response of any id. What an earlier host had half of may be the beginning of a line."""
        end = time.monotonic() + limit_s
        while True:
            line = self.port.line(max(0, end - time.monotonic()))
            try:
                message = json.loads(line)
            except ValueError:
                self.torn += 1
                continue
            if message["type"] != "response":
                continue
            if message["id"].startswith("s"):
                assert message["id"] not in self.answers, "answered twice: %s" % message
                self.answers[message["id"]] = message
            return message

    def take(self, limit_s):
        with contextlib.suppress(Timeout):
            while len(self.answers) < self.sent:
                self.next(limit_s)
                limit_s = min(limit_s, 0.05)

    def books(self, number):
        self.port.send({"type": "Status", "id": "books%d" % number})
        while (message := self.next(20))["id"] != "books%d" % number:
            pass
        return message["data"]["commands"]

    def run(self, marks, chance):
        hang_ups = 0
        self.enter()
        while self.sent < COUNT:
            for _ in range(min(chance.randrange(1, 20), COUNT - self.sent)):
                self.port.send(unsafe("echo %d >>%s" % (self.sent, marks), "s%d" % self.sent, 60))
                self.sent += 1
            self.take(0.3)
            if chance.random() < 0.1:
                self.port.close()
                hang_ups += 1
                self.enter()
        self.take(5)
        return hang_ups


@story(rows=[20, 33, 43], limit_s=180)
def a_storm_under_a_host_that_hangs_up_is_accounted_for(guest):
    marks = "/run/infiniservice/story-marks"
    with host(guest) as port:
        port.execute("true", "warm")
        before = port.status("before")["commands"]
        fds = descriptors(guest)
    storm = Storm(guest)
    try:
        begun = time.monotonic()
        hang_ups = storm.run(marks, random.Random(7))
        took = time.monotonic() - begun

        def settled():
            asked.append(1)
            data = storm.books(len(asked))
            return data if data["running"] + data["queued"] == 0 else None
        asked = []
        after = wait_for(settled, 60, 0.5, "the end of all commands")
        ran = collections.Counter(guest.sh("cat " + marks).split())
    finally:
        storm.port.close()
        guest.sh("rm -f " + marks)
    books = {key: after[key] - before[key] for key in ("received", "answered", "succeeded", "failed", "refused", "unclaimed", "queue_full")}
    for key in ("received", "answered", "succeeded"):
        books[key] -= len(asked)
    print("# %d commands in %.0f s, %d hang-ups, %d answers came: %s" % (storm.sent, took, hang_ups, len(storm.answers), books))
    assert max(ran.values()) == 1, "run twice"
    assert books["received"] == books["answered"] + books["refused"] <= storm.sent, books
    assert len(ran) == books["succeeded"] and books["failed"] == 0 and books["refused"] == books["queue_full"], (len(ran), books)
    for name, answer in storm.answers.items():
        assert answer["success"] == (name[1:] in ran), answer
    # What is missing had no asker any more, was taken by the port with the host that left, or never got to the agent.
    never = storm.sent - books["received"]
    gone = books["received"] - books["unclaimed"] - len(storm.answers)
    print("# %d answered + %d without their asker + %d taken by the port + %d never received = %d" % (
        len(storm.answers), books["unclaimed"], gone, never, storm.sent))
    assert gone >= 0 and (hang_ups or gone + never == 0) and storm.torn <= hang_ups
    zombies = guest.sh("ps -eo stat= | grep -c ^Z; true")
    assert zombies == "0", zombies
    wait_for(lambda: descriptors(guest) <= fds, 5, 0.2, "no more descriptors than %d" % fds)


@story(rows=[34], limit_s=60)
def without_processes_a_command_is_refused_and_the_next_one_runs(guest):
    with host(guest) as port:
        assert port.execute("true", "before")["success"]
        tasks = int(guest.sh("systemctl show -p TasksCurrent --value infiniservice"))
        guest.sh("systemctl set-property --runtime infiniservice TasksMax=%d" % tasks)
        try:
            answer = port.execute("true", "none left")
            assert answer["error_code"] == "INTERNAL" and answer["reason"] == "resource", answer
            assert "Resource temporarily unavailable" in answer["error"], answer
            port.keep_alive(1)
            port.send({"type": "Metrics"})
            port.expect("metrics", 10)
        finally:
            guest.sh("systemctl set-property --runtime infiniservice TasksMax=512")
        assert port.execute("echo room", "after")["stdout"] == "room\n"


@story(rows=[36], limit_s=120)
def a_command_that_cannot_be_killed_is_told_as_stuck_and_holds_up_nobody(guest):
    """Who writes to a frozen file system sleeps uninterruptibly, and SIGKILL waits with him."""
    place = "/var/lib/infiniservice/story-frozen"
    with host(guest) as port:
        port.execute("ps -eo stat=,args= | grep -c x; echo warm", "warm")  # what is needed then is in memory
        first = port.status("first")["executor"]["stuck"]
        thaw = guest.background("rm -f %s; fsfreeze -f / && for i in $(seq 125); do test -e %s && break; sleep 0.2; done; fsfreeze -u /" % (GATE, GATE), 60)
        time.sleep(1)
        for number in range(3):
            port.send(unsafe("echo x >%s%d" % (place, number), "stuck%d" % number, 4))
        begun = time.monotonic()
        for _ in range(3):  # in whatever order
            answer = port.expect("response", 8)
            assert answer["error_code"] == "COMMAND_TIMEOUT" and answer["reason"] == "stuck" and answer["exit_code"] == 1, answer
        assert time.monotonic() - begun < 4
        seen = port.execute("ps -eo stat=,args= | grep -c '^D.*[s]tory-frozen'", "seen")["stdout"]
        assert seen == "3\n", seen
        status = port.status("while")
        assert status["executor"]["stuck"] == first + 3 and status["commands"]["running"] == 0, status["executor"]
        for number in range(8):  # as many as there are slots, and more
            assert port.execute("echo %d" % number, "other%d" % number)["stdout"] == "%d\n" % number
        guest.sh("touch " + GATE)
        thaw()
        wait_for(lambda: not running(guest, "story-frozen"), 10, 0.2, "they are gone as soon as they can")
        assert port.execute("echo on", "on")["success"]
        assert guest.sh("ps -eo stat= | grep -c ^Z; true") == "0"
        guest.sh("rm -f %s*" % place)


@story(rows=[38], limit_s=90)
def what_was_accepted_is_answered_after_a_restart_and_scripts_are_completed(guest):
    with host(guest) as port:
        port.expect("request_pending_scripts", 10)
        port.send({"type": "pending_scripts_response", "scripts": [
            {"execution_id": "done-1", "script_content": SPOKEN, "shell": "BASH", "input_values": {"word": "spoken"}, "timeout_seconds": 30},
            {"execution_id": "slow-1", "script_content": "sleep 55", "shell": "sh", "timeout_seconds": 2},
            {"execution_id": "odd-1", "script_content": "echo no", "shell": "powershell"},
            {"execution_id": "who-1", "script_content": "id -un", "run_as": "no-such-user"},
            {"execution_id": "lost-1", "script_content": "sleep 3611", "shell": "sh", "timeout_seconds": 300}]})
        done = {}
        while len(done) < 4:
            message = port.expect("script_completion", 20)
            assert message["execution_id"] not in done
            done[message["execution_id"]] = message
        said = done["done-1"]["stdout"].splitlines()
        assert done["done-1"]["exit_code"] == 0 and said[0] == "spoken /proc/self/fd/3" and said[-1] == "infiniservice", done
        assert len(said) == 3 and re.fullmatch(r"/memfd:\S+ \(deleted\)", said[1]), "it is in no file, of any name"
        assert done["slow-1"]["exit_code"] != 0 and "deadline" in done["slow-1"]["stderr"], done
        assert done["odd-1"]["exit_code"] == done["who-1"]["exit_code"] == -1, done
        assert done["odd-1"]["stderr"] and done["who-1"]["stderr"], done
        for number in range(6):
            port.send(unsafe("sleep 3612", "lost%d" % number, 300))
        wait_for(lambda: len(running(guest, "sleep 361")) >= 5, 15, 0.1, "the commands run")
        port.keep_alive(1)
        guest.sh("kill -9 %d" % main_pid(guest))
        wait_for(lambda: not running(guest, "sleep 361"), 1.2, 0.05, "the children died with their agent")
    wait_for(lambda: port_is_open(guest), 10, 0.1, "the new agent opens the port")
    with host(guest) as port:
        port.keep_alive(2)
        time.sleep(1)
        port.keep_alive(3)
        lost = collections.Counter(m["id"] for m in port.seen if m["type"] == "response")
        assert lost == {"lost%d" % number: 1 for number in range(6)}, lost
        for message in port.seen:
            if message["type"] == "response":
                assert message["error_code"] == "INTERNAL" and message["reason"] == "lost: agent_restart", message
        (script,) = [m for m in port.seen if m["type"] == "script_completion"]
        assert script["execution_id"] == "lost-1" and script["exit_code"] == -1 and "lost: agent_restart" in script["stderr"], script
    with host(guest) as port:
        port.keep_alive(4)
        assert not [m for m in port.seen if m["type"] in ("response", "script_completion")], port.seen


@story(rows=[45], limit_s=180)
def what_the_port_took_along_with_a_host_that_left_is_offered_again(guest):
    with configured(guest, "[timers]\nmetrics_interval_ms = 500\n"):
        with host(guest) as port:
            stored = port.expect("metrics", 10)["seq"]
            size = port.status()["port"]["bytes_out"]

            def swallowed():
                return json.loads(guest.sh("infinictl status --json"))["port"]["bytes_out"] - size
            # nobody reads: QEMU's socket and the port swallow megabytes, and write(2) says yes to each, until they are full
            for number in range(30):
                port.send(unsafe("head -c 190000 /dev/zero | tr '\\0' a", "fill%d" % number))
            taken, before = 0, -1
            while taken > before or taken < 1000000:
                time.sleep(2)
                before, taken = taken, swallowed()
    print("# %d bytes were written to the port and never read" % taken)
    with configured(guest, "[timers]\nmetrics_interval_ms = 3600000\n"), host(guest, 30) as port:
        port.send({"type": "Ack", "seq": stored})
        got, last = [], False
        with contextlib.suppress(Timeout):
            while not last:
                batch = port.expect("metrics_batch", 20)
                got += [sample["seq"] for sample in batch["samples"]]
                last = batch["last"]
        live = [m["seq"] for m in port.seen if m["type"] == "metrics"]
        assert got and got[0] == stored + 1, (stored, got[:3])
        assert got == list(range(stored + 1, stored + 1 + len(got))), "there are holes"
        assert live and stored + len(got) >= min(live) - 1, (got[-1], live[:3])
