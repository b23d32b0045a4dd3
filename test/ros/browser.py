# SPDX-License-Identifier: Apache-2.0
"""Headless Chromium over its DevTools protocol: look at a page, type, press, take a picture."""
from __future__ import annotations

import base64
import io
import json
import os
import shutil
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from websockets.sync.client import connect

PROGRAM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))),
               "")
FLAGS = ("--headless=new", "--no-sandbox", "--disable-gpu-sandbox", "--use-angle=swiftshader",
         "--enable-unsafe-swiftshader", "--hide-scrollbars", "--no-first-run",
         "--disable-dev-shm-usage", "--remote-debugging-port=0", "--window-size=960,640")


class Tab:
    """One page."""

    def __init__(self, address: str) -> None:
        self._socket = connect(address, max_size=None)
        self._number = 0
        self.errors: list[str] = []
        for domain in ("Page", "Runtime"):
            self._call(f"{domain}.enable")

    def _call(self, method: str, **parameters: Any) -> Any:
        self._number += 1
        self._socket.send(json.dumps({"id": self._number, "method": method,
                                      "params": parameters}))
        while True:
            message = json.loads(self._socket.recv(120.0))
            if message.get("method") == "Runtime.exceptionThrown":
                self.errors.append(str(message["params"]["exceptionDetails"]))
            if message.get("id") == self._number:
                assert "error" not in message, message
                return message["result"]

    def open(self, url: str) -> None:
        self._call("Page.navigate", url=url)

    def run(self, script: str) -> Any:
        """The value of a JavaScript expression."""
        answer = self._call("Runtime.evaluate", expression=script, returnByValue=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def reads(self, words: str, seconds: float = 60.0) -> None:
        """Wait until these words are on the page."""
        self.until(f"document.body?.innerText.includes({json.dumps(words)})", seconds)

    def until(self, script: str, seconds: float = 60.0) -> None:
        """Wait for an expression to become true."""
        limit = time.monotonic() + seconds
        while not self.run(script):
            assert time.monotonic() < limit, (script, self.run("document.body?.innerText"))
            time.sleep(0.2)

    def _click(self, element: str, right: float = 0.0) -> None:
        """A person's click in the middle of what a JavaScript expression finds, or beside it."""
        x, y = self.run(f"(() => {{ const r = ({element}).getBoundingClientRect(); "
                        "return [r.x + r.width / 2, r.y + r.height / 2]; })()")
        for kind in ("mousePressed", "mouseReleased"):
            self._call("Input.dispatchMouseEvent", type=kind, x=x + right, y=y, button="left",
                       clickCount=1)

    def press(self, words: str) -> None:
        """Click the button with these words."""
        self._click("[...document.querySelectorAll('button')].find(b => "
                    f"b.innerText.trim() === {json.dumps(words)})")

    def write(self, label: str, words: str) -> None:
        """Type into the text field to the right of this label."""
        self._click("[...document.querySelectorAll('label')].find(l => "
                    f"l.innerText.trim() === {json.dumps(label)})", right=160.0)
        self._call("Input.insertText", text=words)

    def picture(self) -> np.ndarray:
        """(H, W, 3) uint8 of what is on the screen."""
        data = self._call("Page.captureScreenshot", format="png")["data"]
        return np.asarray(Image.open(io.BytesIO(base64.b64decode(data))).convert("RGB"))

    def close(self) -> None:
        self._socket.close()


@contextmanager
def browser(profile: Path) -> Iterator[Tab]:
    """A browser with one empty page; it ends with the block."""
    env = {k: v for k, v in os.environ.items() if k != "LD_LIBRARY_PATH"}
    process = subprocess.Popen([PROGRAM, *FLAGS, f"--user-data-dir={profile}", "about:blank"],
                               env=env, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        port = profile / "DevToolsActivePort"
        limit = time.monotonic() + 60.0
        while not (port.is_file() and port.read_text().strip()):
            assert time.monotonic() < limit and process.poll() is None, "Chromium did not start"
            time.sleep(0.1)
        at = f"http://127.0.0.1:{port.read_text().split()[0]}/json/list"
        with urllib.request.urlopen(at, timeout=30) as answer:
            pages = [t for t in json.load(answer) if t["type"] == "page"]
        tab = Tab(pages[0]["webSocketDebuggerUrl"])
        try:
            yield tab
        finally:
            tab.close()
    finally:
        process.terminate()
        try:
            process.wait(10.0)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
