"""Weights in the order kernels run through them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ...graph import Array

BLOCK = 4  # output channels that the convolution by blocks sums at a time: EP_BLOCK in blockconv.c


@dataclass(frozen=True, eq=False)
class Rows:
    """Outputs, those with equally many weights together, each with its weights by the place they read."""

    rows: Array  # uint16 [outputs]
    bias: Array  # float32 [outputs]
    groups: Array  # uint16 [groups, 2]: how many outputs, how many weights each has
    places: Array  # int64 [weights]
    values: Array  # float32 [weights]
    counts: Array  # int64 [outputs]

    @property
    def starts(self) -> Array:
        """int32: the first place of each output that has weights."""
        begins = np.cumsum(self.counts) - self.counts
        starts: Array = self.places[begins[self.counts > 0]].astype(np.int32)
        return starts

    @property
    def steps(self) -> Array:
        """Per weight, from its place to the next one of its output; 0 after the last. The narrowest type that holds them."""
        steps = np.diff(self.places, append=0)
        ends = np.cumsum(self.counts)[self.counts > 0] - 1
        steps[ends] = 0
        return narrowest(steps)


def narrowest(numbers: Array) -> Array:
    for dtype in (np.uint8, np.uint16):
        if numbers.max(initial=0) <= np.iinfo(dtype).max:
            return numbers.astype(dtype)
    return numbers.astype(np.int32)


def bits(numbers: Array) -> int:
    return int(numbers.dtype.itemsize) * 8


def rows_of(outs: Array, places: Array, values: Array, bias: Array, skip: Array | None = None) -> Rows:
    """The weights `values`, each of output `outs` and reading `places`. Outputs in `skip` are left out where they have none."""
    count = np.bincount(outs, minlength=len(bias))
    kept = np.arange(len(bias)) if skip is None else np.flatnonzero((count > 0) | ~skip)
    order = kept[np.argsort(count[kept], kind="stable")]
    rank = np.zeros(len(bias), np.int64)
    rank[order] = np.arange(len(order))
    by_row = np.lexsort((places, rank[outs]))
    counts = count[order]
    groups = []
    each, begin = np.unique(counts, return_index=True)
    for n, rows in zip(each.tolist(), np.diff(begin, append=len(counts)).tolist(), strict=True):
        groups.append((rows, n))
    return Rows(
        order.astype(np.uint16),
        bias[order].astype(np.float32),
        np.array(groups, np.int64).reshape(-1, 2).astype(np.uint16),
        places[by_row],
        values[by_row].astype(np.float32),
        counts,
    )


def packed(matrix: Array) -> Array:
    """[rows, columns] as the block convolution reads it: for every BLOCK rows, or what is left of them, column after column."""
    parts = [matrix[first : first + BLOCK].T.reshape(-1) for first in range(0, len(matrix), BLOCK)]
    return np.concatenate([np.zeros(0), *parts]).astype(np.float32)


def unpacked(numbers: Array, rows: int, columns: int) -> Array:
    """What `packed` made them of."""
    parts = [
        numbers[first * columns : min(first + BLOCK, rows) * columns].reshape(columns, -1).T for first in range(0, rows, BLOCK)
    ]
    return np.concatenate([np.zeros((0, columns), np.float32), *parts])
