#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""The room that tests run in: what destroys all it can reach there has destroyed nothing outside.

These stories themselves run in a room, which is the machine to them, and make further ones in it.
"""
import contextlib
import os
import pathlib
import signal
import subprocess
import sys
import time
import uuid

import tap
from fakehost import BUILD, ROOT, processes_running, wait_until

ROOM = os.path.join(ROOT, "tests", "lib", "room.py")
# Stands for an agent in which everything is wrong. It begins only where it is not on the machine that the story looks at.
DESTROYER = """
import os, shutil, signal, sys
outside, victims = sys.argv[1], [int(pid) for pid in sys.argv[2:]]
if os.readlink("/proc/self/ns/mnt") + os.readlink("/proc/self/ns/pid") == outside or os.stat("/etc").st_dev == os.stat("/").st_dev:
    sys.exit("this is no room")
os.truncate("/etc/machine-id", 0)
for name in ("passwd", "hostname"):
    open("/etc/" + name, "w").close()
for folder in ("/boot", "/etc", "/srv", "/tmp", "/run", "/var/log"):
    shutil.rmtree(folder, ignore_errors=True)
for folder in ("/home", "/root", "/var/tmp"):
    if os.path.exists(folder + "/precious"):
        os.unlink(folder + "/precious")
for folder in ("/etc", "/var/log"):
    assert not os.path.exists(folder) or not os.listdir(folder), folder
for pid in victims:
    try:
        os.kill(pid, signal.SIGKILL)
        sys.exit("a process of the machine could be signalled")
    except ProcessLookupError:
        pass
print("destroyed", flush=True)
try:
    os.kill(-1, signal.SIGKILL)
except ProcessLookupError:
    pass  # there was nobody left
os.kill(os.getpid(), signal.SIGKILL)
"""


def room(*argv, **more):
    tap.need_room()
    done = subprocess.run([sys.executable, ROOM, *argv], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                          check=False, timeout=120, **more)
    if done.returncode == 77:
        raise tap.Skip(done.stderr.strip())
    return done


def state_of(top):
    """Whatever a file could lose: kind, rights, owner, size, time of change."""
    found = {}
    for folder, folders, names in os.walk(top):
        for name in folders + names:
            path = os.path.join(folder, name)
            about = os.lstat(path)
            found[path] = (about.st_mode, about.st_uid, about.st_size, about.st_mtime_ns)
    return found


def namespaces():
    return os.readlink("/proc/self/ns/mnt") + os.readlink("/proc/self/ns/pid")


def story_what_destroys_all_it_reaches_in_a_room_touches_no_file_and_no_process_outside():
    tap.need_room()
    victims = [tap.keep(subprocess.Popen(["sleep", "120"])) for _ in range(3)]
    tap.keep(contextlib.ExitStack()).callback(lambda: [victim.kill() for victim in victims])
    for folder in ("/tmp", "/var/tmp", "/home", "/root", "/run"):
        if os.access(folder, os.W_OK):
            pathlib.Path(folder, "precious").write_text("precious\n", encoding="ascii")
    folders = ("/boot", "/etc", "/srv", "/tmp", "/run", "/var/log", "/var/tmp")
    before = {folder: state_of(folder) for folder in folders}
    precious = [path for path in ("/home/precious", "/root/precious") if os.path.exists(path)]
    assert len(before["/etc"]) > 50 and before["/tmp"]
    about = os.stat("/proc/1")
    done = room(sys.executable, "-c", DESTROYER, namespaces(), *(str(victim.pid) for victim in victims), "1000000")
    assert done.stdout == "destroyed\n", done
    assert done.returncode == -signal.SIGKILL, done
    for folder in folders:
        after = {path: state for path, state in state_of(folder).items() if "/test-room-" not in path and path != "/var/tmp"}
        assert after == {path: state for path, state in before[folder].items() if "/test-room-" not in path and path != "/var/tmp"}, folder
    assert all(os.path.getsize(path) == len("precious\n") for path in precious)
    assert all(victim.poll() is None for victim in victims) and os.stat("/proc/1").st_ino == about.st_ino


def story_nothing_that_was_started_in_a_room_outlives_it():
    marker = f"61.{uuid.uuid4().int % 10**9:09d}"
    done = room("sh", "-c", f"setsid sh -c 'trap \"\" TERM HUP; (setsid sleep {marker} &); sleep {marker}' >/dev/null 2>&1 & sleep 0.3")
    assert done.returncode == 0, done
    assert not processes_running(marker)


def story_a_killed_room_takes_all_its_processes_along():
    tap.need_room()
    marker = f"62.{uuid.uuid4().int % 10**9:09d}"
    with subprocess.Popen([sys.executable, ROOM, "sh", "-c", f"setsid sleep {marker} & echo there; exec sleep {marker}"],
                          stdout=subprocess.PIPE, text=True) as child:
        if child.stdout.readline() != "there\n":
            raise tap.Skip("no room can be made in this one")
        assert len(processes_running(marker)) >= 1
        child.kill()
        child.wait()
    wait_until(lambda: not processes_running(marker), 5, "the end of the room's processes")


def story_a_command_that_is_ended_is_not_run_again_without_a_room():
    """Signals come to every process of the group, twice and when the command has just ended."""
    for wait_s in (0, 0.02, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3):
        with subprocess.Popen([sys.executable, ROOM, "--or-without", "sh", "-c", "cat /proc/1/comm; exec sleep 0.2"], stdout=subprocess.PIPE,
                              text=True, start_new_session=True) as child:
            time.sleep(wait_s)
            for _ in range(20):
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(child.pid, signal.SIGTERM)
                time.sleep(0.01)
            said, _ = child.communicate(timeout=60)
            assert said in ("", "test-room\n"), (wait_s, said)


def story_the_end_of_the_command_is_told_as_it_was():
    assert room("sh", "-c", "exit 37").returncode == 37
    assert room("sh", "-c", "kill -SEGV $$").returncode == -signal.SIGSEGV
    assert room("/no/such/program").returncode == 127
    assert room("echo", "said").stdout == "said\n"


def story_no_bus_no_disk_and_no_switch_of_the_kernel_is_in_reach():
    script = """
