"""Fully connected layers."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ...graph import Array
from ...ops import Linear
from .fuse import Task
from .layout import flat
from .lowerings import lower
from .rows import bits, narrowest, rows_of
from .writer import Place, Writer, act_text, activated

Taps = Sequence[tuple[int, int, int]]

# Above this density every weight is read in order: measured, with one thread on x86.
DENSE_FROM = 0.25


@lower(Linear)
def _(w: Writer, n: Task) -> None:
    op = n.op
    assert isinstance(op, Linear)
    outs, columns = np.nonzero(op.weight)
    density = len(outs) / op.weight.size
    index_bytes = 1 if op.weight.shape[1] <= 256 else 2
    smaller = density * (4 + index_bytes) < 4
    if not smaller if w.optimize == "memory" else density > DENSE_FROM or w.optimize == "dense":
        _dense(w, n, op)
        return
    write_linear(w, n, outs, columns, op.weight[outs, columns], op.bias)


def _dense(w: Writer, n: Task, op: Linear) -> None:
    rows, columns = op.weight.shape
    bias = np.zeros(rows) if op.bias is None else op.bias
    source = w.flat_at(n.inputs[0])
    places = w.graph.values[n.name].positions
    weight, biases = w.array("weight", op.weight.astype(np.float32)), w.array("bias", bias.astype(np.float32))
    struct = w.struct(
        "ep_dense_linear", "dense", weight, biases, rows, columns, places, columns, rows, 1, act_text(n.act),
    )  # fmt: skip
    w.step("ep_dense", struct, source, w.make(n.name))
    w.encoded(
        n,
        "dense",
        op.weight.size * 4,
        f"{np.count_nonzero(op.weight) / op.weight.size:.0%} nonzero: faster without indices",
        weight=weight,
        bias=biases,
    )


def linear_at(w: Writer, op: Linear, source: Place, to: Place, places: int) -> None:
    """The layer applied to `places` vectors in one piece, to memory that is there already."""
    outs, columns = np.nonzero(op.weight)
    bias = np.zeros(len(op.weight)) if op.bias is None else op.bias
    rows = rows_of(outs, columns, op.weight[outs, columns], bias)
    reads = narrowest(rows.places)
    names = w.rows(rows, {"columns": reads})
    struct = w.struct(
        "ep_sparse_linear",
        "linear",
        *names.values(),
        len(rows.groups),
        places,
        op.weight.shape[1],
        len(op.weight),
        1,
        act_text(None),
    )
    w.step(f"ep_linear{bits(reads)}", struct, source, to)


def write_linear(
    w: Writer, n: Task, outs: Array, reads: Array, values: Array, bias: Array | None, plane: int = 1, taps: Taps = ((0, 0, 0),)
) -> None:
    """Outputs that are sums of weights times elements of the first input, `reads` floats from its first one.

    `plane` and `taps`, (0, floats, index in the kernel) each, say what a place means to who reads the file.
    """
    value = w.graph.values[n.name]
    places = value.positions if value.axis else 1
    count = value.channels
    rows = rows_of(outs, reads, values, np.zeros(count) if bias is None else bias)
    columns = narrowest(rows.places)
    x = w.layout(n.inputs[0])
    to = w.make(n.name)
    last = n.residual is None
    names = w.rows(rows, {"columns": columns})
    struct = w.struct(
        "ep_sparse_linear", "linear", *names.values(), len(rows.groups), places,
        x.sizes[-1] if places > 1 else 0, count if places > 1 else 0, 1, act_text(n.act if last else None),
    )  # fmt: skip
    w.step(f"ep_linear{bits(columns)}", struct, w.at(n.inputs[0]), to)
    if n.residual is not None:
        size = int(np.prod(value.shape))
        assert w.layout(n.residual) == flat(value.shape)
        w.step("ep_add", w.view((size,), (1,), (1,), (1,)), activated(n), to, w.at(n.residual), to)
    if "weight" in n.op.arrays:
        stored = sum(a.nbytes for a in (rows.values, columns, rows.rows, rows.groups))
        w.encoded(
            n,
            "csr",
            stored,
            f"columns of {bits(columns)} bits; only nonzeros are multiplied",
            **names,
            group_count=len(rows.groups),
            plane=plane,
            taps=list(taps),
        )
