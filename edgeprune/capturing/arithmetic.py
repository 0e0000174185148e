"""ATen sums, differences, products and quotients, of two values or of a value and a constant."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import fx

from ..graph import Array
from ..ops import Add, Affine, Mul
from .walk import Ref, Walk, lower


def per_channel_constant(walk: Walk, node: fx.Node, x: Ref, constant: Any) -> Array:
    """A scalar or a constant tensor as one float32 number per channel of `x`."""
    value = walk.value(x)
    if not isinstance(constant, torch.Tensor):
        return np.full(value.channels, constant, np.float32)
    array = constant.detach().cpu().numpy()
    # As if the constant had the value's axes, batch in front.
    shape = (1,) * (len(value.shape) + 1 - array.ndim) + array.shape
    channel_axis = value.axis + 1
    if any(n != 1 for i, n in enumerate(shape) if i != channel_axis):
        raise walk.unsupported(node, f"a constant of shape {tuple(array.shape)} is not one number per channel")
    return np.broadcast_to(array.reshape(-1), (value.channels,)).astype(array.dtype if array.dtype.kind == "f" else np.float32)


@lower("add", "sub", "rsub")
def _add(walk: Walk, node: fx.Node, a: dict[str, Any]) -> Ref:
    x, y, alpha = a["self"], a["other"], a.get("alpha", 1)
    name = str(node.target)
    if "rsub" in name:
        x, y = y, x
    sign = -alpha if "sub" in name else alpha
    if isinstance(x, Ref) and isinstance(y, Ref):
        if sign != 1:
            axis, channels = walk.value(y).axis, walk.value(y).channels
            y = walk.emit(Affine(np.full(channels, sign, np.float32), np.zeros(channels, np.float32), axis), [y], node)
        return walk.emit(Add(), [x, y], node)
    if isinstance(x, Ref):
        shift = per_channel_constant(walk, node, x, y)
        return walk.emit(Affine(np.ones_like(shift), sign * shift, walk.value(x).axis), [x], node)
    shift = per_channel_constant(walk, node, y, x)
    return walk.emit(Affine(np.full_like(shift, sign), shift, walk.value(y).axis), [y], node)


@lower("mul", "div")
def _mul(walk: Walk, node: fx.Node, a: dict[str, Any]) -> Ref:
    x, y = a["self"], a["other"]
    divides = "div" in str(node.target)
    if isinstance(x, Ref) and isinstance(y, Ref):
        if divides:
            raise walk.unsupported(node, "a quotient of two values")
        return walk.emit(Mul(), [x, y], node)
    if not isinstance(x, Ref):
        if divides:
            raise walk.unsupported(node, "a constant divided by a value")
        x, y = y, x
    if a.get("rounding_mode"):
        raise walk.unsupported(node, "it rounds")
    scale = per_channel_constant(walk, node, x, y)
    return walk.emit(Affine(1 / scale if divides else scale, np.zeros_like(scale), walk.value(x).axis), [x], node)
