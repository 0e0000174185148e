"""Graph -> Graph: the same function with less.

constants.py  what is constant, folded into its readers, dropped from sums
liveness.py   what matters and what must exist; removal of the rest
fold.py       batch norm into the layer before it; identities left out
borders.py    channels that are constant but for a padded border, made few
shifts.py     shifts handed on to the biases of what reads them
untie.py      gathers and scatters where a tie costs more
"""

from __future__ import annotations

from collections.abc import Callable

from ..graph import Graph
from .borders import merge_borders
from .constants import absorb_constants, constants, drop_constant_terms
from .fold import drop_identities, fold_affine
from .liveness import live_channels, needed_channels, remove_dead_channels, silence_unneeded
from .shifts import push_shifts
from .untie import untie

# Removal relies on absorption (constants that are still read count as live); the rest only gives it more to find.
UNTIL_STABLE: tuple[Callable[[Graph], Graph], ...] = (
    merge_borders,
    absorb_constants,
    drop_constant_terms,
    push_shifts,
    silence_unneeded,
    remove_dead_channels,
    drop_identities,
)


def shrink(graph: Graph, *, fold: bool = True, optimize: str = "") -> Graph:
    """The same function with every dead channel removed; a second call changes nothing.

    `fold=False` leaves batch norms where they are, for a network that will be trained on. `optimize="size"` also breaks ties
    with gathers and scatters where that leaves fewer numbers to store (see `untie`), over which runtimes may take longer; and the
    graph may refuse maps smaller than a depthwise kernel's reach (see `merge_borders`). Raises ValueError for another `optimize`.
    """
    if optimize not in ("", "size"):
        raise ValueError(f"optimize={optimize!r} is unknown here; use 'size', or leave it out")
    graph = _stable(graph, fold)
    if optimize:
        graph = _stable(merge_borders(graph, every_size=False), fold)
    while optimize:
        before = graph
        graph = _stable(untie(graph), fold)
        if graph.parameters >= before.parameters:
            return before
    return graph


def _stable(graph: Graph, fold: bool) -> Graph:
    """The passes again and again, until none finds anything more."""
    if fold:
        graph = fold_affine(graph)
    while True:
        before = graph
        for step in UNTIL_STABLE:
            graph = step(graph)
        if fold:
            graph = fold_affine(graph)
        if graph == before:
            return graph


__all__ = [
    "UNTIL_STABLE",
    "absorb_constants",
    "constants",
    "drop_constant_terms",
    "drop_identities",
    "fold_affine",
    "live_channels",
    "merge_borders",
    "needed_channels",
    "push_shifts",
    "remove_dead_channels",
    "shrink",
    "silence_unneeded",
    "untie",
]
