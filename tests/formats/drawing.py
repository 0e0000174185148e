"""Small graphs with weights that look trained, the same ones every time."""

from __future__ import annotations

import zlib
from typing import Any

import numpy as np

from edgeprune.graph import Graph, Node, Op, Value
from edgeprune.ops import (
    BatchNorm,
    Conv,
    Linear,
)

Array = np.ndarray[Any, Any]

# The formats that tables of lowerings write; a .pt2 program is PyTorch's own and tested with the module it comes from.
SUFFIXES = (".onnx", ".tflite")


class Draw:
    """Numbers that look trained: seeded by a name, so that every case is the same every time."""

    def __init__(self, name: str) -> None:
        self.rng = np.random.default_rng(zlib.crc32(name.encode()))

    def normal(self, *shape: int, scale: float = 1.0) -> Array:
        return (self.rng.standard_normal(shape) * scale).astype(np.float32)

    def weight(self, *shape: int, density: float = 1.0) -> Array:
        """He-scaled, with `density` of it nonzero."""
        kept = self.rng.random(shape) < density
        kept.reshape(-1)[self.rng.integers(kept.size)] = True
        fan = max(int(np.prod(shape[1:])) * density, 1)
        return np.where(kept, self.normal(*shape, scale=float(np.sqrt(2 / fan))), np.float32(0))

    def linear(self, outs: int, ins: int, density: float = 1.0, bias: bool = True) -> Linear:
        return Linear(self.weight(outs, ins, density=density), self.normal(outs, scale=0.1) if bias else None)

    def conv(self, outs: int, ins: int, *kernel: int, density: float = 1.0, bias: bool = True, **settings: Any) -> Conv:
        groups = settings.get("groups", 1)
        weight = self.weight(outs, ins // groups, *kernel, density=density)
        axes = len(kernel)
        settings = {"stride": (1,) * axes, "padding": ((0, 0),) * axes, "dilation": (1,) * axes, **settings}
        return Conv(weight, self.normal(outs, scale=0.1) if bias else None, **settings)

    def batch_norm(self, channels: int) -> BatchNorm:
        var = np.abs(self.normal(channels)) + 0.5
        return BatchNorm(1 + self.normal(channels, scale=0.2), self.normal(channels), self.normal(channels), var)


def chain(value: Value | tuple[int, ...], *ops: Op) -> Graph:
    """The ops, one after the other."""
    value = value if isinstance(value, Value) else Value(value)
    names = ["x", *(f"{type(op).__name__.lower()}{i}" for i, op in enumerate(ops))]
    nodes = tuple(Node(name, op, (before,)) for name, before, op in zip(names[1:], names, ops, strict=False))
    return Graph({"x": value}, (names[-1],), nodes)


def pads(*amounts: int | tuple[int, int]) -> tuple[tuple[int, int], ...]:
    return tuple((a, a) if isinstance(a, int) else a for a in amounts)
