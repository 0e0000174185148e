"""HYDRA: the robust loss itself chooses the weights, by scores trained in their place (Sehwag et al. 2020)."""

from __future__ import annotations

import copy
import math

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from ..alive import top
from ..masks import Masks
from ..recipe import Recipe
from ..training import train
from .context import Context
from .quotas import uniform_shares, whole_numbers, within_quotas

RECIPE = Recipe(epochs=5, lr=0.1, batch_size=128, optimizer="sgd", curve="cosine", weight_decay=1e-4)


def best(scores: Tensor, count: int) -> Tensor:
    """1.0 at the `count` largest absolute scores, the first of equal ones, 0.0 elsewhere."""
    row = torch.zeros(scores.numel(), dtype=scores.dtype, device=scores.device)
    row[scores.detach().abs().reshape(-1).sort(descending=True, stable=True).indices[:count]] = 1.0
    return row.view(scores.shape)


def first_scores(weight: Tensor) -> Tensor:
    """Scores that rank as the weights do, in the range of a fresh layer: sqrt(6 / inputs) w / max |w|."""
    inputs = max(weight[0].numel(), 1)
    return math.sqrt(6 / inputs) * weight / weight.abs().max().clamp_min(torch.finfo(weight.dtype).tiny)


class Scored(nn.Module):
    """Stands between a layer and its weight, which stays as it is: the `count` best by trained scores pass."""

    def __init__(self, weight: Tensor, mask: Tensor, count: int) -> None:
        super().__init__()
        # What is masked already has no score, and gets none: its weight is zero.
        self.scores = nn.Parameter(first_scores(weight.detach() * mask))
        self.count = count
        self._chosen, self._of = best(self.scores, count), self.scores._version

    def forward(self, weight: Tensor) -> Tensor:
        # An attack asks many times between two changes of the scores.
        if self._of != self.scores._version or self._chosen.device != weight.device:
            self._chosen, self._of = best(self.scores, self.count), self.scores._version
        size = self.scores.abs()
        # Forwards the mask alone; backwards it is taken for |scores| itself.
        return weight * (self._chosen + (size - size.detach()))


def layer_counts(masks: Masks, budget: int) -> dict[str, int]:
    """The same share of every layer, in whole weights that add up to the budget."""
    shapes = {name: mask.shape for name, mask in masks.items()}
    wanted = {name: share * shapes[name].numel() for name, share in uniform_shares(shapes, budget).items()}
    return whole_numbers(wanted, {name: int(mask.sum()) for name, mask in masks.items()}, budget)


def counts_of_the_largest(module: nn.Module, context: Context) -> dict[str, int]:
    """How many of each layer's weights are among the largest of all, at least one."""
    sizes = {name: weight.abs() for name, weight in context.weights(module).items()}
    largest = top(context.probe, sizes, context.budget, eligible=context.masks)
    return {name: max(int(mask.sum()), 1) for name, mask in largest.items()}


def trained_scores(module: nn.Module, context: Context, counts: dict[str, int], recipe: Recipe = RECIPE) -> dict[str, Tensor]:
    """|scores| after training them with the context's objective; weights and biases stay, norms are trained along."""
    scratch = copy.deepcopy(module)
    for parameter in scratch.parameters():
        parameter.requires_grad_(False)
    for part in scratch.modules():
        if isinstance(part, nn.modules.batchnorm._BatchNorm):
            for parameter in part.parameters():
                parameter.requires_grad_(True)
    scored = {}
    for name, mask in context.masks.items():
        path, _, last = name.rpartition(".")
        layer = scratch.get_submodule(path)
        scored[name] = Scored(getattr(layer, last), mask, counts[name])
        parametrize.register_parametrization(layer, last, scored[name])
    train(scratch, context.training_data(), recipe, objective=context.objective, seed=context.seed)
    return {name: part.scores.detach().abs().cpu() for name, part in scored.items()}


def hydra(module: nn.Module, context: Context, recipe: Recipe = RECIPE) -> dict[str, Tensor]:
    """Scores trained with the run's robust objective, the best of every layer by the same share. Needs training data."""
    counts = layer_counts(context.masks, context.budget)
    return within_quotas(trained_scores(module, context, counts, recipe), context.masks, counts)


def hydra_global(module: nn.Module, context: Context, recipe: Recipe = RECIPE) -> dict[str, Tensor]:
    """HYDRA's scores where every layer keeps as many as magnitude over all layers would keep of it. Needs training data."""
    counts = counts_of_the_largest(module, context)
    return within_quotas(trained_scores(module, context, counts, recipe), context.masks, counts)
