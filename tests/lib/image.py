# SPDX-License-Identifier: MIT
"""What a guest boots from: kernel, initramfs and root file system, made from Debian packages and cached.

Nothing is installed on this machine. Packages come from the places this machine's own apt is told to take them from;
for another Debian release than its own, from the same places under the other release's name. Everything is kept in
build/cache under a name that holds a hash of what went into it.
"""

import fcntl
import gzip
import hashlib
import lzma
import os
import re
import shutil
import stat
import subprocess
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
TOP = os.path.dirname(os.path.dirname(HERE))
SOURCES = os.path.join(TOP, "tests", "vm")
KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
# The guest has no modules and no modprobe of its own: what Debian loads when it is asked for comes along too.
MODULES = ["virtio_pci", "virtio_console", "virtio_blk", "virtio_net", "tcp_diag", "udp_diag", "unix_diag",
           "loop", "dummy", "veth", "fuse"]
PACKAGES = {
    "bullseye": ["systemd", "systemd-sysv", "udev", "dbus", "iproute2", "procps"],
    "bookworm": ["systemd", "systemd-sysv", "udev", "dbus", "iproute2", "procps",
                 "libev4", "libjson-c5", "libsystemd0", "libinih1", "libzstd1", "libnettle8", "libmicrohttpd12", "libncursesw6", "libtinfo6"],
    "trixie": ["systemd", "systemd-sysv", "udev", "dbus", "iproute2", "procps", "e2fsprogs",
               "libev4t64", "libjson-c5", "libsystemd0", "libinih1", "libzstd1", "libnettle8t64", "libmicrohttpd12t64", "libncursesw6", "libtinfo6"],
}
CLEAN_PACKAGES = ["base-files", "dash", "coreutils"]
# What the portable program is compiled against.
SYSROOT_PACKAGES = ["libc6-dev", "libev-dev", "libinih-dev", "libjson-c-dev", "libsystemd-dev", "libzstd-dev", "nettle-dev"]
IMAGE_MIB = 1024
# Programs that systemd starts at every reload, a third of the time it takes. All they would make here is a login on the serial line.
GENERATORS = ["systemd-%s-generator" % name for name in (
    "cryptsetup", "debug", "fstab", "getty", "gpt-auto", "hibernate-resume", "integritysetup", "rc-local", "run", "ssh", "system-update",
    "sysv", "tpm2", "veritysetup")]


class Unavailable(Exception):
    """This machine cannot make the thing; the text says why. Tests are then skipped."""


def build_dir():
    """Where the programs are and what may be written: make says it."""
    return os.path.abspath(os.environ.get("INFINISERVICE_BUILD") or os.path.join(TOP, "build"))


def cache_dir():
    path = os.path.join(build_dir(), "cache")
    os.makedirs(path, exist_ok=True)
    return path


def need(*programs):
    for program in programs:
        # /usr/sbin is not in an ordinary user's PATH
        if not shutil.which(program, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin"):
            raise Unavailable("%s is not installed" % program)


def run(argv, limit_s, **more):
    env = dict(os.environ, PATH=os.environ.get("PATH", "/usr/bin:/bin") + ":/usr/sbin:/sbin", LC_ALL="C.UTF-8")
    try:
        done = subprocess.run(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                              timeout=limit_s, env=env, check=False, **more)
    except subprocess.TimeoutExpired:
        raise Unavailable("%s took more than %d s" % (argv[0], limit_s)) from None
    text = done.stdout.decode("utf-8", "replace")
    if done.returncode != 0:
        with open(os.path.join(cache_dir(), "failed-%s.log" % os.path.basename(argv[0])), "w", encoding="utf-8") as log:
            log.write(" ".join(argv) + "\n" + text)
        tail = [line for line in text.splitlines() if line.startswith(("E:", "error")) or "rror" in line]
        raise Unavailable("%s failed: %s" % (argv[0], "; ".join(tail[-3:]) or text[-400:].strip() or done.returncode))
    return text


def locked(name):
    """One maker at a time: parallel test runs share the cache."""
    file = open(os.path.join(cache_dir(), ".%s.lock" % name), "w", encoding="ascii")
    fcntl.flock(file, fcntl.LOCK_EX)
    return file


def newest(path):
    """Where the file is in the cache if it is; and it is marked as used."""
    if os.path.exists(path):
        os.utime(path)
        return path
    return None


def hash_of(*parts):
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part if isinstance(part, bytes) else str(part).encode())
        digest.update(b"\0")
    return digest.hexdigest()[:16]


