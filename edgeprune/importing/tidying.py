"""What ONNX writes as two nodes and the graph as one."""

from __future__ import annotations

from dataclasses import replace

from ..graph import Graph, Node
from ..ops import Affine, Conv, ConvTranspose, Linear


def tidy(graph: Graph) -> Graph:
    """Joins a layer without a bias and the sum with a constant after it.

    Before:  a = Linear(x);  b = Affine(a), scale 1
    After:   b = Linear(x), with the shift as its bias
    """
    readers = graph.readers
    nodes: dict[str, Node] = {}
    for node in graph.nodes:
        before = nodes.get(node.inputs[0]) if node.inputs else None
        plain = isinstance(node.op, Affine) and bool((node.op.scale == 1).all())
        if before is not None and plain and isinstance(before.op, Conv | ConvTranspose | Linear) and before.op.bias is None:
            assert isinstance(node.op, Affine)
            if len(readers[before.name]) == 1 and before.name not in graph.outputs:
                del nodes[before.name]
                op = replace(before.op, bias=node.op.shift)
                nodes[node.name] = Node(node.name, op, before.inputs, before.source or node.source)
                continue
        nodes[node.name] = node
    return graph.with_nodes(nodes.values())
