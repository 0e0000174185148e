from __future__ import annotations

import dataclasses
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgeprune.profiling import Device, Latency, Memory, Profile, drivers, runner, timing


def test_the_interval_holds_the_median_as_often_as_it_says() -> None:
    random = np.random.default_rng(0)
    held = 0
    for _ in range(1000):
        low, high = timing.median_interval(np.sort(random.exponential(1.0, 101)))
        held += low <= np.log(2) <= high
    assert 930 <= held <= 985


@pytest.mark.parametrize("n", [1, 2, 5, 6])
def test_the_interval_of_few_samples_is_all_of_them(n: int) -> None:
    assert timing.median_interval([float(i) for i in range(n)]) == (0, n - 1)


def test_the_summary_is_in_milliseconds() -> None:
    found = timing.summary([1_000_000] * 98 + [3_000_000, 5_000_000])
    assert found["p50"] == 1
    assert found["max"] == 5
    assert found["mean"] == pytest.approx(1.06)
    assert found["n"] == 100
    assert found["drift"] == 0
    assert timing.summary([1_000_000] * 50 + [2_000_000] * 50)["drift"] == 1


def test_a_sleep_is_timed_as_what_it_is() -> None:
    samples = timing.time_for(lambda: time.sleep(0.005), 0.1, 1000)
    assert 5 <= len(samples) <= 20
    assert 5 <= timing.summary(samples)["p50"] < 15


def test_timing_stops_when_patience_ends_though_the_median_is_unknown() -> None:
    random = np.random.default_rng(0)
    start = time.monotonic()
    samples = timing.time_until_settled(lambda: time.sleep(float(random.choice([0.0001, 0.02]))), 10_000, 0.05)
    assert time.monotonic() - start < 2
    assert len(samples) < 10_000


@pytest.mark.parametrize(("pace", "asked", "expected"), [(0.001, 10, 500), (0.1, 10, 10), (60.0, 10, 1), (0.1, 0, 0)])
def test_warming_up_is_so_many_runs_and_half_a_second_but_not_for_ever(
    pace: float, asked: int, expected: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    ends: list[float] = []
    monkeypatch.setattr(time, "perf_counter", lambda: len(ends) * pace)
    timing.warm_up(lambda: ends.append(pace), asked)
    assert expected <= len(ends) <= expected + 1


def test_inputs_are_of_the_kind_and_size_the_model_takes() -> None:
    x, ids = drivers.make_inputs([((-1, 3), "float16"), ((1, 4), "int64")], seed=1)
    assert (x.shape, x.dtype) == ((1, 3), np.float16)
    assert (ids.shape, ids.dtype) == ((1, 4), np.int64)
    assert set(ids.ravel()) <= {0, 1}
    np.testing.assert_array_equal(x, drivers.make_inputs([((-1, 3), "float16")], seed=1)[0])


def a_profile(**changes: Any) -> Profile:
    latency = Latency(100, 1.0, 1.1, 1.2, 1.3, 1.0, 0.1, 0.9, 1.4, 0.99, 1.01, 0.0)
    device = Device("cpu", 4, 2, "x86_64", "Linux", "3.11", 0.5)
    memory = Memory(1000, 500, 500, 400, 300)
    made = Profile(
        "m.onnx",
        10,
        "0" * 64,
        "onnxruntime 1",
        1,
        2.0,
        1.5,
        latency,
        True,
        memory,
        device,
        "2026-01-01T00:00:00+00:00",
        80.0,
        5e-5,
        0,
    )
    return dataclasses.replace(made, **changes)


def test_a_good_profile_has_no_warnings() -> None:
    assert a_profile().warnings == ()


@pytest.mark.parametrize(
    ("changes", "part"),
    [
        ({"settled": False}, "100 runs tell the median to within 1.0%"),
        ({"clock_ms": 0.3}, "of which about 3e+02 µs are the call and the clock"),
        ({"threads": 3}, "3 threads on 2 usable cores"),
        ({"memory": None}, "memory was not measured"),
        ({"latency_ms": dataclasses.replace(a_profile().latency_ms, drift=0.5)}, "1.50 times as long"),
    ],
)
def test_a_profile_says_what_makes_it_worse_than_it_looks(changes: dict[str, Any], part: str) -> None:
    (warning,) = a_profile(**changes).warnings
    assert part in warning


def test_short_runs_are_timed_together_and_told_one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0]

    def run() -> None:
        now[0] += 700

    monkeypatch.setattr(time, "perf_counter_ns", lambda: now[0])
    assert timing.runs_together(run) == 8
    samples = timing.time_for(run, 1e-5, 100, together=8)
    assert list(samples) == [5600, 5600]
    found = timing.summary(samples, 8)
    assert (found["p50"], found["n"], found["together"]) == (pytest.approx(7e-4), 16, 8)


def test_runs_that_the_clock_can_tell_are_timed_alone() -> None:
    assert timing.runs_together(lambda: time.sleep(1e-4)) == 1
    assert timing.runs_together(lambda: None) > 1


def test_energy_is_that_of_all_processors_and_of_one_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner, "COUNTERS", str(tmp_path / "rapl:%d"))
    assert runner.energy() is None
    for i, count in enumerate((1_000, 500)):
        (tmp_path / f"rapl:{i}").write_text(f"{count}\n")
    assert runner.energy() == 1500
    assert runner.energy_of_a_run(1500, 3500, 10) == pytest.approx(0.2)
    assert runner.energy_of_a_run(1500, 20, 10) is None  # it began anew
    assert runner.energy_of_a_run(None, None, 10) is None
