"""Functions of one element and of two, affine maps, softmax, constants."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import fx

from ..graph import Node
from ..ops import Activation, Add, Affine, Binary, Constant, Mul, Softmax
from .build import Rebuild, build


@build(Affine)
def _affine(r: Rebuild, node: Node, op: Affine) -> fx.Node:
    (x,) = r.ins(node)
    shape = [-1 if i == op.axis else 1 for i in range(len(r.value(node).shape))]
    if not (op.scale == 1).all():
        x = r.call(torch.mul, x, r.tensor(node, "scale", op.scale.reshape(shape), trained=True))
    if op.shift.any():
        x = r.call(torch.add, x, r.tensor(node, "shift", op.shift.reshape(shape), trained=True))
    return x if x is not r.ins(node)[0] else r.call(torch.clone, x)


FUNCTIONS: dict[str, Callable[..., Any]] = {
    "relu": F.relu, "relu6": F.relu6, "sigmoid": torch.sigmoid, "hard_sigmoid": F.hardsigmoid, "tanh": torch.tanh, "silu": F.silu,
    "hard_swish": F.hardswish, "mish": F.mish, "gelu": F.gelu, "abs": torch.abs, "neg": torch.neg, "exp": torch.exp,
    "sqrt": torch.sqrt, "reciprocal": torch.reciprocal, "log": torch.log, "erf": torch.erf, "sin": torch.sin, "cos": torch.cos,
    "floor": torch.floor, "round": torch.round, "sign": torch.sign, "softsign": F.softsign,
}  # fmt: skip
# Those whose first setting is theirs in torch too.
WITH_SETTING: dict[str, Callable[..., Any]] = {
    "leaky_relu": F.leaky_relu, "elu": F.elu, "pow": torch.pow, "hard_shrink": F.hardshrink, "soft_shrink": F.softshrink,
}  # fmt: skip


@build(Activation)
def _activation(r: Rebuild, node: Node, op: Activation) -> fx.Node:
    (x,) = r.ins(node)
    if op.kind == "clip":
        bounds = [None if np.isinf(bound) else bound for bound in (op.a, op.b)]
        return r.call(torch.clamp, x, *bounds) if bounds != [None, None] else r.call(torch.clone, x)
    if op.kind == "gelu_tanh":
        return r.call(F.gelu, x, approximate="tanh")
    if op.kind == "softplus":
        # Torch stops adding beyond a threshold, of which 20 is seen in float64.
        return r.call(F.softplus, x, 1.0, 40.0)
    if op.kind == "threshold":
        return r.call(F.threshold, x, op.a, op.b)
    if op.kind in WITH_SETTING:
        return r.call(WITH_SETTING[op.kind], x, op.a)
    if op.kind not in FUNCTIONS:
        raise r.refusal(node, f"an activation {op.kind!r}")
    return r.call(FUNCTIONS[op.kind], x)


@build(Add)
def _add(r: Rebuild, node: Node, op: Add) -> fx.Node:
    return r.call(torch.add, *r.ins(node))


@build(Mul)
def _mul(r: Rebuild, node: Node, op: Mul) -> fx.Node:
    return r.call(torch.mul, *r.ins(node))


BINARY: dict[str, Callable[..., Any]] = {"div": torch.div, "min": torch.minimum, "max": torch.maximum, "pow": torch.pow}


@build(Binary)
def _binary(r: Rebuild, node: Node, op: Binary) -> fx.Node:
    return r.call(BINARY[op.kind], *r.ins(node))


@build(Softmax)
def _softmax(r: Rebuild, node: Node, op: Softmax) -> fx.Node:
    return r.call(F.log_softmax if op.log else F.softmax, *r.ins(node), dim=op.axis + 1)


@build(Constant)
def _constant(r: Rebuild, node: Node, op: Constant) -> fx.Node:
    batch = r.graph.call_method("size", (*r.ins(node), 0))
    held = r.tensor(node, "weight", op.weight[None], trained=True)
    return r.graph.call_method("expand", (held, batch, *(-1,) * op.weight.ndim))
