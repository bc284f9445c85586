#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Subscribe: one encoding for everybody, each at its own pace; who lags loses the oldest, is told so, and slows nobody. SetConfig."""
import os
import re
import resource
import select
import time

import tap
from fakehost import ROOT, SLOW, Agent, UnixHost, fd_count, memory_kb, talk, wait_until
from localclient import LocalClient

FAST = {"timers.metrics_interval_ms": 200}
UNSAFE = {"commands.allow_unsafe": "yes"}


def subscribe(host, *topics, **more):
    command_id = host.new_id()
    host.send({"type": "Subscribe", "id": command_id, "topics": list(topics), **more})
    return host.response(command_id)


def unsubscribe(host, *topics):
    command_id = host.new_id()
    message = {"type": "Unsubscribe", "id": command_id}
    if topics:
        message["topics"] = list(topics)
    host.send(message)
    return host.response(command_id)


def samples_within(channel, seconds):
    end, seqs = time.monotonic() + seconds, []
    while (left := end - time.monotonic()) > 0:
        channel.pump(left)
        while channel.pending:
            message = channel.pending.popleft()
            if message["type"] == "metrics":
                seqs.append(message["seq"])
    return seqs


def story_a_local_client_gets_the_latest_sample_at_once_and_then_each_one():
    agent = tap.keep(Agent("none", FAST))
    client = tap.keep(LocalClient(agent))
    time.sleep(0.6)
    answer = client.subscribe("metrics")
    assert answer["success"] and answer["data"]["topics"] == ["metrics"], answer
    begun = time.monotonic()
    first = client.expect("metrics")["seq"]
    assert time.monotonic() - begun < 0.1 * SLOW
    following = [client.expect("metrics")["seq"] for _ in range(5)]
    assert following == list(range(first + 1, first + 6)), (first, following)
    unsubscribe(client)
    assert not samples_within(client, 0.6)


def story_an_interval_thins_the_samples_out():
    agent = tap.keep(Agent("none", FAST))
    fast, slow = tap.keep(LocalClient(agent)), tap.keep(LocalClient(agent))
    fast.subscribe("metrics")
    slow.subscribe("metrics", interval_ms=1000)
    assert len(samples_within(fast, 3.1)) >= 12
    assert 3 <= len(samples_within(slow, 0)) + len(samples_within(slow, 0.05)) <= 5


def story_the_same_line_goes_to_the_host_and_to_every_subscriber():
    host = tap.keep(UnixHost())
    agent = tap.keep(Agent(host.spec, FAST))
    client = tap.keep(LocalClient(agent))
    host.accept()
    client.subscribe("metrics")
    seq = client.expect("metrics")["seq"] + 2
    client.expect("metrics", where=lambda m: m["seq"] == seq)
    host.expect("metrics", where=lambda m: m["seq"] == seq)
    marker = b'"seq":%d,' % seq
    assert [l for l in client.lines if marker in l] == [l for l in host.lines if marker in l] != []


def story_a_host_that_subscribes_gets_samples_at_its_own_pace_and_none_twice():
    _, host = talk(tap.keep, FAST)
    host.expect("metrics")
    assert subscribe(host, "metrics", interval_ms=1000)["success"]
    seqs = samples_within(host, 2.6)
    assert 2 <= len(seqs) <= 4 and len(set(seqs)) == len(seqs), seqs
    unsubscribe(host, "metrics")
    assert len(samples_within(host, 1.0)) >= 4


def story_a_new_session_begins_without_the_old_subscription():
    _, host = talk(tap.keep, FAST)
    subscribe(host, "metrics", "commands", interval_ms=60000)
    host.disconnect()
    host.accept()
    assert len(samples_within(host, 1.2)) >= 4


def story_commands_and_events_are_told_to_who_asked():
    host = tap.keep(UnixHost())
    agent = tap.keep(Agent(host.spec, UNSAFE))
    host.accept()
    client = tap.keep(LocalClient(agent))
    client.subscribe("commands", "events")
    host.unsafe("sleep 0.2; exit 4", command_id="watched")
    states = [client.expect("command_event", where=lambda m: m["id"] == "watched") for _ in range(3)]
    assert [m["state"] for m in states] == ["accepted", "started", "finished"], states
    assert states[2]["success"] is False and states[2]["error_code"] == "COMMAND_FAILED" and states[2]["origin"] == "host"
    assert not any("exit 4" in str(m) for m in states)
    agent.process.send_signal(1)
    assert "reloaded" in client.expect("agent_event", 5)["message"]


