"""Ties broken where that makes the graph smaller: layers read and write only the channels they touch.

A residual sum, a norm or a padded convolution keeps channels in a layer's rows for their shape alone, and channels in its columns
because another reader needs them. A gather before the layer and a scatter behind it cost an index a channel instead of a row of
weights.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from ..graph import Array, Graph, Mask, Node, Op, Value
from ..ops import Concat, Conv, Join, Select
from ..ops.shape import selection


def untie(graph: Graph) -> Graph:
    """Gathers before layers that read few channels of what they are given, and scatters behind layers that make few.

    Before:  b: 64 = Conv(weight 64x64x3x3) <- a   # 20 rows and 30 columns hold weights;  d = Add(a, b)
    After:   s: 30 = Select(a);  b: 20 = Conv(weight 20x30x3x3) <- s;  t: 64 = Select(b);  d = Add(a, t)

    What a row without weights holds, its bias, the scatter holds. Grouped convolutions whose groups differ become one
    for each number of channels a group has. Leaves alone: layers where the indices would outweigh the weights saved.
    """
    taken = set(graph.values)
    nodes: list[Node] = []
    for node in graph.nodes:
        plan = _plan(node.op, graph.ins(node))
        nodes.extend([node] if plan is None else _rewritten(graph, node, plan, taken))
    return _chained(graph.with_nodes(nodes))


@dataclass(frozen=True)
class _Part:
    """A smaller layer: the channels it gathers from the input (-1: zero) and the output channels it makes."""

    op: Op
    ins: Array
    outs: Array


@dataclass(frozen=True)
class _Plan:
    parts: tuple[_Part, ...]
    # What output channels that no part makes hold.
    held: Array


def _plan(op: Op, ins: Sequence[Value]) -> _Plan | None:
    """The smaller layers that do what the op does, when they are smaller with their indices; else None."""
    if len(ins) != 1 or not op.arrays:
        return None
    held = op.constant(ins, np.full(ins[0].channels, np.nan))
    out = np.isnan(held)
    (into,) = op.needs(ins, out)
    if not into.any() or not out.any():
        return None
    held = np.nan_to_num(held)
    if isinstance(op, Conv) and op.groups > 1:
        parts = _by_group_size(op, into, out)
    else:
        parts = _best_masks(op, ins, into, out)
    if parts is None:
        return None
    plan = _Plan(parts, held)
    saved = _size(op) - sum(_size(p.op) for p in parts)
    # An index costs as much to store as a weight, and moving channels costs time too.
    return plan if saved > 2 * _indices(plan, ins) else None


def _size(op: Op) -> int:
    return sum(a.size for a in op.arrays.values())


def _indices(plan: _Plan, ins: Sequence[Value]) -> int:
    """How many numbers the gathers and scatters of a plan hold."""
    count = sum(len(p.ins) for p in plan.parts if not np.array_equal(p.ins, np.arange(ins[0].channels)))
    makes = np.concatenate([p.outs for p in plan.parts])
    if not np.array_equal(makes, np.arange(len(plan.held))):
        count += len(plan.held) + int((plan.held != 0).any() * (np.isin(np.arange(len(plan.held)), makes, invert=True).sum()))
    return count


def _best_masks(op: Op, ins: Sequence[Value], into: Mask, out: Mask) -> tuple[_Part, ...] | None:
    """The op on the rows and columns it touches; on one of both where the other's index does not pay."""
    every_in, every_out = np.ones_like(into), np.ones_like(out)
    best: _Part | None = None
    least = float(_size(op))
    for i, o in ((into, every_out), (every_in, out), (into, out)):
        if (i.all() and o.all()) or not all(np.array_equal(a, b) for a, b in zip(op.ties(ins, o, i), (o, i), strict=True)):
            continue  # the op itself ties its rows to its columns
        small = op.keep(ins, o, i)
        cost = _size(small) + (0 if i.all() else i.sum()) + (0 if o.all() else 2 * len(o))
        if cost < least:
            best, least = _Part(small, np.flatnonzero(i), np.flatnonzero(o)), float(cost)
    return None if best is None else (best,)


def _by_group_size(op: Conv, into: Mask, out: Mask) -> tuple[_Part, ...] | None:
    """A grouped convolution as a few with equal groups each: groups of similar size together, padded with zero channels."""
    if op.depthwise and op.weight.shape[0] == op.groups:
        # One channel in, one out: a group lives when its output does.
        return None if out.all() else _group_parts(op, into, out, [np.flatnonzero(out)])
    members_in, members_out = into.reshape(op.groups, -1), out.reshape(op.groups, -1)
    sizes = np.stack([members_in.sum(1), members_out.sum(1)], 1)
    alive = np.flatnonzero(members_out.any(1))
    order = alive[np.lexsort((sizes[alive, 0], sizes[alive, 1]))]
    buckets = _buckets(sizes[order], int(np.prod(op.kernel)))
    return _group_parts(op, into, out, [order[a:b] for a, b in buckets])


