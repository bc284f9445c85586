#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Holds the libraries to the table of what each may use (DIR_… and OVER_… in the Makefile).

    tools/links.py BUILD TABLE

TABLE has a line a library: its name, its folder, and the libraries that it may use. Each is linked whole (`ld -r`), and of what is
then undefined only what those libraries define, or none of ours, is allowed. The same holds for the headers that its sources
include. Two libraries that use each other, whatever lies between, are a finding; so is one in the table that is not used, a name that
two libraries define, and a circle of more than CIRCLE_MOST objects.
"""

import collections
import os
import subprocess
import sys

CIRCLE_MOST = 5


class Library:
    def __init__(self, build, name, folder, over):
        self.name = name
        self.folder = folder
        self.over = set(over)
        self.archive = os.path.join(build, "lib%s.a" % name)
        self.used = set()


def read_table(build, path):
    with open(path, encoding="utf-8") as file:
        rows = [line.split() for line in file if line.strip()]
    return {name: Library(build, name, folder, over) for name, folder, *over in rows}


def symbols(path, *options):
    """(member, symbol) of an archive, or (path, symbol) of an object."""
    text = subprocess.run(["nm", "-A", *options, path], capture_output=True, text=True, check=True).stdout
    for line in text.splitlines():
        # ARCHIVE:MEMBER:VALUE TYPE SYMBOL
        place, symbol = line.split()[0], line.split()[-1]
        yield place.split(":")[1] if path.endswith(".a") else path, symbol


def members(archive):
    return subprocess.run(["ar", "t", archive], capture_output=True, text=True, check=True).stdout.split()


def undefined_of_all(library, work):
    """What the library, linked whole, leaves to others."""
    whole = os.path.join(work, library.name + ".whole.o")
    subprocess.run(["ld", "-r", "-o", whole, "--whole-archive", library.archive], check=True)
    left = {symbol for _, symbol in symbols(whole, "-u")}
    os.unlink(whole)
    return left


def owner_of(path, libraries):
    """The library in whose folder a file is: the one with the longest folder."""
    fits = [lib for lib in libraries.values() if path.startswith(lib.folder + "/")]
    return max(fits, key=lambda lib: len(lib.folder)) if fits else None


def link_findings(libraries, work):
    defined = collections.defaultdict(list)
    for library in libraries.values():
        for _, symbol in symbols(library.archive, "-g", "--defined-only"):
            defined[symbol].append(library)
    for symbol, owners in sorted(defined.items()):
        if len(owners) > 1:
            yield "%s is defined by %s" % (symbol, " and ".join(lib.name for lib in owners))
    for library in libraries.values():
        left = undefined_of_all(library, work)
        for member, symbol in symbols(library.archive, "-u"):
            owner = defined[symbol][0] if symbol in left and defined.get(symbol) else None
            if not owner:
                continue
            library.used.add(owner.name)
            if owner.name not in library.over:
                yield "%s/%s: %s of %s" % (library.folder, member, symbol, owner.name)


def headers_of(path):
    """(source, headers) of a file of dependencies that the compiler wrote."""
    with open(path, encoding="utf-8") as file:
        text = file.read().replace("\\\n", " ")
    words = text.splitlines()[0].split()[1:]
    return words[0], [os.path.normpath(word) for word in words[1:] if not word.startswith("/")]


def include_findings(libraries, build):
    for library in libraries.values():
        for member in members(library.archive):
            source, headers = headers_of(os.path.join(build, library.folder, member[:-len(".o")] + ".d"))
            for header in headers:
                owner = owner_of(header, libraries)
                if not owner or owner is library:
                    continue
                library.used.add(owner.name)
                if owner.name not in library.over:
                    yield "%s includes %s" % (source, header)


def circles(libraries):
    def reaches(name, wanted, seen):
        for other in libraries[name].over - seen:
            seen.add(other)
            if other == wanted or reaches(other, wanted, seen):
                return True
        return False

    return ["%s is below itself" % name for name in libraries if reaches(name, name, set())]


def object_circles(libraries):
    """Sets of objects that reach each other (strongly connected components, by Tarjan's algorithm)."""
    owner, uses = {}, {}
    for library in libraries.values():
        for member, symbol in symbols(library.archive, "-g", "--defined-only"):
            owner[symbol] = (library.folder, member)
    for library in libraries.values():
        for member, symbol in symbols(library.archive, "-u"):
            if owner.get(symbol, (library.folder, member)) != (library.folder, member):
                uses.setdefault((library.folder, member), set()).add(owner[symbol])
    order, low, stack, circles_found = {}, {}, [], []

    def visit(node):
        order[node] = low[node] = len(order)
        stack.append(node)
        for other in uses.get(node, ()):
            if other not in order:
                visit(other)
            if other in stack:
                low[node] = min(low[node], low[other])
        if low[node] == order[node]:
            at = stack.index(node)
            circles_found.append(stack[at:])
            del stack[at:]

    for node in uses:
        if node not in order:
            visit(node)
    return ["a circle of %d objects: %s" % (len(circle), " ".join(sorted("/".join(node) for node in circle)))
            for circle in circles_found if len(circle) > CIRCLE_MOST]


def main(build, table):
    libraries = read_table(build, table)
    findings = circles(libraries) + list(link_findings(libraries, build)) + list(include_findings(libraries, build))
    findings += object_circles(libraries)
    for library in libraries.values():
        findings += ["%s may use %s, and does not" % (library.name, name) for name in sorted(library.over - library.used)]
    print("\n".join(findings))
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
