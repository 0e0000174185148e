"""Cases for absorb_constants and drop_constant_terms."""

from __future__ import annotations

import numpy as np
from sketch import affine, bias, case, conv, leaves_alone, linear, norm, numbers, relu, sketch

from edgeprune.graph import Graph
from edgeprune.ops import (
    Activation,
    AdaptiveAvgPool,
    Add,
    AvgPool,
    Concat,
    Conv,
    Flatten,
    Linear,
    MaxPool,
    Mean,
    Mul,
    Pad,
    Select,
    Slice,
)
from edgeprune.passes import absorb_constants, drop_constant_terms

# -- absorb_constants --------------------------------------------------------------------------------------------------


@case(absorb_constants)
def a_constant_neuron_goes_into_the_next_bias() -> Graph:
    return sketch((3,), ("a", linear(3, 3, b=[1, 2, 3], rows=[1]), "x"), ("b", linear(2, 3), "a"))


@case(absorb_constants)
def a_constant_passes_through_an_activation() -> Graph:
    a = linear(3, 3, b=[1, -2, 3], rows=[1, 2])
    return sketch((3,), ("a", a, "x"), ("b", Activation("sigmoid"), "a"), ("c", linear(2, 3, b=[1, 1]), "b"))


@case(absorb_constants)
def a_neuron_of_zero_is_read_no_more_and_adds_no_bias() -> Graph:
    return sketch((3,), ("a", linear(3, 3, rows=[1]), "x"), ("b", linear(2, 3), "a"))


@case(absorb_constants)
def a_layer_with_no_weights_left_is_absorbed_whole() -> Graph:
    return sketch((3,), ("a", linear(2, 3, b=[1, 2], rows=[0, 1]), "x"), ("b", linear(2, 2), "a"))


@case(absorb_constants)
def constants_that_lead_to_constants_are_absorbed_at_once() -> Graph:
    a, b = linear(2, 3, b=[1, 2], rows=[0]), linear(3, 2, b=[0, 1, 1], columns=[1])
    return sketch((3,), ("a", a, "x"), ("b", b, "a"), ("c", linear(2, 3), "b"))


@case(absorb_constants)
def an_unpadded_convolution_takes_constants_into_its_bias() -> Graph:
    a = conv(3, 2, b=[0, 2, -1], rows=[1, 2])
    return sketch((2, 6, 6), ("a", a, "x"), ("b", conv(2, 3, pad=0), "a"))


@case(absorb_constants)
def a_pointwise_convolution_takes_constants_into_its_bias() -> Graph:
    return sketch((2, 4, 4), ("a", conv(3, 2, b=[0, 2, -1], rows=[1, 2]), "x"), ("b", conv(2, 3, 1), "a"))


@case(absorb_constants)
def constants_under_a_padded_convolution_become_one_carrier() -> Graph:
    a = conv(4, 2, b=[0, 2, -3, 0.5], rows=[1, 2, 3])
    return sketch((2, 5, 5), ("a", a, "x"), ("b", conv(2, 4), "a"))


@case(absorb_constants)
def a_zero_under_a_padded_convolution_is_dropped_beside_the_carrier() -> Graph:
    a = conv(4, 2, b=[0, 2, 0, 0.5], rows=[1, 2, 3])
    return sketch((2, 5, 5), ("a", a, "x"), ("b", conv(2, 4), "a"))


@case(absorb_constants)
def a_padded_convolution_that_reads_a_constant_in_the_middle_only_takes_it_into_its_bias() -> Graph:
    weight = numbers(2, 2, 3, 3)
    weight[:, 1] = 0
    weight[:, 1, 1, 1] = [1, 2]
    reader = Conv(weight, None, padding=((1, 1), (1, 1)))
    return sketch((2, 5, 5), ("a", conv(2, 2, b=[0, 2], rows=[1]), "x"), ("b", reader, "a"))


@case(absorb_constants)
def a_tap_on_the_unpadded_side_takes_a_constant_into_its_bias() -> Graph:
    weight = numbers(2, 2, 3, 3)
    weight[:, 1] = 0
    weight[:, 1, 1:, 1:] = 2
    reader = Conv(weight, None, padding=((1, 0), (1, 0)))
    return sketch((2, 5, 5), ("a", conv(2, 2, b=[0, 2], rows=[1]), "x"), ("b", reader, "a"))


