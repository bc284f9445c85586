#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""The audit record: before and after each command, without its secrets, in the journal or in a file, and readable with infinictl."""
import json
import os
import signal
import subprocess
import tempfile
import time

import tap
from fakehost import Agent, UnixHost, children_of, program, talk, wait_until
from localclient import LocalClient

UNSAFE = {"commands.allow_unsafe": "yes"}


def need_no_journal():
    if os.path.exists("/run/systemd/journal/socket"):
        raise tap.Skip("a journal takes the records")


def records(agent):
    try:
        with open(agent.path("state/audit.ndjson"), encoding="ascii") as file:
            return [json.loads(line) for line in file if line.endswith("\n")]
    except FileNotFoundError:
        return []


def record_of(agent, command_id, phase):
    return wait_until(lambda: [r for r in records(agent) if r["id"] == command_id and r["phase"] == phase], 3,
                      f"the record of {command_id} {phase}")[0]


def story_a_command_is_recorded_before_it_runs_and_after():
    need_no_journal()
    agent, host = talk(tap.keep, UNSAFE)
    target = host.unsafe("sleep 0.6; exit 5", timeout=10)
    started = record_of(agent, target, "started")
    assert started["action"] == "unsafe" and started["origin"] == "host" and started["detail"] == "sleep 0.6; exit 5", started
    assert not [r for r in records(agent) if r["id"] == target and r["phase"] == "finished"]
    host.response(target)
    finished = record_of(agent, target, "finished")
    assert finished["success"] is False and finished["exit_code"] == 5 and finished["error_code"] == "COMMAND_FAILED", finished
    assert 500 <= finished["duration_ms"] < 5000
    assert os.stat(agent.path("state/audit.ndjson")).st_mode & 0o777 == 0o640


def story_refusals_and_reads_are_recorded_too():
    need_no_journal()
    agent, host = talk(tap.keep)
    host.run("echo forbidden", command_id="denied")
    host.ask("ProcessTop", command_id="read", limit=3)
    host.send({"type": "keep_alive_request", "sequence_number": 1, "timestamp": "2026-01-01T00:00:00.000Z"})
    host.send({"type": "Status", "id": "state"})
    host.response("state")
    refused = record_of(agent, "denied", "refused")
    assert refused["error_code"] == "POLICY_DENIED" and "forbidden" in refused["detail"], refused
    started = record_of(agent, "read", "started")
    assert started["action"] == "ProcessTop" and json.loads(started["detail"]) == {"action": "ProcessTop", "limit": 3}, started
    assert record_of(agent, "read", "finished")["success"] and record_of(agent, "state", "finished")["success"]
    assert {r["id"] for r in records(agent)} == {"denied", "read", "state"}, "a keep-alive is no command"


def story_reads_are_not_recorded_where_that_is_switched_off():
    need_no_journal()
    agent, host = talk(tap.keep, {"commands.audit_reads": "no", **UNSAFE})
    host.ask("SystemInfo", command_id="read")
    host.run("true", command_id="runs")
    record_of(agent, "runs", "finished")
    assert not [r for r in records(agent) if r["id"] == "read"]


def story_a_flood_of_reads_pushes_nothing_else_out_of_the_record():
    need_no_journal()
    agent, host = talk(tap.keep, UNSAFE)
    ids = [host.command("SystemInfo", command_id=f"flood{i}") for i in range(3000)]
    target = host.unsafe("exit 3", command_id="among them")
    host.responses([*ids, target])
    assert record_of(agent, target, "started") and record_of(agent, target, "finished")["exit_code"] == 3
    found = [r for r in records(agent) if r["id"].startswith("flood")]
    begun, ended = ({r["id"] for r in found if r["phase"] == phase} for phase in ("started", "finished"))
    assert begun == ended and 20 <= len(begun) < 1500, (len(begun), len(ended))
    time.sleep(0.5)  # to ask for the count is a read as well, and is not to be one that is left out
    host.send({"type": "Status", "id": "st"})
    audit = host.response("st")["data"]["audit"]
    assert audit["reads_left_out"] == 3000 - len(begun), (audit, len(begun))


def writer_of(agent):
    """The child that writes the file."""
    return wait_until(lambda: [pid for pid in children_of(agent.pid) if name_of(pid).startswith("infini-audit")], 5, "the writer")[0]


