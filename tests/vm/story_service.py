# SPDX-License-Identifier: MIT
"""The agent as a service of systemd, udev and the package's files."""

import time

from agent_guest import AGENT_NODE, configured, host, main_pid, restarts
from guest import wait_for
from stories import story


@story()
def the_units_are_sound_and_the_sandbox_is_tight(guest):
    said = guest.run("systemd-analyze verify --man=no infiniservice.service infiniservice-port@vport0p1.service")
    assert said.status == 0 and "infiniservice" not in said, said
    guest.sh("systemd-analyze security --threshold=30 infiniservice.service >/dev/null")


@story()
def the_agent_runs_unprivileged_and_its_files_are_its_own(guest):
    pid = main_pid(guest)
    assert guest.sh("ps -o user= -p %d" % pid).startswith("infinis")
    assert guest.sh("sed -n 's/^CapEff:\\t//p' /proc/%d/status" % pid) == "0000000000000000"
    modes = guest.sh("stat -c '%a %U:%G %n' /var/log/infiniservice /var/log/infiniservice/* /var/lib/infiniservice")
    for line in modes.splitlines():
        mode, owner, name = line.split(" ", 2)
        assert owner == "infiniservice:infiniservice", line
        assert mode == ("640" if ".ndjson" in name else "750"), line
    assert guest.sh("find /run/infiniservice /var/lib/infiniservice /var/log/infiniservice ! -type l -perm /002") == ""


@story()
def the_vm_is_known_by_its_product_uuid_though_only_root_may_read_it(guest):
    with host(guest) as port:
        assert port.handshake["vm_id"].lower() == guest.uuid
        assert port.status()["vm_id_source"] == "dmi"


@story()
def the_status_line_says_how_it_goes(guest):
    with host(guest) as port:
        port.keep_alive(1)
        text = guest.sh("systemctl show -p StatusText --value infiniservice")
        assert text, "STATUS= was never sent"


@story(limit_s=60)
def the_watchdog_is_fed_and_a_stalled_agent_is_replaced(guest):
    guest.sh("mkdir -p /run/systemd/system/infiniservice.service.d && "
             "printf '[Service]\\nWatchdogSec=4\\n' >/run/systemd/system/infiniservice.service.d/story.conf && "
             "systemctl daemon-reload && systemctl restart infiniservice")
    try:
        before = restarts(guest)
        pid = main_pid(guest)
        time.sleep(9)
        assert main_pid(guest) == pid and restarts(guest) == before, "an idle agent feeds it"
        guest.sh("kill -STOP %d" % pid)
        wait_for(lambda: restarts(guest) > before and main_pid(guest) not in (0, pid), 15, 0.3, "systemd replaces it")
    finally:
        guest.sh("rm -r /run/systemd/system/infiniservice.service.d; systemctl daemon-reload;"
                 "systemctl restart infiniservice")


@story()
def a_reload_takes_a_good_file_and_refuses_a_bad_one(guest):
    pid = main_pid(guest)
    with configured(guest, "[timers]\nmetrics_interval_ms = 300\n"):
        with host(guest) as port:
            port.expect("metrics")
            guest.put("/etc/infiniservice/conf.d/95-bad.conf", "[timers]\nmetrics_interval_ms = soon\n")
            guest.run("systemctl reload infiniservice; rm /etc/infiniservice/conf.d/95-bad.conf")
            for _ in range(5):
                port.expect("metrics", 3)
    assert main_pid(guest) == pid
    assert "95-bad.conf" in guest.sh("journalctl -u infiniservice --no-pager -n 30")


@story(limit_s=60)
def an_address_that_is_added_is_reported_at_once(guest):
    with configured(guest, "[timers]\nmetrics_interval_ms = 600000\n"):
        with host(guest) as port:
            port.drain(2.5)
            begin = time.monotonic()
            guest.sh("ip link add story0 type dummy && ip addr add 192.0.2.77/24 dev story0 && ip link set story0 up")
            try:
                def has_it(message):
                    if message["type"] != "metrics":
                        return False
                    interfaces = message["data"]["system"]["network"]["interfaces"]
                    return any("192.0.2.77" in item["ip_addresses"] for item in interfaces if item["name"] == "story0")

                port.expect(has_it, 6)
                assert time.monotonic() - begin < 4
            finally:
                guest.sh("ip link del story0")


@story(limit_s=60)
def file_systems_agree_with_what_the_guests_own_tools_say(guest):
    guest.sh("truncate -s 64M /run/disk && mkfs.ext4 -q /run/disk &&"
             "mkdir -p /srv/story && mount -o loop /run/disk /srv/story")
    try:
        guest.sh("dd if=/dev/zero of=/srv/story/file bs=1M count=20 conv=fsync 2>/dev/null")
        with configured(guest, "[timers]\nmetrics_interval_ms = 500\n"):
            with host(guest) as port:
                port.expect("metrics")
                data = port.expect("metrics", 5)["data"]
        stats = {item["mount_point"]: item for item in data["system"]["disk"]["usage_stats"]}
        for mount in ("/", "/srv/story"):
            used, available = map(int, guest.sh("df -B1 --output=used,avail %s | tail -1" % mount).split())
            assert abs(stats[mount]["used_gb"] * 2**30 - used) < 4e6, (mount, stats[mount], used)
            assert abs(stats[mount]["available_gb"] * 2**30 - available) < 4e6, (mount, stats[mount], available)
    finally:
        guest.sh("umount /srv/story; rm -f /run/disk")


@story(limit_s=60)
def a_change_event_gives_the_node_back_to_the_agent(guest):
    node = guest.sh("readlink -f " + AGENT_NODE)
    guest.sh("chown root:root " + node)
    guest.sh("udevadm trigger --action=change --settle /sys/class/virtio-ports/" + node[len("/dev/"):])
    guest.wait("test $(stat -c %%U %s) = infiniservice" % node, 10)


@story(limit_s=60)
def the_log_is_read_by_infinictl_with_the_daemon_alive_and_dead(guest):
    alive = guest.sh("infinictl log --json | tail -n 1")
    assert '"type":"metrics"' in alive
    guest.sh("systemctl stop infiniservice")
    try:
        assert '"type":"metrics"' in guest.sh("infinictl log --json | tail -n 1")
    finally:
        guest.sh("systemctl start infiniservice")
    guest.wait("infinictl status", 10)
