#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""The local log: the very bytes that went to the host, bounded, whole after a crash, and never a reason to lose a sample on the port."""
import contextlib
import glob
import json
import os
import random
import re
import signal
import stat
import subprocess
import tempfile
import time

import schema
import tap
import log_check
from fakehost import SLOW, Agent, UnixHost, children_of, program, talk, wait_until

NAME = re.compile(r"metrics-\d{8}T\d{6}\.\d{3}Z-(\d{6,})\.ndjson(\.zst)?$")
FAST = {"timers.metrics_interval_ms": 100}


def segments(directory):
    found = sorted(name for name in os.listdir(directory) if not name.startswith(".") and name not in log_check.SPANS)
    for name in found:
        assert NAME.match(name), f"{name} is no name of a segment"
    return [os.path.join(directory, name) for name in found]


def read_segment(path):
    return log_check.text_of(path)


def log_lines(directory, headers=False):
    """All lines (bytes), each checked; segments must begin with a header."""
    lines = []
    for path in segments(directory):
        text = read_segment(path)
        if not text:
            continue
        assert text.endswith(b"\n"), f"{path} ends in the middle of a line"
        for number, line in enumerate(text.splitlines()):
            message = schema.parse_line(line)
            schema.check_message(message)
            assert (message["type"] == "log_header") == (number == 0), f"{path} line {number + 1}: {message['type']}"
            if headers or number > 0:
                lines.append(line)
    return lines


def seqs(lines):
    return [json.loads(line)["seq"] for line in lines]


def check_no_holes(numbers):
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers))), numbers


def story_every_sample_that_went_to_the_host_is_in_the_log_byte_for_byte():
    agent, host = talk(tap.keep, FAST)
    for _ in range(10):
        host.expect("metrics")
    agent.stop()
    while host.pump(0.1):
        pass
    sent = [line for line in host.lines if json.loads(line)["type"] == "metrics"]
    logged = log_lines(agent.path("log"))
    assert len(sent) >= 10
    missing = [json.loads(line)["seq"] for line in sent if line not in logged]
    assert not missing, f"not in the log, or with other bytes: {missing}"
    check_no_holes(seqs(logged))


def story_the_log_is_written_without_any_host():
    agent = tap.keep(Agent("none", FAST))
    wait_until(lambda: segments(agent.path("log")) and len(log_lines_while_written(agent)) >= 5, 10, "five lines")
    agent.stop()
    lines = log_lines(agent.path("log"))
    check_no_holes(seqs(lines))
    stamps = [json.loads(line)["timestamp"] for line in lines]
    assert stamps == sorted(stamps)


def log_lines_while_written(agent):
    return [line for path in segments(agent.path("log")) for line in read_segment(path).splitlines(True)
            if line.endswith(b"\n")]


def story_seq_grows_over_restarts_without_holes():
    with tempfile.TemporaryDirectory(prefix="infini-") as directory:
        for _ in range(3):
            with Agent("none", FAST, directory=directory):
                time.sleep(0.6)
        lines = log_lines(os.path.join(directory, "log"))
        check_no_holes(seqs(lines))
        assert len(lines) >= 9


def story_segments_rotate_and_the_total_is_bounded_with_the_active_one():
    settings = {"timers.metrics_interval_ms": 10, "log.segment_bytes": "64K", "log.max_total_bytes": "256K",
                "collectors.processes_top": 100}
    agent, host = talk(tap.keep, settings)
    end = time.monotonic() + 6
    largest = 0
    while time.monotonic() < end:
        host.pump(0.05)
        host.pending.clear()
        with contextlib.suppress(FileNotFoundError):  # removed while we looked
            largest = max(largest, sum(os.path.getsize(path) for path in glob.glob(agent.path("log") + "/**/*", recursive=True) if os.path.isfile(path)))
    agent.stop()
    names = segments(agent.path("log"))
    assert len(names) >= 2, names
    numbers = [int(NAME.match(os.path.basename(name)).group(1)) for name in names]
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers))) and numbers[0] > 1, numbers
    assert largest <= 256 * 1024, largest
    assert all(os.path.getsize(path) <= 64 * 1024 for path in names)
    check_no_holes(seqs(log_lines(agent.path("log"))))


