"""Layers with weights: torch's own of the same name."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import fx, nn

from ..graph import Array, Node
from ..ops import BatchNorm, Conv, ConvTranspose, Embedding, GroupNorm, LayerNorm, Linear, Normalize, PReLU
from ..ops.conv import Pads
from .build import Rebuild, build

# Their parameters come from the graph.
EMPTY: Any = {"device": "meta"}


def flat_pads(pads: Pads) -> list[int]:
    """(before, after) per axis as torch.nn.functional.pad takes them: last axis first."""
    return [n for pair in reversed(pads) for n in pair]


def even(pads: Pads) -> bool:
    return all(before == after for before, after in pads)


def by_axes(r: Rebuild, node: Node, axes: int, *kinds: Any) -> Any:
    """The one of three for maps of one, two and three axes."""
    if not 1 <= axes <= 3:
        raise r.refusal(node, f"{axes} spatial axes")
    return kinds[axes - 1]


def on_dim(r: Rebuild, node: Node, x: fx.Node, axis: int, dim: int, module: nn.Module, **weights: Array | None) -> fx.Node:
    """A layer whose channels lie on a dim of its own, on a value whose channels lie on `axis`."""
    if dim % (len(r.value(node).shape) + 1) == axis + 1:
        return r.layer(node, module, x, **weights)
    made = r.layer(node, module, r.call(torch.movedim, x, axis + 1, dim), **weights)
    return r.call(torch.movedim, made, dim, axis + 1)


@build(Linear)
def _linear(r: Rebuild, node: Node, op: Linear) -> fx.Node:
    outs, ins = op.weight.shape
    layer = nn.Linear(ins, outs, bias=op.bias is not None, **EMPTY)
    return r.layer(node, layer, *r.ins(node), weight=op.weight, bias=op.bias)


@build(Conv)
def _conv(r: Rebuild, node: Node, op: Conv) -> fx.Node:
    (x,) = r.ins(node)
    padding = tuple(before for before, _ in op.padding)
    if not even(op.padding):
        x = r.call(F.pad, x, flat_pads(op.padding))
        padding = (0,) * len(op.padding)
    kind = by_axes(r, node, len(op.kernel), nn.Conv1d, nn.Conv2d, nn.Conv3d)
    ins, outs = op.weight.shape[1] * op.groups, op.weight.shape[0]
    layer = kind(ins, outs, op.kernel, op.stride, padding, op.dilation, op.groups, bias=op.bias is not None, **EMPTY)
    return r.layer(node, layer, x, weight=op.weight, bias=op.bias)


@build(ConvTranspose)
def _conv_transpose(r: Rebuild, node: Node, op: ConvTranspose) -> fx.Node:
    axes = len(op.kernel)
    kind = by_axes(r, node, axes, nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
    # Torch adds fewer places than the windows are apart or wide; the others come behind, where nothing but the bias is.
    usual = all(e < max(s, d) for e, s, d in zip(op.extra, op.stride, op.dilation, strict=True))
    padding, extra, bias = (op.padding, op.extra, op.bias) if usual else ((0,) * axes, (0,) * axes, None)
    layer = kind(len(op.weight), op.outs, op.kernel, op.stride, padding, extra, op.groups, bias is not None, op.dilation, **EMPTY)
    made = r.layer(node, layer, *r.ins(node), weight=op.weight, bias=bias)
    if usual:
        return made
    made = r.call(F.pad, made, flat_pads(tuple((-p, e - p) for p, e in zip(op.padding, op.extra, strict=True))))
    if op.bias is None:
        return made
    return r.call(torch.add, made, r.tensor(node, "bias", op.bias.reshape(-1, *(1,) * axes), trained=True))


@build(BatchNorm)
def _batch_norm(r: Rebuild, node: Node, op: BatchNorm) -> fx.Node:
    axes = max(len(r.value(node).shape) - 1, 1)
    layer = by_axes(r, node, axes, nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d)(len(op.weight), eps=op.eps)
    layer.running_mean, layer.running_var = torch.from_numpy(np.array(op.mean)), torch.from_numpy(np.array(op.var))
    return r.layer(node, layer, *r.ins(node), weight=op.weight, bias=op.bias)


@build(LayerNorm)
def _layer_norm(r: Rebuild, node: Node, op: LayerNorm) -> fx.Node:
    (x,) = r.ins(node)
    if op.absent or op.counted is not None:
        return _part_norm(r, node, op, x)
    channels = len(op.weight)
    if op.centred:
        layer: nn.Module = nn.LayerNorm(channels, op.eps, bias=op.bias is not None, **EMPTY)
        return on_dim(r, node, x, op.axis, -1, layer, weight=op.weight, bias=op.bias)
    made = on_dim(r, node, x, op.axis, -1, nn.RMSNorm(channels, op.eps, **EMPTY), weight=op.weight)
    return made if op.bias is None else r.call(torch.add, made, _per_channel(r, node, "bias", op.bias, op.axis))


def _per_channel(r: Rebuild, node: Node, name: str, array: Array, axis: int) -> fx.Node:
    shape = [-1 if i == axis else 1 for i in range(len(r.value(node).shape))]
    return r.tensor(node, name, array.reshape(shape), trained=True)


def _part_norm(r: Rebuild, node: Node, op: LayerNorm, x: fx.Node) -> fx.Node:
    """Statistics over some of the channels and over constants that left the network, spelled out."""
    dim, part = op.axis + 1, x
    if op.counted is not None:
        part = r.call(torch.index_select, x, dim, r.tensor(node, "counted", np.flatnonzero(op.counted), trained=False))
    count = (len(op.weight) if op.counted is None else int(op.counted.sum())) + op.absent
    if op.centred:
        mean = r.call(torch.div, r.call(torch.add, r.call(torch.sum, part, [dim], True), op.absent * op.absent_mean), count)
        x, part = r.call(torch.sub, x, mean), r.call(torch.sub, part, mean)
    spread = r.call(torch.sum, r.call(torch.mul, part, part), [dim], True)
    rest = op.absent_spread
    if op.centred and op.absent:
        away = r.call(torch.sub, mean, op.absent_mean)
        spread = r.call(torch.add, spread, r.call(torch.mul, r.call(torch.mul, away, away), op.absent))
    else:
        rest += op.absent * op.absent_mean**2
    spread = r.call(torch.add, spread, rest)
    made = r.call(torch.div, x, r.call(torch.sqrt, r.call(torch.add, r.call(torch.div, spread, count), op.eps)))
    made = r.call(torch.mul, made, _per_channel(r, node, "weight", op.weight, op.axis))
    return made if op.bias is None else r.call(torch.add, made, _per_channel(r, node, "bias", op.bias, op.axis))


@build(GroupNorm)
def _group_norm(r: Rebuild, node: Node, op: GroupNorm) -> fx.Node:
    layer = nn.GroupNorm(op.groups, len(op.weight), op.eps, **EMPTY)
    return r.layer(node, layer, *r.ins(node), weight=op.weight, bias=op.bias)


@build(Normalize)
def _normalize(r: Rebuild, node: Node, op: Normalize) -> fx.Node:
    return r.call(F.normalize, *r.ins(node), dim=op.axis + 1, eps=op.eps)


@build(PReLU)
def _prelu(r: Rebuild, node: Node, op: PReLU) -> fx.Node:
    (x,) = r.ins(node)
    return on_dim(r, node, x, op.axis, 1, nn.PReLU(len(op.weight), **EMPTY), weight=op.weight)


@build(Embedding)
def _embedding(r: Rebuild, node: Node, op: Embedding) -> fx.Node:
    index = r.graph.call_method("long", tuple(r.ins(node)))
    rows, channels = op.weight.shape
    return r.layer(node, nn.Embedding(rows, channels, _weight=torch.empty(rows, channels, **EMPTY)), index, weight=op.weight)
