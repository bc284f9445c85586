#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""The steps of docs/developers.md, taken literally in a copy of the tree: an action, a collector and a setting are added, built and used."""
import os
import re
import shutil
import subprocess
import tempfile

import fakehost
import tap
from fakehost import ROOT, SLOW, talk

BUILT = fakehost.BUILD


def text_of(*path):
    with open(os.path.join(*path), encoding="utf-8") as file:
        return file.read()


def copy_tree(to):
    """The sources, and what was built of them, so that only what the examples touch is compiled."""
    for name in ("Makefile", "agent", "collectors", "include", "packaging", "tools", "transport"):
        source = os.path.join(ROOT, name)
        if os.path.isdir(source):
            shutil.copytree(source, os.path.join(to, name))
        else:
            shutil.copy2(source, to)
    os.makedirs(os.path.join(to, "build"))
    for name in ("agent", "collectors", "tools", "transport", ".flags", ".libraries"):
        source = os.path.join(BUILT, name)
        if os.path.isdir(source):
            shutil.copytree(source, os.path.join(to, "build", name))
        elif os.path.exists(source):
            shutil.copy2(source, os.path.join(to, "build"))


def add_examples(to):
    blocks = re.findall(r"^```c (\S+)(?: after ([^\n]+))?\n(.*?)^```", text_of(ROOT, "docs", "developers.md"), re.MULTILINE | re.DOTALL)
    for path, after, code in blocks:
        path = os.path.join(to, path)
        assert os.path.exists(path) == bool(after), (path, after)
        if after:
            lines = text_of(path).splitlines(keepends=True)
            at = [number for number, line in enumerate(lines) if after in line]
            assert at, (path, after)
            lines.insert(at[0] + 1, code)
            code = "".join(lines)
        with open(path, "w", encoding="utf-8") as file:
            file.write(code)
    return [path for path, _, _ in blocks]


def story_the_examples_of_the_developers_notes_build_and_do_what_they_say():
    to = tap.keep(tempfile.TemporaryDirectory(prefix="infini-"))
    copy_tree(to)
    added = add_examples(to)
    assert {"agent/actions/example.c", "agent/actions/table.h", "collectors/example.c", "include/infiniservice/collectors.h", "agent/config/settings.h"} == set(added), added
    environment = {key: value for key, value in os.environ.items() if key not in ("MAKEFLAGS", "MFLAGS", "MAKELEVEL", "BUILD")}
    made = subprocess.run(["make", "WERROR=1", "-j2", "all"], cwd=to, capture_output=True, text=True, timeout=240 * SLOW, check=False, env=environment)
    assert made.returncode == 0, (made.stdout[-1000:], made.stderr[-3000:])
    for steps in re.findall(r"```sh\n(.*?)```", text_of(ROOT, "docs", "developers.md").split("## Add a setting")[1].split("\n## ")[0], re.DOTALL):
        subprocess.run(["sh", "-e", "-c", steps], cwd=to, check=True, timeout=60 * SLOW)
    for path in ("packaging/infiniservice.conf", "packaging/man/infiniservice.conf.5"):
        assert "example_ms" in text_of(to, path) and "The entropy that the kernel has" in text_of(to, path), path
    fakehost.BUILD = os.path.join(to, "build")
    try:
        _, host = talk(tap.keep, {"timers.example_ms": 20})
        host.send({"type": "Metrics"})
        assert host.expect("metrics")["data"]["system"]["example"]["entropy_bits"] >= 0
        answer = host.ask("Example", name="Ada")
        assert answer["success"] and answer["data"] == {"greeting": "Ada"}, answer
        _, host = talk(tap.keep, {"collectors.example": "no"})
        host.send({"type": "Metrics"})
        assert "example" not in host.expect("metrics")["data"]["system"]
    finally:
        fakehost.BUILD = BUILT


tap.main(globals())
