#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""What lies in the place of a file of the agent's: root's infinictl refuses it in words and at once, in every verb that reads one."""
import os
import socket
import subprocess
import tempfile
import time

import tap
from fakehost import SLOW, program

RECORD = b'{"type":"audit","timestamp":"2026-01-02T03:04:05.678Z","phase":"finished","id":"%s","action":"x","origin":"host","success":true}\n'
LINE = b'{"type":"metrics","timestamp":"2026-01-02T03:04:05.678Z","seq":1,"boot_id":"b","data":{"system":{"name":"honest"}}}\n'
SEGMENT = "metrics-20260102T030405.000Z-000001.ndjson"
NOBODY = 65534


def run(*arguments, env=None, timeout=20):
    begun = time.monotonic()
    done = subprocess.run([program("infinictl"), *arguments], capture_output=True, timeout=timeout * SLOW, check=False, stdin=subprocess.DEVNULL,
                          env={**os.environ, **(env or {})})
    return done.returncode, done.stdout, done.stderr.decode(errors="replace"), time.monotonic() - begun


def elsewhere(directory, text):
    path = os.path.join(directory, "elsewhere")
    with open(path, "wb") as file:
        file.write(text)
    return path


def foreign(path):
    os.chown(path, NOBODY, NOBODY, follow_symlinks=False)


def a_link(path, text):
    os.symlink(elsewhere(os.path.dirname(os.path.dirname(path)), text), path)
    foreign(path)


def a_link_to_a_device(path, _):
    os.symlink("/dev/zero", path)


def a_fifo(path, _):
    os.mkfifo(path)


def a_directory(path, _):
    os.mkdir(path)


def a_socket(path, _):
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path)


def a_hole(path, text):
    with open(path, "wb") as file:
        file.write(text)
        file.truncate(64 << 30)


def a_hard_link(path, text):
    os.link(elsewhere(os.path.dirname(os.path.dirname(path)), text), path)


def a_file_of_somebody_else(path, text):
    with open(path, "wb") as file:
        file.write(text)
    os.chown(path, 1234, 1234)


# What lies there, a word of what is said, whether it takes root to make it.
TRAPS = [(a_link, "symbolic link", True), (a_link_to_a_device, "a device", False), (a_fifo, "FIFO", False), (a_directory, "directory", False),
         (a_socket, "socket", False), (a_hole, "bytes", False), (a_hard_link, "further names", True), (a_file_of_somebody_else, "belongs to uid 1234", True)]


def trapped(name, trap, text):
    """A directory as the agent's uid owns one, with the trap in it."""
    outer = tap.keep(tempfile.TemporaryDirectory(prefix="infini-"))
    os.chmod(outer, 0o755)
    inner = os.path.join(outer, "inner")
    os.mkdir(inner)
    trap(os.path.join(inner, name), text)
    if os.geteuid() == 0:
        os.chown(inner, NOBODY, NOBODY)
    return inner


def traps():
    for trap, words, root in TRAPS:
        if root and os.geteuid() != 0:
            tap.note(f"{trap.__name__} takes root to make")
            continue
        yield trap, words


def story_no_trap_in_the_place_of_the_record_is_opened():
    for trap, words in traps():
        for name in ("audit.ndjson", "audit.ndjson.1"):
            inner = trapped(name, trap, RECORD % b"secret")
            other = "audit.ndjson" if name.endswith(".1") else "audit.ndjson.1"
            with open(os.path.join(inner, other), "wb") as file:
                file.write(RECORD % b"honest")
            if os.geteuid() == 0:
                foreign(os.path.join(inner, other))
            for arguments in (["audit"], ["audit", "--json"]):
                code, out, err, took = run(*arguments, env={"STATE_DIRECTORY": inner})
                assert code == 1 and name in err and (words in err or "not a file" in err), (trap.__name__, name, code, err)
                assert b"honest" in out and b"secret" not in out, (trap.__name__, out)
                assert took < 10 * SLOW, (trap.__name__, took)


