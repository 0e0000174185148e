"""ATen ops that move elements: reshapes, slices, padding, concatenation."""

from __future__ import annotations

from typing import Any

import numpy as np
from torch import fx

from ..ops import Concat, Flatten, Pad, Select, Slice
from .walk import BATCH, Ref, Walk, lower


def target_shape(walk: Walk, node: fx.Node) -> tuple[int, ...]:
    """The shape of what the node makes, without the batch axis."""
    shape = tuple(int(n) for n in node.meta["val"].shape)
    if not shape or shape[0] != BATCH:
        raise walk.unsupported(node, "it moves the batch away from the first axis")
    return shape[1:]


@lower("flatten", "view", "reshape", "_unsafe_view", "squeeze", "unsqueeze")
def _reshape(walk: Walk, node: fx.Node, a: dict[str, Any]) -> Ref:
    x = walk.ref(node, a["self"])
    before, after = walk.value(x), target_shape(walk, node)
    if after == before.shape:
        return x
    if before.axis == 0 and after == (before.channels * before.positions,):
        return walk.emit(Flatten(), [x], node)
    raise walk.unsupported(node, f"a reshape of {before.shape} to {after} mixes channels with positions")


@lower("cat")
def _cat(walk: Walk, node: fx.Node, a: dict[str, Any]) -> Ref:
    refs = [walk.ref(node, r) for r in a["tensors"]]
    rank = len(walk.value(refs[0]).shape) + 1
    if a["dim"] % rank != 1 or any(walk.value(r).axis != 0 for r in refs):
        raise walk.unsupported(node, f"it joins along axis {a['dim']}, which is not the channels'")
    return walk.emit(Concat(), refs, node)


@lower("slice")
def _slice(walk: Walk, node: fx.Node, a: dict[str, Any]) -> Ref:
    x = walk.ref(node, a["self"])
    value = walk.value(x)
    axis = a["dim"] % (len(value.shape) + 1) - 1
    size = BATCH if axis < 0 else value.shape[axis]
    start, stop, step = slice(a["start"], a["end"], a["step"]).indices(size)
    if axis < 0:
        if (start, stop, step) != (0, BATCH, 1):
            raise walk.unsupported(node, "it takes a part of the batch")
        return x
    if (start, stop, step) == (0, size, 1):
        return x
    if axis == value.axis:
        return walk.emit(Select(np.arange(start, stop, step), axis), [x], node)
    if value.axis != 0:
        raise walk.unsupported(node, "it slices a value whose channels are not on the first axis")
    axes = len(value.shape) - 1
    starts, stops, steps = [0] * axes, [None] * axes, [1] * axes
    # A stop at the end stays open, so that the slice means the same at another input size.
    starts[axis - 1], steps[axis - 1] = start, step
    open_stops: list[int | None] = list(stops)
    open_stops[axis - 1] = None if stop == size else stop
    return walk.emit(Slice(tuple(starts), tuple(open_stops), tuple(steps)), [x], node)


@lower("chunk", "split", "split_with_sizes")
def _split(walk: Walk, node: fx.Node, a: dict[str, Any]) -> list[Ref]:
    x = walk.ref(node, a["self"])
    value = walk.value(x)
    if a["dim"] % (len(value.shape) + 1) - 1 != value.axis:
        raise walk.unsupported(node, f"it splits axis {a['dim']}, which is not the channels'")
    sizes = [int(part.shape[value.axis + 1]) for part in node.meta["val"]]
    ends = np.cumsum(sizes)
    return [walk.emit(Select(np.arange(e - n, e), value.axis), [x], node) for n, e in zip(sizes, ends, strict=True)]


@lower("pad", "constant_pad_nd")
def _pad(walk: Walk, node: fx.Node, a: dict[str, Any]) -> Ref:
    x = walk.ref(node, a["self"])
    value = walk.value(x)
    if a.get("mode", "constant") != "constant":
        raise walk.unsupported(node, f"pad mode {a['mode']!r}")
    if value.axis != 0:
        raise walk.unsupported(node, "it pads a value whose channels are not on the first axis")
    fill = float(a.get("value") or 0.0)
    pairs = list(zip(a["pad"][::2], a["pad"][1::2], strict=True))[::-1]
    pairs = [(0, 0)] * (len(value.shape) + 1 - len(pairs)) + pairs
    batch, channels, *spatial = pairs
    if batch != (0, 0) or any(n < 0 for p in pairs for n in p):
        raise walk.unsupported(node, "it pads the batch, or by a negative amount")
    if channels != (0, 0):
        if fill:
            raise walk.unsupported(node, "it adds channels that are not zero")
        index = np.concatenate([np.full(channels[0], -1), np.arange(value.channels), np.full(channels[1], -1)])
        x = walk.emit(Select(index), [x], node)
    if any(p != (0, 0) for p in spatial):
        x = walk.emit(Pad(tuple(spatial), fill), [x], node)
    return x
