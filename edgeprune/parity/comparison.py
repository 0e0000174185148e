"""One pair of sides compared batch by batch."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from ..errors import CheckFailed
from ..graph import Array, Graph
from .result import Pair, Place

TOLERANCE = 1e-5


@dataclass
class Comparison:
    """Gathers one pair over the batches."""

    graph: Graph
    names: tuple[str, str]
    tolerance: float
    errors: dict[str, float] = field(default_factory=dict)
    magnitudes: dict[str, float] = field(default_factory=dict)
    places: dict[str, Place] = field(default_factory=dict)
    nonfinite: int = 0
    first_nonfinite: Place | None = None
    margins: dict[str, list[Array]] = field(default_factory=dict)
    same: dict[str, list[Array]] = field(default_factory=dict)
    classes: dict[str, set[int]] = field(default_factory=dict)

    def add(self, start: int, found: Sequence[Array], expected: Sequence[Array]) -> None:
        if len(found) != len(expected):
            raise CheckFailed(f"{self.name}: {len(found)} outputs instead of {len(expected)}")
        for name, ours, theirs in zip(self.graph.outputs, found, expected, strict=True):
            if ours.shape != theirs.shape:
                raise CheckFailed(f"{self.name}: output {name} is {list(ours.shape)} instead of {list(theirs.shape)}")
            self._add(name, start, ours.astype(np.float64), theirs.astype(np.float64))

    @property
    def name(self) -> str:
        return " vs ".join(self.names)

    def _add(self, name: str, start: int, ours: Array, theirs: Array) -> None:
        bad = ~(np.isfinite(ours) & np.isfinite(theirs))
        if bad.any():
            self.nonfinite += int(bad.sum())
            if self.first_nonfinite is None:
                self.first_nonfinite = _place(name, start, ours, theirs, int(bad.argmax()))
            ours, theirs = np.where(bad, 0, ours), np.where(bad, 0, theirs)
        difference = np.abs(ours - theirs)
        at = int(difference.argmax())
        error = float(difference.flat[at])
        if error > self.errors.get(name, 0.0):
            self.errors[name] = error
            self.places[name] = _place(name, start, ours, theirs, at)
        self.magnitudes[name] = max(self.magnitudes.get(name, 0.0), float(np.abs(theirs).max()))
        # Class scores are a vector of two entries or more.
        if theirs.ndim == 2 and theirs.shape[1] > 1:
            two = np.partition(theirs, -2, axis=1)[:, -2:]
            self.margins.setdefault(name, []).append(two[:, 1] - two[:, 0])
            self.same.setdefault(name, []).append((ours.argmax(1) == theirs.argmax(1)) & ~bad.any(1))
            self.classes.setdefault(name, set()).update(np.unique(theirs.argmax(1)).tolist())

    def relative(self, name: str) -> float:
        error, magnitude = self.errors.get(name, 0.0), self.magnitudes[name]
        if magnitude == 0:
            return 0.0 if error == 0 else math.inf
        return error / magnitude

    def result(self) -> Pair:
        worst = max(self.magnitudes, key=self.relative)
        compared = ties = tied = clear = 0
        for name, parts in self.margins.items():
            # Both scores may be off, towards each other.
            tie = np.concatenate(parts) <= 2 * min(self.tolerance, TOLERANCE) * self.magnitudes[name]
            other = ~np.concatenate(self.same[name])
            compared += len(tie)
            ties += int(tie.sum())
            tied += int((tie & other).sum())
            clear += int((~tie & other).sum())
        return Pair(
            name=self.name,
            max_relative_error=math.inf if self.nonfinite else self.relative(worst),
            worst=self.first_nonfinite or self.places.get(worst),
            nonfinite=self.nonfinite,
            compared=compared,
            disagreements=clear,
            tied_disagreements=tied,
            ties=ties,
            classes=max(map(len, self.classes.values()), default=0),
        )


def _place(name: str, start: int, ours: Array, theirs: Array, at: int) -> Place:
    sample, *index = (int(i) for i in np.unravel_index(at, theirs.shape))
    return Place(name, start + sample, tuple(index), float(ours.flat[at]), float(theirs.flat[at]))
