"""Stripe-wise pruning: a filter loses single taps, all channels of one at once ("Pruning filter in filter", Meng et al. 2020).

A tap of a filter, its weights at one place of the kernel over all channels, is a stripe. Every stripe has a number that
multiplies it, the filter skeleton, which is trained with the weights under an L1 penalty.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from ...errors import EdgepruneError
from ..flow import Probe
from ..masks import Masks
from ..run import Run
from ..training import Steering
from .filters import fewest_cuts
from .rounds import finish

THRESHOLD = 0.01  # a stripe whose number is not above it is gone, and stays gone
PENALTY = 1e-3  # the paper's 1e-5 is for 160 epochs from scratch; a checkpoint has a few
LR = 0.01


class Skeleton(nn.Module):
    """Multiplies a convolution's weight `[filters, channels, *kernel]` by one number a stripe `[filters, 1, *kernel]`."""

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        self.stripes = nn.Parameter(torch.ones(len(weight), 1, *weight.shape[2:], dtype=weight.dtype, device=weight.device))

    def forward(self, weight: Tensor) -> Tensor:
        return weight * self.stripes


class Thinning(Steering):
    """Adds the penalty's gradient to the skeletons; stripes at the threshold or under it become zero and stay it."""

    def __init__(self, skeletons: Mapping[str, Skeleton], penalty: float, threshold: float) -> None:
        self.skeletons, self.penalty, self.threshold = skeletons, penalty, threshold

    def before(self, step: int) -> None:
        self._freeze()

    @torch.no_grad()
    def update(self, step: int) -> bool:
        for skeleton in self.skeletons.values():
            stripes = skeleton.stripes
            if stripes.grad is not None:
                stripes.grad += self.penalty * stripes.sign()
                stripes.grad[stripes == 0] = 0.0
        return True

    def end(self) -> None:
        self._freeze()

    @torch.no_grad()
    def _freeze(self) -> None:
        for skeleton in self.skeletons.values():
            skeleton.stripes[skeleton.stripes.abs() <= self.threshold] = 0.0


def with_skeletons(module: nn.Module, masks: Masks) -> dict[str, Skeleton]:
    """Gives every convolution of `module` with more than one tap and one group a skeleton; by the name of its weight.

    Raises EdgepruneError where there is none.
    """
    found = {}
    for path, layer in list(module.named_modules()):
        name = f"{path}.weight" if path else "weight"
        if not isinstance(layer, nn.Conv1d | nn.Conv2d | nn.Conv3d) or name not in masks:
            continue
        if layer.groups == 1 and layer.weight[0, 0].numel() > 1:
            found[name] = Skeleton(layer.weight)
            parametrize.register_parametrization(layer, "weight", found[name])
    if not found:
        raise EdgepruneError("stripe-wise pruning works on convolutions of several taps, and there is none; try l1-filters")
    return found


@torch.no_grad()
def take_sizes(module: nn.Module, skeletons: Mapping[str, Skeleton]) -> None:
    """Moves what the stripes of a trained network differ by into their numbers: their norms over the mean one of their layer.

    The paper trains from scratch, where all stripes are alike and all numbers can begin as 1. Those of a trained network that
    begin as 1 still say nothing of it after the few epochs that a checkpoint gets. The function stays the same.
    """
    for name, skeleton in skeletons.items():
        original = module.get_parameter(f"{name.removesuffix('weight')}parametrizations.weight.original")
        sizes = torch.linalg.vector_norm(original, dim=1, keepdim=True)
        there = sizes > 0
        if there.any():
            sizes = sizes / sizes[there].mean()
        skeleton.stripes.copy_(sizes)
        original.div_(torch.where(there, sizes, torch.ones_like(sizes)))


def folded(module: nn.Module, skeletons: Mapping[str, Skeleton]) -> dict[str, Tensor]:
    """Multiplies the skeletons into the weights and takes them off again; their absolute values, `[filters, *kernel]`."""
    sizes = {}
    for name, skeleton in skeletons.items():
        layer = module.get_submodule(name.rpartition(".")[0])
        sizes[name] = skeleton.stripes.detach().abs().squeeze(1).cpu()
        parametrize.remove_parametrizations(layer, "weight", leave_parametrized=True)
    return sizes


def smallest_stripes(sizes: Mapping[str, Tensor], masks: Masks, probe: Probe, budget: int) -> Masks:
    """`masks` without the stripes of size zero, and then without as many of the smallest as the budget asks for.

    A layer's largest stripe always stays.
    """
    names = list(sizes)
    rows = {name: sizes[name].reshape(-1).clone() for name in names}
    for row in rows.values():
        row[row.argmax()] = torch.inf
    whole = torch.cat([rows[name] for name in names])
    order = whole.argsort(stable=True)
    gone = int((whole == 0).sum())
    able = int(whole.isfinite().sum())

    def masks_after(steps: int) -> Masks:
        stays = torch.ones(len(whole), dtype=torch.bool)
        stays[order[: gone + steps]] = False
        fewer = Masks(masks)
        for name, part in zip(names, torch.split(stays, [len(rows[name]) for name in names]), strict=True):
            fewer[name] = masks[name] & part.view(sizes[name].shape).unsqueeze(1)
        return probe.alive(fewer)

    return masks_after(fewest_cuts(able - gone, masks_after, budget, probe.total))


def stripes(run: Run) -> None:
    """Trains weights and skeletons together, cuts, and retrains what is left."""
    if run.records:
        return
    run.begin_round(run.budget, 1)
    run.masks.apply(run.module)
    skeletons = with_skeletons(run.module, run.masks)
    try:
        take_sizes(run.module, skeletons)
        recipe = replace(run.plan.recipe, optimizer="sgd", curve="cosine", lr=LR)
        run.train(recipe, Thinning(skeletons, PENALTY, THRESHOLD))
    finally:
        sizes = folded(run.module, skeletons)
    run.masks = smallest_stripes(sizes, run.masks, run.probe, run.budget)
    run.masks.apply(run.module)
    finish(run)
