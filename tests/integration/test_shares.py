#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Who has what share: a crowd of each kind (the host, root, ordinary users) against what the others have, and what those lose: nothing."""
import fnmatch
import json
import os
import socket
import tempfile
import time

import tap
from aptcache import keep_cache
from crowds import FIRST_UID, Machine, Member, answers_so_far, open_to_all
from fakehost import Agent, UnixHost, memory_kb, talk, wait_until
from localclient import LocalClient
from pastlog import fill_log, log_lines

# Samples of 4 kB, not of 16: what counts is how many there are, and their bytes still are more than any socket and queue holds.
SMALL = {"collectors.processes_top": 2, "collectors.ports_max": 2}
FEW = {"commands.max_concurrent": 2, "commands.queue_size": 3}


def marked(host, count, name, machine):
    """Commands of the host that run until `name` is let go."""
    return [host.unsafe(f"echo begun >>{machine.agent.path(name)}; until test -e {machine.agent.path(name)}-go; do sleep 0.05; done", 120)
            for _ in range(count)]


def begun(machine, name):
    try:
        with open(machine.agent.path(name), encoding="ascii") as file:
            return len(file.read().splitlines())
    except FileNotFoundError:
        return 0


def let(machine, name):
    with open(machine.agent.path(name + "-go"), "w", encoding="ascii"):
        pass


# ------------------------------------------------------------------------------------------------- slots and the queue

def story_a_crowd_of_users_takes_no_slot_and_no_place_of_the_host():
    machine = Machine(FEW)
    crowd = machine.crowd(10)
    for client in crowd:
        client.ask_many(14)  # 140 in all
    wait_until(lambda: machine.commands()["local_queued"] == 16, 10, "a full queue of the users'")
    held = marked(machine.host, 5, "host", machine)
    wait_until(lambda: begun(machine, "host") == 2, 10, "both slots of the host at work")
    state = machine.commands()
    assert (state["local_running"], state["running"], state["queued"] - state["local_queued"]) == (1, 3, 3), state
    one_more = machine.host.run("true")
    assert one_more["error_code"] == "QUEUE_FULL", one_more
    let(machine, "host")
    assert all(answer["success"] for answer in machine.host.responses(held, 20))
    assert len(machine.ran()) == 1, machine.ran()
    machine.let_go()


def story_a_host_that_has_all_its_slots_at_work_leaves_local_clients_theirs():
    machine = Machine(FEW)
    held = marked(machine.host, 5, "host", machine)
    wait_until(lambda: begun(machine, "host") == 2, 10, "both slots of the host at work")
    machine.let_go()
    for uid in (0, FIRST_UID):
        answer = machine.member(uid).ask("PackageList", 30)
        assert answer["success"], answer
    let(machine, "host")
    assert all(answer["success"] for answer in machine.host.responses(held, 20))


def story_root_has_places_in_the_local_queue_that_no_crowd_of_users_takes():
    machine = Machine(FEW)
    for client in machine.crowd(10):
        client.ask_many(5)
    wait_until(lambda: machine.commands()["local_queued"] == 16, 10, "a full queue of the users'")
    root = machine.member(0)
    asked = root.ask_many(17)
    refused = answers_so_far(root)
    assert list(refused) == asked[16:] and refused[asked[16]]["error_code"] == "QUEUE_FULL", refused
    assert machine.commands()["local_queued"] == 32
    machine.let_go()
    assert all(answer["success"] for answer in root.responses(asked[:16], 60))


def story_root_takes_no_place_of_a_user():
    machine = Machine(FEW)
    root = machine.member(0)
    asked = root.ask_many(40)
    refused = answers_so_far(root)
    assert list(refused) == asked[17:], refused  # one runs, sixteen wait
    user = machine.member(FIRST_UID)
    mine = user.ask_many(4)
    assert not answers_so_far(user)
    machine.let_go()
    assert all(answer["success"] for answer in user.responses(mine, 60))
    assert all(answer["success"] for answer in root.responses(asked[:17], 60))


