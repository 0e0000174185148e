"""Pooling, resampling and padding of maps."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import fx, nn

from ..graph import Node
from ..ops import AdaptiveAvgPool, AdaptiveMaxPool, AvgPool, MaxPool, Pad, PadWith, Upsample
from .build import Rebuild, build
from .layers import by_axes, even, flat_pads


def _usual(op: MaxPool | AvgPool) -> bool:
    """Whether torch's pooling takes the padding: as much at both ends, and no window inside it."""
    reach = [d * (k - 1) + 1 for k, d in zip(op.kernel, op.dilation, strict=True)]
    return even(op.padding) and all(2 * before <= n for (before, _), n in zip(op.padding, reach, strict=True))


@build(MaxPool)
def _max_pool(r: Rebuild, node: Node, op: MaxPool) -> fx.Node:
    (x,) = r.ins(node)
    pool = by_axes(r, node, len(op.kernel), F.max_pool1d, F.max_pool2d, F.max_pool3d)
    if _usual(op):
        padding = tuple(before for before, _ in op.padding)
        return r.call(pool, x, op.kernel, op.stride, padding, op.dilation, op.ceil_mode)
    x = r.call(F.pad, x, flat_pads(op.pads(r.value(node).shape[1:])), value=float("-inf"))
    return r.call(pool, x, op.kernel, op.stride, 0, op.dilation)


@build(AvgPool)
def _avg_pool(r: Rebuild, node: Node, op: AvgPool) -> fx.Node:
    (x,) = r.ins(node)
    if _usual(op) and all(d == 1 for d in op.dilation):
        pool = by_axes(r, node, len(op.kernel), F.avg_pool1d, F.avg_pool2d, F.avg_pool3d)
        padding = tuple(before for before, _ in op.padding)
        return r.call(pool, x, op.kernel, op.stride, padding, op.ceil_mode, op.count_padding)
    # Torch's has no one-sided padding and no dilation; a convolution with ones sums the windows up.
    size, channels = r.value(node).shape[1:], r.value(node).channels
    conv = by_axes(r, node, len(op.kernel), F.conv1d, F.conv2d, F.conv3d)
    ones = r.tensor(node, "ones", np.ones((channels, 1, *op.kernel), r.source.dtype), trained=False)
    total = r.call(conv, r.call(F.pad, x, flat_pads(op.pads(size))), ones, None, op.stride, 0, op.dilation, channels)
    return r.call(torch.div, total, r.tensor(node, "counts", op.counts(size).astype(r.source.dtype)[None], trained=False))


@build(AdaptiveAvgPool)
def _adaptive_avg(r: Rebuild, node: Node, op: AdaptiveAvgPool) -> fx.Node:
    kind = by_axes(r, node, len(op.places), nn.AdaptiveAvgPool1d, nn.AdaptiveAvgPool2d, nn.AdaptiveAvgPool3d)
    return _adaptive(r, node, op, kind)


@build(AdaptiveMaxPool)
def _adaptive_max(r: Rebuild, node: Node, op: AdaptiveMaxPool) -> fx.Node:
    kind = by_axes(r, node, len(op.places), nn.AdaptiveMaxPool1d, nn.AdaptiveMaxPool2d, nn.AdaptiveMaxPool3d)
    return _adaptive(r, node, op, kind)


def _adaptive(r: Rebuild, node: Node, op: AdaptiveAvgPool, kind: type[nn.Module]) -> fx.Node:
    (x,) = r.ins(node)
    if all(n is None for n in op.places):
        return r.call(torch.clone, x)
    return r.layer(node, kind(op.places[0] if len(op.places) == 1 else op.places), x)


@build(Upsample)
def _upsample(r: Rebuild, node: Node, op: Upsample) -> fx.Node:
    linear = by_axes(r, node, len(r.value(node).shape) - 1, "linear", "bilinear", "trilinear")
    mode = {"linear": linear, "nearest_exact": "nearest-exact"}.get(op.kind, op.kind)
    size = op.size if op.scale is None else None
    layer = nn.Upsample(size, op.scale, mode, op.align_corners if op.kind == "linear" else None)
    return r.layer(node, layer, *r.ins(node))


@build(Pad)
def _pad(r: Rebuild, node: Node, op: Pad) -> fx.Node:
    return r.call(F.pad, *r.ins(node), flat_pads(op.amount), value=op.fill)


@build(PadWith)
def _pad_with(r: Rebuild, node: Node, op: PadWith) -> fx.Node:
    return r.call(F.pad, *r.ins(node), flat_pads(op.amount), mode=op.mode)
