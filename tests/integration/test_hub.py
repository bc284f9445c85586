#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""The hub of a host: it finds VMs, owns their channels, serves everybody who asks, and no guest harms another."""
import gzip
import json
import os
import re
import shutil
import socket
import subprocess
import threading
import time

import tap
from fakehost import ROOT, SLOW, program, wait_until
from hub import HANDSHAKE, Chardev, HTTPError, Hub, sample, say


def steady(played, connection):
    """A guest that sends a sample every 0.2 s and answers keep-alives."""
    say(connection, HANDSHAKE)

    def listen():
        for message in played.lines(connection):
            if message["type"] == "keep_alive_request":
                say(connection, {"type": "keep_alive", "sequence_number": message["sequence_number"]})
    threading.Thread(target=listen, daemon=True).start()
    for seq in range(10 ** 6):
        say(connection, sample(seq))
        time.sleep(0.2)


def silent(played, connection):
    for _ in played.lines(connection):
        pass


def story_vms_are_found_by_their_sockets_and_named_by_them():
    hub = tap.keep(Hub())
    hub.agent("web1")
    hub.wait_up("web1")
    os.makedirs(os.path.join(hub.folder, "vms", "domain-3-data-base"))
    tap.keep(Chardev(os.path.join(hub.folder, "vms", "domain-3-data-base", "org.infinibay.agent"), os.path.join(hub.folder, "port2")))
    hub.play("11111111-2222-3333-4444-555555555555", steady)
    wait_until(lambda: len(hub.vms()) == 3, 10, "three VMs", 0.1)
    rows = hub.vms()
    assert set(rows) == {"web1", "data-base", "11111111-2222-3333-4444-555555555555"}, rows
    assert rows["web1"]["state"] == "up" and rows["web1"]["age_s"] < 5 and rows["web1"]["memory_percent"] > 0, rows
    hub.wait_up("11111111-2222-3333-4444-555555555555")
    line = [line for line in hub.get("/metrics").splitlines() if line.startswith('infiniservice_up{vm="11111111')][0]
    assert ',uuid="11111111-2222-3333-4444-555555555555"}' in line, line
    info = [line for line in hub.get("/metrics").splitlines() if line.startswith('infiniservice_vm_info{vm="11111111')][0]
    assert 'claimed_vm_id="claimed"' in info and 'version="9.9"' in info, info
    table = hub.host("vms").stdout.splitlines()
    assert table[0].split()[:2] == ["VM", "STATE"] and len(table) == 4, table


def story_every_verb_goes_through_the_hub_and_answers_find_their_way():
    hub = tap.keep(Hub())
    hub.agent("web1")
    hub.agent("web2")
    hub.wait_up("web1", "web2")
    done = hub.host("--vm", "web1", "exec", "--", "echo $((6 * 7))")
    assert (done.returncode, done.stdout) == (0, "42\n"), done
    done = hub.host("--connect", hub.vm_path("web2"), "run", "SystemInfo")
    assert done.returncode == 0 and json.loads(done.stdout)["os_type"], done
    assert "keep_alive in" in hub.host("--vm", "web2", "ping").stdout
    assert hub.host("--vm", "web1", "exec", "--", "exit 3").returncode == 3
    # Many at once over the one channel, with answers in another order than the questions.
    begun = [subprocess.Popen([program("infinihost"), "--socket", hub.control, "--vm", "web1", "exec", "--", f"sleep 0.{9 - n}; echo {n}"], stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, text=True) for n in range(6)]
    for n, process in enumerate(begun):
        assert process.communicate(timeout=30 * SLOW)[0] == f"{n}\n" and process.returncode == 0, n
    done = hub.host("--vm", "web1", "--timeout", "10", "watch", "--count", "2", "--types")
    assert done.stdout.split() == ["metrics", "metrics"], done
    done = hub.host("--vm", "nobody", "ping")
    assert done.returncode == 4 and "no such VM" in done.stderr, done


