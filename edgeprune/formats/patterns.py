"""What a format needs to know about a node, whatever its layout."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..graph import Array, Graph, Node, Shape
from ..ops import Attention, AvgPool, Embedding, LayerNorm, Upsample
from ..ops.conv import Pads
from ..ops.pool import adaptive_windows


@dataclass(frozen=True)
class Span:
    """Channels start, start + step, ... (count of them) between `before` and `after` zero channels."""

    start: int
    step: int
    count: int
    before: int
    after: int

    @property
    def stop(self) -> int:
        return self.start + (self.count - 1) * self.step + 1


def span_of(index: Array) -> Span | None:
    """The selection as one span with zeros around it (-1 is a zero channel), or None when it jumps about."""
    taken = np.flatnonzero(index >= 0)
    if not len(taken):
        return None
    first, last = int(taken[0]), int(taken[-1])
    inside = index[first : last + 1]
    steps = np.diff(inside)
    step = int(steps[0]) if len(steps) else 1
    if (inside < 0).any() or step < 1 or (steps != step).any():
        return None
    return Span(int(inside[0]), step, len(inside), first, len(index) - 1 - last)


def range_of(part: slice, size: int) -> range:
    """The places a slice takes of an axis."""
    return range(size)[part]


@dataclass(frozen=True)
class Window:
    """One axis of a convolution or pooling, with what it reads of padding."""

    size: int
    kernel: int
    stride: int
    dilation: int
    before: int
    after: int

    @property
    def reach(self) -> int:
        return self.dilation * (self.kernel - 1) + 1

    @property
    def places(self) -> int:
        return (self.size + self.before + self.after - self.reach) // self.stride + 1

    @property
    def read_after(self) -> int:
        """How much of the padding at the end the last window reaches."""
        return max((self.places - 1) * self.stride + self.reach - self.size - self.before, 0)

    @property
    def padded(self) -> bool:
        return bool(self.before or self.read_after)

    @property
    def same(self) -> bool:
        """Whether padding split evenly, the odd one last, as many places as strides fit, is what this says."""
        places = -(-self.size // self.stride)
        total = max((places - 1) * self.stride + self.reach - self.size, 0)
        return places == self.places and total // 2 == self.before and total - total // 2 == self.read_after


def windows_of(
    size: Sequence[int], kernel: Sequence[int], stride: Sequence[int], dilation: Sequence[int], pads: Pads
) -> tuple[Window, ...]:
    axes = zip(size, kernel, stride, dilation, pads, strict=True)
    return tuple(Window(n, k, s, d, before, after) for n, k, s, d, (before, after) in axes)


def average_corrections(op: AvgPool, size: Sequence[int]) -> tuple[Array | None, Array | None]:
    """What turns means over inside elements, and means over whole windows, into this op's: factors [*places], None for 1."""
    counts = op.counts(size)
    inside = AvgPool(op.kernel, op.stride, op.padding, op.dilation, op.ceil_mode, count_padding=False).counts(size)
    factors = (inside / counts, np.prod(op.kernel) / counts)
    by_inside, by_window = (None if (f == 1).all() else f.astype(np.float32) for f in factors)
    return by_inside, by_window


def adaptive_plan(size: int, places: int | None) -> tuple[str, int, list[tuple[int, int]]]:
    """How adaptive pooling goes along one axis: (way, kernel, windows).

    The way is "keep" (nothing to do), "mean" (one window), "pool" (windows of `kernel` side by side), "pick" (each window is one
    place) or "windows" (they overlap or differ in size).
    """
    if places is None or places == size:
        return "keep", 1, []
    windows = adaptive_windows(size, places)
    if places == 1:
        return "mean", size, windows
    if size % places == 0:
        return "pool", size // places, windows
    if all(b - a == 1 for a, b in windows):
        return "pick", 1, windows
    return "windows", 0, windows


@dataclass(frozen=True)
class Statistics:
    """Mean and variance of a layer norm, written as sums over the channels that are there.

    mean = sum(x * share) + mean_shift;  variance + eps = sum((x - mean)^2 * share) + floor + pull * (centre - mean)^2
    """

    share: Array | None  # what each channel counts for, [channels]; None where a plain mean says it
    mean_shift: float
    floor: float
    pull: float
    centre: float


