#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""The hub's page: what a browser shows of a thousand VMs and of one, to whom it is given, and that nothing of a guest becomes more than text."""
import http.client
import json
import os
import re
import resource
import selectors
import socket
import subprocess
import threading
import time

import tap
from browser import Browser
from fakehost import SLOW, program, wait_until
from hub import HANDSHAKE, HTTPError, Hub, sample, say

SLOWLY = "[vms]\nsockets = %s\ninterval_s = 600\n"  # so that one sample is enough
EVIL = "<script>document.title='x'</script><img src=x onerror=alert(1)>"


def data(cpu=12.5, steal=0.0, available=50, pressure=1.5):
    """Of a machine with 100 KiB of memory and three file systems."""
    return {"system": {
        "cpu": {"usage_percent": cpu, "steal_percent": steal, "cores_usage": [cpu]},
        "memory": {"total_kb": 100, "available_kb": available},
        "load_average": {"load_1min": 0.5},
        "pressure": {"cpu": {"some": {"avg10_percent": 0.25}, "full": None}, "memory": {"some": {"avg10_percent": pressure}}, "io": None},
        "name": EVIL, "os_version": "12",
        "disk": {"usage_stats": [
            {"mount_point": "/", "device": "/dev/a\"b", "filesystem": "ext4", "total_bytes": 1000, "used_bytes": 600, "available_bytes": 200},
            {"mount_point": "/home\\" + EVIL, "device": "mountpoint=\"/x\"", "filesystem": "xfs", "total_bytes": 1000, "used_bytes": 900, "available_bytes": 100},
            {"mount_point": "/unknown", "device": "c", "filesystem": "nfs", "total_bytes": 1000, "used_bytes": None, "available_bytes": None}]}}}


def event(severity, source, message, **context):
    return {"type": "agent_event", "timestamp": "2026-01-02T03:04:05.678Z", "severity": severity, "source": source, "message": message, "executionId": None, "context": context}


def guest(*messages):
    """Says its messages once and answers commands."""
    def talk(played, connection):
        for message in (HANDSHAKE, *messages):
            say(connection, message)
        for message in played.lines(connection):
            if message["type"] == "SafeCommand":
                say(connection, {"type": "response", "id": message["id"], "success": True, "exit_code": 0, "data": {}, "stdout": "", "stderr": ""})
            elif "id" in message:
                say(connection, {"type": "response", "id": message["id"], "success": False, "exit_code": 1, "error": "no", "error_code": "POLICY_DENIED"})
    return talk


class Crowd:
    """Many guests in one thread: each says one sample to whoever comes."""

    def __init__(self, folder, messages):
        self.selector = selectors.DefaultSelector()
        self.ended = False
        for name, lines in messages.items():
            listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            listener.bind(os.path.join(folder, name + ".sock"))
            listener.listen(1)
            self.selector.register(listener, selectors.EVENT_READ, b"".join((json.dumps(line) + "\n").encode() for line in lines))
        self.thread = threading.Thread(target=self._serve, daemon=True)
        self.thread.start()

    def _serve(self):
        while not self.ended:
            for key, _ in self.selector.select(0.2):
                if key.data is not None:
                    connection, _ = key.fileobj.accept()
                    connection.sendall(key.data)
                    self.selector.register(connection, selectors.EVENT_READ, None)
                    self._drop(key.fileobj)  # it serves one
                elif not key.fileobj.recv(65536):
                    self._drop(key.fileobj)

    def _drop(self, thing):
        self.selector.unregister(thing)
        thing.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.ended = True
        self.thread.join()
        for key in list(self.selector.get_map().values()):
            self._drop(key.fileobj)


def slow_hub(more=""):
    """A hub that takes one sample for 600 s."""
    hub = tap.keep(Hub())
    hub.stop()
    with open(hub.config, "w", encoding="utf-8") as file:
        file.write(SLOWLY % os.path.join(hub.folder, "vms") + "[web]\nlisten = 127.0.0.1:0\n" + more)
    return hub


