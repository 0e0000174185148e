"""ATen ops that look at the same elements otherwise: they make no node, they change the layout."""

from __future__ import annotations

from typing import Any

from torch import fx

from ..laying.layout import Laid
from ..laying.views import expanded, permuted, reshape, shuffled
from .naming import base_name
from .walk import Length, Walk, lower


def shape_of(node: fx.Node) -> tuple[int, ...]:
    return tuple(int(n) for n in node.meta["val"].shape)


@lower("flatten", "view", "reshape", "_unsafe_view", "squeeze", "unsqueeze", "unflatten", "view_as", "reshape_as")
def _reshape(walk: Walk, node: fx.Node, a: dict[str, Any]) -> Any:
    return reshape(walk, node, a["self"], shape_of(node))


@lower("permute")
def _permute(walk: Walk, node: fx.Node, a: dict[str, Any]) -> Any:
    return permuted(walk, node, a["self"], a["dims"])


@lower("transpose", "swapaxes", "swapdims")
def _transpose(walk: Walk, node: fx.Node, a: dict[str, Any]) -> Any:
    first, second = (int(a[f"dim{i}"] if "dim0" in a else a[f"axis{i}"]) for i in (0, 1))

    order = list(range(len(shape_of(node))))
    order[first], order[second] = order[second], order[first]
    return permuted(walk, node, a["self"], order)


@lower("t", "numpy_T", "mT", "adjoint")
def _t(walk: Walk, node: fx.Node, a: dict[str, Any]) -> Any:
    order = range(len(shape_of(node)))
    return permuted(walk, node, a["self"], (*order[:-2], *order[-2:][::-1]))


@lower("movedim", "moveaxis")
def _movedim(walk: Walk, node: fx.Node, a: dict[str, Any]) -> Any:
    rank = len(shape_of(node))
    source = [a["source"]] if isinstance(a["source"], int) else a["source"]
    target = [a["destination"]] if isinstance(a["destination"], int) else a["destination"]
    order: list[int | None] = [None] * rank
    for s, t in zip(source, target, strict=True):
        order[t % rank] = s % rank
    rest = iter(i for i in range(rank) if i not in order)
    full = [next(rest) if i is None else i for i in order]
    return permuted(walk, node, a["self"], full)


@lower("pixel_shuffle", "pixel_unshuffle", "channel_shuffle")
def _shuffle(walk: Walk, node: fx.Node, a: dict[str, Any]) -> Laid:
    """Reshapes and a permutation under one name."""
    x = walk.laid(node, a["self"])
    *lead, c, h, w = x.shape
    before = len(lead)
    name = base_name(node)
    if name == "channel_shuffle":
        parts, order = [*lead, a["groups"], c // a["groups"], h, w], [1, 0, 2, 3]
    elif name == "pixel_shuffle":
        r = a["upscale_factor"]
        parts, order = [*lead, c // r**2, r, r, h, w], [0, 3, 1, 4, 2]
    else:
        r = a["downscale_factor"]
        parts, order = [*lead, c, h // r, r, w // r, r], [0, 2, 4, 1, 3]
    full = (*range(before), *(before + i for i in order))
    laid: Laid = shuffled(walk, node, x, tuple(parts), full, shape_of(node))
    return laid


@lower("expand", "expand_as", "broadcast_to")
def _expand(walk: Walk, node: fx.Node, a: dict[str, Any]) -> Any:
    if isinstance(a["self"], Length):
        return a["self"]
    return expanded(walk, node, a["self"], shape_of(node))
