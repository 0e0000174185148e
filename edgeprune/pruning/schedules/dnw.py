"""Discovering neural wirings: each layer's largest weights are used, all are trained (Wortsman, Farhadi and Rastegari 2019)."""

from __future__ import annotations

from ..criteria.quotas import within_quotas
from ..masks import Masks
from ..run import Run
from ..steering import MaskedPoint, interval, one_training


def dnw(run: Run) -> None:
    """One training at the budget from its first step; the largest weights of each layer, chosen anew at every step.

    How many each layer keeps is the criterion's choice for the given network. With all-alive pruning the choice is made anew up
    to a hundred times a training, for it takes longer than a step.
    """
    if not run.records:
        one_training(run, _Wirings(run))


class _Wirings(MaskedPoint):
    def __init__(self, run: Run) -> None:
        super().__init__(run)
        first = run.select(run.scores(), run.budget, self.eligible)
        self.counts = {name: int(mask.sum()) for name, mask in first.items()}

    def masks_at(self, step: int) -> Masks | None:
        every = interval(self.steps, 1) if self.run.aap else 1
        if step % every and step != self.steps - 1:
            return None
        return self.run.select(within_quotas(self.dense(), self.eligible, self.counts), self.run.budget, self.eligible)
