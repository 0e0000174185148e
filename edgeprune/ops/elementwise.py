"""Ops that treat every element by itself: activations, sums and products, per-channel affine maps."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np

from ..graph import Array, Mask, Op, Value


def _horner(x: Array, coefficients: Sequence[float]) -> Array:
    """A polynomial, highest power first, in place where it can be."""
    y = np.full_like(x, coefficients[0])
    for c in coefficients[1:]:
        y *= x
        y += x.dtype.type(c)
    return y


def _ratio(x: Array, above: Sequence[float], below: Sequence[float]) -> Array:
    """The quotient of two polynomials, highest power first."""
    return _horner(x, above) / _horner(x, below)  # type: ignore[no-any-return]


def _erf(x: Array) -> Array:
    """The error function, in the type of x: by Cody's rational approximations (1969), to the last bits in float64."""
    if x.dtype == np.float32:
        # One quotient of polynomials serves all of float32, which is 1 from 4 on.
        y = np.clip(x, -4, 4)
        square = y * y
        return y * _horner(square, _ERF_FLOAT[0]) / _horner(square, _ERF_FLOAT[1])  # type: ignore[no-any-return]
    size = np.abs(x)
    square = x * x
    result = np.asarray(np.sign(x))
    small = size <= 0.46875
    result[small] = x[small] * _ratio(square[small], _ERF_SMALL[0], _ERF_SMALL[1]).astype(x.dtype)
    # From 6 on the result is 1 in any type.
    middle = (size > 0.46875) & (size <= 4)
    y = size[middle]
    result[middle] *= 1 - np.exp(-y * y) * _ratio(y, *_ERF_MIDDLE)
    large = (size > 4) & (size < 6)
    y = size[large]
    over = 1 / (y * y)
    result[large] *= 1 - np.exp(-y * y) / y * (1 / math.sqrt(math.pi) + over * _ratio(over, *_ERF_LARGE))
    return result


_ERF_FLOAT = (
    [
        -2.72614225801306e-10, 2.77068142495902e-08, -2.10102402082508e-06, -5.69250639462346e-05, -7.34990630326855e-04,
        -2.95459980854025e-03, -1.60960333262415e-02,
    ],
    [-1.45660718464996e-05, -2.13374055278905e-04, -1.68282697438203e-03, -7.37332916720468e-03, -1.42647390514189e-02],
)  # fmt: skip
_ERF_SMALL = (
    [1.85777706184603153e-1, 3.16112374387056560, 1.13864154151050156e2, 3.77485237685302021e2, 3.20937758913846947e3],
    [1.0, 2.36012909523441209e1, 2.44024637934444173e2, 1.28261652607737228e3, 2.84423683343917062e3],
)
_ERF_MIDDLE = (
    [
        2.15311535474403846e-8, 5.64188496988670089e-1, 8.88314979438837594, 6.61191906371416295e1, 2.98635138197400131e2,
        8.81952221241769090e2, 1.71204761263407058e3, 2.05107837782607147e3, 1.23033935479799725e3,
    ],
    [
        1.0, 1.57449261107098347e1, 1.17693950891312499e2, 5.37181101862009858e2, 1.62138957456669019e3, 3.29079923573345963e3,
        4.36261909014324716e3, 3.43936767414372164e3, 1.23033935480374942e3,
    ],
)  # fmt: skip
_ERF_LARGE = (
    [
        -1.63153871373020978e-2, -3.05326634961232344e-1, -3.60344899949804439e-1, -1.25781726111229246e-1,
        -1.60837851487422766e-2, -6.58749161529837803e-4,
    ],
    [1.0, 2.56852019228982242, 1.87295284992346047, 5.27905102951428412e-1, 6.05183413124413191e-2, 2.33520497626869185e-3],
)  # fmt: skip


def sigmoid(x: Array) -> Array:
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
    "sigmoid": lambda x, a, b: sigmoid(x),
    "hard_sigmoid": lambda x, a, b: np.clip(x / 6 + 0.5, 0, 1),
    "tanh": lambda x, a, b: np.tanh(x),
    "silu": lambda x, a, b: x * sigmoid(x),
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


# Those that no format writes yet.
COMING_ACTIVATIONS: dict[str, Callable[[Array, float, float], Array]] = {
    "reciprocal": lambda x, a, b: 1 / x,
    "pow": lambda x, a, b: x**a,
    "log": lambda x, a, b: np.log(x),
    "erf": lambda x, a, b: _erf(x),
    "sin": lambda x, a, b: np.sin(x),
    "cos": lambda x, a, b: np.cos(x),
    "floor": lambda x, a, b: np.floor(x),
    "round": lambda x, a, b: np.round(x),
    "sign": lambda x, a, b: np.sign(x),
    "threshold": lambda x, a, b: np.where(x > a, x, b),
    "softsign": lambda x, a, b: x / (1 + np.abs(x)),
    "hard_shrink": lambda x, a, b: np.where(np.abs(x) > a, x, 0),
    "soft_shrink": lambda x, a, b: np.sign(x) * np.maximum(np.abs(x) - a, 0),
}


def function_of(kind: str) -> Callable[[Array, float, float], Array]:
    """What an activation of this name does to an array. Raises KeyError for a name nobody knows."""
    return ACTIVATIONS[kind] if kind in ACTIVATIONS else COMING_ACTIVATIONS[kind]


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
    """A function of one element, by its name in ACTIVATIONS or COMING_ACTIVATIONS."""

    kind: str
    a: float = 0.0
    b: float = 0.0

    def value(self, *ins: Value) -> Value:
        return ins[0]

    def run(self, *arrays: Array) -> Array:
        (x,) = arrays
        return function_of(self.kind)(x, self.a, self.b).astype(x.dtype)

    def constant(self, ins: Sequence[Value], *constants: Array) -> Array:
        (c,) = constants
        known = ~np.isnan(c)
        result = np.full(c.shape, np.nan)
        if known.any():
            with np.errstate(all="ignore"):
                result[known] = function_of(self.kind)(c[known], self.a, self.b)
        # What is infinite is no constant that a layer could fold.
        return np.where(np.isfinite(result), result, np.nan)


@dataclass(frozen=True, eq=False)
class PReLU(Channelwise):
    """`x` where it is positive, `x * weight` elsewhere, one weight a channel; the channels lie on `axis`."""

    weight: Array
    axis: int = 0

    def value(self, *ins: Value) -> Value:
        if ins[0].channels != len(self.weight) or ins[0].axis != self.axis:
            raise ValueError(f"expected {len(self.weight)} channels on axis {self.axis}")
        return ins[0]

    def run(self, *arrays: Array) -> Array:
        (x,) = arrays
        return np.where(x >= 0, x, x * per_channel(self.weight, x.ndim, self.axis + 1))

    def constant(self, ins: Sequence[Value], *constants: Array) -> Array:
        (c,) = constants
        return np.where(c >= 0, c, c * self.weight)

    def keep(self, ins: Sequence[Value], out: Mask, *live: Mask) -> Op:
        return replace(self, weight=self.weight[out])


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

    def without_shift(self, ins: Sequence[Value], *missing: Array) -> tuple[Op, Array] | None:
        made = self.then_affine(np.ones(len(self.scale)), self.scale * missing[0])
        assert made is not None
        return made, np.zeros(len(self.scale))

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
