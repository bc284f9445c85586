#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""make install and uninstall under DESTDIR, and install-linux.sh in a root of its own under a temporary directory."""
import os
import re
import stat
import subprocess
import tempfile

import tap
from fakehost import ROOT
from own_root import make, root, tree

SECRET = "0123456789abcdef" * 4


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

def story_the_host_installs_the_agent():
    guest = root()
    done = guest.install("normal", "vm-17", secret=SECRET)
    assert done.returncode == 0, done.stderr
    assert SECRET not in done.stdout + done.stderr
    assert guest.read("etc/infiniservice/secret").strip() == SECRET
    secret = os.stat(guest.path("etc/infiniservice/secret"))
    assert stat.S_IMODE(secret.st_mode) == 0o600, "the agent's alone: who may look may not sign"
    assert re.search(r"^infiniservice:[^:]*:%d:%d:" % (secret.st_uid, secret.st_gid), guest.read("etc/passwd"), re.M)
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


DROP_IN = "etc/systemd/system/infiniservice.service.d/10-process-details.conf"


def story_the_agent_of_a_host_that_owns_the_machine_is_given_what_the_documented_drop_in_takes():
    guest = root()
    done = guest.install("normal", "vm-17")
    assert done.returncode == 0 and DROP_IN in done.stdout, done
    given = guest.read(DROP_IN)
    with open(os.path.join(ROOT, "packaging/examples/10-process-details.conf"), encoding="utf-8") as file:
        assert given.endswith(file.read()) and given.startswith("# Written by install-linux.sh"), given
    assert stat.S_IMODE(os.stat(guest.path(DROP_IN)).st_mode) == 0o644
    done = guest.install("uninstall")
    assert done.returncode == 0 and not os.path.exists(os.path.dirname(guest.path(DROP_IN))), done


def story_a_drop_in_of_the_owners_own_stays_when_the_host_takes_its_agent_back():
    guest = root()
    assert guest.install("normal", "vm-17").returncode == 0
    guest.write(DROP_IN, "[Service]\nAmbientCapabilities=CAP_SYS_PTRACE\n")
    guest.write(os.path.dirname(DROP_IN) + "/20-own.conf", "[Service]\nNice=5\n")
    assert guest.install("uninstall").returncode == 0
    assert sorted(os.listdir(os.path.dirname(guest.path(DROP_IN)))) == ["10-process-details.conf", "20-own.conf"]


def story_the_package_gives_the_agent_no_right_over_others():
    with tempfile.TemporaryDirectory(prefix="infini-") as top:
        assert make("-o", "all", "install", "DESTDIR=" + top).returncode == 0
        assert not [name for name in tree(top) if ".service.d/" in name]
        with open(os.path.join(top, "lib/systemd/system/infiniservice.service"), encoding="utf-8") as file:
            assert "\nAmbientCapabilities=\n" in file.read()


def story_a_secret_reaches_no_program_and_no_command_line():
    """Every program that the script starts, with its arguments and its environment."""
    guest = root()
    done = guest.run("strace", "-f", "-v", "-s", "4096", "-e", "trace=execve", "-o", "/tmp/trace", "/pushed/install-linux.sh", "normal", "vm-17",
                     secret=SECRET)
    assert done.returncode == 0, done
    started = [line for line in guest.read("tmp/trace").splitlines() if "execve(" in line]
    assert len(started) > 10 and SECRET in started[0], "the first is the script itself"
    assert not [line for line in started[1:] if SECRET in line]
    assert guest.read("etc/infiniservice/secret").strip() == SECRET


def story_what_lies_in_the_way_of_a_file_is_not_opened():
    guest = root()
    guest.write("etc/kept", "kept\n", 0o600)
    os.makedirs(guest.path("etc/infiniservice/conf.d"))
    os.makedirs(guest.path("local/sbin"))
    for name in ("etc/infiniservice/secret", "etc/infiniservice/conf.d/50-host.conf", "local/sbin/infiniservice.try"):
        os.symlink("/etc/kept", guest.path(name + ".new"))
    assert guest.install("normal", "vm-17", secret=SECRET).returncode == 0
    assert guest.read("etc/kept") == "kept\n" and not os.path.islink(guest.path("etc/infiniservice/secret"))


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
    done = guest.install("normal", "vm-17", secret=SECRET)
    # As root, which is how it is then started.
    assert guest.run("/usr/local/sbin/infiniservice-exec", "prepare", "directories").returncode == 0
    done = guest.run("timeout", "3", "/usr/local/sbin/infiniservice", "-p", "none")
    assert "vm vm-17 (config)" in done.stderr, done
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


