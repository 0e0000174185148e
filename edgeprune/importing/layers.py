"""ONNX layers with weights: convolutions, linear, normalisation."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from ..graph import Shape
from ..laying.layers import layer, linear
from ..laying.layout import Laid
from ..laying.taking import settled, take
from ..ops import BatchNorm, Conv, ConvTranspose, Embedding, GroupNorm, LayerNorm, Linear, Slice
from ..ops.conv import Pads
from .arithmetic import plus
from .walk import Call, Walk, lower, meaning


def spread(call: Call, setting: str, axes: int, default: int = 1) -> Shape:
    said = call.attributes.get(setting)
    return tuple(int(n) for n in said) if said else (default,) * axes


def pads_of(call: Call, size: Sequence[int], kernel: Shape, stride: Shape, dilation: Shape) -> Pads:
    """The padding of a window op on places of this size, by axis, however it is said."""
    auto = call.attributes.get("auto_pad", "NOTSET")
    axes = len(kernel)
    if auto in ("NOTSET", ""):
        flat = spread(call, "pads", 2 * axes, 0)
        return tuple(zip(flat[:axes], flat[axes:], strict=True))
    if auto == "VALID":
        return ((0, 0),) * axes
    result = []
    for n, k, s, d in zip(size, kernel, stride, dilation, strict=True):
        total = max((-(-n // s) - 1) * s + d * (k - 1) + 1 - n, 0)
        less, more = total // 2, total - total // 2
        result.append((less, more) if auto == "SAME_UPPER" else (more, less))
    return tuple(result)


@lower("Conv")
def _conv(walk: Walk, call: Call, x: Any, weight: Any, bias: Any = None) -> Laid:
    weight = walk.weight(call, weight)
    axes = weight.ndim - 2
    stride, dilation = spread(call, "strides", axes), spread(call, "dilations", axes)
    pads = pads_of(call, walk.laid(call, x).shape[2:], weight.shape[2:], stride, dilation)
    if min(n for pair in pads for n in pair) < 0:
        raise walk.unsupported(call, f"its padding {pads} is negative")
    op = Conv(weight, walk.optional(call, bias), stride, pads, dilation, int(call.attributes.get("group", 1)))
    return layer(walk, call, x, op)


@lower("ConvTranspose")
def _conv_transpose(walk: Walk, call: Call, x: Any, weight: Any, bias: Any = None) -> Laid:
    weight = walk.weight(call, weight)
    axes = weight.ndim - 2
    kernel, stride, dilation = weight.shape[2:], spread(call, "strides", axes), spread(call, "dilations", axes)
    more = spread(call, "output_padding", axes, 0)
    size = walk.laid(call, x).shape[2:]
    full = [(n - 1) * s + d * (k - 1) + 1 + e for n, s, d, k, e in zip(size, stride, dilation, kernel, more, strict=True)]
    auto, wanted = call.attributes.get("auto_pad", "NOTSET"), call.attributes.get("output_shape")
    if wanted or auto not in ("NOTSET", "", "VALID"):
        # The padding is what makes the result that large.
        results = list(wanted)[-axes:] if wanted else [n * s for n, s in zip(size, stride, strict=True)]
        totals = [f - w for f, w in zip(full, results, strict=True)]
        halves = [(t // 2, t - t // 2) for t in totals]
        pads = tuple(halves if auto == "SAME_UPPER" else [(b, a) for a, b in halves])
    else:
        pads = pads_of(call, size, kernel, stride, dilation)
    if min(n for pair in pads for n in pair) < 0:
        raise walk.unsupported(call, f"its padding {pads} is negative")
    # The op cuts off at both ends what the front loses; what the end loses less is added there, what it loses more cut off after.
    rest = [e + before - after for e, (before, after) in zip(more, pads, strict=True)]
    op = ConvTranspose(
        weight, walk.optional(call, bias), stride, tuple(before for before, _ in pads), tuple(max(n, 0) for n in rest), dilation,
        int(call.attributes.get("group", 1)),
    )  # fmt: skip
    laid = layer(walk, call, x, op)
    if min(rest) < 0:
        cut = Slice((0,) * axes, tuple(n if n < 0 else None for n in rest), (1,) * axes)
        laid = layer(walk, call, laid, cut)
    return laid


@lower("Gemm")
def _gemm(walk: Walk, call: Call, x: Any, weight: Any, bias: Any = None) -> Any:
    alpha, beta = call.attributes.get("alpha", 1.0), call.attributes.get("beta", 1.0)
    laid = walk.laid(call, x)
    if call.attributes.get("transA"):
        laid = Laid(laid.name, laid.dims[::-1], call, laid.scale, laid.unit)
    matrix = walk.weight(call, weight)
    matrix = matrix if call.attributes.get("transB") else np.ascontiguousarray(matrix.T)
    matrix = matrix if alpha == 1 else matrix * matrix.dtype.type(alpha)
    if bias is None or isinstance(bias, np.ndarray):
        added = None if bias is None else walk.weight(call, bias) * matrix.dtype.type(beta)
        if added is None or (added.size == added.shape[-1:][0] if added.ndim else True):
            line = None if added is None else np.ascontiguousarray(np.broadcast_to(added.reshape(-1), (len(matrix),)))
            return linear(walk, call, laid, Linear(matrix, line))
        return plus(walk, call, linear(walk, call, laid, Linear(matrix)), added)
    if beta != 1:
        raise walk.unsupported(call, f"it adds a value times beta={beta}")
    return plus(walk, call, linear(walk, call, laid, Linear(matrix)), bias)


@lower("BatchNormalization")
def _batch_norm(walk: Walk, call: Call, x: Any, *settings: Any) -> Laid:
    if call.attributes.get("training_mode"):
        raise walk.unsupported(call, "it normalises by the batch's own statistics; call eval() before exporting")
    weight, bias, mean, var = (walk.weight(call, each) for each in settings)
    return layer(walk, call, x, BatchNorm(weight, bias, mean, var, float(call.attributes.get("epsilon", 1e-5))))


def normed(walk: Walk, call: Call, x: Any, dim: int, weight: Any, bias: Any, eps: float, centred: bool) -> Laid:
    name, frame = walk.take(call, x, dim)
    value = walk.values[name]
    line = np.ones(value.channels, walk.dtype) if weight is None else walk.weight(call, weight)
    if line.size != value.channels or (bias is not None and bias.size != value.channels):
        raise walk.unsupported(call, f"its weights of shape {line.shape} are not one a channel")
    shift = None if bias is None else walk.weight(call, bias).reshape(-1)
    made = walk.emit(LayerNorm(line.reshape(-1), shift, eps, value.axis, centred), [name], call)
    return frame.lay(made, walk.values[made], call)


@meaning("layer norm")
def _spelled_layer_norm(walk: Walk, call: Call, x: Any, axis: int, eps: float, centred: bool) -> Laid:
    return normed(walk, call, x, axis, None, None, eps, centred)


@lower("LayerNormalization", "RMSNormalization")
def _layer_norm(walk: Walk, call: Call, x: Any, weight: Any = None, bias: Any = None) -> Laid:
    rank = len(walk.laid(call, x).dims)
    axis = call.attributes.get("axis", -1)
    if axis % rank != rank - 1:
        raise walk.unsupported(call, f"it normalises over {rank - axis % rank} axes; normalise over the channels only")
    if any(n and n in walk.file.outputs for n in call.outputs[1:]):
        raise walk.unsupported(call, "its statistics are outputs")
    eps = float(call.attributes.get("epsilon", 1e-5))
    return normed(walk, call, x, -1, weight, bias, eps, call.kind == "LayerNormalization")


@lower("InstanceNormalization")
def _instance_norm(walk: Walk, call: Call, x: Any, weight: Any, bias: Any) -> Laid:
    laid = settled(walk, call, walk.laid(call, x))
    weight, bias = walk.weight(call, weight), walk.weight(call, bias)
    value = walk.values[laid.name]
    first = laid.dims[1]
    channels = [a for d in laid.dims for a in d if a.axis == value.axis]
    covered = math.prod(a.size for d in laid.dims[1:] for a in d)
    if value.axis == 0 and first and len(first) == 1 and first[0].axis == 0 and laid.dims[0] == walk.batch:
        size = first[0].inner
        grouped = first[0].size * size == value.channels and math.prod(a.size for a in channels) == value.channels
        if grouped and covered == math.prod(value.shape):
            # The dim holds groups of channels, the rest all there is of each: statistics do not ask in which order.
            return _group(walk, call, laid, np.repeat(weight, size), np.repeat(bias, size), len(weight))
    if laid.dims[0] == walk.batch and not first and value.axis == 0 and covered == math.prod(value.shape):
        return _group(walk, call, laid, np.repeat(weight, value.channels), np.repeat(bias, value.channels), 1)
    name = walk.ref(call, laid)
    plain = walk.lay(name, laid.maker)
    return _group(walk, call, plain, weight, bias, len(weight))


def _group(walk: Walk, call: Call, laid: Laid, weight: Any, bias: Any, groups: int) -> Laid:
    op = GroupNorm(np.ascontiguousarray(weight), np.ascontiguousarray(bias), groups, float(call.attributes.get("epsilon", 1e-5)))
    return Laid(walk.emit(op, [laid.name], call), laid.dims, call)


@lower("GroupNormalization")
def _group_norm(walk: Walk, call: Call, x: Any, weight: Any, bias: Any) -> Laid:
    name = walk.ref(call, x)
    channels, groups = walk.values[name].channels, int(call.attributes["num_groups"])
    # Before opset 21 there was one number a group.
    scale, shift = (np.repeat(walk.weight(call, each), channels // each.size) for each in (weight, bias))
    return _group(walk, call, walk.lay(name), scale, shift, groups)


def embedded(walk: Walk, call: Call, table: Any, index: Any) -> Laid:
    """The rows of a table that the integers of the input pick."""
    laid = walk.laid(call, index, integers=True)
    if not (laid.integer or laid.name in walk.integers):
        raise walk.unsupported(call, "it looks up by what is no integer")
    # The table's rows make the last axis, whatever the others are.
    name, frame = take(walk, call, replace(laid, integer=False), None)
    if not frame.batch_first or np.ndim(table) != 2:
        raise walk.unsupported(call, "it looks up what is no row of a table, or the batch is not its first axis")
    return walk.lay(walk.emit(Embedding(walk.weight(call, table)), [name], call), call)
