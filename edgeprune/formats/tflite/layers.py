"""Linear and convolution layers, and per-channel scales, as TFLite says them."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import numpy as np

from ...graph import Array, Node, Value
from ...ops import Affine, BatchNorm, Conv, Linear
from ...sparse import Costs, Option, encode, narrow
from ..patterns import Window, windows_of
from ..stripes import Stripes, cropped
from .convolutions import OPERATOR, Way, sparse_ways
from .forms import DENSIFY, DESCRIPTION, expanding, packed, stored_bytes
from .layout import line, square, stored_shape
from .moving import pad_for, stated
from .writer import SPARSE, Writer, lower

# Opcode versions a runtime dispatches on.
FLOAT, KEPT_DIMS, GROUPED, DILATED = 1, 5, 6, 2


@lower(Linear)
def _(out: Writer, node: Node) -> None:
    op: Any = node.op
    x, order = out.read_in_order(node.inputs[0])
    weight = np.ascontiguousarray(op.weight if order is None else op.weight[:, order])
    shape = stored_shape(out.value(node.name))
    stored, sparse = out.matrix(node, weight, out.value(node.name).positions)
    bias = out.bias(node, op.bias, len(weight))
    keep = len(shape) > 1
    version = SPARSE if sparse else KEPT_DIMS if keep else FLOAT
    made = out.op("FULLY_CONNECTED", [x, stored, bias], shape, version=version, keep_num_dims=keep)
    out.bind(node.name, made)


def check_depth(node: Node, axes: int) -> None:
    """Raises NotExportable for more spatial axes than one op can walk."""
    if axes > 2:
        raise lower.refusal(node, f"it has {axes} spatial axes, and only one or two can be said; export to ONNX instead")


@lower(Conv)
def _(out: Writer, node: Node) -> None:
    op: Any = node.op
    check_depth(node, len(op.kernel))
    out.bind(node.name, convolve(out, node, out.read(node.inputs[0]), out.value(node.inputs[0]), op))


def convolve(out: Writer, node: Node, x: int, value: Value, op: Conv) -> int:
    """The convolution of a map that `x` holds, under the node's name, in the form that pays."""
    op = _cropped(op, value, out.costs)
    weight = laid(op, value)
    kind = "depthwise" if op.depthwise else "pointwise" if math.prod(op.kernel) == 1 else "conv"
    sparse = packed(weight)
    options = expanding(weight, sparse, kind, op.multiply_adds([value]), out.costs)
    ways = [] if sparse is None else sparse_ways(out, node, x, value, op)
    if (stripes := Stripes.of(op)) is not None:
        ways.append(in_three(out, node, x, value, stripes))
    encoding = out.choose(node, weight, [*options, *(way.option for way in ways)])
    for way in ways:
        if way.option.encoding == encoding:
            return way.write()
    stored = out.stored(node, weight, None if encoding == "dense" else sparse)
    return dense(out, x, value, op, stored, out.bias(node, op.bias, len(op.weight)))


def _cropped(op: Conv, value: Value, costs: Costs) -> Conv:
    """The convolution without taps that no filter keeps, unless its padding must then be made by an operator of its own."""
    less = cropped(op)
    windows = _windows(less, value)
    if less is op or stated(windows) or not stated(_windows(op, value)):
        return less
    size = math.prod(w.size + w.before + w.read_after for w in windows)
    saved = costs.conv_ns * (op.multiply_adds([value]) - less.multiply_adds([value])) / 1e3
    return less if saved > costs.copied(4 * value.channels * size, 1) else op


def _windows(op: Conv, value: Value) -> tuple[Window, ...]:
    return windows_of(value.shape[1:], op.kernel, op.stride, op.dilation, op.padding)


def laid(op: Conv, value: Value) -> Array:
    """The weight of a convolution as its operator reads it."""
    weight = op.weight[:, :, None] if line(value) else op.weight
    return np.ascontiguousarray(weight[:, 0].transpose(1, 2, 0)[None] if op.depthwise else weight.transpose(0, 2, 3, 1))


