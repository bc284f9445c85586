#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""The generation of samples: one for a boot, renewed when something from outside shows that this guest was put back."""
import datetime
import glob
import json
import os
import time

import tap
from fakehost import Agent, UnixHost, wait_until


def begin(settings=None, **more):
    host = tap.keep(UnixHost())
    agent = Agent(host.spec, {"timers.metrics_interval_ms": 200, "timers.collect_timeout_ms": 100, **(settings or {})}, **more)
    return agent, host


def started(settings=None, **more):
    agent, host = begin(settings, **more)
    tap.keep(agent)
    return agent, host, host.accept()["generation"]


def headers(agent):
    found = []
    for name in sorted(glob.glob(agent.path("log/*.ndjson"))):
        with open(name, encoding="utf-8") as file:
            lines = [json.loads(line) for line in file]
        found.append((lines[0]["generation"], {line["generation"] for line in lines[1:]}))
    return found


def say(host, ahead_s=0.0):
    """A keep-alive of a host whose clock is so far ahead of this guest's."""
    when = datetime.datetime.fromtimestamp(time.time() + ahead_s, datetime.timezone.utc)
    host.send({"type": "keep_alive_request", "sequence_number": 1, "timestamp": when.strftime("%Y-%m-%dT%H:%M:%S.") + f"{when.microsecond // 1000:03}Z"})
    passed = []
    host.expect("keep_alive", 5, passed=passed)
    host.pending.extendleft(reversed(passed))


def renewed(host, before):
    """The new generation, told by a handshake, an event and a sample."""
    fresh = host.expect("handshake", 5)["generation"]
    assert fresh != before
    host.expect("agent_event", 5, lambda m: m["source"] == "generation" and fresh in m["message"])
    sample = host.expect("metrics", 5, lambda m: m["generation"] == fresh)
    return fresh, sample["seq"]


def away(host, seconds):
    """The host is away for so long that samples are taken which it misses."""
    host.deafen()
    host.disconnect()
    time.sleep(seconds)
    host.listen()


def stays(host, generation, seconds=1.0):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        assert host.expect("metrics", 5)["generation"] == generation
    assert not [m for m in host.pending if m["type"] == "handshake"]


def story_row_e2_one_generation_stands_in_all_that_is_said():
    agent, host, generation = started()
    assert host.expect("metrics", 5)["generation"] == generation
    assert host.ask("Status")["data"]["generation"] == generation
    wait_until(lambda: any(lines for _, lines in headers(agent)), 10, "samples in the log")
    assert all(header == generation and lines <= {generation} for header, lines in headers(agent)), headers(agent)
    agent.stop()
    host.disconnect()
    agent.start()
    assert host.accept(20)["generation"] == generation, "a restart of the agent is none of the guest"
    agent.stop()
    host.disconnect()
    os.unlink(agent.path("run/generation"))  # as a reboot does
    agent.start()
    assert host.accept(20)["generation"] != generation
    agent.stop()


def story_row_e2_a_file_of_another_boot_or_making_begins_a_new_generation():
    seen = set()
    for text in ("", "nonsense", "0" * 32 + " 0123456789abcdef 1 1 5 5 5\n", "x" * 5000, "\0" * 200, "- 0123456789abcdef 18446744073709551615 1 5 5 5\n"):
        agent, host = begin()
        with open(agent.path("run/generation"), "w", encoding="ascii") as file:
            file.write(text)
        tap.keep(agent)
        seen.add(host.accept()["generation"])
        agent.stop()
        host.disconnect()
    assert len(seen) == 6 and "0123456789abcdef" not in seen, seen


def story_row_e2_times_of_a_host_that_run_ahead_begin_a_new_generation_once():
    agent, host, generation = started()
    for ahead in (3600, 3600, 3601, 3599):  # it is an hour off, and always was
        say(host, ahead)
    stays(host, generation)
    say(host, 3610)
    fresh, _ = renewed(host, generation)
    for ahead in (3610, 3610.5, 3609, 3610):
        say(host, ahead)
    stays(host, fresh)
    wait_until(lambda: (fresh, {fresh}) in headers(agent), 10, "a segment of the new generation")
    assert all(lines <= {header} for header, lines in headers(agent)), headers(agent)


def story_row_e2_a_host_that_holds_what_was_never_taken_begins_a_new_generation():
    _, host, generation = started()
    host.expect("metrics", 5)
    host.send({"type": "Ack", "seq": 1 << 40})
    fresh, first = renewed(host, generation)
    # What it holds is of the old one; of the new one it is offered what it has not got, from its start.
    away(host, 1)
    assert host.accept(20)["generation"] == fresh
    host.send({"type": "Ack", "seq": 1 << 40, "generation": generation})
    batch = host.expect("metrics_batch", 10)
    assert batch["samples"][0]["seq"] == first or batch["samples"][0]["seq"] == first - 1, (first, [s["seq"] for s in batch["samples"]])
    assert {s["generation"] for s in batch["samples"]} == {fresh}
    away(host, 0.5)
    last = batch["samples"][-1]["seq"]
    assert host.accept(20)["generation"] == fresh, "told once"
    host.send({"type": "Ack", "seq": last, "generation": fresh})
    assert host.expect("metrics_batch", 10)["samples"][0]["seq"] == last + 1
    host.send({"type": "Ack", "seq": 1, "generation": 7})
    assert host.expect("error", 5)["details"]["reason"] == "bad_type"


def story_row_e2_a_real_time_clock_that_ran_ahead_begins_a_new_generation_with_the_next_session():
    tap.need_root()
    agent, host = begin()
    os.makedirs(agent.path("rtc/rtc0"))

    def rtc(ahead_s):
        with open(agent.path("rtc/rtc0/since_epoch"), "w", encoding="ascii") as file:
            file.write(f"{int(time.time() + ahead_s)}\n")
    rtc(0)
    agent.wrapper = ["unshare", "-m", "sh", "-c", 'mount -t tmpfs none /sys/class && mkdir /sys/class/rtc && mount --bind "$0" /sys/class/rtc || '
                     'exit 1; exec "$@"', agent.path("rtc")]
    tap.keep(agent)
    generation = host.accept()["generation"]
    for ahead_s in (0, 3, -100, -100):
        rtc(ahead_s)
        host.disconnect()
        assert host.accept(20)["generation"] == generation
        stays(host, generation, 0.5)
    rtc(-80)
    host.disconnect()
    assert host.accept(20)["generation"] == generation
    fresh, _ = renewed(host, generation)
    host.disconnect()
    rtc(-80)
    assert host.accept(20)["generation"] == fresh
    stays(host, fresh, 0.5)


tap.main(globals())
