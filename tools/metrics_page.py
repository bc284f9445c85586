#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Writes docs/metrics.md: every value of a sample, its unit, its meaning, where it comes from and since when.

    tools/metrics_page.py INFINICTL PAGE             writes the page
    tools/metrics_page.py --check INFINICTL PAGE     exit status 1 when it is not up to date

The numbers are those of agent/catalog/catalog.c, as `infinictl metrics` lists them; what is no number, and where each part comes
from, stands here.
"""

import json
import re
import subprocess
import sys

# Path, title, source, first version that has it. A metric belongs to the longest path that it begins with.
SECTIONS = [
    ("system.cpu", "Processors", "`/proc/stat`; the temperature from `/sys/class/hwmon` or `/sys/class/thermal`. Steal is told by a hypervisor that takes processors away; "
     "it was tested with texts of the kernel alone, as no such host was at hand.", "0.1.0"),
    ("system.memory", "Memory", "`/proc/meminfo`; `available_kb` since Linux 3.14.", "0.1.0"),
    ("system.pressure", "Pressure", "`/proc/pressure/{cpu,memory,io}` (PSI), since Linux 4.20, `full` of the processors since 5.13; null without CONFIG_PSI or with `psi=0`.", "0.1.0"),
    ("system.vmstat", "Paging", "`/proc/vmstat`, read every 10 s at most; `oom_kills` since Linux 4.13.", "0.1.0"),
    ("system.disk", "Filesystems and disks", "`/proc/1/mountinfo` and statvfs(2), which a helper calls as it may hang; `/proc/diskstats` and `/sys/dev/block`.", "0.1.0"),
    ("system.network", "Interfaces", "`/proc/net/dev`, and links and addresses by rtnetlink(7).", "0.1.0"),
    ("system", "Machine", "`/proc/loadavg`, `/proc/uptime`, uname(2), os-release(5).", "0.1.0"),
    ("tcp", "TCP, UDP and sockets", "`/proc/net/{snmp,netstat,sockstat,softnet_stat}` of the agent's network namespace, read every 10 s at most.", "0.1.0"),
    ("limits", "Limits of the kernel", "`/proc/sys/fs/{file-nr,inode-nr}`, `/proc/loadavg`, `/proc/sys/kernel/{threads-max,pid_max}`, `/proc/sys/net/netfilter/nf_conntrack_{count,max}` "
     "(null until that module is loaded), `/proc/sys/kernel/random/{entropy_avail,poolsize}` (since Linux 5.18 always 256 of 256); read every 10 s at most.", "0.1.0"),
    ("clock", "Clock", "adjtimex(2), which asks and sets nothing, and `/sys/devices/system/clocksource/clocksource0/current_clocksource`; read every 30 s at most. kvm-clock was tested with a text alone.", "0.1.0"),
    ("guest", "Guest", "CPUID, `/sys/class/dmi/id`, the tree of devices, `/proc/sys/kernel`, os-release(5), `/run/cloud-init`, `/etc/cloud/build.info`; read every 60 s at most. In whole samples alone.", "0.1.0"),
    ("users", "Logins", "`/run/systemd/sessions`, else utmp(5); read every 30 s at most.", "0.1.0"),
    ("units", "Units", "PID 1, over D-Bus (`ListUnitsFiltered`), by a process that loads libsystemd, asks and ends; every two minutes.", "0.1.0"),
    ("sensors", "Sensors", "`/sys/class/hwmon`, `/sys/class/thermal`; read every 30 s at most. Few guests have any: tested with texts alone.", "0.1.0"),
    ("gpu", "Graphics processors", "`/sys/class/drm/cardN/device`; use and memory of amdgpu alone, in the kernel. Read every 30 s at most. Tested with texts alone.", "0.1.0"),
    ("cgroup", "Control groups", "`/sys/fs/cgroup`: of version 2 `cpu.stat`, `memory.{current,max,events}`, `io.stat`, `pids.current`, `*.pressure`; of version 1 `cpuacct.usage`, "
     "`memory.{usage_in_bytes,limit_in_bytes,oom_control}`, `blkio.throttle.io_service_bytes`, `pids.current`. Read every 30 s at most.", "0.1.0"),
    ("processes", "Processes", "`/proc/PID/{stat,status,io,cmdline,exe}`; what belongs to others may be null.", "0.1.0"),
    ("connections", "Connections", "sock_diag(7).", "0.1.0"),
    ("ports", "Ports", "sock_diag(7); on kernels without it `/proc/net/{tcp,tcp6,udp,udp6}`. Their owners from `/proc/PID/fd`.", "0.1.0"),
    ("self", "The agent itself", "`/proc/self`, and counters of the agent.", "0.1.0"),
    ("failed_collectors", "What could not be measured", "The agent.", "0.1.0"),
]

RATE_STATE = "of the rates: `ok`, `first` (one reading so far), `gap` (over a suspend or a step of the clock), `reset` (a counter went back), `stale`"

# What is no number.
TEXTS = [
    ("system.cpu.state", RATE_STATE),
    ("system.vmstat.state", RATE_STATE),
    ("system.disk.usage_stats[mount_point].mount_point", "where it is mounted"),
    ("system.disk.usage_stats[mount_point].filesystem", "its type"),
    ("system.disk.usage_stats[mount_point].device", "what is mounted"),
    ("system.disk.usage_stats[mount_point].read_only", "yes or no"),
    ("system.disk.usage_stats[mount_point].stale", "yes: it did not answer, and the numbers are those of its last answer"),
    ("system.disk.usage_stats[mount_point].device_error", "yes or no: it could not be looked at"),
    ("system.disk.io_stats.state", RATE_STATE),
    ("system.disk.devices[name].name", "of the disk"),
    ("system.disk.devices[name].kind", "of the disk"),
    ("system.disk.devices[name].state", RATE_STATE),
    ("system.network.interfaces[name].name", "of the interface"),
    ("system.network.interfaces[name].is_up", "yes or no"),
    ("system.network.interfaces[name].operstate", "as the kernel has it"),
    ("system.network.interfaces[name].mac", "its hardware address"),
    ("system.network.interfaces[name].rate_state", RATE_STATE),
    ("system.network.interfaces[name].ip_addresses[index]", "an address"),
    ("system.name", "of the distribution"),
    ("system.os_version", "its version"),
    ("system.kernel_version", "of the kernel"),
    ("system.hostname", "of the machine"),
    ("system.boot_time", "when it was started"),
    ("tcp.state", RATE_STATE),
    ("clock.synchronized", "yes or no: a daemon disciplines the clock"),
    ("clock.leap", "a leap second: `none`, `insert` or `delete` at midnight UTC, `now`, `over`"),
    ("clock.source", "what the clock counts by: `kvm-clock`, `tsc`, …"),
    ("guest.hypervisor", "`kvm`, `qemu` (without KVM), `xen`, `vmware`, `microsoft`, …; `none`: the processor says that there is none"),
    ("guest.container", "manager of the container that the agent runs in"),
    ("guest.cloud", "by its DMI, named as cloud-init does: `ec2`, `gce`, `azure`, …"),
    ("guest.cloud_id", "as cloud-init found"),
    ("guest.cloud_init", "`running`, `done`, `error`, `disabled`; null: it is not there"),
    ("guest.boot_id", "random, another one at every boot"),
    ("guest.dmi.vendor", "of the machine"),
    ("guest.dmi.product", "name of the machine"),
    ("guest.dmi.version", "of the machine"),
    ("guest.dmi.bios_vendor", "of the firmware"),
    ("guest.dmi.bios_version", "of the firmware"),
    ("guest.image.id", "the image that the machine was made from: IMAGE_ID of os-release(5), or what build.info says"),
    ("guest.image.version", "version of that image"),
    ("guest.kernel.version", "as `uname -v` prints"),
    ("guest.kernel.machine", "as `uname -m` prints"),
    ("guest.os.id", "ID of os-release(5)"),
    ("guest.os.version_id", "VERSION_ID of os-release(5)"),
    ("users.source", "`logind` or `utmp`; null: there is neither"),
    ("users.sessions[user].user", "who"),
    ("users.sessions[user].tty", "terminal"),
    ("users.sessions[user].remote_host", "from where"),
    ("users.sessions[user].service", "by which service of PAM"),
    ("users.sessions[user].closing", "yes: logged out, but something of it still runs"),
    ("users.sessions[user].since", "when"),
    ("units.failed[index]", "name of a unit that has failed"),
    ("units.restarting[index]", "name of a unit that PID 1 is about to start again"),
    ("sensors.temperatures[label].chip", "name of its driver"),
    ("sensors.temperatures[label].label", "of the sensor"),
    ("sensors.fans[label].chip", "name of its driver"),
    ("sensors.fans[label].label", "of the fan"),
    ("sensors.zones[name].type", "of the zone"),
    ("sensors.zones[name].name", "of the zone"),
    ("gpu.cards[name].name", "of the card"),
    ("gpu.cards[name].driver", "in the kernel"),
    ("gpu.cards[name].vendor", "PCI id"),
    ("gpu.cards[name].device", "PCI id"),
    ("cgroup_mode", "`v2`, `hybrid`, `v1`; null: there are no control groups"),
    ("cgroup_rank", "by what those that are listed were chosen"),
    ("cgroup[path].path", "of the group, below its hierarchy"),
    ("cgroup[path].kind", "`slice`, `service`, `scope`, `container`, `other`"),
    ("cgroup[path].runtime", "of a container: `docker`, `podman`, `containerd`, `cri-o`, `lxc`, `nspawn`, `kubernetes`"),
    ("cgroup[path].container_id", "of a container"),
    ("cgroup[path].state", RATE_STATE),
    ("processes[pid].name", "of the process"),
    ("processes[pid].exe_path", "its program"),
    ("processes[pid].cmd_line", "its command line, cut"),
    ("processes[pid].status", "`Running`, `Sleeping`, `Disk Sleep`, …"),
    ("processes[pid].start_time", "when it began"),
    ("processes[pid].user", "its user"),
    ("connections[remote_port].process_name", "whose they are"),
    ("connections[remote_port].protocol", "`TCP` or `UDP`"),
    ("connections[remote_port].state", "`ESTABLISHED`, `SYN_SENT`, `CLOSE_WAIT`"),
    ("ports[port].protocol", "`TCP` or `UDP`"),
    ("ports[port].state", "`LISTEN`, …"),
    ("ports[port].address", "the address it is bound to"),
    ("ports[port].process_name", "whose it is"),
    ("ports[port].exe_path", "whose it is"),
    ("ports[port].is_listening", "yes or no"),
    ("failed_collectors[name].name", "what is missing in this sample"),
    ("failed_collectors[name].error", "why"),
]

# Not in every sample.
SOMETIMES = ("failed_collectors", "cgroup_rank", "cgroup[path].runtime", "cgroup[path].container_id", "guest.")

HEAD = """# The values of a sample

