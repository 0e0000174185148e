"""Attention and recurrent layers."""

from __future__ import annotations

import operator

import torch
import torch.nn.functional as F
from torch import fx, nn

from ..graph import Array, Node
from ..ops import GRU, LSTM, Attention
from .build import Rebuild, build
from .layers import EMPTY

# A bias of nothing but zeros and numbers below this is a mask: it stays what it is in training.
MASKED = -1e4


@build(Attention)
def _attention(r: Rebuild, node: Node, op: Attention) -> fx.Node:
    q, k, v, *mask = r.ins(node)
    if op.pairs is not None:
        counts = r.tensor(node, "pairs", op.pairs.astype(r.source.dtype), trained=False)
        q = r.call(torch.mul, q, counts)
        # What does not count must not be part of a length either.
        k = r.call(torch.mul, k, counts) if op.cosine is not None else k
    channels = [r.source.values[name].channels for name in node.inputs[:3]]
    q, k, v = (_by_head(r, x, op.heads, n) for x, n in zip((q, k, v), channels, strict=True))
    if op.cosine is not None:
        q, k = (r.call(F.normalize, x, dim=-1, eps=op.cosine) for x in (q, k))
    rank = len(r.value(node).shape) + 2
    added = []
    if op.bias is not None:
        full = op.bias.reshape((1,) * (rank - op.bias.ndim) + op.bias.shape)
        added.append(r.tensor(node, "bias", full, trained=not _is_mask(op.bias)))
    for each in mask:
        # The same for every window and head.
        for _ in range(rank - 3):
            each = r.call(torch.unsqueeze, each, 1)
        added.append(each)
    if op.gain is None and len(added) < 2:
        made = r.call(F.scaled_dot_product_attention, q, k, v, attn_mask=next(iter(added), None), scale=op.scale)
    else:
        scores = r.call(torch.mul, r.call(torch.matmul, q, r.call(torch.transpose, k, -1, -2)), op.scale)
        if op.gain is not None:
            scores = r.call(torch.mul, scores, r.tensor(node, "gain", op.gain.reshape(-1, 1, 1), trained=True))
        for each in added:
            scores = r.call(torch.add, scores, each)
        made = r.call(torch.matmul, r.call(F.softmax, scores, dim=-1), v)
    return r.call(torch.flatten, r.call(torch.transpose, made, -2, -3), -2, -1)


def _by_head(r: Rebuild, x: fx.Node, heads: int, channels: int) -> fx.Node:
    """[..., T, C] as [..., heads, T, C / heads]."""
    return r.call(torch.transpose, r.call(torch.unflatten, x, -1, (heads, channels // heads)), -2, -3)


def _is_mask(bias: Array) -> bool:
    return bool(((bias == 0) | (bias <= MASKED)).all())


@build(LSTM, GRU)
def _recurrent(r: Rebuild, node: Node, op: LSTM | GRU) -> fx.Node:
    (x,) = r.ins(node)
    layer = (nn.LSTM if isinstance(op, LSTM) else nn.GRU)(op.weight.shape[1], op.units, batch_first=True, **EMPTY)
    weights = {
        "weight_ih_l0": op.weight, "weight_hh_l0": op.recurrent, "bias_ih_l0": op.bias, "bias_hh_l0": op.recurrent_bias,
    }  # fmt: skip
    x = r.call(torch.flip, x, [1]) if op.reverse else x
    made = r.call(operator.getitem, r.layer(node, layer, x, **weights), 0)
    return r.call(torch.flip, made, [1]) if op.reverse else made
