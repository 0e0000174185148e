"""Small graphs written by hand, and the table of cases that the golden files hold."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from edgeprune.graph import Graph, Node, Op, Shape, Value
from edgeprune.ops import Activation, Affine, BatchNorm, Conv, Linear

Step = Callable[[Graph], Graph]


@dataclass(frozen=True)
class Case:
    """One graph, the pass it is for, and whether the pass must leave it alone."""

    step: Step
    name: str
    build: Callable[[], Graph]
    left_alone: bool


CASES: list[Case] = []


def case(step: Step, *, left_alone: bool = False) -> Callable[[Callable[[], Graph]], Callable[[], Graph]]:
    """Puts a function that builds a graph into the table; its name, read aloud, is the case's."""

    def register(build: Callable[[], Graph]) -> Callable[[], Graph]:
        CASES.append(Case(step, build.__name__.replace("_", " "), build, left_alone))
        return build

    return register


def leaves_alone(step: Step) -> Callable[[Callable[[], Graph]], Callable[[], Graph]]:
    """A twin that the pass must hand back as it was."""
    return case(step, left_alone=True)


def sketch(shape: Shape, *steps: tuple[str, Op, str], outputs: Sequence[str] = ()) -> Graph:
    """A graph with one input `x`; each step is (name, op, "names it reads"). The last one is the output unless `outputs` says."""
    nodes = tuple(Node(name, op, tuple(inputs.split()), source=name) for name, op, inputs in steps)
    return Graph({"x": Value(shape)}, tuple(outputs) or (nodes[-1].name,), nodes)


def numbers(*shape: int, rows: Sequence[int] = (), columns: Sequence[int] = ()) -> np.ndarray:
    """Numbers that are nowhere zero, but in the given rows (outputs) and columns (inputs)."""
    rng = np.random.default_rng([*shape])
    array = rng.uniform(0.5, 1.5, shape) * rng.choice([-1.0, 1.0], shape)
    array[list(rows)] = 0
    if len(shape) > 1:
        array[:, list(columns)] = 0
    return array


def bias(*values: float) -> np.ndarray:
    return np.array(values, np.float64)


def conv(out: int, ins: int, kernel: int = 3, *, pad: int | None = None, b: Sequence[float] | None = None,
         rows: Sequence[int] = (), columns: Sequence[int] = (), groups: int = 1) -> Conv:  # fmt: skip
    """A square convolution, padded to keep the size unless `pad` says otherwise."""
    weight = numbers(out, ins // groups, kernel, kernel, rows=rows, columns=columns)
    p = kernel // 2 if pad is None else pad
    return Conv(weight, None if b is None else bias(*b), padding=((p, p), (p, p)), groups=groups)


def linear(
    out: int, ins: int, *, b: Sequence[float] | None = None, rows: Sequence[int] = (), columns: Sequence[int] = ()
) -> Linear:
    return Linear(numbers(out, ins, rows=rows, columns=columns), None if b is None else bias(*b))


def norm(channels: int, *, zero: Sequence[int] = ()) -> BatchNorm:
    """A batch norm whose scale is zero on some channels."""
    return BatchNorm(
        numbers(channels, rows=zero), numbers(channels) + 0.25, numbers(channels) * 0.5, np.abs(numbers(channels)) + 0.5
    )


def affine(scale: Sequence[float], shift: Sequence[float]) -> Affine:
    return Affine(bias(*scale), bias(*shift))


relu = Activation("relu")
