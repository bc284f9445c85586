#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""infinictl top and replay as they are used: on terminals of two sizes, with an agent and without, over good logs and hostile ones."""
import json
import os
import re
import shutil
import subprocess
import tempfile
import time

import looklog
import tap
from fakehost import Agent, children_of, program, wait_until
from localclient import LocalClient
from looklog import EPOCH, HOSTILE, ctl

PATIENCE = 30


def folder():
    return tap.keep(tempfile.TemporaryDirectory(prefix="infini-"))


def at(i):
    """The time of a sample of looklog.make, as the screen says it."""
    return time.strftime("%Y-%m-%d %H:%M:%S", time.gmtime(EPOCH + i * 30)) + "Z"


class Terminal:
    """A terminal of tmux in which a command runs; what the terminal's settings were before and are behind it stands in files."""

    def __init__(self, words, columns=80, lines=24):
        if not shutil.which("tmux"):
            raise tap.Skip("tmux is not here (tools/deps.sh test)")
        self.directory = tempfile.mkdtemp(prefix="infini-")
        self.tmux = ["tmux", "-u", "-S", os.path.join(self.directory, "s"), "-f", "/dev/null"]
        command = f"cd {self.directory}; trap : INT; stty -g >before; LC_ALL=C.UTF-8 TZ=UTC {program('infinictl')} {words}; status=$?; stty -g >behind; echo \"LEFT $status\"; sleep 1000"
        subprocess.run([*self.tmux, "new-session", "-d", "-x", str(columns), "-y", str(lines), "sh", "-c", command], check=True)

    def run(self, *words):
        return subprocess.run([*self.tmux, *words], stdout=subprocess.PIPE, text=True, check=True).stdout

    def rows(self):
        return self.run("capture-pane", "-p").split("\n")

    def keys(self, *keys):
        self.run("send-keys", *keys)

    def type(self, text):
        self.run("send-keys", "-l", text)

    def shows(self, *texts, none=(), where=lambda rows: True):
        """Waits until all of them are there, each in a row, none of the others, and `where` holds for the rows, which it gives back."""
        def fits(rows):
            return all(any(text in row for row in rows) for text in texts) and not any(text in row for row in rows for text in none) and where(rows)
        try:
            return wait_until(lambda: fits(rows := self.rows()) and rows, PATIENCE, f"{texts}", 0.05)
        except Exception:
            print("\n".join("# " + row for row in self.rows() if row))
            raise

    def left(self, status):
        """It has ended with this status, and the terminal is as it was."""
        rows = self.shows(f"LEFT {status}", none=("steal", "[1 processes]"))
        settings = [open(os.path.join(self.directory, name), encoding="ascii").read() for name in ("before", "behind")]  # noqa: SIM115
        assert len(settings[0]) > 20 and settings[0] == settings[1], settings
        return rows

    def process(self):
        """The number of the process of infinictl."""
        shell = self.run("display-message", "-p", "#{pane_pid}").strip()
        with open(f"/proc/{shell}/task/{shell}/children", encoding="ascii") as file:
            return int(file.read().split()[0])

    def __enter__(self):
        return self

    def __exit__(self, *_):
        subprocess.run([*self.tmux, "kill-server"], check=False)
        shutil.rmtree(self.directory, ignore_errors=True)


def story_replay_goes_through_the_log_by_its_keys():
    log = looklog.make(folder())
    for columns, lines in ((80, 24), (200, 60)):
        with Terminal(f"replay --utc --dir {log}", columns, lines) as terminal:
            interface = ["in/s 33B  out/s 3B  eth0"]  # of its own, on a tall terminal alone
            terminal.shows(at(199), "steal 19.0", "worker", *(interface if lines == 60 else []), none=interface if lines == 24 else [])
            for keys, wanted in (("k", 198), ("k", 197), ("j", 198), ("K", 196), ("J", 198), ("H", 78), ("L", 198), ("G", 199)):
                terminal.keys(keys)
                terminal.shows(at(wanted), "%d.0%%" % (wanted % 100))
            terminal.keys("j")
            terminal.shows("this is the newest sample", at(199))
            terminal.keys("g")
            terminal.shows("go to:")
            terminal.type("2026-09-21T14:20:00Z")
            terminal.keys("Enter")
            terminal.shows(at(14), "steal 14.0")
            terminal.keys("/")
            terminal.shows("next where:")
            terminal.type("cpu.steal_percent >= 18% and cpu.usage_percent > 50")
            terminal.keys("Enter")
            terminal.shows(at(58), "58.0%")
            terminal.keys("n")
            terminal.shows(at(59), "59.0%")
            terminal.keys("n")
            terminal.shows(at(78), "78.0%")
            terminal.keys("q")
            terminal.left(0)