# ------------------------------------------------------------------------------------------------------------ apt

def machine_release():
    with open("/etc/os-release", encoding="utf-8") as file:
        found = re.search(r'^VERSION_CODENAME="?([a-z]+)', file.read(), re.M)
    return found.group(1) if found else ""


def sources(release):
    """The machine's own Debian sources, as one-line entries with the release's name put in."""
    need("apt-get")
    own = machine_release()
    lines = []
    for entry in run(["apt-get", "indextargets", "Created-By: Packages"], 30).split("\n\n"):
        field = dict(line.split(": ", 1) for line in entry.splitlines() if ": " in line)
        suite = field.get("Release", "")
        if field.get("Component") != "main" or field.get("Origin", "Debian") != "Debian":
            continue
        if suite not in (own, own + "-updates", own + "-security"):
            continue
        signed = "[signed-by=%s] " % KEYRING if os.path.exists(KEYRING) else ""
        line = "deb %s%s %s main" % (signed, field["Site"], suite.replace(own, release, 1))
        if line not in lines:
            lines.append(line)
    if not lines:
        raise Unavailable("this machine's apt has no Debian sources")
    return lines


def acquire_options():
    """How this machine reaches its sources (a proxy, say), for an apt that does not read /etc/apt."""
    kept = re.compile(r'^(Acquire::(?:[A-Za-z]+::Proxy|https?::\S+|Check-\S+|Retries) ".*";)$')
    return [m.group(1) for m in map(kept.match, run(["apt-config", "dump"], 10).splitlines()) if m]


def apt_dir(release):
    """A private apt: its lists and packages are in the cache, so that an ordinary user may fetch them."""
    root = os.path.join(cache_dir(), "apt-" + release)
    for sub in ("lists/partial", "archives/partial", "parts"):
        os.makedirs(os.path.join(root, sub), exist_ok=True)
    with open(os.path.join(root, "sources.list"), "w", encoding="ascii") as file:
        file.write("\n".join(sources(release)) + "\n")
    with open(os.path.join(root, "status"), "w", encoding="ascii"):
        pass
    return root


def apt(release, *args, limit_s=120):
    root = apt_dir(release)
    options = {
        "Dir::Etc::sourcelist": root + "/sources.list", "Dir::Etc::sourceparts": root + "/parts",
        "Dir::State": root, "Dir::State::lists": root + "/lists", "Dir::State::status": root + "/status",
        "Dir::Cache": root, "Dir::Cache::archives": root + "/archives", "Acquire::Languages": "none",
        "APT::Sandbox::User": "root", "Debug::NoLocking": "true",
    }
    argv = [args[0], "-q"]
    for key, value in options.items():
        argv += ["-o", "%s=%s" % (key, value)]
    return run(argv + list(args[1:]), limit_s, cwd=os.path.join(root, "archives"))


def refresh(release):
    """Brings the private apt's lists, unless somebody has within the hour."""
    with locked("apt-" + release):
        stamp = os.path.join(apt_dir(release), "refreshed-" + hash_of(*sources(release)))
        if os.path.exists(stamp) and 0 <= time.time() - os.stat(stamp).st_mtime < 3600:
            return
        apt(release, "apt-get", "update")
        with open(stamp, "w", encoding="ascii"):
            os.utime(stamp)


# --------------------------------------------------------------------------------------------------------- kernel

def kernel(release):
    """The unpacked package of Debian's cloud kernel; it is never installed."""
    with locked("kernel-" + release):
        base = os.path.join(cache_dir(), "kernel-" + release)
        if os.path.isdir(base):
            return base
        need("dpkg-deb")
        refresh(release)
        depends = apt(release, "apt-cache", "depends", "linux-image-cloud-amd64")
        name = re.search(r"Depends: (linux-image-[0-9]\S*)", depends)
        if not name:
            raise Unavailable("no cloud kernel in " + release)
        apt(release, "apt-get", "download", name.group(1), limit_s=300)
        archives = os.path.join(cache_dir(), "apt-" + release, "archives")
        for package in sorted(os.listdir(archives)):
            if package.startswith(name.group(1) + "_"):
                run(["dpkg-deb", "-x", os.path.join(archives, package), base + ".new"], 60)
                os.unlink(os.path.join(archives, package))
        os.rename(base + ".new", base)
        return base


