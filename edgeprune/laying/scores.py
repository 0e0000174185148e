"""Attention, however it is written: products of queries and keys are remembered until they meet the values."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from ..graph import Array, Value
from ..ops import Attention
from .layout import BATCH_AXIS, STRETCHED, Atom, Dim, Dims, Laid, joined, per_axis, size, whole, with_scale, without_stretch
from .taking import settled, with_channels_on

if TYPE_CHECKING:
    from .trace import Trace

# The axes of scores: windows (all positions that are neither query nor key), heads, queries, keys.
WINDOWS, HEADS, QUERIES, KEYS = range(4)
# Large enough that exp underflows to nothing beside any real score, and finite.
NEVER = -1e30


@dataclass(frozen=True)
class Closed:
    """A tensor that is minus infinity where `where` is 1 and 0 where it is 0: what scores may have added to them."""

    where: Laid


@dataclass(frozen=True)
class Scores:
    """`q @ k'`, scaled and biased so far; after the softmax, what v is weighted by.

    q and k: laid out as (windows with the batch, places, heads and their channels). `dims`: where the scores' four axes lie in
    the tensor. `bias`: over the four axes, 1 where it is the same. `mask`: what depends on the input and is added to the scores
    of every head, laid out as (batch, queries or 1, keys).
    """

    q: Laid
    k: Laid
    dims: Dims
    sizes: tuple[int, int, int, int]
    scale: float = 1.0
    gain: Array | None = None
    bias: Array | None = None
    weights: bool = False
    mask: Laid | None = None
    # Where q and k are divided by their lengths: at least how long they are taken for.
    cosine: float | None = None


def flipped(x: Any) -> Any:
    """A tensor or scores with the last two dims the other way round."""
    return replace(x, dims=(*x.dims[:-2], x.dims[-1], x.dims[-2]))


def _lead(walk: Trace, at: Any, laid: Laid, dims: Sequence[Dim]) -> tuple[list[Dim], list[Atom], list[Atom]]:
    """The dims before places and channels: over the scores' axes; and the atoms of the value that are windows and heads."""
    axis = walk.values[laid.name].axis
    atoms = [a for d in dims for a in d]
    if any(a.axis == STRETCHED for a in atoms):
        raise walk.unsupported(at, "its heads share keys or values")
    windows = [a for a in atoms if a.axis not in (axis, BATCH_AXIS)]
    heads = [a for a in atoms if a.axis == axis]
    inner: dict[int, Atom] = {}
    for kind, group in ((WINDOWS, windows), (HEADS, heads)):
        step = 1
        for atom in reversed(group):
            inner[atoms.index(atom)] = Atom(kind, atom.size, step)
            step *= atom.size
    place = iter(range(len(atoms)))
    # Adjacent atoms stay apart, so that two leads compare atom by atom.
    return [tuple(inner.get(i, atoms[i]) for i in (next(place) for _ in d)) for d in dims], windows, heads


def _sequence(laid: Laid, windows: list[Atom], heads: list[Atom], places: Dim, channels: Dim) -> Laid:
    """The tensor as (windows with the batch, places, channels)."""
    batch = [a for d in laid.dims for a in d if a.axis == BATCH_AXIS]
    return replace(laid, dims=((*batch, *windows), places, joined([*heads, *channels])))


def _read(walk: Trace, at: Any, sequence: Laid) -> str:
    """What `_sequence` made, as a value."""
    # A batch fixed at one leaves the first dim to the windows, if there are any.
    return walk.take(at, sequence, 2, None if sequence.dims[0] else 0)[0]


def _apart(walk: Trace, at: Any, laid: Laid) -> Laid:
    """The same tensor of a value that has an axis for every dim: heads are windows then."""
    name, frame = walk.take(at, laid, -1)
    return frame.lay(name, walk.values[name], laid.maker)


