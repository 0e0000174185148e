"""Artifacts: a graph written to a file, run in the file's real runtime, read back for inspection.

onnx/          .onnx, for onnxruntime
tflite/        .tflite, for LiteRT and tflite-runtime
c/             .c and .h, for any C compiler
artifact.py    what every format speaks: Metadata, LayerEncoding, Artifact, Runner
lowering.py    the table from ops to functions that every format fills
stripes.py     convolutions whose filters kept some taps, said as three ordinary ones
patterns.py    what formats need to know about a node that depends on no layout
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

from ..errors import EdgepruneError, MissingExtra
from ..files import write_atomic
from ..graph import Graph
from ..sparse import Costs
from .artifact import Artifact, LayerEncoding, Metadata, Operation, Runner, Tensor

# suffix: module. A format is one folder and one line here.
FORMATS = {
    ".onnx": "onnx",
    ".tflite": "tflite",
    ".c": "c",
    ".pt2": ".rebuilding.program",  # torch side, so it lives there
}

__all__ = [
    "FORMATS", "Artifact", "Footprint", "LayerEncoding", "Metadata", "Operation", "Runner", "Tensor", "companions", "footprint",
    "load", "module_of", "read", "require_safe", "write",
]  # fmt: skip


def module_of(path: str | Path) -> ModuleType:
    """The module that handles files named like `path`. Raises EdgepruneError for a suffix no format has."""
    suffix = Path(path).suffix.lower()
    if suffix not in FORMATS:
        raise EdgepruneError(f"{path}: no format is called {suffix or 'that'!r}; use one of: {', '.join(FORMATS)}")
    try:
        return importlib.import_module(f".{FORMATS[suffix]}", __name__)
    except ModuleNotFoundError as error:
        if error.name != "torch":
            raise
        raise MissingExtra("torch", "torch", f"a {suffix} file") from None


def write(
    graph: Graph, path: str | Path, *, metadata: Metadata | None = None, optimize: str = "size", costs: Costs | None = None
) -> list[LayerEncoding]:
    """Writes the graph to `path`, in the format its suffix names, whole or not at all; returns how each weight is stored.

    `optimize` is "size", "latency", "memory" or "dense" (see `edgeprune.sparse.choose`); `costs` are those of the device that
    will run a .tflite file. The same graph gives the same bytes.
    Raises NotExportable when the format cannot say an op, MissingExtra when the format's package is not installed.
    """
    module, graph = module_of(path), graph.plain()
    if hasattr(module, "companions"):  # a format of several files writes them itself
        return list(module.write(graph, path, metadata=metadata, optimize=optimize).encodings)
    chosen_by = {"costs": costs} if Path(path).suffix.lower() == ".tflite" else {}
    data, encodings = module.encode(graph, metadata or Metadata(), optimize, **chosen_by)
    write_atomic(path, data)
    return list(encodings)


def companions(path: str | Path) -> tuple[Path, ...]:
    """The files that belong to the artifact at `path` and are written beside it: the header of a C model, none elsewhere."""
    module = module_of(path)
    return tuple(module.companions(Path(path))) if hasattr(module, "companions") else ()


@dataclass(frozen=True)
class Footprint:
    """What an artifact takes: `bytes` of `what` ("file", or a C model's "constants"), and while it runs, where that is known."""

    bytes: int
    what: str = "file"
    memory: int | None = None


def footprint(path: str | Path) -> Footprint:
    """The size of the file at `path`; of a C model what it adds to the program around it, not the length of its text."""
    path, module = _present(path), module_of(path)
    return Footprint(*module.footprint(path)) if hasattr(module, "footprint") else Footprint(path.stat().st_size)


def require_safe(path: str | Path) -> None:
    """Raises EdgepruneError when reading the artifact could run code that it holds: a .pt2 file can hold some."""
    module = module_of(path)
    if hasattr(module, "require_safe"):
        module.require_safe(Path(path))


def load(path: str | Path, *, threads: int = 1, runtime: str | None = None, delegate: str | Path | None = None) -> Runner:
    """The artifact, ready to run in its real runtime.

    `runtime` picks one where several can run the format: "ai-edge-litert" or "tflite-runtime" for .tflite; None takes the first
    one installed. `delegate` is a library that runs parts of a .tflite file, such as `edgeprune delegate` builds.
    Raises MissingExtra when there is no runtime, EdgepruneError when the file is not a model.
    """
    module = module_of(path)
    if delegate is not None and Path(path).suffix.lower() != ".tflite":
        raise EdgepruneError(f"{path}: delegates run parts of .tflite files alone")
    given = {} if delegate is None else {"delegate": Path(delegate)}
    runner: Runner = module.load(_present(path), threads, runtime, **given)
    return runner


def read(path: str | Path) -> Artifact:
    """What the file holds: constants (decoded), ops, metadata, bytes. Raises EdgepruneError when it is not a model."""
    module = module_of(path)
    if not hasattr(module, "read"):
        raise EdgepruneError(f"{path}: a {Path(path).suffix} file is a program, no list of ops; load it as a checkpoint instead")
    artifact: Artifact = module.read(_present(path))
    return artifact


def _present(path: str | Path) -> Path:
    path = Path(path)
    if not path.is_file():
        raise EdgepruneError(f"{path} does not exist" if not path.exists() else f"{path} is not a file")
    return path
