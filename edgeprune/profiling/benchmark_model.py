"""TensorFlow Lite's benchmark_model, LiteRT's benchmark_litert_model, and litert-benchmark of the ai-edge-litert package.

The C++ ones count whole microseconds. Which lines there are differs from version to version: early ones have no median, none
has a 90th percentile.
"""

from __future__ import annotations

import re

from ..errors import EdgepruneError
from .op_times import Timed
from .tool_result import NUMBER, Asked, Said, ToolMemory, ToolTimes, first

MIB = 2**20

# What a line begins with where it is logged: a level, a device's tag, a place in the source.
LOGGED = re.compile(r"^(?:(?:INFO|WARNING|ERROR|VERBOSE|I tflite\s*): ?)?(?:\[[^\]]*\.(?:h|cc):\d+\] )?")
# What it calls the figures, and what the record does.
FIGURES = {"min": "min", "max": "max", "std": "std", "p5": "p5", "median": "p50", "p95": "p95"}
KEPT = re.compile(
    r"^count=\d|timings in us|^Initialized session|[Mm]emory footprint|footprint: |^(?:Model init|Warmup|Inference) ?"
)
NEEDED = re.compile(r"--(?:graph|num_threads|num_runs|warmup_runs)\b")

REGULAR, END = "Operator-wise Profiling Info for Regular Benchmark Runs", "Top by Computation Time"
# Early versions have a column of starts before that of the first run.
ROW = re.compile(
    r"^\s*(?P<kind>\S.*?)\s+(?:[\d.]+\s+)?[\d.]+\s+(?P<ms>[\d.]+)\s+[\d.]+%\s+[\d.]+%\s+-?[\d.]+\s+(?P<times>\d+)"
    r"\s+(?P<name>\S.*?)\s*$"
)


def command(program: str, name: str, asked: Asked) -> list[str]:
    """Its call. `name` tells the Python program from the C++ ones."""
    counts = {"num_threads": asked.threads, "num_runs": asked.runs, "warmup_runs": asked.warmup}
    own = {"model": asked.model} if name.startswith("litert-benchmark") else {"graph": asked.model, "min_secs": asked.min_seconds}
    return [program, *(f"--{word}={value}" for word, value in {**own, **counts}.items())]


def with_ops(call: list[str]) -> list[str]:
    """The same call, printing times op by op as well."""
    return [*call, "--enable_op_profiling=true"]


def read(text: str) -> Said:
    """What it said of its runs. Raises EdgepruneError when that is not there."""
    unknown = re.search(r"Unconsumed cmdline flags: (.*)", text)
    if unknown and NEEDED.search(unknown[1]):
        raise EdgepruneError(f"it does not know {unknown[1].strip()}; take a newer build of it")
    lines = [LOGGED.sub("", line).strip() for line in text.splitlines()]
    counted = [_statistics(line) for line in lines if re.match(r"count=\d", line)]
    # The first line is of the warm-up, the last of the runs.
    times = _times(counted[-1]) if len(counted) > 1 else _printed_times(lines)
    if times is None:
        raise EdgepruneError("it printed no times of its runs (a line count=... avg=..., or Inference (avg): ...)")
    summary = {word: first(lines, rf"timings in us: .*\b{word}: {NUMBER}") for word in ("Init", "First inference")}
    load = first(lines, rf"^Initialized session in {NUMBER} ?ms", rf"^Model initialization: +{NUMBER} ms")
    cold = counted[0].get("first", summary["First inference"]) if len(counted) > 1 else summary["First inference"]
    return Said(
        times,
        0.001 if len(counted) > 1 else 0.01,
        tuple(line for line in lines if KEPT.search(line))[:60],
        load_ms=_thousandth(summary["Init"]) if load is None else load,
        first_run_ms=first(lines, rf"^Warmup \(first\): +{NUMBER} ms") if cold is None else cold / 1e3,
        memory=ToolMemory(
            load_bytes=_mebibytes(first(lines, rf"footprint.*\(MB\): init={NUMBER}", rf"^Init footprint: +{NUMBER} MB")),
            increase_bytes=_mebibytes(
                first(lines, rf"footprint.*\(MB\): .*overall={NUMBER}", rf"^Overall footprint: +{NUMBER} MB")
            ),
            peak_bytes=_mebibytes(
                first(lines, rf"peak memory footprint \(MB\) via .*: {NUMBER}", rf"^Peak memory: +{NUMBER} MB")
            ),
        ),
    )


def _statistics(line: str) -> dict[str, float]:
    """Microseconds by their names. Where all runs took the same, only the last one's time is printed."""
    found = {name: float(value) for name, value in re.findall(rf"(\w+)={NUMBER}", line)}
    if found["count"] == 1 or "all same" in line:
        found |= dict.fromkeys(("first", "min", "max", "avg"), found["curr"]) | {"std": 0.0}
    return found


def _times(runs: dict[str, float]) -> ToolTimes | None:
    if "avg" not in runs:
        return None
    figures = {to: runs[name] / 1e3 for name, to in FIGURES.items() if name in runs}
    return ToolTimes(int(runs["count"]), runs["avg"] / 1e3, **figures)


def _printed_times(lines: list[str]) -> ToolTimes | None:
    """Of a program that prints each figure on a line of its own, in milliseconds."""
    ran = next((found for line in lines if (found := re.match(rf"Inference \(avg\): +{NUMBER} ms \((\d+) runs\)", line))), None)
    if ran is None:
        return None
    figures = {to: first(lines, rf"^Inference \({name}\): +{NUMBER}") for name, to in FIGURES.items()}
    return ToolTimes(int(ran[2]), float(ran[1]), **figures)


def _thousandth(value: float | None) -> float | None:
    return None if value is None else value / 1e3


def _mebibytes(value: float | None) -> int | None:
    return None if value is None else round(value * MIB)


def read_ops(text: str) -> list[Timed]:
    """Its ops in running order, the mean of each. Raises EdgepruneError when there is no such table."""
    if re.search(r"Unconsumed cmdline flags:.*--enable_op_profiling", text):
        raise EdgepruneError("it does not know --enable_op_profiling")
    table = text.partition(REGULAR)[2].partition(END)[0]
    rows = [found for line in table.splitlines() if (found := ROW.match(line))]
    if not rows:
        raise EdgepruneError("it printed no table of its ops")
    # What a delegate does as a whole, and part by part as well, counts once.
    parts = any(row["name"].startswith("Delegate/") for row in rows)
    kept = [row for row in rows if not (parts and re.fullmatch(r"TfLite\w*Delegate", row["kind"]))]
    return [Timed(_name(row), row["kind"], float(row["ms"]) * int(row["times"])) for row in kept]


def _name(row: re.Match[str]) -> str:
    """The value that the op makes; its kind where the program does not know that."""
    found = re.fullmatch(r"\[(.*)\](?::\d+)?", row["name"])
    return found[1] if found else str(row["kind"])
