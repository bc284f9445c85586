# SPDX-License-Identifier: MIT
"""A guest that goes off for good reasons: shut down, or made the golden image of others. Both are answered first; what comes up again from
the image is another machine. Last of all by its name: what is lost here nobody else may need."""

import contextlib
import subprocess
import time
import uuid

from agent_guest import AgentPort, host, main_pid, port_is_open, schema
from guest import Timeout, wait_for
from stories import story
from story_actions_system import root_agent

CONFIG = "[commands]\nallow = observe control packages power\n"
DROP_IN = "/etc/infiniservice/conf.d/90-story.conf"
PLANTED = """mkdir -p /etc/ssh /home/tale/.cache/deep /home/tale/.ssh /var/log/apt /root/.ssh /var/lib/infiniservice
for type in ed25519 rsa; do echo host-secret >/etc/ssh/ssh_host_${type}_key; echo public >/etc/ssh/ssh_host_${type}_key.pub; done
echo Port 22 >/etc/ssh/sshd_config; echo authorized >/root/.ssh/authorized_keys; echo known >/root/.ssh/known_hosts
echo planted >/var/log/story.log; echo planted >/var/log/story.log.1; echo planted >/var/log/apt/story.log
echo planted >/tmp/story; echo planted >/var/tmp/story; echo planted >/home/tale/.bash_history; echo planted >/root/.bash_history
echo planted >/home/tale/.cache/deep/file; echo dear >/home/tale/letter; ln -sf /home/tale/letter /home/tale/.viminfo
echo %s >/etc/infiniservice/secret; chmod 600 /etc/infiniservice/secret; echo planted >/var/lib/infiniservice/story
echo planted >/var/lib/systemd/random-seed; echo kept >/etc/story-kept""" % ("5" * 64)
KEPT = ["/etc/ssh/sshd_config", "/root/.ssh/authorized_keys", "/home/tale/letter", "/etc/story-kept", "/var/log/story.log"]
GONE = ["/etc/ssh/ssh_host_ed25519_key", "/etc/ssh/ssh_host_ed25519_key.pub", "/etc/ssh/ssh_host_rsa_key", "/etc/infiniservice/secret",
        "/var/log/story.log.1", "/tmp/story", "/var/tmp/story", "/root/.bash_history", "/root/.ssh/known_hosts", "/var/lib/infiniservice/story"]
OF_USERS = ["/home/tale/.bash_history", "/home/tale/.cache/deep/file"]


def connect(guest):
    time.sleep(max(0, AgentPort.last_left + 1.2 - time.monotonic()))
    port = AgentPort(guest.path("port1"), 15)
    port.expect("handshake", 20)
    return port


def allow(guest):
    guest.put(DROP_IN, CONFIG)
    guest.sh("systemctl start infiniservice-exec.socket; systemctl reload infiniservice")


def restore(guest):
    guest.run("systemctl stop infiniservice-exec.socket infiniservice-exec.service; rm -f %s; systemctl reload infiniservice" % DROP_IN, 30)


def goes_off(guest, limit_s=180):
    """QEMU ends, and says that it was not to begin anew."""
    assert guest.monitor.wait_event("SHUTDOWN", limit_s)["data"]["reason"] == "guest-shutdown"
    try:
        guest.process.wait(30)
    except subprocess.TimeoutExpired:
        raise Timeout("the guest did not go off; it said last: " + guest.serial()[-500:]) from None
    guest.kill()


def there(guest, paths):
    """Which of them are there: as something, be it a link that leads nowhere."""
    return guest.sh("for f in %s; do test -e $f -o -L $f && echo $f; done; true" % " ".join(paths)).split()


@story(limit_s=300)
def a_shutdown_is_answered_before_it_happens(guest):
    boot_id = guest.sh("cat /proc/sys/kernel/random/boot_id")
    allow(guest)
    assert guest.sh("ps -o user= -p %d" % main_pid(guest)).startswith("infini"), "it has no rights of its own"
    port = connect(guest)
    try:
        begin = time.monotonic()
        answer = port.ask("ShutdownSystem", "off", 30, delay_s=4, force=False)
        assert answer["success"] and answer["data"]["action"] == "shutdown" and answer["data"]["delay_s"] == 4, answer
        schema.check_data("ShutdownSystem", answer["data"])
        assert time.monotonic() - begin < 3
        second = port.ask("RebootSystem", "second", 30)
        assert second["error_code"] == "COMMAND_FAILED" and second["reason"] == "pending", second
        assert guest.sh("cat /proc/sys/kernel/random/boot_id") == boot_id, "it is still up when the answer is here"
    finally:
        port.close()
    goes_off(guest)
    guest.start(150)
    restore(guest)
    assert guest.sh("cat /proc/sys/kernel/random/boot_id") != boot_id
    with host(guest, 60) as port:
        port.keep_alive(1, 30)
        late = port.drain(0.5)
        assert not [m for m in port.seen + late if m.get("id") == "off"], late


