"""Random layers on sequences, and on windows of maps with their channels last."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from random_builder import Builder

from edgeprune.graph import Value
from edgeprune.ops import (
    GRU,
    LSTM,
    Activation,
    Add,
    Affine,
    Attention,
    Constant,
    Cut,
    Embedding,
    FromWindows,
    Join,
    LayerNorm,
    Linear,
    Normalize,
    PadTo,
    Rearrange,
    Reduce,
    Roll,
    Take,
    ToWindows,
    WindowAttention,
)


class Sequences(Builder):
    """Values (T, C)."""

    def sequence(self, x: str) -> str:
        """(C, H, W) as (H * W, C)."""
        return self.add(Rearrange(((-1,), (-1,), (-1,)), (1, 2, 0), (2, 1), 0, 1), x)

    def tokens(self, places: int) -> str:
        """Whole numbers, looked up, with their positions."""
        x = self.input(Value((places,)), "tokens")
        width = int(self.rng.integers(2, 6))
        found = self.add(Embedding(self.sparse(4, width)), x)
        kind = int(self.rng.integers(4))
        if kind == 3:
            return self.affine(found)
        return self.add(Add(), found, self.constant(x, places, width)) if kind < 2 else found

    def constant(self, like: str, places: int, channels: int) -> str:
        token = self.numbers(places, channels)
        token[:, self.rng.random(channels) < 0.4] = 0
        return self.add(Constant(token, 1), like)

    def layer_norm(self, x: str) -> str:
        value = self.values[x]
        scale = self.numbers(value.channels)
        scale[self.rng.random(value.channels) < 0.3] = 0
        return self.add(LayerNorm(scale, self.bias(value.channels), 0.1, value.axis, self.chance(0.7)), x)

    def projections(self, x: str, source: str) -> tuple[int, list[str]]:
        """q, k and v of some heads; heads die as a whole or in part."""
        heads, of_keys, of_values = (int(n) for n in self.rng.integers(1, 4, 3))
        q = self.linear(x, heads * of_keys)
        return heads, [q, self.linear(source, heads * of_keys), self.linear(source, heads * of_values)]

    def attention(self, x: str, source: str | None = None) -> str:
        """Self-attention, or attention from x to `source`, sometimes masked by an input."""
        heads, qkv = self.projections(x, source or x)
        q, k = (self.values[name].shape for name in qkv[:2])
        bias = self.numbers(int(self.rng.choice([1, heads])), q[-2], k[-2]) if self.chance(0.5) else None
        cosine = 0.1 if self.chance(0.3) else None
        gain = self.numbers(heads) if self.chance(0.3) else None
        if self.whole and self.chance(0.3):
            qkv.append(self.mask(k[-2]))
        return self.add(Attention(heads, 0.7, bias, gain, cosine), *qkv)

    def mask(self, places: int) -> str:
        """An input of truth values that closes some places; constant now and then."""
        x = next((n for n, v in self.inputs.items() if n.startswith("mask") and v.shape == (places,)), "")
        x = x or self.input(Value((places,)), "mask")
        y = self.add(Activation("sign"), self.add(Activation("abs"), x))
        scale = np.full(places, 0.0 if self.chance(0.2) else 5.0, self.dtype)
        return self.add(Rearrange(((-1,),), (0,), (0, 1), 0, 1), self.add(Affine(scale, -scale), y))

    def windows(self, x: str) -> str:
        """Attention within windows of two places, and the sequence again."""
        places, _ = self.values[x].shape
        if places % 2:
            return self.add(Roll((1, 0)), x)
        y = self.add(Rearrange(((-1, 2), (-1,)), (0, 1, 2), (1, 1, 1), 1, 2), x)
        y = self.attention(y)
        return self.add(Rearrange(((-1,), (2,), (-1,)), (0, 1, 2), (2, 1), 2, 1), y)

    def moved_windows(self, x: str) -> str:
        """A map (H, W, C) through attention within windows that are moved."""
        window, shift = (2, 2), (int(self.rng.integers(2)), int(self.rng.integers(2)))
        if self.chance(0.3):
            x = self.add(PadTo(window), x)
        cut = self.add(ToWindows(window, shift), x)
        heads, qkv = self.projections(cut, cut)
        bias = self.numbers(heads, 4, 4) if self.chance(0.5) else None
        y = self.add(WindowAttention(heads, 0.7, bias, window=window, shift=shift), *qkv, x)
        y = self.add(FromWindows(window, shift), self.linear(y, self.values[x].channels), x)
        return self.add(Add(), x, y)

    def residual_of(self, x: str, step: Callable[[str], str]) -> str:
        y = self.linear(step(x), self.values[x].channels)
        return self.add(Add(), x, y) if self.values[y] == self.values[x] else y

    def units(self, x: str) -> str:
        return self.activation(self.linear(self.layer_norm(x)))

    def places(self, x: str) -> str:
        """Positions cut, picked, rolled; a constant added or joined; channels joined."""
        places, n = self.values[x].shape
        kind = int(self.rng.integers(7))
        if kind == 0 and places > 2:
            return self.add(Cut(0, 1, None, 2), x)
        if kind == 1:
            index = np.arange(places) if self.chance(0.3) else self.rng.integers(places, size=3)
            return self.add(Take(index, 0), x)
        if kind == 2:
            return self.add(Join(1, 1), x, self.linear(x))
        stored = self.constant(next(iter(self.inputs)), 1 if kind < 5 else places, n)
        return self.add(Join(0, 1), stored, x) if kind < 5 else self.add(Add(), x, stored)

    def over_places(self, x: str) -> str:
        """A number for all places, spread over them again."""
        kind = str(self.rng.choice(["mean", "sum", "max", "min"]))
        y = self.add(Reduce(kind, (0,), True), x)
        return self.add(Add(), x, self.activation(y))

    def recurrent(self, x: str) -> str:
        """An LSTM or GRU, some of whose units nothing enters."""
        units, kind = int(self.rng.integers(1, 5)), LSTM if self.chance(0.5) else GRU
        rows = 4 if kind is LSTM else 3
        weights = [self.sparse(rows * units, self.values[x].channels), self.sparse(rows * units, units)]
        biases = [self.numbers(rows * units), self.numbers(rows * units)]
        for array in (*weights, *biases):
            array.reshape(rows, units, -1)[2, self.rng.random(units) < 0.5] = 0
        weights[1][:, self.rng.random(units) < 0.4] = 0
        made = self.add(kind(*weights, *biases, self.chance(0.5)), x)
        # What follows reads some units only; the others may still feed those.
        reader = self.sparse(3, units)
        reader[:, self.rng.random(units) < 0.5] = 0
        return self.add(Linear(reader), made)

    def swap(self, x: str) -> str:
        """Channels and places change their roles and come back."""
        y = self.add(Rearrange(((-1,), (-1,)), (1, 0), (1, 1), 1, 1), x)
        y = self.linear(y, self.values[y].channels)
        return self.add(Rearrange(((-1,), (-1,)), (1, 0), (1, 1), 1, 1), y)

    def vector(self, x: str) -> str:
        """A sequence as a vector: its mean, its first place, or all of it."""
        kind = int(self.rng.integers(4))
        if kind == 0:
            return self.add(Reduce("mean", (0,)), x)
        if kind == 1:
            return self.add(Rearrange(((), (-1,)), (0,), (1,), 1, 0), self.add(Cut(0, 0, 1), x))
        if kind == 2:
            return self.add(Reduce("max", (0,)), self.add(Normalize(1, 0.1), x))
        return self.add(Rearrange(((-1,), (-1,)), (0, 1), (2,), 1, 0), x)
