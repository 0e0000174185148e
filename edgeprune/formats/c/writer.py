"""What every lowering writes to: constants, buffers, and the steps that run one after the other."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...graph import Array, Graph
from ..artifact import LayerEncoding
from .fuse import LARGEST, Act, Task, tasks_of
from .layout import GRAIN, Layout, Layouts, flat, layouts_of
from .plan import Buffer
from .rows import Rows
from .windows import outside

_C_TYPES = {"float32": "float", "int32": "int32_t", "uint16": "uint16_t", "uint8": "uint8_t"}


@dataclass(frozen=True)
class Place:
    """Memory a step reads or writes: a buffer, a constant's name, or "in" and "out" with the number of the graph's value."""

    base: Buffer | tuple[str, int] | str
    offset: int = 0

    def __add__(self, floats: int) -> Place:
        return Place(self.base, self.offset + floats)


@dataclass(frozen=True)
class Step:
    """A call of a kernel. Arguments are C text, or memory."""

    kernel: str
    arguments: tuple[str | Place, ...]
    task: str


@dataclass(frozen=True)
class Constant:
    name: str
    declaration: str  # "static const float model_0_values[12]"
    text: str  # between the braces


class Writer:
    """Turns a graph into constants, buffers and steps. One use."""

    def __init__(self, graph: Graph, prefix: str, optimize: str) -> None:
        self.graph, self.prefix, self.optimize = graph, prefix, optimize
        self.tasks = tasks_of(graph)
        self.layouts: Layouts = layouts_of(graph, self.tasks)
        self.constants: list[Constant] = []
        self.buffers: list[Buffer] = []
        self.steps: list[Step] = []
        self.encodings: list[LayerEncoding] = []
        self.stored: list[dict[str, Any]] = []
        self.places: dict[str, Place] = {}
        self._outside = outside(graph)
        # Of the nodes, for a task may do the same by an op of another form.
        self._multiply_adds = {node.name: node.op.multiply_adds(graph.ins(node)) for node in graph.nodes}
        self.task = 0  # the number of the one being written
        self._flattened: dict[str, Place] = {}
        self._named: dict[tuple[str, str], str] = {}
        self._used: Counter[str] = Counter()
        self._last_reader = {name: i for i, task in enumerate(self.tasks) for name in (*task.inputs, task.residual) if name}
        for i, name in enumerate(graph.inputs):
            self.places[name] = Place(("in", i))

    # -- values ----------------------------------------------------------------------------------------------------

    def layout(self, name: str) -> Layout:
        return self.layouts.values[name] if name not in self._outside else flat(self.graph.values[name].shape)

    def at(self, name: str) -> Place:
        """Where the first element of a value lies."""
        return self.places[name]

    def flat_at(self, name: str) -> Place:
        """Where a value lies as numpy would lay it, after a copy if it does not."""
        layout = self.layout(name)
        if layout.contiguous:
            return self.at(name)
        if name not in self._flattened:
            self._flattened[name] = self.scratch(f"{name} in one piece", int(np.prod(layout.sizes)))
            self.copy(layout, self.at(name), flat(layout.sizes), self._flattened[name])
        return self._flattened[name]

    def scratch(self, name: str, floats: int) -> Place:
        self.buffers.append(Buffer(name, floats))
        return Place(self.buffers[-1])

    def make(self, name: str, over: Sequence[str] = ()) -> Place:
        """Memory for a value that this task makes; that of a value in `over` where nothing needs that one any more."""
        layout = self.layout(name)
        for other in over:
            if self._free_to_overwrite(other) and self.layout(other) == layout:
                self.places[name] = self.places[other]
                return self.places[name]
        outputs = self.graph.outputs
        if name in outputs and layout.contiguous and not layout.planes:
            self.places[name] = Place(("out", outputs.index(name)))
        else:
            self.places[name] = self.scratch(name, layout.floats) + layout.front
            if layout.front:
                self.step("ep_fill", self.places[name] + -layout.front, str(layout.front), "0.0f")
        return self.places[name]

    def alias(self, name: str, of: Place) -> None:
        """The value is memory that is there already."""
        self.places[name] = of

    def _free_to_overwrite(self, name: str) -> bool:
        base = self.places[name].base
        if not isinstance(base, Buffer):
            return False
        sharing = [n for n, place in self.places.items() if place.base is base]
        return all(self._last_reader.get(n, -1) <= self.task and n not in self.graph.outputs for n in sharing)

    def clear(self, name: str) -> None:
        """Zeroes all of a value's memory, for kernels that write elements alone."""
        layout = self.layout(name)
        if layout.zeros:
            self.step("ep_fill", self.at(name) + -layout.front, str(layout.floats), "0.0f")

    # -- constants and steps ---------------------------------------------------------------------------------------

    def array(self, what: str, numbers: Array) -> str:
        """The C name of a constant array; equal ones are stored once. An empty one is one zero: C has no empty arrays."""
        numbers = np.ascontiguousarray(numbers).reshape(-1)
        c_type = _C_TYPES[numbers.dtype.name]
        text = number_text(numbers) or "0"
        return self._constant(f"static const {c_type} {{}}[{max(numbers.size, 1)}]", what, text)

    def rows(self, rows: Rows, indices: dict[str, Array]) -> dict[str, str]:
        """The C names of the constants that hold rows of weights, by field."""
        fields = {"values": rows.values, **indices, "rows": rows.rows, "bias": rows.bias, "groups": rows.groups}
        return {field: self.array(field, a) for field, a in fields.items()}

    def struct(self, c_type: str, what: str, *fields: str | int | float) -> str:
        """A pointer to a constant struct. Numbers are written as they are; texts are C already."""
        text = ", ".join(f if isinstance(f, str) else float_text(f) if isinstance(f, float) else str(f) for f in fields)
        return f"&{self._constant(f'static const {c_type} {{}}', what, text)}"

    def _constant(self, declaration: str, what: str, text: str) -> str:
        key = (declaration, text)
        if key not in self._named:
            what = f"{self.prefix}_{self.task}_{what}"
            self._used[what] += 1
            name = what if self._used[what] == 1 else f"{what}{self._used[what]}"
            self._named[key] = name
            self.constants.append(Constant(name, declaration.format(name), text))
        return self._named[key]

    def step(self, kernel: str, *arguments: str | Place) -> None:
        for argument in arguments:
            if isinstance(argument, Place) and isinstance(argument.base, Buffer):
                argument.base.touch(len(self.steps))
        self.steps.append(Step(kernel, arguments, self.tasks[self.task].name if self.task < len(self.tasks) else "outputs"))

    # -- what many ops share ---------------------------------------------------------------------------------------

    def copy(self, layout: Layout, source: Place, made: Layout, to: Place) -> None:
        if layout.contiguous and made.contiguous:
            size = int(np.prod(layout.sizes))
            view = self.view((size,), (1,), (0,), (1,))
        else:
            view = self.view(layout.sizes, layout.strides, (0,) * len(layout.sizes), made.strides)
        self.step("ep_copy", view, source, to)

    def view(self, sizes: Sequence[int], into: Sequence[int], other: Sequence[int], out: Sequence[int]) -> str:
        """A pointer to an ep_view, axes joined where they can be and filled up to four."""
        return self.exact_view(joined(zip(sizes, into, other, out, strict=True)))

    def exact_view(self, axes: Sequence[Sequence[int]]) -> str:
        """A pointer to an ep_view of these (size, in, other, out), ones in front up to four."""
        if len(axes) > 4:
            raise ValueError(f"its elements lie along {len(axes)} axes, and the kernel walks four; export to ONNX instead")
        axes = [*([(1, 0, 0, 0)] * (4 - len(axes))), *axes]
        return self.struct("ep_view", "view", *("{" + ", ".join(map(str, part)) + "}" for part in zip(*axes, strict=True)))

    def view_with_last(self, axis: int, x: Layout, out: Layout) -> str:
        """An ep_view of a whole value whose last axis is `axis`, and the others three at most."""
        axes = list(zip(x.sizes, x.strides, [0] * len(x.sizes), out.strides, strict=True))
        last = axes.pop(axis)
        return self.exact_view([*joined(axes), last])

    def exact_view_of(self, first: Sequence[Sequence[int]], rest: Sequence[Sequence[int]]) -> str:
        """An ep_view whose first axis is `first` and whose last ones are `rest`, ones between."""
        return self.exact_view([*first, *[(1, 0, 0, 0)] * (3 - len(rest)), *rest])

    def encoded(self, task: Task, encoding: str, stored: int, reason: str, **where: Any) -> None:
        """Says how the weight of a task is stored; `where` is what reading.py decodes it by."""
        weight: Array = task.op.arrays["weight"]
        nonzeros = int((weight != 0).sum())
        shape = tuple(weight.shape)
        ins = [self.graph.values[name] for name in task.inputs]
        dense = self._multiply_adds[task.node]
        said = {"layer": task.name, "node": task.node, "shape": list(shape), "encoding": encoding, "bytes": stored}
        said["in_groups"] = getattr(task.op, "groups", 1)
        said["multiply_adds"] = dense if encoding == "dense" else round(dense * nonzeros / max(weight.size, 1))
        said["moves"] = 4 * sum(int(np.prod(value.shape)) for value in (*ins, self.graph.values[task.name]))
        self.stored.append({**said, **where})
        self.encodings.append(LayerEncoding(task.name, task.source, shape, encoding, nonzeros, weight.size, stored, reason))


