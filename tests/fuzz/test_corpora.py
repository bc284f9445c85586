#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Runs every fuzz target over the files of its corpus, with the ordinary compiler: a fault once found stays found."""

import os
import pathlib
import subprocess
import sys

HERE = pathlib.Path(__file__).parent
BUILD = pathlib.Path(os.environ.get("INFINISERVICE_BUILD", HERE.parent.parent / "build"))


def main():
    targets = sorted(path.stem.removeprefix("fuzz_") for path in HERE.glob("fuzz_*.c"))
    print(f"1..{len(targets)}")
    for number, target in enumerate(targets, 1):
        corpus = HERE / "corpus" / target
        count = sum(1 for path in corpus.rglob("*") if path.is_file())
        ran = subprocess.run([BUILD / "tests/fuzz" / f"replay_{target}", corpus], capture_output=True, text=True, timeout=120)
        ok = ran.returncode == 0 and count > 0 and ran.stdout.split()[:1] == [str(count)]
        print(f"{'ok' if ok else 'not ok'} {number} - {target}: {count} inputs")
        if not ok:
            print(ran.stdout + ran.stderr, file=sys.stderr)


main()
