#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Scripts: asked for once after connect, run by the interpreter they name, and completed exactly once each, whatever becomes of them."""
import os
import time

import tap
from fakehost import SLOW, processes_running, talk, wait_until

UNSAFE = {"commands.allow_unsafe": "yes"}
_count = 0


def script(content, shell="bash", **more):
    global _count
    _count += 1
    return {"execution_id": f"e{os.getpid()}-{_count}", "script_id": "s1", "script_name": "a test", "script_content": content,
            "shell": shell, "execution_type": "on_demand", "input_values": {}, "timeout_seconds": 20, "run_as": None, **more}


def send(host, *scripts):
    host.send({"type": "pending_scripts_response", "scripts": list(scripts)})
    return [s["execution_id"] for s in scripts]


def completion(host, execution_id, timeout=10, passed=None):
    return host.expect("script_completion", timeout, lambda m: m["execution_id"] == execution_id, passed)


def run(host, *arguments, **more):
    (execution_id,) = send(host, script(*arguments, **more))
    return completion(host, execution_id)


@tap.beside
def story_pending_scripts_are_asked_for_after_connect_and_again_until_they_come():
    _, host = talk(tap.keep, UNSAFE)
    first = host.expect("request_pending_scripts", 1)
    assert first["vm_id"] == "test-vm"
    begun = time.monotonic()
    host.expect("request_pending_scripts", 12)
    assert 9.5 < time.monotonic() - begun < 10.5 * SLOW
    send(host)
    host.disconnect()
    host.accept()
    host.expect("request_pending_scripts", 1)
    send(host)
    host.quiet(11, kinds=("request_pending_scripts", "response", "error"))


def story_where_scripts_are_not_allowed_none_is_asked_for_and_each_is_refused():
    _, host = talk(tap.keep)
    host.quiet(0.5, kinds=("request_pending_scripts",))
    answer = run(host, "echo no")
    assert answer["exit_code"] == -1 and "policy" in answer["stderr"] and answer["stdout"] == "", answer
    host.quiet(0.3, kinds=("script_completion", "response", "error"))


def story_each_interpreter_in_any_case_runs_its_language():
    _, host = talk(tap.keep, UNSAFE)
    languages = [("sh", "echo $0 $((2+3))", "5"), ("BASH", "a=(x y); echo ${a[1]}", "y"), ("Dash", "echo d", "d"),
                 ("python3", "import sys; print(2**70)", str(2**70)), ("Python", "print('p')", "p"),
                 ("PERL", 'print "l" x 3, "\\n";', "lll"), (None, "echo plain", "plain")]
    for shell, text, want in languages:
        answer = run(host, text, shell)
        assert answer["exit_code"] == 0 and want in answer["stdout"], (shell, answer)


def story_an_interpreter_that_is_none_of_ours_is_refused():
    _, host = talk(tap.keep, UNSAFE)
    for shell in ("powershell", "cmd", "/bin/sh", "sh -c", "", "../sh"):
        answer = run(host, "echo no", shell)
        if shell:
            assert answer["exit_code"] == -1 and "shell" in answer["stderr"] and not answer["stdout"], (shell, answer)


def story_inputs_are_in_the_environment_under_safe_names():
    _, host = talk(tap.keep, UNSAFE)
    inputs = {"name": "a b$(id)\n'\"", "count": 5, "on": True, "odd-name.x": "odd", "none": None, "list": [1, "2"], "PATH": "/evil"}
    answer = run(host, 'printf "%s|" "$INPUT_name" "$INPUT_NAME" "$INPUT_COUNT" "$INPUT_ON" "$INPUT_odd_name_x" "$INPUT_NONE" '
                       '"$INPUT_PATH" "$PATH"', input_values=inputs)
    fields = answer["stdout"].split("|")
    assert fields[0] == fields[1] == inputs["name"], fields
    assert fields[2:6] == ["5", "true", "odd", ""] and fields[6] == "/evil" and "/evil" not in fields[7], fields
    for bad in ([1], "x", {"": "v"}, {"n" * 300: "v"}, {"x": "a\u0000b"}):
        assert run(host, "echo no", input_values=bad)["exit_code"] == -1, bad


