"""Random graphs, compiled with sanitizers, against the graph itself."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from closeness import assert_close
from programs import COMPILERS, SANITIZED, run_in_c
from random_graphs import build, inputs_for

TOLERANCE = 1e-5
GRAPHS = 500

# Compiler and vector width of each program: single floats, what the target begins with, eight lanes, the machine's widest.
PROGRAMS = (
    (COMPILERS[0], ("-DEP_LANES=1",)),
    (COMPILERS[0], ()),
    (COMPILERS[-1], ()),
    (COMPILERS[-1], ("-DEP_LANES=1",)),
    (COMPILERS[0], ("-march=native",)),
)


@pytest.mark.parametrize("program", range(len(PROGRAMS)), ids=[" ".join((name, *flags)) for name, flags in PROGRAMS])
def test_random_graphs_are_the_same_function_in_c(program: int, tmp_path: Path) -> None:
    compiler, flags = PROGRAMS[program]
    seeds = range(program, GRAPHS, len(PROGRAMS))
    graphs = [build(seed, 1 + seed % 8, convolutional=seed % 4 != 3, dtype=np.float32) for seed in seeds]
    inputs = [inputs_for(graph, 2, seed) for graph, seed in zip(graphs, seeds, strict=True)]
    made = run_in_c(graphs, inputs, tmp_path, compiler, (*SANITIZED, *flags))
    for seed, graph, arrays, outputs in zip(seeds, graphs, inputs, made, strict=True):
        expected = graph.run(*arrays)
        for output, reference in zip(outputs, expected if isinstance(expected, tuple) else (expected,), strict=True):
            try:
                assert_close(reference, output, TOLERANCE)
            except AssertionError as error:
                raise AssertionError(f"seed {seed}: {error}\n{graph}") from None
