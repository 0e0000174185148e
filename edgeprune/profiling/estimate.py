"""Estimates for devices that are not there: a roofline over the ops of an artifact.

An op takes as long as its arithmetic or its bytes, whichever is longer, and a little for being called ("Roofline: an
insightful visual performance model", Williams, Waterman and Patterson, 2009). What share of the peak a runtime reaches is in the
target's costs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import EdgepruneError
from .measure import FilePath
from .records import to_plain
from .result import SCHEMA_VERSION
from .targets import Costs, Target, load_target
from .work import Work, work_of

ENGINE_OF = {".tflite": "litert", ".onnx": "onnxruntime", ".c": "c"}


@dataclass(frozen=True)
class OpEstimate:
    name: str
    kind: str
    ms: float
    multiply_adds: int
    bytes: int
    bound: str  # what it waits for: "arithmetic", "memory" or "calls"


@dataclass(frozen=True)
class Estimate:
    """How long one run would take, within `low_ms` and `high_ms`."""

    path: str
    target: str
    engine: str
    threads: int
    ms: float
    low_ms: float
    high_ms: float
    ops: tuple[OpEstimate, ...]
    how: str  # how the runtime's costs are known
    provenance: str = "estimated"
    schema_version: int = SCHEMA_VERSION

    def to_dict(self) -> dict[str, Any]:
        plain: dict[str, Any] = to_plain(self)
        return plain


def estimate(target: Target | FilePath, path: FilePath, *, threads: int = 1) -> Estimate:
    """How long a run of a .tflite, .onnx or .c file would take on a target, with the band it is good for.

    Raises EdgepruneError when the target does not take the file, or has no costs for its runtime.
    """
    target = target if isinstance(target, Target) else load_target(target)
    suffix = Path(path).suffix.lower()
    if suffix.lstrip(".") not in target.formats:
        raise EdgepruneError(f"{path}: {target.title} takes {', '.join(f'.{each}' for each in target.formats)} files")
    if suffix not in ENGINE_OF:
        raise EdgepruneError(f"{path} cannot be estimated; an estimate takes {', '.join(ENGINE_OF)} files")
    if suffix == ".c" and threads != 1:
        raise EdgepruneError(f"threads is {threads}; a C model runs on one thread")
    return estimate_work(target, work_of(path), ENGINE_OF[suffix], threads=threads, path=str(path))


def estimate_work(target: Target, work: Sequence[Work], engine: str, *, threads: int = 1, path: str = "") -> Estimate:
    """The same for ops that are known already."""
    if engine not in target.costs:
        known = ", ".join(target.costs) or "none"
        raise EdgepruneError(
            f"{target.name} has no costs for {engine} (it has: {known}); add [costs.{engine}] to its target.toml"
        )
    costs = target.costs[engine]
    cached = _fits_in_cache(target, work)
    ops = tuple(_op(target, costs, each, threads, cached) for each in work)
    ms = sum(op.ms for op in ops) + costs.call_us / 1e3
    how = target.sources[f"costs.{engine}"]
    return Estimate(path, target.name, engine, threads, ms, ms / costs.band, ms * costs.band, ops, f"{how.how}: {how.origin}")


def _fits_in_cache(target: Target, work: Sequence[Work]) -> bool:
    """Whether the weights and what the largest op moves stay in the last cache from one run to the next."""
    held = sum(each.weight_bytes for each in work) + max((each.moved_bytes for each in work), default=0)
    return held <= max((cache.bytes for cache in target.hardware.caches), default=0)


def _op(target: Target, costs: Costs, work: Work, threads: int, cached: bool) -> OpEstimate:
    arithmetic = 0.0
    if work.multiply_adds:
        share = getattr(costs, work.kind if work.kind != "other" else "linear")
        arithmetic = 2 * work.multiply_adds / (target.peak_gflops(threads) * 1e6 * share)
    speed = costs.memory * target.hardware.memory_gbs
    if cached:
        speed = max(speed, costs.cache_bytes_per_cycle * target.hardware.cores[0].ghz * threads)
    moving = (work.weight_bytes + work.moved_bytes) / (speed * 1e6)
    call = costs.op_us / 1e3
    longest = max(arithmetic, moving)
    bound = "calls" if call > longest else "arithmetic" if arithmetic >= moving else "memory"
    return OpEstimate(work.name, work.kind, longest + call, work.multiply_adds, work.weight_bytes + work.moved_bytes, bound)
