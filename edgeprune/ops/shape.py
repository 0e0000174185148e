"""Ops that move elements and compute nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from ..graph import Array, Mask, Op, Shape, Value, in_turn
from .conv import Pads, pad_spatial
from .elementwise import Affine, Channelwise


@dataclass(frozen=True, eq=False)
class Flatten(Op):
    """(C, *spatial) to (C * positions,): channel c becomes the features c * positions ... (c + 1) * positions - 1."""

    def value(self, *ins: Value) -> Value:
        (x,) = ins
        if x.axis != 0:
            raise ValueError("expected the channels on the first axis")
        return Value((x.channels * x.positions,))

    def run(self, *arrays: Array) -> Array:
        return arrays[0].reshape(len(arrays[0]), -1)

    def constant(self, ins: Sequence[Value], *constants: Array) -> Array:
        return np.repeat(constants[0], ins[0].positions)

    def needs(self, ins: Sequence[Value], out: Mask) -> tuple[Mask, ...]:
        return (np.asarray(out.reshape(ins[0].channels, -1).any(1)),)

    def ties(self, ins: Sequence[Value], out: Mask, *live: Mask) -> tuple[Mask, ...]:
        # A feature exists when its channel does, and a channel when any of its features does.
        into = live[0] | self.needs(ins, out)[0]
        return np.repeat(into, ins[0].positions), into

    def keep(self, ins: Sequence[Value], out: Mask, *live: Mask) -> Op:
        return self

    def identity(self, ins: Sequence[Value]) -> bool:
        return len(ins[0].shape) == 1


@dataclass(frozen=True, eq=False)
class Concat(Op):
    """The channels of every input, one after the other."""

    optional_inputs = True

    def value(self, *ins: Value) -> Value:
        first = ins[0]
        if any(v.axis != first.axis or v.with_channels(1) != first.with_channels(1) for v in ins):
            raise ValueError("the values differ in more than their channels")
        return first.with_channels(sum(v.channels for v in ins))

    def run(self, *arrays: Array) -> Array:
        return np.concatenate(arrays, axis=1)

    def constant(self, ins: Sequence[Value], *constants: Array) -> Array:
        return np.concatenate(constants)

    def _split(self, ins: Sequence[Value], out: Mask) -> list[Mask]:
        return np.split(out, np.cumsum([v.channels for v in ins])[:-1])

    def needs(self, ins: Sequence[Value], out: Mask) -> tuple[Mask, ...]:
        return tuple(self._split(ins, out))

    def ties(self, ins: Sequence[Value], out: Mask, *live: Mask) -> tuple[Mask, ...]:
        out = out | np.concatenate(live)
        return (out, *self._split(ins, out))

    def keep(self, ins: Sequence[Value], out: Mask, *live: Mask) -> Op:
        return self

    def identity(self, ins: Sequence[Value]) -> bool:
        return len(ins) == 1


@dataclass(frozen=True, eq=False)
class Select(Op):
    """Output channel j is input channel `index[j]`, or zero where `index[j]` is -1: slices, shuffles and zero channels."""

    index: Array  # int64, [out]
    axis: int = 0

    def value(self, *ins: Value) -> Value:
        (x,) = ins
        if x.axis != self.axis or self.index.max(initial=-1) >= x.channels:
            raise ValueError(f"expected more than {self.index.max(initial=-1)} channels on axis {self.axis}")
        return x.with_channels(len(self.index))

    def run(self, *arrays: Array) -> Array:
        (x,) = arrays
        taken = np.take(x, np.maximum(self.index, 0), axis=self.axis + 1)
        empty = (self.index < 0).reshape([-1 if i == self.axis + 1 else 1 for i in range(x.ndim)])
        return np.where(empty, x.dtype.type(0), taken) if empty.any() else taken

    def held(self) -> Array:
        """Per output channel, what it holds where it selects nothing."""
        return np.zeros(len(self.index))

    def constant(self, ins: Sequence[Value], *constants: Array) -> Array:
        return np.where(self.index < 0, 0.0, constants[0][np.maximum(self.index, 0)])

    def needs(self, ins: Sequence[Value], out: Mask) -> tuple[Mask, ...]:
        into = np.zeros(ins[0].channels, bool)
        into[self.index[out & (self.index >= 0)]] = True
        return (into,)

    def ties(self, ins: Sequence[Value], out: Mask, *live: Mask) -> tuple[Mask, ...]:
        # A channel nobody selects is dropped here at no cost, so live inputs drag nothing along.
        return out, live[0] | self.needs(ins, out)[0]

    def without_shift(self, ins: Sequence[Value], *missing: Array) -> tuple[Op, Array] | None:
        return self, np.where(self.index < 0, 0.0, missing[0][np.maximum(self.index, 0)])

    def keep(self, ins: Sequence[Value], out: Mask, *live: Mask) -> Op:
        place = np.cumsum(live[0]) - 1
        index = self.index[out]
        return replace(self, index=np.where(index < 0, -1, place[np.maximum(index, 0)]))

    def identity(self, ins: Sequence[Value]) -> bool:
        return np.array_equal(self.index, np.arange(ins[0].channels))


@dataclass(frozen=True, eq=False)
class Scatter(Select):
    """Select, with a number for each output channel whose index is -1 in place of zero."""

    fill: Array = field(kw_only=True)  # as many as there are -1, in their order

    def held(self) -> Array:
        """Per output channel, what it holds where it selects nothing; 0 elsewhere."""
        held = np.zeros(len(self.index), self.fill.dtype)
        held[self.index < 0] = self.fill
        return held

    def run(self, *arrays: Array) -> Array:
        return in_turn(self.plain(())[0], *arrays)

    def constant(self, ins: Sequence[Value], *constants: Array) -> Array:
        return np.where(self.index < 0, self.held(), super().constant(ins, *constants))

    def keep(self, ins: Sequence[Value], out: Mask, *live: Mask) -> Op:
        small = super().keep(ins, out, *live)
        assert isinstance(small, Select)
        return selection(small.index, self.held()[out], self.axis)

    def plain(self, ins: Sequence[Value]) -> tuple[tuple[Op, ...], int]:
        held = self.held()
        return (Select(self.index, self.axis), Affine(np.ones_like(held), held, self.axis)), 1


def selection(index: Array, held: Array, axis: int) -> Select:
    """The selection of these channels; where the index is -1 it holds that channel's number."""
    fill = held[index < 0]
    return Scatter(index, axis, fill=fill) if fill.any() else Select(index, axis)


