"""Maps made larger: transposed convolution, resampling, padding by what the map holds, as TFLite says them."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...graph import Array, Node, Shape
from ...ops import Conv, ConvTranspose, PadWith, Upsample
from ...ops.resize import MODES
from ..patterns import moved_groups, resampled
from .layers import check_depth, convolve
from .layout import line, square, stored_axis, stored_shape
from .moving import cut
from .writer import Writer, lower


@dataclass(frozen=True)
class _Axis:
    """One axis of a transposed convolution as a plain one: `stride` results a place, from `reach` places up to its own."""

    reach: int
    places: int  # of the plain convolution
    after: int  # padding at its end


def _axes(op: ConvTranspose, size: Shape, wanted: Shape) -> list[_Axis]:
    axes = []
    for n, want, k, s, d, p in zip(size, wanted, op.kernel, op.stride, op.dilation, op.padding, strict=True):
        places = max(n, -(-(p + want) // s))
        axes.append(_Axis(d * (k - 1) // s + 1, places, places - n))
    return axes


def _phases(op: ConvTranspose, axes: list[_Axis]) -> Array:
    """The weight of the plain convolution: [groups, phases of every axis..., out / groups, in / groups, *reach].

    Result place o = place * stride + phase reads, by tap t, input place (o - t * dilation) / stride where that is whole.
    """
    ins, outs, *kernel = op.weight.shape
    grouped = op.weight.reshape(op.groups, ins // op.groups, outs, *kernel)
    shape = (op.groups, *op.stride, outs, ins // op.groups, *(a.reach for a in axes))
    phases = np.zeros(shape, np.float32)
    for tap in itertools.product(*map(range, kernel)):
        steps = [divmod(t * d, s) for t, d, s in zip(tap, op.dilation, op.stride, strict=True)]
        back = [a.reach - 1 - whole for a, (whole, _) in zip(axes, steps, strict=True)]
        source: Any = (..., *tap)
        place: Any = (slice(None), *(phase for _, phase in steps), slice(None), slice(None), *back)
        phases[place] = grouped[source].transpose(0, 2, 1)
    return phases


@lower(ConvTranspose)
def _(out: Writer, node: Node) -> None:
    op: Any = node.op
    value, result = out.value(node.inputs[0]), out.value(node.name)
    check_depth(node, len(op.kernel))
    # The op of that name wants the batch in its shape, and neither groups nor dilations: a plain convolution makes all phases
    # of a place as channels, which then take their places.
    axes = _axes(op, value.shape[1:], result.shape[1:])
    phases = _phases(op, axes)
    each = math.prod(op.stride)
    # [out, phases] within each group; one group alone has its phases in front, as DEPTH_TO_SPACE reads them.
    weight = phases.reshape(op.groups * each * phases.shape[len(op.stride) + 1], *phases.shape[len(op.stride) + 2 :])
    bias = None
    if op.bias is not None:
        bias = np.repeat(op.bias.reshape(op.groups, 1, -1), each, axis=1).reshape(-1)
    ones = (1,) * len(axes)
    plain = Conv(weight, bias, ones, tuple((a.reach - 1, a.after) for a in axes), ones, op.groups)
    x = convolve(out, node, out.read(node.inputs[0]), value, plain)
    x = _spread(out, x, op, [a.places for a in axes])
    ranges = [range(p, p + n) for p, n in zip(op.padding, result.shape[1:], strict=True)]
    full = [a.places * s for a, s in zip(axes, op.stride, strict=True)]
    if any(r != range(n) for r, n in zip(ranges, full, strict=True)):
        before: list[range | None] = [None] if line(value) else []
        kept = [None if r == range(n) else r for r, n in zip(ranges, full, strict=True)]
        x = cut(out, x, [*before, *kept, None], stored_shape(result))
    out.bind(node.name, x)


def _spread(out: Writer, x: int, op: ConvTranspose, places: list[int]) -> int:
    """(rows, columns, groups x phases x channels) as a map that is larger by the strides."""
    rows, columns = square(places)
    down, across = square(op.stride)
    full = (rows * down, columns * across, op.outs)
    if down == across == 1:
        return x
    if op.groups == 1 and down == across:
        return out.op("DEPTH_TO_SPACE", [x], full, block_size=down)
    # rows, columns, groups, phases down, phases across, channels
    sizes = (rows, columns, op.groups, down, across, op.outs // op.groups)
    groups, order = moved_groups(sizes, range(6), (0, 3, 1, 4, 2, 5))
    if len(groups) > 1:
        x = out.transpose(out.reshape(x, tuple(groups[1:]), groups[0]), order)
    return out.reshape(x, full)


@lower(Upsample)
def _(out: Writer, node: Node) -> None:
    op: Any = node.op
    value, result = out.value(node.inputs[0]), out.value(node.name)
    size, places = value.shape[1:], result.shape[1:]
    x, shape = out.read(node.inputs[0]), list(stored_shape(value))
    whole = op.scale is None or all(n * s == m for n, s, m in zip(size, op.scale, places, strict=True))
    if op.kind == "linear" and len(size) <= 2 and (whole or op.align_corners):
        ends = {"align_corners": op.align_corners, "half_pixel_centers": not op.align_corners}
        x = out.op("RESIZE_BILINEAR", [x, out.integers(*square(places))], stored_shape(result), version=3, **ends)
        out.bind(node.name, x)
        return
    for i, (n, m) in enumerate(zip(size, places, strict=True)):
        axis = stored_axis(value, i + 1)
        low, high, share = resampled(op, i, n, m)
        if share is None and np.array_equal(low, range(n)):
            continue
        shape[axis] = m
        first = out.gather(x, low, tuple(shape), axis)
        if share is not None:
            second = out.gather(x, high, tuple(shape), axis)
            along = share.reshape([-1 if j == axis else 1 for j in range(len(shape))])
            parts = [out.op("MUL", [y, out.constant(s)], tuple(shape)) for y, s in ((first, 1 - along), (second, along))]
            first = out.op("ADD", parts, tuple(shape))
        x = first
    out.bind(node.name, x)


@lower(PadWith)
def _(out: Writer, node: Node) -> None:
    op: Any = node.op
    value, result = out.value(node.inputs[0]), out.value(node.name)
    x, shape = out.read(node.inputs[0]), list(stored_shape(value))
    if op.mode == "reflect" and any(map(any, op.amount)):
        before = ((0, 0), *(((0, 0),) if line(value) else ()))
        table = np.array((*before, *op.amount, (0, 0)), np.int32)
        out.bind(node.name, out.op("MIRROR_PAD", [x, out.constant(table)], stored_shape(result)))
        return
    for i, (n, pair) in enumerate(zip(value.shape[1:], op.amount, strict=True), start=1):
        if any(pair):
            axis = stored_axis(value, i)
            shape[axis] = n + sum(pair)
            x = out.gather(x, np.pad(np.arange(n), pair, mode=MODES[op.mode]), tuple(shape), axis)  # type: ignore[call-overload]
    out.bind(node.name, x)
