"""The walk over a file: bookkeeping that every ONNX op shares. What each op means is in the tables beside it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from ..errors import EdgepruneError, Unsupported
from ..graph import Array, Graph, Node, Op, Shape, Value
from ..ops import Constant, Rearrange
from .layout import BATCH_AXIS, Atom, Dim, Frame, Laid, canonical
from .naming import clean, source_of
from .reading import Call, File, type_of
from .recognising import Found, recognise
from .scores import Scores
from .taking import FIRST, natural_channel, settled, take

__all__ = ["TRACED", "Call", "Walk", "lower", "meaning"]

# What depends on the input of the network.
TRACED = (Laid, Scores)

Lowering = Callable[..., Any]
LOWERINGS: dict[str, Lowering] = {}
# What `recognising` finds several nodes of the file to be, by its name there.
MEANINGS: dict[str, Lowering] = {}

# Ops that hand their input on unchanged at inference.
PASS_ON = frozenset({"Identity", "Dropout"})
# Ops whose result is another one every time: no constant, whatever they read.
RANDOM = frozenset({"RandomNormal", "RandomUniform", "RandomNormalLike", "RandomUniformLike", "Bernoulli", "Multinomial"})
# Ops that are a layer by themselves: their value takes the layer's name.
LEAVES = frozenset({
    "Conv", "ConvTranspose", "Gemm", "MatMul", "BatchNormalization", "LayerNormalization", "GroupNormalization",
    "InstanceNormalization", "RMSNormalization", "LSTM", "GRU",
})  # fmt: skip


def lower(*kinds: str) -> Callable[[Lowering], Lowering]:
    """Registers what ONNX ops of these names mean: a function of the walk, the call, and each of its inputs."""

    def register(function: Lowering) -> Lowering:
        LOWERINGS.update(dict.fromkeys(kinds, function))
        return function

    return register


def meaning(name: str) -> Callable[[Lowering], Lowering]:
    """Registers what a group of ops that `recognising` found means."""

    def register(function: Lowering) -> Lowering:
        MEANINGS[name] = function
        return function

    return register


class Walk:
    """Goes through a file in running order and collects nodes."""

    def __init__(self, file: File, shapes: Mapping[str, Shape], batch: int) -> None:
        self.file = file
        # Nothing when it is fixed at one: see layout.py.
        self.batch: Dim = (Atom(BATCH_AXIS, batch),) if batch > 1 else ()
        self.inputs = {name: Value(shape) for name, shape in shapes.items()}
        self.integers = {name for name in self.inputs if file.types[name].kind in "iu"}
        self.dtype = type_of(file)
        self.values: dict[str, Value] = dict(self.inputs)
        self.nodes: list[Node] = []
        self.made: dict[str, Any] = dict(file.constants)
        self.taken: dict[tuple[Laid, int, int | None], tuple[str, Frame]] = {}
        self.found: dict[str, Found] = {}

    # -- what lowerings call ---------------------------------------------------------------------------------------

    def emit(self, op: Op, inputs: Sequence[str], call: Call) -> str:
        """Adds a node for `op` and returns the name of its value."""
        name = self._fresh(call)
        ins = [self.values[i] for i in inputs]
        try:
            self.values[name] = op.value(*ins)
        except ValueError as error:
            raise self.unsupported(call, f"{error} (shapes {', '.join(str(v.shape) for v in ins)})") from None
        self.nodes.append(Node(name, op, tuple(inputs), self.source_of(call)))
        return name

    def laid(self, call: Call, argument: Any, integers: bool = False) -> Laid:
        """The argument, which must be a tensor that depends on the input."""
        if isinstance(argument, Scores):
            raise self.unsupported(call, "it reads attention scores; only scaling, a constant bias, softmax and v may follow")
        if not isinstance(argument, Laid):
            raise self.unsupported(call, "it reads a constant where a value of the network is expected")
        if (argument.integer or argument.name in self.integers) and not integers:
            raise self.unsupported(call, "it computes with integers; they may only pick rows of a table")
        return argument

    def take(self, call: Call, argument: Any, channel: int | None = None, batch_at: int | None = FIRST) -> tuple[str, Frame]:
        """The argument as a value with its channels on the tensor's dim `channel` (None: where they are), and its dims.

        The batch may lie anywhere; `frame.lay(name, value)` gives a result of the same axes the dims it came with.
        """
        return take(self, call, self.laid(call, argument), channel, batch_at)

    def ref(self, call: Call, argument: Any, channel: int | None = 1) -> str:
        """The argument as a value `[batch, *axes]` with its channels on the tensor's dim `channel`."""
        laid = self.laid(call, argument)
        name, frame = take(self, call, laid, channel, 0 if laid.dims[:1] == ((),) else None)
        if not frame.batch_first:
            raise self.unsupported(call, "the batch is not its first axis")
        return name

    def lay(self, name: str, call: Call | None = None) -> Laid:
        """A value as the tensor `[batch, *axes]`."""
        return Laid(name, canonical(self.values[name].shape, self.batch), call)

    def pointwise(self, call: Call, argument: Any, op: Op) -> Laid:
        """An op that treats every element by itself, wherever it lies."""
        laid = settled(self, call, self.laid(call, argument))
        return Laid(self.emit(op, [laid.name], call), laid.dims, call)

    def unsupported(self, call: Call, why: str) -> Unsupported:
        kind = f"{call.domain}.{call.kind}" if call.domain else call.kind
        return Unsupported(
            f"{self.where(call)}: {kind} has no meaning in the graph here: {why}. "
            "Rewrite the layer with a supported op and export it again, or teach edgeprune/importing this one"
        )

    def weight(self, call: Call, argument: Any) -> Array:
        """A constant of the network's type, which must be there."""
        if not isinstance(argument, np.ndarray):
            raise self.unsupported(call, "a weight is missing" if argument is None else "its weight is computed from the input")
        if argument.dtype != self.dtype:
            raise self.unsupported(call, f"its weight is {argument.dtype}, the network is {self.dtype}; store both as float32")
        return np.ascontiguousarray(argument)

    def optional(self, call: Call, argument: Any) -> Array | None:
        return None if argument is None else self.weight(call, argument)

    def integer_list(self, call: Call, argument: Any, attribute: str = "") -> list[int] | None:
        """A setting that is an input in newer opsets and an attribute in older ones; None where it is neither."""
        if argument is None:
            said = call.attributes.get(attribute)
            return None if said is None else [int(n) for n in said]
        if not isinstance(argument, np.ndarray):
            raise self.unsupported(call, "one of its settings depends on the input")
        return [int(n) for n in argument.reshape(-1)]

    # -- names -----------------------------------------------------------------------------------------------------

    def source_of(self, call: Call) -> str:
        """The user's layer that a node of the file comes from, "layer1.0.conv2", as far as the file's names tell."""
        return source_of(call, self.file.constants)

    def where(self, call: Call) -> str:
        return self.source_of(call) or call.name or next((name for name in call.outputs if name), "a node without a name")

    def _fresh(self, call: Call) -> str:
        """A name no value has yet: the layer's, or the layer's and the op's, or what the file calls the result."""
        source = self.source_of(call)
        if source and call.kind in LEAVES:
            name = source
        elif call.name.strip("/").count("/"):
            name = ".".join(filter(None, (source, call.kind.lower())))
        else:
            name = clean(call.outputs[0].removesuffix("_output_0")) or call.kind.lower()
        candidate, count = name, 1
        while candidate in self.values:
            count += 1
            candidate = f"{name}_{count}"
        return candidate

    # -- the walk --------------------------------------------------------------------------------------------------

    def run(self) -> Graph:
        for name in self.inputs:
            self.made[name] = self.lay(name)
        self._fold(self.file.calls)
        self.found = recognise(self.file.calls, self.made)
        wanted = self._wanted(self.file.calls, self.file.outputs)
        for call in self.file.calls:
            if call in wanted:
                self._perform(call)
        return self._finish()

    def _fold(self, calls: Iterable[Call]) -> None:
        """Works out what depends on constants alone."""
        for call in calls:
            known = all(isinstance(self.made.get(name), np.ndarray) for name in call.inputs if name)
            if known and call.kind not in RANDOM and not call.branches and not call.domain:
                # Whoever needs what cannot be worked out is told so; nobody may.
                with contextlib.suppress(Exception):
                    self._keep(call, self._evaluate(call))

    def _wanted(self, calls: Sequence[Call], outputs: Iterable[str]) -> set[Call]:
        """The calls that an output depends on; inside of what was recognised only what it reads."""
        wanted = set(outputs)
        result: set[Call] = set()
        for call in reversed(calls):
            if wanted.isdisjoint(call.outputs) or all(isinstance(self.made.get(n), np.ndarray) for n in call.outputs if n):
                continue
            result.add(call)
            found = self.found.get(call.outputs[0])
            wanted |= call.reads if found is None else set(found.inputs)
        return result

    def _perform(self, call: Call) -> None:
        try:
            self._keep(call, self._result(call))
        except EdgepruneError:
            raise
        except Exception as error:
            said = " ".join(str(error).split()) or type(error).__name__
            raise self.unsupported(call, f"its inputs and settings do not fit each other ({said[:200]})") from error

    def _result(self, call: Call) -> Any:
        missing = [name for name in call.inputs if name and name not in self.made]
        found = self.found.get(call.outputs[0])
        if missing and found is None:
            raise self.unsupported(call, f"it reads {missing[0]!r}, which nothing before it makes")
        if found is not None:
            return MEANINGS[found.meaning](self, call, *(self.made[name] for name in found.inputs), **found.settings)
        arguments = [self.made[name] if name else None for name in call.inputs]
        if call.domain:
            raise self.unsupported(call, f"it is no op of ONNX itself but of {call.domain}; export without that runtime's ops")
        if call.kind == "If":
            return self._branch(call, arguments[0])
        if call.kind in ("Shape", "Size") and isinstance(arguments[0], TRACED):
            shape = np.array([_size(d) for d in arguments[0].dims], np.int64)
            first, last = (call.attributes.get(side, default) for side, default in (("start", 0), ("end", len(shape))))
            return shape[first:last] if call.kind == "Shape" else np.array(shape.prod())
        if call.kind in RANDOM:
            raise self.unsupported(call, "it makes another result every time")
        if not any(isinstance(a, TRACED) for a in arguments) and not call.branches:
            return self._evaluate(call)
        if call.kind in PASS_ON:
            if any(isinstance(a, np.ndarray) and a.dtype == bool and a.any() for a in arguments):
                raise self.unsupported(call, "dropout is in training mode; call eval() before exporting")
            return arguments[0]
        if call.kind not in LOWERINGS:
            raise self.unsupported(call, "nobody has taught it yet")
        return LOWERINGS[call.kind](self, call, *arguments)

    def _keep(self, call: Call, result: Any) -> None:
        results = result if isinstance(result, list) else [result]
        for name, each in zip(call.outputs, results, strict=False):
            if name and each is not None:
                self.made[name] = each

    def _evaluate(self, call: Call) -> list[Array]:
        """The results of an op that reads constants alone, as the standard's reference computes them."""
        from onnx.reference import ReferenceEvaluator

        if call.kind == "Constant" and "sparse_value" in call.attributes:
            from .reading import dense

            return [dense(call.attributes["sparse_value"])]
        feeds = {name: self.made[name] for name in call.inputs if name}
        made = ReferenceEvaluator(call.proto, opsets={"": call.opset}).run(None, feeds)
        return [np.asarray(each) for each in made]

    def _branch(self, call: Call, condition: Any) -> list[Any]:
        if not isinstance(condition, np.ndarray):
            raise self.unsupported(call, "which branch it takes depends on the input")
        branch = call.branches["then_branch" if condition.any() else "else_branch"]
        self.made.update(branch.constants)
        wanted = self._wanted(branch.calls, branch.outputs)
        for inner in branch.calls:
            if inner in wanted:
                self._perform(inner)
        return [self.made[name] for name in branch.outputs]

    # -- the end ---------------------------------------------------------------------------------------------------

    def _finish(self) -> Graph:
        """The graph, its outputs named as the file's."""
        renamed: dict[str, str] = {}
        names = dict.fromkeys(self.file.outputs)
        ends: dict[str, str] = {}
        for name in names:
            made = self._end(name)
            if made != name and (made in self.inputs or made in renamed):
                # One tensor under two names.
                value = self.values[made]
                every = tuple(range(len(value.shape)))
                again = Rearrange(((-1,),) * len(every), every, (1,) * len(every), value.axis, value.axis)
                made = self.emit(again, [made], Call("Identity", "", "", (), (name,), {}, self.file.opset, None))
            ends[name] = made
            if made not in self.inputs:
                renamed[made] = name
        # A layer may have the name of an output that it is not.
        for made in [n.name for n in self.nodes if n.name in names and n.name not in renamed]:
            count = 2
            while f"{made}_{count}" in self.values or f"{made}_{count}" in names:
                count += 1
            renamed[made] = f"{made}_{count}"
        for name, made in ends.items():
            if name in self.inputs and made != name:
                raise Unsupported(f"{self.file.path}: output {name!r} has the name of an input that it is not; rename one")
        nodes = tuple(
            Node(renamed.get(n.name, n.name), n.op, tuple(renamed.get(i, i) for i in n.inputs), n.source) for n in self.nodes
        )
        return Graph(self.inputs, self.file.outputs, nodes).with_nodes(nodes)

    def _end(self, name: str) -> str:
        """The value that is an output of the file."""
        made = self.made.get(name)
        call = Call("Identity", "", "", (), (name,), {}, self.file.opset, None)
        where = f"{self.file.path}: output {name!r}"
        if isinstance(made, Scores):
            raise Unsupported(f"{where} is attention weights; give out what they are applied to")
        if isinstance(made, np.ndarray) and made.ndim > 1 and made.dtype == self.dtype:
            if len(made) != _size(self.batch) or not (made == made[:1]).all():
                raise Unsupported(f"{where} is a constant that does not have the batch as its first axis; leave it out")
            return self.emit(Constant(np.ascontiguousarray(made[0])), [next(iter(self.inputs))], call)
        if not isinstance(made, Laid):
            raise Unsupported(f"{where} is not computed from the input; give out only computed tensors")
        laid = settled(self, call, made)
        if not laid.dims or (self.batch and laid.dims[0] != self.batch) or (not self.batch and laid.dims[0]):
            raise Unsupported(f"{where} does not have the batch as its first axis; give out tensors that do")
        if len(laid.dims) == 1:
            raise Unsupported(f"{where} is one number for each example without an axis; keep an axis of size 1")
        return self.ref(call, laid, natural_channel(self, laid))


def _size(dim: Dim) -> int:
    return int(np.prod([a.size for a in dim], dtype=np.int64))
