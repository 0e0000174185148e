"""ONNX matrix products: with a weight a linear layer, of two values attention."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np

from ..ops import Constant, Linear
from . import scores as attention
from .layers import linear
from .layout import Atom, Laid, whole
from .scores import KEYS, QUERIES, Scores
from .views import reshape, viewed
from .walk import Call, Walk, lower


def flipped(x: Any) -> Any:
    """The last two dims the other way round."""
    return replace(x, dims=(*x.dims[:-2], x.dims[-1], x.dims[-2]))


@lower("MatMul")
def _matmul(walk: Walk, call: Call, x: Any, y: Any) -> Any:
    if isinstance(x, np.ndarray) and x.ndim > 2 and isinstance(y, Laid):
        x = _learned(walk, call, x)
    elif isinstance(y, np.ndarray) and y.ndim > 2 and y.size > math.prod(y.shape[-2:]):
        y = flipped(_learned(walk, call, np.swapaxes(y, -1, -2))) if isinstance(x, Laid) else _learned(walk, call, y)
    if isinstance(x, Laid) and isinstance(y, Laid):
        return attention.product(walk, call, x, y)
    if isinstance(x, Scores) and isinstance(y, Laid):
        return attention.weighted(walk, call, x, y)
    if isinstance(x, Laid) and isinstance(y, Scores):
        # (v' @ scores') is (scores @ v)'.
        return flipped(attention.weighted(walk, call, flipped(y), flipped(x)))
    if isinstance(x, Laid) and isinstance(y, np.ndarray):
        return _by_weight(walk, call, x, y)
    if isinstance(y, Laid) and isinstance(x, np.ndarray) and len(y.dims) > 1 and x.ndim > 1:
        # (weight @ y) is (y' @ weight')'.
        return flipped(_by_weight(walk, call, flipped(y), np.swapaxes(x, -1, -2)))
    raise walk.unsupported(call, "a product that is neither a linear layer nor attention")


def _learned(walk: Walk, call: Call, array: Any) -> Laid:
    """A constant [batch, heads, places, channels] as a value (places, channels of all heads): learned queries, keys or values."""
    array = walk.weight(call, array)
    array = array.reshape((1,) * (4 - array.ndim) + array.shape)
    if array.ndim > 4 or not (array == array[:1]).all():
        raise walk.unsupported(call, f"a product with a constant of shape {array.shape}")
    _, heads, places, channels = array.shape
    weight = np.ascontiguousarray(array[0].transpose(1, 0, 2).reshape(places, heads * channels))
    name = walk.emit(Constant(weight, 1), [next(iter(walk.inputs))], call)
    by_head = (Atom(1, heads, channels),) if heads > 1 else ()
    return Laid(name, (walk.batch, by_head, whole(0, places), whole(1, channels)), call)


def _by_weight(walk: Walk, call: Call, x: Laid, weight: Any) -> Laid:
    matrix = walk.weight(call, weight)
    if matrix.ndim == 1:
        made = linear(walk, call, x, Linear(matrix[None]))
        return replace(made, dims=made.dims[:-1])
    if matrix.size != math.prod(matrix.shape[-2:]) or matrix.ndim > max(len(x.dims), 2):
        raise walk.unsupported(call, f"a product with a constant of shape {matrix.shape}")
    return linear(walk, call, x, Linear(np.ascontiguousarray(matrix.reshape(matrix.shape[-2:]).T)))


@lower("Einsum")
def _einsum(walk: Walk, call: Call, *operands: Any) -> Any:
    """Two operands that share their leading letters and are multiplied over one more, in any order of letters."""
    equation = call.attributes["equation"].replace(" ", "")
    inputs, _, output = equation.partition("->")
    first, _, second = inputs.partition(",")
    refusal = walk.unsupported(call, f"einsum {equation!r}; it can be a product of two tensors along one axis")
    if len(operands) != 2 or "." in equation or not output or len(set(first)) != len(first) or len(set(second)) != len(second):
        raise refusal
    lead = [c for c in output if c in first and c in second]
    summed = [c for c in first if c in second and c not in output]
    rows, columns = [c for c in first if c not in second], [c for c in second if c not in first]
    if isinstance(operands[1], np.ndarray) and len(summed) == len(columns) == 1 and not lead:
        made = _by_weight(
            walk, call, _permuted(walk, call, operands[0], first, [*rows, *summed]),
            _permuted(walk, call, operands[1], second, [*summed, *columns]),
        )  # fmt: skip
        return _permuted(walk, call, made, "".join([*rows, *columns]), list(output))
    if len(summed) != 1 or len(rows) != 1 or len(columns) != 1 or set(output) != {*lead, *rows, *columns}:
        raise refusal
    x = _permuted(walk, call, operands[0], first, [*lead, *rows, *summed])
    y = _permuted(walk, call, operands[1], second, [*lead, *summed, *columns])
    return _permuted(walk, call, _matmul(walk, call, x, y), "".join([*lead, *rows, *columns]), list(output))


def _permuted(walk: Walk, call: Call, x: Any, letters: str, wanted: list[str]) -> Any:
    order = [letters.index(c) for c in wanted]
    if isinstance(x, np.ndarray):
        return x.transpose(order)
    return replace(x, dims=tuple(x.dims[i] for i in order))


@lower("Attention")
def _attention(walk: Walk, call: Call, q: Any, k: Any, v: Any, mask: Any = None, *past: Any) -> Any:
    if any(p is not None for p in past) or any(call.outputs[1:]) or call.attributes.get("softcap"):
        raise walk.unsupported(call, "it reads or gives a cache, or caps its scores")
    flat = len(walk.laid(call, q).dims) == 3
    counts = [call.attributes.get(name) for name in ("q_num_heads", "kv_num_heads", "kv_num_heads")]
    if flat:
        q, k, v = (_by_head(walk, call, x, heads) for x, heads in zip((q, k, v), counts, strict=True))
    scale = call.attributes.get("scale") or 1 / math.sqrt(q.shape[-1])
    scores = attention.scaled(walk, call, attention.product(walk, call, q, flipped(walk.laid(call, k))), float(scale))
    if call.attributes.get("is_causal"):
        scores = attention.masked(walk, call, scores, ~np.tri(scores.sizes[QUERIES], scores.sizes[KEYS], dtype=bool), -math.inf)
    if isinstance(mask, np.ndarray) and mask.dtype.kind == "b":
        scores = attention.masked(walk, call, scores, ~mask, -math.inf)
    elif isinstance(mask, Laid):
        scores = attention.added(walk, call, scores, mask)
    elif mask is not None:
        scores = attention.biased(walk, call, scores, mask)
    made = attention.weighted(walk, call, attention.normalised(walk, call, scores, -1), walk.laid(call, v))
    if not flat:
        return made
    turned = viewed(walk, call, made, lambda d: (d[0], d[2], d[1], d[3]), "")
    return reshape(walk, call, turned, (*turned.shape[:2], turned.shape[2] * turned.shape[3]))


def _by_head(walk: Walk, call: Call, x: Any, heads: Any) -> Laid:
    laid = walk.laid(call, x)
    b, t, c = laid.shape
    parts = reshape(walk, call, laid, (b, t, heads, c // heads))
    made: Laid = viewed(walk, call, parts, lambda d: (d[0], d[2], d[1], d[3]), "")
    return made
