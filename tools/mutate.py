#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Puts small faults into the libraries, one at a time, and tells which of them no test notices.

    tools/mutate.py [-n FAULTS] [-s SEED] [-j JOBS] [-v] [--integration] BUILD TABLE [PART…]

TABLE as for tools/links.py; a PART is a library of it. All happens in a copy of the tree, BUILD/mutate: it is built there once, and each
worker has a copy of that. A fault goes into one C file as tokens (comments, strings and preprocessor lines stay), that object is compiled and
its archive made anew, and the unit programs that link the object are linked and run until one fails twice. They run in a room
(tests/lib/room.py) and nowhere else, so that a fault destroys nothing. What does not compile, or compiles to the same object, is no fault.
The same seed gives the same faults, as long as the sources are the same.

tests/mutants.equivalent lists reviewed changes that make no difference to any caller: they are not tried. Its blocks are what this
program prints of a survivor, and the reason.
"""

import argparse
import collections
import importlib.machinery
import importlib.util
import multiprocessing
import os
import random
import re
import resource
import shlex
import shutil
import signal
import subprocess
import sys

EQUIVALENT = "tests/mutants.equivalent"
ROOM = "tests/lib/room.py"
# Without -g, whose columns would make every object another one.
MAKE = ("make", "--no-print-directory", "BUILD=build", "OPTIMISE=-O2", "LDFLAGS=-Wl,-Map=$@.map")
GOALS = ("all", "unit-programs")
# A swap of arguments of different types is seen by every compiler.
COMPILED = tuple("-Werror=" + name for name in "incompatible-pointer-types int-conversion format format-security format-nonliteral".split())
# A program with a fault may take so many times as long as without, and a while more.
LIMIT_TIMES, LIMIT_MORE_S = 4, 5
# What a fault may take of the machine before its program fails.
MEMORY_MOST, FILE_MOST = 8 << 30, 1 << 30
# With --integration: the scripts that concern a part.
SCRIPTS = {
    "ctl": "cli log terminal", "host": "infinihost", "show": "terminal", "executor": "prepare services", "agent": "conversation files",
    "actions": "system services packages", "command": "commands cancel batch", "peer": "socket signed", "metrics": "history generation",
    "run": "stream limits", "runner": "limits commands", "audit": "audit", "rules": "hostile system", "bus": "services", "base": "framing",
    "cleaner": "seal", "packages": "packages", "log": "log history", "config": "cli", "collectors": "values", "transport": "framing port",
}

# ---------------------------------------------------------------------------------------------------------- tokens

TOKEN = re.compile(r"""
    (?P<skipped>^[ \t]*\#(?:\\\n|/\*.*?\*/|[^\n])* | [ \t\r\f\v\n] | //[^\n]* | /\*.*?\*/)
  | (?P<string>(?:u8|[uUL])?"(?:\\.|[^"\\])*" | [uUL]?'(?:\\.|[^'\\])*')
  | (?P<number>\.?\d(?:[eEpP][+-]|[\w.])*)
  | (?P<name>[A-Za-z_]\w*)
  | (?P<mark>\.\.\.|<<=|>>=|->|\+\+|--|<<|>>|<=|>=|==|!=|&&|\|\||[-+*/%&|^]=|.)
