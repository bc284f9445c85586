#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""A room for tests: what runs in it can end, empty or break nothing of the machine, however wrong the code under test is.

    tests/lib/room.py [--or-without] COMMAND [ARGUMENT…]

The command sees the machine's files and may change any of them, yet writes to copies that are gone when it ends; /tmp and /run are
new. It has a process number space of its own, so that there is nobody else to signal; no bus, no devices but the harmless ones,
a control group of its own as the root of all, /proc/sys and /sys read-only, and neither the clock, the kernel's modules nor
the power switch. The network is the machine's. Everything that was started in the room ends with the command.

Every native test runs in a room of itself: those in Python through tap.main(), those in C through tests/room.c. Where none can be
made (no root and no user namespaces, or INFINISERVICE_NO_ROOM=1 for a debugger), they run as they are (--or-without), and what
could destroy something is skipped with the reason. Without that option nothing is run then: status 77, the reason on stderr.

root makes it by its rights, anybody else in a user namespace, in which files of others belong to nobody.
"""
import contextlib
import ctypes
import os
import shutil
import signal
import sys
import tempfile
import time

NAME = "test-room"  # of the first process in it, by which a room is known from within
REFUSED = "INFINISERVICE_NO_ROOM"  # in the environment: why there is none
NEW_AT_ALL = ("proc", "sys", "dev", "tmp", "run")
NODES = ("null", "zero", "full", "random", "urandom", "tty")
TMPFS_SIZE = "size=50%,mode=755"

MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC, MS_REMOUNT, MS_NOATIME, MS_BIND, MS_REC = 1, 2, 4, 8, 32, 1024, 4096, 16384
MS_PRIVATE, MS_RELATIME = 1 << 18, 1 << 21
CLONE_NEWNS, CLONE_NEWCGROUP, CLONE_NEWUTS, CLONE_NEWIPC = 0x20000, 0x2000000, 0x4000000, 0x8000000
CLONE_NEWUSER, CLONE_NEWPID = 0x10000000, 0x20000000
MNT_DETACH = 2
PR_SET_PDEATHSIG, PR_SET_NAME, PR_CAPBSET_DROP = 1, 15, 24
# CAP_SYS_MODULE, CAP_SYS_RAWIO, CAP_SYS_BOOT, CAP_SYS_TIME, CAP_MKNOD, CAP_MAC_ADMIN, CAP_SYSLOG, CAP_WAKE_ALARM
FURNISHED = b"furnished:"
KEPT_OUT = (16, 17, 22, 25, 27, 33, 34, 35)
SYS_PIVOT_ROOT = {"x86_64": 155, "aarch64": 41, "riscv64": 41}

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
FROM_A_TERMINAL = (signal.SIGINT, signal.SIGHUP, signal.SIGQUIT)

libc = ctypes.CDLL(None, use_errno=True)


class Impossible(Exception):
    """No room can be made here, for this reason."""


def inside():
    """True in a room, by the name of its first process: a machine's own is its init."""
    try:
        with open("/proc/1/comm", encoding="ascii", errors="replace") as file:
            return file.read().rstrip("\n") == NAME
    except OSError:
        return False


def why_not():
    """Why this process is in no room; empty when it is in one."""
    return "" if inside() else os.environ.get(REFUSED) or "it was not started in a room"


def enter():
    """Runs this Python program anew in a room, and comes back only if it is in one or there can be none."""
    if not inside() and REFUSED not in os.environ:
        sys.stdout.flush()
        os.execv(sys.executable, [sys.executable, os.path.abspath(__file__), "--or-without", sys.executable] + sys.argv)


# ------------------------------------------------------------------------------------------------------------ calls

def check(result, what):
    if result < 0:
        raise Impossible(f"{what}: {os.strerror(ctypes.get_errno())}")


def unshare(flags, what):
    check(libc.unshare(flags), what)


def mount(source, target, kind=None, flags=0, options=None):
    texts = [None if text is None else os.fsencode(text) for text in (source, target, kind, options)]
    check(libc.mount(texts[0], texts[1], texts[2], ctypes.c_ulong(flags), texts[3]), f"mount on {target}")


def put(path, text):
    with open(path, "w", encoding="ascii") as file:
        file.write(text)


def mounts(where="/proc/self/mountinfo"):
    """(mount point, options, type, super options) of each, in the order they were mounted."""
    found = []
    with open(where, "rb") as file:
        for line in file:
            left, _, right = line.rstrip(b"\n").partition(b" - ")
            fields = left.split(b" ")
            point = fields[4]
            for escape, byte in ((b"\\040", b" "), (b"\\011", b"\t"), (b"\\012", b"\n"), (b"\\134", b"\\")):
                point = point.replace(escape, byte)
            found.append((os.fsdecode(point), fields[5].decode().split(","), right.split(b" ")[0].decode()))
    return found


