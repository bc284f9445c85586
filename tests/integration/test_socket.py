#!/usr/bin/python3
# SPDX-License-Identifier: MIT
"""The local socket: for whom it is, how many it serves, how many of one user."""
import grp
import os
import signal
import socket
import stat
import time

import tap
from fakehost import Agent, wait_until
from localclient import LocalClient

NOBODY = 65534


def mode_of(path):
    return stat.S_IMODE(os.lstat(path).st_mode)


def started(**settings):
    agent = tap.keep(Agent(settings={key.replace("__", "."): value for key, value in settings.items()}))
    tap.keep(LocalClient(agent)).status()
    return agent


def connected_as(agent, uid):
    """A connection whose other end the agent sees as that user's."""
    client = tap.keep(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM))
    os.seteuid(uid)
    try:
        client.connect(agent.settings["socket.path"])
    finally:
        os.seteuid(0)
    client.settimeout(10)
    return client


def is_served(client):
    try:
        client.sendall(b'{"type":"Status","id":"served"}\n')
        return b'"served"' in client.recv(1 << 16)
    except (ConnectionResetError, BrokenPipeError):
        return False


def story_without_a_group_the_socket_is_for_its_user_alone():
    agent = started(socket__group="")
    assert mode_of(agent.settings["socket.path"]) == 0o600, oct(mode_of(agent.settings["socket.path"]))


def story_with_a_group_the_socket_is_for_that_group_and_nobody_else():
    own = grp.getgrgid(os.getegid()).gr_name
    agent = started(socket__group=own)
    assert mode_of(agent.settings["socket.path"]) == 0o660, oct(mode_of(agent.settings["socket.path"]))
    assert os.stat(agent.settings["socket.path"]).st_gid == os.getegid()


def story_with_an_unknown_group_the_socket_is_for_its_user_alone_and_that_is_said():
    agent = started(socket__group="no-such-group")
    assert mode_of(agent.settings["socket.path"]) == 0o600
    assert "socket.group: no group 'no-such-group'" in agent.stderr()


def story_a_client_too_many_is_refused_and_one_that_leaves_makes_room():
    agent = tap.keep(Agent(settings={"socket.max_clients": 3, "socket.group": ""}))
    first = tap.keep(LocalClient(agent))
    others = [tap.keep(LocalClient(agent)) for _ in range(2)]
    for client in [first, *others]:
        client.status()
    refused = tap.keep(LocalClient(agent))
    assert not is_served(refused.socket)
    assert first.status()["local"]["refused"] == 1, first.status()["local"]
    others[0].socket.close()
    wait_until(lambda: first.status()["local"]["clients"] == 2, 5, "the agent to see that a client left")
    assert is_served(tap.keep(LocalClient(agent)).socket)


def story_one_user_has_a_bounded_number_of_clients_and_root_is_not_counted():
    tap.need_root()
    agent = tap.keep(Agent(settings={"socket.max_per_user": 2, "socket.group": ""}))
    os.chmod(agent.directory, 0o755)
    own = tap.keep(LocalClient(agent))
    own.status()
    os.chmod(agent.settings["socket.path"], 0o666)
    assert all(is_served(connected_as(agent, NOBODY)) for _ in range(2))
    assert not is_served(connected_as(agent, NOBODY))
    assert is_served(connected_as(agent, NOBODY - 1))
    assert all(is_served(connected_as(agent, 0)) for _ in range(4))


def story_what_only_a_start_can_change_keeps_its_value_over_a_reload_and_is_named():
    agent = tap.keep(Agent(settings={"socket.group": ""}))
    client = tap.keep(LocalClient(agent))
    client.status()
    fixed = {"port": {"queue_bytes": "1M", "max_line_bytes": "65536"}, "log": {"segment_bytes": "128K", "max_total_bytes": "1M", "sync": "none"},
             "commands": {"executor_socket": "/run/another.sock"}}
    agent.write_config("".join(f"[{section}]\n" + "".join(f"{key} = {value}\n" for key, value in keys.items())
                               for section, keys in fixed.items()) + "[timers]\nhealth_interval_ms = 12345\n")
    agent.process.send_signal(signal.SIGHUP)
    wait_until(lambda: "configuration reloaded" in agent.stderr(), 5, "the reload")
    for section, keys in fixed.items():
        for key in keys:
            assert f"{section}.{key} takes effect at the next start" in agent.stderr(), (section, key, agent.stderr())
    assert "health_interval_ms takes effect" not in agent.stderr()
    client.status()


def story_a_reload_that_names_another_socket_or_folder_moves_nothing():
    agent = Agent()
    del agent.settings["socket.path"]
    agent.write_config(f"[socket]\npath = {agent.path('a.sock')}\ngroup =\n")
    tap.keep(agent)
    wait_until(lambda: os.path.exists(agent.path("a.sock")), 5, "the socket")
    agent.write_config(f"[socket]\npath = {agent.path('b.sock')}\ngroup =\n")
    agent.process.send_signal(signal.SIGHUP)
    wait_until(lambda: "socket.path takes effect at the next start" in agent.stderr(), 5, "the warning")
    time.sleep(0.2)
    assert os.path.exists(agent.path("a.sock")) and not os.path.exists(agent.path("b.sock"))


tap.main(globals())
