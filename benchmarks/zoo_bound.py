"""The bound that keeps ties: how few weights a network has left when nothing but whole channels, tied ones together, may leave.

Written apart from the passes, and from what ops say of their own ties, which it is held against. A channel of a value is alive
when an output depends on it and it varies; channels that one sum, gate, attention or normalization must hold side by side are one
class, found by sending numbers instead of activations through the ops that only move things. A class with an alive member
stays, in every value that holds it. What stays of a layer is its rows times its columns.
"""

from __future__ import annotations

from typing import Any

import numpy as np

LAYERS = ("Linear", "Conv", "ConvTranspose")
SIDE_BY_SIDE = ("Add", "Sub", "Mul", "Div", "Join")  # a channel stands in all inputs or in none
MOVES = ("Select", "Rearrange", "Flatten", "Concat", "Reshape")
SAME = (
    "Activation", "AdaptiveAvgPool", "Affine", "AvgPool", "BatchNorm", "Cut", "FromWindows", "LayerNorm", "MaxPool", "Mean", "PadTo",
    "PadWith", "ToWindows",
)  # fmt: skip


class Classes:
    """Channels that stay or leave together."""

    def __init__(self) -> None:
        self.parent: list[int] = []

    def fresh(self, count: int) -> Any:
        first = len(self.parent)
        self.parent.extend(range(first, first + count))
        return np.arange(first, first + count)

    def of(self, member: int) -> int:
        while self.parent[member] != member:
            self.parent[member] = self.parent[self.parent[member]]
            member = self.parent[member]
        return member

    def unite(self, *members: Any) -> None:
        for together in zip(*members, strict=True):
            for other in together[1:]:
                self.parent[self.of(int(other))] = self.of(int(together[0]))


def classes_of(graph: Any) -> tuple[Classes, dict[str, Any]]:
    """Per value, the class of each of its channels. Raises NotImplementedError at an op this does not know."""
    classes = Classes()
    held = {name: classes.fresh(v.channels) for name, v in graph.inputs.items()}
    for node in graph.nodes:
        kind, out, ins = type(node.op).__name__, graph.values[node.name], graph.ins(node)
        reads = [held[name] for name in node.inputs]
        depthwise = kind == "Conv" and node.op.groups == ins[0].channels == out.channels
        if kind == "Constant" or (kind in LAYERS and not depthwise):
            held[node.name] = classes.fresh(out.channels)
        elif depthwise or (kind in SAME and out.channels == ins[0].channels):
            held[node.name] = reads[0]
        elif kind in SIDE_BY_SIDE and {v.channels for v in ins} == {out.channels}:
            classes.unite(*reads)
            held[node.name] = reads[0]
        elif kind in ("Attention", "WindowAttention"):
            classes.unite(*reads[:2])
            held[node.name] = reads[2]
        elif kind in (*MOVES, *SAME, "Join"):
            held[node.name] = moved(classes, node.op, ins, reads, out)
        else:
            raise NotImplementedError(f"{node.name}: the bound does not know what {kind} ties")
        assert len(held[node.name]) == out.channels, f"{node.name}: {kind} makes {out.channels} channels"
    return classes, held


def moved(classes: Classes, op: Any, ins: Any, reads: list[Any], out: Any) -> Any:
    """The classes behind an op that only moves things: it moves their numbers; what meets in one channel becomes one class."""
    numbers = []
    for value, members in zip(ins, reads, strict=True):
        shape = [1] * len(value.shape)
        shape[value.axis] = value.channels
        numbers.append(np.broadcast_to(members.reshape(shape), value.shape)[None].astype(np.float64))
    rows = np.moveaxis(op.run(*numbers)[0], out.axis, 0).reshape(out.channels, -1).astype(np.int64)
    for row in rows:
        meeting = np.unique(row)
        classes.unite(*([m] for m in meeting)) if len(meeting) > 1 else None
    return rows[:, 0]


