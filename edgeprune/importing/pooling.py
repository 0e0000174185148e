"""ONNX pooling, sums over axes, and resampling."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..graph import Array, Shape
from ..laying.arithmetic import both
from ..laying.layers import layer
from ..laying.layout import Laid
from ..laying.sums import reduced
from ..laying.taking import settled
from ..laying.views import shape_of
from ..ops import Activation, AdaptiveAvgPool, AdaptiveMaxPool, AvgPool, MaxPool, Mul, Take, Upsample
from .layers import pads_of, spread
from .walk import Call, Walk, lower


@lower("MaxPool", "AveragePool")
def _pool(walk: Walk, call: Call, x: Any) -> Laid:
    kernel = tuple(int(n) for n in call.attributes["kernel_shape"])
    axes = len(kernel)
    stride, dilation = spread(call, "strides", axes), spread(call, "dilations", axes)
    pads = pads_of(call, walk.laid(call, x).shape[2:], kernel, stride, dilation)
    ceil = bool(call.attributes.get("ceil_mode")) and call.attributes.get("auto_pad", "NOTSET") in ("NOTSET", "")
    if call.kind == "MaxPool":
        if len(call.outputs) > 1 and call.outputs[1] in {n for c in walk.file.calls for n in c.reads} | set(walk.file.outputs):
            raise walk.unsupported(call, "it also gives the places of the largest elements")
        return layer(walk, call, x, MaxPool(kernel, stride, pads, dilation, ceil))
    counted = bool(call.attributes.get("count_include_pad"))
    return layer(walk, call, x, AvgPool(kernel, stride, pads, dilation, ceil, counted))


@lower("GlobalAveragePool", "GlobalMaxPool")
def _global(walk: Walk, call: Call, x: Any) -> Laid:
    ones = (1,) * (len(walk.laid(call, x).dims) - 2)
    return layer(walk, call, x, AdaptiveAvgPool(ones) if call.kind == "GlobalAveragePool" else AdaptiveMaxPool(ones))


@lower("ReduceMean", "ReduceSum", "ReduceMax", "ReduceMin")
def _reduce(walk: Walk, call: Call, x: Any, axes: Any = None) -> Any:
    return _over_axes(walk, call, call.kind.removeprefix("Reduce").lower(), x, axes)


def _over_axes(walk: Walk, call: Call, kind: str, x: Any, axes: Any) -> Laid:
    over = walk.integer_list(call, axes, "axes") or []
    if not over and call.attributes.get("noop_with_empty_axes"):
        return walk.laid(call, x)
    return reduced(walk, call, kind, x, over, bool(call.attributes.get("keepdims", 1)))


@lower("ReduceL2", "ReduceSumSquare")
def _length(walk: Walk, call: Call, x: Any, axes: Any = None) -> Any:
    laid = settled(walk, call, walk.laid(call, x))
    total = _over_axes(walk, call, "sum", both(walk, call, laid, laid, Mul()), axes)
    return total if call.kind == "ReduceSumSquare" else walk.pointwise(call, total, Activation("sqrt"))


@lower("Resize")
def _resize(walk: Walk, call: Call, x: Any, region: Any = None, scales: Any = None, sizes: Any = None) -> Laid:
    said = call.attributes
    shape, rank = shape_of(x), len(shape_of(x))
    axes = [a % rank for a in said.get("axes", range(rank))]
    by_scale: list[float | None] = [None] * rank
    out = list(shape)
    if scales is not None and np.size(scales):
        for axis, scale in zip(axes, np.asarray(scales, np.float64), strict=True):
            by_scale[axis], out[axis] = float(scale), int(np.floor(shape[axis] * scale))
    elif sizes is not None:
        if said.get("keep_aspect_ratio_policy", "stretch") != "stretch":
            raise walk.unsupported(call, "it keeps the aspect ratio")
        for axis, n in zip(axes, walk.integer_list(call, sizes) or (), strict=True):
            out[axis] = n
    if out[:2] != list(shape[:2]):
        raise walk.unsupported(call, "it resamples the batch or the channels")
    if said.get("antialias"):
        raise walk.unsupported(call, "it smooths what it makes smaller (antialias)")
    per_axis = [out[i] / shape[i] if (said_scale := by_scale[i]) is None else said_scale for i in range(2, rank)]
    mode, place = said.get("mode", "nearest"), said.get("coordinate_transformation_mode", "half_pixel")
    whole = all(s is not None for s in by_scale[2:])
    scale = tuple(per_axis) if whole else None
    size = None if whole else tuple(out[2:])
    if mode == "nearest":
        return _nearest(walk, call, x, place, scale, size, shape[2:], tuple(out[2:]), per_axis)
    straight = place in ("half_pixel", "align_corners") or (place == "pytorch_half_pixel" and 1 not in out[2:])
    if mode != "linear" or not straight:
        raise walk.unsupported(call, f"mode {mode!r} with {place!r}; use nearest, or linear with half_pixel or align_corners")
    return layer(walk, call, x, Upsample("linear", scale, size, place == "align_corners"))


def _nearest(
    walk: Walk, call: Call, x: Any, place: str, scale: Any, size: Any, before: Shape, after: Shape, per_axis: list[Any]
) -> Laid:
    """The ops' own word where there is one for what is read at every place, else the places one by one."""
    found = [_read(call, place, n, m, s) for n, m, s in zip(before, after, per_axis, strict=True)]
    wanted = [index for index in found if index is not None]
    if len(wanted) < len(found):
        raise walk.unsupported(call, f"nearest places by {place!r}, {call.attributes.get('nearest_mode')!r}")
    for kind in ("nearest", "nearest_exact"):
        op = Upsample(kind, scale, size)
        read = [np.minimum(np.floor(op.sources(i, n, m)), n - 1) for i, (n, m) in enumerate(zip(before, after, strict=True))]
        if all(np.array_equal(r, w) for r, w in zip(read, wanted, strict=True)):
            return layer(walk, call, x, op)
    for axis, index in enumerate(wanted, start=1):
        if not np.array_equal(index, np.arange(before[axis - 1])):
            x = layer(walk, call, x, Take(index, axis))
    return walk.laid(call, x)


def _read(call: Call, place: str, n: int, m: int, scale: float) -> Array | None:
    """Which of the n places of an axis the m results read."""
    i = np.arange(m, dtype=np.float64)
    at = {
        "half_pixel": (i + 0.5) / scale - 0.5,
        "pytorch_half_pixel": (i + 0.5) / scale - 0.5 if m > 1 else i * 0,
        "asymmetric": i / scale,
        "align_corners": i * (n - 1) / (m - 1) if m > 1 else i * 0,
    }.get(place)
    roundings: dict[str, Callable[[Array], Array]] = {
        "round_prefer_floor": lambda v: np.ceil(v - 0.5),
        "round_prefer_ceil": lambda v: np.floor(v + 0.5),
        "floor": np.floor,
        "ceil": np.ceil,
    }
    rounding = roundings.get(call.attributes.get("nearest_mode", "round_prefer_floor"))
    if at is None or rounding is None:
        return None
    picked: Array = np.clip(rounding(at), 0, n - 1).astype(np.int64)
    return picked
