"""Which form of a layer pays: its bytes, time and memory, from what the kernels of a runtime were measured to take."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ..errors import EdgepruneError

GOALS = ("size", "latency", "memory", "dense")

# How much slower than the dense layer a smaller form may be, and how much is too little to count: 5 %, and half a microsecond.
SLOWER, UNNOTICED = 1.05, 0.5


@dataclass(frozen=True)
class Costs:
    """What the kernels of LiteRT take on one device, float32, one thread.

    The defaults are those of an x86 processor with AVX-512; `edgeprune calibrate` fits those of another device.
    """

    conv_ns: float = 0.0085  # a dense multiply-add
    pointwise_ns: float = 0.0087  # ... of a matrix applied at many places
    depthwise_ns: float = 0.0213  # ... of one channel each
    weight_ns: float = 0.012  # a byte of dense weights read
    sparse_ns: float = 0.36  # a multiply-add with a nonzero of a sparse matrix
    check_ns: float = 0.37  # a stored nonzero looked through, once a call
    row_ns: float = 0.5  # an element that a sparse matrix makes
    copy_ns: float = 0.016  # a byte written to another place
    gather_ns: float = 2.2  # an element picked out of its neighbours
    op_ns: float = 600.0  # an operator's call

    def dense(self, kind: str, multiply_adds: int, weight_bytes: int) -> float:
        """Microseconds of a dense layer of kind "conv", "pointwise" or "depthwise"."""
        each = {"conv": self.conv_ns, "pointwise": self.pointwise_ns, "depthwise": self.depthwise_ns}[kind]
        return (multiply_adds * each + weight_bytes * self.weight_ns + self.op_ns) / 1e3

    def matrix(self, nonzeros: int, rows: int, places: int) -> float:
        """Microseconds of a sparse matrix of `rows` rows, applied at `places` places."""
        return (nonzeros * (self.check_ns + places * self.sparse_ns) + rows * places * self.row_ns + self.op_ns) / 1e3

    def copied(self, nbytes: int, ops: int) -> float:
        """Microseconds of operators that only move, `nbytes` in all."""
        return (nbytes * self.copy_ns + ops * self.op_ns) / 1e3


@dataclass(frozen=True)
class Option:
    """A form a layer can be written in. Those of no interest to a goal are left at 0."""

    encoding: str  # "dense", "csr", "csr patches", "csr bands", "stripes", "csr+densify", "stripes+densify", "coo"
    bytes: int  # in the file
    us: float = 0.0
    memory: int = 0  # while the model is loaded
    expanded: bool = False  # when the model is loaded: its time and memory are then the dense layer's


@dataclass(frozen=True)
class Choice:
    encoding: str
    reason: str


def choose(options: Sequence[Option], *, optimize: str = "size") -> Choice:
    """The best of a layer's forms, and why. The first one is the dense layer.

    `optimize` says what matters: "size" is the smallest file in which the layer is not SLOWER than dense, "latency" the fastest
    form, "memory" the one that takes least of it at run time. What is expanded at load serves "size" alone: it costs loading time
    and memory. "dense" takes no sparse form, because engines for GPUs read none.
    """
    if optimize not in GOALS:
        raise EdgepruneError(f"optimize={optimize!r} is not a goal; choose one of: {', '.join(GOALS)}")
    dense = options[0]
    if optimize == "dense":
        return Choice(dense.encoding, f"{dense.bytes:,} bytes; dense as was asked for")
    quick = [o for o in options if o.us <= dense.us * SLOWER + UNNOTICED]
    if optimize == "size":
        best = min(quick, key=lambda o: (o.bytes, o.us))
    elif optimize == "latency":
        fastest = min(o.us for o in options if not o.expanded)
        best = min((o for o in options if not o.expanded and o.us <= fastest * 1.02), key=lambda o: o.bytes)
    else:
        best = min((o for o in options if not o.expanded), key=lambda o: (o.memory, o.us))
    return Choice(best.encoding, _reason(best, dense, options))


def _reason(best: Option, dense: Option, options: Sequence[Option]) -> str:
    others = [o for o in options if o is not dense]
    if best is dense:
        if not others:
            return f"{dense.bytes:,} bytes; too full for a sparse form"
        smallest = min(others, key=lambda o: o.bytes)
        if smallest.bytes >= dense.bytes:
            return f"{dense.bytes:,} bytes; the sparse form would take {smallest.bytes:,}"
        if all(o.expanded for o in others):
            return "the sparse form would be expanded at load, which costs loading time and memory"
        quickest = min((o for o in others if not o.expanded), key=lambda o: o.us)
        return f"{_us(dense)} dense; {quickest.encoding} would take {_us(quickest)}"
    said = f"{best.bytes:,} bytes instead of {dense.bytes:,}"
    if not best.expanded:
        what = "stripes that were kept" if best.encoding == "stripes" else "nonzeros"
        return f"{said}, only {what} are multiplied" + (f": {_us(best)} instead of {_us(dense)}" if best.us else "")
    said += ", expanded when the model loads: as fast and as much memory as dense"
    running = [o for o in others if not o.expanded]
    if running:
        quickest = min(running, key=lambda o: o.us)
        said += f"; {quickest.encoding} would take {_us(quickest)} instead of {_us(dense)}, and {quickest.bytes:,} bytes"
    return said


def _us(option: Option) -> str:
    return f"{option.us:.3g} µs"