def story_the_hub_is_asked_where_the_environment_says_and_otherwise_the_socket_itself():
    hub = tap.keep(Hub())
    hub.play("web1", steady)
    hub.wait_up("web1")
    env = {**os.environ, "INFINIHOST_SOCKET": hub.control}
    done = subprocess.run([program("infinihost"), "--vm", "web1", "ping"], env=env, capture_output=True, text=True, timeout=20 * SLOW, check=False)
    assert done.returncode == 0, done
    env = {**os.environ, "INFINIHOST_SOCKET": "", "INFINIHOST_SOCKETS": os.path.join(hub.folder, "vms")}
    hub.stop()
    done = subprocess.run([program("infinihost"), "--vm", "web1", "ping"], env=env, capture_output=True, text=True, timeout=20 * SLOW, check=False)
    assert done.returncode == 0, done
    done = subprocess.run([program("infinihost"), "--json", "vms"], env=env, capture_output=True, text=True, timeout=20 * SLOW, check=False)
    assert [json.loads(line)["vm"] for line in done.stdout.splitlines()] == ["web1"], done


def story_the_socket_for_looking_passes_no_command():
    hub = tap.keep(Hub())
    hub.agent("web1")
    hub.wait_up("web1")
    assert os.stat(hub.control).st_mode & 0o777 == 0o600
    assert hub.host("--vm", "web1", "ping", socket_path=hub.view).returncode == 0
    assert hub.host("vms", socket_path=hub.view).returncode == 0
    assert hub.host("--vm", "web1", "watch", "--count", "1", socket_path=hub.view).returncode == 0
    for words in (["exec", "--", "true"], ["run", "SystemInfo"], ["raw", '{"type":"Metrics","id":"1"}'], ["raw", '{"type":"SetConfig","id":"1"}']):
        done = hub.host("--vm", "web1", *words, socket_path=hub.view)
        assert "POLICY_DENIED" in done.stdout + done.stderr, (words, done)
    for message in ('{"type":"Ack","seq":1,"id":"1"}', '{"type":"Subscribe","id":"1"}', '{"type":"signed","id":"1"}'):
        done = hub.host("--vm", "web1", "raw", message)
        assert "POLICY_DENIED" in done.stdout, (message, done)


def story_commands_are_told_with_who_and_where_and_never_with_their_parameters():
    hub = tap.keep(Hub())
    hub.agent("web1")
    hub.wait_up("web1")
    hub.host("--vm", "web1", "exec", "--", "echo geheimnis")
    hub.host("--vm", "web1", "run", "ProcessTop", "limit=12345")
    wait_until(lambda: "ProcessTop" in hub.told() and hub.told().count(" ms\n") >= 2, 5, "both ends")
    told = hub.told()
    assert re.search(r"<5>uid %d: web1: UnsafeCommand \w+\n" % os.getuid(), told) and re.search(r"web1: UnsafeCommand \w+: success in \d+ ms", told), told
    assert "geheimnis" not in told and "12345" not in told, told


def story_the_hub_signs_with_the_secret_of_each_vm():
    master, secret = "example-master-secret", "69694c4da93700c86640f8db66ef84d3c6441ba86725212ec25b552ea20bfa56"
    name = "11111111-2222-3333-4444-555555555555"
    hub = tap.keep(Hub("[secrets]\nfolder = %F\nmaster = %F/master\n".replace("%F", "/tmp/infini-secrets")))
    folder = "/tmp/infini-secrets"
    os.makedirs(folder, exist_ok=True)
    tap.keep(Removed(folder))

    def write(path, text, mode=0o600):
        with open(os.open(path, os.O_WRONLY | os.O_CREAT, mode), "w", encoding="ascii") as file:
            file.write(text)
    write(os.path.join(folder, "master"), master + "\n")
    write(os.path.join(folder, "own"), "o" * 32)
    write(os.path.join(folder, "loose"), "o" * 32)
    os.chmod(os.path.join(folder, "loose"), 0o644)
    for vm, key in ((name, secret), ("own", "o" * 32), ("loose", "o" * 32)):
        write(os.path.join(hub.folder, vm + ".secret"), key)
        hub.agent(vm, {"auth.secret_file": os.path.join(hub.folder, vm + ".secret")})
    hub.wait_up(name, "own", "loose")
    for vm in (name, "own"):
        assert hub.host("--vm", vm, "run", "SystemInfo").returncode == 0, vm
    done = hub.host("--vm", "loose", "run", "SystemInfo")
    assert done.returncode == 4 and "chmod 0600" in done.stderr and "chmod 0600" in hub.told(), done
    for text in (hub.told(), hub.get("/metrics"), hub.host("--json", "vms").stdout):
        assert secret not in text and master not in text and "oooo" not in text


