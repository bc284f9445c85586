#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""The values themselves: against the output of df, free, ip, ss and ps, and against load made here (a burning core, 50 MB
written and synced, an interface and an address added, a listening port). Nothing of the project's own parsers is used."""
import contextlib
import ctypes
import datetime
import glob
import json
import os
import platform
import resource
import shutil
import socket
import subprocess
import sys
import tempfile
import time

import tap
from fakebus import FakeBus
from fakehost import SLOW, Agent, UnixHost, talk

GIB = 1 << 30
FAST = {"timers.metrics_interval_ms": 500, "collectors.processes_top": 1000, "collectors.sample_max_bytes": "1M"}


def output(*command):
    return subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True, timeout=20,
                          env={**os.environ, "LC_ALL": "C"}).stdout


def need(name):
    if not shutil.which(name):
        raise tap.Skip(f"{name} is not installed")


def close_to(value, wanted, part=0.0, slack=0.0, what="value"):
    assert abs(value - wanted) <= part * abs(wanted) + slack, f"{what}: {value}, expected about {wanted}"


def sample(host, timeout=5.0):
    return host.expect("metrics", timeout)


def fresh(host):
    """A sample asked for now, after all that are on their way."""
    while host.pump(0.0) and host.pending:
        host.pending.clear()
    host.send({"type": "Metrics"})
    return host.expect("metrics", 5)


# ------------------------------------------------------------------------------------------------------ filesystems

# In a room /tmp lies where the machine has its /var/tmp, and /var is a copy in memory.
ON_DISK = "/tmp" if tap.room.inside() else "/var/tmp"


def in_a_chroot():
    """Nothing is mounted at "/" then, and df speaks of another tree than the one pid 1 and the agent see."""
    with open("/proc/self/mountinfo", encoding="utf-8", errors="replace") as file:
        return all(line.split()[4] != "/" for line in file)


def story_filesystems_agree_with_df():
    need("df")
    if in_a_chroot():
        raise tap.Skip("in a chroot df sees other mounts than the machine has")
    _, host = talk(tap.keep)
    listed = {m["mount_point"]: m for m in fresh(host)["data"]["system"]["disk"]["usage_stats"]}
    for mount, item in listed.items():
        row = output("df", "-B1", "--output=fstype,size,used,avail,source", mount).splitlines()[1].split()
        assert item["filesystem"] == row[0], (item, row)
        close_to(item["total_gb"], int(row[1]) / GIB, 0.001, 0.001, f"total of {mount}")
        close_to(item["used_gb"], int(row[2]) / GIB, 0.01, 0.2, f"used of {mount}")
        close_to(item["available_gb"], int(row[3]) / GIB, 0.01, 0.2, f"available of {mount}")
    missing = {}
    for line in output("df", "--output=target,source,fstype").splitlines()[1:]:
        target, source, kind = line.split(None, 2)
        if source.startswith("/dev/") and "loop" not in source and kind.strip() != "squashfs":
            missing.setdefault(source, []).append(target)
    for source, targets in missing.items():
        assert set(targets) & set(listed), f"{source} at {targets} is not listed"


def story_a_filled_file_is_seen_as_df_sees_it():
    _, host = talk(tap.keep)

    def used():
        return [m for m in fresh(host)["data"]["system"]["disk"]["usage_stats"] if m["mount_point"] == "/"][0]["used_gb"]

    def df_used():
        return int(output("df", "-B1", "--output=used", "/").splitlines()[1]) / GIB

    with tempfile.NamedTemporaryFile(dir=ON_DISK) as file:
        if os.stat(ON_DISK).st_dev != os.stat("/").st_dev:
            raise tap.Skip(f"{ON_DISK} is not on the root filesystem")
        before, df_before = used(), df_used()
        os.posix_fallocate(file.fileno(), 0, 200 << 20)
        grown = used() - before
        close_to(grown, df_used() - df_before, 0.2, 0.02, "growth")
        assert 0.1 < grown < 0.4, grown


# ----------------------------------------------------------------------------------------------------------- memory

def story_memory_agrees_with_free():
    need("free")
    _, host = talk(tap.keep)
    memory = fresh(host)["data"]["system"]["memory"]
    rows = {line.split(":")[0]: line.split(":")[1].split() for line in output("free", "-k").splitlines()[1:]}
    total, available = int(rows["Mem"][0]), int(rows["Mem"][5])
    assert memory["total_kb"] == total, memory
    close_to(memory["available_kb"], available, 0.03, 20000, "available")
    assert 0 < memory["used_kb"] <= total, memory
    # used is total less what is free or can be freed; procps counts it so from version 4 on.
    close_to(memory["used_kb"], total - available, 0.10, 0.05 * total, "used")
    swap = int(rows["Swap"][0])
    if swap == 0:
        assert memory["swap_total_kb"] in (None, 0) and memory["swap_used_kb"] in (None, 0), memory
    else:
        assert memory["swap_total_kb"] == swap, memory
        close_to(memory["swap_used_kb"], int(rows["Swap"][1]), 0.02, 4096, "swap used")


# --------------------------------------------------------------------------------------------- pressure and paging

def stalls_of_the_kernel():
    """(resource, some or full) -> its columns; empty where the kernel has no PSI."""
    found = {}
    for resource in ("cpu", "memory", "io"):
        try:
            with open(f"/proc/pressure/{resource}", encoding="ascii") as file:
                lines = file.read().splitlines()
        except OSError:
            continue
        for line in lines:
            kind, *columns = line.split()
            found[resource, kind] = dict(column.split("=") for column in columns)
    return found


def story_pressure_agrees_with_the_kernel():
    before = stalls_of_the_kernel()
    if not before:
        raise tap.Skip("this kernel has no PSI")
    _, host = talk(tap.keep)
    # The kernel computes the averages anew every two seconds: not twice between the two readings around the sample.
    for _ in range(5):
        before, begun = stalls_of_the_kernel(), time.monotonic()
        pressure = fresh(host)["data"]["system"]["pressure"]
        after = stalls_of_the_kernel()
        quick = time.monotonic() - begun < 1.5
        if quick:
            break
    for resource in ("cpu", "memory", "io"):
        for kind in ("some", "full"):
            item, low, high = pressure[resource][kind], before.get((resource, kind)), after.get((resource, kind))
            if low is None:
                assert item is None and pressure[resource]["reason"] == "unsupported", pressure[resource]
                continue
            assert int(low["total"]) <= item["total_us"] <= int(high["total"]), (resource, kind, low, item, high)
            for average in ("avg10", "avg60", "avg300") if quick else ():
                assert item[f"{average}_percent"] in (float(low[average]), float(high[average])), (resource, kind, low, item, high)


def story_processors_that_are_fought_for_are_seen_as_pressure():
    if not stalls_of_the_kernel():
        raise tap.Skip("this kernel has no PSI")
    _, host = talk(tap.keep)
    with contextlib.ExitStack() as stack:
        for _ in range(os.cpu_count() + 2):
            stack.enter_context(burner())
        before = fresh(host)["data"]["system"]["pressure"]["cpu"]["some"]["total_us"]
        begun = time.monotonic()
        time.sleep(2)
        grown = fresh(host)["data"]["system"]["pressure"]["cpu"]["some"]["total_us"] - before
        passed = time.monotonic() - begun
    assert 0.1 * passed < grown / 1e6 < 1.1 * passed + 0.5, (grown, passed)


