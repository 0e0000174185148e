"""Ops that treat every element by itself, and those that move elements."""

from __future__ import annotations

import numpy as np

from ...graph import Array
from ...ops import Activation, Add, Affine, BatchNorm, Concat, Flatten, Mul, Pad, Select, Slice, Softmax
from .fuse import Task
from .layout import Layout, flat
from .lowerings import lower
from .writer import Writer, activated, bound_text, float_text


@lower(Activation)
def _(w: Writer, n: Task) -> None:
    op = n.op
    assert isinstance(op, Activation)
    x = w.layout(n.inputs[0])
    to = w.make(n.name, over=n.inputs)
    if to != w.at(n.inputs[0]):
        w.clear(n.name)
    out = w.layout(n.name)
    view = w.view(x.sizes, x.strides, [0] * len(x.sizes), out.strides)
    w.step(f"ep_map_{op.kind}", view, bound_text(op.a), bound_text(op.b), w.at(n.inputs[0]), to)


@lower(BatchNorm, Affine)
def _(w: Writer, n: Task) -> None:
    affine = n.op.as_affine()
    assert affine is not None
    x, axis = w.layout(n.inputs[0]), w.graph.values[n.name].axis
    scale, shift = (w.array(what, a.astype(np.float32)) for what, a in zip(("scale", "shift"), affine, strict=True))
    source = w.at(n.inputs[0])
    to = w.make(n.name, over=n.inputs)
    if to != source:
        w.clear(n.name)
    by_channel = [1 if i == axis else 0 for i in range(len(x.sizes))]
    view = w.view(x.sizes, x.strides, by_channel, w.layout(n.name).strides)
    w.step("ep_affine", view, activated(n), scale, shift, source, to)


@lower(Add, Mul)
def _(w: Writer, n: Task) -> None:
    a, b = (w.layout(name) for name in n.inputs)
    sources = [w.at(name) for name in n.inputs]
    # A side that is stretched is read again and again: the result may not lie over it.
    over = [name for name in n.inputs if w.graph.values[name].shape == w.graph.values[n.name].shape]
    to = w.make(n.name, over=over)
    out = w.layout(n.name)
    if to not in sources:
        w.clear(n.name)

    def stretched(side: Layout) -> list[int]:
        return [0 if size == 1 else stride for size, stride in zip(side.sizes, side.strides, strict=True)]

    view = w.view(out.sizes, stretched(a), stretched(b), out.strides)
    w.step("ep_add" if isinstance(n.op, Add) else "ep_mul", view, activated(n), *sources, to)


@lower(Flatten)
def _(w: Writer, n: Task) -> None:
    x = n.inputs[0]
    if w.layout(x).contiguous:
        if n.name in w.graph.outputs or x in w.graph.inputs:
            w.copy(w.layout(x), w.at(x), w.layout(x), w.make(n.name))
        else:
            w.alias(n.name, w.at(x))
        return
    w.copy(w.layout(x), w.at(x), flat(w.layout(x).sizes), w.make(n.name))


@lower(Concat)
def _(w: Writer, n: Task) -> None:
    to = w.make(n.name)
    w.clear(n.name)
    out, axis, done = w.layout(n.name), w.graph.values[n.name].axis, 0
    for name in n.inputs:
        x = w.layout(name)
        w.step("ep_copy", w.view(x.sizes, x.strides, [0] * len(x.sizes), out.strides), w.at(name), to + done * out.strides[axis])
        done += x.sizes[axis]


@lower(Select)
def _(w: Writer, n: Task) -> None:
    op = n.op
    assert isinstance(op, Select)
    x, out, axis = w.layout(n.inputs[0]), w.layout(n.name), op.axis
    to = w.make(n.name)
    w.clear(n.name)

    def joined(part: slice) -> list[tuple[int, int, int, int]]:
        """The axes in this part of the shape as few as they can be."""
        axes: list[tuple[int, int, int, int]] = []
        for size, a, b in zip(out.sizes[part], x.strides[part], out.strides[part], strict=True):
            if axes and axes[-1][1] == a * size and axes[-1][3] == b * size:
                axes[-1] = (axes[-1][0] * size, a, 0, b)
            else:
                axes.append((size, a, 0, b))
        return axes

    outer, inner = joined(slice(0, axis)), joined(slice(axis + 1, None))
    if len(outer) > 1 or len(inner) > 2:
        raise lower.refusal(n, "it selects among channels with at most two axes inside them")
    one = (1, 0, 0, 0)
    axes = [*(outer or [one]), (out.sizes[axis], x.strides[axis], 0, out.strides[axis]), *[one] * (2 - len(inner)), *inner]
    w.step("ep_select", w.exact_view(axes), w.array("index", op.index.astype(np.int32)), w.at(n.inputs[0]), to)


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


def _fill(w: Writer, to, layout: Layout, value: float) -> None:  # type: ignore[no-untyped-def]
    """Every element of a value the same number."""
    if not layout.zeros:
        w.step("ep_fill", to, str(layout.floats - layout.front), float_text(value))
        return
    number: Array = np.array([value], np.float32)
    zeros = [0] * len(layout.sizes)
    w.step("ep_copy", w.view(layout.sizes, zeros, zeros, layout.strides), w.array("fill", number), to)


@lower(Softmax)
def _(w: Writer, n: Task) -> None:
    op = n.op
    assert isinstance(op, Softmax)
    x, out = w.layout(n.inputs[0]), w.layout(n.name)
    to = w.make(n.name)
    w.clear(n.name)
    axes = list(zip(x.sizes, x.strides, [0] * len(x.sizes), out.strides, strict=True))
    over = axes.pop(op.axis)
    w.step("ep_softmax", w.exact_view([*axes, over]), str(int(op.log)), w.at(n.inputs[0]), to)
