"""ONNX ops that look at the same elements otherwise: they make no node, they change the layout."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..laying.layout import Dims
from ..laying.views import expanded, permuted, reshape, shape_of, shuffled, viewed
from .walk import Call, Walk, lower


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
    return permuted(walk, call, x, order)


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
    return viewed(walk, call, x, lambda dims: tuple(d for i, d in enumerate(dims) if i not in gone))


@lower("Unsqueeze")
def _unsqueeze(walk: Walk, call: Call, x: Any, axes: Any = None) -> Any:
    listed = walk.integer_list(call, axes, "axes") or []
    rank = len(shape_of(x)) + len(listed)
    new = {i % rank for i in listed}

    def change(dims: Dims) -> Dims:
        rest = iter(dims)
        return tuple(() if i in new else next(rest) for i in range(rank))

    return viewed(walk, call, x, change)


@lower("Expand")
def _expand(walk: Walk, call: Call, x: Any, wanted: Any) -> Any:
    sizes = tuple(walk.integer_list(call, wanted) or ())
    return expanded(walk, call, x, np.broadcast_shapes(shape_of(x), sizes))


@lower("DepthToSpace")
def _depth_to_space(walk: Walk, call: Call, x: Any) -> Any:
    b, c, h, w = shape_of(x)
    r = call.attributes["blocksize"]
    if call.attributes.get("mode", "DCR") == "CRD":
        split, order = (b, c // r**2, r, r, h, w), (0, 1, 4, 2, 5, 3)
    else:
        split, order = (b, r, r, c // r**2, h, w), (0, 3, 4, 1, 5, 2)
    return shuffled(walk, call, x, split, order, (b, c // r**2, h * r, w * r))


@lower("SpaceToDepth")
def _space_to_depth(walk: Walk, call: Call, x: Any) -> Any:
    b, c, h, w = shape_of(x)
    r = call.attributes["blocksize"]
    return shuffled(walk, call, x, (b, c, h // r, r, w // r, r), (0, 3, 5, 1, 2, 4), (b, c * r**2, h // r, w // r))
