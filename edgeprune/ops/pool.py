"""Pooling."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..graph import Array, Shape, Value
from .conv import Pads, pad_spatial, taps, windows
from .elementwise import Channelwise


@dataclass(frozen=True, eq=False)
class _Pool(Channelwise):
    kernel: Shape
    stride: Shape
    padding: Pads
    dilation: Shape
    ceil_mode: bool = False

    def pads(self, size: Sequence[int]) -> Pads:
        """The padding, with what ceil_mode adds at the end of each axis."""
        if not self.ceil_mode:
            return self.padding
        result = []
        for n, (before, after), k, s, d in zip(size, self.padding, self.kernel, self.stride, self.dilation, strict=True):
            reach = d * (k - 1) + 1
            places = -(-(n + before + after - reach) // s) + 1
            # The last window must start inside the input or its left padding.
            if (places - 1) * s >= n + before:
                places -= 1
            result.append((before, max(after, (places - 1) * s + reach - n - before)))
        return tuple(result)

    def value(self, *ins: Value) -> Value:
        (x,) = ins
        if x.axis != 0 or len(x.shape) != len(self.kernel) + 1:
            raise ValueError(f"expected channels and {len(self.kernel)} spatial axes")
        padded = [n + sum(p) for n, p in zip(x.shape[1:], self.pads(x.shape[1:]), strict=True)]
        places = windows(padded, self.kernel, self.stride, self.dilation)
        if min(places) < 1:
            raise ValueError("the window is larger than the padded input")
        return Value((x.channels, *places))

    def _parts(self, x: Array, fill: float) -> list[Array]:
        padded = pad_spatial(x, self.pads(x.shape[2:]), fill)
        return [part for _, part in taps(padded, self.kernel, self.stride, self.dilation)]


@dataclass(frozen=True, eq=False)
class MaxPool(_Pool):
    """The largest element under each window; padding never wins."""

    def run(self, *arrays: Array) -> Array:
        parts = self._parts(arrays[0], -np.inf)
        best = parts[0].copy()
        for part in parts[1:]:
            np.maximum(best, part, out=best)
        return best

    def constant(self, ins: Sequence[Value], *constants: Array) -> Array:
        return constants[0]


@dataclass(frozen=True, eq=False)
class AvgPool(_Pool):
    """The mean under each window; `count_padding` says whether padded zeros count as elements."""

    count_padding: bool = True

    def run(self, *arrays: Array) -> Array:
        (x,) = arrays
        total = np.add.reduce(self._parts(x, 0.0))
        return (total / self.counts(x.shape[2:])).astype(x.dtype)

    def counts(self, size: Sequence[int]) -> Array:
        """How many elements each window's sum is divided by, [*places]."""
        ones = np.ones((1, 1, *size))
        if self.count_padding:
            # What ceil_mode adds beyond the declared padding never counts.
            ones = pad_spatial(ones, self.padding, 1.0)
            extra = tuple((0, e[1] - p[1]) for e, p in zip(self.pads(size), self.padding, strict=True))
            ones = pad_spatial(ones, extra)
        else:
            ones = pad_spatial(ones, self.pads(size))
        counts: Array = np.add.reduce([p for _, p in taps(ones, self.kernel, self.stride, self.dilation)])[0, 0]
        return counts

    def constant(self, ins: Sequence[Value], *constants: Array) -> Array:
        padded = self.count_padding and any(any(p) for p in self.padding)
        return np.where(padded & (constants[0] != 0), np.nan, constants[0])


def adaptive_windows(n: int, places: int) -> list[tuple[int, int]]:
    """(start, end) of each window of adaptive pooling along one axis."""
    return [(i * n // places, -(-(i + 1) * n // places)) for i in range(places)]


@dataclass(frozen=True, eq=False)
class AdaptiveAvgPool(Channelwise):
    """Means over windows that divide the input into `places` per spatial axis; None keeps an axis.

    `only`: the one input size that the places are known for, where nobody could say what they would be at another.
    """

    places: tuple[int | None, ...]
    only: Shape | None = None

    def _out(self, size: Sequence[int]) -> Shape:
        return tuple(n if p is None else p for n, p in zip(size, self.places, strict=True))

    def value(self, *ins: Value) -> Value:
        (x,) = ins
        if x.axis != 0 or len(x.shape) != len(self.places) + 1:
            raise ValueError(f"expected channels and {len(self.places)} spatial axes")
        if self.only is not None and x.shape[1:] != self.only:
            raise ValueError(
                f"it was captured at {self.only}, where an axis that is kept and one that is pooled to its own size look alike; "
                "make it a layer (nn.AdaptiveAvgPool2d) or capture the network at the size it is to have"
            )
        return Value((x.channels, *self._out(x.shape[1:])))

    def run(self, *arrays: Array) -> Array:
        (x,) = arrays
        for axis, (n, places) in enumerate(zip(x.shape[2:], self._out(x.shape[2:]), strict=True), start=2):
            if places == n:
                continue
            means = [x.take(range(a, b), axis).mean(axis, keepdims=True) for a, b in adaptive_windows(n, places)]
            x = np.concatenate(means, axis)
        return x

    def constant(self, ins: Sequence[Value], *constants: Array) -> Array:
        return constants[0]


@dataclass(frozen=True, eq=False)
class AdaptiveMaxPool(AdaptiveAvgPool):
    """Largest elements over windows that divide the input into `places` per spatial axis; None keeps an axis."""

    def run(self, *arrays: Array) -> Array:
        (x,) = arrays
        for axis, (n, places) in enumerate(zip(x.shape[2:], self._out(x.shape[2:]), strict=True), start=2):
            if places == n:
                continue
            best = [x.take(range(a, b), axis).max(axis, keepdims=True) for a, b in adaptive_windows(n, places)]
            x = np.concatenate(best, axis)
        return x


@dataclass(frozen=True, eq=False)
class Mean(Channelwise):
    """The mean over all axes but the channels', which alone remain."""

    def value(self, *ins: Value) -> Value:
        return Value((ins[0].channels,))

    def run(self, *arrays: Array) -> Array:
        (x,) = arrays
        return x.mean(tuple(range(2, x.ndim)))  # type: ignore[no-any-return]

    def constant(self, ins: Sequence[Value], *constants: Array) -> Array:
        return constants[0]