def story_a_header_tells_schema_boot_and_first_number():
    agent = tap.keep(Agent("none", FAST))
    time.sleep(0.5)
    agent.stop()
    header, first = [json.loads(line) for line in log_lines(agent.path("log"), headers=True)[:2]]
    with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
        boot_id = file.read().strip()
    assert header["boot_id"].replace("-", "") == boot_id.replace("-", ""), header
    assert header["first_seq"] == first["seq"], (header, first["seq"])
    assert first["boot_id"] == header["boot_id"]


def story_files_and_directory_keep_others_out():
    agent = tap.keep(Agent("none", FAST))
    wait_until(lambda: segments(agent.path("log")), 5)
    for path in segments(agent.path("log")):
        assert stat.S_IMODE(os.stat(path).st_mode) == 0o640, oct(os.stat(path).st_mode)
    with Agent("none", {**FAST, "log.dir": agent.path("elsewhere")}):
        wait_until(lambda: os.path.isdir(agent.path("elsewhere")) and segments(agent.path("elsewhere")), 5)
        assert stat.S_IMODE(os.stat(agent.path("elsewhere")).st_mode) == 0o750


def story_a_torn_tail_is_cut_off_at_the_next_start_and_nothing_else():
    with tempfile.TemporaryDirectory(prefix="infini-") as directory:
        with Agent("none", FAST, directory=directory):
            time.sleep(0.7)
        newest = segments(os.path.join(directory, "log"))[-1]
        before = read_segment(newest)
        for tear in (b'{"type":"metrics","timestamp":"2026', b"\0" * 100, before.splitlines()[-1][:-1]):
            with open(newest, "ab") as file:
                file.write(tear)
            with Agent("none", FAST, directory=directory):
                time.sleep(0.4)
            lines = log_lines(os.path.join(directory, "log"))
            after = b"".join(read_segment(path) for path in segments(os.path.join(directory, "log")))
            assert before in after, "earlier lines were changed"
            newest = segments(os.path.join(directory, "log"))[-1]
            before = read_segment(newest)
        numbers = seqs(lines)
        assert numbers == sorted(set(numbers)), numbers


def story_kill_minus_9_at_any_moment_loses_no_earlier_line_and_repeats_no_number():
    with tempfile.TemporaryDirectory(prefix="infini-") as directory:
        log = os.path.join(directory, "log")
        seen = []
        for _ in range(12):
            agent = Agent("none", {"timers.metrics_interval_ms": 10, "log.segment_bytes": "64K"}, directory=directory, check_exit=False)
            with agent:
                time.sleep(0.3 + random.random() * 0.3)
                whole = [line.rstrip(b"\n") for line in log_lines_while_written(agent)]
                for pid in children_of(agent.pid):  # the writer too, in the middle of whatever it does
                    os.kill(pid, signal.SIGKILL)
                agent.kill()
            for line in seen:
                assert line in whole, "a line that was there is gone"
            seen = whole
        with Agent("none", directory=directory):
            time.sleep(0.4)
        numbers = seqs(log_lines(log))
        assert len(numbers) > 20 and numbers == sorted(set(numbers)), numbers
        assert [name for name in segments(log) if name.endswith(".zst")], "nothing was compressed meanwhile"
        faults, figures = log_check.check(log)
        assert not faults and figures["1m"] >= 1 and figures["1h"] >= 1, (faults, figures)


def story_a_killed_log_writer_is_restarted_and_nothing_is_written_twice():
    agent, host = talk(tap.keep, FAST)
    for _ in range(4):
        host.expect("metrics")
        writer = host.ask("Status")["data"]["log"]["pid"]
        assert writer in children_of(agent.pid), (writer, children_of(agent.pid))
        os.kill(writer, signal.SIGKILL)
        wait_until(lambda: host.ask("Status")["data"]["log"]["pid"] not in (0, -1, writer), 15, "a new writer", 0.1)
    time.sleep(1)
    report = host.ask("Status")["data"]["log"]
    agent.stop()
    numbers = seqs(log_lines(agent.path("log")))
    assert numbers == sorted(set(numbers)), numbers
    assert numbers[-1] - numbers[0] + 1 - len(numbers) <= report["dropped"], (numbers, report)


