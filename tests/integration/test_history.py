#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""GetHistory and Ack: the past out of the local log, in bounded batches, without holding up the present; and what a host missed."""
import json
import os
import time

import tap
from fakehost import SLOW, Agent, UnixHost, children_of, talk, wait_until
from localclient import LocalClient
from pastlog import fill_log, log_lines

FAST = {"timers.metrics_interval_ms": 50}


def history(host, timeout=20, **fields):
    """(samples, batches, response) of one GetHistory."""
    command_id = host.new_id()
    host.send({"type": "GetHistory", "id": command_id, **fields})
    passed = []
    answer = host.response(command_id, timeout, passed)
    batches = [m for m in passed if m["type"] == "metrics_batch"]
    assert all(m["id"] == command_id for m in batches), batches
    return [s for m in batches for s in m["samples"]], batches, answer


def gather(seconds, settings=None):
    """An agent with a log of some samples, which adds few more."""
    host = tap.keep(UnixHost())
    agent = tap.keep(Agent(host.spec, {**FAST, **(settings or {})}))
    host.accept()
    time.sleep(seconds)
    agent.write_config("")
    return agent, host


def story_the_samples_of_the_log_come_back_byte_for_byte():
    agent, host = gather(1.5)
    samples, batches, answer = history(host)
    assert answer["success"] and answer["data"]["count"] == len(samples) >= 15, answer
    seqs = [s["seq"] for s in samples]
    assert seqs == list(range(seqs[0], seqs[0] + len(seqs)))
    assert (answer["data"]["first_seq"], answer["data"]["last_seq"]) == (seqs[0], seqs[-1])
    assert [m["last"] for m in batches] == [False] * (len(batches) - 1) + [True]
    raw = b"".join(line for line in host.lines if b'"metrics_batch"' in line)
    for line in log_lines(agent)[:5]:
        assert line.encode() in raw


def constants(sample):
    """What stands in whole samples alone."""
    system = sample["data"]["system"]
    return ([(i["name"], i.get("mac"), i.get("mtu"), i.get("prefix_lengths")) for i in system["network"]["interfaces"]],
            [(d["name"], d.get("kind")) for d in system["disk"]["devices"]])


