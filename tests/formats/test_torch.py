"""Every op comes back as torch modules: the same function, trainable, captured again as what it was, and a .pt2 of its own."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from cases import CASES
from closeness import assert_close
from drawing import Array
from test_formats import INTEGERS, inputs_of, outputs_of

from edgeprune.ops import COMING, OPS
from edgeprune.rebuilding import BUILDERS, to_module

EVERY = {**CASES, **INTEGERS}


def made_by(module: torch.nn.Module, arrays: list[Array]) -> list[Array]:
    with torch.no_grad():
        made = module(*(torch.from_numpy(a) for a in arrays))
    return [t.detach().numpy() for t in (made if isinstance(made, tuple) else (made,))]


@pytest.mark.parametrize("op", [*OPS, *COMING], ids=lambda op: op.__name__)
def test_every_op_can_be_built(op: type) -> None:
    assert op in BUILDERS


@pytest.mark.parametrize("name", EVERY)
def test_a_rebuilt_module_computes_what_the_graph_does(name: str) -> None:
    graph = EVERY[name]
    arrays = inputs_of(graph, 3, name)
    expected = outputs_of(graph, arrays)
    for found, wanted in zip(made_by(to_module(graph), arrays), expected, strict=True):
        assert_close(found, wanted, 1e-5)
    double = [a if a.dtype.kind == "i" else a.astype(np.float64) for a in arrays]
    for found, wanted in zip(made_by(to_module(graph.astype(np.float64)).double(), double), expected, strict=True):
        assert_close(found, wanted, 1e-12)
