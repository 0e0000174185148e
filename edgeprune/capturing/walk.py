"""The walk over an exported program: bookkeeping that every ATen op shares. What each op means is in the tables beside it."""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import fx

from ..errors import Unsupported
from ..graph import Array, Graph, Node, Op, Value

# No axis of a real network is this long, so a leading axis of this length is the batch.
BATCH = 13


@dataclass(frozen=True)
class Ref:
    """A value of the graph under construction."""

    name: str


Lowering = Callable[["Walk", fx.Node, dict[str, Any]], Any]
LOWERINGS: dict[str, Lowering] = {}

# Ops that hand their input on unchanged at inference.
PASS_ON = frozenset({
    "dropout", "feature_dropout", "alpha_dropout", "detach", "contiguous", "clone", "alias", "lift_fresh_copy", "to", "_to_copy",
    "type_as", "positive", "native_dropout",
})  # fmt: skip
NO_MEANING = frozenset({"_assert_tensor_metadata", "_assert_async", "_assert_scalar", "sym_constrain_range_for_size"})
VIEWS = frozenset({
    "view", "reshape", "flatten", "unflatten", "squeeze", "unsqueeze", "transpose", "permute", "slice", "select",
    "chunk", "split", "split_with_sizes", "getitem",
    "expand", "detach", "alias", "narrow", "unbind", "contiguous", "to", "dropout", "t", "numpy_T",
})  # fmt: skip


def lower(*names: str) -> Callable[[Lowering], Lowering]:
    """Registers what ATen ops of these names (overloads alike) mean."""

    def register(function: Lowering) -> Lowering:
        for name in names:
            LOWERINGS[name] = function
        return function

    return register


def base_name(node: fx.Node) -> str:
    """"aten.relu_.default" as "relu_"."""
    if node.target is operator.getitem:
        return "getitem"
    return str(getattr(node.target, "_schema", node.target)).split("(", maxsplit=1)[0].split("::")[-1].split(".")[0]


def source_of(node: fx.Node) -> str:
    """The user's layer that the node comes from: "layer1.0.conv2"; empty for the model itself."""
    stack = node.meta.get("nn_module_stack") or {}
    paths = [path for path, _ in stack.values()]
    return str(paths[-1]).removeprefix("L['self']").removeprefix(".") if paths else ""