def story_exit_codes_and_both_streams_come_back():
    _, host = talk(tap.keep, UNSAFE)
    answer = run(host, "echo out; echo err >&2; exit 17")
    assert (answer["exit_code"], answer["stdout"], answer["stderr"]) == (17, "out\n", "err\n"), answer


def story_the_text_of_a_script_is_in_no_process_list_and_has_no_name_that_another_user_could_open():
    agent, host = talk(tap.keep, UNSAFE)
    (execution_id,) = send(host, script("secret_word=hunter2; sleep 0.7; echo $0; cat $0"))
    time.sleep(0.3)
    assert not processes_running("hunter2")
    for folder, _, names in os.walk(agent.path("run")):
        for name in names:
            path = os.path.join(folder, name)
            assert not os.path.isfile(path) or b"hunter2" not in open(path, "rb").read(), path
    answer = completion(host, execution_id)
    assert answer["exit_code"] == 0 and answer["stdout"].startswith("/proc/self/fd/3\nsecret_word=hunter2"), answer
    assert not os.path.exists(agent.path("run/scripts"))


def story_what_an_earlier_version_left_of_scripts_is_removed():
    agent, host = talk(tap.keep, UNSAFE)
    agent.stop()
    os.mkdir(agent.path("run/scripts"))
    with open(agent.path("run/scripts/" + "0123456789abcdef" * 2), "w", encoding="ascii") as file:
        file.write("echo old")
    agent.start()
    wait_until(lambda: not os.path.exists(agent.path("run/scripts")), 5, "the removal of old scripts")
    host.accept()
    host.expect("metrics")  # that comes early in a start: an agent is stopped as one that runs


def story_a_script_of_a_megabyte_runs():
    _, host = talk(tap.keep, UNSAFE)
    answer = run(host, "# " + "x" * 900000 + "\necho big")
    assert answer["exit_code"] == 0 and answer["stdout"] == "big\n", answer["stderr"]


def story_another_user_runs_what_is_meant_for_it():
    tap.need_root()
    _, host = talk(tap.keep, {**UNSAFE, "agent.runtime_dir": "/run/infini-test-" + str(os.getpid())})
    answer = run(host, "id -un", run_as="nobody")
    os.system(f"rm -rf /run/infini-test-{os.getpid()}")
    assert answer["exit_code"] == 0 and answer["stdout"] == "nobody\n", answer
    for preset in ("system", "SYSTEM", "Administrator"):
        answer = run(host, "id -un", run_as=preset)
        assert answer["exit_code"] == 0 and answer["stdout"] == "root\n", answer
    answer = run(host, "id -un", run_as="no-such-user")
    assert answer["exit_code"] == -1 and answer["stderr"], answer


def story_a_script_that_takes_too_long_is_killed_and_completed():
    _, host = talk(tap.keep, UNSAFE)
    begun = time.monotonic()
    answer = run(host, "echo begun; sleep 33.3", timeout_seconds=2)
    assert time.monotonic() - begun < 2 * SLOW
    assert answer["exit_code"] != 0 and answer["stdout"] == "begun\n" and "deadline" in answer["stderr"], answer
    wait_until(lambda: not processes_running("sleep 33.3"), 2, "the end of its processes")


def story_what_catches_the_signal_and_ends_well_has_still_failed():
    _, host = talk(tap.keep, UNSAFE)
    text = "trap 'exit 0' TERM; echo begun; while :; do sleep 0.1; done"
    answer = run(host, text, timeout_seconds=2)
    assert answer["exit_code"] == 1 and "deadline" in answer["stderr"], answer
    answer = host.run(text, timeout=2)
    assert not answer["success"] and answer["exit_code"] == 1 and answer["error_code"] == "COMMAND_TIMEOUT", answer


