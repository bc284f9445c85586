#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""infinihost as a person and a script meet it: interrupts, time limits, refusals, standard input, cut output, silence, exit statuses."""
import json
import os
import re
import signal
import socket
import subprocess
import tempfile
import threading
import time

import tap
from fakehost import SLOW, Agent, command_line, processes_running, program, wait_until

SECRET = "ab" * 32


def run(*arguments, timeout=60, **more):
    more.setdefault("stdin", subprocess.DEVNULL)
    begun = time.monotonic()
    done = subprocess.run([program("infinihost"), *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=timeout * SLOW, check=False, text=True, **more)
    done.took = time.monotonic() - begun
    return done


def guest(settings=None, secret=None):
    """A real agent that looks for its host at the path that is given; infinihost listens there."""
    directory = tap.keep(tempfile.TemporaryDirectory(prefix="infini-"))
    path = os.path.join(directory, "port")
    settings = {"commands.allow_unsafe": "yes", "commands.allow": "observe control", **(settings or {})}
    if secret:
        file = os.path.join(directory, "secret")
        with open(os.open(file, os.O_WRONLY | os.O_CREAT, 0o600), "w", encoding="ascii") as out:
            out.write(secret)
        settings["auth.secret_file"] = file
    tap.keep(Agent("unix:" + path, settings))
    return path, directory


class FakeGuest:
    """Listens as QEMU's chardev does; `answer` gives the lines for each line that comes."""

    def __init__(self, answer=lambda message: []):
        self.directory = tempfile.TemporaryDirectory(prefix="infini-")
        self.path = os.path.join(self.directory.name, "chardev")
        self.answer = answer
        self.seen = []
        self.listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.listener.bind(self.path)
        self.listener.listen(1)
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            try:
                with client, client.makefile("r", encoding="utf-8") as lines:
                    for line in lines:
                        if not line.strip():
                            continue
                        message = json.loads(line)
                        self.seen.append(message)
                        for reply in self.answer(message):
                            client.sendall((json.dumps(reply) + "\n").encode())
            except (OSError, ValueError):
                pass

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.listener.shutdown(socket.SHUT_RDWR)  # wakes accept
        self.listener.close()
        self.directory.cleanup()


# ------------------------------------------------------------------------------------------------------- interrupts

def in_guest(words):
    return [pid for pid in processes_running(words) if command_line(pid) == words]


def story_an_interrupted_command_is_cancelled_in_the_guest():
    path, _ = guest()
    for number, kind in enumerate((signal.SIGINT, signal.SIGTERM, signal.SIGHUP)):
        marker = f"sleep 97{number}.25"
        process = subprocess.Popen([program("infinihost"), "-l", path, "exec", "--timeout", "900", "--", f"{marker}; true"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                   stderr=subprocess.PIPE, text=True)
        wait_until(lambda: in_guest(marker), 15, "the command in the guest")
        process.send_signal(kind)
        out, err = process.communicate(timeout=20 * SLOW)
        assert process.returncode == 130 and "cancelling" in err and "has ended in the guest" in err and not out, (kind, process.returncode, err)
        wait_until(lambda: not in_guest(marker), 2, "the end of the command")


def story_run_is_cancelled_too_and_a_deaf_guest_is_left_at_the_second_interrupt():
    for deaf in (False, True):
        def answer(message, deaf=deaf):
            if deaf or message["type"] != "CancelCommand":
                return []
            return [{"type": "response", "id": message["id"], "success": True}, {"type": "response", "id": message["target_id"], "success": False, "error_code": "CANCELLED", "error": "x"}]
        fake = tap.keep(FakeGuest(answer))
        process = subprocess.Popen([program("infinihost"), "-c", fake.path, "run", "RunAllHealthChecks"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        wait_until(lambda: fake.seen, 10, "the command")
        process.send_signal(signal.SIGINT)
        wait_until(lambda: len(fake.seen) == 2, 10, "the cancel")
        assert fake.seen[1]["type"] == "CancelCommand" and fake.seen[1]["target_id"] == fake.seen[0]["id"], fake.seen
        if deaf:
            process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=10 * SLOW)
        assert process.returncode == 130 and ("may still run" if deaf else "has ended") in err, err


# ------------------------------------------------------------------------------------------------------- time limits

def story_a_time_limit_is_the_time_that_the_command_has():
    path, _ = guest()
    done = run("-l", path, "exec", "--timeout", "2", "--", "sleep 1.5; echo done")
    assert done.returncode == 0 and done.stdout == "done\n", done
    done = run("-l", path, "-t", "1", "exec", "--", "sleep 30")
    assert done.returncode == 5 and "COMMAND_TIMEOUT" in done.stderr and done.took < 25, done
    fake = tap.keep(FakeGuest(lambda m: [{"type": "response", "id": m["id"], "success": True, "exit_code": 0}]))
    for seconds in ("0", "0.3", "1", "2", "2.5", "7", "30", "600"):
        for verb in (["-t", seconds, "exec", "--", "true"], ["exec", "--timeout", seconds, "--", "true"], ["-t", seconds, "run", "SystemInfo"]):
            fake.seen.clear()
            assert run("-c", fake.path, *verb).returncode == 0, verb
            limit = fake.seen[0]["timeout"]

            def left(limit):
                return limit - min(1, limit / 4) - min(2, limit / 5)
            assert isinstance(limit, int) and left(limit) >= float(seconds) and (limit == 1 or left(limit - 1) < float(seconds)), (seconds, limit)


# ---------------------------------------------------------------------------------------------------------- refusals

def story_a_refusal_is_shown_at_once():
    path, directory = guest(secret=SECRET)
    wrong, right = os.path.join(directory, "wrong"), os.path.join(directory, "secret")
    with open(wrong, "w", encoding="ascii") as file:
        file.write("cd" * 32)
    for how, code in ((["-s", wrong], "BAD_SIGNATURE"), ([], "UNSIGNED")):
        for verb in (["ping"], ["run", "SystemInfo"], ["exec", "--", "true"]):
            done = run("-l", path, *how, *verb)
            assert done.returncode == 6 and code in done.stderr and done.took < 15 * SLOW, (how, verb, done)
        done = run("-l", path, *how, "-j", "ping")
        answer = json.loads(done.stdout)
        assert done.returncode == 6 and answer["type"] == "error" and answer["details"]["code"] == code, done
    done = run("-l", path, "-s", right, "-j", "ping")
    assert done.returncode == 0 and json.loads(done.stdout)["round_trip_ms"] >= 0, done
    # An error for another command is none for ours.
    fake = tap.keep(FakeGuest(lambda m: [{"type": "error", "error": "x", "details": {"code": "BAD_SIGNATURE", "id": "other"}},
                                         {"type": "response", "id": m["id"], "success": True, "exit_code": 0, "stdout": "mine"}]))
    done = run("-c", fake.path, "exec", "--", "true")
    assert done.returncode == 0 and done.stdout == "mine", done


# ---------------------------------------------------------------------------------------------------- standard input

def story_standard_input_of_exec_is_never_dropped_in_silence():
    fake = tap.keep(FakeGuest(lambda m: time.sleep(0.5) or [{"type": "response", "id": m["id"], "success": True, "exit_code": 0}]))
    command = [program("infinihost"), "-c", fake.path, "exec", "--", "cat"]
    directory = tap.keep(tempfile.TemporaryDirectory(prefix="infini-"))
    file = os.path.join(directory, "file")
    with open(file, "w", encoding="ascii") as out:
        out.write("x" * 100)
    with open(file, "rb") as given:
        assert run(*command[1:], stdin=given).returncode == 2 and not fake.seen
        given.seek(0, 2)
        assert run(*command[1:], stdin=given).returncode == 0
    fake.seen.clear()
    for early in (True, False):
        process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        if not early:
            wait_until(lambda: fake.seen, 10, "the command")
        process.stdin.write(b"late or not")
        process.stdin.flush()
        code = process.wait(20 * SLOW)
        err = process.stderr.read()
        assert code == (2 if early else 7) and b"standard input" in err, (early, code, err)
        assert bool(fake.seen) != early
        process.stdin.close()
    left, right = socket.socketpair()
    left.send(b"bytes")
    assert run(*command[1:], stdin=right).returncode == 2
    right.recv(100)
    left.close()
    assert run(*command[1:], stdin=right).returncode == 0
    read, write = os.pipe()
    assert run(*command[1:], stdin=read).returncode == 0, "an open pipe without a byte"
    os.close(write)
    assert run(*command[1:], stdin=read).returncode == 0
    assert run(*command[1:], stdin=None, preexec_fn=lambda: os.close(0)).returncode == 0


# -------------------------------------------------------------------------------------------------------- cut output

def story_cut_output_has_a_status_of_its_own():
    path, _ = guest({"commands.max_output_bytes": "1K"})
    for line, code in (("yes | head -c 5000", 7), ("yes | head -c 5000 >&2", 7), ("yes | head -c 5000; exit 3", 3), ("echo short", 0)):
        done = run("-l", path, "exec", "--", line)
        assert done.returncode == code and ("was cut" in done.stderr) == ("5000" in line), (line, done.returncode, done.stderr[-200:])
    fake = tap.keep(FakeGuest(lambda m: [{"type": "response", "id": m["id"], "success": True, "exit_code": 0, "stdout": "x", "stdout_bytes": 5, "truncated": True}]))
    for verb in (["run", "PackageList"], ["-j", "run", "PackageList"], ["-j", "exec", "--", "true"]):
        done = run("-c", fake.path, *verb)
        assert done.returncode == 7 and "was cut" in done.stderr, (verb, done)
    with open("/dev/full", "w", encoding="ascii") as full:
        done = subprocess.run([program("infinihost"), "-c", fake.path, "run", "PackageList"], stdout=full, stderr=subprocess.PIPE, timeout=30, check=False)
        assert done.returncode != 0 and b"cannot write" in done.stderr, done


# ----------------------------------------------------------------------------------------------------------- silence

def story_a_watch_says_that_nobody_speaks():
    fake = tap.keep(FakeGuest())
    path = os.path.join(fake.directory.name, "listened")
    waiting = [subprocess.Popen([program("infinihost"), *how, "-t", "12", "watch"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
               for how in (["-c", fake.path], ["-l", path])]
    texts = [process.communicate(timeout=60 * SLOW)[1] for process in waiting]
    assert re.search(r"no message for 1\d s", texts[0]) and texts[0].count("\n") == 1, texts
    assert re.search(r"no agent has connected for 1\d s", texts[1]) and texts[1].count("\n") == 1, texts
    assert [process.returncode for process in waiting] == [0, 0]


# ----------------------------------------------------------------------------------------------------- exit statuses

def story_a_secret_that_cannot_be_used_is_2_whatever_lies_there():
    directory = tap.keep(tempfile.TemporaryDirectory(prefix="infini-"))
    path = {name: os.path.join(directory, name) for name in ("absent", "directory", "FIFO", "socket", "empty", "binary")}
    os.mkdir(path["directory"])
    os.mkfifo(path["FIFO"])
    with socket.socket(socket.AF_UNIX) as unix:
        unix.bind(path["socket"])
    for name, text in (("empty", b" \n"), ("binary", b"a\0b")):
        with open(path[name], "wb") as file:
            file.write(text)
    words = {"absent": "No such file", "directory": "Is a directory", "FIFO": "nobody has written", "socket": "not a file", "empty": "no secret",
             "binary": "no secret"}
    for name in path:
        done = run("-s", path[name], "-c", os.path.join(directory, "no-port"), "ping")
        assert done.returncode == 2 and path[name] in done.stderr and words[name] in done.stderr and done.stderr.count("\n") == 1, (name, done)


def story_a_socket_that_is_not_there_is_4_and_wrong_use_2_in_every_order():
    directory = tap.keep(tempfile.TemporaryDirectory(prefix="infini-"))
    secret, file = os.path.join(directory, "secret"), os.path.join(directory, "file")
    for path in (secret, file):
        with open(path, "w", encoding="ascii") as out:
            out.write(SECRET)
    absent = os.path.join(directory, "absent")
    verbs = (["watch"], ["watch", "--types"], ["run", "SystemInfo"], ["exec", "--", "true"], ["exec", "--timeout", "1", "--", "true"], ["raw", "{}"], ["ping"])
    for verb in verbs:
        for target in (absent, file, directory, "/" + "x" * 200, os.path.join(absent, "below")):
            for options in (["-c", target], ["-s", secret, "-c", target], ["-c", target, "-s", secret], ["-j", "-t", "3", "-s", secret, "-c", target], ["-c", target, "-j"]):
                done = run(*options, *verb)
                assert done.returncode == 4 and target[:100] in done.stderr, (options, verb, done)
        done = run("-s", secret, "-l", os.path.join(absent, "below"), *verb)
        assert done.returncode == 4, (verb, done)
        for options in (["-s", secret], [], ["-c", absent, "-l", absent], ["-c", absent, "-t", "x"], ["-c", absent, "--bogus"], ["-c", ""], ["-s", absent, "-c", absent],
                        ["-c"], ["-c", absent, "-t", "-1"]):
            done = run(*options, *(verb if options != ["-c"] else []))
            assert done.returncode == 2 and done.stderr, (options, verb, done)
    for wrong in (["watch", "x"], ["watch", "--count", "0"], ["watch", "--bogus"], ["run"], ["run", "A", "novalue"], ["run", "--bogus"], ["exec"], ["exec", "--"], ["exec", "--bogus", "--", "x"],
                  ["exec", "--timeout", "x", "--", "y"], ["exec", "--timeout"], ["raw", "a", "b"], ["ping", "x"], ["ping", "-c", absent], ["dance"], []):
        for options in (["-c", absent], ["-s", secret, "-c", absent], ["-c", absent, "-j"]):
            done = run(*options, *wrong)
            assert done.returncode == 2 and done.stderr and not done.stdout, (options, wrong, done)


tap.main(globals())
