"""What a run does when it is told nothing but a ratio."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from .training import Recipe


@dataclass(frozen=True)
class Plan:
    """`rounds` cuts to the final ratio, `recipe` after each and `last` after the final one."""

    rounds: int
    recipe: Recipe
    last: Recipe


def choose(
    ratio: float,
    n_weights: int,
    n_train: int,
    *,
    batch_norm: bool = False,
    one_shot: bool = False,
    rounds: int | None = None,
    epochs: int | None = None,
    lr: float | None = None,
    batch_size: int | None = None,
    retrain: str = "lr-rewind",
) -> Plan:
    """A plan for so many prunable weights and training samples; given values win over chosen ones."""
    batch_size = batch_size or 256
    lr = lr or 3e-3
    rounds = rounds or max(1, math.ceil(math.log(ratio) / math.log(1.6)))
    recipe = Recipe(epochs or 4, lr, batch_size)
    if retrain == "fine-tune":
        recipe = replace(recipe, curve="constant", lr=lr / 10)
    return Plan(rounds, recipe, replace(recipe, epochs=3 * recipe.epochs))
