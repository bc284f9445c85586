#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""A host of the QEMU guest agent's language: what it is answered, in which order, and that nothing is ever said unasked."""
import json
import os
import platform
import socket as sockets
import time

import tap
from fakehost import SLOW, Agent, UnixHost, fd_count, wait_until
from localclient import LocalClient
from qgaclient import Client

SYNC = {"execute": "guest-sync", "arguments": {"id": 77}}
# The words that KubeVirt asks for before it calls an agent supported, but for shutdown, which needs the executor.
READS = ("guest-ping guest-get-time guest-info guest-network-get-interfaces guest-get-fsinfo guest-get-host-name guest-get-users "
         "guest-get-timezone guest-get-osinfo guest-get-disks guest-get-diskstats guest-get-cpustats guest-get-vcpus guest-get-load "
         "guest-network-get-route guest-fsfreeze-status").split()


def spoken(settings=None, port="none"):
    agent = Agent(port)
    path = agent.path("qga.sock")
    agent.settings.update({"qga.spec": f"listen:{path}", **(settings or {})})
    tap.keep(agent)
    return agent, path


def client(settings=None):
    agent, path = spoken(settings)
    return agent, tap.keep(Client(path))


def story_every_command_that_reads_is_answered_within_100_ms():
    _, host = client()
    host.ok("guest-get-fsinfo")  # starts the prober
    for command in READS:
        begun = time.monotonic()
        host.ok(command)
        took = time.monotonic() - begun
        assert took < 0.1 * SLOW, f"{command}: {took * 1000:.0f} ms"


def story_nothing_is_said_before_a_request_nor_after_its_answer():
    _, host = client({"timers.metrics_interval_ms": 50})
    host.quiet()
    host.write(SYNC)
    assert host.line() == b'{"return":77}'
    host.quiet()


def story_a_request_needs_no_newline_and_several_may_come_in_one_write():
    _, host = client()
    host.write(b'{"execute":"guest-ping"}{"execute":"guest-sync","arguments":{"id":1}}\n\n{\n"execute":\n"guest-ping",\n"id":\n{"a":[1]}}')
    assert host.answer() == {"return": {}}
    assert host.answer() == {"return": 1}
    assert host.answer() == {"return": {}, "id": {"a": [1]}}


def story_requests_written_byte_by_byte_are_answered():
    _, host = client()
    for byte in b'{"execute":"guest-sync","arguments":{"id":5},"id":"\xc3\xa4"}':
        host.write(bytes([byte]))
    assert host.answer() == {"return": 5, "id": "\xe4"}


def story_three_thousand_pipelined_requests_get_three_thousand_answers():
    _, host = client()
    host.write(b"".join(json.dumps({"execute": "guest-sync", "arguments": {"id": i}}).encode() for i in range(3000)))
    for i in range(3000):
        assert host.answer(20) == {"return": i}


def story_answers_keep_the_order_of_their_requests():
    _, host = client()
    for _ in range(20):
        host.write(b'{"execute":"guest-get-fsinfo"}{"execute":"guest-ping","id":1}{"execute":"guest-get-fsinfo"}{"execute":"none"}')
        kinds = [host.answer() for _ in range(4)]
        assert isinstance(kinds[0]["return"], list) and kinds[1] == {"return": {}, "id": 1}
        assert isinstance(kinds[2]["return"], list) and kinds[3]["error"]["class"] == "CommandNotFound"


def story_proxmox_synchronizes_and_asks_in_one_write():
    agent, path = spoken()
    for i in range(5):  # a connection for each call
        with Client(path) as host:
            host.write(b'{"execute":"guest-sync-delimited","arguments":{"id":%d}}\n{"execute":"guest-info"}\n' % i)
            assert host.line() == b'\xff{"return":%d}' % i
            assert {"name": "guest-ping", "enabled": True, "success-response": True} in host.answer()["return"]["supported_commands"]
    assert agent.alive()


def story_kubevirt_finds_what_it_asks_for_in_info_and_polls_it():
    _, host = client()
    info = host.ok("guest-info")
    enabled = {row["name"] for row in info["supported_commands"] if row["enabled"]}
    assert isinstance(info["version"], str)
    # All ten of "supported", but for shutdown, for which there is no executor here.
    missing = {"guest-ping", "guest-get-time", "guest-info", "guest-shutdown", "guest-network-get-interfaces", "guest-get-fsinfo",
               "guest-get-host-name", "guest-get-users", "guest-get-timezone", "guest-get-osinfo"} - enabled
    assert missing == {"guest-shutdown"}, missing
    for _ in range(3):
        host.ok("guest-ping")
        assert host.ok("guest-fsfreeze-status") == "thawed"
        for row in host.ok("guest-get-fsinfo"):
            assert {"name", "mountpoint", "type", "disk"} <= set(row), row
            assert isinstance(row["used-bytes"], int) and isinstance(row["total-bytes"], int)
        assert set(host.ok("guest-get-load")) == {"load1m", "load5m", "load15m"}


