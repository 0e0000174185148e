"""Pooling, and what moves elements, as ONNX says them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from ...graph import Node
from ...ops import AdaptiveAvgPool, AdaptiveMaxPool, AvgPool, Concat, Flatten, MaxPool, Mean, Pad, Select, Slice
from ...ops.conv import Pads
from ..patterns import Window, adaptive_plan, average_corrections, range_of, span_of, windows_of
from .layers import flat_pads
from .writer import Writer, lower

LOWEST = float(np.finfo(np.float32).min)


def _windows(out: Writer, node: Node) -> tuple[Window, ...]:
    op: Any = node.op
    size = out.value(node.inputs[0]).shape[1:]
    return windows_of(size, op.kernel, op.stride, op.dilation, op.pads(size))


def _pads(windows: tuple[Window, ...]) -> Pads:
    return tuple((w.before, w.read_after) for w in windows)


def _unfused(out: Writer, x: str) -> str:
    """`x`, made such that onnxruntime does not merge it into the pooling that reads it where it is zeros around something.

    Padding of a pooling op is not zeros: it never wins a maximum, and a mean leaves it out. onnxruntime 1.31 merges the two for
    MaxPool all the same, older ones for AveragePool too; they look for exactly zero, and the least normal number serves as well.
    """
    for maker in out.nodes:
        if maker.output[0] == x and maker.op_type == "Pad" and len(maker.input) == 2:
            maker.input.append(out.scalar(float(np.finfo(np.float32).tiny)))
    return x


def _pool(out: Writer, kind: str, x: str, windows: tuple[Window, ...], pads: Pads, **attributes: Any) -> str:
    settings: dict[str, Any] = {"strides": [w.stride for w in windows], "dilations": [w.dilation for w in windows]}
    settings = {name: each for name, each in settings.items() if max(each) > 1}
    if any(map(any, pads)):
        settings["pads"] = flat_pads(pads)
    return out.op(kind, [_unfused(out, x)], kernel_shape=[w.kernel for w in windows], **settings, **attributes)


def _fits(windows: tuple[Window, ...]) -> bool:
    """Whether a pooling op may say the padding itself: it must be less than the kernel, gaps not counted."""
    return all(max(pair) < w.kernel for pair, w in zip(_pads(windows), windows, strict=True))


@lower(MaxPool)
def _(out: Writer, node: Node) -> None:
    windows = _windows(out, node)
    x, pads = out.read(node.inputs[0]), _pads(windows)
    if not _fits(windows):
        x, pads = _pad(out, x, [(0, 0), (0, 0), *pads], LOWEST), ()
    out.finish_as(_pool(out, "MaxPool", x, windows, pads), node.name)


@lower(AvgPool)
def _(out: Writer, node: Node) -> None:
    op: Any = node.op
    if max(op.dilation) > 1:
        raise lower.refusal(node, f"its window is dilated by {op.dilation}; use a window without gaps")
    windows = _windows(out, node)
    x, pads = out.read(node.inputs[0]), _pads(windows)
    by_inside, by_window = average_corrections(op, out.value(node.inputs[0]).shape[1:])
    if by_inside is None and _fits(windows):
        out.finish_as(_pool(out, "AveragePool", x, windows, pads), node.name)
        return
    if any(map(any, pads)):
        x = _pad(out, x, [(0, 0), (0, 0), *pads], 0.0)
    x = _pool(out, "AveragePool", x, windows, ())
    out.finish_as(x if by_window is None else out.op("Mul", [x, out.constant(by_window)]), node.name)


@lower(AdaptiveAvgPool, AdaptiveMaxPool)
def _(out: Writer, node: Node) -> None:
    op: Any = node.op
    kind, reduction = ("Max", "ReduceMax") if isinstance(op, AdaptiveMaxPool) else ("Average", "ReduceMean")
    x = out.read(node.inputs[0])
    plans = [adaptive_plan(n, p) for n, p in zip(out.value(node.inputs[0]).shape[1:], op.places, strict=True)]
    ways = {way for way, *_ in plans}
    if ways == {"mean"}:
        x = out.op(f"Global{kind}Pool", [x])
    elif ways - {"keep"} and ways <= {"keep", "mean", "pool"}:
        kernel = [k for _, k, _ in plans]
        x = out.op(f"{kind}Pool", [_unfused(out, x)], kernel_shape=kernel, strides=kernel)
    else:
        for axis, (way, _, windows) in enumerate(plans, start=2):
            if way == "pick":
                x = out.op("Gather", [x, out.integers(*(a for a, _ in windows))], axis=axis)
            elif way != "keep":
                each = [out.op(reduction, [cut(out, x, {axis: range(a, b)})], axes=[axis]) for a, b in windows]
                x = out.op("Concat", each, axis=axis)
    out.finish_as(x, node.name)


@lower(Mean)
def _(out: Writer, node: Node) -> None:
    value = out.value(node.inputs[0])
    axes = [i + 1 for i in range(len(value.shape)) if i != value.axis]
    x = out.read(node.inputs[0])
    out.finish_as(out.op("ReduceMean", [x], axes=axes, keepdims=0) if axes else x, node.name)


@lower(Flatten)
def _(out: Writer, node: Node) -> None:
    x = out.read(node.inputs[0])
    out.finish_as(x if len(out.value(node.inputs[0]).shape) == 1 else out.op("Flatten", [x]), node.name)


@lower(Concat)
def _(out: Writer, node: Node) -> None:
    parts = [out.read(name) for name in node.inputs]
    axis = out.value(node.name).axis + 1
    out.finish_as(out.op("Concat", parts, axis=axis) if len(parts) > 1 else parts[0], node.name)


@lower(Select)
def _(out: Writer, node: Node) -> None:
    op: Any = node.op
    x, value = out.read(node.inputs[0]), out.value(node.inputs[0])
    axis = value.axis + 1
    span = span_of(op.index)
    if span is None:
        if (op.index < 0).any():
            # One zero channel at the end, for every place that wants one.
            x = _pad(out, x, [(0, int(i == axis)) for i in range(len(value.shape) + 1)], 0.0)
        index = np.where(op.index < 0, value.channels, op.index)
        x = out.op("Gather", [x, out.constant(index.astype(np.int64))], axis=axis)
    else:
        if span.count < value.channels:
            x = cut(out, x, {axis: range(span.start, span.stop, span.step)})
        if span.before or span.after:
            x = _pad(out, x, [(span.before, span.after) if i == axis else (0, 0) for i in range(len(value.shape) + 1)], 0.0)
    out.finish_as(x, node.name)


@lower(Slice)
def _(out: Writer, node: Node) -> None:
    op: Any = node.op
    size = out.value(node.inputs[0]).shape[1:]
    ranges = [range_of(slice(*part), n) for part, n in zip(zip(op.start, op.stop, op.step, strict=True), size, strict=True)]
    kept = {axis: r for axis, (r, n) in enumerate(zip(ranges, size, strict=True), start=2) if r != range(n)}
    x = out.read(node.inputs[0])
    out.finish_as(cut(out, x, kept) if kept else x, node.name)


@lower(Pad)
def _(out: Writer, node: Node) -> None:
    op: Any = node.op
    x = out.read(node.inputs[0])
    out.finish_as(_pad(out, x, [(0, 0), (0, 0), *op.amount], op.fill) if any(map(any, op.amount)) else x, node.name)


def _pad(out: Writer, x: str, amount: list[tuple[int, int]], fill: float) -> str:
    """`x` with `fill` around it; `amount` counts the batch axis."""
    extra = [out.scalar(fill)] if fill else []
    return out.op("Pad", [x, out.integers(*flat_pads(tuple(amount))), *extra])


def cut(out: Writer, x: str, ranges: Mapping[int, range]) -> str:
    """The places in the ranges along some axes, the batch axis counted."""
    starts = [r.start for r in ranges.values()]
    # Before the first place is what a negative stop means here; ONNX reads -1 as the last place.
    stops = [r.stop if r.stop >= 0 else np.iinfo(np.int64).min for r in ranges.values()]
    steps = [r.step for r in ranges.values()]
    inputs = [out.integers(*numbers) for numbers in (starts, stops, list(ranges), *([steps] if set(steps) != {1} else []))]
    return out.op("Slice", [x, *inputs])
