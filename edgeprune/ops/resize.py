"""Maps made larger or smaller, and padded by what they hold."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..graph import Array, Shape, Value
from .conv import Pads
from .elementwise import Channelwise


@dataclass(frozen=True, eq=False)
class Upsample(Channelwise):
    """Resampling of the spatial axes to `size`, or by `scale` where that is None.

    `kind`: "nearest" (place floor(i / scale)), "nearest_exact" (floor((i + 0.5) / scale)) or "linear" (bilinear on maps).
    With `align_corners` the first and last places of input and output lie on each other, otherwise their outer edges do.
    """

    kind: str
    scale: tuple[float, ...] | None = None
    size: Shape | None = None
    align_corners: bool = False

    def value(self, *ins: Value) -> Value:
        (x,) = ins
        spatial = x.shape[1:]
        if x.axis != 0 or len(spatial) != len(self.size if self.size is not None else self.scale or ()):
            raise ValueError("expected channels and as many spatial axes as there are sizes or scales")
        return Value((x.channels, *self.places(spatial)))

    def places(self, spatial: Sequence[int]) -> Shape:
        if self.size is not None:
            return self.size
        assert self.scale is not None
        return tuple(int(np.floor(n * s)) for n, s in zip(spatial, self.scale, strict=True))

    def sources(self, axis: int, n: int, places: int) -> Array:
        """Where on an input axis of n places the output's places lie, not rounded. float64."""
        step = 1 / self.scale[axis] if self.scale is not None else n / places
        i = np.arange(places)
        # PyTorch rounds both to float32, and a place just below a whole number is that number then.
        if self.kind == "nearest":
            return (i.astype(np.float32) * np.float32(step)).astype(np.float64)
        if self.kind == "nearest_exact":
            return ((i + 0.5) * np.float64(np.float32(step))).astype(np.float32).astype(np.float64)
        if self.align_corners:
            return i * ((n - 1) / (places - 1)) if places > 1 else np.zeros(1)
        return np.maximum((i + 0.5) * step - 0.5, 0)

    def run(self, *arrays: Array) -> Array:
        (x,) = arrays
        for axis, (n, places) in enumerate(zip(x.shape[2:], self.places(x.shape[2:]), strict=True)):
            at = self.sources(axis, n, places)
            low = np.minimum(np.floor(at).astype(np.int64), n - 1)
            if self.kind != "linear":
                x = np.take(x, low, axis + 2)
                continue
            high = np.minimum(low + 1, n - 1)
            share = (at - low).astype(x.dtype).reshape([-1 if i == axis + 2 else 1 for i in range(x.ndim)])
            x = np.take(x, low, axis + 2) * (1 - share) + np.take(x, high, axis + 2) * share
        return x

    def constant(self, ins: Sequence[Value], *constants: Array) -> Array:
        return constants[0]

    def identity(self, ins: Sequence[Value]) -> bool:
        return self.value(*ins) == ins[0] and (self.scale is None or all(s == 1 for s in self.scale))


MODES = {"reflect": "reflect", "replicate": "edge", "circular": "wrap"}


@dataclass(frozen=True, eq=False)
class PadWith(Channelwise):
    """`amount` = (before, after) places around each spatial axis, taken from the map itself.

    `mode`: "reflect" (mirrored, the edge itself not repeated), "replicate" (the edge) or "circular" (the other side).
    """

    mode: str
    amount: Pads

    def value(self, *ins: Value) -> Value:
        (x,) = ins
        if x.axis != 0 or len(x.shape) != len(self.amount) + 1:
            raise ValueError(f"expected channels and {len(self.amount)} spatial axes")
        for n, pair in zip(x.shape[1:], self.amount, strict=True):
            if (self.mode == "reflect" and max(pair) >= n) or (self.mode == "circular" and max(pair) > n):
                raise ValueError(f"{max(pair)} places do not come from an axis of {n}")
        sizes = (n + sum(p) for n, p in zip(x.shape[1:], self.amount, strict=True))
        return Value((x.channels, *sizes))

    def run(self, *arrays: Array) -> Array:
        return np.pad(arrays[0], ((0, 0), (0, 0), *self.amount), mode=MODES[self.mode])  # type: ignore[call-overload,no-any-return]

    def constant(self, ins: Sequence[Value], *constants: Array) -> Array:
        return constants[0]

    def identity(self, ins: Sequence[Value]) -> bool:
        return not any(any(p) for p in self.amount)
