"""Cases for all passes together: what no single pass does alone."""

from __future__ import annotations

import numpy as np
from sketch import case, conv, leaves_alone, linear, norm, relu, sketch

from edgeprune.graph import Graph
from edgeprune.ops import Activation, AdaptiveAvgPool, Add, Concat, Flatten, Mean, Mul, Pad, Select, Slice
from edgeprune.passes import shrink


@case(shrink)
def a_dead_neuron_with_a_bias_leaves_and_its_constant_stays() -> Graph:
    a = linear(4, 3, b=[1, 2, 3, 4], rows=[1, 3])
    return sketch((3,), ("a", a, "x"), ("b", relu, "a"), ("out", linear(2, 4), "b"))


@case(shrink)
def a_batch_norm_shift_of_a_dead_channel_leaves_and_its_constant_stays() -> Graph:
    return sketch(
        (2, 5, 5),
        ("a", conv(3, 2, rows=[1]), "x"),
        ("b", norm(3), "a"),
        ("c", Activation("hard_swish"), "b"),
        ("out", conv(2, 3, pad=0), "c"),
    )


@case(shrink)
def three_constants_under_zero_padding_leave_one_carrier() -> Graph:
    a = conv(5, 2, b=[0, 2, 3, 0.5, 0], rows=[1, 2, 3])
    return sketch((2, 5, 5), ("a", a, "x"), ("b", relu, "a"), ("out", conv(2, 5), "b"))


@case(shrink)
def a_chain_that_dies_from_its_end() -> Graph:
    return sketch(
        (2, 4, 4),
        ("a", conv(3, 2), "x"),
        ("b", conv(3, 3, rows=[0]), "a"),
        ("c", conv(2, 3, columns=[1, 2]), "b"),
        ("out", Mean(), "c"),
    )


@case(shrink)
def a_block_whose_branch_is_constant_disappears() -> Graph:
    return sketch(
        (2, 4, 4),
        ("stem", conv(2, 2), "x"),
        ("a", conv(3, 2), "stem"),
        ("b", relu, "a"),
        ("c", conv(2, 3, rows=[0, 1]), "b"),
        ("d", norm(2), "c"),
        ("e", Add(), "stem d"),
        ("f", relu, "e"),
        ("out", conv(2, 2), "f"),
    )


@case(shrink)
def a_branch_that_is_constant_once_an_unread_channel_left_disappears() -> Graph:
    """Takes two rounds: first channel 1 goes, then the branch holds constants only."""
    return sketch(
        (2, 4, 4),
        ("stem", conv(2, 2), "x"),
        ("a", conv(2, 2, b=[3, 0], rows=[0]), "stem"),
        ("e", Add(), "stem a"),
        ("out", conv(2, 2, columns=[1]), "e"),
    )


@case(shrink)
def a_gate_that_is_zero_takes_its_whole_map_along() -> Graph:
    return sketch(
        (2, 4, 4),
        ("a", conv(2, 2), "x"),
        ("p", AdaptiveAvgPool((1, 1)), "a"),
        ("g", conv(2, 2, 1, rows=[0, 1]), "p"),
        ("m", Mul(), "a g"),
        ("k", conv(2, 2), "x"),
        ("s", Add(), "k m"),
        ("out", conv(2, 2), "s"),
    )


@case(shrink)
def a_gate_that_is_zero_on_one_channel_takes_that_channel_along() -> Graph:
    return sketch(
        (2, 4, 4),
        ("a", conv(3, 2), "x"),
        ("p", AdaptiveAvgPool((1, 1)), "a"),
        ("g", conv(3, 3, 1, rows=[1], columns=[1]), "p"),
        ("m", Mul(), "a g"),
        ("out", conv(2, 3), "m"),
    )


@case(shrink)
def a_network_that_is_dead_throughout_keeps_one_channel() -> Graph:
    return sketch(
        (2, 4, 4),
        ("a", conv(3, 2), "x"),
        ("b", relu, "a"),
        ("c", Flatten(), "b"),
        ("out", linear(2, 48, b=[1, 2], columns=range(48)), "c"),
    )