def story_a_user_has_four_places_however_many_clients_it_is():
    machine = Machine(FEW)
    clients = machine.crowd(1, clients=8)
    asked = {client: client.ask_many(3) for client in clients}
    wait_until(lambda: machine.commands()["local_queued"] == 4, 10, "four places taken")
    state = machine.commands()
    assert (state["local_running"], state["local_queued"], state["queue_full"]) == (1, 4, 19), state
    for client in clients:  # whoever goes leaves what was asked behind, and makes no room by that
        client.socket.close()
    again = machine.member(FIRST_UID)
    assert again.ask("PackageList")["error_code"] == "QUEUE_FULL"
    assert sum(map(len, asked.values())) == 24
    machine.let_go()


def story_a_user_who_comes_late_gets_a_place_from_those_who_have_most():
    machine = Machine(FEW)
    crowd = machine.crowd(5)
    first = {client: client.ask_many(4) for client in crowd[:4]}
    wait_until(lambda: machine.commands()["local_queued"] == 15, 10, "the queue of four users")
    last = crowd[4].ask_many(3)  # one is the sixteenth, the others have to be given up by those who have four
    assert not answers_so_far(crowd[4])
    given_up = [answer for client in crowd[:4] for answer in answers_so_far(client, 0.1).values()]
    assert len(given_up) == 2 and all(answer["error_code"] == "QUEUE_FULL" for answer in given_up), given_up
    assert machine.commands()["local_queued"] == 16
    machine.let_go()
    assert all(answer["success"] for answer in crowd[4].responses(last, 60))
    left = [name for names in first.values() for name in names if name not in {answer["id"] for answer in given_up}]
    answered = []

    def gather():
        answered.extend(m for client in crowd[:4] for m in answers_so_far(client, 0.1).values())

    wait_until(lambda: gather() or len(answered) >= len(left), 20, "an answer for each")
    gather()  # and none beyond
    assert sorted(m["id"] for m in answered) == sorted(left) and all(m["success"] for m in answered)


def story_the_users_who_wait_are_served_in_turn():
    machine = Machine(FEW)
    many, few, root = machine.member(FIRST_UID), machine.member(FIRST_UID + 1), machine.member(0)
    watcher = machine.member(0)
    watcher.subscribe("commands")
    asked = many.ask_many(5)
    wait_until(lambda: machine.commands()["local_queued"] == 4, 10, "the queue of the first")
    asked += few.ask_many(2) + root.ask_many(2)
    wait_until(lambda: machine.commands()["local_queued"] == 8, 10, "the queue of all")
    machine.let_go()
    started = []
    while len(started) < 9:
        event = watcher.expect("command_event", 60, lambda m: m["action"] == "PackageList")
        if event["state"] == "started":
            started.append(event["id"])
    wanted = [asked[i] for i in (0, 5, 7, 1, 6, 8, 2, 3, 4)]
    assert started == wanted, (started, wanted)


@tap.beside
def story_a_user_whose_command_does_not_end_gives_way_to_another_after_its_turn():
    machine = Machine(FEW)
    first, second, root = machine.member(FIRST_UID), machine.member(FIRST_UID + 1), machine.member(0)
    slow = first.command("PackageList", 600)
    wait_until(lambda: len(machine.ran()) == 1, 10, "the first one at work")
    waits = second.command("PackageList", 600)
    assert first.response(slow, 60)["error_code"] == "CANCELLED"
    wait_until(lambda: len(machine.ran()) == 2, 10, "the second one at work")
    last = root.command("PackageList", 600)
    assert second.response(waits, 60)["error_code"] == "CANCELLED"
    wait_until(lambda: len(machine.ran()) == 3, 10, "root's at work")
    machine.let_go()
    assert root.response(last, 20)["success"]


def story_a_host_that_does_not_read_its_answers_holds_up_no_local_client():
    machine = Machine({"port.queue_bytes": "64K", "port.max_line_bytes": "64K"})
    machine.host.socket.sendall(b"".join(b'{"type":"Status","id":"s%d"}\n' % i for i in range(300)))
    client = machine.member(FIRST_UID)
    wait_until(lambda: client.status()["port"]["queued_bytes"] > 16384, 10, "answers that the host does not read")
    machine.let_go()
    assert client.ask("PackageList", 30)["success"]