def story_a_refused_flood_costs_no_record_of_what_changed_something():
    need_no_journal()
    agent, host = talk(tap.keep, {**UNSAFE, "commands.queue_size": 1000})
    client = tap.keep(LocalClient(agent))
    host.run("true", command_id="first")
    writer = writer_of(agent)
    os.kill(writer, signal.SIGSTOP)  # a frozen disk; what it has not read stands in its socket, and that is soon full
    try:
        changed, refused = [], 0
        for i in range(60):
            for channel in (host, client):
                for _ in range(50):
                    channel.command("PackageInstall", package="x" * 200)
                    refused += 1
            changed.append(host.unsafe(f"true {'y' * 900}"))
            host.pump()
            client.pump()
        assert all(answer["success"] for answer in responses_among(host, changed, 60))
        host.in_step(1)
    finally:
        os.kill(writer, signal.SIGCONT)

    def all_there():
        phases = {(r["id"], r["phase"]) for r in records(agent)}
        return all((name, phase) in phases for name in changed for phase in ("started", "finished"))

    def all_counted():
        told = [r for r in records(agent) if r["phase"] == "refused"]
        return sum(r.get("count", 1) for r in told) + audit_state(host)["lost"] >= refused

    wait_until(all_there, 20, "every record of what changed something")
    wait_until(all_counted, 10, "every refusal, or its count")
    counts = [r for r in records(agent) if "count" in r]
    assert {r["origin"] for r in counts} == {"host", f"uid {os.geteuid()}" if os.geteuid() == 0 else "users"}, counts
    assert len([r for r in records(agent) if r["phase"] == "refused"]) < refused / 4, "a flood is counted, not written down"


def responses_among(host, ids, timeout):
    """The responses to these, with others between them."""
    waiting, found = set(ids), []
    while waiting:
        message = host.expect("response", timeout)
        if message["id"] in waiting:
            waiting.discard(message["id"])
            found.append(message)
    return found


def audit_state(host):
    name = host.new_id()
    host.send({"type": "Status", "id": name})
    return host.response(name)["data"]["audit"]


def story_a_flood_of_questions_that_fail_at_once_is_counted_not_written_down():
    """They take a slot, but not for long."""
    need_no_journal()
    agent, host = talk(tap.keep, UNSAFE)
    client = tap.keep(LocalClient(agent))
    for channel in (host, client):
        for _ in range(300):
            channel.command("GetApplicationDetails", app_id="--no-such--")
        responses_among(channel, [], 1)
    assert host.run("true", command_id="mine")["success"]
    record_of(agent, "mine", "finished")
    took = [r for r in records(agent) if r["action"] == "GetApplicationDetails"]
    assert 0 < len(took) < 300, len(took)
    assert audit_state(host)["reads_left_out"] > 300


def story_the_words_of_each_program_are_recorded_before_it_runs():
    need_no_journal()
    if not os.path.exists("/usr/bin/dpkg-query"):
        raise tap.Skip("this machine has no dpkg")
    agent, host = talk(tap.keep)
    host.ask("PackageSearch", command_id="words", timeout=60, query="libstdc++6 gnu")
    finished = record_of(agent, "words", "finished")
    mine = [r for r in records(agent) if r["id"] == "words"]
    assert [r["phase"] for r in mine] == ["started", "program", "program", "finished"], mine
    assert mine[1]["detail"].startswith("/usr/bin/dpkg-query -W -f '${Package}\\t") and mine[1]["detail"].endswith("' --"), mine[1]
    assert mine[2]["detail"] == "/usr/bin/apt-cache search --full -- 'libstdc\\+\\+6' gnu", mine[2]
    assert finished["success"]
    _, out, _ = infinictl(agent, "audit", "--id", "words")
    assert "program host PackageSearch words /usr/bin/apt-cache search --full -- " in out, out