def statistics_of(op: LayerNorm) -> Statistics:
    if not op.absent and op.counted is None:
        return Statistics(None, 0.0, op.eps, 0.0, 0.0)
    counted = np.ones(len(op.weight), bool) if op.counted is None else op.counted
    count = int(counted.sum()) + op.absent
    shift = op.absent * op.absent_mean / count
    floor = op.absent_spread / count + op.eps
    return Statistics((counted / count).astype(np.float32), shift, floor, op.absent / count, op.absent_mean)


def score_factors(op: Attention, channels: int) -> Array | None:
    """What to multiply the channels of q with so that q k' is the scores, the bias apart; None for nothing.

    Of a cosine attention: once q is divided by its length.
    """
    factors = np.full(channels, op.scale)
    if op.gain is not None:
        factors = factors * np.repeat(op.gain.astype(np.float64), channels // op.heads)
    if op.pairs is not None and op.cosine is None:
        factors = factors * op.pairs
    return None if (factors == 1).all() else factors.astype(np.float32)


def score_bias(op: Attention, lead: Shape, queries: int, keys: int) -> Array | None:
    """The bias of an attention, [sequences or 1, heads or 1, queries, keys]; `lead`: the axes before the places."""
    if op.bias is None:
        return None
    bias = op.bias.reshape((1,) * (len(lead) + 3 - op.bias.ndim) + op.bias.shape)
    before = lead if any(n > 1 for n in bias.shape[:-3]) else (1,) * len(lead)
    bias = np.broadcast_to(bias, (*before, bias.shape[-3], queries, keys))
    return np.ascontiguousarray(bias.reshape(-1, *bias.shape[-3:]))


def moved_groups(sizes: Sequence[int], before: Sequence[int], after: Sequence[int]) -> tuple[list[int], list[int]]:
    """A permutation of factors, as one of fewer and larger factors: (their sizes before, the permutation).

    `sizes` of all factors, which lie in the order `before` and shall lie in the order `after`. The batch, which stays in front,
    is part of the first group; its size is what one example takes of it. Factors that stay side by side make one group.
    """
    before = [-1, *(f for f in before if sizes[f] != 1)]
    after = [-1, *(f for f in after if sizes[f] != 1)]
    starts = [i for i, f in enumerate(after) if i == 0 or before.index(f) != before.index(after[i - 1]) + 1]
    groups = [after[a:b] for a, b in zip(starts, [*starts[1:], len(after)], strict=True)]
    placed = sorted(groups, key=lambda group: before.index(group[0]))
    each = [int(np.prod([1 if f == -1 else sizes[f] for f in group], dtype=np.int64)) for group in placed]
    return each, [placed.index(group) for group in groups]


def resampled(op: Upsample, axis: int, size: int, places: int) -> tuple[Array, Array, Array | None]:
    """(low, high, share): output place i of an axis is input place low[i], and by share[i] high[i]; share None is all low."""
    at = op.sources(axis, size, places)
    low = np.minimum(np.floor(at).astype(np.int64), size - 1)
    share = (at - low).astype(np.float32)
    if op.kind != "linear" or not share.any():
        return low, low, None
    return low, np.minimum(low + 1, size - 1), share


def integer_inputs(graph: Graph) -> frozenset[str]:
    """The inputs that are looked up and nothing else: the files take integers there."""
    return frozenset(
        name
        for name in graph.inputs
        if graph.readers[name] and name not in graph.outputs and all(isinstance(n.op, Embedding) for n in graph.readers[name])
    )


def lookups(graph: Graph) -> list[tuple[Node, frozenset[str]]]:
    """The nodes that look rows up in a table, each with the inputs that say which."""
    known = {name: frozenset({name}) for name in graph.inputs}
    for node in graph.nodes:
        known[node.name] = frozenset().union(*(known[name] for name in node.inputs))
    return [(node, known[node.inputs[0]]) for node in graph.nodes if isinstance(node.op, Embedding)]
