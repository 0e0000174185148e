"""ATen sums, differences, products and quotients, of two values or of a value and a constant."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import fx

from ..graph import Array, Op
from ..ops import Activation, Add, Affine, Binary, Constant, Mul, Normalize, Select
from . import scores as attention
from .layout import Dims, Frame, Laid, dtype_of, per_axis, with_scale
from .scores import Closed, Length, Scores
from .taking import natural_channel, settled, without_stretch
from .views import shape_of
from .walk import Walk, lower


def number(constant: Any) -> float | None:
    """The constant as one number, if it is one."""
    if isinstance(constant, torch.Tensor):
        return float(constant) if constant.numel() == 1 else None
    return float(constant)


def numbers(node: fx.Node, constant: Any) -> Array:
    """A constant as an array of the type of what the node makes."""
    array = constant.detach().cpu().numpy() if isinstance(constant, torch.Tensor) else np.asarray(constant)
    return array.astype(dtype_of(node))


def both(walk: Walk, node: fx.Node, x: Laid, y: Laid, op: Op) -> Laid:
    """An op on two values, element by element, with dims of size 1 stretched."""
    x, y = (settled(walk, node, side) for side in (x, y))
    shape = shape_of(node)
    dims = aligned(walk, x, y)
    if dims is not None and tuple(Laid("", dims).shape) == shape:
        return Laid(walk.emit(op, [x.name, y.name], node), dims, node)
    rank = len(shape)
    sides = []
    for side in (x, y):
        side_dims = without_stretch(side.dims)
        sides.append(Laid(side.name, ((),) * (rank - len(side_dims)) + side_dims, side.maker))
    natural = [natural_channel(walk, side) for side in sides]
    wide = [c for c, side in zip(natural, sides, strict=True) if c is not None and side.shape[c] == shape[c] > 1]
    # Where the two disagree, or neither says, the last dim is where sequences keep their channels.
    channel = (wide or [c for c in natural if c is not None] or [rank - 1])[0]
    taken = [walk.take(node, side, channel) for side in sides]
    names, frames = [name for name, _ in taken], [frame for _, frame in taken]
    if frames[0].dims != frames[1].dims:
        raise walk.unsupported(node, "the batch is not on the same axis of its two sides")
    channels = max(walk.values[name].channels for name in names)
    for i, name in enumerate(names):
        value = walk.values[name]
        if value.channels != channels:
            names[i] = walk.emit(Select(np.zeros(channels, np.int64), value.axis), [name], node)
    result = walk.emit(op, names, node)
    laid = frames[0].lay(result, walk.values[result], node)
    if laid.shape != shape:
        raise walk.unsupported(node, f"its result would be {laid.shape}, not {shape}")
    return laid


def aligned(walk: Walk, x: Laid, y: Laid) -> Dims | None:
    """The layout of an elementwise result of the two, when their values line up axis by axis as they are."""
    a, b = walk.values[x.name], walk.values[y.name]
    if a.axis != b.axis or a.channels != b.channels or len(a.shape) != len(b.shape):
        return None
    if any(m != n and 1 not in (m, n) for m, n in zip(a.shape, b.shape, strict=True)):
        return None
    first, second = without_stretch(x.dims), without_stretch(y.dims)
    rank = max(len(first), len(second))
    first, second = ((),) * (rank - len(first)) + first, ((),) * (rank - len(second)) + second
    if any(p != q and p and q for p, q in zip(first, second, strict=True)):
        return None
    return tuple(p or q for p, q in zip(first, second, strict=True))


def with_constant(walk: Walk, node: fx.Node, x: Laid, constant: Any, kind: str) -> Laid:
    """`x + constant` or `x * constant`, the constant broadcast as PyTorch does."""
    shape = shape_of(node)
    single = number(constant)
    if single is not None and kind == "mul" and natural_channel(walk, x) is None:
        return with_scale(x, single)
    x = settled(walk, node, x)
    value = walk.values[x.name]
    array = numbers(node, constant)
    over = frame = None
    if x.shape == shape:
        over = per_axis(array, x.dims, range(len(value.shape)), value.shape)
    if over is None:
        # The constant stretches the value, or says more than its layout can: everything by the tensor's own dims.
        rank = len(shape)
        x = Laid(x.name, ((),) * (rank - len(x.dims)) + x.dims, x.maker)
        name, frame = walk.take(node, x)
        value = walk.values[name]
        x = frame.lay(name, value, x.maker)
        over = _over_axes(array.reshape((1,) * (rank - array.ndim) + array.shape), frame, len(value.shape))
        if over is None:
            raise walk.unsupported(node, f"a constant of shape {tuple(array.shape)} does not fit a value of shape {x.shape}")
    if all(n == 1 for i, n in enumerate(over.shape) if i != value.axis):
        line = np.broadcast_to(over.reshape(-1), (value.channels,)) if over.shape[value.axis] in (1, value.channels) else None
        if line is not None:
            line = np.ascontiguousarray(line)
            op = Affine(np.ones_like(line), line, value.axis) if kind == "add" else Affine(line, np.zeros_like(line), value.axis)
            return Laid(walk.emit(op, [x.name], node), x.dims, node)
    channels = max(value.channels, over.shape[value.axis])
    name = x.name
    if value.channels != channels:
        name = walk.emit(Select(np.zeros(channels, np.int64), value.axis), [name], node)
    full = [channels if i == value.axis else n for i, n in enumerate(over.shape)]
    weight = np.ascontiguousarray(np.broadcast_to(over, full))
    stored = walk.emit(Constant(weight, value.axis), [next(iter(walk.inputs))], node)
    result = walk.emit(Add() if kind == "add" else Mul(), [name, stored], node)
    made = walk.values[result]
    if made.shape == value.shape:
        return Laid(result, x.dims, node)
    if frame is None:
        frame = walk.take(node, x)[1]
    laid = frame.lay(result, made, node)
    if laid.shape != shape:
        raise walk.unsupported(node, f"a constant of shape {tuple(array.shape)} does not fit a value of shape {x.shape}")
    return laid


def _over_axes(array: Array, frame: Frame, axes: int) -> Array | None:
    """A constant over a tensor's dims as one over the axes of the value taken from it."""
    shape = [1] * axes
    for dim, (_, has_batch, axis) in enumerate(frame.dims):
        n = array.shape[dim]
        if has_batch and n > 1:
            if axis is not None or not (array == array.take([0], dim)).all():
                return None
            array = array.take([0], dim)
        elif axis is not None:
            shape[axis] = n
    order = [d for d, (_, _, axis) in sorted(enumerate(frame.dims), key=lambda p: -1 if p[1][2] is None else p[1][2])]
    return array.transpose(order).reshape(shape)


