"""What every graph promises, checked on demand and after every pass in the tests."""

from __future__ import annotations

import numpy as np

from ..graph import Graph


def check(graph: Graph) -> Graph:
    """The graph itself, if it keeps its promises. Raises AssertionError naming the node that does not.

    Promises beyond those the constructor enforces (order, shapes): weights of one type, every one finite, no value
    without a channel, constants and needs of the channels' number.
    """
    for node in graph.nodes:
        where = f"{node.name} = {node.op}"
        for name, array in node.op.arrays.items():
            assert array.dtype == graph.dtype, f"{where}: {name} is {array.dtype} in a graph of {graph.dtype}"
            assert np.isfinite(array).all(), f"{where}: {name} holds a number that is not finite"
        ins, out = graph.ins(node), graph.values[node.name]
        assert min(out.shape, default=1) > 0, f"{where}: makes an empty value {out.shape}"
        everything = np.ones(out.channels, bool)
        needs = node.op.needs(ins, everything)
        assert [len(m) for m in needs] == [v.channels for v in ins], f"{where}: needs masks of other sizes than its inputs"
        tied = node.op.ties(ins, everything, *(np.ones(v.channels, bool) for v in ins))
        assert all(m.all() for m in tied), f"{where}: ties take channels away"
        held = node.op.constant(ins, *(np.full(v.channels, np.nan) for v in ins))
        assert held.shape == (out.channels,), f"{where}: constants of another size than its channels"
    return graph