def story_a_kernel_without_psi_gives_null_and_the_reason():
    tap.need_root()
    if not os.path.isdir("/proc/pressure"):
        raise tap.Skip("this kernel has no PSI, as all other stories see")
    hidden = ["unshare", "-m", "sh", "-c", 'mount -t tmpfs none /proc/pressure && exec "$@"', "sh"]
    if subprocess.run(hidden + ["true"], stderr=subprocess.DEVNULL, check=False).returncode:
        raise tap.Skip("this machine allows no mount namespace")
    _, host = talk(tap.keep, wrapper=hidden)
    data = fresh(host)["data"]
    nothing = {"some": None, "full": None, "reason": "unsupported"}
    assert data["system"]["pressure"] == {"cpu": nothing, "memory": nothing, "io": nothing}, data["system"]["pressure"]
    assert "failed_collectors" not in data, data["failed_collectors"]


def events_of_the_kernel():
    """The keys of vmstat in a sample, out of the kernel's text."""
    with open("/proc/vmstat", encoding="ascii") as file:
        lines = {name: int(value) for name, value in map(str.split, file)}
    stalls = [value for name, value in lines.items() if name == "allocstall" or name.startswith("allocstall_")]
    return {"paged_in_kb": lines.get("pgpgin"), "paged_out_kb": lines.get("pgpgout"), "swapped_in_pages": lines.get("pswpin"),
            "swapped_out_pages": lines.get("pswpout"), "major_faults": lines.get("pgmajfault"), "oom_kills": lines.get("oom_kill"),
            "compaction_stalls": lines.get("compact_stall"), "allocation_stalls": sum(stalls) if stalls else None}


def story_paging_agrees_with_the_kernel():
    _, host = talk(tap.keep, FAST)
    sample(host)
    before, events, after = events_of_the_kernel(), fresh(host)["data"]["system"]["vmstat"], events_of_the_kernel()
    for name, low in before.items():
        if low is None:
            assert events[name] is None and events[f"{name}_per_sec"] is None, (name, events)
        else:
            assert low <= events[name] <= after[name], (name, low, events[name], after[name])
            assert events[f"{name}_per_sec"] >= 0, (name, events)
    assert events["state"] == "ok" and "lines_skipped" not in events, events


def story_20_mb_written_and_synced_are_paged_out():
    _, host = talk(tap.keep, FAST)
    with tempfile.TemporaryDirectory(dir=ON_DISK) as directory:
        if output("df", "--output=fstype", directory).splitlines()[1].strip() in ("tmpfs", "overlay", "9p", "virtiofs"):
            raise tap.Skip(f"{ON_DISK} is not on a disk of this machine")
        before = fresh(host)["data"]["system"]["vmstat"]["paged_out_kb"]
        subprocess.run(["dd", "if=/dev/urandom", f"of={directory}/file", "bs=1M", "count=20", "conv=fsync", "status=none"], check=True)
        grown = fresh(host)["data"]["system"]["vmstat"]["paged_out_kb"] - before
    assert grown >= 20 * 1024, grown  # others of this machine write, too


def story_pressure_and_paging_can_be_switched_off():
    _, host = talk(tap.keep, {"collectors.pressure": "no", "collectors.vmstat": "no"})
    data = fresh(host)["data"]
    assert not {"pressure", "vmstat"} & set(data["system"]) and "failed_collectors" not in data, list(data["system"])
    _, host = talk(tap.keep)
    assert {"pressure", "vmstat"} <= set(fresh(host)["data"]["system"])


def pairs_of_the_kernel(path):
    """Group -> name -> number, of a text with a line of names before each line of numbers."""
    with open(path, encoding="ascii") as file:
        lines = [line.split() for line in file]
    return {names[0].rstrip(":"): dict(zip(names[1:], map(int, numbers[1:]))) for names, numbers in zip(lines[::2], lines[1::2])}


def network_of_the_kernel():
    """The keys of tcp in a sample, by path, out of the kernel's texts."""
    pairs = {**pairs_of_the_kernel("/proc/net/snmp"), **pairs_of_the_kernel("/proc/net/netstat")}
    tcp, more, udp = pairs["Tcp"], pairs["TcpExt"], pairs["Udp"]
    with open("/proc/net/softnet_stat", encoding="ascii") as file:
        cpus = [[int(field, 16) for field in line.split()] for line in file]
    return {
        "active_opens": tcp["ActiveOpens"], "passive_opens": tcp["PassiveOpens"], "failed_opens": tcp["AttemptFails"],
        "resets": tcp["EstabResets"], "resets_sent": tcp["OutRsts"], "segments_in": tcp["InSegs"], "segments_out": tcp["OutSegs"],
        "retransmitted": tcp["RetransSegs"], "errors_in": tcp["InErrs"], "listen_overflows": more["ListenOverflows"],
        "listen_drops": more["ListenDrops"], "timeouts": more["TCPTimeouts"], "backlog_drops": more["TCPBacklogDrop"],
        "syncookies_sent": more["SyncookiesSent"], "udp.datagrams_in": udp["InDatagrams"], "udp.datagrams_out": udp["OutDatagrams"],
        "udp.no_ports": udp["NoPorts"], "udp.errors_in": udp["InErrors"], "udp.receive_buffer_full": udp["RcvbufErrors"],
        "udp.send_buffer_full": udp["SndbufErrors"], "softnet.processed": sum(cpu[0] for cpu in cpus),
        "softnet.dropped": sum(cpu[1] for cpu in cpus), "softnet.squeezed": sum(cpu[2] for cpu in cpus)}


def at_path(value, path):
    for key in path.split("."):
        value = value[key]
    return value


def story_segments_and_datagrams_agree_with_the_kernel():
    _, host = talk(tap.keep)
    before, tcp, after = network_of_the_kernel(), fresh(host)["data"]["tcp"], network_of_the_kernel()
    for path, low in before.items():
        assert low <= at_path(tcp, path) <= after[path], (path, low, at_path(tcp, path), after[path])
    assert "lines_skipped" not in tcp and "age_s" not in tcp, tcp


def story_sockets_are_counted_as_ss_does():
    need("ss")
    _, host = talk(tap.keep)
    with contextlib.ExitStack() as stack:
        before = fresh(host)["data"]["tcp"]["sockets"]
        for _ in range(50):
            stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        sockets = fresh(host)["data"]["tcp"]["sockets"]
        listed = [line for line in output("ss", "-Htan4").splitlines() if not line.startswith("TIME-WAIT")]
    close_to(sockets["tcp"] - before["tcp"], 50, 0, 5, "listeners made here")
    close_to(sockets["tcp"], len(listed), 0, 5, "sockets of TCP over IPv4")


