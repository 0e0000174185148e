"""Dynamic pruning with feedback: the pruned point's gradient moves a dense copy, so mistakes are undone (Lin et al. 2020)."""

from __future__ import annotations

from ..masks import Masks
from ..run import Run
from ..steering import MaskedPoint, interval, one_training
from .gradual import cubic

EVERY = 16
RAMP = 0.75  # of the training; then the masks stay


def dpf(run: Run) -> None:
    """One training; the masks are the largest dense weights, on a cubic curve to the budget, and any weight may come back."""
    if not run.records:
        one_training(run, _Feedback(run))


class _Feedback(MaskedPoint):
    def masks_at(self, step: int) -> Masks | None:
        last = round(self.steps * RAMP)
        if step > last or (step < last and step % interval(self.steps, EVERY)):
            return None
        budget = cubic(self.run.first_kept, self.run.budget, step / max(1, last))
        return self.run.select(self.dense(), budget, self.eligible)
