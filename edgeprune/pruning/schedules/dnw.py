"""Discovering neural wirings: each layer's largest weights are used, all are trained (Wortsman, Farhadi and Rastegari 2019)."""

from __future__ import annotations

from ..criteria.quotas import uniform_shares, whole_numbers, within_quotas
from ..masks import Masks
from ..run import Run
from ..steering import MaskedPoint, interval, one_training


def dnw(run: Run) -> None:
    """One training at the budget from its first step; the same share of every layer, chosen anew at every step.

    With all-alive pruning the choice is made anew up to a hundred times a training, for it takes longer than a step.
    """
    if not run.records:
        one_training(run, _Wirings(run))


class _Wirings(MaskedPoint):
    def masks_at(self, step: int) -> Masks | None:
        every = interval(self.steps, 1) if self.run.aap else 1
        if step % every and step != self.steps - 1:
            return None
        wanted = uniform_shares(self.run.probe.shapes, self.run.budget)
        left = {name: int(mask.sum()) for name, mask in self.eligible.items()}
        counts = whole_numbers(
            {name: share * self.eligible[name].numel() for name, share in wanted.items()}, left, self.run.budget
        )
        return self.run.select(within_quotas(self.dense(), self.eligible, counts), self.run.budget, self.eligible)
