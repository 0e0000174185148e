"""Transposed convolution."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ..graph import Array, Mask, Op, Shape, Value
from .conv import balanced
from .linear import affine_bias


@dataclass(frozen=True, eq=False)
class ConvTranspose(Op):
    """Every place of the input adds its kernel to the output, `stride` places apart. weight: [in, out / groups, *kernel].

    `padding` places are cut off around the result; `extra` are added at the end of each axis.
    """

    weight: Array
    bias: Array | None = None
    stride: Shape = (1, 1)
    padding: Shape = (0, 0)
    extra: Shape = (0, 0)
    dilation: Shape = (1, 1)
    groups: int = 1

    @property
    def kernel(self) -> Shape:
        return self.weight.shape[2:]

    @property
    def outs(self) -> int:
        return self.weight.shape[1] * self.groups

    def _sizes(self, size: Sequence[int]) -> Shape:
        """The result's spatial size before the padding is cut off."""
        return tuple(
            (n - 1) * s + d * (k - 1) + 1 + e
            for n, s, d, k, e in zip(size, self.stride, self.dilation, self.kernel, self.extra, strict=True)
        )

    def value(self, *ins: Value) -> Value:
        (x,) = ins
        if x.axis != 0 or len(x.shape) != len(self.kernel) + 1 or x.channels != len(self.weight):
            raise ValueError(f"expected {len(self.weight)} channels and {len(self.kernel)} spatial axes")
        places = tuple(n - 2 * p for n, p in zip(self._sizes(x.shape[1:]), self.padding, strict=True))
        if min(places) < 1:
            raise ValueError("the padding cuts everything off")
        return Value((self.outs, *places))

    def run(self, *arrays: Array) -> Array:
        (x,) = arrays
        batch, size = len(x), x.shape[2:]
        per_out = self.weight.shape[1]
        full = self._sizes(size)
        y = np.zeros((batch, self.groups, per_out, *full), np.result_type(x, self.weight))
        grouped = x.reshape(batch, self.groups, -1, int(np.prod(size)))
        weight = self.weight.reshape(self.groups, -1, per_out, *self.kernel)
        for tap in itertools.product(*map(range, self.kernel)):
            at: Any = (..., *tap)
            w = weight[at]
            if not w.any():
                continue
            starts = [t * d for t, d in zip(tap, self.dilation, strict=True)]
            where = tuple(slice(b, b + s * (n - 1) + 1, s) for b, s, n in zip(starts, self.stride, size, strict=True))
            part = np.swapaxes(w, 1, 2) @ grouped
            y[(slice(None), slice(None), slice(None), *where)] += part.reshape(batch, self.groups, per_out, *size)
        inner = tuple(slice(p, n - p) for p, n in zip(self.padding, full, strict=True))
        y = y.reshape(batch, self.outs, *full)[(slice(None), slice(None), *inner)]
        return y if self.bias is None else y + self.bias.reshape(-1, *(1 for _ in size))

    def _reads(self) -> Mask:
        """[out, in]: which inputs each output reads."""
        flags = (self.weight != 0).reshape(*self.weight.shape[:2], -1).any(2)
        ins, per_out = flags.shape
        wide = np.zeros((ins, self.groups, per_out), bool)
        wide[np.arange(ins), np.arange(ins) * self.groups // ins] = flags
        return wide.reshape(ins, -1).T

    def constant(self, ins: Sequence[Value], *constants: Array) -> Array:
        # How many taps meet at a place differs from place to place, so only zeros add up to a constant.
        varies = (self._reads() & (constants[0] != 0)).any(1)
        bias = np.zeros(self.outs) if self.bias is None else self.bias.astype(np.float64)
        return np.where(varies, np.nan, bias)

    def needs(self, ins: Sequence[Value], out: Mask) -> tuple[Mask, ...]:
        return (np.asarray(self._reads()[out].any(0)),)

    def ties(self, ins: Sequence[Value], out: Mask, *live: Mask) -> tuple[Mask, ...]:
        return (out, live[0]) if self.groups == 1 else balanced(self.groups, out, live[0])

    def keep(self, ins: Sequence[Value], out: Mask, *live: Mask) -> Op:
        (into,) = live
        bias = None if self.bias is None else self.bias[out]
        if self.groups == 1:
            return replace(self, weight=self.weight[into][:, out], bias=bias)
        members = out.reshape(self.groups, -1)
        group_of_in = np.repeat(np.arange(self.groups), len(into) // self.groups)[into]
        rows = [self.weight[i][members[g]] for i, g in zip(np.flatnonzero(into), group_of_in, strict=True)]
        return replace(self, weight=np.stack(rows), bias=bias, groups=int(members.any(1).sum()))

    def _rows(self, per_output: Array) -> Array:
        """One entry an output, shaped to broadcast against the weight."""
        by_group = per_output.reshape(self.groups, -1)
        ins = len(self.weight)
        return by_group[np.arange(ins) * self.groups // ins].reshape(ins, -1, *(1 for _ in self.kernel))

    def silence(self, unneeded: Mask) -> Op:
        gone = self._rows(unneeded)
        bias = self.bias
        if not (self.weight * gone).any() and (bias is None or not bias[unneeded].any()):
            return self
        zero = self.weight.dtype.type(0)
        return replace(
            self, weight=np.where(gone, zero, self.weight), bias=None if bias is None else np.where(unneeded, zero, bias)
        )

    def absorb(self, ins: Sequence[Value], carriers: Sequence[int | None], *constants: Array) -> Op:
        (c,), (carrier,) = constants, carriers
        read = self._reads().any(0)
        weight = self.weight.astype(np.float64)
        changed = (c == 0) & read
        weight[changed] = 0
        held = ~np.isnan(c) & (c != 0) & read
        # As a padded convolution does: one constant channel stands for all, with the sum of their kernels.
        if self.groups == 1 and carrier is not None and (held & (np.arange(len(c)) != carrier)).any():
            stand_in = np.tensordot(np.where(held, np.nan_to_num(c), 0.0) / c[carrier], weight, axes=1)
            if not held[carrier]:
                stand_in = stand_in + weight[carrier]
            weight[held] = 0
            weight[carrier] = stand_in
            changed = changed | held
        return replace(self, weight=weight.astype(self.weight.dtype)) if changed.any() else self

    def then_affine(self, scale: Array, shift: Array) -> Op | None:
        weight = (self.weight.astype(np.float64) * self._rows(scale)).astype(self.weight.dtype)
        return replace(self, weight=weight, bias=affine_bias(self.bias, scale, shift, weight.dtype))

    def multiply_adds(self, ins: Sequence[Value]) -> int:
        return self.weight.size * ins[0].positions
