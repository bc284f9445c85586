# SPDX-License-Identifier: MIT
"""A machine of its own for the real apt and dpkg: a mount namespace where their databases, lists, caches, logs and settings and /opt are
empty directories, and everything else of the machine that packages could touch is read-only, whatever the code under test does."""
import hashlib
import os
import shutil
import subprocess
import tempfile

import schema
import tap
from fakehost import SLOW, Agent, UnixHost

ALL = {"commands.allow": "observe,control,packages,power", "timers.metrics_interval_ms": 60000}
ENVIRONMENT = {"LC_ALL": "C.UTF-8", "PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/"}
NEEDED = ("apt-get", "dpkg", "dpkg-deb", "unshare", "nsenter", "find")

# $1: where the directories are; the rest: what to run in there.
INSIDE = """set -e
for tree in /usr /etc /boot /home /root /srv /bin /sbin /lib; do
	test ! -d $tree || test -L $tree || { mount --bind $tree $tree; mount -o remount,bind,ro $tree; }
done
for pair in apt:/etc/apt dpkgcfg:/etc/dpkg aptstate:/var/lib/apt dpkg:/var/lib/dpkg cache:/var/cache/apt log:/var/log opt:/opt; do
	mkdir -p "$1/${pair%%:*}"
	mount --bind "$1/${pair%%:*}" "${pair#*:}"
done
shift
exec "$@"
"""
FOLDERS = ("apt/apt.conf.d", "apt/sources.list.d", "apt/preferences.d", "apt/trusted.gpg.d", "dpkgcfg/dpkg.cfg.d", "aptstate/lists/partial",
           "dpkg/info", "dpkg/updates", "dpkg/triggers", "cache/archives/partial", "log/apt", "opt", "repo")


def run(*argv, **more):
    done = subprocess.run(argv, env=ENVIRONMENT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False, **more)
    assert done.returncode == 0, f"{argv}: {done.stdout.decode(errors='replace')}"
    return done.stdout.decode(errors="replace")


class Machine:
    def __init__(self):
        tap.need_root()
        missing = [name for name in NEEDED if not shutil.which(name, path=ENVIRONMENT["PATH"])]
        if missing:
            raise tap.Skip("this machine has no " + ", ".join(missing))
        if subprocess.run(["unshare", "-m", "true"], stderr=subprocess.DEVNULL, check=False).returncode:
            raise tap.Skip("this machine allows no mount namespace")
        self.directory = tempfile.mkdtemp(prefix="infini-apt-")
        os.chmod(self.directory, 0o755)  # apt reads its lists as another user
        self.agent = None

    def __enter__(self):
        for name in FOLDERS:
            os.makedirs(self.path(name))
        for name in ("dpkg/status", "dpkg/available"):
            self.write(name, "")
        self.write("apt/apt.conf.d/story", 'Acquire::Retries "0";\nAPT::Sandbox::User "root";\n')
        self.write("inside", INSIDE)
        return self

    def __exit__(self, *_):
        shutil.rmtree(self.directory, ignore_errors=True)

    def path(self, name):
        return os.path.join(self.directory, name)

    def write(self, name, text):
        os.makedirs(os.path.dirname(self.path(name)), exist_ok=True)
        with open(self.path(name), "w", encoding="utf-8") as file:
            file.write(text)

    def sources(self, *lines):
        self.write("apt/sources.list", "".join(line + "\n" for line in lines))

    def own(self, repository="repo"):
        """The line for a repository of this machine."""
        return f"deb [trusted=yes] file:{self.path(repository)} ./"

    def make(self, name, version, files=None, fields="", scripts=None, conffiles=(), repository="repo", architecture="all"):
        """A package of files below /opt/NAME in a repository of this machine."""
        tree = self.path("tree")
        shutil.rmtree(tree, ignore_errors=True)
        for path, text in {f"/opt/{name}/version": version + "\n", **(files or {})}.items():
            os.makedirs(os.path.dirname(tree + path), exist_ok=True)
            with open(tree + path, "w", encoding="utf-8") as file:
                file.write(text)
        os.makedirs(tree + "/DEBIAN")
        control = (f"Package: {name}\nVersion: {version}\nArchitecture: {architecture}\nMaintainer: A Story <story@example.org>\nSection: misc\n"
                   f"Priority: optional\nInstalled-Size: 12\n{fields}Description: the {name} of a story\n")
        self.write("tree/DEBIAN/control", control)
        if conffiles:
            self.write("tree/DEBIAN/conffiles", "".join(path + "\n" for path in conffiles))
        for script, text in (scripts or {}).items():
            self.write("tree/DEBIAN/" + script, "#!/bin/sh\n" + text + "\n")
            os.chmod(self.path("tree/DEBIAN/" + script), 0o755)
        os.makedirs(self.path(repository), exist_ok=True)
        run("dpkg-deb", "--root-owner-group", "-Zgzip", "-z1", "-b", tree, self.path(f"{repository}/{name}_{version}_{architecture}.deb"))
        shutil.rmtree(tree)
        self.index(repository)

    def index(self, repository="repo"):
        text = ""
        for name in sorted(os.listdir(self.path(repository))):
            path = self.path(os.path.join(repository, name))
            if name.endswith(".deb"):
                with open(path, "rb") as file:
                    digest = hashlib.sha256(file.read()).hexdigest()
                text += run("dpkg-deb", "-f", path) + f"Filename: ./{name}\nSize: {os.path.getsize(path)}\nSHA256: {digest}\n\n"
        self.write(repository + "/Packages", text)

    def talk(self, settings=None):
        """The agent in there, and its host."""
        host = tap.keep(UnixHost())
        self.agent = tap.keep(Agent(host.spec, {**ALL, **(settings or {})},
                                    wrapper=["unshare", "-m", "sh", self.path("inside"), self.directory]))
        host.accept(20)
        return host

    def sh(self, script):
        """What a shell says in there, with or without an agent."""
        if self.agent:
            return run("nsenter", "-t", str(self.agent.pid), "-m", "sh", "-c", script)
        return run("unshare", "-m", "sh", self.path("inside"), self.directory, "sh", "-c", script)


def ask(host, action, timeout=120, **parameters):
    return host.response(host.command(action, timeout, **parameters), timeout * SLOW)


def data_of(host, action, timeout=120, **parameters):
    answer = ask(host, action, timeout, **parameters)
    assert answer["success"], answer
    schema.check_data(action, answer["data"])
    return answer["data"]
