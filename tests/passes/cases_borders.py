"""Cases for merge_borders and push_shifts."""

from __future__ import annotations

import numpy as np
from sketch import affine, bias, case, conv, leaves_alone, linear, numbers, relu, sketch

from edgeprune.graph import Graph, Op
from edgeprune.ops import Activation, AdaptiveAvgPool, Add, Conv, Mul, Scatter
from edgeprune.passes import merge_borders, push_shifts

# -- merge_borders -----------------------------------------------------------------------------------------------------

# Four channels, of which the last three are constant; and a depthwise layer padded above, which tells "first line" from "not".
expand = conv(4, 2, 1, b=[1, 2, 3, -4], rows=[1, 2, 3])
depthwise = Conv(numbers(4, 1, 2, 1), bias(1, -1, 0.5, 3), padding=((1, 0), (0, 0)), groups=4)
project = conv(2, 4, 1, b=[1, 2])


def block(*between: tuple[str, Op, str], last: str = "b", outputs: tuple[str, ...] = ()) -> Graph:
    steps = (("a", expand, "x"), ("b", depthwise, "a"), *between, ("out", project, last))
    return sketch((2, 3, 3), *steps, outputs=("out", *outputs))


@case(merge_borders)
def constant_channels_under_a_padded_line_become_one() -> Graph:
    return block(("c", relu, "b"), last="c")


@case(merge_borders)
def without_an_activation_too() -> Graph:
    return block()


@case(merge_borders)
def an_activation_that_is_almost_zero_tells_as_well() -> Graph:
    return block(("c", Activation("silu"), "b"), last="c")


@case(merge_borders)
def channels_behind_constant_gates() -> Graph:
    gate = conv(4, 4, 1, b=[1, 2, 3, 4], rows=[1, 2, 3])
    return block(("c", relu, "b"), ("p", AdaptiveAvgPool((1, 1)), "c"), ("g", gate, "p"), ("d", Mul(), "g c"), last="d")


@case(merge_borders)
def a_gate_that_varies_keeps_its_channel_and_the_mean_goes_over() -> Graph:
    gate = conv(4, 4, 1, b=[1, 2, 3, 4], rows=[2, 3])
    return block(("c", relu, "b"), ("p", AdaptiveAvgPool((1, 1)), "c"), ("g", gate, "p"), ("d", Mul(), "g c"), last="d")


@leaves_alone(merge_borders)
def gates_that_vary_but_for_one() -> Graph:
    gate = conv(4, 4, 1, b=[1, 2, 3, 4], rows=[3])
    return block(("c", relu, "b"), ("p", AdaptiveAvgPool((1, 1)), "c"), ("g", gate, "p"), ("d", Mul(), "g c"), last="d")


@leaves_alone(merge_borders)
def an_activation_that_cannot_tell() -> Graph:
    return block(("c", Activation("leaky_relu", 0.1), "b"), last="c")


@leaves_alone(merge_borders)
def channels_that_are_an_output() -> Graph:
    return block(("c", relu, "b"), last="c", outputs=("c",))


@leaves_alone(merge_borders)
def a_reader_with_a_window_of_its_own() -> Graph:
    return sketch((2, 3, 3), ("a", expand, "x"), ("b", depthwise, "a"), ("c", relu, "b"), ("out", conv(2, 4), "c"))


@leaves_alone(merge_borders)
def a_depthwise_layer_without_padding() -> Graph:
    unpadded = Conv(depthwise.weight, depthwise.bias, groups=4)
    return sketch((2, 3, 3), ("a", expand, "x"), ("b", unpadded, "a"), ("c", relu, "b"), ("out", project, "c"))


# -- push_shifts -------------------------------------------------------------------------------------------------------


@case(push_shifts)
def a_shift_goes_through_a_sum_into_the_next_bias() -> Graph:
    a, c = affine([1, 1], [2, -3]), conv(2, 2, 1, b=[0, 1])
    return sketch((2, 3, 3), ("a", a, "x"), ("b", Add(), "x a"), ("c", c, "b"))


@case(push_shifts)
def a_shift_goes_into_everything_that_reads_the_sum() -> Graph:
    a, c = affine([1, 1], [2, -3]), conv(2, 2, 1, b=[0, 1])
    return sketch((2, 3, 3), ("a", a, "x"), ("b", Add(), "x a"), ("c", c, "b"), ("d", Add(), "b c"), ("e", c, "d"))


@case(push_shifts)
def what_a_scatter_holds_goes_into_the_next_bias() -> Graph:
    scatter = Scatter(np.array([-1, 0, -1]), fill=bias(5, 6))
    return sketch((1,), ("a", scatter, "x"), ("b", linear(2, 3, b=[1, 2]), "a"))


@case(push_shifts)
def one_shift_goes_into_another() -> Graph:
    return sketch((2,), ("a", affine([1, 1], [1, 2]), "x"), ("b", affine([2, 3], [0, 1]), "a"))


@leaves_alone(push_shifts)
def a_shift_before_an_activation() -> Graph:
    return sketch((2, 3, 3), ("a", affine([1, 1], [2, -3]), "x"), ("b", relu, "a"))


@leaves_alone(push_shifts)
def a_shift_before_padding() -> Graph:
    return sketch((2, 3, 3), ("a", affine([1, 1], [2, -3]), "x"), ("b", conv(2, 2, b=[0, 1]), "a"))


@leaves_alone(push_shifts)
def a_shift_that_reaches_an_output() -> Graph:
    a, c = affine([1, 1], [2, -3]), conv(2, 2, 1, b=[0, 1])
    return sketch((2, 3, 3), ("a", a, "x"), ("b", Add(), "x a"), ("c", c, "b"), outputs=("b", "c"))


@leaves_alone(push_shifts)
def biases_that_are_more_than_the_shift() -> Graph:
    return sketch((2,), ("a", affine([1, 1], [1, 0]), "x"), ("b", linear(3, 2), "a"))


@leaves_alone(push_shifts)
def a_scale() -> Graph:
    return sketch((2,), ("a", affine([1, 2], [1, 2]), "x"), ("b", linear(3, 2, b=[0, 0, 0]), "a"))