def vmlinuz(release):
    boot = os.path.join(kernel(release), "boot")
    return os.path.join(boot, next(name for name in os.listdir(boot) if name.startswith("vmlinuz-")))


def module_files(release, modules=None):
    """The modules that are needed, each after those it depends on, as (name, bytes)."""
    found = {}
    # Debian 13 has everything under usr/
    for top in ("lib/modules", "usr/lib/modules"):
        for folder, _, names in os.walk(os.path.join(kernel(release), top)):
            for name in names:
                if ".ko" in name:
                    found[name.split(".ko")[0].replace("-", "_")] = os.path.join(folder, name)
    order = {}

    def add(name):
        if name in order or name not in found:  # not found: built in
            return
        opener = lzma.open if found[name].endswith(".xz") else open
        with opener(found[name], "rb") as file:
            text = file.read()
        depends = re.search(rb"\0depends=([^\0]*)\0", text)
        for other in (depends.group(1).decode() if depends else "").split(","):
            add(other.replace("-", "_"))
        order[name] = text

    for wanted in MODULES if modules is None else modules:
        add(wanted)
    return list(order.items())


# ------------------------------------------------------------------------------------------------------ initramfs

class Cpio:
    """A newc archive (Documentation/driver-api/early-userspace/buffer-format), the format of an initramfs."""

    def __init__(self):
        self.parts = []
        self.inode = 0
        self.dirs = set()

    def _entry(self, path, mode, data, links=1):
        self.inode += 1
        name = path.lstrip("/").encode() + b"\0"
        fields = (self.inode, mode, 0, 0, links, 0, len(data), 0, 0, 0, 0, len(name), 0)
        header = b"070701" + b"".join(b"%08X" % field for field in fields) + name
        self.parts += [header, b"\0" * (-len(header) % 4), data, b"\0" * (-len(data) % 4)]

    def folder(self, path, mode=0o755):
        path = path.rstrip("/")
        if path and path not in self.dirs:
            self.folder(os.path.dirname(path))
            self.dirs.add(path)
            self._entry(path, stat.S_IFDIR | mode, b"", 2)

    def file(self, path, data, mode=0o644):
        self.folder(os.path.dirname(path))
        self._entry(path, stat.S_IFREG | mode, data)

    def link(self, path, target):
        self.folder(os.path.dirname(path))
        self._entry(path, stat.S_IFLNK | 0o777, target.encode())

    def bytes(self):
        self._entry("TRAILER!!!", 0, b"")
        return b"".join(self.parts)


def helper(name, *options):
    """A program of tests/vm, linked statically unless the compiler is told otherwise."""
    options = options or ("-static",)
    source = os.path.join(SOURCES, name + ".c")
    with open(source, "rb") as file:
        text = file.read()
    path = os.path.join(cache_dir(), "%s-%s" % (name, hash_of(text, *options)))
    if not newest(path):
        need("gcc")
        run(["gcc", *options, "-std=gnu11", "-D_GNU_SOURCE", "-O2", "-Wall", "-Wextra", "-Werror",
             "-o", "%s.%d" % (path, os.getpid()), source], 60)
        os.rename("%s.%d" % (path, os.getpid()), path)
    with open(path, "rb") as file:
        return file.read()


def base_initramfs(release):
    init = helper("init")
    with locked("initramfs-" + release):
        made_of = hash_of(init, MODULES, os.path.basename(vmlinuz(release)))
        path = os.path.join(cache_dir(), "initramfs-%s-%s" % (release, made_of))
        if newest(path):
            return path
        cpio = Cpio()
        cpio.folder("/dev")
        cpio.file("/init", init, 0o755)
        modules = module_files(release)
        for name, text in modules:
            cpio.file("/modules/" + name, text)
        cpio.file("/modules/order", "".join(name + "\n" for name, _ in modules).encode())
        with open(path + ".new", "wb") as file:
            file.write(gzip.compress(cpio.bytes(), 1))
        os.rename(path + ".new", path)
        return path


