"""Networks that hold against small changes of their input: the attack, and what training against it minimises."""

from __future__ import annotations

from .attack import Threat, pgd, robust_accuracy
from .objectives import Adversarial, Trades

# How to train so that it holds, by name: an objective of a threat.
ROBUST: dict[str, type[Adversarial] | type[Trades]] = {"trades": Trades, "adversarial": Adversarial}

__all__ = ["ROBUST", "Adversarial", "Threat", "Trades", "pgd", "robust_accuracy"]
