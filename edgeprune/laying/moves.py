"""Parts of a tensor, gathers, concatenation, padding."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from ..graph import Value
from ..ops import Concat, Constant, Cut, Join, Pad, PadWith, Select, Slice, Take
from .arithmetic import common_batch
from .layout import BATCH_AXIS, Laid, narrowed
from .scores import Scores
from .taking import natural_channel, settled
from .trace import Trace


def picked(walk: Trace, at: Any, laid: Laid, dim: int, index: range) -> Laid:
    """A part of one dim."""
    if len(index) == laid.shape[dim] and index.step == 1:
        return laid
    if not len(index):
        raise walk.unsupported(at, "nothing is left of the tensor")
    if laid.unit is not None:
        laid = settled(walk, at, laid)
    atoms = laid.dims[dim]
    if any(a.axis == BATCH_AXIS for a in atoms):
        raise walk.unsupported(at, "it takes a part of the batch")
    if index.step < 0:
        return gathered(walk, at, laid, dim, np.array(index))
    value = walk.values[laid.name]
    if len(atoms) == 1 and atoms[0].axis == value.axis:
        # Channel c is digit (c // inner) % size of the axis.
        atom = atoms[0]
        digit = np.arange(value.channels) // atom.inner % atom.size
        name = walk.emit(Select(np.flatnonzero(np.isin(digit, index)), value.axis), [laid.name], at)
        return replace(laid, name=name, dims=narrowed(laid.dims, dim, len(index)), maker=at)
    if len(atoms) == 1 and atoms[0].size == value.shape[atoms[0].axis]:
        name = walk.emit(_part(value, atoms[0].axis, index), [laid.name], at)
        return replace(laid, name=name, dims=narrowed(laid.dims, dim, len(index)), maker=at)
    # The dim is a part of an axis or several axes: make it an axis of its own first.
    name, frame = walk.take(at, laid)
    return picked(walk, at, frame.lay(name, walk.values[name], laid.maker), dim, index)


def _part(value: Value, axis: int, index: range) -> Slice | Cut:
    """The op that takes a range of places. A stop at the end stays open, so that it means the same at another input size."""
    stop = None if len(range(index.start, value.shape[axis], index.step)) == len(index) else index.stop
    if value.axis != 0:
        return Cut(axis, index.start, stop, index.step)
    spatial = range(1, len(value.shape))
    return Slice(
        tuple(index.start if i == axis else 0 for i in spatial),
        tuple(stop if i == axis else None for i in spatial),
        tuple(index.step if i == axis else 1 for i in spatial),
    )


def one_of(walk: Trace, at: Any, laid: Laid, dim: int, place: int) -> Laid:
    """One entry of a dim, the dim left out."""
    part = picked(walk, at, laid, dim, range(place, place + 1))
    return replace(part, dims=tuple(d for i, d in enumerate(part.dims) if i != dim), maker=at)


def in_parts(walk: Trace, at: Any, laid: Laid, dim: int, sizes: Sequence[int]) -> list[Laid]:
    """The parts of a dim, one after the other."""
    ends = np.cumsum(sizes).tolist()
    return [picked(walk, at, laid, dim, range(end - n, end)) for end, n in zip(ends, sizes, strict=True)]


def gathered(walk: Trace, at: Any, x: Laid, dim: int, index: Any) -> Laid:
    """The entries of one dim that a constant list names."""
    if not walk.batch:
        free = next((i for i, d in enumerate(x.dims) if not d and i != dim), None)
        name, frame = walk.take(at, x, None if natural_channel(walk, x) is not None else dim, free)
    else:
        name, frame = walk.take(at, x)
    value = walk.values[name]
    _, has_batch, axis = frame.dims[dim]
    if has_batch or axis is None:
        raise walk.unsupported(at, "it takes a part of the batch")
    op = Select(index, axis) if axis == value.axis else Take(index, axis)
    made = walk.emit(op, [name], at)
    return frame.lay(made, walk.values[made], at)


def joined_along(walk: Trace, at: Any, parts: Sequence[Any], dim: int) -> Laid:
    """Tensors one after the other along a dim; constant ones become nodes of their own."""
    if any(isinstance(p, Scores) for p in parts):
        raise walk.unsupported(at, "it joins attention scores")
    # An empty tensor has no say.
    given = [p for p in parts if not isinstance(p, np.ndarray) or p.size]
    laids = [settled(walk, at, walk.laid(at, p)) for p in given if not isinstance(p, np.ndarray)]
    rank = len(laids[0].dims)
    dim = dim % rank
    natural = [natural_channel(walk, p) for p in laids]
    named = [c for c in natural if c is not None]
    channel = named[0] if named else rank - 1
    if named and any(p.shape[channel] == 1 for p in laids):
        channel = next((c for c, p in zip(natural, laids, strict=True) if c is not None and p.shape[c] > 1), channel)
    batch_at = common_batch(walk, laids, channel, dim)
    taken = [walk.take(at, p, channel, batch_at) for p in laids]
    frame = taken[0][1]
    if any(f.dims != frame.dims for _, f in taken):
        raise walk.unsupported(at, "the batch is not on the same axis of all it joins")
    _, has_batch, along = frame.dims[dim]
    if has_batch or along is None:
        raise walk.unsupported(at, "it joins along the batch")
    names = iter(name for name, _ in taken)
    axis = walk.values[taken[0][0]].axis
    inputs = [next(names) if not isinstance(p, np.ndarray) else _stored(walk, at, p, frame.dims, axis) for p in given]
    made = walk.emit(Concat() if along == axis == 0 else Join(along, axis), inputs, at)
    return frame.lay(made, walk.values[made], at)


def _stored(walk: Trace, at: Any, array: Any, dims: Any, axis: int) -> str:
    """A constant as a value of the axes that `dims` (of a Frame) tell."""
    for dim, (_, has_batch, own) in enumerate(dims):
        if has_batch:
            if own is not None or not (array == array.take([0], dim)).all():
                raise walk.unsupported(at, "it joins a constant that differs along the batch")
            array = array.take([0], dim)
    order = [d for d, (_, _, own) in enumerate(dims) if own is None] + sorted(
        (d for d, (_, _, own) in enumerate(dims) if own is not None), key=lambda d: dims[d][2]
    )
    shape = [array.shape[d] for d in order if dims[d][2] is not None]
    weight = np.ascontiguousarray(array.transpose(order).reshape(shape).astype(walk.dtype_of(at)))
    return walk.emit(Constant(weight, axis), [next(iter(walk.inputs))], at)


def padded(walk: Trace, at: Any, x: Laid, pairs: Sequence[tuple[int, int]], mode: str, fill: float) -> Laid:
    """The tensor with (before, after) more entries per dim, or less where they are negative; `mode`: constant, or a PadWith's."""
    laid = settled(walk, at, x)
    rank = len(laid.dims)
    for dim, (before, after) in enumerate(pairs):
        # A negative amount cuts.
        if before < 0 or after < 0:
            laid = picked(walk, at, laid, dim, range(max(-before, 0), laid.shape[dim] - max(-after, 0)))
    pairs = [(max(before, 0), max(after, 0)) for before, after in pairs]
    if not any(map(any, pairs)):
        return laid
    natural = natural_channel(walk, laid)
    order = list(range(rank))
    if natural is not None and natural > 1:
        order = [0, natural, *(d for d in order[1:] if d != natural)]
    name = walk.ref(at, replace(laid, dims=tuple(laid.dims[d] for d in order)))
    batch, channels, *spatial = (pairs[d] for d in order)
    if batch != (0, 0):
        raise walk.unsupported(at, "it pads the batch")
    if channels != (0, 0):
        if fill or mode != "constant":
            raise walk.unsupported(at, "it adds channels that are not zero")
        n = walk.values[name].channels
        index = np.concatenate([np.full(channels[0], -1), np.arange(n), np.full(channels[1], -1)])
        name = walk.emit(Select(index), [name], at)
    if any(map(any, spatial)):
        name = walk.emit(Pad(tuple(spatial), fill) if mode == "constant" else PadWith(mode, tuple(spatial)), [name], at)
    made = walk.lay(name, at)
    return replace(made, dims=tuple(made.dims[order.index(d)] for d in range(rank)))