def story_replay_says_what_it_cannot_find():
    log = looklog.write(folder(), [looklog.sample(i, EPOCH + i * 30) for i in range(20)] + [looklog.sample(15, EPOCH + 1333 * 30)])
    with Terminal(f"replay --utc --dir {log} --begin @{EPOCH + 95}") as terminal:
        terminal.shows(at(4), "steal 4.0")
        for keys, wanted in (("G", 1333), ("k", 19), ("j", 1333), ("H", 19), ("L", 1333)):  # over eleven hours without a sample
            terminal.keys(keys)
            terminal.shows(at(wanted))
        terminal.keys("g")
        terminal.shows("go to:")
        terminal.type("@%d" % (EPOCH + 95))
        terminal.keys("Enter")
        terminal.shows(at(4), "steal 4.0")
        for asked, wanted in (("cpu.steel_percent > 1", "there is no metric"), ("cpu.steal_percent > 19", "no later sample for which it holds")):
            terminal.keys("/")
            terminal.shows("next where:")
            terminal.keys("C-u")
            terminal.type(asked)
            terminal.keys("Enter")
            terminal.shows(wanted, at(4))
        terminal.keys("g")
        terminal.shows("go to:")
        terminal.type("someday")
        terminal.keys("Enter")
        terminal.shows("someday", at(4))
        terminal.keys("g")
        terminal.shows("go to:")
        terminal.type("2020-01-01")
        terminal.keys("Enter")
        terminal.shows(at(0))
        terminal.keys("k")
        terminal.shows("this is the first sample", at(0))
        terminal.keys("q")
        terminal.left(0)


def story_lists_are_chosen_sorted_filtered_and_shown_as_a_tree():
    def change(i, message):
        message["data"]["processes"] = [{"pid": 1 + n, "ppid": n, "name": "p%02d" % n, "cpu_percent": n, "memory_kb": 5000 - n} for n in range(30)]
        message["data"]["cgroup"] = [{"path": "/system.slice", "cpu_percent": 1}, {"path": "/system.slice/ssh.service", "cpu_percent": 9}]
        return message
    log = looklog.make(folder(), count=2, change=change)
    with Terminal(f"replay --dir {log}") as terminal:
        def names(rows):
            return re.findall(r"\bp\d\d\b", "\n".join(rows))
        terminal.shows("CPU%v", where=lambda rows: names(rows)[:3] == ["p29", "p28", "p27"])
        terminal.keys("s")
        terminal.shows("MEMv", where=lambda rows: names(rows)[:3] == ["p00", "p01", "p02"])
        terminal.keys("r")
        terminal.shows("MEM^", where=lambda rows: names(rows)[:3] == ["p29", "p28", "p27"])
        terminal.keys("End")
        terminal.shows("p00", none=["p29"])
        terminal.keys("Home", "f")
        terminal.shows("rows with:", "p29")
        terminal.type("P1")
        terminal.keys("Enter")
        terminal.shows("filter: P1", where=lambda rows: names(rows) == ["p%02d" % n for n in range(19, 9, -1)])
        terminal.keys("t")
        terminal.shows(" p10", "  p11", "   p12", where=lambda rows: names(rows) == ["p%02d" % n for n in range(10, 20)])
        terminal.keys("f")
        terminal.shows("rows with: P1")
        terminal.keys("C-u", "Enter", "r", "2")
        terminal.shows("[2 control groups]", " /system.slice/ssh.service", "CPU%v")
        terminal.keys("?")
        terminal.shows("j  k ", "the next sample for which it holds", "any key goes back")
        terminal.keys("x", "3")
        terminal.shows("[3 disks]", "BUSY%v")
        terminal.keys("Tab")
        terminal.shows("[4 file systems]", "MOUNTED ON", "4.0G")
        terminal.keys("5")
        terminal.shows("[5 network]", "eth0")
        terminal.keys("q")
        terminal.left(0)


def story_the_screen_follows_the_size_of_the_terminal():
    log = looklog.make(folder(), count=3)
    with Terminal(f"replay --utc --dir {log}") as terminal:
        terminal.shows("steal 2.0", "READ", "COMMAND")
        terminal.run("resize-window", "-x", "200", "-y", "60")
        terminal.shows("in/s 33B  out/s 3B  eth0", "softirq -")
        terminal.run("resize-window", "-x", "30", "-y", "8")
        terminal.shows("PID", "NAME", at(2), none=["steal", "READ"])
        terminal.run("resize-window", "-x", "12", "-y", "4")
        terminal.shows("too small")
        terminal.run("resize-window", "-x", "80", "-y", "24")
        terminal.shows("steal 2.0", "? keys")
        terminal.keys("q")
        terminal.left(0)


