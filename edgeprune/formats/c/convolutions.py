"""Convolutions and pooling: windows over planes."""

from __future__ import annotations

import dataclasses
import itertools

import numpy as np

from ...graph import Array
from ...ops import AdaptiveAvgPool, AdaptiveMaxPool, AvgPool, Conv, ConvTranspose, MaxPool, Mean
from .fuse import LARGEST, Act, Task
from .layout import GRAIN, Layout, rounded
from .linears import write_linear
from .lowerings import lower
from .rows import bits, rows_of
from .windows import Window, is_map, never_negative, source_of, tap_phases, tap_places, transposed_window, window_of
from .writer import Place, Writer, act_text, mask_of, table_floats


@lower(Conv)
def _(w: Writer, n: Task) -> None:
    window = window_of(n, w.graph.values[n.inputs[0]])
    assert isinstance(n.op, Conv)
    assert window is not None
    write_conv(w, n, n.op, window)


@lower(ConvTranspose)
def _(w: Writer, n: Task) -> None:
    op = n.op
    assert isinstance(op, ConvTranspose)
    window = transposed_window(op, w.graph.values[n.inputs[0]])
    by_group = op.weight.reshape(op.groups, -1, *op.weight.shape[1:])
    weight = by_group.swapaxes(1, 2).reshape(-1, by_group.shape[1], *op.kernel)
    plain = Conv(weight, op.bias, groups=op.groups)
    write_conv(w, dataclasses.replace(n, op=plain), plain, window)


def write_conv(w: Writer, n: Task, op: Conv, window: Window) -> None:
    """A convolution whose taps reach what `window` says."""
    if not is_map(w.graph.values[n.name]):
        _single(w, n, op, window)
        return
    outs, channels, taps, values = _weights(op, window)
    layout = w.layout(n.name)
    source, planes, slots, where = _source(w, n, window, channels, taps)
    places = planes.plane * slots + taps_at(window, planes, taps)
    bias = np.zeros(len(op.weight), np.float32) if op.bias is None else op.bias.astype(np.float32)
    # Not over what the convolution still reads.
    over = [n.residual] if n.residual and w.at(n.residual).base is not source.base else []
    to = w.make(n.name, over)
    add: str | Place = "NULL"
    skip = None
    if n.residual:
        add = w.at(n.residual)
        unchanged = n.act is None or (n.act == Act(0.0, LARGEST) and never_negative(n.residual, w.tasks))
        if add == to and unchanged:
            # The sum stands there already.
            skip = bias == 0
    rows = rows_of(outs, places, values, bias, skip)
    steps = rows.steps
    mask, tail = mask_of(layout)
    names = w.rows(rows, {"steps": steps, "starts": rows.starts})
    struct = w.struct(
        "ep_conv", "conv", *names.values(), len(rows.groups), len(rows.rows),
        layout.span, layout.plane, tail, mask, act_text(n.act),
    )  # fmt: skip
    plane = w.layout(n.residual).plane if n.residual else 0
    table = w.scratch("mask", table_floats(layout))
    w.step(f"ep_conv{bits(steps)}", struct, source, add, str(plane), to, table)
    stored = sum(a.nbytes for a in (rows.values, steps, rows.starts, rows.rows, rows.groups))
    w.encoded(
        n,
        "csr",
        stored,
        f"steps of {bits(steps)} bits; only nonzeros are multiplied",
        **names,
        **where,
        group_count=len(rows.groups),
        plane=planes.plane,
        taps=_tap_table(op, window, planes),
    )


def _tap_table(op: Conv, window: Window, planes: Layout) -> list[tuple[int, int, int]]:
    """(phase, place, index in the kernel) of every tap."""
    phases, places = tap_phases(window), tap_places(window, planes.strides[1:])
    return [(phases[tap], place, int(np.ravel_multi_index(tap, op.kernel))) for tap, place in places.items()]


def _weights(op: Conv, window: Window) -> tuple[Array, Array, Array, Array]:
    """(output, input channel, tap [weights, axes], value) of every nonzero weight whose tap meets the input."""
    meets = np.ones(op.kernel, bool)
    for axis, a in enumerate(window.axes):
        reached = np.isin(np.arange(op.kernel[axis]), a.taps)
        meets &= reached.reshape([-1 if i == axis else 1 for i in range(len(op.kernel))])
    found = np.nonzero((op.weight != 0) & meets)
    outs, inner, taps = found[0], found[1], np.stack(found[2:], 1)
    group = outs * op.groups // len(op.weight)
    return outs, group * op.weight.shape[1] + inner, taps, op.weight[found]


def taps_at(window: Window, layout: Layout, taps: Array) -> Array:
    """Where each tap reads, from a place on."""
    table = tap_places(window, layout.strides[1:])
    return np.array([table[tuple(t)] for t in taps.tolist()], np.int64)


