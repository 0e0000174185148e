"""Reshapes and permutations: elements move, nothing is computed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..graph import Array, Mask, Op, Shape, Value


@dataclass(frozen=True, eq=False)
class Rearrange(Op):
    """Splits every axis into factors, permutes the factors, and merges them into new axes.

    `split`: the factors of each input axis, at most one of them -1 for "the rest"; an axis of size 1 has none. `order`: the
    permutation of all factors. `merge`: how many of them make each output axis; none makes an axis of size 1.
    `before` and `axis` are the channel axes of the input and of the output. The two have one factor in common, which is the
    channel axis' -1 (removal changes it and nothing else), or none: then the channels become positions and all of them stay.

    Windows of 7 x 7 places from a map: split=((-1,), (-1, 7), (-1, 7)), order=(1, 3, 2, 4, 0), merge=(2, 2, 1), axis=2.
    """

    split: tuple[tuple[int, ...], ...]
    order: tuple[int, ...]
    merge: tuple[int, ...]
    before: int = 0
    axis: int = 0

    def factors(self, shape: Shape) -> Shape:
        """The sizes of all factors, in the input's order."""
        if len(shape) != len(self.split):
            raise ValueError(f"expected {len(self.split)} axes")
        sizes: list[int] = []
        for n, factors in zip(shape, self.split, strict=True):
            known = math.prod(f for f in factors if f != -1)
            if n % known or (-1 not in factors and n != known):
                raise ValueError(f"an axis of {n} does not split into {factors}")
            sizes.extend(n // known if f == -1 else f for f in factors)
        return tuple(sizes)

    def _merged(self, sizes: Shape) -> Shape:
        moved = [sizes[i] for i in self.order]
        ends = np.cumsum(self.merge)
        return tuple(math.prod(moved[e - m : e]) for m, e in zip(self.merge, ends, strict=True))

    def value(self, *ins: Value) -> Value:
        (x,) = ins
        if x.axis != self.before:
            raise ValueError(f"expected the channels on axis {self.before}")
        return Value(self._merged(self.factors(x.shape)), self.axis)

    def run(self, *arrays: Array) -> Array:
        (x,) = arrays
        sizes = self.factors(x.shape[1:])
        moved = x.reshape(len(x), *sizes).transpose(0, *(i + 1 for i in self.order))
        return moved.reshape(len(x), *self._merged(sizes))

    def _channel_factors(self) -> tuple[list[int], list[int], int | None]:
        """The factors on the input's channel axis, on the output's, and the one they share."""
        start = sum(len(f) for f in self.split[: self.before])
        inside = list(range(start, start + len(self.split[self.before])))
        first = sum(self.merge[: self.axis])
        outside = list(self.order[first : first + self.merge[self.axis]])
        shared = [f for f in inside if f in outside]
        return inside, outside, shared[0] if shared else None

    def _shared_index(self, ins: Sequence[Value]) -> tuple[Array, Array]:
        """For every input channel and every output channel, its place along the factor the two axes share."""
        sizes = self.factors(ins[0].shape)
        inside, outside, shared = self._channel_factors()

        def places(factors: list[int]) -> Array:
            grids = np.indices([sizes[f] for f in factors]) if factors else np.zeros((1, 1), int)
            return grids[factors.index(shared)].reshape(-1) if shared in factors else np.zeros(grids[0].size, int)

        return places(inside), places(outside)

    def constant(self, ins: Sequence[Value], *constants: Array) -> Array:
        into, out = self._shared_index(ins)
        held = np.full(int(into.max(initial=0)) + 1, np.nan)
        for place in range(len(held)):
            candidates = constants[0][into == place]
            # Channels that become positions of one channel make a constant only when they are the same one.
            if not np.isnan(candidates).any() and (candidates == candidates[0]).all():
                held[place] = candidates[0]
        return held[out]

    def needs(self, ins: Sequence[Value], out: Mask) -> tuple[Mask, ...]:
        into, outside = self._shared_index(ins)
        wanted = np.zeros(int(into.max(initial=0)) + 1, bool)
        wanted[outside[out]] = True
        return (wanted[into],)

    def ties(self, ins: Sequence[Value], out: Mask, *live: Mask) -> tuple[Mask, ...]:
        into, outside = self._shared_index(ins)
        wanted = np.zeros(int(into.max(initial=0)) + 1, bool)
        wanted[outside[out]] = True
        wanted[into[live[0]]] = True
        return wanted[outside], wanted[into]

    def keep(self, ins: Sequence[Value], out: Mask, *live: Mask) -> Op:
        return self

    def identity(self, ins: Sequence[Value]) -> bool:
        return self.order == tuple(range(len(self.order))) and self.value(*ins) == ins[0]
