"""Channels that are constant but for a padded border: as few as there are functions of the border."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from closeness import assert_close

from edgeprune.graph import Graph, Node, Value
from edgeprune.ops import Activation, AdaptiveAvgPool, Add, Conv, Mul
from edgeprune.ops.conv import Pads
from edgeprune.passes import merge_borders, shrink
from edgeprune.passes.borders import CAN_TELL
from edgeprune.passes.check import check

SIZES = [(1, 1), (1, 6), (2, 2), (2, 5), (3, 3), (4, 7), (8, 9)]


def block(
    kind: str | None, kernel: int = 3, stride: int = 1, padding: Pads | None = None, *, n: int = 120, dilation: int = 1
) -> Graph:
    """An inverted bottleneck most of whose expanded channels are dead and hold a constant."""
    rng = np.random.default_rng(0)
    expand, depthwise = rng.standard_normal((n, 3, 1, 1)), rng.standard_normal((n, 1, kernel, kernel))
    expand[8:] = 0
    padding = padding or ((kernel // 2, kernel // 2),) * 2
    nodes = [
        Node("a", Conv(expand, rng.standard_normal(n)), ("input",)),
        Node("b", Conv(depthwise, rng.standard_normal(n), (stride, stride), padding, (dilation, dilation), n), ("a",)),
    ]
    if kind:
        nodes.append(Node("c", Activation(kind), ("b",)))
    nodes.append(Node("output", Conv(rng.standard_normal((5, n, 1, 1)), rng.standard_normal(5)), (nodes[-1].name,)))
    return Graph({"input": Value((3, 8, 9))}, ("output",), tuple(nodes))


@pytest.mark.parametrize(("kind", "kernel", "stride", "functions"), [
    (None, 3, 1, 8), ("relu", 3, 1, 15), ("relu", 3, 2, 15), ("relu6", 3, 1, 15), ("hard_swish", 3, 2, 15), (None, 5, 2, 24),
    ("relu", 5, 1, 80), ("relu", 5, 2, 35), ("silu", 5, 2, 35), *((kind, 3, 1, 15) for kind in CAN_TELL),
])  # fmt: skip
def test_constant_channels_become_functions_of_the_border(kind: str | None, kernel: int, stride: int, functions: int) -> None:
    """At every input size, also where both borders meet the same place."""
    graph = block(kind, kernel, stride)
    small = check(shrink(graph))
    assert small.values["b"].channels == 8 + functions
    for size in SIZES:
        x = np.random.default_rng(1).standard_normal((2, 3, *size))
        assert_close(graph.at((3, *size)).run(x), small.at((3, *size)).run(x), 1e-11)


def test_a_dilated_kernel_meets_the_border_tap_by_tap() -> None:
    graph = block("relu", padding=((1, 1), (1, 1)), dilation=2)
    small = check(shrink(graph))
    assert small.values["b"].channels == 8 + 15
    for size in SIZES[4:]:
        x = np.random.default_rng(1).standard_normal((2, 3, *size))
        assert_close(graph.at((3, *size)).run(x), small.at((3, *size)).run(x), 1e-11)


def gated(kind: str = "silu", *, n: int = 120, varying: int = 30, output: str = "") -> Graph:
    """A block with squeeze-and-excite; `varying` channels that are constant but for the border have a gate that varies."""
    rng = np.random.default_rng(0)
    graph = block(kind, n=n)
    gates = rng.standard_normal((n, 4, 1, 1))
    gates[8 + varying :] = 0
    nodes = [
        *graph.nodes[:-1],
        Node("pool", AdaptiveAvgPool((1, 1)), ("c",)),
        Node("squeeze", Conv(rng.standard_normal((4, n, 1, 1)), rng.standard_normal(4)), ("pool",)),
        Node("squeezed", Activation("relu"), ("squeeze",)),
        Node("excite", Conv(gates, rng.standard_normal(n)), ("squeezed",)),
        Node("gate", Activation("sigmoid"), ("excite",)),
        Node("scaled", Mul(), ("gate", "c")),
        replace(graph.nodes[-1], inputs=("scaled",)),
    ]
    return Graph(graph.inputs, ("output", output) if output else ("output",), tuple(nodes))


def test_channels_whose_gates_are_constant_go_and_those_whose_gates_vary_stay() -> None:
    graph = gated()
    small = check(shrink(graph))
    assert small.values["scaled"].channels == 8 + 30 + 15
    # The squeeze reads the functions of the border, and none of the channels that are made of them.
    squeeze = next(n.op for n in small.nodes if n.name == "squeeze")
    assert (squeeze.arrays["weight"] != 0).any((0, 2, 3)).sum() == 8 + 15
    for size in SIZES:
        x = np.random.default_rng(1).standard_normal((2, 3, *size))
        assert_close(graph.at((3, *size)).run(x), small.at((3, *size)).run(x), 1e-11)


@pytest.mark.parametrize("graph", [
    pytest.param(gated(varying=112 - 15), id="no more channels than functions"),
    pytest.param(gated(output="pool"), id="the means are an output"),
    pytest.param(gated(output="scaled"), id="the products are an output"),
    pytest.param(gated("elu"), id="an activation that cannot tell"),
])  # fmt: skip
def test_channels_behind_gates_are_left_alone(graph: Graph) -> None:
    assert merge_borders(graph) is graph


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


def test_small_maps_cost_functions_that_size_leaves_out_and_then_refuses() -> None:
    graph = block("silu", 5)
    small = check(shrink(graph, optimize="size"))
    assert small.values["b"].channels == 8 + 24
    for size in [(4, 4), (4, 7), (8, 9), (12, 5)]:
        x = np.random.default_rng(1).standard_normal((2, 3, *size))
        assert_close(graph.at((3, *size)).run(x), small.at((3, *size)).run(x), 1e-11)
    with pytest.raises(ValueError, match=r"at least \(4, 4\) places"):
        small.at((3, 3, 9))
    assert shrink(small, optimize="size") == small


def test_a_map_that_is_small_when_captured_keeps_the_functions_it_needs() -> None:
    graph = block("relu", 5).at((3, 3, 9))
    small = check(shrink(graph, optimize="size"))
    assert small.values["b"].channels == 8 + 9 * 5 - 1
    for size in [(1, 4), (2, 5), (3, 9), (8, 9)]:
        x = np.random.default_rng(1).standard_normal((2, 3, *size))
        assert_close(graph.at((3, *size)).run(x), small.at((3, *size)).run(x), 1e-11)


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


@pytest.mark.parametrize("kind", ["elu", "leaky_relu", "tanh"])
def test_an_activation_that_is_never_zero_is_left_alone(kind: str) -> None:
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
