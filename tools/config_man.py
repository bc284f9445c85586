#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Writes the list of keys into infiniservice.conf(5), from what `infinictl config example` prints.

    tools/config_man.py INFINICTL PAGE             rewrites the page
    tools/config_man.py --check INFINICTL PAGE     exit status 1 when it is not up to date
"""

import subprocess
import sys

BEGIN = '.\\" keys begin\n'
END = '.\\" keys end\n'


def escape(text):
    text = text.replace("\\", "\\e").replace("-", "\\-")
    return "\\&" + text if text.startswith((".", "'")) else text


def roff(example):
    """A key's comment lines stand before `#key = default`."""
    out, comment = [], []
    for line in example.splitlines():
        if line.startswith("["):
            out.append(".SH [%s]" % line.strip("[]").upper())
            comment = []
        elif line.startswith("# "):
            comment.append(line[2:])
        elif line.startswith("#") and "=" in line:
            key, value = (part.strip() for part in line[1:].split("=", 1))
            allowed = [text[len("Allowed: "):] for text in comment if text.startswith("Allowed: ")]
            out += [".TP", ".BR %s \" = \\fI%s\\fR\"" % (escape(key), escape(value) or "(empty)")]
            out += [escape(text) for text in comment if not text.startswith("Allowed: ")]
            out += [".br", "Allowed: " + escape(allowed[0])]
            comment = []
        elif not line.strip():
            comment = []
    return "\n".join(out) + "\n"


def main():
    check = "--check" in sys.argv
    infinictl, page = [argument for argument in sys.argv[1:] if argument != "--check"]
    example = subprocess.run([infinictl, "config", "example"], stdout=subprocess.PIPE, check=True).stdout.decode()
    with open(page, encoding="utf-8") as file:
        before = file.read()
    head, rest = before.split(BEGIN)
    after = head + BEGIN + roff(example) + END + rest.split(END)[1]
    if check:
        return 0 if after == before else 1
    with open(page, "w", encoding="utf-8") as file:
        file.write(after)
    return 0


if __name__ == "__main__":
    sys.exit(main())
