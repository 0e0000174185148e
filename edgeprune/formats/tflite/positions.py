"""Reshapes, and what joins, cuts, picks, rolls and sums up places, as TFLite says them."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...graph import Array, Node, Value
from ...ops import Constant, Cut, Join, Rearrange, Reduce, Roll, Take
from ..patterns import moved_groups
from .layout import store, stored_axis, stored_shape, walk
from .moving import cut
from .spatial import concat
from .writer import Writer, lower


@lower(Rearrange)
def _(out: Writer, node: Node) -> None:
    op: Any = node.op
    value, result = out.value(node.inputs[0]), out.value(node.name)
    sizes = op.factors(value.shape)
    counts = [len(factors) for factors in op.split]
    before = _by_axis(range(len(sizes)), counts, walk(value))
    groups, order = moved_groups(sizes, before, _by_axis(op.order, op.merge, walk(result)))
    x = out.read(node.inputs[0])
    if len(groups) > 1 and len(result.shape) == 1:
        # Features: their readers take another order into account, so nothing is moved.
        out.bind(node.name, out.reshape(x, result.shape), _feature_order(op, value))
        return
    if len(groups) > 6:
        raise lower.refusal(node, f"it moves {len(groups) - 1} groups of axes, and at most 5 can be; export to ONNX instead")
    if len(groups) > 1:
        x = out.transpose(out.reshape(x, tuple(groups[1:]), groups[0]), order)
    out.bind(node.name, out.reshape(x, stored_shape(result)))


def _by_axis(factors: Any, counts: Any, axes: tuple[int, ...]) -> list[int]:
    """The factors, so many an axis, in another order of the axes."""
    ends = np.cumsum(counts)
    return [factors[i] for axis in axes for i in range(ends[axis] - counts[axis], ends[axis])]


def _feature_order(op: Rearrange, value: Value) -> Array:
    """order[j]: the feature of the graph that lies at j when the stored value is made one line."""
    elements = np.arange(np.prod(value.shape)).reshape(1, *value.shape)
    feature = np.argsort(op.run(elements)[0])
    return np.asarray(feature[store(elements, value).reshape(-1)])


@lower(Constant)
def _(out: Writer, node: Node) -> None:
    op: Any = node.op
    stored = store(op.weight[None], out.value(node.name))
    out.hold(node.name, out.constant(stored, f"{node.source or node.name}.weight"), node.inputs[0])


@lower(Join)
def _(out: Writer, node: Node) -> None:
    op: Any = node.op
    if op.along == op.channels:
        concat(out, node)
        return
    value = out.value(node.name)
    parts, shape = [out.read(name) for name in node.inputs], stored_shape(value)
    axis = stored_axis(value, op.along) + 1
    out.bind(node.name, out.op("CONCATENATION", parts, shape, axis=axis) if len(parts) > 1 else parts[0])


@lower(Cut)
def _(out: Writer, node: Node) -> None:
    op: Any = node.op
    value, shape = out.value(node.inputs[0]), stored_shape(out.value(node.name))
    x, axis = out.read(node.inputs[0]), stored_axis(value, op.along)
    whole = range(value.shape[op.along])
    kept = whole[op.start : op.stop : op.step]
    if kept.step < 0:
        x = out.gather(x, np.array(kept), shape, axis)
    elif kept != whole:
        x = cut(out, x, [kept if i == axis else None for i in range(len(shape))], shape)
    out.bind(node.name, x)


@lower(Take)
def _(out: Writer, node: Node) -> None:
    op: Any = node.op
    axis = stored_axis(out.value(node.inputs[0]), op.along)
    out.bind(node.name, out.gather(out.read(node.inputs[0]), op.index, stored_shape(out.value(node.name)), axis))


@lower(Roll)
def _(out: Writer, node: Node) -> None:
    op: Any = node.op
    value = out.value(node.name)
    x, shape = out.read(node.inputs[0]), stored_shape(value)
    for i, (n, shift) in enumerate(zip(value.shape, op.shifts, strict=True)):
        if shift % n:
            axis, first = stored_axis(value, i), n - shift % n
            parts = []
            for places in (range(first, n), range(first)):
                part = (*shape[:axis], len(places), *shape[axis + 1 :])
                parts.append(cut(out, x, [places if j == axis else None for j in range(len(shape))], part))
            x = out.op("CONCATENATION", parts, shape, axis=axis + 1)
    out.bind(node.name, x)


REDUCTIONS = {"mean": "MEAN", "sum": "SUM", "max": "REDUCE_MAX", "min": "REDUCE_MIN"}


@lower(Reduce)
def _(out: Writer, node: Node) -> None:
    op: Any = node.op
    if op.kind not in REDUCTIONS:
        raise lower.refusal(node, f"no reduction for {op.kind!r}; it has: {', '.join(REDUCTIONS)}")
    value, wanted = out.value(node.inputs[0]), stored_shape(out.value(node.name))
    axes = sorted(stored_axis(value, a) for a in op.axes)
    kept = tuple(1 if i in axes else n for i, n in enumerate(stored_shape(value)))
    left = tuple(n for i, n in enumerate(stored_shape(value)) if i not in axes)
    keep = kept == wanted
    inputs = [out.read(node.inputs[0]), out.integers(*(a + 1 for a in axes))]
    x = out.op(REDUCTIONS[op.kind], inputs, kept if keep else left, keep_dims=keep)
    out.bind(node.name, out.reshape(x, wanted))