def story_datagrams_that_nobody_reads_are_seen():
    _, host = talk(tap.keep, FAST)
    before = fresh(host)["data"]["tcp"]["udp"]
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as deaf, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        deaf.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        deaf.bind(("127.0.0.1", 0))
        for _ in range(100):
            sender.sendto(b"x" * 1000, deaf.getsockname())
        time.sleep(0.3)
        udp = fresh(host)["data"]["tcp"]["udp"]
    assert udp["receive_buffer_full"] - before["receive_buffer_full"] >= 80, (before, udp)
    assert udp["datagrams_out"] - before["datagrams_out"] >= 100 and udp["errors_in_per_sec"] > 0, (before, udp)


def numbers_in(path):
    with open(path, encoding="ascii") as file:
        return [int(field) for field in file.read().split()]


def story_limits_agree_with_the_kernel():
    _, host = talk(tap.keep)
    limits = fresh(host)["data"]["limits"]
    opened, _, most = numbers_in("/proc/sys/fs/file-nr")
    close_to(limits["files"]["open"], opened, 0.1, 300, "open files")
    assert limits["files"]["max"] == most, limits
    inodes = numbers_in("/proc/sys/fs/inode-nr")
    close_to(limits["inodes"]["used"] + limits["inodes"]["unused"], inodes[0], 0.1, 2000, "inodes")
    for part, key, path in (("threads", "max", "kernel/threads-max"), ("threads", "pid_max", "kernel/pid_max"),
                            ("conntrack", "max", "net/netfilter/nf_conntrack_max"), ("entropy", "pool_bits", "kernel/random/poolsize")):
        wanted = numbers_in(f"/proc/sys/{path}")[0] if os.path.exists(f"/proc/sys/{path}") else None
        assert limits[part][key] == wanted, (part, key, limits[part], wanted)
    with open("/proc/loadavg", encoding="ascii") as file:
        close_to(limits["threads"]["used"], int(file.read().split()[3].split("/")[1]), 0.2, 30, "threads")


def story_files_that_are_opened_are_seen():
    _, host = talk(tap.keep)
    before = fresh(host)["data"]["limits"]["files"]["open"]
    with contextlib.ExitStack() as stack:
        for _ in range(800):
            stack.enter_context(open("/dev/null", "rb"))
        grown = fresh(host)["data"]["limits"]["files"]["open"] - before
    assert 400 < grown < 2000, grown


def story_the_clock_is_as_the_kernel_has_it():
    class Timex(ctypes.Structure):
        _fields_ = [("modes", ctypes.c_uint), ("offset", ctypes.c_long), ("freq", ctypes.c_long), ("maxerror", ctypes.c_long),
                    ("esterror", ctypes.c_long), ("status", ctypes.c_int), ("rest", ctypes.c_byte * 256)]
    timex = Timex()
    _, host = talk(tap.keep)
    if ctypes.CDLL(None, use_errno=True).adjtimex(ctypes.byref(timex)) < 0:
        raise tap.Skip("this machine does not let its clock be asked")
    clock = fresh(host)["data"]["clock"]
    assert clock["synchronized"] == (not timex.status & 0x40), (clock, timex.status)
    close_to(clock["frequency_ppm"], timex.freq / 65536, 0.01, 0.1, "frequency")
    close_to(clock["max_error_us"], timex.maxerror, 0, 50000, "largest error")
    source = "/sys/devices/system/clocksource/clocksource0/current_clocksource"
    if os.path.exists(source):
        with open(source, encoding="ascii") as file:
            assert clock["source"] == file.read().strip(), clock


def story_a_clock_that_may_not_be_asked_is_null_and_says_so():
    if platform.machine() not in ("x86_64", "aarch64"):
        raise tap.Skip("no seccomp filter for this machine")
    without = [sys.executable, os.path.join(os.path.dirname(os.path.abspath(__file__)), "without_adjtimex.py")]
    _, host = talk(tap.keep, wrapper=without)
    clock = fresh(host)["data"]["clock"]
    assert clock["synchronized"] is None and clock["reason"] == "denied" and clock["source"], clock


def story_the_guest_is_what_uname_and_its_files_say():
    _, host = talk(tap.keep, FAST)
    data = host.expect("metrics", 5)
    guest = data["data"]["guest"]
    assert data["whole"] is True and "guest" not in sample(host)["data"], data
    assert guest["kernel"] == {"version": output("uname", "-v").strip(), "machine": output("uname", "-m").strip()}, guest
    with open("/etc/os-release", encoding="utf-8") as file:
        release = dict(line.strip().replace('"', "").split("=", 1) for line in file if "=" in line)
    assert guest["os"] == {"id": release.get("ID"), "version_id": release.get("VERSION_ID")}, guest
    with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
        assert guest["boot_id"] == file.read().strip(), guest
    if shutil.which("systemd-detect-virt"):
        seen = subprocess.run(["systemd-detect-virt", "--vm"], stdout=subprocess.PIPE, text=True, check=False).stdout.strip()
        assert guest["hypervisor"] == seen or seen not in ("kvm", "qemu", "vmware", "microsoft", "xen", "none"), (guest, seen)


def story_who_is_logged_in_is_seen():
    tap.need_root()
    if not tap.room.inside():
        raise tap.Skip("sessions are made in a room alone, not on the machine")
    os.makedirs("/run/systemd/sessions", exist_ok=True)
    _, host = talk(tap.keep)
    before = fresh(host)["data"]["users"]["sessions_total"]
    with open("/run/systemd/sessions/test7", "w", encoding="ascii") as file:
        file.write("UID=0\nUSER=root\nSTATE=active\nCLASS=user\nTTY=pts/7\nREALTIME=1767225600000000\n")
    try:
        users = fresh(host)["data"]["users"]
    finally:
        os.remove("/run/systemd/sessions/test7")
    assert users["source"] == "logind" and users["sessions_total"] >= 1 and users["sessions_total"] != before, (before, users)
    assert {"user": "root", "tty": "pts/7", "remote_host": None, "service": None, "closing": False,
            "since": "2026-01-01T00:00:00.000Z"} in users["sessions"], users


def story_sensors_and_cards_are_those_of_sysfs():
    _, host = talk(tap.keep)
    data = fresh(host)["data"]
    listed = {os.path.basename(path) for path in glob.glob("/sys/class/thermal/thermal_zone*")}
    assert {zone["name"] for zone in data["sensors"]["zones"]} == listed, (data["sensors"], listed)
    assert len(data["sensors"]["temperatures"]) == len(glob.glob("/sys/class/hwmon/hwmon*/temp*_input")), data["sensors"]
    cards = {os.path.basename(path) for path in glob.glob("/sys/class/drm/card[0-9]*") if "-" not in os.path.basename(path)}
    assert {card["name"] for card in data["gpu"]["cards"]} == cards, (data["gpu"], cards)


GROUPS = "/sys/fs/cgroup"
GROUP = "infiniservice-test.service"
CONTROLLERS = ("cpuacct", "memory", "pids", "blkio")


def mounted(*arguments):
    if subprocess.run(["mount", *arguments], stderr=subprocess.DEVNULL, check=False).returncode:
        raise tap.Skip(f"mount {' '.join(arguments)} is not possible here")