def dense(out: Writer, x: int, value: Value, op: Conv, weight: int, bias: int) -> int:
    """The convolution by the runtime's own operator, with a weight that lies there as `laid` says."""
    x, padding = pad_for(out, x, value, _windows(op, value), 0.0)
    stride_h, stride_w = square(op.stride)
    dilation_h, dilation_w = square(op.dilation)
    settings: dict[str, Any] = {
        "padding": padding, "stride_h": stride_h, "stride_w": stride_w, "dilation_h": dilation_h, "dilation_w": dilation_w,
    }  # fmt: skip
    code, version = "CONV_2D", GROUPED if op.groups > 1 else FLOAT
    if op.depthwise:
        code, version = "DEPTHWISE_CONV_2D", DILATED if max(op.dilation) > 1 else FLOAT
        settings["multiplier"] = op.weight.shape[0] // op.groups
    return out.op(code, [x, weight, bias], stored_shape(op.value(value)), version=version, **settings)


def in_three(out: Writer, node: Node, x: int, value: Value, stripes: Stripes) -> Way:
    """The convolution as three, of stripes, shifts and sums; what a filter adds up is a sparse matrix where that is faster."""
    op, costs = stripes.op, out.costs
    made = op.value(value)
    windows = _windows(op, value)
    # Where an operator must make the padding, it does so before there are more channels.
    padded = value if stated(windows) else _padded(value, windows)
    us, added = stripes.us(padded.positions, made.positions, costs)
    filters, width = len(op.weight), stripes.width
    kept = int(stripes.kept.sum())
    ones = kept * (4 + narrow(np.array([width])).itemsize)
    matrix = Option("csr", ones, costs.matrix(kept, filters, made.positions), 12 * kept + 4 * filters)
    sums = min((Option("dense", 4 * filters * width, added, 8 * filters * width), matrix), key=lambda o: o.us)
    taps = math.prod(op.kernel)
    stored = 4 * width * (op.weight.shape[1] + 1) + min(4 * width * taps, ones + DESCRIPTION[4] + DENSIFY)
    between = 4 * width * (padded.positions + made.positions)
    option = Option(
        "stripes",
        stored + ones + 2 * OPERATOR,
        us + sums.us,
        8 * width * (op.weight.shape[1] + taps) + sums.memory + between,
    )

    def write() -> int:
        first, shifts, last = stripes.convolutions()
        at, inner = x, value
        if padded is not value:
            at, _ = pad_for(out, x, value, windows, 0.0)
            inner, shifts = padded, dataclasses.replace(shifts, padding=((0, 0),) * len(windows))
        at = dense(out, at, inner, first, out.stored(node, laid(first, inner), None), out.bias(node, None, width))
        inner = inner.with_channels(width)
        at = dense(out, at, inner, shifts, _smallest(out, node, laid(shifts, inner), "shifts"), out.bias(node, None, width))
        bias = out.bias(node, op.bias, filters)
        inner = made.with_channels(width)
        weight = laid(last, inner)
        if sums.encoding == "dense":
            return dense(out, at, inner, last, _smallest(out, node, weight, "sums"), bias)
        places = out.sparse_constant(encode(weight.reshape(filters, width), "dc"), f"{node.source or node.name}.sums")
        return out.op("FULLY_CONNECTED", [at, places, bias], stored_shape(made), version=SPARSE, keep_num_dims=True)

    return Way(option, write)


def _padded(value: Value, windows: tuple[Window, ...]) -> Value:
    return Value((value.channels, *(w.size + w.before + w.read_after for w in windows)))


def _smallest(out: Writer, node: Node, array: Array, what: str) -> int:
    """Zeros and ones that say where weights go, in the fewest bytes."""
    sparse = packed(array)
    less = sparse is not None and stored_bytes(sparse) + DENSIFY < array.nbytes
    return out.stored(node, array, sparse if less else None, what)


@lower(BatchNorm, Affine)
def _(out: Writer, node: Node) -> None:
    x, order = out.read_in_order(node.inputs[0])
    scale, shift = (np.asarray(each, np.float32) for each in node.op.as_affine() or ())
    if order is not None:
        scale, shift = scale[order], shift[order]
    shape = stored_shape(out.value(node.name))
    if (scale != 1).any():
        x = out.op("MUL", [x, out.constant(scale)], shape)
    if (shift != 0).any():
        x = out.op("ADD", [x, out.constant(shift)], shape)
    out.bind(node.name, x, order)
