"""Gathers and scatters change the size and nothing else."""

from __future__ import annotations

import numpy as np
import pytest
from closeness import assert_close
from hypothesis import given, settings
from random_graphs import build, inputs_for, outputs_of, random_graphs
from test_shrink import CASES, relaxed

from edgeprune.graph import Graph, Node, Value
from edgeprune.ops import Add, Affine, Conv, Linear, Select
from edgeprune.passes import shrink, untie
from edgeprune.passes.check import check

rng = np.random.default_rng(0)


@settings(relaxed, max_examples=CASES // 2)
@given(graph=random_graphs(several=True))
def test_an_untied_graph_is_the_same_function_and_no_larger(graph: Graph) -> None:
    inputs = inputs_for(graph)
    kept = shrink(graph)
    small = check(shrink(graph, optimize="size"))
    for a, b in zip(outputs_of(graph, inputs), outputs_of(small, inputs), strict=True):
        assert_close(a, b, 1e-10)
    assert small.parameters <= kept.parameters


def pairs_of_groups(seed: int) -> Graph:
    """A grouped convolution whose groups lose different numbers of channels, under a sum that keeps its outputs."""
    local = np.random.default_rng(seed)
    groups, per_in, per_out = int(local.integers(2, 9)), int(local.integers(1, 5)), int(local.integers(1, 5))
    n, out = groups * per_in, groups * per_out
    grouped = local.standard_normal((out, per_in, 3, 3))
    grouped[local.random(out) < 0.5] = 0
    grouped[:, local.random(per_in) < 0.3] = 0
    nodes = (
        Node("a", Conv(local.standard_normal((n, 3, 1, 1)), local.standard_normal(n)), ("input",)),
        Node("b", Conv(grouped, local.standard_normal(out), (1, 1), ((1, 1),) * 2, (1, 1), groups), ("a",)),
        Node("c", Conv(local.standard_normal((out, 3, 1, 1))), ("input",)),
        Node("output", Add(), ("b", "c")),
    )
    return Graph({"input": Value((3, 5, 6))}, ("output",), nodes)


@pytest.mark.parametrize("seed", range(40))
def test_unequal_groups_are_split_exactly(seed: int) -> None:
    graph = pairs_of_groups(seed)
    inputs = inputs_for(graph)
    small = check(untie(graph))
    assert_close(graph.run(*inputs), small.run(*inputs), 1e-12)
    assert small.parameters <= graph.parameters


def residual(rows: int, columns: int) -> Graph:
    """A sum of the input and a layer that makes `rows` and reads `columns` of its 32 channels."""
    weight = rng.standard_normal((32, 32))
    weight[rows:] = 0
    weight[:, columns:] = 0
    nodes = (Node("a", Linear(weight, rng.standard_normal(32)), ("input",)), Node("output", Add(), ("a", "input")))
    return Graph({"input": Value((32,))}, ("output",), nodes)


def test_a_layer_under_a_sum_keeps_the_rows_it_makes_and_adds_what_the_others_hold() -> None:
    small = untie(residual(8, 16))
    assert [(n.name, type(n.op)) for n in small.nodes] == [
        ("a.gather", Select),
        ("a.live", Linear),
        ("a.scatter", Select),
        ("a", Affine),
        ("output", Add),
    ]
    assert small.nodes[1].op.arrays["weight"].shape == (8, 16)


@pytest.mark.parametrize(("rows", "columns"), [(32, 32), (32, 31), (31, 32)])
def test_a_layer_whose_indices_would_outweigh_what_they_save_is_left_alone(rows: int, columns: int) -> None:
    graph = residual(rows, columns)
    assert untie(graph) == graph


def test_another_aim_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match="optimize='speed' is unknown here; use 'size'"):
        shrink(build(0, 2), optimize="speed")