@contextlib.contextmanager
def hierarchies(version):
    """The control groups of the machine, mounted in this room so that groups can be made. Gives the directories."""
    tap.need_root()
    if not tap.room.inside():
        raise tap.Skip("control groups are mounted in a room alone, not on the machine")
    mounted("-t", "tmpfs" if version == 1 else "cgroup2", "none", GROUPS)
    try:
        if version == 1:
            for name in ("systemd", *CONTROLLERS):
                os.mkdir(f"{GROUPS}/{name}")
                mounted("-t", "cgroup", "-o", "none,name=systemd" if name == "systemd" else name, "none", f"{GROUPS}/{name}")
        yield [GROUPS] if version == 2 else [f"{GROUPS}/{name}" for name in ("systemd", *CONTROLLERS)]
    finally:
        subprocess.run(["umount", "-R", GROUPS], check=True)


@contextlib.contextmanager
def control_group(version):
    """A control group with a burner in it; gives the text of a file of it, by its name in either version (None: there is none)."""
    with hierarchies(version) as trees, contextlib.ExitStack() as stack:
        for tree in trees:
            os.mkdir(f"{tree}/{GROUP}")
            stack.callback(remove_group, f"{tree}/{GROUP}")
        pid = stack.enter_context(burner())
        for tree in trees:
            with open(f"{tree}/{GROUP}/cgroup.procs", "w", encoding="ascii") as file:
                file.write(str(pid))

        def read(controller, name_v1, name_v2):
            path = f"{GROUPS}/{GROUP}/{name_v2}" if version == 2 else f"{GROUPS}/{controller}/{GROUP}/{name_v1}"
            if not os.path.exists(path):
                return None
            with open(path, encoding="ascii") as file:
                return file.read()
        yield read


def remove_group(directory):
    for _ in range(50):  # its last process may still be going
        with contextlib.suppress(OSError):
            os.rmdir(directory)
            return
        time.sleep(0.1)
    os.rmdir(directory)


def cpu_us_of(read):
    text = read("cpuacct", "cpuacct.usage", "cpu.stat")
    return int(text.split()[1]) if text.startswith("usage_usec") else int(text) // 1000


def group_of(host):
    """The row of our group in a sample that is asked for, and the time it had before and after."""
    rows = [row for row in fresh(host)["data"]["cgroup"] if row["path"].endswith("/" + GROUP)]
    assert len(rows) == 1, rows
    return rows[0]


def busy_group_agrees(version):
    with control_group(version) as read:
        _, host = talk(tap.keep, {"collectors.cgroups_top": 200})
        assert fresh(host)["data"]["cgroup_mode"] == f"v{version}"
        time.sleep(1)
        before, row, after = cpu_us_of(read), group_of(host), cpu_us_of(read)
        assert before <= row["cpu_us"] <= after and row["kind"] == "service" and row["state"] == "ok", (before, row, after)
        assert 2 < row["cpu_percent"] < 105, row  # as much as a busy machine leaves it
        tasks, memory = read("pids", "pids.current", "pids.current"), read("memory", "memory.usage_in_bytes", "memory.current")
        assert row["tasks"] == (int(tasks) if tasks else None), (row, tasks)
        if memory:
            close_to(row["memory_kb"], int(memory) / 1024, 0.2, 2048, "memory")
        else:
            assert row["memory_kb"] is None and row["reason"] == "unsupported", row
        if os.path.exists(f"{GROUPS}/{GROUP}/cpu.pressure"):
            assert row["pressure"]["cpu"] is not None, row


def story_a_busy_control_group_of_version_2_is_listed_as_the_kernel_counts_it():
    busy_group_agrees(2)


def story_a_busy_control_group_of_version_1_is_listed_as_the_kernel_counts_it():
    busy_group_agrees(1)


def story_units_that_failed_or_restart_are_those_of_pid_1():
    units = {"bad.service": {"active": "failed", "sub": "failed"}, "loop.service": {"active": "activating", "sub": "auto-restart"},
             "good.service": {"active": "active", "sub": "running"}, "slow.service": {"active": "activating", "sub": "start"}}
    with FakeBus(units) as bus:
        _, host = talk(tap.keep)
        wanted = {"failed_total": 1, "failed": ["bad.service"], "restarting_total": 1, "restarting": ["loop.service"]}
        assert fresh(host)["data"]["units"] == wanted
        units["good.service"] = {"active": "failed", "sub": "failed"}
        assert fresh(host)["data"]["units"]["failed_total"] == 2
        assert ("ListUnitsFiltered", [["failed", "auto-restart", "auto-restart-queued"]]) in bus.calls, bus.calls


def story_a_bus_that_does_not_answer_costs_the_units_alone():
    with FakeBus({}, silent=("ListUnitsFiltered",)):
        _, host = talk(tap.keep)
        message = fresh(host)
        assert message["data"]["units"]["failed_total"] is None and message["data"]["units"]["reason"] == "no_answer", message["data"]["units"]
        assert message["data"]["system"]["disk"]["usage_stats"], message


def story_without_a_bus_no_unit_is_known():
    tap.need_room()
    if os.path.exists("/run/dbus/system_bus_socket"):
        raise tap.Skip("this room has a bus")
    _, host = talk(tap.keep)
    units = fresh(host)["data"]["units"]
    assert units["failed_total"] is None and units["reason"] in ("no_bus", "no_library"), units


def story_every_subject_can_be_switched_off():
    subjects = ("tcp", "limits", "clock", "guest", "users", "units", "sensors", "gpu", "cgroup")
    _, host = talk(tap.keep, {f"collectors.{name}": "no" for name in subjects})
    data = fresh(host)["data"]
    assert not set(subjects) & set(data) and "failed_collectors" not in data, list(data)
    _, host = talk(tap.keep)
    assert set(subjects) <= set(host.expect("metrics", 5)["data"])


def story_what_is_dear_to_read_is_held_for_some_samples_and_says_its_age():
    _, host = talk(tap.keep, FAST)
    fresh(host)
    ages = [sample(host)["data"]["system"]["vmstat"].get("age_s") for _ in range(3)]
    assert None not in ages and 0.2 < ages[0] < 1.5 and ages == sorted(ages), ages
    assert "age_s" not in fresh(host)["data"]["system"]["vmstat"]


def ordinary(host):
    """A sample that is not whole, as nearly all are."""
    while True:
        message = sample(host)
        if "whole" not in message:
            return message


def size_of(message):
    return len(json.dumps(message, separators=(",", ":"))) + 1


def trim_to_a_small_guest(system):
    for rows, most in ((system["network"]["interfaces"], 2), (system["cpu"]["cores_usage"], 2), (system["disk"]["usage_stats"], 1),
                       (system["disk"]["devices"], 1), *((rows, 2) for rows in system["cpu"]["cores_seconds"].values())):
        del rows[most:]
    for device in system["disk"]["devices"]:
        for key in [key for key in device if key.startswith("discard_")]:
            del device[key]


def story_a_sample_of_the_system_is_at_most_4_kb():
    """With two interfaces, two processors and one disk that never discards; what more this machine has is left aside."""
    _, host = talk(tap.keep, FAST)
    message = ordinary(host)
    message["data"] = {"system": message["data"]["system"]}
    trim_to_a_small_guest(message["data"]["system"])
    tap.note(f"{size_of(message)} bytes")
    assert size_of(message) <= 4096, size_of(message)


