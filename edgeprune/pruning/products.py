"""What becomes of signals that are multiplied: by constants, by each other, in attention. A part of neutral.py's table."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor

from ..errors import EdgepruneError
from .neutral import Call, Edges, Signal, broadcast, means, stretched, two


@means("mul", "multiply")
def _product(call: Call) -> Signal:
    a, b = two(call)
    if isinstance(a, Signal) and isinstance(b, Signal):
        return _both(call, a, b)
    signal, constant = (a, b) if isinstance(a, Signal) else (b, a)
    if call.learned or not isinstance(constant, Tensor):
        # A learned scale may be zero now and not after training; the scalar 0 is nobody's scale.
        return stretched(signal, constant)
    return replace(signal, value=stretched(signal, constant).value * (constant != 0).to(signal.value.dtype))


@means("div", "true_divide")
def _quotient(call: Call) -> Signal:
    a, b = two(call)
    if not isinstance(b, Signal):
        return stretched(a, b)
    b = replace(b, open=True)  # a divisor is never zero
    return _both(call, a, b) if isinstance(a, Signal) else stretched(b, a)


def _both(call: Call, a: Signal, b: Signal) -> Signal:
    if a.open and b.open:
        return Signal(call.semiring.join(*broadcast(a.value, b.value)), open=True)
    left = call.semiring.open(a.value) if a.open else a.value
    right = call.semiring.open(b.value) if b.open else b.value
    return Signal(call.semiring.both(*broadcast(left, right)))


@means("matmul", "bmm", "einsum", "mm")
def _contraction(call: Call) -> Signal:
    equation = call.args.get("equation")
    a, b = call.args["tensors"] if equation else two(call)
    if isinstance(b, Edges) and not equation and isinstance(a, Signal):
        return Signal(call.semiring.layer(lambda x, w: F.linear(x, w), None, a.value, b.value.t()))
    if not (isinstance(a, Signal) and isinstance(b, Signal)):
        if isinstance(a, Edges) or isinstance(b, Edges):
            raise EdgepruneError(f"{call.layer}: a weight enters {call.target} in a form not known; use a linear layer")
        fixed = [v if isinstance(v, Signal) else (v != 0).to(call.semiring.dtype) for v in (a, b)]
        a, b = (v if isinstance(v, Signal) else Signal(v) for v in fixed)

    def run(left: Tensor, right: Tensor) -> Tensor:
        return torch.einsum(equation, left, right) if equation else torch.matmul(left, right)

    opened = "a" if a.open else "b" if b.open else ""
    if equation:
        return Signal(_einsum(call, equation, run, a, b, opened))
    return Signal(call.semiring.contract(run, a.value, b.value, opened))


def _einsum(call: Call, equation: str, run: Callable[[Tensor, Tensor], Tensor], a: Signal, b: Signal, opened: str) -> Tensor:
    """An einsum as a batched matrix product, so that every semiring knows it."""
    left, rest = equation.replace(" ", "").split(",")
    right, out = rest.split("->")
    batch = [c for c in out if c in left and c in right]
    summed = [c for c in left if c in right and c not in out]
    mine, yours = [c for c in left if c not in right], [c for c in right if c not in left]
    size = {c: n for letters, v in ((left, a.value), (right, b.value)) for c, n in zip(letters, v.shape, strict=True)}
    if len({*left}) != len(left) or len({*right}) != len(right) or sorted(out) != sorted(batch + mine + yours):
        raise EdgepruneError(f"{call.layer}: einsum {equation} is not a batched matrix product")

    def folded(value: Tensor, letters: str, rows: list[str], columns: list[str]) -> Tensor:
        ordered = value.permute([letters.index(c) for c in (*batch, *rows, *columns)])
        return ordered.reshape([size[c] for c in batch] + [_volume(size, rows), _volume(size, columns)])

    value = call.semiring.contract(
        torch.matmul, folded(a.value, left, mine, summed), folded(b.value, right, summed, yours), opened
    )
    value = value.reshape([size[c] for c in (*batch, *mine, *yours)])
    return value.permute([(*batch, *mine, *yours).index(c) for c in out])


def _volume(size: dict[str, int], letters: list[str]) -> int:
    volume = 1
    for letter in letters:
        volume *= size[letter]
    return volume


@means("scaled_dot_product_attention")
def _attention(call: Call) -> Signal:
    q, k, v, mask = (call.args[key] for key in ("query", "key", "value", "attn_mask"))
    if isinstance(mask, Signal) or not all(isinstance(x, Signal) for x in (q, k, v)):
        raise EdgepruneError(f"{call.layer}: attention whose mask is computed, or whose factors are constant, is not known here")
    allowed = None
    if call.args["is_causal"]:
        allowed = torch.ones(q.value.shape[-2], k.value.shape[-2]).tril()
    elif mask is not None:
        allowed = (mask if mask.dtype == torch.bool else mask > -torch.inf).float()
    return Signal(call.semiring.attend(q.value, k.value, v.value, allowed))