def story_a_stopped_log_writer_delays_nothing_but_the_log():
    agent, host = talk(tap.keep, FAST)
    host.expect("metrics")
    writer = host.ask("Status")["data"]["log"]["pid"]
    os.kill(writer, signal.SIGSTOP)
    try:
        begun, last = time.monotonic(), host.expect("metrics")["seq"]
        while time.monotonic() - begun < 3:
            number = host.expect("metrics", 1)["seq"]
            assert number == last + 1, (last, number)
            last = number
            host.in_step()
    finally:
        os.kill(writer, signal.SIGCONT)
    wait_until(lambda: host.ask("Status")["data"]["log"]["queued"] == 0, 10, "the log to catch up", 0.1)
    agent.stop()
    logged = seqs(log_lines(agent.path("log")))
    check_no_holes(logged)


def story_latest_json_is_always_the_whole_last_sample():
    agent, host = talk(tap.keep, {"timers.metrics_interval_ms": 20})
    path = agent.path("run/latest.json")
    wait_until(lambda: os.path.exists(path), 5)
    last = 0
    for _ in range(200):
        with open(path, "rb") as file:
            message = schema.parse_line(file.read().rstrip(b"\n"))
        schema.check_message(message)
        assert message["seq"] >= last
        last = message["seq"]
        host.pump(0.005)
    host.expect("metrics", where=lambda m: m["seq"] >= last)
    assert os.listdir(agent.path("run")).count("latest.json") == 1


def story_once_prints_one_full_sample_and_exits_0():
    with tempfile.TemporaryDirectory(prefix="infini-") as directory:
        agent = Agent("none", directory=directory, arguments=["--once"])
        begun = time.monotonic()
        done = subprocess.run(agent.argv(), capture_output=True, timeout=20, check=False, env=agent.env)
        assert done.returncode == 0, done
        assert time.monotonic() - begun < 3 * SLOW
        lines = done.stdout.splitlines()
        assert len(lines) == 1, lines
        message = schema.parse_line(lines[0])
        schema.check_message(message)
        assert message["type"] == "metrics"


def story_once_works_beside_a_running_agent():
    agent = tap.keep(Agent("none"))
    wait_until(lambda: segments(agent.path("log")), 5)
    other = Agent("none", directory=agent.directory, arguments=["--once"])
    done = subprocess.run(other.argv(), capture_output=True, timeout=20, check=False, env=agent.env)
    assert done.returncode == 0, done


def story_a_log_that_cannot_be_written_costs_the_port_nothing():
    blocked = os.path.join(tap.keep(tempfile.TemporaryDirectory(prefix="infini-")), "file")
    with open(blocked, "w", encoding="ascii"):
        pass
    agent, host = talk(tap.keep, {**FAST, "log.dir": blocked + "/log"})
    numbers = [host.expect("metrics")["seq"] for _ in range(10)]
    check_no_holes(numbers)
    report = host.ask("Status")["data"]["log"]
    assert report["error"] or report["state"] != "ok", report
    said = [line for line in agent.stderr().splitlines() if blocked in line]
    assert 1 <= len(said) <= 5, said


@contextlib.contextmanager
def small_disk():
    """A file system of its own with a directory for a log, and the file that fills it when it is written."""
    tap.need_root()
    with tempfile.TemporaryDirectory(prefix="infini-") as mount:
        if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=1M", "none", mount], check=False,
                          stderr=subprocess.DEVNULL).returncode != 0:
            raise tap.Skip("cannot mount a tmpfs here")
        try:
            os.mkdir(mount + "/log", 0o750)
            yield mount + "/log", mount + "/filler"
        finally:
            subprocess.run(["umount", "-l", mount], check=False)


def fill(filler):
    with open(filler, "wb") as file, contextlib.suppress(OSError):
        file.write(b"x" * (2 << 20))
        file.flush()


def story_a_full_disk_is_counted_and_recovers_alone():
    with small_disk() as (directory, filler):
        agent, host = talk(tap.keep, {**FAST, "log.dir": directory, "log.segment_bytes": "64K"})
        host.expect("metrics")
        fill(filler)
        first = host.expect("metrics")["seq"]
        for i in range(1, 20):
            assert host.expect("metrics")["seq"] == first + i
        os.unlink(filler)
        number = host.expect("metrics")["seq"] + 5
        wait_until(lambda: any(n >= number for n in whole_seqs(directory)), 20, "the log to go on", 0.2)
        agent.stop()
        numbers = whole_seqs(directory)
        assert numbers == sorted(set(numbers)), numbers


