"""Pooling, and what moves elements, as TFLite says them."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...graph import Node, Shape
from ...ops import AdaptiveAvgPool, AdaptiveMaxPool, AvgPool, Concat, Flatten, MaxPool, Mean, Pad, Select, Slice
from ..patterns import Window, adaptive_plan, average_corrections, range_of, span_of, windows_of
from .layers import check_depth
from .layout import flat_order, line, square, stored_axis, stored_shape
from .moving import cut, pad, pad_for
from .schema import SAME, VALID
from .writer import Writer, lower

LOWEST = float(np.finfo(np.float32).min)


def _pool_options(kernel: Shape, stride: Shape, padding: int) -> dict[str, Any]:
    (height, width), (stride_h, stride_w) = square(kernel), square(stride)
    return {"padding": padding, "height": height, "width": width, "stride_h": stride_h, "stride_w": stride_w}


def _pool_windows(out: Writer, node: Node) -> tuple[Window, ...]:
    op: Any = node.op
    size = out.value(node.inputs[0]).shape[1:]
    check_depth(node, len(op.kernel))
    if max(op.dilation) > 1 and not isinstance(op, MaxPool):
        raise lower.refusal(node, f"its window is dilated by {op.dilation}; use a window without gaps")
    return windows_of(size, op.kernel, op.stride, op.dilation, op.pads(size))


@lower(MaxPool)
def _(out: Writer, node: Node) -> None:
    op: Any = node.op
    windows = _pool_windows(out, node)
    x, shape = out.read(node.inputs[0]), stored_shape(out.value(node.name))
    if max(op.dilation) > 1:
        out.bind(node.name, _dilated_max(out, node, x, windows))
        return
    x, padding = pad_for(out, x, out.value(node.inputs[0]), windows, LOWEST)
    out.bind(node.name, out.op("MAX_POOL_2D", [x], shape, **_pool_options(op.kernel, op.stride, padding)))


def _dilated_max(out: Writer, node: Node, x: int, windows: tuple[Window, ...]) -> int:
    """The largest of the shifted maps, one a tap: no pooling op has gaps."""
    if any(w.padded for w in windows):
        x = pad(out, x, out.value(node.inputs[0]), tuple((w.before, w.read_after) for w in windows), LOWEST)
    shape = stored_shape(out.value(node.name))
    best = None
    for tap in np.ndindex(*(w.kernel for w in windows)):
        starts = [t * w.dilation for t, w in zip(tap, windows, strict=True)]
        ranges = [range(s, s + (w.places - 1) * w.stride + 1, w.stride) for s, w in zip(starts, windows, strict=True)]
        part = cut(out, x, _spatial(out, node, ranges), shape)
        best = part if best is None else out.op("MAXIMUM", [best, part], shape)
    assert best is not None
    return best


@lower(AvgPool)
def _(out: Writer, node: Node) -> None:
    op: Any = node.op
    windows = _pool_windows(out, node)
    x, value = out.read(node.inputs[0]), out.value(node.name)
    by_inside, by_window = average_corrections(op, out.value(node.inputs[0]).shape[1:])
    padding, factor = VALID, by_window
    # SAME counts elements inside the map only; VALID, after padding, counts them all.
    if by_inside is None and all(w.same for w in windows):
        padding, factor = SAME, None
    elif any(w.padded for w in windows):
        x = pad(out, x, out.value(node.inputs[0]), tuple((w.before, w.read_after) for w in windows), 0.0)
    shape = stored_shape(value)
    x = out.op("AVERAGE_POOL_2D", [x], shape, **_pool_options(op.kernel, op.stride, padding))
    if factor is not None:
        x = out.op("MUL", [x, out.constant(factor.reshape(1, *square(factor.shape), 1))], shape)
    out.bind(node.name, x)


@lower(AdaptiveAvgPool, AdaptiveMaxPool)
def _(out: Writer, node: Node) -> None:
    op: Any = node.op
    value, result = out.value(node.inputs[0]), out.value(node.name)
    check_depth(node, len(op.places))
    pooling, reduction = ("MAX_POOL_2D", "REDUCE_MAX") if isinstance(op, AdaptiveMaxPool) else ("AVERAGE_POOL_2D", "MEAN")
    x, shape = out.read(node.inputs[0]), list(stored_shape(value))
    plans = [adaptive_plan(n, p) for n, p in zip(value.shape[1:], op.places, strict=True)]
    ways = {way for way, *_ in plans}
    if ways == {"mean"}:
        axes = out.integers(*(stored_axis(value, i) + 1 for i in range(1, len(value.shape))))
        out.bind(node.name, out.op(reduction, [x, axes], stored_shape(result), keep_dims=True))
        return
    if ways - {"keep"} and ways <= {"keep", "mean", "pool"}:
        kernel = tuple(k for _, k, _ in plans)
        out.bind(node.name, out.op(pooling, [x], stored_shape(result), **_pool_options(kernel, kernel, VALID)))
        return
    for i, (way, _, windows) in enumerate(plans, start=1):
        if way == "keep":
            continue
        axis = stored_axis(value, i)
        shape[axis] = len(windows)
        if way == "pick":
            x = out.gather(x, np.array([a for a, _ in windows]), tuple(shape), axis)
        else:
            x = _by_window(out, reduction, x, windows, tuple(shape), axis)
    out.bind(node.name, x)


def _by_window(out: Writer, reduction: str, x: int, windows: list[tuple[int, int]], shape: Shape, axis: int) -> int:
    """Windows along a stored axis, each cut out and reduced by itself: adaptive windows overlap unevenly."""
    each = []
    for start, stop in windows:
        part = (*shape[:axis], stop - start, *shape[axis + 1 :])
        whole: list[range | None] = [None] * len(shape)
        whole[axis] = range(start, stop)
        piece = cut(out, x, whole, part)
        one = (*part[:axis], 1, *part[axis + 1 :])
        each.append(out.op(reduction, [piece, out.integers(axis + 1)], one, keep_dims=True))
    return out.op("CONCATENATION", each, shape, axis=axis + 1) if len(each) > 1 else each[0]


@lower(Mean)
def _(out: Writer, node: Node) -> None:
    value = out.value(node.inputs[0])
    x = out.read(node.inputs[0])
    axes = [i + 1 for i in range(len(stored_shape(value)) - 1)]
    out.bind(node.name, out.op("MEAN", [x, out.integers(*axes)], (value.channels,), keep_dims=False) if axes else x)


@lower(Flatten)
def _(out: Writer, node: Node) -> None:
    value = out.value(node.inputs[0])
    if len(value.shape) == 1:
        out.bind(node.name, *out.read_in_order(node.inputs[0]))
        return
    # Channels last here, channels first in the graph: the readers take the order into account, so nothing is moved.
    shape = stored_shape(out.value(node.name))
    out.bind(node.name, out.reshape(out.read(node.inputs[0]), shape), flat_order(value))


@lower(Concat)
def concat(out: Writer, node: Node) -> None:
    parts = [out.read_in_order(name) for name in node.inputs]
    sizes = [out.value(name).channels for name in node.inputs]
    starts = np.cumsum([0, *sizes[:-1]])
    pieces = [start + (np.arange(n) if o is None else o) for (_, o), start, n in zip(parts, starts, sizes, strict=True)]
    order = None if all(o is None for _, o in parts) else np.concatenate(pieces)
    shape = stored_shape(out.value(node.name))
    tensors = [tensor for tensor, _ in parts]
    made = out.op("CONCATENATION", tensors, shape, axis=len(shape)) if len(tensors) > 1 else tensors[0]
    out.bind(node.name, made, order)


@lower(Select)
def _(out: Writer, node: Node) -> None:
    op: Any = node.op
    shape = stored_shape(out.value(node.name))
    channels = out.value(node.inputs[0]).channels
    x, order = out.read_in_order(node.inputs[0])
    index = op.index
    if order is not None:
        index = np.where(index < 0, -1, np.argsort(order)[index])
    span, last = span_of(index), len(shape) - 1
    if span is None:
        if (index < 0).any():
            # One zero channel at the end, for every place that wants one.
            x = _pad_channels(out, x, (*shape[:last], channels + 1), 0, 1)
            index = np.where(index < 0, channels, index)
        x = out.gather(x, index, shape, last)
    else:
        if span.count < channels:
            ranges: list[range | None] = [None] * last + [range(span.start, span.stop, span.step)]
            x = cut(out, x, ranges, (*shape[:last], span.count))
        if span.before or span.after:
            x = _pad_channels(out, x, shape, span.before, span.after)
    out.bind(node.name, x)


def _pad_channels(out: Writer, x: int, shape: Shape, before: int, after: int) -> int:
    table = np.array([(0, 0)] * len(shape) + [(before, after)], np.int32)
    return out.op("PAD", [x, out.constant(table)], shape)


def _spatial(out: Writer, node: Node, ranges: list[range]) -> list[range | None]:
    """Ranges of the spatial axes of what the node reads, as `cut` wants them."""
    return [*([None] if line(out.value(node.inputs[0])) else []), *ranges, None]


@lower(Slice)
def _(out: Writer, node: Node) -> None:
    op: Any = node.op
    value, result = out.value(node.inputs[0]), out.value(node.name)
    parts = map(slice, op.start, op.stop, op.step)
    ranges = [range_of(part, n) for part, n in zip(parts, value.shape[1:], strict=True)]
    x, shape = out.read(node.inputs[0]), list(stored_shape(value))
    for i, places in enumerate(ranges, start=1):
        if places.step < 0:
            axis = stored_axis(value, i)
            shape[axis] = len(places)
            x = out.gather(x, np.array(places), tuple(shape), axis)
    kept = [None if r.step < 0 or len(r) == n else r for r, n in zip(ranges, value.shape[1:], strict=True)]
    if any(r is not None for r in kept):
        x = cut(out, x, [*([None] if line(value) else []), *kept, None], stored_shape(result))
    out.bind(node.name, x)


@lower(Pad)
def _(out: Writer, node: Node) -> None:
    op: Any = node.op
    x = out.read(node.inputs[0])
    out.bind(node.name, pad(out, x, out.value(node.inputs[0]), op.amount, op.fill) if any(map(any, op.amount)) else x)
