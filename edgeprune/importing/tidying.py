"""What ONNX writes as several nodes and the graph as one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from ..graph import Graph, Node, Op, Value
from ..ops import Affine, Conv, ConvTranspose, Cut, Join, Linear, Roll, Slice


def tidy(graph: Graph) -> Graph:
    """The same function, in the graph's own words."""
    return join_rolls(join_pairs(graph))


def join_pairs(graph: Graph) -> Graph:
    """Joins a layer without a bias and the constant added after it, and slices along axes of their own.

    Before:  a = Linear(x);  b = Affine(a), scale 1;  c = Slice(b), rows;  d = Slice(c), columns
    After:   b = Linear(x);  d = Slice(b), rows and columns
    """
    readers = graph.readers
    nodes: dict[str, Node] = {}
    for node in graph.nodes:
        before = nodes.get(node.inputs[0])
        made = None if before is None else _with_bias(before.op, node.op) or _both_slices(before.op, node.op)
        if before is not None and made is not None and len(readers[before.name]) == 1 and before.name not in graph.outputs:
            del nodes[before.name]
            node = Node(node.name, made, before.inputs, before.source or node.source)
        nodes[node.name] = node
    return graph.with_nodes(nodes.values())


def _with_bias(layer: Op, after: Op) -> Op | None:
    if not isinstance(layer, Conv | ConvTranspose | Linear) or layer.bias is not None:
        return None
    return replace(layer, bias=after.shift) if isinstance(after, Affine) and (after.scale == 1).all() else None


def _both_slices(first: Op, second: Op) -> Op | None:
    if not isinstance(first, Slice) or not isinstance(second, Slice):
        return None
    whole = (0, None, 1)
    axes = [list(zip(op.start, op.stop, op.step, strict=True)) for op in (first, second)]
    if any(whole not in pair for pair in zip(*axes, strict=True)):
        return None
    start, stop, step = zip(*(a if b == whole else b for a, b in zip(*axes, strict=True)), strict=True)
    return Slice(start, stop, step)


def join_rolls(graph: Graph) -> Graph:
    """Makes a roll of what is cut in two and joined the other way round.

    Before:  a = Cut(x, start=2);  b = Cut(x, stop=2);  c = Join(a, b)
    After:   c = Roll(x), by -2
    """
    made: dict[str, Node] = {}
    for node in graph.nodes:
        parts = [made.get(name) for name in node.inputs]
        rolled = _rolled(node, graph.values, *parts) if isinstance(node.op, Join) and len(parts) == 2 else None
        if rolled is not None:
            before = made.get(rolled.inputs[0])
            if before is not None and isinstance(before.op, Roll) and isinstance(rolled.op, Roll):
                shifts = tuple(a + b for a, b in zip(before.op.shifts, rolled.op.shifts, strict=True))
                rolled = replace(rolled, op=Roll(shifts), inputs=before.inputs)
        made[node.name] = rolled or node
    return graph.with_nodes(made.values())


def _rolled(node: Node, values: Mapping[str, Value], first: Node | None, second: Node | None) -> Node | None:
    if first is None or second is None or first.inputs != second.inputs or first.inputs[0] not in values:
        return None
    whole = values[first.inputs[0]]
    late, early = _part(first.op, whole), _part(second.op, whole)
    assert isinstance(node.op, Join)
    if late is None or early is None or late[0] != early[0] or late[0] != node.op.along:
        return None
    axis, n = late[0], whole.shape[late[0]]
    at = late[1].start
    if late[1] != range(at, n) or early[1] != range(at):
        return None
    return replace(node, op=Roll(tuple(-at if i == axis else 0 for i in range(len(whole.shape)))), inputs=first.inputs)


def _part(op: Op, whole: Value) -> tuple[int, range] | None:
    """(axis, places) that an op takes of a value, when it is one range along one axis of positions."""
    if isinstance(op, Cut):
        return op.along, range(whole.shape[op.along])[op.start : op.stop : op.step]
    if isinstance(op, Slice):
        parts = zip(op.start, op.stop, op.step, whole.shape[1:], strict=True)
        taken = [(axis, range(n)[a:b:s], n) for axis, (a, b, s, n) in enumerate(parts, start=1)]
        less = [(axis, places) for axis, places, n in taken if places != range(n)]
        return less[0] if len(less) == 1 else None
    return None
