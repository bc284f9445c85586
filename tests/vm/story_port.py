# SPDX-License-Identifier: MIT
"""The agent on a real virtio-serial port: hosts that are absent, leave, come back, send rubbish or do not read."""

import statistics
import time

from agent_guest import (AGENT_NODE, AgentPort, configured, cpu_ns, freshly_started, host, logged, main_pid,
                         port_is_open, processes, resources, restarts, switches, wakeups, unsafe)
from guest import Timeout, wait_for
from stories import story

FAST = "[timers]\nmetrics_interval_ms = 200\n"


def journal_since(guest, mark):
    return guest.sh("journalctl -u infiniservice --no-pager -o cat --after-cursor='%s'" % mark)


def journal_mark(guest):
    return guest.sh("journalctl -n 1 --show-cursor --no-pager | sed -n 's/^-- cursor: //p'")


@story()
def the_service_is_up_and_holds_the_port_before_any_host_came(guest):
    wait_for(lambda: port_is_open(guest), 15, 0.2, "the agent opens its port")
    assert guest.sh("systemctl is-active infiniservice") == "active"
    assert guest.sh("stat -L -c '%%U %%a' %s" % AGENT_NODE) == "infiniservice 600"


@story(rows=[44], limit_s=60)
def an_agent_without_a_host_sleeps(guest):
    freshly_started(guest)
    time.sleep(3)
    pids = processes(guest)
    before = {pid: wakeups(guest, pid) for pid in pids}
    busy = cpu_ns(guest, main_pid(guest))
    guest.sh("sleep 10")
    woken = {pid: wakeups(guest, pid) - before[pid] for pid in pids}
    # the watchdog's half time may lie in between
    assert sum(woken.values()) <= 3, woken
    assert cpu_ns(guest, main_pid(guest)) - busy < 20e6


@story(limit_s=60)
def a_host_that_connects_is_greeted_within_100_ms(guest):
    times = []
    for _ in range(6):
        time.sleep(1.2)
        begin = time.monotonic()
        port = AgentPort(guest.path("port1"))
        first = port.read_bytes(5)
        times.append(time.monotonic() - begin)
        assert first.startswith(b"\n")
        port.buffer = first
        assert port.message()["type"] == "handshake"
        port.expect("metrics", 2)
        port.close()
    # The machine that emulates the guest has other work too; the agent is judged by what is usual.
    assert statistics.median(times) < 0.1, times


@story()
def commands_and_keep_alives_are_answered(guest):
    with host(guest) as port:
        port.keep_alive(7)
        answer = port.ask("SystemInfo", "info")
        assert answer["data"]["kernel_version"] == guest.sh("uname -r")
        assert port.execute("id -un", "who")["stdout"] == "infiniservice\n"


@story(rows=[40])
def a_line_cut_off_by_a_disconnect_does_not_reach_the_next_session(guest):
    for half in (b'{"type":"SafeCommand","id":"half', b'{"type":"keep_alive_request","sequence_number":1', b"x" * 5000):
        with host(guest) as port:
            port.send_bytes(half)
        with host(guest) as port:
            port.keep_alive(40)
            assert not [m for m in port.seen if m.get("id") == "half"]


@story(rows=[40], limit_s=60)
def a_host_that_comes_back_at_once_is_in_step_after_its_newline(guest):
    for turn in range(50):
        with AgentPort(guest.path("port1")) as port:
            port.send_bytes(b'{"type":"SafeCommand","id":"half')
        with AgentPort(guest.path("port1")) as port:
            port.send_bytes(b"\n")
            port.keep_alive(turn)
            assert not [m for m in port.seen if m.get("id") == "half"]


HALVES = (b'{"type":"SafeCommand","id":"half', b'{"type":"SafeCommand","id":"half","command_type":{"action":"SystemInfo"}}',
          b'{"type":"UnsafeCommand","id":"half","raw_command":"echo \\', b'{"type":"keep_alive_request","sequence_number":1',
          b'{"type":"Status","id":"half","x":"' + b"{" * 5000)