def story_a_full_sample_is_at_most_14_kb():
    """Of a guest of that size with ten ports, five places it is connected to, and command lines and paths of 64 bytes."""
    _, host = talk(tap.keep, {"timers.metrics_interval_ms": 500})
    message = ordinary(host)
    data = message["data"]
    trim_to_a_small_guest(data["system"])
    del data["ports"][10:], data["connections"][5:]
    for row in data["processes"] + data["ports"]:
        for key in ("cmd_line", "exe_path"):
            row[key] = row[key][:64] if row.get(key) else row.get(key)
    tap.note(f"{size_of(message)} bytes, {len(data['processes'])} processes")
    assert len(data["processes"]) <= 20 and size_of(message) <= 14336, size_of(message)


# ---------------------------------------------------------------------------------------------------------- counters

def between(before, value, after, what):
    assert before <= value <= after, (what, before, value, after)


def lines_of(path):
    with open(path, encoding="ascii") as file:
        return [line.split() for line in file]


def story_counters_of_the_processors_agree_with_the_kernel():
    _, host = talk(tap.keep)
    hz = os.sysconf("SC_CLK_TCK")
    modes = ("user", "nice", "system", "idle", "iowait", "irq", "softirq", "steal", "guest", "guest_nice")
    before, cpu, after = lines_of("/proc/stat"), fresh(host)["data"]["system"]["cpu"], lines_of("/proc/stat")
    rows = [[line for line in text if line[0].startswith("cpu") and line[0] != "cpu"] for text in (before, after)]
    for i, mode in enumerate(modes):
        assert len(cpu["cores_seconds"][mode]) == min(len(rows[0]), 65), (mode, cpu["cores_seconds"][mode])
        for low, value, high in zip(rows[0], cpu["cores_seconds"][mode], rows[1]):
            if mode != "iowait":  # which may step back, see proc(5)
                between(int(low[i + 1]) / hz - 0.01, value, int(high[i + 1]) / hz + 0.01, (low[0], mode))
    for name, key in (("ctxt", "context_switches"), ("processes", "forks"), ("intr", "interrupts")):
        low, high = (int(next(line for line in text if line[0] == name)[1]) for text in (before, after))
        between(low, cpu[key], high, key)


def story_memory_in_full_agrees_with_the_kernel():
    _, host = talk(tap.keep)
    keys = {"Active": "active_kb", "Inactive": "inactive_kb", "Mapped": "mapped_kb", "PageTables": "page_tables_kb", "KernelStack": "kernel_stack_kb",
            "VmallocUsed": "vmalloc_used_kb", "AnonHugePages": "anonymous_huge_kb", "Unevictable": "unevictable_kb", "Mlocked": "locked_kb",
            "SwapCached": "swap_cached_kb", "Zswap": "zswap_kb", "Zswapped": "zswapped_kb", "CommitLimit": "commit_limit_kb",
            "Hugepagesize": "huge_page_size_kb", "HugePages_Total": "huge_pages_total", "HugePages_Free": "huge_pages_free",
            "HugePages_Rsvd": "huge_pages_reserved", "HugePages_Surp": "huge_pages_surplus"}
    memory = fresh(host)["data"]["system"]["memory"]
    kernel = {line[0].rstrip(":"): int(line[1]) for line in lines_of("/proc/meminfo")}
    for name, key in keys.items():
        if name not in kernel:
            assert memory[key] is None, (key, memory[key])
        else:
            close_to(memory[key], kernel[name], 0.15, 30000 if key.endswith("_kb") else 0, key)


def story_counters_of_the_disks_agree_with_the_kernel():
    _, host = talk(tap.keep)
    before, system, after = lines_of("/proc/diskstats"), fresh(host)["data"]["system"], lines_of("/proc/diskstats")
    columns = {"read_ops": 3, "read_merges": 4, "read_time_ms": 6, "write_ops": 7, "write_merges": 8, "write_time_ms": 10, "io_time_ms": 12,
               "weighted_time_ms": 13, "discard_ops": 14, "discard_merges": 15, "discard_time_ms": 17, "flush_ops": 18, "flush_time_ms": 19}
    assert system["disk"]["devices"] or not os.path.exists("/sys/block/vda"), system["disk"]
    for device in system["disk"]["devices"]:
        low, high = (next(line for line in text if line[2] == device["name"]) for text in (before, after))
        for key, column in columns.items():
            if column >= len(low):
                assert device[key] is None, (key, device[key])
            else:
                between(int(low[column]), device[key], int(high[column]), (device["name"], key))


def story_what_a_write_waits_is_as_the_kernel_counts_it():
    """By the rule of iostat(1): time of the requests over their number."""
    _, host = talk(tap.keep)
    before, low = fresh(host)["data"]["system"]["disk"]["devices"], time.monotonic()
    with tempfile.NamedTemporaryFile(dir=ON_DISK) as file:
        for _ in range(20):
            file.write(b"x" * 65536)
            file.flush()
            os.fsync(file.fileno())
    time.sleep(max(0.0, 1.2 - (time.monotonic() - low)))
    after = fresh(host)["data"]["system"]["disk"]["devices"]
    seen = 0
    for old, new in zip(before, after):
        ops = new["write_ops"] - old["write_ops"]
        if old["name"] == new["name"] and ops > 0 and new["write_await_ms"] is not None:
            close_to(new["write_await_ms"], (new["write_time_ms"] - old["write_time_ms"]) / ops, 0.5, 5, new["name"])
            seen += 1
    if not seen:
        raise tap.Skip("no disk of this machine was written to")


def story_counters_of_the_interfaces_agree_with_the_kernel():
    _, host = talk(tap.keep)

    def read():
        with open("/proc/net/dev", encoding="ascii") as file:
            return {line.split(":")[0].strip(): list(map(int, line.split(":")[1].split())) for line in file if ":" in line}
    before, interfaces, after = read(), fresh(host)["data"]["system"]["network"]["interfaces"], read()
    columns = {"fifo_errors_in": 4, "frame_errors_in": 5, "compressed_in": 6, "multicast_in": 7, "fifo_errors_out": 12, "collisions_out": 13,
               "carrier_errors_out": 14, "compressed_out": 15}
    for interface in interfaces:
        for key, column in columns.items():
            between(before[interface["name"]][column], interface[key], after[interface["name"]][column], (interface["name"], key))
        with open(f"/sys/class/net/{interface['name']}/carrier_changes", encoding="ascii") as file:
            assert interface["carrier_changes"] == int(file.read()), interface


def story_used_percent_is_that_of_df():
    need("df")
    _, host = talk(tap.keep)
    rows = {row["mount_point"]: row for row in fresh(host)["data"]["system"]["disk"]["usage_stats"]}
    listed = {line.split()[5]: line.split() for line in output("df", "-P", "-B1").splitlines()[1:]}
    common = [name for name in rows if name in listed and rows[name]["used_percent"] is not None and listed[name][4] != "-"]
    if not common:
        raise tap.Skip("df lists none of them")
    for name in common:
        close_to(rows[name]["used_percent"], int(listed[name][4].rstrip("%")), 0, 1, name)
        assert rows[name]["device_error"] is False and rows[name]["free_bytes"] >= rows[name]["available_bytes"], rows[name]


