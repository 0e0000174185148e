"""ONNX ops that pick and join elements: slices, gathers, concatenation, padding."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from ..graph import Op, Value
from ..ops import Concat, Constant, Cut, Join, Pad, PadWith, Select, Slice, Take
from .arithmetic import common_batch, number
from .layers import embedded
from .layout import BATCH_AXIS, Laid, narrowed
from .scores import Scores
from .taking import natural_channel, settled
from .views import reshape
from .walk import Call, Walk, lower


def picked(walk: Walk, call: Call, laid: Laid, dim: int, index: range) -> Laid:
    """A part of one dim."""
    if len(index) == laid.shape[dim] and index.step == 1:
        return laid
    if not len(index):
        raise walk.unsupported(call, "nothing is left of the tensor")
    if laid.unit is not None:
        laid = settled(walk, call, laid)
    atoms = laid.dims[dim]
    if any(a.axis == BATCH_AXIS for a in atoms):
        raise walk.unsupported(call, "it takes a part of the batch")
    if index.step < 0:
        return gathered(walk, call, laid, dim, np.array(index))
    value = walk.values[laid.name]
    if len(atoms) == 1 and atoms[0].axis == value.axis:
        # Channel c is digit (c // inner) % size of the axis.
        atom = atoms[0]
        digit = np.arange(value.channels) // atom.inner % atom.size
        name = walk.emit(Select(np.flatnonzero(np.isin(digit, index)), value.axis), [laid.name], call)
        return replace(laid, name=name, dims=narrowed(laid.dims, dim, len(index)), maker=call)
    if len(atoms) == 1 and atoms[0].size == value.shape[atoms[0].axis]:
        name = walk.emit(_part(value, atoms[0].axis, index), [laid.name], call)
        return replace(laid, name=name, dims=narrowed(laid.dims, dim, len(index)), maker=call)
    # The dim is a part of an axis or several axes: make it an axis of its own first.
    name, frame = walk.take(call, laid)
    again = frame.lay(name, walk.values[name], laid.maker)
    if again == laid:
        raise walk.unsupported(call, f"it takes a part of an axis of size {laid.shape[dim]}")
    return picked(walk, call, again, dim, index)


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


@lower("Slice")
def _slice(walk: Walk, call: Call, x: Any, starts: Any, ends: Any, axes: Any = None, steps: Any = None) -> Laid:
    laid = walk.laid(call, x)
    first, last = walk.integer_list(call, starts) or [], walk.integer_list(call, ends) or []
    along = walk.integer_list(call, axes) or list(range(len(first)))
    by = walk.integer_list(call, steps) or [1] * len(first)
    for start, end, axis, step in zip(first, last, along, by, strict=True):
        dim = axis % len(laid.dims)
        n = laid.shape[dim]
        # Before the first place is what an end of less than -n means to a negative step; Python says None.
        stop = None if step < 0 and end < -n else end
        laid = picked(walk, call, laid, dim, range(n)[start:stop:step])
    return laid


@lower("Split")
def _split(walk: Walk, call: Call, x: Any, sizes: Any = None) -> list[Laid]:
    laid = walk.laid(call, x)
    dim = call.attributes.get("axis", 0) % len(laid.dims)
    n, count = laid.shape[dim], len(call.outputs)
    parts = walk.integer_list(call, sizes)
    if parts is None:
        each = -(-n // count)
        parts = [min(each, n - each * i) for i in range(count)]
    ends = np.cumsum(parts).tolist()
    return [picked(walk, call, laid, dim, range(end - part, end)) for end, part in zip(ends, parts, strict=True)]


@lower("Gather")
def _gather(walk: Walk, call: Call, x: Any, index: Any) -> Any:
    axis = call.attributes.get("axis", 0)
    if isinstance(x, np.ndarray):
        if axis % x.ndim != 0:
            raise walk.unsupported(call, "it looks up rows along another axis than the first")
        return embedded(walk, call, x, index)
    laid = walk.laid(call, x)
    if not isinstance(index, np.ndarray):
        raise walk.unsupported(call, "which elements it takes depends on the input")
    dim = axis % len(laid.dims)
    listed = index.astype(np.int64)
    listed = np.where(listed < 0, listed + laid.shape[dim], listed)
    if listed.ndim == 0:
        part = picked(walk, call, laid, dim, range(int(listed), int(listed) + 1))
        return replace(part, dims=tuple(d for i, d in enumerate(part.dims) if i != dim), maker=call)
    flat = listed.reshape(-1)
    steps = np.diff(flat)
    if len(flat) > 1 and (steps == steps[0]).all() and steps[0] > 0:
        made = picked(walk, call, laid, dim, range(int(flat[0]), int(flat[-1]) + 1, int(steps[0])))
    else:
        made = gathered(walk, call, laid, dim, flat)
    return reshape(walk, call, made, (*made.shape[:dim], *listed.shape, *made.shape[dim + 1 :])) if listed.ndim > 1 else made


@lower("Tile")
def _tile(walk: Walk, call: Call, x: Any, repeats: Any) -> Laid:
    laid = walk.laid(call, x)
    for dim, count in enumerate(walk.integer_list(call, repeats) or ()):
        if count > 1:
            laid = gathered(walk, call, laid, dim, np.tile(np.arange(laid.shape[dim]), count))
    return laid


def gathered(walk: Walk, call: Call, x: Laid, dim: int, index: Any) -> Laid:
    """The entries of one dim that a constant list names."""
    if not walk.batch:
        free = next((i for i, d in enumerate(x.dims) if not d and i != dim), None)
        name, frame = walk.take(call, x, None if natural_channel(walk, x) is not None else dim, free)
    else:
        name, frame = walk.take(call, x)
    value = walk.values[name]
    _, has_batch, axis = frame.dims[dim]
    if has_batch or axis is None:
        raise walk.unsupported(call, "it takes a part of the batch")
    op = Select(index, axis) if axis == value.axis else Take(index, axis)
    made = walk.emit(op, [name], call)
    return frame.lay(made, walk.values[made], call)


@lower("Concat")
def _concat(walk: Walk, call: Call, *parts: Any) -> Laid:
    """Tensors one after the other along a dim; constant ones become nodes of their own."""
    if any(isinstance(p, Scores) for p in parts):
        raise walk.unsupported(call, "it joins attention scores")
    # An empty tensor has no say.
    given = [p for p in parts if isinstance(p, Laid) or p.size]
    laids = [settled(walk, call, walk.laid(call, p)) for p in given if isinstance(p, Laid)]
    rank = len(laids[0].dims)
    dim = call.attributes["axis"] % rank
    natural = [natural_channel(walk, p) for p in laids]
    named = [c for c in natural if c is not None]
    channel = named[0] if named else rank - 1
    if named and any(p.shape[channel] == 1 for p in laids):
        channel = next((c for c, p in zip(natural, laids, strict=True) if c is not None and p.shape[c] > 1), channel)
    batch_at = common_batch(walk, laids, channel, dim)
    taken = [walk.take(call, p, channel, batch_at) for p in laids]
    frame = taken[0][1]
    if any(f.dims != frame.dims for _, f in taken):
        raise walk.unsupported(call, "the batch is not on the same axis of all it joins")
    _, has_batch, along = frame.dims[dim]
    if has_batch or along is None:
        raise walk.unsupported(call, "it joins along the batch")
    names = iter(name for name, _ in taken)
    axis = walk.values[taken[0][0]].axis
    inputs = [next(names) if isinstance(p, Laid) else _stored(walk, call, p, frame.dims, axis) for p in given]
    made = walk.emit(Concat() if along == axis == 0 else Join(along, axis), inputs, call)
    return frame.lay(made, walk.values[made], call)


def _stored(walk: Walk, call: Call, array: Any, dims: Any, axis: int) -> str:
    """A constant as a value of the axes that `dims` (of a Frame) tell."""
    for dim, (_, has_batch, own) in enumerate(dims):
        if has_batch:
            if own is not None or not (array == array.take([0], dim)).all():
                raise walk.unsupported(call, "it joins a constant that differs along the batch")
            array = array.take([0], dim)
    order = [d for d, (_, _, own) in enumerate(dims) if own is None] + sorted(
        (d for d, (_, _, own) in enumerate(dims) if own is not None), key=lambda d: dims[d][2]
    )
    shape = [array.shape[d] for d in order if dims[d][2] is not None]
    weight = np.ascontiguousarray(array.transpose(order).reshape(shape).astype(walk.dtype))
    return walk.emit(Constant(weight, axis), [next(iter(walk.inputs))], call)


MODES = {"reflect": "reflect", "edge": "replicate", "wrap": "circular"}


@lower("Pad")
def _pad(walk: Walk, call: Call, x: Any, amount: Any, fill: Any = None, axes: Any = None) -> Laid:
    laid = settled(walk, call, walk.laid(call, x))
    rank = len(laid.dims)
    flat = walk.integer_list(call, amount) or []
    along = walk.integer_list(call, axes) or list(range(len(flat) // 2))
    pairs = [(0, 0)] * rank
    for axis, before, after in zip(along, flat[: len(along)], flat[len(along) :], strict=True):
        pairs[axis % rank] = (before, after)
    mode, value = call.attributes.get("mode", "constant"), 0.0 if fill is None else number(fill)
    if value is None:
        raise walk.unsupported(call, "what it pads with depends on the input")
    for dim, (before, after) in enumerate(pairs):
        # A negative amount cuts.
        if before < 0 or after < 0:
            laid = picked(walk, call, laid, dim, range(max(-before, 0), laid.shape[dim] - max(-after, 0)))
    pairs = [(max(before, 0), max(after, 0)) for before, after in pairs]
    if not any(map(any, pairs)):
        return laid
    natural = natural_channel(walk, laid)
    order = list(range(rank))
    if natural is not None and natural > 1:
        order = [0, natural, *(d for d in order[1:] if d != natural)]
    name = walk.ref(call, replace(laid, dims=tuple(laid.dims[d] for d in order)))
    batch, channels, *spatial = (pairs[d] for d in order)
    if batch != (0, 0):
        raise walk.unsupported(call, "it pads the batch")
    if channels != (0, 0):
        if value or mode != "constant":
            raise walk.unsupported(call, "it adds channels that are not zero")
        n = walk.values[name].channels
        index = np.concatenate([np.full(channels[0], -1), np.arange(n), np.full(channels[1], -1)])
        name = walk.emit(Select(index), [name], call)
    if any(map(any, spatial)):
        name = walk.emit(_padding(walk, call, mode, tuple(spatial), value), [name], call)
    made = walk.lay(name, call)
    return replace(made, dims=tuple(made.dims[order.index(d)] for d in range(rank)))


def _padding(walk: Walk, call: Call, mode: str, amount: Any, fill: float) -> Op:
    if mode == "constant":
        return Pad(amount, fill)
    if mode not in MODES:
        raise walk.unsupported(call, f"pad mode {mode!r}; use constant, reflect, edge or wrap")
    return PadWith(MODES[mode], amount)
