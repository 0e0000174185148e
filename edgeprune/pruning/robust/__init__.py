"""Networks that hold against small changes of their input: the attack, and what training against it minimises."""

from __future__ import annotations

from .attack import Threat, pgd, robust_accuracy
from .objectives import Adversarial, Trades

__all__ = ["Adversarial", "Threat", "Trades", "pgd", "robust_accuracy"]
