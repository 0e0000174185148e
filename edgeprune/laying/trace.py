"""What a capture keeps while it goes through a network: values and nodes so far, and what lowerings ask of it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..errors import Unsupported
from ..graph import Array, Graph, Node, Op, Value
from ..naming import free_name
from ..ops import Constant, Rearrange
from .layout import Dim, Frame, Laid, canonical, size
from .scores import Closed, Scores
from .taking import FIRST, natural_channel, settled, take


class Trace(ABC):
    """Values and nodes of a graph that grows. `at`, everywhere: the node of the exported program or of the file that is read.

    `batch`: the dim that the batch is; empty where it is fixed at one (see layout.py). `integers`: the inputs that hold integers.
    """

    def __init__(self, inputs: Mapping[str, Value], batch: Dim) -> None:
        self.inputs = dict(inputs)
        self.batch = batch
        self.integers: set[str] = set()
        self.values: dict[str, Value] = dict(inputs)
        self.nodes: list[Node] = []
        self.taken: dict[tuple[Laid, int, int | None], tuple[str, Frame]] = {}

    # -- what each capture answers for itself ----------------------------------------------------------------------

    @abstractmethod
    def name_of(self, at: Any, what: str) -> str:
        """What a value made at `at` would be called: after its layer, and after its op or `what`."""

    @abstractmethod
    def source_of(self, at: Any) -> str:
        """The user's layer that `at` comes from, "layer1.0.conv2"; empty where nothing says it."""

    @abstractmethod
    def unsupported(self, at: Any, why: str) -> Unsupported:
        """The refusal that names layer, op and way out."""

    @abstractmethod
    def dtype_of(self, at: Any) -> np.dtype[Any]:
        """The type of constants that `at` brings in."""

    @abstractmethod
    def weight(self, at: Any, argument: Any) -> Array:
        """A constant of the network's type, which must be there and must not depend on the input."""

    def prepare(self, op: Op, name: str, at: Any) -> str:
        """An op that brings a value into the form its reader needs."""
        return self.emit(op, [name], at)

    # -- what lowerings call ---------------------------------------------------------------------------------------

    def emit(self, op: Op, inputs: Sequence[str], at: Any, what: str = "") -> str:
        """Adds a node for `op` and returns the name of its value: the layer's, or the layer's and the op's (or `what`)."""
        name = free_name(self.name_of(at, what), self.values.__contains__)
        ins = [self.values[i] for i in inputs]
        try:
            self.values[name] = op.value(*ins)
        except ValueError as error:
            raise self.unsupported(at, f"{error} (shapes {', '.join(str(v.shape) for v in ins)})") from None
        self.nodes.append(Node(name, op, tuple(inputs), self.source_of(at)))
        return name

    def laid(self, at: Any, argument: Any, integers: bool = False) -> Laid:
        """The argument, which must be a tensor that depends on the input."""
        if isinstance(argument, Scores):
            raise self.unsupported(at, "it reads attention scores; only scaling, a constant bias, softmax and v may follow")
        if isinstance(argument, Closed):
            raise self.unsupported(at, "it reads a mask of minus infinity, which only attention scores may have added to them")
        if not isinstance(argument, Laid):
            raise self.unsupported(at, "it reads a constant where a value of the network is expected")
        if (argument.integer or argument.name in self.integers) and not integers:
            raise self.unsupported(at, "it computes with integers; they may only pick rows of a table")
        return argument

    def take(self, at: Any, argument: Any, channel: int | None = None, batch_at: int | None = FIRST) -> tuple[str, Frame]:
        """The argument as a value with its channels on the tensor's dim `channel` (None: where they are), and its dims.

        The batch may lie anywhere; `frame.lay(name, value)` gives a result of the same axes the dims it came with.
        """
        return take(self, at, self.laid(at, argument), channel, batch_at)

    def ref(self, at: Any, argument: Any, channel: int | None = 1) -> str:
        """The argument as a value `[batch, *axes]` with its channels on the tensor's dim `channel`."""
        laid = self.laid(at, argument)
        name, frame = take(self, at, laid, channel, 0 if laid.dims[:1] == ((),) else None)
        if not frame.batch_first:
            raise self.unsupported(at, "the batch is not its first axis")
        return name

    def lay(self, name: str, at: Any = None) -> Laid:
        """A value as the tensor `[batch, *axes]`."""
        return Laid(name, canonical(self.values[name].shape, self.batch), at)

    def pointwise(self, at: Any, argument: Any, op: Op) -> Laid:
        """An op that treats every element by itself, wherever it lies."""
        laid = settled(self, at, self.laid(at, argument))
        return Laid(self.emit(op, [laid.name], at), laid.dims, at)

    # -- the end ---------------------------------------------------------------------------------------------------

    def end(self, at: Any, made: Any, where: str, name: str, ends: Mapping[str, str]) -> str:
        """The value that the output `name` is: another one than `ends`, and than any input of another name.

        `where` is what refusals call it.
        """
        value = self._end(at, made, where)
        if value != name and (value in self.inputs or value in ends.values()):
            # One tensor under two names.
            held = self.values[value]
            every = tuple(range(len(held.shape)))
            value = self.emit(Rearrange(((-1,),) * len(every), every, (1,) * len(every), held.axis, held.axis), [value], at)
        return value

    def _end(self, at: Any, made: Any, where: str) -> str:
        if isinstance(made, Scores):
            raise Unsupported(f"{where} is attention weights; give out what they are applied to")
        if isinstance(made, np.ndarray) and made.ndim > 1 and made.dtype == self.dtype_of(at):
            if len(made) != size(self.batch) or not (made == made[:1]).all():
                raise Unsupported(f"{where} is a constant that does not have the batch as its first axis; leave it out")
            return self.emit(Constant(np.ascontiguousarray(made[0])), [next(iter(self.inputs))], at)
        if not isinstance(made, Laid):
            raise Unsupported(f"{where} is not computed from the input; give out only computed tensors")
        laid = settled(self, at, made)
        if not laid.dims or laid.dims[0] != self.batch:
            raise Unsupported(f"{where} does not have the batch as its first axis; give out tensors that do")
        if len(laid.dims) == 1:
            raise Unsupported(f"{where} is one number for each example without an axis; keep an axis of size 1 (keepdim=True)")
        return self.ref(at, laid, natural_channel(self, laid))

    def graph(self, outputs: Sequence[str], ends: Mapping[str, str]) -> Graph:
        """The graph. `ends`: by the name of every output, the value that it is, each another one or an input of that name."""
        renamed = {made: name for name, made in ends.items() if made not in self.inputs}
        # A layer may have the name of an output that it is not.
        for made in [n.name for n in self.nodes if n.name in ends and n.name not in renamed]:
            renamed[made] = free_name(made, {*self.values, *ends, *renamed.values()}.__contains__)
        nodes = tuple(
            Node(renamed.get(n.name, n.name), n.op, tuple(renamed.get(i, i) for i in n.inputs), n.source) for n in self.nodes
        )
        return Graph(self.inputs, tuple(outputs), nodes).with_nodes(nodes)
