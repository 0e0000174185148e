"""C99 source that runs a model with nothing beside it: one .c, one .h, memory given by the caller.

fuse.py          which nodes one kernel does together
windows.py       what convolutions and pooling read
layout.py        where elements lie in memory
plan.py          where values lie in the arena
rows.py          nonzero weights in running order
writer.py        constants, buffers and steps: what lowerings write to
lowerings.py     the table from ops to functions, filled by convolutions.py, pooling.py, linears.py,
                 elementwise.py, moves.py and sequences.py
source.py        the files' text
compiler.py      C compilers, here and for other machines
building.py      a model compiled, and the bytes it then takes
reading.py       what a written model holds
runner.py        a compiled model, run
kernels/         the kernels: C files that compile alone
templates/       the files around them
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from ...errors import EdgepruneError
from ...files import write_atomic
from ...graph import Graph
from ...sparse import GOALS
from ..artifact import LayerEncoding, Metadata, check_float
from . import convolutions, elementwise, linears, moves, pooling, sequences
from .building import HOST, Built, build, file_name, identifier, memory_bytes, target_of
from .building import constant_bytes as _constant_bytes
from .compiler import CROSS
from .layout import flat
from .lowerings import lower
from .reading import read
from .runner import CRunner
from .source import Arena, arena_of, build_text, header_text, source_text
from .writer import Place, Writer

__all__ = [
    "CROSS", "HOST", "Built", "Written", "build", "companions", "file_name", "footprint", "load", "read", "sources", "target_of",
    "write",
]  # fmt: skip

# Importing them fills the table.
assert all((convolutions, elementwise, linears, moves, pooling, sequences))


@dataclass(frozen=True)
class Written:
    """The files of a model by name, how each weight is stored, and the memory it runs in."""

    files: Mapping[str, str]
    encodings: tuple[LayerEncoding, ...]
    arena: Arena


def sources(graph: Graph, name: str = "model", metadata: Metadata | None = None, optimize: str = "size") -> Written:
    """The text of NAME.c, NAME.h and CMakeLists.txt. The same graph gives the same text.

    `name` is the prefix of everything the files declare. Raises NotExportable when C cannot say an op.
    """
    w = lowered(graph, identifier(name), optimize)
    arena, metadata = arena_of(w), metadata or Metadata()
    files = {
        f"{name}.c": source_text(w, arena, f"{name}.h", metadata),
        f"{name}.h": header_text(w, metadata, arena),
        "CMakeLists.txt": build_text(w, name),
    }
    return Written(files, tuple(w.encodings), arena)


def lowered(graph: Graph, prefix: str, optimize: str = "size") -> Writer:
    """The graph as constants, buffers and steps."""
    if optimize not in GOALS:
        raise EdgepruneError(f"optimize={optimize!r} is not a goal; choose one of: {', '.join(GOALS)}")
    w = Writer(check_float(graph), prefix, optimize)
    for number, task in enumerate(w.tasks):
        w.task = number
        try:
            lower.run(w, task)
        except ValueError as error:
            raise lower.refusal(task, str(error)) from None
    w.task = len(w.tasks)
    for number, output in enumerate(graph.outputs):
        target = Place(("out", number))
        if w.at(output) != target:
            w.copy(w.layout(output), w.at(output), flat(w.layout(output).sizes), target)
    return w


def companions(path: Path) -> tuple[Path, ...]:
    """The files beside a model's source that belong to it."""
    return path.with_suffix(".h"), path.with_name("CMakeLists.txt")


def footprint(path: Path) -> tuple[int, str, int]:
    """(bytes that the model adds to a program, of what, bytes it takes while it runs): its constants; with the arena."""
    return _constant_bytes(path.read_text()), "constants", memory_bytes(path)


def write(graph: Graph, path: str | Path, *, metadata: Metadata | None = None, optimize: str = "size") -> Written:
    """Writes `path` (a .c file), its header and CMakeLists.txt beside it; returns how each weight is stored and the arena.

    `optimize` is "size", "latency", "memory" (sparse weights then stay sparse where dense ones would be faster) or "dense" (all
    that have a dense kernel: convolutions in groups or of a few channels have none).
    """
    path = Path(path)
    if path.suffix != ".c":
        raise EdgepruneError(f"{path}: a C model is written to a file that ends in .c")
    written = sources(graph, path.stem, metadata, optimize)
    # The source comes last: while it is missing, so is the model.
    for name, text in reversed(list(written.files.items())):
        write_atomic(path.with_name(name), text.encode())
    return written


def load(path: str | Path, threads: int = 1, runtime: str | None = None) -> CRunner:
    """The model compiled with this machine's C compiler, ready to run. It runs on one thread whatever `threads` says.

    Raises EdgepruneError when there is no compiler, or when the files are not a model's.
    """
    return CRunner(Path(path))
