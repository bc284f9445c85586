#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Faults that last are told to each session that begins while they stand, once, and to none after they are over."""
import os
import shutil
import signal
import time

import fakehost
import tap
from fakehost import Agent, UnixHost, program, wait_until

SECRET = "standing" * 8


class Copied(Agent):
    """The program alone in a directory of its own: its executor is nowhere."""

    def argv(self):
        argv = super().argv()
        os.makedirs(self.path("bin"), exist_ok=True)
        shutil.copy(program("infiniservice"), self.path("bin/infiniservice"))
        return [self.path("bin/infiniservice") if word == program("infiniservice") else word for word in argv]


def begin(kind=Agent, **more):
    host = tap.keep(UnixHost())
    agent = kind(host.spec, **more)
    tap.keep(agent)
    host.accept()
    return agent, host


def told(host, source, standing=True):
    """The words of the events of a source that a new session begins with; those of a fault that stands say since when."""
    passed = []
    host.send({"type": "keep_alive_request", "sequence_number": 1, "timestamp": "2026-01-01T00:00:00.000Z"})
    host.expect("keep_alive", 5, passed=passed)
    host.send({"type": "keep_alive_request", "sequence_number": 2, "timestamp": "2026-01-01T00:00:00.000Z"})
    host.expect("keep_alive", 5, lambda m: m["sequence_number"] == 2, passed)
    events = [m for m in passed if m["type"] == "agent_event" and m["source"] == source]
    if standing:
        assert all(m["context"]["standing"] is True and m["context"]["since"].endswith("Z") for m in events), events
    return [m["message"] for m in events]


def again(host):
    host.disconnect()
    host.accept(20)


def told_to_each(host, source, word):
    for _ in range(3):
        again(host)
        words = told(host, source)
        assert len(words) == 1 and word in words[0], words


def told_to_none(host, source):
    again(host)
    assert told(host, source) == []


def reload(agent, host):
    agent.process.send_signal(signal.SIGHUP)
    return host.expect("agent_event", 10, lambda m: m["source"] == "config")


def story_a_configuration_that_was_refused_is_told_until_one_is_taken():
    agent, host = begin()
    assert told(host, "config") == []
    agent.write_config("[timers]\nmetrics_interval_ms = soon\n")
    assert reload(agent, host)["severity"] == "error"
    told_to_each(host, "config", "not reloaded")
    agent.write_config("")
    assert "reloaded" in reload(agent, host)["message"]
    told_to_none(host, "config")


def story_a_secret_that_cannot_be_read_any_more_is_told_until_it_can():
    host = tap.keep(UnixHost())
    agent = Agent(host.spec)
    path = agent.path("secret")
    with open(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600), "w", encoding="ascii") as file:
        file.write(SECRET)
    agent.settings["auth.secret_file"] = path
    tap.keep(agent)
    host.accept()
    os.rename(path, path + ".away")
    assert "secret" in reload(agent, host)["message"]
    host.disconnect()
    host.accept(20)
    event = host.expect("agent_event", 5)
    assert event["source"] == "config" and "secret" in event["message"], event
    os.rename(path + ".away", path)
    assert "reloaded" in reload(agent, host)["message"]
    host.disconnect()
    host.accept(20)
    host.expect("metrics", 10)
    host.quiet(0.3, ("agent_event",))


def story_a_log_that_cannot_be_written_is_told_until_it_can():
    agent, host = begin(settings={"timers.metrics_interval_ms": 100})
    host.expect("metrics", 10)
    os.rename(agent.path("log"), agent.path("away"))
    with open(agent.path("log"), "w", encoding="ascii"):
        pass
    host.expect("agent_event", 40, lambda m: m["source"] == "log" and m["severity"] == "warn")
    told_to_each(host, "log", "cannot be written")
    os.unlink(agent.path("log"))
    os.rename(agent.path("away"), agent.path("log"))
    host.expect("agent_event", 60, lambda m: m["source"] == "log" and m["severity"] == "info")
    told_to_none(host, "log")


def story_a_guest_without_a_log_says_so():
    _, host = begin(settings={"log.enabled": "no"})
    assert len(told(host, "log")) == 1
    told_to_each(host, "log", "no metric log")


def story_an_executor_that_is_missing_is_told_until_it_is_there():
    agent, host = begin(Copied, settings={"commands.allow_unsafe": "yes"})

    assert not host.run("true")["success"]
    told_to_each(host, "executor", "the executor cannot be started")
    shutil.copy(program("infiniservice-exec"), agent.path("bin/infiniservice-exec"))
    wait_until(lambda: host.run("true")["success"], 60, "a command that runs", 0.5)
    told_to_none(host, "executor")


def story_a_collector_that_fails_is_told_until_it_works():
    tap.need_root()
    host = tap.keep(UnixHost())
    agent = Agent(host.spec, {"timers.metrics_interval_ms": 200})
    with open(agent.path("odd"), "w", encoding="ascii") as file:
        file.write("neither one nor the other\n")
    agent.wrapper = ["unshare", "-m", "sh", "-c", 'mount --bind "$0" /proc/meminfo; exec "$@"', agent.path("odd")]
    # What this collector gives is missing from the samples, which the strict reader would not have.
    check, fakehost.schema.check_message = fakehost.schema.check_message, lambda message: None
    try:
        fail_and_mend(agent, host)
    finally:
        fakehost.schema.check_message = check


def fail_and_mend(agent, host):
    with open("/proc/meminfo", encoding="ascii") as file:
        meminfo = file.read()
    tap.keep(agent)
    host.accept()
    words = []
    end = time.monotonic() + 10
    while not words and time.monotonic() < end:
        host.expect("metrics", 10)
        again(host)
        words = told(host, "collector")
    assert len(words) == 1, words
    told_to_each(host, "collector", words[0])
    with open(agent.path("odd"), "w", encoding="ascii") as file:
        file.write(meminfo)
    host.expect("agent_event", 20, lambda m: m["source"] == "collector" and "works again" in m["message"])
    told_to_none(host, "collector")


tap.main(globals())
