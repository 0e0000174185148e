"""Stripes: blocks that hold every nonzero once, and share their rows."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgeprune.sparse import Block, by_tap, filled


def blocks_of(weight: np.ndarray) -> tuple[Block, ...]:
    """Of a convolution's weight [outputs, inputs, taps]; columns are counted over inputs and taps."""
    outs, inner, taps = np.nonzero(weight)
    return by_tap(outs, inner * weight.shape[2] + taps, taps, weight[outs, inner, taps])


@given(st.integers(1, 6), st.integers(1, 5), st.integers(1, 9), st.integers(0, 2**32 - 1), st.sampled_from([0.0, 0.1, 0.5, 1.0]))
def test_the_blocks_hold_the_matrix(outs: int, ins: int, taps: int, seed: int, density: float) -> None:
    rng = np.random.default_rng(seed)
    weight = rng.standard_normal((outs, ins, taps)) * (rng.random((outs, ins, taps)) < density)
    matrix = weight.astype(np.float32).reshape(outs, -1)
    assert np.array_equal(filled(blocks_of(weight.astype(np.float32)), matrix.shape), matrix)


def test_of_whole_stripes_nothing_but_their_weights_is_stored() -> None:
    rng = np.random.default_rng(0)
    weight = rng.standard_normal((16, 8, 9)) * (rng.random((16, 1, 9)) < 0.3)
    assert sum(block.values.size for block in blocks_of(weight)) == np.count_nonzero(weight)


def test_a_channel_that_no_filter_reads_at_a_tap_is_not_in_its_block() -> None:
    weight = np.ones((4, 3, 2), np.float32)
    weight[:, 1, 0] = 0
    weight[2, :, 1] = 0  # else both taps were of the same filters
    assert [block.values.shape for block in blocks_of(weight)] == [(4, 2), (3, 3)]


def test_taps_of_the_same_filters_share_a_block() -> None:
    weight = np.ones((4, 3, 5), np.float32)
    weight[1, :, 2] = 0
    first, other = blocks_of(weight)
    assert first.columns.tolist() == [0, 1, 3, 4, 5, 6, 8, 9, 10, 11, 13, 14]
    assert (other.rows.tolist(), other.columns.tolist()) == ([0, 2, 3], [2, 7, 12])


def test_nothing_has_no_block() -> None:
    assert blocks_of(np.zeros((4, 3, 2), np.float32)) == ()
    assert not filled((), (4, 6)).any()


def test_a_block_beyond_the_matrix_is_refused() -> None:
    with pytest.raises(IndexError):
        filled([Block(np.array([4]), np.array([0]), np.ones((1, 1)))], (4, 6))
