# SPDX-License-Identifier: MIT
"""Package runs that outlive the agent, the executor or both: restarted, killed, stopped. Each is answered once, by whichever agent is there
at its end, with what it wrote."""

import contextlib
import json
import time

from agent_guest import command, host, main_pid, port_is_open
from executor_guest import executor, units
from guest import Timeout, wait_for
from repository import PACKAGE, with_setuid
from stories import story

GATE = "/run/story-gate"
BOTH = "infiniservice-exec.service infiniservice.service"
told = [0]
# What the package's script begins with: it says that it runs, and goes on when it is let.
WAIT = "echo begun; touch /run/story-begun; while [ ! -e %s ]; do sleep 0.2; done\n" % GATE


@contextlib.contextmanager
def package(guest, script="", more=""):
    """The executor, and a package whose installation waits for `let_go`."""
    told[0] += 1
    guest.sh("rm -f %s /run/story-*" % GATE)
    with with_setuid(guest, WAIT + script), executor(guest, more):
        try:
            yield
        finally:
            guest.sh("touch %s /run/story-end" % GATE)
            wait_for(lambda: not guest.run("pgrep -x apt-get").split(), 90, 0.3, "no package is worked on")
            guest.sh("dpkg -P --force-all %s >/dev/null 2>&1; rm -f %s /run/story-*" % (PACKAGE, GATE))


def install():
    """The id of this story's command: an answer of an earlier one, which failed, is none of ours."""
    return "install%d" % told[0]


def begin(guest, port, timeout_s=300, **more):
    port.send(dict(command("PackageInstall", install(), timeout_s, package=PACKAGE), **more))
    wait_for(lambda: guest.run("test -e /run/story-begun").status == 0, 150, 0.3, "the package's script runs")


def systemctl(guest, words):
    guest.sh("systemctl " + words, 120)


def let_go(guest):
    guest.sh("touch " + GATE)


def is_over(guest):
    """No unit of a package run has a process."""
    return not guest.sh("cat /sys/fs/cgroup/infiniservice.slice/infiniservice-detached-*/cgroup.procs 2>/dev/null || true").split()


def answered_once(guest, command_id=None, limit_s=150):
    """The one answer, at this or the next session; nothing of the command is left anywhere then."""
    command_id = command_id or install()
    wait_for(lambda: port_is_open(guest), 150, 0.1, "the agent opens the port")
    with host(guest) as port:
        answer = port.response(command_id, limit_s)
        wait_for(lambda: not units(guest), 10, 0.2, "its unit is gone")
        assert guest.sh("ls /run/infiniservice/ | grep -E '^(detached|keep)-' || true") == ""
        late = port.drain(0.5)
        assert not [m for m in port.seen + late if m.get("id") == command_id], "once"
    systemctl(guest, "restart infiniservice")
    wait_for(lambda: port_is_open(guest), 150, 0.1, "the agent opens the port")
    with host(guest) as port:
        port.keep_alive(1)
        late = port.drain(0.5)
        assert not [m for m in port.seen + late if m.get("id") == command_id], "not again"
    return answer


def installed(guest):
    return guest.run("dpkg-query -W -f '${Status}' %s" % PACKAGE).strip() == "install ok installed"


@story(limit_s=400)
def a_package_run_outlives_the_restart_of_agent_and_executor(guest):
    # as the package of the agent itself does, in the middle of its own installation, and goes on to speak afterwards
    script = ("systemctl restart %s; echo speaks; echo complains >&2;"
              "i=0; while [ $i -lt 3000 ]; do echo line $i of many; i=$((i+1)); done" % BOTH)
    with package(guest, script):
        with host(guest, 60) as port:
            pid = main_pid(guest)
            begin(guest, port)
            let_go(guest)
            wait_for(lambda: main_pid(guest) not in (0, pid), 90, 0.3, "the agent is another")
        answer = answered_once(guest)
        assert answer["success"] and answer["exit_code"] == 0 and answer["command_type"] == "PackageInstall", answer
        assert "begun\nspeaks\nline 0 of many\n" in answer["stdout"] and "line 2999 of many\n" in answer["stdout"], answer
        assert answer["execution_time_ms"] > 1000 and not answer.get("truncated"), answer
        assert installed(guest)


