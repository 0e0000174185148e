"""Normalisation by statistics taken while running."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from ..graph import Array, Mask, Op, Value
from .elementwise import per_channel


def _same_channels(weight: Array, axis: int, ins: Sequence[Value]) -> Value:
    if ins[0].channels != len(weight) or ins[0].axis != axis:
        raise ValueError(f"expected {len(weight)} channels on axis {axis}")
    return ins[0]


@dataclass(frozen=True, eq=False)
class LayerNorm(Op):
    """`(x - mean) / sqrt(var + eps) * weight + bias`, with mean and variance over the channels of each position.

    A channel that holds a constant is a part of both whatever the input, so it can leave the value and stay in the statistics:
    `absent` channels did, with this mean and this sum of squared distances from their mean. `counted` marks the channels that
    the statistics still read from the input; None stands for all. With `centred` false the mean is taken as 0 (RMS norm).
    """

    weight: Array
    bias: Array | None = None
    eps: float = 1e-5
    axis: int = 0
    centred: bool = True
    absent: int = 0
    absent_mean: float = 0.0
    absent_spread: float = 0.0
    counted: Array | None = None  # bool, [channels]

    def value(self, *ins: Value) -> Value:
        return _same_channels(self.weight, self.axis, ins)

    def run(self, *arrays: Array) -> Array:
        (x,) = arrays
        axis = self.axis + 1
        part = x if self.counted is None else np.compress(self.counted, x, axis)
        count = part.shape[axis] + self.absent
        mean: Array | float = 0.0
        if self.centred:
            mean = (part.sum(axis, keepdims=True) + self.absent * self.absent_mean) / count
        spread = np.square(part - mean).sum(axis, keepdims=True)
        if self.absent:
            spread = spread + (self.absent_spread + self.absent * np.square(self.absent_mean - mean))
        y = (x - mean) / np.sqrt(spread / count + self.eps) * per_channel(self.weight, x.ndim, axis)
        if self.bias is not None:
            y = y + per_channel(self.bias, x.ndim, axis)
        return y.astype(x.dtype, copy=False)  # type: ignore[no-any-return]

    def constant(self, ins: Sequence[Value], *constants: Array) -> Array:
        shift = np.zeros(len(self.weight)) if self.bias is None else self.bias.astype(np.float64)
        return np.where(self.weight == 0, shift, np.nan)

    def _counted(self) -> Mask:
        return np.ones(len(self.weight), bool) if self.counted is None else self.counted

    def needs(self, ins: Sequence[Value], out: Mask) -> tuple[Mask, ...]:
        wanted = out & (self.weight != 0)
        # A channel is wanted by itself and, counted, by the statistics of all others.
        return (wanted | (self._counted() & wanted.any()),)

    def ties(self, ins: Sequence[Value], out: Mask, *live: Mask) -> tuple[Mask, ...]:
        every = out | live[0]
        return every, every

    def keep(self, ins: Sequence[Value], out: Mask, *live: Mask) -> Op:
        counted = None if self.counted is None or self.counted[out].all() else self.counted[out]
        return replace(self, weight=self.weight[out], bias=None if self.bias is None else self.bias[out], counted=counted)

    def silence(self, unneeded: Mask) -> Op:
        if not self.weight[unneeded].any() and (self.bias is None or not self.bias[unneeded].any()):
            return self
        zero = self.weight.dtype.type(0)
        bias = None if self.bias is None else np.where(unneeded, zero, self.bias)
        return replace(self, weight=np.where(unneeded, zero, self.weight), bias=bias)

    def absorb(self, ins: Sequence[Value], carriers: Sequence[int | None], *constants: Array) -> Op:
        counted = self._counted()
        held = ~np.isnan(constants[0]) & counted
        # One channel stays in the statistics: no runtime takes an empty sum.
        if (held == counted).all():
            held[np.flatnonzero(held)[:1]] = False
        if not held.any():
            return self
        new = constants[0][held]
        # Sums over both sets from their means and spreads, which loses less than sums of squares.
        count = self.absent + new.size
        mean = (self.absent * self.absent_mean + new.sum()) / count
        if not self.centred:
            mean = 0.0
        spread = self.absent_spread + self.absent * (self.absent_mean - mean) ** 2 + ((new - mean) ** 2).sum()
        return replace(
            self, absent=count, absent_mean=float(mean), absent_spread=float(spread), counted=counted & ~held
        )

    def then_affine(self, scale: Array, shift: Array) -> Op | None:
        dtype = self.weight.dtype
        bias = np.zeros(len(scale)) if self.bias is None else self.bias.astype(np.float64)
        return replace(
            self, weight=(self.weight.astype(np.float64) * scale).astype(dtype), bias=(bias * scale + shift).astype(dtype)
        )


@dataclass(frozen=True, eq=False)
class GroupNorm(Op):
    """`(x - mean) / sqrt(var + eps) * weight + bias`, with statistics over every position of a group of channels.

    The channels lie on the first axis. Groups of one channel are instance norm: each channel then stands for itself.
    """

    weight: Array
    bias: Array
    groups: int
    eps: float = 1e-5

    def value(self, *ins: Value) -> Value:
        if len(self.weight) % self.groups:
            raise ValueError(f"{len(self.weight)} channels are not {self.groups} equal groups")
        return _same_channels(self.weight, 0, ins)

    def run(self, *arrays: Array) -> Array:
        (x,) = arrays
        grouped = x.reshape(len(x), self.groups, -1)
        centred = grouped - grouped.mean(2, keepdims=True)
        normed = (centred / np.sqrt(np.square(centred).mean(2, keepdims=True) + self.eps)).reshape(x.shape)
        y = normed * per_channel(self.weight, x.ndim, 1) + per_channel(self.bias, x.ndim, 1)
        return y.astype(x.dtype, copy=False)  # type: ignore[no-any-return]

    def constant(self, ins: Sequence[Value], *constants: Array) -> Array:
        held = self.weight == 0
        # A group of constants that are one and the same is at its own mean everywhere.
        by_group = constants[0].reshape(self.groups, -1)
        flat = np.repeat((by_group == by_group[:, :1]).all(1), by_group.shape[1])
        return np.where(held | flat, self.bias.astype(np.float64), np.nan)

    def _by_group(self, mask: Mask) -> Mask:
        size = len(mask) // self.groups
        return np.repeat(mask.reshape(self.groups, size).any(1), size)

    def needs(self, ins: Sequence[Value], out: Mask) -> tuple[Mask, ...]:
        return (self._by_group(out & (self.weight != 0)),)

    def ties(self, ins: Sequence[Value], out: Mask, *live: Mask) -> tuple[Mask, ...]:
        every = self._by_group(out | live[0])
        return every, every

    def keep(self, ins: Sequence[Value], out: Mask, *live: Mask) -> Op:
        groups = int(out.reshape(self.groups, -1).any(1).sum())
        return replace(self, weight=self.weight[out], bias=self.bias[out], groups=groups)

    def silence(self, unneeded: Mask) -> Op:
        if not self.weight[unneeded].any() and not self.bias[unneeded].any():
            return self
        zero = self.weight.dtype.type(0)
        return replace(self, weight=np.where(unneeded, zero, self.weight), bias=np.where(unneeded, zero, self.bias))

    def then_affine(self, scale: Array, shift: Array) -> Op | None:
        dtype = self.weight.dtype
        return replace(
            self,
            weight=(self.weight.astype(np.float64) * scale).astype(dtype),
            bias=(self.bias.astype(np.float64) * scale + shift).astype(dtype),
        )


@dataclass(frozen=True, eq=False)
class Normalize(Op):
    """The channels of each position divided by their length, which is at least `eps`."""

    axis: int = 0
    eps: float = 1e-12

    def value(self, *ins: Value) -> Value:
        if ins[0].axis != self.axis:
            raise ValueError(f"expected the channels on axis {self.axis}")
        return ins[0]

    def run(self, *arrays: Array) -> Array:
        (x,) = arrays
        length = np.sqrt(np.square(x).sum(self.axis + 1, keepdims=True))
        return x / np.maximum(length, x.dtype.type(self.eps))  # type: ignore[no-any-return]

    def constant(self, ins: Sequence[Value], *constants: Array) -> Array:
        return np.where(constants[0] == 0, 0.0, np.nan)

    def ties(self, ins: Sequence[Value], out: Mask, *live: Mask) -> tuple[Mask, ...]:
        every = out | live[0]
        return every, every

    def keep(self, ins: Sequence[Value], out: Mask, *live: Mask) -> Op:
        return self
