"""Ops on positions: places are joined, cut, picked, rolled and summed up; channels stay what they are."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from ..graph import Array, Mask, Op, Shape, Value
from .elementwise import Channelwise


@dataclass(frozen=True, eq=False)
class Constant(Op):
    """The same array for every input, whose values it does not read: class tokens, position embeddings, learned queries."""

    weight: Array  # the value's shape
    axis: int = 0

    def value(self, *ins: Value) -> Value:
        return Value(self.weight.shape, self.axis)

    def run(self, *arrays: Array) -> Array:
        return np.broadcast_to(self.weight, (len(arrays[0]), *self.weight.shape))

    def constant(self, ins: Sequence[Value], *constants: Array) -> Array:
        by_channel = np.moveaxis(self.weight, self.axis, 0).reshape(self.weight.shape[self.axis], -1).astype(np.float64)
        return np.where((by_channel == by_channel[:, :1]).all(1), by_channel[:, 0], np.nan)

    def needs(self, ins: Sequence[Value], out: Mask) -> tuple[Mask, ...]:
        return (np.zeros(ins[0].channels, bool),)

    def ties(self, ins: Sequence[Value], out: Mask, *live: Mask) -> tuple[Mask, ...]:
        return out, live[0]

    def keep(self, ins: Sequence[Value], out: Mask, *live: Mask) -> Op:
        return replace(self, weight=np.compress(out, self.weight, self.axis))

    def silence(self, unneeded: Mask) -> Op:
        kept = np.compress(unneeded, self.weight, self.axis)
        if not kept.any():
            return self
        line = unneeded.reshape([-1 if i == self.axis else 1 for i in range(self.weight.ndim)])
        return replace(self, weight=np.where(line, self.weight.dtype.type(0), self.weight))


@dataclass(frozen=True, eq=False)
class Join(Op):
    """The inputs one after the other along any axis; `channels` is the channel axis."""

    along: int
    channels: int

    @property
    def optional_inputs(self) -> bool:  # type: ignore[override]
        return self.along == self.channels

    def value(self, *ins: Value) -> Value:
        first = ins[0]
        shapes = [list(v.shape) for v in ins]
        total = sum(s[self.along] for s in shapes)
        for s in shapes:
            s[self.along] = 1
        if any(v.axis != self.channels for v in ins) or any(s != shapes[0] for s in shapes):
            raise ValueError(f"the values differ in more than their places along axis {self.along}")
        shape = list(first.shape)
        shape[self.along] = total
        return Value(tuple(shape), self.channels)

    def run(self, *arrays: Array) -> Array:
        return np.concatenate(arrays, axis=self.along + 1)

    def constant(self, ins: Sequence[Value], *constants: Array) -> Array:
        if self.along == self.channels:
            return np.concatenate(constants)
        same = np.all([c == constants[0] for c in constants], axis=0)
        return np.where(same, constants[0], np.nan)

    def needs(self, ins: Sequence[Value], out: Mask) -> tuple[Mask, ...]:
        if self.along == self.channels:
            return tuple(np.split(out, np.cumsum([v.channels for v in ins])[:-1]))
        return tuple(out for _ in ins)

    def ties(self, ins: Sequence[Value], out: Mask, *live: Mask) -> tuple[Mask, ...]:
        every = out | np.concatenate(live) if self.along == self.channels else np.logical_or.reduce([out, *live])
        return (every, *self.needs(ins, every))

    def keep(self, ins: Sequence[Value], out: Mask, *live: Mask) -> Op:
        return self

    def identity(self, ins: Sequence[Value]) -> bool:
        return len(ins) == 1


@dataclass(frozen=True, eq=False)
class _Moves(Channelwise):
    """Channelwise ops whose output holds only elements of the input."""

    def constant(self, ins: Sequence[Value], *constants: Array) -> Array:
        return constants[0]


@dataclass(frozen=True, eq=False)
class Cut(_Moves):
    """Every `step`-th place from `start` along one axis of positions; `stop` None means to the end."""

    along: int
    start: int = 0
    stop: int | None = None
    step: int = 1

    def value(self, *ins: Value) -> Value:
        (x,) = ins
        if x.axis == self.along or self.along >= len(x.shape):
            raise ValueError(f"axis {self.along} holds no positions")
        places = len(range(x.shape[self.along])[self.start : self.stop : self.step])
        if places < 1:
            raise ValueError("nothing is left of the value")
        return Value((*x.shape[: self.along], places, *x.shape[self.along + 1 :]), x.axis)

    def run(self, *arrays: Array) -> Array:
        return arrays[0][(slice(None),) * (self.along + 1) + (slice(self.start, self.stop, self.step),)]

    def identity(self, ins: Sequence[Value]) -> bool:
        return self.step == 1 and self.value(*ins) == ins[0]


@dataclass(frozen=True, eq=False)
class Take(_Moves):
    """The places named in `index` along one axis of positions."""

    index: Array  # int64
    along: int

    def value(self, *ins: Value) -> Value:
        (x,) = ins
        if x.axis == self.along or self.along >= len(x.shape):
            raise ValueError(f"axis {self.along} holds no positions")
        if self.index.min() < 0 or self.index.max() >= x.shape[self.along]:
            raise ValueError(f"axis {self.along} has {x.shape[self.along]} places, not {int(self.index.max()) + 1}")
        return Value((*x.shape[: self.along], len(self.index), *x.shape[self.along + 1 :]), x.axis)

    def run(self, *arrays: Array) -> Array:
        return np.take(arrays[0], self.index, self.along + 1)

    def identity(self, ins: Sequence[Value]) -> bool:
        return np.array_equal(self.index, np.arange(ins[0].shape[self.along]))


@dataclass(frozen=True, eq=False)
class Roll(_Moves):
    """Places move by `shifts`, one number per axis, and come in again at the other end; 0 on the channel axis."""

    shifts: Shape

    def value(self, *ins: Value) -> Value:
        (x,) = ins
        if len(x.shape) != len(self.shifts) or self.shifts[x.axis]:
            raise ValueError(f"shifts {self.shifts} are not one per axis, 0 for the channels")
        return x

    def run(self, *arrays: Array) -> Array:
        return np.roll(arrays[0], self.shifts, tuple(range(1, len(self.shifts) + 1)))

    def identity(self, ins: Sequence[Value]) -> bool:
        return all(s % n == 0 for s, n in zip(self.shifts, ins[0].shape, strict=True))


REDUCTIONS: dict[str, Callable[..., Array]] = {"mean": np.mean, "sum": np.sum, "max": np.max, "min": np.min}


@dataclass(frozen=True, eq=False)
class Reduce(Channelwise):
    """One number for all places along `axes`, by its name in REDUCTIONS; the axes stay with size 1 when `keepdims`."""

    kind: str
    axes: Shape
    keepdims: bool = False

    def value(self, *ins: Value) -> Value:
        (x,) = ins
        if x.axis in self.axes or max(self.axes) >= len(x.shape):
            raise ValueError(f"axes {self.axes} are not all positions")
        if self.keepdims:
            return Value(tuple(1 if i in self.axes else n for i, n in enumerate(x.shape)), x.axis)
        shape = tuple(n for i, n in enumerate(x.shape) if i not in self.axes)
        return Value(shape, x.axis - sum(a < x.axis for a in self.axes))

    def run(self, *arrays: Array) -> Array:
        (x,) = arrays
        reduced = REDUCTIONS[self.kind](x, axis=tuple(a + 1 for a in self.axes), keepdims=self.keepdims)
        return np.asarray(reduced, x.dtype)

    def constant(self, ins: Sequence[Value], *constants: Array) -> Array:
        if self.kind == "sum":
            return constants[0] * float(np.prod([ins[0].shape[a] for a in self.axes]))
        return constants[0]

    def identity(self, ins: Sequence[Value]) -> bool:
        return self.value(*ins) == ins[0]
