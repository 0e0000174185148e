"""The committed table of repeated profiles is what was measured, and profiles agree with loops written by hand."""

from __future__ import annotations

import json
from pathlib import Path
from statistics import median
from typing import Any

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
ROWS: list[dict[str, Any]] = json.loads((BENCHMARKS / "profile_repeat.json").read_text())


def quietest(row: dict[str, Any]) -> list[dict[str, float]]:
    """The five turns with the least other work, in the order they were taken."""
    chosen = sorted(row["turns"], key=lambda turn: turn["others"])[:5]
    return [turn for turn in row["turns"] if turn in chosen]


RUNTIMES = [row for row in ROWS if not row["file"].endswith(".c")]


@pytest.mark.parametrize("row", RUNTIMES, ids=[row["file"] for row in RUNTIMES])
def test_a_profile_agrees_with_a_loop_written_by_hand(row: dict[str, Any]) -> None:
    chosen = quietest(row)
    assert 0.85 <= median(turn["profile_us"] for turn in chosen) / median(turn["bare_us"] for turn in chosen) <= 1.15


@pytest.mark.parametrize("row", ROWS, ids=[row["file"] for row in ROWS])
def test_five_profiles_of_one_file_agree(row: dict[str, Any]) -> None:
    medians = [turn["profile_us"] for turn in quietest(row)]
    assert len(medians) == 5
    assert max(medians) <= 1.1 * min(medians)


def test_the_table_holds_every_measurement() -> None:
    table = (BENCHMARKS / "profile_repeat.md").read_text()
    assert len(ROWS) == 6
    for row in ROWS:
        medians = ", ".join(f"{turn['profile_us']:.3g}" for turn in quietest(row))
        assert f"| {row['file']} | {row['runtime']} | {medians} |" in table
