#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""make on a machine that lacks something, and for another architecture."""
import os
import shlex
import shutil
import subprocess
import tempfile

import tap
from fakehost import ROOT, SLOW


def make(*arguments, wrap=(), env=None):
    kept = {key: value for key, value in os.environ.items() if key not in ("MAKEFLAGS", "MFLAGS", "MAKELEVEL", "CC", "CFLAGS", "BUILD")}
    return subprocess.run([*wrap, "make", *arguments], cwd=ROOT, capture_output=True, text=True, timeout=300 * SLOW, check=False, env={**kept, **(env or {})})


def fake_compiler(directory, name, body):
    path = os.path.join(directory, name)
    with open(path, "w", encoding="ascii") as file:
        file.write("#!/bin/sh\n" + body)
    os.chmod(path, 0o755)
    return path


def story_a_missing_library_is_told_with_the_way_to_get_it():
    directory = tap.keep(tempfile.TemporaryDirectory(prefix="infini-"))
    for header, goals in (("json-c/json.h", ([], ["unit"], ["all"])), ("systemd/sd-journal.h", (["all"],)), ("cmocka.h", (["unit"], ["unit-programs"]))):
        # A compiler on a machine without that library.
        compiler = fake_compiler(directory, "cc", f'case " $* " in *" -E -x c - "*) t=$(cat); case $t in *"<{header}>"*) exit 1;; esac; echo "$t" | exec gcc "$@";; esac\n'
                                                  f'exec gcc "$@"\n')
        for goal in goals:
            done = make(*goal, "CC=" + compiler, "BUILD=" + os.path.join(directory, "build"))
            assert done.returncode != 0 and f"missing: {header}: please type `make deps`" in done.stderr, (header, goal, done.stdout[-500:], done.stderr[-500:])
            assert "fatal error" not in done.stderr, done.stderr
            assert not [line for line in done.stdout.splitlines() if "CC   tests" in line or (header != "cmocka.h" and "CC " in line)], done.stdout
            shutil.rmtree(os.path.join(directory, "build"))
    done = make("CC=no-such-compiler", "BUILD=" + os.path.join(directory, "build"))
    assert done.returncode != 0 and "no compiler no-such-compiler: please type `make deps`" in done.stderr, done.stderr[-500:]


def flags(compiler, directory):
    done = make("-n", "CC=" + compiler, "BUILD=" + os.path.join(directory, "build"), os.path.join(directory, "build", "collectors/table.o"))
    assert done.returncode == 0, done.stderr
    line = [line for line in done.stdout.splitlines() if "collectors/table.c" in line and " -c " in line][0]
    return shlex.split(line)


def story_hardening_follows_the_architecture_that_is_built_for():
    directory = tap.keep(tempfile.TemporaryDirectory(prefix="infini-"))
    arm = fake_compiler(directory, "aarch64-linux-gnu-gcc", 'for a; do case $a in -fcf-protection) echo "error: not supported for this target" >&2; exit 1;; -mbranch-protection=*) exit 0;; esac; done\n'
                                                            'exec gcc "$@"\n')
    # SPARC, say: of hardening by the processor it has nothing.
    other = fake_compiler(directory, "sparc-linux-gnu-gcc", 'for a; do case $a in -fcf-protection|-mbranch*|-fstack-clash-protection) exit 1;; esac; done\nexec gcc "$@"\n')
    common = {"-fstack-protector-strong", "-D_FORTIFY_SOURCE=2", "-fPIE"}
    compilers = [(arm, {"-mbranch-protection=standard", "-fstack-clash-protection"}, {"-fcf-protection"}), (other, set(), {"-fcf-protection", "-mbranch-protection=standard", "-fstack-clash-protection"})]
    if os.uname().machine == "x86_64":
        compilers.append(("gcc", {"-fcf-protection", "-fstack-clash-protection"}, {"-mbranch-protection=standard"}))
    if shutil.which("clang"):
        compilers.append(("clang --target=aarch64-linux-gnu", {"-mbranch-protection=standard"}, {"-fcf-protection"}))
    for compiler, wanted, never in compilers:
        found = flags(compiler, directory)
        assert common | wanted <= set(found) and not never & set(found), (compiler, found)
        if compiler.startswith("clang"):  # a real compiler for another processor takes them all
            hardening = [flag for flag in found if flag.startswith(("-f", "-m", "-D_FORT", "-U"))]
            subprocess.run([*compiler.split(), "-Werror", "-O2", *hardening, "-S", "-x", "c", "-o", "/dev/null", "/dev/null"], check=True, timeout=60)


tap.main(globals())