def story_an_answer_is_whole_though_the_log_fails_meanwhile():
    with small_disk() as (directory, filler):
        _, host = talk(tap.keep, {"log.dir": directory, "timers.metrics_interval_ms": 3600000})
        host.send({"type": "Subscribe", "id": "events", "topics": ["events"]})
        assert host.response("events")["success"]
        fill(filler)
        host.send({"type": "Metrics"})
        end = time.monotonic() + 5 * SLOW
        state = "ok"
        while state == "ok" and time.monotonic() < end:  # one of them is the first to know of it
            answer = host.ask("Status")
            assert answer["success"], answer
            state = answer["data"]["log"]["state"]
        assert state == "failed" and answer["data"]["log"]["error"] == "ENOSPC", answer["data"]["log"]


def whole_seqs(directory):
    found = []
    for path in segments(directory):
        for line in read_segment(path).splitlines(True):
            if line.endswith(b"\n"):
                message = json.loads(line)
                if message["type"] == "metrics":
                    found.append(message["seq"])
    return found


def story_infinictl_reads_the_log_back_with_the_daemon_alive_and_dead():
    agent = tap.keep(Agent("none", FAST))
    wait_until(lambda: segments(agent.path("log")) and len(log_lines_while_written(agent)) > 5, 10)

    def read(*arguments):
        return subprocess.run([program("infinictl"), "log", *arguments], capture_output=True, timeout=20, check=False,
                              env=agent.env)

    alive = read("--dir", agent.path("log"), "--json")
    assert alive.returncode == 0 and alive.stdout.count(b"\n") >= 5, alive
    agent.stop()
    dead = read("--dir", agent.path("log"), "--json")
    assert dead.returncode == 0, dead
    assert dead.stdout.splitlines() == log_lines(agent.path("log"))
    with open(segments(agent.path("log"))[-1], "ab") as file:
        file.write(b'{"type":"metr')
    torn = read("--dir", agent.path("log"), "--json")
    assert torn.returncode == 0 and torn.stdout == dead.stdout, torn.stderr


def story_a_host_that_is_gone_does_not_stop_the_log():
    host = tap.keep(UnixHost())
    agent = tap.keep(Agent(host.spec, FAST))
    host.accept()
    last = host.expect("metrics")["seq"]
    host.disconnect()
    host.deafen()
    wait_until(lambda: any(n > last + 5 for n in whole_seqs(agent.path("log"))), 5, "lines after the host left")
    host.listen()
    host.accept(35)
    host.expect("metrics")
    agent.stop()
    check_no_holes(seqs(log_lines(agent.path("log"))))


# --------------------------------------------------------------------------------- what cannot be shown is an error

def ctl(*arguments, timeout=30, env=None):
    return subprocess.run([program("infinictl"), *arguments], capture_output=True, text=True, timeout=timeout * SLOW, check=False, env={**os.environ, **(env or {})})


LINE = '{"type":"metrics","timestamp":"2026-01-02T03:04:05.678Z","seq":1,"data":{"system":{"cpu":{"usage_percent":3},"name":null,"disk":{"usage_stats":[{"used_gb":1}]}}}}'


def story_a_file_that_is_no_log_is_an_error():
    directory = tap.keep(tempfile.TemporaryDirectory(prefix="infini-"))
    good = os.path.join(directory, "good")
    with open(good, "w", encoding="utf-8") as file:
        file.write(LINE + "\n")
    audit = '{"type":"audit","timestamp":"2026-01-02T03:04:05.678Z","phase":"started"}'
    for name, text in (("words", b"these are\nno samples\n"), ("json", b'{"a":1}\n[1]\n'), ("empty", b""), ("bytes", bytes(range(256)) * 300), ("half", LINE.encode()[:60]),
                       ("compressed", subprocess.run(["zstd", "-qc"], input=b"words\n", stdout=subprocess.PIPE, check=True).stdout), ("broken.zst", b"\x28\xb5\x2f\xfd rest"),
                       ("audit", audit.encode() + b"\n")):
        path = os.path.join(directory, name)
        with open(path, "wb") as file:
            file.write(text)
        for arguments in (["log", path], ["log", "--metric", "system.name", path], ["log", path, good]):
            if name == "audit" and good in arguments:
                continue  # its lines have the form of a log's; among samples they are passed over
            done = ctl(*arguments)
            assert done.returncode == 1 and path in done.stderr, (arguments, done)
            assert ("no metric log" in done.stderr) or name == "audit", (arguments, done)
            assert bool(done.stdout) == (good in arguments) or name == "audit", (arguments, done)
    for path in (directory, "/no/such", "/dev/null"):
        done = ctl("log", path)
        assert done.returncode == 1 and path in done.stderr and not done.stdout, done


