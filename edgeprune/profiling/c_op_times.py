"""Time op by op of a C model: its source with a counter before each step, built and run like the model itself."""

from __future__ import annotations

import re
import statistics
from pathlib import Path
from typing import Any

from ..errors import EdgepruneError
from ..formats.c.reading import note_of
from .local import Child
from .native import Model
from .result import OpTime

BATCHES = 101
BATCH_SECONDS = 0.001  # so short, because another process that is let in between counts for all runs of a batch


def marked_source(model: Model, out: Path) -> list[str]:
    """Writes the model's source with `ep_mark(i)` before step i to `out`; the steps' names.

    Raises EdgepruneError when the source does not say its steps.
    """
    text = model.path.read_text()
    begin = text.find(f"\nint {model.prefix}_run(")
    end = text.find("\n}\n", begin)
    names: list[str] = []

    def mark(found: re.Match[str]) -> str:
        names.append(found[1])
        return f"    ep_mark({len(names) - 1});"

    body = re.sub(r"^    /\* (.*) \*/$", mark, text[begin:end], flags=re.MULTILINE)
    if begin < 0 or not names:
        raise EdgepruneError(f"{model.path} does not say its steps; write it again with this edgeprune")
    out.write_text(f"void ep_mark(int op);\n{text[:begin]}{body}{text[end:]}")
    return names


def times_in_c(model: Model, names: list[str], child: Child, run_ms: float, clock_ms: float) -> tuple[tuple[OpTime, ...], str]:
    """(times, what took them) from a marked program that is warm. The clock's own time is taken off."""
    runs = max(int(1e3 * BATCH_SECONDS / max(run_ms, 1e-6)), 1)
    batches = []
    for _ in range(BATCHES):
        child.ask(f"ops {runs}")
        batches.append([float(ns) / 1e6 / runs for ns in child.answer()["ops"]])
    child.finish()
    ms = [max(statistics.median(each) - clock_ms, 0.0) for each in zip(*batches, strict=True)]
    weights = {said["layer"]: (i, said) for i, said in enumerate(_weights(model.path))}
    ops = []
    for name, each in zip(names, ms, strict=True):
        place, said = weights.get(name, (None, {}))
        work, moved = said.get("multiply_adds"), said.get("moves")
        bytes_ = None if moved is None else int(moved) + int(said["bytes"])
        ops.append(OpTime(name, str(said.get("encoding", "step")), each, work, bytes_, place))
    return tuple(ops), f"counters between the steps of the C code, less the {1e6 * clock_ms:.0f} ns that reading the clock takes"


def _weights(path: Path) -> list[dict[str, Any]]:
    try:
        return list(note_of(path.read_text())["weights"])
    except ValueError:
        return []
