# SPDX-License-Identifier: MIT
"""What the guest's owner relies on: the sandbox hides nothing that is measured, what needs rights waits for the executor to be
switched on, and switched on it does what it is for."""

import contextlib
import datetime
import json
import re

from agent_guest import configured, host, main_pid, port_is_open, unsafe
from guest import wait_for
from owners import NEEDED, check_files
from package_guest import Load, is_back, story
from repository import PACKAGE, with_setuid

# ----------------------------------------------------------------------------------------------------------- its name

NAMELESS = """[Service]
InaccessiblePaths=-/sys/class/dmi -/sys/devices/virtual/dmi
TemporaryFileSystem=/run/infiniservice-root
BindReadOnlyPaths=/var/tmp/no-machine-id:/etc/machine-id
"""


@story(limit_s=90)
def a_machine_without_uuid_and_machine_id_is_given_a_name_that_lasts(guest):
    drop_in = "/run/systemd/system/infiniservice.service.d/story.conf"
    guest.sh(": >/var/tmp/no-machine-id; mkdir -p " + drop_in.rpartition("/")[0])
    guest.put(drop_in, NAMELESS)
    try:
        names = []
        for _ in range(2):
            guest.sh("systemctl daemon-reload; systemctl restart infiniservice", 40)
            wait_for(lambda: port_is_open(guest), 20, 0.2, "the agent opens its port")
            with host(guest) as port:
                assert port.status()["vm_id_source"] == "state"
                names.append(port.handshake["vm_id"])
        assert re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", names[0]) and names[0] == names[1], names
        assert guest.sh("stat -c '%U %a' /var/lib/infiniservice/vm_id") == "infiniservice 600"
        assert "neither a product UUID nor a machine-id" in guest.sh("journalctl -u infiniservice --no-pager -o cat -n 20")
    finally:
        guest.sh("rm -rf %s /var/tmp/no-machine-id /var/lib/infiniservice/vm_id; systemctl daemon-reload; systemctl restart infiniservice"
                 % drop_in.rpartition("/")[0], 40)
        wait_for(lambda: port_is_open(guest), 20, 0.2, "the agent opens its port")


# ------------------------------------------------------------------------------------------------------ the sandbox


@contextlib.contextmanager
def things_to_see(guest):
    """Mounts that a sandbox likes to hide (not below /tmp: that is the agent's own), an interface, and programs that listen."""
    guest.sh("""
        mkdir -p /home/data /srv/data
        for place in home srv; do
            truncate -s 8M /var/tmp/$place.img; mkfs.ext4 -q /var/tmp/$place.img; mount -o loop /var/tmp/$place.img /$place/data
        done
        ip link add seen0 type dummy; ip addr add 192.0.2.7/24 dev seen0; ip link set seen0 up
    """, 30)
    stop = guest.background("exec timeout 40 perl -MSocket -e '"
                            "socket(T, PF_INET, SOCK_STREAM, 0); bind(T, sockaddr_in(4711, INADDR_ANY)); listen(T, 5);"
                            "socket(U, PF_INET, SOCK_DGRAM, 0); bind(U, sockaddr_in(4712, INADDR_ANY)); $0 = \"story-listener\"; sleep 99'", 60)
    try:
        guest.wait("pgrep -f '[s]tory-listener'")
        yield
    finally:
        guest.sh("pkill -f '[s]tory-listener'; ip link del seen0; umount /home/data /srv/data;"
                 "rm -rf /var/tmp/home.img /var/tmp/srv.img; rmdir /home/data /srv/data")
        stop()


