"""Reshapes, and what joins, cuts, picks, rolls and sums up places, as ONNX says them."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...graph import Node
from ...ops import Constant, Cut, Join, Rearrange, Reduce, Roll, Take
from ..patterns import moved_groups
from .spatial import cut
from .writer import Writer, lower


@lower(Rearrange)
def _(out: Writer, node: Node) -> None:
    op: Any = node.op
    value, result = out.value(node.inputs[0]), out.value(node.name)
    sizes = op.factors(value.shape)
    groups, order = moved_groups(sizes, range(len(sizes)), op.order)
    x, shape = out.read(node.inputs[0]), [1, *value.shape]
    if len(groups) > 1:
        x = out.op("Transpose", [_reshaped(out, x, shape, groups)], perm=order)
        shape = [groups[i] for i in order]
    out.finish_as(_reshaped(out, x, shape, [1, *result.shape]), node.name)


def _reshaped(out: Writer, x: str, shape: list[int], wanted: list[int]) -> str:
    """`x` as another shape of one example; the first axis counts the batch."""
    if shape == wanted:
        return x
    return out.reshape(x, *wanted[1:]) if shape[0] == wanted[0] else out.reshape(x, -1, *wanted[1:])


@lower(Constant)
def _(out: Writer, node: Node) -> None:
    op: Any = node.op
    out.hold(node.name, out.numbers(node, "weight", op.weight), node.inputs[0])


@lower(Join)
def _(out: Writer, node: Node) -> None:
    op: Any = node.op
    parts = [out.read(name) for name in node.inputs]
    out.finish_as(out.op("Concat", parts, axis=op.along + 1) if len(parts) > 1 else parts[0], node.name)


@lower(Cut)
def _(out: Writer, node: Node) -> None:
    op: Any = node.op
    whole = range(out.value(node.inputs[0]).shape[op.along])
    kept = whole[op.start : op.stop : op.step]
    x = out.read(node.inputs[0])
    out.finish_as(cut(out, x, {op.along + 1: kept}) if kept != whole else x, node.name)


@lower(Take)
def _(out: Writer, node: Node) -> None:
    op: Any = node.op
    index = out.constant(op.index.astype(np.int64))
    out.op("Gather", [out.read(node.inputs[0]), index], node.name, axis=op.along + 1)


@lower(Roll)
def _(out: Writer, node: Node) -> None:
    op: Any = node.op
    x = out.read(node.inputs[0])
    for axis, (n, shift) in enumerate(zip(out.value(node.name).shape, op.shifts, strict=True), start=1):
        if shift % n:
            first = n - shift % n
            parts = [cut(out, x, {axis: places}) for places in (range(first, n), range(first))]
            x = out.op("Concat", parts, axis=axis)
    out.finish_as(x, node.name)


@lower(Reduce)
def _(out: Writer, node: Node) -> None:
    op: Any = node.op
    x, axes, keep = out.read(node.inputs[0]), [a + 1 for a in op.axes], int(op.keepdims)
    if op.kind == "sum":
        out.op("ReduceSum", [x, out.integers(*axes)], node.name, keepdims=keep)
    elif op.kind in ("mean", "max", "min"):
        out.op(f"Reduce{op.kind.capitalize()}", [x], node.name, axes=axes, keepdims=keep)
    else:
        raise lower.refusal(node, f"no reduction for {op.kind!r}; it has: mean, sum, max, min")
