"""Every op in every format's real runtime gives what the graph gives in numpy."""

from __future__ import annotations

import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cases import CASES
from cases_edge import of_integers
from closeness import assert_close
from drawing import SUFFIXES

from edgeprune.formats import load, module_of, write
from edgeprune.graph import Graph
from edgeprune.ops import COMING, OPS

INTEGERS = of_integers()


def inputs_of(graph: Graph, batch: int, name: str) -> list[np.ndarray]:
    rng = np.random.default_rng(zlib.crc32(f"{name}/{batch}".encode()))
    if name in INTEGERS:
        return [rng.integers(9, size=(batch, *v.shape)) for v in graph.inputs.values()]
    return [rng.normal(size=(batch, *v.shape)).astype(np.float32) * 2 for v in graph.inputs.values()]


def outputs_of(graph: Graph, arrays: list[np.ndarray]) -> list[np.ndarray]:
    with np.errstate(over="ignore"):
        made = graph.astype("float64").run(*(a.astype(np.float64) for a in arrays))
    return list(made) if isinstance(made, tuple) else [made]


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("name", {**CASES, **INTEGERS})
def test_the_artifact_computes_what_the_graph_computes_at_any_batch(name: str, suffix: str, tmp_path: Path) -> None:
    graph = {**CASES, **INTEGERS}[name]
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


@pytest.mark.parametrize(("suffix", "dtype"), [(".onnx", "int64"), (".tflite", "int32")])
def test_an_input_that_is_only_looked_up_takes_integers(suffix: str, dtype: str, tmp_path: Path) -> None:
    write(INTEGERS["two embeddings"], tmp_path / f"m{suffix}")
    runner: Any = load(tmp_path / f"m{suffix}")
    if suffix == ".onnx":
        assert runner.session.get_inputs()[0].type == f"tensor({dtype})"
    else:
        assert runner.interpreter.get_input_details()[0]["dtype"] == np.dtype(dtype)