""", re.X | re.S | re.M)
CLOSES = {"(": ")", "[": "]", "{": "}"}
KEYWORDS = frozenset("if while for switch return sizeof case do else goto offsetof container_of _Static_assert __typeof__ __attribute__ "
                     "_cleanup_ defined".split())

Token = collections.namedtuple("Token", "kind text at")
# A fault: in the text of a file, [at, end) becomes `text`.
Change = collections.namedtuple("Change", "kind at end text")


class Source:
    """The tokens of a C file: for each the function that it is in ("" outside), and for a bracket its other one."""

    def __init__(self, path, text):
        self.path, self.text = path, text
        self.tokens = [Token(found.lastgroup, found.group(), found.start()) for found in TOKEN.finditer(text) if found.lastgroup != "skipped"]
        self.other, self.function = {}, []
        opened, name = [], ""
        for i, token in enumerate(self.tokens):
            if token.text in CLOSES:
                if token.text == "{" and not opened and self.is_at(i - 1, ")"):
                    name = self.tokens[self.other[i - 1] - 1].text
                opened.append(i)
            self.function.append(name)
            if token.text in CLOSES.values() and opened:
                first = opened.pop()
                self.other[first], self.other[i] = i, first
                if not opened and token.text == "}":
                    name = ""

    def is_at(self, i, *texts):
        return 0 <= i < len(self.tokens) and self.tokens[i].text in texts

    def end(self, i):
        return self.tokens[i].at + len(self.tokens[i].text)

    def between(self, first, last):
        return self.text[self.tokens[first].at:self.end(last)]

    def is_value_before(self, i):
        """Whether a value ends before token i, so that an operator there has two operands."""
        token = self.tokens[i - 1]
        return i > 0 and (token.kind in ("number", "string") or token.text in (")", "]") or token.kind == "name" and token.text not in KEYWORDS)

    def is_call(self, i):
        token = self.tokens[i]
        return self.function[i] and token.kind == "name" and token.text not in KEYWORDS and self.is_at(i + 1, "(") and i + 1 in self.other and \
            not (self.tokens[i - 1].kind == "name" and self.tokens[i - 1].text not in KEYWORDS)

    def arguments(self, i):
        """(first, last) token of each argument of the call at i."""
        last = self.other[i + 1]
        found, begun, j = [], i + 2, i + 2
        while j < last:
            if self.is_at(j, ","):
                found.append((begun, j - 1))
                begun = j + 1
            j = self.other.get(j, j) + 1
        return found + [(begun, last - 1)] if begun < last else found


# ---------------------------------------------------------------------------------------------------------- faults
# Each gives (kind, first token, last token, what becomes of them) for what it can change at a token.

NEAR = {"<": "<=", "<=": "<", ">": ">=", ">=": ">"}
CONTRARY = {"==": "!=", "!=": "==", "&&": "||", "||": "&&"}
UNITS = {"NS_PER_S": "NS_PER_MS", "NS_PER_MS": "NS_PER_US", "NS_PER_US": "NS_PER_MS", "MIB": "1024", "DAY_MS": "3600000", "1000": "1024",
         "1024": "1000", "100": "10", "60": "3600", "3600": "60", "86400": "3600", "512": "64", "1000000": "1000", "CLOCK_REALTIME": "CLOCK_BOOTTIME",
         "CLOCK_BOOTTIME": "CLOCK_REALTIME", "CLOCK_MONOTONIC": "CLOCK_REALTIME", "min": "max", "max": "min", "MIN": "MAX", "MAX": "MIN"}
DURABLE = re.compile(r"(f(data)?sync|rename(at2?)?|syncfs|ftruncate|fchmod(at)?|fchown(at)?|flock|write_synced|file_sync\w*)$")
RELEASE = re.compile(r"(.*_)?(free|freep|close|closep|closedir|fd|unref|unrefp|put|putp|done|stop|forget|unlink|unlinkat|drop|remove)$")
POLICY = re.compile(r"allow|permit|den(y|ie)|refuse|polic|valid|verif|judge|check|may_|trust|owned")
# Of these the first two arguments may change places where only equality is asked for.
SYMMETRIC = re.compile(r"(mem|str|strn|strcase|strncase)cmp$")
WRITES = ("write", "pwrite", "send")


def of_operators(source, i):
    text = source.tokens[i].text
    if text in NEAR:
        yield "bound", i, i, NEAR[text]
    elif text in CONTRARY:
        yield "comparison", i, i, CONTRARY[text]
    elif text == "!":
        yield "comparison", i, i, ""
    elif text in ("+", "-") and source.is_value_before(i):
        if source.is_at(i + 1, "1"):
            yield "off by one", i, i + 1, ""
        else:
            yield "arithmetic", i, i, "-" if text == "+" else "+"
    elif text in ("+=", "-="):
        yield "arithmetic", i, i, "-=" if text == "+=" else "+="
    elif text in ("*", "/") and source.is_value_before(i) and (source.tokens[i + 1].kind == "number" or source.is_at(i + 1, *UNITS)):
        yield "unit", i, i, "/" if text == "*" else "*"
    elif text == "|" and re.match(r"[A-Z][A-Z0-9_]+$", source.tokens[i + 1].text) and not source.is_at(i + 2, "("):
        yield "flag", i, i + 1, ""


def of_constants(source, i):
    token = source.tokens[i]
    if token.text in UNITS and (token.kind == "number" or token.text.isupper() or source.is_call(i)):
        yield "unit", i, i, UNITS[token.text]
    if token.text in ("true", "false"):
        yield "constant", i, i, "false" if token.text == "true" else "true"
    found = re.match(r"(0[xX][0-9a-fA-F]+|\d+)([uUlL]*)$", token.text)
    if token.kind == "number" and found:
        digits, suffix = found.groups()
        octal = digits[0] == "0" and digits.isdigit() and len(digits) > 1
        value = int(digits, 8 if octal else 0)
        if octal:
            yield "constant", i, i, "0%o" % (value ^ 0o22)
        elif value < 2:
            yield "constant", i, i, "%d%s" % (1 - value, suffix)
        else:
            if not source.is_at(i - 1, "["):  # a larger array is no fault
                yield "off by one", i, i, "%d%s" % (value + 1, suffix)
            yield "off by one", i, i, "%d%s" % (value - 1, suffix)


def of_checks(source, i):
    if source.is_at(i, "if") and i + 1 in source.other:
        last = source.other[i + 1]
        yield "dropped check", i + 1, last, "(0 && %s)" % source.between(i + 1, last)
    elif source.is_at(i, "return") and source.is_at(i + 1, "-") and source.is_at(i + 3, ";"):
        yield "swallowed error", i + 1, i + 2, "0"
    elif source.is_at(i, "break", "continue"):
        yield "flow", i, i, ""
    elif source.is_at(i, "_cleanup_") and i + 1 in source.other:
        yield "dropped free", i, source.other[i + 1], ""


def of_calls(source, i):
    if not source.is_call(i):
        return
    name, last, arguments = source.tokens[i].text, source.other[i + 1], source.arguments(i)
    if source.is_at(last + 1, ";") and source.is_at(i - 1, ";", "{", "}", ")", "else", ":"):
        yield "skipped sync" if DURABLE.match(name) else "dropped free" if RELEASE.match(name) else "dropped call", i, last, "(void)0"
    elif DURABLE.match(name):
        yield "skipped sync", i, last, "0"
    elif POLICY.search(name):
        yield "skipped policy", i, last, "0"
        yield "skipped policy", i, last, "1"
    if name in WRITES and len(arguments) > 2:
        yield "partial I/O", i, last, "(%s < 0 ? -1 : (ssize_t)(%s))" % (source.between(i, last), source.between(*arguments[2]))
    if SYMMETRIC.match(name) and (source.is_at(last + 1, "==", "!=") or source.is_at(i - 1, "!")):
        arguments = arguments[1:]
    for (first, first_end), (second, second_end) in zip(arguments, arguments[1:]):
        a, b = source.between(first, first_end), source.between(second, second_end)
        if a != b:
            yield "swapped arguments", first, second_end, b + source.text[source.end(first_end):source.tokens[second].at] + a


def changes(source):
    """All faults that can be put into a file, in the order of their places. They keep its lines."""
    for i in range(len(source.tokens)):
        for made in (of_operators, of_constants, of_checks, of_calls):
            for kind, first, last, text in made(source, i):
                at, end = source.tokens[first].at, source.end(last)
                yield Change(kind, at, end, text + "\n" * (source.text.count("\n", at, end) - text.count("\n")))


class Fault:
    def __init__(self, part, source, change):
        self.part, self.path, self.change = part, source.path, change
        text, (kind, at, end, new) = source.text, change
        self.line = text.count("\n", 0, at) + 1
        self.function = next((name for token, name in zip(reversed(source.tokens), reversed(source.function)) if token.at <= at), "") or "-"
        begin, stop = text.rfind("\n", 0, at) + 1, (text.find("\n", end) + 1 or len(text) + 1) - 1
        self.before = " ".join(text[begin:stop].split())
        self.after = " ".join((text[begin:at] + new + text[end:stop]).split())
        self.object = b""

    def key(self):
        return self.path, self.function, self.before, self.after

    def __str__(self):
        return "%s:%d %s (%s)\n- %s\n+ %s" % (self.path, self.line, self.function, self.change.kind, self.before, self.after)


def read_equivalent(text):
    """{key of a fault: reason}. A block is what is printed of a survivor, with the reason below; a line with # says nothing."""
    lines = "\n".join(line for line in text.splitlines() if not line.startswith("#"))
    found = {}
    for block in re.split(r"\n\s*\n", lines.strip()):
        if block.strip():
            head, before, after, *reason = block.strip().splitlines()
            place = re.match(r"(\S+?)(?::\d+)? (\S+)", head)
            if not place or not before.startswith("- ") or not after.startswith("+ ") or not reason:
                raise ValueError("%s: a block is a place, a line before (-) and after (+), and a reason:\n%s" % (EQUIVALENT, block))
            found[place.group(1), place.group(2), before[2:], after[2:]] = " ".join(reason)
    return found