def flat(value, path=""):
    """Every leaf that is not in a list of objects by its path."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from flat(inner, path + "." + key)
    elif not (isinstance(value, list) and value and isinstance(value[0], dict)):
        yield path, value


def shape(data):
    """The kind of every value: null, number, text, …; ages aside, which what has just been read has none of."""
    kinds = {type(None): "null", bool: "bool", int: "number", float: "number", str: "text", list: "list"}
    return {path: kinds[type(value)] for path, value in flat(data) if not path.endswith("age_s")}


def rows(found, key, *columns):
    """A list as a dictionary of chosen columns."""
    return {key(row): tuple(row.get(column) for column in columns) for row in found}


def mounts(data):
    return rows(data["system"]["disk"]["usage_stats"], lambda row: row["mount_point"], "device", "filesystem", "total_gb")


def interfaces(data):
    return rows(data["system"]["network"]["interfaces"], lambda row: row["name"], "ip_addresses", "is_up", "mtu", "mac")


def processes(data):
    return rows(data["processes"], lambda row: row["pid"], "ppid", "name", "exe_path", "cmd_line")


def starts(data):
    """Each agent takes the difference of the clocks for itself."""
    return {row["pid"]: datetime.datetime.fromisoformat(row["start_time"].replace("Z", "+00:00")).timestamp() for row in data["processes"]}


def ports(data):
    return rows(data["ports"], lambda row: (row["protocol"], row["port"], row["state"]), "pid", "process_name", "is_listening")


def usage(data):
    return {row["mount_point"]: row["used_gb"] * 1024 for row in data["system"]["disk"]["usage_stats"]}


def pids(guest):
    return set(map(int, guest.sh("ps -e -o pid=").split()))


@story(limit_s=90)
def inside_the_sandbox_it_measures_what_it_measures_outside(guest):
    """The same program, the same user, once as the unit contains it and once not contained at all."""
    with things_to_see(guest), configured(guest, "[collectors]\nprocesses_top = 1000\nsample_max_bytes = 1048576\n"):
        lasting = pids(guest)
        with host(guest) as port:
            port.expect("metrics")
            port.send({"type": "Metrics"})
            inside = port.expect("metrics")["data"]
        outside = json.loads(guest.sh("runuser -u infiniservice -- infiniservice --once"))["data"]
        seen = guest.sh("findmnt -rn -o TARGET -t ext4").split()
        lasting &= pids(guest)
    assert set(mounts(inside)) >= {"/", "/home/data", "/srv/data"} == set(seen), (mounts(inside), seen)
    assert mounts(inside) == mounts(outside)
    for place, mib in usage(inside).items():
        assert abs(mib - usage(outside)[place]) < 4, (place, mib)
    assert interfaces(inside) == interfaces(outside)
    assert set(interfaces(inside)) >= {"seen0"} and "192.0.2.7" in interfaces(inside)["seen0"][0]
    assert ports(inside) == ports(outside)
    assert {("TCP", 4711), ("UDP", 4712)} <= {key[:2] for key in ports(inside)}
    # What came or went meanwhile may be missing in one of them; what was there all the time may not.
    both = set(processes(inside)) & set(processes(outside))
    missing = lasting - both
    assert {1, main_pid(guest)} <= lasting and len(lasting) > 20 and not missing, missing
    for pid in both:
        inner, outer = processes(inside)[pid], processes(outside)[pid]
        # A worker of the kernel is named after the work it does at the moment.
        assert inner == outer or inner[1].startswith("kworker/"), (pid, inner, outer)
        assert abs(starts(inside)[pid] - starts(outside)[pid]) < 1, (pid, starts(inside)[pid], starts(outside)[pid])
    # Every other value is there in both, or in neither, and of one kind; what names the machine is the same.
    inner, outer = shape(inside["system"]), shape(outside["system"])
    assert inner == outer, set(inner.items()) ^ set(outer.items())
    for key in ("hostname", "kernel_version", "os_version", "name"):
        assert inside["system"][key] == outside["system"][key], key
    assert inside["system"]["memory"]["total_kb"] == outside["system"]["memory"]["total_kb"]
    assert len(inside["system"]["cpu"]["cores_usage"]) == len(outside["system"]["cpu"]["cores_usage"])


# ----------------------------------------------------------------------------------------------------- the executor

ALLOWED = "[commands]\nallow = observe, control, packages, power\nallow_unsafe = yes\nrun_as = root\n"


def documented(guest, verb):
    """The command as a refusal names it, or the one beside it in the manual of the unit."""
    if verb == "enable":
        return "systemctl enable --now infiniservice-exec.socket"
    found = re.search(r"^# +(systemctl disable .*)$", guest.sh("cat /lib/systemd/system/infiniservice-exec.socket"), re.M)
    return found.group(1)


@contextlib.contextmanager
def executor(guest):
    guest.sh(documented(guest, "enable") + " 2>&1")
    try:
        with configured(guest, ALLOWED):
            yield
    finally:
        guest.sh(documented(guest, "disable") + " 2>&1")


@story(limit_s=60)
def what_needs_root_is_denied_while_the_executor_is_off(guest):
    with with_setuid(guest), configured(guest, ALLOWED):
        with host(guest) as port:
            for answer in (port.ask("ServiceControl", "restart", service="dbus", operation="restart"),
                           port.ask("PackageInstall", "install", package=PACKAGE),
                           port.ask("PackageInstall", "unknown", package="no-such-package"),
                           port.ask("UpdateSystemSoftware", "update"),
                           port.ask("PackageRemove", "remove", package="procps"),
                           port.execute("id -u", "command"), port.ask("RebootSystem", "reboot")):
                assert answer["error_code"] == "PERMISSION_DENIED", answer
                assert documented(guest, "enable") in answer["error"], answer
    with host(guest) as port:
        assert port.ask("RebootSystem", "policy")["error_code"] == "POLICY_DENIED"


@story(limit_s=120)
def switched_on_by_one_command_a_package_with_a_setuid_file_is_installed(guest):
    with with_setuid(guest), executor(guest):
        with host(guest, 60) as port:
            answer = port.ask("PackageInstall", "install", package=PACKAGE, timeout_s=60)
            assert answer["success"], answer
            assert guest.sh("stat -c '%%U %%a' /usr/bin/%s" % PACKAGE) == "root 4755"
            assert port.execute("id -u", "root")["stdout"] == "0\n"
            check_files(guest, None, NEEDED + ("/run/infiniservice-exec/exec.sock", "/run/infiniservice-exec",
                                               "/etc/systemd/system/sockets.target.wants/infiniservice-exec.socket"))
            answer = port.ask("PackageRemove", "remove", package=PACKAGE, timeout_s=60)
            assert answer["success"] and guest.run("test -e /usr/bin/%s" % PACKAGE).status != 0, answer
    assert guest.sh("systemctl is-enabled infiniservice-exec.socket || true") == "disabled"
    assert guest.sh("ls -A /run/infiniservice-exec") == ""


@story(rows=[86], limit_s=60)
def an_executor_killed_in_the_middle_costs_its_commands_one_answer_each(guest):
    with executor(guest), host(guest, 20) as port:
        pid = main_pid(guest)
        load = Load(port, "executor")
        for turn in range(3):
            for _ in range(4):
                load.one(type="UnsafeCommand", raw_command="sleep 1.%d86" % turn)
            guest.wait("pgrep -f 'sleep 1.%d[8]6'" % turn)
            guest.sh("kill -9 $(systemctl show -p MainPID --value infiniservice-exec)")
            guest.wait("! pgrep -f 'sleep 1.%d[8]6'" % turn, 3, 0.05)
        load.finish()
        lost = [answer["reason"] for (answer,) in load.answers.values() if answer.get("error_code") == "INTERNAL"]
        assert lost and set(lost) == {"lost"}, lost
        assert port.execute("echo back", "next", 20)["stdout"] == "back\n" and main_pid(guest) == pid


@story(limit_s=60)
def killed_while_the_executor_works_the_agent_owes_no_answer(guest):
    with executor(guest):
        with host(guest) as port:
            port.send(unsafe("sleep 3987", "owed"))
            guest.wait("pgrep -f 'sleep 398[7]'")
            pid = main_pid(guest)
            guest.sh("kill -9 %d" % pid)
            is_back(guest, pid)
            wait_for(lambda: port_is_open(guest), 10, 0.1, "the new agent opens its port")
            answer = port.response("owed")
            assert answer["error_code"] == "INTERNAL" and answer["reason"] == "lost: agent_restart", answer
        assert not guest.run("pgrep -f 'sleep 398[7]'")