def ask(hub, path, method="GET", **headers):
    """(status, headers, body) with just these headers, and Host unless it is None."""
    connection = http.client.HTTPConnection(hub.address, timeout=20 * SLOW)
    connection.putrequest(method, path, skip_host=True, skip_accept_encoding=True)
    for name, value in {"Host": hub.address, **{name.replace("_", "-"): value for name, value in headers.items()}}.items():
        if value is not None:
            connection.putheader(name, value)
    connection.endheaders()
    answer = connection.getresponse()
    body = answer.read().decode()
    connection.close()
    return answer.status, answer.headers, body


def rows(hub):
    return {row["vm"]: row for row in json.loads(hub.get("/api/vms"))["vms"]}


# ------------------------------------------------------------------------------------------------------------ the JSON

def story_the_fleet_is_told_and_what_is_not_known_is_null():
    hub = slow_hub()
    hub.play("web1", guest(sample(1, data=data(cpu=50, steal=3.5, available=25)), event("warn", "alert", "hot: cpu > 40 for 5 s; the value is 50")))
    hub.play("web2", guest())
    hub.start()
    wait_until(lambda: rows(hub).get("web1", {}).get("alerts") == 1 and rows(hub)["web2"]["alerts"] == 0, 10, "both VMs", 0.05)
    web1, web2 = rows(hub)["web1"], rows(hub)["web2"]
    assert 0 <= web1.pop("age_s") < 60 and web1 == {
        "vm": "web1", "uuid": None, "state": "up", "reason": None, "cpu_percent": 50, "steal_percent": 3.5, "memory_percent": 75, "disk_percent": 90, "pressure_percent": 1.5,
        "load": 0.5, "alerts": 1}, web1
    assert web2["state"] == "waiting" and all(web2[key] is None for key in web2 if key.endswith("_percent") or key in ("age_s", "load")), web2
    assert hub.headers["Content-Type"] == "application/json"
    assert rows(hub)["web1"]["steal_percent"] == hub.vms()["web1"]["steal_percent"], "infinihost vms tells another"


def story_one_vm_is_told_with_its_file_systems_alerts_events_and_commands():
    hub = slow_hub()
    hub.play("web1", guest(sample(1, data=data()), event("warn", "alert", "hot: cpu > 40 for 5 s", standing=True, since="2026-01-02T03:00:00.000Z"),
                           event("warn", "alert", "full: disk > 90 for 5 s"), event("info", "alert", "full: is over: disk > 90 for 5 s"), event("error", "log", EVIL + "\u202e\u001b[31m")))
    hub.start()
    hub.wait_up("web1")
    assert hub.host("--vm", "web1", "run", "ProcessTop", "limit=98765").returncode == 0
    assert hub.host("--vm", "web1", "exec", "--", "echo geheimnis").returncode == 6
    told = wait_until(lambda: [vm for vm in [json.loads(hub.get("/api/vm?vm=web1"))] if len(vm["commands"]) == 2], 10, "two commands")[0]
    assert [(command["action"], command["result"]) for command in told["commands"]] == [("UnsafeCommand", "POLICY_DENIED"), ("ProcessTop", "success")], told["commands"]
    assert all(abs(command["at_ms"] - time.time() * 1000) < 600000 and set(command) == {"at_ms", "action", "result", "took_ms"} for command in told["commands"]), told["commands"]
    assert "98765" not in json.dumps(told) and "geheimnis" not in json.dumps(told)
    assert told["alerts_on"] == [{"since_ms": 1767322800000, "name": "hot", "message": "hot: cpu > 40 for 5 s"}], told["alerts_on"]
    assert [each["severity"] for each in told["events"]] == ["error", "info", "warn", "warn"] and told["events"][0]["message"] == EVIL + "??[31m", told["events"]
    assert [(fs["mount_point"], fs["type"], fs["used_percent"]) for fs in told["filesystems"]] == [
        ("/", "ext4", 75), ("/home\\" + EVIL, "xfs", 90), ("/unknown", "nfs", None)], told["filesystems"]
    assert told["os"] == EVIL + " 12" and told["version"] == "9.9" and told["memory_available_bytes"] == 51200 and told["cpus"] == 1, told
    try:
        hub.get("/api/vm?vm=nobody")
        raise AssertionError("a VM that there is not")
    except HTTPError as error:
        assert error.code == 404 and "no such VM" in error.read().decode()


