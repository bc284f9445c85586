#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""What root does for the agent in directories that belong to the agent: nothing by name. A taken-over agent has prepared them; the real
scripts run over that, in a root of their own, with every system call of root watched."""
import hashlib
import os
import re
import shutil
import stat

import tap
from fakehost import ROOT
from own_root import root

OURS = ("var/lib/infiniservice", "var/log/infiniservice", "run/infiniservice")
CALL = re.compile(r"^(\d+) +(?:\+\+\+|---|(?:<\.\.\. )?(\w+)(?:\(| resumed>)(.*))")
# What a name is given to; with -y a descriptor shows where it leads.
NAMED = re.compile(r'(?:\d+<([^>]*)>|AT_FDCWD(?:<[^>]*>)?), "((?:[^"\\]|\\.)*)"|^"((?:[^"\\]|\\.)*)"')
LOOKS = {"stat", "lstat", "newfstatat", "statx", "access", "faccessat", "faccessat2", "readlink", "readlinkat", "execve", "statfs", "getcwd",
         "getxattr", "lgetxattr", "listxattr", "llistxattr", "chdir"}
# The former home is removed whole, through a descriptor of the directory.
TAKEN_AWAY = re.compile(r'^\d+ +(unlinkat|openat2?)\(\d+</var/lib/infiniservice(>, "\.(config|local)"|/\.(config|local)\b)')
TRACE = ["strace", "-f", "-y", "-s", "4096", "-o", "/tmp/trace", "-e",
         "trace=%file,setuid,setresuid,setreuid,clone,clone3,fork,vfork"]


def uid_of(guest):
    return int(re.search(r"^infiniservice:[^:]*:(\d+):", guest.read("etc/passwd"), re.M).group(1))


def snapshot(top):
    """path -> (kind and mode, owner, group, links, content), without our own three directories."""
    found = {}
    for folder, folders, names in os.walk(top):
        below = os.path.relpath(folder, top)
        folders[:] = [name for name in folders if os.path.normpath(os.path.join(below, name)) not in OURS + ("proc", "dev", "usr", "tmp", "sys")]
        for name in folders + names:
            path = os.path.join(folder, name)
            st = os.lstat(path)
            content = ""
            if stat.S_ISREG(st.st_mode):
                with open(path, "rb") as file:
                    content = hashlib.sha256(file.read()).hexdigest()
            elif stat.S_ISLNK(st.st_mode):
                content = os.readlink(path)
            found[os.path.relpath(path, top)] = (st.st_mode, st.st_uid, st.st_gid, st.st_nlink, content)
    return found


def roots_names(trace):
    """The calls by which a process of root's touched a name below our directories: every one is a fault, but for looks."""
    uid, faults = {}, []
    for line in trace.splitlines():
        call = CALL.match(line)
        if not call or not call.group(2):
            continue
        pid, name, rest = call.groups()
        if name in ("setuid", "setresuid", "setreuid"):
            if re.search(r"= 0$", rest):
                numbers = re.match(r"(-?\d+)(?:, (-?\d+))?", rest)
                uid[pid] = int(numbers.group(2) or numbers.group(1))
        elif name in ("clone", "clone3", "fork", "vfork"):
            child = re.search(r"= (\d+)(?:<[^>]*>)?$", rest)
            if child:
                uid.setdefault(child.group(1), uid.get(pid, 0))
        elif uid.get(pid, 0) == 0 and name not in LOOKS and not TAKEN_AWAY.match(line):
            for folder, beneath, absolute in NAMED.findall(rest):
                path = os.path.normpath(absolute or os.path.join(folder or "/", beneath)).lstrip("/")
                if any(path.startswith(ours + "/") for ours in OURS):
                    faults.append(line)
    return faults


