"""Linear and convolution layers, norms and per-channel scales, as ONNX says them."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...graph import Node
from ...ops import Affine, BatchNorm, Conv, ConvTranspose, Linear
from ...ops.conv import Pads
from ...ops.elementwise import per_channel
from .writer import Writer, lower


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
    op: Any = node.op
    inputs = [out.read(node.inputs[0]), out.weight(node, op.weight)]
    if op.bias is not None:
        inputs.append(out.bias(node, op.bias))
    settings: dict[str, Any] = {"strides": op.stride, "dilations": op.dilation}
    settings = {name: each for name, each in settings.items() if max(each) > 1}
    if op.padded:
        settings["pads"] = flat_pads(op.padding)
    if op.groups > 1:
        settings["group"] = op.groups
    out.op("Conv", inputs, node.name, kernel_shape=op.kernel, **settings)


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
