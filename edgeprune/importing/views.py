"""ONNX ops that look at the same elements otherwise: they make no node, they change the layout."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from ..graph import Shape
from .layout import STRETCHED, Atom, Dims, Laid, reshaped
from .scores import Scores
from .walk import Call, Walk, lower


def shape_of(x: Any) -> Shape:
    """The shape of a constant or of a tensor that depends on the input."""
    if isinstance(x, np.ndarray):
        return x.shape
    return tuple(math.prod(a.size for a in d) for d in x.dims)


def viewed(walk: Walk, call: Call, x: Any, change: Callable[[Dims], Dims | None], why: str) -> Any:
    """A value or attention scores in another layout."""
    if not isinstance(x, Scores):
        x = walk.laid(call, x, integers=True)
    dims = change(x.dims)
    if dims is None:
        raise walk.unsupported(call, why)
    return replace(x, dims=dims, maker=call) if isinstance(x, Laid) else replace(x, dims=dims)


def reshape(walk: Walk, call: Call, x: Any, shape: Shape) -> Any:
    before = shape_of(x)
    if math.prod(before) != math.prod(shape):
        batch = " (its batch is open: a number that stands for one batch size cannot be in it)" if walk.batch else ""
        raise walk.unsupported(call, f"it reshapes {before} to {shape}{batch}")
    if isinstance(x, Laid) and reshaped(x.dims, shape) is None:
        # The cut runs across factors that earlier reshapes left: give every dim an axis of its own, then cut that.
        name, frame = walk.take(call, x)
        x = frame.lay(name, walk.values[name], x.maker)
    why = f"a reshape of {before} to {shape} does not keep its axes' factors apart"
    return viewed(walk, call, x, lambda dims: reshaped(dims, shape), why)


@lower("Reshape")
def _reshape(walk: Walk, call: Call, x: Any, wanted: Any) -> Any:
    before = shape_of(x)
    sizes = walk.integer_list(call, wanted) or []
    if not call.attributes.get("allowzero"):
        sizes = [before[i] if n == 0 else n for i, n in enumerate(sizes)]
    if -1 in sizes:
        rest = math.prod(n for n in sizes if n != -1)
        sizes = [math.prod(before) // max(rest, 1) if n == -1 else n for n in sizes]
    return reshape(walk, call, x, tuple(sizes))


@lower("Flatten")
def _flatten(walk: Walk, call: Call, x: Any) -> Any:
    before = shape_of(x)
    axis = call.attributes.get("axis", 1)
    axis = axis + len(before) if axis < 0 else axis
    return reshape(walk, call, x, (math.prod(before[:axis]), math.prod(before[axis:])))


@lower("Transpose")
def _transpose(walk: Walk, call: Call, x: Any) -> Any:
    order = call.attributes.get("perm") or range(len(shape_of(x)))[::-1]
    return viewed(walk, call, x, lambda dims: tuple(dims[i] for i in order), "")


@lower("Squeeze")
def _squeeze(walk: Walk, call: Call, x: Any, axes: Any = None) -> Any:
    shape = shape_of(x)
    listed = walk.integer_list(call, axes, "axes")
    if listed is None:
        if not walk.batch and len(shape) and shape[0] == 1:
            raise walk.unsupported(call, "it drops all axes of size 1, the batch too; name the axes")
        listed = [i for i, n in enumerate(shape) if n == 1]
    gone = {i % len(shape) for i in listed}
    if any(shape[i] != 1 for i in gone):
        raise walk.unsupported(call, f"it drops axes {sorted(gone)} of a tensor of shape {shape}")
    return viewed(walk, call, x, lambda dims: tuple(d for i, d in enumerate(dims) if i not in gone), "")


@lower("Unsqueeze")
def _unsqueeze(walk: Walk, call: Call, x: Any, axes: Any = None) -> Any:
    listed = walk.integer_list(call, axes, "axes") or []
    rank = len(shape_of(x)) + len(listed)
    new = {i % rank for i in listed}

    def change(dims: Dims) -> Dims:
        rest = iter(dims)
        return tuple(() if i in new else next(rest) for i in range(rank))

    return viewed(walk, call, x, change, "")


@lower("Expand")
def _expand(walk: Walk, call: Call, x: Any, wanted: Any) -> Any:
    sizes = tuple(walk.integer_list(call, wanted) or ())
    shape = np.broadcast_shapes(shape_of(x), sizes)

    def change(dims: Dims) -> Dims:
        dims = ((),) * (len(shape) - len(dims)) + dims
        return tuple(d if n == 1 or d else (Atom(STRETCHED, n, 0),) for d, n in zip(dims, shape, strict=True))

    return viewed(walk, call, x, change, "")


@lower("DepthToSpace")
def _depth_to_space(walk: Walk, call: Call, x: Any) -> Any:
    b, c, h, w = shape_of(x)
    r = call.attributes["blocksize"]
    if call.attributes.get("mode", "DCR") == "CRD":
        split, order = (b, c // r**2, r, r, h, w), (0, 1, 4, 2, 5, 3)
    else:
        split, order = (b, r, r, c // r**2, h, w), (0, 3, 4, 1, 5, 2)
    return _moved(walk, call, x, split, order, (b, c // r**2, h * r, w * r))


@lower("SpaceToDepth")
def _space_to_depth(walk: Walk, call: Call, x: Any) -> Any:
    b, c, h, w = shape_of(x)
    r = call.attributes["blocksize"]
    return _moved(walk, call, x, (b, c, h // r, r, w // r, r), (0, 3, 5, 1, 2, 4), (b, c * r**2, h // r, w // r))


def _moved(walk: Walk, call: Call, x: Any, split: Shape, order: Shape, shape: Shape) -> Any:
    parts = reshape(walk, call, x, split)
    turned = viewed(walk, call, parts, lambda dims: tuple(dims[i] for i in order), "")
    return reshape(walk, call, turned, shape)
