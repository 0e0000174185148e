"""Linear and convolution layers, norms and per-channel scales, as ONNX says them."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ...graph import Node, Value
from ...ops import Affine, BatchNorm, Conv, ConvTranspose, Linear
from ...ops.conv import Pads
from ...ops.elementwise import per_channel
from ...sparse import Costs, Option
from ..stripes import Stripes, cropped
from .writer import Writer, look_up_bytes, lower, weight_options

# Dense convolutions take as long in onnxruntime as in LiteRT, where these were measured.
COSTS = Costs()

# Bytes of a stripe's two ones, as coordinates; of two more nodes and their arrays.
COORDINATES, THREE = 14, 140


@lower(Linear)
def _(out: Writer, node: Node) -> None:
    op: Any = node.op
    x = out.read(node.inputs[0])
    bias = [] if op.bias is None else [out.bias(node, op.bias)]
    if len(out.value(node.name).shape) == 1:
        out.op("Gemm", [x, out.weight(node, op.weight), *bias], node.name, transB=1)
        return
    weight = out.weight(node, np.ascontiguousarray(op.weight.T))
    if bias:
        out.op("Add", [out.op("MatMul", [x, weight]), *bias], node.name)
    else:
        out.op("MatMul", [x, weight], node.name)


def flat_pads(pads: Pads) -> list[int]:
    """All that goes before, then all that goes after."""
    return [before for before, _ in pads] + [after for _, after in pads]


@lower(Conv)
def _(out: Writer, node: Node) -> None:
    assert isinstance(node.op, Conv)
    op, x, value = cropped(node.op), out.read(node.inputs[0]), out.value(node.inputs[0])
    stripes = Stripes.of(op)
    if stripes is None:
        _convolve(out, node, x, op, out.weight(node, op.weight), node.name)
        return
    us = COSTS.dense("conv", op.multiply_adds([value]), op.weight.nbytes)
    options = weight_options(op.weight, us)
    size = look_up_bytes(stripes.table, stripes.index)
    options.append(Option("stripes+densify", size, us, size + 2 * op.weight.nbytes, expanded=True))
    if len(op.kernel) == 2:  # along other axes single channels are shifted one by one
        options.append(_in_three(stripes, value))
    encoding = out.choose(node, op.weight, options)
    if encoding == "stripes":
        first, shifts, last = stripes.convolutions()
        x = _convolve(out, node, x, first, out.stored(node, first.weight, "dense"))
        x = _convolve(out, node, x, shifts, out.stored(node, shifts.weight, "coo", "shifts"))
        _convolve(out, node, x, last, out.stored(node, last.weight, "coo", "sums"), node.name)
    elif encoding == "stripes+densify":
        _convolve(out, node, x, op, out.looked_up(node, stripes.table, stripes.index), node.name)
    else:
        _convolve(out, node, x, op, out.stored(node, op.weight, encoding), node.name)


def _in_three(stripes: Stripes, value: Value) -> Option:
    """The convolution as three, of stripes, shifts and sums; the last two are stored as coordinates."""
    filters, channels = stripes.op.weight.shape[:2]
    width, taps = stripes.width, math.prod(stripes.op.kernel)
    made = stripes.op.value(value).positions
    stored = 4 * width * channels + COORDINATES * int(stripes.kept.sum()) + THREE
    memory = 8 * width * (channels + taps + filters) + 4 * width * (value.positions + made)
    return Option("stripes", stored, sum(stripes.us(value.positions, made, COSTS)), memory)


def _convolve(out: Writer, node: Node, x: str, op: Conv, weight: str, to: str = "") -> str:
    inputs = [x, weight]
    if op.bias is not None:
        inputs.append(out.bias(node, op.bias))
    settings: dict[str, Any] = {"strides": op.stride, "dilations": op.dilation}
    settings = {name: each for name, each in settings.items() if max(each) > 1}
    if op.padded:
        settings["pads"] = flat_pads(op.padding)
    if op.groups > 1:
        settings["group"] = op.groups
    return out.op("Conv", inputs, to, kernel_shape=op.kernel, **settings)


@lower(ConvTranspose)
def _(out: Writer, node: Node) -> None:
    op: Any = node.op
    inputs = [out.read(node.inputs[0]), out.weight(node, op.weight)]
    if op.bias is not None:
        inputs.append(out.bias(node, op.bias))
    given: dict[str, Any] = {"strides": (op.stride, 1), "dilations": (op.dilation, 1), "output_padding": (op.extra, 0)}
    settings: dict[str, Any] = {name: each for name, (each, default) in given.items() if max(each) > default}
    if any(op.padding):
        settings["pads"] = [*op.padding, *op.padding]
    if op.groups > 1:
        settings["group"] = op.groups
    out.op("ConvTranspose", inputs, node.name, kernel_shape=op.kernel, **settings)


@lower(BatchNorm, Affine)
def _(out: Writer, node: Node) -> None:
    x, value = out.read(node.inputs[0]), out.value(node.name)
    scale, shift = (np.asarray(each, np.float32) for each in node.op.as_affine() or ())
    steps = []
    if (scale != 1).any():
        steps.append(("Mul", scale))
    if (shift != 0).any():
        steps.append(("Add", shift))
    for i, (kind, numbers) in enumerate(steps):
        constant = out.constant(per_channel(numbers, len(value.shape), value.axis))
        x = out.op(kind, [x, constant], node.name if i == len(steps) - 1 else "")
    if not steps:
        out.bind(node.name, x)