class Removed:
    def __init__(self, folder):
        self.folder = folder

    def __enter__(self):
        return self

    def __exit__(self, *_):
        shutil.rmtree(self.folder, ignore_errors=True)


def story_a_channel_that_another_program_owns_is_left_to_it():
    hub = tap.keep(Hub())
    folder = os.path.join(hub.folder, "elsewhere")
    os.makedirs(folder)
    chardev = tap.keep(Chardev(os.path.join(folder, "web1"), os.path.join(hub.folder, "port")))
    owner = tap.keep(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM))
    owner.connect(chardev.path)
    wait_until(lambda: chardev.ends[0], 5, "the owner's connection")
    other = tap.keep(Hub("[vms]\nsockets = %s\n" % folder))
    wait_until(lambda: other.vms()["web1"]["state"] == "taken", 5, "state taken", 0.1)
    assert "another program" in other.vms()["web1"]["reason"], other.vms()
    # It did not even connect: nobody waits behind the owner.
    chardev.outside.setblocking(False)
    try:
        chardev.outside.accept()
        raise AssertionError("the hub is connected")
    except BlockingIOError:
        pass
    assert other.value("infiniservice_up", "web1") == 0


@tap.beside
def story_silence_is_a_state_and_old_values_are_not_served():
    hub = tap.keep(Hub())
    stop = threading.Event()

    def talk(_, connection):
        say(connection, HANDSHAKE)
        for seq in range(10 ** 6):
            if not stop.is_set():
                say(connection, sample(seq))
            time.sleep(0.2)
    hub.play("web1", talk)
    hub.play("mute", silent)
    hub.wait_up("web1")
    assert hub.value("node_load1", "web1") == 0.5
    wait_until(lambda: hub.value("infiniservice_sample_interval_seconds", "web1") < 1, 10, "a learned interval", 0.2)
    stop.set()
    wait_until(lambda: hub.vms()["web1"]["state"] == "silent", 10, "silence", 0.1)
    values = hub.values("/metrics?vm=web1")
    assert values['infiniservice_up{vm="web1"}'] == 0 and values['infiniservice_sample_age_seconds{vm="web1"}'] > 0.5, values
    assert not [line for line in values if line.startswith("node_")], values
    assert "silent" in hub.told()
    wait_until(lambda: hub.vms()["mute"]["state"] == "taken", 20, "a connection without a byte is given up", 0.2)
    assert hub.value("infiniservice_connected", "mute") == 0


def story_the_hub_comes_back_to_a_vm_that_was_away():
    hub = tap.keep(Hub())
    _, chardev = hub.agent("web1")
    hub.wait_up("web1")
    sessions = hub.value("infiniservice_sessions_total", "web1")
    chardev.drop_host()
    wait_until(lambda: hub.value("infiniservice_sessions_total", "web1") == sessions + 1, 15, "a second session", 0.1)
    hub.wait_up("web1")
    path = hub.vm_path("web1")
    gone = os.path.join(hub.folder, "gone")
    os.rename(path, gone)
    chardev.drop_host()
    wait_until(lambda: hub.vms().get("web1", {}).get("state") == "away", 10, "away", 0.1)
    os.rename(gone, path)
    hub.wait_up("web1")


