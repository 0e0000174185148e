"""Linear and convolution layers, and per-channel scales, as TFLite says them."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...errors import NotExportable
from ...graph import Array, Node, Value
from ...ops import Affine, BatchNorm, Conv, Linear
from ..patterns import Window, windows_of
from .layout import line, square, stored_shape
from .schema import SAME, VALID
from .writer import Writer, lower

# Opcode versions a runtime dispatches on. A sparse weight is read as such only in version 8, exactly.
FLOAT, KEPT_DIMS, SPARSE, GROUPED, DILATED = 1, 5, 8, 6, 2


@lower(Linear)
def _(out: Writer, node: Node) -> None:
    op: Any = node.op
    x, order = out.read_in_order(node.inputs[0])
    weight = op.weight if order is None else op.weight[:, order]
    out.bind(node.name, _fully_connected(out, node, x, np.ascontiguousarray(weight), "linear"))


def _fully_connected(out: Writer, node: Node, x: int, weight: Array, kind: str) -> int:
    """A matrix applied to the last axis of `x`."""
    shape = stored_shape(out.value(node.name))
    stored, sparse = out.weight(node, weight, kind=kind, positions=out.value(node.name).positions)
    bias = out.bias(node, node.op.arrays.get("bias"), len(weight))
    keep = len(shape) > 1
    version = SPARSE if sparse else KEPT_DIMS if keep else FLOAT
    return out.op("FULLY_CONNECTED", [x, stored, bias], shape, version=version, keep_num_dims=keep)


def too_deep(node: Node, axes: int) -> NotExportable:
    return lower.refusal(node, f"it has {axes} spatial axes, and only one or two can be said; export to ONNX instead")


@lower(Conv)
def _(out: Writer, node: Node) -> None:
    op: Any = node.op
    value = out.value(node.inputs[0])
    if len(op.kernel) > 2:
        raise too_deep(node, len(op.kernel))
    x = out.read(node.inputs[0])
    windows = windows_of(value.shape[1:], op.kernel, op.stride, op.dilation, op.padding)
    plain = op.groups == 1 and all(w.kernel == w.stride == 1 and not w.padded for w in windows)
    matrix = op.weight.reshape(op.weight.shape[0], -1)
    # A sparse matrix over the places runs faster than a convolution, which no runtime runs sparsely.
    if plain and out.runs_sparse(matrix, "pointwise", out.value(node.name).positions):
        out.bind(node.name, _fully_connected(out, node, x, matrix, "pointwise"))
        return
    out.bind(node.name, convolve(out, node, x, value, op))


def convolve(out: Writer, node: Node, x: int, value: Value, op: Conv) -> int:
    """The convolution of a map that `x` holds, under the node's name."""
    windows = windows_of(value.shape[1:], op.kernel, op.stride, op.dilation, op.padding)
    x, padding = pad_for(out, x, value, windows, 0.0)
    weight = op.weight[:, :, None] if line(value) else op.weight
    stride_h, stride_w = square(op.stride)
    dilation_h, dilation_w = square(op.dilation)
    options: dict[str, Any] = {
        "padding": padding, "stride_h": stride_h, "stride_w": stride_w, "dilation_h": dilation_h, "dilation_w": dilation_w,
    }  # fmt: skip
    code, version = "CONV_2D", GROUPED if op.groups > 1 else FLOAT
    if op.depthwise:
        weight = weight[:, 0].transpose(1, 2, 0)[None]
        code, version = "DEPTHWISE_CONV_2D", DILATED if max(op.dilation) > 1 else FLOAT
        options["multiplier"] = op.weight.shape[0] // op.groups
    else:
        weight = weight.transpose(0, 2, 3, 1)
    stored, _ = out.weight(node, np.ascontiguousarray(weight))
    bias = out.bias(node, op.bias, op.weight.shape[0])
    return out.op(code, [x, stored, bias], stored_shape(op.value(value)), version=version, **options)


def pad_for(out: Writer, x: int, value: Value, windows: tuple[Window, ...], fill: float) -> tuple[int, int]:
    """(`x`, padded with `fill` unless the op can say the windows' padding itself, what the op says)."""
    if not any(w.padded for w in windows):
        return x, VALID
    if all(w.same for w in windows):
        return x, SAME
    return pad(out, x, value, tuple((w.before, w.read_after) for w in windows), fill), VALID


def pad(out: Writer, x: int, value: Value, amount: tuple[tuple[int, int], ...], fill: float) -> int:
    """The map that `x` holds, with `fill` around its spatial axes."""
    sizes = [n + sum(p) for n, p in zip(value.shape[1:], amount, strict=True)]
    rows = ((0, 0), *(((0, 0),) if line(value) else ()), *amount, (0, 0))
    table = out.constant(np.array(rows, np.int32))
    shape = (*((1,) if line(value) else ()), *sizes, value.channels)
    return out.op("PAD", [x, table], shape) if fill == 0 else out.op("PADV2", [x, table, out.scalar(fill)], shape)


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
