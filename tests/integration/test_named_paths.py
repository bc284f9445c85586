#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Whatever a user names, by mistake or not, is still there afterwards: every kind of file against every program that takes a path."""
import contextlib
import os
import socket
import stat
import subprocess
import tempfile

import tap
from fakehost import ROOT, SLOW, Agent, program, wait_until

CONTENT = "the only copy\n" * 7


# ------------------------------------------------------------------------------------------------------ kinds of files

def served(kind, listens=True):
    def make(path):
        one = tap.keep(socket.socket(socket.AF_UNIX, kind))
        one.bind(path)
        if listens and kind != socket.SOCK_DGRAM:
            one.listen(8)
    return make


def regular(path):
    with open(path, "w", encoding="ascii") as file:
        file.write(CONTENT)


def link_to_file(path):
    regular(path + ".target")
    os.symlink(path + ".target", path)


def link_to_dead_socket(path):
    dead(path + ".target")
    os.symlink(path + ".target", path)


def folder(path):
    os.mkdir(path)
    regular(os.path.join(path, "precious"))


def hard_link(path):
    regular(path + ".first")
    os.link(path + ".first", path)


def dead(path):
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as one:
        one.bind(path)


KINDS = {
    "regular file": regular, "empty file": lambda path: open(path, "w", encoding="ascii").close(), "hard link": hard_link,
    "link to a file": link_to_file, "dangling link": lambda path: os.symlink(path + ".nowhere", path), "directory": folder,
    "link to a dead socket": link_to_dead_socket, "FIFO": os.mkfifo, "stream socket": served(socket.SOCK_STREAM),
    "datagram socket": served(socket.SOCK_DGRAM), "packet socket": served(socket.SOCK_SEQPACKET),
    "socket about to listen": served(socket.SOCK_STREAM, listens=False),
}


def state_of(top):
    """All there is below a folder: kind, rights, node and content of each."""
    found = {}
    for where, folders, names in os.walk(top):
        for name in folders + names:
            path = os.path.join(where, name)
            about = os.lstat(path)
            content = open(path, "rb").read() if stat.S_ISREG(about.st_mode) else os.readlink(path) if stat.S_ISLNK(about.st_mode) else ""
            found[os.path.relpath(path, top)] = (oct(about.st_mode), about.st_ino, about.st_nlink, content)
    return found


def scratch():
    return tap.keep(tempfile.TemporaryDirectory(prefix="infini-"))


def run(*argv, timeout=10):
    """A program that may well go on running, which is no failure: exit status (None then) and what it said."""
    process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        out, _ = process.communicate(timeout=timeout * SLOW)
        return process.returncode, out
    except subprocess.TimeoutExpired:
        process.kill()
        out, _ = process.communicate()
        return None, out


def agent_argv(top, **settings):
    """The agent for a moment: once it has said that it runs, it is ended."""
    config = os.path.join(top, "agent.conf")
    open(config, "a", encoding="ascii").close()
    os.chmod(config, 0o600)
    chosen = {"agent.state_dir": top + "/own-state", "agent.runtime_dir": top + "/own-run", "log.dir": top + "/own-log",
              "socket.path": top + "/own.sock", "agent.vm_id": "t", **settings}
    argv = [program("infiniservice"), "--config", config, "--port", "none"]
    for key, value in chosen.items():
        argv += ["--set", f"{key}={value}"]
    return argv


def run_agent(work, **settings):
    """Runs it until it samples or ends: (status or None, messages)."""
    top = scratch()
    with open(os.path.join(top, "said"), "w+b") as said:
        process = subprocess.Popen(agent_argv(top, **{"timers.metrics_interval_ms": "50", **settings}), stdin=subprocess.DEVNULL,
                                   stdout=said, stderr=said)
        try:
            with contextlib.suppress(AssertionError):
                wait_until(lambda: process.poll() is not None or work(top), 3)
        finally:
            if process.poll() is None:
                process.terminate()
            status = process.wait(20 * SLOW)
        said.seek(0)
        return status, said.read().decode()


def said_in(top):
    with open(os.path.join(top, "said"), encoding="utf-8", errors="replace") as file:
        return file.read()


def logged(top):
    where = top + "/own-log"
    return os.path.isdir(where) and any(os.path.getsize(os.path.join(where, name)) > 500 for name in os.listdir(where) if name.startswith("metrics-"))


# ------------------------------------------------------------------------------------------------------------- sockets

def story_infinihost_listens_at_no_path_that_is_somebody_elses():
    for kind, make in KINDS.items():
        top = scratch()
        path = os.path.join(top, "named")
        make(path)
        before = state_of(top)
        status, out = run(program("infinihost"), "--listen", path, "--timeout", "1", "ping")
        assert status not in (None, 0), (kind, status, out)
        assert path in out and "name another path" in out, (kind, out)
        assert state_of(top) == before, kind