@story(limit_s=400)
def a_package_run_outlives_the_death_of_each_of_them(guest):
    with package(guest, "echo done"):
        with host(guest, 60) as port:
            begin(guest, port)
            guest.sh("kill -9 $(systemctl show -p MainPID --value infiniservice-exec)")
            port.keep_alive(2)
            guest.sh("kill -9 %d" % main_pid(guest))
            wait_for(lambda: main_pid(guest) != 0 and port_is_open(guest), 150, 0.2, "a new agent")
        with host(guest) as port:
            # the new one waits for it, in its slot, and can be asked about it
            listed = [row for row in port.status()["commands"]["list"] if row["id"] == install()]
            assert len(listed) == 1 and listed[0]["state"] == "running", listed
            port.send(command("PackageInstall", "second", 300, package=PACKAGE))
            states = {row["id"]: row["state"] for row in port.status("status2")["commands"]["list"]}
            assert states == {install(): "running", "second": "queued"}, states
            # and outlives the next executor too
            guest.sh("kill -9 $(systemctl show -p MainPID --value infiniservice-exec)")
            port.keep_alive(3)
            let_go(guest)
            first, second = port.response(install(), 150), port.response("second", 150)
            assert first["success"] and "begun\ndone\n" in first["stdout"], first
            assert second["success"], second
            wait_for(lambda: not units(guest), 10, 0.2, "its unit is gone")
        assert installed(guest)


@story(limit_s=400)
def a_package_run_outlives_a_stop_and_is_answered_after_the_start(guest):
    with package(guest, "echo done"):
        with host(guest, 60) as port:
            begin(guest, port)
            systemctl(guest, "stop infiniservice.service")
            assert not [m for m in port.seen if m.get("id") == install()]
            let_go(guest)
            wait_for(lambda: is_over(guest), 120, 0.3, "it ends")
            assert installed(guest)
            wait_for(lambda: not units(guest), 10, 0.2, "its unit is gone")
            assert "end 1 0 0 0 0 " in guest.sh("cat /run/infiniservice/detached-*.end"), "its end is remembered"
        systemctl(guest, "start infiniservice.service")
        answer = answered_once(guest)
        assert answer["success"] and "begun\ndone\n" in answer["stdout"], answer


@story(limit_s=400)
def the_end_of_a_package_run_waits_for_a_host_over_the_death_of_the_agent(guest):
    with package(guest, "echo done"):
        with host(guest, 60) as port:
            begin(guest, port)
        guest.sh("kill -9 %d" % main_pid(guest))
        wait_for(lambda: port_is_open(guest), 150, 0.2, "a new agent")
        let_go(guest)
        wait_for(lambda: is_over(guest), 120, 0.3, "it ends without a host")
        wait_for(lambda: "PackageInstall" not in guest.sh("infinictl ps || echo PackageInstall: no agent yet"), 30, 0.3, "the agent has an answer to it")
        pid = main_pid(guest)
        guest.sh("kill -9 %d" % pid)
        wait_for(lambda: main_pid(guest) not in (0, pid), 90, 0.2, "one more agent")
        answer = answered_once(guest)
        assert answer["success"] and "begun\ndone\n" in answer["stdout"], answer


@story(limit_s=400)
def more_output_than_is_kept_takes_no_more_memory_than_that(guest):
    much = "yes xxxxxxxxx | head -c 3000000; touch /run/story-much; while [ ! -e /run/story-end ]; do sleep 0.2; done; echo last"
    with package(guest, much, "max_output_bytes = 64K\n"):
        with host(guest, 60) as port:
            begin(guest, port)
            let_go(guest)
            wait_for(lambda: guest.run("test -e /run/story-much").status == 0, 120, 0.3, "it has written much")
            size = int(guest.sh("stat -c %s /run/infiniservice/detached-*.out"))
            assert size >= 3000000, size
            wait_for(lambda: int(guest.sh("stat -c %b /run/infiniservice/detached-*.out")) * 512 <= 300000, 5, 0.2, "the rest is cut out")
            systemctl(guest, "restart infiniservice")
        guest.sh("touch /run/story-end")
        answer = answered_once(guest)
        assert answer["success"] and answer["truncated"], answer["success"]
        assert len(answer["stdout"]) == 65536 and "begun\nxxxxxxxxx\n" in answer["stdout"] and "xxx" in answer["stdout"][-10:]


