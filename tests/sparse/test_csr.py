"""Compressed sparse rows: what goes in comes out, in the fewest bytes its levels allow."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from edgeprune.sparse import Level, Sparse, decode, encode, narrow

NUMBERS = st.sampled_from([0.0] * 6 + [1.0, -1.0, 0.5, 1e-30, -3e8])


@st.composite
def encodings(draw: st.DrawFn) -> tuple[np.ndarray, str, tuple[int, ...]]:
    array = draw(arrays(np.float32, array_shapes(min_dims=1, max_dims=4, max_side=6), elements=NUMBERS, fill=st.just(0.0)))
    levels = "".join(draw(st.lists(st.sampled_from("dc"), min_size=array.ndim, max_size=array.ndim)))
    return array, levels, draw(st.sampled_from(list(permutations(range(array.ndim)))))


@given(encodings(), st.integers(0, 1))
def test_decoding_undoes_encoding_for_any_levels_in_any_order(
    case: tuple[np.ndarray, str, tuple[int, ...]], at_least: int
) -> None:
    array, levels, order = case
    sparse = encode(array, levels, order, at_least=at_least)
    assert np.array_equal(decode(sparse), array)
    assert len(sparse.values) >= at_least


@given(arrays(np.float32, array_shapes(min_dims=2, max_dims=2, max_side=30), elements=NUMBERS, fill=st.just(0.0)))
def test_rows_of_a_matrix_are_plain_csr(matrix: np.ndarray) -> None:
    rows = encode(matrix, "dc").levels[1]
    assert rows.segments is not None
    assert rows.indices is not None
    for r, row in enumerate(matrix):
        assert np.array_equal(rows.indices[rows.segments[r] : rows.segments[r + 1]], np.flatnonzero(row))


@pytest.mark.parametrize(
    ("shape", "places"),
    [
        ((5, 7), []),
        ((5, 7), [(4, 6)]),
        ((5, 7), [(0, 0)]),
        ((4, 300), [(1, 255), (1, 256), (3, 299)]),
        ((2, 70_000), [(0, 65_535), (1, 65_536), (1, 69_999)]),
        ((70_000, 2), [(0, 1), (69_999, 0)]),
        ((1, 1), [(0, 0)]),
    ],
)
@pytest.mark.parametrize("levels", ["dc", "cc", "cd", "dd"])
def test_edges_survive(shape: tuple[int, int], places: list[tuple[int, int]], levels: str) -> None:
    matrix = np.zeros(shape, np.float32)
    for place in places:
        matrix[place] = 1 + sum(place)
    assert np.array_equal(decode(encode(matrix, levels)), matrix)


def test_a_row_without_nonzeros_has_an_empty_list() -> None:
    matrix = np.array([[0, 0], [0, 3], [0, 0]], np.float32)
    assert encode(matrix, "dc").levels[1].segments.tolist() == [0, 0, 1, 1]  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("largest", "dtype"),
    [(0, "uint8"), (255, "uint8"), (256, "uint16"), (65_535, "uint16"), (65_536, "int32"), (2**31 - 1, "int32")],
)
def test_indices_take_the_smallest_type_that_holds_them(largest: int, dtype: str) -> None:
    assert narrow(np.array([0, largest])).dtype == dtype
    assert narrow(np.array([0, largest]))[1] == largest


def test_an_index_beyond_32_bits_is_refused() -> None:
    with pytest.raises(ValueError, match="32 bits"):
        narrow(np.array([2**31]))


def test_bytes_are_those_of_values_and_indices() -> None:
    matrix = np.zeros((10, 300), np.float32)
    matrix[2, 299] = matrix[2, 5] = 1
    # Two values, eleven row beginnings of a byte, two columns of two bytes.
    assert encode(matrix, "dc").nbytes == 2 * 4 + 11 + 2 * 2


def test_nothing_nonzero_can_still_store_one_zero() -> None:
    sparse = encode(np.zeros((3, 4), np.float32), "dc", at_least=1)
    assert sparse.values.tolist() == [0.0]
    assert not decode(sparse).any()


def test_minus_one_and_one_do_not_cancel() -> None:
    assert len(encode(np.array([[1, -1]], np.float32), "cc").values) == 2


@pytest.mark.parametrize(("levels", "order"), [("d", None), ("dx", None), ("dc", (0, 0)), ("dc", (0, 1, 2))])
def test_levels_that_do_not_fit_are_refused(levels: str, order: tuple[int, ...] | None) -> None:
    with pytest.raises(ValueError, match="do not describe"):
        encode(np.ones((2, 3), np.float32), levels, order)


U8 = np.uint8
GOOD = {"segments": np.array([0, 1, 2], U8), "indices": np.array([0, 2], U8)}


@pytest.mark.parametrize(
    ("change", "what"),
    [
        ({"indices": np.array([0, 3], U8)}, "outside"),
        ({"segments": np.array([0, 2, 1], U8)}, "outside"),
        ({"segments": np.array([1, 1, 2], U8)}, "outside"),
        ({"segments": np.array([0, 2], U8)}, "outside"),
        ({"segments": np.array([0, 1, 3], U8)}, "outside"),
    ],
)
def test_levels_that_contradict_each_other_are_refused(change: dict[str, np.ndarray], what: str) -> None:
    sparse = Sparse((2, 3), (0, 1), (Level(2), Level(3, **{**GOOD, **change})), np.ones(2, np.float32))
    with pytest.raises(ValueError, match=what):
        decode(sparse)


def test_values_that_do_not_fill_the_places_are_refused() -> None:
    with pytest.raises(ValueError, match="3 values for 2 places"):
        decode(Sparse((2, 3), (0, 1), (Level(2), Level(3, **GOOD)), np.ones(3, np.float32)))


@pytest.mark.parametrize("shape", [(2**20, 2**20), (2**29,)])
def test_a_shape_no_weight_has_is_refused_before_it_takes_memory(shape: tuple[int, ...]) -> None:
    levels = tuple(map(Level, shape))
    with pytest.raises(ValueError, match=r"more than|nothing to fill"):
        decode(Sparse(shape, tuple(range(len(shape))), levels, np.ones(2, np.float32)))