def story_infiniservice_listens_at_no_path_that_is_somebody_elses():
    for kind, make in KINDS.items():
        top = scratch()
        path = os.path.join(top, "named")
        make(path)
        before = state_of(top)
        status, out = run_agent(lambda _: False, **{"socket.path": path})
        assert status != 0 and path in out and "name another path" in out and "socket.path" in out, (kind, status, out)
        assert state_of(top) == before, kind


def story_a_socket_that_nobody_holds_is_replaced_and_removed_at_the_end():
    top = scratch()
    path = os.path.join(top, "named")
    dead(path)
    agent = tap.keep(Agent("unix:" + path))
    status, out = run(program("infinihost"), "--listen", path, "--timeout", "20", "ping", timeout=30)
    assert status == 0, out
    agent.stop()
    assert os.listdir(top) == []
    dead(path)
    status, out = run_agent(lambda where: logged(where) and answers(path), **{"socket.path": path})
    assert status == 0 and os.listdir(top) == [], (out, os.listdir(top))


def answers(path):
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as one:
        return one.connect_ex(path) == 0


def story_what_took_the_path_meanwhile_is_not_removed_at_the_end():
    for make in (regular, served(socket.SOCK_STREAM), link_to_file):
        top = scratch()
        path = os.path.join(top, "named")
        state = {}

        def replaced(where, path=path, make=make, top=top, state=state):
            if not logged(where) or not answers(path):
                return False
            os.unlink(path)
            make(path)
            state.update(state_of(top))
            return True

        status, out = run_agent(replaced, **{"socket.path": path})
        assert status == 0 and state and state_of(top) == state, (out, state)


def story_an_empty_path_and_one_in_a_folder_that_is_not_there_are_told():
    status, out = run(program("infinihost"), "--listen", "", "ping")
    assert status not in (None, 0) and "--listen" in out, out
    status, out = run(program("infinihost"), "--listen", "/no/such/folder/port", "ping")
    assert status not in (None, 0) and "/no/such/folder/port" in out, out


# ------------------------------------------------------------------------------------------------------------- folders

FOLDERS = ("agent.state_dir", "agent.runtime_dir", "log.dir")


def story_a_file_named_as_a_folder_of_the_agent_stays_as_it_is():
    for setting in FOLDERS:
        for kind, make in KINDS.items():
            if kind == "directory":
                continue
            top = scratch()
            path = os.path.join(top, "named")
            make(path)
            before = state_of(top)
            status, out = run_agent(lambda where, path=path: path in said_in(where), **{setting: path})
            assert state_of(top) == before, (setting, kind)
            assert path in out, (setting, kind, status, out)


def story_a_lock_of_another_program_ends_the_start():
    for kind, make in KINDS.items():
        if kind == "empty file":
            continue
        top = scratch()
        make(os.path.join(top, "lock"))
        regular(os.path.join(top, "seq"))
        regular(os.path.join(top, "audit.ndjson"))
        before = state_of(top)
        status, out = run_agent(lambda _: False, **{"agent.state_dir": top})
        assert status != 0 and top in out and "agent.state_dir" in out, (kind, status, out)
        assert state_of(top) == before, kind


def story_the_agents_own_files_are_never_written_through_another_name():
    """A link by the name of one of its files leads to nothing that it would write to, cut or give away."""
    for setting, names in (("agent.state_dir", ("seq", ".seq", "journal", ".journal", "audit.ndjson", "audit.ndjson.1", "nonces", "nonces.new")),
                           ("agent.runtime_dir", ("latest.json", ".latest.json", "journal", ".journal", "nonces", "nonces.new", "scripts")),
                           ("log.dir", ("metrics-00000001.ndjson", "latest.json"))):
        for how in (os.symlink, os.link):
            top, targets = scratch(), scratch()
            for name in names:
                regular(os.path.join(targets, name))
                how(os.path.join(targets, name), os.path.join(top, name))
            before = {name: open(os.path.join(targets, name), encoding="ascii").read() for name in names}
            about = {name: os.stat(os.path.join(targets, name)).st_mode for name in names}
            run_agent(logged, **{setting: top})
            assert {name: open(os.path.join(targets, name), encoding="ascii").read() for name in names} == before, (setting, how)
            assert {name: os.stat(os.path.join(targets, name)).st_mode for name in names} == about, (setting, how)