def read_only(target, options):
    """Makes one mount read-only; what else was set on it has to be said again."""
    flags = {"nosuid": MS_NOSUID, "nodev": MS_NODEV, "noexec": MS_NOEXEC, "noatime": MS_NOATIME, "relatime": MS_RELATIME}
    mount(None, target, None, MS_REMOUNT | MS_BIND | MS_RDONLY | sum(flags.get(option, 0) for option in options))


# -------------------------------------------------------------------------------------------------------- the files

class Copies:
    """The machine's folders, written to in memory."""

    def __init__(self, memory, root, as_user):
        self.memory, self.root, self.as_user = memory, root, as_user
        self.tried = self.made = 0

    def cover(self, path):
        """Puts a copy of the machine's folder `path` at its place in the root."""
        self.tried += 1
        upper, work = (os.path.join(self.memory, f"{self.tried}{end}") for end in ("", ".work"))
        os.mkdir(upper)
        os.mkdir(work)
        about = os.stat(path)
        os.chmod(upper, about.st_mode & 0o7777)
        if not self.as_user:
            os.chown(upper, about.st_uid, about.st_gid)
        lower = path.replace("\\", "\\\\").replace(":", "\\:").replace(",", "\\,")
        mount("overlay", self.root + path, "overlay", 0,
              f"lowerdir={lower},upperdir={upper},workdir={work}" + (",userxattr" if self.as_user else ""))
        self.made += 1

    def cover_or_close(self, path, kind=""):
        """A copy, or else what is there, with all that hangs below it, to look at."""
        target = self.root + path
        if kind == "autofs" or not os.path.lexists(target):
            return
        if os.path.isdir(path):
            try:
                self.cover(path)
                return
            except (Impossible, OSError):
                pass
        mount(path, target, None, MS_BIND | MS_REC)
        for point, options, _ in mounts():
            if below(point, [target]):
                read_only(point, options)


def below(path, folders):
    return any(path == folder or path.startswith(folder + "/") for folder in folders)


def copy_files(memory, root, there, as_user):
    """`there` are the machine's mounts."""
    copies = Copies(memory, root, as_user)
    for name in sorted(os.listdir("/")):
        path = "/" + name
        if os.path.islink(path):
            os.symlink(os.readlink(path), root + path)
        elif os.path.isdir(path):
            os.mkdir(root + path)
            if name not in NEW_AT_ALL:
                copies.cover_or_close(path)
    apart = ["/" + name for name in NEW_AT_ALL]
    done = set(["/"])
    for point, _, kind in there:
        if point not in done and not below(point, apart):
            done.add(point)
            copies.cover_or_close(point, kind)
    for name, mode in (("tmp", 0o1777), ("run", 0o755), ("proc", 0o555), ("sys", 0o555), ("dev", 0o755)):
        os.makedirs(os.path.join(root, name), exist_ok=True)
        os.chmod(os.path.join(root, name), mode)
    # A tree that somebody has in /tmp is needed there, and is a copy like the rest.
    for path in [ROOT] + [os.path.abspath(path) for path in (os.environ.get("INFINISERVICE_BUILD"), ) if path]:
        if below(path, ["/tmp"]) and os.path.isdir(path) and not os.path.isdir(root + path):
            os.makedirs(root + path)
            copies.cover_or_close(path)
    if not copies.made:
        raise Impossible("no overlay can be mounted")
    # What gcov counts outlives the room.
    counted = os.environ.get("INFINISERVICE_COUNTED")
    if counted:
        mount(counted, root + counted, None, MS_BIND)
    # So does what the loops of agents tell of long turns (tests/run).
    watched = os.environ.get("INFINISERVICE_TURNS")
    if watched and os.path.exists(root + watched):
        mount(watched, root + watched, None, MS_BIND)


def make_devices(dev):
    mount("none", dev, "tmpfs", MS_NOSUID, "mode=755,size=64k")
    for name in NODES:
        path, about = os.path.join(dev, name), os.stat("/dev/" + name)
        try:
            os.mknod(path, about.st_mode, about.st_rdev)
            os.chmod(path, about.st_mode & 0o7777)
        except PermissionError:  # in a user namespace
            put(path, "")
            mount("/dev/" + name, path, None, MS_BIND)
    for name, kind, options in (("pts", "devpts", "newinstance,ptmxmode=0666,mode=0620"), ("shm", "tmpfs", "mode=1777")):
        os.mkdir(os.path.join(dev, name))
        mount("none", os.path.join(dev, name), kind, MS_NOSUID | MS_NOEXEC, options)
    for name, target in (("ptmx", "pts/ptmx"), ("fd", "/proc/self/fd"), ("stdin", "/proc/self/fd/0"),
                         ("stdout", "/proc/self/fd/1"), ("stderr", "/proc/self/fd/2")):
        os.symlink(target, os.path.join(dev, name))


