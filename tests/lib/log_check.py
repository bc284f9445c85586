#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Holds the tiers of a metric log to the samples they sum, and the sequence numbers to account for every sample. Shares no code with the
agent: files are read by zstd, lines by Python's json.

    tests/lib/log_check.py DIRECTORY        prints what is wrong, and a summary; exit status 1 when something is
"""

import bisect
import datetime
import glob
import json
import os
import subprocess
import sys

SPANS = {"1m": 60_000, "1h": 3_600_000}


def text_of(path):
    """The text of a segment, also when it is being compressed."""
    if not path.endswith(".zst"):
        try:
            with open(path, "rb") as file:
                return file.read()
        except FileNotFoundError:
            path += ".zst"
    return subprocess.run(["zstd", "-dcq", path], stdout=subprocess.PIPE, check=True).stdout


def lines_of(directory):
    """The lines of a folder, in the order written. A torn tail of the newest file is passed over, any other is an error."""
    names = sorted(glob.glob(os.path.join(glob.escape(directory), "metrics-*")))
    plain = set(names)
    names = [name for name in names if not (name.endswith(".zst") and name[:-4] in plain)]
    for name in names:
        for line in text_of(name).splitlines(True):
            if not line.endswith(b"\n"):
                assert name == names[-1], "%s ends inside a line and is not the newest" % name
                continue
            yield json.loads(line)


def milliseconds(stamp):
    return round(datetime.datetime.fromisoformat(stamp.replace("Z", "+00:00")).timestamp() * 1000)


def leaves(node, path=()):
    """(path, [min, average, max, last]) of each number of a summary; an item of a list is (member, value)."""
    if isinstance(node, dict):
        for key, value in node.items():
            if isinstance(value, list) and value and isinstance(value[0], dict):
                for item in value:
                    member = next(name for name, what in item.items() if not isinstance(what, list))
                    rest = {name: what for name, what in item.items() if name != member}
                    yield from leaves(rest, path + (key, (member, item[member])))
            else:
                yield from leaves(value, path + (key,))
    else:
        assert isinstance(node, list) and len(node) == 4, (path, node)
        yield path, node


def value_of(sample, path):
    at = sample
    for step in path:
        if isinstance(step, tuple):
            at = next((item for item in at or [] if item.get(step[0]) == step[1]), None)
        else:
            at = (at or {}).get(step)
    return at if isinstance(at, (int, float)) and not isinstance(at, bool) else None


def near(a, b):
    return abs(a - b) <= 1e-7 * max(abs(a), abs(b), 1e-9)


def check_summary(summary, span, samples, faults):
    """`samples`: those of its sequence numbers that fall into its time."""
    where = "%s of %s" % ("minute" if span == SPANS["1m"] else "hour", summary["timestamp"])
    if summary["count"] != len(samples):
        faults.append("%s counts %d samples, there are %d" % (where, summary["count"], len(samples)))
        return
    for path, (least, average, most, last) in leaves(summary["data"]):
        values = [value for value in (value_of(sample["data"], path) for sample in samples) if value is not None]
        name = ".".join(map(str, path))
        if not values:
            faults.append("%s: %s is in none of its samples" % (where, name))
        elif not (near(least, min(values)) and near(most, max(values)) and near(last, values[-1])):
            faults.append("%s: %s is %s, samples say %s" % (where, name, [least, most, last], [min(values), max(values), values[-1]]))
        elif not near(average, sum(values) / len(values)) and (span == SPANS["1m"] or len(values) == len(samples)):
            faults.append("%s: average of %s is %r, samples say %r" % (where, name, average, sum(values) / len(values)))


def effective(summaries):
    """Without those that a later one of the same time took the place of."""
    kept = []
    for summary in summaries:
        while kept and kept[-1]["timestamp"] == summary["timestamp"] and summary["first_seq"] <= kept[-1]["last_seq"]:
            kept.pop()
        kept.append(summary)
    return kept


def check(directory):
    """(faults, figures) of a log that nobody writes to."""
    faults = []
    samples = [line for line in lines_of(directory) if line["type"] == "metrics"]
    numbers = [sample["seq"] for sample in samples]
    if numbers != sorted(set(numbers)):
        faults.append("sequence numbers are given twice or out of order")
    times = [milliseconds(sample["timestamp"]) for sample in samples]
    figures = {"samples": len(samples), "first": numbers[0] if numbers else 0, "last": numbers[-1] if numbers else 0,
               "missing": numbers[-1] - numbers[0] + 1 - len(numbers) if numbers else 0}
    for tier, span in SPANS.items():
        folder = os.path.join(directory, tier)
        lines = [line for line in lines_of(folder) if line["type"] == "summary"] if os.path.isdir(folder) else []
        figures[tier] = len(lines)
        for summary in lines:
            begin = milliseconds(summary["timestamp"])
            if summary["span_ms"] != span or begin % span:
                faults.append("%s: %s is no stretch of it" % (tier, summary["timestamp"]))
            if not numbers or summary["first_seq"] < numbers[0]:
                continue  # its samples are gone
            low, high = bisect.bisect_left(numbers, summary["first_seq"]), bisect.bisect_right(numbers, summary["last_seq"])
            inside = [samples[i] for i in range(low, high) if begin <= times[i] < begin + span]
            if len(inside) != high - low:
                faults.append("%s: %s has numbers of samples of another time" % (tier, summary["timestamp"]))
            check_summary(summary, span, inside, faults)
        check_cover(tier, span, effective(lines), list(zip(numbers, times)), faults)
    return faults, figures


def check_cover(tier, span, lines, samples, faults):
    """From the first summary on, each sample is in one, but for those of the stretch that was open at the end."""
    if not lines or not samples:
        return
    covered = [(line["first_seq"], line["last_seq"]) for line in lines]
    starts = [first for first, _ in covered]
    for number, time in samples:
        if number < starts[0] or time - time % span == samples[-1][1] - samples[-1][1] % span:
            continue
        at = bisect.bisect_right(starts, number) - 1
        if covered[at][1] < number:
            faults.append("%s: sample %d is in no summary" % (tier, number))
            return
    for (_, last), (first, _) in zip(covered, covered[1:]):
        if first <= last:
            faults.append("%s: sample %d is in two summaries" % (tier, first))
            return


def main():
    faults, figures = check(sys.argv[1])
    for fault in faults:
        print(fault)
    print(" ".join("%s %d" % item for item in figures.items()))
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
