"""Ops that move elements and compute nothing."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ...graph import Array
from ...ops import Concat, Constant, Cut, Flatten, Join, Pad, PadWith, Rearrange, Roll, Select, Slice, Take, Upsample
from ...ops.resize import MODES
from .fuse import Task
from .layout import Layout, flat
from .lowerings import lower
from .writer import Place, Writer, float_text, joined


@lower(Flatten)
def _(w: Writer, n: Task) -> None:
    x = n.inputs[0]
    if w.layout(x).contiguous:
        if n.name in w.graph.outputs:
            w.copy(w.layout(x), w.at(x), w.layout(x), w.make(n.name))
        else:
            w.alias(n.name, w.at(x))
        return
    w.copy(w.layout(x), w.at(x), flat(w.layout(x).sizes), w.make(n.name))


@lower(Concat, Join)
def _(w: Writer, n: Task) -> None:
    to = w.make(n.name)
    w.clear(n.name)
    out, done = w.layout(n.name), 0
    axis = n.op.along if isinstance(n.op, Join) else w.graph.values[n.name].axis
    for name in n.inputs:
        x = w.layout(name)
        w.step("ep_copy", w.view(x.sizes, x.strides, [0] * len(x.sizes), out.strides), w.at(name), to + done * out.strides[axis])
        done += x.sizes[axis]


@lower(Constant)
def _(w: Writer, n: Task) -> None:
    op = n.op
    assert isinstance(op, Constant)
    w.alias(n.name, Place(w.array("weight", op.weight.astype(np.float32))))


@lower(Select, Take)
def _(w: Writer, n: Task) -> None:
    op = n.op
    assert isinstance(op, Select | Take)
    to = w.make(n.name)
    w.clear(n.name)
    axis = op.axis if isinstance(op, Select) else op.along
    take(w, op.index, axis, w.layout(n.inputs[0]), w.at(n.inputs[0]), w.layout(n.name), to)


def take(w: Writer, index: Array, axis: int, x: Layout, source: Place, out: Layout, to: Place) -> None:
    """The places in `index` along one axis, zero where it is -1."""
    w.step("ep_select", *around(w, axis, x, out), w.array("index", index.astype(np.int32)), source, to)


def around(w: Writer, axis: int, x: Layout, out: Layout) -> tuple[str, str]:
    """(an ep_view of `out` read from `x`, the number that `axis` has in it)."""
    axes = list(zip(out.sizes, x.strides, [0] * len(out.sizes), out.strides, strict=True))
    outer, inner = joined(axes[:axis]), joined(axes[axis + 1 :])
    return w.exact_view([*outer, axes[axis], *inner]), str(3 - len(inner))


@lower(Cut)
def _(w: Writer, n: Task) -> None:
    op = n.op
    assert isinstance(op, Cut)
    x, out = w.layout(n.inputs[0]), w.layout(n.name)
    first, _, step = slice(op.start, op.stop, op.step).indices(x.sizes[op.along])
    strides = [s * step if i == op.along else s for i, s in enumerate(x.strides)]
    to = w.make(n.name)
    w.clear(n.name)
    view = w.view(out.sizes, strides, [0] * len(strides), out.strides)
    w.step("ep_copy", view, w.at(n.inputs[0]) + first * x.strides[op.along], to)


@lower(Roll)
def _(w: Writer, n: Task) -> None:
    op = n.op
    assert isinstance(op, Roll)
    axes = list(enumerate(zip(w.layout(n.name).sizes, op.shifts, strict=True)))
    pick(w, n, [(axis, (np.arange(size) - shift) % size) for axis, (size, shift) in axes if shift % size])


@lower(PadWith)
def _(w: Writer, n: Task) -> None:
    op = n.op
    assert isinstance(op, PadWith)
    picks: list[Pick] = []
    for axis, (size, pair) in enumerate(zip(w.layout(n.inputs[0]).sizes[1:], op.amount, strict=True), start=1):
        if any(pair):
            picks.append((axis, np.pad(np.arange(size), pair, mode=MODES[op.mode])))  # type: ignore[call-overload]
    pick(w, n, picks)


@lower(Upsample)
def _(w: Writer, n: Task) -> None:
    op = n.op
    assert isinstance(op, Upsample)
    sizes, made = w.layout(n.inputs[0]).sizes[1:], w.layout(n.name).sizes[1:]
    picks: list[Pick] = []
    for i, (size, places) in enumerate(zip(sizes, made, strict=True)):
        at = op.sources(i, size, places)
        low = np.minimum(np.floor(at).astype(np.int64), size - 1)
        picks.append((i + 1, low if op.kind != "linear" else (low, np.minimum(low + 1, size - 1), at - low)))
    pick(w, n, picks)


# An axis, with the place each output takes there, or (low, high, share of high).
Pick = tuple[int, Array | tuple[Array, Array, Array]]


def pick(w: Writer, n: Task, picks: Sequence[Pick]) -> None:
    """Picks along one axis after the other."""
    layout, source = w.layout(n.inputs[0]), w.at(n.inputs[0])
    if not picks:
        to = w.make(n.name)
        w.clear(n.name)
        w.copy(layout, source, w.layout(n.name), to)
    for number, (axis, which) in enumerate(picks):
        places = len(which[0] if isinstance(which, tuple) else which)
        if number == len(picks) - 1:
            out, to = w.layout(n.name), w.make(n.name)
            w.clear(n.name)
        else:
            out = flat((*layout.sizes[:axis], places, *layout.sizes[axis + 1 :]))
            to = w.scratch(f"{n.name}, axis {axis}", out.floats)
        if isinstance(which, tuple):
            kinds = (("low", np.int32), ("high", np.int32), ("share", np.float32))
            names = [w.array(what, a.astype(kind)) for (what, kind), a in zip(kinds, which, strict=True)]
            w.step("ep_blend", *around(w, axis, layout, out), *names, source, to)
        else:
            take(w, which, axis, layout, source, out, to)
        layout, source = out, to


@lower(Rearrange)
def _(w: Writer, n: Task) -> None:
    op = n.op
    assert isinstance(op, Rearrange)
    x, out = w.layout(n.inputs[0]), w.layout(n.name)
    sizes = op.factors(x.sizes)
    strides = _factor_strides(sizes, [len(f) for f in op.split], x.strides)
    made = _factor_strides([sizes[f] for f in op.order], op.merge, out.strides)
    axes = joined((sizes[f], strides[f], made[i]) for i, f in enumerate(op.order)) or [(1, 0, 0)]
    if len(axes) > 8:
        raise ValueError(f"its elements move along {len(axes)} axes, and the kernel walks eight; export to ONNX instead")
    to = w.make(n.name)
    w.clear(n.name)
    struct = w.struct(
        "ep_moves", "moves", len(axes), *("{" + ", ".join(map(str, part)) + "}" for part in zip(*axes, strict=True))
    )
    w.step("ep_move", struct, w.at(n.inputs[0]), to)


def _factor_strides(sizes: Sequence[int], counts: Sequence[int], strides: Sequence[int]) -> list[int]:
    """Floats to step along each factor, when every axis of `strides` consists of so many factors."""
    found: list[int] = []
    for count, stride in zip(counts, strides, strict=True):
        own = sizes[len(found) : len(found) + count]
        found += [stride * int(np.prod(own[i + 1 :])) for i in range(count)]
    return found


@lower(Slice)
def _(w: Writer, n: Task) -> None:
    op = n.op
    assert isinstance(op, Slice)
    x, out = w.layout(n.inputs[0]), w.layout(n.name)
    begins = [a.indices(size)[0] for a, size in zip(op._slices(), x.sizes[1:], strict=True)]
    first = sum(b * s for b, s in zip(begins, x.strides[1:], strict=True))
    strides = (x.strides[0], *(s * step for s, step in zip(x.strides[1:], op.step, strict=True)))
    to = w.make(n.name)
    w.clear(n.name)
    w.step("ep_copy", w.view(out.sizes, strides, [0] * len(strides), out.strides), w.at(n.inputs[0]) + first, to)


@lower(Pad)
def _(w: Writer, n: Task) -> None:
    op = n.op
    assert isinstance(op, Pad)
    x, out = w.layout(n.inputs[0]), w.layout(n.name)
    to = w.make(n.name)
    w.clear(n.name)
    if op.fill != 0 or not out.zeros:
        _fill(w, to, out, op.fill)
    first = sum(before * s for (before, _), s in zip(op.amount, out.strides[1:], strict=True))
    w.step("ep_copy", w.view(x.sizes, x.strides, [0] * len(x.sizes), out.strides), w.at(n.inputs[0]), to + first)


def _fill(w: Writer, to: Place, layout: Layout, value: float) -> None:
    """Every element of a value the same number."""
    if not layout.zeros:
        w.step("ep_fill", to, str(layout.floats - layout.front), float_text(value))
        return
    number: Array = np.array([value], np.float32)
    zeros = [0] * len(layout.sizes)
    w.step("ep_copy", w.view(layout.sizes, zeros, zeros, layout.strides), w.array("fill", number), to)