def story_secrets_are_in_no_record_and_in_no_message_of_the_agent():
    need_no_journal()
    agent, host = talk(tap.keep, UNSAFE)
    lines = ["mysql -uroot -phunter2 -e 'select 1'", "export DB_PASSWORD=hunter2; true", "curl -H 'Authorization: Bearer hunter2' x",
             "true --password hunter2", 'true --token="hunter2 and more"', "git clone https://me:hunter2@example.org/x",
             "echo root:hunter2 | chpasswd", "API_KEY=hunter2 true"]
    for i, line in enumerate(lines):
        host.run(line, timeout=2, command_id=f"s{i}", env_vars={"HIDDEN_TOKEN": "hunter2"})
        record_of(agent, f"s{i}", "finished")
    host.send({"type": "SafeCommand", "id": "join", "params": None,
               "command_type": {"action": "JoinDomain", "domain": "d", "password": "hunter2", "nested": {"secretKey": "hunter2"}}})
    host.response("join")
    assert "***" in record_of(agent, "join", "refused")["detail"]
    for name in ("state/audit.ndjson", "stderr"):
        with open(agent.path(name), encoding="utf-8") as file:
            text = file.read()
        assert "hunter2" not in text, [line for line in text.splitlines() if "hunter2" in line]


def story_scripts_are_recorded_by_name_and_not_by_text():
    need_no_journal()
    agent, host = talk(tap.keep, UNSAFE)
    host.send({"type": "pending_scripts_response", "scripts": [
        {"execution_id": "x1", "script_name": "Clean up", "script_content": "true # hunter2", "shell": "bash",
         "input_values": {"key": "hunter2"}}]})
    host.expect("script_completion")
    assert record_of(agent, "x1", "started")["detail"] == "Clean up (bash)"
    record_of(agent, "x1", "finished")
    with open(agent.path("state/audit.ndjson"), encoding="ascii") as file:
        assert "hunter2" not in file.read()


def story_hostile_text_in_a_record_is_one_valid_line():
    need_no_journal()
    agent, host = talk(tap.keep, UNSAFE)
    evil = "true # \n\x1b[31m\u2028 \U0001f427 \" \\ " + "x" * 100000
    host.run(evil, command_id="evil\n\x1b id")
    record = record_of(agent, "evil\n\x1b id", "started")
    assert record["detail"].startswith("true # ") and len(record["detail"]) <= 1024
    with open(agent.path("state/audit.ndjson"), "rb") as file:
        recorded = file.read()
    assert len(recorded) > 1000 and all(byte in (10,) or 32 <= byte < 127 for byte in recorded)


def story_a_lost_writer_is_replaced_and_what_it_did_not_get_is_counted():
    need_no_journal()
    agent, host = talk(tap.keep, UNSAFE)
    host.run("true", command_id="first")
    record_of(agent, "first", "finished")
    writer = [pid for pid in agent.children() if name_of(pid) == "infini-audit"]
    assert len(writer) == 1
    os.kill(writer[0], 9)
    time.sleep(0.3)
    for i in range(4):
        assert host.run("true", command_id=f"lost{i}")["success"]
    host.send({"type": "Status", "id": "st"})
    assert host.response("st")["data"]["audit"]["lost"] >= 1
    wait_until(lambda: host.run("true", command_id=f"n{time.monotonic()}") and
               [pid for pid in agent.children() if name_of(pid) == "infini-audit"], 15, "a new writer", 1)


def name_of(pid):
    try:
        with open(f"/proc/{pid}/comm", encoding="utf-8") as file:
            return file.read().strip()
    except OSError:
        return ""


# ----------------------------------------------------------------------------------------------------------- infinictl

