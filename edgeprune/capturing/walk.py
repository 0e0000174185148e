"""The walk over an exported program: bookkeeping that every ATen op shares. What each op means is in the tables beside it."""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import fx

from ..errors import Unsupported
from ..graph import Array, Graph, Node, Op, Value
from .layout import Frame, Laid, canonical
from .naming import LEAVES, base_name, source_of
from .scores import Closed, Length, Scores
from .taking import natural_channel, settled, take

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


class Walk:
    """Goes through an exported program in running order and collects nodes."""

    def __init__(self, program: torch.export.ExportedProgram, inputs: Sequence[tuple[str, Value]]) -> None:
        self.program = program
        self.inputs = dict(inputs)
        self.values: dict[str, Value] = dict(inputs)
        self.nodes: list[Node] = []
        self.made: dict[fx.Node, Any] = {}
        self.taken: dict[tuple[Laid, int], tuple[str, Frame]] = {}
        self.order = {node: i for i, node in enumerate(program.graph.nodes)}
        self.weights: set[int] = set()

    # -- what lowerings call ---------------------------------------------------------------------------------------

    def emit(self, op: Op, inputs: Sequence[str], node: fx.Node, what: str = "") -> str:
        """Adds a node for `op` and returns the name of its value: the layer's, or the layer's and the op's (or `what`)."""
        name = self._fresh(node, what)
        ins = [self.values[i] for i in inputs]
        try:
            self.values[name] = op.value(*ins)
        except ValueError as error:
            raise self.unsupported(node, f"{error} (shapes {', '.join(str(v.shape) for v in ins)})") from None
        self.nodes.append(Node(name, op, tuple(inputs), source_of(node)))
        return name

    def laid(self, node: fx.Node, argument: Any) -> Laid:
        """The argument, which must be a tensor that depends on the input."""
        if isinstance(argument, Scores):
            raise self.unsupported(node, "it reads attention scores; only scaling, a constant bias, softmax and v may follow")
        if isinstance(argument, Length):
            raise self.unsupported(node, "it reads a length, which only the vector it belongs to may be divided by")
        if isinstance(argument, Closed):
            raise self.unsupported(node, "it reads a mask of minus infinity, which only attention scores may have added to them")
        if not isinstance(argument, Laid):
            raise self.unsupported(node, "it reads a constant where a value of the network is expected")
        return argument

    def take(self, node: fx.Node, argument: Any, channel: int | None = None) -> tuple[str, Frame]:
        """The argument as a value with its channels on the tensor's dim `channel` (None: where they are), and its dims.

        The batch may lie anywhere; `frame.lay(name, value)` gives a result of the same axes the dims it came with.
        """
        return take(self, node, self.laid(node, argument), channel)

    def ref(self, node: fx.Node, argument: Any, channel: int | None = 1) -> str:
        """The argument as a value `[batch, *axes]` with its channels on the tensor's dim `channel`."""
        name, frame = self.take(node, argument, channel)
        if not frame.batch_first:
            raise self.unsupported(node, "its first axis is not the batch alone")
        return name

    def lay(self, name: str, node: fx.Node | None = None) -> Laid:
        """A value as the tensor `[batch, *axes]`."""
        return Laid(name, canonical(self.values[name].shape), node)

    def pointwise(self, node: fx.Node, argument: Any, op: Op) -> Laid:
        """An op that treats every element by itself, wherever it lies."""
        laid = settled(self, node, self.laid(node, argument))
        return Laid(self.emit(op, [laid.name], node), laid.dims, node)

    def unsupported(self, node: fx.Node, why: str) -> Unsupported:
        where = source_of(node) or "the model's own forward"
        return Unsupported(
            f"{where}: {node.target} has no meaning in the graph here: {why}. "
            "Rewrite the layer with a supported op, or teach edgeprune/capturing this one"
        )

    def array(self, tensor: torch.Tensor | None) -> Array | None:
        """A weight as the graph keeps it; None stays None."""
        if tensor is None:
            return None
        # A computed constant may still be overwritten; the module's weights may not (see _evaluate).
        own = tensor.untyped_storage().data_ptr() in self.weights
        return np.ascontiguousarray((tensor if own else tensor.clone()).detach().cpu().numpy())

    def weight(self, node: fx.Node, tensor: Any) -> Array:
        """A weight that must be there and must not depend on the input."""
        if isinstance(tensor, TRACED):
            raise self.unsupported(node, "its weight is computed from the input")
        array = self.array(tensor)
        assert array is not None
        return array

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

    def _fresh(self, node: fx.Node, what: str) -> str:
        """A name no value has yet: the layer's, or the layer's and the op's."""
        source, op = source_of(node), what or base_name(node).rstrip("_")
        leaf = op in LEAVES
        name = source if leaf and source else ".".join(filter(None, (source, op)))
        candidate, count = name, 1
        while candidate in self.values or candidate in ("input", "output"):
            count += 1
            candidate = f"{name}_{count}"
        return candidate

    def _finish(self, node: fx.Node) -> Graph:
        """The graph, its outputs named: "output", or by key or number when there are several."""
        results = [self.made[n] if isinstance(n, fx.Node) else n for n in node.args[0]]  # type: ignore[union-attr]
        names = output_names(self.program, len(results))
        renamed: dict[str, str] = {}
        for result, name in zip(results, names, strict=True):
            if isinstance(result, Scores):
                raise Unsupported(f"output {name!r} of the model is attention weights; return what they are applied to")
            made = self.ref(node, result, natural_channel(self, result)) if isinstance(result, Laid) else None
            if made is None or made in self.inputs:
                raise Unsupported(f"output {name!r} of the model is not computed from its input; return only computed tensors")
            if made in renamed:
                raise Unsupported(f"outputs {renamed[made]!r} and {name!r} are the same tensor; return it once")
            renamed[made] = name
        # A layer may have the name of an output that it is not.
        for made in [n.name for n in self.nodes if n.name in names and n.name not in renamed]:
            count = 2
            while f"{made}_{count}" in self.values or f"{made}_{count}" in names:
                count += 1
            renamed[made] = f"{made}_{count}"
        nodes = tuple(
            Node(renamed.get(n.name, n.name), n.op, tuple(renamed.get(i, i) for i in n.inputs), n.source) for n in self.nodes
        )
        graph = Graph(self.inputs, tuple(names), nodes).with_nodes(nodes)
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
