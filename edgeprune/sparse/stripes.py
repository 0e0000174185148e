"""Stripes: filters that keep some taps as a whole, stored as dense blocks, one for the taps that the same filters keep.

A stripe is what a filter reads at one tap, over all channels ("Pruning filter in filter", Meng et al. 2020). For every tap the
filters that kept it are listed, and their weights there are a dense matrix; taps with the same list share it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..graph import Array


@dataclass(frozen=True, eq=False)
class Block:
    """Some rows of a matrix that all read the same columns."""

    rows: Array  # int64 [rows]
    columns: Array  # int64 [columns]
    values: Array  # [rows, columns]; zeros are stored


def by_tap(rows: Array, columns: Array, taps: Array, values: Array) -> tuple[Block, ...]:
    """A matrix given by its nonzeros, each at a place of its own, as dense blocks; `taps` says at which tap each of them reads.

    A tap's block has the rows and the columns that hold something there. Taps with equal rows share a block.
    """
    merged: dict[bytes, Array] = {}
    for tap in np.unique(taps):
        here = taps == tap
        key = np.unique(rows[here]).astype(np.int64).tobytes()
        merged[key] = merged[key] | here if key in merged else here
    blocks = []
    for key, here in merged.items():
        of_rows, of_columns = np.frombuffer(key, np.int64), np.unique(columns[here])
        matrix = np.zeros((len(of_rows), len(of_columns)), values.dtype)
        matrix[np.searchsorted(of_rows, rows[here]), np.searchsorted(of_columns, columns[here])] = values[here]
        blocks.append(Block(of_rows, of_columns, matrix))
    return tuple(blocks)


def filled(blocks: Sequence[Block], shape: tuple[int, int]) -> Array:
    """The matrix again. Raises IndexError where a block reaches beyond `shape`."""
    matrix = np.zeros(shape, np.float32)
    for block in blocks:
        matrix[np.ix_(block.rows, block.columns)] = block.values
    return matrix
