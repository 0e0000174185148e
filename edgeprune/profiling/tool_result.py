"""What a runtime's own benchmark program says, and no more: what it does not print is null."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .records import from_plain, to_plain
from .result import SCHEMA_VERSION, Conditions, Device, OpTime

NUMBER = r"([\d.]+(?:e[+-]?\d+)?)"  # as C++ prints one


@dataclass(frozen=True)
class ToolTimes:
    """Milliseconds of one run once warm."""

    n: int  # runs
    mean: float
    min: float | None = None
    max: float | None = None
    std: float | None = None
    p5: float | None = None
    p50: float | None = None
    p90: float | None = None
    p95: float | None = None
    p99: float | None = None

    @property
    def middle(self) -> float:
        """The median; the mean where the program does not tell it."""
        return self.mean if self.p50 is None else self.p50


@dataclass(frozen=True)
class ToolMemory:
    """Bytes that were resident in the program."""

    load_bytes: int | None = None  # more after loading than when it started
    increase_bytes: int | None = None  # more in the end
    peak_bytes: int | None = None  # the most there was


@dataclass(frozen=True)
class ToolProfile:
    """One artifact, measured by a benchmark program that somebody else built."""

    path: str
    bytes: int
    sha256: str
    target: str
    reached: str
    tool: str  # the program's name
    tool_sha256: str | None  # which build it is, since none prints a version; null where it was on the device already
    command: str  # as it was run there; the folder is called DIR
    threads: int
    load_ms: float | None
    first_run_ms: float | None
    latency_ms: ToolTimes
    step_ms: float  # the smallest difference that it can print of a run's time
    memory: ToolMemory
    device: Device
    date: str
    said: tuple[str, ...]  # the lines that the figures are from
    before: Conditions | None = None
    after: Conditions | None = None
    ops: tuple[OpTime, ...] = ()
    ops_by: str = ""  # what timed them, or why nothing did
    provenance: str = "measured"
    schema_version: int = SCHEMA_VERSION

    @property
    def warnings(self) -> tuple[str, ...]:
        """What makes these numbers less good than they look."""
        if self.step_ms <= 0.05 * self.latency_ms.middle:
            return ()
        steps, run = (f"{1e3 * each:.3g} µs" for each in (self.step_ms, self.latency_ms.middle))
        return (f"{self.tool} counts in steps of {steps}, and a run takes about {run}",)

    def to_dict(self) -> dict[str, Any]:
        plain: dict[str, Any] = to_plain(self)
        return plain | {"warnings": list(self.warnings)}

    @staticmethod
    def from_dict(plain: Mapping[str, Any]) -> ToolProfile:
        """The profile that `to_dict` made `plain` of. Raises EdgepruneError naming what does not fit."""
        return from_plain(ToolProfile, {name: value for name, value in plain.items() if name != "warnings"}, "profile")


@dataclass(frozen=True)
class Asked:
    """What a program is to do: with the model at this path, on the device."""

    model: str
    threads: int
    runs: int  # at least
    min_seconds: float  # at least
    warmup: int
    seed: int


@dataclass(frozen=True)
class Said:
    """What one call of a program printed, in the units of the record."""

    times: ToolTimes
    step_ms: float
    lines: tuple[str, ...]
    load_ms: float | None = None
    first_run_ms: float | None = None
    memory: ToolMemory = ToolMemory()


def first(lines: Sequence[str], *patterns: str) -> float | None:
    """The number in the first line that holds the first pattern that any line holds."""
    for pattern in patterns:
        found = next((found for line in lines if (found := re.search(pattern, line))), None)
        if found:
            return float(found[1])
    return None
