"""ATen functions of one element, and softmax."""

from __future__ import annotations

from typing import Any

import numpy as np
from torch import fx

from ..ops import Activation, Affine, Mul, PReLU, Softmax
from .arithmetic import both
from .layout import Laid, dtype_of
from .moves import picked
from .naming import base_name
from .scores import Length, Scores, normalised
from .taking import settled
from .walk import Walk, lower

# ATen activations without settings, by the graph's name.
PLAIN = {
    "relu": "relu", "relu6": "relu6", "sigmoid": "sigmoid", "hardsigmoid": "hard_sigmoid", "tanh": "tanh", "silu": "silu",
    "hardswish": "hard_swish", "mish": "mish", "abs": "abs", "neg": "neg", "exp": "exp", "sqrt": "sqrt", "log": "log",
    "erf": "erf", "reciprocal": "reciprocal", "sin": "sin", "cos": "cos", "floor": "floor", "round": "round", "sign": "sign",
}  # fmt: skip


@lower(*PLAIN)
def _plain(walk: Walk, node: fx.Node, a: dict[str, Any]) -> Laid:
    return walk.pointwise(node, next(iter(a.values())), Activation(PLAIN[base_name(node).rstrip("_")]))


@lower("hardtanh", "clamp", "clamp_min", "clamp_max")
def _clip(walk: Walk, node: fx.Node, a: dict[str, Any]) -> Any:
    low = a.get("min_val", a.get("min"))
    high = a.get("max_val", a.get("max"))
    low, high = (-np.inf if low is None else float(low)), (np.inf if high is None else float(high))
    if isinstance(a["self"], Length) and high == np.inf:
        return Length(a["self"].of, a["self"].dim, low)
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


def times(walk: Walk, node: fx.Node, x: Any, factor: float) -> Laid:
    """x times a number."""
    laid = walk.laid(node, x)
    value = walk.values[laid.name]
    scale = np.full(value.channels, factor, dtype_of(node))
    return walk.pointwise(node, laid, Affine(scale, np.zeros_like(scale), value.axis))


@lower("elu")
def _elu(walk: Walk, node: fx.Node, a: dict[str, Any]) -> Laid:
    if a["scale"] != 1 or a["input_scale"] != 1:
        raise walk.unsupported(node, f"scale={a['scale']}, input_scale={a['input_scale']} are not 1")
    return walk.pointwise(node, a["self"], Activation("elu", float(a["alpha"])))


@lower("selu")
def _selu(walk: Walk, node: fx.Node, a: dict[str, Any]) -> Laid:
    # The two constants of self-normalising networks (Klambauer et al., 2017).
    return times(walk, node, walk.pointwise(node, a["self"], Activation("elu", 1.6732632423543772)), 1.0507009873554805)


@lower("celu")
def _celu(walk: Walk, node: fx.Node, a: dict[str, Any]) -> Laid:
    alpha = float(a["alpha"])
    return times(walk, node, walk.pointwise(node, times(walk, node, a["self"], 1 / alpha), Activation("elu", 1.0)), alpha)


@lower("rrelu")
def _rrelu(walk: Walk, node: fx.Node, a: dict[str, Any]) -> Laid:
    return walk.pointwise(node, a["self"], Activation("leaky_relu", (float(a["lower"]) + float(a["upper"])) / 2))


@lower("prelu", "_prelu_kernel")
def _prelu(walk: Walk, node: fx.Node, a: dict[str, Any]) -> Laid:
    weight = walk.weight(node, a["weight"]).reshape(-1)
    if weight.size == 1:
        return walk.pointwise(node, a["self"], Activation("leaky_relu", float(weight[0])))
    return walk.lay(walk.emit(PReLU(weight), [walk.ref(node, a["self"])], node), node)


@lower("log_sigmoid")
def _log_sigmoid(walk: Walk, node: fx.Node, a: dict[str, Any]) -> Laid:
    return times(walk, node, walk.pointwise(node, times(walk, node, a["self"], -1.0), Activation("softplus")), -1.0)


@lower("threshold")
def _threshold(walk: Walk, node: fx.Node, a: dict[str, Any]) -> Laid:
    return walk.pointwise(node, a["self"], Activation("threshold", float(a["threshold"]), float(a["value"])))


@lower("hardshrink", "softshrink")
def _shrink(walk: Walk, node: fx.Node, a: dict[str, Any]) -> Laid:
    kind = "hard_shrink" if base_name(node).startswith("hard") else "soft_shrink"
    return walk.pointwise(node, a["self"], Activation(kind, float(a["lambd"])))


@lower("rsqrt")
def _rsqrt(walk: Walk, node: fx.Node, a: dict[str, Any]) -> Laid:
    return walk.pointwise(node, a["self"], Activation("pow", -0.5))


@lower("square")
def _square(walk: Walk, node: fx.Node, a: dict[str, Any]) -> Laid:
    laid = settled(walk, node, walk.laid(node, a["self"]))
    return Laid(walk.emit(Mul(), [laid.name, laid.name], node), laid.dims, node)


@lower("glu")
def _glu(walk: Walk, node: fx.Node, a: dict[str, Any]) -> Laid:
    x = walk.laid(node, a["self"])
    half = x.shape[a["dim"]] // 2
    value, gate = (picked(walk, node, x, a["dim"], range(s, s + half)) for s in (0, half))
    return both(walk, node, value, walk.pointwise(node, gate, Activation("sigmoid")), Mul())


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
