"""The table: for each op, the steps that compute it. Maps come in planes, everything else as numpy lays it (layout.py)."""

from __future__ import annotations

from ..lowering import Lowerings

lower = Lowerings("C")