def product(walk: Trace, at: Any, a: Laid, b: Laid) -> Scores:
    """`a @ b` where a is (..., T, C) and b is (..., C, S): the sum must run over channels of both."""
    b = flipped(b)
    floors = [None if side.unit is None or side.unit[1] != side.dims[-1] else side.unit[0] for side in (a, b)]
    if floors[0] != floors[1] or (floors[0] is None and (a.unit or b.unit)):
        a, b, floors = settled(walk, at, a), settled(walk, at, b), [None, None]
    a, b = with_channels_on(walk, at, a, -1), with_channels_on(walk, at, b, -1)
    lead_a, windows_a, heads_a = _lead(walk, at, a, a.dims[:-2])
    lead_b, windows_b, heads_b = _lead(walk, at, b, b.dims[:-2])
    if [joined(d) for d in lead_a] != [joined(d) for d in lead_b] and floors[0] is None:
        a, b = _apart(walk, at, a), _apart(walk, at, b)
        lead_a, windows_a, heads_a = _lead(walk, at, a, a.dims[:-2])
        lead_b, windows_b, heads_b = _lead(walk, at, b, b.dims[:-2])
    if [joined(d) for d in lead_a] != [joined(d) for d in lead_b]:
        raise walk.unsupported(at, "the heads or the windows of its two sides do not line up")
    q = _sequence(a, windows_a, heads_a, a.dims[-2], a.dims[-1])
    k = _sequence(b, windows_b, heads_b, b.dims[-2], b.dims[-1])
    sizes = (size(windows_a), size(heads_a), size(a.dims[-2]), size(b.dims[-2]))
    dims = (*(joined(d) for d in lead_a), whole(QUERIES, sizes[QUERIES]), whole(KEYS, sizes[KEYS]))
    q, k = (replace(side, scale=1.0, unit=None) for side in (q, k))
    return Scores(q, k, dims, sizes, a.scale * b.scale, cosine=floors[0])


def scaled(walk: Trace, at: Any, scores: Scores, factor: Any) -> Scores:
    """The scores times a number, or times one number a head."""
    if scores.weights:
        raise walk.unsupported(at, "it scales attention weights after their softmax")
    if scores.mask is not None:
        raise walk.unsupported(at, "it scales attention scores after a mask was added; scale them first")
    if not isinstance(factor, np.ndarray | int | float):
        raise walk.unsupported(at, "it scales attention scores by what depends on the input")
    if np.size(factor) == 1:
        single = float(np.reshape(factor, ()))
        bias = None if scores.bias is None else scores.bias * scores.bias.dtype.type(single)
        return replace(scores, scale=scores.scale * single, bias=bias)
    factor = np.asarray(factor, walk.dtype_of(at))
    over = per_axis(factor, scores.dims, range(4), scores.sizes)
    if over is None or any(n != 1 for i, n in enumerate(over.shape) if i != HEADS):
        raise walk.unsupported(at, "it scales attention scores by more than one number a head")
    bias = None if scores.bias is None else scores.bias * over
    gain = over.reshape(-1) if scores.gain is None else scores.gain * over.reshape(-1)
    return replace(scores, gain=gain, bias=bias)


def biased(walk: Trace, at: Any, scores: Scores, bias: Any) -> Scores:
    """The scores plus a constant."""
    if scores.weights or not isinstance(bias, np.ndarray | int | float):
        raise walk.unsupported(at, "it adds to attention scores what depends on the input, or adds after their softmax")
    if np.size(bias) == 1:
        return scores  # one number for all is nothing to the softmax
    bias = np.asarray(bias)
    over = per_axis(bias, scores.dims, range(4), scores.sizes)
    if over is None:
        raise walk.unsupported(at, f"a bias of shape {tuple(bias.shape)} does not fit the scores")
    over = np.maximum(over, NEVER) if over.dtype.kind == "f" else over.astype(np.float32)
    return replace(scores, bias=over if scores.bias is None else np.maximum(scores.bias + over, NEVER))


def masked(walk: Trace, at: Any, scores: Scores, mask: Any, fill: float) -> Scores:
    """The scores with `fill` where the mask is true: the same as minus infinity, as long as something is left."""
    if isinstance(mask, np.ndarray) and mask.dtype.kind == "b" and fill <= -1e4 and not scores.weights:
        over = per_axis(mask, scores.dims, range(4), scores.sizes)
        if over is not None and not over.all(axis=KEYS).any():
            return biased(walk, at, scores, np.where(mask, np.float32(NEVER), np.float32(0)))
    raise walk.unsupported(at, "it fills attention scores by a mask that is no constant, or leaves a query without keys")


def plus(walk: Trace, at: Any, scores: Scores, other: Any) -> Scores:
    """The scores plus a constant or plus what depends on the input."""
    return added(walk, at, scores, other) if isinstance(other, Laid | Closed) else biased(walk, at, scores, other)


