"""Three ways of following signals through a network's graph: whether any arrives, how much, and how strong the best path is.

All replace the arithmetic of a network by that of a semiring; which operation of the network is which of these methods
is said once, in neutral.py. Values are never negative and zero means that nothing arrives.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol, cast

import torch
import torch.nn.functional as F
from torch import Tensor

BLOCK = 1 << 23  # elements of the largest intermediate array of a widest-path product: 32 MB


Layer = Callable[[Tensor, Tensor], Tensor]
Pool = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Conv:
    """Where a convolution reads, one entry per space dimension; padding is (before, after)."""

    stride: tuple[int, ...]
    padding: tuple[tuple[int, int], ...]
    dilation: tuple[int, ...]
    groups: int
    transposed: bool = False

    def lifted(self) -> Conv:
        """The same along the last of two dimensions."""
        return replace(self, stride=(1, *self.stride), padding=((0, 0), *self.padding), dilation=(1, *self.dilation))


class Semiring(Protocol):
    source: float  # what enters at the inputs
    dtype: torch.dtype

    def layer(self, call: Layer, conv: Conv | None, x: Tensor, edges: Tensor) -> Tensor:
        """A convolution or linear layer; `call(x, edges)` computes it in ordinary arithmetic."""

    def join(self, a: Tensor, b: Tensor) -> Tensor: ...
    def both(self, a: Tensor, b: Tensor) -> Tensor: ...
    def open(self, gate: Tensor) -> Tensor:
        """A gate that lets a signal pass even if nothing reaches the gate itself (sigmoid, softmax)."""

    def contract(self, call: Layer, a: Tensor, b: Tensor, opened: str) -> Tensor:
        """A matrix product of two signals; `opened` says which factor is an open gate: "", "a" or "b"."""

    def attend(self, q: Tensor, k: Tensor, v: Tensor, allowed: Tensor | None) -> Tensor: ...
    def pool(self, average: Pool, largest: Pool, x: Tensor) -> Tensor: ...
    def reduce(self, x: Tensor, dims: Sequence[int], keepdim: bool) -> Tensor: ...


def _sum_to(g: Tensor, shape: torch.Size) -> Tensor:
    return g.sum_to_size(shape) if g.shape != shape else g


class _Arrives(torch.autograd.Function):
    """1 where something arrives, forwards and backwards: a chain of these neither overflows nor underflows at any depth."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, least: float) -> Tensor:
        ctx.least = least
        return (x > least).to(x.dtype)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        return (grads[0] > ctx.least).to(grads[0].dtype), None


def _arrives(x: Tensor, least: float = 0.0) -> Tensor:
    return cast(Tensor, _Arrives.apply(x, least))  # type: ignore[no-untyped-call]


class Counting:
    """Counts paths, cut to 0 or 1 after every operation. Its gradient is positive exactly on edges that carry signal.

    Whole numbers decide, so 32-bit floats do: a convolution of zeros and ones may come back with rounding noise (a kernel
    library may choose a transformed algorithm), but never half a unit of it; hence the threshold around layers.
    """

    source = 1.0
    dtype = torch.float32

    def layer(self, call: Layer, conv: Conv | None, x: Tensor, edges: Tensor) -> Tensor:
        return _arrives(call(_arrives(x, 0.5), edges), 0.5)

    def join(self, a: Tensor, b: Tensor) -> Tensor:
        return _arrives(a + b)

    def both(self, a: Tensor, b: Tensor) -> Tensor:
        return _arrives(a * b)

    def open(self, gate: Tensor) -> Tensor:
        return gate + 1.0

    def contract(self, call: Layer, a: Tensor, b: Tensor, opened: str) -> Tensor:
        a, b = _arrives(a, 0.5), _arrives(b, 0.5)
        return _arrives(call(self.open(a) if opened == "a" else a, self.open(b) if opened == "b" else b), 0.5)

    def attend(self, q: Tensor, k: Tensor, v: Tensor, allowed: Tensor | None) -> Tensor:
        weights = 1.0 + _arrives(_arrives(q, 0.5) @ _arrives(k, 0.5).transpose(-2, -1), 0.5)
        return _arrives((weights if allowed is None else weights * allowed) @ _arrives(v, 0.5), 0.5)

    def pool(self, average: Pool, largest: Pool, x: Tensor) -> Tensor:
        return _arrives(average(_arrives(x)))

    def reduce(self, x: Tensor, dims: Sequence[int], keepdim: bool) -> Tensor:
        return _arrives(x.sum(list(dims), keepdim=keepdim))


