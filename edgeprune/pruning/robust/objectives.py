"""What robust training minimises."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..training import Objective, set_mode
from .attack import Threat, pgd, wrong_about

START_NOISE = 0.001


@dataclass(frozen=True)
class Adversarial(Objective):
    """The loss of the worst images near by in place of the given ones (Madry et al. 2018)."""

    threat: Threat
    steps: int = 10

    def __call__(self, model: nn.Module, x: Tensor, y: Tensor, logits: Tensor, loss: Tensor) -> Tensor:
        with _judged(model):
            worst = pgd(model, x, wrong_about(y), self.threat, steps=self.steps)
        return F.cross_entropy(model(worst), y)


@dataclass(frozen=True)
class Trades(Objective):
    """The loss of the given images, and `beta` times how far the worst ones near by differ (Zhang et al. 2019).

    The difference is KL(answers on the image || answers on the worst), and the worst image is the one that makes it largest.
    """

    threat: Threat
    beta: float = 6.0
    steps: int = 10

    def __call__(self, model: nn.Module, x: Tensor, y: Tensor, logits: Tensor, loss: Tensor) -> Tensor:
        if self.beta == 0:
            return loss
        with _judged(model):
            with torch.no_grad():
                plain = F.log_softmax(model(x), 1)
            start = x + START_NOISE * self.threat.unit(x) * torch.randn_like(x)
            worst = pgd(model, x, lambda found: _apart(found, plain, "sum"), self.threat, steps=self.steps, start=start)
        return loss + self.beta * _apart(model(worst), F.log_softmax(logits, 1), "batchmean")


def _apart(found: Tensor, plain: Tensor, reduction: str) -> Tensor:
    return F.kl_div(F.log_softmax(found, 1), plain, log_target=True, reduction=reduction)


@contextmanager
def _judged(model: nn.Module) -> Iterator[None]:
    """In eval mode inside: an attack must not move the batch norms' statistics."""
    was = model.training
    set_mode(model, training=False)
    try:
        yield
    finally:
        set_mode(model, training=was)