def close_sys(root, group, group_mount):
    """/sys to look at; of control groups (version 2) the one made for the room, if there is one, is all."""
    mount("/sys", root + "/sys", None, MS_BIND | MS_REC)
    for point, options, _ in mounts():
        if below(point, [root + "/sys"]):
            read_only(point, options)
    if group:
        check(libc.umount2(os.fsencode(root + group_mount), MNT_DETACH), "leaving the machine's control groups")
        mount(group, root + group_mount, None, MS_BIND)


def make_proc(root):
    proc = root + "/proc"
    mount("proc", proc, "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC)
    mount(proc + "/sys", proc + "/sys", None, MS_BIND)
    read_only(proc + "/sys", ["nosuid", "nodev", "noexec"])
    for name in ("sysrq-trigger", "kcore", "kmsg"):
        if os.path.exists(proc + "/" + name):
            mount("/dev/null", proc + "/" + name, None, MS_BIND)


# ---------------------------------------------------------------------------------------------------- control group

def own_group():
    """The folder of the control group (version 2) that this process is in, and the mount it lies below; or None."""
    try:
        with open("/proc/self/cgroup", encoding="utf-8") as file:
            path = next(line[3:].rstrip("\n") for line in file if line.startswith("0::"))
        point = next(point for point, _, kind in mounts() if kind == "cgroup2")
    except (OSError, StopIteration):
        return None, None
    return point + path.rstrip("/"), point


def make_group():
    folder, point = own_group()
    if not folder:
        return None, None
    try:
        group = os.path.join(folder, f"{NAME}-{os.getpid()}")
        os.mkdir(group)
        return group, point
    except OSError:
        return None, None


def remove_group(group):
    for _ in range(100):
        for folder, _, _ in os.walk(group, topdown=False):
            try:
                os.rmdir(folder)
            except OSError:
                pass
        if not os.path.exists(group):
            return
        time.sleep(0.02)


# --------------------------------------------------------------------------------------------------------- the room

def own_user():
    """A user namespace in which this user is itself, with the rights to make the others."""
    uid, gid = os.getuid(), os.getgid()
    unshare(CLONE_NEWUSER, "a user namespace")
    put("/proc/self/setgroups", "deny")
    put("/proc/self/uid_map", f"{uid} {uid} 1")
    put("/proc/self/gid_map", f"{gid} {gid} 1")


def furnish(scratch, group, group_mount, as_user):
    """In the first process of the new namespaces: builds the new root and moves there."""
    root, memory = os.path.join(scratch, "root"), os.path.join(scratch, "memory")
    os.mkdir(root, 0o755)
    os.mkdir(memory)
    if group:
        put(os.path.join(group, "cgroup.procs"), "0")
        unshare(CLONE_NEWCGROUP, "a control group namespace")
    mount(None, "/", None, MS_PRIVATE | MS_REC)
    there = mounts()
    mount("none", memory, "tmpfs", 0, TMPFS_SIZE)
    mount(root, root, None, MS_BIND)
    copy_files(memory, root, there, as_user)
    make_devices(root + "/dev")
    close_sys(root, group, group_mount)
    make_proc(root)
    mount("none", root + "/run", "tmpfs", MS_NOSUID | MS_NODEV, "mode=755,size=20%")
    os.makedirs(root + "/run/lock", exist_ok=True)
    where = os.getcwd()
    os.chdir(root)
    number = SYS_PIVOT_ROOT.get(os.uname().machine)
    if number is None:
        raise Impossible(f"pivot_root is not known on {os.uname().machine}")
    check(libc.syscall(number, b".", b"."), "pivot_root")
    check(libc.umount2(b".", MNT_DETACH), "leaving the old root")
    os.chdir(where if os.path.isdir(where) else "/")


def pass_on_term(pid):
    """From now on SIGTERM ends that process; one that has ended already is nobody's fault."""
    def handler(*_):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGTERM)

    signal.signal(signal.SIGTERM, handler)


