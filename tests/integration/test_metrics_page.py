#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""docs/metrics.md against the catalogue, against a sample of this machine, and against what the schema demands."""
import os
import re
import subprocess
import sys

import schema
import tap
from fakehost import ROOT, program, talk

PAGE = os.path.join(ROOT, "docs", "metrics.md")
TOOL = os.path.join(ROOT, "tools", "metrics_page.py")
# Explained in the head of the page for all of them.
EVERYWHERE = re.compile(r"(^|[._])(reason|truncated)$|_(truncated|rank|total|left_out|total_count)$|(^|[._])age_s$|(^|\.)lines_skipped$")


def plain(path):
    return re.sub(r"\[[^]]*\]", "[]", path)


def rows():
    """Path -> kind, of the page."""
    with open(PAGE, encoding="utf-8") as file:
        found = re.findall(r"^\| `([^`]+)` \| [^|]* \| ([^|]*) \|", file.read(), re.M)
    return {plain(path): kind for path, kind in found}


def leaves(value, path=""):
    if isinstance(value, dict):
        for key, member in value.items():
            yield from leaves(member, f"{path}.{key}" if path else key)
    elif isinstance(value, list):
        for item in value:
            yield from leaves(item, path + "[]")
    else:
        yield path


def story_the_page_is_up_to_date():
    done = subprocess.run([sys.executable, TOOL, "--check", program("infinictl"), PAGE], stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 0, done.stderr


def story_every_value_of_a_sample_is_in_the_page():
    _, host = talk(tap.keep)
    host.send({"type": "Metrics"})
    page, sample = rows(), host.expect("metrics", 5)["data"]
    # A list that is null has rows for its items.
    lists = {path.split("[]")[0] for path in page if "[]" in path}
    missing = sorted({path for path in leaves(sample) if path not in page and path not in lists and not EVERYWHERE.search(path)})
    assert not missing, missing


def story_every_value_that_the_schema_demands_is_in_the_page():
    page = rows()
    missing = [path for path in schema.leaves_of_metrics() if path not in page and not EVERYWHERE.search(path)]
    assert not missing, missing


def story_every_row_of_the_page_is_in_a_sample_or_the_schema():
    """Numbers that are there only sometimes are held to the code by the catalogue's own test."""
    _, host = talk(tap.keep)
    host.send({"type": "Metrics"})
    sample = host.expect("metrics", 5)["data"]
    known = {*leaves(sample), *schema.leaves_of_metrics()}
    odd = []
    for path, kind in rows().items():
        above = {path[:at] for at in (match.start() for match in re.finditer(r"[.\[]", path))}
        if not (path in known or "sometimes" in kind or above & known or EVERYWHERE.search(path) or empty_above(sample, path)):
            odd.append(path)
    assert not odd, odd


def empty_above(value, path):
    """True where a list on the way to the value has no items in this sample."""
    for key in re.findall(r"[^.\[\]]+|\[\]", path):
        if key == "[]":
            if not value:
                return True
            value = value[0]
        elif not isinstance(value, dict) or key not in value:
            return False
        else:
            value = value[key]
    return False


if __name__ == "__main__":
    tap.main(globals())