def derived_id(guest):
    """What an agent that cannot read the machine's hardware, nor the copy made for it, calls this guest: from /etc/machine-id."""
    hidden = ("/sys/class/dmi", "/sys/devices/virtual/dmi", "/run/infiniservice-root")
    with root_agent(guest, *["--property=InaccessiblePaths=-" + path for path in hidden]) as port:
        status = port.ask("Status", "who")["data"]
        assert status["vm_id_source"] == "machine-id", status["vm_id_source"]
        return status


@story(limit_s=420)
def a_golden_image_has_lost_its_identity_and_gets_another(guest):
    old_id, old_status = guest.sh("cat /etc/machine-id"), derived_id(guest)
    allow(guest)
    guest.sh(PLANTED)
    port = connect(guest)
    try:
        tried = port.ask("PrepareGoldenImage", "dry", 120, dry_run=True, sanitize_user_data=True)
        assert set(GONE + OF_USERS) <= set(tried["data"]["cleaned_items"]), set(GONE + OF_USERS) - set(tried["data"]["cleaned_items"])
        assert there(guest, GONE + OF_USERS) == GONE + OF_USERS
        stays = port.ask("PrepareGoldenImage", "users stay", 120, cleanup_level="basic", shutdown_after=False)
        assert stays["success"] and stays["data"]["shutdown_scheduled"] is False, stays
        assert there(guest, GONE) == [] and there(guest, OF_USERS) == OF_USERS, "the data of users was not asked for"
        # The image is closed already: what the host was granted is gone from the configuration, which the executor reads itself.
        assert {"file": DROP_IN, "what": "commands.allow"} in stays["data"]["grants"], stays["data"]["grants"]
        assert "allow" not in guest.sh("cat %s" % DROP_IN), "the line is taken out"
        refused = port.ask("PrepareGoldenImage", "closed", 120)
        assert refused["error_code"] == "POLICY_DENIED", refused
        allow(guest)
        guest.sh(PLANTED)
        begin = time.monotonic()
        answer = port.ask("PrepareGoldenImage", "golden", 600, cleanup_level="full", sanitize_user_data=True, shutdown_after=True)
        schema.check_data("PrepareGoldenImage", answer["data"])
        assert answer["success"] and answer["data"]["shutdown_scheduled"] is True and time.monotonic() - begin < 120, answer
        assert guest.sh("cat /etc/machine-id") == "", "still up when it is answered, and nobody any more"
        assert there(guest, GONE + OF_USERS) == []
        assert guest.sh("cat /var/log/story.log /var/log/apt/story.log") == "", "logs in use are emptied"
        assert guest.sh("cat /home/tale/letter /etc/story-kept") == "dear\nkept"
    finally:
        with contextlib.suppress(OSError):
            port.close()
    goes_off(guest)
    # What is made from an image has a UUID of its own, and systemd makes a virtual machine's machine-id of that.
    guest.uuid = str(uuid.uuid4())
    guest.start(200)
    try:
        new_id = guest.sh("cat /etc/machine-id")
        assert len(new_id) == 32 and new_id != old_id and int(new_id, 16), (old_id, new_id)
        assert there(guest, KEPT) == KEPT and there(guest, [path for path in GONE if path.startswith(("/etc", "/root", "/var/log"))]) == []
        wait_for(lambda: port_is_open(guest), 20, 0.2, "the agent of the new machine opens its port")
        port = connect(guest)
        assert port.ask("Status", "whose")["data"]["vm_id"] == guest.uuid, "nothing of the image names it"
        assert port.ask("SystemInfo", "alive")["success"]
        assert port.ask("ServiceControl", "closed", service="dbus", operation="restart")["error_code"] == "POLICY_DENIED"
        port.close()
        new_status = derived_id(guest)
        assert new_status["vm_id"] != old_status["vm_id"], (old_status["vm_id"], new_status["vm_id"])
    finally:
        restore(guest)
        guest.run("rm -rf /home/tale /etc/story-kept /etc/ssh/sshd_config /root/.ssh /var/log/story.log /var/log/apt/story.log")
