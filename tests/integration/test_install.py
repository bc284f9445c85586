#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""make install and uninstall under DESTDIR, and install-linux.sh in a root of its own under a temporary directory."""
import os
import re
import shutil
import stat
import subprocess
import tempfile

import tap
from fakehost import BUILD, ROOT, program

SECRET = "0123456789abcdef" * 4


def tree(top):
    return sorted(os.path.relpath(os.path.join(folder, name), top) for folder, _, names in os.walk(top) for name in names)


def make(*arguments):
    env = {name: value for name, value in os.environ.items() if not name.startswith(("MAKE", "MFLAGS"))}
    return subprocess.run(["make", "-s", "-C", ROOT, "BUILD=" + BUILD, *arguments], capture_output=True, text=True, timeout=120,
                          check=False, env=env)


def story_what_make_installs_make_uninstalls():
    with tempfile.TemporaryDirectory(prefix="infini-") as top:
        # The programs are there; what would build them anew has nothing to do with this.
        done = make("-o", "all", "install", "DESTDIR=" + top)
        assert done.returncode == 0, done.stderr
        installed = tree(top)
        for wanted in ("usr/sbin/infiniservice", "usr/libexec/infiniservice-exec", "usr/bin/infinictl", "usr/bin/infinihost",
                       "lib/systemd/system/infiniservice.service", "lib/systemd/system/infiniservice-exec.socket",
                       "usr/share/man/man5/infiniservice.conf.5", "usr/share/bash-completion/completions/infinictl",
                       "etc/infiniservice/infiniservice.conf"):
            assert wanted in installed, (wanted, installed)
        done = make("-o", "all", "uninstall", "DESTDIR=" + top)
        assert done.returncode == 0, done.stderr
        assert tree(top) == ["etc/infiniservice/infiniservice.conf"], tree(top)


def story_another_prefix_stands_in_the_units_too():
    with tempfile.TemporaryDirectory(prefix="infini-") as top:
        done = make("-o", "all", "install", "DESTDIR=" + top, "PREFIX=/opt/infini")
        assert done.returncode == 0, done.stderr
        with open(os.path.join(top, "lib/systemd/system/infiniservice.service"), encoding="utf-8") as file:
            assert "ExecStart=/opt/infini/sbin/infiniservice\n" in file.read()


# ---------------------------------------------------------------------------------------------------- install-linux.sh

class Root:
    """This machine's /usr, read-only, below an /etc, /var and /usr/local of its own; no service manager runs in it."""

    def __init__(self, with_systemd=True):
        self.top = tempfile.mkdtemp(prefix="infini-")
        os.chmod(self.top, 0o755)
        for name in ("usr", "proc", "etc/systemd/system", "etc/udev/rules.d", "var/lib", "var/log", "run", "tmp", "dev", "local", "pushed"):
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
        target = os.path.join(BUILD, "portable", "install-linux.sh")
        done = make(target)
        assert done.returncode == 0, done.stderr
        self.push("install-linux.sh", target)

    def run(self, *arguments, secret=None):
        script = ("set -e; cd %s; mount --bind /usr usr; mount --bind local usr/local; mount -t proc proc proc; "
                  "mount --bind /dev dev; exec chroot . \"$@\"" % self.top)
        env = {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}
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
    if not os.path.islink("/bin"):
        raise tap.Skip("this machine's /usr is not merged")
    made = tap.keep(Root(**how))
    if made.run("true").returncode != 0:
        raise tap.Skip("no mount namespace may be made here")
    return made


