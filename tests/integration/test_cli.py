#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""What a person types, and what the program says when it is wrong: file, line and key by name, exit code 2."""
import os
import re
import signal
import socket
import subprocess
import tempfile
import time

import tap
from fakehost import ROOT, Agent, TimeOut, program, stat_fields, talk, wait_until


def run(*arguments, name="infiniservice", env=None, timeout=20):
    return subprocess.run([program(name), *arguments], capture_output=True, text=True, timeout=timeout, check=False,
                          env={**os.environ, **(env or {})})


def check_config(text, mode=0o600):
    with tempfile.TemporaryDirectory(prefix="infini-") as directory:
        path = os.path.join(directory, "agent.conf")
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        os.chmod(path, mode)
        return path, run("--config", path, "--check-config")


def story_help_and_version_are_short_and_go_to_stdout():
    for name in ("infiniservice", "infinictl", "infinihost"):
        done = run("--help", name=name)
        assert done.returncode == 0 and name in done.stdout and not done.stderr, done
        done = run("--version", name=name)
        assert done.returncode == 0 and re.search(r"\d+\.\d+\.\d+", done.stdout) and not done.stderr, done
    for option in ("--config", "--port", "--set", "--check-config", "--once", "--verbose"):
        assert option in run("--help").stdout, option


def story_unknown_options_and_stray_words_exit_2():
    for arguments in (["--no-such-option"], ["stray"], ["--config"], ["--port"], ["--set"], ["--set", "nonsense"]):
        done = run(*arguments)
        assert done.returncode == 2 and done.stderr, (arguments, done)


def story_a_wrong_port_spec_exits_2_and_is_named():
    for spec in ("virtio:", "unix:", "carrier-pigeon", "unix:/" + "x" * 200):
        with Agent(spec, check_exit=False) as agent:
            assert agent.wait(5) == 2, (spec, agent.stderr())
            assert spec[:100] in agent.stderr(), (spec, agent.stderr())
    done = run("--port", "carrier-pigeon", "--check-config")
    assert done.returncode == 2 and "carrier-pigeon" in done.stderr, done


def story_a_bad_set_names_the_key_and_exits_2():
    for assignment, word in (("timers.metrics_interval_ms=soon", "metrics_interval_ms"), ("timers.metrics_interval_ms=1", "metrics_interval_ms"),
                             ("no.such_key=1", "no.such_key"), ("log.compress=rar", "compress"),
                             ("commands.allow_unsafe=perhaps", "allow_unsafe"), ("log.max_total_bytes=64K", "max_total_bytes")):
        done = run("--set", assignment, "--check-config")
        assert done.returncode == 2 and word in done.stderr, (assignment, done)


def story_a_bad_value_in_a_file_names_file_line_and_key():
    path, done = check_config("[timers]\n# every minute\nmetrics_interval_ms = 60000\n[log]\nsegment_bytes = 1\n")
    assert done.returncode == 2, done
    assert f"{path}:5" in done.stderr and "segment_bytes" in done.stderr, done.stderr


def story_a_line_that_is_no_assignment_names_its_line():
    path, done = check_config("[timers]\nmetrics_interval_ms = 60000\nthis is nothing\n")
    assert done.returncode == 2 and f"{path}:3" in done.stderr, done


def story_an_unknown_key_in_a_file_is_a_warning_with_its_line():
    path, done = check_config("[timers]\nmetrics_interval_ms = 60000\ncolour = green\n")
    assert done.returncode == 0 and f"{path}:3" in done.stderr and "colour" in done.stderr, done


