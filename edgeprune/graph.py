"""The graph: all that anything after torch speaks.

Words used everywhere: a **value** flows between nodes; a **node** is one op in one place; a **channel** is one index of a value's
channel axis (a neuron, as the graph sees it); **weight** is a parameter's element and also the array of a layer. Shapes leave the
batch axis out; arrays that run through a graph carry it in front. Nothing here is mutated: a change is a new object.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import numpy as np

Array = np.ndarray[Any, Any]
Mask = np.ndarray[Any, np.dtype[np.bool_]]
Shape = tuple[int, ...]


@dataclass(frozen=True)
class Value:
    """What flows between nodes: a shape without the batch axis, and which of its axes counts channels."""

    shape: Shape
    axis: int = 0

    @property
    def channels(self) -> int:
        return self.shape[self.axis]

    @property
    def positions(self) -> int:
        """How many places each channel has: 1 for a vector, H*W for a map."""
        return int(np.prod(self.shape, dtype=np.int64)) // max(self.channels, 1)

    def with_channels(self, channels: int) -> Value:
        return Value((*self.shape[: self.axis], channels, *self.shape[self.axis + 1 :]), self.axis)


@dataclass(frozen=True, eq=False)
class Op:
    """What an operation means. The defaults are the safe answer: a barrier that needs all it reads and keeps all it has.

    Masks and constants are per channel. `ins` are the values the op reads, before any removal.
    """

    # Whether an input that has no live channel may be left out.
    optional_inputs: ClassVar[bool] = False

    def value(self, *ins: Value) -> Value:
        """The value the op makes of its inputs. Raises ValueError when it cannot take them."""
        raise NotImplementedError

    def run(self, *arrays: Array) -> Array:
        """What the op means, in numpy, batch axis in front: the truth every format is tested against."""
        raise NotImplementedError

    def constant(self, ins: Sequence[Value], *constants: Array) -> Array:
        """Per output channel, the constant it holds whatever the input; NaN where it varies."""
        return np.full(self.value(*ins).channels, np.nan)

    def needs(self, ins: Sequence[Value], out: Mask) -> tuple[Mask, ...]:
        """Per input, the channels that the output channels in `out` depend on."""
        return tuple(np.full(v.channels, bool(out.any())) for v in ins)

    def ties(self, ins: Sequence[Value], out: Mask, *live: Mask) -> tuple[Mask, ...]:
        """(out, *live), grown by the channels that must exist as well so that the op can be kept on them.

        About existence only: a channel may have to exist for its shape while nothing depends on what it holds.
        """
        everything = bool(out.any()) or any(bool(m.any()) for m in live)
        return (out | everything, *(m | everything for m in live))

    def keep(self, ins: Sequence[Value], out: Mask, *live: Mask) -> Op:
        """The same op on the channels that survive. Only called with masks that `ties` leaves alone."""
        if not (out.all() and all(m.all() for m in live)):
            raise AssertionError(f"{type(self).__name__} was asked to lose channels and does not know how")
        return self

    def silence(self, unneeded: Mask) -> Op:
        """The same op, holding zero on channels that nothing depends on; self when that saves nothing."""
        return self

    def absorb(self, ins: Sequence[Value], carriers: Sequence[int | None], *constants: Array) -> Op:
        """The same function, reading as few constant channels as it can.

        `carriers` names, per input, the one constant channel that may stand for all of them where a border needs it.
        """
        return self

    def without_constants(self, ins: Sequence[Value], *constants: Array) -> tuple[Op, tuple[int, ...]] | None:
        """The op that does the same on a part of the inputs, when the rest is constant; with that part's positions."""
        return None

    def identity(self, ins: Sequence[Value]) -> bool:
        """Whether the output is the first input, unchanged."""
        return False

    def without_shift(self, ins: Sequence[Value], *missing: Array) -> tuple[Op, Array] | None:
        """The same function of inputs that lack these numbers, channel by channel, and what its output then lacks; or None."""
        return None

    def plain(self, ins: Sequence[Value]) -> tuple[tuple[Op, ...], int] | None:
        """Ops that do the same at this size, one after another, and how many inputs the first reads; None: it is plain itself."""
        return None

    def as_affine(self) -> tuple[Array, Array] | None:
        """(scale, shift) per channel when the op is `x * scale + shift`, else None."""
        return None

    def then_affine(self, scale: Array, shift: Array) -> Op | None:
        """One op that does this and then `x * scale + shift` per channel, else None."""
        return None

    def multiply_adds(self, ins: Sequence[Value]) -> int:
        """Multiply-adds of one input at dense execution; 0 for ops without weights."""
        return 0

    @property
    def arrays(self) -> dict[str, Array]:
        """The numpy parameters by field name."""
        pairs = ((f.name, getattr(self, f.name)) for f in dataclasses.fields(self))
        return {name: a for name, a in pairs if isinstance(a, np.ndarray) and a.dtype.kind == "f"}

    def astype(self, dtype: Any) -> Op:
        return dataclasses.replace(self, **{name: a.astype(dtype) for name, a in self.arrays.items()})

    def __eq__(self, other: object) -> bool:
        if self is other:
            return True
        if type(self) is not type(other):
            return NotImplemented
        for f in dataclasses.fields(self):
            a, b = getattr(self, f.name), getattr(other, f.name)
            if isinstance(a, np.ndarray) or isinstance(b, np.ndarray):
                if a is not b and not (a is not None and b is not None and np.array_equal(a, b, equal_nan=a.dtype.kind == "f")):
                    return False
            elif a != b:
                return False
        return True

    def __hash__(self) -> int:
        return hash(type(self))

    def __str__(self) -> str:
        """One line: the op, its settings, and how full its weights are."""
        parts = []
        for f in dataclasses.fields(self):
            a = getattr(self, f.name)
            if isinstance(a, np.ndarray):
                if f.name == "weight":
                    parts.append(f"weight {'x'.join(map(str, a.shape))}, {int((a != 0).sum())} nonzero")
            elif a is not None and a != f.default:
                parts.append(f"{f.name}={a}")
        return f"{type(self).__name__}({', '.join(parts)})"


