"""One number for all elements along some dims."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ..ops import AdaptiveAvgPool, Mean, Reduce
from .layers import layer
from .layout import Laid
from .taking import natural_channel
from .trace import Trace


def reduced(walk: Trace, at: Any, kind: str, argument: Any, over: Sequence[int], keepdims: bool) -> Laid:
    """One number for all elements along some dims; none of them stands for all. `kind`: mean, or one of Reduce's."""
    x = walk.laid(at, argument)
    rank = len(x.dims)
    dims = sorted(d % rank for d in over or range(rank))
    natural = natural_channel(walk, x)
    if kind == "mean" and natural == 1 and dims == list(range(2, rank)) and rank > 2 and x.dims[0] == walk.batch:
        return layer(walk, at, x, AdaptiveAvgPool((1,) * (rank - 2)) if keepdims else Mean())
    if natural is None or natural in dims:
        left = [d for d in range(rank) if d not in dims and (x.dims[d] != walk.batch or not walk.batch)]
        if not walk.batch:
            left = [d for d in left if d or x.dims[0]]
        if not left:
            # A sum over everything leaves one number: it becomes a channel of its own.
            x = Laid(x.name, (*x.dims, ()), x.maker)
            left = [rank]
        natural = left[-1]
    free = next((d for d in range(len(x.dims)) if not x.dims[d] and d not in dims and d != natural), None)
    name, frame = walk.take(at, x, natural, free)
    gone = [frame.dims[d] for d in dims]
    if any(has_batch for _, has_batch, _ in gone):
        raise walk.unsupported(at, "it sums up the batch")
    places = tuple(axis for _, _, axis in gone if axis is not None)
    made = walk.emit(Reduce(kind, places, True), [name], at)
    laid = frame.lay(made, walk.values[made], at)
    kept = [d for i, d in enumerate(laid.dims) if i < rank and (keepdims or i not in dims)]
    return Laid(made, tuple(kept), at)
