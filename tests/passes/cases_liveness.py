"""Cases for silence_unneeded and remove_dead_channels."""

from __future__ import annotations

import numpy as np
from sketch import affine, case, conv, leaves_alone, linear, norm, numbers, relu, sketch

from edgeprune.graph import Graph
from edgeprune.ops import Add, Concat, Conv, Flatten, Linear, MaxPool, Mean, Select, Softmax
from edgeprune.passes import remove_dead_channels, silence_unneeded

# -- silence_unneeded --------------------------------------------------------------------------------------------------


@case(silence_unneeded)
def a_channel_that_is_scaled_by_zero_is_silenced() -> Graph:
    return sketch((2, 4, 4), ("a", conv(3, 2, b=[1, 2, 3]), "x"), ("b", norm(3, zero=[2]), "a"))


@case(silence_unneeded)
def a_channel_that_nothing_reads_is_silenced() -> Graph:
    return sketch((3,), ("a", linear(3, 3, b=[1, 2, 3]), "x"), ("b", linear(2, 3, columns=[1]), "a"))


@case(silence_unneeded)
def a_bias_that_nothing_reads_is_silenced() -> Graph:
    return sketch((3,), ("a", linear(3, 3, b=[1, 2, 3], rows=[1]), "x"), ("b", linear(2, 3, columns=[1]), "a"))


@case(silence_unneeded)
def a_bias_of_a_dead_map_that_nothing_reads_is_silenced() -> Graph:
    return sketch((2, 4, 4), ("a", conv(3, 2, b=[1, 2, 3], rows=[1]), "x"), ("b", conv(2, 3, columns=[1]), "a"))


@case(silence_unneeded)
def a_channel_that_an_affine_map_scales_by_zero_is_silenced() -> Graph:
    return sketch((3,), ("a", linear(2, 3), "x"), ("b", affine([1, 0], [2, 3]), "a"))


@leaves_alone(silence_unneeded)
def channels_that_are_needed_somewhere() -> Graph:
    return sketch(
        (3,),
        ("a", linear(3, 3, b=[1, 2, 3]), "x"),
        ("b", linear(2, 3, columns=[1]), "a"),
        ("c", linear(2, 3, columns=[0, 2]), "a"),
        ("d", Add(), "b c"),
    )


@leaves_alone(silence_unneeded)
def an_output_channel_that_another_node_ignores() -> Graph:
    return sketch((3,), ("a", linear(3, 3), "x"), ("b", linear(2, 3, columns=[1]), "a"), outputs=["a", "b"])


@leaves_alone(silence_unneeded)
def a_channel_that_is_silent_already() -> Graph:
    return sketch((3,), ("a", linear(3, 3, b=[1, 0, 3], rows=[1]), "x"), ("b", linear(2, 3, columns=[1]), "a"))


# -- remove_dead_channels ----------------------------------------------------------------------------------------------


@case(remove_dead_channels)
def a_neuron_that_nothing_reads_goes() -> Graph:
    return sketch((3,), ("a", linear(4, 3, b=[1, 2, 3, 4]), "x"), ("b", relu, "a"), ("c", linear(2, 4, columns=[1, 3]), "b"))


@case(remove_dead_channels)
def a_map_that_nothing_reads_goes_through_norm_activation_and_pool() -> Graph:
    pool = MaxPool((2, 2), (2, 2), ((0, 0), (0, 0)), (1, 1))
    return sketch(
        (2, 4, 4),
        ("a", conv(4, 2), "x"),
        ("b", norm(4), "a"),
        ("c", relu, "b"),
        ("d", pool, "c"),
        ("e", conv(2, 4, columns=[0, 3]), "d"),
    )


@case(remove_dead_channels)
def what_feeds_only_dead_neurons_goes_too() -> Graph:
    a, b = linear(3, 3), linear(3, 3, columns=[2])
    b.weight[1, :] = [0, 0, 1]
    b.weight[0, 2] = b.weight[2, 2] = 0
    return sketch((3,), ("a", a, "x"), ("b", b, "a"), ("c", linear(2, 3, columns=[1]), "b"))


@case(remove_dead_channels)
def flattened_features_go_with_their_channel() -> Graph:
    reader = linear(2, 12, columns=[4, 5, 6, 7])
    return sketch((2, 2, 2), ("a", conv(3, 2), "x"), ("b", Flatten(), "a"), ("c", reader, "b"))


