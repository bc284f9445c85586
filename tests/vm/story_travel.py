# SPDX-License-Identifier: MIT
"""A guest that moves to another machine while it runs."""

import datetime
import time

from agent_guest import AgentPort, configured, host, main_pid
from stories import remark, story

FAST = "[timers]\nmetrics_interval_ms = 500\n"


def say(port, number):
    """A keep-alive with the time of the host, as hosts send it."""
    now = datetime.datetime.now(datetime.timezone.utc)
    port.send({"type": "keep_alive_request", "sequence_number": number, "timestamp": now.strftime("%Y-%m-%dT%H:%M:%S.000Z")})
    return port.expect(lambda m: m["type"] == "keep_alive" and m["sequence_number"] == number)


def samples(port, count):
    return [port.expect("metrics") for _ in range(count)]


def lived_twice(guest, port, name, load=None):
    """Saves the guest, lets it live on, and puts it back: the samples of the life that is gone."""
    say(port, 1)
    samples(port, 2)
    guest.save(name)
    gone = samples(port, 12)
    say(port, 2)
    time.sleep(2)
    (load or guest.load)(name)
    return gone


def renewed(port, gone):
    """The first sample of another generation, and that a handshake told of it."""
    fresh = port.expect(lambda m: m["type"] == "metrics" and m["generation"] != gone[-1]["generation"], 30)["generation"]
    told = [port.handshake] + [m for m in port.seen if m["type"] == "handshake"]
    assert told[-1]["generation"] == fresh, (fresh, told)
    return fresh


def told_apart(gone, fresh):
    """Numbers that were given twice have two generations."""
    both = {m["seq"] for m in gone} & {m["seq"] for m in fresh}
    remark("%d numbers were given twice" % len(both))
    assert not {(m["generation"], m["seq"]) for m in gone} & {(m["generation"], m["seq"]) for m in fresh}, (gone[-1]["seq"], fresh[0]["seq"])


@story(limit_s=120)
def samples_of_a_guest_that_was_put_back_are_told_apart_when_its_host_comes_again(guest):
    """The real-time clock tells, at the beginning of the session; what had been sent before keeps its generation."""
    with configured(guest, FAST):
        with host(guest) as port:
            gone = lived_twice(guest, port, "again", guest.reload)
        with host(guest) as port:
            fresh = renewed(port, gone)
            told_apart(gone, samples(port, 3))
            held = max(m["seq"] for m in gone)
            # What the host holds is of the other life: of this one it is offered all that it has not been sent.
            port.send({"type": "Ack", "seq": held, "generation": gone[-1]["generation"]})
            port.keep_alive(3)
            assert port.ask("SystemInfo", "after")["success"]
        with host(guest) as port:
            assert port.handshake["generation"] == fresh, "told once"


@story(limit_s=120)
def samples_of_a_guest_that_was_put_back_under_its_host_are_told_apart_by_its_time(guest):
    with configured(guest, FAST), host(guest) as port:
        gone = lived_twice(guest, port, "time")
        port.send_bytes(b"\n")
        say(port, 3)
        renewed(port, gone)
        told_apart(gone, samples(port, 3))


@story(limit_s=120)
def samples_of_a_guest_that_was_put_back_are_told_apart_by_what_its_host_holds(guest):
    with configured(guest, FAST), host(guest) as port:
        gone = lived_twice(guest, port, "held")
        port.send_bytes(b"\n")
        port.send({"type": "Ack", "seq": gone[-1]["seq"] + 1000})
        renewed(port, gone)
        told_apart(gone, samples(port, 3))


@story(rows=[51], limit_s=120)
def a_guest_that_is_migrated_goes_on_with_the_host_it_finds_there(guest):
    pid = main_pid(guest)
    with host(guest) as port:
        port.keep_alive(1)
        guest.migrate()
    with AgentPort(guest.path("port1")) as port:
        port.send_bytes(b"\n")
        port.keep_alive(2)
        port.ask("SystemInfo", "in the new place")
    with host(guest) as port:
        port.ask("SystemInfo", "greeted there too")
    assert main_pid(guest) == pid
