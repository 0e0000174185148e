"""ATen matrix products: with a weight a linear layer, of two values attention."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import fx

from ..ops import Linear
from . import scores as attention
from .layers import linear
from .layout import Laid
from .masks import is_truth, negated
from .scores import Closed, Length, Scores
from .walk import Walk, lower


def multiplied(walk: Walk, node: fx.Node, x: Any, y: Any) -> Any:
    """`x @ y`."""
    if isinstance(x, Laid) and isinstance(y, torch.Tensor):
        if y.ndim != 2:
            raise walk.unsupported(node, f"a product with a constant of shape {tuple(y.shape)}")
        return linear(walk, node, x, Linear(np.ascontiguousarray(y.detach().cpu().numpy().T)))
    if isinstance(x, Laid) and isinstance(y, Laid):
        return attention.product(walk, node, x, y)
    if isinstance(x, Scores) and isinstance(y, Laid):
        return attention.weighted(walk, node, x, y)
    if isinstance(x, Laid) and isinstance(y, Scores):
        # (v' @ scores') is (scores @ v)'.
        flipped = replace(y, dims=(*y.dims[:-2], y.dims[-1], y.dims[-2]))
        made = attention.weighted(walk, node, flipped, replace(x, dims=(*x.dims[:-2], x.dims[-1], x.dims[-2])))
        return replace(made, dims=(*made.dims[:-2], made.dims[-1], made.dims[-2]))
    raise walk.unsupported(node, "a product of a constant and a value, in this order")


@lower("matmul", "bmm", "mm", "__matmul__")
def _matmul(walk: Walk, node: fx.Node, a: dict[str, Any]) -> Any:
    x, y = a["self"], a.get("other", a.get("mat2"))
    return multiplied(walk, node, x, y)


@lower("baddbmm", "addmm", "addbmm")
def _addmm(walk: Walk, node: fx.Node, a: dict[str, Any]) -> Any:
    x, y = a.get("batch1", a.get("mat1")), a.get("batch2", a.get("mat2"))
    added = a["self"]
    if isinstance(x, Laid) and isinstance(y, torch.Tensor) and isinstance(added, torch.Tensor) and a["beta"] == a["alpha"] == 1:
        return linear(walk, node, x, Linear(np.ascontiguousarray(y.detach().cpu().numpy().T), added.detach().cpu().numpy()))
    result = multiplied(walk, node, x, y)
    if isinstance(result, Scores) and isinstance(added, Laid | Closed) and a["beta"] == 1:
        return attention.added(walk, node, attention.scaled(walk, node, result, a["alpha"]), added)
    if not isinstance(result, Scores) or not isinstance(added, torch.Tensor):
        raise walk.unsupported(node, "it adds to a product that is neither a linear layer nor attention scores")
    result = attention.scaled(walk, node, result, a["alpha"])
    return result if a["beta"] == 0 else attention.biased(walk, node, result, added * a["beta"])


@lower("einsum")
def _einsum(walk: Walk, node: fx.Node, a: dict[str, Any]) -> Any:
    """Two operands that share their leading letters and are multiplied over one more, in any order of letters."""
    equation = a["equation"].replace(" ", "")
    operands = list(a["tensors"])
    inputs, _, output = equation.partition("->")
    first, _, second = inputs.partition(",")
    if len(operands) != 2 or "." in equation or not output or len(set(first)) != len(first) or len(set(second)) != len(second):
        raise walk.unsupported(node, f"einsum {equation!r}; it can be a product of two tensors along one axis")
    x, y = operands
    lead = [c for c in output if c in first and c in second]
    summed = [c for c in first if c in second and c not in output]
    rows, columns = [c for c in first if c not in second], [c for c in second if c not in first]
    if len(summed) != 1 or len(rows) != 1 or len(columns) != 1 or set(output) != {*lead, *rows, *columns}:
        raise walk.unsupported(node, f"einsum {equation!r}; it can be a product of two tensors along one axis")
    x = _permuted(walk, node, x, first, [*lead, *rows, *summed])
    y = _permuted(walk, node, y, second, [*lead, *summed, *columns])
    result = multiplied(walk, node, x, y)
    return _permuted(walk, node, result, "".join([*lead, *rows, *columns]), list(output))


def _permuted(walk: Walk, node: fx.Node, x: Any, letters: str, wanted: list[str]) -> Any:
    order = [letters.index(c) for c in wanted]
    if isinstance(x, torch.Tensor):
        return x.permute(order)
    if isinstance(x, Laid | Scores):
        return replace(x, dims=tuple(x.dims[i] for i in order))
    raise walk.unsupported(node, "it multiplies a length")


@lower("scaled_dot_product_attention")
def _attention(walk: Walk, node: fx.Node, a: dict[str, Any]) -> Laid:
    q, k, v = (walk.laid(node, a[name]) for name in ("query", "key", "value"))
    scale = a["scale"] if a["scale"] is not None else 1 / math.sqrt(q.shape[-1])
    scores = attention.product(walk, node, q, replace(k, dims=(*k.dims[:-2], k.dims[-1], k.dims[-2])))
    scores = attention.scaled(walk, node, scores, scale)
    mask = a["attn_mask"]
    if a["is_causal"]:
        mask = torch.ones(scores.sizes[attention.QUERIES], scores.sizes[attention.KEYS], dtype=torch.bool).tril()
    if isinstance(mask, torch.Tensor):
        if mask.dtype == torch.bool:
            scores = attention.masked(walk, node, scores, ~mask, -math.inf)
        else:
            scores = attention.biased(walk, node, scores, mask)
    elif isinstance(mask, Laid) and is_truth(node, 3, "attn_mask"):
        scores = attention.added(walk, node, scores, Closed(negated(walk, node, mask)))
    elif mask is not None:
        scores = attention.added(walk, node, scores, mask)
    return attention.weighted(walk, node, attention.normalised(walk, node, scores, -1), v)


@lower("linalg_vector_norm", "norm")
def _length(walk: Walk, node: fx.Node, a: dict[str, Any]) -> Length:
    x = walk.laid(node, a["self"])
    order, dims = a.get("ord", a.get("p")), a.get("dim")
    dims = [dims] if isinstance(dims, int) else dims
    if order not in (None, 2, 2.0) or dims is None or len(dims) != 1 or not a["keepdim"]:
        raise walk.unsupported(node, "a length that is not the Euclidean one over one axis, kept as an axis")
    return Length(x, dims[0])
