"""Random graphs that hold every situation removal has to get right, for hypothesis."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from hypothesis import strategies as st

from edgeprune.graph import Graph, Node, Op, Value
from edgeprune.ops import (
    GRU,
    LSTM,
    Activation,
    AdaptiveAvgPool,
    AdaptiveMaxPool,
    Add,
    Affine,
    Attention,
    AvgPool,
    BatchNorm,
    Binary,
    Concat,
    Constant,
    Conv,
    ConvTranspose,
    Cut,
    Embedding,
    Flatten,
    GroupNorm,
    Join,
    LayerNorm,
    Linear,
    MaxPool,
    Mean,
    Mul,
    Normalize,
    Pad,
    PadWith,
    PReLU,
    Rearrange,
    Reduce,
    Roll,
    Select,
    Slice,
    Take,
    Upsample,
)

KINDS = ("relu", "relu6", "sigmoid", "hard_swish", "leaky_relu", "tanh")


class Builder:
    """Adds nodes in running order; every choice comes from one seeded generator."""

    def __init__(self, rng: np.random.Generator, dtype: type) -> None:
        self.rng, self.dtype = rng, dtype
        self.inputs: dict[str, Value] = {}
        self.nodes: list[Node] = []
        # Sequences pass through many layers in a row: with more zeros little of them would stay alive.
        self.mild = False
        self.values: dict[str, Value] = {}

    def input(self, value: Value) -> str:
        name = "input" if not self.inputs else f"input_{len(self.inputs)}"
        self.inputs[name] = self.values[name] = value
        return name

    def add(self, op: Op, *inputs: str) -> str:
        name = f"{type(op).__name__.lower()}_{len(self.nodes)}"
        self.values[name] = op.value(*(self.values[i] for i in inputs))
        self.nodes.append(Node(name, op, inputs, source=f"layer{len(self.nodes)}"))
        return name

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
        """Weights with zeros, dead rows and dead columns; sometimes all zero."""
        weight = self.numbers(*shape)
        if self.mild:
            weight[self.rng.random(shape[0]) < 0.25] = 0
            weight[:, self.rng.random(shape[1]) < 0.1] = 0
            return weight
        weight[self.rng.random(shape) < self.rng.choice([0.0, 0.5, 0.9])] = 0
        weight[self.rng.random(shape[0]) < 0.35] = 0
        weight[:, self.rng.random(shape[1]) < 0.25] = 0
        if self.rng.random() < 0.04:
            weight[:] = 0
        return weight

    # -- layers ----------------------------------------------------------------------------------------------------

    def conv(self, x: str, out: int | None = None, keep_size: bool = False) -> str:
        value = self.values[x]
        channels = value.channels
        kernel = int(self.rng.choice([1, 3, 3, 5 if min(value.shape[1:]) >= 5 else 3]))
        if min(value.shape[1:]) < kernel:
            kernel = 1
        dilation = 2 if kernel == 3 and min(value.shape[1:]) >= 5 and self.rng.random() < 0.2 else 1
        reach = dilation * (kernel - 1)
        stride = 1 if keep_size else int(self.rng.choice([1, 1, 2]))
        same = ((reach // 2, reach - reach // 2),) * 2
        padding = same if keep_size or self.rng.random() < 0.7 else ((0, 0), (0, 0))
        if not keep_size and self.rng.random() < 0.15:
            padding = ((0, 1), (1, 0))
        groups, out = 1, out or int(self.rng.integers(1, 7))
        kind = self.rng.random()
        if kind < 0.2:
            groups, out = channels, channels if keep_size else channels * int(self.rng.choice([1, 1, 2]))
        elif kind < 0.35 and channels % 2 == 0 and out % 2 == 0:
            groups = 2
        if keep_size and out % groups:
            groups = 1
        weight = self.sparse(out, channels // groups, kernel, kernel)
        op = Conv(weight, self.bias(out), (stride, stride), padding, (dilation, dilation), groups)
        return self.add(op, x)

    def batch_norm(self, x: str) -> str:
        n = self.values[x].channels
        scale, shift = self.numbers(n), self.numbers(n)
        scale[self.rng.random(n) < 0.15] = 0
        shift[self.rng.random(n) < 0.3] = 0
        return self.add(BatchNorm(scale, shift, self.numbers(n), np.abs(self.numbers(n)) + self.dtype(0.1)), x)

    def activation(self, x: str) -> str:
        kind = str(self.rng.choice(KINDS))
        return self.add(Activation(kind, 0.1 if kind == "leaky_relu" else 0.0), x)

    def pool(self, x: str) -> str:
        size = min(self.values[x].shape[1:])
        if size < 3:
            return x
        kernel = int(self.rng.choice([2, 3]))
        pad = ((1, 1), (1, 1)) if kernel == 3 and self.rng.random() < 0.5 else ((0, 0), (0, 0))
        ceil = bool(self.rng.random() < 0.3)
        if self.rng.random() < 0.5:
            return self.add(MaxPool((kernel, kernel), (2, 2), pad, (1, 1), ceil), x)
        return self.add(AvgPool((kernel, kernel), (2, 2), pad, (1, 1), ceil, bool(self.rng.random() < 0.5)), x)

    def residual(self, x: str) -> str:
        y = self.conv(x, self.values[x].channels, keep_size=True)
        if self.rng.random() < 0.7:
            y = self.batch_norm(y)
        if self.values[y] != self.values[x]:
            return y
        return self.add(Add(), x, y)

    def gate(self, x: str) -> str:
        """Squeeze and excite."""
        n = self.values[x].channels
        y = self.add(AdaptiveAvgPool((1, 1)), x)
        y = self.add(Conv(self.sparse(2, n, 1, 1), self.bias(2)), y)
        y = self.activation(y)
        y = self.add(Conv(self.sparse(n, 2, 1, 1), self.bias(n)), y)
        return self.add(Mul(), x, self.add(Activation("hard_sigmoid"), y))

    def branch(self, x: str) -> str:
        a, b = self.conv(x, keep_size=True), self.conv(x, keep_size=True)
        if self.values[a].shape[1:] != self.values[b].shape[1:]:
            return a
        return self.add(Concat(), a, b, x)

    def move(self, x: str) -> str:
        """Slices, shuffles and zero channels, places cut and padded."""
        n, kind = self.values[x].channels, self.rng.integers(4)
        if kind == 0:
            return self.add(Select(self.rng.permutation(n)), x)
        if kind == 1:
            return self.add(Select(np.concatenate([[-1], np.arange(n)[:: int(self.rng.integers(1, 3))], [-1]])), x)
        if kind == 2 and min(self.values[x].shape[1:]) >= 3:
            return self.add(Slice((0, 0), (None, None), (2, 2)), x)
        return self.add(Pad(((1, 0), (0, 1))), x)

    def affine(self, x: str) -> str:
        n = self.values[x].channels
        return self.add(Affine(self.numbers(n), self.numbers(n), self.values[x].axis), x)

    def linear(self, x: str, out: int | None = None) -> str:
        out = out or int(self.rng.integers(1, 7))
        return self.add(Linear(self.sparse(out, self.values[x].channels), self.bias(out)), x)

    # -- more of maps ----------------------------------------------------------------------------------------------

    def group_norm(self, x: str) -> str:
        n = self.values[x].channels
        groups = int(self.rng.choice([g for g in (1, 2, 3, n) if n % g == 0]))
        scale = self.numbers(n)
        scale[self.rng.random(n) < 0.3] = 0
        return self.add(GroupNorm(scale, self.numbers(n), groups, 0.1), x)

    def pixels(self, x: str) -> str:
        """Channels become places, or places channels."""
        c, h, w = self.values[x].shape
        if c % 4 == 0 and self.rng.random() < 0.5:
            return self.add(Rearrange(((-1, 2, 2), (-1,), (-1,)), (0, 3, 1, 4, 2), (1, 2, 2), 0, 0), x)
        if h % 2 == 0 and w % 2 == 0:
            return self.add(Rearrange(((-1,), (-1, 2), (-1, 2)), (0, 2, 4, 1, 3), (3, 1, 1), 0, 0), x)
        return self.add(Roll((0, 1, -2)), x)

    def two_values(self, x: str) -> str:
        y = self.conv(x, self.values[x].channels, keep_size=True)
        if self.values[y] != self.values[x]:
            return y
        kind = int(self.rng.integers(4))
        return self.add((Mul(), Binary("max"), Binary("min"), Join(1, 0))[kind], x, y)

    def transposed(self, x: str) -> str:
        n = self.values[x].channels
        groups = int(self.rng.choice([g for g in (1, 1, 2, n) if n % g == 0]))
        weight = self.sparse(n, int(self.rng.integers(1, 4)), 2, 3)
        out = weight.shape[1] * groups
        return self.add(ConvTranspose(weight, self.bias(out), (2, 1), (0, 1), (1, 0), (1, 1), groups), x)

    def resize(self, x: str) -> str:
        kind = int(self.rng.integers(4))
        if kind == 0:
            return self.add(Upsample("linear", (1.5, 2.0)), x)
        if kind == 1:
            return self.add(Upsample("nearest", None, (3, 4)), x)
        if kind == 2:
            return self.add(PadWith("replicate", ((1, 0), (0, 2))), x)
        return self.add(AdaptiveMaxPool((3, None)), x)

    def prelu(self, x: str) -> str:
        return self.add(PReLU(self.numbers(self.values[x].channels), self.values[x].axis), x)

    # -- sequences -------------------------------------------------------------------------------------------------

    def sequence(self, x: str) -> str:
        """(C, H, W) as (H * W, C)."""
        return self.add(Rearrange(((-1,), (-1,), (-1,)), (1, 2, 0), (2, 1), 0, 1), x)

    def layer_norm(self, x: str) -> str:
        value = self.values[x]
        scale = self.numbers(value.channels)
        scale[self.rng.random(value.channels) < 0.3] = 0
        return self.add(LayerNorm(scale, self.bias(value.channels), 0.1, value.axis, bool(self.rng.random() < 0.7)), x)

    def attention(self, x: str, source: str | None = None) -> str:
        """Self-attention, or attention from x to `source`; heads die as a whole or in part."""
        heads, of_keys, of_values = (int(n) for n in self.rng.integers(1, 4, 3))
        source = source or x
        q = self.linear(x, heads * of_keys)
        k, v = self.linear(source, heads * of_keys), self.linear(source, heads * of_values)
        lengths = self.values[q].shape[-2], self.values[k].shape[-2]
        bias = self.numbers(int(self.rng.choice([1, heads])), *lengths) if self.rng.random() < 0.5 else None
        cosine = 0.1 if self.rng.random() < 0.3 else None
        gain = self.numbers(heads) if self.rng.random() < 0.3 else None
        return self.add(Attention(heads, 0.7, bias, gain, cosine), q, k, v)

    def windows(self, x: str) -> str:
        """Attention within windows of two places, and the sequence again."""
        places, _ = self.values[x].shape
        if places % 2:
            return self.add(Roll((1, 0)), x)
        y = self.add(Rearrange(((-1, 2), (-1,)), (0, 1, 2), (1, 1, 1), 1, 2), x)
        y = self.attention(y)
        return self.add(Rearrange(((-1,), (2,), (-1,)), (0, 1, 2), (2, 1), 2, 1), y)

    def residual_of(self, x: str, step: Callable[[str], str]) -> str:
        y = self.linear(step(x), self.values[x].channels)
        return self.add(Add(), x, y) if self.values[y] == self.values[x] else y

    def units(self, x: str) -> str:
        return self.activation(self.linear(self.layer_norm(x)))

    def places(self, x: str) -> str:
        """Positions cut, picked, rolled; a constant added or joined."""
        places, n = self.values[x].shape
        kind = int(self.rng.integers(6))
        if kind == 0 and places > 2:
            return self.add(Cut(0, 1, None, 2), x)
        if kind == 1:
            return self.add(Take(self.rng.integers(places, size=3), 0), x)
        token = self.numbers(1 if kind < 4 else places, n)
        token[:, self.rng.random(n) < 0.4] = 0
        stored = self.add(Constant(token, 1), next(iter(self.inputs)))
        if kind < 4:
            return self.add(Join(0, 1), stored, x)
        return self.add(Add(), x, stored)

    def recurrent(self, x: str) -> str:
        """An LSTM or GRU, some of whose units nothing enters."""
        units, kind = int(self.rng.integers(1, 5)), LSTM if self.rng.random() < 0.5 else GRU
        rows = 4 if kind is LSTM else 3
        weights = [self.sparse(rows * units, self.values[x].channels), self.sparse(rows * units, units)]
        biases = [self.numbers(rows * units), self.numbers(rows * units)]
        for array in (*weights, *biases):
            array.reshape(rows, units, -1)[2, self.rng.random(units) < 0.5] = 0
        weights[1][:, self.rng.random(units) < 0.4] = 0
        made = self.add(kind(*weights, *biases, bool(self.rng.random() < 0.5)), x)
        # What follows reads some units only; the others may still feed those.
        reader = self.sparse(3, units)
        reader[:, self.rng.random(units) < 0.5] = 0
        return self.add(Linear(reader), made)

    def swap(self, x: str) -> str:
        """Channels and places change their roles and come back."""
        y = self.add(Rearrange(((-1,), (-1,)), (1, 0), (1, 1), 1, 1), x)
        y = self.linear(y, self.values[y].channels)
        return self.add(Rearrange(((-1,), (-1,)), (1, 0), (1, 1), 1, 1), y)

    def vector(self, x: str) -> str:
        """A sequence as a vector: its mean, its first place, or all of it."""
        kind = int(self.rng.integers(4))
        if kind == 0:
            return self.add(Reduce("mean", (0,)), x)
        if kind == 1:
            return self.add(Rearrange(((), (-1,)), (0,), (1,), 1, 0), self.add(Cut(0, 0, 1), x))
        if kind == 2:
            return self.add(Reduce("max", (0,)), self.add(Normalize(1, 0.1), x))
        return self.add(Rearrange(((-1,), (-1,)), (0, 1), (2,), 1, 0), x)


def _map(b: Builder, rng: np.random.Generator, depth: int, coming: bool) -> str:
    x = b.input(Value((int(rng.integers(1, 4)), int(rng.integers(5, 9)), int(rng.integers(5, 9)))))
    steps = [
        b.conv, b.conv, b.conv, b.batch_norm, b.activation, b.pool, b.residual, b.residual, b.gate, b.branch, b.move, b.affine,
    ]  # fmt: skip
    if coming:
        steps += [b.group_norm, b.pixels, b.two_values, b.layer_norm, b.transposed, b.resize, b.prelu]
    for _ in range(depth):
        x = steps[int(rng.integers(len(steps)))](x)
        if b.values[x].channels > 24:
            x = b.conv(x, 6)
        if coming and b.values[x].positions > 150:
            x = b.add(Slice((0, 0), (None, None), (2, 2)), x)
    if coming and rng.random() < 0.2 and b.values[x].positions < 40:
        b.mild = True
        return b.vector(b.residual_of(b.sequence(x), b.attention))
    return b.add(Flatten(), x) if rng.random() < 0.6 else b.add(Mean(), x)


def _sequence(b: Builder, rng: np.random.Generator, depth: int) -> str:
    b.mild = True
    if rng.random() < 0.5:
        x = b.sequence(b.conv(b.input(Value((2, 4, 3)))))
    else:
        x = b.input(Value((int(rng.integers(2, 6)), int(rng.integers(2, 6))), 1))
        if rng.random() < 0.3:
            table = b.sparse(4, int(rng.integers(2, 6)))
            x = b.add(Embedding(table), b.add(Reduce("max", (0,)), b.add(Activation("floor"), b.add(Activation("sigmoid"), x))))
    x = b.linear(x, int(rng.integers(2, 7)))
    steps = [
        lambda x: b.residual_of(x, b.attention),
        lambda x: b.residual_of(x, b.attention),
        lambda x: b.residual_of(x, lambda x: b.attention(b.layer_norm(x))),
        lambda x: b.residual_of(x, b.units),
        lambda x: b.residual_of(x, b.windows),
        lambda x: b.attention(x, b.places(x)),
        b.layer_norm,
        b.places,
        b.swap,
        b.recurrent,
        b.prelu,
        b.activation,
        b.affine,
        b.linear,
    ]
    for _ in range(depth):
        x = steps[int(rng.integers(len(steps)))](x)
    return b.vector(x)


def build(seed: int, depth: int, *, convolutional: bool = True, coming: bool = False, dtype: type = np.float64) -> Graph:
    """One random graph: a trunk of `depth` random steps on a map, a sequence or a vector, then a classifier.

    `coming`: also ops that no format writes yet, and sequences with them.
    """
    rng = np.random.default_rng(seed)
    b = Builder(rng, dtype)
    if not convolutional:
        x = b.input(Value((int(rng.integers(2, 9)),)))
    elif coming and rng.random() < 0.5:
        x = _sequence(b, rng, depth)
    else:
        x = _map(b, rng, depth, coming)
    for _ in range(int(rng.integers(0, 3)) if convolutional else depth):
        y = b.linear(x)
        if rng.random() < 0.3:
            y = b.add(Add(), y, b.linear(x, b.values[y].channels))
        x = b.activation(y)
    x = b.linear(x, 4)
    nodes = [*b.nodes[:-1], Node("output", b.nodes[-1].op, b.nodes[-1].inputs)]
    return Graph(b.inputs, ("output",), tuple(nodes)).with_nodes(nodes)


def random_graphs(**settings: object) -> st.SearchStrategy[Graph]:
    """Graphs by seed and depth; hypothesis reports the smallest depth that fails, and its seed."""
    return st.builds(
        lambda depth, seed, conv: build(seed, depth, convolutional=conv, coming=True, **settings),  # type: ignore[arg-type]
        st.integers(1, 8),
        st.integers(0, 2**32 - 1),
        st.sampled_from([True, True, True, True, False]),
    )


def inputs_for(graph: Graph, batch: int = 2, seed: int = 0) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [rng.standard_normal((batch, *v.shape)).astype(graph.dtype) for v in graph.inputs.values()]
