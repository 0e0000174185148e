"""Attention within windows that move: the same at every size of the map, whatever padding, rolling and masks that takes.

These ops are what a network says, not what runtimes have: formats take them apart at the size they write (`Op.plain`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..graph import Array, Mask, Op, Shape, Value, in_turn
from .attention import Attention
from .elementwise import Channelwise
from .positions import Cut, Roll
from .rearrange import Rearrange
from .shape import Pad

# What is added to the score of two places that came together only by rolling.
APART = -100.0
_CHANNELS_FIRST = Rearrange(((-1,), (-1,), (-1,)), (2, 0, 1), (1, 1, 1), 2, 0)
_CHANNELS_LAST = Rearrange(((-1,), (-1,), (-1,)), (1, 2, 0), (1, 1, 1), 0, 2)


def _map(x: Value) -> Shape:
    """Height and width. Raises ValueError for what is no (H, W, C)."""
    if len(x.shape) != 3 or x.axis != 2:
        raise ValueError("expected a map with its channels last")
    return x.shape[:2]


def _up_to(size: Sequence[int], multiple: Shape) -> Shape:
    return tuple(-(-n // m) * m for n, m in zip(size, multiple, strict=True))


@dataclass(frozen=True, eq=False)
class PadTo(Channelwise):
    """(H, W, C) with zeros below and to the right, up to the next multiples of `multiple`."""

    multiple: Shape

    def value(self, *ins: Value) -> Value:
        return Value((*_up_to(_map(ins[0]), self.multiple), ins[0].channels), 2)

    def run(self, *arrays: Array) -> Array:
        return in_turn(self.plain((Value(arrays[0].shape[1:], 2),))[0], arrays[0])

    def constant(self, ins: Sequence[Value], *constants: Array) -> Array:
        # At another size there may be padding where there is none at this one.
        return np.where(constants[0] == 0, 0.0, np.nan)

    def plain(self, ins: Sequence[Value]) -> tuple[tuple[Op, ...], int]:
        amount = self._amount(ins[0])
        return ((_CHANNELS_FIRST, amount, _CHANNELS_LAST) if amount else ()), 1

    def _amount(self, x: Value) -> Pad | None:
        size = _map(x)
        after = [m - n for n, m in zip(size, _up_to(size, self.multiple), strict=True)]
        return Pad(tuple((0, n) for n in after)) if any(after) else None


@dataclass(frozen=True)
class Grid:
    """How a map of some size falls into windows that are moved by `shift`."""

    size: Shape
    window: Shape
    shift: Shape

    @property
    def padded(self) -> Shape:
        return _up_to(self.size, self.window)

    @property
    def windows(self) -> Shape:
        return tuple(n // w for n, w in zip(self.padded, self.window, strict=True))

    @property
    def moved(self) -> Shape:
        """How far the windows are moved along each axis: not at all where there is one only."""
        return tuple(s if n > w else 0 for n, w, s in zip(self.padded, self.window, self.shift, strict=True))

    def mask(self) -> Array | None:
        """[windows, 1, places, places]: APART for two places of a window that are no neighbours in the map; None for none."""
        if not any(self.moved):
            return None
        rows, columns = (
            np.searchsorted([n - w, n - s], np.arange(n), "right") * (s > 0)
            for n, w, s in zip(self.padded, self.window, self.moved, strict=True)
        )
        region = (rows[:, None] * 3 + columns)[None, :, :, None]
        of_place = in_turn((_partition(self.window),), region)[0, :, :, 0]
        return np.where(of_place[:, None, :, None] != of_place[:, None, None, :], np.float32(APART), np.float32(0))


def _partition(window: Shape) -> Rearrange:
    return Rearrange(((-1, window[0]), (-1, window[1]), (-1,)), (0, 2, 1, 3, 4), (2, 2, 1), 2, 2)


@dataclass(frozen=True, eq=False)
class _Windowed(Channelwise):
    window: Shape
    shift: Shape

    def grid(self, x: Value) -> Grid:
        return Grid(_map(x), self.window, self.shift)


@dataclass(frozen=True, eq=False)
class ToWindows(_Windowed):
    """(H, W, C), padded with zeros and rolled by `shift`, as (windows, places, C)."""

    def value(self, *ins: Value) -> Value:
        grid = self.grid(ins[0])
        return Value((int(np.prod(grid.windows)), int(np.prod(self.window)), ins[0].channels), 2)

    def run(self, *arrays: Array) -> Array:
        return in_turn(self.plain((Value(arrays[0].shape[1:], 2),))[0], arrays[0])

    def constant(self, ins: Sequence[Value], *constants: Array) -> Array:
        return np.where(constants[0] == 0, 0.0, np.nan)

    def plain(self, ins: Sequence[Value]) -> tuple[tuple[Op, ...], int]:
        moved = self.grid(ins[0]).moved
        amount = PadTo(self.window)._amount(ins[0])
        roll = (Roll((-moved[0], -moved[1], 0)),) if any(moved) else ()
        if amount is None:
            return (*roll, _partition(self.window)), 1
        # What is padded lies channels first: it goes into windows from there.
        roll = (Roll((0, -moved[0], -moved[1])),) if any(moved) else ()
        split = ((-1,), (-1, self.window[0]), (-1, self.window[1]))
        return (_CHANNELS_FIRST, amount, *roll, Rearrange(split, (1, 3, 2, 4, 0), (2, 2, 1), 0, 2)), 1


class _LikeMap(Op):
    """Base of ops whose last input is a map (H, W, any channels) that is read for its size alone."""

    def needs(self, ins: Sequence[Value], out: Mask) -> tuple[Mask, ...]:
        return (*super().needs(ins[:-1], out), np.zeros(ins[-1].channels, bool))

    def ties(self, ins: Sequence[Value], out: Mask, *live: Mask) -> tuple[Mask, ...]:
        return (*super().ties(ins[:-1], out, *live[:-1]), live[-1])

    def keep(self, ins: Sequence[Value], out: Mask, *live: Mask) -> Op:
        return super().keep(ins[:-1], out, *live[:-1])

    def constant(self, ins: Sequence[Value], *constants: Array) -> Array:
        return super().constant(ins[:-1], *constants[:-1])

    def absorb(self, ins: Sequence[Value], carriers: Sequence[int | None], *constants: Array) -> Op:
        return super().absorb(ins[:-1], carriers[:-1], *constants[:-1])

    def without_constants(self, ins: Sequence[Value], *constants: Array) -> tuple[Op, tuple[int, ...]] | None:
        return None  # the map is no part of what is computed

    def multiply_adds(self, ins: Sequence[Value]) -> int:
        return super().multiply_adds(ins[:-1])


@dataclass(frozen=True, eq=False)
class _Back(_Windowed):
    def value(self, *ins: Value) -> Value:
        return ins[0]

    def constant(self, ins: Sequence[Value], *constants: Array) -> Array:
        return constants[0]


@dataclass(frozen=True, eq=False)
class FromWindows(_LikeMap, _Back):
    """What `ToWindows` does, undone: (windows, places, C) and a map for its size, as (H, W, C)."""

    def value(self, *ins: Value) -> Value:
        x, like = ins
        grid = self.grid(like)
        if x.axis != 2 or x.shape[:2] != (int(np.prod(grid.windows)), int(np.prod(self.window))):
            raise ValueError(f"expected windows of {self.window} places of a map {grid.size}, channels last")
        return Value((*grid.size, x.channels), 2)

    def run(self, *arrays: Array) -> Array:
        x, like = (Value(a.shape[1:], 2) for a in arrays)
        return in_turn(self.plain((x, like))[0], arrays[0])

    def plain(self, ins: Sequence[Value]) -> tuple[tuple[Op, ...], int]:
        grid = self.grid(ins[1])
        split = ((-1, grid.windows[1]), (-1, self.window[1]), (-1,))
        ops: list[Op] = [Rearrange(split, (0, 2, 1, 3, 4), (2, 2, 1), 2, 2)]
        if any(grid.moved):
            ops.append(Roll((*grid.moved, 0)))
        ops.extend(Cut(axis, 0, n) for axis, n in enumerate(grid.size) if n != grid.padded[axis])
        return tuple(ops), 1


@dataclass(frozen=True, eq=False)
class WindowAttention(_LikeMap, Attention):
    """Attention within each window, blind to places that only rolling brought there. Reads q, k, v and the map for its size.

    `bias`: [heads or 1, places, places], the same for every window.
    """

    window: Shape = (1, 1)
    shift: Shape = (0, 0)

    def attention(self, like: Value) -> Attention:
        """The same on a map of one size."""
        mask = Grid(_map(like), self.window, self.shift).mask()
        bias = self.bias
        if mask is not None:
            dtype = np.dtype(np.float32) if bias is None else bias.dtype
            bias = mask.astype(dtype) if bias is None else bias + mask.astype(dtype)
        return Attention(self.heads, self.scale, bias, self.gain, self.cosine, self.pairs)

    def value(self, *ins: Value) -> Value:
        *qkv, like = ins
        return self.attention(like).value(*qkv)

    def run(self, *arrays: Array) -> Array:
        *qkv, like = arrays
        return self.attention(Value(like.shape[1:], 2)).run(*qkv)

    def plain(self, ins: Sequence[Value]) -> tuple[tuple[Op, ...], int]:
        return (self.attention(ins[3]),), 3
