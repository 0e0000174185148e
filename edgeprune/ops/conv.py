"""Convolutions of one, two and three dimensions, grouped and depthwise ones included."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from ..graph import Array, Mask, Op, Shape, Value
from .linear import affine_bias

Pads = tuple[tuple[int, int], ...]


def windows(size: Sequence[int], kernel: Sequence[int], stride: Sequence[int], dilation: Sequence[int]) -> Shape:
    """How many places a window has along each padded axis."""
    return tuple((n - d * (k - 1) - 1) // s + 1 for n, k, s, d in zip(size, kernel, stride, dilation, strict=True))


def pad_spatial(x: Array, pads: Pads, value: float = 0.0) -> Array:
    """x: [batch, channels, *spatial], with `value` around the spatial axes."""
    if not any(any(p) for p in pads):
        return x
    return np.pad(x, ((0, 0), (0, 0), *pads), constant_values=value)


def taps(
    x: Array, kernel: Sequence[int], stride: Sequence[int], dilation: Sequence[int]
) -> Iterator[tuple[tuple[int, ...], Array]]:
    """(tap index, the part of padded `x` that it meets at every output place), tap by tap."""
    places = windows(x.shape[2:], kernel, stride, dilation)
    for tap in itertools.product(*map(range, kernel)):
        starts = [t * d for t, d in zip(tap, dilation, strict=True)]
        where = tuple(slice(b, b + s * (n - 1) + 1, s) for b, s, n in zip(starts, stride, places, strict=True))
        yield tap, x[(slice(None), slice(None), *where)]


@dataclass(frozen=True, eq=False)
class Conv(Op):
    """Cross-correlation. weight: [out, in / groups, *kernel]; padding: (before, after) zeros per spatial axis.

    `least`: the fewest places an axis of its input may have, where its weights were made for no fewer; () for any number.
    """

    weight: Array
    bias: Array | None = None
    stride: Shape = (1, 1)
    padding: Pads = ((0, 0), (0, 0))
    dilation: Shape = (1, 1)
    groups: int = 1
    least: Shape = ()

    @property
    def kernel(self) -> Shape:
        return self.weight.shape[2:]

    @property
    def depthwise(self) -> bool:
        return self.groups > 1 and self.weight.shape[1] == 1

    @property
    def padded(self) -> bool:
        return any(any(p) for p in self.padding)

    def value(self, *ins: Value) -> Value:
        (x,) = ins
        if x.axis != 0 or len(x.shape) != len(self.kernel) + 1:
            raise ValueError(f"expected channels and {len(self.kernel)} spatial axes")
        if x.channels != self.weight.shape[1] * self.groups:
            raise ValueError(f"expected {self.weight.shape[1] * self.groups} channels")
        if any(n < least for n, least in zip(x.shape[1:], self.least, strict=False)):
            raise ValueError(f"it was made for maps of at least {self.least} places; shrink without optimize='size' for smaller")
        size = [n + sum(p) for n, p in zip(x.shape[1:], self.padding, strict=True)]
        places = windows(size, self.kernel, self.stride, self.dilation)
        if min(places) < 1:
            raise ValueError("the kernel is larger than the padded input")
        return Value((self.weight.shape[0], *places))

    def run(self, *arrays: Array) -> Array:
        x = pad_spatial(arrays[0], self.padding)
        batch, groups = x.shape[0], self.groups
        outs, per_group = self.weight.shape[0], self.weight.shape[1]
        places = windows(x.shape[2:], self.kernel, self.stride, self.dilation)
        dtype = np.result_type(x, self.weight)
        y = np.zeros((batch, groups, outs // groups, int(np.prod(places))), dtype)
        weight = self.weight.reshape(groups, outs // groups, per_group, *self.kernel)
        for tap, part in taps(x, self.kernel, self.stride, self.dilation):
            at: Any = (..., *tap)
            w = weight[at]
            if not w.any():
                continue
            part = part.reshape(batch, groups, per_group, -1)
            y += w * part if per_group == 1 else w @ part
        y = y.reshape(batch, outs, *places)
        return y if self.bias is None else y + self.bias.reshape(-1, *(1 for _ in places))

    def border_taps(self) -> Mask:
        """Which taps meet padding somewhere, at any input size. Shape: the kernel's."""
        met = np.zeros(self.kernel, bool)
        for axis, ((before, after), k, d) in enumerate(zip(self.padding, self.kernel, self.dilation, strict=True)):
            t = np.arange(k) * d
            outside = (t < before) | (t > d * (k - 1) - after)
            met |= outside.reshape([-1 if i == axis else 1 for i in range(len(self.kernel))])
        return met

    def _by_input(self, flags: Mask) -> Mask:
        """[out, in / groups] flags as [out, in]: False outside the group."""
        outs, per_group = flags.shape
        wide = np.zeros((outs, self.groups, per_group), bool)
        wide[np.arange(outs), np.arange(outs) * self.groups // outs] = flags
        return wide.reshape(outs, -1)

    @cached_property
    def _reads(self) -> tuple[Mask, Mask]:
        """[out, in]: which inputs each output reads at all, and which through a tap that meets padding."""
        nonzero = self.weight != 0
        anywhere = nonzero.reshape(*nonzero.shape[:2], -1).any(2)
        border = nonzero[:, :, self.border_taps()].any(2)
        return self._by_input(anywhere), self._by_input(border)

    def _tap_sums(self) -> Array:
        """[out, in], float64: the weights summed over taps, 0 outside the group."""
        sums = self.weight.astype(np.float64).reshape(*self.weight.shape[:2], -1).sum(2)
        outs, per_group = sums.shape
        wide = np.zeros((outs, self.groups, per_group))
        wide[np.arange(outs), np.arange(outs) * self.groups // outs] = sums
        return wide.reshape(outs, -1)

    def constant(self, ins: Sequence[Value], *constants: Array) -> Array:
        (c,) = constants
        anywhere, border = self._reads
        # A nonzero constant is no longer one where a window hangs over a padded edge.
        varies = (anywhere & np.isnan(c)).any(1) | (border & (c != 0)).any(1)
        if varies.all():
            return np.full(len(varies), np.nan)
        known = self._tap_sums() @ np.nan_to_num(c)
        if self.bias is not None:
            known = known + self.bias
        return np.where(varies, np.nan, known)

    def needs(self, ins: Sequence[Value], out: Mask) -> tuple[Mask, ...]:
        return (np.asarray(self._reads[0][out].any(0)),)

    def ties(self, ins: Sequence[Value], out: Mask, *live: Mask) -> tuple[Mask, ...]:
        (into,) = live
        return (out, into) if self.groups == 1 else balanced(self.groups, out, into)

    def keep(self, ins: Sequence[Value], out: Mask, *live: Mask) -> Op:
        (into,) = live
        bias = None if self.bias is None else self.bias[out]
        if self.groups == 1:
            return replace(self, weight=self.weight[out][:, into], bias=bias)
        group_of_out = np.repeat(np.arange(self.groups), len(out) // self.groups)[out]
        members = into.reshape(self.groups, -1)
        groups = int(members.any(1).sum())
        rows = [self.weight[o][members[g]] for o, g in zip(np.flatnonzero(out), group_of_out, strict=True)]
        return replace(self, weight=np.stack(rows), bias=bias, groups=groups)

    def silence(self, unneeded: Mask) -> Op:
        bias = self.bias
        if not self.weight[unneeded].any() and (bias is None or not bias[unneeded].any()):
            return self
        zero = self.weight.dtype.type(0)
        rows = unneeded.reshape(-1, *(1 for _ in self.weight.shape[1:]))
        return replace(
            self, weight=np.where(rows, zero, self.weight), bias=None if bias is None else np.where(unneeded, zero, bias)
        )

    def absorb(self, ins: Sequence[Value], carriers: Sequence[int | None], *constants: Array) -> Op:
        (c,), (carrier,) = constants, carriers
        if self.groups > 1:
            return self._merge_in_groups(c)._absorb_interior(c)
        _, border = self._reads
        held = ~np.isnan(c) & (c != 0) & border.any(0)
        merged = self
        if carrier is not None and (held & (np.arange(len(c)) != carrier)).any():
            weight = self.weight.astype(np.float64)
            shares = np.where(held, np.nan_to_num(c), 0.0) / c[carrier]
            stand_in = np.tensordot(weight, shares, axes=([1], [0]))
            if not held[carrier]:
                stand_in = stand_in + weight[:, carrier]
            weight = np.where(held.reshape(1, -1, *(1 for _ in self.kernel)), 0.0, weight)
            weight[:, carrier] = stand_in
            merged = replace(self, weight=weight.astype(self.weight.dtype))
        return merged._absorb_interior(c)

    def _merge_in_groups(self, c: Array) -> Conv:
        """Within each group, all constants that meet padding made one: an output reads one group only."""
        outs, per_group = self.weight.shape[:2]
        held = (~np.isnan(c) & (c != 0) & self._reads[1].any(0)).reshape(self.groups, per_group)
        crowded = np.flatnonzero(held.sum(1) > 1)
        if not crowded.size:
            return self
        weight = self.weight.astype(np.float64).reshape(self.groups, outs // self.groups, per_group, *self.kernel)
        by_group = np.nan_to_num(c).reshape(self.groups, per_group)
        for g in crowded:
            shares = np.where(held[g], by_group[g], 0.0)
            carrier = int(np.abs(shares).argmax())
            stand_in = np.tensordot(weight[g], shares / shares[carrier], axes=([1], [0]))
            weight[g][:, held[g]] = 0
            weight[g][:, carrier] = stand_in
        return replace(self, weight=weight.reshape(self.weight.shape).astype(self.weight.dtype))

    def _absorb_interior(self, c: Array) -> Conv:
        """Folds into the bias the constants that are read through no tap that meets padding, and drops zeros."""
        anywhere, border = self._reads
        held = ~np.isnan(c) & ((c == 0) | ~border.any(0)) & anywhere.any(0)
        if not held.any():
            return self
        added = self._tap_sums()[:, held] @ c[held]
        bias = self.bias
        if added.any():
            bias = affine_bias(bias, np.ones(len(added)), added, self.weight.dtype)
        outs, per_group = self.weight.shape[:2]
        group_of_out = np.arange(outs) * self.groups // outs
        gone = held.reshape(self.groups, per_group)[group_of_out]
        zero = self.weight.dtype.type(0)
        return replace(self, weight=np.where(gone.reshape(*gone.shape, *(1 for _ in self.kernel)), zero, self.weight), bias=bias)

    def without_shift(self, ins: Sequence[Value], *missing: Array) -> tuple[Op, Array] | None:
        outs = len(self.weight)
        if self._reads[1][:, missing[0] != 0].any():
            return None  # nothing is missing in the padding
        added = self._tap_sums() @ missing[0]
        return replace(self, bias=affine_bias(self.bias, np.ones(outs), added, self.weight.dtype)), np.zeros(outs)

    def then_affine(self, scale: Array, shift: Array) -> Op | None:
        by_row = scale.reshape(-1, *(1 for _ in self.weight.shape[1:]))
        weight = (self.weight.astype(np.float64) * by_row).astype(self.weight.dtype)
        return replace(self, weight=weight, bias=affine_bias(self.bias, scale, shift, weight.dtype))

    def multiply_adds(self, ins: Sequence[Value]) -> int:
        return self.weight.size * self.value(*ins).positions


def balanced(groups: int, out: Mask, into: Mask) -> tuple[Mask, Mask]:
    """The masks, grown until every group that lives has as many inputs and as many outputs as the fullest one.

    A group with no live input and no live output goes as a whole.
    """
    sides = [out.reshape(groups, -1).copy(), into.reshape(groups, -1).copy()]
    alive = sides[0].any(1) | sides[1].any(1)
    for side in sides:
        want = max(int(side.sum(1).max(initial=0)), 1)
        for g in np.flatnonzero(alive):
            spare = np.flatnonzero(~side[g])
            side[g, spare[: want - int(side[g].sum())]] = True
    return sides[0].reshape(-1), sides[1].reshape(-1)
