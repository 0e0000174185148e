"""Convolutions as products with a sparse matrix, which the runtime multiplies without its zeros: it has no sparse convolution.

As patches: for each tap that has weights, the places it meets are cut out; side by side they are the matrix's columns.

    Before:  y = CONV_2D(x, weight)
    After:   y = FULLY_CONNECTED(CONCATENATION(STRIDED_SLICE(x), ...), csr)

As bands: the matrix makes a whole row of places out of the whole rows that its windows meet, so that nothing is cut but rows. The
weights are stored once for every column of places, those that meet padding left out.

    Before:  y = CONV_2D(x, weight)
    After:   y = RESHAPE(FULLY_CONNECTED(GATHER(PAD(RESHAPE(x)), rows), csr))
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from ...graph import Array, Node, Value
from ...ops import Conv
from ...sparse import Option, Sparse, narrow, sparse_matrix
from ..patterns import Window, windows_of
from .forms import DESCRIPTION
from .layout import line, stored_shape
from .moving import cut, pad
from .writer import SPARSE, Writer

# What an operator costs in the file, with the tensor it makes and the numbers it is told.
OPERATOR = 180


@dataclass(frozen=True)
class Way:
    """A form of a layer, and what writes it: returns the layer's output."""

    option: Option
    write: Callable[[], int]


@dataclass(frozen=True)
class _Weights:
    """The nonzeros of a convolution over rows and columns: weight `values[i]` reads channel `channels[i]` at a tap."""

    outs: Array
    channels: Array
    rows: Array  # of the tap in the kernel
    columns: Array
    values: Array

    @staticmethod
    def of(op: Conv) -> _Weights:
        weight = op.weight if op.weight.ndim == 4 else op.weight[:, :, None]
        outs, inner, rows, columns = np.nonzero(weight)
        per_group = weight.shape[1]
        channels = outs * op.groups // len(weight) * per_group + inner
        return _Weights(outs, channels, rows, columns, weight[outs, inner, rows, columns])


