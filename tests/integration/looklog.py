# SPDX-License-Identifier: MIT
"""Logs with known values, and such that nobody could have meant, for the tests of what looks at them; and terminals to look from."""
import fcntl
import json
import os
import pty
import struct
import subprocess
import termios
import time

from fakehost import SLOW, program, ready

EPOCH = 1790000000  # 2026-09-21T14:13:20Z


def stamp(seconds):
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds)) + ".%03dZ" % round(seconds % 1 * 1000)


def sample(i, seconds, **changes):
    """Numbers that a test can work out again: CPU i % 100, steal i % 20, memory that shrinks, a counter that grows."""
    message = {"type": "metrics", "timestamp": stamp(seconds), "seq": i + 1, "boot_id": "b", "schema": 1, "data": {"system": {
        "cpu": {"usage_percent": i % 100, "steal_percent": i % 20, "iowait_percent": 0.5, "temperature": None},
        "memory": {"total_kb": 4000000, "used_kb": 1000000 + i, "available_kb": 3000000 - i, "swap_used_kb": None},
        "pressure": {name: {"some": {"avg10_percent": 1.0, "avg60_percent": 2.0}} for name in ("cpu", "memory", "io")},
        "vmstat": {"oom_kills": 0},
        "disk": {"usage_stats": [{"mount_point": "/", "used_gb": 3.0, "available_gb": 1.0, "total_gb": 4.0}], "io_stats": {"read_bytes_per_sec": 1024, "write_bytes_per_sec": 2048}},
        "network": {"interfaces": [{"name": "eth0", "bytes_received": i * 1000, "bytes_sent": i * 100, "rx_bytes_per_sec": 33.3, "tx_bytes_per_sec": 3.3}]},
        "load_average": {"load_1min": 0.25}, "hostname": "guest", "name": "Debian"}, "processes": [{"pid": 100 + i % 2, "name": "worker", "cpu_percent": i % 7, "memory_kb": 5000,
                                                                              "disk_read_bytes": None, "disk_write_bytes": 1}]}}
    message.update(changes)
    return message


def line(message):
    return json.dumps(message, separators=(",", ":")).encode() + b"\n"


def write(directory, messages, name="metrics-20260921T141320.000Z-000001.ndjson", begin=EPOCH):
    os.makedirs(directory, exist_ok=True)
    path = os.path.join(directory, name)
    with open(path, "wb") as file:
        file.write(line({"type": "log_header", "timestamp": stamp(begin), "schema": 1, "boot_id": "b", "first_seq": 1}))
        for message in messages:
            file.write(message if isinstance(message, bytes) else line(message))
    os.chmod(path, 0o640)
    return directory


def make(directory, count=200, step=30, begin=EPOCH, change=lambda i, message: message):
    return write(directory, [change(i, sample(i, begin + i * step)) for i in range(count)], begin=begin)


# What each of them is, the bytes behind five good samples, and what has to be said of it (None: nothing).
HOSTILE = {
    "escapes": (line(sample(5, EPOCH + 150, gap="\x1b[31m\x07")).replace(b"guest", b"\\u001b]0;x\\u0007<script>\\\"")
                .replace(b'"mount_point":"/"', b'"mount_point":"\\u001b[2J</svg><script>alert(1)</script>"'), None),
    "huge numbers": (line(sample(5, EPOCH + 150)).replace(b'"usage_percent":5', b'"usage_percent":1e308').replace(b'"used_kb":1000005', b'"used_kb":99999999999999999999999')
                     + line(sample(6, EPOCH + 180)).replace(b'"usage_percent":6', b'"usage_percent":-1e308').replace(b'"steal_percent":6', b'"steal_percent":1e999'), None),
    "missing parts": (line({"type": "metrics", "timestamp": stamp(EPOCH + 150), "seq": 6, "data": {}}) + line({"type": "metrics", "timestamp": stamp(EPOCH + 180), "seq": 7})
                      + line({"type": "metrics", "timestamp": stamp(EPOCH + 210), "seq": 8, "data": {"system": None, "processes": 5}})
                      + line({"type": "metrics", "timestamp": stamp(EPOCH + 240), "seq": 9, "data": {"system": {"cpu": [], "disk": {"usage_stats": {"a": 1}}, "network": {"interfaces": [1, None]}}}}), None),
    "other types": (line(sample(5, EPOCH + 150)).replace(b'"usage_percent":5', b'"usage_percent":"<b>five"') + line({"type": "agent_event", "timestamp": stamp(EPOCH + 160), "severity": 5, "message": ["x"]}), None),
    "damaged lines": (b'{"type":"metrics","timestamp":"2026-09-21T14:15:50.000Z","data":{\n' + b"\x00\xff\n" + b"[" * 5000 + b"\n" + line(sample(6, EPOCH + 180)), "damaged"),
    "a torn end": (line(sample(5, EPOCH + 150))[:80], "end inside a line"),
    "a time far off": (line(sample(5, 253402300799)), None),
    "times that go back": (line(sample(5, EPOCH + 90)) + line(sample(6, EPOCH + 180)), None),
}


def write_hostile(directory, name):
    path = os.path.join(directory, name.replace(" ", "-"))
    write(path, [sample(i, EPOCH + i * 30) for i in range(5)] + [HOSTILE[name][0]])
    return path


def write_bad_frame(directory):
    """A compressed segment whose end is no zstd, and a whole one."""
    path = os.path.join(directory, "a-bad-frame")
    write(path, [sample(i, EPOCH + i * 30) for i in range(5)], name="first.ndjson")
    text = subprocess.run(["zstd", "-qc", os.path.join(path, "first.ndjson")], stdout=subprocess.PIPE, check=True).stdout
    os.unlink(os.path.join(path, "first.ndjson"))
    with open(os.path.join(path, "metrics-20260921T141320.000Z-000001.ndjson.zst"), "wb") as file:
        file.write(text + b"\x28\xb5\x2f\xfdno frame at all")
    write(path, [sample(i, EPOCH + i * 30) for i in range(5, 8)], name="metrics-20260921T141550.000Z-000002.ndjson", begin=EPOCH + 150)
    return path


def ctl(*arguments, env=None, timeout=60):
    return subprocess.run([program("infinictl"), *arguments], capture_output=True, timeout=timeout * SLOW, check=False, env={**os.environ, "TZ": "UTC", **(env or {})})


def on_terminal(arguments, columns=80, lines=24, env=None, timeout=30):
    """What infinictl shows on a terminal of this size, as lines."""
    master, slave = pty.openpty()
    fcntl.ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))
    process = subprocess.Popen([program("infinictl"), *arguments], stdin=slave, stdout=slave, stderr=subprocess.PIPE,
                               env={**os.environ, "TERM": "xterm", "TZ": "UTC", "LC_ALL": "C.UTF-8", "NO_COLOR": "1", "PAGER": "cat", **(env or {})}, start_new_session=True)
    os.close(slave)
    shown = b""
    try:
        while ready(master, 1, timeout * SLOW):
            data = os.read(master, 65536)
            if not data:
                break
            shown += data
    except OSError:  # EIO: it has ended
        pass
    finally:
        process.stderr.close()
        process.wait(timeout * SLOW)
        os.close(master)
    return shown.decode().replace("\r\n", "\n").splitlines()
