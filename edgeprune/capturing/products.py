"""ATen matrix products: with a weight a linear layer, of two values attention."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from torch import fx

from ..laying import scores as attention
from ..laying.layers import linear
from ..laying.layout import Laid
from ..laying.masks import negated
from ..laying.products import einsum, learned, multiplied
from ..laying.scores import Closed, Scores
from ..ops import Linear
from .masks import is_truth
from .walk import Length, Walk, lower


@lower("matmul", "bmm", "mm", "__matmul__")
def _matmul(walk: Walk, node: fx.Node, a: dict[str, Any]) -> Any:
    return multiplied(walk, node, walk.constant(a["self"]), walk.constant(a.get("other", a.get("mat2"))))


@lower("baddbmm", "addmm", "addbmm")
def _addmm(walk: Walk, node: fx.Node, a: dict[str, Any]) -> Any:
    x, y, added = (walk.constant(each) for each in (a.get("batch1", a.get("mat1")), a.get("batch2", a.get("mat2")), a["self"]))
    if isinstance(x, Laid) and isinstance(y, np.ndarray) and isinstance(added, np.ndarray) and a["beta"] == a["alpha"] == 1:
        return linear(walk, node, x, Linear(np.ascontiguousarray(y.T), added))
    result = multiplied(walk, node, x, y)
    if not isinstance(result, Scores) or (isinstance(added, Laid | Closed) and a["beta"] != 1):
        raise walk.unsupported(node, "it adds to a product that is neither a linear layer nor attention scores")
    result = attention.scaled(walk, node, result, a["alpha"])
    if a["beta"] == 0:
        return result
    return attention.plus(walk, node, result, added * a["beta"] if isinstance(added, np.ndarray) else added)


@lower("einsum")
def _einsum(walk: Walk, node: fx.Node, a: dict[str, Any]) -> Any:
    operands = [walk.constant(each) for each in a["tensors"]]
    if any(isinstance(each, Length) for each in operands):
        raise walk.unsupported(node, "it multiplies a length")
    return einsum(walk, node, a["equation"], operands)


@lower("scaled_dot_product_attention")
def _attention(walk: Walk, node: fx.Node, a: dict[str, Any]) -> Laid:
    given = [walk.constant(a[name]) for name in ("query", "key", "value")]
    q, k, v = (learned(walk, node, x) if isinstance(x, np.ndarray) else walk.laid(node, x) for x in given)
    scale = a["scale"] if a["scale"] is not None else 1 / math.sqrt(q.shape[-1])
    mask = walk.constant(a["attn_mask"])
    if isinstance(mask, Laid) and is_truth(node, 3, "attn_mask"):
        mask = Closed(negated(walk, node, mask))
    return attention.attended(walk, node, q, k, v, scale, mask, a["is_causal"])


@lower("linalg_vector_norm", "norm")
def _length(walk: Walk, node: fx.Node, a: dict[str, Any]) -> Length:
    x = walk.laid(node, a["self"])
    order, dims = a.get("ord", a.get("p")), a.get("dim")
    dims = [dims] if isinstance(dims, int) else dims
    if order not in (None, 2, 2.0) or dims is None or len(dims) != 1 or not a["keepdim"]:
        raise walk.unsupported(node, "a length that is not the Euclidean one over one axis, kept as an axis")
    return Length(x, dims[0])
