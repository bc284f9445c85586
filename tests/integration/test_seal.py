#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""A machine is made a golden image, in a root of its own: what its host was granted does not reach the clones, what its owner set up does.
The verb acts on "/", so it runs nowhere else."""
import os
import stat

import tap
from own_root import root

SECRET = "0123456789abcdef" * 4
OWNERS = """# of the owner
[timers]
metrics_interval_ms = 10000

[commands]
deny = power
max_concurrent = 2
"""


def machine(*installer):
    guest = root()
    done = guest.install("normal", *(installer or ("vm-17",)), secret=SECRET)
    assert done.returncode == 0, done.stderr
    return guest


def golden(guest, *options):
    """Runs the verb and gives (items, grants as (file, what))."""
    # The tree has neither homes nor logs of anybody: what is found is what was put there.
    done = guest.run("/usr/local/sbin/infiniservice-exec", "golden", *options)
    assert done.returncode == 0, done
    lines = [line.split("\t") for line in done.stdout.splitlines()]
    assert lines[-1][0] == "end" and lines[-1][4] == "0", done
    return [line[2] for line in lines if line[0] == "item"], [tuple(line[1:]) for line in lines if line[0] == "grant"]


def shown(guest):
    """The configuration as the agent of a clone takes it."""
    done = guest.run("/usr/local/sbin/infiniservice", "--check-config")
    assert done.returncode == 0, done
    text = guest.run("/pushed/infinictl", "config", "show")
    assert text.returncode == 0, text
    found, section = {}, ""
    for line in text.stdout.splitlines():
        if line.startswith("["):
            section = line.strip("[]")
        elif "=" in line and not line.startswith("#"):
            key, value = line.split("#")[0].split("=", 1)
            found[section + "." + key.strip()] = value.strip()
    return found


def is_closed(guest, **owners):
    guest.push("infinictl", os.path.join(os.environ.get("INFINISERVICE_BUILD") or "build", "infinictl"))
    found = shown(guest)
    wanted = {"commands.allow": "observe", "commands.allow_unsafe": "no", "agent.vm_id": "", "auth.secret_file": "", "commands.run_as": ""}
    for key, value in {**wanted, **{name.replace("__", "."): value for name, value in owners.items()}}.items():
        assert found[key] == value, (key, found[key])
    for path in ("etc/systemd/system/sockets.target.wants/infiniservice-exec.socket", "etc/infiniservice/secret"):
        assert not os.path.lexists(guest.path(path)), path


def grep(guest, *words):
    """Files of the machine that hold one of the words."""
    found = []
    for top in ("etc", "var", "run", "local"):
        for folder, _, names in os.walk(guest.path(top)):
            for name in names:
                path = os.path.join(folder, name)
                if os.path.islink(path) or not stat.S_ISREG(os.lstat(path).st_mode):
                    continue
                with open(path, "rb") as file:
                    text = file.read()
                found += [(os.path.relpath(path, guest.top), word) for word in words if word.encode() in text]
    return found


def story_what_a_hosts_installer_granted_is_gone_and_told():
    guest = machine()
    assert os.path.islink(guest.path("etc/systemd/system/sockets.target.wants/infiniservice-exec.socket"))
    items, grants = golden(guest)
    is_closed(guest)
    host = "/etc/infiniservice/conf.d/50-host.conf"
    assert {(host, "commands.allow"), (host, "commands.allow_unsafe"), (host, "agent.vm_id"),
            ("/etc/systemd/system/sockets.target.wants/infiniservice-exec.socket", "executor")} <= set(grants), grants
    assert ("/etc/systemd/system/infiniservice.service.d/10-process-details.conf", "AmbientCapabilities") in grants, grants
    assert host in items and "/etc/infiniservice/secret" in items
    assert not os.path.exists(guest.path("etc/infiniservice/conf.d/50-host.conf"))
    assert not grep(guest, SECRET, "vm-17")
    # The agent itself goes on being started.
    assert os.path.islink(guest.path("etc/systemd/system/multi-user.target.wants/infiniservice.service"))
    assert golden(guest)[1] == [], "nothing is left to take"


def story_a_dry_run_tells_the_same_and_changes_nothing():
    guest = machine()
    before = {name: guest.read(name) for name in ("etc/infiniservice/conf.d/50-host.conf", "etc/infiniservice/secret", "etc/infiniservice/infiniservice.conf")}
    _, tried = golden(guest, "--dry-run")
    for name, text in before.items():
        assert guest.read(name) == text
    assert tried and tried == golden(guest)[1]


def story_what_the_owner_set_up_for_the_clones_stays():
    guest = machine()
    guest.write("etc/infiniservice/conf.d/10-site.conf", OWNERS)
    guest.write("etc/infiniservice/infiniservice.conf", "[log]\nmax_total_bytes = 64M\n")
    units = "etc/systemd/system/infiniservice.service.d/"
    guest.write(units + "20-log-elsewhere.conf", "[Service]\nReadWritePaths=/srv/infiniservice\nMemoryMax=200M\n")
    golden(guest)
    assert guest.read("etc/infiniservice/conf.d/10-site.conf") == OWNERS
    assert guest.read(units + "20-log-elsewhere.conf") == "[Service]\nReadWritePaths=/srv/infiniservice\nMemoryMax=200M\n"
    is_closed(guest, timers__metrics_interval_ms="10000", commands__deny="power", commands__max_concurrent="2", log__max_total_bytes="64M")


def story_grants_in_the_owners_own_files_are_taken_out_line_by_line():
    guest = machine()
    guest.write("etc/infiniservice/infiniservice.conf",
                "\ufeff[agent]\nvm_id = vm-18\nlog_level = debug\n[commands]\nallow = observe\n  control\n  packages\ndeny = power\nallow_unsafe: yes\n", 0o640)
    guest.write("etc/infiniservice/conf.d/99-late.conf", "# words\n[commands]\nallow = observe control packages power\nrun_as = root\nmax_concurrent = 3\n"
                "[auth]\nrequire_signature = no\nsecret_file = /srv/the-secret\n")
    os.makedirs(guest.path("srv"))
    guest.write("srv/the-secret", SECRET, 0o600)
    _, grants = golden(guest)
    is_closed(guest, agent__log_level="debug", commands__deny="power", commands__max_concurrent="3", auth__require_signature="auto")
    assert guest.read("etc/infiniservice/conf.d/99-late.conf") == "# words\n[commands]\nmax_concurrent = 3\n[auth]\n"
    kept = os.stat(guest.path("etc/infiniservice/infiniservice.conf"))
    assert stat.S_IMODE(kept.st_mode) == 0o640 and kept.st_uid == 0
    assert not os.path.exists(guest.path("srv/the-secret"))
    assert ("/etc/infiniservice/infiniservice.conf", "commands.allow") in grants and ("/etc/infiniservice/conf.d/99-late.conf", "commands.run_as") in grants
    assert not grep(guest, SECRET, "vm-18", "vm-17")


def story_a_secret_that_is_named_by_mistake_destroys_nothing():
    guest = machine()
    os.makedirs(guest.path("srv/folder"))
    guest.write("srv/big", "x" * 100000)
    os.symlink("/etc/passwd", guest.path("srv/link"))
    for number, path in enumerate(("/srv/folder", "/srv/big", "/srv/link", "/srv/../etc/passwd", "/dev/null", "relative", "/")):
        guest.write("etc/infiniservice/conf.d/%d0-x.conf" % number, "[auth]\nsecret_file = %s\n" % path)
    guest.write("etc/hostname", "a-single-line\n")
    guest.write("etc/infiniservice/conf.d/80-x.conf", "[auth]\nsecret_file = /etc/hostname\n")
    guest.write("etc/infiniservice/conf.d/81-x.conf", "[auth]\nsecret_file = /etc/shadow\n")
    done = guest.run("/usr/local/sbin/infiniservice-exec", "golden")
    assert done.returncode == 0 and "does not look like one" in done.stderr and int(done.stdout.splitlines()[-1].split("\t")[4]) >= 7, done
    assert "a-single-line" in guest.read("etc/hostname") and "root:" in guest.read("etc/shadow")
    assert os.path.isdir(guest.path("srv/folder")) and os.path.getsize(guest.path("srv/big")) == 100000
    assert os.path.islink(guest.path("srv/link")) and "root:x:0" in guest.read("etc/passwd")
    is_closed(guest)


def story_drop_ins_environments_and_credentials_that_give_something_go_whole():
    guest = machine()
    units = "etc/systemd/system/"
    gone = {
        units + "infiniservice.service.d/30-id.conf": "[Service]\nEnvironment=INFINIBAY_VM_ID=vm-19 INFINISERVICE_SHARED_SECRET=%s\n" % SECRET,
        units + "infiniservice.service.d/40-credential.conf": "[Service]\nLoadCredential=secret:/root/given\n",
        units + "infiniservice-exec.service.d/50-more.conf": "[Service]\nCapabilityBoundingSet=CAP_SYS_ADMIN\n",
        units + "infiniservice-exec.socket.d/50-more.conf": "[Socket]\nSocketMode=0666\n",
        "etc/systemd/system.control/infiniservice.service.d/50-x.conf": "[Service]\nMemoryMax=1G\nUser=root\n",
        "etc/default/infiniservice": "INFINIBAY_VM_ID=vm-19\n",
        "etc/conf.d/infiniservice": "export INFINISERVICE_SHARED_SECRET=%s\n" % SECRET,
        "etc/credstore/infiniservice.secret": SECRET,
        "etc/infiniservice/secret.bak": SECRET, "etc/infiniservice/secret~": SECRET, "etc/infiniservice/secret.new": SECRET,
        "etc/infiniservice/conf.d/50-host.conf.new": "[agent]\nvm_id = vm-19\n",
        "root/given": SECRET,
        "var/lib/systemd/linger/infiniservice": "",
    }
    stay = {units + "infiniservice.service.d/20-nice.conf": "[Service]\nNice=5\n", units + "other.service.d/x.conf": "[Service]\nUser=root\n",
            "etc/default/infiniservice-other": "x\n", "etc/credstore/other": "x\n"}
    for name, text in {**gone, **stay}.items():
        os.makedirs(os.path.dirname(guest.path(name)), exist_ok=True)
        guest.write(name, text, 0o600 if name == "root/given" else 0o644)
    for folder in ("multi-user.target.wants", "infiniservice.service.requires"):
        os.makedirs(guest.path(units + folder), exist_ok=True)
        os.symlink("/etc/systemd/system/infiniservice-exec.service", guest.path(units + folder + "/infiniservice-exec.service"))
    golden(guest)
    assert not [name for name in gone if os.path.lexists(guest.path(name))], [name for name in gone if os.path.lexists(guest.path(name))]
    for name, text in stay.items():
        assert guest.read(name) == text, name
    for folder in ("multi-user.target.wants", "infiniservice.service.requires"):
        assert not os.path.lexists(guest.path(units + folder + "/infiniservice-exec.service"))
    assert not grep(guest, SECRET, "vm-19")


def story_units_that_somebody_wrote_whole_and_drop_ins_of_all_services_are_looked_at():
    guest = machine()
    units, mine = "etc/systemd/system/", "[Service]\nExecStart=/bin/sh -c id\n"
    vendors = "lib/systemd/system/"
    if os.path.islink(guest.path("lib")):  # to /usr, which is the machine's own: a package's units have to lie beside it
        os.unlink(guest.path("lib"))
        os.makedirs(guest.path(vendors))
        for name in set(os.listdir("/usr/lib")) - {"systemd"}:
            os.symlink("/usr/lib/" + name, guest.path("lib/" + name))
    installed = {units + name: guest.read(units + name) for name in ("infiniservice.service", "infiniservice-port@.service", "infiniservice-exec.socket")}
    written = {
        vendors + "infiniservice-exec.service": "[Service]\nExecStart=/usr/libexec/infiniservice-exec\n",
        vendors + "infiniservice-same.service": mine, vendors + "infiniservice-masked.service": mine, vendors + "infiniservice-other.socket": mine,
        "root/given": SECRET,
    }
    gone = {
        units + "infiniservice-exec.service": mine + "LoadCredential=secret:/root/given\n",
        "etc/systemd/system.control/infiniservice-other.socket": "[Socket]\nSocketMode=0666\n",
        units + "service.d/50-id.conf": "[Service]\nEnvironment=INFINIBAY_VM_ID=vm-19\n",
        units + "service.d/60-secret.conf": "[Service]\n  LoadCredential=secret:/root/given\n",
    }
    stay = {
        units + "infiniservice-same.service": mine, units + "infiniservice-of-the-owner.service": mine, units + "other.service": mine,
        units + "service.d/10-proxy.conf": "[Service]\nEnvironment=HTTP_PROXY=http://proxy\n", units + "service.d/notes": "INFINIBAY_VM_ID\n",
    }
    for name, text in {**written, **gone, **stay}.items():
        os.makedirs(os.path.dirname(guest.path(name)), exist_ok=True)
        guest.write(name, text, 0o600 if name == "root/given" else 0o644)
    links = {units + "infiniservice-masked.service": "/dev/null", units + "infiniservice-alias.service": "/lib/systemd/system/infiniservice-same.service"}
    for name, target in links.items():
        os.symlink(target, guest.path(name))
    _, tried = golden(guest, "--dry-run")
    assert all(os.path.exists(guest.path(name)) for name in gone) and os.path.exists(guest.path("root/given"))
    _, grants = golden(guest)
    assert tried == grants and ("/" + units + "infiniservice-exec.service", "unit") in grants and ("/" + units + "service.d/50-id.conf", "drop-in") in grants, grants
    assert not [name for name in gone if os.path.lexists(guest.path(name))], [name for name in gone if os.path.lexists(guest.path(name))]
    assert not os.path.exists(guest.path("root/given"))
    for name, text in {**stay, **installed}.items():
        assert guest.read(name) == text, name
    for name, target in links.items():
        assert os.readlink(guest.path(name)) == target, name


def story_what_cannot_be_taken_of_a_unit_or_named_at_all_keeps_the_image_from_being_made():
    guest = machine()
    unit = "etc/systemd/system/infiniservice.service"
    text = guest.read(unit)
    for change, words in ((lambda: guest.write(unit, text + "Environment=INFINIBAY_VM_ID=vm-19\n"), "golden: /%s: " % unit),
                          (lambda: os.symlink("/srv/any.service", guest.path("etc/systemd/system/infiniservice-far.service")), "infiniservice-far.service: "),
                          (lambda: guest.write("etc/infiniservice/conf.d/80-far.conf", "[auth]\nsecret_file = /srv/%s\n" % ("x" * 1100)), "File name too long"),
                          (lambda: guest.write("etc/infiniservice/conf.d/80-far.conf", "[log]\ndir = /srv/%s\n" % ("x" * 1100)), "File name too long")):
        change()
        done = guest.run("timeout", "20", "/usr/local/sbin/infiniservice-exec", "golden")
        assert done.returncode == 1 and words in done.stderr and guest.read("etc/infiniservice/secret"), (words, done)
        guest.write(unit, text)
        for name in ("etc/systemd/system/infiniservice-far.service", "etc/infiniservice/conf.d/80-far.conf"):
            if os.path.lexists(guest.path(name)):
                os.unlink(guest.path(name))
    golden(guest)


def story_state_and_log_go_from_where_the_owner_has_put_them_and_nothing_else_does():
    guest = machine()
    guest.write("etc/infiniservice/conf.d/20-places.conf", "[log]\ndir = /srv/log\n[agent]\nstate_dir = /srv/state\n")
    ours = ("srv/log/metrics-20260101T000000.000Z-000001.ndjson", "srv/log/1m/metrics-20260101T000000.000Z-000001.ndjson.zst", "srv/state/vm_id",
            "srv/state/seq", "srv/state/nonces", "srv/state/audit.ndjson", "var/lib/infiniservice/vm_id", "var/lib/infiniservice/a/b/c/d")
    others = ("srv/log/letter", "srv/state/letter", "srv/letter")
    for name in ours + others:
        os.makedirs(os.path.dirname(guest.path(name)), exist_ok=True)
        guest.write(name, "vm-20\n")
    golden(guest)
    assert not [name for name in ours if os.path.exists(guest.path(name))]
    assert all(os.path.exists(guest.path(name)) for name in others)
    assert "dir = /srv/log" in guest.read("etc/infiniservice/conf.d/20-places.conf")


def story_links_and_odd_files_in_its_way_lead_nowhere():
    guest = machine()
    guest.write("etc/kept", "[commands]\nallow = control\n", 0o600)
    conf = guest.path("etc/infiniservice/conf.d/")
    os.symlink("/etc/kept", conf + "60-link.conf")
    os.mkfifo(conf + "61-fifo.conf")
    os.mkdir(conf + "62-folder.conf")
    guest.write("etc/infiniservice/conf.d/63-nul.conf", "[commands]\n\0allow = control\n")
    guest.write("etc/infiniservice/conf.d/64-empty.conf", "")
    os.symlink("/etc/kept", conf + ".infiniservice-seal.new")
    guest.write("etc/infiniservice/conf.d/65-real.conf", "[commands]\nallow = control")
    os.symlink("/dev/null", conf + "66-masked.conf")
    before = guest.read("etc/infiniservice/conf.d/65-real.conf")
    done = guest.run("timeout", "20", "/usr/local/sbin/infiniservice-exec", "golden")
    # What could not be judged may grant something: then there is no image, nothing was touched, and it is named.
    assert done.returncode == 1, done
    for name in ("60-link.conf", "63-nul.conf"):
        assert "golden: /etc/infiniservice/conf.d/%s: " % name in done.stderr, done.stderr
    assert "66-masked" not in done.stderr and guest.read("etc/infiniservice/conf.d/65-real.conf") == before, done.stderr
    os.unlink(conf + "60-link.conf")
    os.unlink(conf + "63-nul.conf")
    done = guest.run("timeout", "20", "/usr/local/sbin/infiniservice-exec", "golden")
    assert done.returncode == 0, done
    assert guest.read("etc/kept") == "[commands]\nallow = control\n"
    assert guest.read("etc/infiniservice/conf.d/65-real.conf") == "[commands]\n"


def told_at_start(guest):
    """What the agent of this machine says it lets its host do."""
    done = guest.run("timeout", "3", "/usr/local/sbin/infiniservice", "-p", "none", "-s", "log.enabled=no")
    return [line.split("the host may: ")[1] for line in done.stderr.splitlines() if "the host may: " in line]


def story_a_clone_says_at_its_start_what_its_host_may_and_who_gave_it():
    guest = machine()
    host = "/etc/infiniservice/conf.d/50-host.conf"
    # The service's directories are made by a service manager, which does not run here.
    assert guest.run("/usr/local/sbin/infiniservice-exec", "prepare", "directories").returncode == 0
    os.chown(guest.path("etc/infiniservice/secret"), 0, 0)
    assert told_at_start(guest) == ["observe control packages power (%s:5); run any program (%s:6)" % (host, host)], told_at_start(guest)
    golden(guest)
    assert told_at_start(guest) == ["observe"], told_at_start(guest)


def story_the_host_may_install_its_agent_anew_in_the_clone():
    guest = machine()
    golden(guest)
    done = guest.install("normal", "vm-21", secret="f" * 64)
    assert done.returncode == 0, done
    assert "vm-21" in guest.read("etc/infiniservice/conf.d/50-host.conf") and guest.read("etc/infiniservice/secret").strip() == "f" * 64
    assert os.path.islink(guest.path("etc/systemd/system/sockets.target.wants/infiniservice-exec.socket"))


if __name__ == "__main__":
    tap.main(globals())
