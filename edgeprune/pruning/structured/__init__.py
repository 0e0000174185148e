"""Methods that take out filters and stripes as a whole; the removal passes then make the layers small.

Each is a schedule: one function of a Run. Their `ratio` counts prunable weights too; what is kept is at most the budget, since
filters do not divide.
"""

from __future__ import annotations

from .l1_filters import l1_filters
from .polarization import polarization
from .stripes import stripes
from .tpp import tpp

__all__ = ["l1_filters", "polarization", "stripes", "tpp"]