@case(absorb_constants)
def a_zero_stays_zero_at_a_padded_border() -> Graph:
    a = conv(2, 2, rows=[1])
    return sketch((2, 5, 5), ("a", a, "x"), ("b", conv(2, 2, b=[1, 2], columns=[0]), "a"), ("c", conv(2, 2, 1), "b"))


def reads_constant_through(tap: tuple[int, int], pad: tuple[int, int]) -> Graph:
    """A convolution that reads its constant input channel through one tap only."""
    weight = numbers(2, 2, 3, 3)
    weight[:, 1] = 0
    weight[:, 1, tap[0], tap[1]] = 2
    return sketch((2, 5, 5), ("a", conv(2, 2, b=[0, 2], rows=[1]), "x"), ("b", Conv(weight, None, padding=(pad, pad)), "a"))


@leaves_alone(absorb_constants)
def a_tap_that_meets_padding_before_the_map() -> Graph:
    return reads_constant_through((0, 1), (1, 0))


@leaves_alone(absorb_constants)
def a_tap_that_meets_padding_after_the_map() -> Graph:
    return reads_constant_through((1, 2), (0, 1))


@case(absorb_constants)
def the_largest_constant_carries_so_that_no_share_overflows() -> Graph:
    return sketch((2, 5, 5), ("a", conv(3, 2, b=[0, 1e-320, 2], rows=[1, 2]), "x"), ("b", conv(2, 3), "a"))


@case(absorb_constants)
def a_carrier_that_the_convolution_reads_in_the_middle_too_keeps_that_share() -> Graph:
    reader = conv(2, 4)
    reader.weight[:, 2] = 0
    reader.weight[:, 2, 1, 1] = [1, 2]
    return sketch((2, 5, 5), ("a", conv(4, 2, b=[0, 2, -3, 0.5], rows=[1, 2, 3]), "x"), ("b", reader, "a"))


@case(absorb_constants)
def a_carrier_that_the_convolution_did_not_read_is_taken() -> Graph:
    a = conv(4, 2, b=[0, 2, -3, 0.5], rows=[1, 2, 3])
    return sketch((2, 5, 5), ("a", a, "x"), ("b", conv(2, 4, columns=[2]), "a"))


@case(absorb_constants)
def a_depthwise_convolution_drops_zeros() -> Graph:
    return sketch((2, 5, 5), ("a", conv(3, 2, b=[1, 0, 2], rows=[1]), "x"), ("b", conv(3, 3, groups=3), "a"))


@case(absorb_constants)
def an_unpadded_depthwise_convolution_becomes_constant_itself() -> Graph:
    a = conv(3, 2, b=[1, 4, 2], rows=[1])
    return sketch((2, 5, 5), ("a", a, "x"), ("b", conv(3, 3, groups=3, pad=0), "a"), ("c", conv(2, 3, pad=0), "b"))


@case(absorb_constants)
def a_grouped_convolution_absorbs_within_its_group() -> Graph:
    a = conv(4, 2, b=[0, 2, 3, 1], rows=[1, 2])
    return sketch((2, 5, 5), ("a", a, "x"), ("b", conv(4, 4, groups=2, pad=0), "a"))


@case(absorb_constants)
def a_constant_survives_pooling_without_padding() -> Graph:
    a = conv(2, 2, b=[0, 2], rows=[1])
    pool = AvgPool((2, 2), (2, 2), ((0, 0), (0, 0)), (1, 1))
    return sketch((2, 4, 4), ("a", a, "x"), ("b", pool, "a"), ("c", conv(2, 2, 1), "b"))


@case(absorb_constants)
def a_constant_survives_padding_that_does_not_count() -> Graph:
    a = conv(2, 2, b=[0, 2], rows=[1])
    pool = AvgPool((3, 3), (2, 2), ((1, 1), (1, 1)), (1, 1), count_padding=False)
    return sketch((2, 4, 4), ("a", a, "x"), ("b", pool, "a"), ("c", conv(2, 2, 1), "b"))