def alive(graph: Any) -> dict[str, Any]:
    """Per value, the channels that vary and that an output depends on by nonzero weights and varying channels alone."""
    from edgeprune.passes import constants

    varies = {name: np.isnan(held) for name, held in constants(graph).items()}
    needed = {name: np.zeros(v.channels, bool) for name, v in graph.values.items()}
    for name in graph.outputs:
        needed[name][:] = True
    for node in reversed(graph.nodes):
        through = needed[node.name] & varies[node.name]
        if through.any():
            # The length of a query holds its constants, too; everything else can hold them in a bias.
            fixed = getattr(node.op, "cosine", None) is not None
            for name, mask in zip(node.inputs, node.op.needs(graph.ins(node), through), strict=True):
                needed[name] |= mask & (varies[name] | fixed)
    return needed


def matrices(graph: Any) -> int:
    """The numbers in weights of two or more axes."""
    return sum(a.size for n in graph.nodes if type(n.op).__name__ in LAYERS for k, a in n.op.arrays.items() if k == "weight")


def carriers(graph: Any, classes: Classes, held: dict[str, Any], stays: set[int]) -> None:
    """A zero-padded convolution sees where a constant ends: it reads one constant channel in every group that had any."""
    from edgeprune.passes import constants

    holds = constants(graph)
    for node in graph.nodes:
        if type(node.op).__name__ != "Conv" or not node.op.padded or node.op.groups == graph.values[node.name].channels:
            continue
        members = [classes.of(int(m)) for m in held[node.inputs[0]]]
        rows = np.array([classes.of(int(m)) in stays for m in held[node.name]])
        weight = np.where(rows.reshape(-1, *[1] * (node.op.weight.ndim - 1)), node.op.weight, 0)
        reads = np.concatenate([(part != 0).any((0, *range(2, part.ndim))) for part in np.split(weight, node.op.groups)])
        constant = holds[node.inputs[0]]
        read = reads & ~np.isnan(constant) & (constant != 0)
        for group in np.split(np.arange(len(members)), node.op.groups):
            constants_read = [members[i] for i in group if read[i]]
            if constants_read and not stays.intersection(constants_read):
                stays.add(constants_read[0])


def even_groups(graph: Any, classes: Classes, held: dict[str, Any], stays: set[int]) -> None:
    """A grouped convolution is as wide in every group as in its widest, and attention in every head that stays."""
    before = -1
    while before != (before := len(stays)):
        for node in graph.nodes:
            heads = "Attention" in type(node.op).__name__
            groups = node.op.heads if heads else getattr(node.op, "groups", 1)
            if groups == 1 or groups == graph.values[node.name].channels:
                continue
            for name in (node.inputs[1], node.name) if heads else (node.inputs[0], node.name):
                members = [[classes.of(int(m)) for m in part] for part in np.split(held[name], groups)]
                widest = max(sum(m in stays for m in part) for part in members)
                for part in members:
                    spare = [m for m in part if m not in stays]
                    if len(spare) < len(part) or not heads:
                        stays.update(spare[: max(0, widest - (len(part) - len(spare)))])


def tied(graph: Any) -> int:
    """The weights of layers that must stay where ties are kept and outputs keep all their channels."""
    classes, held = classes_of(graph)
    living = alive(graph)
    stays: set[int] = set()
    for name, members in held.items():
        whole = name in graph.inputs or name in graph.outputs
        stays.update(classes.of(int(m)) for m, a in zip(members, living[name], strict=True) if a or whole)
    carriers(graph, classes, held, stays)
    even_groups(graph, classes, held, stays)
    exists = {name: np.array([classes.of(int(m)) in stays for m in members]) for name, members in held.items()}
    total = 0
    for node in graph.nodes:
        if type(node.op).__name__ not in LAYERS:
            continue
        groups = getattr(node.op, "groups", 1)
        rows, columns = exists[node.name].reshape(groups, -1), exists[node.inputs[0]].reshape(groups, -1)
        taps = node.op.weight.size // (rows.shape[1] * columns.shape[1] * groups)
        total += int((rows.sum(1) * columns.sum(1)).sum()) * taps
    return total
