#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""The manual pages and completions name everything the programs take, and the packaging says one version."""
import os
import re
import subprocess

import tap
from fakehost import ROOT, program

PACKAGING = os.path.join(ROOT, "packaging")
PAGES = {"infiniservice": "infiniservice.8", "infinictl": "infinictl.1", "infinihost": "infinihost.1"}


def text_of(*path):
    with open(os.path.join(PACKAGING, *path), encoding="utf-8") as file:
        return file.read()


def page(name):
    """Its words, without what only formats them."""
    return re.sub(r"\\f[A-Z]", "", text_of("man", PAGES[name])).replace("\\-", "-")


def help_of(name, *subcommand):
    return subprocess.run([program(name), *subcommand, "--help"], capture_output=True, text=True, timeout=20, check=True).stdout


def helps(name):
    texts = [help_of(name)]
    if name == "infinictl":
        texts += [help_of(name, word) for word in subcommands(name)]
    return "\n".join(texts)


def subcommands(name):
    text = help_of(name)
    if name == "infinictl":
        return sorted(set(re.findall(r"^  infinictl ([a-z]+)", text, re.M)))
    if name == "infinihost":
        return sorted(set(re.findall(r"^  ([a-z]+)\b", text.split("Commands:")[1], re.M)))
    return []


def options(name):
    return sorted(set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", helps(name))))


def story_every_option_and_subcommand_is_in_the_manual():
    for name in PAGES:
        assert len(options(name)) > 3, name
        for word in options(name):
            assert word in page(name), (name, word)
        for word in subcommands(name):
            assert re.search(r"\b%s\b" % word, page(name)), (name, word)


def story_every_option_and_subcommand_is_completed_in_three_shells():
    for name in PAGES:
        for shell in ("bash", "zsh", "fish"):
            text = text_of("completions", "%s.%s" % (name, shell))
            for word in options(name):
                # of subcommands too, in fish as "-l word"
                known = word in text or (shell == "fish" and "-l %s" % word[2:] in text) or word in ("--help", "--port")
                assert known, (name, shell, word)
            for word in subcommands(name):
                assert re.search(r"\b%s\b" % word, text), (name, shell, word)


def story_every_key_is_in_the_manual_as_the_program_has_it():
    done = subprocess.run([os.path.join(ROOT, "tools", "config_man.py"), "--check", program("infinictl"),
                           os.path.join(PACKAGING, "man", "infiniservice.conf.5")], timeout=20, check=False)
    assert done.returncode == 0, "tools/config_man.py INFINICTL packaging/man/infiniservice.conf.5 brings it up to date"


def story_every_page_has_a_name_a_synopsis_and_others_to_see():
    for name in sorted(os.listdir(os.path.join(PACKAGING, "man"))):
        text = text_of("man", name)
        if text.startswith(".so "):
            assert os.path.exists(os.path.join(PACKAGING, "man", text.split("/")[1].strip())), name
            continue
        assert ".SH NAME" in text and ".SH \"SEE ALSO\"" in text, name


def story_the_protocol_manual_names_every_type_and_code():
    with open(os.path.join(ROOT, "transport", "PROTOCOL.md"), encoding="utf-8") as file:
        protocol = file.read()
    text = text_of("man", "infiniservice-protocol.7")
    codes = set(re.findall(r"`([A-Z]{5,}(?:_[A-Z]+)*)`", protocol.split("| code | says |")[1].split("\n\n")[0]))
    assert len(codes) > 15, codes
    for code in codes:
        assert code in text, code


def story_one_version_is_said_everywhere():
    with open(os.path.join(ROOT, "Makefile"), encoding="utf-8") as file:
        version = re.search(r"^VERSION := (\S+)", file.read(), re.M).group(1)
    assert text_of("debian", "changelog").startswith("infiniservice (%s)" % version)
    for name in sorted(os.listdir(os.path.join(PACKAGING, "man"))):
        text = text_of("man", name)
        assert text.startswith(".so ") or '"InfiniService %s"' % version in text.splitlines()[0], name


if __name__ == "__main__":
    tap.main(globals())