def faults_of(part, paths, root="."):
    for path in paths:
        with open(os.path.join(root, path), encoding="utf-8") as file:
            source = Source(path, file.read())
        for change in changes(source):
            yield Fault(part, source, change)


def drawn(faults, seed):
    """The faults in an order by chance, in which each kind is as likely as any other."""
    by_kind = collections.defaultdict(list)
    for fault in faults:
        by_kind[fault.change.kind].append(fault)
    chance = random.Random(seed)
    while by_kind:
        kind = chance.choice(sorted(by_kind))
        yield by_kind[kind].pop(chance.randrange(len(by_kind[kind])))
        if not by_kind[kind]:
            del by_kind[kind]


def shares(number, sizes):
    """`number` dealt out: half of it evenly, half by size."""
    given = {name: int(number * (0.5 / len(sizes) + 0.5 * size / max(sum(sizes.values()), 1))) for name, size in sizes.items()}
    for name in sorted(sizes, key=lambda name: (given[name], -sizes[name]))[:number - sum(given.values())]:
        given[name] += 1
    return given


# -------------------------------------------------------------------------------------------------------- the build

class Build:
    """The commands that make the tree's programs, read from what make would do, and what each program links."""

    def __init__(self, tree):
        self.compile, self.archive, self.link, self.linked = {}, {}, {}, {}
        told = subprocess.run([*MAKE, "-n", "-B", "V=1", *GOALS], cwd=tree, capture_output=True, text=True, check=True).stdout
        for line in told.splitlines():
            words = shlex.split(line) if " -o build/" in line or " rcs build/" in line else [""]
            if "-c" in words and words[-1].endswith(".c"):
                self.compile[words[-1]] = [word for word in words if not word.startswith("-M")]
            elif "rcs" in words:
                self.archive.update({word: words for word in words[3:]})
            elif "-o" in words:
                program = words[words.index("-o") + 1]
                self.link[program] = [word for word in words if not word.startswith("-Wl,-Map")]
                with open(os.path.join(tree, program + ".map"), encoding="utf-8") as file:
                    self.linked[program] = set(re.findall(r"^(build/lib\w+\.a\(\w+\.o\))", file.read(), re.M))

    def object(self, path):
        return "build/" + path[:-len(".c")] + ".o"

    def programs_with(self, path):
        member = "%s(%s)" % (self.archive[self.object(path)][2], os.path.basename(self.object(path)))
        return [program for program, linked in sorted(self.linked.items()) if member in linked]


