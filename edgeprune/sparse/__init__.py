"""Sparse weights: how they are encoded, what that costs, which form of a layer pays where.

csr.py     compressed sparse rows over any number of axes, encoded and decoded
coo.py     coordinates, decoded
stripes.py dense blocks of the filters that keep a tap
cost.py    the form of one layer: by file bytes, by what the runtime executes, by memory
"""

from __future__ import annotations

from .coo import scattered
from .cost import GOALS, Choice, Costs, Option, choose
from .csr import Level, Sparse, decode, encode, narrow, places_of, sparse_matrix
from .stripes import Block, by_tap, filled

__all__ = [
    "GOALS", "Block", "Choice", "Costs", "Level", "Option", "Sparse", "by_tap", "choose", "decode", "encode", "filled", "narrow",
    "places_of", "scattered", "sparse_matrix",
]  # fmt: skip
