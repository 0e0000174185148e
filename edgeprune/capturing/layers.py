"""ATen layers: convolutions, linear, normalisation, activations, pooling."""

from __future__ import annotations

from typing import Any

import numpy as np
from torch import fx

from ..ops import (
    Activation,
    AdaptiveAvgPool,
    AvgPool,
    BatchNorm,
    Conv,
    Linear,
    MaxPool,
    Mean,
    Softmax,
)
from .walk import Ref, Walk, lower


def spread(setting: Any, axes: int) -> tuple[int, ...]:
    """A setting that may be one number for all axes, as one per axis."""
    numbers = [setting] if isinstance(setting, int) else list(setting)
    return tuple(numbers * axes) if len(numbers) == 1 else tuple(numbers)


@lower("conv1d", "conv2d", "conv3d")
def _conv(walk: Walk, node: fx.Node, a: dict[str, Any]) -> Ref:
    x = walk.ref(node, a["input"])
    if isinstance(a["weight"], Ref):
        raise walk.unsupported(node, "its weight is computed from the input")
    weight = walk.array(a["weight"])
    assert weight is not None
    axes = weight.ndim - 2
    dilation = spread(a["dilation"], axes)
    if a["padding"] == "valid":
        padding: tuple[tuple[int, int], ...] = ((0, 0),) * axes
    elif a["padding"] == "same":
        totals = [d * (k - 1) for d, k in zip(dilation, weight.shape[2:], strict=True)]
        padding = tuple((t // 2, t - t // 2) for t in totals)
    else:
        padding = tuple((p, p) for p in spread(a["padding"], axes))
    return walk.emit(Conv(weight, walk.array(a["bias"]), spread(a["stride"], axes), padding, dilation, a["groups"]), [x], node)


@lower("linear")
def _linear(walk: Walk, node: fx.Node, a: dict[str, Any]) -> Ref:
    if isinstance(a["weight"], Ref):
        raise walk.unsupported(node, "its weight is computed from the input")
    weight = walk.array(a["weight"])
    assert weight is not None
    return walk.emit(Linear(weight, walk.array(a["bias"])), [walk.ref(node, a["input"])], node)


@lower("batch_norm")
def _batch_norm(walk: Walk, node: fx.Node, a: dict[str, Any]) -> Ref:
    if a["training"] or a["running_mean"] is None:
        raise walk.unsupported(node, "it normalises by the batch's own statistics; call eval() and track running statistics")
    mean, var = walk.array(a["running_mean"]), walk.array(a["running_var"])
    assert mean is not None
    assert var is not None
    weight, bias = walk.array(a["weight"]), walk.array(a["bias"])
    weight = np.ones_like(mean) if weight is None else weight
    bias = np.zeros_like(mean) if bias is None else bias
    return walk.emit(BatchNorm(weight, bias, mean, var, a["eps"]), [walk.ref(node, a["input"])], node)


# ATen activations without settings, by the graph's name.
PLAIN = {
    "relu": "relu", "relu6": "relu6", "sigmoid": "sigmoid", "hardsigmoid": "hard_sigmoid", "tanh": "tanh", "silu": "silu",
    "hardswish": "hard_swish", "mish": "mish", "abs": "abs", "neg": "neg", "exp": "exp", "sqrt": "sqrt",
}  # fmt: skip


@lower(*PLAIN)
def _plain(walk: Walk, node: fx.Node, a: dict[str, Any]) -> Ref:
    name = str(node.target._schema.name).split("::")[-1].rstrip("_")  # type: ignore[union-attr]
    return walk.emit(Activation(PLAIN[name]), [walk.ref(node, next(iter(a.values())))], node)


@lower("hardtanh", "clamp", "clamp_min", "clamp_max")
def _clip(walk: Walk, node: fx.Node, a: dict[str, Any]) -> Ref:
    low = a.get("min_val", a.get("min"))
    high = a.get("max_val", a.get("max"))
    low, high = (-np.inf if low is None else float(low)), (np.inf if high is None else float(high))
    if (low, high) == (0.0, 6.0):
        op = Activation("relu6")
    elif (low, high) == (0.0, np.inf):
        op = Activation("relu")
    else:
        op = Activation("clip", low, high)
    return walk.emit(op, [walk.ref(node, a["self"])], node)


@lower("leaky_relu")
def _leaky(walk: Walk, node: fx.Node, a: dict[str, Any]) -> Ref:
    return walk.emit(Activation("leaky_relu", float(a["negative_slope"])), [walk.ref(node, a["self"])], node)


@lower("elu")
def _elu(walk: Walk, node: fx.Node, a: dict[str, Any]) -> Ref:
    if a["scale"] != 1 or a["input_scale"] != 1:
        raise walk.unsupported(node, f"scale={a['scale']}, input_scale={a['input_scale']} are not 1")
    return walk.emit(Activation("elu", float(a["alpha"])), [walk.ref(node, a["self"])], node)


@lower("gelu")
def _gelu(walk: Walk, node: fx.Node, a: dict[str, Any]) -> Ref:
    return walk.emit(Activation("gelu_tanh" if a["approximate"] == "tanh" else "gelu"), [walk.ref(node, a["self"])], node)


@lower("softplus")
def _softplus(walk: Walk, node: fx.Node, a: dict[str, Any]) -> Ref:
    if a["beta"] != 1:
        raise walk.unsupported(node, f"beta={a['beta']} is not 1")
    return walk.emit(Activation("softplus"), [walk.ref(node, a["self"])], node)


@lower("softmax", "log_softmax")
def _softmax(walk: Walk, node: fx.Node, a: dict[str, Any]) -> Ref:
    x = walk.ref(node, a["self"])
    rank = len(walk.value(x).shape) + 1
    axis = a["dim"] % rank - 1
    if axis < 0:
        raise walk.unsupported(node, "it runs over the batch")
    return walk.emit(Softmax(axis, log="log" in str(node.target)), [x], node)


@lower("max_pool1d", "max_pool2d", "max_pool3d")
def _max_pool(walk: Walk, node: fx.Node, a: dict[str, Any]) -> Ref:
    x = walk.ref(node, a["self"])
    axes = len(walk.value(x).shape) - 1
    kernel = spread(a["kernel_size"], axes)
    stride = spread(a["stride"], axes) if a["stride"] else kernel
    padding = tuple((p, p) for p in spread(a["padding"], axes))
    return walk.emit(MaxPool(kernel, stride, padding, spread(a["dilation"], axes), a["ceil_mode"]), [x], node)


@lower("avg_pool1d", "avg_pool2d", "avg_pool3d")
def _avg_pool(walk: Walk, node: fx.Node, a: dict[str, Any]) -> Ref:
    x = walk.ref(node, a["self"])
    axes = len(walk.value(x).shape) - 1
    if a.get("divisor_override"):
        raise walk.unsupported(node, "divisor_override is set")
    kernel = spread(a["kernel_size"], axes)
    stride = spread(a["stride"], axes) if a["stride"] else kernel
    padding = tuple((p, p) for p in spread(a["padding"], axes))
    op = AvgPool(kernel, stride, padding, (1,) * axes, a["ceil_mode"], a["count_include_pad"])
    return walk.emit(op, [x], node)


@lower("adaptive_avg_pool1d", "adaptive_avg_pool2d", "adaptive_avg_pool3d")
def _adaptive(walk: Walk, node: fx.Node, a: dict[str, Any]) -> Ref:
    x = walk.ref(node, a["self"])
    axes = len(walk.value(x).shape) - 1
    return walk.emit(AdaptiveAvgPool(spread(a["output_size"], axes)), [x], node)


@lower("mean")
def _mean(walk: Walk, node: fx.Node, a: dict[str, Any]) -> Ref:
    x = walk.ref(node, a["self"])
    value = walk.value(x)
    rank = len(value.shape) + 1
    dims = sorted(d % rank for d in (a.get("dim") or range(rank)))
    if value.axis != 0 or dims != list(range(2, rank)) or rank < 3:
        raise walk.unsupported(node, f"a mean over axes {dims} is not one over all positions of each channel")
    if a.get("keepdim"):
        return walk.emit(AdaptiveAvgPool((1,) * (rank - 2)), [x], node)
    return walk.emit(Mean(), [x], node)
