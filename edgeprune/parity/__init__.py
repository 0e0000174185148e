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
from typing import Protocol

import numpy as np

from ..errors import EdgepruneError
from ..formats.patterns import lookups
from ..graph import Array, Graph, Node
from .comparison import TOLERANCE, Comparison
from .result import Pair, Parity, Place

__all__ = ["TOLERANCE", "Pair", "Parity", "Place", "Runs", "random_inputs", "verify"]

# Rounding of the graph itself is measured on so many samples: it is an explanation, not a check.
ROUNDING_SAMPLES = 16
# What the graph's values may take while it runs.
BATCH_BYTES = 2**26
LARGEST_BATCH = 256


class Runs(Protocol):
    """A loaded artifact; `edgeprune.formats.load` makes one."""

    def run(self, *arrays: Array) -> Sequence[Array]:
        """The outputs `[batch, ...]` for these inputs, in the graph's order and layout."""


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
    comparisons = {names: Comparison(graph, names, tolerance) for names in sides}
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
    What a table is looked up by are whole numbers of its rows. Raises EdgepruneError where they are made to others on the way.
    """
    random = np.random.default_rng(seed)
    rows: dict[str, int] = {}
    for node, names in (looked_up := lookups(graph)):
        for name in names:
            rows[name] = min(rows.get(name, 1 << 24), len(node.op.arrays["weight"]))
    made = []
    for name, value in graph.inputs.items():
        if name in rows:
            made.append(random.integers(rows[name], size=(samples, *value.shape)).astype(np.float32))
            continue
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
    for node, names in looked_up:
        _check_rows(graph, node, names, made)
    return tuple(made)


def _check_rows(graph: Graph, node: Node, names: frozenset[str], inputs: Sequence[Array]) -> None:
    index, last = node.inputs[0], len(node.op.arrays["weight"]) - 1
    if index in graph.inputs:
        return
    before = graph.nodes[: graph.nodes.index(node)]
    found = np.asarray(Graph(graph.inputs, (index,), before).run(*inputs))
    if found.min() < 0 or found.max() > last or (found != found.round()).any():
        raise EdgepruneError(
            f"{node.source or node.name} looks up {index}, which is made of {', '.join(sorted(names))} and is not always a whole "
            f"number from 0 to {last} when that is; verify with samples of yours"
        )


def _stretch(coarse: int, size: int) -> Array:
    """[coarse, size]: each fine place as a mix of its two coarse neighbours, blended without corners."""
    at = np.linspace(0, coarse - 1, size)
    left = np.minimum(at.astype(int), max(coarse - 2, 0))
    part = (1 - np.cos(np.pi * (at - left))) / 2
    weights = np.zeros((coarse, size))
    weights[left, np.arange(size)] = 1 - part
    weights[np.minimum(left + 1, coarse - 1), np.arange(size)] += part
    return weights


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
    from ..formats import load

    return load(os.fspath(path))


def _rounding(graph: Graph, arrays: Sequence[Array]) -> float:
    few = [a[:ROUNDING_SAMPLES] for a in arrays]
    single = graph.run(*few)
    double = graph.astype(np.float64).run(*(a.astype(np.float64) for a in few))
    pairs = zip(_arrays(single), _arrays(double), strict=True)
    return max(float(np.abs(s - d).max()) / (float(np.abs(d).max()) or 1.0) for s, d in pairs)
