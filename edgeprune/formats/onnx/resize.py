"""Resampling, and padding by what the map holds, as ONNX says them."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...graph import Node
from ...ops import PadWith, Upsample
from ...ops.resize import MODES
from ..patterns import resampled
from .layers import flat_pads
from .writer import Writer, lower


@lower(Upsample)
def _(out: Writer, node: Node) -> None:
    op: Any = node.op
    size, places = out.value(node.inputs[0]).shape[1:], out.value(node.name).shape[1:]
    x = out.read(node.inputs[0])
    if op.kind == "linear" and len(size) == 2:
        mode = "align_corners" if op.align_corners else "half_pixel"
        if op.scale is not None and not op.align_corners:
            said = [out.constant(np.array([1, 1, *op.scale], np.float32))]
        else:
            # Sizes are absolute, so the batch is taken from the value.
            batch = out.op("Slice", [out.op("Shape", [x]), out.integers(0), out.integers(2)])
            said = ["", out.op("Concat", [batch, out.integers(*places)], axis=0)]
        out.op("Resize", [x, "", *said], node.name, mode="linear", coordinate_transformation_mode=mode)
        return
    for axis, (n, m) in enumerate(zip(size, places, strict=True)):
        low, high, share = resampled(op, axis, n, m)
        if share is None and np.array_equal(low, range(n)):
            continue
        first = out.op("Gather", [x, out.integers(*low)], axis=axis + 2)
        if share is None:
            x = first
            continue
        second = out.op("Gather", [x, out.integers(*high)], axis=axis + 2)
        line = share.reshape(-1, *(1 for _ in size[axis + 1 :]))
        parts = [out.op("Mul", [y, out.constant(s)]) for y, s in ((first, 1 - line), (second, line))]
        x = out.op("Add", parts)
    out.finish_as(x, node.name)


@lower(PadWith)
def _(out: Writer, node: Node) -> None:
    op: Any = node.op
    x = out.read(node.inputs[0])
    if op.mode == "circular":
        for axis, (n, pair) in enumerate(zip(out.value(node.inputs[0]).shape[1:], op.amount, strict=True), start=2):
            if any(pair):
                x = out.op("Gather", [x, out.integers(*np.pad(np.arange(n), pair, mode="wrap"))], axis=axis)
    elif any(map(any, op.amount)):
        x = out.op("Pad", [x, out.integers(*flat_pads(((0, 0), (0, 0), *op.amount)))], mode=MODES[op.mode])
    out.finish_as(x, node.name)