def story_questions_that_wait_fill_only_the_share_of_who_asked():
    machine = Machine({"commands.queue_size": 4})
    # A history that is not read waits without holding a slot; so does a batch of members that wait.
    crowd = machine.crowd(6)
    for client in crowd:
        for _ in range(6):
            client.send({"type": "CommandBatch", "id": client.new_id(), "commands": [
                {"type": "SafeCommand", "id": client.new_id(), "timeout": 100, "command_type": {"action": "PackageList"}}]})
    wait_until(lambda: machine.commands()["local_waiting"] >= 10, 10, "batches that wait")
    for _ in range(3):
        assert machine.host.ask("CheckDiskSpace")["success"]
    assert machine.member(0).ask("CheckDiskSpace")["success"]
    machine.let_go()


# ------------------------------------------------------------------------------------------------- samples out of turn

def logged(agent):
    """The numbers of the samples in the log, in their order."""
    seqs = []
    for name in sorted(fnmatch.filter(os.listdir(agent.settings["log.dir"]), "metrics-*")):
        with open(os.path.join(agent.settings["log.dir"], name), encoding="ascii") as file:
            seqs += [json.loads(line)["seq"] for line in file if line.startswith('{"type":"metrics"') and line.endswith("\n")]
    return seqs


def story_a_sample_is_asked_for_within_the_policy_whoever_asks():
    cases = (({"commands.deny": "Metrics"}, True), ({"commands.deny": "observe"}, True), ({"commands.enabled": "no"}, True),
             ({"commands.allow": "control"}, False), ({"commands.allow": "observe"}, None))
    for settings, local_too in cases:
        agent, host = talk(tap.keep, settings)
        client = tap.keep(LocalClient(agent))
        host.expect("metrics")
        host.send({"type": "Metrics"})
        if local_too is None:
            host.expect("metrics")
            continue
        assert host.expect("error")["details"]["code"] == "POLICY_DENIED", settings
        client.send({"type": "Metrics"})
        if local_too:
            assert client.expect("error")["details"]["code"] == "POLICY_DENIED", settings
            host.quiet(0.5, ("metrics",))
        else:
            client.expect("metrics")  # what the host may not ask for the people of the guest may look at


def flood(clients, seconds):
    """Every client asks for a sample over and over. Gives how often each of them asked."""
    end = time.monotonic() + seconds
    asked = 0
    while time.monotonic() < end:
        for client in clients:
            client.send({"type": "Metrics"})
            client.pump()
        asked += 1
        time.sleep(0.02)
    return asked


def story_a_host_that_asks_for_samples_gets_one_a_second_and_the_log_each_once():
    agent, host = talk(tap.keep)
    host.expect("metrics")
    begun = time.monotonic()
    asked = flood([host], 3)
    host.quiet(0.5, ())
    took = time.monotonic() - begun
    got = [json.loads(line)["seq"] for line in host.lines if line.startswith(b'{"type":"metrics"')]
    assert asked > 20 and len(got) > asked / 2, (asked, len(got))  # each is answered, but for those that one sample was the answer to
    assert 2 <= len(set(got)) <= took + 3, (took, sorted(set(got)))
    assert sorted(set(got)) == list(range(min(got), max(got) + 1)), got
    in_log = wait_until(lambda: (seqs := logged(agent)) and seqs[-1] == max(got) and seqs, 10, "the last sample in the log")
    assert len(in_log) == len(set(in_log)) and len(in_log) <= took + 4, (took, in_log)