def first_process(furnish_it, argv, report):
    """Process 1: furnishes the room, starts the command, buries the dead, and tells the command's end."""
    libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    libc.prctl(PR_SET_NAME, NAME.encode(), 0, 0, 0)
    furnish_it()
    os.write(report, FURNISHED)
    os.environ["TMPDIR"] = "/tmp"
    child = os.fork()
    if child == 0:
        os.close(report)
        for number in FROM_A_TERMINAL + (signal.SIGTERM,):
            signal.signal(number, signal.SIG_DFL)
        for capability in KEPT_OUT:
            libc.prctl(PR_CAPBSET_DROP, capability, 0, 0, 0)
        try:
            os.execvp(argv[0], argv)
        except OSError as error:
            print(f"{argv[0]}: {error.strerror}", file=sys.stderr)
        os._exit(127)
    pass_on_term(child)
    while True:
        pid, status = os.wait()
        if pid == child:
            os.write(report, b"%d" % status)
            os._exit(0)


def doorkeeper(furnish_it, argv, report, as_user):
    """The parent of process 1. It goes into the new mount namespace, so that who cleans up afterwards must be another."""
    libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if as_user:
        own_user()
    unshare(CLONE_NEWNS | CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWPID, "namespaces of mounts and processes")
    first = os.fork()
    if first == 0:
        told_and_gone(report, lambda: first_process(furnish_it, argv, report))
    os.close(report)
    pass_on_term(first)
    os.waitpid(first, 0)
    os._exit(0)


def told_and_gone(report, work):
    """Runs what does not come back; why it did is told."""
    try:
        work()
    except BaseException as error:  # pylint: disable=broad-except
        with contextlib.suppress(OSError):
            os.write(report, b"!" + str(error).encode())
    os._exit(1)


def tidy(scratch):
    """Removes what the room had on disk, which is nothing but its own: whatever hung there went with its namespace."""
    if os.environ.get("TEST_KEEP"):
        print(f"# kept: {scratch}/root/tmp", file=sys.stderr)
    elif any(below(point, [scratch]) for point, _, _ in mounts()):
        print(f"# left as it is, for something is mounted below: {scratch}", file=sys.stderr)
    else:
        shutil.rmtree(scratch, ignore_errors=True)


def run(argv):
    """Runs a command in a room; its wait status. Impossible, before anything ran, where none can be made."""
    as_user = os.geteuid() != 0
    for number in FROM_A_TERMINAL:
        signal.signal(number, signal.SIG_IGN)  # the command gets them as we do
    ended = []
    signal.signal(signal.SIGTERM, lambda *_: ended.append(True))
    # Not in /tmp, which may be memory: what a test writes goes to a disk where there is one.
    try:
        scratch = tempfile.mkdtemp(prefix=NAME + "-", dir="/var/tmp")
    except OSError as error:
        raise Impossible(str(error)) from None
    group, group_mount = make_group()
    ours, theirs = os.pipe()
    try:
        keeper = os.fork()
        if keeper == 0:
            os.close(ours)
            told_and_gone(theirs, lambda: doorkeeper(lambda: furnish(scratch, group, group_mount, as_user), argv, theirs, as_user))
        os.close(theirs)
        pass_on_term(keeper)
        told = b""
        while part := os.read(ours, 4096):
            told += part
        os.waitpid(keeper, 0)
        # Once it was furnished the command may have run: whatever happened then, it is not run again without a room.
        if not told.startswith(FURNISHED):
            if ended or told[:1] != b"!":
                return signal.SIGTERM
            raise Impossible(told[1:].decode(errors="replace"))
        status = told[len(FURNISHED):]
        return int(status) if status.isdigit() else signal.SIGKILL
    finally:
        if group:
            remove_group(group)
        tidy(scratch)


def main():
    argv = sys.argv[1:]
    without = argv[:1] == ["--or-without"]
    argv = argv[without:]
    if not argv or argv[0].startswith("-"):
        asked = argv[:1] == ["--help"]
        print(__doc__.strip(), file=sys.stdout if asked else sys.stderr)
        sys.exit(0 if asked else 2)
    try:
        status = run(argv)
    except Impossible as reason:
        os.environ[REFUSED] = f"no room can be made here ({reason})"
        if not without:
            print(os.environ[REFUSED], file=sys.stderr)
            sys.exit(77)
        for number in FROM_A_TERMINAL + (signal.SIGTERM,):
            signal.signal(number, signal.SIG_DFL)
        os.execvp(argv[0], argv)
    if os.WIFSIGNALED(status):
        if os.WTERMSIG(status) != signal.SIGKILL:
            signal.signal(os.WTERMSIG(status), signal.SIG_DFL)
        os.kill(os.getpid(), os.WTERMSIG(status))
        sys.exit(128 + os.WTERMSIG(status))
    sys.exit(os.WEXITSTATUS(status))


if __name__ == "__main__":
    main()
