"""Norms, attention and recurrence: what transformers and speech networks add."""

from __future__ import annotations

import numpy as np

from ...graph import Array
from ...ops import GRU, LSTM, Attention, Embedding, GroupNorm, LayerNorm, Linear, Normalize, Reduce
from .fuse import Task
from .linears import linear_at
from .lowerings import lower
from .writer import Writer, float_text, joined


def _bytes(w: Writer, what: str, mask: Array | None) -> str:
    return "NULL" if mask is None else w.array(what, mask.astype(np.uint8))


@lower(LayerNorm)
def _(w: Writer, n: Task) -> None:
    op = n.op
    assert isinstance(op, LayerNorm)
    bias = np.zeros(len(op.weight)) if op.bias is None else op.bias
    counted = len(op.weight) if op.counted is None else int(op.counted.sum())
    struct = w.struct(
        "ep_statistics", "statistics", w.array("weight", op.weight.astype(np.float32)), w.array("bias", bias.astype(np.float32)),
        _bytes(w, "counted", op.counted), counted + op.absent, int(op.centred),
        *map(float, (op.eps, op.absent, op.absent_mean, op.absent_spread)),
    )  # fmt: skip
    to = w.make(n.name)
    w.clear(n.name)
    view = w.view_with_last(op.axis, w.layout(n.inputs[0]), w.layout(n.name))
    w.step("ep_layer_norm", view, struct, w.at(n.inputs[0]), to)


@lower(Normalize)
def _(w: Writer, n: Task) -> None:
    op = n.op
    assert isinstance(op, Normalize)
    to = w.make(n.name)
    w.clear(n.name)
    view = w.view_with_last(op.axis, w.layout(n.inputs[0]), w.layout(n.name))
    w.step("ep_normalize", view, float_text(op.eps), w.at(n.inputs[0]), to)


@lower(GroupNorm)
def _(w: Writer, n: Task) -> None:
    op = n.op
    assert isinstance(op, GroupNorm)
    x, out = w.layout(n.inputs[0]), w.layout(n.name)
    to = w.make(n.name)
    w.clear(n.name)
    first, *spatial = zip(x.sizes, x.strides, [0] * len(x.sizes), out.strides, strict=True)
    weight, bias = (w.array(what, a.astype(np.float32)) for what, a in (("weight", op.weight), ("bias", op.bias)))
    each = str(len(op.weight) // op.groups)
    view = w.exact_view_of([first], joined(spatial))
    w.step("ep_group_norm", view, each, float_text(op.eps), weight, bias, w.at(n.inputs[0]), to)


@lower(Attention)
def _(w: Writer, n: Task) -> None:
    op = n.op
    assert isinstance(op, Attention)
    q, k, v, *mask = (w.graph.values[name] for name in n.inputs)
    sources = [w.flat_at(name) for name in n.inputs] + ["NULL"] * (not mask)
    scales = np.full(op.heads, op.scale) * (1.0 if op.gain is None else op.gain)
    bias, by_batch, by_head = "NULL", 0, 0
    if op.bias is not None:
        # Batches and heads that share a bias share its floats; queries and places have their own.
        axes = (1,) * (len(q.shape) + 1 - op.bias.ndim) + op.bias.shape
        lead = q.shape[:-2] if any(size > 1 for size in axes[:-3]) else (1,) * len(q.shape[:-2])
        whole = np.broadcast_to(op.bias.reshape(axes), (*lead, axes[-3], q.shape[-2], k.shape[-2]))
        bias = w.array("bias", whole.astype(np.float32))
        places = q.shape[-2] * k.shape[-2]
        by_head = places if axes[-3] > 1 else 0
        by_batch = places * axes[-3] if int(np.prod(lead)) > 1 else 0
    struct = w.struct(
        "ep_heads", "heads", int(np.prod(q.shape[:-2])), q.shape[-2], k.shape[-2], op.heads, q.channels // op.heads,
        v.channels // op.heads, w.array("scales", scales.astype(np.float32)), bias, by_batch, by_head,
        _bytes(w, "pairs", op.pairs), -1.0 if op.cosine is None else float(op.cosine),
        k.shape[-2] if mask and mask[0].shape[0] > 1 else 0,
    )  # fmt: skip
    w.step("ep_attention", struct, *sources, w.make(n.name), w.scratch("scores", 2 * k.shape[-2]))


@lower(Reduce)
def _(w: Writer, n: Task) -> None:
    op = n.op
    assert isinstance(op, Reduce)
    x, out = w.layout(n.inputs[0]), w.layout(n.name)
    to = w.make(n.name)
    w.clear(n.name)
    made = list(out.strides)
    if not op.keepdims:
        for axis in sorted(op.axes):
            made.insert(axis, 0)
    axes = list(zip(x.sizes, x.strides, [0] * len(x.sizes), made, strict=True))
    kept = joined(a for i, a in enumerate(axes) if i not in op.axes)
    over = joined((size, stride, 0, 0) for i, (size, stride, _, _) in enumerate(axes) if i in op.axes)
    scale = 1.0 / float(np.prod([x.sizes[a] for a in op.axes])) if op.kind == "mean" else 1.0
    kernel = f"ep_reduce_{'sum' if op.kind == 'mean' else op.kind}"
    w.step(kernel, w.exact_view(kept), w.exact_view(over), float_text(scale), w.at(n.inputs[0]), to)


@lower(LSTM, GRU)
def _(w: Writer, n: Task) -> None:
    op = n.op
    assert isinstance(op, LSTM | GRU)
    steps, rows = w.graph.values[n.inputs[0]].shape[0], len(op.weight)
    driven = w.scratch(f"{n.name}'s gates", steps * rows)
    linear_at(w, Linear(op.weight, op.bias), w.flat_at(n.inputs[0]), driven, steps)
    arrays = (("weight", op.recurrent), ("bias", op.recurrent_bias))
    weight, bias = (w.array(what, a.astype(np.float32)) for what, a in arrays)
    struct = w.struct("ep_cells", "cells", weight, bias, steps, op.units, int(op.reverse))
    w.step(f"ep_{type(op).__name__.lower()}", struct, driven, w.make(n.name), w.scratch("state", 2 * op.units))


@lower(Embedding)
def _(w: Writer, n: Task) -> None:
    op = n.op
    assert isinstance(op, Embedding)
    rows, width = op.weight.shape
    count = int(np.prod(w.graph.values[n.inputs[0]].shape))
    table = w.array("weight", op.weight.astype(np.float32))
    w.step("ep_embedding", table, str(rows), str(width), str(count), w.flat_at(n.inputs[0]), w.make(n.name))
