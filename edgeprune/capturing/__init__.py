"""torch -> Graph: the only place where PyTorch's op names meet the graph.

walk.py        the walk over an exported program: arguments, constants, names, in-place ops, refusals
naming.py      what an exported node and its layer are called
layout.py      where a value's elements lie in the tensor PyTorch sees: reshapes and permutations without nodes
taking.py      from a layout to a value: the rearrangement that a reader needs
scores.py      attention, however it is written
views.py       reshapes and permutations
layers.py      convolutions, linear, normalisation, embedding
activations.py functions of one element, softmax
pooling.py     pooling, sums over axes, upsampling
recurrent.py   LSTM, GRU
arithmetic.py  sums and products
products.py    matrix products and attention
moves.py       slices, padding, concatenation
windows.py     attention within windows, made the same at every size
"""

from __future__ import annotations

import copy
import logging
import warnings
from collections.abc import Sequence

import torch
from torch import nn

from ..errors import Unsupported
from ..graph import Graph, Value
from . import activations, arithmetic, layers, moves, pooling, products, recurrent, views  # noqa: F401  (they fill the table)
from .layout import BATCH
from .walk import Walk
from .windows import at_every_size

log = logging.getLogger("edgeprune")


def capture(module: nn.Module, example_inputs: Sequence[torch.Tensor] | torch.Tensor) -> Graph:
    """The graph of `module` in eval mode.

    `example_inputs`: one tensor per argument of forward, each `[batch, *shape]`; only shapes and types are read.
    Raises Unsupported naming layer and op when the module does something the graph has no word for.
    """
    if isinstance(example_inputs, torch.Tensor):
        example_inputs = (example_inputs,)
    inputs = tuple(torch.zeros(BATCH, *x.shape[1:], dtype=x.dtype) for x in example_inputs)
    shapes = [tuple(x.shape[1:]) for x in inputs]
    if isinstance(module, torch.export.ExportedProgram):
        return capture_program(module, shapes)
    return at_every_size(capture_program(_export(module, inputs), shapes), module)


def _export(module: nn.Module, inputs: tuple[torch.Tensor, ...]) -> torch.export.ExportedProgram:
    module = copy.deepcopy(module).cpu().eval()
    try:
        with warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter("ignore")
            return torch.export.export(module, inputs)
    except Exception as error:
        first = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise Unsupported(
            f"{type(module).__name__} cannot be exported by torch.export ({type(error).__name__}: {first[:200]}); "
            "its forward must not depend on the values of its input"
        ) from error


def capture_program(program: torch.export.ExportedProgram, shapes: Sequence[tuple[int, ...]]) -> Graph:
    """The graph of an exported program whose inputs have these shapes (without batch)."""
    user_inputs = [name for name in program.graph_signature.user_inputs if isinstance(name, str)]
    names = ["input"] if len(shapes) == 1 else user_inputs
    values = [Value(shape) for shape in shapes]
    return Walk(program, list(zip(names, values, strict=True))).run()
