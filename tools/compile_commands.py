#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Turns the commands of a dry `make` run on stdin into a compile database for clang-tidy and editors."""

import json
import os
import re
import sys

entries = []
for line in sys.stdin:
    line = line.strip().removeprefix("@")
    if re.search(r" -c -o \S+ \S+\.c$", line):
        entries.append({"directory": os.getcwd(), "command": line, "file": line.rsplit(" ", 1)[1]})
json.dump(entries, sys.stdout, indent=1)
