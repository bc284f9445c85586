#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Signals in storms, configurations that change under way, and clocks that jump (rows 78, 80 and 81)."""
import datetime
import os
import shutil
import signal
import time

import tap
from fakeclock import with_clock
from fakehost import SLOW, Agent, UnixHost, talk, wait_until

CONFIG = "[timers]\nmetrics_interval_ms = {}\n"


def story_row_80_a_broken_config_is_refused_with_its_line_and_the_old_one_kept():
    host = tap.keep(UnixHost())
    agent = tap.keep(Agent(host.spec, config=CONFIG.format(200)))
    host.accept()
    host.expect("metrics")
    for text, word in (("[timers]\n\nmetrics_interval_ms = often\n", ":3"), ("[timers]\nnonsense\n", ":2"),
                       ("[timers]\nmetrics_interval_ms = 1\n", ":2"), ("[log]\nsegment_bytes = " + "9" * 150 + "\n", ":2")):
        said = len(agent.stderr())
        agent.write_config(text)
        agent.process.send_signal(signal.SIGHUP)
        wait_until(lambda: agent.path("agent.conf") + word in agent.stderr()[said:], 5, f"a message naming {word}")
        first = host.expect("metrics", 2)["seq"]
        assert host.expect("metrics", 2)["seq"] == first + 1
        host.in_step()
    agent.write_config(CONFIG.format(200))


def story_row_80_an_unsafe_or_huge_config_is_refused():
    host = tap.keep(UnixHost())
    agent = tap.keep(Agent(host.spec, config=CONFIG.format(200)))
    host.accept()
    for spoil in (lambda: os.chmod(agent.path("agent.conf"), 0o666),
                  lambda: agent.write_config("# " + "x" * 100 + "\n" + ("#" * 150 + "\n") * 100000),
                  lambda: os.unlink(agent.path("agent.conf"))):
        spoil()
        said = len(agent.stderr())
        agent.process.send_signal(signal.SIGHUP)
        wait_until(lambda: "agent.conf" in agent.stderr()[said:], 5, "a message about the file")
        host.expect("metrics", 2)
        host.in_step()


def story_a_good_reload_changes_the_interval_without_losing_a_sample():
    host = tap.keep(UnixHost())
    agent = tap.keep(Agent(host.spec, config=CONFIG.format(30000)))
    host.accept()
    last = host.expect("metrics")["seq"]
    agent.write_config(CONFIG.format(100))
    agent.process.send_signal(signal.SIGHUP)
    for _ in range(10):
        number = host.expect("metrics", 2)["seq"]
        assert number == last + 1, (last, number)
        last = number


def story_row_81_a_storm_of_signals_loses_none_and_stops_nothing():
    agent, host = talk(tap.keep, {"commands.allow_unsafe": "yes"})
    host.run("true")
    harmless = [signal.SIGHUP, signal.SIGCHLD, signal.SIGPIPE, signal.SIGCONT]
    end = time.monotonic() + 5
    sent = 0
    while sent < 100000 and time.monotonic() < end:
        for number in harmless:
            os.kill(agent.pid, number)
            sent += 1
    tap.note(f"{sent} signals")
    host.in_step(2.0)
    answers = host.responses([host.unsafe("exit 3", timeout=20) for _ in range(50)])
    assert all(m["exit_code"] == 3 for m in answers)
    assert len(agent.stderr()) < 200000, "each signal was logged"
    begun = time.monotonic()
    agent.stop()
    assert time.monotonic() - begun < 2 * SLOW


def story_row_81_signals_while_commands_end_lose_no_answer():
    agent, host = talk(tap.keep, {"commands.allow_unsafe": "yes"})
    ids = [host.unsafe("sleep 0.05", timeout=30) for _ in range(60)]
    found = []
    end = time.monotonic() + 20
    while len(found) < len(ids) and time.monotonic() < end:
        os.kill(agent.pid, signal.SIGHUP)
        os.kill(agent.pid, signal.SIGCHLD)
        host.pump(0.002)
        while host.pending:
            message = host.pending.popleft()
            if message["type"] == "response":
                found.append(message["id"])
    assert sorted(found) == sorted(ids)


def story_many_terms_are_one_clean_stop():
    agent, _ = talk(tap.keep)
    for _ in range(1000):
        try:
            os.kill(agent.pid, signal.SIGTERM)
        except ProcessLookupError:
            break
    assert agent.wait(5) == 0


def story_row_78_a_clock_step_changes_no_interval_and_is_reported():
    host = tap.keep(UnixHost())
    agent = Agent(host.spec, {"timers.metrics_interval_ms": 200})
    set_clock = with_clock(agent)
    tap.keep(agent)
    host.accept()
    last = host.expect("metrics")
    for offset, years in (("+10y", 10), ("-10y", -10), ("+0", 0)):
        set_clock(offset)
        begun = time.monotonic()
        before = len(host.lines)
        event = host.expect("agent_event", 5, lambda m: m["source"] == "clock")
        assert abs(year_of(event) - (datetime.datetime.now().year + years)) <= 1, event
        step = host.expect("metrics", 5, lambda m, y=years: abs(year_of(m) - (datetime.datetime.now().year + y)) <= 1)
        host.expect("metrics")
        host.expect("metrics")
        took, came = time.monotonic() - begun, len(host.lines) - before
        assert came <= took / 0.2 + 6, f"{came} messages in {took:.1f} s"
        assert step["seq"] > last["seq"] and step["gap"] == "clock", step.get("gap")
        for value in step["data"]["system"]["disk"]["io_stats"].values():
            assert not isinstance(value, (int, float)) or value >= 0
        last = step
        host.in_step()


def year_of(message):
    return int(message["timestamp"][:4])


def story_a_stopped_agent_goes_on_without_a_burst():
    agent, host = talk(tap.keep, {"timers.metrics_interval_ms": 100})
    host.expect("metrics")
    os.kill(agent.pid, signal.SIGSTOP)
    time.sleep(2)
    while host.pump(0.0) and host.pending:
        host.pending.clear()
    before = len(host.lines)
    os.kill(agent.pid, signal.SIGCONT)
    begun = time.monotonic()
    while time.monotonic() - begun < 0.5:
        host.pump(0.05)
    assert len(host.lines) - before <= 8, f"{len(host.lines) - before} messages after a pause of 20 intervals"
    host.in_step()


tap.main(globals())
