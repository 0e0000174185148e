"""Matrix products: with a weight a linear layer, of two values attention."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np

from ..graph import Array
from ..ops import Constant, Linear
from . import scores as attention
from .layers import linear
from .layout import Atom, Laid, whole
from .scores import Scores, flipped
from .trace import Trace


def multiplied(walk: Trace, at: Any, x: Any, y: Any) -> Any:
    """`x @ y`."""
    if isinstance(x, np.ndarray) and x.ndim > 2 and isinstance(y, Laid):
        x = learned(walk, at, x)
    elif isinstance(y, np.ndarray) and y.ndim > 2 and y.size > math.prod(y.shape[-2:]):
        y = flipped(learned(walk, at, np.swapaxes(y, -1, -2))) if isinstance(x, Laid) else learned(walk, at, y)
    if isinstance(x, Laid) and isinstance(y, Laid):
        return attention.product(walk, at, x, y)
    if isinstance(x, Scores) and isinstance(y, Laid):
        return attention.weighted(walk, at, x, y)
    if isinstance(x, Laid) and isinstance(y, Scores):
        # (v' @ scores') is (scores @ v)'.
        return flipped(attention.weighted(walk, at, flipped(y), flipped(x)))
    if isinstance(x, Laid) and isinstance(y, np.ndarray):
        return _by_weight(walk, at, x, y)
    if isinstance(y, Laid) and isinstance(x, np.ndarray) and len(y.dims) > 1 and x.ndim > 1:
        # (weight @ y) is (y' @ weight')'.
        return flipped(_by_weight(walk, at, flipped(y), np.swapaxes(x, -1, -2)))
    raise walk.unsupported(at, "a product that is neither a linear layer nor attention")


def learned(walk: Trace, at: Any, array: Any) -> Laid:
    """A constant [batch, heads, places, channels] as a value (places, channels of all heads): learned queries, keys or values."""
    array = walk.weight(at, array)
    array = array.reshape((1,) * (4 - array.ndim) + array.shape)
    if array.ndim > 4 or not (array == array[:1]).all():
        raise walk.unsupported(at, f"a product with a constant of shape {array.shape}")
    _, heads, places, channels = array.shape
    weight = np.ascontiguousarray(array[0].transpose(1, 0, 2).reshape(places, heads * channels))
    name = walk.emit(Constant(weight, 1), [next(iter(walk.inputs))], at)
    by_head = (Atom(1, heads, channels),) if heads > 1 else ()
    return Laid(name, (walk.batch, by_head, whole(0, places), whole(1, channels)), at)


def _by_weight(walk: Trace, at: Any, x: Laid, weight: Array) -> Laid:
    matrix = walk.weight(at, weight)
    if matrix.ndim == 1:
        made = linear(walk, at, x, Linear(matrix[None]))
        return replace(made, dims=made.dims[:-1])
    if matrix.size != math.prod(matrix.shape[-2:]) or matrix.ndim > max(len(x.dims), 2):
        raise walk.unsupported(at, f"a product with a constant of shape {matrix.shape}")
    return linear(walk, at, x, Linear(np.ascontiguousarray(matrix.reshape(matrix.shape[-2:]).T)))


def einsum(walk: Trace, at: Any, equation: str, operands: Any) -> Any:
    """Two operands that share their leading letters and are multiplied over one more, in any order of letters."""
    equation = equation.replace(" ", "")
    inputs, _, output = equation.partition("->")
    first, _, second = inputs.partition(",")
    refusal = walk.unsupported(at, f"einsum {equation!r}; it can be a product of two tensors along one axis")
    if len(operands) != 2 or "." in equation or not output or len(set(first)) != len(first) or len(set(second)) != len(second):
        raise refusal
    x, y = operands
    lead = [c for c in output if c in first and c in second]
    summed = [c for c in first if c in second and c not in output]
    rows, columns = [c for c in first if c not in second], [c for c in second if c not in first]
    if isinstance(y, np.ndarray) and len(summed) == len(columns) == 1 and not lead and set(output) == {*rows, *columns}:
        made: Any = _by_weight(walk, at, _ordered(x, first, [*rows, *summed]), _ordered(y, second, [*summed, *columns]))
        return _ordered(made, "".join([*rows, *columns]), list(output))
    if len(summed) != 1 or len(rows) != 1 or len(columns) != 1 or set(output) != {*lead, *rows, *columns}:
        raise refusal
    x, y = _ordered(x, first, [*lead, *rows, *summed]), _ordered(y, second, [*lead, *summed, *columns])
    return _ordered(multiplied(walk, at, x, y), "".join([*lead, *rows, *columns]), list(output))


def _ordered(x: Any, letters: str, wanted: list[str]) -> Any:
    order = [letters.index(c) for c in wanted]
    return x.transpose(order) if isinstance(x, np.ndarray) else replace(x, dims=tuple(x.dims[i] for i in order))
