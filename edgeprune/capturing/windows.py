"""Layers whose padding, rolling and masks follow the size of the map, put as ops that follow it too.

A trace holds what such a layer did at one size. What it does at another is known of the classes below alone; everything else
stays as it was traced, for its size. What the trace holds is compared, element by element, with what the op does at that size.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
from torch import nn

from ..graph import Array, Graph, Node, Op, Shape, Value, in_turn
from ..ops import Attention, Cut, FromWindows, Linear, Pad, PadTo, Rearrange, Roll, Select, Slice, ToWindows, WindowAttention
from ..ops.windows import Grid

_SWIN = "torchvision.models.swin_transformer"
_ATTENTION = {f"{_SWIN}.ShiftedWindowAttention", f"{_SWIN}.ShiftedWindowAttentionV2"}
_MERGING = {f"{_SWIN}.PatchMerging", f"{_SWIN}.PatchMergingV2"}
_MOVES = (Rearrange, Pad, Roll, Cut, Slice)


def at_every_size(graph: Graph, layers: Mapping[str, nn.Module]) -> Graph:
    """The graph with those of the user's layers that are known here as ops that mean the same at every size."""
    for path, layer in layers.items():
        name = f"{type(layer).__module__}.{type(layer).__qualname__}"
        if name in _ATTENTION:
            graph = _windowed(graph, path, tuple(layer.window_size), tuple(layer.shift_size)) or graph  # type: ignore[arg-type]
        elif name in _MERGING:
            graph = _padded(graph, path) or graph
    return graph


def _windowed(graph: Graph, path: str, window: Shape, shift: Shape) -> Graph | None:
    """The layer at `path` between a ToWindows and a FromWindows; None where it is not what was expected."""
    mine = [n for n in graph.nodes if n.source == path]
    linears = [n for n in mine if isinstance(n.op, Linear)]
    attentions = [n for n in mine if isinstance(n.op, Attention)]
    if len(linears) < 2 or len(attentions) != 1:
        return None
    inside = mine[mine.index(linears[0]) : mine.index(linears[-1]) + 1]
    before, after = _moves_before(graph, linears[0].inputs[0]), _moves_after(graph, linears[-1].name)
    if not before or not after or not all(isinstance(n.op, Linear | Select | Attention) for n in inside):
        return None
    x = before[0].inputs[0]
    value = graph.values[x]
    if len(value.shape) != 3 or value.axis != 2:
        return None
    grid = Grid(value.shape[:2], window, shift)
    attention = _for_any_window(attentions[0].op, grid)
    into, back, places = ToWindows(window, shift), FromWindows(window, shift), _places(value)
    inner = np.arange(1.0, 1 + np.prod(grid.padded)).reshape(1, -1, int(np.prod(window)), 1)
    moved = in_turn([n.op for n in before], places)
    unmoved = in_turn([n.op for n in after], inner.reshape(1, *graph.values[linears[-1].name].shape[:-1], 1))
    if attention is None or not _same(moved, into.run(places)) or not _same(unmoved, back.run(inner, places)):
        return None
    made = {n.name: replace(n, op=replace(n.op, axis=2)) for n in inside if isinstance(n.op, Select)}
    made[attentions[0].name] = replace(attentions[0], op=attention, inputs=(*attentions[0].inputs, x))
    made[before[-1].name] = Node(before[-1].name, into, (x,), path)
    made[after[-1].name] = Node(after[-1].name, back, (linears[-1].name, x), path)
    gone = {n.name for n in (*before, *after)} - set(made)
    return graph.with_nodes(made.get(n.name, n) for n in graph.nodes if n.name not in gone)


def _for_any_window(op: Op, grid: Grid) -> WindowAttention | None:
    """The attention of all windows, when they differ by the grid's mask alone."""
    assert isinstance(op, Attention)
    mask, bias = grid.mask(), op.bias
    if mask is not None:
        # No two places of the first window come together by rolling.
        bias = None if bias is None else bias[0]
        if bias is None or not _same(op.bias, bias + mask):
            return None
    elif bias is not None and bias.ndim > 3:
        return None
    return WindowAttention(op.heads, op.scale, bias, op.gain, op.cosine, op.pairs, grid.window, grid.shift)


def _padded(graph: Graph, path: str) -> Graph | None:
    """The layer at `path`, which takes every second place, on a map padded to even sizes; None where it is something else."""
    cuts = [n for n in graph.nodes if n.source == path and isinstance(n.op, Cut | Slice)]
    read = {n.inputs[0] for n in cuts} - {n.name for n in cuts}
    if len(read) != 1:
        return None
    (name,) = read
    before = _moves_before(graph, name, len([n for n in cuts if n.inputs[0] == name]))
    x = before[0].inputs[0] if before else name
    value, pad = graph.values[x], PadTo((2, 2))
    if len(value.shape) != 3 or value.axis != 2:
        return None
    places = _places(value)
    last = graph.values[name].axis == 0
    turn = [Rearrange(((-1,), (-1,), (-1,)), (2, 0, 1), (1, 1, 1), 2, 0)] if last else []
    if not _same(in_turn([n.op for n in before], places), in_turn([pad, *turn], places)):
        return None
    fresh = f"{path}.pad_to"
    added = [Node(fresh, pad, (x,), path)]
    if turn:
        added.append(Node(f"{fresh}.rearrange", turn[0], (fresh,), path))
    nodes: list[Node] = []
    for n in graph.nodes:
        if n in cuts and n.inputs[0] == name:
            nodes.extend(added)
            added, n = [], replace(n, inputs=(fresh + ".rearrange" * len(turn),))
        nodes.append(n)
    return graph.with_nodes(nodes)


def _places(value: Value) -> Array:
    """A map (H, W, 1) whose places are numbered from 1, so that padding is seen."""
    return np.arange(1.0, 1 + value.positions).reshape(1, *value.shape[:2], 1)


def _same(a: Array | None, b: Array) -> bool:
    return a is not None and a.size == b.size and np.array_equal(a.reshape(b.shape), b)


def _moves_before(graph: Graph, name: str, reads: int = 1) -> list[Node]:
    """The nodes one after another that make the value by moving places, none of them read by anything else."""
    made = {n.name: n for n in graph.nodes}
    chain: list[Node] = []
    while name in made and isinstance(made[name].op, _MOVES) and len(graph.readers[name]) == reads and name not in graph.outputs:
        chain.append(made[name])
        name, reads = made[name].inputs[0], 1
    return chain[::-1]


def _moves_after(graph: Graph, name: str) -> list[Node]:
    """The nodes one after another that move the places of the value, read by nothing else."""
    chain: list[Node] = []
    while name not in graph.outputs and len(readers := graph.readers[name]) == 1 and isinstance(readers[0].op, _MOVES):
        chain.append(readers[0])
        name = readers[0].name
    return chain
