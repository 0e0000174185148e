"""Random graphs, whole and after removal, in every format's real runtime."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from closeness import assert_close, relative_error
from drawing import SUFFIXES
from random_graphs import build, inputs_for

from edgeprune.formats import load, write
from edgeprune.graph import Graph
from edgeprune.passes import shrink

TOLERANCE = 1e-5
# What float32 arithmetic may do to any value, relative to its largest element.
NOISE = 1e-7


def run(graph: Graph, arrays: list[np.ndarray], noise: float = 0.0) -> np.ndarray:
    """The output in float64, every value on the way shaken by `noise`."""
    rng = np.random.default_rng(0)
    made = dict(zip(graph.inputs, (a.astype(np.float64) for a in arrays), strict=True))
    for node in graph.astype("float64").nodes:
        y = node.op.run(*(made[name] for name in node.inputs))
        made[node.name] = y + noise * np.abs(y).max(initial=0) * rng.choice([-1.0, 1.0], y.shape)
    return made[graph.outputs[0]]


def tolerance(graph: Graph, arrays: list[np.ndarray]) -> float:
    """TOLERANCE, more where the graph blows rounding up (a difference of near equals): no runtime can do better than that."""
    shaken = relative_error(run(graph, arrays, NOISE), run(graph, arrays))
    # An output that is nothing but noise says nothing about rounding: zeros must be zeros.
    return max(TOLERANCE, 2 * shaken if shaken < 0.01 else 0)


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("seed", range(100))
@pytest.mark.parametrize("removal", [False, True], ids=["whole", "shrunk"])
def test_a_random_graph_computes_the_same_in_the_runtime(seed: int, suffix: str, removal: bool, tmp_path: Path) -> None:
    graph = build(seed, 8, convolutional=seed % 4 != 0, coming=True, dtype=np.float32)
    arrays = inputs_for(graph, 3, seed)
    write(shrink(graph) if removal else graph, tmp_path / f"m{suffix}")
    (found,) = load(tmp_path / f"m{suffix}").run(*arrays)
    assert_close(found, run(graph, arrays), tolerance(graph, arrays))


def test_rounding_loosens_few_of_them_and_none_by_much() -> None:
    graphs = [build(seed, 8, convolutional=seed % 4 != 0, coming=True, dtype=np.float32) for seed in range(100)]
    # A norm magnifies the rounding of what hardly varies.
    allowed = [tolerance(g, inputs_for(g, 3, seed)) for seed, g in enumerate(graphs)]
    assert sum(each > TOLERANCE for each in allowed) <= 10
    assert max(allowed) <= 20 * TOLERANCE
