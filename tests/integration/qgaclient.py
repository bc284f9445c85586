# SPDX-License-Identifier: MIT
"""A host that speaks the QEMU guest agent's language over a unix socket, as libvirt and Proxmox do."""
import json
import socket
import time

from fakehost import SLOW, wait_until


class Client:
    """One connection to the socket of a guest agent."""

    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC)
        self.socket.settimeout(5 * SLOW)
        wait_until(lambda: self.socket.connect_ex(path) == 0, what=f"a listener at {path}")
        self.data = b""

    def write(self, data):
        self.socket.sendall(data if isinstance(data, bytes) else json.dumps(data).encode())

    def line(self, timeout=5.0):
        """The next line as bytes, without its newline."""
        end = time.monotonic() + timeout * SLOW
        while b"\n" not in self.data:
            self.socket.settimeout(max(0.001, end - time.monotonic()))
            more = self.socket.recv(1 << 16)
            assert more, f"the agent hung up; it had said {self.data!r}"
            self.data += more
        line, _, self.data = self.data.partition(b"\n")
        return line

    def answer(self, timeout=5.0):
        return json.loads(self.line(timeout))

    def quiet(self, seconds=0.3):
        """Nothing comes."""
        self.socket.settimeout(seconds * SLOW)
        try:
            self.data += self.socket.recv(1 << 16)
        except socket.timeout:
            pass
        assert not self.data, f"said unasked: {self.data!r}"

    def ask(self, command, arguments=None, **members):
        request = {"execute": command, **members}
        if arguments is not None:
            request["arguments"] = arguments
        self.write(request)
        return self.answer()

    def ok(self, command, arguments=None):
        answer = self.ask(command, arguments)
        assert "return" in answer, answer
        return answer["return"]

    def error(self, command, arguments=None):
        answer = self.ask(command, arguments)
        assert list(answer) == ["error"], answer
        return answer["error"]["class"], answer["error"]["desc"]

    def close(self):
        self.socket.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
