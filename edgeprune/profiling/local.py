"""Runs the timing script in fresh processes, of this machine or of a device's shell."""

from __future__ import annotations

import contextlib
import json
import os
import queue
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

from ..errors import EdgepruneError

RUNNER = Path(__file__).with_name("runner.py")
# What the script and the one that times op by op need beside them.
DRIVERS = Path(__file__).with_name("drivers.py")
TIMING = Path(__file__).with_name("timing.py")


# One thread for the libraries that count the cores at import: `threads` says how many the model gets.
ENVIRONMENT = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "TF_CPP_MIN_LOG_LEVEL": "2"}


class Child:
    """A timing program at work on one model. Leaving the block ends it, whatever it is doing.

    `command` starts it from here; `explain` makes one line of its exit status and last words, where that needs more than these.
    """

    def __init__(
        self, model: Path, command: Sequence[str], deadline: float, explain: Callable[[int, str], str] | None = None
    ) -> None:
        self.model = model
        self.program = command[0]
        self.deadline = deadline
        self.allowed = deadline - time.monotonic()
        self._explain = explain or explained
        self._said: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._noise = tempfile.TemporaryFile("w+", errors="replace")  # noqa: SIM115  closed with the block
        try:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=self._noise,
                text=True,
                env=os.environ | ENVIRONMENT,
            )
        except OSError as error:
            self._noise.close()
            raise EdgepruneError(f"cannot start {command[0]}: {error.strerror}; name a Python interpreter") from None
        # A thread of its own, because a pipe cannot be read with a time limit everywhere.
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._said.put(line)
        self._said.put(None)

    def ask(self, line: str) -> None:
        assert self._process.stdin is not None
        with contextlib.suppress(OSError):  # it died; the next answer says of what
            self._process.stdin.write(line + "\n")
            self._process.stdin.flush()

    def finish(self) -> None:
        """No more questions."""
        assert self._process.stdin is not None
        with contextlib.suppress(OSError):
            self._process.stdin.close()

    def answer(self) -> dict[str, Any]:
        """Its next line. Raises EdgepruneError when it reports an error, dies, or runs past the time limit."""
        try:
            line = self._said.get(timeout=max(self.deadline - time.monotonic(), 0))
        except queue.Empty:
            limit = f"{self.allowed:.3g} s"
            raise EdgepruneError(f"profiling {self.model} took longer than {limit}; allow more time or fewer runs") from None
        if line is None:
            raise EdgepruneError(f"profiling {self.model} ended without an answer: {self._last_words()}")
        try:
            said = json.loads(line)
        except ValueError:
            raise EdgepruneError(f"profiling {self.model}: {self.program} answered {line.strip()[:80]!r}") from None
        if "error" in said:
            raise EdgepruneError(f"cannot profile {self.model}: {said['error']}")
        return dict(said)

    def _last_words(self) -> str:
        status = self._process.wait()
        self._noise.seek(0)
        return self._explain(status, self._noise.read())

    def __enter__(self) -> Child:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._process.kill()
        self._process.wait()
        self.finish()
        self._noise.close()


def explained(status: int, noise: str) -> str:
    """What became of a process of this machine, in a few words."""
    if status < 0:
        return f"the runtime died of {signal.Signals(-status).name}"
    said = [line for line in noise.split("\n") if line.strip()]
    return f"exit status {status}" + (f", {said[-1].strip()}" if said else "")


def command_here(model: Path, options: Sequence[str], python: str | os.PathLike[str] | None) -> list[str]:
    """Starts the script on this machine, in the given Python or else this one."""
    return [os.fspath(python) if python is not None else sys.executable, str(RUNNER), str(model), *options]
