# SPDX-License-Identifier: MIT
"""The samples in an agent's log, and logs with many that are as it would have written them itself."""
import fnmatch
import json
import os

import tap  # noqa: F401 - finds what follows
import log_check


def _segments(agent):
    names = sorted(fnmatch.filter(os.listdir(agent.settings["log.dir"]), "metrics-*"))
    return [os.path.join(agent.settings["log.dir"], name) for name in names if name[:-4] not in names]


def log_lines(agent):
    return [line for path in _segments(agent) for line in log_check.text_of(path).decode("ascii").splitlines() if line.startswith('{"type":"metrics"')]


def fill_log(agent, count, first=1):
    """A log as the agent itself would have left it, with many samples. It is there all at once: the writer compresses what it finds."""
    template = log_lines(agent)[0]
    header = json.loads(log_check.text_of(_segments(agent)[0]).splitlines()[0])
    name = os.path.join(agent.settings["log.dir"], "metrics-20200101T000000.000Z-000000.ndjson")
    sample = json.loads(template)
    header["timestamp"] = "2020-01-01T00:00:00.000Z"
    unseen = os.path.join(agent.settings["log.dir"], "filled")
    with open(unseen, "w", encoding="ascii") as file:
        file.write(json.dumps(header, separators=(",", ":")) + "\n")
        for i in range(count):
            minute, second = divmod(i, 60)
            hour, minute = divmod(minute, 60)
            sample["timestamp"] = f"2020-01-01T{hour:02}:{minute:02}:{second:02}.000Z"
            sample["seq"] = first + i
            file.write(json.dumps(sample, separators=(",", ":")) + "\n")
    os.chmod(unseen, 0o640)
    os.rename(unseen, name)
