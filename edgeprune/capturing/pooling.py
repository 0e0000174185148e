"""ATen pooling, sums over axes, and resampling."""

from __future__ import annotations

from typing import Any

from torch import fx, nn

from ..graph import Shape
from ..laying.arithmetic import both
from ..laying.layers import layer
from ..laying.layout import Laid
from ..laying.sums import reduced
from ..ops import AdaptiveAvgPool, AdaptiveMaxPool, AvgPool, Binary, MaxPool, Upsample
from ..ops.conv import Pads
from .layers import spread
from .naming import base_name
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
    return layer(walk, node, a["self"], AdaptiveAvgPool(*_places(walk, node, a)))


@lower("adaptive_max_pool1d", "adaptive_max_pool2d", "adaptive_max_pool3d")
def _adaptive_max(walk: Walk, node: fx.Node, a: dict[str, Any]) -> list[Laid | None]:
    # The second result, where the largest elements are, has no meaning here.
    return [layer(walk, node, a["self"], AdaptiveMaxPool(*_places(walk, node, a))), None]


ADAPTIVE = (nn.AdaptiveAvgPool1d, nn.AdaptiveAvgPool2d, nn.AdaptiveAvgPool3d,
            nn.AdaptiveMaxPool1d, nn.AdaptiveMaxPool2d, nn.AdaptiveMaxPool3d)  # fmt: skip


def _places(walk: Walk, node: fx.Node, a: dict[str, Any]) -> tuple[tuple[int | None, ...], Shape | None]:
    """(places per axis, the only size that this is known for).

    A program does not tell an axis that is kept as it is, whatever its size, from one that is pooled to the size it has; the
    layer does.
    """
    size = walk.laid(node, a["self"]).shape[2:]
    own = walk.layers.get(walk.source_of(node).split("@")[0])
    if isinstance(own, ADAPTIVE):
        said: Any = own.output_size
        return (tuple(said) if isinstance(said, list | tuple) else (said,) * len(size)), None
    places = spread(a["output_size"], len(size))
    return places, size if any(n == p > 1 for n, p in zip(size, places, strict=True)) else None


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
        return reduced(walk, node, kind, a["self"], (), False)
    return [reduced(walk, node, kind, a["self"], [a["dim"]], a["keepdim"]), None]


@lower("mean", "sum", "amax", "amin")
def _reduce(walk: Walk, node: fx.Node, a: dict[str, Any]) -> Laid:
    kind = {"amax": "max", "amin": "min"}.get(base := base_name(node), base)
    over = a.get("dim")
    return reduced(walk, node, kind, a["self"], [over] if isinstance(over, int) else over or (), bool(a.get("keepdim")))
