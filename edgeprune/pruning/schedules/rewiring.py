"""Sparse training: every so often each layer drops its smallest weights and grows as many others.

RigL grows where the gradient is largest (Evci et al. 2020), SET at random (Mocanu et al. 2018).
"""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ..criteria.quotas import within_quotas
from ..masks import Masks
from ..recipe import derived_seed
from ..run import Run
from ..steering import Held, interval, one_training

EVERY = 100
DROPPED = 0.3  # of a layer's weights at the first change, by a cosine to none at the last
LAST = 0.75  # of the training


def rigl(run: Run) -> None:
    """Sparse from the first step, by the criterion; grows where the dense gradient is largest, in place of that step's update."""
    _rewired(run, by_gradient=True)


def set_(run: Run) -> None:
    """Sparse from the first step, by the criterion; grows at random."""
    _rewired(run, by_gradient=False)


def _rewired(run: Run, by_gradient: bool) -> None:
    if run.records:
        return
    eligible = run.masks
    run.masks = run.select(run.scores(), run.budget, eligible)
    one_training(run, Rewiring(run, eligible, by_gradient))


class Rewiring(Held):
    """The layers' counts stay as the first cut made them; all-alive pruning may lend a few between layers for one change."""

    def __init__(self, run: Run, eligible: Masks, by_gradient: bool) -> None:
        super().__init__(run)
        self.eligible, self.by_gradient = eligible, by_gradient
        self.counts = {name: int(mask.sum()) for name, mask in run.masks.items()}

    def update(self, step: int) -> bool:
        last = self.steps * LAST
        if step == 0 or step % interval(self.steps, EVERY) or step > last:
            return True
        dropped = DROPPED / 2 * (1 + math.cos(math.pi * step / last))
        self.hold(self.rewired(dropped, self.gradients() if self.by_gradient else self.drawn(step)))
        return not self.by_gradient

    def rewired(self, dropped: float, growth: dict[str, Tensor]) -> Masks:
        """Keeps all but the `dropped` share of every layer's weights, the largest, and grows the best others by |growth|."""
        worth = {}
        for name, weight in self.weights().items():
            old = weight.abs().double().masked_fill(~self.run.masks[name], -1).reshape(-1)
            kept = round(self.counts[name] * (1 - dropped))
            best = old.sort(descending=True, stable=True).indices[:kept]
            best = best[old[best] >= 0]
            grown = growth[name].abs().double().reshape(-1)
            grown = grown / grown.max().clamp_min(1e-300)
            grown[best] = 2 + old[best] / old.max().clamp_min(1e-300)
            worth[name] = grown.view(weight.shape)
        return self.run.select(within_quotas(worth, self.eligible, self.counts), self.run.budget, self.eligible)

    def drawn(self, step: int) -> dict[str, Tensor]:
        """Random numbers, the same in every process."""
        generator = torch.Generator().manual_seed(derived_seed(self.run.seed, step))
        return {name: torch.rand(mask.shape, generator=generator) for name, mask in self.run.masks.items()}
