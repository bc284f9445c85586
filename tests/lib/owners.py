# SPDX-License-Identifier: MIT
"""Who owns what an installation made, and who may write to it: the list of all its files, held against what is right."""

import re

from package_guest import files

# path (a pattern for the whole of it), owner:group, mode, kind as find's %y has it
RULES = [(re.compile(pattern + r"\Z"), owner, mode, kind) for pattern, owner, mode, kind in (
    (r"/etc/infiniservice(/conf\.d)?", "root:root", "755", "d"),
    (r"/etc/infiniservice/infiniservice\.conf", "root:root", "644", "f"),
    (r"/etc/infiniservice/conf\.d/[0-9]+-[a-z]+\.conf", "root:root", "644", "f"),
    (r"/run/infiniservice", "agent:agent", "755", "d"),
    (r"/run/infiniservice/agent\.sock", "agent:agent", "660", "s"),
    (r"/run/infiniservice/latest\.json", "agent:agent", "640", "f"),
    (r"/run/infiniservice/generation", "agent:agent", "600", "f"),
    (r"/run/infiniservice-root", "root:root", "755", "d"),
    (r"/run/infiniservice-root/product_uuid", "root:agent", "440", "f"),
    (r"/run/infiniservice/commands\.journal", "agent:agent", "600", "f"),
    (r"/run/infiniservice/(output|scripts)", "agent:agent", "700", "d"),
    (r"/run/infiniservice-exec", "root:agent", "710", "d"),
    (r"/run/infiniservice-exec/exec\.sock", "agent:agent", "600", "s"),
    (r"/var/lib/infiniservice", "agent:agent", "750", "d"),
    (r"/var/lib/infiniservice/lock", "agent:agent", "600", "f"),
    (r"/var/lib/infiniservice/(seq|vm_id|audit\.[a-z.]+)", "agent:agent", "600", "f"),
    (r"/var/log/infiniservice(/1m|/1h)?", "agent:agent", "750", "d"),
    (r"/var/log/infiniservice/(1m/|1h/)?metrics-[0-9TZ.]+-[0-9]{6}\.ndjson(\.zst)?", "agent:agent", "640", "f"),
    (r"/var/lib/systemd/deb-systemd-helper-enabled/(infiniservice\.service\.dsh-also|multi-user\.target\.wants/infiniservice\.service)",
     "root:root", "644", "f"),
    (r"/etc/systemd/system/(multi-user|sockets)\.target\.wants/infiniservice(\.service|-exec\.socket)", "root:root", "777", "l"),
)]
NEEDED = ("/etc/infiniservice/infiniservice.conf", "/run/infiniservice/agent.sock", "/run/infiniservice/latest.json",
          "/run/infiniservice-root/product_uuid", "/var/lib/infiniservice/lock", "/var/lib/infiniservice/seq", "/var/log/infiniservice")
# Besides what the package is found to have added: places that others write to as well.
PLACES = ("/run/infiniservice*", "/run/systemd/system/infini*", "/run/systemd/transient/infini*", "/var/lib/systemd/*/*infiniservice*",
          "/var/lib/systemd/*/*/*infiniservice*", "/etc/systemd/system/*/infiniservice*")


def listed(guest, paths):
    """path -> (owner:group, mode, kind), our user and group under the name agent."""
    text = guest.sh("xargs -r -d '\\n' sh -c 'find \"$@\" -maxdepth 0 -printf \"%p\\t%u:%g\\t%m\\t%y\\n\" 2>/dev/null' sh || true",
                    30, "\n".join(sorted(paths)).encode())
    rows = (line.split("\t") for line in text.splitlines())
    return {path: (owner.replace("infiniservice", "agent"), mode, kind) for path, owner, mode, kind in rows}


def wrong_with(path, found):
    """None when it is as it should be."""
    for pattern, *wanted in RULES:
        if pattern.match(path):
            return None if list(found) == wanted else "%s is %s, not %s" % (path, found, wanted)
    return "not expected: %s %s" % (path, found)


def check_package_files(found):
    """What dpkg unpacked: nobody but root may change it."""
    for path, (owner, mode, kind) in found.items():
        assert owner == "root:root" and (kind == "l" or int(mode, 8) & 0o7022 == 0), (path, owner, mode, kind)
        assert kind != "f" or mode == ("755" if "/bin/" in path or "/sbin/" in path or "/libexec/" in path else "644"), (path, mode)


def check_files(guest, before=None, needed=NEEDED):
    """Every file that came since `before`, which is a set of paths; without one, those of the agent's own places."""
    unpacked = {path for path in guest.sh("dpkg -L infiniservice").splitlines() if not path.startswith("/etc")}
    check_package_files(listed(guest, {path for path in unpacked if "infini" in path}))
    mine = set(guest.sh("find /etc/infiniservice /var/lib/infiniservice /var/log/infiniservice").splitlines())
    mine |= set(guest.run("find %s 2>/dev/null" % " ".join(PLACES)).splitlines())
    if before is not None:
        unpacked |= {"/usr" + path for path in unpacked if path.startswith("/lib/")}  # where /lib is a link
        mine |= files(guest) - before - unpacked
    found = listed(guest, mine)
    wrong = [said for said in (wrong_with(path, what) for path, what in sorted(found.items())) if said]
    assert not wrong, wrong
    missing = [path for path in needed if path not in found]
    assert not missing, missing