@story(limit_s=400)
def a_package_run_that_fails_while_no_agent_is_there_is_told_as_failed(guest):
    with package(guest, "echo broken >&2; exit 3"):
        with host(guest, 60) as port:
            begin(guest, port)
            systemctl(guest, "stop " + BOTH)
            let_go(guest)
            wait_for(lambda: is_over(guest), 120, 0.3, "it ends")
        systemctl(guest, "start infiniservice.service")
        answer = answered_once(guest)
        assert not answer["success"] and answer["error_code"] == "COMMAND_FAILED" and answer["exit_code"] == 100, answer
        assert "broken\n" in answer["stderr"] and "post-installation" in answer["stdout"] + answer["stderr"], answer


@story(limit_s=400)
def a_package_run_that_meets_its_deadline_while_nobody_is_there_is_told_as_timed_out(guest):
    with package(guest):
        with host(guest, 60) as port:
            asked = time.monotonic()
            begin(guest, port, timeout_s=35)
            systemctl(guest, "stop " + BOTH)
            wait_for(lambda: is_over(guest), 200, 0.5, "it is ended")
            assert time.monotonic() - asked > 30
        systemctl(guest, "start infiniservice.service")
        answer = answered_once(guest)
        assert answer["error_code"] == "COMMAND_TIMEOUT" and "begun\n" in answer["stdout"], answer


@story(limit_s=400)
def a_package_run_that_outlived_the_agent_can_be_cancelled(guest):
    with package(guest):
        with host(guest, 60) as port:
            begin(guest, port)
            systemctl(guest, "restart " + BOTH)
        wait_for(lambda: port_is_open(guest), 150, 0.1, "the agent opens the port")
        with host(guest) as port:
            port.send({"type": "CancelCommand", "id": "cancel", "target_id": install()})
            assert port.response("cancel")["success"]
            assert port.response(install(), 20)["error_code"] == "CANCELLED"
            wait_for(lambda: not units(guest), 10, 0.2, "nothing is left")


@story(limit_s=400)
def what_a_package_run_writes_is_streamed(guest):
    with package(guest, "echo streamed; echo complains >&2"):
        with host(guest, 60) as port:
            begin(guest, port, stream=True)
            chunk = port.expect(lambda m: m["type"] == "output" and "begun" in m["data"], 20)
            assert chunk["stream"] == "stdout"
            let_go(guest)
            answer = port.response(install(), 150)
            chunks = sorted([chunk] + [m for m in port.seen if m["type"] == "output"], key=lambda m: m["seq"])
            assert [m["seq"] for m in chunks] == list(range(answer["stream_chunks"])) and answer["stream_dropped"] == 0
            streamed = {name: "".join(m["data"] for m in chunks if m["stream"] == name) for name in ("stdout", "stderr")}
            assert streamed["stdout"] == answer["stdout"], (streamed, answer["stdout"])
            assert streamed["stderr"] == answer["stderr"] and "complains\n" in answer["stderr"], (streamed, answer["stderr"])
            wait_for(lambda: not units(guest), 10, 0.2, "its unit is gone")


