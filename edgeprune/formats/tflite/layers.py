"""Linear and convolution layers, and per-channel scales, as TFLite says them."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ...graph import Node, Value
from ...ops import Affine, BatchNorm, Conv, Linear
from ..patterns import windows_of
from .convolutions import sparse_ways
from .forms import expanding, packed
from .layout import line, square, stored_shape
from .moving import pad_for
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
    weight = op.weight[:, :, None] if line(value) else op.weight
    weight = np.ascontiguousarray(weight[:, 0].transpose(1, 2, 0)[None] if op.depthwise else weight.transpose(0, 2, 3, 1))
    kind = "depthwise" if op.depthwise else "pointwise" if math.prod(op.kernel) == 1 else "conv"
    sparse = packed(weight)
    options = expanding(weight, sparse, kind, op.multiply_adds([value]), out.costs)
    ways = [] if sparse is None else sparse_ways(out, node, x, value, op)
    encoding = out.choose(node, weight, [*options, *(way.option for way in ways)])
    for way in ways:
        if way.option.encoding == encoding:
            return way.write()
    windows = windows_of(value.shape[1:], op.kernel, op.stride, op.dilation, op.padding)
    x, padding = pad_for(out, x, value, windows, 0.0)
    stride_h, stride_w = square(op.stride)
    dilation_h, dilation_w = square(op.dilation)
    options_of_op: dict[str, Any] = {
        "padding": padding, "stride_h": stride_h, "stride_w": stride_w, "dilation_h": dilation_h, "dilation_w": dilation_w,
    }  # fmt: skip
    code, version = "CONV_2D", GROUPED if op.groups > 1 else FLOAT
    if op.depthwise:
        code, version = "DEPTHWISE_CONV_2D", DILATED if max(op.dilation) > 1 else FLOAT
        options_of_op["multiplier"] = op.weight.shape[0] // op.groups
    stored = out.stored(node, weight, None if encoding == "dense" else sparse)
    bias = out.bias(node, op.bias, op.weight.shape[0])
    return out.op(code, [x, stored, bias], stored_shape(op.value(value)), version=version, **options_of_op)


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