def in_turn(ops: Iterable[Op], *arrays: Array) -> Array:
    """What ops one after another make; the first reads all the arrays."""
    for op in ops:
        arrays = (op.run(*arrays),)
    return arrays[0]


@dataclass(frozen=True)
class Node:
    """One op in one place. Its name is the name of the value it makes."""

    name: str
    op: Op
    inputs: tuple[str, ...]
    source: str = ""  # the user's layer, "layer1.0.conv2", for messages


@dataclass(frozen=True)
class Graph:
    """Nodes in running order, between named inputs and outputs. `values` is worked out from the rest."""

    inputs: Mapping[str, Value]
    outputs: tuple[str, ...]
    nodes: tuple[Node, ...]
    values: Mapping[str, Value] = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        values = dict(self.inputs)
        for node in self.nodes:
            missing = [name for name in node.inputs if name not in values]
            if missing or node.name in values:
                what = f"reads {missing[0]!r} before anything makes it" if missing else "is made twice"
                raise ValueError(f"graph is out of order: {node.name!r} {what}")
            try:
                values[node.name] = node.op.value(*(values[name] for name in node.inputs))
            except (ValueError, IndexError) as error:
                shapes = ", ".join(str(values[name].shape) for name in node.inputs)
                raise ValueError(f"{node.name} = {node.op} cannot take {shapes}: {error}") from None
        for name in self.outputs:
            if name not in values:
                raise ValueError(f"graph output {name!r} is made by no node")
        object.__setattr__(self, "inputs", dict(self.inputs))
        object.__setattr__(self, "values", values)

    def with_nodes(self, nodes: Iterable[Node], outputs: Sequence[str] | None = None) -> Graph:
        """The graph with other nodes; those that no output depends on are left out."""
        nodes = tuple(nodes)
        outputs = self.outputs if outputs is None else tuple(outputs)
        wanted = set(outputs)
        used = []
        for node in reversed(nodes):
            if node.name in wanted:
                used.append(node)
                wanted.update(node.inputs)
        return Graph(self.inputs, outputs, tuple(reversed(used)))

    def at(self, *shapes: Shape) -> Graph:
        """The same nodes on inputs of other sizes. Raises ValueError where a node cannot take them."""
        if len(shapes) != len(self.inputs):
            raise ValueError(f"the graph has {len(self.inputs)} inputs, not {len(shapes)}")
        pairs = zip(self.inputs.items(), shapes, strict=True)
        return Graph({name: Value(tuple(s), v.axis) for (name, v), s in pairs}, self.outputs, self.nodes)

    def astype(self, dtype: Any) -> Graph:
        """The graph with every weight in `dtype`."""
        return Graph(self.inputs, self.outputs, tuple(dataclasses.replace(n, op=n.op.astype(dtype)) for n in self.nodes))

    def plain(self) -> Graph:
        """The same function at this input size alone, in ops that formats have words for."""
        nodes: list[Node] = []
        stands_for: dict[str, str] = {}
        for node in self.nodes:
            node = dataclasses.replace(node, inputs=tuple(stands_for.get(i, i) for i in node.inputs))
            parts = node.op.plain(self.ins(node))
            if parts is None or (not parts[0] and node.name in self.outputs):
                nodes.append(node)
                continue
            ops, reads = parts
            inputs = node.inputs[:reads]
            if not ops:
                stands_for[node.name] = inputs[0]
            for i, op in enumerate(ops):
                name = node.name if i == len(ops) - 1 else f"{node.name}.part{i}"
                nodes.append(Node(name, op, inputs, node.source))
                inputs = (name,)
        return self.with_nodes(nodes)

    @property
    def dtype(self) -> np.dtype[Any]:
        """The type of the graph's numbers: float32 unless its weights say otherwise."""
        types = [a.dtype for node in self.nodes for a in node.op.arrays.values()]
        return np.result_type(*types) if types else np.dtype(np.float32)

    def ins(self, node: Node) -> tuple[Value, ...]:
        return tuple(self.values[name] for name in node.inputs)

    @property
    def readers(self) -> dict[str, list[Node]]:
        """readers[value name]: the nodes that read it, in running order."""
        found: dict[str, list[Node]] = {name: [] for name in self.values}
        for node in self.nodes:
            for name in dict.fromkeys(node.inputs):
                found[name].append(node)
        return found

    def run(self, *arrays: Array) -> Array | tuple[Array, ...]:
        """The outputs for these inputs, each `[batch, *shape]`: one array, or a tuple when there are several outputs.

        Whole numbers and truth values become numbers of the graph's type. Raises ValueError when an input has another shape than
        the graph's.
        """
        made = self.run_all(*arrays, keep=self.outputs)
        outputs = tuple(made[name] for name in self.outputs)
        return outputs[0] if len(outputs) == 1 else outputs

    def run_all(self, *arrays: Array, keep: Sequence[str] | None = None) -> dict[str, Array]:
        """Every value by name for these inputs, or only those named in `keep` (less memory)."""
        if len(arrays) != len(self.inputs):
            raise ValueError(f"the graph has {len(self.inputs)} inputs, not {len(arrays)}")
        made: dict[str, Array] = {}
        for (name, value), array in zip(self.inputs.items(), arrays, strict=True):
            if tuple(array.shape[1:]) != value.shape:
                raise ValueError(f"input {name!r} is [batch, {', '.join(map(str, value.shape))}], not {array.shape}")
            array = np.asarray(array)
            made[name] = array.astype(self.dtype) if array.dtype.kind in "biu" else array
        last = {name: i for i, node in enumerate(self.nodes) for name in node.inputs}
        wanted = set(self.values if keep is None else keep)
        for i, node in enumerate(self.nodes):
            made[node.name] = node.op.run(*(made[name] for name in node.inputs))
            for name in set(node.inputs):
                if last[name] == i and name not in wanted:
                    del made[name]
        return {name: a for name, a in made.items() if name in wanted}

    @property
    def parameters(self) -> int:
        """How many numbers the graph stores, zeros included."""
        return sum(a.size for node in self.nodes for a in node.op.arrays.values())

    @property
    def multiply_adds(self) -> int:
        return sum(node.op.multiply_adds(self.ins(node)) for node in self.nodes)

    def __str__(self) -> str:
        """The graph as tests and people read it, a line a node."""
        lines = [f"{name}: {'x'.join(map(str, v.shape))} = input" for name, v in self.inputs.items()]
        for node in self.nodes:
            shape = "x".join(map(str, self.values[node.name].shape))
            lines.append(f"{node.name}: {shape} = {node.op} <- {', '.join(node.inputs)}")
        lines.append(f"outputs: {', '.join(self.outputs)}")
        return "\n".join(lines)
