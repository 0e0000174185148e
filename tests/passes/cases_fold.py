"""Cases for fold_affine and drop_identities."""

from __future__ import annotations

import numpy as np
from sketch import affine, case, conv, leaves_alone, linear, norm, numbers, relu, sketch

from edgeprune.graph import Graph
from edgeprune.ops import Add, Affine, BatchNorm, Concat, Flatten, Pad, Select, Slice
from edgeprune.passes import drop_identities, fold_affine

# -- fold_affine -------------------------------------------------------------------------------------------------------


@case(fold_affine)
def a_batch_norm_goes_into_the_convolution_before_it() -> Graph:
    return sketch((2, 4, 4), ("a", conv(3, 2), "x"), ("b", norm(3), "a"), ("c", relu, "b"))


@case(fold_affine)
def a_batch_norm_goes_into_a_depthwise_convolution() -> Graph:
    return sketch((3, 4, 4), ("a", conv(3, 3, groups=3, b=[1, 0, -1]), "x"), ("b", norm(3), "a"))


@case(fold_affine)
def a_batch_norm_goes_into_the_linear_layer_before_it() -> Graph:
    return sketch((4,), ("a", linear(3, 4, b=[1, 2, 3]), "x"), ("b", norm(3), "a"))


@case(fold_affine)
def a_chain_of_scales_goes_into_one_layer() -> Graph:
    return sketch((4,), ("a", linear(2, 4), "x"), ("b", norm(2), "a"), ("c", affine([2, -1], [0, 1]), "b"))


@case(fold_affine)
def two_affine_maps_become_one() -> Graph:
    return sketch((2, 3, 3), ("a", affine([2, 3], [1, 2]), "x"), ("b", affine([3, -1], [0, 5]), "a"))


@case(fold_affine)
def the_convolution_takes_the_name_of_an_output() -> Graph:
    return sketch((2, 4, 4), ("a", conv(3, 2), "x"), ("out", norm(3), "a"))


@leaves_alone(fold_affine)
def a_convolution_that_is_read_twice() -> Graph:
    return sketch((2, 4, 4), ("a", conv(2, 2), "x"), ("b", norm(2), "a"), ("c", Add(), "a b"))


@leaves_alone(fold_affine)
def a_convolution_that_is_an_output_itself() -> Graph:
    return sketch((2, 4, 4), ("a", conv(3, 2), "x"), ("b", norm(3), "a"), outputs=["a", "b"])


@leaves_alone(fold_affine)
def a_batch_norm_after_an_activation() -> Graph:
    return sketch((2, 4, 4), ("a", conv(3, 2), "x"), ("b", relu, "a"), ("c", norm(3), "b"))


@leaves_alone(fold_affine)
def a_batch_norm_on_the_input() -> Graph:
    return sketch((2, 4, 4), ("a", norm(2), "x"), ("b", conv(3, 2), "a"))


@leaves_alone(fold_affine)
def a_batch_norm_before_a_padded_convolution() -> Graph:
    return sketch((2, 4, 4), ("a", relu, "x"), ("b", norm(2), "a"), ("c", conv(3, 2), "b"))


# -- drop_identities ---------------------------------------------------------------------------------------------------


@case(drop_identities)
def a_scale_of_one_is_left_out() -> Graph:
    return sketch((2,), ("a", affine([1, 1], [0, 0]), "x"), ("b", linear(3, 2), "a"))


@case(drop_identities)
def a_chain_of_identities_is_left_out() -> Graph:
    return sketch(
        (3, 4, 4),
        ("a", Pad(((0, 0), (0, 0))), "x"),
        ("b", Slice((0, 0), (None, None), (1, 1)), "a"),
        ("c", Select(np.arange(3)), "b"),
        ("d", Concat(), "c"),
        ("e", conv(2, 3), "d"),
    )


@case(drop_identities)
def flattening_a_vector_is_left_out() -> Graph:
    return sketch((3,), ("a", relu, "x"), ("b", Flatten(), "a"), ("c", linear(2, 3), "b"))


@case(drop_identities)
def a_batch_norm_that_changes_nothing_is_left_out() -> Graph:
    one, zero = np.ones(2), np.zeros(2)
    return sketch((2,), ("a", BatchNorm(one, zero, zero, one, eps=0.0), "x"), ("b", linear(3, 2), "a"))


@leaves_alone(drop_identities)
def an_identity_that_makes_an_output() -> Graph:
    return sketch((2,), ("a", linear(2, 2), "x"), ("out", affine([1, 1], [0, 0]), "a"))


@leaves_alone(drop_identities)
def a_scale_that_is_not_one_everywhere() -> Graph:
    return sketch((2,), ("a", affine([1, 2], [0, 0]), "x"), ("b", linear(3, 2), "a"))


@leaves_alone(drop_identities)
def a_shift_that_is_not_zero_everywhere() -> Graph:
    return sketch((2,), ("a", affine([1, 1], [0, 1e-30]), "x"), ("b", linear(3, 2), "a"))


@leaves_alone(drop_identities)
def a_shuffle_and_a_choice_of_channels() -> Graph:
    return sketch((3,), ("a", Select(np.array([1, 0, 2])), "x"), ("b", Select(np.array([0, 1])), "a"), ("c", linear(2, 2), "b"))


@leaves_alone(drop_identities)
def places_cut_and_padded() -> Graph:
    return sketch(
        (1, 4, 4),
        ("a", Slice((0, 1), (None, None), (1, 1)), "x"),
        ("b", Pad(((0, 0), (1, 0))), "a"),
        ("c", Flatten(), "b"),
        ("d", linear(2, 16), "c"),
    )


@leaves_alone(drop_identities)
def a_batch_norm_that_only_rounding_makes_one() -> Graph:
    return sketch((2,), ("a", Affine(np.ones(2) + 1e-15, numbers(2) * 1e-300), "x"), ("b", linear(3, 2), "a"))
