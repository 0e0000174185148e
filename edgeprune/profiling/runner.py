"""Times one model file in this process; a script of its own, run in a fresh process on the machine that is measured.

    python runner.py MODEL [--runtime NAME] [--threads N] [--seed N] [--runs N] [--min-seconds S] [--warmup N] [--serve]

It imports numpy and one runtime and nothing of this package, so that the memory it reports is the model's and the runtime's, and
it runs on any Python from 3.8 on. Every answer is a line of JSON on the standard output; the last one is the measurement, or
{"error": ...} with exit status 1. With --serve it loads, warms up and says {"ready": true}; then it answers every line
`run SECONDS` that it reads, and measures in those seconds only, until its input ends.
"""

from __future__ import annotations

import sys

if __name__ == "__main__":
    del sys.path[0]  # this folder: its files must not stand in for other modules

import argparse
import gc
import json
import math
import os
import platform
import time
from array import array
from collections.abc import Callable, Iterable, Sequence
from importlib import import_module, metadata
from typing import Any

WIDTH = 0.02  # timing goes on until the median is known to this part of itself (95 %), on either side ...
PATIENCE = 10  # ... or until this many times the least time has passed
WARMUP_SECONDS = 0.5
MOST_RUNS = 2_000_000


class Refused(Exception):
    """What cannot be measured, in one line."""


class TFLite:
    """A .tflite file in LiteRT or in the older TensorFlow Lite runtime; both have the same interface."""

    def __init__(self, module: Any, path: str, threads: int) -> None:
        self.interpreter = module.Interpreter(model_path=path, num_threads=threads)
        self.interpreter.allocate_tensors()
        self.run: Callable[[], Any] = self.interpreter.invoke

    def inputs(self) -> list[tuple[Sequence[int], Any]]:
        return [(each["shape"], each["dtype"]) for each in self.interpreter.get_input_details()]

    def feed(self, arrays: Sequence[Any]) -> None:
        for i, each in enumerate(self.interpreter.get_input_details()):
            self.interpreter.set_tensor(each["index"], arrays[i])

    def outputs(self) -> list[Any]:
        return [self.interpreter.get_tensor(each["index"]) for each in self.interpreter.get_output_details()]


class ONNX:
    """An .onnx file in onnxruntime. Inputs and outputs are bound once, so that a run is the model alone."""

    def __init__(self, module: Any, path: str, threads: int) -> None:
        self.session = module.InferenceSession(path, self.options(module, threads), providers=["CPUExecutionProvider"])
        self.binding = self.session.io_binding()

    def options(self, module: Any, threads: int) -> Any:
        options = module.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        return options

    def inputs(self) -> list[tuple[Sequence[int], Any]]:
        names = {"float": "float32", "double": "float64"}
        found: list[tuple[Sequence[int], Any]] = []
        for each in self.session.get_inputs():
            kind = each.type[len("tensor(") : -1]
            # A free axis is a name or None.
            found.append(([n if isinstance(n, int) else 1 for n in each.shape], names.get(kind, kind)))
        return found

    def feed(self, arrays: Sequence[Any]) -> None:
        for i, each in enumerate(self.session.get_inputs()):
            self.binding.bind_cpu_input(each.name, arrays[i])
        for each in self.session.get_outputs():
            self.binding.bind_output(each.name, "cpu")

    def run(self) -> None:
        self.session.run_with_iobinding(self.binding)

    def outputs(self) -> list[Any]:
        return list(self.binding.copy_outputs_to_cpu())


# Each runtime: what it is installed as, its module, its files, how it is driven. For a file the first installed one is used.
RUNTIMES: dict[str, tuple[str, str, str, Any]] = {
    "ai-edge-litert": ("ai-edge-litert", "ai_edge_litert.interpreter", ".tflite", TFLite),
    "tflite-runtime": ("tflite-runtime", "tflite_runtime.interpreter", ".tflite", TFLite),
    "onnxruntime": ("onnxruntime", "onnxruntime", ".onnx", ONNX),
}


