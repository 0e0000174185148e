"""Shifts handed on to the layers that can hold them in their biases."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from ..graph import Array, Graph, Op
from ..ops import Affine, Scatter, Select


def push_shifts(graph: Graph) -> Graph:
    """Drops constants that are added channel by channel, and makes up for them in the biases of what reads on.

    Before:  b = Affine(a)  # scale 1;   d = Add(x, b);   e = Conv(1x1) <- d
    After:   d = Add(x, a);   e = Conv(1x1) <- d  # bias + weight * shift

    Through sums and selections. Leaves alone: a shift that meets an activation, padding or an output on its way; biases that
    would outweigh it.
    """
    ops = {n.name: n.op for n in graph.nodes}
    stands_for: dict[str, str] = {}
    for i, node in enumerate(graph.nodes):
        bare = _bare(ops[node.name])
        changed = None if bare is None or node.name in graph.outputs else _without(graph, i, bare[0], ops)
        if bare is None or changed is None:
            continue
        ops.update(changed)
        if bare[1] is None:
            stands_for[node.name] = stands_for.get(node.inputs[0], node.inputs[0])
        else:
            ops[node.name] = bare[1]
    nodes = (replace(n, op=ops[n.name], inputs=tuple(stands_for.get(i, i) for i in n.inputs)) for n in graph.nodes)
    return graph.with_nodes(n for n in nodes if n.name not in stands_for)


def _bare(op: Op) -> tuple[Array, Op | None] | None:
    """(what the op adds, the op without it), None for an op that is nothing else; None for one that adds nothing."""
    if isinstance(op, Affine) and (op.scale == 1).all():
        return op.shift, None
    return (op.held(), Select(op.index, op.axis)) if isinstance(op, Scatter) else None


def _without(graph: Graph, at: int, shift: Array, ops: Mapping[str, Op]) -> dict[str, Op] | None:
    """The ops that change when the shift at this place goes, by node name; None where something cannot do without it."""
    lacks: dict[str, Array] = {graph.nodes[at].name: shift.astype(np.float64)}
    changed: dict[str, Op] = {}
    for reader in graph.nodes[at + 1 :]:
        if not any(i in lacks for i in reader.inputs):
            continue
        ins = graph.ins(reader)
        missing = (lacks.get(i, np.zeros(v.channels)) for i, v in zip(reader.inputs, ins, strict=True))
        made = ops[reader.name].without_shift(ins, *missing)
        if made is None:
            return None
        changed[reader.name], lack = made
        if lack.any():
            if reader.name in graph.outputs:
                return None
            lacks[reader.name] = lack
    added = sum(_size(o) - _size(ops[name]) for name, o in changed.items())
    return changed if added <= np.count_nonzero(shift) else None


def _size(op: Op) -> int:
    return sum(a.size for a in op.arrays.values())
