#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Short commands at full speed under a host that keeps hanging up (row 33): each is run at most once and answered at most once, and
every one without an answer is in the agent's books. TEST_STORM (2000) is how many."""
import collections
import os
import random
import time

import tap
from fakehost import SLOW, TimeOut, descendants, fd_count, is_zombie, memory_kb, talk, wait_until

COUNT = int(os.environ.get("TEST_STORM", "2000"))
SETTINGS = {"commands.allow_unsafe": "yes", "timers.metrics_interval_ms": 3600000}
IN_FLIGHT = 30
REPLIES = ("handshake", "response", "error", "keep_alive")


class Storm:
    """Sends commands that each leave a mark in a file, and keeps what came back: by id, and how many replies there were."""

    def __init__(self, agent, host):
        self.agent, self.host = agent, host
        self.marks = agent.path("marks")
        self.sent = 0
        self.answers = {}
        self.replies = self.too_late = self.hang_ups = 0
        self.random = random.Random(0)

    def take(self, too_late=False):
        """Looks at what has come. Too late: this lay in the connection when the host hung up, a real one never reads it."""
        while self.host.pending:
            message = self.host.pending.popleft()
            if message["type"] not in REPLIES:
                continue
            self.replies += 1
            self.too_late += too_late
            if message["type"] == "response" and message["id"].startswith("s"):
                assert message["id"] not in self.answers, f"answered twice: {message}"
                self.answers[message["id"]] = message

    def send(self, count):
        lines = [f'{{"type":"UnsafeCommand","id":"s{self.sent + i}","raw_command":"echo {self.sent + i} >>{self.marks}","timeout":60}}\n'
                 for i in range(count)]
        self.host.send("".join(lines))
        self.sent += count

    def wait(self, most):
        """Until no more than so many of this session are unanswered."""
        end = time.monotonic() + 30 * SLOW
        while self.session_start + len(self.answers) - self.answered_before < self.sent - most:
            if not self.host.pump(1) or time.monotonic() > end:
                raise TimeOut(f"{len(self.answers)} of {self.sent} answered")
            self.take()

    def begin_session(self):
        self.session_start, self.answered_before = self.sent, len(self.answers)
        self.take()

    def hang_up(self):
        """As abruptly as a host does; then what had been on its way to it is counted."""
        self.host.socket.shutdown(2)
        while self.host.pump(0):
            if not self.host.pump(0.2):
                break
        self.take(too_late=True)
        self.host.disconnect()
        self.hang_ups += 1
        self.host.accept(35)
        self.replies += 1  # the handshake, which accept reads
        self.begin_session()

    def run(self, count):
        self.begin_session()
        while self.sent < count:
            self.send(min(self.random.randrange(1, 40), count - self.sent))
            if self.random.random() < 0.05:
                self.hang_up()
            else:
                self.wait(IN_FLIGHT)
        self.wait(0)

    def run_marks(self):
        with open(self.marks, encoding="ascii") as file:
            return collections.Counter(file.read().split())


questions = 0  # for the books: the agent counts them too


def status(host):
    global questions
    questions += 1
    host.send({"type": "Status", "id": "books"})
    return host.response("books")["data"]


def settled(host):
    """Status once nothing is under way but it itself."""
    def idle():
        data = status(host)
        return data if data["commands"]["running"] + data["commands"]["queued"] == 0 else None
    return wait_until(idle, 60, "the end of all commands", 0.3)


def story_row_33_a_storm_with_hang_ups_is_accounted_for_to_the_last_command():
    agent, host = talk(tap.keep, SETTINGS)
    host.responses([host.unsafe("sleep 0.1", timeout=30) for _ in range(20)], 30)  # all slots were in use once,
    host.disconnect()  # and a connection was lost once: from then on the place where it may come back is watched
    host.accept(35)
    first = settled(host)
    asked = questions
    storm = Storm(agent, host)
    family = [agent.pid, first["executor"]["pid"]]
    fds = {pid: fd_count(pid) for pid in family}
    memory = memory_kb(agent.pid)
    begun = time.monotonic()
    storm.run(COUNT)
    took = time.monotonic() - begun
    last = settled(host)
    storm.take()
    books = {key: last["commands"][key] - first["commands"][key] for key in
             ("received", "answered", "succeeded", "failed", "refused", "unclaimed", "queue_full", "cancelled", "timed_out")}
    for key in ("received", "answered", "succeeded"):
        books[key] -= questions - asked
    tap.note(f"{storm.sent} commands in {took:.1f} s, {storm.sent / took:.0f}/s, {storm.hang_ups} hang-ups")
    check_books(storm, books, first["port"], last["port"], questions - asked)

    wait_until(lambda: {pid: fd_count(pid) for pid in family} == fds, 5,
               f"no more descriptors than {fds}")
    assert last["executor"]["pid"] == family[1] and last["executor"]["lost"] == 0
    assert not [pid for pid in descendants(agent.pid) if is_zombie(pid)]
    assert memory_kb(agent.pid) - memory < 4096
    host.in_step()


def check_books(storm, books, before, after, asked):
    """What was sent is what ran, was refused or was never read; what was answered is what came, was too late or had nobody to go to."""
    marks = storm.run_marks()
    assert max(marks.values()) == 1, f"run twice: {marks.most_common(3)}"
    never_read = storm.sent - books["received"]
    assert never_read >= 0 and (storm.hang_ups or never_read == 0), books
    assert books["received"] == books["succeeded"] + books["failed"] + books["refused"], books
    assert books["refused"] == books["queue_full"] and books["failed"] == 0, books
    assert len(marks) == books["succeeded"], (len(marks), books)
    for name, answer in storm.answers.items():
        assert answer["success"] == (name[1:] in marks), answer
        assert answer["success"] or answer["error_code"] == "QUEUE_FULL", answer

    replies = {key: after[key] - before[key] for key in ("replies_sent", "replies_dropped")}
    assert after["sessions"] - before["sessions"] == storm.hang_ups
    replies["replies_sent"] -= asked  # the last answer is not in itself, but the one before the storm is
    handed_over = books["received"] - books["unclaimed"] + storm.hang_ups  # the handshakes
    assert handed_over == replies["replies_sent"] + replies["replies_dropped"], (handed_over, replies)
    assert storm.replies == replies["replies_sent"], (storm.replies, replies)
    dropped = replies["replies_dropped"]
    assert storm.sent == len(storm.answers) + never_read + books["unclaimed"] + dropped, (books, dropped, never_read)
    tap.note(f"{len(storm.answers)} answered ({storm.too_late} of the replies too late) + {books['unclaimed']} without their asker + "
             f"{dropped} dropped from the queue + {never_read} never read = {storm.sent}")


tap.main(globals())