@dataclass(frozen=True, eq=False)
class Slice(Channelwise):
    """Every `step`-th place from `start` along each spatial axis; `stop` None means to the end."""

    start: Shape
    stop: tuple[int | None, ...]
    step: Shape

    def _slices(self) -> tuple[slice, ...]:
        return tuple(slice(a, b, s) for a, b, s in zip(self.start, self.stop, self.step, strict=True))

    def value(self, *ins: Value) -> Value:
        (x,) = ins
        if x.axis != 0 or len(x.shape) != len(self.start) + 1:
            raise ValueError(f"expected channels and {len(self.start)} spatial axes")
        places = tuple(len(range(n)[s]) for n, s in zip(x.shape[1:], self._slices(), strict=True))
        if min(places) < 1:
            raise ValueError("nothing is left of the value")
        return Value((x.channels, *places))

    def run(self, *arrays: Array) -> Array:
        return arrays[0][(slice(None), slice(None), *self._slices())]

    def constant(self, ins: Sequence[Value], *constants: Array) -> Array:
        return constants[0]

    def identity(self, ins: Sequence[Value]) -> bool:
        return self.value(*ins) == ins[0]


@dataclass(frozen=True, eq=False)
class Pad(Channelwise):
    """`amount` = (before, after) places of `fill` around each spatial axis."""

    amount: Pads
    fill: float = 0.0

    def value(self, *ins: Value) -> Value:
        (x,) = ins
        if x.axis != 0 or len(x.shape) != len(self.amount) + 1:
            raise ValueError(f"expected channels and {len(self.amount)} spatial axes")
        sizes = (n + sum(p) for n, p in zip(x.shape[1:], self.amount, strict=True))
        return Value((x.channels, *sizes))

    def run(self, *arrays: Array) -> Array:
        return pad_spatial(arrays[0], self.amount, self.fill)

    def constant(self, ins: Sequence[Value], *constants: Array) -> Array:
        if self.identity(ins):
            return constants[0]
        return np.where(constants[0] == self.fill, constants[0], np.nan)

    def identity(self, ins: Sequence[Value]) -> bool:
        return not any(any(p) for p in self.amount)
