"""onnxruntime_perf_test of onnxruntime's own build.

It prints its statistics in seconds and writes the time of every run into a file, from which all figures follow. Its random inputs
are its own, by the seed that it is given; it warms up with one run.
"""

from __future__ import annotations

import re
from typing import Any

import numpy as np

from ..errors import EdgepruneError
from ..graph import Array
from .op_timer import ops_of_profile
from .op_times import Timed
from .tool_result import NUMBER, Asked, Said, ToolMemory, ToolTimes, first

RESULTS, PROFILE = "result.csv", "perf"
SAME = 0.02  # how far the mean of the runs in the file may be off the printed one
KEPT = re.compile(r"time cost|Latency|^Total |working set|per second|^Setting ")


def command(program: str, asked: Asked, *, seconds: int = 0, profile: bool = False) -> list[str]:
    """Its call, for so many whole seconds or else for the runs. RESULTS is written where it runs.

    With `profile` it writes onnxruntime's own as well, into a file whose name begins with PROFILE.
    """
    mode = ["-m", "duration", "-t", str(seconds)] if seconds else ["-m", "times", "-r", str(asked.runs)]
    more = ["-p", PROFILE] if profile else []
    return [program, "-I", "-S", str(asked.seed), "-x", str(asked.threads), *mode, "-s", *more, asked.model, RESULTS]


def read(text: str, results: str) -> Said:
    """What it printed and wrote into its file, empty where it wrote none. Raises EdgepruneError when there are no times."""
    lines = [line.strip() for line in text.splitlines()]
    mean = first(lines, rf"^Average (?:inference )?time cost(?: total)?: ?{NUMBER} ms")
    count = first(lines, r"^Total (?:inference requests|iterations): ?(\d+)")
    if mean is None or not count:
        raise EdgepruneError("it printed no times of its runs (a line Average inference time cost: ... ms)")
    load = first(lines, rf"^Session creation time cost: ?{NUMBER} s")
    peak = first(lines, r"^Peak working set size: ?(\d+)")
    return Said(
        _times(lines, int(count), mean, _runs(results, mean)),
        1e-6,  # it counts nanoseconds
        tuple(line for line in lines if KEPT.search(line))[:60],
        load_ms=None if load is None else 1e3 * load,
        first_run_ms=first(lines, rf"^First inference time cost: ?{NUMBER} ms"),
        memory=ToolMemory(peak_bytes=int(peak) if peak else None),
    )


def _times(lines: list[str], count: int, mean: float, taken: Array) -> ToolTimes:
    if taken.size:
        p5, p50, p90, p95, p99 = map(float, np.percentile(taken, [5, 50, 90, 95, 99]))
        low, high = float(taken.min()), float(taken.max())
        return ToolTimes(len(taken), float(taken.mean()), low, high, float(taken.std()), p5, p50, p90, p95, p99)
    names = {"min": "Min", "max": "Max", "p50": "P50", "p90": "P90", "p95": "P95", "p99": "P99"}
    seconds = {name: first(lines, rf"^{word} Latency(?: is|:) {NUMBER} s") for name, word in names.items()}
    return ToolTimes(count, mean, **{name: None if each is None else 1e3 * each for name, each in seconds.items()})


def _runs(results: str, mean: float) -> Array:
    """Milliseconds of every run, by the column whose mean is the printed one: some versions write another time before it."""
    rows = [row for line in results.splitlines() if len(row := line.split(",")) >= 5]
    for column in (1, 2):
        try:
            taken = np.array([1e3 * float(row[column]) for row in rows])
        except ValueError:
            break
        if taken.size and abs(taken.mean() - mean) <= SAME * mean:
            return taken
    return np.array([])


def read_ops(events: list[dict[str, Any]]) -> list[Timed]:
    """The ops of onnxruntime's profile, in running order. Raises EdgepruneError when it holds none."""
    ops = ops_of_profile(events, 1)
    if not ops:
        raise EdgepruneError("its profile holds no ops")
    return [Timed(name, kind, ms, None if weight is None else tuple(weight)) for name, kind, ms, weight in ops]
