#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""What `make mutate` takes for a token and for a fault. (That it finds what no test notices is seen by running it.)"""
import collections
import os
import sys

import tap
from fakehost import ROOT

sys.path.insert(0, os.path.join(ROOT, "tools"))
import mutate  # noqa: E402  pylint: disable=wrong-import-position

# A statement in a function, and each text that it may become, by kind.
FAULTS = [
    ("if (a < 4) x();", {"bound: if (a <= 4) x();", "off by one: if (a < 5) x();", "off by one: if (a < 3) x();", "dropped check: if (0 && (a < 4)) x();",
                         "dropped call: if (a < 4) (void)0;"}),
    ("a = b == c && !d;", {"comparison: a = b != c && !d;", "comparison: a = b == c || !d;", "comparison: a = b == c && d;"}),
    ("p = end - 1;", {"off by one: p = end ;", "constant: p = end - 0;"}),
    ("p = -n + m;", {"arithmetic: p = -n - m;"}),
    ("p->a += *q;", {"arithmetic: p->a -= *q;"}),
    ("t = s * NS_PER_S;", {"unit: t = s / NS_PER_S;", "unit: t = s * NS_PER_MS;"}),
    ("struct a *p = q;", set()),
    ("f = O_RDONLY | O_NOFOLLOW;", {"flag: f = O_RDONLY ;"}),
    ("mode = 0640;", {"constant: mode = 0662;"}),
    ("return -EINVAL;", {"swallowed error: return 0;"}),
    ("n = 16u; m = 0x0f;", {"off by one: n = 17u; m = 0x0f;", "off by one: n = 15u; m = 0x0f;", "off by one: n = 16u; m = 16;", "off by one: n = 16u; m = 14;"}),
    ("free(p);", {"dropped free: (void)0;"}),
    ("(void)config_free(p);", {"dropped free: (void)(void)0;"}),
    ("_cleanup_(closep) int fd = i;", {"dropped free:  int fd = i;"}),
    ("if (fsync(fd) < a) return;", {"skipped sync: if (0 < a) return;", "bound: if (fsync(fd) <= a) return;", "dropped check: if (0 && (fsync(fd) < a)) return;"}),
    ("fsync(fd);", {"skipped sync: (void)0;"}),
    ("ok = policy_allows(p);", {"skipped policy: ok = 0;", "skipped policy: ok = 1;"}),
    ("r = write(fd, p(), n);", {"partial I/O: r = (write(fd, p(), n) < 0 ? -1 : (ssize_t)(n));", "swapped arguments: r = write(p(), fd, n);",
                                "swapped arguments: r = write(fd, n, p());"}),
    ("copy(a[i, j], a[i, j]);", {"dropped call: (void)0;"}),
    ("x = strcmp(a, b) == 0;", {"comparison: x = strcmp(a, b) != 0;", "constant: x = strcmp(a, b) == 1;"}),
    ("x = strncmp(a, b, n);", {"swapped arguments: x = strncmp(b, a, n);", "swapped arguments: x = strncmp(a, n, b);"}),
    ("char text[512];", {"unit: char text[64];", "off by one: char text[511];"}),
    ("for (;;) { break; }", {"flow: for (;;) { ; }"}),
    # Nothing in comments, strings, characters, and lines of the preprocessor.
    ('/* a < 1 */ s = "a < 1 \\" && 2"; c = \'<\'; d = \'\\\'\'; // b < 1', set()),
]


def all_faults(text):
    source = mutate.Source("a.c", text)
    return [(mutate.Fault("part", source, change), text[:change.at] + change.text + text[change.end:]) for change in mutate.changes(source)]


def story_each_kind_of_fault_is_made_where_it_can_be_and_nowhere_else():
    seen = set()
    for statement, wanted in FAULTS:
        head, tail = "int f(int a)\n{\n\t", "\n}\n"
        made = {f"{fault.change.kind}: {text[len(head):-len(tail)]}" for fault, text in all_faults(head + statement + tail)}
        assert made == wanted, (statement, made ^ wanted)
        seen |= {entry.split(":")[0] for entry in made}
    assert len(seen) == 16, sorted(seen)


def story_directives_are_left_alone_and_lines_stay_where_they_are():
    text = '#include <a.h>\n#define A(x) \\\n\t((x) < 1)\n  #  if B < 2 /* of\n two < lines */\nint a[7];\n\nstatic void g(void)\n{\n\tcall(first,\n\t     second);\n}\n'
    made = all_faults(text)
    assert [(fault.change.kind, fault.line, fault.function) for fault, _ in made] == \
        [("off by one", 6, "-"), ("dropped call", 10, "g"), ("swapped arguments", 10, "g")], [str(fault) for fault, _ in made]
    assert all(changed.count("\n") == text.count("\n") for _, changed in made)
    assert str(made[2][0]) == "a.c:10 g (swapped arguments)\n- call(first, second);\n+ call(second, first);", str(made[2][0])


def story_a_seed_gives_the_same_faults_and_another_one_others():
    text = "int f(int a)\n{\n" + "".join(f"\tif (a < {i})\n\t\treturn -E{i};\n\tfree(a);\n" for i in range(10, 40)) + "}\n"
    orders = [[fault.key() + (fault.line,) for fault in mutate.drawn([fault for fault, _ in all_faults(text)], seed)] for seed in ("1 a", "1 a", "2 a")]
    assert orders[0] == orders[1] != orders[2] and sorted(orders[0]) == sorted(orders[2])
    kinds = collections.Counter(fault.change.kind for fault in list(mutate.drawn([fault for fault, _ in all_faults(text)], "1 a"))[:50])
    assert len(kinds) == 5 and max(kinds.values()) < 25, kinds  # though most that could be made are off by one
    for number in (0, 1, 7, 60, 600):
        given = mutate.shares(number, {"large": 9000, "small": 100, "none": 0})
        assert sum(given.values()) == number and given["large"] >= given["small"], given


def story_every_equivalent_change_can_still_be_made():
    with open(os.path.join(ROOT, mutate.EQUIVALENT), encoding="utf-8") as file:
        listed = mutate.read_equivalent(file.read())
    for path in {key[0] for key in listed}:
        there = {fault.key() for fault in mutate.faults_of("part", [path], ROOT)}
        for key in listed:
            assert key[0] != path or key in there, f"{mutate.EQUIVALENT}: this cannot be made any more: {key}"
    pasted = mutate.read_equivalent("# head\na.c:10 g (bound)\n- a < b\n+ a <= b\nno b is\never equal\n\na.c h\n- 1\n+ 2\nwhy\n")
    assert pasted == {("a.c", "g", "a < b", "a <= b"): "no b is ever equal", ("a.c", "h", "1", "2"): "why"}, pasted
    for wrong in ("a.c g\n- 1\n+ 2\n", "a.c g\n+ 2\n- 1\nwhy\n"):
        try:
            mutate.read_equivalent(wrong)
        except ValueError:
            continue
        assert False, wrong


def story_each_part_has_scripts_that_there_are():
    for names in mutate.SCRIPTS.values():
        for name in names.split():
            assert os.path.exists(os.path.join(ROOT, "tests", "integration", f"test_{name}.py")), name


tap.main(globals())