def story_alerts_are_not_known_without_a_connection_and_not_told_twice():
    hub = slow_hub()
    standing = event("warn", "alert", "hot: cpu > 40 for 5 s", standing=True, since="2026-01-02T03:00:00.000Z")
    leave = threading.Event()

    def leaves(_, connection):
        for message in (HANDSHAKE, sample(1, data=data()), standing, event("warn", "alert", "other: load > 1 for 5 s")):
            say(connection, message)
        leave.wait(60 * SLOW)
        connection.close()  # at once, so that it is nobody's when the hub comes again
    first = hub.play("web1", leaves)
    hub.start()
    wait_until(lambda: rows(hub)["web1"]["alerts"] == 2, 10, "two alerts", 0.05)
    first.talk = guest(sample(2, data=data()), standing)
    leave.set()
    wait_until(lambda: rows(hub)["web1"]["alerts"] == 1, 20, "one alert in the next session", 0.05)
    told = json.loads(hub.get("/api/vm?vm=web1"))
    assert [each["message"] for each in told["events"]] == ["other: load > 1 for 5 s", "hot: cpu > 40 for 5 s"], told["events"]
    os.unlink(first.path)
    first.connections[-1].shutdown(socket.SHUT_RDWR)
    wait_until(lambda: rows(hub)["web1"]["state"] == "away", 20, "the VM away", 0.05)
    assert rows(hub)["web1"]["alerts"] is None, rows(hub)


def story_floods_of_events_keep_the_newest_and_no_more():
    hub = slow_hub()
    many = [event("warn", "s" * 64, "n%d " % n + "\u00e4" * 1000) for n in range(500)] + [event("warn", "alert", "a%d: x > 1 for 1 s" % n) for n in range(100)]
    hub.play("web1", guest(sample(1, data=data()), *many))
    hub.start()
    wait_until(lambda: rows(hub).get("web1", {}).get("alerts") == 16, 20, "16 alerts", 0.05)
    told = json.loads(wait_until(lambda: [text for text in [hub.get("/api/vm?vm=web1")] if "a99: " in text], 20, "the last event", 0.05)[0])
    assert len(told["events"]) == 32 and len(told["alerts_on"]) == 16, (len(told["events"]), len(told["alerts_on"]))
    assert hub.vms()["web1"]["memory_bytes"] < 65536, hub.vms()["web1"]


def remembers(cpus, break_at=None, refuse=None):
    """A guest with an hour of samples in its log, every 15 s, with these values; before and behind them what nobody asked for."""
    def talk(played, connection):
        say(connection, HANDSHAKE)
        say(connection, sample(10 ** 6, data=data()))
        for message in played.lines(connection):
            if message["type"] != "GetHistory":
                continue
            if refuse:
                say(connection, {"type": "response", "id": message["id"], "success": False, "exit_code": 1, "error": "no", "error_code": refuse})
                continue
            begin = message["begin"] / 1000 + 0.0005  # in the middle of the millisecond, which is what is told
            samples = [sample(n, begin + 15 * n, data(cpu=cpu)) for n, cpu in enumerate(cpus) if n not in (break_at or ())]
            made_up = [sample(1, begin - 1, data(cpu=99)), sample(2, message["end"] / 1000 + 5, data(cpu=99)), {"type": "metrics"}, 7]
            say(connection, {"type": "metrics_batch", "id": message["id"], "samples": made_up + samples[:100], "last": False})
            say(connection, {"type": "metrics_batch", "id": "another", "samples": samples, "last": True})
            say(connection, {"type": "metrics_batch", "id": message["id"], "samples": samples[50:] + made_up, "last": True})
            say(connection, {"type": "response", "id": message["id"], "success": True, "exit_code": 0, "data": {"count": len(samples), "more": False}})
    return talk