def story_a_process_is_counted_as_the_kernel_counts_it():
    """One that burns its processor and writes: chosen, and with its numbers."""
    with tempfile.NamedTemporaryFile(dir=ON_DISK) as file:
        code = f"import os\nf = open({file.name!r}, 'wb')\nwhile True:\n f.seek(0); f.write(b'x' * 1048576); f.flush(); os.fsync(f.fileno())"
        child = subprocess.Popen([sys.executable, "-c", code])
        try:
            _, host = talk(tap.keep, {"timers.metrics_interval_ms": 500, "collectors.processes_top": 4})
            for _ in range(3):
                sample(host)

            def read():
                numbers = {}
                for name in ("io", "status"):
                    with open(f"/proc/{child.pid}/{name}", encoding="ascii") as text:
                        numbers.update({line.split(":")[0]: line.split()[1] for line in text if ":" in line and len(line.split()) > 1})
                return numbers
            before, data, after = read(), fresh(host)["data"], read()
            row = next(row for row in data["processes"] if row["pid"] == child.pid)
            between(int(before["write_bytes"]), row["disk_write_bytes"], int(after["write_bytes"]), "write_bytes")
            between(0, row["voluntary_switches"], int(after["voluntary_ctxt_switches"]), "voluntary_switches")
            between(0, row["involuntary_switches"], int(after["nonvoluntary_ctxt_switches"]), "involuntary_switches")
            assert row["threads"] == 1 and row["disk_bytes_per_sec"] > 0, row
        finally:
            child.kill()
            child.wait()


# -------------------------------------------------------------------------------------------------------------- cpu

@contextlib.contextmanager
def burner():
    process = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    try:
        yield process.pid
    finally:
        process.kill()
        process.wait()


def cpu_time(pid):
    """Seconds of processor time of a living process, by its own clock (clock_getcpuclockid(3))."""
    return time.clock_gettime((~pid << 3) | 2)


def story_a_burning_core_is_seen_in_the_whole_the_core_and_the_process():
    _, host = talk(tap.keep, FAST)
    with burner() as pid:
        sample(host)
        begun, used = time.monotonic(), cpu_time(pid)
        rows, whole, cores = [], [], []
        while time.monotonic() - begun < 4:
            data = sample(host)["data"]
            whole.append(data["system"]["cpu"]["usage_percent"])
            cores.append(max(data["system"]["cpu"]["cores_usage"]))
            rows += [p["cpu_percent"] for p in data["processes"] if p["pid"] == pid]
        share = 100 * (cpu_time(pid) - used) / (time.monotonic() - begun)
    tap.note(f"the burner got {share:.0f} % of a core")
    assert len(rows) >= 5, rows
    rows, whole, cores = rows[1:], whole[1:], cores[1:]
    close_to(sum(rows) / len(rows), share, 0.15, 8, "cpu_percent of the process")
    assert sum(whole) / len(whole) >= share / os.cpu_count() - 8, whole
    assert sum(cores) / len(cores) >= share / os.cpu_count() - 8, cores


def story_top_by_cpu_begins_with_the_burning_process():
    _, host = talk(tap.keep, {"timers.metrics_interval_ms": 500})
    with burner() as first, burner() as second:
        time.sleep(1.2)
        sample(host)
        sample(host)
        rows = host.ask("ProcessTop", limit=8, sort_by="cpu")["data"]
        assert {first, second} <= {row["pid"] for row in rows}, rows


# ------------------------------------------------------------------------------------------------------------- disk

def story_50_mb_written_and_synced_are_50_mb_in_the_rates():
    _, host = talk(tap.keep, FAST)
    with tempfile.TemporaryDirectory(dir=ON_DISK) as directory:
        if output("df", "--output=fstype", directory).splitlines()[1].strip() in ("tmpfs", "overlay", "9p", "virtiofs"):
            raise tap.Skip(f"{ON_DISK} is not on a disk of this machine")
        sample(host)
        time.sleep(0.6)
        host.pump(0)
        host.pending.clear()
        sample(host)
        begun = host.arrived[-1]
        subprocess.run(["dd", "if=/dev/urandom", f"of={directory}/file", "bs=1M", "count=50", "conv=fsync", "status=none"], check=True)
        total = operations = 0.0
        last = begun
        # All samples of the time the writing took, however long that was, and of a second after it.
        done = time.monotonic() + 1
        while last < done:
            stats = sample(host)["data"]["system"]["disk"]["io_stats"]
            interval = host.arrived[-1 - len(host.pending)] - last
            last += interval
            total += stats["write_bytes_per_sec"] * interval
            operations += stats["write_ops_per_sec"] * interval
    assert 0.85 * 50 * 1048576 < total < 12 * 50 * 1048576, f"{total / 1e6:.1f} MB"
    assert operations > 10, operations


# ---------------------------------------------------------------------------------------------------------- network

def ip_links():
    """name -> (addresses, is up, counters) as ip shows them, without the loopback."""
    found = {}
    for link in json.loads(output("ip", "-j", "-s", "address")):
        if "LOOPBACK" not in link["flags"]:
            addresses = {a["local"] for a in link["addr_info"]}
            found[link["ifname"]] = (addresses, "UP" in link["flags"], link["stats64"])
    return found


def story_interfaces_agree_with_ip():
    need("ip")
    _, host = talk(tap.keep)
    before = ip_links()
    listed = {i["name"]: i for i in fresh(host)["data"]["system"]["network"]["interfaces"]}
    after = ip_links()
    names = {name for name in before if name in after}
    assert names <= set(listed) or not [n for n in names - set(listed) if after[n][1]], (names, set(listed))
    for name in names & set(listed):
        item = listed[name]
        assert {a.split("/")[0].split("%")[0] for a in item["ip_addresses"]} == after[name][0], (item, after[name][0])
        for key, side, counter in (("bytes_received", "rx", "bytes"), ("bytes_sent", "tx", "bytes"), ("packets_received", "rx", "packets"),
                                   ("packets_sent", "tx", "packets"), ("errors_in", "rx", "errors"), ("errors_out", "tx", "errors")):
            low, high = before[name][2][side][counter], after[name][2][side][counter]
            assert low <= item[key] <= high, f"{name} {key}: {item[key]} is not within {low} and {high}"


@contextlib.contextmanager
def private_network(settings):
    """An agent in a network namespace of its own, and a function that runs `ip` there."""
    tap.need_root()
    need("ip")
    need("unshare")
    if subprocess.run(["unshare", "-n", "ip", "link", "add", "v0", "type", "veth", "peer", "name", "v1"], check=False,
                      stderr=subprocess.DEVNULL).returncode != 0:
        raise tap.Skip("cannot make a network namespace with a veth pair")
    with UnixHost() as host, Agent(host.spec, settings, wrapper=["unshare", "-n", "--"]) as agent:
        host.accept()

        def ip(*arguments):
            return output("nsenter", "-t", str(agent.pid), "-n", "ip", *arguments)

        yield host, ip