def story_unknown_topics_are_refused():
    agent = tap.keep(Agent("none"))
    client = tap.keep(LocalClient(agent))
    for topics in (["metrics", "secrets"], [5], []):
        client.send({"type": "Subscribe", "id": "bad", "topics": topics})
        assert client.response("bad")["error_code"] == "INVALID_PARAMETERS"
    client.send({"type": "Subscribe", "id": "bad", "interval_ms": -1})
    assert client.response("bad")["error_code"] == "INVALID_PARAMETERS"


def story_row_73_a_slow_subscriber_is_told_what_it_lost_and_the_others_are_on_time():
    agent = tap.keep(Agent("none", {"timers.metrics_interval_ms": 10, "collectors.processes_top": 200}))
    slow, good = tap.keep(LocalClient(agent, receive_bytes=4096)), tap.keep(LocalClient(agent))
    time.sleep(0.5)  # the very first sample of an agent may be for the log alone
    slow.subscribe("metrics")
    good.subscribe("metrics")
    watch = tap.keep(LocalClient(agent))
    end, seqs = time.monotonic() + 6 * SLOW, []
    while time.monotonic() < end and not watch.status()["subscriptions"]["lagged"]:
        seqs += samples_within(good, 0.5)
    seqs += samples_within(good, 1)
    assert len(seqs) > 5 and seqs == list(range(seqs[0], seqs[0] + len(seqs))), [b - a for a, b in zip(seqs, seqs[1:]) if b - a != 1]
    lagged = slow.expect("lagged", 10)
    assert lagged["topic"] == "metrics" and lagged["count"] > 0, lagged
    first = slow.expect("metrics", 10)["seq"]
    assert first == lagged["from_seq"] + lagged["count"], (lagged, first)
    assert memory_kb(agent.pid) < 24 * 1024
    status = good.status()
    assert status["subscriptions"]["lagged"] >= lagged["count"] and status["local"]["cut_off"] == 0, status["local"]


