#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""Real Prometheus and Alertmanager over the hub: the shipped files, as they are but for addresses and times."""
import json
import os
import re
import shutil
import socket
import subprocess
import threading
import time
import urllib.parse
import urllib.request

import tap
from fakehost import ROOT, SLOW, wait_until
from hub import HANDSHAKE, Hub, sample, say

SHIPPED = os.path.join(ROOT, "packaging", "prometheus")


def need(*programs):
    for name in programs:
        if not shutil.which(name):
            raise tap.Skip(f"{name} is not here (tools/deps.sh test)")


def shipped(name):
    with open(os.path.join(SHIPPED, name), encoding="utf-8") as file:
        return file.read()


def free_port():
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return one.getsockname()[1]


def get(url):
    with urllib.request.urlopen(url, timeout=20 * SLOW) as answer:
        return json.loads(answer.read())


class Server:
    """A program that listens; ready when `path` answers."""

    def __init__(self, folder, port, path, argv):
        self.url = "http://127.0.0.1:%d" % port
        self.log = os.path.join(folder, os.path.basename(argv[0]) + ".log")
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(argv, stdout=log, stderr=log, stdin=subprocess.DEVNULL, cwd=folder)
        wait_until(lambda: self.answers(path), 30, argv[0], 0.1)

    def answers(self, path):
        with open(self.log, encoding="utf-8") as log:
            assert self.process.poll() is None, log.read()
        try:
            with urllib.request.urlopen(self.url + path, timeout=5):
                return True
        except OSError:
            return False

    def stop(self):
        self.process.terminate()
        self.process.wait(20 * SLOW)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stop()


class Watching:
    """Prometheus and Alertmanager with the shipped files; intervals are a second and no alert waits for minutes."""

    def __init__(self, hub):
        self.folder = os.path.join(hub.folder, "prometheus")
        os.makedirs(self.folder, exist_ok=True)
        self.alerts_port, self.port = free_port(), free_port()
        config = shipped("prometheus.yml").replace("127.0.0.1:9889", hub.address).replace("scrape_interval: 15s", "scrape_interval: 1s\n  evaluation_interval: 1s")
        config = config.replace("refresh_interval: 30s", "refresh_interval: 1s")
        config += "\nalerting:\n  alertmanagers:\n    - static_configs:\n        - targets: ['127.0.0.1:%d']\n" % self.alerts_port
        self.write("prometheus.yml", config)
        self.write("infiniservice.rules.yml", shipped("infiniservice.rules.yml").replace("[5m]", "[10s]"))
        self.write("infiniservice.alerts.yml", re.sub(r"for: \d+m", "for: 1s", shipped("infiniservice.alerts.yml")))
        self.write("alertmanager.yml", "route:\n  receiver: nobody\n  group_wait: 0s\nreceivers:\n  - name: nobody\n")
        self.alertmanager = tap.keep(Server(self.folder, self.alerts_port, "/-/ready", [
            shutil.which("prometheus-alertmanager"), "--config.file=alertmanager.yml", "--storage.path=alerts", "--cluster.listen-address=",
            "--web.listen-address=127.0.0.1:%d" % self.alerts_port]))
        self.prometheus = tap.keep(Server(self.folder, self.port, "/-/ready", [
            shutil.which("prometheus"), "--config.file=prometheus.yml", "--storage.tsdb.path=data", "--web.listen-address=127.0.0.1:%d" % self.port]))

    def write(self, name, text):
        with open(os.path.join(self.folder, name), "w", encoding="utf-8") as file:
            file.write(text)

    def query(self, expression):
        answer = get(self.prometheus.url + "/api/v1/query?query=" + urllib.parse.quote(expression))
        assert answer["status"] == "success", (expression, answer)
        return answer["data"]["result"]

    def value(self, expression):
        result = self.query(expression)
        return float(result[0]["value"][1]) if result else None

    def firing(self, name):
        """The VMs of whom the Alertmanager has this alert."""
        alerts = get(self.alertmanager.url + "/api/v2/alerts?active=true")
        return {alert["labels"]["vm"] for alert in alerts if alert["labels"]["alertname"] == name}


def story_the_shipped_rules_are_right_and_so_are_their_cases():
    need("promtool")
    for argv in (["check", "rules", "infiniservice.rules.yml", "infiniservice.alerts.yml"], ["test", "rules", "infiniservice.test.yml"], ["check", "config", "prometheus.yml"]):
        done = subprocess.run(["promtool", *argv], cwd=SHIPPED, capture_output=True, text=True, timeout=60 * SLOW, check=False)
        assert done.returncode == 0, done
    for name in re.findall(r"alert: (\w+)", shipped("infiniservice.alerts.yml")):
        assert "alertname: " + name + "\n" in shipped("infiniservice.test.yml"), f"{name} has no case"