@dataclass(frozen=True)
class _Place:
    """One convolution, in one place of a model."""

    out: Writer
    node: Node
    x: int
    value: Value  # what x holds
    op: Conv

    @property
    def windows(self) -> tuple[Window, Window]:
        """Of rows and of columns."""
        op, ones = self.op, Window(1, 1, 1, 1, 0, 0)
        found = windows_of(self.value.shape[1:], op.kernel, op.stride, op.dilation, op.padding)
        return (ones, found[0]) if len(found) == 1 else (found[0], found[1])

    def multiply(self, x: int, matrix: Sparse, shape: tuple[int, ...], *, keep: bool, repeat: int = 1, rows: int = 1) -> int:
        name = f"{self.node.source or self.node.name}.weight"
        bias = np.zeros(matrix.shape[0] // repeat, np.float32) if self.op.bias is None else self.op.bias
        bias = np.tile(bias, repeat)
        stored = self.out.constant(bias, f"{self.node.source or self.node.name}.bias" if self.op.bias is not None else "")
        inputs = [x, self.out.sparse_constant(matrix, name), stored]
        return self.out.op("FULLY_CONNECTED", inputs, shape, rows=rows, version=SPARSE, keep_num_dims=keep)


def sparse_ways(out: Writer, node: Node, x: int, value: Value, op: Conv) -> list[Way]:
    """The forms of a convolution of the map that `x` holds which the runtime multiplies sparsely."""
    place, weights = _Place(out, node, x, value, op), _Weights.of(op)
    return [_patches(place, weights), _bands(place, weights)]


@dataclass(frozen=True)
class _Moving:
    """What the operators around a matrix move."""

    ops: int
    written: int  # bytes, by all of them
    largest: int  # bytes of what the matrix reads


def _option(name: str, place: _Place, shape: tuple[int, int], nonzeros: int, places: int, moving: _Moving) -> Option:
    """What a matrix of this shape costs, multiplied at so many places."""
    costs, outs = place.out.costs, len(place.op.weight)
    widths = [narrow(np.array([n])).itemsize for n in (nonzeros, shape[1] - 1)]
    stored = 4 * nonzeros + (shape[0] + 1) * widths[0] + nonzeros * widths[1] + DESCRIPTION[2]
    # A bias for every row, and the operators.
    stored += 4 * (shape[0] - outs) + OPERATOR * moving.ops
    us = costs.matrix(nonzeros, shape[0], places) + costs.copied(moving.written, moving.ops)
    # Indices take four bytes once they are loaded, whatever they take in the file.
    return Option(name, stored, us, 12 * nonzeros + 4 * shape[0] + moving.largest)


def _patches(place: _Place, weights: _Weights) -> Way:
    out, value = place.out, place.value
    down, across = place.windows
    taps = sorted(set(zip(weights.rows.tolist(), weights.columns.tolist(), strict=True))) or [(0, 0)]
    places = down.places * across.places
    size = down.size * across.size
    live = np.unique(weights.channels)
    # Picking channels out pays where hardly any is read.
    saved = (value.channels - len(live)) * 4 * (size + 2 * len(taps) * places) * out.costs.copy_ns
    picked = live if len(live) and len(live) * size * out.costs.gather_ns < saved else None
    spans = {}
    for tap in taps:
        here = weights.channels[(weights.rows == tap[0]) & (weights.columns == tap[1])]
        here = here if picked is None else np.searchsorted(picked, here)
        spans[tap] = (int(here.min(initial=value.channels - 1)), int(here.max(initial=0)) + 1) if len(here) else (0, 1)
    width = sum(stop - start for start, stop in spans.values())
    whole = taps == [(0, 0)] and width == value.channels and places == size and not (down.padded or across.padded)
    reach = [_reach(down, [t for t, _ in taps]), _reach(across, [t for _, t in taps])]
    padded = any(map(any, reach))
    channels = value.channels if picked is None else len(picked)
    padded_size = math.prod(w.size + sum(r) for w, r in zip((down, across), reach, strict=True))
    moved = 0 if whole else 4 * (width * places * (2 if len(taps) > 1 else 1) + (channels * padded_size if padded else 0))
    ops = 0 if whole else len(taps) + (len(taps) > 1) + padded + (picked is not None)
    name = "csr" if whole else "csr patches"
    moving = _Moving(ops, moved, 0 if whole else 4 * width * places)
    option = _option(name, place, (len(place.op.weight), width), len(weights.values), places, moving)
    if picked is not None:
        option = dataclasses.replace(option, us=option.us + len(picked) * size * out.costs.gather_ns / 1e3)

    def write() -> int:
        x, inner = place.x, value
        if picked is not None:
            inner = value.with_channels(len(picked))
            x = out.gather(x, picked, stored_shape(inner), len(stored_shape(inner)) - 1)
        shape, starts = (down.places, across.places), np.cumsum([0, *(b - a for a, b in spans.values())])
        if padded:
            x = pad(out, x, inner, tuple(reach[1:] if line(value) else reach), 0.0)
        parts = []
        for (row, column), (start, stop) in spans.items():
            ranges = [_range(w, t, before) for w, t, (before, _) in zip((down, across), (row, column), reach, strict=True)]
            parts.append(x if whole else cut(out, x, [*ranges, range(start, stop)], (*shape, stop - start)))
        x = out.op("CONCATENATION", parts, (*shape, width), axis=3) if len(parts) > 1 else parts[0]
        first = {tap: int(at) - spans[tap][0] for tap, at in zip(spans, starts, strict=False)}
        offsets = np.array([first[tap] for tap in zip(weights.rows.tolist(), weights.columns.tolist(), strict=True)], np.int64)
        inside = weights.channels if picked is None else np.searchsorted(picked, weights.channels)
        matrix = sparse_matrix((len(place.op.weight), width), weights.outs, offsets + inside, weights.values)
        return place.multiply(x, matrix, (*shape, len(place.op.weight)), keep=True)

    return Way(option, write)


def _bands(place: _Place, weights: _Weights) -> Way:
    out, value, outs = place.out, place.value, len(place.op.weight)
    down, across = place.windows
    taps = np.unique(weights.rows) if len(weights.rows) else np.zeros(1, np.int64)
    # Which place of a row meets which column of the map by which tap.
    met = np.arange(across.places)[:, None] * across.stride + np.arange(across.kernel) * across.dilation - across.before
    inside = (met >= 0) & (met < across.size)
    nonzeros = int(inside.sum(0)[weights.columns].sum())
    line_size = across.size * value.channels
    shape = (across.places * outs, len(taps) * line_size)
    before, after = _reach(down, taps.tolist())
    rows = np.arange(down.places)[:, None] * down.stride + taps * down.dilation - down.before + before
    as_they_are = rows.shape[1] == 1 and np.array_equal(rows[:, 0], np.arange(down.size + before + after))
    padded_bytes = 4 * line_size * (down.size + before + after) if before or after else 0
    gathered = 0 if as_they_are else 4 * line_size * rows.size
    ops = 2 + bool(before or after) + (not as_they_are)
    # Seeing the map in another shape copies it, there and back.
    seen = 4 * (line_size * down.size + shape[0] * down.places)
    option = _option("csr bands", place, shape, nonzeros, down.places, _Moving(ops, padded_bytes + gathered + seen, gathered))

    def write() -> int:
        x = out.reshape(place.x, (down.size, line_size))
        if before or after:
            table = np.array([(0, 0), (before, after), (0, 0)], np.int32)
            x = out.op("PAD", [x, out.constant(table)], (down.size + before + after, line_size))
        if not as_they_are:
            x = out.op("GATHER", [x, out.constant(rows.astype(np.int32))], (*rows.shape, line_size), axis=1)
        which = np.searchsorted(taps, weights.rows)
        # One line a weight, one column a place of the row.
        valid = inside.T[weights.columns]
        places = np.broadcast_to(np.arange(across.places), valid.shape)[valid]
        repeats = valid.sum(1)
        columns = np.repeat(which * line_size + weights.channels, repeats) + met.T[weights.columns][valid] * value.channels
        matrix = sparse_matrix(
            shape, places * outs + np.repeat(weights.outs, repeats), columns, np.repeat(weights.values, repeats)
        )
        # Not with its dimensions kept: rows and taps are one there, so that the gathered rows need no other shape.
        y = place.multiply(x, matrix, (shape[0],), keep=False, repeat=across.places, rows=down.places)
        return out.reshape(y, (down.places, across.places, outs))

    return Way(option, write)


def _reach(window: Window, taps: Sequence[int]) -> tuple[int, int]:
    """How much padding these taps meet, before and after."""
    starts = [t * window.dilation - window.before for t in taps]
    last = max(starts) + (window.places - 1) * window.stride
    return max(-min(starts), 0), max(last - window.size + 1, 0)


def _range(window: Window, tap: int, before: int) -> range:
    """The places that a tap meets in the padded map."""
    start = tap * window.dilation - window.before + before
    return range(start, start + (window.places - 1) * window.stride + 1, window.stride)
