"""ONNX ops that pick and join elements: slices, gathers, concatenation, padding."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..laying.arithmetic import number
from ..laying.layout import Laid
from ..laying.moves import gathered, in_parts, joined_along, one_of, padded, picked
from ..laying.views import reshape
from .layers import embedded
from .walk import Call, Walk, lower


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
    return in_parts(walk, call, laid, dim, parts)


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
        return one_of(walk, call, laid, dim, int(listed))
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


@lower("Concat")
def _concat(walk: Walk, call: Call, *parts: Any) -> Laid:
    return joined_along(walk, call, parts, call.attributes["axis"])


MODES = {"constant": "constant", "reflect": "reflect", "edge": "replicate", "wrap": "circular"}


@lower("Pad")
def _pad(walk: Walk, call: Call, x: Any, amount: Any, fill: Any = None, axes: Any = None) -> Laid:
    laid = walk.laid(call, x)
    rank = len(laid.dims)
    flat = walk.integer_list(call, amount) or []
    along = walk.integer_list(call, axes) or list(range(len(flat) // 2))
    pairs = [(0, 0)] * rank
    for axis, before, after in zip(along, flat[: len(along)], flat[len(along) :], strict=True):
        pairs[axis % rank] = (before, after)
    mode, value = call.attributes.get("mode", "constant"), 0.0 if fill is None else number(fill)
    if value is None:
        raise walk.unsupported(call, "what it pads with depends on the input")
    if mode not in MODES:
        raise walk.unsupported(call, f"pad mode {mode!r}; use {', '.join(MODES)}")
    return padded(walk, call, laid, pairs, MODES[mode], value)
