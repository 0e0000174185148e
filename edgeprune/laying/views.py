"""What looks at the same elements otherwise: it makes no node, it changes the layout."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from ..graph import Shape
from .layout import STRETCHED, Atom, Dims, Laid, reshaped, size
from .scores import Closed, Scores
from .trace import Trace


def shape_of(x: Any) -> Shape:
    """The shape of a constant, of attention scores or what closes some of them, or of a tensor that depends on the input."""
    if isinstance(x, Closed):
        return shape_of(x.where)
    return x.shape if isinstance(x, np.ndarray) else tuple(size(d) for d in x.dims)


def viewed(walk: Trace, at: Any, x: Any, change: Callable[[Dims], Dims | None], why: str = "") -> Any:
    """A value, attention scores or what closes some of them in another layout; refused, saying why, where there is none."""
    if isinstance(x, Closed):
        return Closed(viewed(walk, at, x.where, change, why))
    if not isinstance(x, Scores):
        x = walk.laid(at, x, integers=True)
    dims = change(x.dims)
    if dims is None:
        raise walk.unsupported(at, why)
    return replace(x, dims=dims, maker=at) if isinstance(x, Laid) else replace(x, dims=dims)


def permuted(walk: Trace, at: Any, x: Any, order: Any) -> Any:
    return viewed(walk, at, x, lambda dims: tuple(dims[i] for i in order))


def reshape(walk: Trace, at: Any, x: Any, shape: Shape) -> Any:
    if isinstance(x, Closed):
        return Closed(reshape(walk, at, x.where, shape))
    if not isinstance(x, Scores):
        x = walk.laid(at, x, integers=True)
    before = shape_of(x)
    if math.prod(before) != math.prod(shape):
        batch = " (its batch is open: a number that stands for one batch size cannot be in it)" if walk.batch else ""
        raise walk.unsupported(at, f"it reshapes {before} to {shape}{batch}")
    if isinstance(x, Laid) and reshaped(x.dims, shape) is None:
        # The cut runs across factors that earlier reshapes left: give every dim an axis of its own, then cut that.
        name, frame = walk.take(at, x)
        x = frame.lay(name, walk.values[name], x.maker)
    why = f"a reshape of {before} to {shape} does not keep its axes' factors apart"
    return viewed(walk, at, x, lambda dims: reshaped(dims, shape), why)


def shuffled(walk: Trace, at: Any, x: Any, split: Shape, order: Shape, shape: Shape) -> Any:
    """The tensor reshaped to `split`, its dims permuted, and reshaped again."""
    return reshape(walk, at, permuted(walk, at, reshape(walk, at, x, split), order), shape)


def expanded(walk: Trace, at: Any, x: Any, shape: Shape) -> Any:
    """The tensor with dims of size 1 repeated to the shape."""

    def change(dims: Dims) -> Dims:
        dims = ((),) * (len(shape) - len(dims)) + dims
        return tuple(d if n == 1 or d else (Atom(STRETCHED, n, 0),) for d, n in zip(dims, shape, strict=True))

    return viewed(walk, at, x, change)
