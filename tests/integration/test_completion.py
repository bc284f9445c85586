#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""The completions in the shells themselves, the actions they offer against what the agent has, and tables on terminals of several widths."""
import fcntl
import json
import os
import pty
import re
import shutil
import socket
import struct
import subprocess
import tempfile
import termios
import threading
import time

import schema
import tap
from fakehost import BUILD, ROOT, SLOW, TimeOut, program, ready

COMPLETIONS = os.path.join(ROOT, "packaging", "completions")
ENV = {**os.environ, "PATH": BUILD + ":/usr/bin:/bin", "LC_ALL": "C.UTF-8", "NO_COLOR": "1", "PAGER": "cat"}


def need(shell):
    if not shutil.which(shell):
        raise tap.Skip(f"{shell} is not here (tools/deps.sh test)")


# What is typed, what has to be offered, and what must not be.
CASES = [("infinihost -c /x run Proc", {"ProcessKill", "ProcessList", "ProcessTop"}, {"packaging", "SystemInfo"}),
         ("infinihost run Serv", {"ServiceControl", "ServiceList"}, set()),
         ("infinihost -c /x run ProcessTop l", {"limit="}, {"sort_by="}),
         ("infinihost -c /x run ProcessTop limit=5 s", {"sort_by="}, {"limit="}),
         ("infinihost -c run run ServiceControl o", {"operation="}, {"service="}),
         ("infinihost -c /x -t 5 actions Check", {"CheckDiskSpace"}, {"ProcessTop"}),
         ("infinihost -c /x wat", {"watch"}, {"run"}),
         ("infinictl audit --", {"--begin", "--end", "--origin", "--failed", "--all"}, {"--metric"}),
         ("infinictl log --", {"--where", "--every", "--output", "--lines"}, {"--socket"}),
         ("infinictl log --metric system.cpu.st", {"system.cpu.steal_percent"}, {"system.cpu.usage_percent"}),
         ("infinictl metrics system.disk.usage_stats", {"system.disk.usage_stats_left_out"}, {"system.cpu.usage_percent"}),
         ("infinictl replay --", {"--dir", "--begin", "--end"}, {"--interval"}),
         ("infinictl to", {"top"}, {"replay"}),
         ("infinictl con", {"config"}, {"log"}),
         ("infinictl config s", {"show"}, {"check"})]
VALUES = [("infinihost -c /x run ProcessTop sort_by=m", "memory"), ("infinihost -c /x run RunHealthCheck check_name=disk", "disk_space")]


def bash_offers(line):
    """As readline calls it: '=' and ':' end words, COMP_WORDBREAKS of bash(1)."""
    words = [w for w in re.split(r"\s+|(=)", line) if w]
    if line.endswith((" ", "=")) and line.endswith(" "):
        words.append("")
    name = words[0]
    script = f"source {COMPLETIONS}/{name}.bash; compopt() {{ :; }}; COMP_WORDS=({' '.join(repr(w) for w in words)}); COMP_CWORD={len(words) - 1}; _{name} {name} '' ''; printf '%s\\n' \"${{COMPREPLY[@]}}\""
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, timeout=20 * SLOW, check=True, env=ENV, cwd=ROOT)
    assert not done.stderr, done
    return set(done.stdout.split())


def story_bash_offers_actions_and_their_parameters():
    for line, wanted, never in CASES:
        offered = bash_offers(line)
        assert wanted <= offered and not never & offered, (line, offered)
    for line, value in VALUES:
        assert bash_offers(line) == {value}, (line, bash_offers(line))


def story_fish_offers_actions_and_their_parameters():
    need("fish")
    home = tap.keep(tempfile.TemporaryDirectory(prefix="infini-"))

    def offers(line):
        script = "".join(f"source {COMPLETIONS}/{name}.fish; " for name in ("infinihost", "infinictl")) + f"complete -C '{line}'"
        done = subprocess.run(["fish", "--no-config", "-c", script], capture_output=True, text=True, timeout=30 * SLOW, check=True, env={**ENV, "HOME": home}, cwd=ROOT)
        assert not done.stderr, done
        return {offer.split("\t")[0] for offer in done.stdout.splitlines()}
    for line, wanted, never in CASES:
        offered = {re.sub("=.*", "=", offer) for offer in offers(line)}
        assert wanted <= offered and not never & offered, (line, offered)
    for line, value in VALUES:
        assert line.split()[-1].split("=")[0] + "=" + value in offers(line), (line, offers(line))


