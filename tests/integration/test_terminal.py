#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Hostile text in every verb of infinictl and infinihost, and in the agent's own messages, on a terminal: nothing that a terminal obeys gets there."""
import json
import os
import pty
import re
import socket
import subprocess
import tempfile
import threading
import time

import tap
from fakehost import BUILD, ROOT, SLOW, TimeOut, program, ready

# Each as the bytes that somebody put into a text: valid JSON strings may hold all but the first four kinds unescaped.
HOSTILE = [b"\x1b[31mred", b"\x1b]0;title\x07", b"\x1b[2J\x1b[H", b"\x0d\x0bover", b"\x7fdel", b"\x9b31m raw C1", b"\xc2\x9b31m C1", b"\xc2\x90dcs\xc2\x9c",
           b"\xe2\x80\xaeoverride", b"\xe2\x81\xa6isolate\xe2\x81\xa9", b"\xe2\x80\x8fmark", b"\xe2\x80\x8bhidden\xef\xbb\xbf", b"\xe2\x80\xa8line",
           b"\xff\xfe", b"\xc0\xaf", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\xe2\x82"]
REFUSED = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u00ad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufe00-\ufe0f\ufeff\ufff0-\ufffb"
                     "\U000e0000-\U000e0fff]|\r(?!\n)")
TEXT = b" ".join(HOSTILE)


def quoted(text):
    """A JSON string with only what JSON demands escaped, so that everything else is there raw."""
    out = b""
    for byte in text:
        out += b"\\u%04x" % byte if byte < 0x20 else b"\\" + bytes([byte]) if byte in b'"\\' else bytes([byte])
    return b'"' + out + b'"'


def fill(template, text=TEXT):
    return template.replace(b"@", quoted(text))


EVIL = quoted(TEXT)
VALID = b" ".join(text for text in HOSTILE if text.decode("utf-8", "ignore").encode() == text)


def on_terminal(argv, timeout=20, env=None, feed=None):
    """What a program shows on a terminal without colours and pager, and its exit status."""
    master, slave = pty.openpty()
    process = subprocess.Popen(argv, stdin=slave, stdout=slave, stderr=slave, env={**os.environ, "NO_COLOR": "1", "PAGER": "cat", **(env or {})}, start_new_session=True)
    os.close(slave)
    shown, end = b"", time.monotonic() + timeout * SLOW
    try:
        while True:
            if not ready(master, 1, end - time.monotonic()):
                raise TimeOut(f"{argv} did not end; it showed {shown[-300:]}")
            try:
                data = os.read(master, 65536)
            except OSError:  # EIO: nobody has it open any more, pty(7)
                break
            if not data:
                break
            shown += data
            if feed and feed in shown:
                process.terminate()
        return shown, process.wait(10 * SLOW)
    finally:
        process.kill()
        process.wait()
        os.close(master)


def check(shown, what):
    text = shown.decode("utf-8")  # strict: what is no UTF-8 fails here
    found = REFUSED.search(text)
    assert not found, (what, found.group().encode(), text[max(0, found.start() - 60):found.end() + 60])
    return text.replace("\r\n", "\n")


# ------------------------------------------------------------------------------------------------------------ infinictl

class FakeAgent:
    """A local socket whose every request is answered with `answer`, in which ID stands for the id asked with."""

    def __init__(self, path, answer):
        self.listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.listener.bind(path)
        self.listener.listen(4)
        self.answer = answer
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            asked = client.recv(4096)
            client.sendall(self.answer.replace(b"ID", re.search(rb'"id":"([^"]+)"', asked).group(1)) + b"\n")
            client.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.listener.close()


STATUS = fill(b'{"type":"response","id":"ID","success":true,"data":{"a":@,"nested":{@:@,"list":[{"x":@},{"y":[@]}]},'
              b'"commands":{"list":[{"state":@,"age_ms":5,"pid":@,"bytes":1,"origin":@,"action":@,"id":@}]}}}')
REFUSAL = fill(b'{"type":"response","id":"ID","success":false,"error":@}')
AUDIT = fill(b'{"type":"audit","timestamp":"2026-01-02T03:04:05.678Z","phase":@,"id":@,"action":@,"origin":@,"detail":@,"error_code":@,@:@}')
SAMPLE = fill(b'{"type":"metrics","timestamp":"2026-01-02T03:04:05.678Z","seq":1,"boot_id":@,"gap":@,"data":{"system":{"name":@,"cpu":{"usage_percent":3}},"x":{"y":@,@:1}}}')