def story_a_metric_that_is_in_no_sample_is_an_error_with_the_likely_names():
    directory = tap.keep(tempfile.TemporaryDirectory(prefix="infini-"))
    path = os.path.join(directory, "log")
    with open(path, "w", encoding="utf-8") as file:
        file.write(LINE + "\n" + LINE.replace("05.678", "06.678") + "\n")
    for metric, likely in (("system.cpu.usage_percnt", "system.cpu.usage_percent"), ("sytem.cpu.usage_percent", "system.cpu.usage_percent"), ("cpu.usage_percent", "system.cpu.usage_percent"),
                           ("usage_percent", "system.cpu.usage_percent"), ("system.disk.usage_stat[0].used_gb", "system.disk.usage_stats[0].used_gb"), ("no.thing.like.it", None)):
        done = ctl("log", "--metric", "system.cpu.usage_percent", "--metric", metric, path)
        assert done.returncode == 1 and f"{metric}: in none of the samples" in done.stderr, done
        assert (likely or "perhaps") in done.stderr if likely else "perhaps" not in done.stderr, done
        assert done.stdout.splitlines()[0].endswith("\t3\t-"), done
    done = ctl("log", "--metric", "system.name", path)
    assert done.returncode == 0 and not done.stderr and done.stdout.splitlines()[0].endswith("\tnull"), done


def story_a_span_that_ends_before_it_begins_is_an_error():
    for begin, end in (("now", "1h ago"), ("2026-01-02", "2026-01-01"), ("2026-01-02", "2026-01-02")):
        for verb in ("log", "audit"):
            done = ctl(verb, "--begin", begin, "--end", end)
            assert done.returncode == 1 and "not before --end" in done.stderr and not done.stdout, done


@tap.beside
def story_following_ends_when_the_end_has_come():
    agent = tap.keep(Agent("none", FAST))
    wait_until(lambda: segments(agent.path("log")) and len(log_lines_while_written(agent)) >= 5, 10, "five lines")
    done = ctl("log", "--follow", "--end", "now", "--dir", agent.path("log"))
    assert done.returncode == 0 and len(done.stdout.splitlines()) > 4, done
    end = time.time() + 2
    done = ctl("log", "--follow", "--json", "--end", "@%d" % (end * 1000), "--dir", agent.path("log"))
    assert done.returncode == 0 and time.time() >= end, done
    stamps = [json.loads(line)["timestamp"] for line in done.stdout.splitlines()]
    limit = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(end)) + ".%03dZ" % (end * 1000 % 1000)
    assert all(stamp < limit for stamp in stamps), (stamps[-1], limit)
    written = [json.loads(line)["timestamp"] for line in log_lines_while_written(agent) if b'"log_header"' not in line]
    assert [stamp for stamp in written if stamp < limit] == stamps, "what was measured before the end was not shown"
    done = ctl("log", "--follow", "--begin", "now", "--metric", "system.no_such", "--end", "@%d" % ((time.time() + 1) * 1000), "--dir", agent.path("log"))
    assert done.returncode == 1 and done.stderr.count("system.no_such: in none of the samples") == 1, done


def story_sixteen_metrics_are_shown_and_the_seventeenth_is_refused():
    with tempfile.TemporaryDirectory(prefix="infini-") as directory:
        with open(os.path.join(directory, "one.ndjson"), "w", encoding="ascii") as file:
            file.write('{"type":"metrics","timestamp":"2026-01-02T03:04:05.678Z","seq":1,"data":{%s}}\n' %
                       ",".join(f'"m{i}":{1000 + i}' for i in range(20)))
        for count in (1, 16, 17, 40):
            argv = [program("infinictl"), "log"]
            for i in range(count):
                argv += ["--metric", f"m{i}"]
            done = subprocess.run(argv + [file.name], capture_output=True, text=True, timeout=20, check=False)
            if count <= 16:
                assert done.returncode == 0 and all(str(1000 + i) in done.stdout for i in range(count)), (count, done)
            else:
                assert done.returncode == 2 and "16 metrics" in done.stderr and not done.stdout, (count, done)


tap.main(globals())
