"""How fast stock LiteRT runs a sparse ResNet-18, beside its own dense run of the same weights; and with the delegate, beside C.

    python benchmarks/tflite_speed.py [--size 32] [--seconds 15] [--densities 50,20,10,5,1,0.1] [--markdown FILE]

Uniform random masks, every shape kept (nothing is removed), batch 1, one thread. All run in this process, a few calls of each in
turns, so that each finds the caches as the others left them; the numbers are medians over all calls, in processor time of the one
thread, which other work on the machine disturbs least.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
from networks import resnet18

from edgeprune.formats import Runner, load, write
from edgeprune.formats.tflite.delegate import build
from edgeprune.sparse import Costs

# With these, no sparse form ever pays.
NEVER_SPARSE = Costs(sparse_ns=1e6, check_ns=1e6)
GOALS = ("latency", "size")


def medians(runners: Mapping[str, Runner], seconds: float, each: int = 3) -> dict[str, tuple[float, float]]:
    """name: (median, 10th percentile), in milliseconds of the thread's own time."""
    times: dict[str, list[float]] = {name: [] for name in runners}
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or min(map(len, times.values())) < 5 * each:
        for name, runner in runners.items():
            for _ in range(each):
                begin = time.thread_time_ns()
                runner.invoke()
                times[name].append((time.thread_time_ns() - begin) / 1e6)
    return {name: (float(np.median(t)), float(np.percentile(t, 10))) for name, t in times.items()}


def measure(size: int, density: float, seconds: float, folder: Path) -> tuple[str, str]:
    """A row of each table: the stock runtime by itself, and with the delegate beside C."""
    graph = resnet18(density, size)
    x = np.random.default_rng(1).standard_normal((1, 3, size, size)).astype(np.float32)
    paths = {name: folder / f"{name}{density}.tflite" for name in ("dense", *GOALS)}
    write(graph, paths["dense"], costs=NEVER_SPARSE, optimize="latency")
    forms = {goal: Counter(e.encoding for e in write(graph, paths[goal], optimize=goal)) for goal in GOALS}
    runners = {name: load(path) for name, path in paths.items()}
    library = folder / "libdelegate.so"
    runners["delegate"] = load(paths["size"], delegate=library if library.exists() else build(library))
    write(graph, folder / "model.c")
    runners["c"] = load(folder / "model.c")
    results = {}
    for name, runner in runners.items():
        runner.feed(x)
        runner.invoke()
        results[name] = runner.fetch()[0]
        error = float(np.abs(results[name] - results["dense"]).max() / np.abs(results["dense"]).max())
        assert error < 1e-4, f"{name} and dense differ by {error}"
    times = medians(runners, seconds)
    shown = {name: f"{median:.3g} ({low:.3g})" for name, (median, low) in times.items()}
    ms = {name: median for name, (median, _) in times.items()}
    cells = [shown["dense"]]
    for goal in GOALS:
        cells += [shown[goal], f"{ms['dense'] / ms[goal]:.2f}", f"{paths[goal].stat().st_size / 1e3:,.0f}"]
    said = ", ".join(f"{count} {form}" for form, count in forms["latency"].most_common())
    head = f"| {100 * density:g} % "
    beside = [shown["c"], shown["delegate"], f"{ms['delegate'] / ms['c']:.2f}", f"{ms['dense'] / ms['delegate']:.1f}"]
    return f"{head}| {' | '.join(cells)} | {said} |", f"{head}| {' | '.join(beside)} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=32)
    parser.add_argument("--seconds", type=float, default=15)
    parser.add_argument("--densities", default="50,20,10,5,1,0.1")
    parser.add_argument("--markdown", type=Path)
    options = parser.parse_args()
    unit = f"ResNet-18 at {options.size} px, one thread, batch 1, milliseconds of processor time (median; in brackets the 10th percentile)"
    stock, beside = [f"{unit}:", ""], ["The same file for `--optimize size` with the delegate, beside the C model:", ""]
    columns = " | ".join(f"{goal} | times faster | kB" for goal in GOALS)
    stock += [f"| density | dense | {columns} | layers of the latency file |", "|---" * (3 + 3 * len(GOALS)) + "|"]
    beside += ["| density | C | LiteRT with the delegate | times C | times faster than dense LiteRT |", "|---" * 5 + "|"]
    with tempfile.TemporaryDirectory() as folder:
        for percent in options.densities.split(","):
            rows = measure(options.size, float(percent) / 100, options.seconds, Path(folder))
            stock.append(rows[0])
            beside.append(rows[1])
            print(*rows, sep="\n", flush=True)
    if options.markdown:
        options.markdown.write_text("\n".join([*stock, "", *beside]) + "\n")


if __name__ == "__main__":
    sys.exit(main())
