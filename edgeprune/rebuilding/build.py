"""The graph of torch.fx under construction, and the table from ops to what builds them. The builders are in the files beside."""

from __future__ import annotations

import keyword
import re
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import fx, nn

from ..errors import NotExportable
from ..graph import Array, Graph, Node, Op, Value
from ..naming import free_name

Builder = Callable[["Rebuild", Node, Any], fx.Node]
BUILDERS: dict[type[Op], Builder] = {}


def build(*ops: type[Op]) -> Callable[[Builder], Builder]:
    """Registers how nodes of these ops are built."""

    def register(function: Builder) -> Builder:
        for op in ops:
            BUILDERS[op] = function
        return function

    return register


class Rebuild:
    """A torch.fx graph under construction, and the modules and tensors it refers to."""

    def __init__(self, graph: Graph) -> None:
        self.source = graph
        self.root = nn.Module()
        self.graph = fx.Graph()
        self.made: dict[str, fx.Node] = {}

    # -- what builders call ----------------------------------------------------------------------------------------

    def ins(self, node: Node) -> list[fx.Node]:
        return [self.made[name] for name in node.inputs]

    def value(self, node: Node) -> Value:
        """The value the node reads first."""
        return self.source.values[node.inputs[0]]

    def refusal(self, node: Node, why: str) -> NotExportable:
        return NotExportable(f"torch modules cannot say {type(node.op).__name__} (layer {node.source or node.name}): {why}")

    def layer(self, node: Node, module: nn.Module, *inputs: fx.Node, **weights: Array | None) -> fx.Node:
        """A call of `module`, its parameters these, kept under the name of the user's layer."""
        for name, array in weights.items():
            if array is not None:
                setattr(module, name, nn.Parameter(torch.from_numpy(np.array(array))))
        return self.graph.call_module(self._place(node.source or node.name, module), inputs)

    def tensor(self, node: Node, name: str, array: Array, *, trained: bool) -> fx.Node:
        """A parameter (`trained`) or a buffer."""
        holder = nn.Module()
        value = torch.from_numpy(np.array(array))
        if trained:
            holder.register_parameter(name, nn.Parameter(value))
        else:
            holder.register_buffer(name, value)
        return self.graph.get_attr(f"{self._place(node.name, holder)}.{name}")

    def call(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> fx.Node:
        return self.graph.call_function(function, args, kwargs)

    # -- bookkeeping -----------------------------------------------------------------------------------------------

    def _place(self, name: str, module: nn.Module) -> str:
        """Puts a module into the tree under a free name near `name` and returns its path."""
        *parents, last = (part or "_" for part in name.split("."))
        where, path = self.root, []
        for part in parents:
            path.append(self._free(where, part, passing=True))
            if path[-1] not in where._modules:
                where.add_module(path[-1], nn.Module())
            child = where._modules[path[-1]]
            assert child is not None
            where = child
        path.append(self._free(where, last, passing=False))
        where.add_module(path[-1], module)
        return ".".join(path)

    def _free(self, where: nn.Module, name: str, *, passing: bool) -> str:
        """The name, or one near it, that a module can have there; `passing` through a folder of that name will do as well."""

        def is_taken(candidate: str) -> bool:
            folder = type(where._modules.get(candidate)) is nn.Module
            own = fx.GraphModule if where is self.root else where
            reserved = keyword.iskeyword(candidate) or hasattr(own, candidate)
            return not (passing and folder) and (reserved or hasattr(where, candidate))

        return free_name(name, is_taken)

    def _argument(self, name: str) -> str:
        """The name as one that an argument of forward may have, and no other has."""
        plain = re.sub(r"\W", "_", name)
        plain = plain if plain.isidentifier() and not keyword.iskeyword(plain) and plain != "self" else f"input_{plain}"
        # A node whose name Python has is numbered: `input` is input_1 from then on, in the code of forward as well.
        return free_name(plain, {name for node in self.graph.nodes for name in (str(node.target), node.name)}.__contains__)

    def run(self) -> fx.GraphModule:
        for name in self.source.inputs:
            self.made[name] = self.graph.placeholder(self._argument(name))
        for node in self.source.nodes:
            builder = BUILDERS.get(type(node.op))
            if builder is None:
                known = ", ".join(sorted(op.__name__ for op in BUILDERS))
                raise NotExportable(
                    f"torch modules cannot say {type(node.op).__name__} (layer {node.source or node.name}). They can say: {known}"
                )
            self.made[node.name] = builder(self, node, node.op)
        results = tuple(self.made[name] for name in self.source.outputs)
        self.graph.output(results[0] if len(results) == 1 else results)
        self.graph.lint()
        return fx.GraphModule(self.root, self.graph, "Rebuilt")
