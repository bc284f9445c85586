# SPDX-License-Identifier: MIT
"""A headless Chromium that a test drives through its debugging pipe (Chrome DevTools Protocol, JSON between NUL bytes on descriptors 3 and 4), and
what it complained of on its console."""
import base64
import json
import os
import select
import shutil
import subprocess
import sys
import tempfile
import time

import tap
from fakehost import SLOW, wait_until

# The ends of its pipes are 3 and 4: away from there first, where one of them may be.
TAKE_PLACES = "import fcntl, os, sys; ends = [fcntl.fcntl(int(end), fcntl.F_DUPFD, 10) for end in sys.argv[1:3]]; os.dup2(ends[0], 3); os.dup2(ends[1], 4); os.execv(sys.argv[3], sys.argv[3:])"


class Browser:
    """A page, in a process and a folder of its own. `complaints` is what was said on the console or thrown, and what could not be loaded."""

    def __init__(self, width=1280, height=800):
        program = shutil.which("chromium")
        if not program:
            raise tap.Skip("chromium is not here (tools/deps.sh test)")
        self.folder = tempfile.mkdtemp(prefix="infini-browser-")
        command_r, self.to = os.pipe()
        self.fro, answer_w = os.pipe()

        self.log = open(os.path.join(self.folder, "log"), "wb")  # pylint: disable=consider-using-with
        self.process = subprocess.Popen(  # pylint: disable=consider-using-with
            [sys.executable, "-c", TAKE_PLACES, str(command_r), str(answer_w), program, "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run", "--disable-background-networking",
             "--disable-component-update", "--remote-debugging-pipe", "--user-data-dir=" + self.folder, "--window-size=%d,%d" % (width, height), "about:blank"],
            stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log, pass_fds=(command_r, answer_w), env={**os.environ, "HOME": self.folder})
        os.close(command_r)
        os.close(answer_w)
        self.buffer = b""
        self.asked = 0
        self.complaints = []
        self.session = None
        pages = wait_until(lambda: [target for target in self.call("Target.getTargets")["targetInfos"] if target["type"] == "page"], 240, "the browser's page")
        self.session = self.call("Target.attachToTarget", targetId=pages[0]["targetId"], flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log"):
            self.call(domain + ".enable")

    def _next(self, end):
        while b"\0" not in self.buffer:
            if not select.select([self.fro], [], [], max(0, end - time.monotonic()))[0]:
                raise AssertionError("the browser did not answer in time: " + self.told())
            data = os.read(self.fro, 1 << 16)
            assert data, "the browser has ended: " + self.told()
            self.buffer += data
        text, self.buffer = self.buffer.split(b"\0", 1)
        return json.loads(text)

    def _note(self, message):
        method, parameters = message.get("method"), message.get("params", {})
        if method == "Runtime.consoleAPICalled":
            self.complaints.append(" ".join(str(value.get("value", value.get("description"))) for value in parameters["args"]))
        elif method == "Runtime.exceptionThrown":
            self.complaints.append(json.dumps(parameters["exceptionDetails"])[:500])
        elif method == "Log.entryAdded":
            self.complaints.append(parameters["entry"]["text"] + " " + parameters["entry"].get("url", ""))

    def call(self, method, timeout=240, **parameters):
        self.asked += 1
        message = {"id": self.asked, "method": method, "params": parameters}
        if self.session:
            message["sessionId"] = self.session
        os.write(self.to, json.dumps(message).encode() + b"\0")
        end = time.monotonic() + timeout * SLOW
        while True:
            answer = self._next(end)
            if answer.get("id") != self.asked:
                self._note(answer)
                continue
            assert "error" not in answer, (method, answer["error"])
            return answer["result"]

    def told(self):
        with open(os.path.join(self.folder, "log"), encoding="utf-8", errors="replace") as file:
            return file.read()[-2000:]

    def open(self, url):
        self.call("Page.navigate", url=url)

    def run(self, script):
        """The value of an expression in the page."""
        done = self.call("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in done, (script, done["exceptionDetails"])
        return done["result"].get("value")

    def wait(self, script, what=None, timeout=240):
        return wait_until(lambda: self.run(script), timeout, what or script, 0.05)

    def press(self, key, text=None):
        codes = {"Enter": 13, "Escape": 27, "ArrowUp": 38, "ArrowDown": 40, "Tab": 9}
        what = {"key": key, "windowsVirtualKeyCode": codes.get(key, ord(key[0].upper()))}
        if key == "Enter":
            text = "\r"
        elif len(key) == 1:
            text = key
        self.call("Input.dispatchKeyEvent", type="keyDown", **what, **({"text": text} if text else {}))
        self.call("Input.dispatchKeyEvent", type="keyUp", **what)

    def type(self, text):
        self.call("Input.insertText", text=text)

    def look(self, path, width=1280, height=800, dark=False, mobile=False):
        """A picture of the page at this size."""
        self.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}])
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=mobile)
        with open(path, "wb") as file:
            file.write(base64.b64decode(self.call("Page.captureScreenshot", format="png")["data"]))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        os.close(self.to)
        os.close(self.fro)
        self.log.close()
        shutil.rmtree(self.folder, ignore_errors=True)
