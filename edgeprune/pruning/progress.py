"""What a pruning run tells its caller while it runs; override what is of interest."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Round:
    """What one prune-and-retrain round left: weights kept and alive, test accuracy (None without data), and its time."""

    number: int
    kept: int
    alive: int
    total: int
    accuracy: float | None
    loss: float | None
    epochs: int
    seconds: float

    def to_dict(self) -> dict[str, Any]:
        """Plain types, for reports and state files."""
        return asdict(self)


class Progress:
    """Says nothing. Every method is called from the thread that prunes."""

    def phase(self, name: str) -> None:
        """What is being done now, in a few words."""

    def round_started(self, number: int, rounds: int, kept: int) -> None:
        """Round `number` of `rounds` (from 1) is about to cut down to `kept` weights."""

    def epoch_finished(self, epoch: int, epochs: int, loss: float, accuracy: float | None) -> None:
        """Mean loss and accuracy over the training samples as they were seen in this epoch (from 1)."""

    def round_finished(self, record: Round) -> None:
        """The round is done and, with a work folder, saved."""