@tap.beside
def story_an_added_interface_and_address_are_reported_at_once():
    with private_network({"timers.metrics_interval_ms": 60000}) as (host, ip):
        first = sample(host)["data"]["system"]["network"]["interfaces"]
        assert first == [] or all(i["name"] != "v0" for i in first), first
        time.sleep(2.1)
        ip("link", "add", "v0", "type", "veth", "peer", "name", "v1")
        ip("link", "set", "v0", "up")
        ip("link", "set", "v1", "up")
        ip("address", "add", "10.99.0.1/24", "dev", "v0")
        ip("address", "add", "2001:db8::1/64", "dev", "v0", "nodad")
        begun = time.monotonic()
        seen = []
        while time.monotonic() - begun < 6 * SLOW:
            found = {i["name"]: i for i in sample(host, 6)["data"]["system"]["network"]["interfaces"]}
            seen.append(round(time.monotonic() - begun, 2))
            if "v0" in found and {"10.99.0.1", "2001:db8::1"} <= {a.split("/")[0] for a in found["v0"]["ip_addresses"]}:
                break
        else:
            raise AssertionError(f"not seen; samples came after {seen} s")
        assert found["v0"]["is_up"] is True and "lo" not in found, found
        tap.note(f"samples came after {seen} s")
        assert seen[0] < 1.5 * SLOW, seen
        time.sleep(2.1)
        host.pump(0)
        host.pending.clear()
        ip("link", "del", "v0")
        gone = sample(host, 5)["data"]["system"]["network"]["interfaces"]
        assert all(i["name"] not in ("v0", "v1") for i in gone), gone


def story_many_changes_of_addresses_are_at_most_one_sample_in_two_seconds():
    with private_network({"timers.metrics_interval_ms": 60000}) as (host, ip):
        ip("link", "add", "v0", "type", "veth", "peer", "name", "v1")
        ip("link", "set", "v0", "up")
        sample(host)
        begun, before = time.monotonic(), len(host.lines)
        while time.monotonic() - begun < 5:
            ip("address", "add", "10.99.0.1/24", "dev", "v0")
            ip("address", "del", "10.99.0.1/24", "dev", "v0")
            host.pump(0.02)
        assert len(host.lines) - before <= 4, len(host.lines) - before


# ------------------------------------------------------------------------------------------------ processes and ports

def ps_rows():
    rows = {}
    for line in output("ps", "-eo", "pid=,ppid=,rss=,stat=,comm=").splitlines():
        pid, ppid, rss, state, comm = line.split(None, 4)
        rows[int(pid)] = (int(ppid), int(rss), state, comm)
    return rows


def story_processes_agree_with_ps():
    need("ps")
    _, host = talk(tap.keep, FAST)
    sample(host)
    before, listed, after = ps_rows(), fresh(host)["data"]["processes"], ps_rows()
    compared = 0
    for item in listed:
        if item["pid"] not in before or item["pid"] not in after or before[item["pid"]][3] != after[item["pid"]][3]:
            continue
        if item["name"].startswith("kworker/"):  # named after the work they do at the moment
            continue
        ppid, rss, _, comm = after[item["pid"]]
        compared += 1
        assert item["ppid"] in (ppid, before[item["pid"]][0]), (item, ppid)
        assert comm.replace(" <defunct>", "") == item["name"][:15] or comm.startswith(item["name"]), (item["name"], comm)
        if item["memory_kb"] is not None and rss > 0:
            low, high = sorted((before[item["pid"]][1], rss))
            assert low * 0.8 - 4096 <= item["memory_kb"] <= high * 1.2 + 4096, (item, low, high)
    assert compared >= min(20, len(before) // 2), f"{compared} of {len(before)}"
    assert os.getpid() in {item["pid"] for item in listed}


def story_no_process_has_more_than_all_processors():
    """Young ones above all: what the kernel has charged one in its first moment may be many times that moment."""
    _, host = talk(tap.keep, {**FAST, "timers.metrics_interval_ms": 50, "timers.collect_timeout_ms": 20})
    most, end, seen = 100.0 * os.cpu_count(), time.monotonic() + 5, set()
    while time.monotonic() < end:
        with subprocess.Popen([sys.executable, "-S", "-c", "while True: pass"], start_new_session=True) as burner:
            for _ in range(3):
                for process in sample(host)["data"]["processes"]:
                    if process["pid"] == burner.pid:
                        seen.add(burner.pid)
                    assert process["cpu_percent"] <= most + 0.05, process
            burner.kill()
    assert seen, "no young process was seen"


def story_start_time_and_command_line_agree_with_ps():
    _, host = talk(tap.keep, FAST)
    child = subprocess.Popen(["sleep", "31.4159"])
    try:
        began = time.time()
        time.sleep(0.3)
        for _ in range(4):
            rows = [p for p in sample(host)["data"]["processes"] if p["pid"] == child.pid]
            if rows and rows[0]["cmd_line"]:
                break
        assert rows and "31.4159" in rows[0]["cmd_line"] and rows[0]["name"] == "sleep", rows
        assert rows[0]["exe_path"] is None or os.path.basename(rows[0]["exe_path"]) in ("sleep", "coreutils", "busybox"), rows
        assert rows[0]["status"] == "Sleeping" and rows[0]["ppid"] == os.getpid(), rows
        stamp = rows[0]["start_time"]
        told = datetime.datetime.fromisoformat(stamp.replace("Z", "+00:00")).timestamp()
        close_to(told, began, slack=1.5, what="start time")
    finally:
        child.kill()
        child.wait()


def ss_listening():
    found = set()
    for kind, option in (("TCP", "-t"), ("UDP", "-u")):
        for line in output("ss", "-Hln", option).splitlines():
            fields = line.split()
            found.add((kind, int(fields[3].rsplit(":", 1)[1])))
    return found


def story_listening_ports_agree_with_ss():
    need("ss")
    with contextlib.ExitStack() as stack:
        mine = set()
        for family, kind, name in ((socket.AF_INET, socket.SOCK_STREAM, "TCP"), (socket.AF_INET6, socket.SOCK_STREAM, "TCP"),
                                   (socket.AF_INET, socket.SOCK_DGRAM, "UDP")):
            try:
                listener = stack.enter_context(socket.socket(family, kind))
                listener.bind(("::1" if family == socket.AF_INET6 else "127.0.0.1", 0))
            except OSError:
                continue
            if kind == socket.SOCK_STREAM:
                listener.listen(5)
            mine.add((name, listener.getsockname()[1]))
        _, host = talk(tap.keep)
        before = ss_listening()
        listed = {(p["protocol"], p["port"]) for p in fresh(host)["data"]["ports"] if p["is_listening"]}
        after = ss_listening()
        assert mine <= listed, (mine, listed)
        assert before & after <= listed, (before & after) - listed
        assert listed <= before | after, listed - (before | after)


def story_a_new_listener_has_its_pid_by_the_second_sample():
    _, host = talk(tap.keep, {"timers.metrics_interval_ms": 1000})
    sample(host)
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(5)
        number = listener.getsockname()[1]
        rows = []
        for _ in range(3):
            rows.append([p for p in sample(host)["data"]["ports"] if p["port"] == number and p["is_listening"]])
        seen = [row[0] for row in rows if row]
        assert len(seen) >= 2, rows
        assert seen[1]["pid"] == os.getpid(), seen
        name = output("ps", "-o", "comm=", "-p", str(os.getpid())).strip()
        assert seen[1]["process_name"] == name and seen[1]["state"] == "LISTEN", seen


def story_connections_are_counted_by_their_port():
    _, host = talk(tap.keep)
    with contextlib.ExitStack() as stack:
        listener = stack.enter_context(socket.socket())
        listener.bind(("127.0.0.1", 0))
        listener.listen(8)
        address = listener.getsockname()
        for _ in range(3):
            stack.enter_context(socket.create_connection(address))
            stack.enter_context(listener.accept()[0])
        rows = [p for p in fresh(host)["data"]["ports"] if p["port"] == address[1]]
        assert any(p["is_listening"] for p in rows), rows
        assert max(p["connection_count"] for p in rows) >= 3, rows


# -------------------------------------------------------------------------------------------------------------- host

def story_load_and_uptime_agree_with_the_machine():
    need("uptime")
    _, host = talk(tap.keep)
    system = fresh(host)["data"]["system"]
    close_to(system["uptime_seconds"], time.clock_gettime(time.CLOCK_BOOTTIME), slack=3, what="uptime")
    for key, wanted in zip(("load_1min", "load_5min", "load_15min"), os.getloadavg()):
        close_to(system["load_average"][key], wanted, 0.1, 0.3, key)
    assert system["kernel_version"] == output("uname", "-r").strip()


def story_a_hostile_process_name_arrives_as_harmless_text():
    with tempfile.TemporaryDirectory(prefix="infini-") as directory:
        name = os.path.join(os.fsencode(directory), b"a)\x1b]0;\n\xff\"\\")
        shutil.copy("/bin/sleep", name)
        child = subprocess.Popen([name, b"32.5"])
        try:
            _, host = talk(tap.keep, FAST)
            rows = [p for p in fresh(host)["data"]["processes"] if p["pid"] == child.pid]
            assert rows and rows[0]["name"].startswith("a)") and rows[0]["ppid"] == os.getpid(), rows
        finally:
            child.kill()
            child.wait()


def story_more_than_a_thousand_sockets_fit_into_the_message():
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(limit[1], 4096), limit[1]))
    with contextlib.ExitStack() as stack:
        try:
            for _ in range(1200):
                listener = stack.enter_context(socket.socket())
                listener.bind(("127.0.0.1", 0))
                listener.listen(1)
        except OSError:
            raise tap.Skip("not enough descriptors") from None
        _, host = talk(tap.keep, {"collectors.sample_max_bytes": "1M"})
        message = fresh(host)
        assert 900 <= len(message["data"]["ports"]) <= 1000, len(message["data"]["ports"])
        assert len(host.lines[-1]) <= 1 << 20
    resource.setrlimit(resource.RLIMIT_NOFILE, limit)


