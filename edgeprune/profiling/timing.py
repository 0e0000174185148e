"""Times a run again and again until its median is known, and says what the times are.

A part of the timing script runner.py, which loads this file from beside itself: it imports nothing of this package, needs numpy
only, and runs on any Python from 3.8 on.
"""

from __future__ import annotations

import math
import time
from array import array
from collections.abc import Callable, Sequence
from typing import Any

WIDTH = 0.02  # timing goes on until the median is known to this part of itself (95 %), on either side ...
PATIENCE = 10  # ... or until this many times the least time has passed
WARMUP_SECONDS = 0.5
MOST_RUNS = 2_000_000

# A run that the clock is too coarse for is timed with others together, so that a sample takes so long at least.
LEAST_SAMPLE_NS = 5_000
MOST_TOGETHER = 1000


def time_for(run: Callable[[], Any], seconds: float, most: int, least: int = 1, together: int = 1) -> array[int]:
    """Nanoseconds of each `together` runs: as many as fit the seconds, at least `least` and at most `most`."""
    clock = time.perf_counter_ns
    samples = array("q")
    end = clock() + int(seconds * 1e9)
    for i in range(1, most + 1):
        if together == 1:
            before = clock()
            run()
            after = clock()
        else:
            before = clock()
            for _ in range(together):
                run()
            after = clock()
        samples.append(after - before)
        if after >= end and i >= least:
            break
    return samples


def runs_together(run: Callable[[], Any]) -> int:
    """How many warm runs make a sample that the clock is fine enough for."""
    one = min(time_for(run, 0, 3, 3))
    return 1 if one >= LEAST_SAMPLE_NS else min(math.ceil(LEAST_SAMPLE_NS / max(one, 1)), MOST_TOGETHER)


def warm_up(run: Callable[[], Any], runs: int) -> None:
    """So many runs and half a second, or what patience allows. Keeps nothing, because the memory is read afterwards."""
    start = time.perf_counter()
    done = 0
    while runs:
        run()
        done += 1
        spent = time.perf_counter() - start
        if (done >= runs and spent >= WARMUP_SECONDS) or spent >= PATIENCE * WARMUP_SECONDS:
            break


def median_interval(ordered: Any) -> tuple[float, float]:
    """Around the median of sorted numbers, 95 %, from ranks alone: nothing is assumed of how they spread."""
    n = len(ordered)
    reach = 0.98 * math.sqrt(n)
    low = max(math.floor((n - 1) / 2 - reach), 0)
    high = min(math.ceil((n - 1) / 2 + reach), n - 1)
    return float(ordered[low]), float(ordered[high])


def summary(samples: Sequence[int], together: int = 1) -> dict[str, Any]:
    """The figures of one run, in milliseconds, by these nanoseconds of `together` runs each."""
    import numpy as np

    values = np.array(samples, np.float64) / (1e6 * together)
    ordered = np.sort(values)
    low, high = median_interval(ordered)
    p50, p90, p95, p99 = map(float, np.percentile(ordered, [50, 90, 95, 99]))
    third = len(values) // 3
    drift = float(np.median(values[-third:]) / np.median(values[:third]) - 1) if third else 0.0
    found = {"n": len(values) * together, "together": together, "p50": p50, "p90": p90, "p95": p95, "p99": p99}
    found.update(mean=float(values.mean()), std=float(values.std()), min=float(ordered[0]), max=float(ordered[-1]))
    found.update(p50_low=low, p50_high=high, drift=drift)
    return found


def settled(figures: dict[str, Any]) -> bool:
    """Whether the median is known well enough."""
    off = max(figures["p50_high"] - figures["p50"], figures["p50"] - figures["p50_low"])
    return bool(off <= WIDTH * figures["p50"])


def time_until_settled(run: Callable[[], Any], runs: int, min_seconds: float, together: int = 1) -> array[int]:
    """Times until there are enough runs, enough seconds and a settled median, or patience ends."""
    start = time.perf_counter()
    samples = array("q")
    while True:
        # Sorting the samples to look at them is no part of what is timed, but it takes its while: ten looks in the least time.
        look = max(min_seconds / 10, 0.01)
        samples.extend(time_for(run, look, MOST_RUNS - len(samples), together=together))
        spent = time.perf_counter() - start
        if spent >= PATIENCE * min_seconds or len(samples) >= MOST_RUNS:
            return samples
        if len(samples) * together >= runs and spent >= min_seconds and settled(summary(samples)):
            return samples


def error_of(found: Sequence[Any], expected: Sequence[Any]) -> float:
    """The largest error over the largest magnitude, of all outputs; infinite where a number is none."""
    import numpy as np

    largest = 0.0
    for ours, theirs in zip(found, expected):
        wanted = np.asarray(theirs, np.float64).ravel()
        off = np.abs(np.asarray(ours, np.float64).ravel() - wanted).max(initial=0.0)
        largest = max(largest, float(off / max(np.abs(wanted).max(initial=0.0), 1e-30)) if np.isfinite(off) else math.inf)
    return largest
