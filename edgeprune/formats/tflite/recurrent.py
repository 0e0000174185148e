"""Recurrent layers, step by step, and lookups, as TFLite says them."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...graph import Array, Node
from ...ops import GRU, LSTM, Embedding
from ..patterns import integer_inputs
from .layers import FLOAT, KEPT_DIMS
from .layout import stored_shape, walk
from .moving import cut
from .schema import TYPES
from .writer import SPARSE, Writer, lower

# The op for whole sequences keeps its state from one run to the next and holds one batch size; steps do neither.


class _Steps:
    """A recurrent layer: its input's share of every gate at every step, and what the steps are made of."""

    def __init__(self, out: Writer, node: Node, order: tuple[int, ...]) -> None:
        self.out, self.op = out, node.op
        op: Any = node.op
        self.steps, self.units = out.value(node.name).shape
        self.gates = len(order)

        def gates(array: Array) -> Array:
            by_gate = array.reshape(self.gates, self.units, *array.shape[1:])[list(order)]
            return np.ascontiguousarray(by_gate.reshape(array.shape))

        x = out.read(node.inputs[0])
        wide = (self.steps, self.gates * self.units)
        stored, sparse = out.matrix(node, gates(op.weight), self.steps)
        version = SPARSE if sparse else KEPT_DIMS
        bias = out.bias(node, gates(op.bias), wide[1])
        self.driven = out.op("FULLY_CONNECTED", [x, stored, bias], wide, version=version, keep_num_dims=True)
        matrix = gates(op.recurrent)
        self.recurrent, self.sparse = out.matrix(node, matrix, self.steps, what="recurrent")
        self.recurrent_bias = out.constant(gates(op.recurrent_bias), f"{node.source or node.name}.recurrent_bias")

    def given(self, step: int) -> int:
        """What the input says to all gates at a step, [gates * units]."""
        part = (1, self.gates * self.units)
        return self.out.reshape(cut(self.out, self.driven, [range(step, step + 1), None], part), part[1:])

    def fed(self, state: int | None) -> int:
        """What the state says to all gates; of the state at the start, which is zero, that is the bias."""
        if state is None:
            return self.recurrent_bias
        version = SPARSE if self.sparse else FLOAT
        inputs = [state, self.recurrent, self.recurrent_bias]
        return self.out.op("FULLY_CONNECTED", inputs, (self.gates * self.units,), version=version, keep_num_dims=False)

    def part(self, x: int, first: int, count: int = 1) -> int:
        """Some of the gates that `x` holds."""
        units = self.units
        return cut(self.out, x, [range(first * units, (first + count) * units)], (count * units,))

    def do(self, code: str, *inputs: int, gates: int = 1) -> int:
        return self.out.op(code, inputs, (gates * self.units,))

    def order(self) -> range:
        op: Any = self.op
        return range(self.steps)[::-1] if op.reverse else range(self.steps)

    def joined(self, node: Node, states: dict[int, int]) -> None:
        """Binds the node to the states of all steps."""
        rows = [self.out.reshape(states[step], (1, self.units)) for step in range(self.steps)]
        shape = (self.steps, self.units)
        self.out.bind(node.name, self.out.op("CONCATENATION", rows, shape, axis=1) if len(rows) > 1 else rows[0])


@lower(LSTM)
def _(out: Writer, node: Node) -> None:
    # input, forget, output, cell: the first three have one function.
    steps = _Steps(out, node, (0, 1, 3, 2))
    state = cell = None
    states = {}
    for step in steps.order():
        every = steps.do("ADD", steps.given(step), steps.fed(state), gates=4)
        open_ = steps.do("LOGISTIC", steps.part(every, 0, 3), gates=3)
        new = steps.do("MUL", steps.part(open_, 0), steps.do("TANH", steps.part(every, 3)))
        cell = new if cell is None else steps.do("ADD", steps.do("MUL", steps.part(open_, 1), cell), new)
        states[step] = state = steps.do("MUL", steps.part(open_, 2), steps.do("TANH", cell))
    steps.joined(node, states)


@lower(GRU)
def _(out: Writer, node: Node) -> None:
    steps = _Steps(out, node, (0, 1, 2))
    state = None
    states = {}
    for step in steps.order():
        given, fed = steps.given(step), steps.fed(state)
        if state is None:
            # Of the batch's length, so that it can be cut.
            fed = steps.do("ADD", steps.do("MUL", given, out.scalar(0.0), gates=3), fed, gates=3)
        open_ = steps.do("LOGISTIC", steps.do("ADD", steps.part(given, 0, 2), steps.part(fed, 0, 2), gates=2), gates=2)
        reset, update = steps.part(open_, 0), steps.part(open_, 1)
        new = steps.do("TANH", steps.do("ADD", steps.part(given, 2), steps.do("MUL", reset, steps.part(fed, 2))))
        kept = steps.do("MUL", steps.do("SUB", out.scalar(1.0), update), new)
        state = kept if state is None else steps.do("ADD", kept, steps.do("MUL", update, state))
        states[step] = state
    steps.joined(node, states)


@lower(Embedding)
def _(out: Writer, node: Node) -> None:
    op: Any = node.op
    name, value = node.inputs[0], out.value(node.inputs[0])
    index = out.read(name)
    kind = "int32" if name in integer_inputs(out.graph) else "float32"
    if kind == "float32":
        ends = {"in_data_type": TYPES["float32"], "out_data_type": TYPES["int32"]}
        index = out.op("CAST", [index], stored_shape(value), dtype="int32", **ends)
    if len(value.shape) > 1:
        axes = walk(value)
        index = out.op("RESHAPE", [index, out.integers(-1, *(value.shape[i] for i in axes))], value.shape, dtype="int32")
        turned = [0, *(int(i) + 1 for i in np.argsort(axes))]
        index = out.op("TRANSPOSE", [index, out.integers(*turned)], value.shape, dtype="int32")
    table = out.table(node, op.weight)
    out.bind(node.name, out.op("GATHER", [table, index], stored_shape(out.value(node.name)), axis=0))
