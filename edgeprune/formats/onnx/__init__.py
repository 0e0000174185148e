"""ONNX: the graph nearly word for word, sparse weights as coordinate lists that are expanded at load.

package.py      the onnx package, where there is one
writer.py       Writer: values, initializers, nodes, the file
layers.py       what is written for layers with weights
elementwise.py  ... for activations, sums, softmax
norms.py        ... for norms by statistics of the input
attention.py    ... for attention
spatial.py      ... for pooling and what moves elements
positions.py    ... for reshapes and what moves, cuts and sums up places
resize.py       ... for resampling, and padding by the map itself
recurrent.py    ... for recurrent layers and lookups
reading.py      what a file holds
running.py      a file in onnxruntime
"""

from __future__ import annotations

from ...graph import Graph
from ..artifact import LayerEncoding, Metadata, check_float
from . import attention, elementwise, layers, norms, positions, recurrent, resize, spatial
from .reading import read
from .running import load
from .writer import Writer, lower

# Importing them fills the table.
FAMILIES = (layers, elementwise, norms, attention, spatial, positions, resize, recurrent)

__all__ = ["encode", "load", "lower", "read"]


def encode(graph: Graph, metadata: Metadata, optimize: str) -> tuple[bytes, list[LayerEncoding]]:
    """The file's bytes, and how each weight is stored in it."""
    graph = check_float(graph)
    out = Writer(graph, optimize)
    for node in graph.nodes:
        lower.run(out, node)
    return out.finish(metadata), out.encodings
