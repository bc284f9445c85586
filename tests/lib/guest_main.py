# SPDX-License-Identifier: MIT
"""What the programs that tell stories in a guest have in common: their arguments, the boot, the exit status.

    sys.exit(guest_main.main(__doc__, folder, overlay))      # overlay() -> Overlay, or raises Unavailable

Exit status: 0 all told, 1 one failed, 77 this machine cannot run the guest.
"""

import argparse
import signal
import sys

import agent_guest
import stories
from guest import Guest, Timeout
from image import PACKAGES, Unavailable

BOOT_LIMIT_S = 120


def arguments(text, brief):
    options = argparse.ArgumentParser(description=text.splitlines()[0])
    options.add_argument("--only", metavar="WORD", help="only stories with this word in their function's name")
    if brief:
        options.add_argument("--brief", action="store_true", help="only what another release can make different")
    options.add_argument("--release", default="bookworm", choices=sorted(PACKAGES), help="the guest's Debian")
    options.add_argument("--again", action="store_true", help="tell a story that failed once more; say so when it passes")
    options.add_argument("stories", nargs="*", metavar="STORY", help="story_STORY.py only")
    return options.parse_args()


def told(folder, overlay, args, brief, ports, prepare, parameters):
    """Boots, tells, and returns how many stories failed."""
    stories.load(folder, args.stories)
    if brief and args.brief:
        missing = stories.choose(brief)
        assert args.stories or not missing, missing
    with Guest(args.release, overlay=overlay(), ports=ports, parameters=parameters) as guest:
        if prepare:
            prepare(guest)
        guest.start(BOOT_LIMIT_S)
        stories.remark("guest: %s, " % args.release + ", ".join("%s after %.1f s" % item for item in guest.took.items()))
        return stories.tell_all(guest, agent_guest.evidence, args.only, args.again)


def main(text, folder, overlay, brief=(), ports=agent_guest.PORTS, prepare=None, parameters=""):
    """`brief`: the names of those stories that --brief tells. prepare(guest) is called before it boots. `parameters`: further ones of its kernel."""
    args = arguments(text, brief)
    # atexit, and with it the end of QEMU, needs an orderly exit
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    try:
        failed = told(folder, overlay, args, brief, ports, prepare, parameters)
    except Unavailable as reason:
        print(reason)
        return 77
    except Timeout as error:
        print("1..1\nnot ok 1 - the guest boots")
        stories.remark(str(error))
        return 1
    return 1 if failed else 0
