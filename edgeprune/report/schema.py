"""report.json: what a run was asked for, what it did, and what came of it. docs/report-schema.md lists every field.

Fractions are between 0 and 1, times in milliseconds unless the name says seconds, sizes in bytes. What was not measured is null.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

from ..errors import EdgepruneError
from ..files import write_atomic
from ..profiling.records import from_plain, to_plain

SCHEMA_VERSION = 2


def _fraction(name: str, value: float | None) -> None:
    if value is not None and not 0 <= value <= 1:
        raise ValueError(f"{name} is {value}, which is no fraction between 0 and 1")


def _falling(**counts: int) -> None:
    """Each count holds the next one."""
    names = list(counts)
    for larger, smaller in pairwise(names):
        if not counts[larger] >= counts[smaller] >= 0:
            raise ValueError(f"{smaller} is {counts[smaller]} of {counts[larger]} {larger}")


@dataclass(frozen=True)
class Ratio:
    """How many times smaller."""

    requested: float | None
    weights: float
    parameters: float
    bytes: float | None


@dataclass(frozen=True)
class Weights:
    """Weights of convolutions and linear layers."""

    total: int
    kept: int
    alive: int

    def __post_init__(self) -> None:
        _falling(total=self.total, kept=self.kept, alive=self.alive)


@dataclass(frozen=True)
class Parameters:
    """Everything that is stored, biases and batch norms included."""

    before: int
    after: int


@dataclass(frozen=True)
class Accuracy:
    """On the test samples; the robust ones under attack by PGD of 20 steps, where training was against it."""

    before: float | None = None
    after: float | None = None
    samples: int | None = None
    robust_before: float | None = None
    robust_after: float | None = None

    def __post_init__(self) -> None:
        _fraction("before", self.before)
        _fraction("after", self.after)
        _fraction("robust_before", self.robust_before)
        _fraction("robust_after", self.robust_after)


@dataclass(frozen=True)
class MultiplyAdds:
    """Of one input."""

    before: int
    after: int
    effective: int


@dataclass(frozen=True)
class Layer:
    """One convolution or linear layer of the network that was given."""

    name: str
    kind: str
    shape_before: tuple[int, ...]
    shape_after: tuple[int, ...] | None
    weights: int
    kept: int
    alive: int
    density: float | None
    encoding: dict[str, str] = field(default_factory=dict)
    place: dict[str, int] = field(default_factory=dict)  # among the weights of a file, in running order, from 0

    def __post_init__(self) -> None:
        _falling(weights=self.weights, kept=self.kept, alive=self.alive)
        _fraction("density", self.density)


@dataclass(frozen=True)
class Parity:
    """How far the artifact, the graph and the pruned network agree: the worst of the pairs."""

    max_relative_error: float
    top1_agreement: float | None
    samples: int
    tolerance: float

    def __post_init__(self) -> None:
        _fraction("top1_agreement", self.top1_agreement)


@dataclass(frozen=True)
class Latency:
    """One run of one input, warm."""

    p50: float
    p90: float
    p99: float
    runs: int


@dataclass(frozen=True)
class Speedup:
    """How many times as fast as the dense artifact of the same format, measured in turns."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Artifact:
    """One file that was written, and what it was seen to do."""

    path: str
    format: str
    bytes: int
    gzip_bytes: int
    parity: Parity | None = None
    latency_ms: Latency | None = None
    speedup: Speedup | None = None
    load_ms: float | None = None
    first_run_ms: float | None = None
    peak_memory_bytes: int | None = None
    runtime: str | None = None
    threads: int | None = None
    bytes_of: str = "file"


@dataclass(frozen=True)
class Dense:
    """The network as it was given, in the same format and runtime."""

    format: str
    bytes: int
    gzip_bytes: int
    multiply_adds: int
    latency_ms: Latency | None = None
    load_ms: float | None = None
    first_run_ms: float | None = None
    peak_memory_bytes: int | None = None
    bytes_of: str = "file"


@dataclass(frozen=True)
class Round:
    """One round of pruning and retraining."""

    number: int
    kept: int
    alive: int
    total: int
    accuracy: float | None
    loss: float | None
    epochs: int
    seconds: float

    def __post_init__(self) -> None:
        _falling(total=self.total, kept=self.kept, alive=self.alive)
        _fraction("accuracy", self.accuracy)


@dataclass(frozen=True)
class Report:
    """The whole of report.json."""

    date: str
    command: tuple[str, ...]
    versions: dict[str, str]
    seed: int
    ratio: Ratio
    weights: Weights
    parameters: Parameters
    accuracy: Accuracy
    multiply_adds: MultiplyAdds
    layers: tuple[Layer, ...]
    artifacts: tuple[Artifact, ...]
    dense: tuple[Dense, ...] = ()
    rounds: tuple[Round, ...] = ()
    settings: dict[str, Any] = field(default_factory=dict)
    device: dict[str, Any] = field(default_factory=dict)
    seconds: float | None = None
    warnings: tuple[str, ...] = ()
    schema_version: int = SCHEMA_VERSION

    def dense_of(self, format: str) -> Dense | None:
        """The baseline of that format."""
        return next((each for each in self.dense if each.format == format), None)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types. Raises ValueError for a number that is not finite."""
        plain: dict[str, Any] = to_plain(self)
        return {"schema_version": plain.pop("schema_version"), **plain}

    @staticmethod
    def from_dict(plain: Mapping[str, Any]) -> Report:
        """The report that `to_dict` made `plain` of. Raises EdgepruneError naming the field that does not fit."""
        if isinstance(plain, Mapping) and plain.get("schema_version") != SCHEMA_VERSION:
            found = plain.get("schema_version", "none")
            raise EdgepruneError(f"report.schema_version is {found}; this edgeprune reads version {SCHEMA_VERSION}")
        return from_plain(Report, plain, "report")

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes report.json, whole or not at all."""
        text = json.dumps(self.to_dict(), indent=2, ensure_ascii=False, allow_nan=False)
        write_atomic(path, (text + "\n").encode())

    @staticmethod
    def load(path: str | os.PathLike[str]) -> Report:
        """Reads and checks a report.json. Raises EdgepruneError saying what is wrong with it."""
        try:
            plain = json.loads(Path(path).read_bytes())
        except OSError as error:
            raise EdgepruneError(f"cannot read {path}: {error.strerror}") from None
        except ValueError as error:
            raise EdgepruneError(f"{path} is not JSON: {error}; is it the report.json that compress wrote?") from None
        return Report.from_dict(plain)
