# SPDX-License-Identifier: MIT
"""Stories as functions, results as TAP: `ok N - name`, `not ok N - name`, `ok N - name # SKIP reason`.

A test file ends with `tap.main(globals())`, which runs it in a room of its own (tests/lib/room.py): its stories may end, empty and
break what they like, and what they write is gone afterwards. What has to be built or fetched, and kept, is given as
`prepare=function` and done before the door closes. Its functions whose names begin with `story_` are run in the order they are
written; a failed assertion fails the one story, and whatever it opened through `tap.keep(...)` is closed in reverse order.
Arguments choose stories by a part of their name.
"""
import contextlib
import os
import sys
import time
import traceback

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "lib"))
import room  # noqa: E402  pylint: disable=wrong-import-position


class Skip(Exception):
    """Raised by a story that cannot be told on this machine; the reason is shown."""


_kept = contextlib.ExitStack()


def keep(thing):
    """Enters a context manager for the rest of the story."""
    return _kept.enter_context(thing)


def need_root():
    if os.geteuid() != 0:
        raise Skip("needs root")


def need_room():
    """For what could destroy something of the machine if the code under test were wrong."""
    if not room.inside():
        raise Skip(f"could destroy something of this machine: {room.why_not()}")


def note(text):
    for line in str(text).splitlines():
        print("# " + line, flush=True)


def _tell(story):
    """Runs one story and gives (ok, reason it was skipped, report)."""
    global _kept
    try:
        with contextlib.ExitStack() as _kept:
            story()
    except Skip as skip:
        return True, str(skip), ""
    except BaseException as failure:  # pylint: disable=broad-except
        if isinstance(failure, KeyboardInterrupt):
            raise
        return False, "", traceback.format_exc()
    return True, "", ""


def main(names, prepare=None):
    if prepare and not room.inside():
        prepare()
    room.enter()
    stories = [(name, f) for name, f in names.items() if name.startswith("story_") and callable(f)]
    wanted = sys.argv[1:]
    if wanted:
        stories = [(name, f) for name, f in stories if any(w in name for w in wanted)]
    failures = 0
    print(f"1..{len(stories)}", flush=True)
    for number, (name, story) in enumerate(stories, 1):
        title = name[len("story_"):].replace("_", " ")
        begun = time.monotonic()
        ok, skipped, report = _tell(story)
        took = time.monotonic() - begun
        failures += not ok
        if report:
            note(report)
        tail = f" # SKIP {skipped}" if skipped else ""
        print(f"{'ok' if ok else 'not ok'} {number} - {title}{tail}", flush=True)
        if took > 2:
            note(f"took {took:.1f} s")
    sys.exit(1 if failures else 0)
