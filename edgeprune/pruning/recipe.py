"""How a network is trained: the numbers of one training run."""

from __future__ import annotations

import math
from dataclasses import dataclass

from ..errors import EdgepruneError

OPTIMIZERS = ("adamw", "sgd")
CURVES = ("one-cycle", "cosine", "linear", "constant")


@dataclass(frozen=True)
class Recipe:
    """How a network is trained. `lr` is the largest learning rate of the `curve`; `warmup` the share of steps up to it.

    Curves: "one-cycle" rises from lr/25 and falls to 0, "cosine" and "linear" fall from lr to 0, "constant" stays. `clip` is the
    largest norm that a step's gradient may have, 0 for any. `distill` is the teacher's
    part of the loss, 0 to 1, where there is a teacher (Hinton, Vinyals and Dean 2015), both at `temperature`.
    """

    epochs: int
    lr: float
    batch_size: int = 256
    optimizer: str = "adamw"
    curve: str = "one-cycle"
    warmup: float = 0.25
    weight_decay: float = 0.0
    momentum: float = 0.9
    label_smoothing: float = 0.0
    augment: bool = False
    distill: float = 0.0
    temperature: float = 4.0
    clip: float = 0.0

    def __post_init__(self) -> None:
        if self.optimizer not in OPTIMIZERS:
            raise EdgepruneError(f"optimizer={self.optimizer!r} is not known; choose one of {', '.join(OPTIMIZERS)}")
        if self.curve not in CURVES:
            raise EdgepruneError(f"curve={self.curve!r} is not known; choose one of {', '.join(CURVES)}")
        if self.epochs < 0 or self.batch_size < 1:
            raise EdgepruneError(f"epochs={self.epochs} and batch_size={self.batch_size} must not be negative or empty")
        if not 0 <= self.distill <= 1:
            raise EdgepruneError(f"distill={self.distill} is not a share of the loss; give a number from 0 to 1, for example 0.5")
        if not (math.isfinite(self.lr) and self.lr > 0):
            raise EdgepruneError(f"lr={self.lr} is not a learning rate; give a positive number, for example 0.001")

    def lr_at(self, step: int, steps: int) -> float:
        """The learning rate of this step out of so many."""
        if self.curve == "constant":
            return self.lr
        if self.curve == "linear":
            return self.lr * (1 - step / max(1, steps))
        rise = round(steps * self.warmup) if self.curve == "one-cycle" else 0
        if step < rise:
            return self.lr * (0.04 + 0.96 * 0.5 * (1 - math.cos(math.pi * step / rise)))
        return self.lr * 0.5 * (1 + math.cos(math.pi * (step - rise) / max(1, steps - rise)))


def derived_seed(*parts: int) -> int:
    """One seed out of several numbers; equal numbers give equal seeds in every process."""
    seed = 0
    for part in parts:
        seed = (seed * 1_000_003 + int(part) + 1) % (1 << 62)
    return seed