def story_the_terminal_is_given_back_at_every_end():
    log = looklog.make(folder(), count=3)
    for words in (f"replay --dir {log}", f"top --dir {log}"):
        for name, status in (("TERM", 143), ("HUP", 129), ("INT", 0), ("C-c", 0)):
            with Terminal(words) as terminal:
                terminal.shows("steal 2.0")
                if name == "C-c":
                    terminal.keys(name)
                else:
                    subprocess.run(["kill", "-" + name, str(terminal.process())], check=True)
                terminal.left(status)


def listening_agent(interval_ms):
    agent = tap.keep(Agent("none", {"timers.metrics_interval_ms": interval_ms}))
    with LocalClient(agent):  # waits until it can be reached
        return agent


def story_top_shows_the_agent_as_it_samples_and_the_log_without_one():
    agent = listening_agent(500)

    def clock(terminal):
        return re.match(r"[-\d]+ [\d:]+Z", terminal.rows()[0]).group()

    def newest():
        with open(os.path.join(agent.settings["agent.runtime_dir"], "latest.json"), encoding="utf-8") as file:
            return json.load(file)["seq"]
    with Terminal(f"top --utc --socket {agent.settings['socket.path']}") as terminal:
        terminal.shows("live", "CPU%v", "infiniservice", where=lambda rows: re.search(r"CPU +\[[| ]+\] +[\d.]+%  steal", "\n".join(rows)))
        first = clock(terminal)
        wait_until(lambda: clock(terminal) > first, PATIENCE, "a later sample")
        terminal.keys("Space")
        terminal.shows("PAUSED")
        still, seq = clock(terminal), newest()
        wait_until(lambda: newest() > seq + 3, PATIENCE, "the agent has gone on")
        assert clock(terminal) == still
        terminal.keys("Space")
        terminal.shows("live")
        wait_until(lambda: clock(terminal) > still, PATIENCE, "the newest sample")
        agent.before |= set(children_of(os.getpid()))  # the server of tmux is none of the agent's
        agent.stop()
        terminal.shows("no agent")
        agent.start()
        terminal.shows("live")
        terminal.keys("q")
        terminal.left(0)


def story_top_asks_for_samples_more_often_than_the_agent_makes_them():
    agent = listening_agent(600000)
    with Terminal(f"top --utc --interval 1s --socket {agent.settings['socket.path']}") as terminal:
        terminal.shows("live", "CPU%v")
        first = terminal.rows()[0][:20]
        wait_until(lambda: terminal.rows()[0][:20] > first, PATIENCE, "a later sample")
        terminal.keys("q")
        terminal.left(0)


def story_top_follows_a_log_as_it_grows():
    outer = folder()
    now = time.time()
    log = looklog.write(os.path.join(outer, "log"), [looklog.sample(40, now - 20 + i) for i in range(10)], begin=now - 20)
    with Terminal(f"top --dir {log}") as terminal:
        terminal.shows("40.0%", "guest  the log")
        with open(os.path.join(log, os.listdir(log)[0]), "ab") as file:
            file.write(looklog.line(looklog.sample(77, now)))
        terminal.shows("77.0%", "steal 17.0")
        terminal.keys("q")
        terminal.left(0)


def story_a_hostile_log_is_shown_as_far_as_it_can_be():
    outer = folder()
    for name, (_, said) in HOSTILE.items():
        log = looklog.write_hostile(outer, name)
        with Terminal(f"replay --utc --dir {log}") as terminal:
            terminal.run("select-pane", "-T", "untouched")
            terminal.shows("CPU ", "[1 processes]")
            for key in "12345":
                terminal.keys(key)
                terminal.shows("[" + key)
            assert terminal.run("display-message", "-p", "#{pane_title}").strip() == "untouched", name
            if name == "escapes":
                terminal.shows("?]0;x?<script>")
            terminal.keys("q")
            terminal.shows("LEFT 0", *(["left out: damaged lines"] if said else []))


def story_without_a_terminal_they_say_so():
    log = looklog.make(folder(), count=2)
    for words in (["replay", "--dir", log], ["top", "--dir", log]):
        done = ctl(*words)
        assert done.returncode == 1 and b"no terminal" in done.stderr and not done.stdout, done
        shown = looklog.on_terminal(words, env={"TERM": "no-such-terminal"})
        assert not "".join(shown).strip(), shown
    assert ctl("replay", "--dir", "/no/such").returncode == 1
    done = ctl("top", "--socket", "/no/such/socket")
    assert done.returncode == 1 and (b"/no/such/socket" in done.stderr or b"no terminal" in done.stderr), done
    assert b"has no sample" in ctl("replay", "--dir", folder()).stderr
    for wrong in (["top", "file"], ["top", "--interval", "0.1s"], ["top", "--interval", "x"], ["top", "--begin", "today"], ["replay", "--begin", "someday"], ["replay", "--dir", log, "file"],
                  ["top", "--dir", log, "--interval", "2s"]):
        assert ctl(*wrong).returncode == 2, wrong


if __name__ == "__main__":
    tap.main(globals())
