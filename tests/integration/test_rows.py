#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""The table of faults in docs/developers.md names tests: each of them has to exist, and no row may be without one."""
import os
import re

import tap
from fakehost import ROOT

TABLE = re.compile(r"^\| (\d+) \| ([^|]+) \| ([^|]+) \|$", re.M)
ROWS = [*range(21, 40), 45]
FILES = {"unit": "tests/unit/{}.c", "integration": "tests/integration/{}.py", "vm": "tests/vm/{}.py"}


def rows():
    with open(os.path.join(ROOT, "docs", "developers.md"), encoding="utf-8") as file:
        return {int(number): (fault, tests) for number, fault, tests in TABLE.findall(file.read())}


def source(name):
    """The text of the file that a test's name begins with: test_exec, story_storm, …"""
    for pattern in FILES.values():
        path = os.path.join(ROOT, pattern.format(name))
        if os.path.exists(path):
            with open(path, encoding="utf-8") as file:
                return file.read()
    raise AssertionError(f"there is no test file {name}")


def story_every_row_has_tests_and_each_of_them_exists():
    table = rows()
    assert sorted(table) == ROWS, sorted(table)
    for number, (_, tests) in table.items():
        named = re.findall(r"`(\w+):(\w+)`", tests)
        assert named and re.sub(r"`\w+:\w+`|, ", "", tests) == "", f"row {number}: {tests}"
        for file, test in named:
            assert re.search(rf"^(?:def (?:story_)?|static void ){test}\(", source(file), re.M), f"row {number}: {file} has no {test}"


def story_a_guest_story_that_names_a_row_is_in_the_table():
    table = rows()
    folder = os.path.join(ROOT, "tests", "vm")
    for name in sorted(os.listdir(folder)):
        if not name.startswith("story_"):
            continue
        for numbers, function in re.findall(r"^@story\(rows=\[([^]]*)\].*\)\ndef (\w+)", source(name[:-3]), re.M):
            for number in set(map(int, numbers.split(","))) & set(ROWS):
                assert f"`{name[:-3]}:{function}`" in table[number][1], f"row {number} does not name {name[:-3]}:{function}"


tap.main(globals())