class Walk:
    """Goes through an exported program in running order and collects nodes."""

    def __init__(self, program: torch.export.ExportedProgram, inputs: Sequence[tuple[str, Value]]) -> None:
        self.program = program
        self.inputs = dict(inputs)
        self.values: dict[str, Value] = dict(inputs)
        self.nodes: list[Node] = []
        self.made: dict[fx.Node, Any] = {}
        self.order = {node: i for i, node in enumerate(program.graph.nodes)}

    # -- what lowerings call ---------------------------------------------------------------------------------------

    def emit(self, op: Op, inputs: Sequence[Ref], node: fx.Node) -> Ref:
        """Adds a node for `op` and returns its value."""
        name = self._fresh(node)
        ins = [self.values[r.name] for r in inputs]
        try:
            self.values[name] = op.value(*ins)
        except ValueError as error:
            raise self.unsupported(node, f"{error} (shapes {', '.join(str(v.shape) for v in ins)})") from None
        self.nodes.append(Node(name, op, tuple(r.name for r in inputs), source_of(node)))
        return Ref(name)

    def value(self, ref: Ref) -> Value:
        return self.values[ref.name]

    def unsupported(self, node: fx.Node, why: str) -> Unsupported:
        where = source_of(node) or "the model's own forward"
        return Unsupported(
            f"{where}: {node.target} has no meaning in the graph here: {why}. "
            "Rewrite the layer with a supported op, or teach edgeprune/capturing this one"
        )

    def array(self, tensor: torch.Tensor | None) -> Array | None:
        """A weight as the graph keeps it; None stays None."""
        return None if tensor is None else np.ascontiguousarray(tensor.detach().cpu().numpy())

    def ref(self, node: fx.Node, argument: Any) -> Ref:
        """The argument, which must be a value that depends on the input."""
        if not isinstance(argument, Ref):
            raise self.unsupported(node, "it reads a constant where a value of the network is expected")
        return argument

    # -- the walk --------------------------------------------------------------------------------------------------

    def run(self) -> Graph:
        states = self._states()
        placeholders = iter(self.inputs)
        for node in self.program.graph.nodes:
            if node.op == "placeholder":
                self.made[node] = states[node.name] if node.name in states else Ref(next(placeholders))
            elif node.op == "get_attr":
                self.made[node] = getattr(self.program.graph_module, str(node.target))
            elif node.op == "output":
                return self._finish(node)
            else:
                self.made[node] = self._call(node)
        raise AssertionError("an exported program ends in an output")

    def _states(self) -> dict[str, torch.Tensor]:
        signature, program = self.program.graph_signature, self.program
        found: dict[str, torch.Tensor] = {}
        for placeholder, target in signature.inputs_to_parameters.items():
            found[placeholder] = program.state_dict[target]
        for placeholder, target in signature.inputs_to_buffers.items():
            found[placeholder] = program.state_dict[target] if target in program.state_dict else program.constants[target]
        for placeholder, target in signature.inputs_to_lifted_tensor_constants.items():
            found[placeholder] = program.constants[target]
        return found

    def _call(self, node: fx.Node) -> Any:
        name = base_name(node)
        if name in NO_MEANING:
            return None
        arguments = self._bind(node)
        if name == "getitem":
            return arguments["input"][arguments["index"]]
        if not any(isinstance(a, Ref) for a in _flat(arguments.values())):
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
        if isinstance(before, torch.Tensor) and isinstance(after, torch.Tensor) and before.dtype != after.dtype:
            raise self.unsupported(node, f"it changes the type of a value from {before.dtype} to {after.dtype}")
        return next(iter(arguments.values()))

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
        args = fx.map_arg(node.args, lambda n: self.made[n])
        kwargs = fx.map_arg(node.kwargs, lambda n: self.made[n])
        with torch.no_grad():
            return node.target(*args, **kwargs)  # type: ignore[operator]

    def _check_nobody_reads_the_old_value(self, node: fx.Node) -> None:
        """An in-place op means the plain op only while what it overwrites is not read again under its old name."""
        aliases = [node.all_input_nodes[0]]
        for alias in aliases:
            if base_name(alias) in VIEWS or base_name(alias).endswith("_"):
                aliases.extend(alias.all_input_nodes[:1])
            for user in alias.users:
                if user is not node and self.order[user] > self.order[node]:
                    raise self.unsupported(node, f"it overwrites {alias.name}, which {user.name} reads later")
                if user is not node and base_name(user) in VIEWS:
                    for reader in user.users:
                        if reader is not node and self.order[reader] > self.order[node]:
                            raise self.unsupported(node, f"it overwrites {alias.name}, of which {reader.name} reads a view later")

    def _fresh(self, node: fx.Node) -> str:
        """A name no value has yet: the layer's, or the layer's and the op's."""
        source, op = source_of(node), base_name(node).rstrip("_")
        leaf = op in ("conv2d", "conv1d", "conv3d", "conv_transpose2d", "conv_transpose1d", "linear", "batch_norm")
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
            if not isinstance(result, Ref) or result.name in self.inputs:
                raise Unsupported(f"output {name!r} of the model is not computed from its input; return only computed tensors")
            if result.name in renamed:
                raise Unsupported(f"outputs {renamed[result.name]!r} and {name!r} are the same tensor; return it once")
            renamed[result.name] = name
        nodes = tuple(
            Node(renamed.get(n.name, n.name), n.op, tuple(renamed.get(i, i) for i in n.inputs), n.source) for n in self.nodes
        )
        return Graph(self.inputs, tuple(names), ()) if not nodes else _used(self.inputs, tuple(names), nodes)


def _used(inputs: dict[str, Value], outputs: tuple[str, ...], nodes: tuple[Node, ...]) -> Graph:
    return Graph(inputs, outputs, nodes).with_nodes(nodes)


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