def story_libvirt_reads_each_answer_it_needs_behind_a_sync():
    _, path = spoken()
    with Client(path) as host:
        for stamp, command in enumerate(("guest-get-osinfo", "guest-get-host-name", "guest-get-timezone", "guest-get-users",
                                         "guest-get-fsinfo", "guest-get-disks", "guest-network-get-interfaces", "guest-get-vcpus"), 1 << 40):
            host.write(b'{"execute":"guest-sync", "arguments":{"id":%d}}\n' % stamp)
            assert host.answer() == {"return": stamp}
            host.write(b'{"execute":"%s"}\n' % command.encode())
            value = host.answer()["return"]
            if command == "guest-get-fsinfo":
                for disk in (disk for row in value for disk in row["disk"]):
                    assert all(isinstance(disk[key], int) for key in ("bus", "target", "unit"))
                    assert set(disk["pci-controller"]) == {"domain", "bus", "slot", "function"}
            elif command == "guest-network-get-interfaces":
                for address in (address for row in value for address in row.get("ip-addresses", ())):
                    assert address["ip-address-type"] in ("ipv4", "ipv6") and isinstance(address["prefix"], int) and address["ip-address"]
            elif command == "guest-get-timezone":
                assert isinstance(value["offset"], int)
            elif command == "guest-get-vcpus":
                assert all({"logical-id", "online", "can-offline"} == set(row) for row in value)


def story_hosts_that_come_and_go_leave_nothing_behind():
    agent, path = spoken()
    with Client(path) as host:
        host.ok("guest-get-fsinfo")
    before = fd_count(agent.pid)
    for i in range(200):
        with Client(path) as host:
            host.write(b'{"execute":"guest-get-fsinfo"}{"execute":"guest-pi' if i % 2 else SYNC)
            if i % 2 == 0:
                assert host.line() == b'{"return":77}'
    with Client(path) as host:
        host.write(SYNC)
        assert host.line() == b'{"return":77}'
    wait_until(lambda: fd_count(agent.pid) <= before, what="as many descriptors as before")


def story_requests_cut_anywhere_by_writes_of_any_size_are_answered():
    _, host = client()
    whole = b"".join(json.dumps({"execute": "guest-sync", "arguments": {"id": i}, "id": "x" * (i % 50)}, indent=i % 3 or None).encode() for i in range(60))
    at, size = 0, 1
    while at < len(whole):
        host.write(whole[at:at + size])
        at += size
        size = size * 7 % 97 + 1
    for i in range(60):
        assert host.answer() == {"return": i, "id": "x" * (i % 50)}


def story_what_is_too_long_or_too_deep_is_refused_and_the_next_request_answered():
    _, host = client()
    for bad in (b'{"execute":"' + b"a" * (3 << 20) + b'"}\n', b"[" * 5000 + b"\n", b'{"a":' * 40 + b"1" + b"}" * 40 + b"\n", b"\0\1\2\n", b'{"a":"\xc3\x28"}\n'):
        host.write(bad + json.dumps(SYNC).encode() + b"\n")
        assert "error" in host.answer(20), bad[:20]
        assert host.answer() == {"return": 77}
    host.quiet()


def story_half_a_request_of_a_host_that_left_does_not_cost_the_next_one():
    _, path = spoken()
    for half in (b'{"execute":"guest-pi', b'{"execute":"guest-ping","arguments":{', b'{"execute":"guest-get-fsinfo"}{'):
        with Client(path) as host:
            host.write(half)
        with Client(path) as host:
            host.write(SYNC)
            assert host.line() == b'{"return":77}'


def story_a_byte_0xff_drops_what_came_before_it_anywhere():
    _, host = client()
    whole = b'{"execute":"guest-file-open","arguments":{"path":"a\\"b","mode":{"x":[1,-2.5e3,null]}}}'
    for cut in range(len(whole)):
        host.write(whole[:cut] + b'\xff{"execute":"guest-sync-delimited","arguments":{"id":%d}}' % cut)
        assert host.line() == b'\xff{"return":%d}' % cut
    host.quiet()


