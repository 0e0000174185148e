"""Which channels matter, and which must exist."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ..graph import Graph, Mask


def needed_channels(graph: Graph) -> dict[str, Mask]:
    """Per value, the channels that some output depends on through nonzero weights."""
    needed = {name: np.zeros(v.channels, bool) for name, v in graph.values.items()}
    for name in graph.outputs:
        needed[name][:] = True
    for node in reversed(graph.nodes):
        if needed[node.name].any():
            for name, mask in zip(node.inputs, node.op.needs(graph.ins(node), needed[node.name]), strict=True):
                needed[name] |= mask
    return needed


def live_channels(graph: Graph) -> dict[str, Mask]:
    """Per value, the channels that must exist: the needed ones and those tied to them by an op's shape.

    A residual sum keeps a channel in both branches when either needs it. Graph inputs keep all their channels. A node
    that is not needed at all has none; one whose input has no live channel keeps the first, because no runtime takes an
    empty tensor.
    """
    live = needed_channels(graph)
    for name in graph.inputs:
        live[name][:] = True
    before = -1
    while before != (now := sum(int(m.sum()) for m in live.values())):
        before = now
        for node in (*reversed(graph.nodes), *graph.nodes):
            if not live[node.name].any():
                continue
            for name in node.inputs:
                if not node.op.optional_inputs and not live[name].any():
                    live[name][0] = True
            masks = node.op.ties(graph.ins(node), live[node.name], *(live[i] for i in node.inputs))
            for name, mask in zip((node.name, *node.inputs), masks, strict=True):
                live[name] = live[name] | mask
    return live


def silence_unneeded(graph: Graph) -> Graph:
    """Zeroes the weights of channels that exist only for their shape, so that what feeds them can go too.

    Before:  b = Conv(a);  c = Affine(b)  # scale 0 on channel 3
    After:   b = Conv(a)   # row 3 zero;   c = Affine(b)
    """
    needed = needed_channels(graph)
    nodes = []
    for node in graph.nodes:
        op = node.op.silence(~needed[node.name])
        nodes.append(node if op is node.op else replace(node, op=op))
    return graph.with_nodes(nodes)


def remove_dead_channels(graph: Graph) -> Graph:
    """Keeps the live channels only; layer shapes shrink.

    Before:  a: 300 = Linear(weight 300x784) <- x;    b: 10 = Linear(weight 10x300) <- a  # reads 41 channels of a
    After:   a: 41 = Linear(weight 41x784) <- x;      b: 10 = Linear(weight 10x41) <- a

    Relies on absorb_constants: a constant channel that is still read counts as live.
    """
    live = live_channels(graph)
    nodes = []
    for node in graph.nodes:
        if not live[node.name].any():
            continue
        if all(live[i].all() for i in (node.name, *node.inputs)):
            nodes.append(node)
            continue
        op = node.op.keep(graph.ins(node), live[node.name], *(live[i] for i in node.inputs))
        inputs = tuple(i for i in node.inputs if live[i].any())
        nodes.append(replace(node, op=op, inputs=inputs))
    return graph.with_nodes(nodes)