def story_the_host_installs_the_agent():
    guest = root()
    done = guest.install("normal", "vm-17", secret=SECRET)
    assert done.returncode == 0, done.stderr
    assert SECRET not in done.stdout + done.stderr
    assert guest.read("etc/infiniservice/secret").strip() == SECRET
    secret = os.stat(guest.path("etc/infiniservice/secret"))
    assert stat.S_IMODE(secret.st_mode) == 0o640 and secret.st_uid == 0
    assert re.search(r"^infiniservice:.*:%d:" % secret.st_gid, guest.read("etc/group"), re.M)
    assert "infiniservice:" in guest.read("etc/passwd")
    unit = guest.read("etc/systemd/system/infiniservice.service")
    assert "ExecStart=/usr/local/sbin/infiniservice\n" in unit
    assert "ExecStart=/usr/local/sbin/infiniservice-exec" in guest.read("etc/systemd/system/infiniservice-exec.service")
    assert os.path.islink(guest.path("etc/systemd/system/multi-user.target.wants/infiniservice.service"))
    assert os.path.exists(guest.path("etc/udev/rules.d/60-infiniservice.rules"))
    shown = guest.run("/usr/local/sbin/infiniservice", "--check-config")
    assert shown.returncode == 0, shown.stderr
    text = guest.read("etc/infiniservice/conf.d/50-host.conf")
    assert "vm_id = vm-17" in text and "allow_unsafe = yes" in text
    for word in ("observe", "control", "packages", "power"):
        assert word in text


def story_installed_again_it_is_the_same():
    guest = root()
    first = guest.install("normal", "vm-17", secret=SECRET)
    assert first.returncode == 0, first.stderr
    before = tree(guest.top)
    again = guest.install("normal", "vm-18")
    assert again.returncode == 0, again.stderr
    assert tree(guest.top) == before
    assert guest.read("etc/infiniservice/secret").strip() == SECRET, "kept when none is given"
    assert "vm-18" in guest.read("etc/infiniservice/conf.d/50-host.conf")
    assert len(re.findall("^infiniservice:", guest.read("etc/passwd"), re.M)) == 1


def story_uninstalled_nothing_is_left():
    guest = root()
    before = {name: guest.read("etc/" + name) for name in ("passwd", "group")}
    files = tree(guest.top)
    assert guest.install("normal", "vm-17", secret=SECRET).returncode == 0
    done = guest.install("uninstall", "--purge")
    assert done.returncode == 0, done.stderr
    left = [name for name in set(tree(guest.top)) - set(files) if not name.startswith(("etc/passwd", "etc/group", "etc/shadow",
                                                                                       "etc/gshadow", "etc/.pwd.lock", "etc/sub"))]
    assert not left, left
    for name, text in before.items():
        assert guest.read("etc/" + name) == text, name
    assert guest.install("uninstall").returncode == 0, "a second time too"


def story_without_a_service_manager_it_says_so():
    guest = root(with_systemd=False)
    done = guest.install("normal", "vm-17")
    assert done.returncode == 0, done.stderr
    assert "started at every boot" in done.stdout, done.stdout
    assert guest.run("/usr/local/sbin/infiniservice", "--version").returncode == 0


def story_under_sysv_it_gets_a_script_that_starts_and_stops_it():
    guest = root(with_systemd=False)
    os.makedirs(guest.path("etc/init.d"))
    done = guest.install("normal", "vm-17")
    assert done.returncode == 0, done.stderr
    done = guest.run("sh", "-c", "/etc/init.d/infiniservice start && sleep 1 && /etc/init.d/infiniservice status && "
                     "/etc/init.d/infiniservice reload && /etc/init.d/infiniservice stop && ! /etc/init.d/infiniservice status")
    assert done.returncode == 0, done.stdout + done.stderr
    assert any(name.endswith(".ndjson") for name in tree(guest.path("var/log/infiniservice"))), "it ran"


def story_a_program_that_does_not_run_here_is_not_installed():
    guest = root()
    guest.write("pushed/infiniservice", "not a program\n")
    done = guest.install("normal", "vm-17")
    assert done.returncode == 1 and "portable" in done.stderr, done
    assert not os.path.exists(guest.path("local/sbin/infiniservice"))


def story_wrong_words_are_refused():
    guest = root()
    for arguments in ([], ["paranoid"], ["normal", "a", "b"], ["uninstall", "all"]):
        done = guest.install(*arguments)
        assert done.returncode == 2 and "usage" in done.stderr, (arguments, done)
    for name in ("a b", "x;reboot", "$(id)", "a\nb", "x" * 129):
        done = guest.install("normal", name)
        assert done.returncode == 1 and "VM_ID" in done.stderr, (name, done)
    assert not os.path.exists(guest.path("etc/infiniservice"))


if __name__ == "__main__":
    tap.main(globals())
