"""The log of a run: what the progress says and every warning, in a file beside the results."""

from __future__ import annotations

import logging
import time
from pathlib import Path
from types import TracebackType
from typing import Protocol

from .pruning import Progress, Round


class Listener(Protocol):
    """What wants to hear of a run's progress; see `edgeprune.pruning.Progress`."""

    def phase(self, name: str) -> None: ...

    def round_started(self, number: int, rounds: int, kept: int) -> None: ...

    def epoch_finished(self, epoch: int, epochs: int, loss: float, accuracy: float | None) -> None: ...

    def round_finished(self, record: Round) -> None: ...


class RunLog(Progress):
    """Passes progress on and writes it down.

    Nothing is on disk before there is a result to explain (the first finished round, or a good end), so that a command that
    is refused leaves nothing behind.
    """

    def __init__(self, out: Path, name: str, progress: Listener | None = None) -> None:
        self.path = out / name
        self.warnings: list[str] = []
        self._passed_on: Listener = progress or Progress()
        self._lines: list[str] = []
        self._started = time.monotonic()
        self._handler = _Listener(self)

    def __enter__(self) -> RunLog:
        logging.getLogger("edgeprune").addHandler(self._handler)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        logging.getLogger("edgeprune").removeHandler(self._handler)
        if error is None:
            self.note("done")
            self._flush()
        elif self.path.exists():
            self.note(f"stopped: {kind.__name__ if kind else ''}: {error}")
            self._flush()

    def note(self, text: str) -> None:
        self._lines.append(f"{time.monotonic() - self._started:8.1f} s  {text}\n")

    def warn(self, text: str) -> None:
        self.note(f"warning: {text}")
        self.warnings.append(text)

    def phase(self, name: str) -> None:
        self.note(name)
        self._passed_on.phase(name)

    def round_started(self, number: int, rounds: int, kept: int) -> None:
        self.note(f"round {number} of {rounds}: keeping {kept:,} weights")
        self._passed_on.round_started(number, rounds, kept)

    def epoch_finished(self, epoch: int, epochs: int, loss: float, accuracy: float | None) -> None:
        seen = "" if accuracy is None else f", training accuracy {accuracy:.2%}"
        self.note(f"  epoch {epoch} of {epochs}: loss {loss:.4f}{seen}")
        self._passed_on.epoch_finished(epoch, epochs, loss, accuracy)

    def round_finished(self, record: Round) -> None:
        accuracy = "" if record.accuracy is None else f", test accuracy {record.accuracy:.2%}"
        self.note(f"  {record.kept:,} kept, {record.alive:,} alive{accuracy}, {record.seconds:.1f} s")
        self._flush()
        self._passed_on.round_finished(record)

    def _flush(self) -> None:
        if self._lines:
            with open(self.path, "a", encoding="utf-8") as file:
                file.writelines(self._lines)
            self._lines.clear()


class _Listener(logging.Handler):
    def __init__(self, log: RunLog) -> None:
        super().__init__(logging.WARNING)
        self._log = log

    def emit(self, record: logging.LogRecord) -> None:
        self._log.warn(record.getMessage())