def story_a_c_library_that_is_too_old_or_another_is_told_before_anything_is_written():
    guest = root()
    before = tree(guest.top)
    cases = [("echo glibc 2.30", "glibc 2.30"), ("echo glibc 2.3.6", "glibc 2.3.6"), ("exit 1", "musl")]
    os.mkdir(guest.path("pushed/bin"))
    guest.write("pushed/bin/ldd", "#!/bin/sh\necho 'musl libc (x86_64)' >&2\nexit 1\n", 0o755)
    for says, words in cases:
        guest.write("pushed/bin/getconf", "#!/bin/sh\n%s\n" % says, 0o755)
        done = guest.run("env", "PATH=/pushed/bin:/usr/sbin:/usr/bin:/sbin:/bin", "/pushed/install-linux.sh", "normal", "vm-17")
        assert done.returncode == 1 and words in done.stderr and "2.31 or newer" in done.stderr, done
        assert [path for path in tree(guest.top) if not path.startswith("pushed/bin/")] == before, tree(guest.top)
    for says in ("echo glibc 2.31", "echo glibc 2.100", "echo glibc 3.0", "echo something else"):
        guest.write("pushed/bin/getconf", "#!/bin/sh\n%s\n" % says, 0o755)
        done = guest.run("env", "PATH=/pushed/bin:/usr/sbin:/usr/bin:/sbin:/bin", "/pushed/install-linux.sh", "normal", "vm-17")
        assert done.returncode == 0, (says, done)


def story_wrong_words_are_refused():
    guest = root()
    for arguments in ([], ["paranoid"], ["normal", "a", "b"], ["uninstall", "all"]):
        done = guest.install(*arguments)
        assert done.returncode == 2 and "usage" in done.stderr, (arguments, done)
    for name in ("a b", "x;reboot", "$(id)", "a\nb", "x\n", "ä", "é1", "a/b", "`id`", "a'b", "x" * 129):
        done = guest.install("normal", name)
        assert done.returncode == 1 and "VM_ID" in done.stderr, (name, done)
    assert not os.path.exists(guest.path("etc/infiniservice"))


def story_no_unit_hands_anything_to_a_shell():
    """Neither as the program nor as an argument of another one: what another wrote would be read by it."""
    folder = os.path.join(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))), "packaging")
    units = [name for name in os.listdir(folder) if name.endswith((".service", ".socket", ".timer", ".path"))]
    assert len(units) >= 4, units
    for name in units:
        with open(os.path.join(folder, name), encoding="utf-8") as file:
            text = file.read().replace("\\\n", " ")
        for line in text.splitlines():
            if line.startswith("Exec"):
                words = [os.path.basename(word) for word in line.partition("=")[2].lstrip("-+@:!").split()]
                shells = {"sh", "bash", "dash", "zsh", "ksh", "ash", "busybox", "env", "perl", "python3"}
                assert not shells & set(words), (name, line)


# What may wait for a network: it runs in a process that nobody else waits for.
ASKERS = {"agent/runner/spawn.o", "agent/executor/verbs.o", "agent/executor/guest_verbs.o", "agent/executor/guest_keys.o"}
ASKS = re.compile(r" U (getpw\w+|getgr\w+|initgroups|getaddrinfo|getnameinfo|gethostby\w+|getservby\w+|getnetgrent\w*|res_\w+)$", re.M)


def story_the_name_service_is_asked_by_processes_that_nobody_waits_for():
    """Seen in the objects: a call of the agent's own loop, or of the executor's, would be there."""
    build = os.environ.get("INFINISERVICE_BUILD", os.path.join(ROOT, "build"))
    places = {}
    for part in ("agent", "collectors", "transport"):
        for folder, _, names in os.walk(os.path.join(build, part)):
            for name in sorted(names):
                path = os.path.join(folder, name)
                place = os.path.relpath(path, build)
                # An object whose source is elsewhere by now is linked to nothing.
                built = name.endswith(".o") and os.path.exists(os.path.join(ROOT, place[:-1] + "c"))
                if built and place not in ASKERS and not name.startswith("prober_child"):
                    places[path] = place
    symbols = subprocess.run(["nm", "--print-file-name", *places], capture_output=True, text=True, check=True).stdout
    found = [line for line in symbols.splitlines() if ASKS.search(line)]
    assert not found, found
    looked = {line.partition(":")[0] for line in symbols.splitlines()}
    assert len(places) > 100 and looked == set(places), set(places) - looked


if __name__ == "__main__":
    tap.main(globals())
