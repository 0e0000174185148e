"""Whether an artifact computes what the network did: the same inputs through both, and through the graph between them.

The **relative error** of two tensors is the largest difference over the largest magnitude of the one compared with, over all
samples. The **top-1 agreement** is the part of the samples whose largest output is the same one. Where the two largest outputs
of the reference lie closer together than float32 rounding of both can move them (2e-5 of the largest magnitude, less under a
stricter tolerance), the sample is a **tie**: either answer is right there, and a different one is counted but does not fail.
A tolerance wider than that is for the values only: another top-1 that is no tie fails all the same.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np

from .errors import CheckFailed, EdgepruneError
from .graph import Array, Graph, Shape

TOLERANCE = 1e-5
# Rounding of the graph itself is measured on so many samples: it is an explanation, not a check.
ROUNDING_SAMPLES = 16
# What the graph's values may take while it runs.
BATCH_BYTES = 2**26
LARGEST_BATCH = 256


class Runs(Protocol):
    """A loaded artifact; `edgeprune.formats.load` makes one."""

    def run(self, *arrays: Array) -> Sequence[Array]:
        """The outputs `[batch, ...]` for these inputs, in the graph's order and layout."""


@dataclass(frozen=True)
class Place:
    """Where two tensors differ most."""

    output: str
    sample: int
    index: Shape
    found: float
    expected: float

    def __str__(self) -> str:
        index = ", ".join(map(str, self.index))
        return f"sample {self.sample}, output {self.output}[{index}]: {self.found:.9g} instead of {self.expected:.9g}"


@dataclass(frozen=True)
class Pair:
    """One side compared with another, over all outputs."""

    name: str  # "artifact vs reference"
    max_relative_error: float  # inf where an output is not finite or where zeros alone were expected and not found
    worst: Place | None  # None without a difference
    nonfinite: int  # outputs that are NaN or infinite on either side
    compared: int  # samples whose top-1 was compared; 0 for outputs that are no class scores
    disagreements: int  # another top-1, though the reference is clear about it
    tied_disagreements: int  # another top-1 where the reference holds a tie
    ties: int  # all samples where it does
    classes: int  # how many different classes the reference names; one alone makes agreement mean little

    @property
    def top1_agreement(self) -> float | None:
        """The fraction of samples with the same top-1, ties counted as they fell; None without class scores."""
        return None if not self.compared else 1 - (self.disagreements + self.tied_disagreements) / self.compared

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types; an infinite error is null, and `nonfinite` or `worst` says why."""
        worst = self.worst
        return {
            "name": self.name,
            "max_relative_error": self.max_relative_error if math.isfinite(self.max_relative_error) else None,
            "top1_agreement": self.top1_agreement,
            "disagreements": self.disagreements,
            "tied_disagreements": self.tied_disagreements,
            "ties": self.ties,
            "classes": self.classes,
            "nonfinite": self.nonfinite,
            "worst": None
            if worst is None
            else {
                "output": worst.output,
                "sample": worst.sample,
                "index": list(worst.index),
                "found": worst.found if math.isfinite(worst.found) else str(worst.found),
                "expected": worst.expected if math.isfinite(worst.expected) else str(worst.expected),
            },
        }


@dataclass(frozen=True)
class Parity:
    """How far artifact, graph and reference agree, pair by pair."""

    samples: int
    tolerance: float
    pairs: tuple[Pair, ...]
    rounding: float  # the graph's own relative error from computing in float32, on a few of the samples

    @property
    def max_relative_error(self) -> float:
        """The worst of the pairs."""
        return max(pair.max_relative_error for pair in self.pairs)

    @property
    def top1_agreement(self) -> float | None:
        """The worst of the pairs; None when no output holds class scores."""
        found = [pair.top1_agreement for pair in self.pairs]
        return min((each for each in found if each is not None), default=None)

    @property
    def passed(self) -> bool:
        return all(pair.max_relative_error <= self.tolerance and not pair.disagreements for pair in self.pairs)

    def check(self) -> Parity:
        """Itself. Raises CheckFailed naming the first pair that does not agree, by how much, and where."""
        for pair in self.pairs:
            if pair.nonfinite:
                raise CheckFailed(f"{pair.name}: {pair.nonfinite} values are NaN or infinite; first at {pair.worst}")
            if not pair.max_relative_error <= self.tolerance:
                raise CheckFailed(
                    f"{pair.name}: relative error {pair.max_relative_error:.3g} is above {self.tolerance:.3g}, "
                    f"worst at {pair.worst} ({self.samples} samples; float32 rounding alone makes {self.rounding:.1g})"
                )
            if pair.disagreements:
                raise CheckFailed(
                    f"{pair.name}: another top-1 on {pair.disagreements} of {pair.compared} samples that are no ties, worst at "
                    f"{pair.worst} (relative error {pair.max_relative_error:.3g}, tolerance {self.tolerance:.3g})"
                )
        return self

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types."""
        error = self.max_relative_error
        return {
            "passed": self.passed,
            "samples": self.samples,
            "tolerance": self.tolerance,
            "max_relative_error": error if math.isfinite(error) else None,
            "top1_agreement": self.top1_agreement,
            "rounding": self.rounding if math.isfinite(self.rounding) else None,
            "pairs": [pair.to_dict() for pair in self.pairs],
        }


