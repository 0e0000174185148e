"""Gradual pruning: the masks tighten along a cubic curve while the network trains (Zhu and Gupta 2017)."""

from __future__ import annotations

from ..run import Run
from ..steering import Held, interval, one_training

EVERY = 100
RAMP = (0.05, 0.75)  # of the training


def cubic(start: int, end: int, progress: float) -> int:
    """How many weights are kept at this point of the ramp, 0 to 1: fewer quickly at first, then slowly."""
    share = min(max(progress, 0.0), 1.0)
    return round(end + (start - end) * (1 - share) ** 3)


def gradual(run: Run) -> None:
    """One training; every so many steps the weakest of the kept weights go, by any criterion, and do not return."""
    if not run.records:
        one_training(run, _Gradual(run))


class _Gradual(Held):
    def update(self, step: int) -> bool:
        first, last = (round(self.steps * share) for share in RAMP)
        every = interval(self.steps, EVERY)
        if (first <= step < last and (step - first) % every == 0) or step == last:
            budget = cubic(self.run.first_kept, self.run.budget, (step - first) / max(1, last - first))
            if budget < self.run.masks.kept:
                scores = self.run.reserve_paths(budget) if self.run.aap else self.run.scores(budget)
                self.hold(self.run.select(scores, budget, self.run.masks, self.run.reserve or True))
        return True
