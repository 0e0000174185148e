"""Fully connected layers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from ..graph import Array, Mask, Op, Value


def affine_bias(bias: Array | None, scale: Array, shift: Array, dtype: np.dtype) -> Array:  # type: ignore[type-arg]
    """The bias of a layer that is followed by `x * scale + shift`."""
    start = np.zeros(len(scale)) if bias is None else bias
    folded: Array = (start.astype(np.float64) * scale + shift).astype(dtype)
    return folded


@dataclass(frozen=True, eq=False)
class Linear(Op):
    """`x @ weight.T + bias` over the last axis, which is the channel axis. weight: [out, in]."""

    weight: Array
    bias: Array | None = None

    def value(self, *ins: Value) -> Value:
        (x,) = ins
        if x.axis != len(x.shape) - 1 or x.channels != self.weight.shape[1]:
            raise ValueError(f"expected {self.weight.shape[1]} channels on the last axis")
        return x.with_channels(self.weight.shape[0])

    def run(self, *arrays: Array) -> Array:
        (x,) = arrays
        # One product of two matrices: numpy would go through the leading axes one by one.
        y = (x.reshape(-1, x.shape[-1]) @ self.weight.T).reshape(*x.shape[:-1], len(self.weight))
        return y if self.bias is None else y + self.bias

    @cached_property
    def _reads(self) -> tuple[Mask, Mask]:
        """The rows and the columns that hold any weight."""
        nonzero = self.weight != 0
        return nonzero.any(1), nonzero.any(0)

    def constant(self, ins: Sequence[Value], *constants: Array) -> Array:
        (c,) = constants
        rows, columns = self._reads
        known = ~np.isnan(c)
        # Large weights are looked at no more than they have to be.
        held = ~(self.weight[:, ~known] != 0).any(1) if (known & columns).any() else ~rows
        result = np.full(len(held), np.nan)
        result[held] = self.weight[held].astype(np.float64) @ np.nan_to_num(c)
        return result if self.bias is None else result + self.bias

    def needs(self, ins: Sequence[Value], out: Mask) -> tuple[Mask, ...]:
        return (self._reads[1] if out.all() else (self.weight[out] != 0).any(0),)

    def ties(self, ins: Sequence[Value], out: Mask, *live: Mask) -> tuple[Mask, ...]:
        return out, live[0]

    def keep(self, ins: Sequence[Value], out: Mask, *live: Mask) -> Op:
        bias = None if self.bias is None else self.bias[out]
        return replace(self, weight=self.weight[out][:, live[0]], bias=bias)

    def silence(self, unneeded: Mask) -> Op:
        bias = self.bias
        if not self.weight[unneeded].any() and (bias is None or not bias[unneeded].any()):
            return self
        zero = self.weight.dtype.type(0)
        weight = np.where(unneeded[:, None], zero, self.weight)
        return replace(self, weight=weight, bias=None if bias is None else np.where(unneeded, zero, bias))

    def absorb(self, ins: Sequence[Value], carriers: Sequence[int | None], *constants: Array) -> Op:
        (c,) = constants
        held = ~np.isnan(c) & self._reads[1]
        if not held.any():
            return self
        added = self.weight[:, held].astype(np.float64) @ c[held]
        bias = affine_bias(self.bias, np.ones(len(added)), added, self.weight.dtype)
        return replace(self, weight=np.where(held, self.weight.dtype.type(0), self.weight), bias=bias)

    def without_shift(self, ins: Sequence[Value], *missing: Array) -> tuple[Op, Array] | None:
        outs = len(self.weight)
        added = self.weight.astype(np.float64) @ missing[0]
        return replace(self, bias=affine_bias(self.bias, np.ones(outs), added, self.weight.dtype)), np.zeros(outs)

    def then_affine(self, scale: Array, shift: Array) -> Op | None:
        weight = (self.weight.astype(np.float64) * scale[:, None]).astype(self.weight.dtype)
        return replace(self, weight=weight, bias=affine_bias(self.bias, scale, shift, weight.dtype))

    def multiply_adds(self, ins: Sequence[Value]) -> int:
        return self.weight.size * ins[0].positions