@case(absorb_constants)
def a_negative_constant_survives_a_padded_max_pool() -> Graph:
    a = conv(2, 2, b=[0, -2], rows=[1])
    pool = MaxPool((3, 3), (2, 2), ((1, 1), (1, 1)), (1, 1))
    return sketch((2, 4, 4), ("a", a, "x"), ("b", pool, "a"), ("c", conv(2, 2, 1), "b"))


@case(absorb_constants)
def a_constant_equal_to_the_fill_survives_padding() -> Graph:
    a = conv(2, 2, b=[0, 2], rows=[1])
    return sketch((2, 4, 4), ("a", a, "x"), ("b", Pad(((1, 1), (0, 0)), 2.0), "a"), ("c", conv(2, 2, 1), "b"))


@case(absorb_constants)
def a_channel_that_a_selection_makes_zero_is_not_read() -> Graph:
    return sketch((2,), ("a", Select(np.array([0, -1, 1])), "x"), ("b", linear(2, 3), "a"))


@case(absorb_constants)
def a_channel_scaled_by_zero_is_constant_whatever_it_reads() -> Graph:
    return sketch((2,), ("a", norm(2, zero=[1]), "x"), ("b", linear(2, 2), "a"))


@case(absorb_constants)
def a_channel_scaled_by_zero_keeps_its_shift() -> Graph:
    return sketch((2,), ("a", affine([2, 0], [0, 3]), "x"), ("b", linear(2, 2), "a"))


@case(absorb_constants)
def a_constant_passes_through_a_scale_and_a_shift() -> Graph:
    return sketch(
        (3,), ("a", linear(2, 3, b=[0, 2], rows=[1]), "x"), ("b", affine([2, 3], [1, 4]), "a"), ("c", linear(2, 2), "b")
    )


@case(absorb_constants)
def a_constant_passes_through_flatten_and_means_and_concatenation() -> Graph:
    a = conv(2, 2, b=[0, 2], rows=[1])
    return sketch(
        (2, 2, 2),
        ("a", a, "x"),
        ("b", Flatten(), "a"),
        ("c", Mean(), "a"),
        ("d", AdaptiveAvgPool((1, 1)), "a"),
        ("e", Flatten(), "d"),
        ("f", Concat(), "b c e"),
        ("g", linear(2, 12), "f"),
    )


@case(absorb_constants)
def a_constant_passes_through_cut_places_and_chosen_channels() -> Graph:
    a = conv(2, 2, b=[0, 2], rows=[1])
    cut, choice = Slice((1, 0), (None, None), (2, 1)), Select(np.array([1, 0, 1]))
    return sketch((2, 4, 4), ("a", a, "x"), ("b", cut, "a"), ("c", choice, "b"), ("d", conv(2, 3, 1), "c"))


@case(absorb_constants)
def a_product_with_a_zero_channel_is_constant() -> Graph:
    return sketch((2, 3, 3), ("a", conv(2, 2, rows=[1]), "x"), ("b", Mul(), "x a"), ("c", conv(2, 2, 1), "b"))


@leaves_alone(absorb_constants)
def a_constant_that_is_an_output() -> Graph:
    return sketch((3,), ("a", linear(3, 3, b=[1, 2, 3], rows=[1]), "x"))


@leaves_alone(absorb_constants)
def weights_that_cancel_are_not_a_constant() -> Graph:
    return sketch((2,), ("a", Linear(np.array([[1.0, -1.0]]), bias(2)), "x"), ("b", linear(2, 1), "a"))


@leaves_alone(absorb_constants)
def taps_that_cancel_are_not_a_constant() -> Graph:
    weight = np.zeros((1, 1, 1, 2))
    weight[..., 0], weight[..., 1] = 1, -1
    return sketch((1, 4, 4), ("a", Conv(weight), "x"), ("b", conv(1, 1, 1), "a"))


@leaves_alone(absorb_constants)
def a_single_nonzero_constant_under_zero_padding() -> Graph:
    return sketch((2, 5, 5), ("a", conv(2, 2, b=[0, 2], rows=[1]), "x"), ("b", conv(2, 2), "a"))


