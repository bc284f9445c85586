#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""What the documents say against what there is."""
import os
import re
import shlex
import subprocess

import tap
from fakehost import ROOT, UnixHost, Agent, program, talk, wait_until


def text_of(*path):
    with open(os.path.join(ROOT, *path), encoding="utf-8") as file:
        return file.read()


def page(name):
    return re.sub(r"\\f[A-Z]", "", text_of("packaging", "man", name)).replace("\\-", "-")


def story_the_readme_shows_the_capabilities_that_there_are():
    host = tap.keep(UnixHost())
    tap.keep(Agent(host.spec))
    count = len(host.accept()["capabilities"])
    assert f"  {count} capabilities" in text_of("README.md"), count
    assert not re.findall(r"(?<!\d)(?!%d )\d+ capabilities" % count, text_of("README.md"))


def story_every_file_that_the_agent_makes_is_in_its_manual():
    """The names in the source, and the files of an agent that has done something of everything."""
    names = set()
    for folder, _, files in os.walk(os.path.join(ROOT, "agent")):
        for name in files:
            if name.endswith((".c", ".h")):
                found = re.findall(r"^#define\s+(?:JOURNAL_NAME|LATEST_NAME|SCRIPT_DIR|NONCES_NAME|SEQ_FILE|LOCK_FILE|IDENTITY_FILE|DETACHED_FILES_PREFIX|PREPARE_DIR)\s+\"([^\"]+)\"",
                                   text_of(folder, name), re.M)
                names.update(found)
    names.update(re.findall(r"^#define AUDIT_FILE\w*\s+\"([^\"]+)\"", text_of("include", "infiniservice", "audit.h"), re.M))
    assert {"audit.ndjson", "audit.ndjson.1", "commands.journal", "latest.json", "lock", "seq", "scripts", "detached-", "nonces", "vm_id"} <= names, names
    agent, host = talk(tap.keep, {"commands.allow_unsafe": "yes", "timers.metrics_interval_ms": 100})
    host.run("true")
    host.send({"type": "pending_scripts_response", "scripts": [{"execution_id": "x1", "script_name": "n", "script_content": "true", "shell": "bash", "input_values": {}}]})
    host.expect("script_completion")
    wait_until(lambda: os.path.exists(agent.path("run/latest.json")), 5)
    for folder, folders, files in os.walk(agent.directory):
        names.update(name for name in files + folders if not name.startswith((".", "metrics-")) and name not in ("agent.conf", "stderr", "state", "run", "log"))
    text = page("infiniservice.8").split(".SH FILES")[1].split(".SH")[0]
    missing = [name for name in names if not re.search(r"(?<![\w.])" + re.escape(name), text)]
    assert not missing, missing


def story_the_ways_to_add_something_name_files_and_steps_that_exist():
    text = text_of("docs", "developers.md")
    collector = text.split("## Add a collector")[1].split("\n## ")[0]
    for word in ("include/infiniservice/collectors.h", "tests/integration/schema.py", "transport/PROTOCOL.md"):
        assert word in collector, word
    for path in ("README.md", "docs/developers.md"):
        text = text_of(path)
        for target in re.findall(r"\]\(([^)#:]+)", text):
            assert os.path.exists(os.path.join(ROOT, os.path.dirname(path), target)), (path, target)
        for target in re.findall(r"`((?:agent|collectors|transport|tools|tests|packaging|include|docs)/[\w./-]+\.(?:c|h|py|sh|md|conf|[1-8]))`", text):
            if "NAME" not in target:
                assert os.path.exists(os.path.join(ROOT, target)), (path, target)


def story_exit_statuses_are_the_same_everywhere():
    for name, documents in (("infinihost", [page("infinihost.1"), text_of("README.md")]),):
        shown = subprocess.run([program(name), "--help"], capture_output=True, text=True, timeout=20, check=True).stdout.split("Exit status:")[1]
        codes = dict(re.findall(r"^  (\d+)\s+(\S.*)$", shown, re.M))
        source = set(re.findall(r"HOST_\w+ = (\d+)", text_of("tools", "infinihost", "talk.h")))
        assert set(codes) == source and len(codes) > 6, (codes, source)
        for code, meaning in codes.items():
            for document in documents:
                found = re.search(r"^(?:\| %s \| (.*) \||\.B %s\n(.*))$" % (code, code), document, re.M)
                said = (found.group(1) or found.group(2)).rstrip(".") if found else None
                assert said and said.lower() == meaning.lower(), (code, meaning, said)
    for name, manual in (("infinictl", "infinictl.1"), ("infiniservice", "infiniservice.8")):
        shown = subprocess.run([program(name), "--help"], capture_output=True, text=True, timeout=20, check=True).stdout
        for code, meaning in re.findall(r"(\d) ([a-z][a-z ]+?)(?:,|\.$)", shown.split("Exit status: ")[1]):
            status = " ".join(page(manual).split('.SH "EXIT STATUS"')[1].split(".SH")[0].split()) if '"EXIT STATUS"' in page(manual) else ""
            assert re.search(r"\b%s\b" % code, status), (name, code, meaning, status)


def examples():
    """(document, words) of each command line of the tools that a document shows."""
    for folder, names in (("", ["README.md"]), ("docs", sorted(os.listdir(os.path.join(ROOT, "docs")))), ("packaging/man", sorted(os.listdir(os.path.join(ROOT, "packaging/man"))))):
        for name in names:
            text = text_of(folder, name).replace("\\-", "-").replace("\\(aq", "'")
            for line in re.findall(r"(?:^|`|&& |\\$ )((?:sudo )?(?:infinihost|infinictl) [^`\n]*)", text, re.M):
                line = re.split(r"\s+#| \| | && |;", line)[0].replace("sudo ", "")
                if not re.search(r"[\[<…]|\.\.\.|\\f|[A-Z]{3,}(?!=)\b(?<!SOCKET)", line) or "SOCKET" in line:
                    yield os.path.join(folder, name), shlex.split(line)


def story_what_the_documents_show_can_be_typed():
    seen = 0
    for document, words in examples():
        if "-f" in words or "--follow" in words or len(words) < 2 or words[1] in ("-", "demo"):
            continue
        seen += 1
        words = ["/no/such" if "/run/" in word or word == "SOCKET" else word for word in words]
        done = subprocess.run([program(words[0]), *words[1:]], capture_output=True, text=True, timeout=60, check=False, stdin=subprocess.DEVNULL)
        assert done.returncode != 2, (document, words, done.stderr)
    assert seen > 15, seen


if __name__ == "__main__":
    tap.main(globals())