def story_no_verb_of_infinictl_shows_a_byte_that_a_terminal_obeys():
    directory = tap.keep(tempfile.TemporaryDirectory(prefix="infini-"))
    sock, refuses = os.path.join(directory, "a.sock"), os.path.join(directory, "r.sock")
    tap.keep(FakeAgent(sock, STATUS))
    tap.keep(FakeAgent(refuses, REFUSAL))
    for name, text in (("audit.ndjson", AUDIT + b"\n"), ("log", SAMPLE + b"\n" + SAMPLE.replace(b":05", b":06") + b"\n" + TEXT + b"\n"),
                       ("bad.conf", b"[comm" + TEXT.replace(b"\x0d", b"").replace(b"\n", b"") + b"]\nx = 1\n[agent]\nlog_level = " + TEXT + b"\n"),
                       ("good.conf", b"[agent]\nvm_id = " + VALID.translate(None, bytes(range(32)) + b"\x7f") + b"\n[commands]\ndeny = " + TEXT.replace(b"\x0d", b"") + b"\n")):
        with open(os.path.join(directory, name), "wb") as file:
            file.write(text)
        os.chmod(os.path.join(directory, name), 0o600)
    ctl, log = program("infinictl"), os.path.join(directory, "log")
    evil = TEXT.replace(b"\0", b"")
    verbs = [["status", "--socket", sock], ["status", "--json", "--socket", sock], ["status", "--socket", refuses], ["status", "--socket", b"/no/" + evil],
             ["ps", "--socket", sock], ["ps", "--json", "--socket", sock], ["ps", evil], ["audit"], ["audit", "--json"], ["audit", "--id", evil], ["audit", evil],
             ["audit", "--lines", evil], ["log", log], ["log", "--json", log], ["log", "--metric", "system.name", "--metric", "x", log],
             ["log", "--metric", evil, log], ["log", "--begin", evil, log], ["log", "--where", evil, log], ["log", "--every", evil, log], ["log", "--output", evil, log], ["log", "--process", evil, log],
             ["log", "--output", "csv", "--metric", "system.name", log], ["log", "--output", "json", "--metric", "system.name", log], ["log", "--summary", log], ["metrics", evil],
             ["log", "--output", "openmetrics", "--metric", b"system.x[" + evil.replace(b"]", b"") + b"].y", log], ["log", b"/no/" + evil], ["log", "--dir", evil], ["log", b"--" + evil],
             ["log", b"-\xc2"], ["config", "show", os.path.join(directory, "good.conf")], ["config", "check", os.path.join(directory, "bad.conf")],
             ["config", "check", b"/no/" + evil], ["config", evil], [evil], [b"--" + evil], ["--help"], ["log", "--help"], ["config", "example"]]
    for verb in verbs:
        shown, _ = on_terminal([ctl, *verb], env={"STATE_DIRECTORY": directory})
        text = check(shown, verb)
        assert text, verb
        if "--json" in verb:
            for line in [text] if verb[0] in ("status", "ps") else [line for line in text.splitlines() if line.startswith("{")]:
                got = json.dumps(json.loads(line))
                assert "\\u001b[31mred" in got and "\\u009b31m C1" in got and "\\u202eoverride" in got, (verb, got)


# ----------------------------------------------------------------------------------------------------------- infinihost

def story_no_verb_of_infinihost_shows_a_byte_that_a_terminal_obeys():
    directory = tap.keep(tempfile.TemporaryDirectory(prefix="infini-"))
    host = program("infinihost")
    stamp = b'"timestamp":"2026-01-02T03:04:05.678Z"'
    lines = [fill(b'{"type":"handshake",' + stamp + b',"vm_id":@,"version":@,"platform":@,"capabilities":[@]}'), SAMPLE,
             fill(b'{"type":"metrics","data":{"system":{"disk":{"usage_stats":[{"mount_point":@}]},"network":{"interfaces":[{"name":@,"ip_addresses":[@],"is_up":true}]}}}}'),
             fill(b'{"type":"error","error":@,"details":{"code":@,"reason":@}}'), fill(b'{"type":"agent_event","severity":@,"source":@,"message":@}'),
             fill(b'{"type":@,"a":@}'), fill(b'{"type":"keep_alive","sequence_number":@}'), TEXT, b"{" + TEXT]
    answer = fill(b'{"type":"response","id":"ID","success":false,"command_type":@,"stdout":@,"stderr":@,"error":@,"error_code":@,"data":{@:@}}')
    good = fill(b'{"type":"response","id":"ID","success":true,"exit_code":0,"command_type":"x","stdout":@,"stderr":@,"data":{@:@}}')
    evil = TEXT.replace(b"\0", b"")
    valid = b"\n".join(line.decode("utf-8", "ignore").encode() for line in [answer])
    cases = [(["watch", "--count", "6"], b""), (["-j", "watch", "--count", "6"], b""), (["watch", "--types", "--count", "6"], b""),
             (["run", "SystemInfo"], answer), (["run", "SystemInfo"], valid), (["-j", "run", "SystemInfo"], valid), (["run", "SystemInfo"], good.decode("utf-8", "ignore").encode()),
             (["exec", "--", "true"], valid), (["exec", "--", "true"], good.decode("utf-8", "ignore").encode()), (["-j", "exec", "--", "true"], valid),
             (["raw", '{"type":"Status","id":"x"}'], valid), (["ping"], b""), (["run", evil], b""), (["run", "X", evil], b""), ([evil], b""), ([b"--" + evil, "ping"], b""),
             (["watch", b"--" + evil], b""), (["watch", "--count", evil], b""), (["exec", b"--" + evil, "x"], b""), (["--timeout", evil, "ping"], b""),
             (["--secret", b"/no/" + evil, "ping"], b""), (["demo", b"--" + evil], b""), (["--help"], b"")]
    for number, (verb, response) in enumerate(cases):
        path = os.path.join(directory, f"s{number}")
        over = threading.Event()
        thread = threading.Thread(target=play_agent, args=(path, lines, response, over), daemon=True)
        thread.start()
        shown, _ = on_terminal([host, "--listen", path, "-t", "5" if response or "watch" in verb else "0.5", *verb])
        over.set()
        text = check(shown, verb)
        assert text, verb
        if verb[0] == "-j":
            found = [json.loads(line) for line in text.splitlines() if line.startswith("{")]
            assert found and "\u009b31m C1" in json.dumps(found, ensure_ascii=False), (verb, text)
        thread.join(10)
    shown, _ = on_terminal([host, "-c", b"/no/" + evil, "ping"])
    assert check(shown, "-c"), "-c"


