#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""infinictl over logs whose numbers are known, over hostile ones, and on terminals of several sizes."""
import csv
import html.parser
import io
import json
import math
import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
from xml.etree import ElementTree

import looklog
import tap
import log_check
from fakehost import SLOW, Agent, UnixHost, program, wait_until
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


def story_values_are_the_same_whether_lines_are_parsed_or_picked_from():
    outer = folder()
    odd = [json.dumps(looklog.sample(i, EPOCH + i * 30), separators=(",", ":")) for i in range(12)]
    for i, (old, new) in enumerate((('"usage_percent":4', '"usage_percent":-0'), ('"usage_percent":5', '"usage_percent":1.50e1'), ('"usage_percent":6', '"usage_percent":12345678901234567'),
                                    ('"usage_percent":7', '"usage_percent":-0.50'), ('"usage_percent":8', '"usage_percent":"\\u0041\\/\\"x"'), ('"usage_percent":9', '"usage_percent":9,"usage_percent":3'),
                                    ('"usage_percent":10', '"usage_percent":[1, 2.0]')), 4):
        assert old in odd[i], (i, old)
        odd[i] = odd[i].replace(old, new)
    odd[11] = odd[11].replace('"processes":[', '"seq":77,"processes":[{"pid":0,"name":"other"},')
    logs = [looklog.write(os.path.join(outer, "odd"), [(text + "\n").encode() for text in odd]), *(looklog.write_hostile(outer, name) for name in HOSTILE), looklog.write_bad_frame(outer)]
    # A metric that was in no sample so far has every line parsed as a whole, since likely names are sought in it.
    paths = ["system.cpu.usage_percent", "system.hostname", "seq", "processes[0].name", "system.disk.usage_stats[/].used_gb", "system.cpu.temperature"]
    for log in logs:
        for chosen in (paths, paths[:1]):
            arguments = ["log", "--dir", log, "--utc", "--output", "csv", *(word for path in chosen for word in ("--metric", path))]
            picked, parsed = ctl(*arguments), ctl(*arguments, "--metric", "no.such")
            assert [row + b"," for row in picked.stdout.splitlines()[1:]] == parsed.stdout.splitlines()[1:], (log, picked, parsed)
            said = [row for row in parsed.stderr.splitlines() if b"no.such" not in row]
            assert picked.stderr.splitlines() == said and parsed.returncode == 1, (log, picked.stderr, parsed.stderr)
    rows = ctl("log", "--dir", logs[0], "--metric", paths[0]).stdout.decode().splitlines()
    assert [row.split("\t")[1] for row in rows[5:11]] == ["1.50e1", "12345678901234567", "-0.50", 'A/"x', "3", "[1,2.0]"], rows


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


def dots(rows):
    """The canvas of braille characters behind the axis, as rows of dots."""
    bits = ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80))
    plot = [row[9:] for row in rows if len(row) > 8 and row[8] in "┤│"]
    width = max(len(row) for row in plot)
    return [[int(c < len(row) and 0x2800 <= ord(row[c]) < 0x2900 and (ord(row[c]) - 0x2800) & bits[y][x] != 0) for c in range(width) for x in range(2)]
            for row in plot for y in range(4)]


def story_a_chart_shows_the_values_where_they_lie():
    def change(i, message):
        message["data"]["system"]["cpu"]["usage_percent"] = 100 * i / 199
        return message
    log = looklog.make(folder(), change=change)
    for columns, lines in ((80, 24), (200, 60)):
        rows = looklog.on_terminal(["plot", "--dir", log, "--begin", "@%d" % EPOCH, "cpu.usage_percent"], columns, lines)
        assert len(rows) == lines - 1 and all(len(row) <= columns for row in rows), (columns, len(rows), rows)
        assert rows[0].startswith("━ system.cpu.usage_percent") and "last 100%  min 0%  avg 50%  max 100%" in rows[0], rows[0]
        assert rows[1].lstrip().startswith("100%") and any(row.lstrip().startswith("0%") for row in rows), rows
        canvas = dots(rows)
        for x in range(len(canvas[0])):
            lit = [y for y in range(len(canvas)) if canvas[y][x]]
            assert lit, (columns, x)
            wanted = (1 - (x + 0.5) / len(canvas[0])) * (len(canvas) - 1)
            assert min(abs(y - wanted) for y in lit) <= 2, (columns, x, lit, wanted)


