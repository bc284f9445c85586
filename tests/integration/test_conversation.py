#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""What a host and an agent say to each other when all is well, and how what may not be done is refused."""
import json
import os
import platform
import socket as sockets
import time

import tap
from fakehost import SLOW, Agent, UnixHost, fd_count, talk

UNSAFE = {"commands.allow_unsafe": "yes"}


def story_a_newline_then_the_handshake_comes_within_100_ms_of_the_connection():
    host = tap.keep(UnixHost())
    tap.keep(Agent(host.spec))
    host.accept(hello=False)
    begun = time.monotonic()
    message = host.next()
    took = time.monotonic() - begun
    assert host.first_byte == b"\n", host.first_byte
    assert message["type"] == "handshake", message
    assert took < 0.1 * SLOW, f"{took * 1000:.0f} ms"
    assert message["vm_id"] == "test-vm" and message["platform"] == "linux"


def story_a_complete_sample_follows_the_handshake_at_once():
    _, host = talk(tap.keep)
    begun = time.monotonic()
    message = host.expect("metrics", 2)
    assert time.monotonic() - begun < 1.5 * SLOW
    system = message["data"]["system"]
    assert len(system["cpu"]["cores_usage"]) == os.cpu_count()
    assert system["hostname"] == sockets.gethostname()
    assert system["kernel_version"] == platform.release()
    assert len(message["data"]["processes"]) >= 1


def story_samples_keep_to_their_interval_and_seq_has_no_holes():
    _, host = talk(tap.keep, {"timers.metrics_interval_ms": 200})
    found = [host.expect("metrics") for _ in range(11)]
    times = host.arrived[-10:]
    numbers = [m["seq"] for m in found]
    assert numbers == list(range(numbers[0], numbers[0] + 11)), numbers
    assert len({m["boot_id"] for m in found}) == 1
    span = times[-1] - times[0]
    assert 1.6 < span < 2.1 * SLOW, f"9 intervals of 200 ms took {span:.2f} s"


def story_a_keep_alive_request_is_answered_with_its_number():
    _, host = talk(tap.keep)
    for number in (0, 7, 2**63, 2**64 - 1):
        host.send({"type": "keep_alive_request", "sequence_number": number, "timestamp": "2026-01-01T00:00:00Z"})
        assert host.expect("keep_alive")["sequence_number"] == number


def story_a_keep_alive_response_is_not_answered():
    _, host = talk(tap.keep)
    host.send({"type": "keep_alive_response", "sequence_number": 1, "timestamp": "2026-01-01T00:00:00Z"})
    host.quiet(0.4, ("response", "error", "keep_alive"))


def story_no_keep_alive_is_sent_unasked():
    _, host = talk(tap.keep, {"timers.metrics_interval_ms": 100, "timers.health_interval_ms": 100})
    host.quiet(1.0, ("keep_alive", "response"))


def story_system_info_and_os_info_describe_this_machine():
    _, host = talk(tap.keep)
    answer = host.ask("SystemInfo")
    assert answer["success"] and answer["command_type"] == "SystemInfo", answer
    data = answer["data"]
    assert data["hostname"] == sockets.gethostname()
    assert data["kernel_version"] == platform.release()
    assert data["architecture"] == platform.machine()
    assert data["os_type"].lower() == "linux", data
    for key in ("version", "linux_distro"):
        assert key in data, data
    more = host.ask("OsInfo")["data"]
    assert {k: more[k] for k in data} == data
    assert isinstance(more["available_package_managers"], list)
    assert more["default_shell"] is None or more["default_shell"].startswith("/"), more
    if os.path.exists("/usr/bin/dpkg"):
        assert {"apt", "dpkg"} & set(more["available_package_managers"]), more


def check_rows(rows, limit):
    assert isinstance(rows, list) and 1 <= len(rows) <= limit, rows
    for row in rows:
        for key in ("pid", "name", "cpu_usage", "memory_kb", "status", "cmd_line", "user", "start_time"):
            assert key in row, row
        assert type(row["pid"]) is int and isinstance(row["name"], str)
        assert type(row["cpu_usage"]) in (int, float) and row["cpu_usage"] >= 0