@lower("add", "sub", "rsub", "subtract")
def _add(walk: Walk, node: fx.Node, a: dict[str, Any]) -> Any:
    x, y, alpha = a["self"], a["other"], a.get("alpha", 1)
    name = str(node.target)
    if "rsub" in name:
        x, y = y, x
    sign = -alpha if "sub" in name else alpha
    if isinstance(x, Scores) or isinstance(y, Scores):
        if isinstance(x, Scores):
            if isinstance(y, Laid | Closed):
                return attention.added(walk, node, x, y if sign == 1 else with_scale(walk.laid(node, y), sign))
            if not isinstance(y, Scores):
                return attention.biased(walk, node, x, y if sign == 1 else y * sign)
        elif isinstance(y, Scores):
            y = attention.scaled(walk, node, y, sign)
            return attention.added(walk, node, y, x) if isinstance(x, Laid | Closed) else attention.biased(walk, node, y, x)
        raise walk.unsupported(node, "it adds attention scores to each other")
    if isinstance(x, Laid | Length) and isinstance(y, Laid | Length):
        x, y = walk.laid(node, x), walk.laid(node, y)
        if sign != 1:
            y = with_constant_factor(walk, node, y, sign)
        return both(walk, node, x, y, Add())
    if isinstance(x, Laid | Length):
        return with_constant(walk, node, walk.laid(node, x), y if sign == 1 else y * sign, "add")
    y = walk.laid(node, y)
    return with_constant(walk, node, with_constant_factor(walk, node, y, sign) if sign != 1 else y, x, "add")


