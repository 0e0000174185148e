"""What each pass makes of small graphs, as printed text; `pytest --update` rewrites it, the diff is what to review.

A case is a graph that a pass must change, or its twin that the pass must leave alone. Both are also run: the numbers stay.
"""

from __future__ import annotations

from pathlib import Path

import cases_borders
import cases_constants
import cases_fold
import cases_liveness
import cases_shrink
import numpy as np
import pytest
from closeness import assert_close
from sketch import CASES, Case

from edgeprune.graph import Array, Graph
from edgeprune.passes import UNTIL_STABLE, fold_affine, shrink
from edgeprune.passes.check import check

HERE = Path(__file__).parent
FILES = (cases_borders, cases_constants, cases_fold, cases_liveness, cases_shrink)  # importing them fills the table
STEPS = list(dict.fromkeys(c.step for c in CASES))


def golden_file(step: object) -> Path:
    return HERE / f"{step.__name__}.txt"  # type: ignore[attr-defined]


def printed(c: Case) -> str:
    def indented(graph: Graph) -> str:
        return "\n".join(f"    {line}" for line in str(graph).splitlines())

    before = c.build()
    after = "  after: the same" if c.left_alone else f"  after\n{indented(c.step(before))}"
    return f"{c.name}\n  before\n{indented(before)}\n{after}\n"


def sections(step: object) -> dict[str, str]:
    """The golden file's cases by name."""
    path = golden_file(step)
    if not path.exists():
        return {}
    return {block.splitlines()[0]: block.rstrip() + "\n" for block in path.read_text().split("\n\n") if block.strip()}


def outputs(graph: Graph) -> list[Array]:
    rng = np.random.default_rng(0)
    result = graph.run(*(rng.standard_normal((3, *v.shape)) for v in graph.inputs.values()))
    return list(result) if isinstance(result, tuple) else [result]


every_case = pytest.mark.parametrize("c", CASES, ids=[f"{c.step.__name__}: {c.name}" for c in CASES])


@every_case
def test_a_pass_makes_the_graph_that_was_reviewed(c: Case, request: pytest.FixtureRequest) -> None:
    if request.config.getoption("--update"):
        golden_file(c.step).write_text("\n".join(printed(other) for other in CASES if other.step is c.step))
    assert printed(c) == sections(c.step).get(c.name), "run pytest --update and review the diff"


@every_case
def test_a_pass_changes_what_it_is_for_and_leaves_the_twin_alone(c: Case) -> None:
    before = c.build()
    assert (c.step(before) == before) is c.left_alone


@every_case
def test_a_pass_keeps_the_numbers(c: Case) -> None:
    before = c.build()
    after = check(c.step(check(before)))
    assert after.outputs == before.outputs
    for a, b in zip(outputs(before), outputs(after), strict=True):
        assert_close(a, b, 1e-12)


@every_case
def test_a_pass_done_twice_changes_nothing_more(c: Case) -> None:
    once = c.step(c.build())
    assert c.step(once) == once


@pytest.mark.parametrize("step", STEPS, ids=lambda s: s.__name__)
def test_a_golden_file_holds_no_case_that_is_gone(step: object) -> None:
    assert list(sections(step)) == [c.name for c in CASES if c.step is step]


@pytest.mark.parametrize("step", [fold_affine, *UNTIL_STABLE, shrink], ids=lambda s: s.__name__)
def test_every_pass_has_cases_and_twins(step: object) -> None:
    assert {c.left_alone for c in CASES if c.step is step} == {True, False}
