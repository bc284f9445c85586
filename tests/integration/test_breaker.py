#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""The circuit breaker of the port: opens after failures in a row, tries only when its time has come, and the host is told of it after all."""
import time

import tap
from fakehost import SLOW, Agent, UnixHost, talk, wait_until
from localclient import LocalClient


def breaker(client):
    return client.status()["port"]["circuit_breaker"]


def story_failures_in_a_row_open_it_and_a_host_closes_it():
    host = tap.keep(UnixHost())
    host.deafen()
    agent = tap.keep(Agent(host.spec))
    client = tap.keep(LocalClient(agent))
    seen = set()

    def opened():
        state = breaker(client)
        seen.add(state["state"])
        return state["state"] in ("Open", "HalfOpen") and state

    state = wait_until(opened, 15, "the opening of the breaker", 0.05)
    assert state["failure_count"] >= 5 and state["last_failure_time"], state
    assert "Closed" in seen, seen
    host.listen()
    host.accept(35)
    told = host.expect("circuit_breaker_state", 2)
    assert told["state"] == "Closed" and told["failure_count"] >= 5 and told["recovery_eta_seconds"] is None, told
    assert breaker(client)["state"] == "Closed"
    host.disconnect()
    host.accept(35)
    host.quiet(0.5, kinds=("circuit_breaker_state",))


def story_while_open_it_says_when_it_will_try_and_does_not_try_before():
    host = tap.keep(UnixHost())
    host.deafen()
    agent = tap.keep(Agent(host.spec))
    client = tap.keep(LocalClient(agent))

    def waits_for_a_while():
        state = breaker(client)
        return state if state["state"] == "Open" and (state["recovery_eta_seconds"] or 0) >= 2 else None

    state = wait_until(waits_for_a_while, 30, "a longer pause", 0.05)
    begun = time.monotonic()
    faults = client.status()["port"]["faults"]
    time.sleep(min(1.0, state["recovery_eta_seconds"] - 1.1 / SLOW))
    assert client.status()["port"]["faults"] == faults, "an attempt before its time"
    assert time.monotonic() - begun < state["recovery_eta_seconds"] * SLOW


def story_a_host_that_is_there_from_the_start_hears_nothing_of_it():
    agent, host = talk(tap.keep)
    host.quiet(0.5, kinds=("circuit_breaker_state",))
    client = tap.keep(LocalClient(agent))
    assert breaker(client) == {"state": "Closed", "failure_count": 0, "last_failure_time": None, "recovery_eta_seconds": None}


tap.main(globals())
