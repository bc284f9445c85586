# SPDX-License-Identifier: MIT
"""Other programs that measure a machine, at one sample a second. They are started by the bench alone, never as services."""
import json
import os
import shutil
import socket
import time
import urllib.request

from accounting import Meter
from programs import BUILD, wait_for

SADC = "/usr/lib/sysstat/sadc"
# What tools/deps.sh unpacks rather than installs, as it would start a service.
UNPACKED = os.path.join(BUILD, "cache/unpacked/usr/bin")


def found(name):
    """Where a peer's program is: unpacked, installed, or nowhere."""
    return shutil.which(name, path=UNPACKED) or shutil.which(name)


def ask_qemu_ga(path):
    """Asks four things once, as a host that wants the same picture would."""
    channel = socket.socket(socket.AF_UNIX)
    for _ in range(500):  # the name is there before anybody listens
        if channel.connect_ex(path) == 0:
            break
        time.sleep(0.01)

    def ask():
        for what in ("guest-get-cpustats", "guest-get-diskstats", "guest-get-fsinfo", "guest-network-get-interfaces"):
            channel.sendall(json.dumps({"execute": what}).encode() + b"\n")
            answer = b""
            while not answer.endswith(b"\n"):
                answer += channel.recv(65536)
    return ask


def start_qemu_ga(scratch):
    path = scratch.path("qga.sock")
    process = scratch.start("qemu-ga", "-m", "unix-listen", "-p", path, "-t", scratch.directory, "-f", scratch.path("qga.pid"))
    wait_for(path)
    return Meter("qemu-ga, four guest-get-* calls", process.pid, 1, ask_qemu_ga(path))


def start_sadc(scratch, what):
    process = scratch.start(SADC, "-S", what, "1", scratch.path("sa-" + what))
    return Meter(f"sadc -S {what}", process.pid, 1)


def start_vmstat(scratch):
    return Meter("vmstat 1", scratch.start("vmstat", "1").pid, 1)


def start_atop(scratch):
    return Meter("atop -w", scratch.start(found("atop"), "-w", scratch.path("atop.raw"), "1").pid, 1)


def start_collectd(scratch):
    plugins = ["cpu", "memory", "swap", "df", "disk", "interface", "load", "uptime", "processes", "csv"]
    with open(scratch.path("collectd.conf"), "w", encoding="utf-8") as file:
        file.write(f'BaseDir "{scratch.directory}"\nPIDFile "{scratch.path("collectd.pid")}"\nInterval 1\n')
        file.writelines(f"LoadPlugin {name}\n" for name in plugins)
        file.write(f'<Plugin csv>\nDataDir "{scratch.path("csv")}"\n</Plugin>\n')
    process = scratch.start("collectd", "-f", "-C", scratch.path("collectd.conf"))
    return Meter(f"collectd, {len(plugins)} plugins", process.pid, 1)


def start_node_exporter(scratch):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = "127.0.0.1:%d" % probe.getsockname()[1]
    collectors = [f"--collector.{name}" for name in ("cpu", "meminfo", "vmstat", "pressure", "diskstats", "filesystem", "netdev", "loadavg", "stat",
                                                      "uname")]
    process = scratch.start(found("prometheus-node-exporter"), "--collector.disable-defaults", *collectors,
                            f"--web.listen-address={address}")
    url = f"http://{address}/metrics"
    for _ in range(100):
        try:
            urllib.request.urlopen(url, timeout=1).read()
            break
        except OSError:
            time.sleep(0.02)
    return Meter("node_exporter, the same subset", process.pid, 1, lambda: urllib.request.urlopen(url, timeout=2).read())


def start_peers(scratch):
    peers = [("qemu-ga", "qemu-ga", start_qemu_ga), (SADC, "sadc", lambda s: start_sadc(s, "DISK")),
             (SADC, "sadc", lambda s: start_sadc(s, "XALL")), ("vmstat", "vmstat", start_vmstat),
             ("collectd", "collectd", start_collectd), ("prometheus-node-exporter", "node_exporter", start_node_exporter),
             ("atop", "atop", start_atop)]
    started, absent = [], []
    for binary, name, start in peers:
        if found(binary):
            started.append(start(scratch))
            time.sleep(0.07)
        else:
            absent.append(name)
    return started, list(dict.fromkeys(absent))