Each value by its path below `data`, as the option `--metric` of infinictl takes it; how a sample comes about and what its parts are: [PROTOCOL.md](../transport/PROTOCOL.md).
In [] stands what an item of a list is told apart by. A *counter* only grows, since the boot or since what it counts appeared; a *gauge* is what is at the moment, or a rate over the time
since the last reading. What cannot be known is null. A `reason` (or `…_reason`) beside it is `unsupported` (the kernel or the machine has none), `denied`, `invalid` (the text makes no sense),
`unreadable`, or a word of its own that PROTOCOL.md explains. *sometimes*: not in every sample; *kept*: in the log's summaries by minute and hour. `age_s` is there where a part was not read
for this sample. A list that was cut has `…_left_out`, `…_total` or `truncated` beside it.

This page is written by `tools/metrics_page.py` and checked by a test. Versions are those of InfiniService.
"""


def section_of(path):
    fitting = [name for name, *_ in SECTIONS if re.match(re.escape(name) + r"([.\[_]|$)", path)]
    if not fitting:
        sys.exit(f"metrics_page.py: {path} belongs to no section: give it one, with its source")
    return max(fitting, key=len)


def page(infinictl):
    numbers = json.loads(subprocess.run([infinictl, "metrics", "--json"], stdout=subprocess.PIPE, check=True).stdout)
    rows = {name: [] for name, *_ in SECTIONS}
    for metric in numbers:
        notes = ([] if metric["always"] else ["sometimes"]) + (["kept"] if metric["kept"] else [])
        rows[section_of(metric["name"])].append((metric["name"], metric["unit"] or "–", ", ".join([metric["kind"], *notes]), metric["meaning"]))
    for path, meaning in TEXTS:
        kind = "text, sometimes" if path.startswith(SOMETIMES) else "text"
        rows[section_of(path)].append((path, "–", kind, meaning))
    out = [HEAD]
    for name, title, source, since in SECTIONS:
        if not rows[name]:
            continue
        out.append(f"\n## {title}\n\nSource: {source} Since {since}.\n\n| value | unit | kind | meaning |\n|---|---|---|---|\n")
        out += [f"| `{path}` | {unit} | {kind} | {meaning} |\n" for path, unit, kind, meaning in rows[name]]
    return "".join(out)


def main():
    check = sys.argv[1:2] == ["--check"]
    infinictl, path = sys.argv[1 + check:]
    text = page(infinictl)
    if check:
        with open(path, encoding="utf-8") as file:
            if file.read() != text:
                sys.exit(f"{path} is not up to date: run tools/metrics_page.py {infinictl} {path}")
        return
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)


if __name__ == "__main__":
    main()
