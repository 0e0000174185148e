"""Sparse weights: how they are encoded, what that costs in bytes, which encoding pays where.

csr.py     compressed sparse rows over any number of axes, encoded and decoded
cost.py    the encoding of one weight: by file bytes, by what the runtime executes, by memory
"""

from __future__ import annotations

from .cost import CROSSOVER, GOALS, Choice, choose
from .csr import Level, Sparse, decode, encode, narrow

__all__ = ["CROSSOVER", "GOALS", "Choice", "Level", "Sparse", "choose", "decode", "encode", "narrow"]
