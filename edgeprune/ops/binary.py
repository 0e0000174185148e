"""Sums and products of two values, with one-sized axes stretched."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from ..graph import Array, Op, Value
from .elementwise import Affine, Channelwise


class _Binary(Channelwise):
    """Two values of as many axes, the channels on the same one, other axes equal or 1."""

    def value(self, *ins: Value) -> Value:
        a, b = ins
        if len(a.shape) != len(b.shape) or a.axis != b.axis or a.channels != b.channels:
            raise ValueError("the two values do not line up channel by channel")
        return Value(tuple(np.broadcast_shapes(a.shape, b.shape)), a.axis)

    def _constant_side(self, ins: Sequence[Value], constants: Sequence[Array]) -> int | None:
        """The position of an all-constant input that the other one covers in size."""
        shape = self.value(*ins).shape
        for side in (1, 0):
            if not np.isnan(constants[side]).any() and ins[1 - side].shape == shape:
                return side
        return None


@dataclass(frozen=True, eq=False)
class Add(_Binary):
    """`a + b`."""

    def run(self, *arrays: Array) -> Array:
        return arrays[0] + arrays[1]  # type: ignore[no-any-return]

    def constant(self, ins: Sequence[Value], *constants: Array) -> Array:
        return constants[0] + constants[1]

    def without_shift(self, ins: Sequence[Value], *missing: Array) -> tuple[Op, Array] | None:
        return self, missing[0] + missing[1]

    def without_constants(self, ins: Sequence[Value], *constants: Array) -> tuple[Op, tuple[int, ...]] | None:
        side = self._constant_side(ins, constants)
        if side is None:
            return None
        shift = constants[side]
        return Affine(np.ones_like(shift), shift, ins[0].axis), (1 - side,)


@dataclass(frozen=True, eq=False)
class Mul(_Binary):
    """`a * b`."""

    def run(self, *arrays: Array) -> Array:
        return arrays[0] * arrays[1]  # type: ignore[no-any-return]

    def constant(self, ins: Sequence[Value], *constants: Array) -> Array:
        a, b = constants
        return np.where((a == 0) | (b == 0), 0.0, a * b)

    def without_constants(self, ins: Sequence[Value], *constants: Array) -> tuple[Op, tuple[int, ...]] | None:
        side = self._constant_side(ins, constants)
        if side is None:
            return None
        scale = constants[side]
        return Affine(scale, np.zeros_like(scale), ins[0].axis), (1 - side,)


BINARY: dict[str, Callable[[Array, Array], Array]] = {
    "div": np.divide, "min": np.minimum, "max": np.maximum, "pow": np.power,
}  # fmt: skip


@dataclass(frozen=True, eq=False)
class Binary(_Binary):
    """A function of two elements, by its name in BINARY."""

    kind: str

    def run(self, *arrays: Array) -> Array:
        return BINARY[self.kind](*arrays)

    def constant(self, ins: Sequence[Value], *constants: Array) -> Array:
        with np.errstate(all="ignore"):
            found = BINARY[self.kind](*constants)
        return np.where(np.isnan(constants[0]) | np.isnan(constants[1]) | ~np.isfinite(found), np.nan, found)