def added(walk: Trace, at: Any, scores: Scores, mask: Laid | Closed) -> Scores:
    """The scores plus what depends on the input, the same for every head: the mask of padded sequences."""
    if scores.weights or scores.mask is not None:
        raise walk.unsupported(at, "it adds to attention scores after their softmax, or twice what depends on the input")
    laid = with_scale(mask.where, NEVER) if isinstance(mask, Closed) else mask
    dims = without_stretch(laid.dims)
    dims = ((),) * (len(scores.dims) - len(dims)) + dims
    *lead, queries, keys = dims
    of_queries, of_keys = (whole(kind, scores.sizes[kind]) for kind in (QUERIES, KEYS))
    ours = (size(queries) in (1, size(of_queries)), size(keys) == size(of_keys), scores.dims[-2:] == (of_queries, of_keys))
    batch = tuple(a for d in lead for a in d)
    if any(a.axis != BATCH_AXIS for a in batch) or not all(ours):
        raise walk.unsupported(at, "what it adds to attention scores differs by head or window, or not by key")
    return replace(scores, mask=replace(laid, dims=(batch, queries, keys)))


def normalised(walk: Trace, at: Any, scores: Scores, dim: int) -> Scores:
    """The softmax of the scores."""
    if scores.dims[dim] != whole(KEYS, scores.sizes[KEYS]) or scores.weights:
        raise walk.unsupported(at, "the softmax of attention scores runs over something else than the keys, once")
    return replace(scores, weights=True)


def weighted(walk: Trace, at: Any, scores: Scores, v: Laid) -> Laid:
    """`scores @ v`, scores (..., T, S) after the softmax and v (..., S, D): the attention."""
    if not scores.weights:
        raise walk.unsupported(at, "attention scores meet the values before a softmax")
    if scores.dims[-1] != whole(KEYS, scores.sizes[KEYS]) or scores.dims[-2] != whole(QUERIES, scores.sizes[QUERIES]):
        raise walk.unsupported(at, "attention scores lie otherwise than queries x keys")
    v = with_channels_on(walk, at, v, -1)
    lead, windows, heads = _lead(walk, at, v, v.dims[:-2])
    if tuple(joined(d) for d in lead) != scores.dims[:-2] and scores.sizes[HEADS] == 1:
        v = _apart(walk, at, v)
        lead, windows, heads = _lead(walk, at, v, v.dims[:-2])
    if tuple(joined(d) for d in lead) != scores.dims[:-2]:
        raise walk.unsupported(at, "the heads or the windows of scores and values do not line up")
    v = _sequence(v, windows, heads, v.dims[-2], v.dims[-1])
    op = Attention(scores.sizes[HEADS], scores.scale, _stored(scores), scores.gain, scores.cosine)
    read = (scores.q, scores.k, v) if scores.mask is None else (scores.q, scores.k, v, scores.mask)
    name = walk.emit(op, [_read(walk, at, x) for x in read], at)
    return _result(walk.values[name], name, scores, lead, at)


def _stored(scores: Scores) -> Array | None:
    """The bias as the op keeps it: [windows, heads or 1, queries, keys], without windows when they are alike."""
    if scores.bias is None:
        return None
    windows, heads = scores.bias.shape[:2]
    full = np.broadcast_to(scores.bias, (windows, heads, *scores.sizes[2:]))
    return np.ascontiguousarray(full if windows > 1 else full[0], np.float32 if full.dtype.kind != "f" else full.dtype)


def _result(value: Value, name: str, scores: Scores, lead: Sequence[Dim], at: Any) -> Laid:
    """What attention gives, laid out as the scores were, channels last."""
    axis = value.axis
    each = value.channels // scores.sizes[HEADS]

    def moved(atom: Atom) -> Atom:
        if atom.axis == HEADS:
            return Atom(axis, atom.size, atom.inner * each)
        return Atom(0, atom.size, atom.inner) if atom.axis == WINDOWS else atom

    dims = [tuple(moved(a) for a in d) for d in lead]
    return Laid(name, (*dims, whole(axis - 1, scores.sizes[QUERIES]), whole(axis, each)), at)


def attended(walk: Trace, at: Any, q: Laid, k: Laid, v: Laid, scale: float, mask: Any, causal: bool) -> Laid:
    """Attention in one call, q, k and v (..., places, channels). A boolean mask is true where a query may look."""
    scores = scaled(walk, at, product(walk, at, q, flipped(k)), scale)
    if causal:
        scores = masked(walk, at, scores, ~np.tri(scores.sizes[QUERIES], scores.sizes[KEYS], dtype=bool), -np.inf)
    if isinstance(mask, np.ndarray) and mask.dtype.kind == "b":
        scores = masked(walk, at, scores, ~mask, -np.inf)
    elif mask is not None:
        scores = plus(walk, at, scores, mask)
    return weighted(walk, at, normalised(walk, at, scores, -1), v)