def verify(
    artifact: str | os.PathLike[str] | Runs,
    graph: Graph,
    inputs: Array | Sequence[Array],
    *,
    reference: Array | Sequence[Array] | None = None,
    tolerance: float = TOLERANCE,
) -> Parity:
    """Runs the inputs through the artifact in its real runtime and through the graph in numpy, and compares, batch by batch.

    inputs: `[samples, *shape]`, one array per graph input. reference: what the network made of them, one array per output; with
    it three pairs are compared, without it only artifact and graph. The result is returned whether it is good or not:
    `.check()` raises CheckFailed. Raises EdgepruneError for inputs or references that do not fit.
    """
    if not (math.isfinite(tolerance) and tolerance > 0):
        raise EdgepruneError(f"tolerance {tolerance} is no positive number; {TOLERANCE:g} suits float32")
    arrays = _arrays(inputs)
    samples = _check_inputs(graph, arrays)
    references = None if reference is None else _arrays(reference)
    if references is not None:
        _check_reference(graph, references, samples)
    runner = _load(artifact) if isinstance(artifact, (str, os.PathLike)) else artifact
    sides = (
        [("artifact", "graph")]
        if references is None
        else [("artifact", "reference"), ("artifact", "graph"), ("graph", "reference")]
    )
    comparisons = {names: _Comparison(graph, names, tolerance) for names in sides}
    for rows in _batches(graph, samples):
        part = [a[rows] for a in arrays]
        made = graph.run(*part)
        outputs = {
            "graph": [made] if isinstance(made, np.ndarray) else list(made),
            "artifact": [np.asarray(a) for a in runner.run(*part)],
            "reference": [] if references is None else [a[rows] for a in references],
        }
        for (found, expected), comparison in comparisons.items():
            comparison.add(rows.start, outputs[found], outputs[expected])
    pairs = tuple(comparison.result() for comparison in comparisons.values())
    return Parity(samples, tolerance, pairs, _rounding(graph, arrays))


def random_inputs(graph: Graph, samples: int, seed: int = 0) -> tuple[Array, ...]:
    """`samples` smooth, varied inputs for every graph input: `[samples, *shape]`, float32, the same for the same seed.

    White noise is what networks average away: random ones answer it with nearly the same output every time, and comparing the
    largest output would show nothing. So each sample is a coarse random pattern drawn large, with its own level and contrast.
    """
    random = np.random.default_rng(seed)
    made = []
    for value in graph.inputs.values():
        smooth = len(value.shape) == 1
        coarse = [min(n, 5) if i != value.axis or smooth else n for i, n in enumerate(value.shape)]
        pattern = random.standard_normal((samples, *coarse))
        for axis, size in enumerate(value.shape):
            if coarse[axis] != size:
                pattern = np.moveaxis(np.moveaxis(pattern, axis + 1, -1) @ _stretch(coarse[axis], size), -1, axis + 1)
        each = (samples, *(1 for _ in value.shape))
        contrast = np.exp(random.uniform(np.log(0.2), np.log(2.0), each))
        level = random.standard_normal(each) * 0.5
        grain = random.standard_normal((samples, *value.shape)) * 0.05
        made.append((level + contrast * (pattern + grain)).astype(np.float32))
    return tuple(made)


def _stretch(coarse: int, size: int) -> Array:
    """[coarse, size]: each fine place as a mix of its two coarse neighbours, blended without corners."""
    at = np.linspace(0, coarse - 1, size)
    left = np.minimum(at.astype(int), max(coarse - 2, 0))
    part = (1 - np.cos(np.pi * (at - left))) / 2
    weights = np.zeros((coarse, size))
    weights[left, np.arange(size)] = 1 - part
    weights[np.minimum(left + 1, coarse - 1), np.arange(size)] += part
    return weights


@dataclass
class _Comparison:
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


def _arrays(given: Array | Sequence[Array]) -> list[Array]:
    # A tensor of another library is one array too, and no list of its rows.
    return [np.asarray(given)] if hasattr(given, "__array__") else [np.asarray(each) for each in given]


def _check_inputs(graph: Graph, arrays: Sequence[Array]) -> int:
    if len(arrays) != len(graph.inputs):
        raise EdgepruneError(f"the graph has {len(graph.inputs)} inputs ({', '.join(graph.inputs)}), not {len(arrays)}")
    for (name, value), array in zip(graph.inputs.items(), arrays, strict=True):
        if tuple(array.shape[1:]) != value.shape or len(array) != len(arrays[0]):
            raise EdgepruneError(f"input {name} is [samples, {', '.join(map(str, value.shape))}], not {list(array.shape)}")
    if not len(arrays[0]):
        raise EdgepruneError("there are no samples to verify with; give one or more, or use random_inputs")
    return len(arrays[0])


def _check_reference(graph: Graph, references: Sequence[Array], samples: int) -> None:
    if len(references) != len(graph.outputs):
        raise EdgepruneError(f"the graph has {len(graph.outputs)} outputs, the reference {len(references)}")
    for name, array in zip(graph.outputs, references, strict=True):
        shape = graph.values[name].shape
        if tuple(array.shape) != (samples, *shape):
            raise EdgepruneError(f"reference for {name} is {list(array.shape)}, the graph makes {[samples, *shape]}")


def _batches(graph: Graph, samples: int) -> Iterator[slice]:
    """As many samples at once as keep a few of the graph's largest values within bounds."""
    largest = max(int(np.prod(value.shape, dtype=np.int64)) for value in graph.values.values())
    size = max(1, min(LARGEST_BATCH, BATCH_BYTES // (16 * largest)))
    for start in range(0, samples, size):
        yield slice(start, min(start + size, samples))


def _load(path: str | os.PathLike[str]) -> Runs:
    from .formats import load

    return load(os.fspath(path))


def _rounding(graph: Graph, arrays: Sequence[Array]) -> float:
    few = [a[:ROUNDING_SAMPLES] for a in arrays]
    single = graph.run(*few)
    double = graph.astype(np.float64).run(*(a.astype(np.float64) for a in few))
    pairs = zip(_arrays(single), _arrays(double), strict=True)
    return max(float(np.abs(s - d).max()) / (float(np.abs(d).max()) or 1.0) for s, d in pairs)
