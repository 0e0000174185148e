"""Artifacts: a graph written to a file, run in the file's real runtime, read back for inspection.

onnx/          .onnx, for onnxruntime
tflite/        .tflite, for LiteRT and tflite-runtime
c/             .c and .h, for any C compiler
artifact.py    what every format speaks: Metadata, LayerEncoding, Artifact, Runner
lowering.py    the table from ops to functions that every format fills
patterns.py    what formats need to know about a node that depends on no layout
"""

from __future__ import annotations

import importlib
from pathlib import Path
from types import ModuleType

from ..errors import EdgepruneError
from ..files import write_atomic
from ..graph import Graph
from .artifact import Artifact, LayerEncoding, Metadata, Operation, Runner, Tensor

# suffix: module. A format is one folder and one line here.
FORMATS = {
    ".onnx": "onnx",
    ".tflite": "tflite",
    ".c": "c",
    ".pt2": ".rebuilding.program",  # torch side, so it lives there
}

__all__ = [
    "FORMATS", "Artifact", "LayerEncoding", "Metadata", "Operation", "Runner", "Tensor", "companions", "load", "module_of",
    "read", "write",
]  # fmt: skip


def module_of(path: str | Path) -> ModuleType:
    """The module that handles files named like `path`. Raises EdgepruneError for a suffix no format has."""
    suffix = Path(path).suffix.lower()
    if suffix not in FORMATS:
        raise EdgepruneError(f"{path}: no format is called {suffix or 'that'!r}; use one of: {', '.join(FORMATS)}")
    return importlib.import_module(f".{FORMATS[suffix]}", __name__)


def write(graph: Graph, path: str | Path, *, metadata: Metadata | None = None, optimize: str = "size") -> list[LayerEncoding]:
    """Writes the graph to `path`, in the format its suffix names, whole or not at all; returns how each weight is stored.

    `optimize` is "size", "speed" or "memory" (see `edgeprune.sparse.choose`). The same graph gives the same bytes.
    Raises NotExportable when the format cannot say an op, MissingExtra when the format's package is not installed.
    """
    module, graph = module_of(path), graph.plain()
    if hasattr(module, "companions"):  # a format of several files writes them itself
        return list(module.write(graph, path, metadata=metadata, optimize=optimize).encodings)
    data, encodings = module.encode(graph, metadata or Metadata(), optimize)
    write_atomic(path, data)
    return list(encodings)


def companions(path: str | Path) -> tuple[Path, ...]:
    """The files that belong to the artifact at `path` and are written beside it: the header of a C model, none elsewhere."""
    module = module_of(path)
    return tuple(module.companions(Path(path))) if hasattr(module, "companions") else ()


def load(path: str | Path, *, threads: int = 1, runtime: str | None = None) -> Runner:
    """The artifact, ready to run in its real runtime.

    `runtime` picks one where several can run the format: "ai-edge-litert" or "tflite-runtime" for .tflite; None takes the first
    one installed. Raises MissingExtra when there is none, EdgepruneError when the file is not a model.
    """
    runner: Runner = module_of(path).load(_present(path), threads, runtime)
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
