"""Channels that are constant but for a padded border: as few as there are functions of the border."""

from __future__ import annotations

import numpy as np
import pytest
from closeness import assert_close

from edgeprune.graph import Graph, Node, Value
from edgeprune.ops import Activation, Add, Conv
from edgeprune.ops.conv import Pads
from edgeprune.passes import merge_borders, shrink
from edgeprune.passes.check import check

SIZES = [(1, 1), (1, 6), (2, 2), (2, 5), (3, 3), (4, 7), (8, 9)]


def block(kind: str | None, kernel: int = 3, stride: int = 1, padding: Pads | None = None, *, n: int = 120) -> Graph:
    """An inverted bottleneck most of whose expanded channels are dead and hold a constant."""
    rng = np.random.default_rng(0)
    expand, depthwise = rng.standard_normal((n, 3, 1, 1)), rng.standard_normal((n, 1, kernel, kernel))
    expand[8:] = 0
    padding = padding or ((kernel // 2, kernel // 2),) * 2
    nodes = [
        Node("a", Conv(expand, rng.standard_normal(n)), ("input",)),
        Node("b", Conv(depthwise, rng.standard_normal(n), (stride, stride), padding, (1, 1), n), ("a",)),
    ]
    if kind:
        nodes.append(Node("c", Activation(kind), ("b",)))
    nodes.append(Node("output", Conv(rng.standard_normal((5, n, 1, 1)), rng.standard_normal(5)), (nodes[-1].name,)))
    return Graph({"input": Value((3, 8, 9))}, ("output",), tuple(nodes))


@pytest.mark.parametrize(("kind", "kernel", "functions"), [
    (None, 3, 8), ("relu", 3, 15), ("relu6", 3, 15), ("hard_swish", 3, 15), (None, 5, 24), ("relu", 5, 80),
])  # fmt: skip
@pytest.mark.parametrize("stride", [1, 2])
def test_constant_channels_become_functions_of_the_border(kind: str, kernel: int, functions: int, stride: int) -> None:
    """At every input size, also where both borders meet the same place."""
    graph = block(kind, kernel, stride)
    small = check(shrink(graph))
    assert small.values["b"].channels == 8 + functions
    for size in SIZES:
        x = np.random.default_rng(1).standard_normal((2, 3, *size))
        assert_close(graph.at((3, *size)).run(x), small.at((3, *size)).run(x), 1e-11)


def test_a_grouped_convolution_reads_one_constant_a_group() -> None:
    rng = np.random.default_rng(0)
    first = rng.standard_normal((12, 3, 1, 1))
    first[[0, 2, 3, 5, 6, 7, 8]] = 0
    nodes = (
        Node("a", Conv(first, rng.standard_normal(12)), ("input",)),
        Node("output", Conv(rng.standard_normal((8, 6, 3, 3)), None, (1, 1), ((1, 1),) * 2, (1, 1), 2), ("a",)),
    )
    graph = Graph({"input": Value((3, 8, 9))}, ("output",), nodes)
    small = check(shrink(graph))
    # Two live channels and a constant in the first group, three and one in the second, as many in each.
    assert small.values["a"].channels == 8
    for size in SIZES:
        x = np.random.default_rng(1).standard_normal((2, 3, *size))
        assert_close(graph.at((3, *size)).run(x), small.at((3, *size)).run(x), 1e-12)


def test_padding_on_one_side_has_fewer_functions() -> None:
    graph = block("relu", padding=((0, 1), (1, 0)))
    small = check(shrink(graph))
    assert small.values["b"].channels == 8 + 3
    x = np.random.default_rng(1).standard_normal((2, 3, 8, 9))
    assert_close(graph.run(x), small.run(x), 1e-11)


def test_float32_stays_close() -> None:
    graph = block("relu6", 5).astype(np.float32)
    x = np.random.default_rng(1).standard_normal((2, 3, 8, 9)).astype(np.float32)
    small = shrink(graph)
    assert small.dtype == np.float32
    assert_close(graph.astype(np.float64).run(x.astype(np.float64)), small.run(x), 1e-5)


@pytest.mark.parametrize("kind", ["silu", "leaky_relu", "sigmoid"])
def test_an_activation_that_is_never_quite_zero_is_left_alone(kind: str) -> None:
    graph = block(kind)
    assert merge_borders(graph) is graph


def test_as_few_channels_as_functions_are_left_alone() -> None:
    graph = block("relu", n=8 + 15)
    assert merge_borders(graph) is graph
    assert merge_borders(block("relu", n=8 + 16)) != block("relu", n=8 + 16)


def test_a_reader_that_takes_channels_as_they_are_keeps_them() -> None:
    graph = block("relu")
    nodes = (*graph.nodes, Node("sum", Add(), ("c", "a")))
    both = Graph(graph.inputs, ("output", "sum"), nodes)
    assert merge_borders(both) is both


def test_merging_twice_changes_nothing_more() -> None:
    once = merge_borders(block("relu6"))
    assert merge_borders(once) is once
