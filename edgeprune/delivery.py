"""Artifacts made, checked in their real runtimes and measured in a folder aside; what passes is moved to where it belongs."""

from __future__ import annotations

import contextlib
import gzip
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from torch import nn

from . import formats
from .errors import EdgepruneError
from .formats import LayerEncoding
from .formats.c import Built, file_name, target_of
from .formats.c import build as build_c
from .graph import Array, Graph
from .naming import close_to
from .parity import TOLERANCE, Parity, verify
from .passes import fold_affine
from .profiling import Comparison, Profile, compare, profile_on
from .profiling.drivers import RUNTIMES
from .profiling.targets import load_target
from .sources import Opened, outputs_of
from .sparse import Costs


@dataclass(frozen=True)
class Delivered:
    """One artifact and the proof beside it."""

    path: Path
    format: str
    bytes: int
    gzip_bytes: int
    encodings: tuple[LayerEncoding, ...]
    parity: Mapping[str, Parity]  # by kind of input, "real" and "random"
    dense_bytes: int  # of the network before pruning in the same format, every weight dense
    measured: Comparison | None  # dense first, this second; None when nobody asked
    built: Built | None = None  # the C model compiled, when that was asked for

    @property
    def profile(self) -> Profile | None:
        return self.measured.profiles[1] if self.measured else None

    @property
    def dense_profile(self) -> Profile | None:
        return self.measured.profiles[0] if self.measured else None

    @property
    def max_relative_error(self) -> float:
        return max(p.max_relative_error for p in self.parity.values())

    @property
    def top1_agreement(self) -> float | None:
        found = [p.top1_agreement for p in self.parity.values() if p.top1_agreement is not None]
        return min(found, default=None)

    @property
    def samples(self) -> int:
        return sum(p.samples for p in self.parity.values())


def targets_of(words: Sequence[str] | str) -> tuple[str, ...]:
    """Suffixes of the formats that `words` ("tflite,onnx" or a list) name. Raises EdgepruneError for one that is unknown."""
    given = words.split(",") if isinstance(words, str) else [part for word in words for part in word.split(",")]
    known = {suffix.removeprefix("."): suffix for suffix in formats.FORMATS}
    chosen = []
    for word in (w.strip() for w in given):
        if word not in known:
            raise EdgepruneError(f"--target {word!r} is unknown; choose from {', '.join(known)}{close_to(word, known)}")
        chosen.append(known[word])
    return tuple(dict.fromkeys(chosen))


def costs_on(device: str | os.PathLike[str] | None) -> Costs | None:
    """What LiteRT's kernels take on a device that `edgeprune targets` lists, or in a folder; None for none."""
    return None if device is None else load_target(device).litert_kernels


def check_build(build: str | None, suffixes: Sequence[str]) -> None:
    """Raises EdgepruneError when there is nothing to compile, or not for that target."""
    if build is not None:
        target_of(build)
        if ".c" not in suffixes:
            raise EdgepruneError("--build compiles the C model; add c to --target")


@contextlib.contextmanager
def staging(out: str | os.PathLike[str]) -> Iterator[Path]:
    """A folder inside `out` to work in, gone when the block ends. Raises EdgepruneError when `out` cannot be written to."""
    out = Path(out)
    try:
        out.mkdir(parents=True, exist_ok=True)
        for left_by_a_killed_run in out.glob(".staging-*"):
            shutil.rmtree(left_by_a_killed_run, ignore_errors=True)
        folder = Path(tempfile.mkdtemp(prefix=".staging-", dir=out))
    except OSError as error:
        raise EdgepruneError(f"cannot write to {out}: {error.strerror or error}; choose another folder with -o") from None
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        with contextlib.suppress(OSError):
            out.rmdir()  # only when it is empty: a refused command leaves nothing behind


def deliver(
    opened: Opened,
    graph: Graph,
    dense: Graph,
    module: nn.Module,
    suffixes: Sequence[str],
    folder: Path,
    *,
    optimize: str = "size",
    costs: Costs | None = None,
    measure: bool = True,
    build: str | None = None,
    tolerance: float = TOLERANCE,
    say: Callable[[str], None] = lambda text: None,
) -> list[Delivered]:
    """Writes `graph` as model.<suffix> into `folder` for every suffix, checks it against `module`, measures it against `dense`.

    `build` also compiles the C model, for "host" or another of `edgeprune.formats.c.CROSS`.
    Raises CheckFailed when an artifact does not compute what `module` does, NotExportable when a format cannot say an op.
    """
    dense = fold_affine(dense)
    inputs = opened.inputs(graph)
    reference = {kind: outputs_of(module, arrays) for kind, arrays in inputs.items()}
    delivered = []
    for suffix in suffixes:
        name = suffix.removeprefix(".")
        say(f"writing {name}")
        path, before = folder / f"model{suffix}", folder / f"dense{suffix}"
        # The baseline first: what belongs to a model beside its file, a CMakeLists.txt, must be the small one's in the end.
        formats.write(dense, before)
        encodings = formats.write(graph, path, metadata=opened.metadata(), optimize=optimize, costs=costs)
        say(f"checking {name} in its runtime")
        parity = check(path, graph, inputs, reference, tolerance)
        measured = None
        if measure and any(suffix == takes for _, _, takes, _ in RUNTIMES.values()):
            say(f"measuring {name}")
            measured = compare([before, path], min_seconds=0.5)
        elif measure and suffix == ".c":
            say(f"measuring {name}")
            # Programs that time themselves, one after the other: no ratio is measured in turns.
            measured = Comparison(tuple(profile_on("host", each, min_seconds=0.25) for each in (before, path)), ())
        built = None
        if build is not None and suffix == ".c":
            say(f"compiling {name} for {build}")
            built = build_c(path, path.with_name(file_name(path, target_of(build))), build)
        size, dense_size = (formats.footprint(p).bytes for p in (path, before))
        packed = len(gzip.compress(path.read_bytes(), mtime=0))
        delivered.append(
            Delivered(path, name, built.bytes if built else size, packed, tuple(encodings), parity, dense_size, measured, built)
        )
    return delivered


def check(
    path: Path,
    graph: Graph,
    inputs: Mapping[str, tuple[Array, ...]],
    reference: Mapping[str, Sequence[Array]],
    tolerance: float = TOLERANCE,
) -> dict[str, Parity]:
    """The artifact at `path` against graph and module on every kind of input. Raises CheckFailed where they differ."""
    runner = formats.load(path)
    return {
        kind: verify(runner, graph, arrays, reference=reference[kind], tolerance=tolerance).check()
        for kind, arrays in inputs.items()
    }
