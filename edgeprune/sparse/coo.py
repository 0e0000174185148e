"""Coordinates: values, and the places they stand at in an array of zeros."""

from __future__ import annotations

import numpy as np

from ..graph import Array, Shape
from .csr import LARGEST


def scattered(shape: Shape, values: Array, places: Array, largest: int = LARGEST) -> Array:
    """The dense array; `places` [n] are flat, or [n, axes] by axis.

    Raises ValueError for an array of more than `largest` elements, or places outside of it.
    """
    if places.ndim == 2:
        places = np.ravel_multi_index(tuple(places.T), shape)
    if int(np.prod(shape, dtype=object)) > largest:
        raise ValueError(f"a shape of {shape} has more than {largest} elements")
    array = np.zeros(int(np.prod(shape)), values.dtype)
    array[places] = values
    return array.reshape(shape)
