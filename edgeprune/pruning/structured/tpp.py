"""Trainability preserving pruning: filters are decorrelated from those that stay, and faded, then go (Wang and Fu 2023)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor, nn

from ..run import Run
from ..training import Steering
from .filters import Filters, Keep
from .l1_filters import begin_by_size
from .rounds import finish, take_out

GRAM_WEIGHT = 1000.0
CEILING = 1.0
STABILISED = 0.25  # of the steps the strength no longer grows
LR = 1e-2  # the paper's 1e-3 is for 50,000 steps and more: a few hundred such steps leave the filters nearly as they were


def gram_loss(weight: Tensor, pruned: Tensor) -> Tensor:
    """The mean over all pairs of filters of their squared inner products, where at least one of the two is `pruned` (bool)."""
    rows = weight.flatten(1)
    gram = rows @ rows.T
    touched = pruned[:, None] | pruned[None, :]
    return torch.where(touched, gram, torch.zeros_like(gram)).square().mean()


class Fading(Steering):
    """Adds to the gradients what fades the filters that are to go; its strength grows to 1 over the first part of the steps.

    The paper grows it by 1e-4 every 5 to 10 steps, over 50,000 to 100,000 steps; here it grows as evenly over as many steps as
    there are. Then, while it stays, layer after layer loses its filters for good.
    """

    def __init__(self, layers: Sequence[Filters], keep: Keep) -> None:
        self.layers, self.keep = layers, keep
        self.steps = 1

    def begin(self, module: nn.Module, optimizer: torch.optim.Optimizer, steps: int) -> None:
        self.steps = steps
        self.pruned = {layer.name: (~self.keep[layer.name]).to(layer.weight.device) for layer in self.layers}

    def strength(self, step: int) -> float:
        growing = max(1, round(self.steps * (1 - STABILISED)))
        return CEILING * min(1.0, step / growing)

    @torch.no_grad()
    def update(self, step: int) -> bool:
        strength = self.strength(step)
        for layer in self.layers:
            pruned, weight = self.pruned[layer.name], layer.weight
            with torch.enable_grad():
                leaf = weight.detach().requires_grad_()
                (slope,) = torch.autograd.grad(gram_loss(leaf, pruned), leaf)
            _grad(weight).add_(slope, alpha=GRAM_WEIGHT * strength)
            for parameter in (weight, *layer.per_filter()):
                _grad(parameter)[pruned] += strength * parameter.detach()[pruned]
        return True

    @torch.no_grad()
    def before(self, step: int) -> None:
        growing = round(self.steps * (1 - STABILISED))
        done = (step - growing) / max(1, self.steps - growing)
        for layer in self.layers[: max(0, int(done * len(self.layers)))]:
            self._zero(layer)

    def end(self) -> None:
        for layer in self.layers:
            self._zero(layer)

    @torch.no_grad()
    def _zero(self, layer: Filters) -> None:
        for parameter in (layer.weight, *layer.per_filter()):
            parameter[self.pruned[layer.name]] = 0.0


def _grad(parameter: Tensor) -> Tensor:
    if parameter.grad is None:
        parameter.grad = torch.zeros_like(parameter)
    return parameter.grad


def tpp(run: Run) -> None:
    """Chooses the filters as L1 pruning does, fades them over one training, cuts, and retrains what is left."""
    if run.records:
        return
    layers, keep = begin_by_size(run)
    fading = replace(run.plan.recipe, optimizer="sgd", curve="constant", lr=LR)
    run.train(fading, Fading(layers, keep))
    take_out(run, layers, keep)
    finish(run)
