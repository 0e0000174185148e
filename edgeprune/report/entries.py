"""A report's entries from what verification and profiling returned."""

from __future__ import annotations

import gzip
import os
import platform
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

from .._version import __version__
from ..formats import Footprint, footprint
from ..parity import Parity as MeasuredParity
from ..profiling import Profile
from ..profiling import Ratio as MeasuredRatio
from .schema import Artifact, Dense, Latency, Parity, Speedup

# What a run's numbers can depend on; those that are not installed are left out.
PACKAGES = ("torch", "torchvision", "onnx", "onnxruntime", "ai-edge-litert", "tflite-runtime", "flatbuffers")


def artifact_entry(
    path: str | os.PathLike[str],
    *,
    name: str | None = None,
    parity: MeasuredParity | None = None,
    profile: Profile | None = None,
    ratio: MeasuredRatio | None = None,
    compiled: int | None = None,
) -> Artifact:
    """The entry of a file that was written; `name` is its path in the report, by default its file name.

    `compiled`: bytes of code and constants, where a C model was compiled.
    """
    path = Path(path)
    takes = footprint(path)
    return Artifact(
        path=path.name if name is None else name,
        format=path.suffix.lstrip("."),
        bytes=takes.bytes if compiled is None else compiled,
        bytes_of=takes.what if compiled is None else "code and constants",
        gzip_bytes=gzip_bytes(path),
        parity=None if parity is None else parity_entry(parity),
        speedup=None if ratio is None else Speedup(1 / ratio.value, 1 / ratio.high, 1 / ratio.low),
        runtime=None if profile is None else profile.runtime,
        threads=None if profile is None else profile.threads,
        **_measured(profile, takes),
    )


def dense_entry(path: str | os.PathLike[str], multiply_adds: int, *, profile: Profile | None = None) -> Dense:
    """The baseline entry of the given network in the format of `path`."""
    path = Path(path)
    takes = footprint(path)
    return Dense(
        format=path.suffix.lstrip("."),
        bytes=takes.bytes,
        bytes_of=takes.what,
        gzip_bytes=gzip_bytes(path),
        multiply_adds=multiply_adds,
        **_measured(profile, takes),
    )


def parity_entry(parity: MeasuredParity) -> Parity:
    """The worst of the pairs. A report is written of artifacts that passed: an infinite error is a ValueError."""
    error = parity.max_relative_error
    if not np.isfinite(error):
        raise ValueError("an artifact whose outputs are not finite has no place in a report")
    return Parity(error, parity.top1_agreement, parity.samples, parity.tolerance)


def _measured(profile: Profile | None, takes: Footprint) -> dict[str, Any]:
    if profile is None:
        return {"peak_memory_bytes": takes.memory}
    t = profile.latency_ms
    return {
        "latency_ms": Latency(t.p50, t.p90, t.p99, t.n),
        "load_ms": profile.load_ms,
        "first_run_ms": profile.first_run_ms,
        # Of a C model what it needs itself, not the program around it.
        "peak_memory_bytes": profile.peak_memory_bytes if takes.memory is None else takes.memory,
    }


def gzip_bytes(path: str | os.PathLike[str]) -> int:
    """What the file takes in a compressed download: gzip at its default level, without name or date."""
    return len(gzip.compress(Path(path).read_bytes(), compresslevel=6, mtime=0))


def versions() -> dict[str, str]:
    """Of this package, Python, and what is installed of the rest."""
    found = {"edgeprune": __version__, "python": platform.python_version(), "numpy": np.__version__}
    for name in PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found
