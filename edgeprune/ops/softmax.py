"""Softmax."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..graph import Array, Op, Value


@dataclass(frozen=True, eq=False)
class Softmax(Op):
    """Softmax over one axis of the value; with `log`, its logarithm."""

    axis: int = 0
    log: bool = False

    def value(self, *ins: Value) -> Value:
        return ins[0]

    def run(self, *arrays: Array) -> Array:
        (x,) = arrays
        centred = x - x.max(self.axis + 1, keepdims=True)
        total = np.exp(centred).sum(self.axis + 1, keepdims=True)
        return centred - np.log(total) if self.log else np.exp(centred) / total