def story_every_error_is_told_with_its_place_and_the_likely_name():
    text = "[comands]\nallow = control\n[timers]\nmetric_interval_ms = 1000\ncollect_timeout_ms = soon\n[log]\nnonsense\nsync = sometimes\n"
    path, by_agent = check_config(text)
    with tempfile.NamedTemporaryFile("w", prefix="infini-", suffix=".conf") as file:
        file.write(text)
        file.flush()
        by_tool = run("config", "check", file.name, name="infinictl")
        for name, done in ((path, by_agent), (file.name, by_tool)):
            assert done.returncode == 2 and not done.stdout, done
            for words in (f"{name}:1: there is no section [comands], perhaps [commands]", f"{name}:4: there is no key timers.metric_interval_ms, ignored; perhaps timers.metrics_interval_ms",
                          f"{name}:5: timers.collect_timeout_ms", f"{name}:7: expected", f"{name}:8: log.sync"):
                assert words in done.stderr, (words, done.stderr)
            assert len(done.stderr.splitlines()) == 5, done.stderr
    _, done = check_config("[commands]\nallow = observe ProcesKill\n")
    assert done.returncode == 2 and "commands.allow: there is no action ProcesKill" in done.stderr, done
    done = run("--set", "timers.metric_interval_ms=1000", "--set", "x=1", "--check-config")
    assert done.returncode == 2 and "perhaps timers.metrics_interval_ms" in done.stderr, done


def story_a_file_that_cannot_be_read_is_a_failure_and_what_is_wrong_in_one_wrong_use():
    directory = tap.keep(tempfile.TemporaryDirectory(prefix="infini-"))
    path = {name: os.path.join(directory, name) for name in ("absent", "directory", "FIFO", "socket", "loop", "below", "wrong", "long", "open", "unknown")}
    os.mkdir(path["directory"])
    os.mkfifo(path["FIFO"])
    with socket.socket(socket.AF_UNIX) as unix:
        unix.bind(path["socket"])
    os.symlink("loop", path["loop"])
    path["below"] = os.path.join(path["wrong"], "x")
    for name, text in (("wrong", "[log\n"), ("long", "#" * 1100000), ("open", ""), ("unknown", "[metrics]\nx = 1\n[log]\nflavour = none\n")):
        with open(path[name], "w", encoding="ascii") as file:
            file.write(text)
    os.chmod(path["open"], 0o666)
    unread = {"absent": "No such file", "directory": "not a regular file", "FIFO": "not a regular file", "socket": "not a regular file",
              "loop": "symbolic links", "below": "Not a directory"}
    for name in path:
        by_tool = run("config", "check", path[name], name="infinictl")
        by_agent = run("--config", path[name], "--check-config")
        want = (1, 2) if name in unread else (0, 0) if name == "unknown" else (2, 2)
        assert (by_tool.returncode, by_agent.returncode) == want, (name, by_tool, by_agent)
        for done in (by_tool, by_agent):
            assert path[name] in done.stderr and unread.get(name, "") in done.stderr and len(done.stderr.splitlines()) == 1 + (name == "unknown"), (name, done)
        assert name != "unknown" or by_tool.stderr.count("warning: ") == 2, by_tool
    for name in ("directory", "FIFO", "socket", "wrong", "long", "open"):  # the service manager does not start it again then
        done = run("--config", path[name], "--port", "none")
        assert done.returncode == 2, (name, done)


