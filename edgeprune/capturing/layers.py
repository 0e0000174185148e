"""ATen layers with weights: convolutions, linear, normalisation, embedding."""

from __future__ import annotations

from typing import Any

import numpy as np
from torch import fx

from ..laying.layers import layer, linear
from ..laying.layout import Laid
from ..ops import BatchNorm, Conv, ConvTranspose, Embedding, GroupNorm, LayerNorm, Linear
from .walk import Walk, lower


def spread(setting: Any, axes: int) -> tuple[int, ...]:
    """A setting that may be one number for all axes, as one per axis."""
    numbers = [setting] if isinstance(setting, int) else list(setting)
    return tuple(numbers * axes) if len(numbers) == 1 else tuple(numbers)


@lower("conv1d", "conv2d", "conv3d")
def _conv(walk: Walk, node: fx.Node, a: dict[str, Any]) -> Laid:
    weight = walk.weight(node, a["weight"])
    axes = weight.ndim - 2
    dilation = spread(a["dilation"], axes)
    if a["padding"] == "valid":
        padding: tuple[tuple[int, int], ...] = ((0, 0),) * axes
    elif a["padding"] == "same":
        totals = [d * (k - 1) for d, k in zip(dilation, weight.shape[2:], strict=True)]
        padding = tuple((t // 2, t - t // 2) for t in totals)
    else:
        padding = tuple((p, p) for p in spread(a["padding"], axes))
    op = Conv(weight, walk.array(a["bias"]), spread(a["stride"], axes), padding, dilation, a["groups"])
    return layer(walk, node, a["input"], op)


@lower("conv_transpose1d", "conv_transpose2d", "conv_transpose3d")
def _conv_transpose(walk: Walk, node: fx.Node, a: dict[str, Any]) -> Laid:
    weight = walk.weight(node, a["weight"])
    stride, padding, extra, dilation = (
        spread(a[setting], weight.ndim - 2) for setting in ("stride", "padding", "output_padding", "dilation")
    )
    op = ConvTranspose(weight, walk.array(a["bias"]), stride, padding, extra, dilation, a["groups"])
    return layer(walk, node, a["input"], op)


@lower("linear")
def _linear(walk: Walk, node: fx.Node, a: dict[str, Any]) -> Laid:
    return linear(walk, node, a["input"], Linear(walk.weight(node, a["weight"]), walk.array(a["bias"])))


@lower("batch_norm")
def _batch_norm(walk: Walk, node: fx.Node, a: dict[str, Any]) -> Laid:
    if a["training"] or a["running_mean"] is None:
        raise walk.unsupported(node, "it normalises by the batch's own statistics; call eval() and track running statistics")
    mean, var = walk.weight(node, a["running_mean"]), walk.weight(node, a["running_var"])
    weight, bias = walk.array(a["weight"]), walk.array(a["bias"])
    weight = np.ones_like(mean) if weight is None else weight
    bias = np.zeros_like(mean) if bias is None else bias
    return layer(walk, node, a["input"], BatchNorm(weight, bias, mean, var, a["eps"]))


@lower("layer_norm", "rms_norm")
def _layer_norm(walk: Walk, node: fx.Node, a: dict[str, Any]) -> Laid:
    if len(a["normalized_shape"]) != 1:
        raise walk.unsupported(node, f"it normalises over {len(a['normalized_shape'])} axes; normalise over the channels only")
    name, frame = walk.take(node, a["input"], -1)
    channels = walk.values[name].channels
    weight, bias = walk.array(a["weight"]), walk.array(a.get("bias"))
    weight = np.ones(channels, np.float32) if weight is None else weight
    centred = "rms" not in str(node.target)
    eps = a["eps"] if a["eps"] is not None else float(np.finfo(weight.dtype).eps)
    made = walk.emit(LayerNorm(weight, bias, eps, walk.values[name].axis, centred), [name], node)
    return frame.lay(made, walk.values[made], node)


@lower("group_norm", "instance_norm")
def _group_norm(walk: Walk, node: fx.Node, a: dict[str, Any]) -> Laid:
    if a.get("running_mean") is not None and not a.get("use_input_stats"):
        mean, var = walk.weight(node, a["running_mean"]), walk.weight(node, a["running_var"])
        weight, bias = walk.array(a["weight"]), walk.array(a["bias"])
        weight = np.ones_like(mean) if weight is None else weight
        bias = np.zeros_like(mean) if bias is None else bias
        return layer(walk, node, a["input"], BatchNorm(weight, bias, mean, var, a["eps"]))
    x = walk.ref(node, a["input"])
    channels = walk.values[x].channels
    weight, bias = walk.array(a["weight"]), walk.array(a["bias"])
    weight = np.ones(channels, np.float32) if weight is None else weight
    bias = np.zeros(channels, weight.dtype) if bias is None else bias
    return walk.lay(walk.emit(GroupNorm(weight, bias, a.get("num_groups", channels), a["eps"]), [x], node), node)


@lower("embedding")
def _embedding(walk: Walk, node: fx.Node, a: dict[str, Any]) -> Laid:
    name, frame = walk.take(node, a["indices"])
    if not frame.batch_first:
        raise walk.unsupported(node, "the batch is not its first axis")
    return walk.lay(walk.emit(Embedding(walk.weight(node, a["weight"])), [name], node), node)