def filling(state):
    """A guest whose disk has `state['avail']` of 1000 bytes."""
    def talk(_, connection):
        say(connection, HANDSHAKE)
        for seq in range(10 ** 6):
            disk = {"mount_point": "/", "device": "/dev/vda", "filesystem": "ext4", "total_bytes": 1000, "used_bytes": 1000 - state["avail"], "available_bytes": state["avail"],
                    "read_only": False}
            say(connection, sample(seq, data={"system": {"disk": {"usage_stats": [disk]}}}))
            time.sleep(0.5)
    return talk


def queries(dashboard):
    for panel in dashboard["panels"]:
        for target in panel.get("targets", []):
            yield panel["title"], target["expr"].replace("$vm", "web1")


def story_prometheus_finds_the_vms_and_alerts_when_one_is_silent_and_when_a_disk_fills():
    need("prometheus", "prometheus-alertmanager")
    hub = tap.keep(Hub())
    agent, _ = hub.agent("web1", {"timers.metrics_interval_ms": 500})
    disk = {"avail": 500}
    hub.play("db", filling(disk))
    hub.wait_up("web1", "db")
    watching = Watching(hub)
    wait_until(lambda: watching.value('infiniservice_up{job="infiniservice",vm="web1",instance="web1"}') == 1 and watching.value('infiniservice_up{vm="db"}') == 1, 30, "both in Prometheus", 0.2)
    wait_until(lambda: watching.value('up{job="infinihost"}') == 1, 20, "the hub itself", 0.2)
    assert watching.value('sum(up{job="infiniservice"})') >= 2
    # Every query of the dashboard is one that this Prometheus takes, and gives something once there are rates.
    dashboard = json.loads(shipped("grafana-vms.json"))
    wait_until(lambda: watching.query("vm:network_receive_bytes:rate5m"), 30, "recorded rates", 0.5)
    empty = [(title, query) for title, query in queries(dashboard) if not watching.query(query.replace("[5m]", "[10s]"))]
    assert not empty, empty
    assert not watching.firing("VmSilent") and not watching.firing("VmDiskFull")
    disk["avail"] = 30
    agent.kill()
    wait_until(lambda: watching.firing("VmDiskFull") == {"db"}, 30, "a disk is full", 0.2)
    wait_until(lambda: watching.firing("VmSilent") == {"web1"}, 40, "an agent is silent", 0.2)
    disk["avail"] = 600
    agent.start()
    wait_until(lambda: not watching.firing("VmDiskFull"), 30, "the disk has room again", 0.2)
    wait_until(lambda: not watching.firing("VmSilent"), 60, "the agent speaks again", 0.2)


def story_samples_of_a_gap_stand_in_prometheus_with_their_own_times_and_no_other_series_loses_any():
    need("prometheus", "prometheus-alertmanager")
    hub = tap.keep(Hub())
    begun = time.time()
    log = [sample(seq, begun - 50 + seq) for seq in range(40)]

    def talk(played, connection):
        say(connection, HANDSHAKE)
        say(connection, sample(0, begun - 51))
        stop = threading.Event()

        def listen():
            for message in played.lines(connection):
                if message["type"] == "GetHistory":
                    fits = [one for one in log if message["begin"] <= (begun - 50 + one["seq"]) * 1000 <= message["end"]]
                    some = fits[:message["limit"]]
                    say(connection, {"type": "metrics_batch", "id": message["id"], "samples": some, "last": True})
                    say(connection, {"type": "response", "id": message["id"], "success": True, "data": {"count": len(some), "more": len(some) < len(fits)}})
            stop.set()
        threading.Thread(target=listen, daemon=True).start()
        for seq in range(100, 10 ** 6):
            if stop.wait(0.5):
                return
            say(connection, sample(seq))
    hub.play("web1", talk)
    hub.agent("other", {"timers.metrics_interval_ms": 500})
    hub.wait_up("web1", "other")
    watching = Watching(hub)
    # Scraped at the live times; the late ones stand between.
    wait_until(lambda: watching.value('count_over_time(node_load1{job="infiniservice",instance="web1"}[2m])') and
               len(watching.query('node_load1{vm="web1"}[2m]')[0]["values"]) >= 40, 60, "the gap is filled", 0.5)
    series = watching.query('node_load1{vm="web1"}[2m]')
    assert len(series) == 1, "late and live are one series"
    late = [stamp for stamp, _ in series[0]["values"] if stamp < begun - 5]
    assert {round(stamp) for stamp in late} >= {round(begun - 50 + seq) for seq in range(40)}, late
    before = {json.dumps(one["metric"], sort_keys=True): one["values"] for one in watching.query('{vm="other",job="infiniservice"}[10m]')}
    assert len(before) > 60
    watching.prometheus.stop()
    tap.keep(Server(watching.folder, watching.port, "/-/ready", watching.prometheus.process.args))
    after = {json.dumps(one["metric"], sort_keys=True): one["values"] for one in watching.query('{vm="other",job="infiniservice"}[10m]')}
    lost = [key for key, values in before.items() if not {tuple(v) for v in values} <= {tuple(v) for v in after.get(key, [])}]
    assert not lost, lost[:3]
    assert len(watching.query('node_load1{vm="web1"}[2m]')[0]["values"]) >= 40


if __name__ == "__main__":
    tap.main(globals())