def story_a_likely_mistake_keeps_no_agent_from_starting():
    agent = tap.keep(Agent("none", config="[comands]\nallow = power\n[timers]\nmetric_interval_ms = 100\n"))
    wait_until(lambda: "perhaps timers.metrics_interval_ms" in agent.stderr(), 5)
    assert "perhaps [commands]" in agent.stderr() and agent.alive()
    done = subprocess.run([program("infiniservice"), "--config", agent.path("agent.conf"), "--once"], capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 0 and "perhaps [commands]" in done.stderr, done


def story_config_show_says_where_each_value_was_set():
    with tempfile.TemporaryDirectory(prefix="infini-") as directory:
        path = os.path.join(directory, "my.conf")
        with open(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600), "w", encoding="utf-8") as file:
            file.write("[log]\nenabled = no\n\n[commands]\nallow = observe,\n  control\n[loq]\n")
        done = run("config", "show", path, name="infinictl", env={"STATE_DIRECTORY": directory})
        lines = done.stdout.splitlines()
        assert done.returncode == 0 and f"warning: {path}:7: there is no section [loq]" in done.stderr, done
        for place, line in ((f"# {path}:2", "enabled = no"), (f"# {path}:5", "allow = observe control"), ("# $STATE_DIRECTORY", f"state_dir = {directory}")):
            assert lines[lines.index(line) - 1] == place, (line, done.stdout)
        assert sum(line.startswith("#") for line in lines) == 3, lines  # what has none is a default
        again = os.path.join(directory, "again.conf")
        with open(os.open(again, os.O_WRONLY | os.O_CREAT, 0o600), "w", encoding="utf-8") as file:
            file.write(done.stdout)
        second = run("config", "show", again, name="infinictl")
        assert [line for line in second.stdout.splitlines() if line[:1] != "#"] == [line for line in lines if line[:1] != "#"], second
        assert not second.stderr, second
        assert run("config", "show", os.path.join(directory, "none.conf"), name="infinictl").returncode == 1


def story_a_good_file_passes():
    path, done = check_config("[timers]\nmetrics_interval_ms = 60000\n[commands]\nallow = observe, control\n[log]\nsegment_bytes = 1M\n")
    assert done.returncode == 0, (path, done)


def story_the_example_file_passes():
    path = os.path.join(ROOT, "packaging/infiniservice.conf")
    if not os.path.exists(path):
        raise tap.Skip("packaging/infiniservice.conf is not there")
    with open(path, encoding="utf-8") as file:
        _, done = check_config(file.read())
    assert done.returncode == 0 and not done.stderr, done


def story_a_missing_or_writable_config_file_exits_2_and_is_named():
    done = run("--config", "/no/such/agent.conf", "--check-config")
    assert done.returncode == 2 and "/no/such/agent.conf" in done.stderr, done
    path, done = check_config("[timers]\n", mode=0o666)
    assert done.returncode == 2 and path in done.stderr, done


def story_a_second_agent_on_the_same_state_exits_1_and_names_the_first():
    agent = tap.keep(Agent("none"))
    wait_until(agent.has_logged, 5)
    other = Agent("none", directory=agent.directory)
    done = subprocess.run(other.argv(), capture_output=True, text=True, timeout=10, check=False, env=agent.env)
    assert done.returncode == 1, done
    assert str(agent.pid) in done.stderr, done.stderr
    assert agent.alive()


def story_after_a_kill_the_state_is_free_at_once():
    with tempfile.TemporaryDirectory(prefix="infini-") as directory:
        agent = Agent("none", directory=directory, check_exit=False)
        with agent:
            wait_until(agent.has_logged, 5)
            agent.kill()
            with Agent("none", directory=directory) as second:
                time.sleep(0.5)
                assert second.alive(), second.stderr()


def story_int_and_term_both_end_it_cleanly():
    for number in (signal.SIGINT, signal.SIGTERM):
        agent = tap.keep(Agent("none"))
        wait_until(agent.has_logged, 5)
        agent.process.send_signal(number)
        assert agent.wait(5) == 0, agent.stderr()


def story_a_signal_during_the_start_is_not_lost():
    for wait in (0, 0.001, 0.003, 0.01, 0.02, 0.05):
        agent = tap.keep(Agent("none", check_exit=False))
        time.sleep(wait)
        agent.process.send_signal(signal.SIGTERM)
        assert agent.wait(10) in (0, -signal.SIGTERM), agent.process.returncode


def story_messages_to_stderr_carry_a_priority_for_the_journal():
    agent, host = talk(tap.keep, {"agent.log_level": "debug"})
    host.ask("SystemInfo")
    agent.stop()
    lines = agent.stderr().splitlines()
    assert lines and all(re.match(r"<[0-7]>\S", line) for line in lines), [x for x in lines if not re.match(r"<[0-7]>\S", x)][:3]


