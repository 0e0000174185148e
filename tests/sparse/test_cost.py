"""Which encoding pays."""

from __future__ import annotations

import pytest

from edgeprune.errors import EdgepruneError
from edgeprune.sparse import CROSSOVER, choose

BIG = {"dense": 400_000, "csr": 30_000, "csr+densify": 30_072}


def test_a_sparse_matrix_stays_sparse() -> None:
    choice = choose(BIG, 5_000, 100_000, kind="linear")
    assert choice.encoding == "csr"
    assert "30,000 bytes instead of 400,000" in choice.reason


def test_above_the_crossover_the_file_is_small_and_the_layer_runs_dense() -> None:
    nonzeros = int(100_000 * CROSSOVER["linear"]) + 1
    choice = choose(BIG, nonzeros, 100_000, kind="linear")
    assert choice.encoding == "csr+densify"
    assert "slower" in choice.reason


def test_a_small_matrix_stays_sparse_at_any_density() -> None:
    assert choose({"dense": 4_000, "csr": 2_000, "csr+densify": 2_072}, 400, 1_000, kind="linear").encoding == "csr"


def test_a_small_matrix_applied_at_many_places_is_not_small() -> None:
    sizes = {"dense": 4_000, "csr": 2_000, "csr+densify": 2_072}
    assert choose(sizes, 400, 1_000, kind="pointwise", positions=196).encoding == "csr+densify"


def test_a_weight_no_kernel_multiplies_sparsely_is_expanded() -> None:
    assert choose({"dense": 400_000, "csr+densify": 3_000}, 100, 100_000).encoding == "csr+densify"


def test_a_weight_whose_indices_outweigh_its_zeros_is_dense() -> None:
    choice = choose({"dense": 400, "csr": 460, "csr+densify": 532}, 80, 100, kind="linear")
    assert choice.encoding == "dense"
    assert "460" in choice.reason


@pytest.mark.parametrize("goal", ["speed", "memory"])
def test_only_size_is_worth_an_expansion(goal: str) -> None:
    assert choose({"dense": 400_000, "coo": 3_000}, 100, 100_000, optimize=goal).encoding == "dense"


def test_memory_prefers_the_sparse_kernel_even_where_it_is_slower() -> None:
    assert choose({"dense": 400_000, "csr": 200_000}, 30_000, 100_000, kind="linear", optimize="memory").encoding == "csr"
    assert choose({"dense": 400_000, "csr": 200_000}, 30_000, 100_000, kind="linear", optimize="speed").encoding == "dense"


def test_an_unknown_goal_is_refused() -> None:
    with pytest.raises(EdgepruneError, match=r"'fast'.*size, speed, memory"):
        choose({"dense": 4}, 1, 1, optimize="fast")
