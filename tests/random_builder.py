"""What random graphs are built with: weights with dead parts, layers for any value, several inputs and outputs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from edgeprune.graph import Graph, Node, Op, Value
from edgeprune.ops import Activation, Add, Affine, Binary, Concat, Join, Linear, Mul, PReLU, Select, Softmax

# Those that are continuous: a step makes a difference of any two roundings.
KINDS = (
    "relu", "relu6", "sigmoid", "hard_swish", "leaky_relu", "tanh", "clip", "elu", "hard_sigmoid", "silu", "mish", "softplus",
    "gelu", "gelu_tanh", "abs", "neg", "softsign", "soft_shrink", "erf", "sin", "cos",
)  # fmt: skip
PLAIN_KINDS = KINDS[:6]
SETTINGS = {"leaky_relu": (0.1, 0.0), "clip": (-0.5, 0.8), "elu": (0.7, 0.0), "soft_shrink": (0.2, 0.0)}


class Builder:
    """Adds nodes in running order; every choice comes from one seeded generator."""

    def __init__(self, rng: np.random.Generator, dtype: type, *, whole: bool) -> None:
        self.rng, self.dtype, self.whole = rng, dtype, whole
        self.inputs: dict[str, Value] = {}
        self.nodes: list[Node] = []
        # Sequences pass through many layers in a row: with more zeros little of them would stay alive.
        self.mild = False
        self.values: dict[str, Value] = {}

    def input(self, value: Value, name: str = "input") -> str:
        if name in self.inputs:
            name = f"{name}{len(self.inputs)}"
        self.inputs[name] = self.values[name] = value
        return name

    def add(self, op: Op, *inputs: str) -> str:
        name = f"{type(op).__name__.lower()}_{len(self.nodes)}"
        self.values[name] = op.value(*(self.values[i] for i in inputs))
        self.nodes.append(Node(name, op, inputs, source=f"layer{len(self.nodes)}"))
        return name

    def graph(self, last: str, *also: str) -> Graph:
        """The graph up to its output, which gets that name, and other outputs."""
        names = {last: "output", **{name: f"output_{i}" for i, name in enumerate(also, 1) if name != last}}
        nodes = [
            replace(n, name=names.get(n.name, n.name), inputs=tuple(names.get(i, i) for i in n.inputs)) for n in self.nodes
        ]
        return Graph(self.inputs, tuple(names.values()), tuple(nodes)).with_nodes(nodes)

    # -- numbers ---------------------------------------------------------------------------------------------------

    def chance(self, of: float) -> bool:
        return bool(self.rng.random() < of)

    def numbers(self, *shape: int) -> np.ndarray:
        return self.rng.standard_normal(shape).astype(self.dtype)

    def bias(self, n: int) -> np.ndarray | None:
        """None, zeros, or numbers some of which are zero: dead channels then hold zero or something else."""
        kind = self.rng.integers(4)
        if kind == 0:
            return None
        bias = self.numbers(n)
        bias[self.rng.random(n) < 0.3] = 0
        return np.zeros_like(bias) if kind == 1 else bias

    def sparse(self, *shape: int) -> np.ndarray:
        """Weights with zeros, dead rows and dead columns; sometimes all zero. What they make is as large as what they read."""
        weight = self.numbers(*shape)
        if self.mild:
            weight[self.rng.random(shape[0]) < 0.25] = 0
            weight[:, self.rng.random(shape[1]) < 0.1] = 0
        else:
            weight[self.rng.random(shape) < self.rng.choice([0.0, 0.5, 0.9])] = 0
            weight[self.rng.random(shape[0]) < 0.35] = 0
            weight[:, self.rng.random(shape[1]) < 0.25] = 0
            if self.chance(0.04):
                weight[:] = 0
        read = (weight != 0).reshape(shape[0], -1).sum(1).max()
        return (weight / np.sqrt(max(read, 1))).astype(self.dtype)

    # -- layers of any value ---------------------------------------------------------------------------------------

    def activation(self, x: str) -> str:
        kind = str(self.rng.choice(KINDS if self.whole else PLAIN_KINDS))
        return self.add(Activation(kind, *SETTINGS.get(kind, ())), x)

    def affine(self, x: str) -> str:
        n = self.values[x].channels
        return self.add(Affine(self.numbers(n), self.numbers(n), self.values[x].axis), x)

    def prelu(self, x: str) -> str:
        return self.add(PReLU(self.numbers(self.values[x].channels), self.values[x].axis), x)

    def linear(self, x: str, out: int | None = None) -> str:
        out = out or int(self.rng.integers(1, 7))
        return self.add(Linear(self.sparse(out, self.values[x].channels), self.bias(out)), x)

    def softmax(self, x: str) -> str:
        return self.add(Softmax(int(self.rng.integers(len(self.values[x].shape))), self.chance(0.2)), x)

    def functions(self, x: str) -> str:
        """Quotients and powers of what is safely positive, the larger and the smaller of two."""
        y = self.add(Activation(str(self.rng.choice(["sigmoid", "softplus", "cos"]))), x)
        one = np.ones(self.values[x].channels, self.dtype)
        y = self.add(Affine(one, 2 * one, self.values[x].axis), y)
        kind = int(self.rng.integers(6))
        if kind < 2:
            return self.add(Binary(("max", "min")[kind]), x, y)
        if kind == 2:
            return self.add(Binary("pow"), y, self.add(Activation("sigmoid"), x))
        if kind == 3:
            return self.add(Activation("pow", -0.5), y)
        return self.add(Binary("div"), x, y)

    def other_input(self, x: str) -> str:
        """Another input of the same shape: joined, added, multiplied."""
        if len(self.inputs) > 2:
            return x
        y, axis = self.input(self.values[x]), self.values[x].axis
        kind = int(self.rng.integers(3))
        if kind == 2:
            return self.add(Concat() if axis == 0 else Join(axis, axis), x, y)
        return self.add((Add(), Mul())[kind], x, y)

    def shared(self, x: str, layer: Callable[[str], str]) -> str:
        """One layer used twice, on its own result or on another value."""
        y = layer(x)
        op = self.nodes[-1].op
        if self.values[y] != self.values[x] or self.nodes[-1].inputs != (x,):
            return y
        turned = Select(self.rng.permutation(self.values[x].channels), self.values[x].axis)
        z = self.add(op, y if self.chance(0.5) else self.add(turned, x))
        return self.add(Add(), y, z)

    def some_of(self, names: Sequence[str], most: int) -> list[str]:
        """Some nodes that make good outputs beside the last."""
        names = [n for n in names if n not in self.inputs]
        return [str(n) for n in self.rng.choice(names, min(int(self.rng.integers(1, most + 1)), len(names)), replace=False)]
