"""Windows: which places a convolution or a pooling reads, axis by axis, and from which planes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ...graph import Graph, Shape, Value
from ...ops import Activation, AvgPool, Constant, Conv, ConvTranspose, MaxPool, Mean, Select, Slice
from .fuse import Task


@dataclass(frozen=True)
class Axis:
    """One axis of a window: tap t at place p reads the input at p * stride + reach[t]."""

    size: int
    places: int
    stride: int
    taps: tuple[int, ...]  # those that meet the input anywhere
    reach: tuple[int, ...]  # of each of them

    @property
    def phases(self) -> tuple[int, ...]:
        """Per tap, which of the stride's places it reads."""
        return tuple(r % self.stride for r in self.reach)

    @property
    def steps(self) -> tuple[int, ...]:
        """Per tap, how many strides beyond its place."""
        return tuple(r // self.stride for r in self.reach)

    @property
    def length(self) -> int:
        """Places of one phase."""
        return -(-self.size // self.stride)

    @property
    def before(self) -> int:
        return max(0, *(-s for s in self.steps))

    @property
    def after(self) -> int:
        return max(0, *(s + self.places - self.length for s in self.steps))


@dataclass(frozen=True)
class Window:
    axes: tuple[Axis, ...]
    spread: tuple[int, ...] = ()  # for transposed convolutions: how far apart the input's places are put, zeros between

    @property
    def strided(self) -> bool:
        return any(a.stride > 1 for a in self.axes) or any(s > 1 for s in self.spread)

    @property
    def sizes(self) -> Shape:
        return tuple(a.length for a in self.axes)

    @property
    def before(self) -> Shape:
        return tuple(a.before for a in self.axes)

    @property
    def after(self) -> Shape:
        return tuple(a.after for a in self.axes)


def _axis(size: int, places: int, kernel: int, stride: int, dilation: int, before: int) -> Axis:
    # One place never takes a stride: its taps then lie in the input as it is.
    stride = 1 if places == 1 else stride
    reach = {t: t * dilation - before for t in range(kernel)}
    taps = [t for t in range(kernel) if any(0 <= p * stride + reach[t] < size for p in range(places))]
    # A window that never meets the input still needs one tap to read zeros through.
    taps = taps or [0]
    return Axis(size, places, stride, tuple(taps), tuple(reach[t] for t in taps))


def is_map(value: Value) -> bool:
    """Whether a value lies in planes: channels of more than one place."""
    return value.axis == 0 and len(value.shape) > 1 and value.positions > 1


def outside(graph: Graph) -> set[str]:
    """Values that lie as they come: the caller's inputs, and constants."""
    return {*graph.inputs, *(node.name for node in graph.nodes if isinstance(node.op, Constant))}


def window_of(task: Task, value: Value) -> Window | None:
    """The window of a task's op on its first input; None for ops that have none."""
    op = task.op
    if isinstance(op, ConvTranspose):
        return transposed_window(op, value)
    if not isinstance(op, Conv | MaxPool | AvgPool):
        return None
    places = op.value(value).shape[1:]
    pads = op.padding if isinstance(op, Conv) else op.pads(value.shape[1:])
    axes = zip(value.shape[1:], places, op.kernel, op.stride, op.dilation, pads, strict=True)
    return Window(tuple(_axis(n, p, k, s, d, before) for n, p, k, s, d, (before, _) in axes))


def transposed_window(op: ConvTranspose, value: Value) -> Window:
    """The transposed convolution as a plain one over the input with its places `stride` apart."""
    axes = []
    settings = zip(value.shape[1:], op.value(value).shape[1:], op.kernel, op.stride, op.dilation, op.padding, strict=True)
    for n, places, kernel, stride, dilation, padding in settings:
        size = (n - 1) * stride + 1
        reach = {t: padding - t * dilation for t in range(kernel)}
        taps = [t for t in range(kernel) if any(0 <= p + reach[t] < size for p in range(places))] or [0]
        axes.append(Axis(size, places, 1, tuple(taps), tuple(reach[t] for t in taps)))
    return Window(tuple(axes), op.stride)


def source_of(window: Window, task: Task, graph: Graph, tasks: Sequence[Task]) -> str:
    """How the window reads its input: "direct", or "made" planes (strides, or a border that zero is wrong for)."""
    if window.strided or task.inputs[0] in outside(graph) or not is_map(graph.values[task.inputs[0]]):
        return "made"
    padded = any(window.before) or any(window.after)
    if padded and isinstance(task.op, MaxPool) and not never_negative(task.inputs[0], tasks):
        return "made"
    return "direct"


_POSITIVE = {"relu", "relu6", "sigmoid", "hard_sigmoid", "softplus", "abs", "exp", "sqrt"}


def never_negative(name: str, tasks: Sequence[Task]) -> bool:
    """Whether the value is known to hold no negative number."""
    for task in tasks:
        if task.name == name:
            if task.act is not None:
                return task.act.low >= 0
            if isinstance(task.op, Activation):
                return task.op.kind in _POSITIVE
            if isinstance(task.op, MaxPool | AvgPool | Select | Slice | Mean):
                return never_negative(task.inputs[0], tasks)
    return False


def tap_places(window: Window, strides: Sequence[int]) -> dict[tuple[int, ...], int]:
    """tap index: floats from a place to what the tap reads, in the plane of its phase."""
    found = {}
    for index in np.ndindex(*(len(a.taps) for a in window.axes)):
        tap = tuple(a.taps[i] for a, i in zip(window.axes, index, strict=True))
        found[tap] = sum(a.steps[i] * s for a, i, s in zip(window.axes, index, strides, strict=True))
    return found


def tap_phases(window: Window) -> dict[tuple[int, ...], int]:
    """tap index: the number of the phase it reads, as ep_split counts them."""
    found = {}
    for index in np.ndindex(*(len(a.taps) for a in window.axes)):
        tap = tuple(a.taps[i] for a, i in zip(window.axes, index, strict=True))
        number = 0
        for a, i in zip(window.axes, index, strict=True):
            number = number * a.stride + a.phases[i]
        found[tap] = number
    return found
