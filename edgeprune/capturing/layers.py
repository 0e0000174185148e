"""ATen layers: convolutions, linear, normalisation, activations, pooling."""

from __future__ import annotations

from typing import Any

import numpy as np
from torch import fx

from ..graph import Op, Shape
from ..ops import (
    Activation,
    AdaptiveAvgPool,
    AvgPool,
    BatchNorm,
    Conv,
    GroupNorm,
    LayerNorm,
    Linear,
    MaxPool,
    Mean,
    Reduce,
    Softmax,
)
from ..ops.conv import Pads
from .layout import BATCH_DIM, Laid
from .scores import Length, Scores, normalised
from .taking import natural_channel
from .walk import Walk, base_name, lower


def spread(setting: Any, axes: int) -> tuple[int, ...]:
    """A setting that may be one number for all axes, as one per axis."""
    numbers = [setting] if isinstance(setting, int) else list(setting)
    return tuple(numbers * axes) if len(numbers) == 1 else tuple(numbers)


def layer(walk: Walk, node: fx.Node, argument: Any, op: Op) -> Laid:
    """An op on `[batch, channels, *places]`."""
    return walk.lay(walk.emit(op, [walk.ref(node, argument)], node), node)


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


@lower("linear")
def _linear(walk: Walk, node: fx.Node, a: dict[str, Any]) -> Laid:
    return linear(walk, node, a["input"], Linear(walk.weight(node, a["weight"]), walk.array(a["bias"])))


def linear(walk: Walk, node: fx.Node, argument: Any, op: Linear) -> Laid:
    """A fully connected layer over the last dim, wherever the batch is."""
    name, frame = walk.take(node, argument, -1)
    made = walk.emit(op, [name], node)
    return frame.lay(made, walk.values[made], node)


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


# ATen activations without settings, by the graph's name.
PLAIN = {
    "relu": "relu", "relu6": "relu6", "sigmoid": "sigmoid", "hardsigmoid": "hard_sigmoid", "tanh": "tanh", "silu": "silu",
    "hardswish": "hard_swish", "mish": "mish", "abs": "abs", "neg": "neg", "exp": "exp", "sqrt": "sqrt",
}  # fmt: skip


@lower(*PLAIN)
def _plain(walk: Walk, node: fx.Node, a: dict[str, Any]) -> Laid:
    name = str(node.target._schema.name).split("::")[-1].rstrip("_")  # type: ignore[union-attr]
    return walk.pointwise(node, next(iter(a.values())), Activation(PLAIN[name]))


@lower("hardtanh", "clamp", "clamp_min", "clamp_max")
def _clip(walk: Walk, node: fx.Node, a: dict[str, Any]) -> Any:
    low = a.get("min_val", a.get("min"))
    high = a.get("max_val", a.get("max"))
    low, high = (-np.inf if low is None else float(low)), (np.inf if high is None else float(high))
    if isinstance(a["self"], Length) and high == np.inf:
        return Length(a["self"].of, low)
    if (low, high) == (0.0, 6.0):
        op = Activation("relu6")
    elif (low, high) == (0.0, np.inf):
        op = Activation("relu")
    else:
        op = Activation("clip", low, high)
    return walk.pointwise(node, a["self"], op)


@lower("leaky_relu")
def _leaky(walk: Walk, node: fx.Node, a: dict[str, Any]) -> Laid:
    return walk.pointwise(node, a["self"], Activation("leaky_relu", float(a["negative_slope"])))


@lower("elu")
def _elu(walk: Walk, node: fx.Node, a: dict[str, Any]) -> Laid:
    if a["scale"] != 1 or a["input_scale"] != 1:
        raise walk.unsupported(node, f"scale={a['scale']}, input_scale={a['input_scale']} are not 1")
    return walk.pointwise(node, a["self"], Activation("elu", float(a["alpha"])))


@lower("gelu")
def _gelu(walk: Walk, node: fx.Node, a: dict[str, Any]) -> Laid:
    return walk.pointwise(node, a["self"], Activation("gelu_tanh" if a["approximate"] == "tanh" else "gelu"))


