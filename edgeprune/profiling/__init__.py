"""Measures artifacts: how long, how large, how much memory.

measure.py  profile one file; compare several in turns
local.py    the timing script in a process of this machine
runner.py   the timing script: numpy and one runtime only
result.py   what a measurement says
records.py  dataclasses to plain JSON types and back
"""

from __future__ import annotations

from .measure import compare, profile
from .result import Comparison, Device, Latency, Memory, Profile, Ratio

__all__ = ["Comparison", "Device", "Latency", "Memory", "Profile", "Ratio", "compare", "profile"]
