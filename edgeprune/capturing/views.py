"""ATen ops that look at the same elements otherwise: they make no node, they change the layout."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from torch import fx

from .layout import STRETCHED, Atom, Dims, Laid, reshaped
from .naming import base_name
from .scores import Closed, Length, Scores
from .walk import Walk, lower


def shape_of(node: fx.Node) -> tuple[int, ...]:
    return tuple(int(n) for n in node.meta["val"].shape)


def viewed(walk: Walk, node: fx.Node, x: Any, change: Callable[[Dims], Dims | None], why: str) -> Any:
    """A value, attention scores or what closes some of them in another layout."""
    if isinstance(x, Closed):
        return Closed(viewed(walk, node, x.where, change, why))
    if not isinstance(x, Scores):
        x = walk.laid(node, x)
    dims = change(x.dims)
    if dims is None:
        raise walk.unsupported(node, why)
    return replace(x, dims=dims, maker=node) if isinstance(x, Laid) else replace(x, dims=dims)


@lower("flatten", "view", "reshape", "_unsafe_view", "squeeze", "unsqueeze", "unflatten", "view_as", "reshape_as")
def _reshape(walk: Walk, node: fx.Node, a: dict[str, Any]) -> Any:
    x, shape = a["self"], shape_of(node)
    if isinstance(x, Laid) and x.unit is not None:
        return viewed(walk, node, x, lambda dims: None, "it reshapes what is divided by its length")
    if isinstance(x, Laid) and reshaped(x.dims, shape) is None:
        # The cut runs across factors that earlier reshapes left: give every dim an axis of its own, then cut that.
        name, frame = walk.take(node, x)
        x = frame.lay(name, walk.values[name], x.maker)
    before = x.shape if isinstance(x, Laid) else ()
    why = f"a reshape of {before} to {shape} does not keep its axes' factors apart"
    return viewed(walk, node, x, lambda dims: reshaped(dims, shape), why)


@lower("permute")
def _permute(walk: Walk, node: fx.Node, a: dict[str, Any]) -> Any:
    return viewed(walk, node, a["self"], lambda dims: tuple(dims[i % len(dims)] for i in a["dims"]), "")


@lower("transpose", "swapaxes", "swapdims")
def _transpose(walk: Walk, node: fx.Node, a: dict[str, Any]) -> Any:
    first, second = (int(a[f"dim{i}"] if "dim0" in a else a[f"axis{i}"]) for i in (0, 1))

    def change(dims: Dims) -> Dims:
        listed = list(dims)
        listed[first], listed[second] = listed[second], listed[first]
        return tuple(listed)

    return viewed(walk, node, a["self"], change, "")


@lower("t", "numpy_T", "mT", "adjoint")
def _t(walk: Walk, node: fx.Node, a: dict[str, Any]) -> Any:
    return viewed(walk, node, a["self"], lambda dims: (*dims[:-2], *dims[-2:][::-1]), "")


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
    return viewed(walk, node, a["self"], lambda dims: tuple(dims[i] for i in full), "")


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
    full = [*range(before), *(before + i for i in order)]

    def change(dims: Dims) -> Dims | None:
        split = reshaped(dims, tuple(parts))
        return None if split is None else reshaped(tuple(split[i] for i in full), shape_of(node))

    laid: Laid = viewed(walk, node, x, change, f"a shuffle of {x.shape}")
    return laid


@lower("expand", "expand_as", "broadcast_to")
def _expand(walk: Walk, node: fx.Node, a: dict[str, Any]) -> Any:
    if isinstance(a["self"], Length):
        return a["self"]
    shape = shape_of(node)
    return viewed(walk, node, a["self"], lambda dims: stretched(dims, shape), "")


def stretched(dims: Dims, shape: Sequence[int]) -> Dims:
    """The layout after dims of size 1, and those in front that are missing, were repeated."""
    dims = ((),) * (len(shape) - len(dims)) + dims
    return tuple(dim if n == 1 or dim else (Atom(STRETCHED, n, 0),) for dim, n in zip(dims, shape, strict=True))
