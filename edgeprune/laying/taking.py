"""From a tensor's layout to a value the graph can compute on: the rearrangement its reader needs, if any."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from ..graph import Array
from ..ops import Affine, Flatten, Normalize, Rearrange, Select
from .layout import BATCH_AXIS, STRETCHED, Atom, Dim, Frame, Laid, atoms_by_axis, canonical, channel_dim, joined, reshaped, size

if TYPE_CHECKING:
    from .trace import Trace

# Where an axis of size 1 stands for a batch that is fixed at one: the first there is.
FIRST = -1


def natural_channel(walk: Trace, laid: Laid) -> int | None:
    """The dim of the tensor that holds the value's channels; None where they are spread over several."""
    value = walk.values[laid.name]
    if laid.dims == canonical(value.shape, walk.batch):
        return value.axis + 1
    return channel_dim(laid.dims, value)


def settled(walk: Trace, at: Any, laid: Laid) -> Laid:
    """The tensor with nothing pending: factors and lengths are nodes of the graph now."""
    maker = laid.maker or at
    if laid.scale != 1.0:
        value = walk.values[laid.name]
        scale = np.full(value.channels, laid.scale, walk.dtype_of(maker))
        name = walk.prepare(Affine(scale, np.zeros_like(scale), value.axis), laid.name, maker)
        laid = Laid(name, laid.dims, laid.maker, 1.0, laid.unit)
    if laid.unit is not None:
        laid = _divided(walk, at, laid, *laid.unit)
    return laid


def _divided(walk: Trace, at: Any, laid: Laid, floor: float, atoms: Dim) -> Laid:
    """The tensor over its length along the atoms, which must be a dim or the inner part of the last one."""
    dims, shape = laid.dims, laid.shape
    if atoms not in dims:
        apart = reshaped(dims, (*shape[:-1], shape[-1] // size(atoms), size(atoms))) if shape[-1] % size(atoms) == 0 else None
        if apart is None or apart[-1] != atoms:
            raise walk.unsupported(at, "it takes apart what is divided by its length")
        dims = apart
    maker = laid.maker or at
    name, frame = take(walk, maker, Laid(laid.name, dims, laid.maker), dims.index(atoms))
    name = walk.prepare(Normalize(walk.values[name].axis, floor), name, maker)
    made = frame.lay(name, walk.values[name], laid.maker)
    back = reshaped(made.dims, shape)
    assert back is not None
    return Laid(name, back, laid.maker)


def take(walk: Trace, at: Any, laid: Laid, channel: int | None, batch_at: int | None = FIRST) -> tuple[str, Frame]:
    """The value whose axes are the tensor's dims (without the batch) and whose channel axis is the dim `channel`.

    Emits the Select, Flatten or Rearrange that makes it, once for all its readers. `batch_at` picks the dim that stands for a
    batch fixed at one; None says that none does.
    """
    if channel is None:
        channel = natural_channel(walk, laid)
    if channel is None:
        # Any dim will do for who does not care; the last is where sequences keep their channels.
        channel = len(laid.dims) - 1
    channel %= len(laid.dims)
    if walk.batch:
        batch_at = None
    elif batch_at == FIRST:
        single = (i for i, dim in enumerate(laid.dims) if not dim and i != channel)
        batch_at = next(single, None)
    key = (laid, channel, batch_at)
    if key not in walk.taken:
        walk.taken[key] = _take(walk, at, settled(walk, at, laid), channel, batch_at)
    return walk.taken[key]


def _take(walk: Trace, at: Any, laid: Laid, channel: int, batch_at: int | None) -> tuple[str, Frame]:
    maker = laid.maker or at
    if any(a.axis == STRETCHED for d in laid.dims for a in d):
        raise walk.unsupported(at, "it repeats a value along an axis; let broadcasting do that")
    if walk.batch and sum(a.axis == BATCH_AXIS for d in laid.dims for a in d) != 1:
        raise walk.unsupported(at, "its input has lost the batch")
    axes: list[Dim] = []
    frame: list[tuple[int, bool, int | None]] = []
    for i, dim in enumerate(laid.dims):
        if not walk.batch and i == batch_at:
            frame.append((1, True, None))
            continue
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
        raise walk.unsupported(at, "nothing but the batch is left of it; keep an axis of size 1 (keepdim=True, keepdims=1)")
    return _arrange(walk, laid.name, [joined(a) for a in axes], axis, maker), Frame(tuple(frame), walk.batch)


def _arrange(walk: Trace, name: str, axes: list[Dim], axis: int, at: Any) -> str:
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
            return walk.prepare(Select(labels, axis), first, at)
        return _arrange(walk, *_gathered(walk, name, axes, mine, at), axis, at)
    if value.axis == axis and len(axes) == len(value.shape) and all(
        atoms == ((Atom(i, n),) if n > 1 else ()) for i, (atoms, n) in enumerate(zip(axes, value.shape, strict=True))
    ):
        return name
    flat = [a for atoms in axes for a in atoms]
    if value.axis == 0 and len(axes) == 1 and flat == [Atom(i, n) for i, n in enumerate(value.shape) if n > 1]:
        return walk.prepare(Flatten(), name, at)
    by_axis = atoms_by_axis((tuple(flat),), len(value.shape))
    split: list[tuple[int, ...]] = []
    for i, atoms in enumerate(by_axis):
        # The factor that grows with the value: the channels that stay channels, the outermost of places.
        free = next((a for a in atoms if a in mine), atoms[0] if atoms else None) if i == value.axis else next(iter(atoms), None)
        split.append(tuple(-1 if a == free else a.size for a in atoms))
    listed = [a for atoms in by_axis for a in atoms]
    op = Rearrange(tuple(split), tuple(listed.index(a) for a in flat), tuple(len(a) for a in axes), value.axis, axis)
    return walk.prepare(op, name, at)


def _labels(present: list[Atom], wanted: Dim) -> Array:
    """Where to find, in a list ordered by the atoms `present`, the elements in the order of the atoms `wanted`."""
    grid = np.arange(size(present)).reshape([a.size for a in present])
    return grid.transpose([present.index(a) for a in wanted]).reshape(-1)


def _gathered(walk: Trace, name: str, axes: list[Dim], mine: list[Atom], at: Any) -> tuple[str, list[Dim]]:
    """The value with its channels in another order, so that the atoms `mine` are one; and the axes on it."""
    value = walk.values[name]
    atoms = atoms_by_axis(tuple(axes), len(value.shape))[value.axis]
    others = [a for a in atoms if a not in mine]
    name = walk.prepare(Select(_labels(atoms, (*others, *mine)), value.axis), name, at)
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


def with_channels_on(walk: Trace, at: Any, laid: Laid, dim: int) -> Laid:
    """The tensor over a value whose channel axis is the one that the dim's elements come from: another reading, nothing moves."""
    value = walk.values[laid.name]
    axes = {a.axis for a in laid.dims[dim]}
    if axes <= {value.axis}:
        return laid
    if len(axes) > 1 or min(axes) < 0:
        name, frame = take(walk, at, laid, dim)
        return frame.lay(name, walk.values[name], laid.maker)
    split = tuple((-1,) if n > 1 else () for n in value.shape)
    order = tuple(range(sum(len(f) for f in split)))
    op = Rearrange(split, order, tuple(len(f) for f in split), value.axis, axes.pop())
    return replace(laid, name=walk.prepare(op, laid.name, laid.maker or at))
