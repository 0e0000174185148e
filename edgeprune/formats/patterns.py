"""What a format needs to know about a node, whatever its layout."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..graph import Array
from ..ops import AvgPool
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
