"""Per-channel affine maps folded into the layer before them, and nodes that change nothing left out."""

from __future__ import annotations

from dataclasses import replace

from ..graph import Graph, Node


def fold_affine(graph: Graph) -> Graph:
    """Scales and shifts in the layer before a batch norm instead of after it.

    Before:  a = Conv(x);  b = BatchNorm(a)
    After:   b = Conv(x)

    Leaves alone: a layer that something else reads too, or that is an output itself.
    """
    readers = graph.readers
    made: dict[str, Node] = {}
    for node in graph.nodes:
        affine = node.op.as_affine()
        if affine is not None:
            (name,) = node.inputs
            before = made.get(name)
            if before is not None and len(readers[name]) == 1 and name not in graph.outputs:
                op = before.op.then_affine(*affine)
                if op is not None:
                    # The layer keeps its place in the user's model; the value takes the name of what is read from now on.
                    made[node.name] = replace(before, name=node.name, op=op)
                    continue
        made[node.name] = node
    return graph.with_nodes(made.values())


def drop_identities(graph: Graph) -> Graph:
    """Leaves out nodes whose output is their input.

    Before:  a = Affine(x)  # scale 1, shift 0;   b = Linear(a)
    After:   b = Linear(x)

    Leaves alone: a node that makes a graph output, whose name must stay.
    """
    stands_for: dict[str, str] = {}
    nodes = []
    for node in graph.nodes:
        node = replace(node, inputs=tuple(stands_for.get(i, i) for i in node.inputs))
        if node.name not in graph.outputs and node.op.identity(graph.ins(node)):
            stands_for[node.name] = node.inputs[0]
        else:
            nodes.append(node)
    return graph.with_nodes(nodes)