def hour(hub, vm):
    return wait_until(lambda: [told for told in [json.loads(hub.get("/api/hour?vm=" + vm))] if told["state"] != "asking"], 20, "the hour of " + vm, 0.05)[0]


def story_the_last_hour_is_asked_when_looked_at_and_thinned():
    hub = slow_hub()
    played = hub.play("web1", remembers([n % 100 for n in range(300)]))
    hub.play("web2", remembers([], refuse="QUEUE_FULL"))
    hub.start()
    hub.wait_up("web1", "web2")
    assert not [message for message in played.heard if message["type"] == "GetHistory"], "asked before anybody looked"
    told = hour(hub, "web1")
    question, = [message for message in played.heard if message["type"] == "GetHistory"]
    assert question["limit"] == 240 and question["interval_ms"] == 15000 and question["end"] - question["begin"] == 3600000, question
    assert told["keys"][:4] == ["cpu_percent", "steal_percent", "memory_percent", "disk_percent"] and told["begin_ms"] == question["begin"], told["keys"]
    assert [(point[0] - told["begin_ms"], point[1]) for point in told["points"]] == [(15000 * n, n % 100) for n in range(240)], told["points"][:3]
    assert told["points"][0][3:6] == [50, 90, 1.5] and told["points"][0][6:] == [None] * 4, told["points"][0]
    # Who looks again within a minute does not have it asked again; nor is it another client's affair.
    assert hour(hub, "web1") == told and len([message for message in played.heard if message["type"] == "GetHistory"]) == 1
    told = hour(hub, "web2")
    assert told == {"state": "failed", "reason": "the VM refused"}, told
    assert hub.value("infiniservice_late_dropped_total", "web1") in (0, None), "what was asked for a look went where gaps are filled"


def story_a_real_agent_tells_its_row_and_its_last_hour():
    hub = tap.keep(Hub())
    hub.agent("web1")
    row = wait_until(lambda: [row for row in rows(hub).values() if row["steal_percent"] is not None], 20, "a row with rates", 0.1)[0]
    assert row["state"] == "up" and 0 < row["memory_percent"] < 100 and 0 < row["disk_percent"] <= 100 and row["alerts"] == 0, row
    sampled = json.loads(hub.host("--vm", "web1", "raw", '{"type":"Metrics","id":"1"}').stdout.splitlines()[0])["data"]["system"]
    assert all("rx_bytes_per_sec" in each and "tx_bytes_per_sec" in each for each in sampled["network"]["interfaces"]), sampled["network"]
    assert {"read_bytes_per_sec", "write_bytes_per_sec"} <= set(sampled["disk"]["io_stats"]), sampled["disk"]["io_stats"]
    told = hour(hub, "web1")
    assert told["state"] == "told" and told["points"] and 0 < told["points"][0][1 + told["keys"].index("memory_percent")] < 100, told


def story_the_hour_of_a_vm_that_leaves_is_said_to_be_unknown():
    hub = slow_hub()
    leave = threading.Event()

    def leaves(_, connection):
        say(connection, HANDSHAKE)
        say(connection, sample(1, data=data()))
        leave.wait(60 * SLOW)
        connection.close()
    hub.play("web1", leaves)
    hub.start()
    hub.wait_up("web1")
    assert json.loads(hub.get("/api/hour?vm=web1")) == {"state": "asking", "reason": None}
    leave.set()
    assert hour(hub, "web1") == {"state": "failed", "reason": "the connection ended"}


# ------------------------------------------------------------------------------------------------------------- walls

