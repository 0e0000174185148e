"""Removal never changes the function, and leaves nothing that could still go."""

from __future__ import annotations

import os

import numpy as np
import pytest
from closeness import assert_close
from hypothesis import HealthCheck, given, settings
from random_graphs import inputs_for, outputs_of, random_graphs

from edgeprune.graph import Graph, Node, Value
from edgeprune.ops import Linear
from edgeprune.passes import UNTIL_STABLE, fold_affine, live_channels, shrink
from edgeprune.passes.check import check

CASES = int(os.environ.get("EDGEPRUNE_RANDOM_GRAPHS", "2000"))
relaxed = settings(max_examples=CASES, deadline=None, suppress_health_check=list(HealthCheck), print_blob=True)


@relaxed
@given(graph=random_graphs(several=True))
def test_a_shrunk_graph_is_the_same_function(graph: Graph) -> None:
    inputs = inputs_for(graph)
    small = check(shrink(check(graph)))
    for a, b in zip(outputs_of(graph, inputs), outputs_of(small, inputs), strict=True):
        assert_close(a, b, 1e-10)
    assert small.parameters <= graph.parameters + sum(graph.values[n.name].channels for n in graph.nodes)


@settings(relaxed, max_examples=CASES // 4)
@given(graph=random_graphs(several=True))
def test_shrinking_twice_changes_nothing_more(graph: Graph) -> None:
    small = shrink(graph)
    assert shrink(small) == small


@settings(relaxed, max_examples=CASES // 4)
@given(graph=random_graphs(several=True))
def test_every_channel_that_is_left_is_live(graph: Graph) -> None:
    for name, live in live_channels(shrink(graph)).items():
        assert live.all(), f"{name} keeps dead channels {np.flatnonzero(~live)}"


@pytest.mark.parametrize("step", [fold_affine, *UNTIL_STABLE], ids=lambda f: f.__name__)
@settings(relaxed, max_examples=CASES // 10)
@given(graph=random_graphs(several=True))
def test_each_pass_alone_keeps_the_function(step: object, graph: Graph) -> None:
    inputs = inputs_for(graph)
    for a, b in zip(outputs_of(graph, inputs), outputs_of(check(step(graph)), inputs), strict=True):
        assert_close(a, b, 1e-10)


@settings(relaxed, max_examples=CASES // 10)
@given(graph=random_graphs(dtype=np.float32))
def test_float32_graphs_stay_float32_and_close(graph: Graph) -> None:
    inputs = inputs_for(graph)
    small = check(shrink(graph))
    result = small.run(*inputs)
    assert result.dtype == np.float32
    assert small.dtype == np.float32
    exact = graph.astype(np.float64).run(*(i.astype(np.float64) for i in inputs))
    # A cancelling sum may leave few bits to either; the dense graph's own rounding is the measure then.
    own = np.abs(exact - graph.run(*inputs)).max() / max(np.abs(exact).max(), 1e-30)
    assert_close(exact, result.astype(np.float64), max(1e-5, 10 * own))


def test_a_graph_whose_weights_overflowed_is_shrunk_in_finite_time() -> None:
    weight = np.array([[np.nan, 1.0], [0.0, 2.0]])
    graph = Graph({"input": Value((2,))}, ("output",), (Node("output", Linear(weight), ("input",)),))
    assert shrink(graph) == graph
