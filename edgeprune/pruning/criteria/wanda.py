"""Wanda: a weight times the size of what it multiplies, compared inside its output row (Sun et al. 2024)."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from .calibration import input_moments, rows_of
from .context import Context
from .quotas import ordered


def wanda(module: nn.Module, context: Context) -> dict[str, Tensor]:
    """|w| · ‖x‖, the same share of every row of every layer. Needs calibration samples, no labels."""
    moments = input_moments(module, context, full=False)
    places, values = {}, {}
    for name, weight in context.weights(module).items():
        norms = moments[name].sqrt()
        rows = rows_of(weight.double(), len(norms)).abs() * norms.unsqueeze(1)
        value = rows.reshape(weight.shape[0], -1)
        allowed = context.masks[name].reshape(value.shape)
        ranked = value.masked_fill(~allowed, -math.inf).sort(dim=1, descending=True, stable=True).indices
        place = torch.empty_like(value).scatter_(1, ranked, torch.arange(value.shape[1], dtype=torch.float64).expand_as(value))
        places[name] = ((place + 0.5) / value.shape[1]).view(weight.shape)
        values[name] = value.view(weight.shape)
    return ordered(places, values)