def make_tree(tree, jobs):
    """A copy of this tree that was built; what was built there before is only brought up to date."""
    for name in os.listdir(tree) if os.path.isdir(tree) else ():
        if name != "build":
            path = os.path.join(tree, name)
            shutil.rmtree(path) if os.path.isdir(path) else os.unlink(path)
    os.makedirs(tree, exist_ok=True)
    for name in os.listdir("."):
        if os.path.isdir(name) and not name.startswith(("build", ".git")):
            shutil.copytree(name, os.path.join(tree, name), symlinks=True)
        elif os.path.isfile(name):
            shutil.copy2(name, tree)
    subprocess.run([*MAKE, "-s", "V=1", "-j%d" % jobs, *GOALS], cwd=tree, check=True)


def relink(path, origin):
    """The file as it was built, under another name: what writes it anew has to take it away before."""
    if os.path.lexists(path):
        os.unlink(path)
    os.link(origin, path)


def put(path, content):
    os.unlink(path)
    with open(path, "wb") as file:
        file.write(content)


class Worker:
    """In a process of its own: a copy of the tree, in which one fault after another is made and mended."""

    def __init__(self, folder, build, run):
        self.tree, self.build, self.run = os.path.join(folder, "tree"), build, run
        self.killers = collections.defaultdict(list)
        own = os.path.join(folder, "worker-%d" % os.getpid())
        os.mkdir(own)
        for name in os.listdir(self.tree):
            if name in ("agent", "collectors", "transport", "tools"):
                shutil.copytree(os.path.join(self.tree, name), os.path.join(own, name), symlinks=True)
            elif name != "build":
                os.symlink(os.path.join(self.tree, name), os.path.join(own, name))
        shutil.copytree(os.path.join(self.tree, "build"), os.path.join(own, "build"), copy_function=os.link)
        os.chdir(own)
        os.environ["INFINISERVICE_BUILD"] = os.path.join(own, "build")
        for what, most in ((resource.RLIMIT_AS, MEMORY_MOST), (resource.RLIMIT_FSIZE, FILE_MOST), (resource.RLIMIT_CORE, 0)):
            resource.setrlimit(what, (most, resource.getrlimit(what)[1]))
        signal.signal(signal.SIGTERM, run.stop_all)
        signal.signal(signal.SIGINT, run.stop_all)

    def compiled(self, fault):
        """The object with the fault; None where there is none, or none that differs."""
        with open(os.path.join(self.tree, fault.path), encoding="utf-8") as file:
            text = file.read()
        change, made = fault.change, self.build.object(fault.path)
        try:
            put(fault.path, (text[:change.at] + change.text + text[change.end:]).encode())
            if os.path.exists(made):
                os.unlink(made)
            if subprocess.run(self.build.compile[fault.path] + list(COMPILED), capture_output=True, check=False).returncode:
                return None
            with open(made, "rb") as new, open(os.path.join(self.tree, made), "rb") as old:
                content = new.read()
                return content if content != old.read() else None
        finally:
            put(fault.path, text.encode())
            relink(made, os.path.join(self.tree, made))

    def timed(self, program):
        """(program, seconds, why it cannot judge) of a program without a fault."""
        result = self.run.run_one("%s %s" % (ROOM, program), 600)
        return program, result.seconds, ", ".join(result.failures) or ("" if result.passed else "it was skipped")

    def judged(self, fault, limits):
        """What noticed the fault; "" when nothing did."""
        made = self.build.object(fault.path)
        archive, programs = self.build.archive[made], self.build.programs_with(fault.path)
        stem = os.path.basename(fault.path)[:-len(".c")]

        def worth(program):
            """Before the others: what noticed a fault of this file, what bears its name, what links little else, and is quick."""
            return (-self.killers[fault.path].count(program), stem not in program, len(self.build.linked.get(program, ())), limits[program])

        linked = []
        try:
            put(made, fault.object)
            os.unlink(archive[2])
            subprocess.run(archive, check=True)
            scripts = ["tests/integration/test_%s.py" % name for name in SCRIPTS.get(fault.part, "").split()]
            judges = sorted((program for program in programs if program in limits), key=worth) + [script for script in scripts if script in limits]
            for judge in judges:
                for program in [judge] if judge in programs else [name for name in programs if name.count("/") == 1]:
                    if program not in linked:
                        linked.append(program)
                        os.unlink(program)
                        if subprocess.run(self.build.link[program], capture_output=True, check=False).returncode:
                            return "the linker"
                result = self.run.run_one("%s %s" % (ROOM, judge), limits[judge])
                if result.failures:  # not by chance?
                    result = self.run.run_one("%s %s" % (ROOM, judge), limits[judge])
                if result.failures:
                    self.killers[fault.path].append(judge)
                    return "%s: %s" % (os.path.basename(judge), result.failures[0])
            return ""
        finally:
            for path in [made, archive[2], *linked]:
                relink(path, os.path.join(self.tree, path))


