"""What a measurement says. Times are in milliseconds, sizes in bytes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from .records import from_plain, to_plain
from .timing import WIDTH

SCHEMA_VERSION = 4


@dataclass(frozen=True)
class Latency:
    """How long one run of one input takes once warm."""

    n: int  # runs
    p50: float
    p90: float
    p95: float
    p99: float
    mean: float
    std: float
    min: float
    max: float
    p50_low: float  # the median is between these with 95 % confidence, if runs are independent
    p50_high: float
    drift: float  # the last third's median over the first third's, minus one
    together: int = 1  # so many runs were timed as one, where one is too short for the clock; then all above is of their means

    @property
    def throughput(self) -> float:
        """Runs per second, one after the other."""
        return 1000 / self.mean


@dataclass(frozen=True)
class Memory:
    """Resident memory of a process that holds the interpreter, numpy, the runtime and the model."""

    peak_bytes: int  # the most there was while loading, at the first run and while warming up
    before_bytes: int  # resident before loading, with the runtime imported
    increase_bytes: int  # peak over before
    anonymous_bytes: int  # not backed by a file: weights and work space, but neither mapped libraries nor mapped weights
    anonymous_increase_bytes: int


@dataclass(frozen=True)
class Device:
    """The machine."""

    cpu: str
    cores: int
    usable_cores: int
    machine: str
    os: str
    python: str
    load_average: float | None  # other work at the time; null where the system does not say


@dataclass(frozen=True)
class Accelerator:
    """What ran the model beside the processor."""

    name: str  # as --accelerator calls it
    device: str  # what it calls itself
    precision: str  # of its arithmetic
    largest_relative_error: float  # against the processor, in the same runtime: largest error over largest magnitude
    software: bool = False  # whether the processor stands in for it, so that its times say nothing of a real one
    memory_bytes: int | None = None  # the most it held; null where it does not say


@dataclass(frozen=True)
class Browser:
    """What ran a model that was compiled to WebAssembly."""

    name: str  # with its version
    simd: bool  # whether the module was built with SIMD
    tick_ms: float  # the smallest step of its clock
    module_bytes: int
    memory_bytes: int  # what the module has of it, in whole pages: constants, stack, inputs, outputs and arena
    largest_relative_error: float  # against the same C code on this machine: largest error over largest magnitude
    same_class: bool  # whether the largest output is the same one


@dataclass(frozen=True)
class Conditions:
    """Clock and temperature at one moment; null where the system does not tell."""

    clock_mhz: float | None = None  # of the fastest core
    temperature_c: float | None = None  # of the hottest sensor


@dataclass(frozen=True)
class OpTime:
    """One op as the runtime ran it, warm."""

    name: str
    kind: str  # as the runtime calls it
    ms: float
    multiply_adds: int | None = None  # null where it is not known which op of the file it is
    bytes: int | None = None  # read and written, its weights included
    weight: int | None = None  # which of the file's weights it reads, in running order, from 0; null when none


@dataclass(frozen=True)
class Profile:
    """One artifact, measured in a process of its own."""

    path: str
    bytes: int
    sha256: str
    runtime: str
    threads: int
    load_ms: float
    first_run_ms: float
    latency_ms: Latency
    settled: bool  # whether there were as many runs as asked for and the median is known to within 2 %
    memory: Memory | None  # null where the system cannot say
    device: Device
    date: str
    import_ms: float
    clock_ms: float  # what timing a run that does next to nothing reads: part of every run above
    seed: int
    provenance: str = "measured"
    target: str = "host"
    reached: str = "this machine"  # how: "pi@pi.local over ssh"
    before: Conditions | None = None
    after: Conditions | None = None
    ops: tuple[OpTime, ...] = ()  # empty where nobody asked or the runtime does not tell
    ops_by: str = ""  # what timed them, or why nothing did
    accelerator: Accelerator | None = None  # null on the processor
    browser: Browser | None = None  # null outside of one
    energy_mj: float | None = None  # of a run, with all else that the processors did meanwhile; null where they do not count it
    processes_ms: tuple[float, ...] = ()  # the median of each fresh process; all else is of the middle one
    schema_version: int = SCHEMA_VERSION

    @property
    def peak_memory_bytes(self) -> int | None:
        return None if self.memory is None else self.memory.peak_bytes

    @property
    def process_spread(self) -> float:
        """The largest median of a process over the smallest, minus one; 0 where there was one process."""
        return max(self.processes_ms) / min(self.processes_ms) - 1 if self.processes_ms else 0.0

    @property
    def warnings(self) -> tuple[str, ...]:
        """What makes these numbers less good than they look."""
        found = []
        t = self.latency_ms
        if not self.settled:
            off = max(t.p50_high - t.p50, t.p50 - t.p50_low) / t.p50
            found.append(f"{t.n:,} runs tell the median to within {off:.1%} (wanted {WIDTH:.0%}): a busy machine or a slow model")
        if self.process_spread > 0.1:
            low, high = (f"{1e3 * each:.3g}" for each in (min(self.processes_ms), max(self.processes_ms)))
            found.append(f"{len(self.processes_ms)} processes found medians from {low} to {high} µs; this is the middle one's")
        if abs(t.drift) > 0.1:
            found.append(
                f"the last third of the runs took {1 + t.drift:.2f} times as long as the first: the clock or the load changed"
            )
        if self.clock_ms > 0.2 * t.p50:
            found.append(
                f"a run takes {1e3 * t.p50:.2g} µs, of which about {1e3 * self.clock_ms:.2g} µs are the call and the clock"
            )
        if self.threads > self.device.usable_cores:
            found.append(f"{self.threads} threads on {self.device.usable_cores} usable cores")
        clocks = [moment.clock_mhz for moment in (self.before, self.after) if moment and moment.clock_mhz]
        if len(clocks) == 2 and clocks[1] < 0.8 * clocks[0]:
            degrees = self.after.temperature_c if self.after else None
            heat = "" if degrees is None else f" at {degrees:.0f} °C"
            found.append(f"the clock fell from {clocks[0]:.0f} to {clocks[1]:.0f} MHz{heat}: it throttles; let it cool")
        if self.accelerator is not None and self.accelerator.software:
            found.append(
                f"{self.accelerator.device} is software on this processor: what it computes is a GPU's answer, how long is not"
            )
        if self.memory is None and self.browser is None:
            found.append(f"memory was not measured: {self.device.os} does not report a peak that can be reset")
        return tuple(found)

    def to_dict(self) -> dict[str, Any]:
        plain: dict[str, Any] = to_plain(self)
        plain["latency_ms"]["throughput"] = self.latency_ms.throughput
        return plain | {"peak_memory_bytes": self.peak_memory_bytes, "warnings": list(self.warnings)}

    @staticmethod
    def from_dict(plain: Mapping[str, Any]) -> Profile:
        """The profile that `to_dict` made `plain` of. Raises EdgepruneError naming what does not fit."""
        rest = {name: value for name, value in plain.items() if name not in ("peak_memory_bytes", "warnings")}
        if isinstance(rest.get("latency_ms"), Mapping):
            rest["latency_ms"] = {name: value for name, value in rest["latency_ms"].items() if name != "throughput"}
        return from_plain(Profile, rest, "profile")


@dataclass(frozen=True)
class Ratio:
    """How long a run of `path` takes, as a multiple of a run of `baseline`, measured in turns."""

    path: str
    baseline: str
    value: float  # median over the pairs of turns
    low: float  # the outermost 95 % bounds of that median in three sets of fresh processes
    high: float
    turns: int

    @property
    def speedup(self) -> float:
        """How many times as fast."""
        return 1 / self.value


@dataclass(frozen=True)
class Comparison:
    """Several artifacts measured in turns; the ratios are against the first."""

    profiles: tuple[Profile, ...]
    ratios: tuple[Ratio, ...]
    schema_version: int = SCHEMA_VERSION

    def to_dict(self) -> dict[str, Any]:
        plain: dict[str, Any] = to_plain(self)
        return plain | {"profiles": [profile.to_dict() for profile in self.profiles]}