import ctypes, errno, os, stat, sys
for path in ("/run/dbus/system_bus_socket", "/run/systemd/private", "/run/systemd/journal/socket", "/dev/kmsg", "/dev/mem"):
    assert not os.path.exists(path), path
for name in os.listdir("/dev"):
    assert not stat.S_ISBLK(os.stat("/dev/" + name).st_mode), name
for path in ("/proc/sys/kernel/hostname", "/proc/sys/vm/drop_caches", "/sys/kernel/mm/transparent_hugepage/enabled"):
    if os.path.exists(path):
        try:
            open(path, "w").close()
            sys.exit(path + " can be written")
        except OSError as error:
            assert error.errno in (errno.EROFS, errno.EACCES), (path, error)
libc = ctypes.CDLL(None, use_errno=True)
assert libc.reboot(0) == -1 and ctypes.get_errno() == errno.EPERM  # RB_DISABLE_CAD
assert libc.settimeofday(ctypes.byref((ctypes.c_long * 2)(10**9, 0)), None) == -1 and ctypes.get_errno() == errno.EPERM
print("closed")
"""
    done = room(sys.executable, "-c", script)
    assert done.stdout == "closed\n", done


def story_an_agent_empties_the_identity_of_its_room_and_not_of_the_machine():
    tap.need_root()
    script = f"""
import sys
sys.path[:0] = [{os.path.dirname(os.path.abspath(__file__))!r}]
import os, tap
from fakehost import talk
assert tap.room.inside() and os.stat("/etc").st_dev != int(sys.argv.pop())
if not os.path.exists("/etc/machine-id"):
    open("/etc/machine-id", "w").write("0123456789abcdef0123456789abcdef\\n")
open("/var/log/told", "w").write("x" * 1000)
def story_golden():
    _, host = talk(tap.keep, {{"commands.allow": "observe control power"}})
    answer = host.ask("PrepareGoldenImage", timeout=60, cleanup_level="deep", sanitize_user_data=True)
    assert answer["success"], answer
    text = open("/etc/machine-id").read()
    assert text.strip() in ("", "uninitialized"), text