@leaves_alone(absorb_constants)
def constants_under_a_padded_depthwise_convolution() -> Graph:
    a = conv(3, 2, b=[1, 4, 2], rows=[1, 2])
    return sketch((2, 5, 5), ("a", a, "x"), ("b", conv(3, 3, groups=3), "a"))


@leaves_alone(absorb_constants)
def constants_under_a_padded_grouped_convolution() -> Graph:
    a = conv(4, 2, b=[1, 4, 2, 3], rows=[1, 2])
    return sketch((2, 5, 5), ("a", a, "x"), ("b", conv(4, 4, groups=2), "a"))


@leaves_alone(absorb_constants)
def a_constant_that_padding_changed() -> Graph:
    a = conv(2, 2, b=[0, 2], rows=[1])
    return sketch((2, 4, 4), ("a", a, "x"), ("b", Pad(((1, 1), (0, 0))), "a"), ("c", conv(2, 2, 1), "b"))


@leaves_alone(absorb_constants)
def a_constant_that_counted_padding_changed() -> Graph:
    a = conv(2, 2, b=[0, 2], rows=[1])
    pool = AvgPool((3, 3), (2, 2), ((1, 1), (1, 1)), (1, 1))
    return sketch((2, 4, 4), ("a", a, "x"), ("b", pool, "a"), ("c", conv(2, 2, 1), "b"))


@leaves_alone(absorb_constants)
def a_constant_summed_with_a_channel_that_varies() -> Graph:
    a = conv(2, 2, b=[0, 2], rows=[1])
    return sketch((2, 4, 4), ("a", a, "x"), ("b", Add(), "x a"), ("c", conv(2, 2, 1), "b"))


# -- drop_constant_terms -----------------------------------------------------------------------------------------------


@case(drop_constant_terms)
def a_residual_branch_that_is_constant_becomes_a_shift() -> Graph:
    return sketch((2, 4, 4), ("a", conv(2, 2, b=[1, 2], rows=[0, 1]), "x"), ("b", Add(), "x a"), ("c", relu, "b"))


@case(drop_constant_terms)
def a_constant_on_the_left_becomes_a_shift() -> Graph:
    return sketch((2, 4, 4), ("a", conv(2, 2, rows=[0, 1]), "x"), ("b", Add(), "a x"))


@case(drop_constant_terms)
def a_constant_gate_becomes_a_scale() -> Graph:
    gate = conv(2, 2, 1, b=[1, -2], rows=[0, 1])
    return sketch((2, 4, 4), ("p", AdaptiveAvgPool((1, 1)), "x"), ("a", gate, "p"), ("b", Mul(), "x a"))


@case(drop_constant_terms)
def a_product_with_zero_forgets_its_other_side() -> Graph:
    return sketch((2, 4, 4), ("a", conv(2, 2, rows=[0, 1]), "x"), ("b", Mul(), "x a"))


@leaves_alone(drop_constant_terms)
def a_branch_that_is_constant_in_one_channel_only() -> Graph:
    return sketch((2, 4, 4), ("a", conv(2, 2, b=[1, 2], rows=[0]), "x"), ("b", Add(), "x a"))


@leaves_alone(drop_constant_terms)
def a_constant_side_that_gives_the_sum_its_size() -> Graph:
    a = conv(2, 2, b=[1, 2], rows=[0, 1])
    return sketch((2, 4, 4), ("p", AdaptiveAvgPool((1, 1)), "x"), ("a", a, "x"), ("b", Add(), "p a"))


@leaves_alone(drop_constant_terms)
def a_branch_that_the_border_spoils() -> Graph:
    a = conv(2, 2, b=[1, 2], rows=[0, 1])
    return sketch((2, 4, 4), ("a", a, "x"), ("b", conv(2, 2), "a"), ("c", Add(), "x b"))


@leaves_alone(drop_constant_terms)
def an_affine_map_is_not_a_sum() -> Graph:
    return sketch((2,), ("a", affine([0, 0], [1, 2]), "x"), ("b", linear(2, 2), "a"))