def joined(axes: Iterable[tuple[int, ...]]) -> list[tuple[int, ...]]:
    """(size, stride, stride, ...) axes, as few as walk the same elements in the same order."""
    found: list[tuple[int, ...]] = []
    for axis in axes:
        if axis[0] == 1:
            continue
        if found and all(found[-1][k] == axis[k] * axis[0] for k in range(1, len(axis))):
            found[-1] = (found[-1][0] * axis[0], *axis[1:])
        else:
            found.append(axis)
    return found


def mask_of(layout: Layout) -> tuple[str, int]:
    """(ep_mask text, tail) that keep a map's border zero; no mask where there is none."""
    if not layout.zeros:
        return "{0, 1, 1, 1}", 0
    sizes, strides = layout.sizes[1:], layout.strides[1:]
    tail = layout.plane - layout.span
    if len(sizes) == 1:
        return "{0, 1, 1, 1}", tail
    pitch, width = strides[-2], sizes[-1]
    period, rows = (pitch, 1) if len(sizes) == 2 else (strides[0], sizes[1])
    return (f"{{{period}, {pitch}, {width}, {rows}}}" if (period, pitch) != (width, width) else "{0, 1, 1, 1}"), tail


def table_floats(layout: Layout) -> int:
    """Floats that the mask of a layout takes as a table."""
    period = layout.strides[1] if len(layout.sizes) > 2 else 0
    return period + 8 * GRAIN if layout.zeros and period else 1


