"""torch -> Graph: the only place where PyTorch's op names meet the graph.

Where elements lie, and what ops of both captures share, is in laying/.

walk.py        the walk over an exported program: arguments, constants, names, in-place ops, refusals
naming.py      what an exported node and its layer are called
views.py       reshapes and permutations
layers.py      convolutions, linear, normalisation, embedding
activations.py functions of one element, softmax
pooling.py     pooling, sums over axes, upsampling
recurrent.py   LSTM, GRU
arithmetic.py  sums and products
products.py    matrix products and attention
masks.py       comparisons, logic, choices by a mask
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
from . import activations, arithmetic, layers, masks, moves, pooling, products, recurrent, views  # noqa: F401  (they fill the table)
from .walk import BATCH, Walk
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
    program = module if isinstance(module, torch.export.ExportedProgram) else _export(module, inputs)
    names = ["input"] if len(inputs) == 1 else [name for name in program.graph_signature.user_inputs if isinstance(name, str)]
    values = [Value(tuple(x.shape[1:])) for x in inputs]
    own = dict(module.named_modules(remove_duplicate=False)) if isinstance(module, nn.Module) else {}
    return at_every_size(Walk(program, dict(zip(names, values, strict=True)), own).run(), own)


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