def story_a_crowd_that_asks_for_samples_ages_neither_the_log_nor_the_hosts_view():
    machine = Machine()
    agent, host = machine.agent, machine.host
    first = host.expect("metrics")["seq"]
    crowd = machine.crowd(6, clients=2) + [machine.member(0)]
    begun = time.monotonic()
    flood(crowd, 3)
    for client in crowd:
        client.pump(0.5)
        assert any(m["type"] == "metrics" for m in client.pending), "one who asked was not answered"
    took = time.monotonic() - begun
    host.send({"type": "Metrics"})
    last = host.expect("metrics", where=lambda m: not host.pump() or not any(n["type"] == "metrics" for n in host.pending))["seq"]
    assert last - first <= 2 * took + 4, (first, last, took)  # two a second for all local sources
    wait_until(lambda: logged(agent) and logged(agent)[-1] >= last, 10, "the last sample in the log")
    in_log = logged(agent)
    assert len(in_log) == len(set(in_log)) and len(in_log) <= 2 * took + 6, in_log
    seen = sorted({json.loads(line)["seq"] for line in host.lines if line.startswith(b'{"type":"metrics"')})
    assert seen == list(range(seen[0], seen[-1] + 1)), seen


def story_a_user_who_comes_back_is_the_same_source():
    machine = Machine()
    first = machine.host.expect("metrics")["seq"]
    begun = time.monotonic()
    while time.monotonic() < begun + 3:
        client = Member(machine.agent, FIRST_UID)
        client.send({"type": "Metrics"})
        client.expect("metrics")
        client.socket.close()
    took = time.monotonic() - begun
    machine.host.pump()
    last = max([first] + [m["seq"] for m in machine.host.pending if m["type"] == "metrics"])
    assert last - first <= took + 2, (first, last, took)


# ------------------------------------------------------------------------------------------------------------ histories

FULL = {"limit": 2000, "end": "2021-01-01T00:00:00Z"}


def unread_histories(machine, users):
    """One who asks for a long history and does not read it, for each uid."""
    clients = [machine.member(uid, receive_bytes=4096) for uid in users]
    for client in clients:
        client.send({"type": "GetHistory", "id": "h", "timeout": 600, **FULL})
    return clients


def refused(clients):
    """Those of them that have been answered already."""
    found = []
    for client in clients:
        answer = answers_so_far(client, 0.05).get("h")
        if answer:
            assert answer["error_code"] == "QUEUE_FULL", answer
            found.append(client)
    return found


def ask_history(channel, **fields):
    command_id = channel.new_id()
    channel.send({"type": "GetHistory", "id": command_id, **fields})
    return channel.response(command_id, 30)


def story_histories_that_are_not_read_block_only_their_own_source():
    machine = Machine(SMALL)
    wait_until(lambda: log_lines(machine.agent), 10, "the first sample in the log")
    fill_log(machine.agent, 2000)
    users = [FIRST_UID + i for i in range(6)]
    clients = unread_histories(machine, users)
    wait_until(lambda: machine.commands()["local_waiting"] == 4, 10, "four of six users")
    turned_away = refused(clients)
    assert len(turned_away) == 2
    reader = next(client for client in clients if client not in turned_away)
    again = ask_history(machine.member(reader.uid), limit=1)
    assert again["error_code"] == "QUEUE_FULL", again  # one a user
    answer = ask_history(machine.member(0), limit=1)
    assert answer["success"], answer  # root has its own
    root = unread_histories(machine, [0, 0])
    wait_until(lambda: machine.commands()["local_waiting"] == 5, 10, "one of root's")
    assert len(refused(root)) == 1
    names = [machine.host.new_id() for _ in range(5)]
    machine.host.send("".join(json.dumps({"type": "GetHistory", "id": name, **FULL}) + "\n" for name in names))
    answers = {m["id"]: m for m in machine.host.responses(names, 60)}
    assert [answers[name]["success"] for name in names] == [True] * 4 + [False], answers
    assert answers[names[4]]["error_code"] == "QUEUE_FULL"


def machine_with_a_past(count=2000):
    """One whose log holds so many samples that a client can have missed."""
    machine = Machine(SMALL)
    agent = machine.agent
    wait_until(lambda: log_lines(agent), 10, "the first sample in the log")
    agent.stop()
    machine.host.disconnect()
    fill_log(agent, count)
    with open(agent.path("state/seq"), encoding="ascii") as file:
        words = file.read().split()
    words[0] = str(count + 100)
    with open(agent.path("state/seq"), "w", encoding="ascii") as file:
        file.write(" ".join(words) + "\n")
    agent.start()
    machine.host.accept(20)
    open_to_all(agent)
    return machine


