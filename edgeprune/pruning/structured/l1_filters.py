"""Filters with small weights go, the same share of every layer ("Pruning filters for efficient ConvNets", Li et al. 2017)."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from ..run import Run
from .filters import Filters, free_filters, same_share
from .rounds import finish, take_out


def mean_sizes(layers: Sequence[Filters]) -> dict[str, Tensor]:
    """The mean absolute weight of every filter, by weight name."""
    return {layer.name: layer.weight.detach().abs().flatten(1).mean(1).cpu() for layer in layers}


def l1_filters(run: Run) -> None:
    """One cut, then one retraining of what is left."""
    if run.records:
        return
    layers = free_filters(run.module, run.probe)
    run.begin_round(run.budget, 1)
    keep = same_share(layers, mean_sizes(layers), run.masks, run.probe, run.budget)
    take_out(run, layers, keep)
    finish(run)
