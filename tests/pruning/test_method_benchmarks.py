"""The committed tables of pruning methods are what the committed runs give, and hold what is said of them elsewhere."""

from __future__ import annotations

import importlib
import json
from pathlib import Path
from typing import Any

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


def runs(name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (BENCHMARKS / f"{name}.jsonl").read_text().splitlines()]


@pytest.mark.parametrize("name", ["methods", "robust"])
def test_the_table_is_what_the_runs_give(name: str) -> None:
    assert (BENCHMARKS / f"{name}.md").read_text() == importlib.import_module(name).written()


@pytest.mark.parametrize("name", ["methods", "robust"])
def test_all_alive_runs_kept_their_budget_and_all_of_it_is_alive(name: str) -> None:
    for run in runs(name):
        if run.get("aap", True):
            assert run["kept"] == run["alive"] == run.get("total", 166_248) // run["ratio"], run
