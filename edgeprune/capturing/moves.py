"""ATen ops that pick, join and shift elements: slices, concatenation, padding, rolls."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import fx

from ..laying.layout import Laid
from ..laying.moves import gathered, in_parts, joined_along, one_of, padded, picked
from ..ops import Roll, Select
from .naming import base_name
from .walk import Walk, lower


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
    return one_of(walk, node, x, dim, a["index"] % x.shape[dim])


@lower("unbind")
def _unbind(walk: Walk, node: fx.Node, a: dict[str, Any]) -> list[Laid]:
    x = walk.laid(node, a["self"])
    dim = a["dim"] % len(x.dims)
    return [one_of(walk, node, x, dim, i) for i in range(x.shape[dim])]


@lower("chunk", "split", "split_with_sizes", "tensor_split")
def _split(walk: Walk, node: fx.Node, a: dict[str, Any]) -> list[Laid]:
    x = walk.laid(node, a["self"])
    dim = a["dim"] % len(x.dims)
    return in_parts(walk, node, x, dim, [int(part.shape[dim]) for part in node.meta["val"]])


@lower("index_select")
def _index_select(walk: Walk, node: fx.Node, a: dict[str, Any]) -> Laid:
    return _gathered(walk, node, walk.laid(node, a["self"]), a["dim"], a["index"])


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
    return _gathered(walk, node, x, used[0], index)


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
        x = _gathered(walk, node, x, dim, torch.arange(x.shape[dim] - 1, -1, -1))
    return x


@lower("repeat", "tile", "repeat_interleave")
def _repeat(walk: Walk, node: fx.Node, a: dict[str, Any]) -> Laid:
    x = walk.laid(node, a["self"])
    if base_name(node) == "repeat_interleave":
        if not isinstance(a["repeats"], int) or a["dim"] is None:
            raise walk.unsupported(node, "it repeats elements by different numbers")
        return _gathered(walk, node, x, a["dim"], torch.arange(x.shape[a["dim"]]).repeat_interleave(a["repeats"]))
    times = list(a["repeats"] if "repeats" in a else a["dims"])
    x = replace(x, dims=((),) * (len(times) - len(x.dims)) + x.dims)
    times = [1] * (len(x.dims) - len(times)) + times
    for dim, count in enumerate(times):
        if count > 1:
            x = _gathered(walk, node, x, dim, torch.arange(x.shape[dim]).repeat(count))
    return x


def _gathered(walk: Walk, node: fx.Node, x: Laid, dim: int, index: Any) -> Laid:
    if not isinstance(index, torch.Tensor):
        raise walk.unsupported(node, "which elements it takes depends on the input")
    dim %= len(x.dims)
    return gathered(walk, node, x, dim, walk.constant(index).astype(np.int64) % x.shape[dim])


@lower("cat", "concat", "concatenate")
def _cat(walk: Walk, node: fx.Node, a: dict[str, Any]) -> Laid:
    return joined_along(walk, node, [walk.constant(part) for part in a["tensors"]], a["dim"])


@lower("stack")
def _stack(walk: Walk, node: fx.Node, a: dict[str, Any]) -> Laid:
    rank = len(node.meta["val"].shape)
    dim = a["dim"] % rank
    parts: list[Any] = []
    for part in a["tensors"]:
        if isinstance(part, torch.Tensor):
            parts.append(walk.constant(part.unsqueeze(dim)))
        else:
            laid = walk.laid(node, part)
            parts.append(replace(laid, dims=(*laid.dims[:dim], (), *laid.dims[dim:])))
    return joined_along(walk, node, parts, dim)


@lower("pad", "constant_pad_nd")
def _pad(walk: Walk, node: fx.Node, a: dict[str, Any]) -> Laid:
    x = walk.laid(node, a["self"])
    rank = len(x.dims)
    pairs = list(zip(a["pad"][::2], a["pad"][1::2], strict=True))[::-1]
    pairs = [(0, 0)] * (rank - len(pairs)) + pairs
    mode = a.get("mode", "constant")
    return padded(walk, node, x, pairs, mode, float(a.get("value") or 0.0))


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