def story_process_list_names_this_process_and_honours_its_limit():
    _, host = talk(tap.keep)
    rows = host.ask("ProcessList")["data"]
    check_rows(rows, 100000)
    own = [row for row in rows if row["pid"] == os.getpid()]
    assert own and own[0]["name"][:6] in ("python", "test_c") and "test_conversation" in (own[0]["cmd_line"] or ""), own
    assert own[0]["user"] in ("root", os.environ.get("USER"), None) or own[0]["user"], own
    check_rows(host.ask("ProcessList", limit=3)["data"], 3)
    check_rows(host.ask("ProcessList", limit=None)["data"], 100000)


def story_process_top_is_sorted_as_asked():
    _, host = talk(tap.keep)
    by_memory = host.ask("ProcessTop", limit=5, sort_by="memory")["data"]
    check_rows(by_memory, 5)
    sizes = [row["memory_kb"] or 0 for row in by_memory]
    assert sizes == sorted(sizes, reverse=True), sizes
    by_cpu = host.ask("ProcessTop", limit=5, sort_by="cpu")["data"]
    check_rows(by_cpu, 5)
    usage = [row["cpu_usage"] for row in by_cpu]
    assert usage == sorted(usage, reverse=True), usage
    check_rows(host.ask("ProcessTop")["data"], 1000)


def story_wrong_parameters_are_refused_by_name():
    _, host = talk(tap.keep)
    for parameters in ({"limit": "many"}, {"limit": -1}, {"sort_by": "colour"}, {"sort_by": 3}):
        answer = host.ask("ProcessTop", **parameters)
        assert not answer["success"] and answer["error_code"] == "INVALID_PARAMETERS", answer
        assert list(parameters)[0] in answer["error"], answer


def story_check_disk_space_lists_disks_and_drives():
    _, host = talk(tap.keep)
    data = host.ask("CheckDiskSpace")["data"]
    root = [d for d in data["disks"] if d["mount_point"] == "/"]
    assert root and 0 <= root[0]["usage_percent"] <= 100, data
    for key in ("total_gb", "used_gb", "available_gb"):
        assert type(root[0][key]) in (int, float), root
    for drive in data["drives"]:
        for key in ("drive", "drive_letter", "label", "total_gb", "used_gb", "free_gb", "available_gb", "used_percent"):
            assert key in drive, drive
    used = root[0]["usage_percent"]
    if 2 < used < 98:
        critical = host.ask("CheckDiskSpace", warning_threshold=1, critical_threshold=1)["data"]["status"]
        fine = host.ask("CheckDiskSpace", warning_threshold=100, critical_threshold=100)["data"]["status"]
        assert critical != fine, (critical, fine)


def story_parameters_may_be_nested_flat_or_outside():
    _, host = talk(tap.keep)
    forms = ({"command_type": {"action": "ProcessList", "params": {"limit": 2}}, "params": None},
             {"command_type": {"action": "ProcessList", "limit": 2}, "params": None},
             {"command_type": {"action": "ProcessList"}, "params": {"limit": 2}})
    for form in forms:
        command_id = host.new_id()
        host.send({"type": "SafeCommand", "id": command_id, "timeout": 10, **form})
        assert len(host.response(command_id)["data"]) == 2, form


def story_status_answers_as_a_type_and_as_an_action():
    agent, host = talk(tap.keep)
    host.send({"type": "Status", "id": "s1"})
    answer = host.response("s1")
    assert answer["success"] and isinstance(answer["data"], dict), answer
    again = host.ask("Status")
    assert again["success"] and set(again["data"]) == set(answer["data"])
    words = json.dumps(answer["data"])
    for fact in (str(agent.pid), "test-vm"):
        assert fact in words, f"{fact} is not in {words}"


def story_a_metrics_message_is_answered_by_a_sample_at_once():
    _, host = talk(tap.keep)
    first = host.expect("metrics")
    host.send({"type": "Metrics"})
    begun = time.monotonic()
    second = host.expect("metrics", 3)
    assert time.monotonic() - begun < 2 * SLOW
    assert second["seq"] == first["seq"] + 1


def story_an_unknown_action_is_named_unknown():
    _, host = talk(tap.keep)
    answer = host.ask("MakeCoffee")
    assert not answer["success"] and answer["error_code"] == "UNKNOWN_COMMAND", answer


def story_actions_of_windows_are_of_another_platform():
    _, host = talk(tap.keep)
    for action in ("CheckWindowsUpdates", "CheckWindowsDefender", "RunDefenderQuickScan", "ExecutePowerShellScript",
                   "GetThreatHistory", "AutoOptimizeDisk", "AutoFixDefender", "AutoFixWindowsUpdates"):
        answer = host.ask(action)
        assert not answer["success"] and answer["error_code"] == "UNSUPPORTED_PLATFORM", answer


