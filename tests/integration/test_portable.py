#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""The portable program: one file that is agent and executor, and needs the C library alone of the system it comes to."""
import concurrent.futures
import contextlib
import glob
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile

import tap
from fakehost import BUILD, ROOT, SANITIZED, program

sys.path.insert(0, os.path.join(ROOT, "tests", "lib"))
import image  # noqa: E402  pylint: disable=wrong-import-position

RELEASES = ("bullseye", "bookworm", "trixie")
OLDEST_GLIBC = (2, 31)


def portable():
    """The program that `make portable` left, to be started: in the room alone."""
    path = os.path.join(BUILD, "portable", "infiniservice")
    if SANITIZED:
        raise tap.Skip("it is made without sanitizers")
    if not os.path.exists(path):
        raise tap.Skip("there is no portable program: make portable")
    tap.need_room()
    return path


def prepare():
    """What is kept for the next run: the roots that it comes to. They wait for the network."""
    if SANITIZED or os.geteuid() != 0:
        return
    with concurrent.futures.ThreadPoolExecutor() as pool:
        for root in [pool.submit(image.root_folder, release) for release in RELEASES]:
            with contextlib.suppress(image.Unavailable):
                root.result()


def directory():
    return tap.keep(tempfile.TemporaryDirectory(prefix="infini-"))


def settings(where):
    """Options that keep all it writes in one directory."""
    config = os.path.join(where, "agent.conf")
    with open(os.open(config, os.O_WRONLY | os.O_CREAT, 0o600), "w", encoding="utf-8"):
        pass
    options = ["--config", config]
    for key, name in (("agent.state_dir", "state"), ("agent.runtime_dir", "run"), ("log.dir", "log")):
        options += ["--set", "%s=%s" % (key, os.path.join(where, name))]
    return options + ["--set", "socket.path=" + os.path.join(where, "agent.sock"), "--set", "commands.allow_unsafe=yes"]


def started(argv, **more):
    child = subprocess.Popen(argv, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True, **more)

    def stop():
        child.send_signal(signal.SIGTERM)
        try:
            child.communicate(timeout=10)
        except subprocess.TimeoutExpired:
            child.kill()
            child.communicate()
            raise

    tap.keep(contextlib.ExitStack()).callback(stop)
    return child


def story_it_needs_the_c_library_of_debian_11_and_no_other():
    told_of = subprocess.run(["readelf", "--wide", "--dynamic", "--version-info", portable()], capture_output=True, text=True, check=True).stdout
    needed = set(re.findall(r"\(NEEDED\).*\[(.*)\]", told_of))
    assert "libc.so.6" in needed and not {name for name in needed if not re.match(r"(libc|libm|libdl|ld-linux.*)\.so\.[0-9]$", name)}, needed
    versions = {tuple(map(int, version.split("."))) for version in re.findall(r"GLIBC_([0-9.]+)", told_of)}
    assert versions and max(versions) <= OLDEST_GLIBC, sorted(versions)


# ------------------------------------------------------------------------------------------------------- clean roots

# In the folder that the test shares with it; nothing else of the root is written to.
INSIDE = "mount --bind %(shared)s %(root)s/tmp && mount --bind /proc %(root)s/proc && mount -o remount,bind,ro %(root)s"


def inside(release):
    """A function that starts a program in a clean root of that Debian, and the folder that is its /tmp, the program in it."""
    tap.need_root()
    path, shared = portable(), directory()
    try:
        root = image.root_folder(release)
    except image.Unavailable as reason:
        raise tap.Skip(str(reason)) from None
    shutil.copy(path, os.path.join(shared, "infiniservice"))
    os.chmod(shared, 0o755)
    setup = "mount --bind %s %s && " % (root, root) + INSIDE % {"shared": shared, "root": root}
    if subprocess.run(["unshare", "--mount", "sh", "-c", setup], capture_output=True, check=False).returncode != 0:
        raise tap.Skip("no mount namespace may be made here")
    return (lambda *argv: ["unshare", "--mount", "sh", "-c", setup + " && exec chroot %s \"$@\"" % root, "sh", *argv]), shared


