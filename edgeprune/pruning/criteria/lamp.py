"""Layer-adaptive magnitude: a weight's energy over that of its layer's weights that are as large or larger (Lee et al. 2021)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .context import Context


def lamp(module: nn.Module, context: Context) -> dict[str, Tensor]:
    """w² / Σ v² over the v of the same layer with |v| >= |w|. The largest weight of a layer scores 1, so no layer empties.

    Needs no data.
    """
    return {name: _scores(weight * context.masks[name]) for name, weight in context.weights(module).items()}


def _scores(weight: Tensor) -> Tensor:
    energy = weight.double().square().reshape(-1)
    order = energy.sort(descending=True, stable=True).indices
    scores = torch.zeros_like(energy)
    scores[order] = energy[order] / energy[order].cumsum(0).clamp_min(torch.finfo(torch.float64).tiny)
    return scores.view(weight.shape)
