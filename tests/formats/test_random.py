"""Random graphs, whole and after removal, in every format's real runtime."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from closeness import assert_close
from drawing import SUFFIXES
from random_graphs import build, inputs_for, outputs_of

from edgeprune.formats import load, write
from edgeprune.passes import shrink

# The weights of random graphs keep values about as large as they were, so that no rounding is blown up on the way.
TOLERANCE = 1e-5


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("seed", range(100))
@pytest.mark.parametrize("removal", [False, True], ids=["whole", "shrunk"])
def test_a_random_graph_computes_the_same_in_the_runtime(seed: int, suffix: str, removal: bool, tmp_path: Path) -> None:
    graph = build(seed, 8, convolutional=seed % 4 != 0, coming=True, several=True, dtype=np.float32)
    arrays = inputs_for(graph, 3, seed)
    write(shrink(graph) if removal else graph, tmp_path / f"m{suffix}")
    made = load(tmp_path / f"m{suffix}").run(*arrays)
    exact = outputs_of(graph.astype(np.float64), [a.astype(np.float64) for a in arrays])
    for found, expected in zip(made, exact, strict=True):
        assert_close(expected, found, TOLERANCE)