def told(argv):
    done = subprocess.run(argv, capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 0 and not done.stderr, done
    return done.stdout


def commanded(argv, shared, *arguments):
    """What a host gets for one request to an agent that is started by `argv`."""
    link = os.path.join(shared, "host.sock")
    host = subprocess.Popen([program("infinihost"), "--listen", link, "--timeout", "20", *arguments],
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    started(argv)
    out, err = host.communicate(timeout=40)
    return host.returncode, out, err


def runs_in(release, number):
    start, shared = inside(release)
    assert told(start("/tmp/infiniservice", "--version")).startswith("infiniservice ")
    message = json.loads(told(start("/tmp/infiniservice", "--once")))
    assert message["type"] == "metrics" and message["data"]["system"]["memory"]["total_kb"] > 0
    os.mkdir(os.path.join(shared, "own"))
    agent = ["/tmp/infiniservice", "--port", "unix:/tmp/host.sock"]
    for option in settings(os.path.join(shared, "own")):
        agent.append(option.replace(shared, "/tmp"))
    code, out, err = commanded(start(*agent), shared, "exec", "--", "id -u; . /etc/os-release; echo $VERSION_ID; readlink /proc/$PPID/exe")
    assert code == 0 and out == "0\n%s\n/tmp/infiniservice\n" % number, (code, out, err)
    code, out, err = commanded(start(*agent), shared, "run", "ServiceList")
    # From Debian 13 on coreutils bring the library along.
    has_library = glob.glob(os.path.join(image.root_folder(release), "usr/lib/*/libsystemd.so.0"))
    assert code != 0 and ("no system bus" if has_library else "package libsystemd0") in out + err, (code, out, err)


def story_it_runs_in_a_clean_debian_11():
    runs_in("bullseye", 11)


def story_it_runs_in_a_clean_debian_12():
    runs_in("bookworm", 12)


def story_it_runs_in_a_clean_debian_13():
    runs_in("trixie", 13)


def story_it_is_the_executor_too():
    path, where = portable(), directory()
    shutil.copy(path, os.path.join(where, "infiniservice"))
    link = os.path.join(where, "host.sock")
    host = subprocess.Popen([program("infinihost"), "--listen", link, "--timeout", "20", "exec", "--", "echo run by $PPID; id -un"],
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    started([os.path.join(where, "infiniservice"), "--port", "unix:" + link] + settings(where))
    out, err = host.communicate(timeout=30)
    assert host.returncode == 0 and out.startswith("run by "), (out, err)


def story_under_the_executors_name_it_is_nothing_else():
    path, where = portable(), directory()
    os.symlink(path, os.path.join(where, "infiniservice-exec"))
    done = subprocess.run([os.path.join(where, "infiniservice-exec"), "--version"], capture_output=True, text=True, timeout=10,
                          check=False, stdin=subprocess.DEVNULL)
    assert done.returncode != 0 and "infiniservice-exec" in done.stderr and not done.stdout, done


def story_with_a_verb_it_does_the_executors_work_whatever_its_name():
    path, where = portable(), directory()
    shutil.copy(path, os.path.join(where, "infiniservice"))
    done = subprocess.run([os.path.join(where, "infiniservice"), "kill"], capture_output=True, text=True, timeout=10, check=False)
    assert done.returncode == 2 and "infiniservice-exec kill" in done.stderr, done
    os.mkdir(os.path.join(where, "rubbish"))
    agent = [os.path.join(where, "infiniservice"), "--port", "unix:" + os.path.join(where, "host.sock")] + settings(where)
    code, out, err = commanded(agent + ["--set", "commands.allow=observe, control"], where, "run", "DiskCleanup", "dry_run=true")
    assert code == 0, (code, out, err)


def story_it_tells_its_manager_that_it_is_ready():
    path, where = portable(), directory()
    manager = tap.keep(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM))
    manager.bind(os.path.join(where, "notify"))
    manager.settimeout(10)
    started([path, "--port", "none"] + settings(where), env=dict(os.environ, NOTIFY_SOCKET=os.path.join(where, "notify")))
    seen = b""
    while b"READY=1" not in seen:
        seen += manager.recv(4096) + b"\n"


def story_it_names_the_machine_as_the_other_build_does():
    path, where = portable(), directory()
    ids = []
    for name in (path, program("infiniservice")):
        child = started([name, "--port", "none", "--verbose"] + settings(where))
        line = child.stderr.readline()
        while ": vm " not in line and line:
            line = child.stderr.readline()
        ids.append(line.split(": vm ")[1].split(", port")[0])
        child.send_signal(signal.SIGTERM)
        child.wait(10)
    assert ids[0] == ids[1], ids


if __name__ == "__main__":
    tap.main(globals(), prepare)
