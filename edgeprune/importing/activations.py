"""ONNX functions of one element, and softmax."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from ..laying.arithmetic import number, with_constant
from ..laying.layers import SELU, celu, clipped, selu, softmax, times
from ..laying.layout import Laid
from ..laying.masks import nonzero
from ..laying.scores import Closed, Scores
from ..laying.taking import settled
from ..ops import Activation, PReLU
from .walk import Call, Walk, lower, meaning

# ONNX activations without settings, by the graph's name.
PLAIN = {
    "Relu": "relu", "Sigmoid": "sigmoid", "Tanh": "tanh", "Softplus": "softplus", "Abs": "abs", "Neg": "neg", "Exp": "exp",
    "Sqrt": "sqrt", "Log": "log", "Erf": "erf", "Reciprocal": "reciprocal", "Sin": "sin", "Cos": "cos", "Floor": "floor",
    "Round": "round", "Sign": "sign", "Softsign": "softsign", "HardSwish": "hard_swish", "Mish": "mish",
}  # fmt: skip


@lower(*PLAIN)
def _plain(walk: Walk, call: Call, x: Any) -> Laid:
    return walk.pointwise(call, x, Activation(PLAIN[call.kind]))


@meaning("activation")
def _recognised(walk: Walk, call: Call, x: Any, kind: str) -> Laid:
    return walk.pointwise(call, x, Activation(kind))


@meaning("threshold")
def _above(walk: Walk, call: Call, x: Any, above: float, fill: float) -> Laid:
    return walk.pointwise(call, x, Activation("threshold", above, fill))


@lower("Gelu")
def _gelu(walk: Walk, call: Call, x: Any) -> Laid:
    return walk.pointwise(call, x, Activation("gelu_tanh" if call.attributes.get("approximate") == "tanh" else "gelu"))


@lower("Swish")
def _swish(walk: Walk, call: Call, x: Any) -> Laid:
    if call.attributes.get("alpha", 1.0) != 1:
        raise walk.unsupported(call, f"alpha={call.attributes['alpha']} is not 1")
    return walk.pointwise(call, x, Activation("silu"))


@lower("LeakyRelu")
def _leaky(walk: Walk, call: Call, x: Any) -> Laid:
    return walk.pointwise(call, x, Activation("leaky_relu", float(call.attributes.get("alpha", 0.01))))


@lower("PRelu")
def _prelu(walk: Walk, call: Call, x: Any, slope: Any) -> Laid:
    weight = walk.weight(call, slope)
    if weight.size == 1:
        return walk.pointwise(call, x, Activation("leaky_relu", float(weight.reshape(-1)[0])))
    laid = walk.laid(call, x)
    shape = (1,) * (len(laid.dims) - weight.ndim) + weight.shape
    wide = [i for i, n in enumerate(shape) if n > 1]
    if len(shape) != len(laid.dims) or len(wide) != 1:
        raise walk.unsupported(call, f"its slopes of shape {weight.shape} are not one a channel")
    name, frame = walk.take(call, laid, wide[0])
    made = walk.emit(PReLU(weight.reshape(-1), walk.values[name].axis), [name], call)
    return frame.lay(made, walk.values[made], call)


@lower("Elu")
def _elu(walk: Walk, call: Call, x: Any) -> Laid:
    return walk.pointwise(call, x, Activation("elu", float(call.attributes.get("alpha", 1.0))))


@lower("Selu")
def _selu(walk: Walk, call: Call, x: Any) -> Laid:
    alpha, gamma = call.attributes.get("alpha", SELU[0]), call.attributes.get("gamma", SELU[1])
    return selu(walk, call, x, float(alpha), float(gamma))


@lower("Celu")
def _celu(walk: Walk, call: Call, x: Any) -> Laid:
    return celu(walk, call, x, float(call.attributes.get("alpha", 1.0)))


@lower("ThresholdedRelu")
def _threshold(walk: Walk, call: Call, x: Any) -> Laid:
    return walk.pointwise(call, x, Activation("threshold", float(call.attributes.get("alpha", 1.0)), 0.0))


@lower("Shrink")
def _shrink(walk: Walk, call: Call, x: Any) -> Laid:
    bound, bias = float(call.attributes.get("lambd", 0.5)), float(call.attributes.get("bias", 0.0))
    if bias not in (0.0, bound):
        raise walk.unsupported(call, f"bias={bias} is neither 0 nor lambd={bound}")
    return walk.pointwise(call, x, Activation("soft_shrink" if bias else "hard_shrink", bound))


@lower("HardSigmoid")
def _hard_sigmoid(walk: Walk, call: Call, x: Any) -> Laid:
    alpha, beta = float(call.attributes.get("alpha", 0.2)), float(call.attributes.get("beta", 0.5))
    if abs(alpha - 1 / 6) < 1e-7 and beta == 0.5:
        return walk.pointwise(call, x, Activation("hard_sigmoid"))
    line = with_constant(walk, call, times(walk, call, x, alpha), np.array(beta, walk.dtype), "add")
    return walk.pointwise(call, line, Activation("clip", 0.0, 1.0))


@lower("Clip")
def _clip(walk: Walk, call: Call, x: Any, low: Any = None, high: Any = None) -> Laid:
    bounds = [default if given is None else number(given) for given, default in ((low, -np.inf), (high, np.inf))]
    if bounds[0] is None or bounds[1] is None:
        raise walk.unsupported(call, "its bounds depend on the input")
    largest = float(np.finfo(walk.dtype).max)
    # Bounds that no number passes are none.
    lower_bound = -np.inf if bounds[0] <= -largest else bounds[0]
    upper_bound = np.inf if bounds[1] >= largest else bounds[1]
    return clipped(walk, call, x, lower_bound, upper_bound)


@lower("Cast", "CastLike")
def _cast(walk: Walk, call: Call, x: Any, like: Any = None) -> Any:
    if call.kind == "Cast":
        from onnx import helper

        kind = np.dtype(helper.tensor_dtype_to_np_dtype(call.attributes["to"]))
    else:
        kind = like.dtype if isinstance(like, np.ndarray) else walk.dtype
    if isinstance(x, Scores | Closed):
        before = walk.dtype
    else:
        laid = walk.laid(call, x, integers=True)
        before = np.dtype(np.int64) if laid.integer or laid.name in walk.integers else walk.dtype
        if before == walk.dtype and kind in (np.int64, np.int32):
            return replace(settled(walk, call, laid), integer=True)
        if kind == np.bool_:
            return nonzero(walk, call, laid)
    if kind != before and not (kind.kind in "iu" and before.kind in "iu"):
        raise walk.unsupported(call, f"it changes the type of a value from {before} to {kind}")
    return x


@lower("Softmax", "LogSoftmax")
def _softmax(walk: Walk, call: Call, x: Any) -> Any:
    return softmax(walk, call, x, call.attributes.get("axis", -1), call.kind == "LogSoftmax")
