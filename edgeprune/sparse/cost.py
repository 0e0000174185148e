"""Which encoding of a weight pays, from its bytes and from what runtimes were measured to do with it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ..errors import EdgepruneError

# Density above which TFLite's sparse kernel is slower than its dense one (float32, one thread, x86 with AVX).
CROSSOVER = {"linear": 0.075, "pointwise": 0.04}

# Multiplications the sparse kernel does in about a microsecond: what a layer this small loses is not worth an expansion.
SMALL = 1000

GOALS = ("size", "speed", "memory")


@dataclass(frozen=True)
class Choice:
    encoding: str  # "dense", "csr", "csr+densify" or "coo"
    reason: str


def choose(
    sizes: Mapping[str, int], nonzeros: int, total: int, *, kind: str = "", positions: int = 1, optimize: str = "size"
) -> Choice:
    """The encoding to store a weight in, of those in `sizes` (encoding: bytes in the file; "dense" is always among them).

    "csr" is executed as it is, `positions` times, and pays up to the CROSSOVER density of `kind`, or where it is SMALL.
    "csr+densify" and "coo" are expanded when the model loads: they save file bytes and cost memory. `optimize` says what matters:
    "size" of the file without slowing the layer down, "speed" (no expansion at load either), or "memory" at run time.
    """
    if optimize not in GOALS:
        raise EdgepruneError(f"optimize={optimize!r} is not a goal; choose one of: {', '.join(GOALS)}")
    dense = sizes["dense"]
    density = nonzeros / total
    fast = density <= CROSSOVER.get(kind, 0.0) or nonzeros * positions <= SMALL
    expanded = {name: n for name, n in sizes.items() if name not in ("dense", "csr") and n < dense}
    csr = sizes.get("csr", dense)
    if csr < dense and (fast or (optimize == "memory" and kind == "linear")):
        return Choice("csr", f"{csr:,} bytes instead of {dense:,}, and the runtime multiplies only the nonzeros")
    if expanded and optimize == "size":
        name = min(expanded, key=lambda each: expanded[each])
        why = ""
        if csr < dense:
            why = f"; at {density:.0%} nonzero the sparse kernel would be slower than the dense one"
        return Choice(name, f"{expanded[name]:,} bytes instead of {dense:,}, expanded when the model loads{why}")
    if expanded:
        cost = "memory" if optimize == "memory" else "loading time"
        return Choice("dense", f"the sparse form would be expanded at load, which costs {cost}")
    others = [n for name, n in sizes.items() if name != "dense"]
    if others:
        return Choice("dense", f"{dense:,} bytes; the sparse form would take {min(others):,}")
    return Choice("dense", f"{dense:,} bytes; {density:.0%} nonzero is too full for a sparse form")
