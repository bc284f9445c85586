#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""How many lines of each library have been run, by what gcov(1) counted in a build with COVERAGE=1.

    tools/coverage.py BUILD TABLE [LIBRARY…]

TABLE as for tools/links.py. Of the libraries that are named each file is told, with the lines that were not run.
"""

import json
import os
import subprocess
import sys


def lines_of(build, source):
    """{line: times it was run} of a source file; those of its headers are not its own."""
    notes = os.path.join(build, source[:-2] + ".gcno")
    text = subprocess.run(["gcov", "--json-format", "--stdout", notes], capture_output=True, text=True, check=True).stdout
    counts = {}
    for file in json.loads(text)["files"]:
        if file["file"] == source:
            for line in file["lines"]:
                counts[line["line_number"]] = counts.get(line["line_number"], 0) + line["count"]
    return counts


def ranges(numbers):
    """[1, 2, 3, 7] as "1-3 7"."""
    out = []
    for number in numbers:
        if out and out[-1][1] == number - 1:
            out[-1][1] = number
        else:
            out.append([number, number])
    return " ".join(str(first) if first == last else "%d-%d" % (first, last) for first, last in out)


def row(name, counts, rest=""):
    run = sum(1 for count in counts if count)
    print("%-28s %6d %6d %6.1f %%  %s" % (name, len(counts), run, 100 * run / max(len(counts), 1), rest))


def main():
    build, table, *wanted = sys.argv[1:]
    print("%-28s %6s %6s %8s" % ("", "lines", "run", ""))
    of_all = []
    for name, folder, *_ in (line.split() for line in open(table, encoding="utf-8")):
        of_library, files = [], []
        for entry in sorted(os.listdir(folder)):
            source = os.path.join(folder, entry)
            if entry.endswith(".c") and os.path.exists(os.path.join(build, source[:-2] + ".gcno")):
                counts = lines_of(build, source)
                of_library += counts.values()
                files.append((source, counts))
        row(name, of_library)
        of_all += of_library
        for source, counts in files if name in wanted else ():
            row("  " + os.path.basename(source), counts.values(), ranges([n for n, count in sorted(counts.items()) if not count]))
    row("all", of_all)


main()
