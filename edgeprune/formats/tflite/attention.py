"""Attention, as TFLite says it: products of matrices, head by head, all sequences in the batch."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ...graph import Node, Shape
from ...ops import Attention
from ..patterns import score_bias, score_factors
from .layout import stored_shape
from .norms import unit
from .writer import Writer, lower


@lower(Attention)
def _(out: Writer, node: Node) -> None:
    op: Any = node.op
    of_q, of_k, of_v, *of_mask = (out.value(name).shape for name in node.inputs)
    queries, keys, lead = of_q[-2], of_k[-2], math.prod(of_q[:-2])
    q, k, v = (_by_head(out, node, i, shape) for i, shape in enumerate((of_q, of_k, of_v)))
    scores = out.op("BATCH_MATMUL", [q, k], (op.heads, queries, keys), rows=lead, adj_y=True)
    bias = score_bias(op, of_q[:-2], queries, keys)
    if bias is not None:
        # Windows get an axis of their own to tell their biases apart, rows and columns one together: four axes at most.
        apart: Shape = (lead if len(bias) > 1 else 1, op.heads, queries * keys)
        rows = lead // apart[0]
        stretched = bias.reshape(1, *bias.shape[:2], queries * keys)
        added = out.op("ADD", [out.reshape(scores, apart, rows), out.constant(stretched)], apart, rows=rows)
        scores = out.reshape(added, (op.heads, queries, keys), lead)
    if of_mask:
        # Windows are heads to a mask, which is the same for all of them.
        every = (lead * op.heads, queries, keys)
        mask = out.reshape(out.read(node.inputs[3]), (1, *of_mask[0]))
        scores = out.reshape(out.op("ADD", [out.reshape(scores, every), mask], every), (op.heads, queries, keys), lead)
    weights = out.op("SOFTMAX", [scores], (op.heads, queries, keys), rows=lead, beta=1.0)
    y = out.op("BATCH_MATMUL", [weights, v], (op.heads, queries, of_v[-1] // op.heads), rows=lead)
    y = out.transpose(y, (0, 2, 1, 3)) if op.heads > 1 else y
    out.bind(node.name, out.reshape(y, stored_shape(out.value(node.name))))


def _by_head(out: Writer, node: Node, which: int, shape: Shape) -> int:
    """q, k or v as (sequences, heads, places, channels), made ready to be multiplied."""
    op: Any = node.op
    x, rows, lines = out.read(node.inputs[which]), math.prod(shape[:-2]), (shape[-2], op.heads, shape[-1] // op.heads)
    factors = score_factors(op, shape[-1]) if which == 0 else None
    if op.cosine is not None and which < 2:
        if op.pairs is not None:
            x = out.op("MUL", [x, out.constant(op.pairs.astype(np.float32))], shape)
        x = unit(out, out.reshape(x, lines, rows), lines, op.cosine, rows)
        if factors is not None:
            x = out.op("MUL", [x, out.constant(factors.reshape(1, 1, *lines[1:]))], lines, rows=rows)
    else:
        if factors is not None:
            x = out.op("MUL", [x, out.constant(factors)], shape)
        x = out.reshape(x, lines, rows)
    return out.transpose(x, (0, 2, 1, 3)) if op.heads > 1 else out.reshape(x, (1, shape[-2], shape[-1]), rows)
