"""Compressed sparse rows, generalised to any number of axes: a level an axis, each dense or compressed.

A dense level has every index of its axis under each entry of the level above; a compressed level lists the indices that are there
and, per entry above, where its list begins. A matrix with levels "dc" is plain CSR. The scheme is that of the TACO compiler
(Kjolstad et al., The Tensor Algebra Compiler, 2017) and the one TFLite files use.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..graph import Array, Shape

# No weight of an edge model has more elements; a shape that claims so comes from a damaged file.
LARGEST = 2**30


@dataclass(frozen=True, eq=False)
class Level:
    """One axis of a sparse array. A compressed level has both index arrays, a dense one has neither."""

    size: int
    segments: Array | None = None  # [entries above + 1]: where each list begins in `indices`
    indices: Array | None = None  # [entries here]: the place along the axis

    @property
    def compressed(self) -> bool:
        return self.indices is not None

    @property
    def nbytes(self) -> int:
        return sum(a.nbytes for a in (self.segments, self.indices) if a is not None)


@dataclass(frozen=True, eq=False)
class Sparse:
    """An array of `shape`, walked in `order` (axes, outermost first), one level an axis in that order."""

    shape: Shape
    order: tuple[int, ...]
    levels: tuple[Level, ...]
    values: Array

    @property
    def nbytes(self) -> int:
        """Bytes of values and indices, as stored."""
        return int(self.values.nbytes) + sum(level.nbytes for level in self.levels)


def narrow(numbers: Array) -> Array:
    """The numbers in the smallest of uint8, uint16, int32 that holds them all. Raises ValueError beyond int32."""
    largest = int(numbers.max(initial=0))
    if largest > np.iinfo(np.int32).max:
        raise ValueError(f"an index of {largest} does not fit in 32 bits")
    for dtype in (np.uint8, np.uint16):
        if largest <= np.iinfo(dtype).max:
            return numbers.astype(dtype)
    return numbers.astype(np.int32)


def encode(array: Array, levels: str, order: Sequence[int] | None = None, *, at_least: int = 0) -> Sparse:
    """The array as levels, "d" dense or "c" compressed, one letter an axis in traversal `order` (row-major when not given).

    Zeros under a last dense level are stored; others are not. `at_least=1` stores one explicit zero when nothing is nonzero:
    runtimes take an empty buffer for a missing one.
    """
    order = tuple(range(array.ndim)) if order is None else tuple(order)
    if len(levels) != array.ndim or set(levels) - set("dc") or sorted(order) != list(range(array.ndim)):
        raise ValueError(f"levels {levels!r} in order {order} do not describe an array of {array.ndim} axes")
    walked = np.ascontiguousarray(array.transpose(order))
    stored = np.flatnonzero(walked)
    if len(stored) < at_least:
        stored = np.arange(min(at_least, walked.size))
    entries = np.zeros(1, np.int64)  # flat index of every entry of the level above
    made = []
    for depth, kind in enumerate(levels):
        size = walked.shape[depth]
        if kind == "d":
            entries = (entries[:, None] * size + np.arange(size)).reshape(-1)
            made.append(Level(size))
            continue
        # Already sorted, so equal prefixes are neighbours.
        prefixes = stored // int(np.prod(walked.shape[depth + 1 :], dtype=np.int64))
        here = prefixes[np.diff(prefixes, prepend=-1) != 0]
        begins = np.append(np.searchsorted(here // size, entries), len(here))
        made.append(Level(size, narrow(begins), narrow(here % size)))
        entries = here
    values = np.zeros(len(entries), array.dtype)
    values[np.searchsorted(entries, stored)] = walked.reshape(-1)[stored]
    return Sparse(tuple(array.shape), order, tuple(made), values)


def sparse_matrix(shape: tuple[int, int], rows: Array, columns: Array, values: Array) -> Sparse:
    """The matrix with these elements, each place once, as plain CSR; one explicit zero where there are none."""
    if not len(values):
        rows, columns, values = np.zeros(1, np.int64), np.zeros(1, np.int64), np.zeros(1, values.dtype)
    order = np.lexsort((columns, rows))
    segments = np.searchsorted(rows[order], np.arange(shape[0] + 1))
    levels = (Level(shape[0]), Level(shape[1], narrow(segments), narrow(columns[order])))
    return Sparse(shape, (0, 1), levels, values[order])


def decode(sparse: Sparse) -> Array:
    """The array again. Raises ValueError when the levels contradict each other or the shape."""
    places = places_of(sparse)
    walked = tuple(sparse.shape[axis] for axis in sparse.order)
    array = np.zeros(int(np.prod(walked, dtype=np.int64)), sparse.values.dtype)
    array[places] = sparse.values
    return array.reshape(walked).transpose(np.argsort(sparse.order))


def places_of(sparse: Sparse) -> Array:
    """Where each value lies in the array, walked in the sparse one's order; raises ValueError as `decode` does."""
    walked = tuple(sparse.shape[axis] for axis in sparse.order)
    if tuple(level.size for level in sparse.levels) != walked:
        raise ValueError(f"levels of sizes {[level.size for level in sparse.levels]} do not make a shape of {sparse.shape}")
    if int(np.prod(walked, dtype=object)) > LARGEST:
        raise ValueError(f"a shape of {sparse.shape} has more than {LARGEST} elements")
    # Each dense level is bounded by what hangs below it: nothing is expanded that could not be right.
    most = max(len(sparse.values), *(len(level.segments) for level in sparse.levels if level.segments is not None), 1)
    entries = np.zeros(1, np.int64)
    for depth, level in enumerate(sparse.levels):
        if level.segments is None or level.indices is None:
            if len(entries) * level.size > most:
                raise ValueError(f"level {depth} has {len(entries) * level.size} entries and nothing to fill them")
            entries = (entries[:, None] * level.size + np.arange(level.size)).reshape(-1)
            continue
        segments, indices = level.segments.astype(np.int64), level.indices.astype(np.int64)
        lengths = np.diff(segments)
        whole = len(segments) == len(entries) + 1 and segments[0] == 0 and segments[-1] == len(indices)
        if not whole or (lengths < 0).any() or indices.min(initial=0) < 0 or indices.max(initial=0) >= level.size:
            raise ValueError(f"level {depth} has indices that lie outside the array")
        entries = np.repeat(entries, lengths) * level.size + indices
    if len(entries) != len(sparse.values):
        raise ValueError(f"{len(sparse.values)} values for {len(entries)} places")
    return entries
