# SPDX-License-Identifier: MIT
"""Stories as functions, results as TAP: `ok N - name`, `not ok N - name`, `ok N - name # SKIP reason`.

A test file ends with `tap.main(globals())`, which runs it in a room of its own (tests/lib/room.py): its stories may end, empty and
break what they like, and what they write is gone afterwards. What has to be built or fetched, and kept, is given as
`prepare=function` and done before the door closes. Its functions whose names begin with `story_` are run in the order they are
written; a failed assertion fails the one story, and whatever it opened through `tap.keep(...)` is closed in reverse order.
Arguments choose stories by a part of their name. A story that mostly waits, for an interval of the agent's that no setting shortens, say,
may be marked with `@tap.beside`: it is begun in a process of its own when the first story is, and its result is told behind the others'.
"""
import contextlib
import ctypes
import os
import signal
import sys
import tempfile
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


PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36


def beside(story):
    """For a story that waits, uses no processor to speak of, and shares nothing with the others."""
    story.beside = True
    return story


class Apart:
    """A story in a process of its own; what it says comes with its result."""

    def __init__(self, story):
        self.output = tempfile.TemporaryFile()  # pylint: disable=consider-using-with
        self.begun = time.monotonic()
        self.pid = os.fork()
        if self.pid:
            return
        prctl = ctypes.CDLL(None, use_errno=True).prctl
        prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)  # of what its agents leave behind, as the other process is of the others'
        status = 1
        try:
            os.dup2(self.output.fileno(), 1)
            os.dup2(self.output.fileno(), 2)
            ok, skipped, report = _tell(story)
            note(report)
            print(("skipped " + skipped if skipped else "ok" if ok else "not ok") + f"\n{time.monotonic() - self.begun:.1f}", flush=True)
            status = 0
        finally:
            os._exit(status)

    def told(self):
        """(ok, reason it was skipped, report, seconds)."""
        _, status = os.waitpid(self.pid, 0)
        self.output.seek(0)
        lines = self.output.read().decode("utf-8", "replace").splitlines()
        if status or len(lines) < 2:
            return False, "", "\n".join(lines + [f"the process of the story ended with status {status}"]), time.monotonic() - self.begun
        *said, result, took = lines
        skipped = result[len("skipped "):] if result.startswith("skipped ") else ""
        return result != "not ok", skipped, "\n".join(line[2:] if line.startswith("# ") else line for line in said), float(took)


def _told(story, apart):
    if apart:
        return apart.told()
    begun = time.monotonic()
    return (*_tell(story), time.monotonic() - begun)


def main(names, prepare=None):
    if prepare and not room.inside():
        prepare()
    room.enter()
    stories = [(name, f) for name, f in names.items() if name.startswith("story_") and callable(f)]
    wanted = sys.argv[1:]
    if wanted:
        stories = [(name, f) for name, f in stories if any(w in name for w in wanted)]
    stories.sort(key=lambda named: getattr(named[1], "beside", False))
    failures = 0
    print(f"1..{len(stories)}", flush=True)
    apart = {name: Apart(story) for name, story in stories if getattr(story, "beside", False) and len(stories) > 1}
    for number, (name, story) in enumerate(stories, 1):
        title = name[len("story_"):].replace("_", " ")
        ok, skipped, report, took = _told(story, apart.get(name))
        failures += not ok
        if report:
            note(report)
        tail = f" # SKIP {skipped}" if skipped else ""
        print(f"{'ok' if ok else 'not ok'} {number} - {title}{tail}", flush=True)
        if took > 2:
            note(f"took {took:.1f} s")
    sys.exit(1 if failures else 0)
