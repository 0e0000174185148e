"""Every op in C, compiled with sanitizers, against what the op means."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from closeness import assert_close
from programs import COMPILERS, run_in_c

from edgeprune.formats.c import lower
from edgeprune.graph import Graph
from edgeprune.ops import OPS

sys.path.insert(0, str(Path(__file__).parents[1] / "formats"))
from cases import CASES


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[list[np.ndarray], list[np.ndarray]]]:
    """case: (expected outputs, outputs in C). All cases are one program: the kernels are compiled once."""
    cases = {name: graph for name, graph in CASES.items() if not missing(graph)}
    inputs = {name: inputs_of(graph) for name, graph in cases.items()}
    folder = tmp_path_factory.mktemp("ops")
    outputs = run_in_c(list(cases.values()), list(inputs.values()), folder, COMPILERS[-1])
    expected = {name: graph.run(*inputs[name]) for name, graph in cases.items()}
    pairs = zip(expected.items(), outputs, strict=True)
    return {name: (list(e) if isinstance(e, tuple) else [e], o) for (name, e), o in pairs}


def missing(graph: Graph) -> set[type]:
    return {type(node.op) for node in graph.nodes} - set(lower.functions)


def inputs_of(graph: Graph) -> list[np.ndarray]:
    rng = np.random.default_rng(0)
    return [rng.standard_normal((2, *v.shape)).astype(np.float32) for v in graph.inputs.values()]


@pytest.mark.parametrize("name", CASES)
def test_it_means_the_same_in_c(name: str, made: dict[str, tuple[list[np.ndarray], list[np.ndarray]]]) -> None:
    if missing(CASES[name]):
        assert not missing(CASES[name]) & set(OPS), f"C cannot say {missing(CASES[name])}"
        pytest.skip("no format says this op yet")
    for expected, found in zip(*made[name], strict=True):
        assert_close(expected, found, 1e-5)


@pytest.mark.parametrize("op", OPS, ids=lambda op: op.__name__)
def test_every_op_has_a_lowering_and_a_case(op: type) -> None:
    assert op in lower.functions
    assert any(isinstance(node.op, op) for graph in CASES.values() for node in graph.nodes), f"no case holds {op.__name__}"
