"""The walk over an exported program: bookkeeping that every ATen op shares. What each op means is in the tables beside it."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import fx, nn

from ..errors import Unsupported
from ..graph import Array, Graph, Op, Value
from ..laying.layout import OPEN_BATCHES, Laid, batch_of
from ..laying.scores import Closed, Scores
from ..laying.trace import Trace
from ..naming import free_name
from .naming import LEAVES, base_name, source_of

# Every program is traced at this batch.
BATCH = OPEN_BATCHES[0]


@dataclass(frozen=True)
class Length:
    """The length of a vector along one dim, at least `floor`."""

    of: Laid
    dim: int = -1
    floor: float = 0.0


# What depends on the input of the network.
TRACED = (Laid, Scores, Length, Closed)

Lowering = Callable[["Walk", fx.Node, dict[str, Any]], Any]
LOWERINGS: dict[str, Lowering] = {}

# Ops that hand their input on unchanged at inference.
PASS_ON = frozenset({
    "dropout", "feature_dropout", "alpha_dropout", "detach", "contiguous", "clone", "alias", "lift_fresh_copy", "to", "_to_copy",
    "type_as", "positive", "native_dropout", "contiguous_format", "identity", "_conj", "resolve_conj", "resolve_neg",
})  # fmt: skip
# Ops that read a tensor for its shape and type alone.
SHAPE_ONLY = frozenset({"new_zeros", "new_ones", "new_full", "new_empty", "zeros_like", "ones_like", "full_like", "empty_like"})
NO_MEANING = frozenset({"_assert_tensor_metadata", "_assert_async", "_assert_scalar", "sym_constrain_range_for_size"})
VIEWS = frozenset({
    "view", "reshape", "flatten", "unflatten", "squeeze", "unsqueeze", "transpose", "permute", "slice", "select",
    "chunk", "split", "split_with_sizes", "getitem",
    "expand", "detach", "alias", "narrow", "unbind", "contiguous", "to", "dropout", "t", "numpy_T", "swapaxes", "swapdims",
    "movedim", "expand_as", "view_as", "reshape_as", "mT", "diagonal",
})  # fmt: skip


def lower(*names: str) -> Callable[[Lowering], Lowering]:
    """Registers what ATen ops of these names (overloads alike) mean."""

    def register(function: Lowering) -> Lowering:
        for name in names:
            LOWERINGS[name] = function
        return function

    return register


class Walk(Trace):
    """Goes through an exported program in running order and collects nodes. `layers`: the module's, by path, if there is one."""

    def __init__(
        self, program: torch.export.ExportedProgram, inputs: Mapping[str, Value], layers: Mapping[str, nn.Module]
    ) -> None:
        super().__init__(inputs, batch_of(BATCH))
        self.program = program
        self.layers = layers
        self.made: dict[fx.Node, Any] = {}
        self.order = {node: i for i, node in enumerate(program.graph.nodes)}
        self.weights: set[int] = set()

    # -- what lowerings call ---------------------------------------------------------------------------------------

    def laid(self, at: fx.Node, argument: Any, integers: bool = False) -> Laid:
        if isinstance(argument, Length):
            raise self.unsupported(at, "it reads a length, which only the vector it belongs to may be divided by")
        return super().laid(at, argument, integers)

    def unsupported(self, at: fx.Node, why: str) -> Unsupported:
        where = source_of(at) or "the model's own forward"
        return Unsupported(
            f"{where}: {at.target} has no meaning in the graph here: {why}. "
            "Rewrite the layer with a supported op, or teach edgeprune/capturing this one"
        )

    def prepare(self, op: Op, name: str, at: fx.Node) -> str:
        """Named after the view that asked for it, never as a layer."""
        own = type(op).__name__.lower() if at.op != "call_function" or base_name(at) in LEAVES else ""
        return self.emit(op, [name], at, own)

    def dtype_of(self, at: fx.Node) -> np.dtype[Any]:
        """The type of what the node makes; float32 for what has none."""
        kind = str(getattr(at.meta.get("val"), "dtype", "torch.float32")).removeprefix("torch.")
        return np.dtype(kind if kind.startswith("float") else "float32")

    def array(self, tensor: torch.Tensor | None) -> Array | None:
        """A weight as the graph keeps it; None stays None."""
        if tensor is None:
            return None
        # A computed constant may still be overwritten; the module's weights may not (see _evaluate).
        own = tensor.untyped_storage().data_ptr() in self.weights
        return np.ascontiguousarray((tensor if own else tensor.clone()).detach().cpu().numpy())

    def constant(self, argument: Any) -> Any:
        """A tensor or a number that does not depend on the input, as an array; what does depend on it as it is."""
        if isinstance(argument, torch.Tensor):
            return self.array(argument)
        return np.asarray(argument) if isinstance(argument, bool | int | float) else argument

    def weight(self, at: fx.Node, argument: Any) -> Array:
        if isinstance(argument, TRACED):
            raise self.unsupported(at, "its weight is computed from the input")
        array = argument if isinstance(argument, np.ndarray) else self.array(argument)
        assert array is not None
        return array

    # -- names -----------------------------------------------------------------------------------------------------

    def source_of(self, at: fx.Node) -> str:
        return source_of(at)

    def name_of(self, at: fx.Node, what: str) -> str:
        source, op = source_of(at), what or base_name(at).rstrip("_")
        return source if op in LEAVES and source else ".".join(filter(None, (source, op)))

    # -- the walk --------------------------------------------------------------------------------------------------

    def run(self) -> Graph:
        states = self._states()
        placeholders = iter(self.inputs)
        wanted = self._wanted()
        for node in self.program.graph.nodes:
            if node.op == "placeholder":
                self.made[node] = states[node.name] if node.name in states else self.lay(next(placeholders))
            elif node.op == "get_attr":
                self.made[node] = getattr(self.program.graph_module, str(node.target))
            elif node.op == "output":
                return self._finish(node)
            elif node in wanted:
                self.made[node] = self._call(node)
        raise AssertionError("an exported program ends in an output")

    def _wanted(self) -> set[fx.Node]:
        """The nodes that an output depends on, and those that overwrite something."""
        found: set[fx.Node] = set()
        for node in reversed(self.program.graph.nodes):
            if node.op == "output" or node in found or (node.op == "call_function" and base_name(node).endswith("_")):
                found.update([node, *node.all_input_nodes])
        return found

    def _states(self) -> dict[str, torch.Tensor]:
        signature, program = self.program.graph_signature, self.program
        found: dict[str, torch.Tensor] = {}
        for placeholder, target in signature.inputs_to_parameters.items():
            found[placeholder] = program.state_dict[target]
        for placeholder, target in signature.inputs_to_buffers.items():
            found[placeholder] = program.state_dict[target] if target in program.state_dict else program.constants[target]
        for placeholder, target in signature.inputs_to_lifted_tensor_constants.items():
            found[placeholder] = program.constants[target]
        self.weights = {t.untyped_storage().data_ptr() for t in found.values()}
        return found

    def _call(self, node: fx.Node) -> Any:
        name = base_name(node)
        if name in NO_MEANING:
            return None
        arguments = self._bind(node)
        if name == "getitem":
            return arguments["input"][arguments["index"]]
        if name in SHAPE_ONLY or not any(isinstance(a, TRACED) for a in _flat(arguments.values())):
            return self._evaluate(node)
        in_place = name.endswith("_") and not name.endswith("__")
        if in_place:
            self._check_nobody_reads_the_old_value(node)
            name = name[:-1]
        if name in PASS_ON:
            return self._pass_on(node, arguments)
        if name not in LOWERINGS:
            raise self.unsupported(node, "nobody has taught it yet")
        return LOWERINGS[name](self, node, arguments)

    def _pass_on(self, node: fx.Node, arguments: dict[str, Any]) -> Any:
        if arguments.get("train") is True:
            raise self.unsupported(node, "dropout is in training mode; call eval() on the module")
        before, after = node.all_input_nodes[0].meta.get("val"), node.meta.get("val")
        first = next(iter(arguments.values()))
        if isinstance(before, torch.Tensor) and isinstance(after, torch.Tensor) and not _keeps_numbers(before.dtype, after.dtype):
            if after.dtype == torch.bool:
                return LOWERINGS["bool"](self, node, {"self": first})
            raise self.unsupported(node, f"it changes the type of a value from {before.dtype} to {after.dtype}")
        return first

    def _bind(self, node: fx.Node) -> dict[str, Any]:
        """The call's arguments by the names of the op's schema, defaults filled in."""
        args = fx.map_arg(node.args, lambda n: self.made[n])
        kwargs = fx.map_arg(node.kwargs, lambda n: self.made[n])
        if node.target is operator.getitem:
            return {"input": args[0], "index": args[1]}
        schema = node.target._schema  # type: ignore[union-attr]
        bound = dict(kwargs)
        for i, argument in enumerate(schema.arguments):
            if i < len(args):
                bound[argument.name] = args[i]
            elif argument.name not in bound and argument.has_default_value():
                bound[argument.name] = argument.default_value
        # In the schema's order, so that the first argument is the first.
        return {a.name: bound[a.name] for a in schema.arguments if a.name in bound}

    def _evaluate(self, node: fx.Node) -> Any:
        """The result of an op that reads no input of the network."""

        def known(n: fx.Node) -> Any:
            made = self.made[n]
            if not isinstance(made, TRACED):
                return made
            return torch.zeros(tuple(n.meta["val"].shape), dtype=n.meta["val"].dtype)

        args, kwargs = fx.map_arg(node.args, known), fx.map_arg(node.kwargs, known)
        first: Any = next(iter(args), None)
        overwrites = base_name(node).endswith("_") and isinstance(first, torch.Tensor)
        if overwrites and first.untyped_storage().data_ptr() in self.weights:
            raise self.unsupported(node, "it overwrites a weight while running")
        with torch.no_grad():
            return node.target(*args, **kwargs)  # type: ignore[operator]

    def _check_nobody_reads_the_old_value(self, node: fx.Node) -> None:
        """An in-place op means the plain op only while what it overwrites is not read again under its old name.

        What it overwrites: its first argument, what that is a view of, and every view of those.
        """
        bases = [node.all_input_nodes[0]]
        while base_name(bases[-1]) in VIEWS or base_name(bases[-1]).endswith("_"):
            before = bases[-1].all_input_nodes[:1]
            if not before:
                break
            bases.extend(before)
        seen = list(dict.fromkeys(bases))
        for alias in seen:
            for user in alias.users:
                if user is node:
                    continue
                if self.order[user] > self.order[node]:
                    raise self.unsupported(node, f"it overwrites {alias.name}, which {user.name} reads later")
                if base_name(user) in VIEWS and user not in seen:
                    seen.append(user)

    def _finish(self, node: fx.Node) -> Graph:
        """The graph, its outputs named: "output", or by key or number when there are several."""
        results: tuple[Any, ...] = tuple(node.args[0])  # type: ignore[arg-type]
        names = output_names(self.program, len(results))
        ends: dict[str, str] = {}
        for result, name in zip(results, names, strict=True):
            at = result if isinstance(result, fx.Node) else node
            made = self.end(at, self.constant(self.made.get(result, result)), f"output {name!r} of the model", name, ends)
            # A value has one name: an output that is called as an input is gets another.
            ends[free_name(f"{name}_output", {*names, *self.inputs}.__contains__) if name in self.inputs else name] = made
        graph = self.graph(tuple(ends), ends)
        # Numbers that meet whole numbers know no type of their own.
        return graph.astype(graph.dtype)


def _keeps_numbers(before: torch.dtype, after: torch.dtype) -> bool:
    """Whether every number of the one type that a network may hold is the same number in the other."""
    if before == after or before == torch.bool:
        return True
    whole = not (before.is_floating_point or before.is_complex)
    return whole and after != torch.bool and after.itemsize >= 4


def output_names(program: torch.export.ExportedProgram, count: int) -> list[str]:
    """ "output" for one, the dictionary's keys for a dictionary, else "output_0", "output_1", ..."""
    if count == 1:
        return ["output"]
    spec = program.call_spec.out_spec
    keys = getattr(spec, "context", None) if spec is not None and getattr(spec, "type", None) is dict else None
    if keys and len(keys) == count:
        return [str(k) for k in keys]
    return [f"output_{i}" for i in range(count)]


def _flat(items: Any) -> list[Any]:
    found: list[Any] = []
    for item in items:
        if isinstance(item, list | tuple):
            found.extend(_flat(item))
        else:
            found.append(item)
    return found
