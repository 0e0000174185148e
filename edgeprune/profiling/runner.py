"""Times one model file in this process; a script of its own, run in a fresh process on the machine that is measured.

    python runner.py MODEL [--runtime NAME] [--accelerator NAME] [--threads N] [--seed N] [--runs N] [--min-seconds S]
                     [--warmup N] [--serve]

It needs drivers.py beside it, which knows the runtimes. It imports numpy and one runtime and nothing of this package, so that the
memory it reports is the model's and the runtime's, and it runs on any Python from 3.8 on. Every answer is a line of JSON on the
standard output; the last one is the measurement, or {"error": ...} with exit status 1. With --serve it loads, warms up and says
{"ready": true}; then it answers every line `run SECONDS` that it reads, and measures in those seconds only, until its input ends.
"""

from __future__ import annotations

import sys

if __name__ == "__main__":
    del sys.path[0]  # this folder: its files must not stand in for other modules

import argparse
import gc
import importlib.util
import json
import math
import os
import platform
import time
from array import array
from collections.abc import Callable, Sequence
from typing import Any

if __name__ == "__main__":
    place = os.path.join(os.path.dirname(os.path.abspath(__file__)), "drivers.py")
    spec = importlib.util.spec_from_file_location("edgeprune_drivers", place)
    assert spec is not None
    assert spec.loader is not None
    drivers = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(drivers)
else:
    from . import drivers

WIDTH = 0.02  # timing goes on until the median is known to this part of itself (95 %), on either side ...
PATIENCE = 10  # ... or until this many times the least time has passed
WARMUP_SECONDS = 0.5
MOST_RUNS = 2_000_000

# A run that the clock is too coarse for is timed with others together, so that a sample takes so long at least.
LEAST_SAMPLE_NS = 5_000
MOST_TOGETHER = 1000


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


# What processors have counted, in microjoules, where the kernel tells of it and this user may know. AMD's are called the same.
COUNTERS = "/sys/class/powercap/intel-rapl:%d/energy_uj"


def energy() -> int | None:
    """Microjoules that all processors have counted up to now; None where none does."""
    found = []
    for i in range(8):
        try:
            with open(COUNTERS % i) as counter:
                found.append(int(counter.read()))
        except (OSError, ValueError):
            break
    return sum(found) if found else None


def energy_of_a_run(before: int | None, after: int | None, runs: int) -> float | None:
    """Millijoules; None where nothing was counted, or a counter began anew in between."""
    return None if before is None or after is None or after <= before or not runs else (after - before) / 1e3 / runs


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


class Measurement:
    """One model in this process: loaded, run for the first time, warmed up."""

    def __init__(self, options: argparse.Namespace) -> None:
        clock = time.perf_counter_ns
        start = clock()
        runtime, module, processor = drivers.find_runtime(options.model, options.runtime)
        driver = processor
        if options.accelerator is not None:
            driver = drivers.on_accelerator(options.model, runtime, options.accelerator)
        imported = clock()
        # Used once before the memory is read, so that numpy's own needs do not count as the model's.
        drivers.make_inputs([((1,), "float32")], 0)
        gc.collect()
        gc.disable()
        forgotten = forget_peak()
        before = memory()
        load = clock()
        self.model = driver(module, options.model, options.threads)
        loaded = clock()
        self.given = drivers.make_inputs(self.model.inputs(), options.seed)
        self.model.feed(self.given)
        first = clock()
        self.model.run()
        done = clock()
        answers = self.model.outputs()
        warm_up(self.model.run, options.warmup)
        self.together = runs_together(self.model.run)
        self.samples = array("q")
        self.least = options.runs
        self.facts = {
            "runtime": runtime,
            "threads": options.threads,
            "memory": memory_figures(before, memory()) if forgotten else None,
            "import_ms": (imported - start) / 1e6,
            "load_ms": (loaded - load) / 1e6,
            "first_run_ms": (done - first) / 1e6,
            "clock_ms": summary(time_for(int, 0.01, 1000, together=self.together), self.together)["p50"],
            "device": device(),
            "accelerator": None,
            "energy_mj": None,
        }
        if options.accelerator is not None:
            known = dict(self.model.accelerator)
            same = processor(module, options.model, options.threads)
            self.facts["accelerator"] = compared(options.model, known, answers, same, self.given)

    def report(self) -> dict[str, Any]:
        figures = summary(self.samples, self.together)
        return dict(self.facts, latency_ms=figures, settled=settled(figures) and figures["n"] >= self.least)

    def answer(self, line: str) -> dict[str, Any]:
        turn = time_for(self.model.run, float(line.split()[1]), MOST_RUNS, together=self.together)
        if len(self.samples) < MOST_RUNS:
            self.samples.extend(turn)
        return {name: summary(turn, self.together)[name] for name in ("p50", "n")}


def compared(
    model: str, accelerator: dict[str, Any], answers: Sequence[Any], processor: Any, given: Sequence[Any]
) -> dict[str, Any]:
    """What is said of the accelerator, when it computes what the processor does. Raises Refused when it does not."""
    processor.feed(given)
    processor.run()
    error, tolerance = error_of(answers, processor.outputs()), accelerator.pop("tolerance")
    if not error <= tolerance:
        raise drivers.Refused(
            f"{accelerator['device']} computes something else than the CPU: the largest error is {error:.2g} of the largest "
            f"output, and {accelerator['precision']} explains {tolerance:g} at most"
            f"{drivers.REMEDIES.get(os.path.splitext(model)[1].lower(), '')}"
        )
    return dict(accelerator, largest_relative_error=error)


def main(arguments: list[str], say: Callable[[dict[str, Any]], None]) -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("model")
    parser.add_argument("--runtime", choices=sorted(drivers.RUNTIMES))
    parser.add_argument("--accelerator")
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
            before = energy()
            timed = time_until_settled(measurement.model.run, options.runs, options.min_seconds, measurement.together)
            spent = energy_of_a_run(before, energy(), len(timed) * measurement.together)
            measurement.facts["energy_mj"] = spent
            measurement.samples = timed
        say(measurement.report())
    except Exception as error:
        text = " ".join(str(error).split())
        say({"error": text if isinstance(error, drivers.Refused) else f"{type(error).__name__}: {text}"})
        return 1
    return 0


if __name__ == "__main__":
    # What a runtime prints goes to the standard error output; the answers have the other one for themselves.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    sys.exit(main(sys.argv[1:], lambda line: print(json.dumps(line), file=answers, flush=True)))
