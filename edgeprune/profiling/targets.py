"""Devices: a folder with a target.toml each, read and checked.

The shipped ones lie in targets/ of a checkout and in edgeprune/targets of an installed package. A user's own folder works by
its path.
"""

from __future__ import annotations

import difflib
import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from ..errors import EdgepruneError
from ..sparse import Costs as KernelCosts
from .detection import detected
from .drivers import ACCELERATORS
from .records import from_plain

KINDS = ("computer", "board", "phone", "gpu", "microcontroller", "browser")
TRANSPORTS = ("local", "ssh", "adb", "qemu-user", "qemu-system")
FORMATS = ("tflite", "onnx", "c", "pt2")
RUNNERS = ("litert", "onnxruntime", "c", "torch", "browser", "benchmark_model", "onnxruntime_perf_test")
ISAS = ("x86_64", "aarch64", "armv7", "armv7e-m", "riscv64", "wasm32")
HOW_KNOWN = ("measured", "vendor", "derived", "press", "unchecked", "detected")
ENGINES = ("litert", "onnxruntime", "c")
KERNELS = ("litert",)

# Cycles that scalar kernels were measured to take on a processor that runs instructions out of order: a multiply-add with a
# nonzero, looking through one, an element that is made, an element that is picked out of its neighbours.
SPARSE_CYCLES, CHECK_CYCLES, ROW_CYCLES, GATHER_CYCLES = 1.3, 1.2, 1.9, 8.0

# field: (least, most) that is not absurd, in the field's own unit; wherever in the file the field stands.
LIMITS = {
    "count": (1, 1024),
    "ghz": (0.001, 8),
    "fp32_per_cycle": (0.01, 1024),
    "fp16_per_cycle": (0.01, 4096),
    "int8_per_cycle": (0.01, 8192),
    "level": (1, 4),
    "bytes": (256, 2**32),
    "shared_by": (1, 1024),
    "memory_gbs": (0.01, 20_000),
    "ram_bytes": (1024, 2**44),
    "flash_bytes": (1024, 2**44),
    "fp32_tflops": (0.001, 10_000),
    "band": (1, 10),
    "op_us": (0, 10_000),
    "call_us": (0, 10_000),
    "cache_bytes_per_cycle": (0.1, 1024),
    **{each.name: (1e-6, 1e7) for each in fields(KernelCosts)},
}
# A runtime's share of what the hardware can do at most.
SHARES = (
    "conv", "pointwise", "depthwise", "linear", "sparse_conv", "sparse_pointwise", "sparse_linear", "loose_groups",
    "loose_depthwise", "memory",
)  # fmt: skip


@dataclass(frozen=True)
class Cores:
    """Cores of one kind. Operations are counted as the makers do: a multiply-add is two."""

    name: str
    count: int
    ghz: float
    fp32_per_cycle: float
    fp16_per_cycle: float | None = None
    int8_per_cycle: float | None = None


@dataclass(frozen=True)
class Cache:
    level: int
    bytes: int
    shared_by: int = 1  # cores


@dataclass(frozen=True)
class Gpu:
    name: str
    fp32_tflops: float
    memory_gbs: float


@dataclass(frozen=True)
class Hardware:
    """What the device has. The first cores are those a run is put on."""

    isa: str
    memory_gbs: float
    ram_bytes: int
    cores: tuple[Cores, ...]
    caches: tuple[Cache, ...] = ()
    features: tuple[str, ...] = ()  # as Linux names them: avx2, asimddp
    flash_bytes: int | None = None
    gpu: Gpu | None = None


@dataclass(frozen=True)
class Costs:
    """What a runtime makes of the hardware: shares of the peak by kind of layer, and time that is there for every op and call."""

    conv: float
    pointwise: float
    depthwise: float
    linear: float
    sparse_conv: float
    sparse_pointwise: float
    sparse_linear: float
    loose_groups: float  # of channels that do not fill blocks, where the runtime has blocks
    loose_depthwise: float
    memory: float
    cache_bytes_per_cycle: float
    op_us: float
    call_us: float
    band: float  # an estimate is right within this factor, either way


@dataclass(frozen=True)
class Source:
    """Where a figure is from, and how good that is."""

    how: str
    origin: str


@dataclass(frozen=True)
class Target:
    """A device: what it is, how it is reached, what runs there, and what an estimate is made of."""

    name: str
    title: str
    kind: str
    needs: str  # what a person must have to measure on it
    transports: tuple[str, ...]  # empty: estimates only
    formats: tuple[str, ...]
    runners: tuple[str, ...]
    hardware: Hardware
    sources: dict[str, Source]
    costs: dict[str, Costs] = field(default_factory=dict)
    kernels: dict[str, KernelCosts] = field(default_factory=dict)  # of the runtimes in KERNELS
    emulator: str | None = None  # the cpu or the machine that qemu calls it by
    accelerator: str | None = None  # what a file runs on there where nobody says; the CPU where this is null

    @property
    def litert_kernels(self) -> KernelCosts:
        """What LiteRT's kernels take there: measured, or else what the hardware and the shares of `costs` lead to expect."""
        if "litert" in self.kernels:
            return self.kernels["litert"]
        if "litert" not in self.costs:
            raise EdgepruneError(
                f"{self.name} has no costs for litert; choose a target that has, or add [kernels.litert] to its target.toml"
            )
        share, peak, cycle = self.costs["litert"], self.peak_gflops(), 1 / self.hardware.cores[0].ghz
        return KernelCosts(
            conv_ns=2 / (peak * share.conv),
            pointwise_ns=2 / (peak * share.pointwise),
            depthwise_ns=2 / (peak * share.depthwise),
            weight_ns=1 / (share.memory * self.hardware.memory_gbs),
            sparse_ns=SPARSE_CYCLES * cycle,
            check_ns=CHECK_CYCLES * cycle,
            row_ns=ROW_CYCLES * cycle,
            copy_ns=cycle / share.cache_bytes_per_cycle,
            gather_ns=GATHER_CYCLES * cycle,
            op_ns=share.op_us * 1e3,
        )

    def peak_gflops(self, threads: int = 1) -> float:
        """float32, of the first `threads` cores."""
        total, left = 0.0, threads
        for cores in self.hardware.cores:
            used = min(cores.count, left)
            total += used * cores.ghz * cores.fp32_per_cycle
            left -= used
        return total


