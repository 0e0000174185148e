"""Graph -> torch: the small network as an ordinary module, to train on or to hand to any PyTorch backend.

build.py        the torch.fx graph under construction, and the table of builders that these fill:
layers.py       layers with weights
elementwise.py  functions of one element and of two, softmax, constants
windows.py      pooling, resampling, padding
moves.py        reshapes, parts, concatenation, sums
sequences.py    attention, recurrent layers
program.py      the .pt2 artifact
"""

from __future__ import annotations

from torch import fx

from ..graph import Graph
from . import elementwise, layers, moves, sequences, windows  # noqa: F401  (they fill the table)
from .build import BUILDERS, Rebuild

__all__ = ["BUILDERS", "to_module"]


def to_module(graph: Graph) -> fx.GraphModule:
    """The graph as a trainable torch module in eval mode, its layers under the user's names ("layer1.0.conv1").

    It takes and gives what the graph does, `[batch, *shape]` per input, and needs nothing of edgeprune: its state dict loads
    anywhere, `torch.export` takes it. Batch norms that were not folded train on as such (`shrink(graph, fold=False)`).
    Raises NotExportable naming op and layer for an op torch has no word for here.
    """
    return Rebuild(graph.plain()).run().eval()