@tap.beside
def story_ten_flooding_guests_cost_their_own_data_and_nobody_elses():
    hub = tap.keep(Hub("[limits]\nbytes_per_s = 65536\nburst_bytes = 262144\n"))
    evil = json.dumps(sample(1, data={"system": {"disk": {"usage_stats": [{"mount_point": "/%d" % n, "device": "d", "filesystem": "x", "total_bytes": 1} for n in range(900)]},
                                                 "network": {"interfaces": [{"name": "%d" % n, "bytes_received": n} for n in range(900)]}}})).encode() + b"\n"
    floods = [b"{}\n" * 20000, evil, b"x" * 65536, b'{"type":"response","id":"a"}\n' * 2000, b'{"type":"' + b"t" * 60000 + b'"}\n',
              b"\xff\n" * 20000, b'{"type":"metrics","seq":1}\n' * 2000, b'{"a":' * 9000 + b"\n", json.dumps(HANDSHAKE).encode() * 3 + b"\n", b"\n" * 65536]

    def flood(bytes_):
        def talk(_, connection):
            while True:
                connection.sendall(bytes_)
        return talk
    hub.play("good", steady)
    hub.wait_up("good")
    for n, bytes_ in enumerate(floods):
        hub.play("evil%d" % n, flood(bytes_))
    wait_until(lambda: all(hub.value("infiniservice_throttled_total", "evil%d" % n) for n in range(10)), 20, "all are throttled", 0.2)
    before, cpu, begun = hub.value("infiniservice_samples_total", "good"), hub.cpu_s(), time.monotonic()
    time.sleep(3)
    came, took = hub.value("infiniservice_samples_total", "good") - before, time.monotonic() - begun
    assert came > took / 0.2 * 0.6, (came, took)
    assert hub.host("--vm", "good", "ping").returncode == 0
    assert hub.value("infiniservice_dropped_series_total", "evil1") > 0
    assert len(hub.values("/metrics?vm=evil1")) < 1100
    used = (hub.cpu_s() - cpu) / took
    tap.note("10 floods: %.0f %% of a CPU, %d kB" % (100 * used, hub.memory_kb()))
    assert used < 0.5, used
    assert max(row["memory_bytes"] for row in hub.vms().values()) < 1.2e6 and hub.memory_kb() < 60000


def story_a_wrong_configuration_is_told_with_its_line_and_its_cure():
    for text, said in (("[vms]\nsocket = /run/x\n", ':2: there is no key "socket" in [vms]'), ("[vm]\nx = 1\n", ":2: there is no section [vm]"),
                       ("[vms]\nsockets = run/x\n", ":2: vms.sockets: absolute paths"), ("[limits]\nseries_max = 0\n", ":2: limits.series_max: \"0\" is no number from 16 to 1000"),
                       ("[list]\na = /x\na = /y\n", ":3: a = /y: name or socket is in the list already"), ("nonsense\n", ":1: expected"),
                       ("", "no VMs: say where their sockets are")):
        path = os.path.join("/tmp", "host-%d.conf" % os.getpid())
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        done = subprocess.run([program("infinihost"), "serve", "--config", path, "--check"], capture_output=True, text=True, timeout=10 * SLOW, check=False)
        os.unlink(path)
        assert done.returncode == 2 and said in done.stderr, (text, done)
    example = subprocess.run([program("infinihost"), "serve", "--example"], capture_output=True, text=True, timeout=10 * SLOW, check=True).stdout
    with open(os.path.join(ROOT, "packaging", "host.conf"), encoding="utf-8") as file:
        assert file.read() == example, "build/infinihost serve --example >packaging/host.conf brings it up to date"


# ------------------------------------------------------------------------------------------------------------ metrics

