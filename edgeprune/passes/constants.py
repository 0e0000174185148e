"""Channels that hold a constant whatever the input: found, folded into what reads them, and dropped from sums and products."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ..graph import Array, Graph


def constants(graph: Graph) -> dict[str, Array]:
    """Per value and channel, the constant it holds whatever the input; NaN where it varies. float64."""
    found = {name: np.full(v.channels, np.nan) for name, v in graph.inputs.items()}
    for node in graph.nodes:
        found[node.name] = node.op.constant(graph.ins(node), *(found[i] for i in node.inputs)).astype(np.float64)
    return found


def _carrier(held: Array) -> int | None:
    """The constant channel that stands for all of a value's constants at padded borders: the largest, for its precision."""
    size = np.where(np.isnan(held), 0.0, np.abs(held))
    return int(size.argmax()) if size.any() else None


def absorb_constants(graph: Graph) -> Graph:
    """Folds constant channels into the layers that read them, so that nothing reads them any more.

    Before:  a = Linear(x)  # channel 1 has no weights and bias 2;   b = Linear(a)
    After:   a = Linear(x);   b = Linear(a)  # bias + 2 * weight[:, 1], then weight[:, 1] = 0

    A convolution with zero padding cannot take a constant into its bias: at the border it reads zeros instead. There all
    constant channels it reads become one, with the sum of their kernels: exact at every position and size.
    """
    found = constants(graph)
    carriers = {name: _carrier(held) for name, held in found.items()}
    nodes = []
    for node in graph.nodes:
        op = node.op.absorb(graph.ins(node), [carriers[i] for i in node.inputs], *(found[i] for i in node.inputs))
        nodes.append(node if op is node.op else replace(node, op=op))
    return graph.with_nodes(nodes)


def drop_constant_terms(graph: Graph) -> Graph:
    """Turns a sum or product with a wholly constant side into an affine map of the other side: a dead block leaves.

    Before:  b = Conv(a)  # no weights, bias c;     d = Add(a, b)
    After:   d = Affine(a)  # shift c
    """
    found = constants(graph)
    nodes = []
    for node in graph.nodes:
        less = node.op.without_constants(graph.ins(node), *(found[i] for i in node.inputs))
        if less is not None:
            op, kept = less
            node = replace(node, op=op.astype(graph.dtype), inputs=tuple(node.inputs[i] for i in kept))
        nodes.append(node)
    return graph.with_nodes(nodes)
