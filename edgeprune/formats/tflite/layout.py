"""How values lie in TFLite tensors: channels last, and a unit axis in front of the places of one-dimensional maps.

Shapes here leave the batch axis out, as in the graph. A stored tensor has it in front.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ...graph import Array, Shape, Value


def walk(value: Value) -> tuple[int, ...]:
    """The value's axes in stored order."""
    return (*(i for i in range(len(value.shape)) if i != value.axis), value.axis)


def line(value: Value) -> bool:
    """Whether the value is a map with one spatial axis, stored as a picture one row high."""
    return value.axis == 0 and len(value.shape) == 2


def stored_shape(value: Value) -> Shape:
    shape = tuple(value.shape[i] for i in walk(value))
    return (1, *shape) if line(value) else shape


def stored_axis(value: Value, axis: int) -> int:
    """Where an axis of the value is found in the stored shape."""
    return walk(value).index(axis) + line(value)


def store(array: Array, value: Value) -> Array:
    """`[batch, *value.shape]` as it is stored."""
    moved = array.transpose(0, *(i + 1 for i in walk(value)))
    return np.ascontiguousarray(moved.reshape(len(array), *stored_shape(value)))


def restore(array: Array, value: Value) -> Array:
    """What `store` undoes."""
    axes = walk(value)
    moved = array.reshape(len(array), *(value.shape[i] for i in axes))
    return np.ascontiguousarray(moved.transpose(0, *(int(i) + 1 for i in np.argsort(axes))))


def flat_order(value: Value) -> Array | None:
    """Where the features of a flattened map come from: stored feature j is feature order[j] of the graph. None when equal."""
    if value.positions == 1 or value.channels == 1:
        return None
    return np.arange(value.channels * value.positions).reshape(value.channels, -1).T.reshape(-1)


def square(numbers: Sequence[int], fill: int = 1) -> Shape:
    """Per-axis numbers of a window of one or two axes, as (rows, columns)."""
    return (fill, *numbers) if len(numbers) == 1 else tuple(numbers)
