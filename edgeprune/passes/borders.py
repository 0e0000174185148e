"""Channels of a depthwise convolution that are constant but for the border, made few.

A padded depthwise convolution turns a constant channel into one that differs at the borders. What it holds at a place depends
only on which taps meet padding there, so all such channels together span few functions of the place, however many they are.
A gate that varies with the input makes its channel more than a function of the place: only channels whose gates are constant go.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ..graph import Array, Graph, Mask, Node, Op, Shape
from ..ops import Activation, AdaptiveAvgPool, Conv, Linear, Mean, Mul
from ..ops.linear import affine_bias
from .constants import constants

# Activations that can tell "all of these taps are inside" from "one is not", by (gain, offset, what it gives when they are): with
# u = gain * (how many are inside - how many there are) + offset, the activation gives 0 unless all are. Those that are never
# quite 0 are so to less than rounding: silu gives 40 or -40 / (1 + exp(40)).
CAN_TELL = {
    "relu": (1.0, 1.0, 1.0), "relu6": (1.0, 1.0, 1.0), "hard_swish": (6.0, 3.0, 3.0), "hard_sigmoid": (6.0, 3.0, 1.0),
    "silu": (80.0, 40.0, 40.0), "mish": (80.0, 40.0, 40.0), "sigmoid": (80.0, 40.0, 1.0), "softplus": (80.0, 40.0, 40.0),
    "gelu": (20.0, 10.0, 10.0), "gelu_tanh": (20.0, 10.0, 10.0),
}  # fmt: skip


def merge_borders(graph: Graph, *, every_size: bool = True) -> Graph:
    """Replaces channels that are constant but for a padded border by those few functions of the border that they are made of.

    Before:  b: 96 = Conv(depthwise, 3x3, padded) <- a  # 40 channels of a are constant;  c = Relu(b);  d = Conv(1x1) <- c
    After:   the same, d reading 15 channels instead of those 40: each is 1 where certain taps are inside, 0 elsewhere

    Exact at every input size. Also through means and through products with constant gates, as squeeze-and-excite has them. Leaves
    alone: as few channels as functions, readers that are no 1x1 convolutions, activations that cannot tell.

    With `every_size` false, functions that tell apart places near both borders at once are left out where the maps have no such
    places: 24 in place of 80 under a 5x5 kernel. The convolution then refuses maps so small that they have some.
    """
    found, readers = constants(graph), graph.readers
    changed: dict[str, Op] = {}
    for node in graph.nodes:
        chain = _chain(graph, node, readers, found)
        if chain is not None:
            least = (0,) * len(chain.op.kernel)
            if not every_size:
                reach = tuple((k - 1) * d for k, d in zip(chain.op.kernel, chain.op.dilation, strict=True))
                size = graph.values[node.inputs[0]].shape[1:]
                least = tuple(r if n >= r else 0 for n, r in zip(size, reach, strict=True))
            changed.update(_merged(chain, changed, found[node.inputs[0]], found[node.name], least))
    return graph.with_nodes(replace(n, op=changed.get(n.name, n.op)) for n in graph.nodes) if changed else graph


@dataclass(frozen=True)
class _Chain:
    """A depthwise convolution, the activation behind it, and the layers that read it with what each channel is multiplied by."""

    node: Node
    op: Conv
    activation: Activation | None
    readers: tuple[tuple[Node, Array], ...]  # NaN where the factor varies with the input


def _chain(graph: Graph, node: Node, readers: dict[str, list[Node]], found: dict[str, Array]) -> _Chain | None:
    op = node.op
    if not (isinstance(op, Conv) and op.depthwise and op.padded) or node.name in graph.outputs:
        return None
    # Some tap must be inside everywhere, or there is no telling apart what is outside.
    if any(before > k - 1 - after for (before, after), k in zip(op.padding, op.kernel, strict=True)):
        return None
    name, activation, reading = node.name, None, readers[node.name]
    if len(reading) == 1 and isinstance(reading[0].op, Activation):
        name, activation = reading[0].name, reading[0].op
        if activation.kind not in CAN_TELL:
            return None
    layers = _layers(graph, name, np.ones(len(op.weight)), readers, found)
    return None if layers is None else _Chain(node, op, activation, tuple(layers))


def _layers(
    graph: Graph, name: str, factors: Array, readers: dict[str, list[Node]], found: dict[str, Array]
) -> list[tuple[Node, Array]] | None:
    """The layers that read the value's channels or their means, times a factor each; None where something else reads them."""
    layers: list[tuple[Node, Array]] = []
    for reader in readers[name]:
        op, more = reader.op, None
        if isinstance(op, Linear) or (isinstance(op, Conv) and op.groups == 1 and not op.padded and set(op.kernel) == {1}):
            more = [(reader, factors)]
        elif isinstance(op, Mean | AdaptiveAvgPool):
            more = _layers(graph, reader.name, factors, readers, found)
        elif isinstance(op, Mul):
            (gate,) = [i for i in reader.inputs if i != name] or [name]
            more = _layers(graph, reader.name, factors * found[gate], readers, found)
        if more is None:
            return None
        layers.extend(more)
    return None if name in graph.outputs else layers