def find_runtime(path: str, wanted: str | None) -> tuple[str, Any, Any]:
    """(name and version, module, driver) of the runtime for this file."""
    suffix = os.path.splitext(path)[1].lower()
    rows = [row for name, row in RUNTIMES.items() if row[2] == suffix and wanted in (None, name)]
    if not rows:
        raise Refused(f"{wanted or 'no runtime'} takes {suffix or 'such'} files; a runtime and its files: {pairs()}")
    for package, name, _, driver in rows:
        try:
            version = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
        try:
            return f"{package} {version}", import_module(name), driver
        except ImportError as error:
            raise Refused(f"{package} {version} does not import in {sys.executable}: {error}") from error
    raise Refused(f"{sys.executable} has no {' or '.join(row[0] for row in rows)}; install it there with pip")


def pairs() -> str:
    return ", ".join(f"{name} {row[2]}" for name, row in RUNTIMES.items())


def make_inputs(specs: Iterable[tuple[Sequence[int], Any]], seed: int) -> list[Any]:
    """Random numbers between 0 and 1; zeros and ones where the model takes whole numbers, which are often indices."""
    import numpy as np

    random = np.random.default_rng(seed)
    made = []
    for shape, kind in specs:
        size = [max(int(n), 1) for n in shape]
        dtype = np.dtype(kind)
        values = random.random(size, np.float32) if dtype.kind == "f" else random.integers(0, 2, size)
        made.append(np.ascontiguousarray(values, dtype))
    return made


def memory() -> dict[str, int]:
    """Bytes of this process by kind, as Linux counts them; empty elsewhere."""
    try:
        with open("/proc/self/status") as status:
            lines = [line.split(":", 1) for line in status]
    except OSError:
        return {}
    return {name: int(value.split()[0]) * 1024 for name, value in lines if name in ("VmHWM", "VmRSS", "RssAnon")}


def forget_peak() -> bool:
    """Starts the kernel's peak counter afresh; without this the peak would be that of the imports. False where it cannot."""
    try:
        with open("/proc/self/clear_refs", "w") as clear:
            clear.write("5")
    except OSError:
        return False
    return True


def memory_figures(before: dict[str, int], after: dict[str, int]) -> dict[str, int] | None:
    if "VmHWM" not in after or "RssAnon" not in after:
        return None
    return {
        "peak_bytes": after["VmHWM"],
        "before_bytes": before["VmRSS"],
        "increase_bytes": after["VmHWM"] - before["VmRSS"],
        "anonymous_bytes": after["RssAnon"],
        "anonymous_increase_bytes": after["RssAnon"] - before["RssAnon"],
    }


def device() -> dict[str, Any]:
    """What the numbers were taken on."""
    facts: dict[str, str] = {}
    try:
        with open("/proc/cpuinfo") as info:
            for line in info:
                name, _, value = line.partition(":")
                facts.setdefault(name.strip(), value.strip())
    except OSError:
        pass
    return {
        # "Model" is what ARM boards call themselves there.
        "cpu": facts.get("model name") or facts.get("Model") or platform.processor() or platform.machine(),
        "cores": os.cpu_count() or 1,
        "usable_cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1,
        "machine": platform.machine(),
        "os": platform.platform(),
        "python": platform.python_version(),
        "load_average": os.getloadavg()[0] if hasattr(os, "getloadavg") else None,
    }


def time_for(run: Callable[[], Any], seconds: float, most: int, least: int = 1) -> array[int]:
    """Nanoseconds of each run: as many as fit the seconds, at least `least` and at most `most`."""
    clock = time.perf_counter_ns
    samples = array("q")
    end = clock() + int(seconds * 1e9)
    for i in range(1, most + 1):
        before = clock()
        run()
        after = clock()
        samples.append(after - before)
        if after >= end and i >= least:
            break
    return samples


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


def summary(samples: Sequence[int]) -> dict[str, Any]:
    """The figures of these nanoseconds, in milliseconds."""
    import numpy as np

    values = np.array(samples, np.float64) / 1e6
    ordered = np.sort(values)
    low, high = median_interval(ordered)
    p50, p90, p95, p99 = map(float, np.percentile(ordered, [50, 90, 95, 99]))
    third = len(values) // 3
    drift = float(np.median(values[-third:]) / np.median(values[:third]) - 1) if third else 0.0
    found = {"n": len(values), "p50": p50, "p90": p90, "p95": p95, "p99": p99, "mean": float(values.mean())}
    found.update(std=float(values.std()), min=float(ordered[0]), max=float(ordered[-1]))
    found.update(p50_low=low, p50_high=high, drift=drift)
    return found


