#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Prints the folder that the portable program is compiled and linked against: the C library and the small libraries of a Debian.

    tools/sysroot.py BUILD RELEASE

It is made once, from where this machine's own apt takes its packages, and kept in BUILD/cache.
"""

import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "tests", "lib"))
sys.dont_write_bytecode = True

if __name__ == "__main__":
    os.environ["INFINISERVICE_BUILD"] = os.path.abspath(sys.argv[1])
    import image  # noqa: E402  pylint: disable=wrong-import-position
    try:
        print(image.sysroot(sys.argv[2]))
    except image.Unavailable as reason:
        sys.exit("portable: %s" % reason)
