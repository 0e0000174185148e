"""Channels of a depthwise convolution that are constant but for the border, made few.

A padded depthwise convolution turns a constant channel into one that differs at the borders. What it holds at a place depends
only on which taps meet padding there, so all such channels together span few functions of the place, however many they are.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ..graph import Array, Graph, Mask, Node
from ..ops import Activation, Conv
from .constants import constants

# Activations that can tell "all of these taps are inside" from "one is not", by (gain, offset, what it gives when they are): with
# u = gain * (how many are inside - how many there are) + offset, the activation gives 0 unless all are.
CAN_TELL = {"relu": (1.0, 1.0, 1.0), "relu6": (1.0, 1.0, 1.0), "hard_swish": (6.0, 3.0, 3.0)}


def merge_borders(graph: Graph) -> Graph:
    """Replaces channels that are constant but for a padded border by those few functions of the border that they are made of.

    Before:  b: 96 = Conv(depthwise, 3x3, padded) <- a  # 40 channels of a are constant;  c = Relu(b);  d = Conv(1x1) <- c
    After:   the same, d reading 15 channels instead of those 40: each is 1 where certain taps are inside, 0 elsewhere

    Exact at every input size. Leaves alone: as few channels as functions, readers that are no 1x1 convolutions, activations
    that are not 0 over a range.
    """
    found, readers = constants(graph), graph.readers
    changed = {}
    for node in graph.nodes:
        chain = _chain(graph, node, readers)
        if chain is not None:
            changed.update(_merged(chain, found[node.inputs[0]], found[node.name]))
    return graph.with_nodes(replace(n, op=changed.get(n.name, n.op)) for n in graph.nodes) if changed else graph


@dataclass(frozen=True)
class _Chain:
    """A depthwise convolution, the activation behind it, and all that read it."""

    node: Node
    op: Conv
    activation: Activation | None
    readers: tuple[tuple[str, Conv], ...]


def _chain(graph: Graph, node: Node, readers: dict[str, list[Node]]) -> _Chain | None:
    op = node.op
    if not (isinstance(op, Conv) and op.depthwise and op.padded) or node.name in graph.outputs:
        return None
    # Some tap must be inside everywhere, or there is no telling apart what is outside.
    if any(before > k - 1 - after for (before, after), k in zip(op.padding, op.kernel, strict=True)):
        return None
    reading, activation = readers[node.name], None
    if len(reading) == 1 and isinstance(reading[0].op, Activation):
        activation = reading[0].op
        if activation.kind not in CAN_TELL or reading[0].name in graph.outputs:
            return None
        reading = readers[reading[0].name]
    found = [(r.name, r.op) for r in reading if isinstance(r.op, Conv) and r.op.groups == 1 and not r.op.padded]
    if len(found) != len(reading) or any(set(r.kernel) != {1} for _, r in found):
        return None
    return _Chain(node, op, activation, tuple(found))


def _merged(chain: _Chain, held: Array, made: Array) -> dict[str, Conv]:
    """The ops that change, by node name; none where nothing is won."""
    op = chain.op
    outs = len(op.weight)
    c = held[np.arange(outs) * op.groups // outs]
    read = np.any([(r.weight != 0).reshape(len(r.weight), outs, -1).any((0, 2)) for _, r in chain.readers], axis=0)
    border: Mask = ~np.isnan(c) & np.isnan(made) & read
    if not border.any():
        return {}
    if chain.activation is None:
        taps, shares, constant = _taps(op, c, border)
        gain, offset, unit = 1.0, 1.0, 1.0
    else:
        taps, shares, constant = _insides(op, c, border, chain.activation)
        gain, offset, unit = CAN_TELL[chain.activation.kind]
    if border.sum() <= len(taps):
        return {}
    # The channels with the largest constants carry the functions; the others go.
    channels = np.flatnonzero(border)
    slots = channels[np.argsort(-np.abs(c[channels]), kind="stable")[: len(taps)]]
    weight = op.weight.astype(np.float64)
    bias = np.zeros(outs) if op.bias is None else op.bias.astype(np.float64)
    for slot, inside in zip(slots, taps, strict=True):
        weight[slot] = 0
        for tap in inside:
            weight[(slot, 0, *tap)] = gain / c[slot]
        bias[slot] = offset - gain * len(inside)
    changed = {chain.node.name: replace(op, weight=weight.astype(op.weight.dtype), bias=bias.astype(op.weight.dtype))}
    for name, reader in chain.readers:
        columns = reader.weight.astype(np.float64)
        ahead = np.zeros(len(columns)) if reader.bias is None else reader.bias.astype(np.float64)
        merged = columns[:, border].reshape(len(columns), -1)
        columns[:, border] = 0
        columns[:, slots] = (merged @ shares / unit).reshape(len(columns), len(slots), *(1 for _ in reader.kernel))
        ahead = ahead + merged @ constant
        changed[name] = replace(reader, weight=columns.astype(reader.weight.dtype), bias=ahead.astype(reader.weight.dtype))
    return changed


Taps = list[list[tuple[int, ...]]]


def _taps(op: Conv, c: Array, border: Mask) -> tuple[Taps, Array, Array]:
    """Without an activation the functions are the taps that meet padding, one by one.

    (the taps of each function, [channels, functions] how much of it each channel holds, [channels] what it holds besides)
    """
    outside = op.border_taps()
    weight = op.weight[border, 0].astype(np.float64) * c[border].reshape(-1, *(1 for _ in op.kernel))
    bias = np.zeros(int(border.sum())) if op.bias is None else op.bias[border].astype(np.float64)
    return [[tuple(t)] for t in np.argwhere(outside)], weight[:, outside], bias + weight[:, ~outside].sum(1)


def _insides(op: Conv, c: Array, border: Mask, activation: Activation) -> tuple[Taps, Array, Array]:
    """With an activation: whether the taps between two corners are all inside. As `_taps` otherwise.

    Along an axis the taps inside are an interval [low, high]; a function of it is a sum over "low <= a and high >= b".
    """
    # Per axis: what low and high can be.
    ranges = [
        (range(before + 1), range(k - 1 - after, k)) for (before, after), k in zip(op.padding, op.kernel, strict=True)
    ]
    flat = [r for pair in ranges for r in pair]
    weight = op.weight[border, 0].astype(np.float64) * c[border].reshape(-1, *(1 for _ in op.kernel))
    bias = np.zeros(len(weight)) if op.bias is None else op.bias[border].astype(np.float64)
    values = np.empty((len(weight), *map(len, flat)))
    states: list[tuple[int, ...]] = list(itertools.product(*(range(len(r)) for r in flat)))
    for state in states:
        bounds: list[int] = [r[i] for r, i in zip(flat, state, strict=True)]
        box: list[Any] = [slice(low, high + 1) for low, high in zip(bounds[::2], bounds[1::2], strict=True)]
        where: tuple[Any, ...] = (slice(None), *state)
        values[where] = bias + weight[(slice(None), *box)].reshape(len(weight), -1).sum(1)
    values = activation.run(values)
    # Differences turn values at intervals into shares of "at least this interval".
    for axis in range(len(flat)):
        values = np.moveaxis(values, axis + 1, 0)
        values = values - np.concatenate([values[1:], 0 * values[:1]]) if axis % 2 == 0 else np.diff(values, axis=0, prepend=0)
        values = np.moveaxis(values, 0, axis + 1)
    taps: Taps = []
    shares = []
    constant = np.zeros(len(weight))
    outside = op.border_taps()
    corners: list[tuple[int, ...]]
    for state in states:
        where = (slice(None), *state)
        share = values[where]
        bounds = [r[i] for r, i in zip(flat, state, strict=True)]
        corners = sorted(set(itertools.product(*({bounds[2 * i], bounds[2 * i + 1]} for i in range(len(ranges))))))
        if not any(outside[corner] for corner in corners):
            constant = constant + share
        elif share.any():
            taps.append([corner for corner in corners if outside[corner]])
            shares.append(share)
    return taps, np.stack(shares, 1) if shares else np.zeros((len(weight), 0)), constant