def story_a_thousand_subscribers_get_every_sample_in_time():
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < 2600:
        raise tap.Skip("not enough descriptors")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, 2600), hard))
    host = tap.keep(UnixHost())
    agent = tap.keep(Agent(host.spec, {"timers.metrics_interval_ms": 1000}))
    host.accept()
    host.expect("metrics", 10)  # by then all that a sample needs is open,
    client = LocalClient(agent)
    client.send({"type": "Subscribe", "id": "s", "topics": ["metrics"]})
    client.expect("response", 10)  # and what the record of a command needs
    client.socket.close()
    time.sleep(0.5)
    descriptors = fd_count(agent.pid)
    clients = [tap.keep(LocalClient(agent)) for _ in range(1000)]
    for client in clients:
        client.send({"type": "Subscribe", "id": "s", "topics": ["metrics"]})
    poll = select.poll()
    by_fd = {client.fd: (client, bytearray()) for client in clients}
    for fd in by_fd:
        poll.register(fd, select.POLLIN)
    sleepy = clients[0].fd
    poll.unregister(sleepy)
    end, arrived = time.monotonic() + 6 * SLOW, {}
    while time.monotonic() < end and sum(len(times) == 999 for times in arrived.values()) < 4:
        for fd, _ in poll.poll(100):
            client, buffer = by_fd[fd]
            buffer += client.socket.recv(1 << 16)
            while (at := buffer.find(b"\n")) >= 0:
                line = bytes(buffer[:at])
                del buffer[:at + 1]
                if line.startswith(b'{"type":"metrics"'):
                    seq = int(line.split(b'"seq":', 1)[1].split(b",", 1)[0])
                    arrived.setdefault(seq, {})[fd] = time.monotonic()
    host.in_step()
    whole = [seq for seq, times in arrived.items() if len(times) == 999]
    assert len(whole) >= 3, {seq: len(times) for seq, times in arrived.items()}
    spread = sorted(max(arrived[seq].values()) - min(arrived[seq].values()) for seq in whole)
    tap.note(f"from the first to the last of 999: {spread[len(spread) // 2] * 1000:.0f} ms (this reader included)")
    assert spread[len(spread) // 2] < 0.8 * SLOW
    status = clients[1]
    status.restart_stream()
    assert memory_kb(agent.pid) < 32 * 1024
    for client in clients:
        client.socket.close()
    wait_until(lambda: fd_count(agent.pid) <= descriptors, 5, "the closing of all clients")


# ---------------------------------------------------------------------------------------------------------- SetConfig

def set_config(host, **values):
    command_id = host.new_id()
    host.send({"type": "SetConfig", "id": command_id, "values": {k.replace("__", "."): v for k, v in values.items()}})
    return host.response(command_id)


def story_what_policy_grants_may_be_set_and_holds_until_a_reload():
    agent, host = talk(tap.keep, config="[timers]\nmetrics_interval_ms = 5000\n[commands]\nallow = observe SetConfig\n")
    host.expect("metrics")
    answer = set_config(host, timers__metrics_interval_ms=100, collectors__processes_top="3")
    assert answer["success"] and answer["data"]["persistent"] is False, answer
    assert answer["data"]["values"] == {"timers.metrics_interval_ms": "100", "collectors.processes_top": "3"}
    assert len(samples_within(host, 1.5)) >= 8
    assert len(host.expect("metrics")["data"]["processes"]) <= 3
    agent.process.send_signal(1)
    host.expect("agent_event", 5)
    samples_within(host, 0.3)
    assert not samples_within(host, 1.0)


def story_no_host_changes_a_policy_a_secret_or_a_path():
    _, host = talk(tap.keep, config="[commands]\nallow = observe control\n")
    for key in ("commands.allow", "commands.allow_unsafe", "commands.enabled", "commands.max_concurrent", "auth.secret_file",
                "auth.require_signature", "log.dir", "log.enabled", "socket.path", "agent.state_dir", "port.spec", "agent.vm_id"):
        answer = set_config(host, **{key: "yes"})
        assert answer["error_code"] == "POLICY_DENIED", (key, answer)
    assert host.run("true")["error_code"] == "POLICY_DENIED"


def every_key():
    """All keys there are, as the default configuration names them."""
    section, keys = None, []
    with open(os.path.join(ROOT, "packaging", "infiniservice.conf"), encoding="utf-8") as file:
        for line in file:
            found = re.match(r"\[(\w+)\]$|#?(\w+) = ?(.*)$", line)
            if found and found[1]:
                section = found[1]
            elif found and not line.startswith("# "):
                keys.append((f"{section}.{found[2]}", found[3].strip()))
    return keys


def story_of_all_keys_a_host_may_set_four():
    agent, host = talk(tap.keep, config="[commands]\nallow = observe control packages power\n")
    may = {"timers.metrics_interval_ms", "timers.collect_timeout_ms", "collectors.processes_top", "collectors.ports_max"}
    keys = every_key()
    assert len(keys) > 40 and may < {key for key, _ in keys}, keys
    for key, value in keys:
        answer = set_config(host, **{key: value})
        if key in may:
            assert answer["success"], (key, answer)
        else:
            assert answer["error_code"] == "POLICY_DENIED" and answer["data"] is None, (key, answer)
        # Nor beside one that it may set, nor by another spelling.
        both = set_config(host, **{"collectors.processes_top": 3, "commands.allow_unsafe": "yes"})
        assert both["error_code"] == "POLICY_DENIED", both
    for odd in ("commands.ALLOW", "Commands.allow", " commands.allow", "commands.allow ", "commands", "commands.", ".allow", "commands.allow.x", "",
                "timers.metrics_interval_ms\ncommands.allow_unsafe", "allow_unsafe", "x" * 100000):
        assert set_config(host, **{odd: "yes"})["error_code"] in ("POLICY_DENIED", "INVALID_PARAMETERS"), odd
    assert host.run("true")["error_code"] == "POLICY_DENIED"
    with open(agent.path("agent.conf"), encoding="utf-8") as file:
        assert file.read() == "[commands]\nallow = observe control packages power\n", "nothing is written"


def story_all_values_are_taken_or_none():
    _, host = talk(tap.keep, config="[timers]\nmetrics_interval_ms = 60000\n[commands]\nallow = control\n")
    host.expect("metrics")
    for values in ({"timers.metrics_interval_ms": 100, "collectors.processes_top": 100000},
                   {"timers.metrics_interval_ms": 100, "no.key": 1}, {"timers.metrics_interval_ms": 100, "log.dir": "/x"},
                   {"timers.metrics_interval_ms": [100]}, {"timers.metrics_interval_ms": 1.5}, {"timers": 1}):
        answer = set_config(host, **values)
        assert not answer["success"] and answer["error_code"] in ("INVALID_PARAMETERS", "POLICY_DENIED"), answer
    assert not samples_within(host, 0.8)


def story_without_a_grant_nothing_is_set():
    _, host = talk(tap.keep)
    assert set_config(host, timers__metrics_interval_ms=100)["error_code"] == "POLICY_DENIED"


tap.main(globals())
