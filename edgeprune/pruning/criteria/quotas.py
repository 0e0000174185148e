"""How many weights each layer keeps, and scores that keep just so many.

A share is the fraction of a layer's weights that stays. Every function takes the layers' shapes and the number of weights to
keep over all of them, and gives shares between 0 and 1 that add up to it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from ..masks import Masks

Shapes = Mapping[str, torch.Size]


def uniform_shares(shapes: Shapes, budget: int) -> dict[str, float]:
    """The same share of every layer."""
    return dict.fromkeys(shapes, budget / sum(shape.numel() for shape in shapes.values()))


def erk_shares(shapes: Shapes, budget: int) -> dict[str, float]:
    """Erdős-Rényi-kernel: sizes of a layer's axes added, over the same multiplied (Mocanu et al. 2018; Evci et al. 2020).

    A layer whose share would exceed one is kept whole, and the others share what is left.
    """
    raw = {name: sum(shape) / shape.numel() for name, shape in shapes.items()}
    whole: set[str] = set()
    while True:
        rest = {name: raw[name] * shape.numel() for name, shape in shapes.items() if name not in whole}
        left = budget - sum(shapes[name].numel() for name in whole)
        scale = left / sum(rest.values()) if rest else 0.0
        over = {name for name in rest if scale * raw[name] > 1}
        if not over:
            return {name: 1.0 if name in whole else scale * raw[name] for name in shapes}
        whole |= over


def igq_shares(shapes: Shapes, budget: int) -> dict[str, float]:
    """Ideal gas quotas: a layer of n weights keeps 1 / (1 + F n) of them (Vysogorets and Kempe 2021).

    F is such that the budget is met.
    """
    sizes = {name: shape.numel() for name, shape in shapes.items()}
    low, high = 0.0, 1.0 / max(1, budget)  # with F = 1/budget each layer keeps less than the budget
    while sum(n / (1 + high * n) for n in sizes.values()) > budget:
        high *= 2
    for _ in range(200):
        middle = (low + high) / 2
        if sum(n / (1 + middle * n) for n in sizes.values()) > budget:
            low = middle
        else:
            high = middle
    return {name: 1 / (1 + high * n) for name, n in sizes.items()}


def whole_numbers(wanted: Mapping[str, float], limits: Mapping[str, int], budget: int) -> dict[str, int]:
    """`wanted` counts rounded so that they add up to `budget`: down, then one more where most was lost, none beyond its limit."""
    counts = {name: min(math.floor(value), limits[name]) for name, value in wanted.items()}
    while (missing := budget - sum(counts.values())) > 0:
        open_ones = sorted((name for name in counts if counts[name] < limits[name]), key=lambda n: counts[n] - wanted[n])
        if not open_ones:
            break
        for name in open_ones[:missing]:
            counts[name] += 1
    return counts


def within_quotas(values: Mapping[str, Tensor], masks: Masks, counts: Mapping[str, float]) -> dict[str, Tensor]:
    """Scores by which the best `sum(counts)` weights are the best `counts[name]` unmasked ones of every layer by `values`.

    A weight ranks by its place in its layer over that layer's count, so that all layers go beyond their count together.
    """
    return ordered({name: _places(values[name], masks[name]) / max(counts[name], 0.25) for name in masks}, values)


def ordered(places: Mapping[str, Tensor], values: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Scores that put smaller `places` first and, where they are equal, larger values; float64 whole numbers."""
    names = list(places)
    place = torch.cat([places[name].reshape(-1) for name in names])
    value = torch.cat([(values[name].double() / values[name].abs().max().clamp_min(1e-300)).reshape(-1) for name in names])
    by_value = value.sort(descending=True, stable=True).indices
    order = by_value[place[by_value].sort(stable=True).indices]
    scores = torch.empty(len(order), dtype=torch.float64)
    scores[order] = torch.arange(len(order), 0, -1, dtype=torch.float64)
    parts = torch.split(scores, [places[name].numel() for name in names])
    return {name: part.view(places[name].shape) for name, part in zip(names, parts, strict=True)}


def _places(values: Tensor, mask: Tensor) -> Tensor:
    """0.5 for the best unmasked value of a layer, 1.5 for the next; masked ones come last."""
    row = values.double().masked_fill(~mask, -math.inf).reshape(-1)
    places = torch.empty(len(row), dtype=torch.float64)
    places[row.sort(descending=True, stable=True).indices] = torch.arange(len(row), dtype=torch.float64) + 0.5
    return places.view(values.shape)