@story(rows=[40], limit_s=120)
def a_request_right_behind_the_half_line_of_a_host_that_died_is_answered(guest):
    for turn in range(60):
        with AgentPort(guest.path("port1")) as port:
            port.send_bytes(HALVES[turn % len(HALVES)])
        time.sleep((0, 0, 0.005, 0.02, 0.06)[turn // len(HALVES) % 5])
        with AgentPort(guest.path("port1"), 20) as port:
            port.send({"type": "Status", "id": "first%d" % turn})
            assert port.response("first%d" % turn)["success"]
            port.keep_alive(turn)
            assert not [m for m in port.seen if m.get("id") == "half"], (turn, port.seen)


@story(rows=[40], limit_s=120)
def what_a_host_asked_that_is_gone_is_not_answered_to_the_next_one(guest):
    """Its last bytes may be the next one's as far as the port can tell, so it is told apart by what it asked before."""
    for turn, gap in enumerate((0.3, 0.1, 0.02, 0.3, 0.1, 0.02)):
        with host(guest) as port:
            port.send(unsafe("sleep 2; echo late", "old%d" % turn))
            port.keep_alive(1)
            time.sleep(0.5)
            if turn >= 3:
                port.send_bytes(b'{"type":"keep_alive_request","sequence_number":1')
        time.sleep(gap)
        with AgentPort(guest.path("port1"), 20) as port:
            port.send(unsafe("sleep 2; echo mine", "new%d" % turn))
            assert port.response("new%d" % turn)["stdout"] == "mine\n"
            assert not [m for m in port.seen if m.get("id") == "old%d" % turn], (turn, port.seen)


@story(rows=[43], limit_s=240)
def a_thousand_reconnects_lose_no_answer_and_leak_nothing(guest):
    def visit(number):
        with AgentPort(guest.path("port1")) as port:
            port.send_bytes(b"\n")
            port.keep_alive(number)

    for number in range(50):
        visit(number)
    fds, dirty = resources(guest)
    for number in range(1000):
        visit(number)
    fds_after, dirty_after = resources(guest)
    assert fds_after <= fds, (fds, fds_after)
    assert dirty_after <= dirty + 128, (dirty, dirty_after)


@story(rows=[43], limit_s=60)
def hosts_that_come_and_go_without_a_word_wear_nothing_out(guest):
    for _ in range(200):
        AgentPort(guest.path("port1")).close()
    with host(guest) as port:
        port.keep_alive(1)
        port.ask("SystemInfo", "after the storm")


@story(rows=[2, 5, 8, 9], limit_s=90)
def hostile_lines_are_each_answered_once(guest):
    with host(guest, 30) as port:
        for line, reason in ((b"x" * 3000000, "line_too_long"), (b"[" * 100000, "too_deep"),
                             (b'{"type":"\xff\xfe"}', "bad_utf8"), (b'{"type":', "bad_json"),
                             (b"[" + b"{}," * 300000 + b"{}]", "too_many_tokens")):
            del port.seen[:]
            port.send_bytes(line + b"\n", 60)
            answer = port.expect("error", 30)
            assert answer["details"]["reason"] == reason, (reason, answer)
            port.keep_alive(9)
            assert not [m for m in port.seen if m["type"] == "error"], port.seen
        for byte in b'{"type":"keep_alive_request","sequence_number":77,"timestamp":"2026-01-01T00:00:00Z"}\n':
            port.send_bytes(bytes([byte]))
        port.expect(lambda m: m.get("sequence_number") == 77)


@story(rows=[41], limit_s=90)
def a_host_that_does_not_read_costs_samples_but_no_replies(guest):
    pid = main_pid(guest)
    with configured(guest, "[timers]\nmetrics_interval_ms = 10\n"):
        with host(guest, 30) as port:
            for number in range(20):
                port.send(unsafe("echo %d" % number, "deaf%d" % number))
            # QEMU, socket and port take about 5 MB before the agent's own queue fills.
            time.sleep(12)
            kb = int(guest.sh("sed -n 's/^VmRSS:\\s*\\([0-9]*\\).*/\\1/p' /proc/%d/status" % pid))
            assert kb < 16384, kb
            before = logged(guest)
            time.sleep(1)
            assert logged(guest) > before
            answered = set()
            while len(answered) < 20:
                answered.add(port.expect("response", 60)["id"])
            port.expect(lambda m: m["type"] == "metrics", 10)
    with host(guest) as port:
        port.keep_alive(3)


@story(rows=[41], limit_s=60)
def a_host_that_does_not_read_costs_no_cpu(guest):
    pid = main_pid(guest)
    with configured(guest, "[timers]\nmetrics_interval_ms = 3600000\n"):
        with host(guest) as port:
            # 6 MB: more than the port's ring takes, less than that and the agent's queue together
            for number in range(24):
                port.send(unsafe("head -c 400000 /dev/zero | tr '\\0' a", "full%d" % number))
            time.sleep(10)
            before = cpu_ns(guest, pid)
            turns = switches(guest, pid)
            guest.sh("sleep 3")
            assert cpu_ns(guest, pid) - before < 30e6
            assert switches(guest, pid) - turns < 100
            answered = set()
            while len(answered) < 24:
                answered.add(port.expect("response", 30)["id"])


@story(rows=[42], limit_s=60)
def a_host_that_reads_a_byte_at_a_time_is_served(guest):
    with AgentPort(guest.path("port1"), 30) as port:
        slowly = b""
        end = time.monotonic() + 3
        while time.monotonic() < end:
            slowly += port.read_bytes(1, 1) or b""
            time.sleep(0.05)
        port.buffer = slowly
        assert port.message()["type"] == "handshake"
        port.keep_alive(2)


@story(rows=[46], limit_s=60)
def the_port_is_pulled_while_nothing_happens_and_comes_back(guest):
    pid = main_pid(guest)
    with configured(guest, FAST):
        guest.unplug()
        before = wait_for(lambda: logged(guest), 5)
        time.sleep(1)
        assert logged(guest) > before, "the local log went on without a port"
        guest.plug()
        with host(guest) as port:
            port.keep_alive(46)
    assert main_pid(guest) == pid


@story(rows=[46], limit_s=90)
def the_port_is_pulled_under_commands_and_traffic(guest):
    pid = main_pid(guest)
    with configured(guest, "[timers]\nmetrics_interval_ms = 20\n"):
        for turn in range(3):
            with host(guest) as port:
                port.send(unsafe("sleep 30", "running%d" % turn))
                port.send(unsafe("head -c 300000 /dev/urandom | base64", "writing%d" % turn))
                time.sleep(0.3)
                port.send_bytes(b'{"type":"SafeCommand","id":"ha')
                guest.unplug()
            guest.plug()
            with host(guest) as port:
                port.keep_alive(turn)
    assert main_pid(guest) == pid


@story(rows=[47], limit_s=60)
def a_port_that_comes_back_under_another_number_is_found_by_its_name(guest):
    before = guest.sh("readlink " + AGENT_NODE)
    guest.unplug()
    guest.plug(nr=17)
    with host(guest) as port:
        port.keep_alive(47)
    assert guest.sh("readlink " + AGENT_NODE) != before
    guest.unplug()
    guest.plug()
    with host(guest) as port:
        port.keep_alive(48)


@story(rows=[48], limit_s=60)
def a_port_that_is_missing_at_the_start_is_waited_for(guest):
    guest.unplug()
    guest.sh("systemctl restart infiniservice")
    assert guest.sh("systemctl is-active infiniservice") == "active"
    time.sleep(2)
    begin = time.monotonic()
    guest.plug()
    with host(guest) as port:
        port.keep_alive(48)
    assert time.monotonic() - begin < 5, "a node that appears is noticed, not polled for"


@story(rows=[48], limit_s=90)
def a_port_that_is_held_by_another_is_tried_again_with_one_log_line_a_minute(guest):
    node = guest.sh("readlink -f " + AGENT_NODE)
    guest.sh("systemctl stop infiniservice")
    mark = journal_mark(guest)
    holder = guest.background("exec 7<>%s; touch /run/held; while [ -e /run/held ]; do sleep 0.2; done" % node, 60)
    guest.wait("test -e /run/held")
    guest.sh("systemctl start infiniservice")
    time.sleep(8)
    lines = [line for line in journal_since(guest, mark).splitlines() if "busy" in line.lower()]
    assert len(lines) == 1, lines
    guest.sh("rm /run/held")
    holder()
    with host(guest, 35) as port:
        port.keep_alive(48)


@story(rows=[48], limit_s=90)
def a_port_that_may_not_be_opened_is_opened_once_it_may(guest):
    node = guest.sh("readlink -f " + AGENT_NODE)
    own = "/run/systemd/system/infiniservice.service.d/50-story.conf"
    guest.sh("mkdir -p " + own.rpartition("/")[0])
    # A start gives the port to the agent; here it does not.
    guest.put(own, "[Service]\nExecStartPre=\n")
    try:
        guest.sh("systemctl daemon-reload; systemctl stop infiniservice; chown root:root %s; systemctl start infiniservice" % node)
        time.sleep(1)
        assert not port_is_open(guest)
        begin = time.monotonic()
        guest.sh("/usr/libexec/infiniservice-exec port %s" % node.split("/")[-1])
        with host(guest, 35) as port:
            port.keep_alive(48)
        assert time.monotonic() - begin < 5, "a change of the node is noticed"
    finally:
        guest.run("rm %s; systemctl daemon-reload" % own)


@story(rows=[49])
def a_second_agent_on_the_same_state_ends_and_names_the_first(guest):
    output = guest.run("runuser -u infiniservice -- timeout 10 infiniservice --port none")
    assert output.status == 1, output
    assert str(main_pid(guest)) in output, output


@story(rows=[50], limit_s=60)
def what_the_host_sends_while_the_agent_restarts_is_resynchronised(guest):
    guest.sh("systemctl stop infiniservice")
    port = AgentPort(guest.path("port1"))
    port.send_bytes(b'tail of a line"}\n')
    port.send({"type": "keep_alive_request", "sequence_number": 50, "timestamp": "2026-01-01T00:00:00Z"})
    port.send_bytes(b'{"type":"keep_alive_request","sequ')
    guest.sh("systemctl start infiniservice")
    port.expect("handshake")
    # What was sent before the node was opened may be kept or lost, but it must not spoil what comes after.
    port.send_bytes(b"\n")
    port.keep_alive(51)
    port.ask("SystemInfo", "afterwards")
    port.close()


@story(rows=[51], limit_s=60)
def a_guest_that_was_stopped_sends_no_burst(guest):
    with configured(guest, "[timers]\nmetrics_interval_ms = 500\n"):
        with host(guest) as port:
            port.expect("metrics")
            guest.qmp("stop")
            time.sleep(5)
            guest.qmp("cont")
            begin = time.monotonic()
            stamps = []
            while time.monotonic() - begin < 3:
                try:
                    if port.message(0.5)["type"] == "metrics":
                        stamps.append(time.monotonic() - begin)
                except Timeout:
                    pass
            # 3 s at two a second, one that was on its way and one out of turn
            assert 4 <= len(stamps) <= 9, stamps
            assert len([s for s in stamps if s < 0.4]) <= 3, stamps
            port.keep_alive(51)


@story(rows=[51], limit_s=60)
def a_guest_that_is_put_back_to_a_snapshot_goes_on(guest):
    with host(guest) as port:
        port.keep_alive(1)
        guest.save("story")
        port.ask("SystemInfo", "before")
        time.sleep(2)
        guest.load("story")
        port.send_bytes(b"\n")
        port.keep_alive(2)
        port.ask("SystemInfo", "again")
    with host(guest) as port:
        port.keep_alive(3)


@story(rows=[51], limit_s=60)
def a_host_that_reconnects_while_the_guest_is_stopped_is_served(guest):
    with host(guest) as port:
        port.keep_alive(1)
    guest.qmp("stop")
    with AgentPort(guest.path("port1")) as port:
        port.send_bytes(b"\n")
        guest.qmp("cont")
        port.keep_alive(2)
        port.ask("SystemInfo", "after the pause")


@story()
def none_of_this_restarted_the_agent(guest):
    assert restarts(guest) == 0
