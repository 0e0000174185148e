"""Every op comes back as torch modules: the same function, trainable, captured again as what it was, and a .pt2 of its own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from cases import CASES
from closeness import assert_close
from drawing import Array
from random_graphs import build, inputs_for
from test_formats import INTEGERS, inputs_of, outputs_of

from edgeprune.capturing import capture
from edgeprune.errors import Unsupported
from edgeprune.formats import load, write
from edgeprune.ops import COMING, OPS
from edgeprune.passes import shrink
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


@pytest.mark.parametrize("name", EVERY)
def test_a_rebuilt_module_is_captured_again(name: str) -> None:
    graph = EVERY[name]
    arrays = inputs_of(graph, 2, name)
    if name == "embedding of what is computed":
        with pytest.raises(Unsupported, match="changes the type of a value"):
            capture(to_module(graph), [torch.from_numpy(a) for a in arrays])
        return
    again = capture(to_module(graph), [torch.from_numpy(a) for a in arrays])
    for found, wanted in zip(outputs_of(again, arrays), outputs_of(graph, arrays), strict=True):
        assert_close(found, wanted, 1e-5)


# Nothing depends on these: what only a constant's batch reads, what a first step remembers, what is before whole numbers.
IDLE = {
    "constant whatever the input": {"l.scale", "l_2.shift"},
    "a constant of a constant": {"t.weight"},
    "lstm of one step": {"lstm0.weight_hh_l0"},
    "gru of one step": {"gru0.weight_hh_l0"},
    "embedding of what is computed": {"affine0.scale", "affine0_2.shift"},
}


@pytest.mark.parametrize("name", EVERY)
def test_a_gradient_reaches_every_parameter(name: str) -> None:
    graph = EVERY[name]
    module = to_module(graph).train()
    made = module(*(torch.from_numpy(a) for a in inputs_of(graph, 5, name)))
    total = sum((t * torch.randn_like(t)).sum() for t in (made if isinstance(made, tuple) else (made,)) if t.requires_grad)
    parameters = dict(module.named_parameters())
    if parameters:
        assert isinstance(total, torch.Tensor)
        total.backward()
    reached = {path for path, p in parameters.items() if p.grad is not None and p.grad.isfinite().all() and p.grad.any()}
    assert parameters.keys() - reached == IDLE.get(name, set())


def test_a_program_of_every_op_runs_where_edgeprune_is_not_installed(tmp_path: Path) -> None:
    chosen = {type(node.op): name for name, graph in reversed(EVERY.items()) for node in graph.nodes}
    names = sorted(set(chosen.values()))
    for i, name in enumerate(names):
        graph = EVERY[name]
        write(graph, tmp_path / f"{i}.pt2")
        arrays = inputs_of(graph, 3, name)
        np.savez(tmp_path / f"{i}.npz", *arrays)
        for found, wanted in zip(load(tmp_path / f"{i}.pt2").run(*arrays), outputs_of(graph, arrays), strict=True):
            assert_close(found, wanted, 1e-5)
    code = (
        "import sys; sys.modules['edgeprune'] = None\n"
        "import numpy, torch\n"
        f"for i in range({len(names)}):\n"
        "    made = torch.export.load(f'{i}.pt2').module()(*map(torch.from_numpy, numpy.load(f'{i}.npz').values()))\n"
        "    numpy.savez(f'{i}-made.npz', *(t.detach().numpy() for t in (made if isinstance(made, tuple) else (made,))))\n"
    )
    subprocess.run([sys.executable, "-W", "ignore", "-c", code], check=True, cwd=tmp_path)
    for i, name in enumerate(names):
        wanted = outputs_of(EVERY[name], inputs_of(EVERY[name], 3, name))
        for found, each in zip(np.load(tmp_path / f"{i}-made.npz").values(), wanted, strict=True):
            assert_close(found, each, 1e-5)


@pytest.mark.parametrize("seed", range(60))
def test_a_random_graph_comes_back_whole_and_shrunk(seed: int) -> None:
    graph = build(seed, 10, convolutional=seed % 4 != 0, coming=True, dtype=np.float64)
    arrays = inputs_for(graph, 3, seed)
    wanted = graph.run(*arrays)
    for each in (graph, shrink(graph)):
        (found,) = made_by(to_module(each), arrays)
        assert_close(wanted, found, 1e-10)
