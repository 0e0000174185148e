"""TFLite: channels last, sparse fully connected layers run as they are, other sparse weights expanded at load.

schema.py       the file's tables, as data
flat.py         tables to bytes and back
layout.py       how values lie in tensors
writer.py       Writer: tensors, constants, operators, the file
forms.py        the forms a weight may be stored in, and their cost
moving.py       borders and cuts
layers.py       what is written for layers with weights
convolutions.py convolutions as sparse matrices
elementwise.py  ... for activations, sums, softmax
norms.py        ... for norms by statistics of the input
attention.py    ... for attention
spatial.py      ... for pooling and what moves elements
positions.py    ... for reshapes and what moves, cuts and sums up places
resize.py       ... for what makes maps larger
recurrent.py    ... for recurrent layers and lookups
reading.py      what a file holds
running.py       a file in its runtime
delegate/        a library that runs sparse layers there, in C
"""

from __future__ import annotations

from ...graph import Graph
from ...sparse import Costs
from ..artifact import LayerEncoding, Metadata, check_float
from . import attention, elementwise, layers, norms, positions, recurrent, resize, spatial
from .reading import read
from .running import load
from .writer import Writer, lower

# Importing them fills the table.
FAMILIES = (layers, elementwise, norms, attention, spatial, positions, resize, recurrent)

__all__ = ["encode", "load", "lower", "read"]


def encode(graph: Graph, metadata: Metadata, optimize: str, costs: Costs | None = None) -> tuple[bytes, list[LayerEncoding]]:
    """The file's bytes, and how each weight is stored in it."""
    graph = check_float(graph)
    out = Writer(graph, optimize, costs or Costs())
    for node in graph.nodes:
        lower.run(out, node)
    return out.finish(metadata), out.encodings
