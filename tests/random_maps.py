"""Random layers on maps of one or two spatial axes."""

from __future__ import annotations

import numpy as np
from random_builder import Builder

from edgeprune.graph import Value
from edgeprune.ops import (
    Activation,
    AdaptiveAvgPool,
    AdaptiveMaxPool,
    Add,
    AvgPool,
    BatchNorm,
    Binary,
    Concat,
    Conv,
    ConvTranspose,
    GroupNorm,
    Join,
    MaxPool,
    Mul,
    Pad,
    PadWith,
    Rearrange,
    Roll,
    Scatter,
    Select,
    Slice,
    Upsample,
)


class Maps(Builder):
    """Values (C, H, W) and (C, L)."""

    def spatial(self, x: str) -> int:
        return len(self.values[x].shape) - 1

    def conv(self, x: str, out: int | None = None, keep_size: bool = False) -> str:
        value, axes = self.values[x], self.spatial(x)
        channels = value.channels
        kernel = int(self.rng.choice([1, 3, 3, 5 if min(value.shape[1:]) >= 5 else 3]))
        if min(value.shape[1:]) < kernel:
            kernel = 1
        dilation = 2 if kernel == 3 and min(value.shape[1:]) >= 5 and self.chance(0.2) else 1
        reach = dilation * (kernel - 1)
        stride = 1 if keep_size else int(self.rng.choice([1, 1, 2]))
        padding = ((reach // 2, reach - reach // 2) if keep_size or self.chance(0.7) else (0, 0),) * axes
        if not keep_size and self.chance(0.15):
            padding = ((0, 1), (1, 0))[:axes]
        groups, out = 1, out or int(self.rng.integers(1, 7))
        kind = self.rng.random()
        if kind < 0.2:
            groups, out = channels, channels if keep_size else channels * int(self.rng.choice([1, 1, 2]))
        elif kind < 0.35 and channels % 2 == 0 and out % 2 == 0:
            groups = 2
        if keep_size and out % groups:
            groups = 1
        weight = self.sparse(out, channels // groups, *(kernel,) * axes)
        return self.add(Conv(weight, self.bias(out), (stride,) * axes, padding, (dilation,) * axes, groups), x)

    def batch_norm(self, x: str) -> str:
        n = self.values[x].channels
        scale, shift = self.numbers(n), self.numbers(n)
        scale[self.rng.random(n) < 0.15] = 0
        shift[self.rng.random(n) < 0.3] = 0
        return self.add(BatchNorm(scale, shift, self.numbers(n), np.abs(self.numbers(n)) + self.dtype(0.5)), x)

    def pool(self, x: str) -> str:
        if min(self.values[x].shape[1:]) < 3:
            return x
        axes, kernel = self.spatial(x), int(self.rng.choice([2, 3]))
        pad = ((1, 1) if kernel == 3 and self.chance(0.5) else (0, 0),) * axes
        settings = ((kernel,) * axes, (2,) * axes, pad, (1,) * axes, self.chance(0.3))
        return self.add(MaxPool(*settings) if self.chance(0.5) else AvgPool(*settings, self.chance(0.5)), x)

    def residual(self, x: str) -> str:
        y = self.conv(x, self.values[x].channels, keep_size=True)
        if self.chance(0.7):
            y = self.batch_norm(y)
        return self.add(Add(), x, y) if self.values[y] == self.values[x] else y

    def gate(self, x: str) -> str:
        """Squeeze and excite."""
        n, axes = self.values[x].channels, self.spatial(x)
        y = self.add(AdaptiveAvgPool((1,) * axes), x)
        y = self.add(Conv(self.sparse(2, n, *(1,) * axes), self.bias(2), *self.plain_settings(axes)), y)
        y = self.activation(y)
        y = self.add(Conv(self.sparse(n, 2, *(1,) * axes), self.bias(n), *self.plain_settings(axes)), y)
        return self.add(Mul(), x, self.add(Activation("hard_sigmoid"), y))

    @staticmethod
    def plain_settings(axes: int) -> tuple[tuple[int, ...], tuple[tuple[int, int], ...], tuple[int, ...]]:
        return (1,) * axes, ((0, 0),) * axes, (1,) * axes

    def branch(self, x: str) -> str:
        a, b = self.conv(x, keep_size=True), self.conv(x, keep_size=True)
        if self.values[a].shape[1:] != self.values[b].shape[1:]:
            return a
        return self.add(Concat(), a, b, x)

    def move(self, x: str) -> str:
        """Slices, shuffles and zero channels, places cut and padded."""
        n, kind, axes = self.values[x].channels, self.rng.integers(6), self.spatial(x)
        if kind == 0:
            return self.add(Select(self.rng.permutation(n)), x)
        if kind == 1:
            index = np.concatenate([[-1], np.arange(n)[:: int(self.rng.integers(1, 3))], [-1]])
            return self.add(Scatter(index, fill=self.numbers(2)) if self.whole and self.chance(0.7) else Select(index), x)
        if kind in (2, 5) and min(self.values[x].shape[1:]) >= 3:
            return self.add(Slice((0,) * axes, (None,) * axes, (2,) * axes), x)
        if kind == 3 and n % 2 == 0:  # a channel shuffle
            return self.add(Select(np.arange(n).reshape(2, -1).T.reshape(-1)), x)
        return self.add(Pad(((1, 0), (0, 1))[:axes], 0.5 if self.whole and self.chance(0.3) else 0.0), x)

    def bottleneck(self, x: str) -> str:
        """Many channels for a padded depthwise convolution, most of them constant: the border is what they differ by."""
        n, axes = self.values[x].channels, self.spatial(x)
        wide = int(self.rng.integers(20, 40))
        first = self.sparse(wide, n, *(1,) * axes)
        first[self.rng.random(wide) < 0.7] = 0
        y = self.add(Conv(first, self.numbers(wide), *self.plain_settings(axes)), x)
        kernel = self.sparse(wide, 1, *(3,) * axes)
        y = self.add(Conv(kernel, self.bias(wide), (1,) * axes, ((1, 1),) * axes, (1,) * axes, wide), y)
        if self.chance(0.7):
            y = self.add(Activation(str(self.rng.choice(["relu", "relu6", "hard_swish"]))), y)
        return self.add(Conv(self.sparse(n, wide, *(1,) * axes), self.bias(n), *self.plain_settings(axes)), y)

    def group_norm(self, x: str) -> str:
        n = self.values[x].channels
        groups = int(self.rng.choice([g for g in (1, 2, 3, n) if n % g == 0]))
        scale = self.numbers(n)
        scale[self.rng.random(n) < 0.3] = 0
        return self.add(GroupNorm(scale, self.numbers(n), groups, 0.1), x)

    # -- of two spatial axes ---------------------------------------------------------------------------------------

    def pixels(self, x: str) -> str:
        """Channels become places, or places channels."""
        c, h, w = self.values[x].shape
        if c % 4 == 0 and self.chance(0.5):
            return self.add(Rearrange(((-1, 2, 2), (-1,), (-1,)), (0, 3, 1, 4, 2), (1, 2, 2), 0, 0), x)
        if h % 2 == 0 and w % 2 == 0:
            return self.add(Rearrange(((-1,), (-1, 2), (-1, 2)), (0, 2, 4, 1, 3), (3, 1, 1), 0, 0), x)
        return self.add(Roll((0, 1, -2)), x)

    def two_values(self, x: str) -> str:
        y = self.conv(x, self.values[x].channels, keep_size=True)
        if self.values[y] != self.values[x]:
            return y
        kind = int(self.rng.integers(4))
        return self.add((Mul(), Binary("max"), Binary("min"), Join(1, 0))[kind], x, y)

    def transposed(self, x: str) -> str:
        n = self.values[x].channels
        groups = int(self.rng.choice([g for g in (1, 1, 2, n) if n % g == 0]))
        weight = self.sparse(n, int(self.rng.integers(1, 4)), 2, 3)
        out = weight.shape[1] * groups
        return self.add(ConvTranspose(weight, self.bias(out), (2, 1), (0, 1), (1, 0), (1, 1), groups), x)

    def resize(self, x: str) -> str:
        kind = int(self.rng.integers(5))
        if kind == 0:
            return self.add(Upsample("linear", (1.5, 2.0)), x)
        if kind == 1:
            return self.add(Upsample("nearest", None, (3, 4)), x)
        if min(self.values[x].shape[1:]) < 3:
            return x
        return self.add(PadWith(("replicate", "reflect", "circular")[kind - 2], ((1, 0), (0, 2))), x)

    def nothing(self, x: str) -> str:
        """What settings of nought make of a layer: nothing."""
        n, axes = self.values[x].channels, self.spatial(x)
        kind, one, zero = int(self.rng.integers(7)), np.ones(n, self.dtype), np.zeros(n, self.dtype)
        if kind == 0:
            return self.add(BatchNorm(one, zero, zero, one, 0.0), x)
        if kind == 1:
            return self.add(Pad(((0, 0),) * axes), x)
        if kind == 2:
            return self.add(PadWith("replicate", ((0, 0),) * axes), x)
        if kind == 3:
            return self.add(Slice((0,) * axes, (None,) * axes, (1,) * axes), x)
        if kind == 4:
            return self.add(Upsample("linear", (1.0,) * axes), x)
        if kind == 5:
            return self.add(Select(np.arange(n)), x)
        return self.add(Rearrange(((-1,),) * (axes + 1), tuple(range(axes + 1)), (1,) * (axes + 1), 0, 0), x)

    def sized(self, x: str) -> str:
        """The map at another size, by pooling or resampling; often read in part."""
        kind = int(self.rng.integers(4))
        if kind == 3:
            y = self.add((AdaptiveMaxPool if self.chance(0.6) else AdaptiveAvgPool)((3, None)), x)
        else:
            y = (self.pool, self.resize, self.move)[kind](x)
        return self.conv(y) if self.chance(0.6) else y

    def small_enough(self, x: str) -> str:
        """The map with fewer channels and places, where there are many."""
        axes = self.spatial(x)
        if self.values[x].channels > 24:
            x = self.conv(x, 6)
        if self.whole and self.values[x].positions > 150:
            x = self.add(Slice((0,) * axes, (None,) * axes, (2,) * axes), x)
        return x

    def a_map(self) -> str:
        return self.input(Value((int(self.rng.integers(1, 4)), int(self.rng.integers(5, 9)), int(self.rng.integers(5, 9)))))
