"""ONNX -> Graph, without torch. Where elements lie, and what ops of both captures share, is in laying/.

reading.py      the file: constants, inputs, calls, everything that is wrong with it
walk.py         the walk over its nodes: constants folded, names, refusals
naming.py       the user's layers, as far as the file's names tell
recognising.py  layers spelled out as sums and products, found before the walk
views.py        what is meant by reshapes and permutations
layers.py       ... by convolutions, linear layers, norms, lookups
activations.py  ... by functions of one element, softmax
arithmetic.py   ... by sums and products
masks.py        ... by comparisons, logic, choices by a mask
pooling.py      ... by pooling, sums over axes, resampling
moves.py        ... by slices, gathers, padding, concatenation
products.py     ... by matrix products and attention
recurrent.py    ... by LSTM, GRU
tidying.py      what the file writes as several nodes and the graph as one
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

from ..errors import EdgepruneError, Unsupported
from ..graph import Graph, Shape
from ..laying.layout import OPEN_BATCHES
from . import activations, arithmetic, layers, masks, moves, pooling, products, recurrent, views  # noqa: F401  (they fill the table)
from .reading import File, read
from .tidying import tidy
from .walk import Walk

__all__ = ["import_onnx"]


def import_onnx(path: str | os.PathLike[str], input_shapes: Sequence[Shape] | None = None) -> Graph:
    """The graph of the network in an .onnx file of opset 13 or newer.

    The first axis of every input is the batch, open or fixed; the graph takes any. `input_shapes`: one shape an input, without
    the batch, for a file that leaves other axes open. Inputs and outputs keep the file's names, and layers are called as it calls
    them. Raises Unsupported naming node and op when the graph has no word for something, EdgepruneError when the file is no
    model, MissingExtra without the onnx package.
    """
    file = read(Path(path))
    batch, shapes = _shapes(file, input_shapes)
    graphs = [Walk(file, shapes, size).run() for size in (OPEN_BATCHES if batch is None else (batch,))]
    if graphs[0] != graphs[-1]:
        raise Unsupported(f"{file.path}: its numbers depend on how large the batch is; export it with a batch of one")
    return tidy(graphs[0])


def _shapes(file: File, given: Sequence[Shape] | None) -> tuple[int | None, dict[str, Shape]]:
    """(the batch that the file fixes, or None; every input's shape without it)"""
    if given is not None and len(given) != len(file.inputs):
        raise EdgepruneError(f"{file.path} has {len(file.inputs)} inputs ({', '.join(file.inputs)}), not {len(given)}")
    shapes: dict[str, Shape] = {}
    batches = set()
    for i, (name, stored) in enumerate(file.inputs.items()):
        said = ", ".join("?" if n is None else str(n) for n in stored)
        where = f"{file.path}: input {name!r} is [{said}]"
        if file.types[name].kind not in "fiu":
            raise Unsupported(f"{where} of {file.types[name]}; edgeprune reads float32, float64 and integer inputs")
        if len(stored) < 2:
            raise Unsupported(f"{where}: nothing beside a batch; give it a first axis for the batch")
        batches.add(stored[0])
        wanted = stored[1:] if given is None else tuple(given[i])
        if len(wanted) != len(stored) - 1 or any(n not in (None, m) for n, m in zip(stored[1:], wanted, strict=True)):
            raise EdgepruneError(f"{where}, which a shape of ({', '.join(map(str, wanted))}) without the batch does not fit")
        if None in wanted:
            raise EdgepruneError(f"{where}, open beside its batch; say what it shall be with --input-shape, without the batch")
        shapes[name] = tuple(n for n in wanted if n is not None)
    if len(batches) > 1:
        raise Unsupported(f"{file.path}: its inputs have batches of {', '.join(map(str, batches))}; give all of them the same")
    return batches.pop(), shapes