tap.main(globals())
"""
    with open("/etc/machine-id", "a+", encoding="ascii") as file:
        file.seek(0)
        if not file.read():
            file.write("fedcba9876543210fedcba9876543210\n")
    before = pathlib.Path("/etc/machine-id").read_text(encoding="ascii")
    done = room(sys.executable, "-c", script, str(os.stat("/etc").st_dev))
    assert done.returncode == 0 and "\nok 1 - golden\n" in done.stdout, done.stdout
    assert pathlib.Path("/etc/machine-id").read_text(encoding="ascii") == before and len(before) > 30


def story_without_a_room_what_could_destroy_is_skipped_and_says_why():
    tap.need_room()
    env = {**os.environ, "INFINISERVICE_NO_ROOM": "asked for"}
    probe = f"""
import sys
sys.path[:0] = [{os.path.dirname(os.path.abspath(__file__))!r}]
import tap
tap.room.inside = lambda: False
from fakehost import Agent, UnixHost
def story_may_command():
    tap.keep(Agent("none", {{"commands.allow": "observe control"}}))
def story_says_so_in_its_file():
    tap.keep(Agent("none", config="[commands]\\nallow_unsafe = yes\\n"))
def story_only_observes():
    host = tap.keep(UnixHost())
    tap.keep(Agent(host.spec))
    host.accept()
tap.main(globals())
"""
    done = subprocess.run([sys.executable, "-c", probe], env=env, stdout=subprocess.PIPE, text=True, check=False, timeout=60)
    lines = [line for line in done.stdout.splitlines() if line.startswith(("ok", "not ok"))]
    assert lines == ["ok 1 - may command # SKIP could destroy something of this machine: asked for",
                     "ok 2 - says so in its file # SKIP could destroy something of this machine: asked for",
                     "ok 3 - only observes"], done.stdout


def story_a_story_beside_the_others_is_told_behind_them_as_any_other_is():
    tap.need_room()
    probe = f"""
import sys
sys.path[:0] = [{os.path.dirname(os.path.abspath(__file__))!r}]
import os, tap, time
@tap.beside
def story_waits():
    time.sleep(2)
@tap.beside
def story_fails():
    tap.note("words")
    assert 1 == 2, "the cause"
@tap.beside
def story_is_skipped():
    raise tap.Skip("a reason")
@tap.beside
def story_dies():
    os.kill(os.getpid(), 9)
def story_waits_here():
    time.sleep(2)
begun = time.monotonic()
try:
    tap.main(globals())
finally:
    assert time.monotonic() - begun < 3.8
"""
    done = subprocess.run([sys.executable, "-c", probe], stdout=subprocess.PIPE, text=True, check=False, timeout=60)
    lines = [line for line in done.stdout.splitlines() if line.startswith(("ok", "not ok"))]
    assert lines == ["ok 1 - waits here", "ok 2 - waits", "not ok 3 - fails", "ok 4 - is skipped # SKIP a reason", "not ok 5 - dies"], done.stdout
    assert done.returncode == 1 and "# words" in done.stdout and "the cause" in done.stdout and "status 9" in done.stdout, done


def story_every_native_test_goes_through_the_door():
    folder = os.path.join(ROOT, "tests", "integration")
    names = [name for name in os.listdir(folder) if name.startswith("test_") and name.endswith(".py")]
    assert len(names) > 25, names
    for name in names:
        text = pathlib.Path(folder, name).read_text(encoding="utf-8")
        assert text.rstrip().split("\n")[-1].strip().startswith("tap.main(globals()"), name
    programs = [os.path.join(BUILD, "tests", "unit", name) for name in os.listdir(os.path.join(BUILD, "tests", "unit"))
                if name.startswith("test_") and "." not in name]
    assert programs
    for program in programs:
        with open(program, "rb") as file:
            assert b"/lib/room.py\0" in file.read(), program


tap.main(globals())