def plant(guest, uid):
    """What somebody who took the agent over leaves behind: each name that a script ever used, and some more, leads elsewhere."""
    targets = {"shadow": "etc/shadow", "passwd": "etc/passwd", "root's own": "etc/kept", "folder": "etc/folder", "new": "etc/created"}
    guest.write("etc/kept", "root's\n", 0o600)
    os.makedirs(guest.path("etc/folder"), exist_ok=True)
    names = ("product_uuid", "log", "new", "seq", ".seq", "lock", "latest.json", ".latest.json.new", "agent.sock", "commands.journal",
             "nonces", "audit.ndjson", "vm_id", ".vm_id.new", "output", "scripts", "1m", "metrics-20260101T000000.000Z-000001.ndjson")
    for place in OURS:
        os.makedirs(guest.path(place), exist_ok=True)
        for number, name in enumerate(names):
            path = guest.path(os.path.join(place, name))
            if os.path.lexists(path):
                shutil.rmtree(path) if os.path.isdir(path) and not os.path.islink(path) else os.unlink(path)
            if number % 6 == 4:
                os.mkfifo(path)
            elif number % 6 == 5:
                os.link(guest.path("etc/kept"), path)
            else:
                os.symlink("/" + list(targets.values())[number % len(targets)], path)
            os.lchown(path, 0 if number % 6 == 5 else uid, 0 if number % 6 == 5 else uid)
        os.chown(guest.path(place), uid, uid)
    # The product UUID is where it always was written first.
    os.unlink(guest.path("run/infiniservice/product_uuid"))
    os.symlink("/etc/created", guest.path("run/infiniservice/product_uuid"))


def traced(guest, *argv):
    done = guest.run(*TRACE, *argv)
    assert os.path.exists(guest.path("tmp/trace")), done
    trace = guest.read("tmp/trace")
    assert len(trace.splitlines()) > 10, done
    return done, roots_names(trace)


def with_uuid(guest, uuid="11111111-2222-3333-4444-555555555555"):
    os.makedirs(guest.path("sys/class/dmi/id"), exist_ok=True)
    guest.write("sys/class/dmi/id/product_uuid", uuid + "\n", 0o400)


def installed(**how):
    guest = root(with_systemd=False)
    os.makedirs(guest.path("etc/init.d"))
    if how.get("openrc"):
        with_openrc(guest)
    with_uuid(guest)
    done = guest.install("normal", "vm-17", secret="s" * 32)
    assert done.returncode == 0, done.stderr
    return guest


def with_openrc(guest):
    """As much of OpenRC as runs a script's start_pre: this distribution has another init system."""
    os.unlink(guest.path("sbin"))
    os.mkdir(guest.path("sbin"))
    guest.write("sbin/openrc-run", "#!/bin/sh\n. \"$1\"\n[ \"$2\" != start ] || start_pre\n", 0o755)
    for name in ("rc-update", "rc-service"):
        guest.write("sbin/" + name, "#!/bin/sh\nexit 0\n", 0o755)


def story_the_script_for_sysv_touches_no_name_that_the_agent_could_have_made():
    guest = installed()
    plant(guest, uid_of(guest))
    before = snapshot(guest.top)
    done, faults = traced(guest, "sh", "-c", "timeout 20 /etc/init.d/infiniservice start; sleep 1; timeout 20 /etc/init.d/infiniservice stop")
    assert not faults, "\n".join(faults)
    after = snapshot(guest.top)
    changed = {path for path in set(before) | set(after) if before.get(path) != after.get(path)}
    assert changed <= {"run", "run/infiniservice-root", "run/infiniservice-root/product_uuid", "run/infiniservice-root/log", "run/infiniservice.pid"}, \
        (changed, done)
    copy = os.stat(guest.path("run/infiniservice-root/product_uuid"))
    assert (stat.S_IMODE(copy.st_mode), copy.st_uid, copy.st_gid) == (0o440, 0, uid_of(guest)), copy