class Flowing:
    """Lets absolute weights multiply and add up: its gradient times the weight is what flows through that edge (SynFlow).

    In 64 bits, for the sums grow with the product of all fan-ins. Where two signals are multiplied the second one is scaled to
    at most 1, so that depth does not square the scale; conservation ends there, but what is positive stays so.
    """

    source = 1.0
    dtype = torch.float64

    def layer(self, call: Layer, conv: Conv | None, x: Tensor, edges: Tensor) -> Tensor:
        return call(x, edges)

    def join(self, a: Tensor, b: Tensor) -> Tensor:
        return a + b

    def both(self, a: Tensor, b: Tensor) -> Tensor:
        return a * _unit(b)

    def open(self, gate: Tensor) -> Tensor:
        return 1.0 + _unit(gate)

    def contract(self, call: Layer, a: Tensor, b: Tensor, opened: str) -> Tensor:
        if opened == "b":
            return call(a, self.open(b))
        return call(self.open(a) if opened == "a" else _unit(a), b)

    def attend(self, q: Tensor, k: Tensor, v: Tensor, allowed: Tensor | None) -> Tensor:
        weights = self.open(_unit(q) @ _unit(k).transpose(-2, -1))
        return (weights if allowed is None else weights * allowed) @ v

    def pool(self, average: Pool, largest: Pool, x: Tensor) -> Tensor:
        return average(x)

    def reduce(self, x: Tensor, dims: Sequence[int], keepdim: bool) -> Tensor:
        return x.mean(list(dims), keepdim=keepdim)


def _unit(x: Tensor) -> Tensor:
    return x / x.detach().max().clamp_min(torch.finfo(x.dtype).tiny)


class _Larger(torch.autograd.Function):
    """max(a, b) whose gradient follows one branch only, also where both are equal: a path does not fork."""

    @staticmethod
    def forward(ctx: Any, a: Tensor, b: Tensor) -> Tensor:
        first = a >= b
        ctx.save_for_backward(first)
        ctx.shapes = a.shape, b.shape
        return torch.where(first, a, b)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor]:
        (first,) = ctx.saved_tensors
        a, b = ctx.shapes
        return _sum_to(grads[0] * first, a), _sum_to(grads[0] * ~first, b)


class _Smaller(torch.autograd.Function):
    """min(a, b) whose gradient follows both branches: both signals are needed."""

    @staticmethod
    def forward(ctx: Any, a: Tensor, b: Tensor) -> Tensor:
        ctx.shapes = a.shape, b.shape
        return torch.minimum(a, b)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor]:
        return _sum_to(grads[0], ctx.shapes[0]), _sum_to(grads[0], ctx.shapes[1])


