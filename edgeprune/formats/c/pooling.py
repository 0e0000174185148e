"""Pooling: windows over planes that know no weights."""

from __future__ import annotations

import numpy as np

from ...ops import AdaptiveAvgPool, AdaptiveMaxPool, AvgPool, MaxPool, Mean
from .convolutions import split, taps_at
from .fuse import LARGEST, Task
from .layout import Layout, rounded
from .linears import write_linear
from .lowerings import lower
from .windows import Window, is_map, source_of, tap_phases, tap_places, window_of
from .writer import Writer, mask_of, table_floats


@lower(MaxPool, AvgPool)
def _(w: Writer, n: Task) -> None:
    op = n.op
    assert isinstance(op, MaxPool | AvgPool)
    x = w.graph.values[n.inputs[0]]
    window = window_of(n, x)
    assert window is not None
    largest = isinstance(op, MaxPool)
    if not is_map(w.graph.values[n.name]):
        _single_pool(w, n, op, window)
        return
    layout = w.layout(n.name)
    taps = np.array(sorted(tap_places(window, (1,) * len(window.axes))), np.int64).reshape(-1, len(window.axes))
    if source_of(window, n, w.graph, w.tasks) == "direct":
        source, planes = w.at(n.inputs[0]), w.layout(n.inputs[0])
        places, stride = taps_at(window, planes, taps), planes.plane
    else:
        table = tap_phases(window)
        phases, slots = np.unique([table[tuple(t)] for t in taps.tolist()], return_inverse=True)
        channels = np.repeat(np.arange(x.channels), len(phases))
        source, planes, _ = split(w, n, window, channels, np.tile(phases, x.channels), -LARGEST if largest else 0.0)
        places, stride = slots * planes.plane + taps_at(window, planes, taps), planes.plane * len(phases)
    scale, scales = 1.0, "NULL"
    if isinstance(op, AvgPool):
        counts = op.counts(x.shape[1:])
        scale = float(1 / counts.reshape(-1)[0])
        if (counts != counts.reshape(-1)[0]).any():
            by_place = np.zeros(rounded(layout.span), np.float32)
            by_place[Layout(counts.shape, layout.strides[1:], 0).places()] = 1 / counts
            scales = w.array("scales", by_place)
    to = w.make(n.name)
    mask, tail = mask_of(layout)
    struct = w.struct(
        "ep_pool", "pool", w.array("taps", places.astype(np.int32)), len(places), x.channels, stride,
        layout.span, layout.plane, tail, mask, scale, scales,
    )  # fmt: skip
    w.step("ep_pool_max" if largest else "ep_pool_sum", struct, source, to, w.scratch("mask", table_floats(layout)))


def _single_pool(w: Writer, n: Task, op: MaxPool | AvgPool, window: Window) -> None:
    x = w.layout(n.inputs[0])
    inside = np.ones((1,) * len(window.axes), np.int64) * 0
    for axis, (a, s) in enumerate(zip(window.axes, x.strides[1:], strict=True)):
        reads = np.array([r * s for r in a.reach if 0 <= r < a.size], np.int64)
        inside = inside + reads.reshape([-1 if i == axis else 1 for i in range(len(window.axes))])
    places = inside.reshape(-1)
    if isinstance(op, MaxPool):
        taps = w.array("taps", places.astype(np.int32))
        to = w.make(n.name)
        w.step("ep_gather_max", taps, str(len(places)), str(x.sizes[0]), str(x.strides[0]), w.at(n.inputs[0]), to, "1")
        return
    scale = np.float32(1 / op.counts(x.sizes[1:]).reshape(-1)[0])
    channels = np.arange(x.sizes[0])
    outs = np.repeat(channels, len(places))
    reads = (channels[:, None] * x.strides[0] + places).reshape(-1)
    write_linear(w, n, outs, reads, np.full(len(outs), scale), None)


@lower(Mean)
def _(w: Writer, n: Task) -> None:
    x = w.layout(n.inputs[0])
    if len(x.sizes) > 4:
        raise lower.refusal(n, "it has a mean over at most three axes; export to ONNX instead")
    axes = list(zip(x.sizes, x.strides, x.sizes, strict=True))[1:]
    scale = 1.0 / float(np.prod(x.sizes[1:]))
    view = w.exact_view_of([(x.sizes[0], x.strides[0], 0, 1)], [(n_, s, 0, 0) for n_, s, _ in axes])
    w.step("ep_mean", view, repr(np.float32(scale).item()) + "f", w.at(n.inputs[0]), w.make(n.name))


@lower(AdaptiveAvgPool, AdaptiveMaxPool)
def _(w: Writer, n: Task) -> None:
    x, out = w.layout(n.inputs[0]), w.layout(n.name)
    to = w.make(n.name)
    w.clear(n.name)
    spatial = [(size, a, 0, b) for size, a, b in zip(x.sizes[1:], x.strides[1:], out.strides[1:], strict=True)]
    view = w.exact_view_of([(x.sizes[0], x.strides[0], 0, out.strides[0])], spatial)
    places = np.array([*[1] * (3 - len(spatial)), *out.sizes[1:]], np.int32)
    kernel = "ep_adaptive_max" if isinstance(n.op, AdaptiveMaxPool) else "ep_adaptive"
    w.step(kernel, view, w.array("places", places), w.at(n.inputs[0]), to)
