#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""docs/developers.md (by number) and docs/faults.md (by letter) name a test for each fault: each of them has to exist."""
import os
import re

import tap
from fakehost import ROOT

TABLE = re.compile(r"^\| (\d+) \| ([^|]+) \| ([^|]+) \|$", re.M)
ROWS = [*range(21, 40), 45]
FILES = ["tests/unit/{}.c", "tests/fuzz/{}.py", "tests/integration/{}.py", "tests/vm/{}.py", "tests/vm/options/{}.py", "tests/vm/installed/{}.py", "tests/vm/pushed/{}.py"]
LETTERED = {"A": 15, "B": 11, "C": 11, "E": 9, "F": 12}


def rows():
    with open(os.path.join(ROOT, "docs", "developers.md"), encoding="utf-8") as file:
        return {int(number): (fault, tests) for number, fault, tests in TABLE.findall(file.read())}


def source(name):
    """The text of the file that a test's name begins with: test_exec, story_storm, …; of all that have this name."""
    texts = []
    for pattern in FILES:
        path = os.path.join(ROOT, pattern.format(name))
        if os.path.exists(path):
            with open(path, encoding="utf-8") as file:
                texts.append(file.read())
    assert texts, f"there is no test file {name}"
    return "".join(texts)


def exists(file, test):
    return re.search(rf"^(?:def (?:story_)?|static void ){test}\(", source(file), re.M)


def lettered():
    """Row to the lines below its heading."""
    with open(os.path.join(ROOT, "docs", "faults.md"), encoding="utf-8") as file:
        parts = re.split(r"^### ([A-F]\d+[a-e]?): .*$", file.read(), flags=re.M)[1:]
    return {row: [line for line in text.splitlines() if line.startswith("- ")] for row, text in zip(parts[::2], parts[1::2])}


def story_every_lettered_row_is_open_or_names_tests_that_exist():
    table = lettered()
    numbers = {(row[0], int(re.sub(r"\D", "", row))) for row in table}
    # E7 is a figure of the benchmarks.
    assert numbers == {(letter, n) for letter, last in LETTERED.items() for n in range(1, last + 1)} - {("E", 7)}, numbers
    for row, lines in table.items():
        assert lines, f"row {row} has no line"
        for line in lines if lines != ["- open"] else []:
            named = re.fullmatch(r"- `(\w+):(\w+)`", line)
            assert named, f"row {row}: {line}"
            assert exists(*named.groups()), f"row {row}: there is no {line[2:]}"


def story_every_row_has_tests_and_each_of_them_exists():
    table = rows()
    assert sorted(table) == ROWS, sorted(table)
    for number, (_, tests) in table.items():
        named = re.findall(r"`(\w+):(\w+)`", tests)
        assert named and re.sub(r"`\w+:\w+`|, ", "", tests) == "", f"row {number}: {tests}"
        for file, test in named:
            assert exists(file, test), f"row {number}: {file} has no {test}"


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