def _source(w: Writer, n: Task, window: Window, channels: Array, taps: Array) -> tuple[Place, Layout, Array, dict[str, str]]:
    """(where planes begin, their layout, the plane that each weight reads, constants naming them).

    After the step that makes the planes, where they must be made.
    """
    x = n.inputs[0]
    if source_of(window, n, w.graph, w.tasks) == "direct":
        return w.at(x), w.layout(x), channels, {}
    if window.spread:
        return *_spread(w, n, window), channels, {}
    table = tap_phases(window)
    phases = np.array([table[tuple(t)] for t in taps.tolist()], np.int64)
    count = int(np.prod([a.stride for a in window.axes]))
    made, planes = np.unique(channels * count + phases, return_inverse=True)
    if not len(made):
        made = np.zeros(1, np.int64)
    place, layout, names = split(w, n, window, made // count, made % count, 0.0)
    return place, layout, planes, names


def _spread(w: Writer, n: Task, window: Window) -> tuple[Place, Layout]:
    """The input's channels with zeros between their places."""
    x, layout = w.layout(n.inputs[0]), w.layouts.sources[n.name]
    layout = dataclasses.replace(layout, floats=layout.front + x.sizes[0] * layout.plane + GRAIN)
    place = w.scratch(f"planes for {n.name}", layout.floats)
    w.step("ep_fill", place, str(layout.floats), "0.0f")
    strides = (layout.plane, *(a * b for a, b in zip(layout.strides[1:], window.spread, strict=True)))
    w.step("ep_copy", w.view(x.sizes, x.strides, [0] * len(x.sizes), strides), w.at(n.inputs[0]), place + layout.front)
    return place + layout.front, layout


def split(
    w: Writer, n: Task, window: Window, channels: Array, phases: Array, fill: float
) -> tuple[Place, Layout, dict[str, str]]:
    """Makes the planes that hold these phases of these channels; with the constants that name both."""
    x = w.layout(n.inputs[0])
    layout = w.layouts.sources[n.name]
    layout = dataclasses.replace(layout, floats=layout.front + len(channels) * layout.plane + GRAIN)
    place = w.scratch(f"planes for {n.name}", layout.floats)

    def three(numbers: tuple[int, ...], missing: int) -> list[int]:
        return [*[missing] * (3 - len(numbers)), *numbers]

    spatial = len(window.axes)
    pitches, made = three(x.strides[1:], 0), three(layout.strides[1:], 0)
    names = {"channels": w.array("channels", channels.astype(np.uint16)), "phases": "NULL"}
    if phases.any():
        names["phases"] = w.array("phases", phases.astype(np.uint8))
    struct = w.struct(
        "ep_planes", "planes", *names.values(), len(channels),
        _braces(three(x.sizes[1:], 1)), _braces(three(tuple(a.stride for a in window.axes), 1)),
        x.plane, pitches[0] if spatial > 2 else 0, pitches[1] if spatial > 1 else 0,
        layout.front, layout.plane, made[0] if spatial > 2 else 0, made[1] if spatial > 1 else 0, fill,
    )  # fmt: skip
    w.step("ep_split", struct, w.at(n.inputs[0]), place)
    return place + layout.front, layout, names


def _braces(numbers: list[int]) -> str:
    return "{" + ", ".join(map(str, numbers)) + "}"


def _single(w: Writer, n: Task, op: Conv, window: Window) -> None:
    """One output place: a fully connected layer over the places its taps meet."""
    x = w.layout(n.inputs[0])
    outs, channels, taps, values = _weights(op, window)
    spread = window.spread or (1,) * len(window.axes)
    # Between spread places there is nothing to read.
    reach = [
        {t: r // each for t, r in zip(a.taps, a.reach, strict=True) if 0 <= r < a.size and r % each == 0}
        for a, each in zip(window.axes, spread, strict=True)
    ]
    inside = np.array([all(t in r for r, t in zip(reach, tap, strict=True)) for tap in taps.tolist()], bool)
    outs, channels, taps, values = outs[inside], channels[inside], taps[inside], values[inside]
    places = channels * x.strides[0]
    for axis, (r, s) in enumerate(zip(reach, x.strides[1:], strict=True)):
        places = places + np.array([r[t] for t in taps[:, axis].tolist()], np.int64) * s
    table = []
    for tap in itertools.product(*reach):
        place = sum(r[t] * s for r, t, s in zip(reach, tap, x.strides[1:], strict=True))
        table.append((0, place, int(np.ravel_multi_index(tap, op.kernel))))
    write_linear(w, n, outs, places, values, op.bias, plane=x.strides[0], taps=table)


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
        raise lower.refusal(n, "it takes a mean over at most three axes")
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
