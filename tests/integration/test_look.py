#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""infinictl over logs whose numbers are known, over hostile ones, and on terminals of several sizes."""
import csv
import io
import json
import math
import os
import re
import shutil
import subprocess
import tempfile
import time

import looklog
import tap
from fakehost import SLOW, program, wait_until
from looklog import EPOCH, HOSTILE, ctl

CPU = "system.cpu.usage_percent"


def folder():
    return tap.keep(tempfile.TemporaryDirectory(prefix="infini-"))


def lines_of(*arguments, rc=0):
    done = ctl(*arguments)
    assert done.returncode == rc, done
    return done.stdout.decode().splitlines()


def story_where_chooses_the_samples_that_fulfil_it():
    log = looklog.make(folder())
    got = [float(row.split("\t")[1]) for row in lines_of("log", "--dir", log, "--metric", CPU, "--where", "cpu.steal_percent >= 18% and not system.cpu.usage_percent < 50")]
    assert got == [i % 100 for i in range(200) if i % 20 >= 18 and i % 100 >= 50], got
    done = ctl("log", "--dir", log, "--metric", CPU, "--where", "cpu.temperature > 3 or cpu.usage_percent = 7")
    assert done.stdout.count(b"\n") == 2 and b"lack a value of --where, so that it does not hold: 198" in done.stderr, done
    whole = lines_of("log", "--dir", log, "--json", "--where", "memory.available_kb = 2999950")
    assert [json.loads(row)["seq"] for row in whole] == [51]
    for text, words in (("cpu.steel_percent > 1", b"column 1: there is no metric"), ("cpu.steal_percent >", b"column 20"), ("cpu.steal_percent > 5M", b"in percent")):
        done = ctl("log", "--dir", log, "--where", text)
        assert done.returncode == 2 and words in done.stderr, done
    assert b"perhaps system.cpu.steal_percent" in ctl("log", "--dir", log, "--where", "cpu.steel_percent > 1").stderr


