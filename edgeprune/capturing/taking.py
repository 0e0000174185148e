"""From a tensor's layout to a value the graph can compute on: the rearrangement its reader needs, if any."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from torch import fx

from ..graph import Op
from ..ops import Affine, Flatten, Normalize, Rearrange, Select
from .layout import (
    BATCH_AXIS,
    STRETCHED,
    Atom,
    Dim,
    Dims,
    Frame,
    Laid,
    atoms_by_axis,
    canonical,
    channel_dim,
    dtype_of,
    joined,
    size,
)
from .naming import LEAVES, base_name

if TYPE_CHECKING:
    from .walk import Walk


def prepared(walk: Walk, op: Op, name: str, at: fx.Node) -> str:
    """An op that brings a value into the form its reader needs: named after the view that asked for it, never as a layer."""
    own = type(op).__name__.lower() if at.op != "call_function" or base_name(at) in LEAVES else ""
    return walk.emit(op, [name], at, own)


def natural_channel(walk: Walk, laid: Laid) -> int | None:
    """The dim of the tensor that holds the value's channels; None where they are spread over several."""
    value = walk.values[laid.name]
    if laid.dims == canonical(value.shape):
        return value.axis + 1
    return channel_dim(laid.dims, value)


def settled(walk: Walk, node: fx.Node, laid: Laid) -> Laid:
    """The tensor with nothing pending: factors and lengths are nodes of the graph now."""
    at = laid.maker or node
    if laid.scale != 1.0:
        value = walk.values[laid.name]
        scale = np.full(value.channels, laid.scale, dtype_of(at))
        ref = prepared(walk, Affine(scale, np.zeros_like(scale), value.axis), laid.name, at)
        laid = Laid(ref, laid.dims, laid.maker, 1.0, laid.unit)
    if laid.unit is not None:
        value = walk.values[laid.name]
        if channel_dim(laid.dims, value) != len(laid.dims) - 1:
            raise walk.unsupported(node, "it divides by a length over something else than all channels")
        ref = prepared(walk, Normalize(value.axis, laid.unit), laid.name, at)
        laid = Laid(ref, laid.dims, laid.maker)
    return laid


def take(walk: Walk, node: fx.Node, laid: Laid, channel: int | None) -> tuple[str, Frame]:
    """The value whose axes are the tensor's dims (without the batch) and whose channel axis is the dim `channel`.

    Emits the Select, Flatten or Rearrange that makes it, once for all its readers.
    """
    if channel is None:
        channel = natural_channel(walk, laid)
    if channel is None:
        # Any dim will do for who does not care; the last is where sequences keep their channels.
        channel = len(laid.dims) - 1
    channel %= len(laid.dims)
    key = (laid, channel)
    if key not in walk.taken:
        walk.taken[key] = _take(walk, node, settled(walk, node, laid), channel)
    return walk.taken[key]


def _take(walk: Walk, node: fx.Node, laid: Laid, channel: int) -> tuple[str, Frame]:
    at = laid.maker or node
    if any(a.axis == STRETCHED for d in laid.dims for a in d):
        raise walk.unsupported(node, "it repeats a value along an axis; let broadcasting do that")
    if sum(a.axis == BATCH_AXIS for d in laid.dims for a in d) != 1:
        raise walk.unsupported(node, "its input has lost the batch")
    axes: list[Dim] = []
    frame: list[tuple[int, bool, int | None]] = []
    for dim in laid.dims:
        rest = tuple(a for a in dim if a.axis != BATCH_AXIS)
        if len(rest) == len(dim):
            frame.append((1, False, len(axes)))
            axes.append(dim)
            continue
        place = next(i for i, a in enumerate(dim) if a.axis == BATCH_AXIS)
        frame.append((size(dim[:place]), True, len(axes) if rest else None))
        if rest:
            axes.append(rest)
    axis = frame[channel][2]
    if axis is None:
        raise walk.unsupported(node, "nothing but the batch is left of it; keep an axis of size 1 (keepdim=True)")
    return _arrange(walk, laid.name, [joined(a) for a in axes], axis, at), Frame(tuple(frame))


