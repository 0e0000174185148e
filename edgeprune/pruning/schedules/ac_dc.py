"""AC/DC: dense and sparse phases in turn, the last one sparse (Peste et al. 2021)."""

from __future__ import annotations

from ..run import Run
from ..steering import Held, one_training

# Of a training of 100 parts: dense to 10, then sparse and dense by fives, dense from 75 to 85, sparse to the end.
SPARSE = (*((start, start + 5) for start in range(10, 75, 10)), (85, 100))


def ac_dc(run: Run) -> None:
    """One training; the weights are chosen anew, among all, by any criterion, whenever a sparse phase begins."""
    if not run.records:
        one_training(run, _Phases(run))


class _Phases(Held):
    def __init__(self, run: Run) -> None:
        super().__init__(run)
        self.eligible = run.masks

    def before(self, step: int) -> None:
        for start, end in SPARSE:
            if step == round(self.steps * start / 100):
                self.run.masks = self.eligible
                self.hold(self.run.select(self.run.scores(), self.run.budget, self.eligible))
            elif step == round(self.steps * end / 100):
                self.hold(self.eligible)