def story_zsh_offers_actions_and_their_parameters():
    need("zsh")
    home = tap.keep(tempfile.TemporaryDirectory(prefix="infini-"))
    for name in ("infinihost", "infinictl"):
        shutil.copy(os.path.join(COMPLETIONS, name + ".zsh"), os.path.join(home, "_" + name))
    with open(os.path.join(home, ".zshrc"), "w", encoding="utf-8") as file:
        file.write(f"fpath=({home} $fpath)\nautoload -Uz compinit; compinit -u -D\nPS1='READY> '\nunsetopt zle_bracketed_paste list_beep\nsetopt list_rows_first\n"
                   "zstyle ':completion:*' list-prompt ''\nLISTMAX=1000\nbindkey '^I' list-choices\n")
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 100, 60, 0, 0))
    shell = subprocess.Popen(["zsh", "-i"], stdin=slave, stdout=slave, stderr=slave, env={**ENV, "HOME": home, "ZDOTDIR": home, "TERM": "dumb"}, cwd=ROOT, start_new_session=True)
    os.close(slave)

    def until(words, timeout=20):
        shown, end = "", time.monotonic() + timeout * SLOW
        while not all(word in shown for word in words):
            if time.monotonic() > end or not ready(master, 1, end - time.monotonic()):
                raise TimeOut(f"zsh did not show {words}: {shown}")
            shown += os.read(master, 65536).decode(errors="replace")
        return shown
    try:
        until(["READY>"])
        for line, wanted, never in CASES + [(line, {line.split("=")[0].split()[-1] + "=" + value}, set()) for line, value in VALUES]:
            os.write(master, line.encode() + b"\t")
            rest = until([line])
            shown = rest[rest.rindex(line) + len(line):]
            end = time.monotonic() + 20 * SLOW
            while not all(word in shown for word in wanted):
                assert time.monotonic() < end, (line, wanted, shown)
                if ready(master, 1, 2):
                    shown += os.read(master, 65536).decode(errors="replace")
                else:  # typed before zsh was ready for it
                    os.write(master, b"\t")
            assert not [word for word in never if re.search(r"(?<!\S)" + re.escape(word) + r"(?!\S)", shown)], (line, shown)
            os.write(master, b"\x15\r")
            until(["READY>"])
    finally:
        shell.kill()
        shell.wait()
        os.close(master)


# --------------------------------------------------------------------------------------------- actions and parameters

def listed(*arguments):
    return subprocess.run([program("infinihost"), "actions", *arguments], capture_output=True, text=True, timeout=20, check=True).stdout.split()


def protocol_rows():
    """Name of an action: the names that stand in the column of its parameters."""
    with open(os.path.join(ROOT, "transport", "PROTOCOL.md"), encoding="utf-8") as file:
        rows = [line.split("|") for line in file if re.match(r"\| `[A-Z]", line)]
    return {name: re.findall(r"`([a-z_]+)(\??)`", row[2]) for row in rows if len(row) > 3 for name in re.findall(r"`([A-Z]\w+)`", row[1])}


def story_the_actions_offered_are_those_of_agent_and_protocol():
    table = schema.actions_of_the_table()
    assert len(table) > 40 and set(listed()) == table, table ^ set(listed())
    rows = protocol_rows()
    for action in listed():
        mine = {word.split("=")[0] for word in listed(action)}
        theirs = rows.get(action)
        if theirs is None:
            assert action in ("Status",), f"{action} is in no table of PROTOCOL.md"
            continue
        assert mine <= {name for name, _ in theirs}, (action, mine, theirs)
        assert {name for name, optional in theirs if optional} <= mine, (action, mine, theirs)
    assert subprocess.run([program("infinihost"), "actions", "NoSuch"], capture_output=True, check=False, timeout=20).returncode == 1


def story_parameters_that_are_unknown_are_said():
    for words, said in ((["ProcessTop", "bogus=1"], "ProcessTop has no parameter bogus (it has limit, sort_by)"), (["ProcessTop", "limt=1", "sort_by=cpu"], "no parameter limt"),
                        (["SystemInfo", "x=1"], "SystemInfo has no parameter x (it has none)"), (["ProcesTop"], "perhaps ProcessTop"), (["Bogus", "a=1"], "Bogus: not known here"),
                        (["ProcessTop", "limit=1"], None), (["ServiceControl", 'params={"service":"x"}'], None)):
        done = subprocess.run([program("infinihost"), "-c", "/no/such", "run", *words], capture_output=True, text=True, timeout=20, check=False)
        lines = [line for line in done.stderr.splitlines() if "/no/such" not in line]
        assert (len(lines) == 1 and said in lines[0]) if said else not lines, (words, lines)


