"""Ops that treat every element by itself: activations, sums and products, per-channel affine maps."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from ..graph import Array, Mask, Op, Value


def _erf(x: Array) -> Array:
    return np.vectorize(math.erf, otypes=[np.float64])(x)


def _sigmoid(x: Array) -> Array:
    # exp of a negative number only: no overflow at either end.
    small = np.exp(-np.abs(x))
    return np.where(x >= 0, 1 / (1 + small), small / (1 + small))


def _softplus(x: Array) -> Array:
    return np.logaddexp(x, 0)


# What each activation means. `a` and `b` are its settings where it has any.
ACTIVATIONS: dict[str, Callable[[Array, float, float], Array]] = {
    "relu": lambda x, a, b: np.maximum(x, 0),
    "relu6": lambda x, a, b: np.clip(x, 0, 6),
    "clip": lambda x, a, b: np.clip(x, a, b),
    "leaky_relu": lambda x, a, b: np.where(x >= 0, x, a * x),
    "elu": lambda x, a, b: np.where(x > 0, x, a * np.expm1(np.minimum(x, 0))),
    "sigmoid": lambda x, a, b: _sigmoid(x),
    "hard_sigmoid": lambda x, a, b: np.clip(x / 6 + 0.5, 0, 1),
    "tanh": lambda x, a, b: np.tanh(x),
    "silu": lambda x, a, b: x * _sigmoid(x),
    "hard_swish": lambda x, a, b: x * np.clip(x / 6 + 0.5, 0, 1),
    "mish": lambda x, a, b: x * np.tanh(_softplus(x)),
    "softplus": lambda x, a, b: _softplus(x),
    "gelu": lambda x, a, b: x * 0.5 * (1 + _erf(x / math.sqrt(2))),
    "gelu_tanh": lambda x, a, b: 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))),
    "abs": lambda x, a, b: np.abs(x),
    "neg": lambda x, a, b: -x,
    "exp": lambda x, a, b: np.exp(x),
    "sqrt": lambda x, a, b: np.sqrt(x),
}


class Channelwise(Op):
    """Base of ops whose output channel c reads channel c of every input and nothing else."""

    def needs(self, ins: Sequence[Value], out: Mask) -> tuple[Mask, ...]:
        return tuple(out for _ in ins)

    def ties(self, ins: Sequence[Value], out: Mask, *live: Mask) -> tuple[Mask, ...]:
        every = out
        for mask in live:
            every = every | mask
        return (every, *(every for _ in live))

    def keep(self, ins: Sequence[Value], out: Mask, *live: Mask) -> Op:
        return self


@dataclass(frozen=True, eq=False)
class Activation(Channelwise):
    """A function of one element, by its name in ACTIVATIONS."""

    kind: str
    a: float = 0.0
    b: float = 0.0

    def value(self, *ins: Value) -> Value:
        return ins[0]

    def run(self, *arrays: Array) -> Array:
        (x,) = arrays
        return ACTIVATIONS[self.kind](x, self.a, self.b).astype(x.dtype)

    def constant(self, ins: Sequence[Value], *constants: Array) -> Array:
        (c,) = constants
        known = ~np.isnan(c)
        result = np.full(c.shape, np.nan)
        if known.any():
            result[known] = ACTIVATIONS[self.kind](c[known], self.a, self.b)
        return result


@dataclass(frozen=True, eq=False)
class Affine(Channelwise):
    """`x * scale + shift` per channel; the channels lie on `axis` of the value."""

    scale: Array
    shift: Array
    axis: int = 0

    def value(self, *ins: Value) -> Value:
        if ins[0].channels != len(self.scale) or ins[0].axis != self.axis:
            raise ValueError(f"expected {len(self.scale)} channels on axis {self.axis}")
        return ins[0]

    def run(self, *arrays: Array) -> Array:
        (x,) = arrays
        return x * per_channel(self.scale, x.ndim, self.axis + 1) + per_channel(self.shift, x.ndim, self.axis + 1)

    def constant(self, ins: Sequence[Value], *constants: Array) -> Array:
        # A scale of zero forgets the input, so the channel is constant whatever it reads.
        return np.where(self.scale == 0, 0.0, constants[0] * self.scale.astype(np.float64)) + self.shift

    def needs(self, ins: Sequence[Value], out: Mask) -> tuple[Mask, ...]:
        return (out & (self.scale != 0),)

    def keep(self, ins: Sequence[Value], out: Mask, *live: Mask) -> Op:
        return replace(self, scale=self.scale[out], shift=self.shift[out])

    def identity(self, ins: Sequence[Value]) -> bool:
        return bool((self.scale == 1).all() and (self.shift == 0).all())

    def as_affine(self) -> tuple[Array, Array] | None:
        return self.scale, self.shift

    def then_affine(self, scale: Array, shift: Array) -> Op | None:
        return replace(
            self,
            scale=(self.scale.astype(np.float64) * scale).astype(self.scale.dtype),
            shift=(self.shift.astype(np.float64) * scale + shift).astype(self.shift.dtype),
        )


def per_channel(numbers: Array, ndim: int, axis: int) -> Array:
    """One number a channel, shaped to broadcast against an array whose channels lie on `axis`."""
    return numbers.reshape([-1 if i == axis else 1 for i in range(ndim)])
