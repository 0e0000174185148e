"""Normalisation at inference."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from ..graph import Array, Mask, Op, Value
from .elementwise import Affine, Channelwise


@dataclass(frozen=True, eq=False)
class BatchNorm(Channelwise):
    """`(x - mean) / sqrt(var + eps) * weight + bias` per channel, with stored statistics."""

    weight: Array
    bias: Array
    mean: Array
    var: Array
    eps: float = 1e-5

    def value(self, *ins: Value) -> Value:
        if ins[0].channels != len(self.weight) or ins[0].axis != 0:
            raise ValueError(f"expected {len(self.weight)} channels on the first axis")
        return ins[0]

    def as_affine(self) -> tuple[Array, Array]:
        scale = self.weight / np.sqrt(self.var.astype(np.float64) + self.eps)
        return scale, self.bias - self.mean * scale

    def _affine(self) -> Affine:
        scale, shift = self.as_affine()
        return Affine(scale.astype(self.weight.dtype), shift.astype(self.weight.dtype))

    def run(self, *arrays: Array) -> Array:
        return self._affine().run(*arrays)

    def constant(self, ins: Sequence[Value], *constants: Array) -> Array:
        scale, shift = self.as_affine()
        return np.where(scale == 0, 0.0, constants[0] * scale) + shift

    def needs(self, ins: Sequence[Value], out: Mask) -> tuple[Mask, ...]:
        return (out & (self.weight != 0),)

    def keep(self, ins: Sequence[Value], out: Mask, *live: Mask) -> Op:
        return replace(self, weight=self.weight[out], bias=self.bias[out], mean=self.mean[out], var=self.var[out])

    def identity(self, ins: Sequence[Value]) -> bool:
        return self._affine().identity(ins)
