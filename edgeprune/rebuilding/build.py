"""The table from ops to torch: for each op, the calls it becomes in a torch.fx graph, on modules of torch.nn."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import fx, nn

from ..errors import NotExportable
from ..graph import Array, Graph, Node, Op, Value
from ..ops import (
    Activation,
    AdaptiveAvgPool,
    Add,
    Affine,
    AvgPool,
    BatchNorm,
    Concat,
    Conv,
    Flatten,
    Linear,
    MaxPool,
    Mean,
    Mul,
    Pad,
    Select,
    Slice,
    Softmax,
)

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

    def layer(self, node: Node, module: nn.Module, *inputs: fx.Node) -> fx.Node:
        """A call of `module`, kept under the name of the user's layer."""
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
        path, count = name, 1
        while not self._free(path):
            count += 1
            path = f"{name}_{count}"
        *parents, last = path.split(".")
        where = self.root
        for part in parents:
            if part not in where._modules:
                where.add_module(part, nn.Module())
            child = where._modules[part]
            assert child is not None
            where = child
        where.add_module(last, module)
        return path

    def _free(self, path: str) -> bool:
        """Whether a module can go there: nothing of that name yet, and no layer on the way."""
        where: nn.Module = self.root
        *parents, last = path.split(".")
        for part in parents:
            child = where._modules.get(part)
            if child is None:
                return not hasattr(where, part)
            if type(child) is not nn.Module:
                return False
            where = child
        return not hasattr(where, last)

    def run(self) -> fx.GraphModule:
        for name in self.source.inputs:
            self.made[name] = self.graph.placeholder(name)
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


def parameter(array: Array) -> nn.Parameter:
    return nn.Parameter(torch.from_numpy(np.array(array)))


def flat_pads(pads: tuple[tuple[int, int], ...]) -> list[int]:
    """(before, after) per axis as torch.nn.functional.pad takes them: last axis first."""
    return [n for pair in reversed(pads) for n in pair]


def even(pads: tuple[tuple[int, int], ...]) -> bool:
    return all(before == after for before, after in pads)


@build(Linear)
def _linear(r: Rebuild, node: Node, op: Linear) -> fx.Node:
    outs, ins = op.weight.shape
    layer = nn.Linear(ins, outs, bias=op.bias is not None, dtype=torch.from_numpy(op.weight).dtype)
    layer.weight = parameter(op.weight)
    if op.bias is not None:
        layer.bias = parameter(op.bias)
    return r.layer(node, layer, *r.ins(node))


@build(Conv)
def _conv(r: Rebuild, node: Node, op: Conv) -> fx.Node:
    (x,) = r.ins(node)
    padding = tuple(before for before, _ in op.padding)
    if not even(op.padding):
        x = r.call(F.pad, x, flat_pads(op.padding))
        padding = (0,) * len(op.padding)
    kind: Any = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}[len(op.kernel)]
    layer = kind(
        op.weight.shape[1] * op.groups, op.weight.shape[0], op.kernel, op.stride, padding, op.dilation, op.groups,
        bias=op.bias is not None,
    )  # fmt: skip
    layer.weight = parameter(op.weight)
    if op.bias is not None:
        layer.bias = parameter(op.bias)
    return r.layer(node, layer, x)


@build(BatchNorm)
def _batch_norm(r: Rebuild, node: Node, op: BatchNorm) -> fx.Node:
    axes = len(r.value(node).shape)
    kind: Any = {1: nn.BatchNorm1d, 2: nn.BatchNorm1d, 3: nn.BatchNorm2d, 4: nn.BatchNorm3d}[axes]
    layer = kind(len(op.weight), eps=op.eps)
    layer.weight, layer.bias = parameter(op.weight), parameter(op.bias)
    layer.running_mean, layer.running_var = torch.from_numpy(np.array(op.mean)), torch.from_numpy(np.array(op.var))
    return r.layer(node, layer, *r.ins(node))


@build(Affine)
def _affine(r: Rebuild, node: Node, op: Affine) -> fx.Node:
    (x,) = r.ins(node)
    shape = [-1 if i == op.axis else 1 for i in range(len(r.value(node).shape))]
    if not (op.scale == 1).all():
        x = r.call(torch.mul, x, r.tensor(node, "scale", op.scale.reshape(shape), trained=True))
    if op.shift.any():
        x = r.call(torch.add, x, r.tensor(node, "shift", op.shift.reshape(shape), trained=True))
    return x if x is not r.ins(node)[0] else r.call(torch.clone, x)


FUNCTIONS: dict[str, Callable[..., Any]] = {
    "relu": F.relu, "relu6": F.relu6, "sigmoid": torch.sigmoid, "hard_sigmoid": F.hardsigmoid, "tanh": torch.tanh, "silu": F.silu,
    "hard_swish": F.hardswish, "mish": F.mish, "softplus": F.softplus, "gelu": F.gelu, "abs": torch.abs, "neg": torch.neg,
    "exp": torch.exp, "sqrt": torch.sqrt,
}  # fmt: skip