@case(shrink)
def a_branch_of_a_concatenation_that_is_zero_leaves() -> Graph:
    return sketch(
        (2, 4, 4),
        ("a", conv(2, 2), "x"),
        ("b", conv(3, 2, rows=[0, 1, 2]), "x"),
        ("c", Concat(), "a b"),
        ("out", conv(2, 5), "c"),
    )


@case(shrink)
def a_shortcut_that_only_adds_zero_channels_shrinks_with_its_sum() -> Graph:
    """An option-A shortcut: the sum keeps what either side needs."""
    return sketch(
        (2, 4, 4),
        ("stem", conv(2, 2), "x"),
        ("s", Slice((0, 0), (None, None), (2, 2)), "stem"),
        ("z", Select(np.array([-1, 0, 1, -1])), "s"),
        ("a", conv(4, 2, rows=[0]), "s"),
        ("d", Add(), "a z"),
        ("m", Mean(), "d"),
        ("out", linear(2, 4, columns=[3]), "m"),
    )


@case(shrink)
def a_channel_that_exists_for_one_side_of_a_sum_is_silent_in_the_other() -> Graph:
    return sketch(
        (2, 4, 4),
        ("a", conv(3, 2), "x"),
        ("b", conv(3, 3, rows=[1]), "a"),
        ("c", Add(), "a b"),
        ("out", conv(2, 3, columns=[2]), "c"),
    )


@case(shrink)
def what_feeds_only_a_channel_kept_for_its_shape_leaves() -> Graph:
    """The first group keeps its second channel for the shape; silenced, it reads nothing, and what fed it goes."""
    b, c = conv(4, 3), conv(4, 4, groups=2)
    b.weight[[0, 2, 3], 2] = 0  # only channel 1 of b reads channel 2 of a
    c.weight[0, 1] = c.weight[1, 0] = 0  # only channel 1 of c reads channel 1 of b
    return sketch((2, 4, 4), ("a", conv(3, 2), "x"), ("b", b, "a"), ("c", c, "b"), ("out", conv(2, 4, 1, columns=[1]), "c"))


@case(shrink)
def padding_with_the_constant_itself_lets_it_pass() -> Graph:
    a = conv(3, 2, b=[0, 2, 0], rows=[1])
    return sketch((2, 4, 4), ("a", a, "x"), ("b", Pad(((1, 1), (1, 1)), 2.0), "a"), ("out", conv(2, 3, pad=0), "b"))


@leaves_alone(shrink)
def a_network_with_nothing_dead() -> Graph:
    return sketch(
        (2, 4, 4),
        ("a", conv(3, 2, b=[1, 2, 3]), "x"),
        ("b", relu, "a"),
        ("c", conv(3, 3), "b"),
        ("d", Add(), "b c"),
        ("e", Mean(), "d"),
        ("out", linear(2, 3), "e"),
    )


@leaves_alone(shrink)
def a_constant_under_zero_padding_and_its_depthwise_reader() -> Graph:
    a = conv(2, 2, 1, b=[0, 2], rows=[1])
    return sketch((2, 5, 5), ("a", a, "x"), ("b", conv(2, 2, groups=2), "a"), ("out", conv(2, 2, 1), "b"))


@leaves_alone(shrink)
def a_constant_channel_that_an_output_shows() -> Graph:
    return sketch((3,), ("a", linear(3, 3, b=[1, 2, 3], rows=[1]), "x"), ("out", relu, "a"))


def shrink_without_folding(graph: Graph) -> Graph:
    return shrink(graph, fold=False)


@case(shrink_without_folding)
def a_batch_norm_that_training_will_need_stays() -> Graph:
    return sketch((2, 4, 4), ("a", conv(3, 2, rows=[1]), "x"), ("b", norm(3), "a"), ("out", conv(2, 3, pad=0), "b"))