@tap.beside
def story_what_users_miss_and_do_not_read_blocks_no_other_user():
    machine = machine_with_a_past()
    lazy = [machine.member(FIRST_UID + i, receive_bytes=4096) for i in range(4)]
    for client in lazy:
        client.send({"type": "Ack", "seq": 1})
    time.sleep(3)
    for i in range(8):
        answer = ask_history(machine.member(FIRST_UID + 10 + i), limit=1)
        assert answer["success"], (i, answer)
    # Whoever reads at last is offered all of it, each once.
    for client in lazy[:1]:
        seqs, _ = offered(client)
        assert seqs == sorted(set(seqs)) and set(range(2, 2001)) <= set(seqs), (len(seqs), seqs[:3], seqs[-3:])


def missed(host, agent_settings, seconds=1.0):
    """An agent whose host was away. Gives it, what the host holds, and the first sample of the new session."""
    agent = tap.keep(Agent(host.spec, {"timers.metrics_interval_ms": 50, **SMALL, **agent_settings}))
    host.accept()
    wait_until(lambda: log_lines(agent), 10, "the first sample in the log")
    held = host.expect("metrics")["seq"]
    host.disconnect()
    host.deafen()
    time.sleep(seconds)
    fill_log(agent, 2000, 1000001)
    host.listen()
    host.accept(35)
    first = host.expect("metrics")["seq"]
    assert first > held + 5, (held, first)
    return agent, held, first


def offered(host, timeout=60):
    """The numbers that are offered unasked, to the last batch; and the other messages."""
    seqs, passed = [], []
    while True:
        batch = host.expect("metrics_batch", timeout, lambda m: m["id"] is None, passed)
        seqs += [sample["seq"] for sample in batch["samples"]]
        if batch["last"]:
            return seqs, passed


def story_what_a_host_misses_is_offered_when_its_own_histories_have_ended():
    host = tap.keep(UnixHost())
    _, held, first = missed(host, {"port.queue_bytes": "1M"})
    lines = [{"type": "GetHistory", "id": f"h{i}", **FULL} for i in range(4)] + [{"type": "Ack", "seq": held}]
    host.send("".join(json.dumps(line) + "\n" for line in lines))
    seqs, passed = offered(host)
    assert seqs == list(range(held + 1, first)), (held, first, seqs)
    answers = [m for m in passed if m["type"] == "response"]
    assert answers and all(m["success"] for m in answers), answers


def story_what_a_host_misses_is_offered_when_the_log_can_be_read_again_and_it_is_told_so():
    host = tap.keep(UnixHost())
    directory = tap.keep(tempfile.TemporaryDirectory())
    link = os.path.join(directory, "here")

    def point(to):
        os.symlink(to, link + "-new")
        os.rename(link + "-new", link)

    os.mkdir(os.path.join(directory, "real"), 0o750)
    point("real")
    agent, held, first = missed(host, {"log.dir": os.path.join(link, "log")})
    wait_until(lambda: first in logged(agent), 10, "the first sample of the session in the log")
    point("nowhere")
    host.send({"type": "Ack", "seq": held})
    event = host.expect("agent_event", 10, lambda m: m["source"] == "history")
    assert str(held + 1) in event["message"] and str(first - 1) in event["message"], event
    point("real")
    seqs, _ = offered(host)
    assert seqs == list(range(held + 1, first)), (held, first, seqs)


def story_a_gap_of_many_thousand_samples_is_offered_to_its_end():
    host = tap.keep(UnixHost())
    agent = Agent(host.spec, {**SMALL, "timers.metrics_interval_ms": 60000})
    tap.keep(agent)
    host.accept()
    wait_until(lambda: log_lines(agent), 10, "the first sample in the log")
    agent.stop()
    fill_log(agent, 10500)
    for name in fnmatch.filter(os.listdir(agent.path("log")), "metrics-*"):
        if not name.startswith("metrics-2020"):
            os.unlink(agent.path("log/" + name))
    host.disconnect()
    agent.start()
    host.accept(35)
    first = host.expect("metrics")["seq"]
    assert first > 10500
    host.send({"type": "Ack", "seq": 100})
    seqs, _ = offered(host, 120)
    assert seqs[:10400] == list(range(101, 10501)), (len(seqs), seqs[:3], seqs[-3:])