def play_agent(path, lines, answer, over):
    """The guest's end: connects, says its lines (valid UTF-8 and not), answers what is asked."""
    guest = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    while True:
        try:
            guest.connect(path)
            break
        except (FileNotFoundError, ConnectionRefusedError):
            if over.wait(0.01):
                return
    try:
        for line in lines:
            guest.sendall(line + b"\n" + line.decode("utf-8", "ignore").encode() + b"\n")
        asked = b""
        while b"\n" not in asked.lstrip(b"\n"):
            data = guest.recv(65536)
            if not data:
                return
            asked += data
        found = re.search(rb'"id":"([^"]+)"', asked)
        if answer and found:
            guest.sendall(answer.replace(b"ID", found.group(1)) + b"\n")
        while guest.recv(65536):
            pass
    except OSError:
        pass
    finally:
        guest.close()


# ------------------------------------------------------------------------------------------------------------ the agent

def story_the_agents_own_messages_hold_nothing_that_a_terminal_obeys():
    evil = TEXT.replace(b"\0", b"")
    directory = tap.keep(tempfile.TemporaryDirectory(prefix="infini-"))
    path = os.path.join(directory, "agent.conf")
    with open(path, "wb") as file:
        file.write(b"[comm" + evil.replace(b"\x0d", b"") + b"]\nx = 1\n[agent]\nlog_level = " + evil + b"\n")
    os.chmod(path, 0o600)
    for arguments in ([b"--" + evil], [evil], ["--config", b"/no/" + evil], ["--set", evil], ["--set", b"agent.log_level=" + evil, "--check-config"],
                      ["--port", evil, "--check-config"], ["--config", path, "--check-config"], ["--config", path, "--once"], ["--config", path]):
        shown, status = on_terminal([program("infiniservice"), *arguments])
        assert check(shown, arguments) and status != 0, arguments


# ------------------------------------------------------------------------------------------------------------- the walls

WRITERS = re.compile(r"\b(v?f?printf|v?dprintf|puts|fputs|fputc|putc|putchar|fwrite|write|writev|perror|psignal|warn|warnx|err|errx|__v?f?printf_chk|__v?dprintf_chk|"
                     r"__overflow|fputws|json_object_to_fd|json_object_to_file|stdout_unlocked|fputs_unlocked|fwrite_unlocked)$")


def story_only_one_file_of_the_tools_writes_to_a_stream():
    """What a new printing path would call, in the objects of both tools."""
    found = []
    for library in ("libctl.a", "libhost.a", "libshow.a"):
        out = subprocess.run(["nm", "-u", "-A", os.path.join(BUILD, library)], capture_output=True, text=True, check=True).stdout
        found += [(line.split(":")[1], line.split()[-1].split("@")[0]) for line in out.splitlines() if WRITERS.search(line.split()[-1].split("@")[0])]
    assert {name for name, _ in found} == {"show.o"}, found


def story_no_tool_lets_getopt_speak_for_it():
    """getopt(3) prints what was typed as it was typed."""
    for folder, main in (("infinictl", "cli.c"), ("infinihost", "host.c")):
        with open(os.path.join(ROOT, "tools", folder, main), encoding="utf-8") as file:
            assert re.search(r"^\topterr = 0;", file.read(), re.M), main


if __name__ == "__main__":
    tap.main(globals())
