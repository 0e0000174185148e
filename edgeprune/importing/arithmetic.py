"""ONNX sums, differences, products and quotients, of two values or of a value and a constant."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from ..laying import scores as attention
from ..laying.arithmetic import both, number, over_length, with_constant
from ..laying.layers import clipped, times
from ..laying.layout import Laid
from ..laying.scores import Scores
from ..laying.taking import settled
from ..ops import Activation, Add, Binary, Mul
from .walk import Call, Walk, lower, meaning


def plus(walk: Walk, call: Call, x: Any, y: Any) -> Any:
    """x + y, where one of them may be a constant."""
    if isinstance(x, Scores) or isinstance(y, Scores):
        scores, other = (x, y) if isinstance(x, Scores) else (y, x)
        return attention.plus(walk, call, scores, other)
    if isinstance(x, np.ndarray):
        x, y = y, x
    if isinstance(y, np.ndarray):
        return with_constant(walk, call, walk.laid(call, x), y, "add")
    return both(walk, call, walk.laid(call, x), walk.laid(call, y), Add())


@lower("Add", "Sum")
def _add(walk: Walk, call: Call, *terms: Any) -> Any:
    return functools.reduce(lambda x, y: plus(walk, call, x, y), terms)


@lower("Mean")
def _mean(walk: Walk, call: Call, *terms: Any) -> Any:
    total = functools.reduce(lambda x, y: plus(walk, call, x, y), terms)
    return times(walk, call, total, 1 / len(terms))


@lower("Sub")
def _sub(walk: Walk, call: Call, x: Any, y: Any) -> Any:
    if isinstance(y, np.ndarray):
        return plus(walk, call, x, -y)
    if isinstance(y, Scores):
        return plus(walk, call, attention.scaled(walk, call, y, -1.0), x)
    return plus(walk, call, x, times(walk, call, y, -1.0))


@lower("Mul", "Div")
def _mul(walk: Walk, call: Call, x: Any, y: Any) -> Any:
    divides = call.kind == "Div"
    if isinstance(y, Scores) and not divides:
        x, y = y, x
    if isinstance(x, Scores):
        return attention.scaled(walk, call, x, 1 / y if divides and isinstance(y, np.ndarray) else y)
    if isinstance(x, np.ndarray):
        if divides:
            return with_constant(walk, call, walk.pointwise(call, y, Activation("reciprocal")), x, "mul")
        x, y = y, x
    if isinstance(y, np.ndarray):
        constant = (1 / y.astype(np.float64)).astype(y.dtype) if divides else y
        return with_constant(walk, call, walk.laid(call, x), constant, "mul")
    return both(walk, call, walk.laid(call, x), walk.laid(call, y), Binary("div") if divides else Mul())


@lower("Pow")
def _pow(walk: Walk, call: Call, x: Any, y: Any) -> Any:
    if isinstance(x, Laid) and isinstance(y, Laid):
        return both(walk, call, x, y, Binary("pow"))
    exponent = number(y)
    if exponent is None:
        raise walk.unsupported(call, "its exponent is not one number")
    if exponent == 2:
        laid = settled(walk, call, walk.laid(call, x))
        return both(walk, call, laid, laid, Mul())
    return walk.pointwise(call, x, Activation("sqrt") if exponent == 0.5 else Activation("pow", exponent))


@lower("Max", "Min")
def _extreme(walk: Walk, call: Call, *terms: Any) -> Any:
    kind = call.kind.lower()
    values = [t for t in terms if not isinstance(t, np.ndarray)]
    constants = [t for t in terms if isinstance(t, np.ndarray)]
    made = functools.reduce(lambda x, y: both(walk, call, walk.laid(call, x), walk.laid(call, y), Binary(kind)), values)
    for constant in constants:
        bound = number(constant)
        if bound is None:
            made = with_constant(walk, call, walk.laid(call, made), constant, kind)
            continue
        low, high = (bound, np.inf) if kind == "max" else (-np.inf, bound)
        made = clipped(walk, call, made, low, high)
    return made


@meaning("division by the length")
def _by_length(walk: Walk, call: Call, x: Any, axis: int, floor: float) -> Laid:
    return over_length(walk, call, x, axis, floor)
