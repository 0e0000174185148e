"""A delegate for LiteRT: sparse layers of stock .tflite files, run by the kernels that C models have.

It takes layers whose weights are CSR in the file: FULLY_CONNECTED, patches before it, and CONV_2D behind DENSIFY; with them sums,
activations and means of the maps between. The rest stays with the runtime, and without the delegate all of it does.

api.h       TFLite's plain C interface, as far as it is needed
graph.c     which operators are taken, and what their weights read
weights.c   the weights of a layer, in the order of the kernels
plan.c      the steps and the memory of a part that is taken
run.c       the steps, run
delegate.c  what the runtime calls
"""

from __future__ import annotations

import importlib.resources
from pathlib import Path

from ...c.compiler import OPTIMISED, compile_c, local_compiler, native_flags

SOURCES = ("delegate.c", "graph.c", "plan.c", "run.c", "weights.c")
WARNINGS = ("-Wall", "-Wextra", "-Wpedantic", "-Werror")


def folders() -> tuple[Path, Path]:
    """Where the delegate's sources are, and the kernels that they include."""
    here = Path(str(importlib.resources.files(__name__)))
    return here, here.parents[1] / "c" / "kernels"


def build(out: str | Path, *, compiler: str | None = None, flags: tuple[str, ...] = ()) -> Path:
    """Compiles the delegate into the shared library `out`, for this machine's processor.

    `edgeprune.formats.load(path, delegate=out)` runs a .tflite file with it; so do `load_delegate` of either runtime and the
    external delegates of apps. Raises EdgepruneError when there is no C compiler.
    """
    out, (here, kernels) = Path(out), folders()
    command = compiler or local_compiler()
    shape = ("-shared", "-fPIC", "-fvisibility=hidden", f"-I{kernels}")
    compile_c([command], [here / name for name in SOURCES], out, (*OPTIMISED, *native_flags(command), *flags, *shape))
    return out
