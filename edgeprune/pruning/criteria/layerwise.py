"""Magnitude inside each layer, the layers' shares given by a rule: uniform, Erdős-Rényi-kernel, or ideal gas quotas."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn

from .context import Context
from .quotas import Shapes, erk_shares, igq_shares, uniform_shares, whole_numbers, within_quotas


def layerwise(module: nn.Module, context: Context) -> dict[str, Tensor]:
    """The same share of every layer, largest weights first (Han et al. 2015). Needs no data."""
    return _shared(module, context, uniform_shares)


def erk(module: nn.Module, context: Context) -> dict[str, Tensor]:
    """Narrow layers keep a larger share than wide ones (Mocanu et al. 2018; Evci et al. 2020). Needs no data."""
    return _shared(module, context, erk_shares)


def igq(module: nn.Module, context: Context) -> dict[str, Tensor]:
    """Small layers stay nearly whole (Vysogorets and Kempe 2021). Needs no data."""
    return _shared(module, context, igq_shares)


def _shared(module: nn.Module, context: Context, shares_of: Callable[[Shapes, int], dict[str, float]]) -> dict[str, Tensor]:
    weights = context.weights(module)
    shapes = {name: weight.shape for name, weight in weights.items()}
    wanted = {name: share * shapes[name].numel() for name, share in shares_of(shapes, context.budget).items()}
    left = {name: int(mask.sum()) for name, mask in context.masks.items()}
    counts = whole_numbers(wanted, left, context.budget)
    return within_quotas({name: weight.abs() for name, weight in weights.items()}, context.masks, counts)