def story_the_page_goes_out_with_a_policy_that_lets_nothing_else_in():
    hub = tap.keep(Hub())
    status, headers, body = ask(hub, "/")
    policy = headers["Content-Security-Policy"]
    assert status == 200 and headers["Content-Type"] == "text/html; charset=utf-8" and body.startswith("<!DOCTYPE html>"), (status, headers.items())
    assert policy.startswith("default-src 'none'; ") and "unsafe" not in policy and "http" not in policy, policy
    assert re.search(r"script-src 'sha256-[A-Za-z0-9+/]{43}='; ", policy) and re.search(r"style-src 'sha256-[A-Za-z0-9+/]{43}='; ", policy), policy
    assert headers["X-Content-Type-Options"] == "nosniff" and headers["X-Frame-Options"] == "DENY" and headers["Referrer-Policy"] == "no-referrer", headers.items()
    # One file: nothing of it is fetched, and nothing makes markup of a text.
    assert not re.search(r"src=|@import|url\(|https?://(?!www\.w3\.org/2000/svg)|innerHTML|outerHTML|insertAdjacent|document\.write|eval\(|setAttribute\(.style", body)
    status, headers, nothing = ask(hub, "/", method="HEAD")
    assert status == 200 and nothing == "" and int(headers["Content-Length"]) == len(body.encode()), (status, headers.items())
    for path in ("/api/vms", "/api/vm?vm=x", "/"):
        for method in ("POST", "PUT", "DELETE", "OPTIONS"):
            assert ask(hub, path, method=method)[0] == 405, (path, method)
    assert ask(hub, "/api/vms", method="HEAD")[::2] == (200, "")


def story_only_who_asked_for_this_hub_is_answered():
    hub = slow_hub("names = Hub.example kvm1\n")
    hub.start()
    for path in ("/", "/api/vms", "/api/vm?vm=x"):
        good = 404 if "?" in path else 200
        for host in (hub.address, "127.0.0.1", "localhost", "LOCALHOST:80", "[::1]:9889", "192.0.2.7", "hub.example:9889", "kvm1"):
            assert ask(hub, path, Host=host)[0] == good, (path, host)
        for host in ("evil.example", "localhost.evil.example", "127.0.0.1.evil.example", "kvm", "kvm1 ", "[::1", "", ":80", "hub.example.", "a" * 300):
            status, _, body = ask(hub, path, Host=host)
            assert status in (400, 421) and "vms" not in body, (path, host, status, body)
        assert "[web] names" in ask(hub, path, Host="evil.example")[2]
    for headers, status in (({"Sec_Fetch_Site": "cross-site", "Sec_Fetch_Mode": "no-cors"}, 403), ({"Sec_Fetch_Site": "same-origin", "Sec_Fetch_Mode": "cors"}, 200)):
        assert ask(hub, "/api/vms", **headers)[0] == status, headers
    assert ask(hub, "/", Sec_Fetch_Site="cross-site", Sec_Fetch_Mode="navigate")[0] == 200
    # Prometheus asks by any name, as before.
    assert ask(hub, "/metrics", Host="evil.example")[0] == 200


def story_it_is_served_at_a_socket_for_hosts_with_users():
    hub = tap.keep(Hub())
    hub.stop()
    path = os.path.join(hub.folder, "web.sock")
    hub.arguments = ("--listen", "unix:" + path)
    hub.start()
    assert os.stat(path).st_mode & 0o007 == 0, oct(os.stat(path).st_mode)
    connection = tap.keep(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM))
    connection.connect(path)
    connection.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
    with connection.makefile("rb") as stream:
        answer = stream.read()
    assert answer.startswith(b"HTTP/1.1 200 ") and b"<!DOCTYPE html>" in answer, answer[:200]
    wrong = subprocess.run([program("infinihost"), "serve", "--vms", hub.folder, "--socket", os.path.join(hub.folder, "c"), "--listen", "unix:web.sock"], capture_output=True, text=True,
                           timeout=10 * SLOW, check=False)
    assert wrong.returncode == 1 and "unix:/PATH" in wrong.stderr, wrong


# --------------------------------------------------------------------------------------------------------- a browser

