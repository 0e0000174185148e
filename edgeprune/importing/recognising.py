"""Layers that a file spells out as the sums and products they are: found before the walk, which then takes each as one op.

What is found need not be taken out: the walk goes where its outputs lead, and what only the spelled-out form reads is not on it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from .reading import Call

# How close a constant must be to the number it is taken for: float32 rounding of it.
CLOSE = 1e-6
# How many products deep the factors of one may lie.
DEPTH = 3


@dataclass(frozen=True)
class Found:
    """What a node of the file ends, and the tensors it depends on."""

    meaning: str
    inputs: tuple[str, ...]
    settings: dict[str, Any] = field(default_factory=dict)


Product = tuple[float, tuple[str, ...]]


class _Names:
    """Questions about how a tensor is made."""

    def __init__(self, calls: Sequence[Call], known: Mapping[str, Any]) -> None:
        self.makers = {name: call for call in calls if not call.domain for name in call.outputs if name}
        self.known = known

    def made_by(self, name: str, *kinds: str) -> Call | None:
        call = self.makers.get(name)
        return call if call is not None and call.kind in kinds else None

    def number(self, name: str) -> float | None:
        array = self.known.get(name)
        if isinstance(array, np.ndarray) and array.size == 1 and array.dtype.kind in "fiu":
            return float(array.reshape(-1)[0])
        return None

    def products(self, name: str, depth: int = DEPTH) -> Iterator[Product]:
        """The ways to see a tensor as a number times tensors."""
        yield 1.0, (name,)
        call = self.made_by(name, "Mul", "Div")
        if call is None or depth == 0 or len(call.inputs) != 2:
            return
        numbers = [self.number(each) for each in call.inputs]
        if call.kind == "Div":
            if numbers[1]:
                yield from ((c / numbers[1], names) for c, names in self.products(call.inputs[0], depth - 1))
            return
        for number, other in zip(numbers, reversed(call.inputs), strict=True):
            if number is not None:
                yield from ((c * number, names) for c, names in self.products(other, depth - 1))
                return
        for c, first in self.products(call.inputs[0], depth - 1):
            yield from ((c * d, first + second) for d, second in self.products(call.inputs[1], depth - 1))

    def times(self, name: str, factor: float, *of: str) -> bool:
        """Whether a tensor is the product of those and the factor."""
        return any(_near(c, factor) and sorted(names) == sorted(of) for c, names in self.products(name))

    def plus(self, name: str, number: float) -> str | None:
        """What a tensor is the sum of, with that number."""
        call = self.made_by(name, "Add")
        if call is not None:
            for one, other in (call.inputs, call.inputs[::-1]):
                said = self.number(one)
                if said is not None and _near(said, number):
                    return other
        return None

    def squared(self, name: str) -> str | None:
        """What a tensor is the square of."""
        call = self.made_by(name, "Pow", "Mul")
        if call is None:
            return None
        same = call.inputs[0] == call.inputs[1] if call.kind == "Mul" else self.number(call.inputs[1]) == 2
        return call.inputs[0] if same else None

    def axes(self, call: Call) -> list[int] | None:
        """The axes of a reduction, when they are said and it keeps them."""
        if not call.attributes.get("keepdims", 1):
            return None
        if len(call.inputs) > 1 and call.inputs[1]:
            array = self.known.get(call.inputs[1])
            return [int(n) for n in array.reshape(-1)] if isinstance(array, np.ndarray) else None
        said = call.attributes.get("axes")
        return None if said is None else [int(n) for n in said]

    def mean_along(self, name: str) -> tuple[str, int] | None:
        """(what a tensor is the mean of, along which single axis)."""
        call = self.made_by(name, "ReduceMean")
        axes = None if call is None else self.axes(call)
        return (call.inputs[0], axes[0]) if call is not None and axes is not None and len(axes) == 1 else None

    def clipped(self, name: str, low: float, high: float) -> str | None:
        call = self.made_by(name, "Clip")
        if call is not None and len(call.inputs) == 3 and [self.number(n) for n in call.inputs[1:]] == [low, high]:
            return call.inputs[0]
        return None


def _near(a: float, b: float) -> bool:
    return abs(a - b) <= CLOSE * abs(b)


def recognise(calls: Sequence[Call], known: Mapping[str, Any]) -> dict[str, Found]:
    """By the name of the tensor that ends it, every layer that is spelled out in a way known here."""
    names = _Names(calls, known)
    found: dict[str, Found] = {}
    for call in calls:
        if call.domain or len(call.inputs) != {"Mul": 2, "Div": 2, "Where": 3}.get(call.kind):
            continue
        for rule in RULES if call.kind != "Where" else (_threshold,):
            made = rule(names, call)
            if made is not None:
                found[call.outputs[0]] = made
                break
    return found


def _activation(names: _Names, call: Call) -> Found | None:
    for c, factors in names.products(call.outputs[0]):
        if len(factors) == 1 and _near(c, 1 / 6):
            before = names.clipped(factors[0], 0, 6)
            x = None if before is None else names.plus(before, 3)
            if x is not None:
                return Found("activation", (x,), {"kind": "hard_sigmoid"})
        if len(factors) == 2:
            for x, gate in (factors, factors[::-1]):
                kind = _gate(names, x, gate, c)
                if kind is not None:
                    return Found("activation", (x,), {"kind": kind})
    return None


def _gate(names: _Names, x: str, gate: str, c: float) -> str | None:
    """The activation that is `c * x * gate`."""
    call = names.makers.get(gate)
    if call is None:
        return None
    if _near(c, 1) and call.inputs[:1] == (x,):
        settings = call.attributes.get("alpha", 0.2), call.attributes.get("beta", 0.5)
        if call.kind == "Sigmoid":
            return "silu"
        if call.kind == "HardSigmoid" and _near(settings[0], 1 / 6) and settings[1] == 0.5:
            return "hard_swish"
    if _near(c, 1) and call.kind == "Tanh":
        soft = names.made_by(call.inputs[0], "Softplus")
        return "mish" if soft is not None and soft.inputs[0] == x else None
    if _near(c, 1 / 6):
        before = names.clipped(gate, 0, 6)
        return "hard_swish" if before is not None and names.plus(before, 3) == x else None
    if _near(c, 0.5):
        bent = names.plus(gate, 1)
        inner = None if bent is None else names.made_by(bent, "Erf", "Tanh")
        if inner is not None and inner.kind == "Erf" and names.times(inner.inputs[0], math.sqrt(0.5), x):
            return "gelu"
        if inner is not None and inner.kind == "Tanh" and _bend(names, inner.inputs[0], x):
            return "gelu_tanh"
    return None


def _bend(names: _Names, name: str, x: str) -> bool:
    """Whether a tensor is `sqrt(2 / pi) * (x + 0.044715 * x ** 3)`."""

    def power(name: str, exponent: int, factor: float) -> bool:
        if names.times(name, factor, *(x,) * exponent):
            return True
        for c, factors in names.products(name):
            made = names.made_by(factors[0], "Pow") if len(factors) == 1 and _near(c, factor) else None
            if made is not None and made.inputs[0] == x and names.number(made.inputs[1]) == exponent:
                return True
        return False

    for c, factors in names.products(name):
        if not _near(c, math.sqrt(2 / math.pi)):
            continue
        if len(factors) == 1:
            total = names.made_by(factors[0], "Add")
            pairs = (total.inputs, total.inputs[::-1]) if total is not None else ()
            if any(one == x and power(other, 3, 0.044715) for one, other in pairs):
                return True
        if len(factors) == 2 and x in factors:
            rest = names.plus(factors[1] if factors[0] == x else factors[0], 1)
            if rest is not None and power(rest, 2, 0.044715):
                return True
    return False


def _root(names: _Names, call: Call) -> tuple[str, str] | None:
    """(what is divided, what is under the root) of a division by a square root."""
    if call.kind == "Div":
        root = names.made_by(call.inputs[1], "Sqrt", "Pow")
        if root is not None and (root.kind == "Sqrt" or names.number(root.inputs[1]) == 0.5):
            return call.inputs[0], root.inputs[0]
        return None
    for x, other in (call.inputs, call.inputs[::-1]):
        power = names.made_by(other, "Pow")
        if power is not None and names.number(power.inputs[1]) == -0.5:
            return x, power.inputs[0]
        over = names.made_by(other, "Reciprocal")
        root = None if over is None else names.made_by(over.inputs[0], "Sqrt")
        if root is not None:
            return x, root.inputs[0]
    return None


def _norm(names: _Names, call: Call) -> Found | None:
    """Layer norm and RMS norm, without what scales and shifts the result."""
    parts = _root(names, call)
    total = None if parts is None else names.made_by(parts[1], "Add")
    if parts is None or total is None:
        return None
    x = parts[0]
    for spread, floor in (total.inputs, total.inputs[::-1]):
        eps, mean = names.number(floor), names.mean_along(spread)
        of = None if mean is None else names.squared(mean[0])
        if eps is None or mean is None or of is None:
            continue
        centred = _centred(names, of, mean[1])
        if centred is not None and _centred(names, x, mean[1]) == centred:
            return Found("layer norm", (centred,), {"axis": mean[1], "eps": eps, "centred": True})
        if of == x:
            return Found("layer norm", (x,), {"axis": mean[1], "eps": eps, "centred": False})
    return None


def _centred(names: _Names, name: str, axis: int) -> str | None:
    """What a tensor is, less its mean along the axis."""
    call = names.made_by(name, "Sub")
    if call is not None and names.mean_along(call.inputs[1]) == (call.inputs[0], axis):
        return call.inputs[0]
    return None


def _length(names: _Names, call: Call) -> Found | None:
    """A division by a length."""
    if call.kind != "Div":
        return None
    x, name, floor = call.inputs[0], call.inputs[1], 0.0
    stretched = names.made_by(name, "Expand")
    name = name if stretched is None else stretched.inputs[0]
    bounded = names.made_by(name, "Clip", "Max")
    if bounded is not None and len(given := tuple(n for n in bounded.inputs if n)) == 2 and bounded.inputs[1]:
        for one, other in (given, given[::-1]):
            number = names.number(other)
            if number is not None:
                name, floor = one, number
    length = names.made_by(name, "ReduceL2")
    axes = None if length is None else names.axes(length)
    if length is not None and axes is not None and len(axes) == 1 and length.inputs[0] == x:
        return Found("division by the length", (x,), {"axis": axes[0], "floor": floor})
    return None


def _threshold(names: _Names, call: Call) -> Found | None:
    """x where it is above a number, another number elsewhere."""
    mask, x, other = call.inputs
    above, low, fill = names.made_by(mask, "Greater"), None, names.number(other)
    if above is not None and above.inputs[0] == x:
        low = names.number(above.inputs[1])
    return None if low is None or fill is None else Found("threshold", (x,), {"above": low, "fill": fill})


RULES: tuple[Callable[[_Names, Call], Found | None], ...] = (_activation, _norm, _length)