def story_what_is_wrong_is_refused_in_qemus_words():
    _, host = client()
    assert host.error("guest-foo") == ("CommandNotFound", "The command guest-foo has not been found")
    assert host.error("guest-get-devices") == ("CommandNotFound", "Command guest-get-devices has been disabled")
    assert host.error("guest-ping", {"foo": 1}) == ("GenericError", "Parameter 'foo' is unexpected")
    assert host.error("guest-sync") == ("GenericError", "Parameter 'id' is missing")
    host.write(b"nonsense\n")
    assert host.answer()["error"]["class"] == "GenericError"
    assert host.ask("guest-foo", id=[9])["id"] == [9]


def story_the_default_policy_reads_and_no_more():
    _, host = client()
    commands = {row["name"]: row["enabled"] for row in host.ok("guest-info")["supported_commands"]}
    assert all(commands[name] for name in READS)
    for name in ("guest-exec", "guest-file-open", "guest-set-user-password", "guest-set-time", "guest-ssh-add-authorized-keys",
                 "guest-suspend-ram", "guest-get-devices"):
        assert commands[name] is False, name
        assert host.error(name)[0] == "CommandNotFound"
    assert commands["guest-shutdown"] is False, "there is no executor here"


def story_what_the_owner_denies_is_disabled_and_said_so_in_info():
    _, host = client({"qga.deny": "guest-get-users", "qga.allow": "guest-get-users guest-get-load"})
    commands = {row["name"]: row["enabled"] for row in host.ok("guest-info")["supported_commands"]}
    assert sorted(name for name, enabled in commands.items() if enabled) == [
        "guest-get-load", "guest-info", "guest-ping", "guest-sync", "guest-sync-delimited"]
    assert host.error("guest-get-users") == ("CommandNotFound", "Command guest-get-users has been disabled")


def story_the_policy_of_commands_is_not_inherited():
    tap.need_room()
    _, host = client({"commands.allow": "observe control power", "commands.allow_unsafe": "yes", "qga.allow": "observe"})
    for name in ("guest-exec", "guest-shutdown", "guest-set-time"):
        assert host.error(name) == ("CommandNotFound", f"Command {name} has been disabled")


def story_the_answers_describe_this_machine():
    _, host = client()
    assert host.ok("guest-get-host-name") == {"host-name": sockets.gethostname()}
    osinfo = host.ok("guest-get-osinfo")
    assert osinfo["kernel-release"] == platform.release() and osinfo["machine"] == platform.machine()
    assert abs(host.ok("guest-get-time") / 1e9 - time.time()) < 5
    assert len(host.ok("guest-get-vcpus")) >= len(os.sched_getaffinity(0))
    lo = next(row for row in host.ok("guest-network-get-interfaces") if row["name"] == "lo")
    assert lo["statistics"]["rx-packets"] >= 0
    for row in host.ok("guest-get-fsinfo"):
        assert row["used-bytes"] <= row["total-bytes"] <= row["total-bytes-privileged"]
        room = os.statvfs(row["mountpoint"])
        assert row["total-bytes-privileged"] == room.f_blocks * room.f_frsize


def story_both_languages_are_spoken_at_once():
    host = tap.keep(UnixHost())
    _, path = spoken(port=host.spec)
    host.accept()
    with Client(path) as other:
        for i in range(50):
            other.write({"execute": "guest-sync", "arguments": {"id": i}})
            host.send({"type": "keep_alive_request", "sequence_number": i, "timestamp": "2026-01-01T00:00:00Z"})
            assert other.answer() == {"return": i}
            assert host.expect("keep_alive")["sequence_number"] == i
        other.quiet()


def story_status_shows_the_port_and_what_came_of_it():
    agent, path = spoken()
    with Client(path) as host:
        host.ok("guest-ping")
        host.error("guest-foo")
        shown = tap.keep(LocalClient(agent)).status()["qga"]
    assert shown["state"] == "connected" and shown["requests"] == 2 and shown["answers"] == 2 and shown["refused"] == 1, shown


def story_a_socket_without_a_host_costs_no_wake_up():
    agent, path = spoken({"timers.metrics_interval_ms": 3600000, "timers.health_interval_ms": 3600000})
    with Client(path) as host:
        host.ok("guest-ping")

    def switches():
        with open(f"/proc/{agent.pid}/status", encoding="utf-8") as file:
            return int(next(line for line in file if line.startswith("voluntary_ctxt_switches")).split()[1])

    time.sleep(1.5)
    before = switches()
    time.sleep(3)
    assert switches() == before, f"{switches() - before} wake-ups in 3 s"


if __name__ == "__main__":
    tap.main(globals())
