"""Ops on a tensor as layers read it: [batch, channels, *places], along the last dim, along any dim."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..graph import Op
from ..ops import Activation, Affine, Linear, Softmax
from .layout import Laid
from .scores import Scores, normalised
from .taking import settled
from .trace import Trace


def layer(walk: Trace, at: Any, argument: Any, op: Op) -> Laid:
    """An op on `[batch, channels, *places]`."""
    return walk.lay(walk.emit(op, [walk.ref(at, argument)], at), at)


def linear(walk: Trace, at: Any, argument: Any, op: Linear) -> Laid:
    """A fully connected layer over the last dim, wherever the batch is."""
    name, frame = walk.take(at, argument, -1)
    made = walk.emit(op, [name], at)
    return frame.lay(made, walk.values[made], at)


def softmax(walk: Trace, at: Any, x: Any, dim: int, log: bool) -> Any:
    if isinstance(x, Scores):
        if log:
            raise walk.unsupported(at, "the logarithm of attention weights")
        return normalised(walk, at, x, dim)
    laid = walk.laid(at, x)
    dim %= len(laid.dims)
    free = next((i for i, d in enumerate(laid.dims) if not d and i != dim), None)
    name, frame = walk.take(at, laid, None, free)
    _, has_batch, axis = frame.dims[dim]
    if has_batch or axis is None:
        raise walk.unsupported(at, "it runs over the batch")
    made = walk.emit(Softmax(axis, log=log), [name], at)
    return frame.lay(made, walk.values[made], at)


def clipped(walk: Trace, at: Any, x: Any, low: float, high: float) -> Laid:
    """x between two bounds, either of them infinite."""
    known = {(0.0, 6.0): Activation("relu6"), (0.0, np.inf): Activation("relu")}
    return walk.pointwise(at, x, known.get((low, high), Activation("clip", low, high)))


def times(walk: Trace, at: Any, x: Any, factor: float) -> Laid:
    """x times a number, as a node."""
    laid = settled(walk, at, walk.laid(at, x))
    value = walk.values[laid.name]
    scale = np.full(value.channels, factor, walk.dtype_of(at))
    return Laid(walk.emit(Affine(scale, np.zeros_like(scale), value.axis), [laid.name], at), laid.dims, at)


# The two constants of self-normalising networks (Klambauer et al., 2017).
SELU = (1.6732632423543772, 1.0507009873554805)


def selu(walk: Trace, at: Any, x: Any, alpha: float = SELU[0], gamma: float = SELU[1]) -> Laid:
    return times(walk, at, walk.pointwise(at, x, Activation("elu", alpha)), gamma)


def celu(walk: Trace, at: Any, x: Any, alpha: float) -> Laid:
    return times(walk, at, walk.pointwise(at, times(walk, at, x, 1 / alpha), Activation("elu", 1.0)), alpha)
