"""One table a format: what it writes for each op."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from ..errors import NotExportable
from ..graph import Graph, Node, Op

Function = TypeVar("Function", bound=Callable[[Any, Any], None])


# How many bytes a file of flatbuffers or protobuf may have.
LARGEST = 2_000_000_000


class Lowerings:
    """`@lower(Conv)` above a function makes it the one that writes Conv nodes."""

    def __init__(self, format: str) -> None:
        self.format = format
        self.functions: dict[type[Op], Callable[[Any, Any], None]] = {}

    def __call__(self, *ops: type[Op]) -> Callable[[Function], Function]:
        def register(function: Function) -> Function:
            self.functions.update(dict.fromkeys(ops, function))
            return function

        return register

    def run(self, writer: Any, node: Node) -> None:
        """Writes the node. Raises NotExportable when the format cannot say its op."""
        function = self.functions.get(type(node.op))
        if function is None:
            can = ", ".join(sorted(op.__name__ for op in self.functions))
            raise NotExportable(f"{self._cannot(node)}. It can say: {can}")
        function(writer, node)

    def refusal(self, node: Node, why: str) -> NotExportable:
        """The error for an op the format knows in a form it cannot say; `why` names the form and what would do."""
        return NotExportable(f"{self._cannot(node)}: {why}")

    def check_size(self, graph: Graph, size: int) -> None:
        """Raises NotExportable, naming the largest layer, when a file of `size` bytes is more than the format can address."""
        if size > LARGEST:
            node = max(graph.nodes, key=lambda n: sum(a.nbytes for a in n.op.arrays.values()))
            why = f"{self.format} files end at 2 GB, and with it this one has {size / 1e9:.1f}; prune more, or export to C"
            raise self.refusal(node, why)

    def _cannot(self, node: Node) -> str:
        return f"{self.format} cannot say {type(node.op).__name__} (layer {node.source or node.name})"
