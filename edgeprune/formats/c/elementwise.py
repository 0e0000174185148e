"""Ops that treat every element by itself; softmax."""

from __future__ import annotations

import numpy as np

from ...ops import Activation, Add, Affine, BatchNorm, Binary, Mul, PReLU, Softmax
from .fuse import Task
from .layout import Layout
from .lowerings import lower
from .writer import Place, Writer, activated, bound_text


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


@lower(PReLU)
def _(w: Writer, n: Task) -> None:
    op = n.op
    assert isinstance(op, PReLU)
    x, source = w.layout(n.inputs[0]), w.at(n.inputs[0])
    weight = Place(w.array("weight", op.weight.astype(np.float32)))
    to = w.make(n.name, over=n.inputs)
    if to != source:
        w.clear(n.name)
    by_channel = [1 if i == op.axis else 0 for i in range(len(x.sizes))]
    w.step("ep_prelu", w.view(x.sizes, x.strides, by_channel, w.layout(n.name).strides), activated(n), source, weight, to)


@lower(Add, Mul, Binary)
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
    kind = n.op.kind if isinstance(n.op, Binary) else type(n.op).__name__.lower()
    w.step(f"ep_{kind}", view, activated(n), *sources, to)


@lower(Softmax)
def _(w: Writer, n: Task) -> None:
    op = n.op
    assert isinstance(op, Softmax)
    x, out = w.layout(n.inputs[0]), w.layout(n.name)
    to = w.make(n.name)
    w.clear(n.name)
    w.step("ep_softmax", w.view_with_last(op.axis, x, out), str(int(op.log)), w.at(n.inputs[0]), to)
