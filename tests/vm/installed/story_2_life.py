# SPDX-License-Identifier: MIT
"""The installed service lives: its port goes and comes, it and its helpers are killed, what it stands on is taken away."""

import random

from agent_guest import AgentPort, command, configured, host, main_pid, port_is_open, restarts
from guest import wait_for
from package_guest import Load, is_back, last_logged, more_samples, numbers, property_of, samples, story
from stories import remark

FAST = "[timers]\nmetrics_interval_ms = 100\n"
CGROUP = "/sys/fs/cgroup/system.slice/infiniservice.service"


@story(limit_s=60)
def the_unprivileged_agent_gets_a_port_that_is_unplugged_and_replugged(guest):
    pid = main_pid(guest)
    for number in (None, 17, None):
        guest.unplug()
        guest.plug(nr=number)
        with host(guest) as port:
            port.keep_alive(2)
    assert main_pid(guest) == pid


@story(limit_s=60)
def another_port_is_left_alone(guest):
    assert guest.sh("ls /dev/virtio-ports | wc -l") == "3"
    owners = guest.sh("stat -L -c '%n %U' /dev/virtio-ports/*")
    assert owners.count(" infiniservice") == 1, owners
    guest.unplug(2)
    guest.plug(2, nr=5)
    guest.wait("test -e /dev/virtio-ports/org.infinibay.spare")
    assert guest.sh("stat -L -c %U /dev/virtio-ports/org.infinibay.spare") == "root"
    with host(guest) as port:
        port.keep_alive(6)


@story()
def a_second_port_of_the_same_name_does_not_exist(guest):
    """The machine itself forbids it, on whatever bus, so that there is nothing to choose between."""
    guest.unplug(2)
    try:
        guest.plug(2, nr=5, name=guest.port_names[0])
        raise AssertionError("two ports have one name now")
    except RuntimeError as refused:
        assert "already exists" in str(refused), refused
    finally:
        guest.plug(2)


@story(limit_s=60)
def a_command_that_is_half_sent_at_a_restart_is_answered_after_it(guest):
    with host(guest) as port:
        port.keep_alive(1)
        pid = main_pid(guest)
        port.send_bytes(b'{"type":"SafeCommand","id":"halved","command_type":{"act')
        guest.sh("sleep 0.3; systemctl restart infiniservice")
        port.send_bytes(b'ion":"SystemInfo"},"timeout":20}\n')
        assert port.response("halved")["success"]
        assert main_pid(guest) != pid and "handshake" in [m["type"] for m in port.seen], port.seen
        # A real stop closes the port: what is sent then waits for the next start outside of the guest.
        guest.sh("systemctl stop infiniservice")
        wait_for(lambda: not port_is_open(guest), 5, 0.1, "the port is closed")
        port.send(command("SystemInfo", "waited"))
        guest.sh("systemctl start infiniservice")
        assert port.response("waited")["success"]


@story(limit_s=120)
def a_request_behind_the_half_line_of_a_host_that_died_is_answered_every_time(guest):
    """At once, a host after the other: the port shows no border between them, and neither sends a newline first."""
    for turn in range(36):
        with AgentPort(guest.path("port1")) as port:
            port.send_bytes((b'{"type":"SafeCommand","id":"half', b'{"type":"Status","id":"half","x":[', b'{"type":"Status","id":"half"}')[turn % 3])
        with AgentPort(guest.path("port1"), 20) as port:
            port.send({"type": "Status", "id": "first%d" % turn})
            assert port.response("first%d" % turn)["success"]
            assert not [m for m in port.seen if m.get("id") == "half"], (turn, port.seen)


@story(limit_s=120)
def samples_from_before_and_after_a_loaded_snapshot_are_told_apart(guest):
    with configured(guest, FAST), host(guest) as port:
        port.expect("metrics")
        guest.save("life")
        gone = [port.expect("metrics") for _ in range(20)]
        guest.load("life")
        port.send_bytes(b"\n")
        port.send({"type": "Ack", "seq": gone[-1]["seq"] + 1000})
        fresh = port.expect(lambda m: m["type"] == "metrics" and m["generation"] != gone[-1]["generation"], 30)["generation"]
        after = [port.expect("metrics") for _ in range(5)]
        assert {m["generation"] for m in after} == {fresh}
        assert not {(m["generation"], m["seq"]) for m in gone} & {(m["generation"], m["seq"]) for m in after}
        held = "cat /var/log/infiniservice/*.ndjson | grep -c %s" % fresh
        wait_for(lambda: int(guest.run(held + "; true")) > 3, 20, 0.5, "the log has the new generation, in a header and in its samples")