worker = None  # of this process


def start_worker(*what):
    global worker
    worker = Worker(*what)


def work(call):
    name, *arguments = call
    return getattr(worker, name)(*arguments)


# ------------------------------------------------------------------------------------------------------- the survey

def choose(pool, files, wanted, seed, equivalent):
    """As many faults of each part as are wanted, or as there are, with their objects; and how many were equivalent."""
    orders = {part: drawn(faults_of(part, paths), "%s %s" % (seed, part)) for part, paths in files.items()}
    chosen, seen, passed_over = collections.defaultdict(list), set(), 0
    while True:
        tried = []
        for part, order in orders.items():
            while len(chosen[part]) + sum(fault.part == part for fault in tried) < wanted[part]:
                fault = next(order, None)
                if not fault:
                    break
                if fault.key() in equivalent:
                    passed_over += 1
                else:
                    tried.append(fault)
        if not tried:
            return [fault for part in files for fault in chosen[part]], passed_over
        for fault, made in zip(tried, pool.map(work, [("compiled", fault) for fault in tried], 1)):
            if made and (fault.path, made) not in seen:
                seen.add((fault.path, made))
                fault.object = made
                chosen[fault.part].append(fault)


def forget_workers(folder):
    for name in os.listdir(folder):
        if name.startswith("worker-"):
            shutil.rmtree(os.path.join(folder, name))


