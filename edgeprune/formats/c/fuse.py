"""Tasks: nodes with what is done on their result before it is stored."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ...graph import Graph, Node, Op
from ...ops import Activation, Add, Affine, BatchNorm, Binary, Conv, ConvTranspose, Linear, Mul, PReLU

LARGEST = 3.4028234663852886e38  # of float32


@dataclass(frozen=True)
class Act:
    """`low` and `high` bound what is stored."""

    low: float
    high: float


@dataclass(frozen=True)
class Task(Node):
    """A node whose result is added to `residual` and bounded by `act` on its way to memory. `name` is the value it ends as."""

    residual: str | None = None
    act: Act | None = None
    node: str = ""  # the node whose op it is


_BOUNDED: tuple[type[Op], ...] = (Conv, ConvTranspose, Linear, Add, Mul, Binary, PReLU, Affine, BatchNorm)


def act_of(op: Op) -> Act | None:
    """The bounds of an activation that is nothing but bounds."""
    if not isinstance(op, Activation):
        return None
    return {"relu": Act(0.0, LARGEST), "relu6": Act(0.0, 6.0), "clip": Act(op.a, op.b)}.get(op.kind)


def tasks_of(graph: Graph) -> tuple[Task, ...]:
    """Joins a convolution with the sum that alone reads it, and both with the bounds that alone read them.

    Before:  a = Conv(x);  b = Add(a, y);  c = Activation(relu, b)
    After:   c = Conv(x) + y, bounded
    """
    readers: Mapping[str, Sequence[Node]] = graph.readers
    alone = {name: r[0] for name, r in readers.items() if len(r) == 1 and name not in graph.outputs}
    made_at = {name: i for i, name in enumerate(graph.values)}
    taken: set[str] = set()
    tasks = []
    for node in graph.nodes:
        if node.name in taken:
            continue
        end, residual, act = node, None, None
        follower = alone.get(end.name)
        if isinstance(node.op, Conv) and follower is not None and isinstance(follower.op, Add):
            other = [name for name in follower.inputs if name != end.name]
            same = (
                len(other) == 1 and other[0] not in graph.inputs and graph.values[other[0]].shape == graph.values[end.name].shape
            )
            # The other side must be there when the convolution runs: of two convolutions the later one takes the sum.
            if same and not (
                isinstance(_maker(graph, other[0]), Conv) and other[0] in alone and made_at[other[0]] > made_at[end.name]
            ):
                end, residual = follower, other[0]
                follower = alone.get(end.name)
        if isinstance(node.op, _BOUNDED) and follower is not None and act_of(follower.op) is not None:
            end, act = follower, act_of(follower.op)
        chain = [node.name]
        while chain[-1] != end.name:
            chain.append(alone[chain[-1]].name)
        taken.update(chain)
        task = Task(end.name, node.op, node.inputs, node.source or node.name, residual, act, node.name)
        tasks.append((made_at[end.name], task))
    # A task runs where its last node stood.
    return tuple(task for _, task in sorted(tasks, key=lambda pair: pair[0]))


def _maker(graph: Graph, name: str) -> Op | None:
    return next((node.op for node in graph.nodes if node.name == name), None)
