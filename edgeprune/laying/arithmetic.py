"""Sums and products of two values, or of a value and a constant, with dims of size 1 stretched."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from ..graph import Array, Op, Shape
from ..ops import Add, Affine, Binary, Constant, Mul, Normalize, Select
from .layout import STRETCHED, Atom, Dims, Frame, Laid, per_axis, with_scale, without_stretch
from .taking import FIRST, natural_channel, settled
from .trace import Trace
from .views import shape_of


def number(constant: Any) -> float | None:
    """The constant as one number, if it is one."""
    return float(constant.reshape(-1)[0]) if isinstance(constant, np.ndarray) and constant.size == 1 else None


def common_batch(walk: Trace, sides: list[Laid], *others: int) -> int | None:
    """The dim that may stand for a batch fixed at one in all of them; `others` may not."""
    if walk.batch:
        return FIRST
    single = [not any(dims) for dims in zip(*(side.dims for side in sides), strict=True)]
    return next((i for i, free in enumerate(single) if free and i not in others), None)


def both(walk: Trace, at: Any, x: Laid, y: Laid, op: Op) -> Laid:
    """An op on two values, element by element, with dims of size 1 stretched."""
    x, y = (settled(walk, at, side) for side in (x, y))
    shape = np.broadcast_shapes(shape_of(x), shape_of(y))
    dims = aligned(walk, x, y)
    if dims is not None and Laid("", dims).shape == shape:
        return Laid(walk.emit(op, [x.name, y.name], at), dims, at)
    sides = [_of_rank(side, len(shape)) for side in (x, y)]
    natural = [natural_channel(walk, side) for side in sides]
    wide = [c for c, side in zip(natural, sides, strict=True) if c is not None and side.shape[c] == shape[c] > 1]
    # Where the two disagree, or neither says, the last dim is where sequences keep their channels.
    channel = (wide or [c for c in natural if c is not None] or [len(shape) - 1])[0]
    batch_at = common_batch(walk, sides, channel)
    taken = [walk.take(at, side, channel, batch_at) for side in sides]
    names, frames = [name for name, _ in taken], [frame for _, frame in taken]
    if frames[0].dims != frames[1].dims:
        raise walk.unsupported(at, "the batch is not on the same axis of its two sides")
    channels = max(walk.values[name].channels for name in names)
    for i, name in enumerate(names):
        value = walk.values[name]
        if value.channels != channels:
            names[i] = walk.emit(Select(np.zeros(channels, np.int64), value.axis), [name], at)
    result = walk.emit(op, names, at)
    laid = frames[0].lay(result, walk.values[result], at)
    if laid.shape != shape:
        raise walk.unsupported(at, f"its result would be {laid.shape}, not {shape}")
    return laid


def _of_rank(laid: Laid, rank: int) -> Laid:
    dims = without_stretch(laid.dims)
    return Laid(laid.name, ((),) * (rank - len(dims)) + dims, laid.maker)


def aligned(walk: Trace, x: Laid, y: Laid) -> Dims | None:
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


PLAIN_OPS: dict[str, Op] = {"add": Add(), "mul": Mul()}


def with_constant(walk: Trace, at: Any, x: Laid, constant: Any, kind: str) -> Laid:
    """`x + constant`, `x * constant` or the like by its name in BINARY, the constant broadcast."""
    if isinstance(constant, np.generic):
        constant = np.asarray(constant)  # what arithmetic makes of an array without axes
    elif not isinstance(constant, np.ndarray):
        walk.laid(at, constant)  # what is no constant here is no value either
    shape = tuple(np.broadcast_shapes(shape_of(x), constant.shape))
    single = number(constant)
    if single is not None and kind == "mul" and natural_channel(walk, x) is None and len(shape) == len(x.dims):
        return with_scale(x, single)
    x = settled(walk, at, x)
    value = walk.values[x.name]
    array = constant.astype(walk.dtype_of(at))
    over = frame = None
    if x.shape == shape:
        over = per_axis(array, x.dims, range(len(value.shape)), value.shape)
    if over is None:
        # The constant stretches the value, or says more than its layout can: everything by the tensor's own dims.
        x = _of_rank(x, len(shape))
        array = array.reshape((1,) * (len(shape) - array.ndim) + array.shape)
        single_dims = (i for i, d in enumerate(x.dims) if not d and array.shape[i] == 1)
        name, frame = walk.take(at, x, None, FIRST if walk.batch else next(single_dims, None))
        value = walk.values[name]
        x = frame.lay(name, value, x.maker)
        over = _over_axes(array, frame, len(value.shape))
        if over is None:
            raise walk.unsupported(at, f"a constant of shape {constant.shape} does not fit a value of shape {x.shape}")
    flat = kind in PLAIN_OPS and all(n == 1 for i, n in enumerate(over.shape) if i != value.axis)
    if flat and over.shape[value.axis] in (1, value.channels):
        line = np.ascontiguousarray(np.broadcast_to(over.reshape(-1), (value.channels,)))
        op = Affine(np.ones_like(line), line, value.axis) if kind == "add" else Affine(line, np.zeros_like(line), value.axis)
        return _stretched(Laid(walk.emit(op, [x.name], at), x.dims, at), shape)
    channels = max(value.channels, over.shape[value.axis])
    name = x.name
    if value.channels != channels:
        name = walk.emit(Select(np.zeros(channels, np.int64), value.axis), [name], at)
    full = [channels if i == value.axis else n for i, n in enumerate(over.shape)]
    weight = np.ascontiguousarray(np.broadcast_to(over, full))
    stored = walk.emit(Constant(weight, value.axis), [next(iter(walk.inputs))], at)
    result = walk.emit(PLAIN_OPS.get(kind) or Binary(kind), [name, stored], at)
    made = walk.values[result]
    if made.shape == value.shape:
        return _stretched(Laid(result, x.dims, at), shape)
    if frame is None:
        frame = walk.take(at, x)[1]
    laid = _stretched(frame.lay(result, made, at), shape)
    if laid.shape != shape:
        raise walk.unsupported(at, f"a constant of shape {constant.shape} does not fit a value of shape {x.shape}")
    return laid


def _stretched(laid: Laid, shape: Shape) -> Laid:
    """The tensor, its dims of size 1 repeated to the shape."""
    pairs = zip(laid.dims, laid.shape, shape, strict=True)
    return replace(laid, dims=tuple((Atom(STRETCHED, n, 0),) if size == 1 < n and not d else d for d, size, n in pairs))


def _over_axes(array: Array, frame: Frame, axes: int) -> Array | None:
    """A constant over a tensor's dims as one over the axes of the value taken from it."""
    shape: list[int] = [1] * axes
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


def over_length(walk: Trace, at: Any, x: Any, dim: int, floor: float) -> Laid:
    """x over its length along a dim: at once along all channels, remembered until attention reads it within a head."""
    laid = settled(walk, at, walk.laid(at, x))
    dim %= len(laid.dims)
    if natural_channel(walk, laid) == dim:
        return Laid(walk.emit(Normalize(walk.values[laid.name].axis, floor), [laid.name], at), laid.dims, at)
    return Laid(laid.name, laid.dims, at, 1.0, (floor, laid.dims[dim]))