@lower("softplus")
def _softplus(walk: Walk, node: fx.Node, a: dict[str, Any]) -> Laid:
    if a["beta"] != 1:
        raise walk.unsupported(node, f"beta={a['beta']} is not 1")
    return walk.pointwise(node, a["self"], Activation("softplus"))


@lower("softmax", "log_softmax", "_softmax", "_log_softmax")
def _softmax(walk: Walk, node: fx.Node, a: dict[str, Any]) -> Any:
    if isinstance(a["self"], Scores):
        if "log" in str(node.target):
            raise walk.unsupported(node, "the logarithm of attention weights")
        return normalised(walk, node, a["self"], a["dim"])
    name, frame = walk.take(node, a["self"])
    _, has_batch, axis = frame.dims[a["dim"] % len(frame.dims)]
    if has_batch or axis is None:
        raise walk.unsupported(node, "it runs over the batch")
    made = walk.emit(Softmax(axis, log="log" in str(node.target)), [name], node)
    return frame.lay(made, walk.values[made], node)


def _window(walk: Walk, node: fx.Node, a: dict[str, Any]) -> tuple[int, Shape, Shape, Pads]:
    """(spatial axes, kernel, stride, padding) of a pooling call."""
    axes = len(walk.laid(node, a["self"]).dims) - 2
    kernel = spread(a["kernel_size"], axes)
    stride = spread(a["stride"], axes) if a["stride"] else kernel
    return axes, kernel, stride, tuple((p, p) for p in spread(a["padding"], axes))


@lower("max_pool1d", "max_pool2d", "max_pool3d")
def _max_pool(walk: Walk, node: fx.Node, a: dict[str, Any]) -> Laid:
    axes, kernel, stride, padding = _window(walk, node, a)
    return layer(walk, node, a["self"], MaxPool(kernel, stride, padding, spread(a["dilation"], axes), a["ceil_mode"]))


@lower("avg_pool1d", "avg_pool2d", "avg_pool3d")
def _avg_pool(walk: Walk, node: fx.Node, a: dict[str, Any]) -> Laid:
    if a.get("divisor_override"):
        raise walk.unsupported(node, "divisor_override is set")
    axes, kernel, stride, padding = _window(walk, node, a)
    return layer(walk, node, a["self"], AvgPool(kernel, stride, padding, (1,) * axes, a["ceil_mode"], a["count_include_pad"]))


@lower("adaptive_avg_pool1d", "adaptive_avg_pool2d", "adaptive_avg_pool3d")
def _adaptive(walk: Walk, node: fx.Node, a: dict[str, Any]) -> Laid:
    axes = len(walk.laid(node, a["self"]).dims) - 2
    return layer(walk, node, a["self"], AdaptiveAvgPool(spread(a["output_size"], axes)))


@lower("mean", "sum", "amax", "amin")
def _reduce(walk: Walk, node: fx.Node, a: dict[str, Any]) -> Laid:
    kind = {"amax": "max", "amin": "min"}.get(base := base_name(node), base)
    x = walk.laid(node, a["self"])
    rank = len(x.dims)
    dims = sorted(d % rank for d in (a.get("dim") or range(rank)))
    natural = natural_channel(walk, x)
    if kind == "mean" and natural == 1 and dims == list(range(2, rank)) and rank > 2 and x.dims[0] == BATCH_DIM:
        return layer(walk, node, x, AdaptiveAvgPool((1,) * (rank - 2)) if a.get("keepdim") else Mean())
    if natural is None or natural in dims:
        left = [d for d in range(rank) if d not in dims and x.dims[d] != BATCH_DIM]
        if not left:
            # A sum over everything leaves one number: it becomes a channel of its own.
            x = Laid(x.name, (*x.dims, ()), x.maker)
            left = [rank]
        natural = left[-1]
    name, frame = walk.take(node, x, natural)
    axes = [frame.dims[d] for d in dims]
    if any(has_batch for _, has_batch, _ in axes):
        raise walk.unsupported(node, "it sums up the batch")
    places = tuple(axis for _, _, axis in axes if axis is not None)
    made = walk.emit(Reduce(kind, places, True), [name], node)
    laid = frame.lay(made, walk.values[made], node)
    kept = [d for i, d in enumerate(laid.dims) if i < rank and (a.get("keepdim") or i not in dims)]
    return Laid(made, tuple(kept), node)