def _buckets(sizes: Array, taps: int) -> list[tuple[int, int]]:
    """Ranges of the sorted groups that become one convolution each: the cheapest cut, a layer costing what it must win."""
    n = len(sizes)
    cost = np.full(n + 1, np.inf)
    cost[0], start = 0.0, np.zeros(n + 1, int)
    total = float((sizes[:, 0] * sizes[:, 1]).sum() * taps)
    # Each more layer has to save this much, or the graph would fall apart into single groups.
    layer = max(0.02 * total, 64.0)
    for end in range(1, n + 1):
        most = np.maximum.accumulate(sizes[:end][::-1])[::-1]
        each = cost[:end] + layer + (end - np.arange(end)) * most[:, 0] * most[:, 1] * taps
        start[end] = int(each.argmin())
        cost[end] = each[start[end]]
    cuts: list[tuple[int, int]] = []
    end = n
    while end:
        cuts.append((int(start[end]), end))
        end = int(start[end])
    return cuts[::-1]


def _group_parts(op: Conv, into: Mask, out: Mask, buckets: list[Array]) -> tuple[_Part, ...]:
    per_in, per_out = op.weight.shape[1], op.weight.shape[0] // op.groups
    members_in, members_out = into.reshape(op.groups, -1), out.reshape(op.groups, -1)
    parts = []
    for groups in buckets:
        width = max(int(members_in[groups].sum(1).max()), 1)
        height = int(members_out[groups].sum(1).max())
        gather, makes, rows, biases = [], [], [], []
        for g in groups:
            columns = np.flatnonzero(members_in[g])
            gather.append(np.concatenate([columns + g * per_in, np.full(width - len(columns), -1)]))
            # Rows beyond the live ones are other rows of the group, which hold no weights.
            wanted = np.flatnonzero(members_out[g])
            spare = np.setdiff1d(np.arange(per_out), wanted)[: height - len(wanted)]
            for row in np.sort(np.concatenate([wanted, spare])) + g * per_out:
                weight = np.zeros((width, *op.kernel), op.weight.dtype)
                weight[: len(columns)] = op.weight[row][columns]
                makes.append(row)
                rows.append(weight)
                biases.append(0 if op.bias is None else op.bias[row])
        bias = None if op.bias is None else np.array(biases, op.bias.dtype)
        small = replace(op, weight=np.stack(rows), bias=bias, groups=len(groups))
        parts.append(_Part(small, np.concatenate(gather).astype(np.int64), np.array(makes)))
    return tuple(parts)


def _rewritten(graph: Graph, node: Node, plan: _Plan, taken: set[str]) -> list[Node]:
    """The nodes that stand for one, the last under its name."""
    value, (x,) = graph.values[node.name], node.inputs
    axis = graph.values[x].axis
    made: list[Node] = []

    def add(op: Op, *inputs: str, what: str) -> str:
        name, count = f"{node.name}.{what}", 1
        while name in taken:
            count += 1
            name = f"{node.name}.{what}_{count}"
        taken.add(name)
        made.append(Node(name, op, inputs, node.source))
        return name

    results = []
    for part in plan.parts:
        from_input = x
        if not np.array_equal(part.ins, np.arange(graph.values[x].channels)):
            from_input = add(Select(part.ins, axis), x, what="gather")
        results.append(add(part.op, from_input, what="live"))
    name = results[0]
    if len(results) > 1:
        name = add(Concat() if value.axis == 0 else Join(value.axis, value.axis), *results, what="join")
    makes = np.concatenate([p.outs for p in plan.parts])
    if not np.array_equal(makes, np.arange(value.channels)):
        index = np.full(value.channels, -1)
        index[makes] = np.arange(len(makes))
        name = add(selection(index, plan.held.astype(graph.dtype), value.axis), name, what="scatter")
    made[-1] = replace(made[-1], name=node.name)
    return made


def _chained(graph: Graph) -> Graph:
    """Selects of selects made one.

    Before:  b = Select(a);  c = Select(b)
    After:   c = Select(a)
    """
    made: dict[str, Node] = {}
    for node in graph.nodes:
        before = made.get(node.inputs[0]) if node.inputs else None
        if isinstance(node.op, Select) and before is not None and isinstance(before.op, Select):
            outer, inner = node.op, before.op
            index, held = (
                np.where(outer.index < 0, own, of_inner[np.maximum(outer.index, 0)])
                for own, of_inner in ((-1, inner.index), (outer.held(), inner.held()))
            )
            node = replace(node, op=selection(index, held.astype(graph.dtype), outer.axis), inputs=before.inputs)
        made[node.name] = node
    return graph.with_nodes(made.values())