def story_the_first_of_each_batch_has_all_there_is():
    agent, host = gather(2.0, {"port.queue_bytes": 1 << 20})
    lines = [json.loads(line) for line in log_lines(agent)]
    whole = [line for line in lines if line.get("whole")]
    assert lines[0]["whole"] and len(lines) > len(whole) + 10, [line.get("whole") for line in lines]
    samples, batches, _ = history(host, from_seq=lines[len(lines) // 2]["seq"])
    filled = batches[0]["samples"][0]
    assert filled["filled"] and "whole" not in filled, filled
    assert constants(filled) == constants(whole[0])
    assert not any(s.get("filled") for b in batches for s in b["samples"][1:]), [[(s["seq"], s.get("filled")) for s in b["samples"]] for b in batches]
    everything, batches, _ = history(host)
    assert all(b["samples"][0].get("filled") or b["samples"][0].get("whole") for b in batches), everything


def story_ranges_limits_and_intervals_choose():
    _, host = gather(2.0)
    everything, _, _ = history(host)
    first, last = everything[0], everything[-1]
    samples, _, answer = history(host, from_seq=first["seq"] + 5, limit=3)
    assert [s["seq"] for s in samples] == [first["seq"] + i for i in (5, 6, 7)] and answer["data"]["more"] is True, answer
    samples, _, _ = history(host, begin=everything[4]["timestamp"], end=everything[8]["timestamp"])
    within = [s["seq"] for s in everything if everything[4]["timestamp"] <= s["timestamp"] < everything[8]["timestamp"]]
    assert [s["seq"] for s in samples] == within and len(within) >= 2, (samples, within)
    samples, _, _ = history(host, interval_ms=500)
    assert 3 <= len(samples) <= 8, len(samples)
    samples, batches, answer = history(host, from_seq=last["seq"] + 100000)
    assert not samples and len(batches) == 1 and batches[0]["last"] and answer["success"] and answer["data"]["count"] == 0
    now_ms = int(time.time() * 1000)
    samples, _, _ = history(host, begin=now_ms + 60000)
    assert not samples


def story_wrong_parameters_are_refused():
    _, host = talk(tap.keep)
    for fields in ({"begin": "yesterday"}, {"begin": []}, {"limit": 0}, {"limit": 10**9}, {"from_seq": -1}, {"interval_ms": "x"},
                   {"end": "2026-13-01T00:00:00Z"}):
        host.send({"type": "GetHistory", "id": "w", **fields})
        assert host.response("w")["error_code"] == "INVALID_PARAMETERS", fields


def story_without_a_log_there_is_no_history():
    _, host = talk(tap.keep, {"log.enabled": "no"})
    _, batches, answer = history(host)
    assert answer["error_code"] == "NOT_FOUND" and not batches


def story_a_long_history_is_batched_and_delays_nothing():
    agent, host = talk(tap.keep, {"collectors.processes_top": 2, "collectors.ports_max": 2})
    wait_until(lambda: log_lines(agent), 10, "the first sample in the log")
    fill_log(agent, 3000)
    command_id = host.new_id()
    host.send({"type": "GetHistory", "id": command_id, "limit": 3000, "end": "2021-01-01T00:00:00Z"})
    worst, batches, answers = 0, [], []
    while not batches or not batches[-1]["last"]:
        passed = []
        host.response(host.command("SystemInfo"), 10, passed)
        # Not timed: what counts on a busy machine too is behind how much of the history an answer waits.
        ahead = [m for m in passed if m["type"] == "metrics_batch"]
        worst = max(worst, len(ahead))
        batches += ahead
        answers += [m for m in passed if m["type"] == "response"]
        time.sleep(0.02)
    seqs = [s["seq"] for m in batches for s in m["samples"]]
    assert seqs == list(range(1, 3001)), len(seqs)
    assert all(len(m["samples"]) <= 100 for m in batches) and max(len(line) for line in host.lines) < 600000
    assert worst <= 6 and len(batches) >= 30, (worst, len(batches))
    assert (answers[0] if answers else host.response(command_id))["data"]["count"] == 3000


def story_batches_are_as_small_as_the_queue_of_the_port():
    agent, host = gather(3, {"port.queue_bytes": "64K", "port.max_line_bytes": "64K"})
    samples, batches, answer = history(host, limit=50)
    assert answer["success"] and len(samples) == answer["data"]["count"] > 20, answer
    assert len(batches) > 1 and sum(len(line) for line in log_lines(agent)[:20]) > 48 << 10, len(batches)


def story_a_host_that_does_not_read_holds_up_the_reader_only():
    agent, host = talk(tap.keep, {"port.queue_bytes": "1M"})
    wait_until(lambda: log_lines(agent), 10, "the first sample in the log")
    fill_log(agent, 2000)
    host.send({"type": "GetHistory", "id": "big", "limit": 2000, "end": "2021-01-01T00:00:00Z"})
    client = tap.keep(LocalClient(agent))
    time.sleep(1.5)
    status = client.status()
    assert status["port"]["queued_bytes"] < 1 << 20 and status["port"]["replies_dropped"] == 0, status["port"]
    passed = []
    assert host.response("big", 30, passed)["data"]["count"] == 2000
    assert [s["seq"] for m in passed if m["type"] == "metrics_batch" for s in m["samples"]] == list(range(1, 2001))


def story_not_more_than_four_are_read_at_once_and_a_cancel_ends_one():
    agent, host = talk(tap.keep, {"port.queue_bytes": "1M"})
    wait_until(lambda: log_lines(agent), 10, "the first sample in the log")
    fill_log(agent, 2000)
    wanted = {"limit": 2000, "end": "2021-01-01T00:00:00Z"}
    host.send("".join(json.dumps({"type": "GetHistory", "id": f"h{i}", **wanted}) + "\n" for i in range(5)))
    host.send({"type": "CancelCommand", "id": "c", "target_id": "h0"})
    answers = {m["id"]: m for m in host.responses(["h0", "h1", "h2", "h3", "h4", "c"], 60)}
    assert answers["h4"]["error_code"] == "QUEUE_FULL" and answers["h0"]["error_code"] == "CANCELLED", answers
    assert all(answers[f"h{i}"]["data"]["count"] == 2000 for i in (1, 2, 3)), answers
    assert history(host, limit=1)[2]["success"]
    wait_until(lambda: len([p for p in children_of(agent.pid)]) <= 6, 3, "the end of the readers")


def story_damaged_lines_of_the_log_damage_no_message():
    agent, host = talk(tap.keep)
    wait_until(lambda: log_lines(agent), 10, "the first sample in the log")
    fill_log(agent, 5)
    name = os.path.join(agent.path("log"), "metrics-20200101T000000.000Z-000000.ndjson")
    with open(name, "r+b") as file:
        text = file.read().split(b"\n")
        text[2] = text[2].replace(b'"data":', b'"data"::', 1)
        text[3] = text[3][:-1] + b'}}'
        text[4] = text[4].replace(b'"hostname":"', b'"hostname":"\xff', 1)
        file.seek(0)
        file.write(b"\n".join(text))
    samples, _, answer = history(host, end="2021-01-01T00:00:00Z")
    assert answer["success"] and [s["seq"] for s in samples] == [1, 5], [s["seq"] for s in samples]


# --------------------------------------------------------------------------------------------------------------- Ack

def missed(host):
    """The samples of one offer."""
    samples, batch = [], {"last": False}
    while not batch["last"]:
        batch = host.expect("metrics_batch")
        assert batch["id"] is None
        samples += batch["samples"]
    return samples


def story_a_host_that_says_what_it_holds_gets_what_it_missed():
    host = tap.keep(UnixHost())
    tap.keep(Agent(host.spec, FAST))
    host.accept()
    held = host.expect("metrics")["seq"]
    host.disconnect()
    host.deafen()
    time.sleep(1.0)
    host.listen()
    host.accept(35)
    first = host.expect("metrics")["seq"]
    assert first > held + 5, (held, first)
    host.send({"type": "Ack", "seq": held})
    samples = missed(host)
    assert [s["seq"] for s in samples] == list(range(held + 1, first)), (held, first, [s["seq"] for s in samples])
    host.send({"type": "Ack", "seq": first})
    host.quiet(0.6, kinds=("metrics_batch", "response", "error"))


def story_in_a_new_generation_a_host_may_say_anew_what_it_holds():
    host = tap.keep(UnixHost())
    agent = tap.keep(Agent(host.spec, FAST))
    generation = host.accept()["generation"]
    held = host.expect("metrics")["seq"]
    host.disconnect()
    host.deafen()
    time.sleep(1.0)
    host.listen()
    host.accept(35)
    first = host.expect("metrics")["seq"]
    assert first > held + 5, (held, first)
    host.send({"type": "Ack", "seq": first})
    host.send({"type": "Ack", "seq": held})  # not in one and the same session
    host.quiet(0.6, kinds=("metrics_batch", "response", "error"))
    wait_until(lambda: len(log_lines(agent)) > first, 10, "the log")
    for ahead_s in (0, 3600):  # its clock runs ahead: this guest was put back
        host.send({"type": "keep_alive_request", "sequence_number": 1, "timestamp": int((time.time() + ahead_s) * 1000)})
    assert host.expect("handshake", 5)["generation"] != generation
    host.send({"type": "Ack", "seq": held, "generation": generation})
    assert [s["seq"] for s in missed(host)] == list(range(held + 1, first)), (held, first)


def story_a_host_that_does_not_ask_is_offered_nothing():
    host = tap.keep(UnixHost())
    tap.keep(Agent(host.spec, FAST))
    host.accept()
    host.expect("metrics")
    host.disconnect()
    host.deafen()
    time.sleep(0.5)
    host.listen()
    host.accept(35)
    host.quiet(1.0, kinds=("metrics_batch", "response", "error"))


tap.main(globals())
