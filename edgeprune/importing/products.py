"""ONNX matrix products, and attention in one call."""

from __future__ import annotations

import math
from typing import Any

from ..laying.layout import Laid
from ..laying.products import einsum, multiplied
from ..laying.scores import attended
from ..laying.views import permuted, reshape
from .walk import Call, Walk, lower


@lower("MatMul")
def _matmul(walk: Walk, call: Call, x: Any, y: Any) -> Any:
    return multiplied(walk, call, x, y)


@lower("Einsum")
def _einsum(walk: Walk, call: Call, *operands: Any) -> Any:
    return einsum(walk, call, call.attributes["equation"], operands)


@lower("Attention")
def _attention(walk: Walk, call: Call, q: Any, k: Any, v: Any, mask: Any = None, *past: Any) -> Any:
    if any(p is not None for p in past) or any(call.outputs[1:]) or call.attributes.get("softcap"):
        raise walk.unsupported(call, "it reads or gives a cache, or caps its scores")
    flat = len(walk.laid(call, q).dims) == 3
    counts = [call.attributes.get(name) for name in ("q_num_heads", "kv_num_heads", "kv_num_heads")]
    if flat:
        q, k, v = (_by_head(walk, call, x, heads) for x, heads in zip((q, k, v), counts, strict=True))
    scale = call.attributes.get("scale") or 1 / math.sqrt(q.shape[-1])
    causal = bool(call.attributes.get("is_causal"))
    made = attended(walk, call, q, walk.laid(call, k), walk.laid(call, v), float(scale), mask, causal)
    if not flat:
        return made
    turned = permuted(walk, call, made, (0, 2, 1, 3))
    return reshape(walk, call, turned, (*turned.shape[:2], turned.shape[2] * turned.shape[3]))


def _by_head(walk: Walk, call: Call, x: Any, heads: Any) -> Laid:
    laid = walk.laid(call, x)
    b, t, c = laid.shape
    parts = reshape(walk, call, laid, (b, t, heads, c // heads))
    made: Laid = permuted(walk, call, parts, (0, 2, 1, 3))
    return made
