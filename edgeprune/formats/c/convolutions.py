"""Convolutions: windows over planes."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Sequence

import numpy as np

from ...graph import Array
from ...ops import Conv, ConvTranspose
from ...sparse import Block, by_tap
from .fuse import LARGEST, Act, Task
from .layout import GRAIN, Layout
from .linears import write_linear
from .lowerings import lower
from .rows import BLOCK, Rows, bits, packed, rows_of
from .windows import Window, is_map, never_negative, source_of, tap_phases, tap_places, transposed_window, window_of
from .writer import Place, Writer, act_text, mask_of, table_floats

# Measured, with one thread on x86, in multiply-adds of a dense layer at one place: a multiply-add with an index beside it;
# fetching an output channel's sum for a block, or finishing it, and putting it back.
INDEXED, FETCHED = 2.5, 10.0


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
    columns, at = np.unique(np.column_stack([channels, taps]), axis=0, return_inverse=True)  # what some output reads
    at = at.reshape(-1)
    form, blocks = _form(w, op, outs, at, columns, values)
    if blocks:
        channels, taps = columns[:, 0], columns[:, 1:]
    layout = w.layout(n.name)
    source, planes, slots, where = _source(w, n, window, channels, taps)
    places = planes.plane * slots + taps_at(window, planes, taps)
    bias = np.zeros(len(op.weight), np.float32) if op.bias is None else op.bias.astype(np.float32)
    # Not over what the convolution still reads.
    over = [n.residual] if n.residual and w.at(n.residual).base is not source.base else []
    to = w.make(n.name, over)
    add = w.at(n.residual) if n.residual else None
    if blocks:
        kernel, fields, stored = _blocks(w, blocks, places, bias)
    else:
        unchanged = n.act is None or (n.act == Act(0.0, LARGEST) and never_negative(n.residual or "", w.tasks))
        # Where the sum stands already, channels without weights have nothing to do.
        skip = bias == 0 if add == to and unchanged else None
        kernel, fields, stored = _sparse(w, rows_of(outs, places, values, bias, skip))
    mask, tail = mask_of(layout)
    struct = w.struct(
        "ep_blocks" if blocks else "ep_conv", "conv", *fields.values(), layout.span, layout.plane, tail, mask, act_text(n.act)
    )
    plane = w.layout(n.residual).plane if n.residual else 0
    table = w.scratch("mask", table_floats(layout))
    w.step(kernel, struct, source, "NULL" if add is None else add, str(plane), to, table)
    taps_said = _tap_table(op, window, planes)
    how = {
        "dense": f"{len(values) / op.weight.size:.0%} nonzero: faster without indices",
        "stripes": f"{len(blocks)} dense blocks of filters that keep a tap: nothing else is multiplied",
        "csr": "only nonzeros are multiplied",
    }
    w.encoded(n, form, stored, how[form], **fields, **where, plane=planes.plane, taps=taps_said)


def _form(w: Writer, op: Conv, outs: Array, at: Array, columns: Array, values: Array) -> tuple[str, tuple[Block, ...]]:
    """(the encoding, its dense blocks); CSR has none. `at` says which of `columns`, channel and tap, each value multiplies."""
    if op.groups > 1 or not len(values):
        return "csr", ()
    taps = np.unique(columns[:, 1:], axis=0, return_inverse=True)[1].reshape(-1)
    forms = {
        "csr": (),
        "dense": by_tap(outs, at, np.zeros_like(at), values),
        "stripes": by_tap(outs, at, taps[at], values),
    }
    best = min(forms, key=lambda name: cost(name, forms[name], len(op.weight), len(values), w.optimize))
    return best, forms[best]


def cost(form: str, blocks: Sequence[Block], rows: int, nonzeros: int, optimize: str) -> float:
    """What a form of `rows` outputs takes: under `optimize="memory"` bytes, or else time, in multiply-adds of full tiles.

    Under "dense" nothing, where that is the form, for it is asked for.
    """
    if optimize == "dense":
        return float(form != "dense")
    if optimize == "memory":
        in_blocks = sum(4 * (b.values.size + len(b.columns)) + 2 * len(b.rows) for b in blocks)
        return in_blocks if blocks else (4 + 1) * nonzeros + (4 + 2) * rows
    if not blocks:
        return nonzeros * INDEXED
    # A tile of one output waits for its sum before it can add to it again.
    waits = sum(len(b.columns) for b in blocks if len(b.rows) % BLOCK == 1)
    return sum(b.values.size for b in blocks) + waits + FETCHED * (rows + sum(len(b.rows) for b in blocks))


def _blocks(w: Writer, blocks: Sequence[Block], places: Array, bias: Array) -> tuple[str, dict[str, str | int], int]:
    """(the kernel, the fields of its ep_blocks, bytes); a block's columns are numbers of `places`."""
    arrays = {
        "weight": np.concatenate([packed(block.values) for block in blocks]),
        "bias": bias,
        "places": np.concatenate([places[block.columns] for block in blocks]).astype(np.int32),
        "rows": np.concatenate([block.rows for block in blocks]).astype(np.uint16),
        "blocks": np.array([block.values.shape for block in blocks], np.int32),
    }
    fields: dict[str, str | int] = {what: w.array(what, numbers) for what, numbers in arrays.items()}
    stored = sum(numbers.nbytes for what, numbers in arrays.items() if what != "bias")
    return "ep_block_conv", {**fields, "block_count": len(blocks), "row_count": len(bias)}, stored


def _sparse(w: Writer, rows: Rows) -> tuple[str, dict[str, str | int], int]:
    """(the kernel, the fields of its ep_conv, bytes)."""
    steps = rows.steps
    names = w.rows(rows, {"steps": steps, "starts": rows.starts})
    stored = sum(a.nbytes for a in (rows.values, steps, rows.starts, rows.rows, rows.groups))
    return f"ep_conv{bits(steps)}", {**names, "group_count": len(rows.groups), "row_count": len(rows.rows)}, stored


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
