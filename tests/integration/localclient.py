# SPDX-License-Identifier: MIT
"""A client of the agent's local socket, as a Channel."""
import socket

from fakehost import Channel, wait_until


class LocalClient(Channel):
    def __init__(self, agent, receive_bytes=None):
        super().__init__()
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        if receive_bytes:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
        path = agent.settings["socket.path"]
        wait_until(lambda: self._connect(path), 5, "the local socket")
        self.fd = self.socket.fileno()

    def _connect(self, path):
        try:
            self.socket.connect(path)
        except (FileNotFoundError, ConnectionRefusedError):
            return False
        return True

    def _read(self, size):
        try:
            return self.socket.recv(size)
        except ConnectionResetError:
            return b""

    def _write(self, data):
        return self.socket.send(data)

    def status(self):
        command_id = self.new_id()
        self.send({"type": "Status", "id": command_id})
        return self.response(command_id)["data"]

    def subscribe(self, *topics, interval_ms=None):
        command_id = self.new_id()
        message = {"type": "Subscribe", "id": command_id, "topics": list(topics)}
        if interval_ms is not None:
            message["interval_ms"] = interval_ms
        self.send(message)
        return self.response(command_id)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()