def story_wrong_fields_are_refused_one_by_one():
    _, host = talk(tap.keep, UNSAFE)
    bad = [{"script_content": None}, {"script_content": 5}, {"shell": 7}, {"timeout_seconds": 0}, {"timeout_seconds": "x"},
           {"timeout_seconds": 10**9}, {"run_as": []}, {"input_values": 3}]
    scripts = [script("echo no", **fields) for fields in bad] + [script("echo yes")]
    ids = send(host, *scripts)
    answers = {}
    while len(answers) < len(ids):
        message = host.expect("script_completion")
        assert message["execution_id"] not in answers
        answers[message["execution_id"]] = message
    assert all(answers[i]["exit_code"] == -1 and answers[i]["stderr"] for i in ids[:-1])
    assert answers[ids[-1]]["stdout"] == "yes\n"
    host.send({"type": "pending_scripts_response", "scripts": [{"script_content": "x"}, 5, {"execution_id": "i" * 200}]})
    for _ in range(3):
        assert host.expect("error")["details"]["reason"] == "missing_field"
    host.in_step()


def story_the_same_execution_twice_runs_and_is_completed_once():
    agent, host = talk(tap.keep, UNSAFE)
    proof = agent.path("proof")
    one = script(f"echo x >>{proof}; sleep 0.5")
    send(host, one, one)
    send(host, one)
    assert completion(host, one["execution_id"])["exit_code"] == 0
    host.quiet(1.0, kinds=("script_completion",))
    with open(proof, encoding="ascii") as file:
        assert file.read() == "x\n"


def story_scripts_leave_a_slot_to_commands():
    _, host = talk(tap.keep, {**UNSAFE, "commands.max_concurrent": 2})
    ids = send(host, *[script("sleep 0.6") for _ in range(4)])
    begun = time.monotonic()
    assert host.run("echo quick")["success"]
    assert time.monotonic() - begun < 0.4 * SLOW
    for execution_id in ids:
        completion(host, execution_id)
    assert 2.2 < time.monotonic() - begun < 4 * SLOW


def story_a_completion_waits_for_a_host_that_went_away():
    _, host = talk(tap.keep, UNSAFE)
    (execution_id,) = send(host, script("sleep 0.5; echo kept"))
    host.in_step()
    host.disconnect()
    host.deafen()
    time.sleep(1.2)
    host.listen()
    host.accept(35)
    assert completion(host, execution_id)["stdout"] == "kept\n"
    host.quiet(0.5, kinds=("script_completion",))


def story_a_completion_that_the_connection_took_with_it_comes_again():
    _, host = talk(tap.keep, {**UNSAFE, "port.queue_bytes": "2M", "commands.max_output_bytes": "512K"})
    ids = send(host, *[script("head -c 400000 /dev/zero | tr '\\0' a") for _ in range(6)])
    time.sleep(1.5 * SLOW)  # more than the socket holds: the rest waits in the agent
    host.disconnect()
    host.accept(35)
    found = {host.expect("script_completion", 5)["execution_id"] for _ in range(2)}
    assert found <= set(ids), found


def story_a_full_queue_completes_what_it_cannot_take():
    _, host = talk(tap.keep, {**UNSAFE, "commands.max_concurrent": 1, "commands.queue_size": 2})
    ids = set(send(host, *[script("sleep 0.2") for _ in range(10)]))
    codes = {}
    while ids - set(codes):
        message = host.expect("script_completion", 10)
        assert message["execution_id"] not in codes
        codes[message["execution_id"]] = message["exit_code"]
    assert sorted(codes.values()) == [-1] * 7 + [0] * 3, codes


def story_a_stop_of_the_agent_completes_every_script():
    agent, host = talk(tap.keep, {**UNSAFE, "commands.max_concurrent": 2, "agent.shutdown_grace_s": 1})
    ids = set(send(host, *[script("sleep 30") for _ in range(3)]))
    host.in_step()
    agent.process.terminate()
    while ids:
        message = host.expect("script_completion", 10)
        assert message["stderr"], message
        ids.remove(message["execution_id"])
    assert agent.wait() == 0


tap.main(globals())