class Overlay:
    """Files for one guest, put over its root file system at every boot: they need no image of their own."""

    def __init__(self):
        self.cpio = Cpio()
        self.file("/usr/local/sbin/infinitest-shelld", helper("shelld"), 0o755)
        with open(os.path.join(SOURCES, "infinitest-shelld.service"), "rb") as file:
            self.unit("infinitest-shelld.service", file.read(), "sysinit.target")
        for name in GENERATORS:
            self.link("/etc/systemd/system-generators/" + name, "/dev/null")

    def file(self, path, data, mode=0o644):
        self.cpio.file("/overlay" + path, data if isinstance(data, bytes) else data.encode(), mode)

    def copy(self, path, source, mode=None):
        with open(source, "rb") as file:
            self.file(path, file.read(), stat.S_IMODE(os.stat(source).st_mode) if mode is None else mode)

    def link(self, path, target):
        self.cpio.link("/overlay" + path, target)

    def folder(self, path, mode=0o755):
        self.cpio.folder("/overlay" + path, mode)

    def unit(self, name, text, wanted_by=None):
        self.file("/etc/systemd/system/" + name, text)
        if wanted_by:
            self.link("/etc/systemd/system/%s.wants/%s" % (wanted_by, name), "/etc/systemd/system/" + name)

    def write(self, release, path):
        """An initramfs is any number of archives one after another, each compressed or not."""
        with open(path, "wb") as out:
            with open(base_initramfs(release), "rb") as base:
                shutil.copyfileobj(base, out)
            out.write(b"\0" * (-out.tell() % 4))
            out.write(self.cpio.bytes())


# ---------------------------------------------------------------------------------------------------- root image

CUSTOMIZE = """set -e
echo guest >"$1/etc/hostname"
: >"$1/etc/fstab"
echo 00112233445566778899aabbccddeeff >"$1/etc/machine-id"
chroot "$1" passwd -d root >/dev/null
cd "$1" && rm -rf var/lib/apt/lists/* var/cache/apt/*.bin usr/share/doc/* usr/share/man/* usr/share/locale/*
# Nothing that wakes up by itself while a test measures.
for unit in apt-daily.timer apt-daily-upgrade.timer dpkg-db-backup.timer e2scrub_all.timer e2scrub_reap.service \\
	fstrim.timer systemd-tmpfiles-clean.timer systemd-timesyncd.service systemd-networkd.service \\
	getty@tty1.service console-getty.service; do
	ln -sf /dev/null "$1/etc/systemd/system/$unit"
done
# /proc and others are mounted in there at this moment, and device nodes cannot be made in a user namespace.
tree=%(work)s/tree/root
trap 'rm -rf "$tree"' EXIT
mkdir "$tree"
tar -C "$1" --one-file-system --exclude='./dev/*' -cf - . | tar -C "$tree" -xpf -
mke2fs -q -F -t ext4 -m 0 -L root -d "$tree" "%(work)s/root.ext4" %(mib)dM
"""


def bootstrap(release, work, target, *options):
    """mmdebstrap from this machine's sources, without what only people read."""
    listing = os.path.join(work, "sources.list")
    with open(listing, "w", encoding="ascii") as file:
        file.write("\n".join(sources(release)) + "\n")
    argv = ["mmdebstrap", "--dpkgopt=path-exclude=/usr/share/doc/*", "--dpkgopt=path-exclude=/usr/share/man/*",
            "--aptopt=Acquire::Languages \"none\"", *options]
    argv += ["--aptopt=" + option for option in acquire_options()]
    run(argv + [release, target, listing], 600)