# --------------------------------------------------------------------------------------------------------------- rights

OBSERVE = (("CheckSystemIntegrity", {}), ("PackageList", {}), ("PackageSearch", {"query": "bash"}), ("GetAvailableUpdates", {}),
           ("RunAllHealthChecks", {}), ("ValidateSystemHealth", {}), ("CheckLinuxSecurity", {}), ("GetLinuxFirewallStatus", {}),
           ("CheckSecurityModules", {}), ("ServiceControl", {"service": "cron", "operation": "status"}),
           ("RunMaintenanceTask", {"task_type": "health", "task_name": "x"}), ("GetInstalledApplicationsWMI", {}),
           ("CheckResourceOptimization", {}), ("GetApplicationDetails", {"app_id": "bash"}), ("ServiceList", {}), ("UserList", {}),
           ("ProcessList", {}), ("CheckDiskSpace", {}))


def story_viewing_never_reaches_the_executor_and_runs_as_the_agent():
    tap.need_root()
    keep_cache()
    uid = 61999
    directory = os.path.join("/tmp", f"infini-exec-{os.getpid()}")
    os.mkdir(directory, 0o755)
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    listener.bind(os.path.join(directory, "exec.sock"))
    os.chmod(os.path.join(directory, "exec.sock"), 0o666)
    listener.listen(8)
    listener.setblocking(False)
    try:
        machine = Machine({"commands.executor_socket": os.path.join(directory, "exec.sock")}, uid=uid)
        machine.let_go()
        for viewer in (machine.member(0), machine.member(FIRST_UID)):
            for action, parameters in OBSERVE:
                viewer.ask(action, 60, **parameters)
            answer = viewer.ask("CheckSystemIntegrity", 60)
            assert answer["success"], answer
        assert machine.ran("dpkg --verify"), machine.ran()
        assert {line.split()[0] for line in machine.ran()} == {str(uid)}, machine.ran()
        try:
            listener.accept()
            raise AssertionError("a viewer's question reached the executor")
        except BlockingIOError:
            pass
        machine.host.command("CheckSystemIntegrity", 5)  # the host's does
        listener.settimeout(10)
        listener.accept()[0].close()
    finally:
        listener.close()
        os.unlink(os.path.join(directory, "exec.sock"))
        os.rmdir(directory)


def story_a_local_client_may_look_and_nothing_else_whatever_the_host_may():
    machine = Machine({"commands.allow": "observe,control,packages,power"})
    refused = (("DiskCleanup", {}), ("ServiceControl", {"service": "cron", "operation": "restart"}), ("ProcessKill", {"pid": 999999}),
               ("PackageInstall", {"package": "bash"}), ("RebootSystem", {}), ("RestartServices", {}),
               ("RunMaintenanceTask", {"task_type": "cleanup", "task_name": "x"}), ("PrepareGoldenImage", {"dry_run": True}))
    for viewer in (machine.member(0), machine.member(FIRST_UID)):
        for action, parameters in refused:
            answer = viewer.ask(action, **parameters)
            assert answer["error_code"] == "POLICY_DENIED", (action, answer)
        assert viewer.run("true")["error_code"] == "POLICY_DENIED"
        viewer.send({"type": "SetConfig", "id": "s", "values": {"timers.metrics_interval_ms": 50}})
        assert viewer.response("s")["error_code"] == "POLICY_DENIED"
        viewer.send({"type": "CancelCommand", "id": "c", "target_id": "h"})
        assert viewer.response("c")["error_code"] == "NOT_FOUND"
    time.sleep(0.1)
    assert not machine.ran()


# -------------------------------------------------------------------------------------- clients, memory, and all of it