def story_a_browser_shows_a_thousand_vms_sorts_filters_and_looks_into_one():
    count = 1000
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < 2 * count + 200:
        raise tap.Skip("no process may open %d files here" % (2 * count + 200))
    resource.setrlimit(resource.RLIMIT_NOFILE, (2 * count + 200, hard))
    browser = tap.keep(Browser())
    hub = slow_hub()
    messages = {"vm%d" % n: [HANDSHAKE, sample(1, data=data(cpu=n % 97 + n / 1000))] for n in range(count - 2)}
    messages["<script>alert(1)<&>'"] = [HANDSHAKE, sample(1, data=data(cpu=99.5)), event("warn", "alert", EVIL + ": x > 1 for 5 s"), event("error", EVIL, EVIL)]
    messages["quiet"] = [HANDSHAKE]
    tap.keep(Crowd(os.path.join(hub.folder, "vms"), messages))
    hub.start()
    wait_until(lambda: sum(row["state"] == "up" for row in rows(hub).values()) == count - 1, 60, "all VMs", 0.2)
    evil = "<script>alert(1)<&>'"
    names = "[...document.querySelectorAll('#rows a')].map(a => a.textContent)"
    browser.open("http://%s/" % hub.address)
    browser.wait("document.querySelectorAll('#rows tr').length === %d" % count)
    assert browser.run(names)[:3] == [evil, "quiet", "vm0"] and browser.run(names)[-1] == "vm997", browser.run(names)[:5]
    assert browser.run("document.getElementById('state-waiting').textContent") == "waiting 1"

    def sort_by(column, ways):
        for way in ways:
            browser.run("document.querySelector('#head-%s button').click()" % column)
            assert browser.run("document.getElementById('head-%s').getAttribute('aria-sort')" % column) == way
    sort_by("cpu_percent", ["descending"])
    assert browser.run(names)[0] == evil and browser.run(names)[-1] == "quiet", "what is not known comes last"
    sort_by("cpu_percent", ["ascending"])
    assert browser.run(names)[0] == "vm0" and browser.run(names)[-2:] == [evil, "quiet"], browser.run(names)[-2:]
    took = browser.run("(() => { const begun = performance.now(); document.querySelector('#head-vm button').click(); document.body.offsetHeight; return performance.now() - begun; })()")
    tap.note("sorting and laying out %d rows takes %.0f ms" % (count, took))
    # By the keyboard: into the filter, down to the first row, into it, out of it to where one was.
    browser.press("/")
    browser.type("vm99 cpu<50")
    browser.wait("document.querySelectorAll('#rows tr').length < 20")
    wanted = [name for name in ["vm99", *("vm%d" % n for n in range(990, 998))] if (int(name[2:]) % 97 + int(name[2:]) / 1000) < 50]
    assert browser.run(names) == wanted, (browser.run(names), wanted)
    assert browser.run("document.getElementById('summary').textContent") == "%d of 1000 VMs" % len(wanted)
    browser.press("ArrowDown")
    assert browser.run("document.activeElement.textContent") == wanted[0]
    browser.press("Enter")
    browser.wait("document.querySelectorAll('#parts h2').length >= 4", "the page of one VM")
    assert browser.run("document.getElementById('name').textContent") == wanted[0] and browser.run("document.getElementById('fleet').hidden")
    browser.press("Escape")
    browser.wait("!document.getElementById('fleet').hidden")
    assert browser.run("document.activeElement.textContent") == wanted[0]
    browser.run("(() => { const f = document.getElementById('filter'); f.value = ''; f.dispatchEvent(new Event('input')); })()")
    look_into_the_evil_one(browser, hub, evil)
    assert not browser.complaints, browser.complaints