def story_no_start_waits_for_a_fifo_by_the_name_of_one_of_its_files():
    for setting, names in (("agent.state_dir", ("seq", ".seq", "journal", "audit.ndjson", "nonces")),
                           ("agent.runtime_dir", ("latest.json", "journal", "nonces", "product_uuid"))):
        for name in names:
            top = scratch()
            os.mkfifo(os.path.join(top, name))
            status, out = run_agent(logged, **{setting: top})
            assert status == 0, (setting, name, status, out)


def story_a_fifo_or_socket_named_latest_json_is_not_replaced():
    for kind in ("FIFO", "stream socket", "dangling link", "directory"):
        top = scratch()
        KINDS[kind](os.path.join(top, "latest.json"))
        before = os.lstat(os.path.join(top, "latest.json"))
        run_agent(logged, **{"agent.runtime_dir": top})
        after = os.lstat(os.path.join(top, "latest.json"))
        assert (before.st_ino, before.st_mode) == (after.st_ino, after.st_mode), kind


# ------------------------------------------------------------------------------------------------------------- ports

@tap.beside
def story_a_port_that_is_no_port_is_neither_written_to_nor_emptied():
    for kind, make in KINDS.items():
        top = scratch()
        path = os.path.join(top, "named")
        make(path)
        before = state_of(top)
        for spec in (path, "unix:" + path):
            if "socket" in kind and spec != path:
                continue
            argv = agent_argv(scratch())
            argv[argv.index("--port") + 1] = spec
            run(*argv, timeout=0.5)
            assert state_of(top) == before, (kind, spec)


# --------------------------------------------------------------------------------------------------------- reading verbs

@tap.beside
def story_what_reads_changes_nothing_of_what_it_is_given():
    ctl, host = program("infinictl"), program("infinihost")
    for kind, make in KINDS.items():
        top = scratch()
        path = os.path.join(top, "named")
        make(path)
        before = state_of(top)
        for argv in ([ctl, "log", path], [ctl, "log", "--dir", path], [ctl, "audit", path], [ctl, "config", "check", "--config", path],
                     [ctl, "status", "--socket", path], [host, "--connect", path, "--timeout", "0.5", "ping"],
                     [host, "--secret", path, "--connect", path, "--timeout", "0.5", "ping"],
                     [program("infiniservice"), "--check-config", "--config", path]):
            if kind in ("stream socket", "datagram socket", "packet socket") and path in argv and argv[1] in ("status", "--connect"):
                continue
            run(*argv, timeout=1 if kind == "FIFO" else 5)
            assert state_of(top) == before, (kind, argv)


# -------------------------------------------------------------------------------------------------------------- scripts

def story_make_clean_removes_only_what_was_built():
    top = scratch()
    folder(os.path.join(top, "mine"))
    before = state_of(top)
    done = subprocess.run(["make", "-s", "-C", ROOT, "clean", "BUILD=" + os.path.join(top, "mine")], capture_output=True, text=True, check=False)
    assert done.returncode != 0 and os.path.join(top, "mine") in done.stderr, done
    assert state_of(top) == before


def story_building_packages_leaves_what_else_lies_in_the_folder():
    """With a dpkg-buildpackage that makes three files, for what is asked here is what the script does around it."""
    top, tools = scratch(), scratch()
    for name, text in (("dpkg-buildpackage", "#!/bin/sh\nfor f in _1_all.deb _1.changes _1.buildinfo; do echo new >../infiniservice$f; done\n"),
                       ("lintian", "#!/bin/sh\nexit 0\n"),
                       ("dpkg-parsechangelog", "#!/bin/sh\nsed -n 's/^infiniservice (\\(.*\\)).*/\\1/p' %s/packaging/debian/changelog | head -n 1\n" % ROOT)):
        with open(os.path.join(tools, name), "w", encoding="ascii") as file:
            file.write(text)
        os.chmod(os.path.join(tools, name), 0o755)
    with open(os.path.join(ROOT, "Makefile"), encoding="utf-8") as file:
        version = next(line.split()[-1] for line in file if line.startswith("VERSION :="))
    for name in ("another_2_amd64.deb", "another.changes", "another.buildinfo", "infiniservice_0.0.9_amd64.deb", "notes"):
        regular(os.path.join(top, name))
    folder(os.path.join(top, "infiniservice-" + version))
    before = state_of(top)
    done = subprocess.run([os.path.join(ROOT, "packaging", "build-deb.sh"), top], capture_output=True, text=True, check=False,
                          env={**os.environ, "PATH": tools + ":" + os.environ["PATH"]})
    assert done.returncode == 0, done
    after = state_of(top)
    assert {name: after.get(name) for name in before} == before, (before.keys(), after.keys())
    assert set(after) - set(before) == {"infiniservice_1_all.deb", "infiniservice_1.changes", "infiniservice_1.buildinfo", "build.log"}, after.keys()


tap.main(globals())