def settled(figures: dict[str, Any]) -> bool:
    """Whether the median is known well enough."""
    off = max(figures["p50_high"] - figures["p50"], figures["p50"] - figures["p50_low"])
    return bool(off <= WIDTH * figures["p50"])


def time_until_settled(run: Callable[[], Any], runs: int, min_seconds: float) -> array[int]:
    """Times until there are enough runs, enough seconds and a settled median, or patience ends."""
    start = time.perf_counter()
    samples = array("q")
    while True:
        # Sorting the samples to look at them is no part of what is timed, but it takes its while: ten looks in the least time.
        samples.extend(time_for(run, max(min_seconds / 10, 0.01), MOST_RUNS - len(samples)))
        spent = time.perf_counter() - start
        if spent >= PATIENCE * min_seconds or len(samples) >= MOST_RUNS:
            return samples
        if len(samples) >= runs and spent >= min_seconds and settled(summary(samples)):
            return samples


class Measurement:
    """One model in this process: loaded, run for the first time, warmed up."""

    def __init__(self, options: argparse.Namespace) -> None:
        clock = time.perf_counter_ns
        start = clock()
        runtime, module, driver = find_runtime(options.model, options.runtime)
        imported = clock()
        # Used once before the memory is read, so that numpy's own needs do not count as the model's.
        make_inputs([((1,), "float32")], 0)
        gc.collect()
        gc.disable()
        forgotten = forget_peak()
        before = memory()
        load = clock()
        self.model = driver(module, options.model, options.threads)
        loaded = clock()
        self.given = make_inputs(self.model.inputs(), options.seed)
        self.model.feed(self.given)
        first = clock()
        self.model.run()
        done = clock()
        self.model.outputs()
        warm_up(self.model.run, options.warmup)
        self.samples = array("q")
        self.least = options.runs
        self.facts = {
            "runtime": runtime,
            "threads": options.threads,
            "memory": memory_figures(before, memory()) if forgotten else None,
            "import_ms": (imported - start) / 1e6,
            "load_ms": (loaded - load) / 1e6,
            "first_run_ms": (done - first) / 1e6,
            "clock_ms": summary(time_for(int, 0.01, 1000))["p50"],
            "device": device(),
        }

    def report(self) -> dict[str, Any]:
        figures = summary(self.samples)
        return dict(self.facts, latency_ms=figures, settled=settled(figures) and len(self.samples) >= self.least)

    def answer(self, line: str) -> dict[str, Any]:
        turn = time_for(self.model.run, float(line.split()[1]), MOST_RUNS)
        if len(self.samples) < MOST_RUNS:
            self.samples.extend(turn)
        return {"p50": summary(turn)["p50"], "n": len(turn)}


def main(arguments: list[str], say: Callable[[dict[str, Any]], None]) -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("model")
    parser.add_argument("--runtime", choices=sorted(RUNTIMES))
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--runs", type=int, default=100)
    parser.add_argument("--min-seconds", type=float, default=1.0)
    parser.add_argument("--warmup", type=int, default=10)
    parser.add_argument("--serve", action="store_true")
    options = parser.parse_args(arguments)
    try:
        measurement = Measurement(options)
        if options.serve:
            say({"ready": True})
            for line in sys.stdin:
                say(measurement.answer(line))
        else:
            measurement.samples = time_until_settled(measurement.model.run, options.runs, options.min_seconds)
        say(measurement.report())
    except Exception as error:
        text = " ".join(str(error).split())
        say({"error": text if isinstance(error, Refused) else f"{type(error).__name__}: {text}"})
        return 1
    return 0


if __name__ == "__main__":
    # What a runtime prints goes to the standard error output; the answers have the other one for themselves.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    sys.exit(main(sys.argv[1:], lambda line: print(json.dumps(line), file=answers, flush=True)))