def look_into_the_evil_one(browser, hub, evil):
    browser.run("[...document.querySelectorAll('#rows a')].find(a => a.textContent === %s).click()" % json.dumps(evil))
    browser.wait("document.getElementById('parts').textContent.includes('Events')", "the page of one VM")
    text = browser.run("document.getElementById('one').textContent")
    assert text.count(EVIL) >= 5, text  # the system, a mount point, the alert's name and text, an event's source and text
    assert browser.run("document.getElementById('name').textContent") == evil
    assert browser.run("document.querySelectorAll('script').length") == 1 and browser.run("document.querySelectorAll('img').length") == 0
    assert browser.run("document.title") == evil, "a text of the guest has run"
    for width, dark in ((1280, False), (1280, True), (390, False)):
        place = os.environ.get("PAGE_PICTURES")
        browser.look(os.path.join(place or hub.folder, "one-%d-%s.png" % (width, "dark" if dark else "light")), width=width, dark=dark, mobile=width < 500)
        assert browser.run("document.documentElement.scrollWidth <= %d" % width), "wider than a screen of %d" % width
    browser.run("location.hash = ''")
    browser.wait("!document.getElementById('fleet').hidden")
    for width, dark in ((1280, False), (1280, True), (390, False)):
        browser.look(os.path.join(place or hub.folder, "fleet-%d-%s.png" % (width, "dark" if dark else "light")), width=width, dark=dark, mobile=width < 500)
        assert browser.run("document.documentElement.scrollWidth <= %d" % width), "wider than a screen of %d" % width


def story_a_browser_draws_the_last_hour_with_its_gaps():
    browser = tap.keep(Browser())
    hub = slow_hub()
    hub.play("web1", remembers([30 + 20 * (n % 40 < 20) + n % 7 for n in range(240)], break_at=range(100, 140)))
    hub.play("web2", remembers([], refuse="POLICY_DENIED"))
    hub.start()
    hub.wait_up("web1", "web2")
    browser.open("http://%s/#vm=web1" % hub.address)
    browser.wait("document.querySelectorAll('#charts svg').length === 6")
    first = "document.querySelector('#charts figure')."
    assert browser.run(first + "querySelectorAll('polyline:not(.second)').length") == 2, "a gap breaks the line"
    points = browser.run("[...%squerySelectorAll('polyline:not(.second)')].map(line => line.getAttribute('points').split(' ').length)" % first)
    assert points == [100, 100], points
    assert "used 43 % on average, at most 56 %" in browser.run(first + "textContent"), browser.run(first + "textContent")
    assert "received not known" in browser.run("document.querySelector('#charts').textContent")
    # By the keyboard, the last value and the one before.
    browser.run(first + "querySelector('svg').focus()")
    browser.press("ArrowLeft")
    last = browser.run(first + "querySelector('figcaption').textContent")
    assert "used 31 %" in last, last
    browser.press("ArrowLeft")
    assert "used 30 %" in browser.run(first + "querySelector('figcaption').textContent")
    for width, dark in ((1280, False), (1280, True), (390, False)):
        browser.look(os.path.join(os.environ.get("PAGE_PICTURES") or hub.folder, "hour-%d-%s.png" % (width, "dark" if dark else "light")), width=width, dark=dark, mobile=width < 500)
        assert browser.run("document.documentElement.scrollWidth <= %d" % width), "wider than a screen of %d" % width
    browser.run("location.hash = '#vm=web2'")
    browser.wait("document.getElementById('hour').textContent.includes('Not known: the VM refused.')")
    assert not browser.complaints, browser.complaints


def story_a_browser_says_when_the_hub_is_gone_and_goes_on_when_it_is_back():
    browser = tap.keep(Browser())
    hub = slow_hub()
    hub.play("web1", guest(sample(1, data=data())))
    hub.start()
    hub.wait_up("web1")
    browser.open("http://%s/" % hub.address)
    browser.wait("document.querySelectorAll('#rows tr').length === 1")
    assert not browser.complaints, browser.complaints
    hub.kill()
    browser.run("refresh()")
    assert "did not answer" in browser.run("document.getElementById('trouble').textContent")
    assert browser.run("document.querySelectorAll('#rows tr').length") == 1, "what was known is shown on"
    hub.arguments = ("--listen", hub.address)
    hub.start()
    browser.run("refresh()")
    browser.wait("document.getElementById('trouble').textContent === ''")


if __name__ == "__main__":
    tap.main(globals())
