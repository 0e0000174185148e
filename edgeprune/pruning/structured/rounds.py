"""What every structured schedule ends with."""

from __future__ import annotations

from collections.abc import Sequence

from ..run import Run
from .filters import Filters, Keep, cut, silence


def take_out(run: Run, layers: Sequence[Filters], keep: Keep) -> None:
    """The filters that do not stay leave the run's masks and its network."""
    run.masks = cut(run.masks, keep, run.probe)
    silence(layers, keep)
    run.masks.apply(run.module)


def finish(run: Run) -> None:
    """Batch norms measured anew, what is left retrained, the round closed."""
    run.recalibrate()
    loss = run.train(run.plan.last)
    run.close_round(loss, run.plan.last.epochs if loss is not None else 0)