# ------------------------------------------------------------------------------------------------------------- tables

def at_width(columns, argv):
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    process = subprocess.Popen(argv, stdin=slave, stdout=slave, stderr=subprocess.DEVNULL, env=ENV)
    os.close(slave)
    shown = b""
    try:
        while ready(master, 1, 20 * SLOW):
            data = os.read(master, 65536)
            if not data:
                break
            shown += data
    except OSError:  # EIO: it has ended
        pass
    finally:
        process.wait(20 * SLOW)
        os.close(master)
    return shown.decode().replace("\r\n", "\n").splitlines()


SAMPLE = {"type": "metrics", "timestamp": "2026-01-02T03:04:05.678Z", "seq": 1, "boot_id": "b", "gap": "the agent was started", "data": {"system": {
    "cpu": {"usage_percent": 12.5}, "memory": {"used_kb": 1000000, "total_kb": 2000000, "swap_used_kb": 5}, "load_average": {"load_1min": 0.25},
    "disk": {"io_stats": {"read_bytes_per_sec": 1e6, "write_bytes_per_sec": 2e6}}, "network": {"interfaces": [{"bytes_received": 5, "bytes_sent": 6}]}}}}


def story_tables_show_the_columns_that_fit_the_terminal():
    directory = tap.keep(tempfile.TemporaryDirectory(prefix="infini-"))
    log, sock = os.path.join(directory, "log"), os.path.join(directory, "sock")
    with open(log, "w", encoding="utf-8") as file:
        file.write(json.dumps(SAMPLE, separators=(",", ":")) + "\n")
    row = {"id": "a-long-id-0123456789-0123456789", "action": "CheckResourceOptimization", "state": "running", "origin": "uid 1000", "age_ms": 123456, "pid": 1234567, "bytes": 123456}
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    listener.bind(sock)
    listener.listen(4)
    threading.Thread(target=answer_status, args=(listener, [row, {**row, "id": "b"}]), daemon=True).start()
    seen = {}
    for columns in (20, 27, 40, 60, 80, 90, 100, 120, 200):
        lines = at_width(columns, [program("infinictl"), "log", "--utc", log])
        heading = [line for line in lines if line.startswith("time")][0]
        seen[columns] = heading.split()
        assert all(len(line) <= max(columns, 19) for line in lines), (columns, lines)
        assert lines[-1].startswith("2026-01-02 03:04:05") and any("gap: " in line for line in lines), lines
        lines = at_width(columns, [program("infinictl"), "ps", "--socket", sock])
        assert len(lines) == 3 and all(len(line) <= max(columns, 44) for line in lines), (columns, lines)
        assert "running" in lines[1] and "CheckRes" in lines[1], lines
    assert seen[80] == ["time", "cpu%", "mem%", "read/s", "write/s", "rx/s", "tx/s", "load"], seen[80]
    assert len(seen[90]) == 10 and seen[100] == seen[90] + ["steal%"] and seen[200] == seen[90] + ["steal%", "wait%", "disk%", "p.cpu", "p.mem", "p.io"] and seen[27] == ["time", "cpu%"] and seen[40] == ["time", "cpu%", "mem%", "load"], seen
    assert all(len(seen[a]) <= len(seen[b]) for a in seen for b in seen if a < b), seen
    piped = subprocess.run([program("infinictl"), "log", "--utc", log], capture_output=True, text=True, timeout=20, check=True).stdout
    assert piped.splitlines()[0].split() == seen[200] and piped.splitlines()[1].endswith("gap: the agent was started"), piped
    listener.close()


def answer_status(listener, rows):
    while True:
        try:
            client, _ = listener.accept()
        except OSError:
            return
        with client:
            found = re.search(r'"id":"([^"]+)"', client.recv(4096).decode())
            client.sendall(json.dumps({"type": "response", "id": found.group(1), "success": True, "data": {"commands": {"list": rows}}}).encode() + b"\n")


if __name__ == "__main__":
    tap.main(globals())
