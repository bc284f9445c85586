#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""The list of metrics against what a running agent measures, and as it is asked for."""
import glob
import json
import os
import re
import subprocess

import pastlog
import tap
from fakehost import ROOT, program, talk, wait_until


def metrics(*arguments, rc=0):
    done = subprocess.run([program("infinictl"), "metrics", *arguments], capture_output=True, text=True, timeout=20, check=False)
    assert done.returncode == rc, done
    return done


def catalogue():
    return json.loads(metrics("--json").stdout)


def numbers(value, path=""):
    """The paths of all numbers below, the item of a list as []."""
    if isinstance(value, dict):
        for name, member in value.items():
            yield from numbers(member, path + ("." if path else "") + name)
    elif isinstance(value, list):
        for member in value:
            yield from numbers(member, path + "[]")
    elif isinstance(value, (int, float)) and not isinstance(value, bool):
        yield path


def story_every_number_that_a_running_agent_logs_is_listed():
    agent, host = talk(tap.keep, {"timers.metrics_interval_ms": 100, "commands.allow_unsafe": "yes"})
    host.expect("metrics")
    wait_until(lambda: len(pastlog.log_lines(agent)) >= 3)
    known = {re.sub(r"\[\w+\]", "[]", metric["name"]) for metric in catalogue()}
    found = {path for line in pastlog.log_lines(agent) for path in numbers(json.loads(line)["data"])}
    assert "self.commands_answered" in found and not found - known, found - known


def story_what_is_not_in_every_sample_is_written_somewhere():
    """By its last name, as a literal of the collectors or of the agent, or as a list's name and what is put behind it."""
    text = "".join(open(path, encoding="utf-8").read() for pattern in ("collectors/*.c", "agent/*.c", "agent/metrics/*.c") for path in glob.glob(os.path.join(ROOT, pattern)))
    sometimes = [metric["name"] for metric in catalogue() if not metric["always"]]
    assert len(sometimes) > 10
    for name in sometimes:
        last = re.sub(r"\[\w+\]$", "", name).split(".")[-1]
        composed = [end for end in ("_left_out", "_age_s") if last.endswith(end) and '"%s' + end + '"' in text and '"%s"' % last.removesuffix(end) in text]
        assert '"%s"' % last in text or composed, name


def story_metrics_are_found_by_a_part_of_name_or_meaning():
    names = [metric["name"] for metric in catalogue()]
    assert metrics("--names").stdout.split() == names and len(set(names)) == len(names)
    assert set(metrics("--names", "STEAL").stdout.split()) == {"system.cpu.steal_percent", "system.cpu.cores_seconds.steal[index]"}
    assert "system.vmstat.oom_kills" in metrics("--names", "want of memory").stdout.split()
    assert metrics("--names", "system.disk.usage_stats[/].used_gb").stdout.split() == ["system.disk.usage_stats[mount_point].used_gb"]
    assert metrics("--names", "system.load_average.load_*").stdout.split() == ["system.load_average.load_%smin" % n for n in (1, 5, 15)]
    assert len([metric for metric in catalogue() if metric["kept"]]) <= 60
    assert all(line.startswith("system.cpu.") for line in metrics("system.cpu.*").stdout.splitlines())


def story_a_name_that_is_none_is_told_with_likely_ones():
    said = metrics("sytem.cpu.usage_percnt", rc=1).stderr
    assert "system.cpu.usage_percent" in said, said
    said = metrics("system.disk.usage_stat[/].used_gb", rc=1).stderr
    assert "system.disk.usage_stats[mount_point].used_gb" in said, said
    assert metrics("nothing at all like it", rc=1).stderr.count("\n") == 1
    assert "one PATTERN" in metrics("a", "b", rc=2).stderr


if __name__ == "__main__":
    tap.main(globals())