@build(Activation)
def _activation(r: Rebuild, node: Node, op: Activation) -> fx.Node:
    (x,) = r.ins(node)
    if op.kind == "clip":
        return r.call(torch.clamp, x, None if np.isinf(op.a) else op.a, None if np.isinf(op.b) else op.b)
    if op.kind == "leaky_relu":
        return r.call(F.leaky_relu, x, op.a)
    if op.kind == "elu":
        return r.call(F.elu, x, op.a)
    if op.kind == "gelu_tanh":
        return r.call(F.gelu, x, approximate="tanh")
    if op.kind not in FUNCTIONS:
        raise NotExportable(f"torch modules cannot say the activation {op.kind!r} (layer {node.source or node.name}) yet")
    return r.call(FUNCTIONS[op.kind], x)


@build(Add)
def _add(r: Rebuild, node: Node, op: Add) -> fx.Node:
    return r.call(torch.add, *r.ins(node))


@build(Mul)
def _mul(r: Rebuild, node: Node, op: Mul) -> fx.Node:
    return r.call(torch.mul, *r.ins(node))


@build(MaxPool)
def _max_pool(r: Rebuild, node: Node, op: MaxPool) -> fx.Node:
    (x,) = r.ins(node)
    pool: Any = {1: F.max_pool1d, 2: F.max_pool2d, 3: F.max_pool3d}[len(op.kernel)]
    padding = tuple(before for before, _ in op.padding)
    if not even(op.padding):
        x = r.call(F.pad, x, flat_pads(op.padding), value=float("-inf"))
        padding = (0,) * len(op.padding)
    return r.call(pool, x, op.kernel, op.stride, padding, op.dilation, op.ceil_mode)


@build(AvgPool)
def _avg_pool(r: Rebuild, node: Node, op: AvgPool) -> fx.Node:
    pool: Any = {1: F.avg_pool1d, 2: F.avg_pool2d, 3: F.avg_pool3d}[len(op.kernel)]
    if not even(op.padding) or any(d != 1 for d in op.dilation):
        where = node.source or node.name
        raise NotExportable(f"torch's average pooling has no one-sided padding and no dilation (layer {where})")
    padding = tuple(before for before, _ in op.padding)
    return r.call(pool, *r.ins(node), op.kernel, op.stride, padding, op.ceil_mode, op.count_padding)


@build(AdaptiveAvgPool)
def _adaptive(r: Rebuild, node: Node, op: AdaptiveAvgPool) -> fx.Node:
    pool: Any = {1: F.adaptive_avg_pool1d, 2: F.adaptive_avg_pool2d, 3: F.adaptive_avg_pool3d}[len(op.places)]
    return r.call(pool, *r.ins(node), list(op.places) if len(op.places) > 1 else op.places[0])


@build(Mean)
def _mean(r: Rebuild, node: Node, op: Mean) -> fx.Node:
    value = r.value(node)
    return r.call(torch.mean, *r.ins(node), [i + 1 for i in range(len(value.shape)) if i != value.axis])


@build(Flatten)
def _flatten(r: Rebuild, node: Node, op: Flatten) -> fx.Node:
    return r.call(torch.flatten, *r.ins(node), 1)


@build(Concat)
def _concat(r: Rebuild, node: Node, op: Concat) -> fx.Node:
    return r.call(torch.cat, r.ins(node), r.value(node).axis + 1)


@build(Select)
def _select(r: Rebuild, node: Node, op: Select) -> fx.Node:
    (x,) = r.ins(node)
    picked = r.call(torch.index_select, x, op.axis + 1, r.tensor(node, "index", np.maximum(op.index, 0), trained=False))
    if (op.index >= 0).all():
        return picked
    shape = [-1 if i == op.axis else 1 for i in range(len(r.value(node).shape))]
    present = (op.index >= 0).astype(r.source.dtype).reshape(shape)
    return r.call(torch.mul, picked, r.tensor(node, "present", present, trained=False))


@build(Slice)
def _slice(r: Rebuild, node: Node, op: Slice) -> fx.Node:
    parts = (slice(None), slice(None), *(slice(a, b, s) for a, b, s in zip(op.start, op.stop, op.step, strict=True)))
    return r.call(operator.getitem, *r.ins(node), parts)


@build(Pad)
def _pad(r: Rebuild, node: Node, op: Pad) -> fx.Node:
    return r.call(F.pad, *r.ins(node), flat_pads(op.amount), value=op.fill)


@build(Softmax)
def _softmax(r: Rebuild, node: Node, op: Softmax) -> fx.Node:
    return r.call(F.log_softmax if op.log else F.softmax, *r.ins(node), dim=op.axis + 1)