# ------------------------------------------------------------------------------------------------------------ killed

@story(limit_s=60)
def killed_it_is_back_within_2_s_and_its_log_is_whole(guest):
    took = []
    with configured(guest, FAST):
        for _ in range(3):
            more_samples(guest, 3)
            pid = main_pid(guest)
            killed = float(guest.sh("cut -d' ' -f1 /proc/uptime; kill -9 %d" % pid))
            took.append(is_back(guest, pid) - killed)
        more_samples(guest, 3)
        logged = samples(guest)
    remark("back after %s s of the guest's time" % ", ".join("%.2f" % seconds for seconds in took))
    # An emulated guest shares the processors with others: the best is the agent's, the worst is the machine's.
    assert min(took) < 2 and max(took) < 5, took
    seqs = [seq for seq, _ in logged]
    assert seqs == sorted(set(seqs)), "every number once, growing"
    assert [gap for _, gap in logged][-1] == "-" and [gap for _, gap in logged].count("start") >= 3
    assert guest.sh("infinictl log --json | wc -l") and guest.run("infinictl log --json 2>&1 >/dev/null") == ""


DROPIN = "/run/systemd/system/infiniservice.service.d"


def watched(guest, seconds, more=""):
    """As installed the watchdog waits 30 s; here less, so as not to wait."""
    guest.sh("mkdir -p " + DROPIN)
    guest.put(DROPIN + "/story.conf", "[Service]\nWatchdogSec=%d\n%s" % (seconds, more))
    guest.sh("systemctl daemon-reload && systemctl restart infiniservice")


def unwatched(guest):
    guest.sh("rm -r %s; systemctl daemon-reload; systemctl restart infiniservice" % DROPIN)
    assert property_of(guest, "WatchdogUSec") == "30s"


def last_words(guest):
    return guest.sh("journalctl -u infiniservice -n 30 --no-pager").lower()


@story(rows=[84], limit_s=60)
def a_stalled_loop_is_restarted_by_the_watchdog(guest):
    assert property_of(guest, "WatchdogUSec") == "30s"
    watched(guest, 2)
    try:
        fed = set()
        wait_for(lambda: len(fed.add(property_of(guest, "WatchdogTimestampMonotonic")) or fed) > 4, 15, 0.1, "it is fed")
        assert restarts(guest) == 0, "an agent that works is fed"
        pid = main_pid(guest)
        guest.sh("kill -STOP %d" % pid)
        is_back(guest, pid, 12)
        assert "watchdog" in last_words(guest)
        with host(guest) as port:
            port.keep_alive(84)
    finally:
        unwatched(guest)


@story(rows=[84], limit_s=60)
def a_loop_that_turns_without_doing_its_work_is_restarted_too(guest):
    """tests/vm/stall.c keeps its samples from being taken, and nothing else."""
    stalled = "/run/infiniservice/stalled"
    watched(guest, 2, "Environment=LD_PRELOAD=/usr/local/lib/infinitest-stall.so\n")
    try:
        with configured(guest, "[timers]\nmetrics_interval_ms = 80\ncollect_timeout_ms = 500\n"), host(guest) as port:
            more_samples(guest, 3)
            pid = main_pid(guest)
            guest.sh("touch " + stalled)
            port.drain(0.3, 2)
            for number in range(3):
                port.keep_alive(number)
            assert main_pid(guest) == pid
            is_back(guest, pid, 15)
            assert property_of(guest, "NRestarts") == "1" and "watchdog" in last_words(guest)
    finally:
        guest.sh("rm -f " + stalled)
        unwatched(guest)


