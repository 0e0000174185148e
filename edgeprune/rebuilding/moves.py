"""What moves, picks, joins and sums up elements."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import fx

from ..graph import Node
from ..ops import Concat, Cut, Flatten, Join, Mean, Rearrange, Reduce, Roll, Select, Slice, Take
from .build import Rebuild, build


@build(Flatten)
def _flatten(r: Rebuild, node: Node, op: Flatten) -> fx.Node:
    return r.call(torch.flatten, *r.ins(node), 1)


@build(Rearrange)
def _rearrange(r: Rebuild, node: Node, op: Rearrange) -> fx.Node:
    (x,) = r.ins(node)
    # From the last axis on, so that the places of those before stay.
    for dim, factors in reversed(list(enumerate(op.split, start=1))):
        if not factors:
            x = r.call(torch.squeeze, x, dim)
        elif len(factors) > 1:
            x = r.call(torch.unflatten, x, dim, factors)
    if op.order != tuple(range(len(op.order))):
        x = r.call(torch.permute, x, (0, *(i + 1 for i in op.order)))
    for dim, count in enumerate(op.merge, start=1):
        if not count:
            x = r.call(torch.unsqueeze, x, dim)
        elif count > 1:
            x = r.call(torch.flatten, x, dim, dim + count - 1)
    return x


@build(Concat)
def _concat(r: Rebuild, node: Node, op: Concat) -> fx.Node:
    return r.call(torch.cat, r.ins(node), r.value(node).axis + 1)


@build(Join)
def _join(r: Rebuild, node: Node, op: Join) -> fx.Node:
    return r.call(torch.cat, r.ins(node), op.along + 1)


@build(Select)
def _select(r: Rebuild, node: Node, op: Select) -> fx.Node:
    (x,) = r.ins(node)
    picked = r.call(torch.index_select, x, op.axis + 1, r.tensor(node, "index", np.maximum(op.index, 0), trained=False))
    if (op.index >= 0).all():
        return picked
    shape = [-1 if i == op.axis else 1 for i in range(len(r.value(node).shape))]
    present = (op.index >= 0).astype(r.source.dtype).reshape(shape)
    return r.call(torch.mul, picked, r.tensor(node, "present", present, trained=False))


@build(Take)
def _take(r: Rebuild, node: Node, op: Take) -> fx.Node:
    return r.call(torch.index_select, *r.ins(node), op.along + 1, r.tensor(node, "index", op.index, trained=False))


@build(Slice)
def _slice(r: Rebuild, node: Node, op: Slice) -> fx.Node:
    return _part(r, node, [slice(None), *(slice(*part) for part in zip(op.start, op.stop, op.step, strict=True))])


@build(Cut)
def _cut(r: Rebuild, node: Node, op: Cut) -> fx.Node:
    return _part(r, node, [*[slice(None)] * op.along, slice(op.start, op.stop, op.step)])


def _part(r: Rebuild, node: Node, axes: list[slice]) -> fx.Node:
    """The value's part. Torch steps forwards only: where it goes backwards, the axis is turned round and counted from there."""
    (x,) = r.ins(node)
    back = [axis for axis, part in enumerate(axes) if part.step is not None and part.step < 0]
    if back:
        x = r.call(torch.flip, x, [axis + 1 for axis in back])
        axes = [
            slice(~part.start, None if part.stop is None else ~part.stop, -part.step) if axis in back else part
            for axis, part in enumerate(axes)
        ]
    return r.call(operator.getitem, x, (slice(None), *axes))


@build(Roll)
def _roll(r: Rebuild, node: Node, op: Roll) -> fx.Node:
    moved = [axis for axis, shift in enumerate(op.shifts) if shift]
    return r.call(torch.roll, *r.ins(node), [op.shifts[axis] for axis in moved] or [0], [axis + 1 for axis in moved] or [1])


REDUCTIONS: dict[str, Callable[..., Any]] = {"mean": torch.mean, "sum": torch.sum, "max": torch.amax, "min": torch.amin}


@build(Reduce)
def _reduce(r: Rebuild, node: Node, op: Reduce) -> fx.Node:
    return r.call(REDUCTIONS[op.kind], *r.ins(node), [axis + 1 for axis in op.axes], op.keepdims)


@build(Mean)
def _mean(r: Rebuild, node: Node, op: Mean) -> fx.Node:
    value = r.value(node)
    dims = [i + 1 for i in range(len(value.shape)) if i != value.axis]
    return r.call(torch.mean, *r.ins(node), dims) if dims else r.call(torch.clone, *r.ins(node))
