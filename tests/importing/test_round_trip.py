"""What is written as ONNX and read back computes the same."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from closeness import assert_close
from random_graphs import build, inputs_for

from edgeprune.formats import write
from edgeprune.graph import Graph
from edgeprune.importing import import_onnx
from edgeprune.passes import shrink

sys.path.insert(0, str(Path(__file__).parents[1] / "formats"))
from cases import CASES
from test_formats import inputs_of, outputs_of

pytest.importorskip("onnx")


def written_and_read(graph: Graph, folder: Path) -> Graph:
    write(graph, folder / "m.onnx")
    return import_onnx(folder / "m.onnx")


@pytest.mark.parametrize("name", CASES)
def test_a_written_graph_is_read_back_as_the_same_function(name: str, tmp_path: Path) -> None:
    graph = CASES[name]
    back = written_and_read(graph, tmp_path)
    assert back.outputs == graph.outputs
    assert {n: v.shape for n, v in back.inputs.items()} == {n: v.shape for n, v in graph.inputs.items()}
    arrays = inputs_of(graph, 3, name)
    for found, expected in zip(outputs_of(back, arrays), outputs_of(graph, arrays), strict=True):
        assert_close(expected, found, 1e-6)


def outcome(graph: Graph, seed: int) -> np.ndarray:
    arrays = [a.astype(np.float64) for a in inputs_for(graph, 3, seed)]
    made = graph.astype("float64").run(*arrays)
    assert isinstance(made, np.ndarray)
    return made


@pytest.mark.parametrize("seed", range(100))
def test_a_random_graph_is_read_back_as_the_same_function_and_shrinks_alike(seed: int, tmp_path: Path) -> None:
    graph = build(seed, 8, convolutional=seed % 4 != 0, coming=True, dtype=np.float32)
    back = written_and_read(graph, tmp_path)
    # The file holds float32: constants that were folded on the way to it round, in a chain of eight layers.
    assert_close(outcome(graph, seed), outcome(back, seed), 1e-5)
    assert_close(outcome(graph, seed), outcome(shrink(back), seed), 1e-5)


@pytest.mark.parametrize("name", ["residual network", "lenet-5", "squeeze and excite", "linear sparse", "vision transformer"])
def test_a_shrunk_network_read_back_has_nothing_left_to_remove(name: str, tmp_path: Path) -> None:
    small = shrink(CASES[name])
    again = shrink(written_and_read(small, tmp_path))
    assert again.parameters == small.parameters
    assert [type(n.op) for n in again.nodes] == [type(n.op) for n in small.nodes]


def test_layers_keep_their_names(tmp_path: Path) -> None:
    graph = CASES["residual network"]
    back = written_and_read(graph, tmp_path)
    assert {n.name for n in graph.nodes if "weight" in n.op.arrays and not n.name.startswith("bn")} <= {
        n.name for n in back.nodes
    }