@story(rows=[86], limit_s=90)
def helpers_killed_at_any_moment_are_replaced_and_cost_no_answer(guest):
    random.seed(86)
    pid = main_pid(guest)
    with configured(guest, FAST + "[commands]\nallow_unsafe = yes\nrun_as = infiniservice\n"), host(guest, 30) as port:
        load = Load(port, "helper")
        for _ in range(12):
            for _ in range(random.randint(1, 8)):
                load.one(**random.choice(({}, {"command_type": {"action": "CheckDiskSpace"}},
                                          {"type": "UnsafeCommand", "raw_command": "echo done"})))
            guest.run("kill -9 $(pgrep -P %d | shuf -n 1)" % pid)
        load.finish()
        codes = {answer.get("error_code") for (answer,) in load.answers.values()}
        assert codes <= {None, "INTERNAL", "COMMAND_FAILED"}, codes
        more_samples(guest, 3, 15)
        assert port.ask("CheckDiskSpace", "afterwards")["success"]
        dropped = port.status()["log"]["dropped"]
    logged = numbers(guest)
    assert logged == sorted(set(logged)), "every number once, growing"
    assert main_pid(guest) == pid
    assert int(guest.sh("pgrep -c -P %d" % pid)) <= 3
    assert guest.run("ps -o ppid= -C infiniservice").split().count("1") == 1, "no helper has lost its agent"
    remark("%d commands, %s samples not logged" % (len(load.sent), dropped))


@story(rows=[83], limit_s=120)
def at_its_memory_limit_it_is_restarted_and_goes_on(guest):
    took = []
    with configured(guest, FAST):
        for _ in range(3):
            more_samples(guest, 3)
            last = max(numbers(guest))
            pid, was = main_pid(guest), restarts(guest)
            # Less than it has: the kernel takes what it can, which takes it seconds, and kills it within the first write,
            # unless it is the helper that goes.
            killed = float(guest.sh("echo 1M >%s/memory.max; cut -d' ' -f1 /proc/uptime; "
                                    "{ echo 512M >%s/memory.max; } 2>/dev/null || true" % (CGROUP, CGROUP)))
            took.append(is_back(guest, pid, 15) - killed)
            assert restarts(guest) > was
        remark("back after %s s of the guest's time" % ", ".join("%.2f" % seconds for seconds in took))
        # As when it is killed: the best is the agent's, the worst is the machine's.
        assert min(took) < 2 and max(took) < 5, took
        assert int(property_of(guest, "MemoryMax")) == 512 << 20 == int(guest.sh("cat %s/memory.max" % CGROUP))
        with host(guest) as port:
            port.keep_alive(83)
        more_samples(guest, 3)
        logged = numbers(guest)
        assert logged == sorted(set(logged)) and logged[-1] > last
    assert "oom" in last_words(guest)


# ------------------------------------------------------------------------------------------------ what it stands on

@story(limit_s=60)
def without_the_bus_it_starts_measures_and_answers(guest):
    guest.sh("systemctl stop dbus.socket dbus.service; systemctl restart infiniservice")
    try:
        with host(guest) as port:
            port.keep_alive(1)
            assert port.ask("SystemInfo", "info")["success"]
            assert not port.ask("ServiceList", "services", 10)["success"]
            port.keep_alive(2)
    finally:
        guest.sh("systemctl start dbus.socket dbus.service; systemctl restart systemd-logind")


@story(limit_s=60)
def on_a_read_only_root_it_reports_without_a_log(guest):
    last = last_logged(guest)
    # What a kernel does to a disk with errors: whoever has files open is not asked.
    guest.sh("systemctl stop infiniservice; echo u >/proc/sysrq-trigger")
    guest.wait("! touch /etc/infiniservice/writable 2>/dev/null")
    try:
        guest.sh("systemctl start infiniservice")
        with host(guest) as port:
            port.keep_alive(7)
            assert port.ask("SystemInfo", "info")["success"]
            # told with the next line that cannot be written
            port.send({"type": "Metrics"})
            wait_for(lambda: port.status()["log"]["state"] != "ok", 10, 0.3, "the log is said to fail")
    finally:
        guest.sh("mount -o remount,rw /; systemctl restart infiniservice")
    wait_for(lambda: last_logged(guest) > last, 10, 0.2, "samples are logged again")
