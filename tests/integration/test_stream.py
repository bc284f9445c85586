#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Streaming: output comes while the command runs, in bounded chunks of whole characters, and a host that does not read loses chunks only."""
import time

import tap
from fakehost import SLOW, memory_kb, talk

UNSAFE = {"commands.allow_unsafe": "yes"}


def streamed(host, raw_command, timeout=20, **more):
    """All chunks and the response of one streaming command."""
    passed = []
    answer = host.response(host.unsafe(raw_command, timeout=timeout, stream=True, **more), timeout, passed)
    return [m for m in passed if m["type"] == "output"], answer


def text_of(chunks, stream):
    return "".join(m["data"] for m in chunks if m["stream"] == stream)


def story_output_comes_as_it_is_written_and_the_response_last():
    _, host = talk(tap.keep, UNSAFE)
    host.run("true")
    begun = time.monotonic()
    command_id = host.unsafe("echo first; sleep 1; echo second; sleep 1; echo third >&2", timeout=20, stream=True)
    for words, due in (("first\n", 0), ("second\n", 1), ("third\n", 2)):
        chunk = host.expect("output", where=lambda m: m["id"] == command_id)
        assert chunk["data"] == words, chunk
        assert due - 0.1 <= time.monotonic() - begun < due + 0.5 * SLOW, (words, time.monotonic() - begun)
    answer = host.response(command_id)
    assert answer["success"] and answer["stdout"] == "first\nsecond\n" and answer["stderr"] == "third\n"
    assert answer["stream_chunks"] == 3 and answer["stream_dropped"] == 0, answer


def story_chunks_are_numbered_and_bounded_and_nothing_is_missing():
    _, host = talk(tap.keep, UNSAFE)
    chunks, answer = streamed(host, "seq 1 100000")
    assert [m["seq"] for m in chunks] == list(range(len(chunks))) and len(chunks) == answer["stream_chunks"]
    assert chunks and all(len(m["data"].encode()) <= 8192 for m in chunks)
    assert answer["stream_dropped"] == 0
    assert text_of(chunks, "stdout") == "".join(f"{i}\n" for i in range(1, 100001))


def story_characters_are_never_split_between_chunks():
    _, host = talk(tap.keep, UNSAFE)
    chunks, answer = streamed(host, "i=0; while [ $i -lt 4000 ]; do printf '\\342\\202\\254x\\360\\237\\220\\247'; i=$((i+1)); done")
    assert answer["success"] and text_of(chunks, "stdout") == "\u20acx\U0001f427" * 4000
    chunks, _ = streamed(host, "printf '\\342'; sleep 0.2; printf '\\202'; sleep 0.2; printf '\\254'")
    assert [m["data"] for m in chunks] == ["\u20ac"], chunks


def story_half_a_character_at_the_end_is_told_and_not_lost():
    _, host = talk(tap.keep, UNSAFE)
    chunks, _ = streamed(host, "printf 'a\\342\\202'")
    assert text_of(chunks, "stdout").startswith("a\ufffd"), chunks


def story_binary_output_streams_as_valid_lines():
    _, host = talk(tap.keep, UNSAFE)
    chunks, answer = streamed(host, "head -c 300000 /dev/urandom")
    assert answer["success"] and len(chunks) >= 300000 // 8192
    assert max(len(line) for line in host.lines) < 600000


def story_no_stream_unless_asked_for():
    _, host = talk(tap.keep, UNSAFE)
    passed = []
    answer = host.response(host.unsafe("echo quiet"), passed=passed)
    assert not [m for m in passed if m["type"] == "output"] and "stream_chunks" not in answer
    assert host.run("true", stream="yes")["error_code"] == "INVALID_PARAMETERS"


def story_a_host_that_does_not_read_loses_chunks_and_is_told_how_many():
    agent, host = talk(tap.keep, {**UNSAFE, "port.queue_bytes": "1M"})
    host.run("true")
    host.expect("metrics")
    before = memory_kb(agent.pid)
    command_id = host.unsafe("head -c 60000000 /dev/zero | tr '\\0' a", timeout=60, stream=True)
    time.sleep(3 * SLOW)
    assert memory_kb(agent.pid) - before < 4096
    passed = []
    answer = host.response(command_id, 30, passed)
    chunks = [m for m in passed if m["type"] == "output"]
    assert answer["success"] and answer["stdout_bytes"] == 60000000, answer["stdout_bytes"]
    assert answer["stream_dropped"] > 0 and answer["stream_chunks"] == len(chunks) + answer["stream_dropped"]
    seqs = [m["seq"] for m in chunks]
    assert seqs == sorted(set(seqs))


def story_a_streaming_command_holds_up_nobody():
    _, host = talk(tap.keep, UNSAFE)
    command_id = host.unsafe("while :; do echo yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy; done", timeout=4, stream=True)
    passed = []
    for _ in range(5):
        time.sleep(0.2)
        before = len(passed)
        assert host.response(host.command("SystemInfo"), passed=passed)["success"]
        # Not timed: a host on a busy machine reads slowly. What counts is how much of the flood an answer waits behind.
        ahead = sum(len(m["data"]) for m in passed[before:] if m["type"] == "output")
        assert ahead < 500000, f"{ahead} bytes of the stream came before the answer"
    ended = [m for m in passed if m.get("id") == command_id and m["type"] == "response"]
    assert (ended or [host.response(command_id, 10)])[0]["error_code"] == "COMMAND_TIMEOUT"
    host.in_step(5)


def story_a_stream_ends_with_its_session():
    _, host = talk(tap.keep, UNSAFE)
    host.unsafe("for i in $(seq 50); do echo $i; sleep 0.05; done", timeout=20, stream=True)
    host.expect("output")
    host.disconnect()
    host.accept()
    host.quiet(1.5, kinds=("output", "response"))


tap.main(globals())
