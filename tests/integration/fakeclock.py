# SPDX-License-Identifier: MIT
"""An agent that sees another wall clock than everybody else, which can be set while it runs."""
import os
import shutil

import tap


def faketime():
    """The library that shows a process another clock; read from a file, so that the clock can be moved under way."""
    for path in ("/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1", "/usr/lib/aarch64-linux-gnu/faketime/libfaketime.so.1"):
        if os.path.exists(path):
            return path
    if shutil.which("faketime"):
        return "libfaketime.so.1"
    raise tap.Skip("libfaketime is not installed")


def with_clock(agent):
    """Gives the agent, before it is started, a clock of its own; and the function that sets it: "+0", "-1h", "+10y"."""
    library = faketime()
    clock = agent.path("clock")

    def set_clock(text):
        with open(clock + ".new", "w", encoding="ascii") as file:
            file.write(text + "\n")
        os.rename(clock + ".new", clock)

    set_clock("+0")
    agent.env.update({"LD_PRELOAD": library, "FAKETIME_TIMESTAMP_FILE": clock, "FAKETIME_NO_CACHE": "1",
                      "DONT_FAKE_MONOTONIC": "1", "FAKETIME_DONT_FAKE_MONOTONIC": "1",
                      # A sanitized agent refuses to start behind another preloaded library.
                      "ASAN_OPTIONS": os.environ.get("ASAN_OPTIONS", "") + ":verify_asan_link_order=0"})
    return set_clock
