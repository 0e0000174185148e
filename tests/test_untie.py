"""Gathers and scatters change the size and nothing else."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from closeness import assert_close
from hypothesis import given, settings
from random_graphs import build, inputs_for, outputs_of, random_graphs
from test_shrink import CASES, relaxed

from edgeprune.errors import NotExportable
from edgeprune.formats import Metadata, load, module_of, write
from edgeprune.graph import Graph, Node, Value
from edgeprune.ops import Add, Conv, Linear, Scatter, Select
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


def test_a_layer_under_a_sum_keeps_the_rows_it_makes_and_the_scatter_holds_the_others() -> None:
    small = untie(residual(8, 16))
    assert [(n.name, type(n.op)) for n in small.nodes] == [
        ("a.gather", Select),
        ("a.live", Linear),
        ("a", Scatter),
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


def test_a_scatter_holds_what_the_rows_left_out_held() -> None:
    rng = np.random.default_rng(0)
    op = Scatter(np.array([-1, 2, 0, -1]), fill=np.array([5.0, 7.0]))
    x = rng.standard_normal((2, 3, 2, 2))
    y = op.run(x)
    assert np.array_equal(y[:, [1, 2]], x[:, [2, 0]])
    assert (y[:, 0] == 5).all()
    assert (y[:, 3] == 7).all()
    assert np.array_equal(op.constant((Value((3, 2, 2)),), np.full(3, np.nan)), [5, np.nan, np.nan, 7], equal_nan=True)
    some = op.keep((Value((3, 2, 2)),), np.array([False, True, False, True]), np.array([False, True, True]))
    assert np.array_equal(some.run(x[:, 1:]), y[:, [1, 3]])
    assert type(op.keep((Value((3, 2, 2)),), np.array([False, True, True, False]), np.ones(3, bool))) is Select


def test_a_format_refuses_a_scatter_that_was_not_taken_apart(tmp_path: Path) -> None:
    """Nothing may take it for a Select, whose missing channels are zero."""
    scatter = Scatter(np.array([-1, 0]), fill=np.array([5.0], np.float32))
    graph = Graph({"input": Value((1, 2, 2))}, ("output",), (Node("output", scatter, ("input",)),))
    with pytest.raises(NotExportable, match="Scatter"):
        module_of("x.onnx").encode(graph, Metadata(), "size")
    write(graph, tmp_path / "x.onnx")
    (found,) = load(tmp_path / "x.onnx").run(np.zeros((1, 1, 2, 2), np.float32))
    assert found[0, :, 0, 0].tolist() == [5, 0]
