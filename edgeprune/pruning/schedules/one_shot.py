"""One cut to the final budget, then one retraining if there is data."""

from __future__ import annotations

from ..run import Run


def one_shot(run: Run) -> None:
    """Cuts once; batch norms are measured anew before anything else, for theirs are those of the dense network."""
    if run.records:
        return
    run.cut(run.budget, 1)
    if run.retrain == "weight-rewind":
        run.rewind_weights()
    run.recalibrate()
    loss = run.train(run.plan.last)
    run.close_round(loss, run.plan.last.epochs if loss is not None else 0)
