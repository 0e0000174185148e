"""Profiles of one artifact, and of several in turns."""

from __future__ import annotations

import dataclasses
import hashlib
import itertools
import math
import os
import shutil
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ..errors import EdgepruneError
from ..formats import require_safe
from . import op_times
from .device_facts import conditions
from .drivers import ACCELERATORS, RUNTIMES, accelerators
from .local import Child, command_here
from .records import from_plain
from .result import Accelerator, Comparison, Conditions, Device, Latency, Memory, Profile, Ratio
from .timing import PATIENCE, WIDTH, median_interval
from .transport import Local

# Six pairs of turns are the fewest whose smallest and largest bound the median with 95 % confidence.
LEAST_TURNS = 6
TURN_SECONDS = 0.05
FRESH_PROCESSES = 3
MOST_PROCESSES = 9  # where those do not agree
AGREED = 0.1  # the largest median of a process over the smallest, minus one
SHORT_MS = 0.02  # runs so short depend on where a process happens to put its memory

FilePath = str | os.PathLike[str]


def profile(
    path: FilePath,
    *,
    threads: int = 1,
    runs: int = 100,
    min_seconds: float = 1.0,
    warmup: int = 10,
    runtime: str | None = None,
    python: FilePath | None = None,
    timeout: float = 600.0,
    seed: int = 0,
    ops: bool = False,
    accelerator: str | None = None,
) -> Profile:
    """Load time, first run, latency and peak memory of a .tflite, .onnx or .pt2 file on this machine, in a fresh process.

    At least `runs` runs over at least `min_seconds` are timed, on until the 95 % interval of the median is within 2 % of it or
    ten times `min_seconds` have passed (`settled` says which). Where a run takes a few microseconds only, one process in ten is
    half as slow again as the others from beginning to end; so there are three, and up to nine until they agree within 10 %, and
    the profile is the middle one's (`processes_ms` has the medians of all). Where it takes less than five, several runs are timed
    together, because the clock is too coarse. A run is the runtime's own: the input, random numbers by `seed`, lies ready, and
    the output is not copied out. `runtime` is one of ai-edge-litert, tflite-runtime, onnxruntime, torch; by default the first
    that is installed for the file. `python` names another interpreter, which needs numpy and a runtime only. With `ops` a second
    process times the ops one by one, by the runtime's own profiler; `ops_by` says what it was, or why there are no times.

    It runs on the CPU, or on the `accelerator`: gpu or gpu-f32 for .tflite, cuda, tensorrt, coreml, xnnpack or webgpu for .onnx,
    cuda for .pt2. There a run takes the output back to main memory, since it is over only then, and the first answers are held
    against the CPU's.

    Raises EdgepruneError when the file cannot be run, the accelerator is not there, takes only a part of it or computes something
    else than the CPU, and when it all takes longer than `timeout` seconds.
    """
    model = checked(path, threads=threads, runs=runs, min_seconds=min_seconds, warmup=warmup, runtime=runtime)
    check_accelerator(model, accelerator, ops=ops)
    require_safe(model)
    options = [*options_for(threads, warmup, runtime, seed, accelerator), "--runs", str(runs), "--min-seconds", str(min_seconds)]
    before = conditions_here()
    deadline = time.monotonic() + timeout

    def trial() -> Profile:
        with Child(model, command_here(model, options, python), deadline) as child:
            child.finish()
            return profile_of(model, child.answer(), seed)

    found = dataclasses.replace(middle_of(trial, deadline), before=before, after=conditions_here())
    if not ops:
        return found
    command = [python or sys.executable, str(op_times.TIMER), str(model), *options_for(threads, None, runtime, seed)]
    with Child(model, [os.fspath(word) for word in command], deadline) as child:
        times, by = op_times.times_of(model, child)
    return dataclasses.replace(found, ops=times, ops_by=by)