def story_the_script_for_openrc_touches_no_name_that_the_agent_could_have_made():
    guest = installed(openrc=True)
    plant(guest, uid_of(guest))
    before = snapshot(guest.top)
    done, faults = traced(guest, "sh", "/sbin/openrc-run", "/etc/init.d/infiniservice", "start")
    assert done.returncode == 0, done
    assert not faults, "\n".join(faults)
    after = snapshot(guest.top)
    changed = {path for path in set(before) | set(after) if before.get(path) != after.get(path)}
    assert changed <= {"run", "run/infiniservice-root", "run/infiniservice-root/product_uuid"}, changed
    assert os.path.exists(guest.path("run/infiniservice-root/product_uuid"))


def story_installing_again_touches_no_name_that_the_agent_could_have_made():
    guest = installed()
    plant(guest, uid_of(guest))
    before = snapshot(guest.top)
    done, faults = traced(guest, "timeout", "50", "/pushed/install-linux.sh", "normal", "vm-18")
    assert not faults, "\n".join(faults)
    after = snapshot(guest.top)
    changed = {path for path in set(before) | set(after) if before.get(path) != after.get(path)}
    assert all(path.startswith(("run/infiniservice-root", "run/infiniservice.pid", "etc/infiniservice/conf.d")) for path in changed), (changed, done)
    assert "vm-18" in guest.read("etc/infiniservice/conf.d/50-host.conf")


def script_of(guest, name):
    """The package's own script, without what debhelper adds for a running systemd."""
    with open(os.path.join(ROOT, "packaging/debian/infiniservice." + name), encoding="utf-8") as file:
        guest.write("tmp/" + name, file.read().replace("/usr/libexec/", "/usr/local/sbin/"), 0o755)


def maintainer_script(guest, name, *arguments):
    script_of(guest, name)
    return traced(guest, "timeout", "50", "/tmp/" + name, *arguments)


def story_the_scripts_of_the_package_touch_no_name_that_the_agent_could_have_made():
    guest = installed()
    plant(guest, uid_of(guest))
    before = snapshot(guest.top)
    for name, arguments in (("preinst", ("upgrade", "0.1.0")), ("postinst", ("configure", "0.1.0")), ("prerm", ("upgrade", "0.2.0"))):
        done, faults = maintainer_script(guest, name, *arguments)
        assert done.returncode == 0, (name, done)
        assert not faults, (name, "\n".join(faults))
    after = snapshot(guest.top)
    assert before == after, {path for path in set(before) | set(after) if before.get(path) != after.get(path)}


# ------------------------------------------------------------------------------------------------------- upgrading

def as_0_1_0_left_it(guest):
    """Home in the state directory, and in it what somebody who had taken the agent over planted; the secret as its manual told."""
    uid = uid_of(guest)
    for name in ("passwd",):
        text = re.sub(r"^(infiniservice:.*:)/nonexistent:", r"\1/var/lib/infiniservice:", guest.read("etc/" + name), flags=re.M)
        assert "/var/lib/infiniservice" in text
        guest.write("etc/" + name, text)
    guest.write("etc/kept", "root's\n", 0o600)
    os.makedirs(guest.path("var/lib/systemd/linger"), exist_ok=True)
    guest.write("var/lib/systemd/linger/infiniservice", "")
    state = guest.path("var/lib/infiniservice")
    os.makedirs(state + "/.config/systemd/user/default.target.wants", exist_ok=True)
    guest.write("var/lib/infiniservice/.config/systemd/user/planted.service", "[Service]\nExecStart=/bin/sh\n")
    os.symlink("../planted.service", state + "/.config/systemd/user/default.target.wants/planted.service")
    os.symlink("/etc", state + "/.config/out")
    os.mkfifo(state + "/.config/fifo")
    os.link(guest.path("etc/kept"), state + "/.config/hard")
    deep = state + "/.config"
    for _ in range(50):
        deep += "/d"
    os.makedirs(deep)
    os.symlink("/etc", state + "/.local")
    guest.write("var/lib/infiniservice/seq", "17 clean -\n", 0o600)
    for folder, folders, names in os.walk(state):
        for name in folders + names:
            if name != "hard":
                os.lchown(os.path.join(folder, name), uid, uid)
    os.chown(state, uid, uid)
    guest.write("etc/infiniservice/secret", "s" * 32 + "\n", 0o640)
    os.chown(guest.path("etc/infiniservice/secret"), 0, uid)


