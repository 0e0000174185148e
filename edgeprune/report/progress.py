"""How a pruning run is shown while it runs: a live line on a terminal, a plain line a round elsewhere, nothing when quiet."""

from __future__ import annotations

import sys
from types import TracebackType
from typing import IO, Protocol

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from . import words


class RoundRecord(Protocol):
    """What a finished round left."""

    @property
    def kept(self) -> int: ...
    @property
    def alive(self) -> int: ...
    @property
    def accuracy(self) -> float | None: ...
    @property
    def seconds(self) -> float: ...


class Silent:
    """Shows nothing. The others override what they show; all are context managers."""

    def phase(self, name: str) -> None:
        """What is being done now."""

    def round_started(self, number: int, rounds: int, kept: int) -> None:
        """Round `number` of `rounds`, from 1, cuts down to `kept` weights."""

    def epoch_finished(self, epoch: int, epochs: int, loss: float, accuracy: float | None) -> None:
        """Epoch `epoch` of `epochs`, from 1, with its mean loss and its accuracy while training."""

    def round_finished(self, record: RoundRecord) -> None:
        """The round is done."""

    def __enter__(self) -> Silent:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        pass


class Lines(Silent):
    """One plain line for each finished round."""

    def __init__(self, stream: IO[str]) -> None:
        self.stream = stream
        self.number = self.rounds = 0
        self.spent: list[float] = []

    def round_started(self, number: int, rounds: int, kept: int) -> None:
        self.number, self.rounds = number, rounds

    def round_finished(self, record: RoundRecord) -> None:
        self.spent.append(record.seconds)
        left = (self.rounds - self.number) * sum(self.spent) / len(self.spent)
        remaining = f", about {words.seconds(left)} left" if left else ""
        self.stream.write(_round_line(self.number, self.rounds, record) + remaining + "\n")
        self.stream.flush()


class Live(Silent):
    """A bar over all rounds with the phase, the accuracy and the time that remains, and a line above it per finished round."""

    def __init__(self, console: Console) -> None:
        self.number = self.rounds = 0
        self.epoch_text = ""
        self.bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            TextColumn("{task.percentage:>3.0f} %"),
            TextColumn("{task.fields[accuracy]}"),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            console=console,
            transient=True,
            # Long enough for a round to be inside, so that the estimate does not swing between its fast and slow parts.
            speed_estimate_period=600,
        )
        self.task: TaskID | None = None

    def _update(self, what: str, completed: float | None = None, accuracy: str | None = None) -> None:
        text = f"round {self.number}/{self.rounds}: {what}" if self.rounds else what
        if self.task is None:
            self.task = self.bar.add_task(text, total=None, accuracy="")
        # The first step of a bar does not count for its speed, so the rounds that a resumed run skips do no harm.
        self.bar.update(self.task, description=text, completed=completed, total=self.rounds or None)
        if accuracy is not None:
            self.bar.update(self.task, accuracy=accuracy)

    def phase(self, name: str) -> None:
        self._update(name)

    def round_started(self, number: int, rounds: int, kept: int) -> None:
        self.number, self.rounds = number, rounds
        self._update(f"{kept:,} weights", completed=number - 1)

    def epoch_finished(self, epoch: int, epochs: int, loss: float, accuracy: float | None) -> None:
        # A round ends with measuring: the last bit of it is left for that.
        done = self.number - 1 + 0.98 * epoch / max(epochs, 1) if self.rounds else None
        shown = f"loss {loss:.3g}" if accuracy is None else f"accuracy {words.share(accuracy)}"
        self._update(f"epoch {epoch}/{epochs}", completed=done, accuracy=shown)

    def round_finished(self, record: RoundRecord) -> None:
        self._update("done", completed=self.number)
        self.bar.console.print(_round_line(self.number, self.rounds, record), highlight=False)

    def __enter__(self) -> Live:
        self.bar.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.bar.stop()


def _round_line(number: int, rounds: int, record: RoundRecord) -> str:
    alive = "all alive" if record.alive == record.kept else f"{record.alive:,} alive"
    accuracy = "" if record.accuracy is None else f", accuracy {words.share(record.accuracy)}"
    return f"round {number} of {rounds}: {record.kept:,} weights kept, {alive}{accuracy}, {words.seconds(record.seconds)}"


def show_progress(quiet: bool = False, stream: IO[str] | None = None) -> Silent:
    """What shows a run's progress on `stream`, the standard error output by default. Use it in a `with` block."""
    stream = sys.stderr if stream is None else stream
    if quiet:
        return Silent()
    console = Console(file=stream)
    return Live(console) if console.is_terminal and not console.is_dumb_terminal else Lines(stream)
