"""ATen pooling, sums over axes, and resampling."""

from __future__ import annotations

from typing import Any

from torch import fx

from ..graph import Shape
from ..ops import AdaptiveAvgPool, AdaptiveMaxPool, AvgPool, Binary, MaxPool, Mean, Reduce, Upsample
from ..ops.conv import Pads
from .arithmetic import both
from .layers import layer, spread
from .layout import BATCH_DIM, Laid
from .naming import base_name
from .taking import natural_channel
from .walk import Walk, lower


def _window(walk: Walk, node: fx.Node, a: dict[str, Any]) -> tuple[int, Shape, Shape, Pads]:
    """(spatial axes, kernel, stride, padding) of a pooling call."""
    axes = len(walk.laid(node, a["self"]).dims) - 2
    kernel = spread(a["kernel_size"], axes)
    stride = spread(a["stride"], axes) if a["stride"] else kernel
    return axes, kernel, stride, tuple((p, p) for p in spread(a["padding"], axes))


@lower("max_pool1d", "max_pool2d", "max_pool3d")
def _max_pool(walk: Walk, node: fx.Node, a: dict[str, Any]) -> Laid:
    axes, kernel, stride, padding = _window(walk, node, a)
    return layer(walk, node, a["self"], MaxPool(kernel, stride, padding, spread(a["dilation"], axes), a["ceil_mode"]))


@lower("avg_pool1d", "avg_pool2d", "avg_pool3d")
def _avg_pool(walk: Walk, node: fx.Node, a: dict[str, Any]) -> Laid:
    if a.get("divisor_override"):
        raise walk.unsupported(node, "divisor_override is set")
    axes, kernel, stride, padding = _window(walk, node, a)
    return layer(walk, node, a["self"], AvgPool(kernel, stride, padding, (1,) * axes, a["ceil_mode"], a["count_include_pad"]))


@lower("adaptive_avg_pool1d", "adaptive_avg_pool2d", "adaptive_avg_pool3d")
def _adaptive(walk: Walk, node: fx.Node, a: dict[str, Any]) -> Laid:
    axes = len(walk.laid(node, a["self"]).dims) - 2
    return layer(walk, node, a["self"], AdaptiveAvgPool(spread(a["output_size"], axes)))


@lower("adaptive_max_pool1d", "adaptive_max_pool2d", "adaptive_max_pool3d")
def _adaptive_max(walk: Walk, node: fx.Node, a: dict[str, Any]) -> list[Laid | None]:
    axes = len(walk.laid(node, a["self"]).dims) - 2
    # The second result, where the largest elements are, has no meaning here.
    return [layer(walk, node, a["self"], AdaptiveMaxPool(spread(a["output_size"], axes))), None]


@lower("upsample_nearest1d", "upsample_nearest2d", "upsample_nearest3d", "_upsample_nearest_exact1d", "_upsample_nearest_exact2d",
       "_upsample_nearest_exact3d", "upsample_linear1d", "upsample_bilinear2d", "upsample_trilinear3d")  # fmt: skip
def _upsample(walk: Walk, node: fx.Node, a: dict[str, Any]) -> Laid:
    name = base_name(node)
    kind = "nearest_exact" if "exact" in name else "nearest" if "nearest" in name else "linear"
    scales = a.get("scale_factors")
    if scales is None:
        found = [a.get("scales"), a.get("scales_d"), a.get("scales_h"), a.get("scales_w")]
        scales = [s for s in found if s is not None] or None
    size = tuple(int(n) for n in node.meta["val"].shape[2:])
    align = bool(a.get("align_corners", False))
    if scales is not None and len(scales) == len(size):
        return layer(walk, node, a.get("input", a.get("self")), Upsample(kind, tuple(map(float, scales)), None, align))
    return layer(walk, node, a.get("input", a.get("self")), Upsample(kind, None, size, align))


@lower("max", "min")
def _max(walk: Walk, node: fx.Node, a: dict[str, Any]) -> Any:
    kind = base_name(node)
    if "other" in a:
        return both(walk, node, walk.laid(node, a["self"]), walk.laid(node, a["other"]), Binary(kind))
    if "dim" not in a:
        return reduced(walk, node, kind, a["self"], None, False)
    return [reduced(walk, node, kind, a["self"], [a["dim"]], a["keepdim"]), None]


@lower("mean", "sum", "amax", "amin")
def _reduce(walk: Walk, node: fx.Node, a: dict[str, Any]) -> Laid:
    kind = {"amax": "max", "amin": "min"}.get(base := base_name(node), base)
    return reduced(walk, node, kind, a["self"], a.get("dim"), bool(a.get("keepdim")))


def reduced(walk: Walk, node: fx.Node, kind: str, argument: Any, over: Any, keepdim: bool) -> Laid:
    """One number for all elements along some dims; None or none stands for all of them."""
    x = walk.laid(node, argument)
    rank = len(x.dims)
    dims = sorted(d % rank for d in (([over] if isinstance(over, int) else over) or range(rank)))
    natural = natural_channel(walk, x)
    if kind == "mean" and natural == 1 and dims == list(range(2, rank)) and rank > 2 and x.dims[0] == BATCH_DIM:
        return layer(walk, node, x, AdaptiveAvgPool((1,) * (rank - 2)) if keepdim else Mean())
    if natural is None or natural in dims:
        left = [d for d in range(rank) if d not in dims and x.dims[d] != BATCH_DIM]
        if not left:
            # A sum over everything leaves one number: it becomes a channel of its own.
            x = Laid(x.name, (*x.dims, ()), x.maker)
            left = [rank]
        natural = left[-1]
    name, frame = walk.take(node, x, natural)
    axes = [frame.dims[d] for d in dims]
    if any(has_batch for _, has_batch, _ in axes):
        raise walk.unsupported(node, "it sums up the batch")
    places = tuple(axis for _, _, axis in axes if axis is not None)
    made = walk.emit(Reduce(kind, places, True), [name], node)
    laid = frame.lay(made, walk.values[made], node)
    kept = [d for i, d in enumerate(laid.dims) if i < rank and (keepdim or i not in dims)]
    return Laid(made, tuple(kept), node)