def is_mended(guest):
    uid = uid_of(guest)
    assert re.search(r"^infiniservice:[^:]*:%d:%d:[^:]*:/nonexistent:.*nologin$" % (uid, uid), guest.read("etc/passwd"), re.M), guest.read("etc/passwd")
    assert not os.path.lexists(guest.path("var/lib/systemd/linger/infiniservice"))
    assert sorted(name for name in os.listdir(guest.path("var/lib/infiniservice")) if name.startswith((".config", ".local"))) == []
    assert os.path.exists(guest.path("var/lib/infiniservice/seq")), "the rest of the state stays"
    secret = os.stat(guest.path("etc/infiniservice/secret"))
    assert (stat.S_IMODE(secret.st_mode), secret.st_uid) == (0o600, uid), "the secret is the agent's alone"
    kept = os.stat(guest.path("etc/kept"))
    assert (stat.S_IMODE(kept.st_mode), kept.st_uid, kept.st_nlink) == (0o600, 0, 1) and guest.read("etc/kept") == "root's\n"


def story_an_upgrade_of_the_package_takes_the_home_away_and_what_was_planted_in_it():
    guest = installed()
    as_0_1_0_left_it(guest)
    etc = sorted(os.listdir(guest.path("etc")))
    # As in an upgrade, the agent of the version before still runs.
    script_of(guest, "postinst")
    done = guest.run("sh", "-c", "setpriv --reuid %d --regid %d --clear-groups sleep 30 & pid=$!; sleep 0.3; timeout 50 /tmp/postinst configure 0.1.0; "
                     "status=$?; kill $pid || status=99; exit $status" % (uid_of(guest), uid_of(guest)))
    assert done.returncode == 0 and not done.stderr, done
    is_mended(guest)
    assert set(os.listdir(guest.path("etc"))) - set(etc) <= {"passwd-", "shadow-", ".pwd.lock", "passwd.lock"}


def story_an_upgrade_by_a_host_takes_the_home_away_and_what_was_planted_in_it():
    guest = installed()
    as_0_1_0_left_it(guest)
    done = guest.run("timeout", "50", "/pushed/install-linux.sh", "normal", "vm-17")
    is_mended(guest)
    assert "could not" not in done.stdout, done


def story_a_secret_that_the_owner_gave_to_others_on_purpose_is_said_not_taken_away():
    guest = installed()
    guest.write("etc/infiniservice/secret", "s" * 32 + "\n", 0o640)
    os.chown(guest.path("etc/infiniservice/secret"), 0, 12345)
    done, _ = maintainer_script(guest, "postinst", "configure", "0.1.0")
    assert done.returncode == 0, done
    st = os.stat(guest.path("etc/infiniservice/secret"))
    assert (stat.S_IMODE(st.st_mode), st.st_gid) == (0o640, 12345)


def story_the_user_has_no_home_however_it_is_made():
    with open(os.path.join(ROOT, "packaging/sysusers.conf"), encoding="utf-8") as file:
        assert re.search(r'^u infiniservice - "[^"]*" /nonexistent /usr/sbin/nologin$', file.read(), re.M)
    assert re.search(r"^infiniservice:.*:/nonexistent:", installed().read("etc/passwd"), re.M)


# -------------------------------------------------------------------------------------------------------- the helper

