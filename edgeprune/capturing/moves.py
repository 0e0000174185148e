"""ATen ops that pick, join and shift elements: slices, concatenation, padding, rolls."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import fx

from ..graph import Op, Value
from ..ops import Concat, Constant, Cut, Join, Pad, PadWith, Roll, Select, Slice, Take
from ..ops.conv import Pads
from .arithmetic import numbers
from .layout import BATCH_AXIS, Laid, narrowed
from .naming import base_name
from .taking import natural_channel, settled
from .walk import Walk, lower


def picked(walk: Walk, node: fx.Node, laid: Laid, dim: int, index: range) -> Laid:
    """A part of one dim."""
    if laid.unit is not None:
        laid = settled(walk, node, laid)
    dim %= len(laid.dims)
    atoms = laid.dims[dim]
    if len(index) == laid.shape[dim] and index.step == 1:
        return laid
    if any(a.axis == BATCH_AXIS for a in atoms):
        raise walk.unsupported(node, "it takes a part of the batch")
    value = walk.values[laid.name]
    if len(atoms) == 1 and atoms[0].axis == value.axis:
        # Channel c is digit (c // inner) % size of the axis.
        atom = atoms[0]
        digit = np.arange(value.channels) // atom.inner % atom.size
        chosen = np.flatnonzero(np.isin(digit, index))
        if index.step < 0:
            raise walk.unsupported(node, "it turns channels around")
        name = walk.emit(Select(chosen, value.axis), [laid.name], node)
        return replace(laid, name=name, dims=narrowed(laid.dims, dim, len(index)), maker=node)
    if len(atoms) == 1 and atoms[0].size == value.shape[atoms[0].axis]:
        axis = atoms[0].axis
        name = walk.emit(_part(value, axis, index), [laid.name], node)
        return replace(laid, name=name, dims=narrowed(laid.dims, dim, len(index)), maker=node)
    # The dim is a part of an axis or several axes: make it an axis of its own first.
    name, frame = walk.take(node, laid)
    again = frame.lay(name, walk.values[name], laid.maker)
    if again == laid:
        raise walk.unsupported(node, f"it takes a part of an axis of size {laid.shape[dim]}")
    return picked(walk, node, again, dim, index)


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


@lower("slice", "narrow")
def _slice(walk: Walk, node: fx.Node, a: dict[str, Any]) -> Laid:
    x = walk.laid(node, a["self"])
    dim = a["dim"] % len(x.dims)
    n = x.shape[dim]
    if "length" in a:
        index = range(n)[a["start"] : a["start"] + a["length"]]
    else:
        index = range(n)[slice(a["start"], a["end"], a["step"])]
    return picked(walk, node, x, dim, index)


@lower("select")
def _select(walk: Walk, node: fx.Node, a: dict[str, Any]) -> Laid:
    x = walk.laid(node, a["self"])
    dim = a["dim"] % len(x.dims)
    at = a["index"] % x.shape[dim]
    part = picked(walk, node, x, dim, range(at, at + 1))
    return replace(part, dims=tuple(d for i, d in enumerate(part.dims) if i != dim), maker=node)


@lower("unbind")
def _unbind(walk: Walk, node: fx.Node, a: dict[str, Any]) -> list[Laid]:
    x = walk.laid(node, a["self"])
    return [_select(walk, node, {"self": x, "dim": a["dim"], "index": i}) for i in range(x.shape[a["dim"]])]


@lower("chunk", "split", "split_with_sizes", "tensor_split")
def _split(walk: Walk, node: fx.Node, a: dict[str, Any]) -> list[Laid]:
    x = walk.laid(node, a["self"])
    dim = a["dim"] % len(x.dims)
    ends = np.cumsum([int(part.shape[dim]) for part in node.meta["val"]])
    starts = [0, *ends[:-1]]
    return [picked(walk, node, x, dim, range(int(s), int(e))) for s, e in zip(starts, ends, strict=True)]


@lower("index_select")
def _index_select(walk: Walk, node: fx.Node, a: dict[str, Any]) -> Laid:
    return gathered(walk, node, walk.laid(node, a["self"]), a["dim"], a["index"])


@lower("index")
def _index(walk: Walk, node: fx.Node, a: dict[str, Any]) -> Laid:
    x = walk.laid(node, a["self"])
    viewed = _all_in_order(x, a["indices"], node.meta["val"].ndim)
    if viewed is not None:
        return viewed
    used = [i for i, index in enumerate(a["indices"]) if index is not None]
    if len(used) != 1 or not isinstance(a["indices"][used[0]], torch.Tensor) or a["indices"][used[0]].ndim != 1:
        raise walk.unsupported(node, "it picks elements by more than one constant list along one axis")
    index = a["indices"][used[0]]
    if index.dtype == torch.bool:
        index = index.nonzero()[:, 0]
    return gathered(walk, node, x, used[0], index)


def _all_in_order(x: Laid, indices: list[Any], rank: int) -> Laid | None:
    """What picks every entry once by lists that each lie along an axis of their own: a view of the whole, else None."""
    if len(indices) != len(x.dims) or not all(isinstance(index, torch.Tensor) for index in indices):
        return None
    dims: list[Any] = [()] * rank
    last = -1
    for index, dim, n in zip(indices, x.dims, x.shape, strict=True):
        along = [d + rank - index.ndim for d, size in enumerate(index.shape) if size > 1]
        if index.dtype == torch.bool or not torch.equal(index.reshape(-1), torch.arange(n)) or len(along) != (n > 1):
            return None
        if along:
            if along[0] <= last:
                return None
            last = along[0]
            dims[last] = dim
    return replace(x, dims=tuple(dims))


@lower("flip")
def _flip(walk: Walk, node: fx.Node, a: dict[str, Any]) -> Laid:
    x = walk.laid(node, a["self"])
    for dim in a["dims"]:
        x = gathered(walk, node, x, dim, torch.arange(x.shape[dim] - 1, -1, -1))
    return x


@lower("repeat", "tile", "repeat_interleave")
def _repeat(walk: Walk, node: fx.Node, a: dict[str, Any]) -> Laid:
    x = walk.laid(node, a["self"])
    if base_name(node) == "repeat_interleave":
        if not isinstance(a["repeats"], int) or a["dim"] is None:
            raise walk.unsupported(node, "it repeats elements by different numbers")
        return gathered(walk, node, x, a["dim"], torch.arange(x.shape[a["dim"]]).repeat_interleave(a["repeats"]))
    times = list(a["repeats"] if "repeats" in a else a["dims"])
    x = replace(x, dims=((),) * (len(times) - len(x.dims)) + x.dims)
    times = [1] * (len(x.dims) - len(times)) + times
    for dim, count in enumerate(times):
        if count > 1:
            x = gathered(walk, node, x, dim, torch.arange(x.shape[dim]).repeat(count))
    return x


def gathered(walk: Walk, node: fx.Node, x: Laid, dim: int, index: Any) -> Laid:
    """The entries of one dim that a constant list names."""
    if not isinstance(index, torch.Tensor):
        raise walk.unsupported(node, "which elements it takes depends on the input")
    dim %= len(x.dims)
    listed = index.detach().cpu().numpy().astype(np.int64) % x.shape[dim]
    name, frame = walk.take(node, x)
    value = walk.values[name]
    _, has_batch, axis = frame.dims[dim]
    if has_batch or axis is None:
        raise walk.unsupported(node, "it takes a part of the batch")
    op = Select(listed, axis) if axis == value.axis else Take(listed, axis)
    made = walk.emit(op, [name], node)
    return frame.lay(made, walk.values[made], node)


@lower("cat", "concat", "concatenate")
def _cat(walk: Walk, node: fx.Node, a: dict[str, Any]) -> Laid:
    return joined_along(walk, node, list(a["tensors"]), a["dim"])


@lower("stack")
def _stack(walk: Walk, node: fx.Node, a: dict[str, Any]) -> Laid:
    rank = len(node.meta["val"].shape)
    dim = a["dim"] % rank
    parts: list[Any] = []
    for part in a["tensors"]:
        if isinstance(part, torch.Tensor):
            parts.append(part.unsqueeze(dim))
        else:
            laid = walk.laid(node, part)
            parts.append(replace(laid, dims=(*laid.dims[:dim], (), *laid.dims[dim:])))
    return joined_along(walk, node, parts, dim)


def joined_along(walk: Walk, node: fx.Node, parts: list[Any], dim: int) -> Laid:
    """Tensors one after the other along a dim; constant ones become nodes of their own."""
    rank = len(node.meta["val"].shape)
    dim %= rank
    laids = [p for p in parts if isinstance(p, Laid)]
    if not laids or any(not isinstance(p, Laid | torch.Tensor) for p in parts):
        raise walk.unsupported(node, "it joins attention scores or lengths")
    # An empty tensor has no say.
    parts = [p for p in parts if isinstance(p, Laid) or p.numel()]
    natural = [c for c in (natural_channel(walk, p) for p in laids) if c is not None]
    channel = natural[0] if natural else rank - 1
    if any(p.shape[channel] == 1 for p in laids) and natural:
        channel = next((c for c, p in zip(natural, laids, strict=False) if p.shape[c] > 1), channel)
    taken = [walk.take(node, p, channel) for p in laids]
    frame = taken[0][1]
    if any(f.dims != frame.dims for _, f in taken):
        raise walk.unsupported(node, "the batch is not on the same axis of all it joins")
    _, has_batch, along = frame.dims[dim]
    if has_batch or along is None:
        raise walk.unsupported(node, "it joins along the batch")
    names = iter(name for name, _ in taken)
    axis = walk.values[taken[0][0]].axis
    inputs = [next(names) if isinstance(p, Laid) else _stored(walk, node, p, frame.dims, axis) for p in parts]
    op = Concat() if along == axis == 0 else Join(along, axis)
    made = walk.emit(op, inputs, node)
    return frame.lay(made, walk.values[made], node)


def _stored(walk: Walk, node: fx.Node, tensor: torch.Tensor, dims: Any, axis: int) -> str:
    """A constant tensor as a value of the axes that `dims` (of a Frame) tell."""
    array = numbers(node, tensor)
    for dim, (_, has_batch, own) in enumerate(dims):
        if has_batch:
            if own is not None or not (array == array.take([0], dim)).all():
                raise walk.unsupported(node, "it joins a constant that differs along the batch")
            array = array.take([0], dim)
    order = [d for d, (_, _, own) in enumerate(dims) if own is None] + sorted(
        (d for d, (_, _, own) in enumerate(dims) if own is not None), key=lambda d: dims[d][2]
    )
    shape = [array.shape[d] for d in order if dims[d][2] is not None]
    weight = np.ascontiguousarray(array.transpose(order).reshape(shape))
    return walk.emit(Constant(weight, axis), [next(iter(walk.inputs))], node)


def channels_first(walk: Walk, laid: Laid) -> tuple[Laid, list[int]]:
    """The tensor with its channels on dim 1, and the permutation that brings them there."""
    natural = natural_channel(walk, laid)
    order = list(range(len(laid.dims)))
    if natural is not None and natural > 1:
        order = [0, natural, *(d for d in order[1:] if d != natural)]
    return replace(laid, dims=tuple(laid.dims[d] for d in order)), order


@lower("pad", "constant_pad_nd")
def _pad(walk: Walk, node: fx.Node, a: dict[str, Any]) -> Laid:
    x = settled(walk, node, walk.laid(node, a["self"]))
    rank = len(x.dims)
    pairs = list(zip(a["pad"][::2], a["pad"][1::2], strict=True))[::-1]
    pairs = [(0, 0)] * (rank - len(pairs)) + pairs
    if not any(any(p) for p in pairs):
        return x
    mode = a.get("mode", "constant")
    fill = float(a.get("value") or 0.0)
    for dim, (before, after) in enumerate(pairs):
        # A negative amount cuts.
        if before < 0 or after < 0:
            n = x.shape[dim]
            x = picked(walk, node, x, dim, range(max(-before, 0), n - max(-after, 0)))
    first, order = channels_first(walk, x)
    batch, channels, *spatial = [(max(pairs[d][0], 0), max(pairs[d][1], 0)) for d in order]
    if batch != (0, 0):
        raise walk.unsupported(node, "it pads the batch")
    name = walk.ref(node, first)
    if channels != (0, 0):
        if fill or mode != "constant":
            raise walk.unsupported(node, "it adds channels that are not zero")
        n = walk.values[name].channels
        index = np.concatenate([np.full(channels[0], -1), np.arange(n), np.full(channels[1], -1)])
        name = walk.emit(Select(index), [name], node)
    if any(p != (0, 0) for p in spatial):
        name = walk.emit(padding(walk, node, mode, tuple(spatial), fill), [name], node)
    laid = walk.lay(name, node)
    back = [order.index(d) for d in range(rank)]
    return replace(laid, dims=tuple(laid.dims[d] for d in back))


def padding(walk: Walk, node: fx.Node, mode: str, amount: Pads, fill: float) -> Op:
    """The op that pads the spatial axes."""
    if mode == "constant":
        return Pad(amount, fill)
    if mode not in ("reflect", "replicate", "circular"):
        raise walk.unsupported(node, f"pad mode {mode!r}; use constant, reflect, replicate or circular")
    return PadWith(mode, amount)


PAD_MODES = {"reflection": "reflect", "replication": "replicate", "_pad_circular": "circular"}


@lower("reflection_pad1d", "reflection_pad2d", "reflection_pad3d", "replication_pad1d", "replication_pad2d", "replication_pad3d",
       "_pad_circular")  # fmt: skip
def _pad_with(walk: Walk, node: fx.Node, a: dict[str, Any]) -> Laid:
    name = base_name(node)
    mode = next(mode for start, mode in PAD_MODES.items() if name.startswith(start))
    return _pad(walk, node, {"self": a["self"], "pad": a.get("padding", a.get("pad")), "mode": mode})


@lower("roll")
def _roll(walk: Walk, node: fx.Node, a: dict[str, Any]) -> Laid:
    x = walk.laid(node, a["self"])
    if not a["dims"]:
        raise walk.unsupported(node, "it rolls the tensor as one line")
    name, frame = walk.take(node, x)
    value = walk.values[name]
    shifts = [0] * len(value.shape)
    for dim, shift in zip(a["dims"], a["shifts"], strict=True):
        _, has_batch, axis = frame.dims[dim]
        if has_batch or axis is None:
            raise walk.unsupported(node, "it rolls the batch")
        shifts[axis] += shift
    turned = shifts[value.axis]
    shifts[value.axis] = 0
    if turned:
        index = np.roll(np.arange(value.channels), turned)
        name = walk.emit(Select(index, value.axis), [name], node)
    if any(shifts):
        name = walk.emit(Roll(tuple(shifts)), [name], node)
    return frame.lay(name, walk.values[name], node)
