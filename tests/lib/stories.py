# SPDX-License-Identifier: MIT
"""Stories: many small functions, one booted guest, one line of TAP each.

    @story(rows=[46, 47], limit_s=40)
    def the_port_comes_back_under_another_number(guest): …

A story's name is its sentence; the rows are those of the fault matrix it stands for. It leaves the guest as it found
it. After a story that failed the guest is asked for a sign of life, and booted anew if there is none.
"""

import importlib
import os
import signal
import sys
import time
import traceback

from guest import SLOW

registered = []


class Skip(Exception):
    """The story cannot be told here, for this reason."""


class OutOfTime(BaseException):
    """Not an Exception: a story that catches those must not catch this."""


def story(rows=(), limit_s=30):
    def register(function):
        registered.append((function, list(rows), limit_s))
        return function
    return register


def load(folder, names):
    """Imports story_*.py in the order of their names (or the named ones only)."""
    sys.path.insert(0, folder)
    found = sorted(name[:-3] for name in os.listdir(folder) if name.startswith("story_") and name.endswith(".py"))
    for name in found:
        if not names or name in names or name[len("story_"):] in names:
            importlib.import_module(name)


def choose(names):
    """These alone; returns the names that nobody bears."""
    registered[:] = [entry for entry in registered if entry[0].__name__ in names]
    return set(names) - {entry[0].__name__ for entry in registered}


def say(text):
    print(text, flush=True)


def remark(text):
    for line in text.rstrip().splitlines():
        say("# " + line)


def run_limited(function, guest, limit_s):
    def ring(_number, _frame):
        raise OutOfTime("not done after %d s" % limit_s)

    signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, limit_s * SLOW)
    try:
        function(guest)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


def tell(number, function, rows, limit_s, guest, last=True):
    """Runs one story; true unless it failed, which is a result when it was the last try."""
    name = "%s: %s" % (function.__module__.replace("story_", ""), function.__name__.replace("_", " "))
    if rows:
        name += " [row%s %s]" % ("s" if len(rows) > 1 else "", ", ".join(map(str, rows)))
    begin = time.monotonic()
    try:
        run_limited(function, guest, limit_s)
    except Skip as reason:
        say("ok %d - %s # SKIP %s" % (number, name, reason))
        return True
    except (Exception, OutOfTime):  # pylint: disable=broad-except
        say("not ok %d - %s" % (number, name) if last else "# once more: " + name)
        remark(traceback.format_exc(limit=-4))
        return False
    say("ok %d - %s (%.1f s)" % (number, name, time.monotonic() - begin))
    return True


def revive(guest, evidence):
    """After a failure: shows what the guest can still say, and gives the next story a guest that answers."""
    try:
        remark(evidence(guest))
        return
    except Exception as error:  # pylint: disable=broad-except
        remark("the guest does not answer (%s); it said last:\n%s\nbooting anew" % (error, guest.serial()[-1500:]))
    guest.kill()
    guest.start()


def tell_all(guest, evidence=lambda guest: guest.sh("uptime", 10), only=None, again=False):
    """Returns how many failed. `again`: one that fails is told once more, and called unsteady when it then passes."""
    chosen = [entry for entry in registered if not only or only in entry[0].__name__]
    say("1..%d" % len(chosen))
    failed = 0
    for number, (function, rows, limit_s) in enumerate(chosen, 1):
        told = tell(number, function, rows, limit_s, guest, not again)
        if not told:
            revive(guest, evidence)
        if not told and again:
            told = tell(number, function, rows, limit_s, guest)
            if told:
                remark("unsteady: " + function.__name__)
            else:
                revive(guest, evidence)
        failed += not told
    return failed
