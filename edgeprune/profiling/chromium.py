"""Headless Chromium, driven over its debugging pipe: needs the browser and nothing else."""

from __future__ import annotations

import base64
import functools
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from ..errors import EdgepruneError

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
LEAVING = 5.0  # seconds it has to end
PROMISED = 60.0  # seconds the browser has for anything, where nobody says

# The browser reads commands from descriptor 3 and writes answers to 4.
LAUNCH = """
import fcntl, os, sys
reads, writes = (fcntl.fcntl(int(fd), fcntl.F_DUPFD, 10) for fd in sys.argv[1:3])
os.dup2(reads, 3)
os.dup2(writes, 4)
os.execvp(sys.argv[3], sys.argv[3:])
"""


class PageError(EdgepruneError):
    """What the browser or a script of the page complained about."""


def found() -> str | None:
    """The browser's path, or None."""
    return next((path for path in map(shutil.which, NAMES) if path), None)


class Page:
    """One page. `complaints` holds its console errors and uncaught exceptions, `requests` the addresses it asked for.

    `deadline` is of time.monotonic(): when the last answer must be there; without one every answer has a minute.
    """

    def __init__(self, send: int, receive: int, deadline: float | None = None) -> None:
        self._send, self._receive, self._rest, self._number, self._session = send, receive, b"", 0, ""
        self._deadline = deadline
        self.complaints: list[str] = []
        self.requests: list[str] = []
        self._loaded = False
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network", "Inspector"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """The answer to one command of the DevTools protocol. Raises PageError when the browser refuses it."""
        self._number += 1
        message: dict[str, Any] = {"id": self._number, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        data = json.dumps(message).encode() + b"\0"
        while data:
            try:
                data = data[os.write(self._send, data) :]
            except BrokenPipeError:
                raise PageError(f"the browser ended; it was asked for {method}") from None
        while True:
            answer = self._next(method)
            if answer.get("id") == self._number:
                if "error" in answer:
                    raise PageError(f"{method}: {answer['error']['message']}")
                return dict(answer["result"])

    def _next(self, waiting_for: str) -> dict[str, Any]:
        """The next message; what happened in the page meanwhile is noted."""
        began = time.monotonic()
        deadline = began + PROMISED if self._deadline is None else self._deadline
        while b"\0" not in self._rest:
            if not select.select([self._receive], [], [], max(0.0, deadline - time.monotonic()))[0]:
                waited = time.monotonic() - began
                raise PageError(f"the browser said nothing for {waited:.0f} s; it was asked for {waiting_for}; allow more time")
            more = os.read(self._receive, 1 << 20)
            if not more:
                raise PageError(f"the browser ended; it was asked for {waiting_for}")
            self._rest += more
        line, _, self._rest = self._rest.partition(b"\0")
        message: dict[str, Any] = json.loads(line)
        self._note(message.get("method"), message.get("params", {}))
        return message

    def _note(self, event: str | None, said: dict[str, Any]) -> None:
        if event == "Inspector.targetCrashed":
            raise PageError("the page crashed; it may have run out of memory")
        if event == "Runtime.exceptionThrown":
            details = said["exceptionDetails"]
            self.complaints.append(details.get("exception", {}).get("description", details["text"]))
        elif event == "Runtime.consoleAPICalled" and said["type"] in ("error", "warning", "assert"):
            self.complaints.append(" ".join(str(a.get("value", a.get("description"))) for a in said["args"]))
        elif event == "Log.entryAdded" and said["entry"]["level"] in ("error", "warning"):
            self.complaints.append(f"{said['entry']['text']} {said['entry'].get('url', '')}")
        elif event == "Network.requestWillBeSent":
            self.requests.append(said["request"]["url"])
        elif event == "Page.loadEventFired":
            self._loaded = True

    def go(self, address: str) -> None:
        """Opens the address and waits until everything it names is loaded."""
        self._loaded = False
        answer = self.call("Page.navigate", url=address)
        if "errorText" in answer:
            raise PageError(f"{address}: {answer['errorText']}")
        while not self._loaded:
            self._next(f"the end of loading {address}")

    def evaluate(self, expression: str) -> Any:
        """The value of a JavaScript expression, promises awaited. Raises PageError with what it threw."""
        answer = self.call("Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True)
        if "exceptionDetails" in answer:
            details = answer["exceptionDetails"]
            raise PageError(details.get("exception", {}).get("description", details["text"]))
        return answer["result"].get("value")

    def screenshot(self, path: Path) -> None:
        """The whole page as a .png, also what lies below the window."""
        data = self.call("Page.captureScreenshot", format="png", captureBeyondViewport=True)["data"]
        path.write_bytes(base64.b64decode(data))


@contextmanager
def page(browser: str | None = None, deadline: float | None = None) -> Iterator[Page]:
    """A page in a browser of its own, gone when the block ends with all that the browser has written.

    `browser` is its path, by default that of the first that is installed. Raises PageError where there is none, where it does not
    start, ends, crashes, or does not answer in time.
    """
    program = browser or found()
    if program is None:
        raise PageError(f"no browser found (looked for {', '.join(NAMES)}); install one: apt-get install chromium")
    if os.name != "posix":
        raise PageError("a browser is driven on Linux and macOS only")
    with _profile_folder() as own, tempfile.TemporaryFile("w+", errors="replace") as noise:
        process, send, receive = _started(program, own, noise)
        try:
            yield Page(send, receive, deadline)
        except PageError as error:
            if "the browser ended" not in str(error):
                raise
            words = _last_words(process, noise)
            raise PageError(f"{error}; {words}; is {program} a Chromium or Chrome that starts here?") from None
        finally:
            os.close(send)  # the end of its commands ends the browser
            os.close(receive)
            with suppress(subprocess.TimeoutExpired):
                process.wait(LEAVING)
            # Whatever it has started is in its session: a page in an endless loop may not have heard.
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


@contextmanager
def _profile_folder() -> Iterator[Path]:
    """A folder for all that the browser writes, its temporary files as well, gone afterwards."""
    # The path of a socket in it has to stay under a hundred characters.
    own = Path(tempfile.mkdtemp(dir=None if len(tempfile.gettempdir()) < 40 else "/tmp"))
    try:
        yield own
    finally:
        # The last of its processes may still write there while they end.
        end = time.monotonic() + LEAVING
        while own.exists() and time.monotonic() < end:
            shutil.rmtree(own, ignore_errors=True)
            time.sleep(0.02)


def _started(browser: str, own: Path, noise: Any) -> tuple[subprocess.Popen[bytes], int, int]:
    """(the browser, where its commands go, where its answers come from)."""
    theirs_in, ours_out = os.pipe()
    ours_in, theirs_out = os.pipe()
    options = [
        "--headless=new", "--remote-debugging-pipe", f"--user-data-dir={own}", "--no-first-run", "--disable-gpu",
        "--disable-background-networking", "--disable-component-update", "--disable-extensions", "--disable-sync",
        "--disable-dev-shm-usage", "--mute-audio",
        # Its sandbox does not start for root, as in a container; the pages are our own.
        *(["--no-sandbox"] if os.geteuid() == 0 else []),
    ]  # fmt: skip
    process = subprocess.Popen(
        [sys.executable, "-c", LAUNCH, str(theirs_in), str(theirs_out), browser, *options],
        pass_fds=(theirs_in, theirs_out), stdin=subprocess.DEVNULL, stdout=noise, stderr=noise, start_new_session=True,
        env=os.environ | {"TMPDIR": str(own)},
    )  # fmt: skip
    os.close(theirs_in)
    os.close(theirs_out)
    return process, ours_out, ours_in


def _last_words(process: subprocess.Popen[bytes], noise: Any) -> str:
    try:
        status = process.wait(5)
    except subprocess.TimeoutExpired:
        return "it still runs"
    noise.seek(0)
    said = [line.strip() for line in noise if line.strip()]
    died = f"it died of {signal.Signals(-status).name}" if status < 0 else f"its exit status is {status}"
    return f"{died}, it said: {said[-1][:200]}" if said else died


@contextmanager
def served(folder: Path, *, isolated: bool = False) -> Iterator[str]:
    """The address of a server of the folder, gone when the block ends.

    `isolated` keeps other sites out of the page's process, for which the browser gives it a finer clock.
    """
    handler = functools.partial(_Isolated if isolated else _Quiet, directory=str(folder))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *arguments: Any) -> None:
        pass


class _Isolated(_Quiet):
    def end_headers(self) -> None:
        self.send_header("Cross-Origin-Opener-Policy", "same-origin")
        self.send_header("Cross-Origin-Embedder-Policy", "require-corp")
        super().end_headers()