def act_text(act: Act | None) -> str:
    if act is None:
        return "{EP_NONE, 0.0f, 0.0f}"
    if act == Act(0.0, LARGEST):
        return "{EP_ACT_RELU, 0.0f, 0.0f}"
    return f"{{EP_ACT_CLAMP, {bound_text(act.low)}, {bound_text(act.high)}}}"


def float_text(x: float) -> str:
    """A float32 as C reads it back exactly. Raises ValueError for what C99 has no literal for."""
    if not np.isfinite(x):
        raise ValueError(f"{x} is not a finite number")
    text = f"{np.float32(x):.9g}"
    return f"{text}f" if "." in text or "e" in text else f"{text}.0f"


def bound_text(x: float) -> str:
    """A bound; one that bounds nothing is the largest number there is."""
    return float_text(float(np.clip(x, -LARGEST, LARGEST)))


def number_text(numbers: Array) -> str:
    if numbers.dtype.kind != "f":
        return ",".join(map(str, numbers.tolist()))
    # Nine digits are enough for every float32; most need fewer.
    return ",".join(map(float_text, numbers.tolist()))


def activated(task: Task) -> str:
    return f"(ep_act){act_text(task.act)}"


def without_residual(task: Task) -> Task:
    return dataclasses.replace(task, residual=None, act=None)