@story(limit_s=400)
def a_whole_update_goes_on_where_it_was(guest):
    older = ("mkdir -p /srv/older/DEBIAN; printf 'Package: %s\\nVersion: 0\\nArchitecture: all\\nMaintainer: s <s@e.org>\\nDescription: s\\n' "
             ">/srv/older/DEBIAN/control; dpkg-deb -b /srv/older /srv/older.deb >/dev/null; dpkg -i /srv/older.deb >/dev/null; rm -r /srv/older*")
    with package(guest, "systemctl restart infiniservice"):
        guest.sh(older % PACKAGE, 60)
        with host(guest, 60) as port:
            pid = main_pid(guest)
            port.send(command("UpdateSystemSoftware", "update", 500))
            wait_for(lambda: guest.run("test -e /run/story-begun").status == 0, 200, 0.3, "the package's script runs")
            let_go(guest)
            wait_for(lambda: main_pid(guest) not in (0, pid), 90, 0.3, "the agent is another")
        answer = answered_once(guest, "update", 200)
        assert answer["success"] and answer["data"] == {"reboot_required": False, "warnings": [], "updated": [PACKAGE]}, json.dumps(answer)


@story(limit_s=400)
def a_package_run_needs_no_executor_once_it_has_begun(guest):
    with package(guest):
        with host(guest, 60) as port:
            begin(guest, port)
            systemctl(guest, "stop infiniservice-exec.socket infiniservice-exec.service")
            systemctl(guest, "restart infiniservice")
        let_go(guest)
        answer = answered_once(guest)
        assert answer["success"] and "begun\n" in answer["stdout"], answer
        assert installed(guest)
        systemctl(guest, "start infiniservice-exec.socket")


@story(limit_s=400)
def a_launcher_that_is_killed_takes_its_program_along_and_is_told_as_lost(guest):
    with package(guest):
        with host(guest, 60) as port:
            begin(guest, port)
            guest.sh("kill -9 $(systemctl show -p MainPID --value 'infiniservice-detached-*')")
            answer = port.response(install(), 20)
            assert answer["error_code"] == "INTERNAL" and answer["reason"] == "lost", answer
            wait_for(lambda: not guest.run("pgrep -x apt-get").split(), 20, 0.3, "the program is gone with it")
        let_go(guest)
        guest.sh("dpkg --configure -a", 60)


LEGACY = """
systemctl stop infiniservice.service
cd /run/infiniservice
printf 'before ' >keep-7-1f.out; : >keep-7-1f.err; chown infiniservice: keep-7-1f.*
boot=$(tr -d - </proc/sys/kernel/random/boot_id)
now=$(awk '{ printf "%%.0f", $1 * 1000000000 }' /proc/uptime)
printf '+ 7 c PackageInstall old%%d\nk 7 7-1f %%s install %%s %%s %%s 65536 %%s\n' %(id)d $boot $now $((now + 200000000000)) $((now + 200000000000)) \
    '%%7B%%22command_type%%22%%3A%%7B%%22action%%22%%3A%%22PackageInstall%%22%%2C%%22package%%22%%3A%%22x%%22%%7D%%7D' >commands.journal
chown infiniservice: commands.journal; chmod 600 commands.journal
systemd-run --quiet --unit infiniservice-keep-7-1f --slice infiniservice.slice -p RemainAfterExit=yes -p CollectMode=inactive \
    -p StandardOutput=append:/run/infiniservice/keep-7-1f.out %(properties)s sh -c '%(script)s'
systemctl start infiniservice.service
"""


@story(limit_s=400)
def a_package_run_that_an_agent_of_0_1_0_began_is_answered_once(guest):
    for number, (script, ended) in enumerate((("echo between; while [ ! -e %s ]; do sleep 0.2; done; exit 0" % GATE, False), ("exit 5", True))):
        with executor(guest):
            guest.sh("rm -f " + GATE)
            guest.sh(LEGACY % {"id": number, "properties": "", "script": script}, 120)
            wait_for(lambda: port_is_open(guest), 150, 0.1, "the agent opens the port")
            if not ended:
                with host(guest) as port:
                    port.keep_alive(1)
                    assert not [m for m in port.seen + port.drain(2) if m.get("id") == "old%d" % number], "it is not over"
                systemctl(guest, "restart infiniservice")
                let_go(guest)
            answer = answered_once(guest, "old%d" % number)
            assert answer["command_type"] == "PackageInstall" and answer["exit_code"] == (5 if ended else 0), answer
            assert answer["success"] != ended and answer["stdout"] == ("before " if ended else "before between\n"), answer