def compare(
    paths: Sequence[FilePath],
    *,
    threads: int = 1,
    runs: int = 100,
    min_seconds: float = 1.0,
    warmup: int = 10,
    runtime: str | None = None,
    python: FilePath | None = None,
    timeout: float = 600.0,
    seed: int = 0,
    accelerator: str | None = None,
) -> Comparison:
    """Profiles of several files, and how many times as long as the first each of the others takes.

    The files are loaded in a process each and run in short turns, A B, B A, A B, ..., so that a machine that grows slower or
    busier does so for all of them; a ratio is the median over the pairs of turns. Three times over with fresh processes, because
    two processes of the very same file differ by a percent or two: the bounds are the outermost of the three. The profiles are
    those of the processes between the fastest and the slowest. The arguments are those of `profile`.
    """
    if len(paths) < 2:
        raise EdgepruneError(f"a comparison takes two files or more, not {len(paths)}")
    settings: dict[str, Any] = {"threads": threads, "runs": runs, "min_seconds": min_seconds, "warmup": warmup}
    # A runtime that is named can be meant for some of the files only.
    asked = [
        runtime if runtime is not None and RUNTIMES.get(runtime, ("", "", _suffix(p)))[2] == _suffix(p) else None for p in paths
    ]
    models = [checked(path, **settings, runtime=each) for path, each in zip(paths, asked, strict=True)]
    for model in models:
        check_accelerator(model, accelerator)
        require_safe(model)
    deadline = time.monotonic() + timeout
    trials = []
    each_runs, each_seconds = math.ceil(runs / FRESH_PROCESSES), min_seconds / FRESH_PROCESSES
    for _ in range(FRESH_PROCESSES):
        with ExitStack() as stack:
            children = []
            for model, each in zip(models, asked, strict=True):
                options = [*options_for(threads, warmup, each, seed, accelerator), "--runs", str(each_runs), "--serve"]
                child = stack.enter_context(Child(model, command_here(model, options, python), deadline))
                child.answer()  # loaded and warm before the next one starts
                children.append(child)
            medians = _take_turns(children, each_runs, each_seconds)
            trials.append((medians, [_end(model, child, seed) for model, child in zip(models, children, strict=True)]))
    middle = [sorted((found[i] for _, found in trials), key=_median)[FRESH_PROCESSES // 2] for i in range(len(models))]
    ratios = [_ratio(models[i], models[0], [(medians[i], medians[0]) for medians, _ in trials]) for i in range(1, len(models))]
    return Comparison(tuple(middle), tuple(ratios))


def _end(model: Path, child: Child, seed: int) -> Profile:
    child.finish()
    return profile_of(model, child.answer(), seed)


def conditions_here() -> Conditions | None:
    """Clock and temperature of this machine; None where there is no POSIX shell to ask."""
    return conditions(Local()) if shutil.which("sh") else None


def middle_of(trial: Callable[[], Profile], deadline: float) -> Profile:
    """A profile in a fresh process; of short runs the middle one of several, of more where the first ones do not agree."""
    started = time.monotonic()
    trials = [trial()]
    while trials[0].latency_ms.p50 < SHORT_MS:
        medians = [_median(each) for each in trials]
        if len(trials) >= FRESH_PROCESSES:
            each_takes = (time.monotonic() - started) / len(trials)
            late = time.monotonic() + 2 * each_takes > deadline
            if late or len(trials) >= MOST_PROCESSES or max(medians) <= (1 + AGREED) * min(medians):
                break
        trials.append(trial())
    middle = sorted(trials, key=_median)[(len(trials) - 1) // 2]
    return dataclasses.replace(middle, processes_ms=tuple(_median(each) for each in trials))


def _median(profile: Profile) -> float:
    return profile.latency_ms.p50


def _take_turns(children: Sequence[Child], runs: int, min_seconds: float) -> list[list[float]]:
    """medians[child][turn], until there are enough runs and seconds and the ratios are known, or patience ends."""
    medians: list[list[float]] = [[] for _ in children]
    counts = [0] * len(children)
    start = time.monotonic()
    for turn in itertools.count():
        order = range(len(children)) if turn % 2 == 0 else reversed(range(len(children)))
        for i in order:
            children[i].ask(f"run {TURN_SECONDS}")
            said = children[i].answer()
            medians[i].append(float(said["p50"]))
            counts[i] += int(said["n"])
        spent = (time.monotonic() - start) / len(children)
        if turn + 1 < LEAST_TURNS:
            continue
        enough = spent >= min_seconds and min(counts) >= runs
        if spent >= PATIENCE * min_seconds or (enough and all(_known(each, medians[0]) for each in medians[1:])):
            break
    return medians


def _ratios(own: Sequence[float], base: Sequence[float]) -> list[float]:
    """Turn by turn, sorted."""
    return sorted(a / b for a, b in zip(own, base, strict=True))


def _known(own: Sequence[float], base: Sequence[float]) -> bool:
    ratios = _ratios(own, base)
    value = statistics.median(ratios)
    low, high = median_interval(ratios)
    return max(high - value, value - low) <= WIDTH * value


def _ratio(model: Path, baseline: Path, trials: Sequence[tuple[Sequence[float], Sequence[float]]]) -> Ratio:
    each = [_ratios(own, base) for own, base in trials]
    bounds = [median_interval(ratios) for ratios in each]
    low, high = min(low for low, _ in bounds), max(high for _, high in bounds)
    together = [ratio for ratios in each for ratio in ratios]
    return Ratio(str(model), str(baseline), statistics.median(together), low, high, len(together))


def _suffix(path: FilePath) -> str:
    return Path(path).suffix.lower()


def checked(path: FilePath, *, threads: int, runs: int, min_seconds: float, warmup: int, runtime: str | None) -> Path:
    model = Path(path)
    if runtime is not None and runtime not in RUNTIMES:
        raise EdgepruneError(f"there is no runtime {runtime!r}; there are: {', '.join(RUNTIMES)}")
    suffixes = sorted({row[2] for row in RUNTIMES.values()})
    if model.suffix.lower() not in suffixes:
        raise EdgepruneError(
            f"{model} cannot be profiled: it ends in {model.suffix!r}; a profile takes "
            f"{', '.join(suffixes[:-1])} and {suffixes[-1]} files"
        )
    if runtime is not None and RUNTIMES[runtime][2] != model.suffix.lower():
        raise EdgepruneError(f"the runtime {runtime} takes {RUNTIMES[runtime][2]} files, not {model}")
    if not model.is_file():
        raise EdgepruneError(f"{model} does not exist or is not a file")
    for name, value, least in (
        ("threads", threads, 1),
        ("runs", runs, 1),
        ("warmup", warmup, 0),
        ("min_seconds", min_seconds, 0),
    ):
        if not (math.isfinite(value) and value >= least):
            raise EdgepruneError(f"{name} is {value}; it must be {least} or more")
    return model


def check_accelerator(model: Path, accelerator: str | None, *, ops: bool = False) -> None:
    """Refuses one that is not for this file, or has no times op by op."""
    suffix = _suffix(model)
    if accelerator is None:
        return
    if accelerator not in ACCELERATORS.get(suffix, {}):
        known = "a C model runs on the CPU" if suffix == ".c" else accelerators()
        raise EdgepruneError(f"there is no accelerator {accelerator!r} for {model}; {known}")
    if ops:
        raise EdgepruneError(f"times op by op are taken on the CPU; leave out ops (--ops) or the accelerator {accelerator}")


def options_for(threads: int, warmup: int | None, runtime: str | None, seed: int, accelerator: str | None = None) -> list[str]:
    options = ["--threads", str(threads), *(() if warmup is None else ("--warmup", str(warmup))), "--seed", str(seed)]
    for name, value in (("--runtime", runtime), ("--accelerator", accelerator)):
        options += () if value is None else (name, value)
    return options


def profile_of(model: Path, said: dict[str, Any], seed: int) -> Profile:
    data, used = model.read_bytes(), said["accelerator"]
    return Profile(
        path=str(model),
        bytes=len(data),
        sha256=hashlib.sha256(data).hexdigest(),
        runtime=str(said["runtime"]),
        threads=int(said["threads"]),
        load_ms=float(said["load_ms"]),
        first_run_ms=float(said["first_run_ms"]),
        import_ms=float(said["import_ms"]),
        clock_ms=float(said["clock_ms"]),
        latency_ms=from_plain(Latency, said["latency_ms"], f"profile of {model}: latency_ms"),
        settled=bool(said["settled"]),
        memory=None if said["memory"] is None else from_plain(Memory, said["memory"], f"profile of {model}: memory"),
        device=from_plain(Device, said["device"], f"profile of {model}: device"),
        date=datetime.now(UTC).isoformat(timespec="seconds"),
        seed=seed,
        accelerator=None if used is None else from_plain(Accelerator, used, f"profile of {model}: accelerator"),
        energy_mj=said["energy_mj"],
    )
