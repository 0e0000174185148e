"""Recurrent layers and lookups, as ONNX says them."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...graph import Array, Node
from ...ops import GRU, LSTM, Embedding
from ..patterns import integer_inputs
from .writer import Writer, lower

# Our gates in the order ONNX has them.
GATES: dict[type, tuple[str, tuple[int, ...], dict[str, int]]] = {
    LSTM: ("LSTM", (0, 3, 1, 2), {}),
    GRU: ("GRU", (1, 0, 2), {"linear_before_reset": 1}),
}


@lower(LSTM, GRU)
def _(out: Writer, node: Node) -> None:
    op: Any = node.op
    kind, order, settings = GATES[type(op)]

    def gates(array: Array) -> Array:
        by_gate = array.reshape(len(order), op.units, *array.shape[1:])[list(order)]
        return by_gate.reshape(1, len(order) * op.units, *array.shape[1:])

    bias = np.concatenate([gates(op.bias), gates(op.recurrent_bias)], axis=1)
    weights = [out.weight(node, gates(op.weight)), out.weight(node, gates(op.recurrent), what="recurrent")]
    # Places first, then the batch: what runtimes can read.
    x = out.op("Transpose", [out.read(node.inputs[0])], perm=[1, 0, 2])
    direction = "reverse" if op.reverse else "forward"
    inputs = [x, *weights, out.numbers(node, "bias", bias)]
    y = out.op(kind, inputs, hidden_size=op.units, direction=direction, **settings)
    y = out.op("Transpose", [y], perm=[2, 0, 1, 3])
    out.finish_as(out.reshape(y, *out.value(node.name).shape), node.name)


@lower(Embedding)
def _(out: Writer, node: Node) -> None:
    op: Any = node.op
    index = out.read(node.inputs[0])
    if node.inputs[0] not in integer_inputs(out.graph):
        index = out.op("Cast", [index], to=7)  # int64
    out.op("Gather", [out.weight(node, op.weight), index], node.name)
