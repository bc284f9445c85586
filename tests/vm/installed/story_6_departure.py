# SPDX-License-Identifier: MIT
"""The package is removed, comes again, outlives a reboot, and goes without a trace."""

from agent_guest import AGENT_NODE, host, port_is_open
from guest import wait_for
from package_guest import LOG, dpkg, install, is_active, more_samples, numbers, samples, story
from stories import story as bare
from story_1_arrival import nothing_is_left, there


@story(limit_s=60)
def removed_it_stops_and_keeps_what_it_logged(guest):
    guest.sh("systemctl enable --now infiniservice-exec.socket 2>&1")
    logged = guest.sh("ls " + LOG)
    dpkg(guest, "--remove infiniservice")
    assert not guest.run("pgrep -a infiniservice")
    assert guest.sh("ls " + LOG) == logged and logged
    assert guest.sh("stat -L -c '%%U %%a' %s" % AGENT_NODE) == "root 600"
    assert guest.run("ls -d /run/infiniservice* 2>/dev/null") == ""
    assert guest.sh("systemctl list-units --plain --no-legend 'infiniservice*'") == ""


@bare(limit_s=60)
def installed_again_it_goes_on_with_its_log_and_leaves_the_executor_off(guest):
    if guest.run("test -e " + LOG).status != 0:
        install(guest)  # told alone
        more_samples(guest)
    # The program that reads it is gone with the package.
    last = int(guest.sh("cat %s/*.ndjson | grep '^{\"type\":\"metrics\"' | tail -n 1 | sed 's/^{[^{]*\"seq\":\\([0-9]*\\),.*/\\1/'" % LOG))
    install(guest)
    with host(guest) as port:
        port.keep_alive(4)
    guest.wait("grep -q '\"seq\":%d,' %s/*.ndjson" % (last + 1, LOG), 5)
    assert samples(guest)[-1][0] > last and is_active(guest)
    assert guest.sh("systemctl is-enabled infiniservice-exec.socket || true") == "disabled"
    assert not is_active(guest, "infiniservice-exec.socket")


@story(limit_s=150)
def after_a_reboot_it_runs_and_so_does_an_executor_that_was_switched_on(guest):
    last = max(numbers(guest))
    guest.sh("systemctl enable --now infiniservice-exec.socket 2>&1")
    guest.put("/etc/infiniservice/conf.d/80-story.conf", "[commands]\nallow_unsafe = yes\nrun_as = root\n")
    guest.shutdown()
    guest.start(120)
    wait_for(lambda: port_is_open(guest), 15, 0.2, "the agent opens its port")
    with host(guest) as port:
        port.keep_alive(5)
        assert port.execute("id -u", "root")["stdout"] == "0\n"
    assert guest.sh("systemctl --failed --plain --no-legend") == ""
    said = guest.sh("journalctl -b -u infiniservice --no-pager -o cat")
    assert "Permission denied" not in said, said  # the port is root's when it comes, and is handed over
    assert max(numbers(guest)) > last
    guest.sh("systemctl disable --now infiniservice-exec.socket infiniservice-exec.service 2>&1; rm /etc/infiniservice/conf.d/80-story.conf")


@story(limit_s=60)
def purged_at_last_nothing_is_left(guest):
    dpkg(guest, "--purge infiniservice")
    if there:
        nothing_is_left(guest)
