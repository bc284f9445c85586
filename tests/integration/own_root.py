# SPDX-License-Identifier: MIT
"""A root file system of a test's own, in namespaces of its own: what installs, cleans, seals or gives away is tried in there, so that
what is wrong with it costs this machine nothing."""
import functools
import os
import shutil
import subprocess
import tempfile

import tap
from fakehost import BUILD, ROOT, program


def tree(top):
    return sorted(os.path.relpath(os.path.join(folder, name), top) for folder, _, names in os.walk(top) for name in names)


def make(*arguments):
    env = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}
    return subprocess.run(["make", "-s", "-C", ROOT, "BUILD=" + BUILD, *arguments], capture_output=True, text=True, timeout=120,
                          check=False, env=env)


@functools.cache
def installer():
    """Made once for all roots of a test."""
    target = os.path.join(BUILD, "portable", "install-linux.sh")
    done = make(target)
    assert done.returncode == 0, done.stderr
    return target


class Root:
    """This machine's /usr, read-only, below an /etc, /var and /usr/local of its own; no service manager runs in it."""

    def __init__(self, with_systemd=True):
        self.top = tempfile.mkdtemp(prefix="infini-")
        os.chmod(self.top, 0o755)
        for name in ("usr", "proc", "sys", "etc/systemd/system", "etc/udev/rules.d", "var/lib", "var/log", "run", "tmp", "dev", "local", "pushed"):
            os.makedirs(os.path.join(self.top, name))
        for name in ("bin", "sbin", "lib", "lib64"):
            if os.path.islink("/" + name):
                os.symlink("usr/" + name, os.path.join(self.top, name))
        for name in ("ld.so.cache", "nsswitch.conf", "login.defs"):
            if os.path.exists("/etc/" + name):
                shutil.copy("/etc/" + name, os.path.join(self.top, "etc", name))
        self.write("etc/passwd", "root:x:0:0:root:/root:/bin/sh\n")
        self.write("etc/group", "root:x:0:\n")
        self.write("etc/shadow", "root:*::0:99999:7:::\n", 0o600)
        if not with_systemd:
            shutil.rmtree(os.path.join(self.top, "etc/systemd"))
        self.push("infiniservice", program("infiniservice"))
        self.push("infiniservice-exec", program("infiniservice-exec"))
        self.whole_installer()

    def path(self, name):
        return os.path.join(self.top, name)

    def write(self, name, text, mode=0o644):
        with open(self.path(name), "w", encoding="utf-8") as file:
            file.write(text)
            os.chmod(file.fileno(), mode)

    def read(self, name):
        with open(self.path(name), encoding="utf-8") as file:
            return file.read()

    def push(self, name, source):
        shutil.copy(source, self.path("pushed/" + name))

    def whole_installer(self):
        """As `make portable` makes it: it needs nothing beside it but the programs."""
        self.push("install-linux.sh", installer())

    def run(self, *arguments, secret=None):
        script = ("set -e; cd %s; mount --bind /usr usr; mount -o remount,bind,ro usr; mount --bind local usr/local; mount -t proc proc proc; "
                  "mount --bind /dev dev; mount -o remount,bind,ro dev; exec chroot . \"$@\"" % self.top)
        env = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}
        if arguments[0] == "strace":
            env["ASAN_OPTIONS"] = "detect_leaks=0"  # a leak checker cannot attach to what is traced
        if secret:
            env["INFINISERVICE_SHARED_SECRET"] = secret
        return subprocess.run(["unshare", "--mount", "--pid", "--fork", "sh", "-c", script, "sh", *arguments],
                              capture_output=True, text=True, timeout=60, check=False, env=env)

    def install(self, *arguments, secret=None):
        return self.run("/pushed/install-linux.sh", *arguments, secret=secret)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        shutil.rmtree(self.top, ignore_errors=True)


def root(**how):
    tap.need_root()
    tap.need_room()
    if not os.path.islink("/bin"):
        raise tap.Skip("this machine's /usr is not merged")
    made = tap.keep(Root(**how))
    if made.run("true").returncode != 0:
        raise tap.Skip("no mount namespace may be made here")
    return made