class _MaxMin(torch.autograd.Function):
    """out[g, o, l] = max over f of min(edges[g, o, f], columns[g, f, l]); the gradient marks the arg max alone."""

    @staticmethod
    def forward(ctx: Any, columns: Tensor, edges: Tensor) -> Tensor:
        first, place = _distinct(columns)
        distinct = columns[:, :, first]
        groups, inputs, places = distinct.shape
        outputs = edges.shape[1]
        best = columns.new_empty(groups, outputs, places)
        arg = torch.empty(groups, outputs, places, dtype=torch.int64)
        some_groups = max(1, BLOCK // max(1, outputs * inputs * places))
        some_outputs = outputs if some_groups > 1 else max(1, BLOCK // max(1, inputs * places))
        for g in range(0, groups, some_groups):
            for o in range(0, outputs, some_outputs):
                part = (slice(g, g + some_groups), slice(o, o + some_outputs))
                narrow = torch.minimum(edges[part].unsqueeze(-1), distinct[part[0]].unsqueeze(1))
                best[part], arg[part] = narrow.max(2)
        ctx.save_for_backward(arg, place)
        ctx.shapes = columns.shape, edges.shape
        return best[:, :, place]

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, Tensor]:
        arg, place = ctx.saved_tensors
        to_columns, to_edges = (grads[0].new_zeros(shape) for shape in ctx.shapes)
        g, o, at = grads[0].nonzero(as_tuple=True)
        # Equal columns share their arg max, but the path goes on from the column that was asked for.
        f = arg[g, o, place[at]]
        paths = grads[0][g, o, at]
        to_columns.index_put_((g, f, at), paths, accumulate=True)
        to_edges.index_put_((g, o, f), paths, accumulate=True)
        return to_columns, to_edges


def _distinct(columns: Tensor) -> tuple[Tensor, Tensor]:
    """(one place per distinct column, which of those each place equals): away from the borders of a map all look alike."""
    flat = columns.reshape(-1, columns.shape[-1])
    every = torch.arange(flat.shape[1])
    if len(every) < 16:
        return every, every
    weights = torch.linspace(1.0, 2.0, flat.shape[0], dtype=torch.float64).square()
    marks = torch.nan_to_num(flat, posinf=3.0e8).double().mul_(weights[:, None]).sum(0)
    unique, place = torch.unique(marks, return_inverse=True)
    first = torch.empty(len(unique), dtype=torch.int64)
    first[place] = every
    # Equal marks are only a sign of equal columns; the columns decide.
    if 2 * len(unique) > len(every) or not torch.equal(flat[:, first][:, place], flat):
        return every, every
    return first, place


class Widest:
    """The best path into every place, where a path is as good as its weakest edge. Its gradient marks the path itself.

    Exact to the pixel, so a path never leaves a small map through its border. Products of two signals are not followed
    (a path through one gated factor is): fewer paths are found there, never wrong ones.
    """

    source = math.inf
    dtype = torch.float32

    def layer(self, call: Layer, conv: Conv | None, x: Tensor, edges: Tensor) -> Tensor:
        if conv is None:  # linear: x [..., inputs], edges [outputs, inputs]
            columns = x.reshape(1, -1, x.shape[-1]).transpose(1, 2)
            return _widest(columns, edges.unsqueeze(0))[0].t().reshape(*x.shape[:-1], edges.shape[0])
        shape = call(torch.zeros_like(x), edges.detach()).shape
        if edges.dim() == 3:
            x, edges, conv = x.unsqueeze(-2), edges.unsqueeze(-2), conv.lifted()
        if edges.dim() != 4:
            return x.new_zeros(shape)
        if conv.transposed:
            x, edges, conv = _as_convolution(x, edges, conv)
        (top, bottom), (left, right) = conv.padding
        patches = F.unfold(F.pad(x, [left, right, top, bottom]), edges.shape[2:], dilation=conv.dilation, stride=conv.stride)
        columns = patches.reshape(conv.groups, -1, patches.shape[-1])
        return _widest(columns, edges.reshape(conv.groups, -1, columns.shape[1])).reshape(shape)

    def join(self, a: Tensor, b: Tensor) -> Tensor:
        return cast(Tensor, _Larger.apply(a, b))  # type: ignore[no-untyped-call]

    def both(self, a: Tensor, b: Tensor) -> Tensor:
        return cast(Tensor, _Smaller.apply(a, b))  # type: ignore[no-untyped-call]

    def open(self, gate: Tensor) -> Tensor:
        return torch.full_like(gate, math.inf)

    def contract(self, call: Layer, a: Tensor, b: Tensor, opened: str) -> Tensor:
        shape = call(a.detach(), b.detach()).shape
        if opened == "a":
            return b.max(-2, keepdim=True).values.expand(shape)
        if opened == "b":
            return a.max(-1, keepdim=True).values.expand(shape)
        return a.new_zeros(shape)

    def attend(self, q: Tensor, k: Tensor, v: Tensor, allowed: Tensor | None) -> Tensor:
        if allowed is None:
            return v.max(-2, keepdim=True).values.expand(*v.shape[:-2], q.shape[-2], v.shape[-1])
        return v.new_zeros(*v.shape[:-2], q.shape[-2], v.shape[-1])

    def pool(self, average: Pool, largest: Pool, x: Tensor) -> Tensor:
        return largest(x)

    def reduce(self, x: Tensor, dims: Sequence[int], keepdim: bool) -> Tensor:
        for dim in sorted((d % x.dim() for d in dims), reverse=True):
            x = x.max(dim, keepdim=keepdim).values
        return x


def _as_convolution(x: Tensor, edges: Tensor, conv: Conv) -> tuple[Tensor, Tensor, Conv]:
    """A transposed convolution is a convolution over the input spread out by the stride, with its kernel turned round."""
    inputs, per_group, *kernel = edges.shape
    wide = x.new_zeros(*x.shape[:2], *((n - 1) * s + 1 for n, s in zip(x.shape[2:], conv.stride, strict=True)))
    wide[:, :, :: conv.stride[0], :: conv.stride[1]] = x
    turned = edges.reshape(conv.groups, inputs // conv.groups, per_group, *kernel).transpose(1, 2).flip(3, 4)
    reach = [d * (k - 1) for d, k in zip(conv.dilation, kernel, strict=True)]
    padding = tuple((r - low, r - high) for r, (low, high) in zip(reach, conv.padding, strict=True))
    return (
        wide,
        turned.reshape(-1, inputs // conv.groups, *kernel),
        replace(conv, stride=(1, 1), padding=padding),
    )


def _widest(columns: Tensor, edges: Tensor) -> Tensor:
    return cast(Tensor, _MaxMin.apply(columns, edges))  # type: ignore[no-untyped-call]