@case(remove_dead_channels)
def means_go_with_their_channel() -> Graph:
    return sketch((2, 3, 3), ("a", conv(3, 2), "x"), ("b", Mean(), "a"), ("c", linear(2, 3, columns=[0]), "b"))


@case(remove_dead_channels)
def a_residual_sum_loses_a_channel_that_both_sides_lose() -> Graph:
    return sketch(
        (2, 4, 4),
        ("a", conv(3, 2), "x"),
        ("b", conv(3, 3, columns=[1]), "a"),
        ("c", Add(), "a b"),
        ("d", conv(2, 3, columns=[1]), "c"),
    )


@case(remove_dead_channels)
def a_branch_of_a_concatenation_that_nothing_reads_goes() -> Graph:
    return sketch(
        (2, 4, 4),
        ("a", conv(2, 2), "x"),
        ("b", conv(3, 2, 1), "x"),
        ("c", Concat(), "a b"),
        ("d", conv(2, 5, columns=[2, 3, 4]), "c"),
    )


@case(remove_dead_channels)
def a_concatenation_loses_channels_on_both_sides() -> Graph:
    return sketch(
        (2, 4, 4),
        ("a", conv(2, 2), "x"),
        ("b", conv(3, 2, 1), "x"),
        ("c", Concat(), "a b"),
        ("d", conv(2, 5, columns=[0, 3]), "c"),
    )


@case(remove_dead_channels)
def channels_that_a_selection_drops_go() -> Graph:
    return sketch((3,), ("a", linear(4, 3), "x"), ("b", Select(np.array([3, 1])), "a"), ("c", linear(2, 2), "b"))


@case(remove_dead_channels)
def a_shuffle_moves_its_indices() -> Graph:
    return sketch(
        (3,), ("a", linear(4, 3), "x"), ("b", Select(np.array([3, 1, 0, 2])), "a"), ("c", linear(2, 4, columns=[0]), "b")
    )


@case(remove_dead_channels)
def a_zero_that_a_selection_adds_goes_when_nothing_reads_it() -> Graph:
    return sketch((2,), ("a", Select(np.array([-1, 0, 1, -1])), "x"), ("b", linear(2, 4, columns=[0, 3]), "a"))


@case(remove_dead_channels)
def a_depthwise_convolution_loses_whole_channels() -> Graph:
    return sketch(
        (2, 4, 4),
        ("a", conv(3, 2, 1), "x"),
        ("b", conv(3, 3, groups=3, b=[1, 2, 3]), "a"),
        ("c", conv(2, 3, 1, columns=[1]), "b"),
    )


@case(remove_dead_channels)
def a_group_goes_as_a_whole() -> Graph:
    return sketch(
        (2, 4, 4),
        ("a", conv(4, 2, 1), "x"),
        ("b", conv(4, 4, groups=2, b=[1, 2, 3, 4]), "a"),
        ("c", conv(2, 4, 1, columns=[2, 3]), "b"),
    )


@case(remove_dead_channels)
def groups_lose_as_many_channels_each() -> Graph:
    return sketch(
        (2, 4, 4),
        ("a", conv(4, 2, 1), "x"),
        ("b", conv(4, 4, groups=2), "a"),
        ("c", conv(2, 4, 1, columns=[0, 3]), "b"),
    )


@case(remove_dead_channels)
def a_layer_that_is_not_read_at_all_keeps_one_channel() -> Graph:
    return sketch((3,), ("a", linear(4, 3), "x"), ("b", linear(2, 4, b=[1, 2], columns=[0, 1, 2, 3]), "a"))


@leaves_alone(remove_dead_channels)
def a_neuron_read_by_one_of_two_readers() -> Graph:
    return sketch(
        (3,),
        ("a", linear(3, 3), "x"),
        ("b", linear(2, 3, columns=[1, 2]), "a"),
        ("c", linear(2, 3, columns=[0]), "a"),
        ("d", Add(), "b c"),
    )


@case(remove_dead_channels)
def a_selection_that_adds_a_zero_needs_no_channel_for_it() -> Graph:
    return sketch((3,), ("a", linear(4, 3), "x"), ("b", Select(np.array([-1, 0, 2])), "a"), ("c", linear(2, 3), "b"))


