"""The committed tables of pruning methods are what the committed runs give, and hold what is said of them elsewhere."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path
from typing import Any

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


def script(name: str, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    spec = importlib.util.spec_from_file_location(f"benchmark_{name}", BENCHMARKS / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, spec.name, module)
    spec.loader.exec_module(module)
    return module


def runs(name: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (BENCHMARKS / f"{name}.jsonl").read_text().splitlines()]


@pytest.mark.parametrize("name", ["methods"])
def test_the_table_is_what_the_runs_give(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert (BENCHMARKS / f"{name}.md").read_text() == script(name, monkeypatch).written()


@pytest.mark.parametrize("name", ["methods"])
def test_all_alive_runs_kept_their_budget_and_all_of_it_is_alive(name: str) -> None:
    for run in runs(name):
        if run.get("aap", True):
            assert run["kept"] == run["alive"] == run.get("total", 166_248) // run["ratio"], run