def story_users_leave_root_a_client_and_a_short_line():
    machine = Machine({"socket.max_clients": 16, "socket.max_per_user": 16})
    members = []
    for i in range(20):
        client = machine.member(FIRST_UID + i)
        try:
            client.send({"type": "Status", "id": "s"})
            client.response("s", 2)
            members.append(client)
        except (ConnectionError, BrokenPipeError):
            pass
    assert len(members) == 12, len(members)
    assert all(machine.member(0).status()["pid"] == machine.agent.pid for _ in range(4))
    members[0].send('{"type":"Status","id":"long","x":"' + "x" * 100000 + '"}\n')
    assert members[0].expect("error")["details"]["code"] == "TOO_LARGE"
    machine.host.send('{"type":"Status","id":"long","x":"' + "x" * 100000 + '"}\n')
    assert machine.host.response("long")["success"]


def story_what_users_leave_unread_costs_them_and_no_user_who_reads():
    machine = Machine()
    readers = [machine.member(FIRST_UID + 100 + i, receive_bytes=4096) for i in range(10)]
    lazy = [machine.member(FIRST_UID + i, receive_bytes=4096) for i in range(12) for _ in range(3)]
    many = 1200000 // len(json.dumps(readers[0].status()))  # 3.6 MB a user: what each may, and all together may not
    for client in lazy:
        client.send('{"type":"Status","id":"s"}\n' * many)
    wait_until(lambda: readers[0].status()["local"]["cut_off"] >= 1, 20, "they reach the bound of all users", 0.2)
    for i in range(3):  # more at once than a socket takes, and together more than cutting off one of the lazy makes room for
        for reader in readers:
            reader.send("".join(json.dumps({"type": "Status", "id": f"{i}.{n}"}) + "\n" for n in range(100)))
        time.sleep(0.5)
        for reader in readers:
            assert all(reader.response(f"{i}.{n}")["success"] for n in range(100))
    assert 1 <= readers[0].status()["local"]["cut_off"] <= 16, readers[0].status()["local"]


def story_answers_that_users_leave_unread_are_bounded_for_all_of_them():
    machine = Machine()
    lazy = [machine.member(FIRST_UID, receive_bytes=4096) for _ in range(10)]
    before = memory_kb(machine.agent.pid)
    for client in lazy:
        client.socket.setblocking(False)
        try:
            for _ in range(40):
                client.socket.send(b'{"type":"Status","id":"s"}\n' * 100)
        except (BlockingIOError, ConnectionError):
            pass
    other = machine.member(FIRST_UID + 1)
    wait_until(lambda: other.status()["local"]["cut_off"] >= 1, 20, "one that is cut off", 0.2)
    time.sleep(1)
    grown = memory_kb(machine.agent.pid) - before
    assert grown < 12 * 1024, f"{grown} KiB"
    assert other.ask("SystemInfo")["success"] and machine.host.ask("SystemInfo")["success"]


class Attacker:
    """A crowd that takes of everything all it gets: commands, waiting questions, histories, samples, refusals, answers it does not read."""

    def __init__(self, machine, who):
        self.channels = {"host": lambda: [machine.host], "root": lambda: [machine.member(0, 4096) for _ in range(16)],
                         "users": lambda: [machine.member(FIRST_UID + i, 4096) for i in range(12) for _ in range(3)]}[who]()

    def attack(self):
        for channel in self.channels:
            lines = [{"type": "SafeCommand", "id": f"a{i}", "timeout": 300, "command_type": {"action": "PackageList"}} for i in range(20)]
            lines += [{"type": "GetHistory", "id": f"h{i}", "timeout": 300, **FULL} for i in range(5)]
            lines += [{"type": "CommandBatch", "id": f"b{i}", "commands": [
                {"type": "SafeCommand", "id": f"m{i}", "timeout": 300, "command_type": {"action": "PackageList"}}]} for i in range(10)]
            lines += [{"type": "Metrics"}] * 20 + [{"type": "Subscribe", "id": "s"}]
            lines += [{"type": "SafeCommand", "id": f"r{i}", "command_type": {"action": "RebootSystem"}} for i in range(200)]
            lines += [{"type": "signed", "v": 1, "ts": 1, "nonce": f"{i}", "payload": "{}", "sig": "0" * 64} for i in range(20)]
            lines += [{"type": "Status", "id": f"t{i}"} for i in range(100)]
            data = "".join(json.dumps(line) + "\n" for line in lines).encode()
            channel.socket.setblocking(False)
            try:
                while data:
                    data = data[channel.socket.send(data):]
            except (BlockingIOError, ConnectionError):
                pass
            channel.socket.setblocking(True)


