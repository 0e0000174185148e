"""Where the elements of each value lie in memory.

A vector or a sequence lies as numpy would lay it. A map lies in **planes**, one a channel: its rows have the pitch of every map
that a kernel may walk in step with it, and zeros stand between rows and planes where a window reads beyond the edge. The zeros
after a row serve as those before the next one, and likewise those between planes, so that a border is stored once.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from ...graph import Array, Graph, Shape, Value
from .fuse import Task
from .windows import Window, is_map, outside, source_of, window_of

# Planes end on a multiple of this many floats: a whole vector of the widest target fits behind the last place. EP_GRAIN in ep.h.
GRAIN = 16


def rounded(n: int) -> int:
    return -(-n // GRAIN) * GRAIN


@dataclass(frozen=True)
class Layout:
    """Floats from one element to the next along each axis of a value; `front` floats come before the first element."""

    sizes: Shape
    strides: Shape
    floats: int  # in all
    front: int = 0
    zeros: bool = False  # whether everything that is no element must be zero
    planes: bool = False

    @property
    def contiguous(self) -> bool:
        expected = 1
        for size, stride in zip(reversed(self.sizes), reversed(self.strides), strict=True):
            if size != 1 and stride != expected:
                return False
            expected *= size
        return True

    @property
    def span(self) -> int:
        """Places of one plane from its first element to its last, what lies between rows included."""
        return 1 + sum((n - 1) * s for n, s in zip(self.sizes[1:], self.strides[1:], strict=True))

    @property
    def plane(self) -> int:
        return self.strides[0]

    def places(self, channels: Array | None = None) -> Array:
        """Where each element lies after the first one, in the shape of the value."""
        return sum(  # type: ignore[return-value]
            np.arange(n).reshape([-1 if i == axis else 1 for i in range(len(self.sizes))]) * s
            for axis, (n, s) in enumerate(zip(self.sizes, self.strides, strict=True))
        )


def flat(shape: Shape) -> Layout:
    strides = tuple(int(np.prod(shape[i + 1 :], dtype=np.int64)) for i in range(len(shape)))
    return Layout(shape, strides, int(np.prod(shape, dtype=np.int64)))


def in_planes(shape: Shape, pitches: Sequence[int], before: Sequence[int], gaps: Sequence[int]) -> Layout:
    """Planes for channels and spatial axes.

    `pitches`: for each spatial axis but the first, how many places one step of the axis before it takes. `before`: how far
    windows read before the first place of each axis; `gaps`: how many zeros stand between the end of an axis and its next one.
    """
    sizes = shape[1:]
    strides = [1]
    for pitch in reversed(pitches):
        strides.insert(0, strides[0] * pitch)
    span = 1 + sum((n - 1) * s for n, s in zip(sizes, strides, strict=True))
    plane = max((sizes[0] + gaps[0]) * strides[0], span)
    zeros = any(gaps)
    plane = rounded(max(plane, rounded(span)))
    front = rounded(sum(b * s for b, s in zip(before, strides, strict=True)))
    return Layout(shape, (plane, *strides), front + shape[0] * plane + GRAIN, front, zeros, True)


@dataclass
class _Pitches:
    """Values that are walked in step, and how long their axes must be."""

    parents: dict[str, str] = field(default_factory=dict)
    extents: dict[str, list[int]] = field(default_factory=dict)

    def find(self, name: str) -> str:
        while self.parents.setdefault(name, name) != name:
            name = self.parents[name]
        return name

    def unite(self, names: Iterable[str]) -> None:
        first, *rest = (self.find(n) for n in names)
        for other in rest:
            if self.find(other) != self.find(first):
                self.parents[self.find(other)] = self.find(first)

    def stretch(self, name: str, extents: Sequence[int]) -> None:
        have = self.extents.setdefault(name, list(extents))
        self.extents[name] = [max(a, b) for a, b in zip(have, extents, strict=True)]

    def of(self, name: str) -> list[int]:
        root = self.find(name)
        members = [self.extents[n] for n in self.extents if self.find(n) == root]
        return [max(axis) for axis in zip(*members, strict=True)]


def in_arena(graph: Graph) -> dict[str, Value]:
    """The maps that kernels may walk in planes."""
    lie_elsewhere = outside(graph)
    return {name: v for name, v in graph.values.items() if is_map(v) and name not in lie_elsewhere}


@dataclass(frozen=True)
class Layouts:
    """The layout of every value, and of the planes that are made of a task's input before its window reads them."""

    values: Mapping[str, Layout]
    sources: Mapping[str, Layout]  # by the name of the task's output


def layouts_of(graph: Graph, tasks: Sequence[Task]) -> Layouts:
    """Gives the same pitch to maps that a window, a sum or an elementwise op connects, and a border where a window needs one."""
    pitches = _Pitches()
    borders = {name: ([0] * (len(v.shape) - 1), [0] * (len(v.shape) - 1)) for name, v in in_arena(graph).items()}
    made: dict[str, Window] = {}
    for task in tasks:
        out = graph.values[task.name]
        if task.name not in borders:
            continue
        maps = [name for name in task.inputs if name in borders]
        window = window_of(task, graph.values[task.inputs[0]])
        if window is None:
            pitches.unite([task.name, *(n for n in maps if graph.values[n].shape[1:] == out.shape[1:])])
            continue
        if task.residual:
            pitches.unite([task.name, task.residual])
        if source_of(window, task, graph, tasks) == "direct":
            pitches.unite([task.name, task.inputs[0]])
            before, after = borders[task.inputs[0]]
            before[:] = [max(a, b) for a, b in zip(before, window.before, strict=True)]
            after[:] = [max(a, b) for a, b in zip(after, window.after, strict=True)]
        else:
            made[task.name] = window
            pitches.stretch(
                f"{task.name}'s source",
                [n + max(b, a) for n, b, a in zip(window.sizes, window.before, window.after, strict=True)],
            )
            pitches.unite([task.name, f"{task.name}'s source"])
    for name, (before, after) in borders.items():
        sizes = graph.values[name].shape[1:]
        pitches.stretch(name, [n + max(b, a) for n, b, a in zip(sizes, before, after, strict=True)])
    values = {}
    for name, value in graph.values.items():
        if name in borders:
            before, after = borders[name]
            gaps = [max(b, a) for b, a in zip(before, after, strict=True)]
            values[name] = in_planes(value.shape, pitches.of(name)[1:], before, gaps)
        else:
            values[name] = flat(value.shape)
    sources = {}
    for name, window in made.items():
        gaps = [max(b, a) for b, a in zip(window.before, window.after, strict=True)]
        sources[name] = in_planes((1, *window.sizes), pitches.of(name)[1:], window.before, gaps)
    return Layouts(values, sources)
