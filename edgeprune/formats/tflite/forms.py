"""The forms in which a weight may lie in the file, and what each costs."""

from __future__ import annotations

import numpy as np

from ...graph import Array
from ...sparse import Costs, Option, Sparse
from ...sparse import encode as compress

# What a sparse tensor costs beside its values and indices: its description, and with DENSIFY a second tensor and an op.
DESCRIPTION = {2: 136, 4: 196}
DENSIFY = 72


def packed(array: Array) -> Sparse | None:
    """The array in its smallest sparse encoding; None where none could be smaller than the array."""
    # An index takes a byte at least, of a whole tap if not of a weight: nearly full weights need no closer look.
    taps = array if array.ndim == 2 else array.any(-1)
    if array.all() or (taps.all() and 5 * int(np.count_nonzero(array)) > array.nbytes):
        return None
    # Rows of taps cost a segment each; a tree costs one only where there is something, which wins when hardly anything is. Taps
    # that are kept as a whole need no index for each weight.
    levels = ("dc",) if array.ndim == 2 else ("dddc", "dccc", "ddcd", "dccd")
    return min((compress(array, each, at_least=1) for each in levels), key=lambda s: s.nbytes)


def stored_bytes(sparse: Sparse) -> int:
    return sparse.nbytes + DESCRIPTION[len(sparse.shape)]


def name_of(sparse: Sparse) -> str:
    """What the encoding is called."""
    return "csr" if sparse.levels[-1].compressed else "stripes"


def expanding(array: Array, sparse: Sparse | None, kind: str, multiply_adds: int, costs: Costs) -> list[Option]:
    """The layer as a dense op of a `kind` that `costs` knows: its weight stored dense, and stored sparse but expanded at load."""
    us = costs.dense(kind, multiply_adds, array.nbytes)
    # The runtime keeps a copy in an order of its own.
    options = [Option("dense", array.nbytes, us, 2 * array.nbytes)]
    if sparse is not None:
        stored = stored_bytes(sparse)
        options.append(Option(f"{name_of(sparse)}+densify", stored + DENSIFY, us, stored + 2 * array.nbytes, expanded=True))
    return options


def multiplied(sparse: Sparse, places: int, costs: Costs) -> Option:
    """A matrix that is multiplied as it is stored, at so many places."""
    nonzeros, rows = len(sparse.values), sparse.shape[0]
    # Indices take four bytes once they are loaded, whatever they take in the file.
    memory = int(sparse.values.nbytes) + stored_bytes(sparse) + 4 * (nonzeros + rows)
    return Option("csr", stored_bytes(sparse), costs.matrix(nonzeros, rows, places), memory)