def answered(channel, message, timeout=15):
    """The response to one message, or the error that came for it."""
    channel.send(message)
    return channel.response(message["id"], timeout)


def losses(machine, channel, is_host):
    """What a victim has lost of each resource: nothing, or why."""
    lost = {}

    def look(resource, deed):
        try:
            deed()
            lost[resource] = ""
        except (AssertionError, ConnectionError) as failure:
            lost[resource] = str(failure).splitlines()[0][:200] or "failed"

    def good(answer):
        assert answer["success"], answer

    def slot():  # what holds one: its own program at once, or its place in the queue
        if is_host:
            good(channel.run("true", 15))
        else:
            name = channel.command("PackageList", 60)
            assert name not in answers_so_far(channel, 0.3)

    def sample():
        channel.send({"type": "Metrics"})
        channel.expect("metrics", 10)

    def audit():
        name = channel.new_id()
        if is_host:
            channel.unsafe("true", 10, name)
        else:
            channel.command("SystemInfo", 10, name)
        good(channel.response(name, 15))
        if not os.path.exists("/run/systemd/journal/socket"):
            wait_until(lambda: any(name in line for line in audit_lines(machine.agent)), 5, "its audit record")

    look("slots and queue", slot)
    look("waiting questions", lambda: good(channel.ask("CheckDiskSpace", 20)))
    look("histories", lambda: good(answered(channel, {"type": "GetHistory", "id": channel.new_id(), "limit": 1})))
    look("samples out of turn", sample)
    look("subscription", lambda: good(answered(channel, {"type": "Subscribe", "id": channel.new_id(), "topics": ["metrics"]})))
    if is_host or channel.uid == 0:  # of what users only ask, so many a second are recorded for all of them, and the others counted
        look("audit", audit)
    look("keep-alive", lambda: channel.in_step(2))
    return lost


def audit_lines(agent):
    try:
        with open(agent.path("state/audit.ndjson"), encoding="ascii") as file:
            return file.read().splitlines()
    except FileNotFoundError:
        return []


def story_no_crowd_takes_anything_of_another_source():
    """The table: who attacks, by everything at once, and what each of the others has lost of each resource."""
    table = []
    for attacker in ("users", "root", "host"):
        machine = Machine({**SMALL, "commands.max_concurrent": 3, "commands.queue_size": 20})
        wait_until(lambda agent=machine.agent: log_lines(agent), 10, "the first sample in the log")
        fill_log(machine.agent, 2000)
        crowd = Attacker(machine, attacker)
        crowd.attack()
        if attacker == "host":  # it goes on reading its port: what it does not read is its own
            wait_until(lambda: machine.ran(), 10, "the crowd at work")
        else:
            wait_until(lambda m=machine: m.commands()["local_queued"] >= (16 if attacker == "root" else 12), 20, "the crowd in its queue")
        victims = {"host": lambda: machine.host, "root": lambda: machine.member(0), "user": lambda: machine.member(FIRST_UID + 500)}
        for name, channel in victims.items():
            if name.rstrip("s") == attacker.rstrip("s") and name != "user":
                continue
            for resource, lost in losses(machine, channel(), name == "host").items():
                table.append((attacker, resource, name, lost))
        machine.let_go()
        crowd.attack()  # once more while all is being done
        if attacker != "host":
            assert machine.host.ask("SystemInfo")["success"]
    for attacker, resource, victim, lost in table:
        tap.note(f"{attacker:6} {resource:20} {victim:5} lost: {lost or 'nothing'}")
    assert len(table) == 7 * 7 - 3 and not [row for row in table if row[3]], [row for row in table if row[3]]


tap.main(globals())
