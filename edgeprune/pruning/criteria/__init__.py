"""How much each weight matters. A criterion is one function: its file, and its line in CRITERIA."""

from __future__ import annotations

from .context import Context, Criterion
from .magnitude import magnitude
from .random import random

CRITERIA: dict[str, Criterion] = {"magnitude": magnitude, "random": random}

__all__ = ["CRITERIA", "Context", "Criterion", "magnitude", "random"]