def story_the_copy_follows_the_machine_and_nothing_lies_in_its_way():
    guest = installed()
    own = guest.path("run/infiniservice-root")
    execute = lambda: guest.run("/usr/local/sbin/infiniservice-exec", "prepare", "identity")
    read = lambda: guest.read("run/infiniservice-root/product_uuid").strip()
    assert execute().returncode == 0
    was = os.stat(own + "/product_uuid")
    assert execute().returncode == 0 and os.stat(own + "/product_uuid").st_ino == was.st_ino, "written when it is another one"
    with_uuid(guest, "99999999-2222-3333-4444-555555555555")
    assert execute().returncode == 0 and read().startswith("99999999")
    os.chmod(own + "/product_uuid", 0o644)
    assert execute().returncode == 0 and stat.S_IMODE(os.stat(own + "/product_uuid").st_mode) == 0o440
    for way in (lambda p: os.symlink("/etc/kept", p), os.mkfifo, lambda p: os.link(guest.path("etc/passwd"), p)):
        for name in ("product_uuid", ".product_uuid.new"):
            if os.path.lexists(own + "/" + name):
                os.unlink(own + "/" + name)
            way(own + "/" + name)
            assert execute().returncode == 0 and read().startswith("99999999"), (name, way)
            assert os.stat(own + "/product_uuid").st_nlink == 1
    assert "root:x:0" in guest.read("etc/passwd") and not os.path.exists(guest.path("etc/kept"))
    os.unlink(guest.path("sys/class/dmi/id/product_uuid"))
    assert execute().returncode == 0 and not os.path.exists(own + "/product_uuid"), "a machine that has none keeps no other's"


def story_a_directory_that_is_not_roots_is_not_used():
    guest = installed()
    uid = uid_of(guest)
    own = guest.path("run/infiniservice-root")
    for make, word in ((lambda: os.symlink("/etc", own), "infiniservice-root"),
                       (lambda: (os.mkdir(own), os.chown(own, uid, uid)), "changed by others"),
                       (lambda: (os.mkdir(own), os.chmod(own, 0o777)), "changed by others")):
        if os.path.islink(own):
            os.unlink(own)
        else:
            shutil.rmtree(own, ignore_errors=True)
        make()
        done = guest.run("/usr/local/sbin/infiniservice-exec", "prepare", "identity")
        assert done.returncode == 1 and word in done.stderr, done
        assert not os.path.exists(own + "/product_uuid") and not os.path.exists(guest.path("etc/product_uuid"))


def story_directories_are_made_or_taken_back_but_never_anothers():
    guest = installed()
    uid = uid_of(guest)
    execute = lambda: guest.run("/usr/local/sbin/infiniservice-exec", "prepare", "directories")
    modes = {"var/lib/infiniservice": 0o750, "var/log/infiniservice": 0o750, "run/infiniservice": 0o755}
    for place in modes:
        shutil.rmtree(guest.path(place), ignore_errors=True)
    assert execute().returncode == 0
    for place, mode in modes.items():
        st = os.lstat(guest.path(place))
        assert (stat.S_IMODE(st.st_mode), st.st_uid, st.st_gid) == (mode, uid, uid), (place, st)
    log = guest.path("var/log/infiniservice")
    os.rmdir(log)
    os.symlink("/etc", log)
    etc = os.stat(guest.path("etc"))
    done = execute()
    assert done.returncode == 1 and "/var/log/infiniservice" in done.stderr and "cure" in done.stderr, done
    assert os.stat(guest.path("etc")).st_uid == etc.st_uid == 0
    os.unlink(log)
    # /var/log of some distributions belongs to a group: what was put there may be a directory of root's, moved.
    os.mkdir(log)
    os.chmod(guest.path("var/log"), 0o775)
    done = execute()
    assert done.returncode == 1 and os.stat(log).st_uid == 0, done
    os.chmod(guest.path("var/log"), 0o755)
    assert execute().returncode == 0 and os.stat(log).st_uid == uid
    os.chown(log, 12345, 12345)
    done = execute()
    assert done.returncode == 1 and os.stat(log).st_uid == 12345, done


def story_the_words_are_its_own():
    guest = installed()
    for words in ((), ("everything",), ("identity", "/etc"), ("--help",)):
        done = guest.run("/usr/local/sbin/infiniservice-exec", "prepare", *words)
        assert done.returncode == 2 and "usage" in done.stderr, (words, done)


if __name__ == "__main__":
    tap.main(globals())