def with_constant_factor(walk: Walk, node: fx.Node, x: Laid, factor: float) -> Laid:
    value = walk.values[x.name]
    scale = np.full(value.channels, factor, dtype_of(node))
    x = settled(walk, node, x)
    return Laid(walk.emit(Affine(scale, np.zeros_like(scale), value.axis), [x.name], node), x.dims, node)


def divided_by_length(walk: Walk, node: fx.Node, x: Laid, length: Length) -> Laid:
    """x over its length: at once along all channels, remembered until attention reads it within a head."""
    dim = length.dim % len(x.dims)
    value = walk.values[x.name]
    if natural_channel(walk, x) == dim:
        x = settled(walk, node, x)
        return Laid(walk.emit(Normalize(value.axis, length.floor), [x.name], node), x.dims, node)
    if dim != len(x.dims) - 1:
        raise walk.unsupported(node, "it divides by a length over something else than all channels")
    return Laid(x.name, x.dims, node, 1.0, length.floor)


@lower("mul", "div", "multiply", "divide", "true_divide")
def _mul(walk: Walk, node: fx.Node, a: dict[str, Any]) -> Any:
    x, y = a["self"], a["other"]
    divides = "div" in str(node.target)
    if a.get("rounding_mode"):
        raise walk.unsupported(node, "it rounds")
    if isinstance(x, Laid) and isinstance(y, Length) and divides and x == y.of:
        return divided_by_length(walk, node, x, y)
    if isinstance(x, Scores) or isinstance(y, Scores):
        if not isinstance(x, Scores):
            x, y = y, x
        if isinstance(y, Scores | Laid) or (divides and isinstance(a["other"], Scores)):
            raise walk.unsupported(node, "it scales attention scores by what depends on the input")
        return attention.scaled(walk, node, x, 1 / y if divides else y)
    if isinstance(x, Laid | Length) and isinstance(y, Laid | Length):
        return both(walk, node, walk.laid(node, x), walk.laid(node, y), Binary("div") if divides else Mul())
    if not isinstance(x, Laid | Length):
        y = walk.laid(node, y)
        if divides:
            one_over = walk.pointwise(node, y, Activation("reciprocal"))
            return with_constant(walk, node, one_over, x, "mul")
        x, y = y, x
    constant = y
    if divides:
        constant = 1 / y.to(torch.float64) if isinstance(y, torch.Tensor) else 1 / y
        if isinstance(constant, torch.Tensor):
            constant = constant.to(y.dtype if y.dtype.is_floating_point else torch.float32)
    return with_constant(walk, node, walk.laid(node, x), constant, "mul")


@lower("minimum", "maximum", "pow")
def _binary(walk: Walk, node: fx.Node, a: dict[str, Any]) -> Any:
    x, y = a["self"], a.get("other", a.get("exponent"))
    kind = {"minimum": "min", "maximum": "max", "pow": "pow"}[node.target._schema.name.split("::")[-1].rstrip("_")]  # type: ignore[union-attr]
    if isinstance(x, Laid) and isinstance(y, Laid):
        return both(walk, node, x, y, Binary(kind))
    if kind == "pow" and isinstance(x, Laid):
        exponent = number(y)
        if exponent is None:
            raise walk.unsupported(node, "its exponent is not one number")
        if exponent == 2:
            return both(walk, node, x, x, Mul())
        return walk.pointwise(node, x, Activation("pow", exponent))
    raise walk.unsupported(node, f"a {kind} of a value and a constant; write it with clamp")