def root_image(release):
    """An ext4 image of a small Debian with systemd; the one slow step, and the one that is worth its cache."""
    packages = PACKAGES[release]
    origin = sources(release)
    with locked("root-" + release):
        made_of = hash_of(CUSTOMIZE, IMAGE_MIB, *packages, *origin)
        path = os.path.join(cache_dir(), "root-%s-%s.ext4" % (release, made_of))
        if newest(path):
            return path
        need("mmdebstrap", "mke2fs", "qemu-system-x86_64")
        # In a user namespace the maker is another uid than ours: it writes to a file that anybody may write to, in a
        # directory that it may pass through.
        work = tempfile.mkdtemp(prefix="infinitest-")
        try:
            os.chmod(work, 0o711)
            image = os.path.join(work, "root.ext4")
            script = os.path.join(work, "customize")
            os.mkdir(os.path.join(work, "tree"))
            os.chmod(os.path.join(work, "tree"), 0o777)
            with open(image, "wb"):
                os.chmod(image, 0o666)
            with open(script, "w", encoding="utf-8") as file:
                file.write("#!/bin/sh\n" + CUSTOMIZE % {"work": work, "mib": IMAGE_MIB})
                os.chmod(script, 0o755)
            bootstrap(release, work, "/dev/null", "--variant=minbase", "--format=null", "--include=" + ",".join(packages),
                      "--customize-hook=%s \"$1\"" % script)
            # cp keeps the holes and can share blocks
            run(["cp", "--sparse=always", "--reflink=auto", image, path + ".new"], 60)
        finally:
            shutil.rmtree(work, ignore_errors=True)
        os.rename(path + ".new", path)
        return path


def unpack(release, packages, target):
    """The packages and all that they depend on, unpacked and not set up, which is a fraction of the time that a bootstrap takes."""
    need("dpkg-deb")
    refresh(release)
    shutil.rmtree(target, ignore_errors=True)
    work = tempfile.mkdtemp(prefix="infinitest-")
    try:
        os.mkdir(os.path.join(work, "partial"))
        apt(release, "apt-get", "--yes", "--no-install-recommends", "--download-only", "-o", "Dir::Cache::archives=" + work,
            "install", *packages, limit_s=300)
        found = [name for name in os.listdir(work) if name.endswith(".deb")]
        # The one that has the links of a merged /usr comes first.
        for name in sorted(found, key=lambda name: (not name.startswith("base-files_"), name)):
            run(["dpkg-deb", "-x", os.path.join(work, name), target], 60)
    finally:
        shutil.rmtree(work, ignore_errors=True)


def links_inside(top):
    """Makes the absolute links of a folder relative: they are meant for somebody whose root it is."""
    for folder, names, files in os.walk(top):
        for name in names + files:
            path = os.path.join(folder, name)
            if os.path.islink(path) and os.readlink(path).startswith("/"):
                target = os.path.relpath(top + os.readlink(path), folder)
                os.unlink(path)
                os.symlink(target, path)


def sysroot(release):
    """The C library of a Debian and what is linked with it, for `gcc --sysroot=`: no program of it is ever started, and anybody may
    make it."""
    with locked("sysroot-" + release):
        path = os.path.join(cache_dir(), "sysroot-%s-%s" % (release, hash_of(*SYSROOT_PACKAGES, *sources(release))))
        if newest(path):
            return path
        unpack(release, SYSROOT_PACKAGES, path + ".new")
        links_inside(path + ".new")
        os.rename(path + ".new", path)
        return path


def root_folder(release):
    """What a Debian's shell and its few tools need, as a folder to chroot into, which changes nothing in it. root makes it."""
    with locked("clean-" + release):
        path = os.path.join(cache_dir(), "clean-%s-%s" % (release, hash_of(*CLEAN_PACKAGES, *sources(release))))
        if newest(path):
            return path
        unpack(release, CLEAN_PACKAGES, path + ".new")
        # What the packages' scripts and a bootstrap would have put there.
        if not os.path.exists(os.path.join(path + ".new", "bin/sh")):
            os.symlink("dash", os.path.join(path + ".new", "bin/sh"))
        with open(os.path.join(path + ".new", "etc/passwd"), "w", encoding="ascii") as file:
            file.write("root:x:0:0:root:/root:/bin/sh\n")
        os.mknod(os.path.join(path + ".new", "dev/null"), stat.S_IFCHR | 0o666, os.makedev(1, 3))
        os.chmod(os.path.join(path + ".new", "dev/null"), 0o666)
        os.rename(path + ".new", path)
        return path
