"""Filters with small weights go, the same share of every layer ("Pruning filters for efficient ConvNets", Li et al. 2017)."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from ..run import Run
from .filters import Filters, Keep, free_filters, same_share
from .rounds import finish, take_out


def mean_sizes(layers: Sequence[Filters]) -> dict[str, Tensor]:
    """The mean absolute weight of every filter, by weight name."""
    return {layer.name: layer.weight.detach().abs().flatten(1).mean(1).cpu() for layer in layers}


def begin_by_size(run: Run) -> tuple[list[Filters], Keep]:
    """Begins the one round of a run: the layers that can lose filters, and the filters that stay, by their mean size."""
    layers = free_filters(run.module, run.probe)
    run.begin_round(run.budget, 1)
    return layers, same_share(layers, mean_sizes(layers), run.masks, run.probe, run.budget)


def l1_filters(run: Run) -> None:
    """One cut, then one retraining of what is left."""
    if run.records:
        return
    layers, keep = begin_by_size(run)
    take_out(run, layers, keep)
    finish(run)