@leaves_alone(remove_dead_channels)
def a_part_of_a_concatenation_that_another_reader_needs() -> Graph:
    return sketch(
        (2, 4, 4),
        ("a", conv(2, 2), "x"),
        ("b", conv(2, 2, 1), "x"),
        ("c", Concat(), "a b"),
        ("d", conv(2, 4, columns=[0]), "c"),
        ("e", conv(2, 2), "a"),
        ("f", Add(), "d e"),
    )


@leaves_alone(remove_dead_channels)
def sums_that_are_tied_by_turns() -> Graph:
    """Channel 1 of b is read; that ties u and a; a ties s and z, though s comes later; z ties p and q, which came before."""
    return sketch(
        (2, 4, 4),
        *((name, conv(2, 2, kernel), "x") for name, kernel in (("p", 3), ("q", 1), ("a", 3), ("b", 1))),
        ("z", Add(), "p q"),
        ("u", Add(), "a b"),
        ("s", Add(), "a z"),
        ("c", conv(2, 2, columns=[1]), "u"),
        ("d", conv(2, 2, columns=[1]), "s"),
        ("e", conv(2, 2), "b"),
        ("out", Concat(), "c d e"),
    )


@leaves_alone(remove_dead_channels)
def a_neuron_that_is_an_output() -> Graph:
    return sketch((3,), ("a", linear(3, 3), "x"), ("b", linear(2, 3, columns=[1]), "a"), outputs=["a", "b"])


@leaves_alone(remove_dead_channels)
def an_output_that_is_always_zero() -> Graph:
    return sketch((3,), ("a", linear(3, 3, rows=[1]), "x"))


@leaves_alone(remove_dead_channels)
def an_input_channel_that_nothing_reads() -> Graph:
    return sketch((3,), ("a", linear(2, 3, columns=[1]), "x"))


@leaves_alone(remove_dead_channels)
def a_channel_that_one_side_of_a_sum_ignores() -> Graph:
    return sketch(
        (2, 4, 4),
        ("a", conv(2, 2, rows=[0]), "x"),
        ("b", conv(2, 2, 1), "x"),
        ("c", Add(), "a b"),
        ("d", conv(2, 2), "c"),
    )


@leaves_alone(remove_dead_channels)
def columns_that_cancel_are_read() -> Graph:
    reader = Linear(np.array([[1.0, 2.0], [-1.0, 3.0]]))
    return sketch((3,), ("a", linear(2, 3), "x"), ("b", reader, "a"))


@leaves_alone(remove_dead_channels)
def taps_that_cancel_are_read() -> Graph:
    weight = np.zeros((1, 2, 1, 2))
    weight[:, :, :, 0], weight[:, :, :, 1] = 1, -1
    return sketch((2, 4, 4), ("a", conv(2, 2, 1), "x"), ("b", Conv(weight), "a"))


@leaves_alone(remove_dead_channels)
def a_feature_of_a_channel_whose_other_features_are_read() -> Graph:
    return sketch((2, 2, 2), ("a", conv(2, 2), "x"), ("b", Flatten(), "a"), ("c", linear(2, 8, columns=[0, 1, 2]), "b"))


@leaves_alone(remove_dead_channels)
def groups_that_each_have_a_full_side() -> Graph:
    return sketch(
        (2, 4, 4),
        ("a", conv(4, 2, 1), "x"),
        ("b", conv(4, 4, groups=2), "a"),
        ("c", conv(2, 4, 1, columns=[0]), "b"),
    )


@leaves_alone(remove_dead_channels)
def channels_that_a_softmax_compares() -> Graph:
    return sketch((3,), ("a", linear(3, 3), "x"), ("b", Softmax(0), "a"), ("c", linear(2, 3, columns=[1]), "b"))


@leaves_alone(remove_dead_channels)
def a_channel_that_a_selection_takes_twice() -> Graph:
    return sketch((3,), ("a", linear(2, 3), "x"), ("b", Select(np.array([1, 0, 1])), "a"), ("c", linear(2, 3), "b"))


@leaves_alone(remove_dead_channels)
def a_scale_of_zero_on_a_graph_input() -> Graph:
    return sketch((2,), ("a", affine([0, 1], [1, 1]), "x"), ("b", Linear(numbers(2, 2)), "a"))
