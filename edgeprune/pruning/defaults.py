"""What a run does when it is told nothing but a ratio."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from .recipe import Recipe

# Rounds are as many as would do if each kept this share of the one before (see `budgets` for how they differ).
KEPT_PER_ROUND = 0.37
SAMPLES_PER_ROUND = 360_000
LONGER_AT_THE_END = 3
DENSE_COPY_LR = 0.03


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
    within_training: bool = False,
    dense_copy: bool = False,
    rounds: int | None = None,
    epochs: int | None = None,
    lr: float | None = None,
    batch_size: int | None = None,
    retrain: str = "lr-rewind",
    distill: float = 0.0,
) -> Plan:
    """A plan for so many prunable weights and training samples; given values win over chosen ones.

    Chosen: rounds that keep about 37 % each, as many epochs as make 360,000 samples a round (at least 2, at most 40), three times
    as many after the last cut, AdamW in one cycle. A schedule that cuts within one training gets twice those of the last round.
    One that trains a dense copy has SGD with momentum, as its paper does: AdamW divides every gradient by its own size, so that
    masked weights, whose gradients are small, would grow as fast as kept ones until the masks are made of noise.
    Given `epochs` are those of every round, the last one too.
    """
    batch_size = batch_size or (128 if batch_norm else 256)
    lr = lr or (DENSE_COPY_LR if dense_copy else 2e-3 if batch_norm else 3.6e-3)
    rounds = 1 if one_shot or within_training else rounds or max(1, math.ceil(math.log(ratio) / -math.log(KEPT_PER_ROUND)))
    chosen = min(max(round(SAMPLES_PER_ROUND / max(n_train, 1)), 2), 40)
    recipe = Recipe(chosen if epochs is None else epochs, lr, batch_size, augment=True, distill=distill)
    if dense_copy:
        recipe = replace(recipe, optimizer="sgd")
    if retrain == "fine-tune":
        # The small constant rate that a training schedule ends with.
        recipe = replace(recipe, curve="constant", lr=lr / 10)
    longer = LONGER_AT_THE_END * (2 if within_training else 1)
    last = replace(recipe, epochs=longer * recipe.epochs) if epochs is None else recipe
    return Plan(rounds, recipe, last)
