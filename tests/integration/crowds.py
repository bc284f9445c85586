# SPDX-License-Identifier: MIT
"""Clients of the local socket as several users, and an agent whose programs wait until they are let go."""
import os
import subprocess
import time

import tap
from fakehost import Agent, UnixHost, wait_until
from localclient import LocalClient

# Users that need not exist: what counts is the uid that the kernel vouches for (SO_PEERCRED).
FIRST_UID = 61001

# In front of the real ones, in a mount namespace of the agent's own.
INSIDE = 'set -e\nmount --bind "$1" /usr/local/sbin\nshift\nexec "$@"\n'
# A package manager's question that waits to be told to go on, and leaves word of who asked it.
WAITS = """#!/bin/sh
echo "$(id -u) ${0##*/} $1" >>%(dir)s/ran/log
while ! test -e %(dir)s/ran/go; do sleep 0.05; done
"""
ANSWERS = """#!/bin/sh
echo "$(id -u) ${0##*/} $1" >>%(dir)s/ran/log
"""


class Member(LocalClient):
    """A client of the local socket that is the user `uid`."""

    def __init__(self, agent, uid, receive_bytes=None):
        self.uid = uid
        super().__init__(agent, receive_bytes)

    def _connect(self, path):
        os.seteuid(self.uid)  # what SO_PEERCRED tells is taken at connect(2)
        try:
            return super()._connect(path)
        finally:
            os.seteuid(0)

    def ask_many(self, count, action="PackageList", timeout=120, **parameters):
        return [self.command(action, timeout, **parameters) for _ in range(count)]


def open_to_all(agent):
    """Every user may use the socket: as if all of them were in its group."""
    os.chmod(agent.directory, 0o711)
    wait_until(lambda: os.path.exists(agent.settings["socket.path"]), 10, "the local socket")
    os.chmod(agent.settings["socket.path"], 0o666)


class Machine:
    """An agent, its host and stand-ins for dpkg-query (waits to be let go) and dpkg (answers at once)."""

    def __init__(self, settings=None, uid=0):
        tap.need_root()
        if subprocess.run(["unshare", "-m", "true"], stderr=subprocess.DEVNULL, check=False).returncode:
            raise tap.Skip("this machine allows no mount namespace")
        self.host = tap.keep(UnixHost())
        self.agent = Agent(self.host.spec, {"commands.allow": "observe,control", "commands.allow_unsafe": "yes", **(settings or {})})
        os.mkdir(self.agent.path("ran"))
        os.mkdir(self.agent.path("bin"))
        for name, text in (("dpkg-query", WAITS), ("dpkg", ANSWERS), ("apt-get", ANSWERS)):
            with open(os.open(self.agent.path("bin/" + name), os.O_WRONLY | os.O_CREAT, 0o755), "w", encoding="ascii") as file:
                file.write(text % {"dir": self.agent.directory})
        with open(self.agent.path("inside"), "w", encoding="ascii") as file:
            file.write(INSIDE)
        self.agent.wrapper = ["unshare", "-m", "sh", self.agent.path("inside"), self.agent.path("bin")]
        if uid:
            self.agent.wrapper += ["setpriv", f"--reuid={uid}", f"--regid={uid}", "--clear-groups"]
            os.chmod(self.agent.directory, 0o755)
            os.chmod(os.path.dirname(self.host.path), 0o755)
            os.chmod(self.host.path, 0o666)
            os.mkdir(self.agent.path("socket"), 0o755)
            for name in ("state", "run", "log", "ran", "socket", "agent.conf"):
                os.chown(self.agent.path(name), uid, uid)
            self.agent.settings["socket.path"] = self.agent.path("socket/agent.sock")
        tap.keep(self.agent)
        self.host.accept(10)
        open_to_all(self.agent)

    def member(self, uid, receive_bytes=None):
        return tap.keep(Member(self.agent, uid, receive_bytes))

    def crowd(self, users=10, clients=1):
        return [self.member(FIRST_UID + i) for i in range(users) for _ in range(clients)]

    def ran(self, word=""):
        """Lines "UID PROGRAM ARGUMENTS" of the stand-ins that have begun."""
        try:
            with open(self.agent.path("ran/log"), encoding="ascii") as file:
                return [line for line in file.read().splitlines() if word in line]
        except FileNotFoundError:
            return []

    def let_go(self):
        with open(self.agent.path("ran/go"), "w", encoding="ascii"):
            pass

    def commands(self):
        self.host.send({"type": "Status", "id": "state"})
        return self.host.response("state")["data"]["commands"]


def answers_so_far(client, seconds=0.5):
    """The responses that have come to a client, by id."""
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        client.pump(left)
    found = {m["id"]: m for m in client.pending if m["type"] == "response"}
    client.pending.clear()
    return found
