# SPDX-License-Identifier: MIT
"""The samples in an agent's log, and logs with many that are as it would have written them itself."""
import json
import os


def log_lines(agent):
    lines = []
    for name in sorted(os.listdir(agent.settings["log.dir"])):
        if name.startswith("metrics-"):
            with open(os.path.join(agent.settings["log.dir"], name), encoding="ascii") as file:
                lines += [line.rstrip("\n") for line in file if line.startswith('{"type":"metrics"')]
    return lines


def fill_log(agent, count, first=1):
    """A log as the agent itself would have left it, with many samples. It is there all at once: the writer compresses what it finds."""
    template = log_lines(agent)[0]
    with open(os.path.join(agent.settings["log.dir"], [n for n in sorted(os.listdir(agent.settings["log.dir"])) if n[0] == "m"][0]),
              encoding="ascii") as file:
        header = json.loads(file.readline())
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