def folder() -> Path:
    """Where the shipped targets lie."""
    package = Path(__file__).parents[1]
    installed = package / "targets"
    return installed if installed.is_dir() else package.parent / "targets"


def names() -> list[str]:
    """The shipped targets."""
    return sorted(path.parent.name for path in folder().glob("*/target.toml"))


def load_target(name: str | os.PathLike[str]) -> Target:
    """The target of this name, or the one in this folder or target.toml file of the user's.

    Raises EdgepruneError naming the nearest name, or the field that is missing or absurd.
    """
    text = os.fspath(name)
    if text in names():
        return read(folder() / text / "target.toml")
    path = Path(text)
    if path.is_dir() or path.suffix == ".toml" or os.sep in text:
        return read(path if path.suffix == ".toml" else path / "target.toml")
    near = difflib.get_close_matches(text.lower(), names(), n=1, cutoff=0.5)
    guess = f"did you mean {near[0]}? " if near else ""
    raise EdgepruneError(f"there is no target {text!r}; {guess}there are: {', '.join(names())}; or give your own folder")


def read(path: Path) -> Target:
    """The target in this file, checked."""
    try:
        plain = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise EdgepruneError(f"cannot read {path}: {error.strerror or error}; a target is a folder with a target.toml") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise EdgepruneError(f"{path} is not TOML: {error}") from None
    if plain.get("hardware") == "detected":
        hardware, sources = detected()
        plain |= {"hardware": hardware, "sources": {**sources, **_table(plain, "sources")}}
    _limits(plain, str(path))
    where = str(path)
    target = from_plain(Target, {**plain, "sources": plain.get("sources", {})}, where)
    if target.name != path.absolute().parent.name:
        raise EdgepruneError(f"{where}.name is {target.name!r}, but its folder is called {path.absolute().parent.name!r}")
    _check(target, where)
    return target


def _table(plain: Mapping[str, Any], name: str) -> dict[str, Any]:
    found = plain.get(name, {})
    return dict(found) if isinstance(found, Mapping) else {}


def _limits(plain: Any, where: str) -> None:
    """Refuses numbers that nothing could have."""
    if isinstance(plain, (list, tuple)):
        for i, each in enumerate(plain):
            _limits(each, f"{where}[{i}]")
    if not isinstance(plain, Mapping):
        return
    for name, value in plain.items():
        low, high = LIMITS.get(name, (0.0001, 1) if name in SHARES else (None, None))
        if low is not None and type(value) in (int, float) and not low <= value <= high:
            raise EdgepruneError(f"{where}.{name} is {value:,}, which is absurd; it lies between {low:,} and {high:,}")
        _limits(value, f"{where}.{name}")


def _check(target: Target, where: str) -> None:
    """What types alone do not say."""

    def among(field_name: str, values: tuple[str, ...], known: tuple[str, ...]) -> None:
        for value in values:
            if value not in known:
                raise EdgepruneError(f"{where}.{field_name} is {value!r}; it can be: {', '.join(known)}")

    among("kind", (target.kind,), KINDS)
    among("transports", target.transports, TRANSPORTS)
    among("formats", target.formats, FORMATS)
    among("runners", target.runners, RUNNERS)
    accelerators = {name: None for names in ACCELERATORS.values() for name in names}
    among("accelerator", (target.accelerator,) if target.accelerator else (), tuple(accelerators))
    among("hardware.isa", (target.hardware.isa,), ISAS)
    among("costs", tuple(target.costs), ENGINES)
    among("kernels", tuple(target.kernels), KERNELS)
    if not target.hardware.cores:
        raise EdgepruneError(f"{where}.hardware.cores is empty; name the cores that a model runs on")
    for name, source in target.sources.items():
        among(f"sources.{name}.how", (source.how,), HOW_KNOWN)
    absent = {f.name for f in fields(Hardware) if getattr(target.hardware, f.name) in (None, ())}
    figures = {f.name for f in fields(Hardware)} - {"isa", "features"} - absent
    fitted = {f"costs.{engine}" for engine in target.costs} | {f"kernels.{engine}" for engine in target.kernels}
    for name in sorted(figures | fitted):
        if name not in target.sources:
            raise EdgepruneError(f"{where}.sources lacks {name!r}; say where the figure is from and how it is known")
