"""Headless Chromium, driven over its debugging pipe: what a page asks for, complains about, and looks like."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import shutil
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
LIMIT = 60.0


def find_chromium() -> str | None:
    return next((found for name in NAMES if (found := shutil.which(name))), None)


@dataclass
class Seen:
    """A page once it has loaded."""

    requests: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)
    width: int = 0  # that the content takes
    height: int = 0
    picture: bytes = b""
    ink: tuple[str, str] = ("", "")  # colour of the text and of the paper


class Chromium:
    """One browser for several pages. Messages go through two pipes, each ended by a zero byte."""

    def __init__(self, program: str, own: Path) -> None:
        their_in, self._out = os.pipe()
        self._in, their_out = os.pipe()
        # Chromium reads from 3 and writes to 4; a shell puts them there, whatever numbers they have here.
        script = f'exec "$0" "$@" 3<&{their_in} 4>&{their_out}'
        options = ["--headless=new", "--no-sandbox", "--disable-gpu", "--remote-debugging-pipe", f"--user-data-dir={own}"]
        quiet = ["--no-first-run", "--disable-extensions", "--disable-background-networking", "--disable-dev-shm-usage"]
        self._process = subprocess.Popen(
            ["bash", "-c", script, program, *options, *quiet, "about:blank"],
            pass_fds=(their_in, their_out), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        os.close(their_in)
        os.close(their_out)
        self._number = 0
        self._rest = b""
        self._session: str | None = None
        self.events: list[dict[str, Any]] = []

    def __enter__(self) -> Chromium:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._session = None
        with contextlib.suppress(OSError, TimeoutError):
            self.call("Browser.close")
            self._process.wait(10)
        self._process.kill()
        self._process.wait()
        os.close(self._in)
        os.close(self._out)

    def _next(self) -> dict[str, Any]:
        while b"\0" not in self._rest:
            part = os.read(self._in, 2**16)
            if not part:
                raise OSError("chromium ended")
            self._rest += part
        message, _, self._rest = self._rest.partition(b"\0")
        return dict(json.loads(message))

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._out, json.dumps(message).encode() + b"\0")
        end = time.monotonic() + LIMIT
        while time.monotonic() < end:
            said = self._next()
            if said.get("id") == self._number:
                if "error" in said:
                    raise OSError(f"{method}: {said['error']}")
                return dict(said["result"])
            self.events.append(said)
        raise TimeoutError(method)

    def evaluate(self, expression: str) -> Any:
        return self.call("Runtime.evaluate", expression=expression, returnByValue=True)["result"].get("value")

    def open(self, page: Path, width: int, *, dark: bool = False, height: int = 900) -> Seen:
        self._session = None
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Network", "Runtime", "Log"):
            self.call(f"{domain}.enable")
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 600)
        look = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
        self.call("Emulation.setEmulatedMedia", features=look)
        self.events.clear()
        self.call("Page.navigate", url=page.absolute().as_uri())
        end = time.monotonic() + LIMIT
        while self.evaluate("document.readyState") != "complete" and time.monotonic() < end:
            time.sleep(0.02)
        seen = Seen()
        seen.width, seen.height = self.evaluate("[document.documentElement.scrollWidth, document.documentElement.scrollHeight]")
        colours = "(s => [s.color, s.backgroundColor])(getComputedStyle(document.body))"
        ink, paper = self.evaluate(colours)
        seen.ink = (ink, paper)
        shot = self.call("Page.captureScreenshot", captureBeyondViewport=True)
        seen.picture = base64.b64decode(shot["data"])
        for event in self.events:
            given = event.get("params", {})
            if event.get("method") == "Network.requestWillBeSent":
                seen.requests.append(given["request"]["url"])
            if event.get("method") == "Log.entryAdded":
                seen.complaints.append(f"{given['entry']['level']}: {given['entry']['text']}")
            if event.get("method") in ("Runtime.consoleAPICalled", "Runtime.exceptionThrown"):
                seen.complaints.append(json.dumps(given)[:300])
        return seen
