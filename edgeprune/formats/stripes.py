"""Convolutions whose filters keep some taps: what runtimes that have no such operator can say of them.

Three ordinary convolutions: of each stripe (what a filter reads at one tap) with the map; of each result with a single 1, which
moves it to where its filter wants it; and of zeros and ones, which add up what belongs to one filter.

    Before:  y = Conv(x, weight)                    taps x channels products for each filter and place
    After:   y = Conv(DepthwiseConv(Conv(x, stripes), shifts), sums)        only stripes that were kept are multiplied

A tap that no filter keeps, at the edge of the kernel, leaves it: `cropped`.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from ..graph import Array, Mask
from ..ops import Conv
from ..sparse import Costs

# Both runtimes work on blocks of channels; with a number that does not divide, onnxruntime shifts one channel after the other.
GRAIN = 8


@dataclass(frozen=True, eq=False)
class Stripes:
    """A convolution and the stripes its filters kept."""

    op: Conv
    kept: Mask  # [filters, *kernel]

    @staticmethod
    def of(op: Conv) -> Stripes | None:
        """None where there is nothing to leave out: a single tap, all stripes or none, several groups."""
        kept = (op.weight != 0).any(1)
        return Stripes(op, kept) if op.groups == 1 and math.prod(op.kernel) > 1 and 0 < kept.sum() < kept.size else None

    @property
    def table(self) -> Array:
        """The stripes themselves, [stripes, channels], filter by filter and tap by tap."""
        return np.ascontiguousarray(np.moveaxis(self.op.weight, 1, -1)[self.kept])

    @property
    def index(self) -> Array:
        """[filters, *kernel]: which stripe is there, counted from 1; 0 where there is none."""
        return np.where(self.kept, np.cumsum(self.kept).reshape(self.kept.shape), 0)

    @property
    def width(self) -> int:
        """How many channels there are between the three convolutions."""
        return -(-int(self.kept.sum()) // GRAIN) * GRAIN

    def convolutions(self) -> tuple[Conv, Conv, Conv]:
        """(stripes, shifts, sums): one after the other they are the convolution."""
        op, (filters, *taps), ones = self.op, np.nonzero(self.kept), (1,) * len(self.op.kernel)
        outs, channels, dtype = len(op.weight), op.weight.shape[1], op.weight.dtype
        places = np.arange(len(filters))
        stripes = np.zeros((self.width, channels), dtype)
        stripes[places] = self.table
        shifts = np.zeros((self.width, *op.kernel), dtype)
        shifts[(places, *taps)] = 1  # type: ignore[index]
        sums = np.zeros((outs, self.width), dtype)
        sums[filters, places] = 1
        unpadded = ((0, 0),) * len(ones)
        return (
            Conv(stripes.reshape(*stripes.shape, *ones), None, ones, unpadded, ones),
            replace(op, weight=shifts[:, None], bias=None, groups=self.width, least=()),
            Conv(sums.reshape(*sums.shape, *ones), op.bias, ones, unpadded, ones),
        )

    def us(self, read: int, made: int, costs: Costs) -> tuple[float, float]:
        """Microseconds of the first two convolutions and of the last, if dense; of maps of `read` places that make `made`."""
        width, (outs, channels, *kernel) = self.width, self.op.weight.shape
        taps = math.prod(kernel)
        stripes = costs.dense("pointwise", width * channels * read, 4 * width * channels)
        shifts = costs.dense("depthwise", width * taps * made, 4 * width * taps)
        return stripes + shifts, costs.dense("pointwise", outs * width * made, 4 * outs * width)


def cropped(op: Conv) -> Conv:
    """The same convolution without rows and columns of taps that no filter keeps, as far as padding makes up for them."""
    live = (op.weight != 0).any((0, 1))
    if not live.any():
        return op
    cuts = [_cut(live.any(tuple(j for j in range(live.ndim) if j != i)), op.padding[i], d) for i, d in enumerate(op.dilation)]
    if not any(map(any, cuts)):
        return op
    inside = tuple(slice(first, k - last) for k, (first, last) in zip(op.kernel, cuts, strict=True))
    padding = tuple(
        (before - first * d, after - last * d)
        for (before, after), (first, last), d in zip(op.padding, cuts, op.dilation, strict=True)
    )
    return replace(op, weight=np.ascontiguousarray(op.weight[(slice(None), slice(None), *inside)]), padding=padding)


def _cut(live: Mask, padding: Sequence[int], dilation: int) -> tuple[int, int]:
    """How many taps of an axis leave, in front and behind."""
    taps = np.flatnonzero(live)
    ends = (int(taps[0]), len(live) - 1 - int(taps[-1]))
    return min(ends[0], padding[0] // dilation), min(ends[1], padding[1] // dilation)