def _arrange(walk: Walk, name: str, axes: list[Dim], axis: int, at: fx.Node) -> str:
    """A value with these axes, each a list of atoms of the value `name`; channels on `axis`."""
    value = walk.values[name]
    mine = [a for a in axes[axis] if a.axis == value.axis]
    if len(mine) > 1:
        others = [a for a in axes[axis] if a.axis != value.axis]
        ordered = joined([*mine, *others])
        if ordered != axes[axis]:
            # Channels and places alternate: bring the channels together, then put the result in order.
            first = _arrange(walk, name, [ordered if i == axis else a for i, a in enumerate(axes)], axis, at)
            labels = _labels([*mine, *others], axes[axis])
            return prepared(walk, Select(labels, axis), first, at)
        return _arrange(walk, *_gathered(walk, name, axes, mine, at), axis, at)
    if value.axis == axis and len(axes) == len(value.shape) and all(
        atoms == ((Atom(i, n),) if n > 1 else ()) for i, (atoms, n) in enumerate(zip(axes, value.shape, strict=True))
    ):
        return name
    flat = [a for atoms in axes for a in atoms]
    if value.axis == 0 and len(axes) == 1 and flat == [Atom(i, n) for i, n in enumerate(value.shape) if n > 1]:
        return prepared(walk, Flatten(), name, at)
    by_axis = atoms_by_axis((tuple(flat),), len(value.shape))
    split: list[tuple[int, ...]] = []
    for i, atoms in enumerate(by_axis):
        # The factor that grows with the value: the channels that stay channels, the outermost of places.
        free = next((a for a in atoms if a in mine), atoms[0] if atoms else None) if i == value.axis else next(iter(atoms), None)
        split.append(tuple(-1 if a == free else a.size for a in atoms))
    listed = [a for atoms in by_axis for a in atoms]
    op = Rearrange(tuple(split), tuple(listed.index(a) for a in flat), tuple(len(a) for a in axes), value.axis, axis)
    return prepared(walk, op, name, at)


def _labels(present: list[Atom], wanted: Dim) -> np.ndarray:  # type: ignore[type-arg]
    """Where to find, in a list ordered by the atoms `present`, the elements in the order of the atoms `wanted`."""
    grid = np.arange(size(present)).reshape([a.size for a in present])
    return grid.transpose([present.index(a) for a in wanted]).reshape(-1)


def _gathered(walk: Walk, name: str, axes: list[Dim], mine: list[Atom], at: fx.Node) -> tuple[str, list[Dim]]:
    """The value with its channels in another order, so that the atoms `mine` are one; and the axes on it."""
    value = walk.values[name]
    atoms = atoms_by_axis(tuple(axes), len(value.shape))[value.axis]
    others = [a for a in atoms if a not in mine]
    name = prepared(walk, Select(_labels(atoms, (*others, *mine)), value.axis), name, at)
    one = Atom(value.axis, size(mine), 1)
    moved: dict[Atom, Atom] = {}
    inner = one.size
    for atom in reversed(others):
        moved[atom] = Atom(value.axis, atom.size, inner)
        inner *= atom.size
    result: list[Dim] = []
    for dim in axes:
        kept = [moved.get(a, a) for a in dim if a not in mine]
        if any(a in mine for a in dim):
            kept.insert(dim.index(mine[0]), one)
        result.append(tuple(kept))
    return name, result


def with_channels_on(walk: Walk, node: fx.Node, laid: Laid, dim: int) -> Laid:
    """The tensor over a value whose channel axis is the one that the dim's elements come from: another reading, nothing moves."""
    value = walk.values[laid.name]
    axes = {a.axis for a in laid.dims[dim]}
    if axes <= {value.axis}:
        return laid
    if len(axes) > 1 or min(axes) < 0:
        name, frame = take(walk, node, laid, dim)
        return frame.lay(name, walk.values[name], laid.maker)
    (axis,) = axes
    split = tuple((-1,) if n > 1 else () for n in value.shape)
    order = tuple(range(sum(len(f) for f in split)))
    op = Rearrange(split, order, tuple(len(f) for f in split), value.axis, axis)
    return Laid(prepared(walk, op, laid.name, laid.maker or node), laid.dims, laid.maker, laid.scale, laid.unit)


def without_stretch(dims: Dims) -> Dims:
    """The layout with repeated dims of size 1 again."""
    return tuple(tuple(a for a in d if a.axis != STRETCHED) for d in dims)