def check_text(text):
    """The exposition format, strictly: each family together, with one HELP and TYPE before it, no series twice. {name: type}"""
    types, seen, last = {}, set(), None
    for line in text.splitlines():
        if line.startswith("# HELP "):
            last = line.split()[2]
            assert last not in types, line
        elif line.startswith("# TYPE "):
            assert line.split()[2] == last, line
            types[last] = line.split()[3]
        else:
            series = re.fullmatch(r'([a-zA-Z_][a-zA-Z0-9_]*)\{(?:[a-z_]+="(?:[^"\\\n]|\\.)*",?)+\} (\S+)', line)
            assert series and series.group(1) == last, line
            float(series.group(2))
            assert line.rsplit(" ", 1)[0] not in seen, line
            seen.add(line.rsplit(" ", 1)[0])
    return types


def story_metrics_are_well_formed_and_say_what_the_kernel_says():
    hub = tap.keep(Hub())
    hub.agent("web1")
    hub.play('<script>"\\', steady)
    hub.wait_up("web1")
    text = hub.get("/metrics")
    types = check_text(text)
    assert types["node_network_receive_bytes_total"] == "counter" and types["node_memory_MemTotal_bytes"] == "gauge", types
    assert r'vm="<script>\"\\"' in text
    with open("/proc/meminfo", encoding="ascii") as file:
        total = int(re.search(r"MemTotal:\s+(\d+) kB", file.read()).group(1)) * 1024
    assert hub.value("node_memory_MemTotal_bytes", "web1") == total
    root = os.statvfs("/")
    sizes = [value for line, value in hub.values("/metrics?vm=web1").items() if line.startswith("node_filesystem_size_bytes") and 'mountpoint="/"' in line]
    assert sizes == [root.f_blocks * root.f_frsize], sizes
    assert "nan" not in text.lower() and "null" not in text
    assert hub.get("/metrics?vm=web1").count("vm=") == hub.get("/metrics?vm=web1").count('{vm="web1"')
    try:
        hub.get("/metrics?vm=nobody")
        raise AssertionError("a VM that is not there was served")
    except HTTPError as error:
        assert error.code == 404


def story_what_a_guest_does_not_know_is_absent_and_never_0():
    hub = tap.keep(Hub())

    def talk(_, connection):
        say(connection, HANDSHAKE)
        for seq in range(10 ** 6):
            say(connection, sample(seq, data={"system": {"cpu": {"usage_percent": None}, "memory": {"total_kb": 10, "swap_total_kb": None, "swap_used_kb": None},
                                                         "disk": {"usage_stats": [{"mount_point": "/", "total_bytes": None, "available_bytes": 7},
                                                                                  {"mount_point": "/hung", "stale": True, "total_bytes": 5}]}}}))
            time.sleep(0.2)
    hub.play("web1", talk)
    hub.wait_up("web1")
    names = {line.split("{")[0] for line in hub.values("/metrics?vm=web1")}
    assert {name for name in names if name.startswith("node_")} == {"node_memory_MemTotal_bytes", "node_filesystem_avail_bytes"}, names


