"""The walk over a file: bookkeeping that every ONNX op shares. What each op means is in the tables beside it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from ..errors import EdgepruneError, Unsupported
from ..graph import Array, Graph, Shape, Value
from ..laying.layout import Laid, batch_of, size
from ..laying.scores import Scores
from ..laying.trace import Trace
from .naming import clean, source_of
from .reading import Call, File, type_of
from .recognising import Found, recognise

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


class Walk(Trace):
    """Goes through a file in running order and collects nodes."""

    def __init__(self, file: File, shapes: Mapping[str, Shape], batch: int) -> None:
        super().__init__({name: Value(shape) for name, shape in shapes.items()}, batch_of(batch))
        self.file = file
        self.integers = {name for name in self.inputs if file.types[name].kind in "iu"}
        self.dtype = type_of(file)
        self.made: dict[str, Any] = dict(file.constants)
        self.found: dict[str, Found] = {}

    # -- what lowerings call ---------------------------------------------------------------------------------------

    def unsupported(self, at: Call, why: str) -> Unsupported:
        kind = f"{at.domain}.{at.kind}" if at.domain else at.kind
        return Unsupported(
            f"{self.where(at)}: {kind} has no meaning in the graph here: {why}. "
            "Rewrite the layer with a supported op and export it again, or teach edgeprune/importing this one"
        )

    def dtype_of(self, at: Call) -> np.dtype[Any]:
        return self.dtype

    def weight(self, at: Call, argument: Any) -> Array:
        if not isinstance(argument, np.ndarray):
            raise self.unsupported(at, "a weight is missing" if argument is None else "its weight is computed from the input")
        if argument.dtype != self.dtype:
            raise self.unsupported(at, f"its weight is {argument.dtype}, the network is {self.dtype}; store both as float32")
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

    def source_of(self, at: Call) -> str:
        return source_of(at, self.file.constants)

    def where(self, call: Call) -> str:
        return self.source_of(call) or call.name or next((name for name in call.outputs if name), "a node without a name")

    def name_of(self, at: Call, what: str) -> str:
        """The layer's, or the layer's and the op's, or what the file calls the result."""
        source = self.source_of(at)
        if source and at.kind in LEAVES:
            return source
        if at.name.strip("/").count("/"):
            return ".".join(filter(None, (source, at.kind.lower())))
        return clean(at.outputs[0].removesuffix("_output_0")) or at.kind.lower()

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
            shape = np.array([size(d) for d in arguments[0].dims], np.int64)
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
        ends: dict[str, str] = {}
        for name in dict.fromkeys(self.file.outputs):
            at = Call("Identity", "", "", (), (name,), {}, self.file.opset, None)
            made = self.end(at, self.made.get(name), f"{self.file.path}: output {name!r}", name, ends)
            if name in self.inputs and made != name:
                raise Unsupported(f"{self.file.path}: output {name!r} has the name of an input that it is not; rename one")
            ends[name] = made
        return self.graph(self.file.outputs, ends)