def story_nothing_is_written_outside_the_directories_given():
    agent, host = talk(tap.keep, {"commands.allow_unsafe": "yes"})
    host.run("true")
    agent.stop()
    allowed = {"agent.conf", "stderr", "state", "run", "log", "agent.sock"}
    assert set(os.listdir(agent.directory)) <= allowed, os.listdir(agent.directory)
    for path in ("/var/lib/infiniservice", "/run/infiniservice", "/var/log/infiniservice"):
        assert not os.path.exists(path) or os.stat(path).st_mtime < time.time() - 30, path


def story_once_says_which_collector_was_left_out():
    tap.need_root()
    for file, name in (("/proc/stat", "cpu"), ("/proc/meminfo", "memory")):
        done = subprocess.run(["unshare", "-m", "sh", "-c", 'mount --bind /dev/null "$1" && exec "$2" --once', "sh", file, program("infiniservice")],
                              capture_output=True, text=True, timeout=30, check=False)
        assert done.returncode == 0 and done.stdout.startswith("{"), done
        assert f"infiniservice: left out: {name}: " in done.stderr, (file, done.stderr)
    done = run("--once")
    assert done.returncode == 0 and "left out" not in done.stderr, done


def story_infinihost_says_what_is_wrong():
    for arguments, code in ((["watch"], 2), (["dance"], 2), ([], 2), (["--connect", "/no/such/socket", "watch"], 4),
                            (["--connect", "/no/such/socket", "run"], 2), (["--timeout", "soon", "ping"], 2),
                            (["--connect", "/x", "--listen", "/y", "ping"], 2), (["--connect", "/" + "x" * 200, "ping"], 4)):
        done = run(*arguments, name="infinihost")
        assert done.returncode == code and done.stderr.startswith("infinihost: "), (arguments, done)


def story_infinihost_gives_up_in_its_time_when_nobody_answers():
    path = tempfile.mktemp(prefix="infini-")
    begun = time.monotonic()
    done = run("--listen", path, "--timeout", "0.5", "run", "SystemInfo", name="infinihost")
    assert done.returncode == 5 and 0.4 < time.monotonic() - begun < 3, done
    assert not os.path.exists(path), "the socket was left behind"


def story_the_demo_shows_the_conversation_and_leaves_nothing():
    before = set(os.listdir("/tmp"))
    done = run("demo", "--duration", "4", "--", program("infiniservice"), name="infinihost", timeout=40)
    assert done.returncode == 0, done
    types = [line.split()[0] for line in done.stdout.splitlines()]
    assert types[0] == "handshake" and "metrics" in types and "response" in types, types
    left = [name for name in set(os.listdir("/tmp")) - before if name.startswith("infiniservice-")]
    assert not left, left


def story_the_demo_ends_cleanly_at_an_interrupt():
    process = subprocess.Popen([program("infinihost"), "demo", "--", program("infiniservice")], stdout=subprocess.PIPE,
                               stderr=subprocess.PIPE, text=True)
    assert process.stdout.readline().startswith("handshake")
    agents = [int(pid) for pid in os.listdir("/proc") if pid.isdigit() and (stat_fields(pid) or [0, 0])[1] == str(process.pid).encode()]
    assert len(agents) == 1, agents
    process.send_signal(signal.SIGINT)
    try:
        process.communicate(timeout=20)
    except subprocess.TimeoutExpired:
        process.kill()
        raise TimeOut("the demo did not end") from None
    assert process.returncode == 0
    assert stat_fields(agents[0]) is None


def story_the_demo_reports_an_agent_that_cannot_start():
    done = run("demo", "--duration", "3", "--", "/bin/false", name="infinihost", timeout=40)
    assert done.returncode == 1 and "exited with 1" in done.stderr, done


tap.main(globals())
