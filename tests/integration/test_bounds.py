#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""A sample has a bound whatever the guest has: ten thousand sockets, five hundred interfaces, a thousand mounts. What a host needs
is there all the same, and what was left out is counted."""
import contextlib
import os
import resource
import socket
import subprocess

import tap
from fakehost import talk

BOUND = 32768
SETTINGS = {"timers.metrics_interval_ms": 500}


def in_namespace(*kind):
    """The command before the agent's, in namespaces of its own."""
    if os.geteuid() != 0 or subprocess.run(["unshare", *kind, "true"], stderr=subprocess.DEVNULL, check=False).returncode:
        raise tap.Skip("needs to make namespaces")
    return ["unshare", *kind, "sh", "-c"]


def bounded(host, count=3):
    """Some samples; the host has checked each of them."""
    samples = []
    for _ in range(count):
        samples.append(host.expect("metrics", 20))
        line = [line for line in host.lines if b'"metrics"' in line[:20]][-1]
        assert len(line) <= BOUND, len(line)
        data = samples[-1]["data"]
        assert data["system"]["cpu"]["cores_usage"] and data["system"]["memory"]["total_kb"], data
        assert data["system"]["disk"]["usage_stats"][0]["mount_point"] == "/", data["system"]["disk"]
        assert "self" in data and "failed_collectors" not in data, list(data)
    return samples


def story_ten_thousand_sockets():
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    with contextlib.ExitStack() as stack:
        soft = resource.getrlimit(resource.RLIMIT_NOFILE)
        stack.callback(resource.setrlimit, resource.RLIMIT_NOFILE, soft)
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, 12000), hard))
            listeners = []
            for _ in range(300):
                listeners.append(stack.enter_context(socket.socket()))
                listeners[-1].bind(("127.0.0.1", 0))
                listeners[-1].listen(4096)
            wanted = listeners[0].getsockname()[1]
            for _ in range(4850):
                stack.enter_context(socket.create_connection(("127.0.0.1", wanted)))
                stack.enter_context(listeners[0].accept()[0])
        except OSError as error:
            raise tap.Skip(f"not enough sockets here: {error}") from None
        _, host = talk(tap.keep, SETTINGS)
        data = bounded(host)[-1]["data"]
        assert data["ports_truncated"] and data["ports_left_out"] >= 100, data["ports_left_out"]
        assert len(data["ports"]) + data["ports_left_out"] == data["ports_total"]
        busiest = [row for row in data["ports"] if row["port"] == wanted]
        assert busiest and busiest[0]["connection_count"] == 4850, busiest
        assert all(row["is_listening"] for row in data["ports"])
        # What listens goes before what began here: that has room once fewer listen.
        for listener in listeners[20:]:
            listener.close()
        host.send({"type": "Metrics"})
        data = bounded(host)[-1]["data"]
        assert "ports_truncated" not in data and len(data["ports"]) <= 40, data["ports_left_out"]
        ends = [row for row in data["connections"] if row["remote_port"] == wanted]
        assert sum(row["count"] for row in ends) == 4850, data["connections"]


def story_five_hundred_interfaces():
    script = """i=0; while [ $i -lt 500 ]; do echo "link add zz$i type KIND"; i=$((i + 1)); done | ip -batch - &&
        ip link add up0 type KIND && ip addr add 192.0.2.7/24 dev up0 && ip link set up0 up &&
        ip route add default via 192.0.2.1 && exec "$0" "$@" """
    wrapper = in_namespace("--net")
    for kind in ("dummy", "ifb", "bridge"):
        if subprocess.run([*wrapper, f"ip link add zz type {kind}"], stderr=subprocess.DEVNULL, check=False).returncode == 0:
            break
    else:
        raise tap.Skip("no interfaces can be made on this kernel")
    _, host = talk(tap.keep, SETTINGS, wrapper=[*wrapper, script.replace("KIND", kind)])
    network = bounded(host)[-1]["data"]["system"]["network"]
    assert network["truncated"] and network["total_count"] == 501, (network["total_count"], network.get("truncated"))
    assert len(network["interfaces"]) + network["interfaces_left_out"] == 501
    assert network["interfaces"][0]["name"] == "up0" and network["interfaces"][0]["ip_addresses"][0] == "192.0.2.7", network["interfaces"][0]
    assert len(network["interfaces"]) >= 5


# Of file systems that nobody serves: each a device of its own, and the agent must not look at any of them itself.
MOUNTS = """
import ctypes, os, sys
libc = ctypes.CDLL(None, use_errno=True)
if libc.mount(b"tmpfs", b"/mnt", b"tmpfs", 0, None):
    sys.exit(77)
fuse = "/dev/fuse"
if not os.path.exists(fuse):
    fuse = "/mnt/fuse"
    os.mknod(fuse, 0o20600, os.makedev(10, 229))
for i in range(1000):
    path = f"/mnt/{i:04}-a-directory-with-a-long-name-as-orchestrators-make-them"
    os.mkdir(path)
    fd = os.open(fuse, os.O_RDWR)
    if libc.mount(b"host:/share", path.encode(), b"fuse.test", 0, b"fd=%d,rootmode=40000,user_id=0,group_id=0" % fd):
        sys.exit(77)
    os.set_inheritable(fd, True)
os.execv(sys.argv[1], sys.argv[1:])
"""


def story_a_thousand_mounts():
    wrapper = in_namespace("--mount")
    python = ["python3", "-c", MOUNTS]
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(limits[1], 4096), limits[1]))
    try:
        if subprocess.run([*wrapper, 'exec "$0" "$@"', *python, "/bin/true"], check=False).returncode:
            raise tap.Skip("no FUSE here")
        _, host = talk(tap.keep, SETTINGS, wrapper=[*wrapper, 'exec "$0" "$@"', *python])
        disk = bounded(host)[-1]["data"]["system"]["disk"]
        assert disk["usage_stats_truncated"] and disk["usage_stats_total"] >= 1000, disk["usage_stats_total"]
        assert disk["usage_stats_left_out"] >= 900 and len(disk["usage_stats"]) >= 5, disk["usage_stats_left_out"]
        assert disk["io_stats"] and isinstance(disk["devices"], list)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)


tap.main(globals())
