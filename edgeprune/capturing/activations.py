"""ATen functions of one element, and softmax."""

from __future__ import annotations

from typing import Any

import numpy as np
from torch import fx

from ..laying.arithmetic import both
from ..laying.layers import celu, clipped, selu, softmax, times
from ..laying.layout import Laid
from ..laying.moves import in_parts
from ..laying.taking import settled
from ..ops import Activation, Mul, PReLU
from .naming import base_name
from .walk import Length, Walk, lower

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
    return clipped(walk, node, a["self"], low, high)


@lower("leaky_relu")
def _leaky(walk: Walk, node: fx.Node, a: dict[str, Any]) -> Laid:
    return walk.pointwise(node, a["self"], Activation("leaky_relu", float(a["negative_slope"])))


@lower("elu")
def _elu(walk: Walk, node: fx.Node, a: dict[str, Any]) -> Laid:
    if a["scale"] != 1 or a["input_scale"] != 1:
        raise walk.unsupported(node, f"scale={a['scale']}, input_scale={a['input_scale']} are not 1")
    return walk.pointwise(node, a["self"], Activation("elu", float(a["alpha"])))


@lower("selu")
def _selu(walk: Walk, node: fx.Node, a: dict[str, Any]) -> Laid:
    return selu(walk, node, a["self"])


@lower("celu")
def _celu(walk: Walk, node: fx.Node, a: dict[str, Any]) -> Laid:
    return celu(walk, node, a["self"], float(a["alpha"]))


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
    dim = a["dim"] % len(x.dims)
    value, gate = in_parts(walk, node, x, dim, [x.shape[dim] // 2] * 2)
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
    return softmax(walk, node, a["self"], a["dim"], "log" in str(node.target))