def infinictl(agent, *arguments):
    done = subprocess.run([program("infinictl"), *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, timeout=20,
                          check=False, env={**os.environ, "STATE_DIRECTORY": agent.path("state")}, encoding="utf-8")
    return done.returncode, done.stdout, done.stderr


def story_infinictl_audit_prints_what_was_recorded():
    need_no_journal()
    agent, host = talk(tap.keep, UNSAFE)
    host.run("echo \x1b[31mred; exit 2", command_id="ctl-1")
    host.run("echo two", command_id="ctl-2")
    record_of(agent, "ctl-2", "finished")
    code, out, err = infinictl(agent, "audit")
    assert code == 0, err
    assert "ctl-1" in out and "ctl-2" in out and "COMMAND_FAILED" in out and "\x1b" not in out, out
    code, out, err = infinictl(agent, "audit", "--json", "--lines", "2")
    lines = [json.loads(line) for line in out.splitlines()]
    assert code == 0 and [line["id"] for line in lines] == ["ctl-2", "ctl-2"], (lines, err)
    code, out, err = infinictl(agent, "audit", "--id", "ctl-1", "--json")
    assert [json.loads(line)["phase"] for line in out.splitlines()] == ["started", "finished"]


def story_infinictl_ps_shows_what_runs_and_what_waits():
    agent, host = talk(tap.keep, {**UNSAFE, "commands.max_concurrent": 1})
    running = host.unsafe("echo 12345; sleep 2", timeout=20, command_id="long one")
    host.unsafe("true", timeout=20, command_id="waits")
    host.in_step()
    time.sleep(0.3)
    code, out, err = infinictl(agent, "ps", "--socket", agent.settings["socket.path"])
    assert code == 0, err
    lines = [line for line in out.splitlines() if "unsafe" in line]
    assert len(lines) == 2 and "long one" in lines[0] and "running" in lines[0] and "queued" in lines[1], out
    code, out, _ = infinictl(agent, "ps", "--json", "--socket", agent.settings["socket.path"])
    rows = json.loads(out)
    assert rows[0]["id"] == "long one" and rows[0]["bytes"] == 6 and rows[0]["pid"] > 1, rows
    assert rows[0]["age_ms"] >= 300 and rows[0]["origin"] == "host" and rows[1]["pid"] is None
    assert "12345" not in out
    host.response(running)
    host.response("waits")
    assert json.loads(infinictl(agent, "ps", "--json", "--socket", agent.settings["socket.path"])[1]) == []


def story_looks_of_infinictl_hide_nothing_of_what_a_host_did():
    need_no_journal()
    agent, host = talk(tap.keep, UNSAFE)
    host.run("true", command_id="before")
    host.send({"type": "Status", "id": "infinictl-1"})  # a host's own, whatever it is called
    host.response("infinictl-1")
    host.run("exit 3", command_id="broken")
    host.ask("NoSuchAction", command_id="refused")
    for _ in range(60):
        assert infinictl(agent, "status", "--socket", agent.settings["socket.path"])[0] == 0
        time.sleep(0.06)  # of more than 20 reads a second the agent records some only
    record_of(agent, "refused", "refused")
    shown = [json.loads(line) for line in infinictl(agent, "audit", "--json")[1].splitlines()]
    assert {r["id"] for r in shown} == {"before", "infinictl-1", "broken", "refused"}, shown
    assert all(r["origin"] == "host" for r in shown)
    looks = [json.loads(line) for line in infinictl(agent, "audit", "--json", "--all", "--lines", "1000")[1].splitlines()]
    assert 60 < len([r for r in looks if r["origin"].startswith("uid ")]) <= 120, len(looks)


def story_infinictl_audit_shows_a_span_an_origin_and_what_failed():
    directory = tap.keep(tempfile.TemporaryDirectory(prefix="infini-"))
    lines = []
    for minute, (origin, phase, success) in enumerate((("host", "finished", True), ("uid 1000", "finished", False), ("host", "refused", None), ("uid 10", "started", None),
                                                       ("hostile", "finished", False))):
        record = {"type": "audit", "timestamp": f"2026-01-02T03:{minute:02}:00.000Z", "phase": phase, "id": str(minute), "action": "x", "origin": origin}
        lines.append(json.dumps(record if success is None else {**record, "success": success}) + "\n")
    with open(os.path.join(directory, "audit.ndjson"), "w", encoding="utf-8") as file:
        file.writelines(lines)

    def ids(*arguments):
        done = subprocess.run([program("infinictl"), "audit", "--json", *arguments], capture_output=True, text=True, timeout=20, check=True,
                              env={**os.environ, "STATE_DIRECTORY": directory})
        return "".join(json.loads(line)["id"] for line in done.stdout.splitlines())

    for arguments, want in (([], "01234"), (["--origin", "host"], "02"), (["--origin", "uid"], "13"), (["--origin", "uid 10"], "3"), (["--failed"], "124"),
                            (["--failed", "--origin", "host"], "2"), (["--begin", "2026-01-02T03:02:00Z"], "234"), (["--end", "2026-01-02T03:02:00Z"], "01"),
                            (["--begin", "2026-01-02T03:01:00Z", "--end", "2026-01-02T03:03:00Z", "--lines", "1"], "2"), (["--id", "3"], "3"), (["--origin", "nobody"], "")):
        assert ids(*arguments) == want, (arguments, ids(*arguments))


tap.main(globals())