def _merged(chain: _Chain, changed: Mapping[str, Op], held: Array, made: Array, least: Shape) -> dict[str, Op]:
    """The ops that change, by node name; none where nothing is won. `least`: how small maps come; 0 for any size."""
    op = chain.op
    outs = len(op.weight)
    c = held[np.arange(outs) * op.groups // outs]
    weights = [_weight(changed.get(r.name, r.op)) for r, _ in chain.readers]
    read = np.any([(w != 0).reshape(len(w), outs, -1).any((0, 2)) for w in weights], axis=0)
    border: Mask = ~np.isnan(c) & np.isnan(made) & read
    factors = np.array([f for _, f in chain.readers]).reshape(-1, outs)
    # Where every layer reads a channel times a constant, all of them can read other channels instead.
    free = border & ~np.isnan(factors).any(0)
    if not free.any():
        return {}
    if chain.activation is None:
        taps, shares, constant = _taps(op, c, border)
        gain, offset, unit = 1.0, 1.0, 1.0
    else:
        taps, shares, constant = _insides(op, c, border, chain.activation, least)
        gain, offset, unit = CAN_TELL[chain.activation.kind]
    # The free channels with the largest constants and factors carry the functions; the other free ones go.
    size = np.where(free, np.abs(c) * np.abs(np.nan_to_num(factors)).min(0), 0.0)
    slots = np.argsort(-size, kind="stable")[: len(taps)]
    if free.sum() <= len(taps) or not (size[slots] > 1e-3 * size.max()).all():
        return {}
    weight = op.weight.astype(np.float64)
    bias = np.zeros(outs) if op.bias is None else op.bias.astype(np.float64)
    for slot, inside in zip(slots, taps, strict=True):
        weight[slot] = 0
        for tap in inside:
            weight[(slot, 0, *tap)] = gain / c[slot]
        bias[slot] = offset - gain * len(inside)
    result: dict[str, Op] = {}
    if chain.activation is not None and any(least):
        op = replace(op, least=tuple(map(max, least, op.least or least)))
    result[chain.node.name] = replace(op, weight=weight.astype(op.weight.dtype), bias=bias.astype(op.weight.dtype))
    for (reader, factor), columns in zip(chain.readers, weights, strict=True):
        known = border & ~np.isnan(factor)
        merged = columns[:, known].astype(np.float64).reshape(len(columns), -1) * factor[known]
        functions = merged @ shares[known[border]] / (unit * factor[slots])
        columns = np.where(known.reshape(1, -1, *(1 for _ in columns.shape[2:])), columns.dtype.type(0), columns)
        columns[:, slots] = functions.reshape(len(columns), len(slots), *(1 for _ in columns.shape[2:]))
        result[reader.name] = _with(changed.get(reader.name, reader.op), columns, merged @ constant[known[border]])
    return result


def _weight(op: Op) -> Array:
    assert isinstance(op, Conv | Linear)
    return op.weight


def _with(op: Op, weight: Array, added: Array) -> Op:
    """The layer with another weight and with something added to its bias."""
    assert isinstance(op, Conv | Linear)
    return replace(op, weight=weight, bias=affine_bias(op.bias, np.ones(len(weight)), added, weight.dtype))


Taps = list[list[tuple[int, ...]]]


def _taps(op: Conv, c: Array, border: Mask) -> tuple[Taps, Array, Array]:
    """Without an activation the functions are the taps that meet padding, one by one.

    (the taps of each function, [channels, functions] how much of it each channel holds, [channels] what it holds besides)
    """
    outside = op.border_taps()
    weight = op.weight[border, 0].astype(np.float64) * c[border].reshape(-1, *(1 for _ in op.kernel))
    bias = np.zeros(int(border.sum())) if op.bias is None else op.bias[border].astype(np.float64)
    return [[tuple(t)] for t in np.argwhere(outside)], weight[:, outside], bias + weight[:, ~outside].sum(1)


def _insides(op: Conv, c: Array, border: Mask, activation: Activation, least: Shape) -> tuple[Taps, Array, Array]:
    """With an activation: whether the taps between two corners are all inside. As `_taps` otherwise.

    Along an axis the taps inside are an interval [low, high]; a function of it is a sum over "low <= a and high >= b". Where
    maps are so large that no place is near both borders, it is a sum over "low <= a" and "high >= b", one by one.
    """
    # Per axis: what low and high can be. Windows that start `stride` apart meet the near border in few ways.
    ranges = [
        (sorted({-(-max(before - start, 0) // d) for start in range(0, before + s, s)}), range(k - 1 - after, k))
        for (before, after), k, s, d in zip(op.padding, op.kernel, op.stride, op.dilation, strict=True)
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
    for axis in (2 * i for i, n in enumerate(least) if n):
        low, high = values.take([-1], axis + 2), values.take([0], axis + 1)
        values = low + high - low.take([0], axis + 1)
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
        both = [bounds[2 * i] < flat[2 * i][-1] and bounds[2 * i + 1] > flat[2 * i + 1][0] for i, n in enumerate(least) if n]
        if not any(outside[corner] for corner in corners):
            constant = constant + share
        elif share.any() and not any(both):
            taps.append([corner for corner in corners if outside[corner]])
            shares.append(share)
    return taps, np.stack(shares, 1) if shares else np.zeros((len(weight), 0)), constant
