"""Times one model file in this process; a script of its own, run in a fresh process on the machine that is measured.

    python runner.py MODEL [--runtime NAME] [--accelerator NAME] [--threads N] [--seed N] [--runs N] [--min-seconds S]
                     [--warmup N] [--serve]

It needs drivers.py beside it, which knows the runtimes, and timing.py. It imports numpy and one runtime and nothing of this
package, so that the memory it reports is the model's and the runtime's, and it runs on any Python from 3.8 on. Every answer is a
line of JSON on the standard output; the last one is the measurement, or {"error": ...} with exit status 1. With --serve it loads,
warms up and says {"ready": true}; then it answers every line `run SECONDS` that it reads, and measures in those seconds only,
until its input ends.
"""

from __future__ import annotations

import sys

if __name__ == "__main__":
    del sys.path[0]  # this folder: its files must not stand in for other modules

import argparse
import gc
import importlib.util
import json
import os
import platform
import time
from array import array
from collections.abc import Callable, Sequence
from types import ModuleType
from typing import Any

if __name__ == "__main__":

    def beside(name: str) -> ModuleType:
        """The file of this name that lies beside this one."""
        place = os.path.join(os.path.dirname(os.path.abspath(__file__)), f"{name}.py")
        spec = importlib.util.spec_from_file_location(f"edgeprune_{name}", place)
        assert spec is not None
        assert spec.loader is not None
        made = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(made)
        return made

    drivers, timing = beside("drivers"), beside("timing")
else:
    from . import drivers, timing


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
        timing.warm_up(self.model.run, options.warmup)
        self.together = timing.runs_together(self.model.run)
        self.samples = array("q")
        self.least = options.runs
        self.facts = {
            "runtime": runtime,
            "threads": options.threads,
            "memory": memory_figures(before, memory()) if forgotten else None,
            "import_ms": (imported - start) / 1e6,
            "load_ms": (loaded - load) / 1e6,
            "first_run_ms": (done - first) / 1e6,
            "clock_ms": timing.summary(timing.time_for(int, 0.01, 1000, together=self.together), self.together)["p50"],
            "device": device(),
            "accelerator": None,
            "energy_mj": None,
        }
        if options.accelerator is not None:
            known = dict(self.model.accelerator)
            same = processor(module, options.model, options.threads)
            self.facts["accelerator"] = compared(options.model, known, answers, same, self.given)

    def report(self) -> dict[str, Any]:
        figures = timing.summary(self.samples, self.together)
        return dict(self.facts, latency_ms=figures, settled=timing.settled(figures) and figures["n"] >= self.least)

    def answer(self, line: str) -> dict[str, Any]:
        turn = timing.time_for(self.model.run, float(line.split()[1]), timing.MOST_RUNS, together=self.together)
        if len(self.samples) < timing.MOST_RUNS:
            self.samples.extend(turn)
        return {name: timing.summary(turn, self.together)[name] for name in ("p50", "n")}


def compared(
    model: str, accelerator: dict[str, Any], answers: Sequence[Any], processor: Any, given: Sequence[Any]
) -> dict[str, Any]:
    """What is said of the accelerator, when it computes what the processor does. Raises Refused when it does not."""
    processor.feed(given)
    processor.run()
    error, tolerance = timing.error_of(answers, processor.outputs()), accelerator.pop("tolerance")
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
            timed = timing.time_until_settled(measurement.model.run, options.runs, options.min_seconds, measurement.together)
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