def story_gzip_and_openmetrics_are_given_to_those_who_take_them():
    hub = tap.keep(Hub())
    hub.agent("web1")
    hub.wait_up("web1")
    plain = hub.get("/metrics")
    assert hub.headers["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
    packed = hub.get("/metrics", {"Accept-Encoding": "gzip"}, raw=True)
    assert hub.headers["Content-Encoding"] == "gzip" and len(packed) < len(plain) / 3
    assert {line.split("{")[0] for line in gzip.decompress(packed).decode().splitlines()} >= {"node_load1"}
    hub.get("/metrics", {"Accept-Encoding": "gzip;q=0"})
    assert not hub.headers["Content-Encoding"]
    text = hub.get("/metrics", {"Accept": "application/openmetrics-text; version=1.0.0"})
    assert hub.headers["Content-Type"].startswith("application/openmetrics-text; version=1.0.0")
    assert text.endswith("# EOF\n") and "# TYPE node_network_receive_bytes counter" in text
    try:
        from prometheus_client.openmetrics.parser import text_string_to_metric_families
    except ImportError as error:
        raise tap.Skip("the strict parser is not here (tools/deps.sh test)") from error
    families = {family.name: family for family in text_string_to_metric_families(text)}
    assert families["node_vmstat_pgmajfault"].type == "unknown" and families["node_network_receive_bytes"].type == "counter", families


def story_prometheus_own_checker_takes_the_text():
    if not shutil.which("promtool"):
        raise tap.Skip("promtool is not here (tools/deps.sh test)")
    hub = tap.keep(Hub())
    hub.agent("web1")
    hub.wait_up("web1")
    done = subprocess.run(["promtool", "check", "metrics"], input=hub.get("/metrics"), capture_output=True, text=True, timeout=30 * SLOW, check=False)
    # node_exporter's own names are not all as the checker would have them; what begins with infiniservice_ is.
    assert done.returncode in (0, 3) and not [line for line in done.stderr.splitlines() if line.startswith("infini")], done


def story_the_document_lists_every_name_that_is_served():
    with open(os.path.join(ROOT, "docs", "prometheus.md"), encoding="utf-8") as file:
        document = file.read()
    with open(os.path.join(ROOT, "tools", "hub", "metrics.c"), encoding="utf-8") as file:
        table = set(re.findall(r'"((?:node|infiniservice)_[A-Za-z0-9_]*[A-Za-z0-9])"', file.read()))
    hub = tap.keep(Hub())
    hub.agent("web1")
    hub.wait_up("web1")
    served = {line.split("{")[0] for line in hub.values("/metrics?vm=web1")}
    assert len(served) > 60, served
    missing = [name for name in sorted(table | served) if "| `%s` |" % name not in document]
    assert not missing, missing


def story_discovery_names_every_vm_with_its_path():
    hub = tap.keep(Hub())
    hub.play("web1", steady)
    hub.play("a b", steady)
    wait_until(lambda: len(hub.vms()) == 2, 10, "two VMs", 0.1)
    groups = json.loads(hub.get("/sd"))
    assert sorted(group["labels"]["__param_vm"] for group in groups) == ["a b", "web1"], groups
    assert all(group["targets"] == [hub.address] and group["labels"]["__metrics_path__"] == "/metrics" and group["labels"]["instance"] == group["labels"]["__param_vm"]
               for group in groups), groups
    assert hub.get("/-/healthy") == "healthy\n" and hub.get("/-/ready") == "ready\n"
    assert 'infinihost_vms{state="up"} ' in hub.get("/hub")
    try:
        hub.get("/etc/passwd")
        raise AssertionError("a path that is not there was served")
    except HTTPError as error:
        assert error.code == 404


# --------------------------------------------------------------------------------------------------------------- gaps

def story_a_gap_is_asked_for_and_each_late_sample_is_served_once():
    hub = tap.keep(Hub())
    now = time.time()
    log = [sample(seq, now - 60 + seq) for seq in range(60)]
    asked = []

    def talk(played, connection):
        say(connection, HANDSHAKE)
        say(connection, sample(0, now - 61))
        say(connection, sample(60, now))
        for message in played.lines(connection):
            if message["type"] == "GetHistory":
                asked.append(message)
                fits = [one for one in log if message["begin"] <= (now - 60 + one["seq"]) * 1000 <= message["end"]]
                some = fits[:message["limit"]]
                say(connection, {"type": "metrics_batch", "id": message["id"], "samples": some, "last": True})
                say(connection, {"type": "response", "id": message["id"], "success": True, "data": {"count": len(some), "more": len(some) < len(fits)}})
    guest = hub.play("web1", talk)
    hub.wait_up("web1")
    got = []

    def scrape():
        for line in hub.get("/late?vm=web1").splitlines():
            if line.startswith("node_load1{"):
                got.append(int(line.split()[-1]))
        return len(got) >= 60
    wait_until(scrape, 20, "all late samples", 0.05)
    assert got == [round((now - 60 + seq) * 1000) // 1 for seq in range(60)] or (len(got) == 60 and got == sorted(set(got))), got
    assert all(message["limit"] <= 8 for message in asked)
    time.sleep(0.3)
    assert "node_load1" not in hub.get("/late")
    # Only then is it said that everything is held, and only what a scrape took.
    assert not [message for message in guest.heard if message["type"] == "Ack"]
    hub.get("/metrics")
    wait_until(lambda: [message for message in guest.heard if message["type"] == "Ack"], 5, "Ack")
    assert [(message["seq"], message["generation"]) for message in guest.heard if message["type"] == "Ack"] == [(60, "0123456789abcdef")], guest.heard


def story_a_killed_hub_asks_for_what_it_missed():
    hub = tap.keep(Hub())
    agent, _ = hub.agent("web1", {"timers.metrics_interval_ms": 250}, check_exit=False)  # the second hub is a child that came after it
    hub.wait_up("web1")
    hub.get("/metrics")
    wait_until(lambda: os.path.exists(os.path.join(hub.folder, "state", "vms.ndjson")), 10, "what is kept")
    time.sleep(0.5)
    hub.kill()
    time.sleep(4)
    assert agent.alive()
    hub.start()
    hub.wait_up("web1")
    stamps = []

    def scrape():
        stamps.extend(int(line.split()[-1]) for line in hub.get("/late").splitlines() if line.startswith("node_load1{"))
        return len(stamps) >= 10
    wait_until(scrape, 20, "late samples of the time without a hub", 0.1)
    assert len(set(stamps)) == len(stamps) and stamps == sorted(stamps), stamps


# -------------------------------------------------------------------------------------------------------- many at once

def played_commands(wait_s=0.0):
    """A guest that answers each command: UnsafeCommand with its text, and fails those that say so."""
    def talk(played, connection):
        say(connection, HANDSHAKE)
        say(connection, sample(1))
        for message in played.lines(connection):
            if "id" not in message:
                continue
            time.sleep(wait_s)
            text = message.get("raw_command", "")
            bad = "fail" in text and played.path.endswith(("b1.sock", "b2.sock"))
            say(connection, {"type": "response", "id": message["id"], "success": not bad, "exit_code": 3 if bad else 0, "stdout": text + "\nend", "stderr": "",
                             "data": None, "error": "it failed" if bad else None, "error_code": "COMMAND_FAILED" if bad else None})
    return talk


def story_one_verb_is_run_on_many_vms_with_their_names_in_front_and_a_summary():
    hub = tap.keep(Hub())
    names = ["a1", "a2", "b1", "b2", "[x]"]
    for name in names:
        hub.play(name, played_commands())
    hub.wait_up(*names)
    done = hub.host("--all", "exec", "--", "echo hello")
    assert done.returncode == 0 and "5 of 5 VMs done\n" in done.stderr, done
    assert sorted(done.stdout.splitlines()) == sorted(name + ": " + line for name in names for line in ("echo hello", "end")), done.stdout
    done = hub.host("--vm", "a*", "exec", "--", "x")
    assert sorted(line.split(":")[0] for line in done.stdout.splitlines()) == ["a1", "a1", "a2", "a2"], done
    done = hub.host("--all", "-P", "2", "exec", "--", "fail")
    assert done.returncode == 3 and re.search(r"3 of 5 VMs done; 2 with status 3 \(b[12], b[12]\)\n", done.stderr), done
    done = hub.host("--vm", "[[]x]", "--json", "exec", "--", "x")
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert [row["vm"] for row in rows] == ["[x]"] and rows[0]["message"]["type"] == "response", done
    done = hub.host("--all", "--timeout", "5", "watch", "--count", "1", "--types")
    assert done.returncode in (0, 5), done
    for words in (["--all", "vms"], ["--all", "raw"], ["--all", "--vm", "a1", "ping"], ["--all", "-P", "0", "ping"], ["--all", "serve"]):
        assert hub.host(*words).returncode == 2, words
    done = hub.host("--vm", "z*", "ping")
    assert done.returncode == 4 and "no VM is called z*" in done.stderr, done


def story_many_are_run_side_by_side_and_fail_fast_begins_no_more():
    hub = tap.keep(Hub())
    names = ["b%d" % n for n in range(8)]
    for name in names:
        hub.play(name, played_commands(0.5))
    hub.wait_up(*names)
    begun = time.monotonic()
    done = hub.host("--all", "-P", "8", "exec", "--", "x")
    side_by_side = time.monotonic() - begun
    begun = time.monotonic()
    hub.host("--all", "-P", "1", "exec", "--", "x")
    in_turn = time.monotonic() - begun
    assert done.returncode == 0 and in_turn > 4 and side_by_side < in_turn / 2, (side_by_side, in_turn)
    done = hub.host("--all", "-P", "1", "--fail-fast", "exec", "--", "fail")
    assert done.returncode == 1 and "not begun" in done.stderr, done
    tail = re.search(r"(\d+) of 8 VMs done; 1 with status 3 \(b[12]\); (\d+) not begun", done.stderr)
    assert tail and int(tail.group(1)) + int(tail.group(2)) == 7, done


# ------------------------------------------------------------------------------------------------------------ history

def story_history_tells_what_the_guests_log_has():
    hub = tap.keep(Hub())
    hub.agent("web1")
    hub.wait_up("web1")
    time.sleep(1.5)
    done = hub.host("--vm", "web1", "--json", "history", "--begin", "1m", "--limit", "3")
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.returncode == 7 and [row["type"] for row in rows] == ["metrics"] * 3 and "there is more" in done.stderr, done
    done = hub.host("--vm", "web1", "history", socket_path=hub.view)
    assert done.returncode == 0 and len(done.stdout.splitlines()) >= 3, done
    assert hub.host("--vm", "web1", "history", "--begin", "yesterday").returncode == 2


def story_old_spans_become_blocks_of_prometheus_and_young_ones_are_refused():
    hub = tap.keep(Hub())
    old = time.time() - 4 * 3600
    disks = {"system": {"disk": {"devices": [{"name": "b", "read_bytes": 5}, {"name": "a", "read_bytes": 7}]}, "load_average": {"load_1min": 2.5}}}
    log = [sample(seq, old + 30 * seq, data=disks) for seq in range(20)]

    def talk(played, connection):
        say(connection, HANDSHAKE)
        say(connection, sample(100))
        for message in played.lines(connection):
            if message["type"] == "GetHistory":
                assert message["end"] <= (time.time() - 3 * 3600) * 1000 + 1000, message
                say(connection, {"type": "metrics_batch", "id": message["id"], "samples": log, "last": True})
                say(connection, {"type": "response", "id": message["id"], "success": True, "data": {"count": 20, "more": False}})
    hub.play("web1", talk)
    hub.wait_up("web1")
    for words in (["--end", "1h"], ["--begin", "5h", "--end", "179m"]):
        done = hub.host("--vm", "web1", "history", "--openmetrics", *words)
        assert done.returncode == 2 and "over 3 h ago" in done.stderr and "/late" in done.stderr, done
    done = hub.host("--vm", "web1", "history", "--openmetrics", "--begin", "5h")
    assert done.returncode == 0 and done.stdout.endswith("# EOF\n"), done
    lines = [line for line in done.stdout.splitlines() if line.startswith("node_disk_read_bytes_total{")]
    assert len(lines) == 40 and 'device="a"' in lines[0] and 'device="a"' in lines[19] and 'device="b"' in lines[20], lines
    assert float(lines[0].split()[-1]) == round(old, 3) or abs(float(lines[0].split()[-1]) - old) < 0.002, lines[0]
    if shutil.which("promtool"):
        path = os.path.join(hub.folder, "old.om")
        with open(path, "w", encoding="utf-8") as file:
            file.write(done.stdout)
        made = subprocess.run(["promtool", "tsdb", "create-blocks-from", "openmetrics", path, os.path.join(hub.folder, "blocks")], capture_output=True, text=True,
                              timeout=60 * SLOW, check=False)
        assert made.returncode == 0 and os.listdir(os.path.join(hub.folder, "blocks")), made
    else:
        tap.note("promtool is not here (tools/deps.sh test): no block was made of it")


if __name__ == "__main__":
    tap.main(globals())
