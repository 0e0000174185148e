"""Which form of a layer pays."""

from __future__ import annotations

import dataclasses

import pytest

from edgeprune.errors import EdgepruneError
from edgeprune.sparse import Costs, Option, choose

DENSE = Option("dense", 400_000, 100.0, 800_000)
QUICK = Option("csr", 30_000, 20.0, 60_000)
SLOW = dataclasses.replace(QUICK, us=300.0)
EXPANDED = Option("csr+densify", 30_072, 100.0, 830_072, expanded=True)


def test_what_is_smaller_and_faster_is_taken_whatever_the_goal() -> None:
    for goal in ("size", "latency", "memory"):
        assert choose([DENSE, EXPANDED, QUICK], optimize=goal).encoding == "csr"


def test_the_reason_says_bytes_and_times_of_both() -> None:
    reason = choose([DENSE, EXPANDED, QUICK]).reason
    assert "30,000 bytes instead of 400,000" in reason
    assert "20 µs instead of 100 µs" in reason


def test_the_smallest_file_slows_no_layer_down() -> None:
    choice = choose([DENSE, EXPANDED, SLOW])
    assert choice.encoding == "csr+densify"
    assert "csr would take 300 µs instead of 100 µs" in choice.reason
    assert "as much memory as dense" in choice.reason


@pytest.mark.parametrize(("slower", "form"), [(104.0, "csr"), (107.0, "csr+densify")])
def test_five_percent_is_not_slower(slower: float, form: str) -> None:
    assert choose([DENSE, EXPANDED, dataclasses.replace(QUICK, us=slower)]).encoding == form


def test_a_layer_too_quick_to_notice_is_stored_small() -> None:
    tiny = [Option("dense", 4_000, 0.6), Option("csr+densify", 2_072, 0.6, expanded=True), Option("csr", 2_000, 0.9)]
    assert choose(tiny).encoding == "csr"


def test_a_weight_whose_indices_outweigh_its_zeros_is_dense() -> None:
    choice = choose([Option("dense", 400, 1.0), Option("csr+densify", 532, 1.0, expanded=True), Option("csr", 460, 0.9)])
    assert choice.encoding == "dense"
    assert "460" in choice.reason


@pytest.mark.parametrize("goal", ["latency", "memory"])
def test_only_size_is_worth_an_expansion(goal: str) -> None:
    choice = choose([DENSE, Option("coo", 3_000, expanded=True)], optimize=goal)
    assert choice.encoding == "dense"
    assert "loading time and memory" in choice.reason


def test_memory_prefers_the_sparse_kernel_even_where_it_is_slower() -> None:
    assert choose([DENSE, EXPANDED, SLOW], optimize="memory").encoding == "csr"
    assert choose([DENSE, EXPANDED, SLOW], optimize="latency").encoding == "dense"


def test_of_two_equally_fast_forms_the_smaller_is_taken() -> None:
    larger = dataclasses.replace(QUICK, encoding="csr bands", bytes=90_000, us=19.8)
    assert choose([DENSE, QUICK, larger], optimize="latency").encoding == "csr"
    assert choose([DENSE, QUICK, dataclasses.replace(larger, us=15.0)], optimize="latency").encoding == "csr bands"


def test_dense_is_taken_whatever_it_costs_where_it_is_asked_for() -> None:
    assert choose([DENSE, EXPANDED, QUICK], optimize="dense").encoding == "dense"


def test_an_unknown_goal_is_refused() -> None:
    with pytest.raises(EdgepruneError, match=r"'fast'.*size, latency, memory"):
        choose([DENSE], optimize="fast")


def test_a_sparse_matrix_pays_up_to_a_few_percent_and_less_at_many_places() -> None:
    """784x300, as one vector and at 196 places: where the kernels were measured to cross."""
    costs, total = Costs(), 784 * 300

    def crossover(places: int) -> float:
        dense = costs.dense("pointwise", total * places, 4 * total)
        return next(percent for percent in range(1, 100) if costs.matrix(total * percent // 100, 300, places) > dense)

    assert 7 <= crossover(1) <= 9
    assert 2 <= crossover(196) <= 4