def story_a_password_is_never_written_down():
    agent, host = talk(tap.keep, {"agent.log_level": "debug"})
    host.ask("JoinDomain", domain="example.org", username="u", password="hunter2-secret")
    assert "hunter2-secret" not in agent.stderr()


def story_by_default_nothing_but_looking_is_allowed():
    agent, host = talk(tap.keep)
    marker = agent.path("proof")
    answer = host.run(f"touch {marker}")
    assert not answer["success"] and answer["error_code"] == "POLICY_DENIED", answer
    assert answer["command_type"] == "unsafe" and answer["exit_code"] == 1, answer
    assert not os.path.exists(marker)


def story_commands_can_be_switched_off_altogether():
    _, host = talk(tap.keep, {"commands.enabled": "no", "commands.allow_unsafe": "yes"})
    assert host.ask("SystemInfo")["error_code"] == "POLICY_DENIED"
    assert host.run("true")["error_code"] == "POLICY_DENIED"
    host.in_step()


def story_deny_wins_over_allow():
    _, host = talk(tap.keep, {"commands.allow": "observe", "commands.deny": "ProcessList"})
    assert host.ask("ProcessList")["error_code"] == "POLICY_DENIED"
    assert host.ask("ProcessTop")["success"]


def story_an_unsafe_command_runs_when_the_guest_allows_it():
    _, host = talk(tap.keep, UNSAFE)
    answer = host.run("echo out; echo err >&2; exit 3")
    assert (answer["exit_code"], answer["stdout"], answer["stderr"]) == (3, "out\n", "err\n"), answer
    assert answer["command_type"] == "unsafe" and not answer["success"], answer
    assert answer["error_code"] == "COMMAND_FAILED", answer
    assert host.run("true")["success"]


def story_an_unsafe_command_takes_shell_directory_and_environment():
    _, host = talk(tap.keep, UNSAFE)
    answer = host.run("pwd; echo $GREETING", working_dir="/usr", env_vars={"GREETING": "hello there"}, shell="SH")
    assert answer["stdout"] == "/usr\nhello there\n", answer
    assert host.run("echo ${BASH_VERSION%%.*}", shell="BASH")["stdout"].strip().isdigit()
    answer = host.run("pwd", working_dir="/no/such/directory")
    assert not answer["success"] and answer["exit_code"] == 1, answer
    answer = host.run("true", shell="fish-of-doom")
    assert not answer["success"] and answer["error_code"] in ("INVALID_PARAMETERS", "NOT_FOUND"), answer


def story_a_command_gets_a_small_environment_and_no_descriptor_of_the_agent():
    _, host = talk(tap.keep, UNSAFE, env={"INFINISERVICE_TEST_LEAK": "secret-in-environment"})
    assert "secret-in-environment" not in host.run("env")["stdout"]
    listed = host.run("ls /proc/self/fd")["stdout"].split()
    assert set(listed) <= {"0", "1", "2", "3"}, listed  # 3 is the directory ls itself reads
    assert host.run("cat")["stdout"] == ""  # standard input is at its end


def story_output_of_any_bytes_becomes_text_a_host_can_store():
    _, host = talk(tap.keep, UNSAFE)
    answer = host.run(r"printf 'a\000b\377\033[31m\303\251\n'")
    assert answer["success"], answer
    assert "\0" not in answer["stdout"] and answer["stdout"].startswith("a") and "\u00e9" in answer["stdout"]


def story_a_conversation_leaks_no_descriptor():
    agent, host = talk(tap.keep, UNSAFE)
    host.expect("metrics")  # by now the log writer is there too
    host.run("true")
    host.ask("ProcessList")
    before = fd_count(agent.pid)
    for _ in range(30):
        host.run("true")
        host.ask("ProcessTop")
    assert fd_count(agent.pid) == before


def story_the_first_bytes_of_a_message_may_come_with_another_encoding_of_its_end():
    _, host = talk(tap.keep)
    host.send(b'{"type":"SafeCommand","id":"crlf","command_type":{"action":"SystemInfo"},"params":null}\r\n')
    assert host.response("crlf")["success"]


tap.main(globals())
