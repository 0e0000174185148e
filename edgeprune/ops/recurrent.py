"""Recurrent layers over sequences, unrolled over time; and the lookup that feeds them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from ..graph import Array, Mask, Op, Value
from .elementwise import sigmoid


@dataclass(frozen=True, eq=False)
class Embedding(Op):
    """Row `i` of the table for every integer `i` of the input: (T,) to (T, C). weight: [rows, C]."""

    weight: Array

    def value(self, *ins: Value) -> Value:
        (x,) = ins
        return Value((*x.shape, self.weight.shape[1]), len(x.shape))

    def run(self, *arrays: Array) -> Array:
        return self.weight[arrays[0].astype(np.int64)]

    def constant(self, ins: Sequence[Value], *constants: Array) -> Array:
        same = (self.weight == self.weight[0]).all(0)
        return np.where(same, self.weight[0].astype(np.float64), np.nan)

    def needs(self, ins: Sequence[Value], out: Mask) -> tuple[Mask, ...]:
        return (np.full(ins[0].channels, bool((out & np.isnan(self.constant(ins))).any())),)

    def ties(self, ins: Sequence[Value], out: Mask, *live: Mask) -> tuple[Mask, ...]:
        # The input holds integers, whose places are no channels that could go.
        return out, np.ones_like(live[0])

    def keep(self, ins: Sequence[Value], out: Mask, *live: Mask) -> Op:
        return replace(self, weight=self.weight[:, out])

    def silence(self, unneeded: Mask) -> Op:
        if not self.weight[:, unneeded].any():
            return self
        return replace(self, weight=np.where(unneeded, self.weight.dtype.type(0), self.weight))

    def then_affine(self, scale: Array, shift: Array) -> Op | None:
        return replace(self, weight=(self.weight.astype(np.float64) * scale + shift).astype(self.weight.dtype))


@dataclass(frozen=True, eq=False)
class _Recurrent(Op):
    """(T, in) to (T, units), from a state of zeros. weight: [gates * units, in]; recurrent: [gates * units, units]."""

    weight: Array
    recurrent: Array
    bias: Array
    recurrent_bias: Array
    reverse: bool = False

    gates = 0
    # The gate that alone moves a unit away from zero.
    entry = 0

    @property
    def units(self) -> int:
        return self.recurrent.shape[1]

    def value(self, *ins: Value) -> Value:
        (x,) = ins
        if x.axis != 1 or len(x.shape) != 2 or x.channels != self.weight.shape[1]:
            raise ValueError(f"expected a sequence of {self.weight.shape[1]} channels")
        return x.with_channels(self.units)

    def run(self, *arrays: Array) -> Array:
        (x,) = arrays
        driven = x @ self.weight.T + self.bias
        state = np.zeros((2, len(x), self.units), driven.dtype)
        made = np.empty((*x.shape[:2], self.units), driven.dtype)
        steps = range(x.shape[1])
        for t in reversed(steps) if self.reverse else steps:
            state = self._step(driven[:, t], state[0] @ self.recurrent.T + self.recurrent_bias, state)
            made[:, t] = state[0]
        return made

    def _step(self, driven: Array, fed: Array, state: Array) -> Array:
        """The state (what the unit gives, what it remembers) after one step."""
        raise NotImplementedError

    def _by_gate(self, array: Array) -> Array:
        return array.reshape(self.gates, self.units, *array.shape[1:])

    def _zero_units(self, zero_inputs: Mask) -> Mask:
        """The units that stay at zero: nothing that is not zero enters them."""
        entry = self.entry
        still = ~(self._by_gate(self.weight)[entry][:, ~zero_inputs] != 0).any(1)
        still &= (self._by_gate(self.bias)[entry] == 0) & (self._by_gate(self.recurrent_bias)[entry] == 0)
        fed = self._by_gate(self.recurrent)[entry] != 0
        while True:
            less = still & ~fed[:, ~still].any(1)
            if (less == still).all():
                return still
            still = less

    def constant(self, ins: Sequence[Value], *constants: Array) -> Array:
        return np.where(self._zero_units(constants[0] == 0), 0.0, np.nan)

    def _feeding(self, units: Mask) -> Mask:
        """The units that these depend on, themselves included."""
        read = (self._by_gate(self.recurrent) != 0).any(0)
        while True:
            more = units | read[units].any(0)
            if (more == units).all():
                return units
            units = more

    def needs(self, ins: Sequence[Value], out: Mask) -> tuple[Mask, ...]:
        return ((self._by_gate(self.weight)[:, self._feeding(out)] != 0).any((0, 1)),)

    def ties(self, ins: Sequence[Value], out: Mask, *live: Mask) -> tuple[Mask, ...]:
        return self._feeding(out), live[0]

    def keep(self, ins: Sequence[Value], out: Mask, *live: Mask) -> Op:
        rows = np.tile(out, self.gates)
        return replace(
            self,
            weight=self.weight[rows][:, live[0]],
            recurrent=self.recurrent[rows][:, out],
            bias=self.bias[rows],
            recurrent_bias=self.recurrent_bias[rows],
        )

    def absorb(self, ins: Sequence[Value], carriers: Sequence[int | None], *constants: Array) -> Op:
        (c,) = constants
        held = ~np.isnan(c) & (self.weight != 0).any(0)
        zero_units = self._zero_units(c == 0) & (self.recurrent != 0).any(0)
        if not held.any() and not zero_units.any():
            return self
        zero = self.weight.dtype.type(0)
        bias = self.bias.astype(np.float64) + self.weight[:, held].astype(np.float64) @ c[held]
        return replace(
            self,
            weight=np.where(held, zero, self.weight),
            recurrent=np.where(zero_units, zero, self.recurrent),
            bias=bias.astype(self.bias.dtype),
        )

    def multiply_adds(self, ins: Sequence[Value]) -> int:
        return (self.weight.size + self.recurrent.size) * ins[0].positions


@dataclass(frozen=True, eq=False)
class LSTM(_Recurrent):
    """Long short-term memory; gates in the order input, forget, cell, output."""

    gates = 4
    entry = 2

    def _step(self, driven: Array, fed: Array, state: Array) -> Array:
        i, f, g, o = np.split(driven + fed, 4, axis=-1)
        cell = sigmoid(f) * state[1] + sigmoid(i) * np.tanh(g)
        return np.stack([sigmoid(o) * np.tanh(cell), cell])


@dataclass(frozen=True, eq=False)
class GRU(_Recurrent):
    """Gated recurrent unit; gates in the order reset, update, new. The reset gate scales what the recurrence feeds."""

    gates = 3
    entry = 2

    def _step(self, driven: Array, fed: Array, state: Array) -> Array:
        r, z, n = np.split(driven, 3, axis=-1)
        fed_r, fed_z, fed_n = np.split(fed, 3, axis=-1)
        update = sigmoid(z + fed_z)
        new = np.tanh(n + sigmoid(r + fed_r) * fed_n)
        hidden = (1 - update) * new + update * state[0]
        return np.stack([hidden, hidden])
