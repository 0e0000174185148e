"""Attention, as ONNX says it: products of matrices, head by head."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...graph import Node, Shape
from ...ops import Attention
from ..patterns import score_bias, score_factors
from .norms import length
from .writer import Writer, lower


@lower(Attention)
def _(out: Writer, node: Node) -> None:
    op: Any = node.op
    q, k, v, *mask = (out.read(name) for name in node.inputs)
    of_q, of_k, of_v, *of_mask = (out.value(name).shape for name in node.inputs)
    factors = score_factors(op, of_q[-1])
    if op.cosine is not None:
        q, k = (_unit(out, node, x, shape) for x, shape in ((q, of_q), (k, of_k)))
    if factors is not None:
        q = out.op("Mul", [q, out.constant(factors)])
    q, k = _by_head(out, q, of_q, op.heads), _by_head(out, k, of_k, op.heads, turned=True)
    scores = out.op("MatMul", [q, k])
    bias = score_bias(op, of_q[:-2], of_q[-2], of_k[-2])
    if bias is not None:
        stretched = bias.reshape(*(of_q[:-2] if len(bias) > 1 else (1,) * len(of_q[:-2])), *bias.shape[1:])
        scores = out.op("Add", [scores, out.numbers(node, "bias", stretched)])
    if mask:
        scores = out.op("Add", [scores, out.reshape(mask[0], *(1,) * len(of_q[:-1]), *of_mask[0])])
    weights = out.op("Softmax", [scores], axis=len(of_q) + 1)
    y = out.op("MatMul", [weights, _by_head(out, v, of_v, op.heads)])
    axes = len(of_q[:-2]) + 1
    if op.heads > 1:
        y = out.op("Transpose", [y], perm=[*range(axes), axes + 1, axes, axes + 2])
    out.finish_as(out.reshape(y, *out.value(node.name).shape), node.name)


def _by_head(out: Writer, x: str, shape: Shape, heads: int, turned: bool = False) -> str:
    """(..., places, channels) as (..., heads, places, channels / heads), or with the last two axes `turned`."""
    x = out.reshape(x, *shape[:-1], heads, shape[-1] // heads)
    first = len(shape) - 1
    order = (first + 1, first + 2, first) if turned else (first + 1, first, first + 2)
    return out.op("Transpose", [x], perm=[*range(first), *order])


def _unit(out: Writer, node: Node, x: str, shape: Shape) -> str:
    """Each head of (..., places, channels) divided by its length."""
    op: Any = node.op
    if op.pairs is not None:
        x = out.op("Mul", [x, out.constant(op.pairs.astype(np.float32))])
    apart = out.reshape(x, *shape[:-1], op.heads, shape[-1] // op.heads)
    divided = out.op("Div", [apart, length(out, apart, len(shape) + 1, op.cosine)])
    return out.reshape(divided, *shape)
