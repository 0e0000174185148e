"""The committed table of estimates against measurements is what the committed costs give, and it keeps its promise."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

from edgeprune.profiling.estimate import estimate_work
from edgeprune.profiling.targets import Cache, Cores, Target, load_target
from edgeprune.profiling.work import Work

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
# The networks that were evaluated once, when everything was fixed: only these are a blind test.
FRESH = {"alexnet", "mobilenet_v3_large", "shufflenet_v2_x1_0", "resnet50", "regnet_y_800mf", "efficientnet_b1"}


@pytest.fixture(scope="module")
def machine() -> Target:
    """The one that the times were taken on."""
    host = load_target("host")
    caches = (Cache(1, 48 * 2**10), Cache(2, 2**20), Cache(3, 32 * 2**20, 2))
    cores = (Cores("AMD EPYC", 2, 2.6, 64.0),)
    return dataclasses.replace(host, hardware=dataclasses.replace(host.hardware, cores=cores, caches=caches, memory_gbs=38.0))


def rows() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads((BENCHMARKS / "estimates.json").read_text())
    return found


def test_nine_blind_estimates_in_ten_are_within_a_factor_of_two(machine: Target) -> None:
    others = [row for row in rows() if row["network"] in FRESH]
    ratios = [estimate_work(machine, [Work(*each) for each in row["work"]], row["engine"]).ms / row["ms"] for row in others]
    assert len(ratios) == 16
    assert sum(0.5 <= ratio <= 2 for ratio in ratios) >= 0.9 * len(ratios)


def test_the_table_holds_every_measurement() -> None:
    table = (BENCHMARKS / "estimates.md").read_text()
    for row in rows():
        assert f"| {row['network']} | {row['size']} | {row['density']:.0%} | {row['engine']} | {row['ms']:.3g} |" in table