def story_a_chart_is_broken_where_nothing_was_measured():
    log = looklog.write(folder(), [looklog.sample(50, EPOCH + i * 30) for i in range(200) if not 80 <= i < 120])
    for style, mark in (("braille", "x"), ("ascii", "x"), ("block", "x")):
        rows = ctl("plot", "--dir", log, "--begin", "@%d" % EPOCH, "--style", style, "--width", "109", "cpu.usage_percent").stdout.decode().splitlines()
        axis = [row for row in rows if row[8] in "└+"][-1][9:]
        marked = [x for x, c in enumerate(axis) if c == mark]
        assert 18 <= len(marked) <= 24 and 38 <= marked[0] <= 41, (style, axis)
        if style == "braille":
            canvas = dots(rows)
            dark = [x // 2 for x in range(len(canvas[0])) if not any(row[x] for row in canvas)]
            assert set(range(42, 58)) <= set(dark), (dark, rows)


def story_charts_of_several_units_and_a_file_of_svg():
    log, outer = looklog.make(folder()), folder()
    metrics = ["cpu.usage_percent", "cpu.steal_percent", "memory.used_kb", "system.network.interfaces[eth0].bytes_received"]
    rows = ctl("plot", "--dir", log, "--begin", "@%d" % EPOCH, *metrics, env={"LC_ALL": "C"}).stdout.decode("ascii").splitlines()
    assert [row[0] for row in rows if row[0] in "*+" and row[1] == " "] == ["*", "+", "*", "*"], rows
    svg = os.path.join(outer, "x.svg")
    assert ctl("plot", "--dir", log, "--begin", "@%d" % EPOCH, *metrics, "--svg", svg).returncode == 0
    root = ElementTree.parse(svg).getroot()
    lines = [e for e in root.iter("{http://www.w3.org/2000/svg}polyline")]
    assert len(lines) == 4 and [e.get("class") for e in lines] == ["line s0", "line s1", "line s0", "line s0"], lines
    assert ctl("plot", "--dir", log, *metrics, "--begin", "@%d" % EPOCH, "--svg", "-").stdout == open(svg, "rb").read()
    before = os.path.join(outer, "link")
    os.symlink(svg, before)
    for path, words in ((before, b"symbolic link"), ("/dev/null", b"no ordinary file"), (outer, b"directory"), ("/no/such/x.svg", b"No such file")):
        done = ctl("plot", "--dir", log, "--begin", "@%d" % EPOCH, metrics[0], "--svg", path)
        assert done.returncode == 1 and words in done.stderr, done


def story_plot_says_what_it_cannot_draw():
    log = looklog.make(folder())
    for arguments, rc, words in ((["cpu.usage_percnt"], 2, b"perhaps system.cpu.usage_percent"), ([], 2, b"needs a metric"), (["cpu.temperature"], 1, b"no value in any of the samples"),
                                 (["disk.usage_stats[mount_point].used_gb"], 2, b"write in []"), (["cpu.usage_percent", "--width", "5"], 2, b"from 20"),
                                 (["cpu.usage_percent", "--begin", "tomorrow"], 1, b"no sample between"), (["cpu.usage_percent", "--style", "pie"], 2, b"braille, block and ascii")):
        begin = [] if "--begin" in arguments else ["--begin", "@%d" % EPOCH]
        done = ctl("plot", "--dir", log, *begin, *arguments)
        assert done.returncode == rc and words in done.stderr, (arguments, done)


def story_a_followed_chart_grows_with_the_log():
    if not shutil.which("tmux"):
        raise tap.Skip("tmux is not here (tools/deps.sh test)")
    outer = folder()
    log, now = os.path.join(outer, "log"), time.time()
    path = os.path.join(looklog.write(log, [looklog.sample(40, now - 20 + i) for i in range(10)], begin=now - 20), "metrics-20260921T141320.000Z-000001.ndjson")
    tmux = ["tmux", "-S", os.path.join(outer, "s"), "-f", "/dev/null"]
    subprocess.run([*tmux, "-u", "new-session", "-d", "-x", "80", "-y", "24", f"LC_ALL=C.UTF-8 {program('infinictl')} plot --follow --dir {log} --begin -1m cpu.usage_percent"], check=True)

    def screen():
        return subprocess.run([*tmux, "capture-pane", "-p"], stdout=subprocess.PIPE, text=True, check=True).stdout
    try:
        wait_until(lambda: "last 40%" in screen(), 20, "the first chart")
        with open(path, "ab") as file:
            file.write(looklog.line(looklog.sample(77, time.time())))
        wait_until(lambda: "last 77%" in screen() and "max 77%" in screen(), 20, "the new value")
        assert screen().count("━ system.cpu.usage_percent") == 1 and len(screen().splitlines()) <= 24, screen()
    finally:
        subprocess.run([*tmux, "kill-server"], check=False)


def story_events_are_listed_from_samples_and_records():
    outer = folder()
    log, records = os.path.join(outer, "log"), os.path.join(outer, "records")
    messages = [looklog.sample(i, EPOCH + i * 30, generation="g1") for i in range(60) if not 20 <= i < 25]
    for message in messages:
        i = message["seq"] - 1
        if i >= 30:
            message["data"]["system"]["vmstat"]["oom_kills"] = 2
        if i == 10:
            message["gap"] = "start"
        if 35 <= i < 38:
            message["data"]["failed_collectors"] = [{"name": "disk", "error": "EIO", "failures": i}]
        if i == 40:
            message["gap"] = "clock"
        if i >= 45:
            message["generation"] = "g2"
        if i >= 50:
            message.update(boot_id="c", generation="g3")
            message["data"]["system"]["vmstat"]["oom_kills"] = 0
    looklog.write(log, messages)
    os.mkdir(records)
    at = lambda i: looklog.stamp(EPOCH + i * 30)  # noqa: E731
    with open(os.path.join(records, "audit.ndjson"), "w", encoding="utf-8") as file:
        for record in ({"timestamp": at(5), "phase": "started", "id": "a", "action": "ProcessKill", "origin": "host"},
                       {"timestamp": at(5), "phase": "finished", "id": "a", "action": "ProcessKill", "origin": "host", "success": False, "error_code": "NOT_FOUND", "duration_ms": 1500},
                       {"timestamp": at(6), "phase": "refused", "id": "b", "action": "UnsafeCommand", "origin": "uid 1000", "error_code": "POLICY_DENIED"},
                       {"timestamp": at(7), "phase": "event", "id": None, "action": "alert", "origin": "agent", "severity": "warn", "detail": "disk: begins"},
                       {"timestamp": at(8), "phase": "event", "id": None, "action": "log", "origin": "agent", "severity": "error", "detail": "\u001b[2Jcannot be written"},
                       {"timestamp": at(9), "phase": "finished", "id": "infinictl-5", "action": "Status", "origin": "uid 0", "success": True, "duration_ms": 1},
                       {"timestamp": at(500), "phase": "refused", "id": "late", "action": "X", "origin": "host", "error_code": "STALE"}):
            file.write(json.dumps({"type": "audit", **record}) + "\n")
    os.chmod(os.path.join(records, "audit.ndjson"), 0o600)
    events = [json.loads(row) for row in lines_of("events", "--dir", log, "--records", records, "--json", "--utc", "--end", "@%d" % (EPOCH + 3600))]
    got = [(event["time"], event["kind"]) for event in events]
    assert got == [(at(5), "command"), (at(6), "refused"), (at(7), "alert"), (at(8), "fault"), (at(10), "start"), (at(19), "gap"), (at(30), "oom"), (at(35), "fault"), (at(38), "fault"),
                   (at(40), "clock"), (at(45), "snapshot"), (at(50), "reboot")], got
    texts = {event["kind"] + " " + event["time"]: event["text"] for event in events}
    assert "2 process(es) killed" in texts["oom " + at(30)] and "collector disk fails" in texts["fault " + at(35)] and "works again" in texts["fault " + at(38)], texts
    assert texts["command " + at(5)] == "ProcessKill for host failed after 1.500 s: NOT_FOUND" and texts["refused " + at(6)] == "uid 1000 asked for UnsafeCommand: POLICY_DENIED", texts
    assert [event["end"] for event in events if event["kind"] == "gap"] == [at(25)]
    table = looklog.on_terminal(["events", "--dir", log, "--records", records, "--utc", "--lines", "3", "--end", "@%d" % (EPOCH + 3600)])
    assert len(table) == 3 and table[-1].endswith("the guest was booted") and all(len(row) <= 80 for row in table), table
    assert b"?[2Jcannot be written" in ctl("events", "--dir", log, "--records", records, "--kind", "fault").stdout
    assert [row.split()[2] for row in lines_of("events", "--dir", log, "--kind", "oom,gap")] == ["gap", "oom"]
    assert ctl("events", "--dir", log, "--kind", "x").returncode == 2


class Page(html.parser.HTMLParser):
    """What of a page the story looks at: tables by class, the pictures with their lines, and every element and attribute."""

    def __init__(self, text):
        super().__init__()
        self.tables, self.svgs, self.tags, self.attributes, self.cells, self.text, self.open = {}, [], set(), set(), None, "", []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        self.tags.add(tag)
        self.attributes.update(attrs)
        if tag == "table":
            self.tables.setdefault(attrs.get("class"), []).append([])
            self.open = self.tables[attrs.get("class")][-1]
        elif tag == "tr":
            self.open.append([])
        elif tag in ("td", "th"):
            self.open[-1].append("")
            self.cells = self.open[-1]
        elif tag == "svg":
            self.svgs.append({"attrs": attrs, "lines": [], "gaps": []})
        elif tag == "polyline":
            self.svgs[-1]["lines"].append((attrs["class"], [tuple(map(float, pair.split(","))) for pair in attrs["points"].split()]))
        elif tag == "rect" and attrs.get("class") == "gap":
            self.svgs[-1]["gaps"].append((float(attrs["x"]), float(attrs["width"])))

    def handle_endtag(self, tag):
        if tag in ("td", "th"):
            self.cells = None

    def handle_data(self, data):
        self.text += data
        if self.cells is not None:
            self.cells[-1] += data


def check_page(page, begin, end, values, gap):
    """The chart of the processors and its table against the values that the log holds."""
    svg = page.svgs[0]
    low, high = float(svg["attrs"]["data-low"]), float(svg["attrs"]["data-high"])
    left, top, width, height = map(float, svg["attrs"]["data-plot"].split())
    assert int(svg["attrs"]["data-begin"]) == begin * 1000 and abs(int(svg["attrs"]["data-end"]) - end * 1000) <= 1000, svg["attrs"]
    seen = 0
    for name, points in svg["lines"]:
        if name != "line s0":
            continue
        for x, y in points:
            at, value = begin + (x - left) / width * (end - begin), high - (y - top) / height * (high - low)
            near = [v for t, v in values if abs(t - at) <= 45]
            assert near and min(near) - 1 <= value <= max(near) + 1, (at, value, near)
            seen += 1
    assert seen > 100, seen
    spans = [(begin + (x - left) / width * (end - begin), begin + (x - left + w) / width * (end - begin)) for x, w in svg["gaps"]]
    assert len(spans) == 1 and abs(spans[0][0] - gap[0]) < 20 and abs(spans[0][1] - gap[1]) < 20, (spans, gap)
    row = [row for row in page.tables["numbers"][0] if row and row[0] == CPU][0]
    numbers = sorted(v for _, v in values)
    wanted = [len(numbers), numbers[0], sum(numbers) / len(numbers), numbers[math.ceil(len(numbers) * 0.5) - 1], numbers[math.ceil(len(numbers) * 0.95) - 1], numbers[-1], values[-1][1]]
    assert all(abs(float(cell.rstrip("%")) - number) < 0.001 for cell, number in zip(row[1:], wanted)), (row, wanted)


NEVER = {"script", "link", "img", "iframe", "object", "embed", "form", "base", "b1"}


def story_a_report_holds_the_numbers_of_the_log_and_no_markup_of_a_guest():
    evil, outer = "<script>alert(1)</script><b1 onload=x>\"'&", folder()

    def change(i, message):
        message["data"]["system"]["hostname"] = evil
        message["data"]["system"]["disk"]["usage_stats"][0]["mount_point"] = "/" + evil
        message["data"]["system"]["network"]["interfaces"][0]["name"] = evil
        message["gap"] = evil
        return message
    count, gap = 400, range(150, 200)
    log = looklog.write(os.path.join(outer, "log"), [change(i, looklog.sample(i, EPOCH + i * 30)) for i in range(count) if i not in gap])
    out = os.path.join(outer, "page.html")
    end = EPOCH + count * 30
    done = ctl("report", "--html", out, "--dir", log, "--utc", "--begin", "@%d" % EPOCH, "--end", "@%d" % end)
    assert done.returncode == 0 and not done.stderr, done
    with open(out, encoding="utf-8") as file:
        text = file.read()
    page = Page(text)
    values = [(EPOCH + i * 30, i % 100) for i in range(count) if i not in gap]
    check_page(page, EPOCH, end, values, (EPOCH + 149 * 30, EPOCH + 200 * 30))
    assert not page.tags & NEVER and not [name for name in page.attributes if name.startswith("on") or name in ("src", "href")], (page.tags, page.attributes)
    assert page.text.count(evil) >= 3 and not re.search(r"url\(|@import|http://(?!www\.w3\.org/2000/svg)|https:", text), "other files"
    assert "prefers-color-scheme:dark" in text and "@media print" in text
    assert [row[1] for row in page.tables["events"][0][1:]].count("gap") == 1
    looked = shutil.which("chromium")
    if not looked:
        tap.note("chromium is not here (tools/deps.sh test): the page was not opened in it")
        return
    home = folder()
    done = subprocess.run([looked, "--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr", "--v=0", "--user-data-dir=" + home, "--dump-dom", "file://" + out],
                          capture_output=True, text=True, timeout=120 * SLOW, check=False, env={**os.environ, "HOME": home})
    assert "CONSOLE" not in done.stderr, [row for row in done.stderr.splitlines() if "CONSOLE" in row]
    shown = Page(done.stdout)
    check_page(shown, EPOCH, end, values, (EPOCH + 149 * 30, EPOCH + 200 * 30))
    assert not shown.tags & NEVER and shown.tables == page.tables and len(shown.svgs) == len(page.svgs) >= 6


def story_a_report_compares_two_spans_and_knows_days_and_weeks():
    outer = folder()
    day = 86400

    def change(i, message):
        message["data"]["system"]["cpu"]["usage_percent"] = 20 if i < day // 600 else 30
        return message
    begin = EPOCH // day * day
    log = looklog.make(os.path.join(outer, "log"), count=2 * day // 600, step=600, begin=begin, change=change)
    done = ctl("report", "--html", "-", "--dir", log, "--utc", "--day=@%d" % (begin + day + 5000), "--compare", "@%d" % begin)
    assert done.returncode == 0, done
    page = Page(done.stdout.decode())
    row = [row for row in page.tables["compare"][0] if row[0] == CPU][0]
    assert row == [CPU, "30%", "20%", "+50.0 %"], row
    assert {(svg["attrs"]["data-begin"], svg["attrs"]["data-end"]) for svg in page.svgs} == {(str((begin + d * day) * 1000), str((begin + (d + 1) * day) * 1000)) for d in (0, 1)}
    page = Page(ctl("report", "--html", "-", "--dir", log, "--utc", "--week=@%d" % begin).stdout.decode())
    monday = begin - time.gmtime(begin).tm_wday * day
    assert page.svgs[0]["attrs"]["data-begin"] == str(monday * 1000) and page.svgs[0]["attrs"]["data-end"] == str((monday + 7 * day) * 1000)
    done = ctl("report", "--html", "-", "--dir", log, "--begin", "tomorrow")
    assert done.returncode == 1 and b"no sample between" in done.stderr and b"There is no sample in this span" in done.stdout, done
    for wrong in ([], ["--html", "-", "--compare", "now", os.path.join(log, os.listdir(log)[0])]):
        assert ctl("report", *wrong).returncode == 2, wrong
    link = os.path.join(outer, "link")
    os.symlink(os.path.join(outer, "elsewhere"), link)
    assert b"symbolic link" in ctl("report", "--dir", log, "--html", link).stderr and not os.path.exists(os.path.join(outer, "elsewhere"))


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


def story_an_alert_of_the_owner_is_told_and_stays_on_record():
    rules = '[alert "busy"]\nwhen = load_average.load_1min >= 0\nclear = < 0\n[alert "quiet"]\nwhen = load_average.load_1min < 0\n[alert "late"]\nwhen = uptime_seconds > 0\nfor = 7d\n'
    host = tap.keep(UnixHost())
    agent = Agent(host.spec, {"timers.metrics_interval_ms": 100})
    agent.write_config(rules)
    tap.keep(agent)
    host.accept()

    def alert():
        return host.expect("agent_event", 10, lambda message: message["source"] == "alert")
    event = alert()
    assert event["severity"] == "warn" and event["message"].startswith("busy: load_average.load_1min >= 0 for 0 s; the value is "), event
    status = json.loads(ctl("status", "--json", "--socket", agent.settings["socket.path"]).stdout)
    assert status["alerts_active"] == 1 and [fault["message"].split(":")[0] for fault in status["standing"] if fault["source"] == "alert"] == ["busy"], status["standing"]
    agent.write_config("")
    agent.process.send_signal(signal.SIGHUP)
    event = alert()
    assert event["severity"] == "info" and event["message"] == "busy: is over: its rule is gone or has changed", event

    def recorded():
        done = ctl("events", "--json", "--kind", "alert", "--dir", agent.settings["log.dir"], "--records", agent.settings["agent.state_dir"])
        return [json.loads(row) for row in done.stdout.splitlines()]
    if os.path.exists("/run/systemd/journal/socket"):
        tap.note("the journal took the records")
        return
    wait_until(lambda: len(recorded()) == 2, 10, "two events on record")
    assert [(entry["severity"], entry["text"].split(":")[0]) for entry in recorded()] == [("warn", "busy"), ("info", "busy")], recorded()


def tiers_of_the_agent(wanted):
    """A log of the last hour or two with ten minutes missing, and its summaries as the agent itself makes them; (folder, first moment, gap)."""
    agent = Agent(settings={"timers.metrics_interval_ms": 60000})
    log, begin = agent.settings["log.dir"], int(time.time()) // 3600 * 3600 - 3600
    gap = (begin + 1200, begin + 1800)
    shutil.rmtree(log)
    messages = [looklog.sample(i, begin + i * 30) for i in range((int(time.time()) - begin) // 30) if not gap[0] <= begin + i * 30 < gap[1]]
    looklog.write(log, messages, name=time.strftime("metrics-%Y%m%dT%H%M%S.000Z-000001.ndjson", time.gmtime(begin)), begin=begin)
    tap.keep(agent)
    wait_until(lambda: os.path.isdir(os.path.join(log, "1m")) and len(list(log_check.lines_of(os.path.join(log, "1m")))) > wanted, 20, "summaries")
    agent.stop()
    return log, begin, gap


def summaries_of(log, tier, metric=("system", "cpu", "usage_percent")):
    """(begin, seconds, samples, [least, average, greatest, last]) of each stretch."""
    rows = log_check.effective([line for line in log_check.lines_of(os.path.join(log, tier)) if line["type"] == "summary"])
    return [(log_check.milliseconds(row["timestamp"]) / 1000, row["span_ms"] / 1000, row["count"], dict(log_check.leaves(row["data"]))[metric]) for row in rows]


def points_of(root, kind):
    """The corners of the polylines or polygons of a picture, as (seconds, value), one list each."""
    svg = root.find(".//{*}svg[@data-plot]")
    left, top, width, height = map(float, svg.get("data-plot").split())
    begin, end, low, high = (float(svg.get("data-" + name)) for name in ("begin", "end", "low", "high"))
    lists = [[tuple(map(float, pair.split(","))) for pair in shape.get("points").split()] for shape in svg.iter("{http://www.w3.org/2000/svg}" + kind)]
    gaps = [(float(rect.get("x")), float(rect.get("width"))) for rect in svg.iter("{http://www.w3.org/2000/svg}rect") if rect.get("class") == "gap"]
    seconds = lambda x: (begin + (x - left) / width * (end - begin)) / 1000  # noqa: E731
    return [[(seconds(x), high - (y - top) / height * (high - low)) for x, y in shape] for shape in lists], [(seconds(x), seconds(x + w)) for x, w in gaps], 0.2 * (high - low) / height


def check_chart(done, rows, step):
    """Each corner of line and band is the average, least and greatest of the summaries whose middle lies in its step, and every summary is in one."""
    assert done.returncode == 0 and not done.stderr, done
    root = ElementTree.fromstring(done.stdout)
    lines, gaps, pixel = points_of(root, "polyline")
    bands = points_of(root, "polygon")[0]
    near = lambda at: [row for row in rows if abs(row[0] + row[1] / 2 - at) <= step / 2 + 2]  # noqa: E731
    drawn = set()
    for line in lines:
        for at, value in line:
            inside = near(at)
            assert inside, (at, "no summary is near")
            assert min(row[3][1] for row in inside) - pixel <= value <= max(row[3][1] for row in inside) + pixel, (at, value, inside)
            drawn.update(row[0] for row in inside)
    assert drawn == {row[0] for row in rows}, sorted({row[0] for row in rows} - drawn)
    assert bands
    for band in bands:
        half = len(band) // 2
        for (at, most), (_, least) in zip(band[:half], reversed(band[half:])):
            assert any(abs(row[3][2] - most) <= pixel for row in near(at)) and any(abs(row[3][0] - least) <= pixel for row in near(at)), (at, least, most, near(at))
    return gaps


def story_what_only_the_summaries_have_is_drawn_and_reported():
    log, begin, gap = tiers_of_the_agent(45)
    rows = summaries_of(log, "1m")
    for name in os.listdir(log):
        if name.startswith("metrics-"):
            os.unlink(os.path.join(log, name))
    assert len(rows) > 45 and b"damaged" not in ctl("log", "--dir", log).stderr
    plot = ("plot", "--dir", log, "--begin", "@%d" % begin, "--svg", "-")
    gaps = check_chart(ctl(*plot, "cpu.usage_percent"), rows, 14)  # drawn where their middles lie
    assert len(gaps) >= 1 and abs(gaps[0][0] - gap[0]) < 20 and abs(gaps[0][1] - gap[1]) < 20, (gaps, gap)
    done = ctl("plot", "--dir", log, "--begin", "@%d" % begin, "system.network.interfaces[eth0].bytes_received")
    assert done.returncode == 1 and b"the summaries do not keep it" in done.stderr, done
    done = ctl("plot", "--dir", log, "--begin", "@%d" % (begin - 9000), "--end", "@%d" % (begin - 8000), "cpu.usage_percent")
    assert done.returncode == 1 and b"no sample between --begin and --end" in done.stderr, done
    done = ctl("report", "--html", "-", "--dir", log, "--utc", "--begin", "@%d" % begin)
    assert done.returncode == 0, done
    page = Page(done.stdout.decode())
    row = [row for row in page.tables["numbers"][0] if row and row[0] == CPU][0]
    many = sorted(average for _, _, count, (_, average, _, _) in rows for _ in range(count))
    wanted = [len(many), min(values[0] for _, _, _, values in rows), sum(many) / len(many), many[math.ceil(len(many) * 0.5) - 1], many[math.ceil(len(many) * 0.95) - 1],
              max(values[2] for _, _, _, values in rows), rows[-1][3][3]]
    assert all(abs(float(cell.rstrip("%")) - number) < 0.001 for cell, number in zip(row[1:], wanted)), (row, wanted)
    assert "%d of the samples are read from the log's summaries" % len(many) in page.text
    assert "system.disk.usage_stats[/].used_gb" in page.text and "system.network.interfaces[eth0].rx_bytes_per_sec" in page.text
    # The hours alone.
    hours = summaries_of(log, "1h")
    shutil.rmtree(os.path.join(log, "1m"))
    check_chart(ctl(*plot, "cpu.usage_percent"), hours, 14)


def story_a_long_span_is_drawn_from_the_summaries_beside_the_samples():
    log, begin, gap = tiers_of_the_agent(45)
    long = ("plot", "--dir", log, "--begin", "@%d" % (begin - 2 * 86400), "--svg", "-", "cpu.usage_percent")
    before = ctl(*long)
    gaps = check_chart(before, summaries_of(log, "1m"), 240)
    assert gaps and abs(gaps[0][0] - gap[0]) < 250 and abs(gaps[0][1] - gap[1]) < 250, (gaps, gap)
    # Other values in the first samples change nothing of that; of a short span they are what is drawn.
    lines = [line for line in log_check.lines_of(log) if line["type"] == "metrics"]
    for name in os.listdir(log):
        if name.startswith("metrics-"):
            os.unlink(os.path.join(log, name))
    for line in lines[:30]:
        line["data"]["system"]["cpu"]["usage_percent"] = 77.7
    looklog.write(log, lines, name=time.strftime("metrics-%Y%m%dT%H%M%S.000Z-000001.ndjson", time.gmtime(begin)), begin=begin)
    assert ctl(*long).stdout == before.stdout
    short = ctl("plot", "--dir", log, "--begin", "@%d" % begin, "--end", "@%d" % (begin + 900), "cpu.usage_percent")
    assert b"last 77.7%  min 77.7%  avg 77.7%  max 77.7%" in short.stdout, short
    # What the summaries do not keep is read from the samples.
    received = ctl("plot", "--dir", log, "--begin", "@%d" % (begin - 2 * 86400), "system.network.interfaces[eth0].bytes_received")
    assert received.returncode == 0 and b"min 0B" in received.stdout, received


# What each verb is asked over a hostile log; FILE stands for a file it may write.
VERBS = [["log"], ["log", "--metric", CPU, "--metric", "system.hostname"], ["log", "--output", "csv"], ["log", "--output", "openmetrics"], ["log", "--json"], ["log", "--every", "1m"],
         ["plot", "cpu.usage_percent", "memory.used_kb"], ["plot", "--style", "block", "cpu.usage_percent"], ["plot", "--svg", "-", "cpu.usage_percent", "disk.usage_stats[/].used_gb"],
         ["report", "--html", "-"], ["events"],
         ["log", "--summary"], ["log", "--lines", "4"], ["log", "--where", "cpu.usage_percent >= 0"], ["log", "--process", "worker"]]


def story_every_verb_shows_what_it_can_of_a_hostile_log_and_says_what_it_left_out():
    outer = folder()
    logs = [(name, looklog.write_hostile(outer, name), said) for name, (_, said) in HOSTILE.items()] + [("a bad frame", looklog.write_bad_frame(outer), "end inside a line")]
    for name, log, said in logs:
        for verb in VERBS:
            words = [os.path.join(outer, "out") if word == "FILE" else word for word in verb]
            done = ctl(*words, "--dir", log, "--utc", *(["--begin", "@%d" % EPOCH] if verb[0] in ("plot", "report") else []), timeout=20)
            assert done.returncode in (0, 1), (name, verb, done)
            assert done.stdout or "FILE" in verb or verb == ["events"], (name, verb, done)
            if verb[0] == "report":
                assert not Page(done.stdout.decode()).tags & NEVER, (name, verb)
            if "--svg" in verb:
                assert b"<script" not in done.stdout and ElementTree.fromstring(done.stdout) is not None, (name, verb)
            assert not said or said.encode() in done.stderr, (name, verb, done.stderr)
            if "--json" not in verb:
                assert not re.search(rb"[\x00-\x08\x0b-\x1f\x7f]", done.stdout), (name, verb)


if __name__ == "__main__":
    tap.main(globals())
