"""Every op in every format's real runtime gives what the graph gives in numpy."""

from __future__ import annotations

import zlib
from pathlib import Path

import numpy as np
import pytest
from cases import CASES
from closeness import assert_close
from drawing import SUFFIXES

from edgeprune.formats import load, module_of, write
from edgeprune.graph import Graph
from edgeprune.ops import COMING, OPS, Embedding


def inputs_of(graph: Graph, batch: int, name: str) -> list[np.ndarray]:
    rng = np.random.default_rng(zlib.crc32(f"{name}/{batch}".encode()))
    looked_up = {name for node in graph.nodes if isinstance(node.op, Embedding) for name in node.inputs}
    looked_up |= {name for node in graph.nodes if node.name in looked_up for name in node.inputs}
    return [
        rng.integers(9, size=(batch, *v.shape)) if n in looked_up else rng.normal(size=(batch, *v.shape)).astype(np.float32) * 2
        for n, v in graph.inputs.items()
    ]


def outputs_of(graph: Graph, arrays: list[np.ndarray]) -> list[np.ndarray]:
    with np.errstate(over="ignore"):
        made = graph.astype("float64").run(*(a.astype(np.float64) for a in arrays))
    return list(made) if isinstance(made, tuple) else [made]


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("name", CASES)
def test_the_artifact_computes_what_the_graph_computes_at_any_batch(name: str, suffix: str, tmp_path: Path) -> None:
    graph = CASES[name]
    write(graph, tmp_path / f"m{suffix}")
    runner = load(tmp_path / f"m{suffix}")
    for batch in (1, 7, 1):
        arrays = inputs_of(graph, batch, name)
        for found, expected in zip(runner.run(*arrays), outputs_of(graph, arrays), strict=True):
            assert found.dtype == np.float32
            assert_close(found, expected, 1e-5)


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("op", [*OPS, *COMING], ids=lambda op: op.__name__)
def test_every_op_has_a_lowering_and_a_case(op: type, suffix: str) -> None:
    assert op in module_of(f"m{suffix}").lower.functions
    assert any(type(node.op) is op for graph in CASES.values() for node in graph.nodes)