def story_no_trap_in_the_place_of_a_segment_is_opened():
    for trap, words in traps():
        inner = trapped(SEGMENT, trap, LINE.replace(b"honest", b"secret"))
        good = os.path.join(inner, SEGMENT.replace("000001", "000002"))
        with open(good, "wb") as file:
            file.write(LINE)
        if os.geteuid() == 0:
            foreign(good)
        named = [] if trap is a_directory else [[os.path.join(inner, SEGMENT)]]  # a named directory is a log's
        for how in (["--dir", inner], [inner], *named):
            code, out, err, took = run("log", "--json", *how)
            assert code == 1 and SEGMENT in err and (words in err or "not a file" in err), (trap.__name__, how, code, err)
            assert b"secret" not in out and (b"honest" in out) == (how[-1] == inner), (trap.__name__, out)
            assert took < 10 * SLOW, (trap.__name__, took)


def story_a_file_without_lines_and_a_bomb_are_given_up():
    directory = tap.keep(tempfile.TemporaryDirectory(prefix="infini-"))
    hole, bomb = os.path.join(directory, SEGMENT), os.path.join(directory, SEGMENT.replace("000001", "000002") + ".zst")
    with open(hole, "wb") as file:
        file.write(LINE)
        file.truncate(3 << 30)
    with open(bomb, "wb") as file:
        zeros = subprocess.Popen(["head", "-c", "2G", "/dev/zero"], stdout=subprocess.PIPE)
        subprocess.run(["zstd", "-qc1"], stdin=zeros.stdout, stdout=file, check=True)
        zeros.wait()
    for how in (["--dir", directory], [hole, bomb], ["--begin", "2026-01-02", "--dir", directory]):
        code, out, err, took = run("log", "--json", *how, timeout=60)
        assert code == 1 and ("too long a line" in err or "no metric log" in err) and took < 30 * SLOW, (how, code, err, took)
        assert out == LINE, (how, out)


def story_no_trap_in_the_place_of_the_socket_is_spoken_to():
    tap.need_root()
    outer = tap.keep(tempfile.TemporaryDirectory(prefix="infini-"))
    inner, path = os.path.join(outer, "inner"), os.path.join(outer, "inner", "agent.sock")
    os.mkdir(inner)
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(os.path.join(outer, "docker.sock"))
    listener.listen(1)
    listener.settimeout(0.3)
    for make, words in ((lambda: os.symlink(os.path.join(outer, "docker.sock"), path), "symbolic link"), (lambda: os.mkfifo(path), "FIFO"),
                        (lambda: os.mkdir(path), "directory"), (lambda: elsewhere(inner, b"") and os.rename(os.path.join(inner, "elsewhere"), path), "a file")):
        make()
        foreign(path)
        for verb in ("status", "ps"):
            code, _, err, took = run(verb, "--socket", path)
            assert code == 1 and words in err and took < 10 * SLOW, (verb, words, code, err)
        (os.rmdir if os.path.isdir(path) and not os.path.islink(path) else os.unlink)(path)
    try:
        listener.accept()
        raise AssertionError("somebody else's socket was spoken to")
    except socket.timeout:
        pass
    os.symlink(os.path.join(outer, "docker.sock"), path)  # root's own link is root's business
    assert run("status", "--socket", path, timeout=20)[0] == 1
    listener.accept()


def story_a_link_on_the_way_to_a_directory_is_followed_only_if_it_is_roots():
    tap.need_root()
    outer = tap.keep(tempfile.TemporaryDirectory(prefix="infini-"))
    real, link = os.path.join(outer, "real"), os.path.join(outer, "link")
    os.makedirs(os.path.join(real, "log"))
    with open(os.path.join(real, "log", SEGMENT), "wb") as file:
        file.write(LINE)
    with open(os.path.join(real, "log", "audit.ndjson"), "wb") as file:
        file.write(RECORD % b"honest")
    for target in (real, "real"):
        os.symlink(target, link)
        for way in ("log", "log/", "./log", "../link/log"):
            assert run("log", "--dir", os.path.join(link, way))[:2][0] == 0, (target, way)
            assert b"honest" in run("audit", env={"STATE_DIRECTORY": os.path.join(link, way)})[1]
        foreign(link)
        code, out, err, _ = run("log", "--json", "--dir", os.path.join(link, "log"))
        assert code == 1 and not out and "symbolic link of uid 65534" in err, (code, out, err)
        code, out, err, _ = run("audit", env={"STATE_DIRECTORY": os.path.join(link, "log")})
        assert code == 1 and not out and "symbolic link" in err, (code, out, err)
        os.unlink(link)
    os.symlink("link", link)
    code, _, err, _ = run("log", "--dir", link)
    assert code == 1 and "levels of symbolic links" in err, err


tap.main(globals())