def story_ports_are_there_on_a_kernel_that_cannot_dump_its_sockets():
    without = [sys.executable, os.path.join(os.path.dirname(os.path.abspath(__file__)), "without_sock_diag.py")]
    if subprocess.run(without + ["true"], stderr=subprocess.DEVNULL, check=False).returncode:
        raise tap.Skip("no seccomp filter for this machine")
    with socket.socket() as tcp, socket.socket(socket.AF_INET6) as tcp6, socket.socket(type=socket.SOCK_DGRAM) as udp:
        tcp.bind(("127.0.0.1", 0))
        tcp6.bind(("::1", 0))
        udp.bind(("127.0.0.1", 0))
        tcp.listen()
        tcp6.listen()
        with socket.create_connection(tcp.getsockname()), tcp.accept()[0]:
            agent, host = talk(tap.keep, FAST, wrapper=without)
            wanted = {(tcp.getsockname()[1], "TCP"), (tcp6.getsockname()[1], "TCP"), (udp.getsockname()[1], "UDP")}
            found, ages, end = {}, [], time.monotonic() + 20 * SLOW
            while time.monotonic() < end and (set(found) != wanted or not all(p["pid"] for p in found.values())):
                data = sample(host)["data"]
                ages.append(data["ports_age_s"])
                found = {(p["port"], p["protocol"]): p for p in data["ports"] if (p["port"], p["protocol"]) in wanted}
            assert set(found) == wanted, (found, wanted)
            assert all(p["pid"] == os.getpid() for p in found.values()), found
            assert found[(tcp.getsockname()[1], "TCP")]["connection_count"] >= 1, found
            # The text is read once a minute: what comes now is not in the next samples, and the list says its age.
            with socket.socket() as late:
                late.bind(("127.0.0.1", 0))
                late.listen()
                end = time.monotonic() + 3
                while time.monotonic() < end:
                    data = sample(host)["data"]
                    ages.append(data["ports_age_s"])
                assert (late.getsockname()[1], "TCP") not in {(p["port"], p["protocol"]) for p in data["ports"]}
            assert max(a for a in ages if a is not None) >= 2, ages
            assert agent.alive()


def story_ports_carry_no_age_where_the_kernel_dumps_its_sockets():
    _, host = talk(tap.keep, FAST)
    data = sample(host)["data"]
    assert "ports_age_s" not in data and isinstance(data["ports"], list), list(data)


# ------------------------------------------------------------------------------------------------------------- users

USERS = 17000


def story_a_user_far_down_in_the_list_has_a_name():
    tap.need_root()
    directory = tap.keep(tempfile.TemporaryDirectory(prefix="infini-users-"))
    passwd = os.path.join(directory, "passwd")
    with open("/etc/passwd", encoding="utf-8", errors="replace") as file:
        lines = file.read()
    uid = 200000 + USERS
    with open(passwd, "w", encoding="utf-8", errors="replace") as file:
        file.write(lines + "".join(f"user{n}:x:{200000 + n}:{200000 + n}::/:/bin/false\n" for n in range(USERS + 1)))
    inside = "mount --bind %s /etc/passwd && exec \"$@\"" % passwd
    if subprocess.run(["unshare", "-m", "sh", "-c", inside, "sh", "true"], stderr=subprocess.DEVNULL, check=False).returncode:
        raise tap.Skip("this machine allows no mount namespace")
    sleeper = tap.keep(subprocess.Popen(["sleep", "60"], user=uid, group=uid, cwd="/"))  # pylint: disable=consider-using-with
    try:
        _, host = talk(tap.keep, FAST, wrapper=["unshare", "-m", "sh", "-c", inside, "sh"])
        end = time.monotonic() + 20 * SLOW
        seen = None
        while time.monotonic() < end and (seen is None or seen["user"] == str(uid)):
            rows = [p for p in sample(host)["data"]["processes"] if p["pid"] == sleeper.pid]
            seen = rows[0] if rows else None
        assert seen and seen["uid"] == uid and seen["user"] == f"user{USERS}", seen
    finally:
        sleeper.kill()


tap.main(globals())