def story_spans_are_added_up_as_their_samples_say():
    log = looklog.make(folder())
    rows = lines_of("log", "--dir", log, "--utc", "--metric", CPU, "--every", "10m", "--calculate", "average,sum,p95,count")
    assert rows[0].split("\t")[1:] == [CPU + " " + name for name in ("average", "sum", "p95", "count")], rows[0]
    spans = {}
    for i in range(200):
        spans.setdefault((EPOCH + i * 30) // 600 * 600, []).append(i % 100)
    assert len(rows) == 1 + len(spans)
    for row, (begin, values) in zip(rows[1:], sorted(spans.items())):
        cells = row.split("\t")
        wanted = [sum(values) / len(values), sum(values), sorted(values)[math.ceil(0.95 * len(values)) - 1], len(values)]
        assert cells[0] == looklog.stamp(begin) and all(abs(float(a) - b) < 0.001 for a, b in zip(cells[1:], wanted)), (row, wanted)
    summary = [json.loads(row) for row in lines_of("log", "--dir", log, "--summary", "--json")]
    cpu = [row for row in summary if row["metric"] == CPU][0]
    values = sorted(i % 100 for i in range(200))
    assert cpu == {"metric": CPU, "count": 200, "average": 49.5, "min": 0, "p50": values[99], "p95": values[189], "p99": values[197], "max": 99, "sum": 9900}, cpu
    assert [row for row in summary if row["metric"] == "system.memory.swap_used_kb"][0]["average"] is None


def story_the_newest_lines_end_with_the_newest():
    log = looklog.make(folder())
    rows = lines_of("log", "--dir", log, "--utc", "--lines", "3")
    assert len(rows) == 4 and rows[-1].startswith("2026-09-21 15:52:50") and rows[1].startswith("2026-09-21 15:51:50"), rows
    # 1000 bytes in 30 s: a rate needs the row before.
    assert rows[1].split()[8] == "33B", rows[1]
    assert [json.loads(row)["seq"] for row in lines_of("log", "--dir", log, "--json", "--lines", "2")] == [199, 200]
    assert len(lines_of("log", "--dir", log, "--json", "--lines", "1000")) == 200
    for bad in ("0", "x", "-1", "999999999"):
        assert ctl("log", "--dir", log, "--lines", bad).returncode == 2


def story_every_form_says_the_same_numbers():
    log = looklog.make(folder(), count=20)
    where = ("log", "--dir", log, "--utc", "--metric", CPU, "--metric", "system.network.interfaces[eth0].bytes_received", "--metric", "system.cpu.temperature", "--metric", "system.name")
    wanted = [(looklog.stamp(EPOCH + i * 30), i, i * 1000) for i in range(20)]
    rows = list(csv.reader(io.StringIO("\n".join(lines_of(*where, "--output", "csv")))))
    assert rows[0][0] == "time" and rows[0][1] == CPU and [(row[0], int(row[1]), int(row[2])) for row in rows[1:]] == wanted and rows[1][3:] == ["", "Debian"], rows[:2]
    objects = [json.loads(row) for row in lines_of(*where, "--output", "json")]
    assert [(o["time"], o[CPU], o["system.network.interfaces[eth0].bytes_received"]) for o in objects] == wanted and objects[0]["system.cpu.temperature"] is None
    text = lines_of(*where, "--output", "openmetrics")
    assert text[-1] == "# EOF" and "# TYPE infiniservice_system_network_interfaces_bytes_received counter" in text
    values = [re.fullmatch(r'infiniservice_system_network_interfaces_bytes_received_total\{name="eth0"\} (\S+) (\S+)', row) for row in text]
    assert [(looklog.stamp(float(m.group(2))), int(m.group(1))) for m in values if m] == [(time_, number) for time_, _, number in wanted]
    families = [re.split(r"[ {]", row)[0].removesuffix("_total") for row in text if row[0] != "#"]
    assert [name for i, name in enumerate(families) if i == 0 or families[i - 1] != name] == sorted(set(families), key=families.index), "a family in two places"


def story_a_process_is_followed_by_name_or_number():
    log = looklog.make(folder(), count=10)
    rows = lines_of("log", "--dir", log, "--process", "worker", "--output", "csv")
    assert len(rows) == 11 and rows[1].endswith(",100,worker,0,5000,,1"), rows[:2]
    assert len(lines_of("log", "--dir", log, "--process", "101")) == 6
    done = ctl("log", "--dir", log, "--process", "nobody")
    assert done.returncode == 1 and b"no such process" in done.stderr
    for wrong in (["--process", "x", "--metric", CPU], ["--every", "0s"], ["--every", "5"], ["--every", "5m", "--summary"], ["--calculate", "p95"], ["--every", "1m", "--calculate", "p101"],
                  ["--output", "xml"], ["--color", "blue"], ["--follow", "--lines", "3"]):
        assert ctl("log", "--dir", log, *wrong).returncode == 2, wrong


def story_tables_fit_terminals_of_both_sizes():
    log = looklog.make(folder(), count=50)
    for columns, lines in ((80, 24), (200, 60)):
        for arguments in (["log"], ["log", "--summary"], ["log", "--process", "worker"]):
            shown = looklog.on_terminal([*arguments, "--dir", log], columns, lines)
            assert len(shown) > 8 and all(len(row) <= columns for row in shown), (columns, arguments, [row for row in shown if len(row) > columns])
    colored = "\n".join(looklog.on_terminal(["log", "--dir", log, "--color", "always"], 80, 24))
    assert "\x1b[1mtime" in colored and not re.sub(r"\x1b\[\d+m", "", colored).count("\x1b"), "other sequences than colours"


def story_a_pager_shows_what_is_longer_than_the_screen():
    if not shutil.which("less"):
        raise tap.Skip("less is not here")
    log, outer = looklog.make(folder(), count=200), folder()
    name = "look%d" % os.getpid()
    tmux = ["tmux", "-S", os.path.join(outer, "s"), "-f", "/dev/null"]
    if not shutil.which("tmux"):
        raise tap.Skip("tmux is not here (tools/deps.sh test)")
    env = {key: value for key, value in os.environ.items() if key not in ("PAGER", "LESS", "INFINICTL_PAGER", "NO_COLOR")}
    subprocess.run([*tmux, "new-session", "-d", "-x", "80", "-y", "24", "-s", name, f"{program('infinictl')} log --dir {log}; echo LEFT; sleep 100"], check=True, env=env)

    def screen():
        return subprocess.run([*tmux, "capture-pane", "-p", "-t", name], stdout=subprocess.PIPE, text=True, check=True).stdout
    try:
        wait_until(lambda: "time" in screen() and screen().count("2026-") >= 20, 20, "the first page")
        assert "LEFT" not in screen()
        subprocess.run([*tmux, "send-keys", "-t", name, "G"], check=True)
        wait_until(lambda: "(END)" in screen(), 20, "the end")
        subprocess.run([*tmux, "send-keys", "-t", name, "q"], check=True)
        wait_until(lambda: "LEFT" in screen(), 20, "the pager's end")
    finally:
        subprocess.run([*tmux, "kill-server"], check=False)


# What each verb is asked over a hostile log; FILE stands for a file it may write.
VERBS = [["log"], ["log", "--metric", CPU, "--metric", "system.hostname"], ["log", "--output", "csv"], ["log", "--output", "openmetrics"], ["log", "--json"], ["log", "--every", "1m"],
         ["log", "--summary"], ["log", "--lines", "4"], ["log", "--where", "cpu.usage_percent >= 0"], ["log", "--process", "worker"]]


def story_every_verb_shows_what_it_can_of_a_hostile_log_and_says_what_it_left_out():
    outer = folder()
    logs = [(name, looklog.write_hostile(outer, name), said) for name, (_, said) in HOSTILE.items()] + [("a bad frame", looklog.write_bad_frame(outer), "end inside a line")]
    for name, log, said in logs:
        for verb in VERBS:
            words = [os.path.join(outer, "out") if word == "FILE" else word for word in verb]
            done = ctl(*words, "--dir", log, "--utc", timeout=20)
            assert done.returncode in (0, 1), (name, verb, done)
            assert done.stdout or "FILE" in verb, (name, verb, done)
            assert not said or said.encode() in done.stderr, (name, verb, done.stderr)
            if "--json" not in verb:
                assert not re.search(rb"[\x00-\x08\x0b-\x1f\x7f]", done.stdout), (name, verb)


if __name__ == "__main__":
    tap.main(globals())