def row(name, tried, survived):
    print("%-12s %6d %6d %8d %6.1f %%" % (name, tried, tried - survived, survived, 100 * (tried - survived) / max(tried, 1)))


def main():
    sys.stdout.reconfigure(line_buffering=True)
    options = argparse.ArgumentParser(description="put small faults into the libraries, and tell which no test notices")
    options.add_argument("-n", "--faults", type=int, default=100)
    options.add_argument("-s", "--seed", default="1")
    options.add_argument("-j", "--jobs", type=int, default=2 * os.cpu_count(), help="twice the processors, unless told: unit programs mostly wait")
    options.add_argument("-v", "--verbose", action="store_true", help="tell what noticed each fault, too")
    options.add_argument("--integration", action="store_true", help="what no unit program notices meets the scripts of its part")
    options.add_argument("build")
    options.add_argument("table")
    options.add_argument("parts", nargs="*")
    args = options.parse_args()
    with open(args.table, encoding="utf-8") as file:
        folders = dict(line.split()[:2] for line in file if line.strip())
    parts = args.parts or list(folders)
    if unknown := [part for part in parts if part not in folders]:
        sys.exit("no part %s; there are: %s" % (" ".join(unknown), " ".join(folders)))
    if subprocess.run([ROOM, "true"], check=False).returncode:
        sys.exit("no room can be made here (tests/lib/room.py), and nowhere else may faulty programs run")
    with open(EQUIVALENT, encoding="utf-8") as file:
        equivalent = read_equivalent(file.read())
    loader = importlib.machinery.SourceFileLoader("run", os.path.abspath("tests/run"))
    run = importlib.util.module_from_spec(importlib.util.spec_from_loader("run", loader))
    sys.dont_write_bytecode = True
    loader.exec_module(run)
    for name in ("MAKEFLAGS", "MFLAGS", "MAKELEVEL"):
        os.environ.pop(name, None)

    folder = os.path.abspath(os.path.join(args.build, "mutate"))
    make_tree(os.path.join(folder, "tree"), args.jobs)
    forget_workers(folder)
    build = Build(os.path.join(folder, "tree"))
    os.chdir(os.path.join(folder, "tree"))
    files = {part: [os.path.join(folders[part], name) for name in sorted(os.listdir(folders[part]))] for part in parts}
    files = {part: [path for path in paths if path.endswith(".c") and build.object(path) in build.archive] for part, paths in files.items()}
    wanted = shares(args.faults, {part: sum(os.path.getsize(path) for path in paths) for part, paths in files.items()})
    with multiprocessing.Pool(args.jobs, start_worker, (folder, build, run)) as pool:
        faults, passed_over = choose(pool, files, wanted, args.seed, equivalent)
        judges = {program for fault in faults for program in build.programs_with(fault.path) if program.startswith("build/tests/")}
        if args.integration:
            judges |= {"tests/integration/test_%s.py" % name for part in parts for name in SCRIPTS.get(part, "").split()}
        limits = {}
        for program, seconds, why in pool.imap_unordered(work, [("timed", program) for program in sorted(judges)]):
            if why:
                print("%s judges nothing, for without a fault %s" % (program, why))
            else:
                limits[program] = LIMIT_TIMES * seconds + LIMIT_MORE_S
        print("%d faults, %d programs, seed %s; passed over as equivalent: %d\n" % (len(faults), len(limits), args.seed, passed_over))
        survivors = []
        for fault, noticed in zip(faults, pool.imap(work, [("judged", fault, limits) for fault in faults])):
            if not noticed:
                survivors.append(fault)
            if not noticed or args.verbose:
                print("%s\n%s\n" % (fault, "noticed by " + noticed if noticed else "SURVIVED"))
    forget_workers(folder)
    print("%-12s %6s %6s %8s" % ("", "tried", "killed", "survived"))
    for part in parts:
        row(part, sum(fault.part == part for fault in faults), sum(fault.part == part for fault in survivors))
    row("all", len(faults), len(survivors))
    print("%d tried, %d killed, %d survived (%.1f %%)" % (len(faults), len(faults) - len(survivors), len(survivors),
                                                          100 * (len(faults) - len(survivors)) / max(len(faults), 1)))


if __name__ == "__main__":
    main()
