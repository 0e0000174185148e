"""Scores that come of many small cuts, each scored anew on what the one before it left."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from ..alive import all_alive, reserved, top
from ..masks import Masks
from .context import Context


def exponential(start: int, end: int, steps: int) -> list[int]:
    """How many weights are left after each step: the same factor every time, the last exactly `end`.

    >>> exponential(1000, 10, 2)
    [100, 10]
    """
    return [max(end, math.floor(start * (end / start) ** (t / steps))) for t in range(1, steps)] + [end]


def step_by_step(context: Context, steps: int, score: Callable[[Masks, int], dict[str, Tensor]]) -> dict[str, Tensor]:
    """Ranks by `score(masks, step)` on what is left, cutting in `steps` steps; what a step cut never returns to a later one.

    The result ranks the last step's scores first, then what went last, to what went first. The last cut itself is the caller's.
    Where that one is all-alive, so is every step, and every output keeps a path that fits in the budget: one that a step lost
    would have no gradient left.
    """
    left, paths = context.masks, None
    result = {name: torch.zeros(mask.shape, dtype=torch.float64) for name, mask in left.items()}
    for step, budget in enumerate(exponential(context.masks.kept, context.budget, steps)):
        scores = {name: value.double() for name, value in score(left, step).items()}
        scale = max(float(value.abs().max()) for value in scores.values()) or 1.0
        kept = left
        if step < steps - 1 and context.aap:
            paths = reserved(context.probe, scores, context.budget, left, paths)
            # By the loop, which may end below the budget: exactness is the last cut's affair, and a long search at times.
            some = min(budget, left.kept)
            kept = all_alive(context.probe, scores, some, eligible=left, reserve=paths, variant="loop")
        elif step < steps - 1:
            kept = top(context.probe, scores, budget, eligible=left)
        for name, value in scores.items():
            if step == steps - 1:
                result[name] = torch.where(left[name], value / scale, result[name])
            else:
                went = left[name] & ~kept[name]
                result[name] = torch.where(went, step - steps + value / (2 * scale), result[name])
        left = kept
    return result
