"""Attention over sequences."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from ..graph import Array, Mask, Op, Value


@dataclass(frozen=True, eq=False)
class Attention(Op):
    """softmax(q k' * scale + bias) v, head by head. Reads q (..., T, C), k (..., S, C) and v (..., S, D), gives (..., T, D).

    The channels lie on the last axis, head after head, as many in each. `bias`: [heads or 1, T, S], or [windows, heads or 1,
    T, S] for values (windows, T, C). `gain`: one more factor a head for the scores. With `cosine` each head of q and k is
    divided by its length, at least `cosine`. `pairs` marks the channels of q and k whose product counts; None is all of them.
    `scale` is a number of the trained network: it stays when channels go.

    A fourth value (T or 1, S), if there is one, is added to the scores of every head and window: the mask of a padded sequence,
    say. Its channels are the keys, which all stay.
    """

    heads: int
    scale: float
    bias: Array | None = None
    gain: Array | None = None
    cosine: float | None = None
    pairs: Array | None = None  # bool, [C]

    def value(self, *ins: Value) -> Value:
        q, k, v, *mask = ins
        if any(x.axis != len(x.shape) - 1 or len(x.shape) < 2 for x in ins):
            raise ValueError("expected sequences with the channels on the last axis")
        if q.channels != k.channels or q.channels % self.heads or v.channels % self.heads:
            raise ValueError(f"q, k and v of {q.channels}, {k.channels} and {v.channels} channels are not {self.heads} heads")
        if q.shape[:-2] != k.shape[:-2] or k.shape[:-1] != v.shape[:-1]:
            raise ValueError("q, k and v differ in more than their channels and q's length")
        if self.bias is not None:
            want = (*q.shape[:-2], self.heads, q.shape[-2], k.shape[-2])
            try:
                fits = np.broadcast_shapes(self.bias.shape, want) == want
            except ValueError:
                fits = False
            if not fits:
                raise ValueError(f"the bias is {self.bias.shape}, the scores are {want}")
        if mask and mask[0].shape not in ((1, k.shape[-2]), (q.shape[-2], k.shape[-2])):
            raise ValueError(f"the mask is {mask[0].shape}, the scores of a head are {(q.shape[-2], k.shape[-2])}")
        return Value((*q.shape[:-1], v.channels), q.axis)

    def _by_head(self, x: Array) -> Array:
        """[..., T, C] as [..., heads, T, C / heads]."""
        return np.moveaxis(x.reshape(*x.shape[:-1], self.heads, x.shape[-1] // self.heads), -2, -3)

    def run(self, *arrays: Array) -> Array:
        q, k, v, *mask = arrays
        if self.pairs is not None:
            q = q * self.pairs.astype(q.dtype)
            # What does not count must not be part of a length either.
            k = k * self.pairs.astype(k.dtype) if self.cosine is not None else k
        q, k, v = self._by_head(q), self._by_head(k), self._by_head(v)
        if self.cosine is not None:
            q, k = (x / np.maximum(np.sqrt(np.square(x).sum(-1, keepdims=True)), self.cosine) for x in (q, k))
        scores = (q * q.dtype.type(self.scale)) @ np.swapaxes(k, -1, -2)
        if self.gain is not None:
            scores *= self.gain[:, None, None]
        if self.bias is not None:
            scores = scores + self.bias
        if mask:
            scores = scores + mask[0].reshape(len(mask[0]), *(1,) * (scores.ndim - 3), *mask[0].shape[1:])
        scores -= scores.max(-1, keepdims=True)
        np.exp(scores, out=scores)
        scores /= scores.sum(-1, keepdims=True)
        y: Array = np.moveaxis(scores @ v, -3, -2)
        return y.reshape(*y.shape[:-2], -1)

    def _pairs(self, channels: int) -> Mask:
        return np.ones(channels, bool) if self.pairs is None else self.pairs

    def _heads_of(self, mask: Mask) -> Mask:
        return np.asarray(mask.reshape(self.heads, -1).any(1))

    def constant(self, ins: Sequence[Value], *constants: Array) -> Array:
        # Every row of the softmax sums to one.
        return constants[2]

    def needs(self, ins: Sequence[Value], out: Mask) -> tuple[Mask, ...]:
        channels = ins[0].channels
        both = np.repeat(self._heads_of(out), channels // self.heads) & self._pairs(channels)
        return both, both, out, *(np.full(mask.channels, bool(out.any())) for mask in ins[3:])

    def ties(self, ins: Sequence[Value], out: Mask, *live: Mask) -> tuple[Mask, ...]:
        q, k, v, *mask = live
        both, through = q | k, v | out
        alive = self._heads_of(both) | self._heads_of(through)
        both, through = _even(alive, both), _even(alive, through)
        return through, both, both, through, *(np.ones_like(m) for m in mask)

    def keep(self, ins: Sequence[Value], out: Mask, *live: Mask) -> Op:
        alive = self._heads_of(out)
        pairs = None if self.pairs is None or self.pairs[live[0]].all() else self.pairs[live[0]]
        bias = self.bias
        if bias is not None and bias.shape[-3] > 1:
            bias = np.compress(alive, bias, -3)
        gain = None if self.gain is None else self.gain[alive]
        return replace(self, heads=int(alive.sum()), bias=bias, gain=gain, pairs=pairs)

    def absorb(self, ins: Sequence[Value], carriers: Sequence[int | None], *constants: Array) -> Op:
        q, k = constants[:2]
        if self.cosine is None:
            # A constant of k adds the same to every score of a row, which the softmax takes out again.
            idle = (q == 0) | ~np.isnan(k)
        else:
            idle = (q == 0) & (k == 0)
        pairs = self._pairs(len(q))
        if not (idle & pairs).any():
            return self
        return replace(self, pairs=pairs & ~idle)

    def without_constants(self, ins: Sequence[Value], *constants: Array) -> tuple[Op, tuple[int, ...]] | None:
        if len(ins) < 4 or np.isnan(constants[3]).any():
            return None
        if (constants[3] == constants[3].flat[0]).all():
            return self, (0, 1, 2)  # the same for every score, which the softmax takes out again
        if self.bias is None and ins[0].shape[-2] > 1:
            return None  # a bias holds a number for every pair of places, the constant one for each place that is looked at
        bias = np.broadcast_to(constants[3], (1, ins[0].shape[-2], ins[1].shape[-2]))
        return replace(self, bias=np.array(bias) if self.bias is None else self.bias + bias), (0, 1, 2)

    def multiply_adds(self, ins: Sequence[Value]) -> int:
        q, k, v = ins[:3]
        return q.positions * k.shape[-2] * (q.channels + v.channels)


def _even(alive: Mask, mask: Mask) -> Mask:
    """The mask, grown until every head that is alive has as many channels as the fullest one, at least one."""
    by_head = mask.reshape(len(alive), -1).copy()
    want = max(int(by_head[alive].sum(1).max(initial=0)), 1)
    for head in np.flatnonzero(alive):
        spare = np.flatnonzero(~by_head[head])
        by_head[head, spare[: want - int(by_head[head].sum())]] = True
    return by_head.reshape(-1)
