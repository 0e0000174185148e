"""Small graphs, at least one an op, that every format must say. A case is a name and a graph."""

from __future__ import annotations

import zlib
from typing import Any

import numpy as np

from edgeprune.graph import Graph, Node, Op, Value
from edgeprune.ops import (
    ACTIVATIONS,
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

Array = np.ndarray[Any, Any]


class Draw:
    """Numbers that look trained: seeded by a name, so that every case is the same every time."""

    def __init__(self, name: str) -> None:
        self.rng = np.random.default_rng(zlib.crc32(name.encode()))

    def normal(self, *shape: int, scale: float = 1.0) -> Array:
        return (self.rng.standard_normal(shape) * scale).astype(np.float32)

    def weight(self, *shape: int, density: float = 1.0) -> Array:
        """He-scaled, with `density` of it nonzero."""
        kept = self.rng.random(shape) < density
        kept.reshape(-1)[self.rng.integers(kept.size)] = True
        fan = max(int(np.prod(shape[1:])) * density, 1)
        return np.where(kept, self.normal(*shape, scale=float(np.sqrt(2 / fan))), np.float32(0))

    def linear(self, outs: int, ins: int, density: float = 1.0, bias: bool = True) -> Linear:
        return Linear(self.weight(outs, ins, density=density), self.normal(outs, scale=0.1) if bias else None)

    def conv(self, outs: int, ins: int, *kernel: int, density: float = 1.0, bias: bool = True, **settings: Any) -> Conv:
        groups = settings.get("groups", 1)
        weight = self.weight(outs, ins // groups, *kernel, density=density)
        axes = len(kernel)
        settings = {"stride": (1,) * axes, "padding": ((0, 0),) * axes, "dilation": (1,) * axes, **settings}
        return Conv(weight, self.normal(outs, scale=0.1) if bias else None, **settings)

    def batch_norm(self, channels: int) -> BatchNorm:
        var = np.abs(self.normal(channels)) + 0.5
        return BatchNorm(1 + self.normal(channels, scale=0.2), self.normal(channels), self.normal(channels), var)


def chain(value: Value | tuple[int, ...], *ops: Op) -> Graph:
    """The ops, one after the other."""
    value = value if isinstance(value, Value) else Value(value)
    names = ["x", *(f"{type(op).__name__.lower()}{i}" for i, op in enumerate(ops))]
    nodes = tuple(Node(name, op, (before,)) for name, before, op in zip(names[1:], names, ops, strict=False))
    return Graph({"x": value}, (names[-1],), nodes)


def pads(*amounts: int | tuple[int, int]) -> tuple[tuple[int, int], ...]:
    return tuple((a, a) if isinstance(a, int) else a for a in amounts)


def _layers() -> dict[str, Graph]:
    cases: dict[str, Graph] = {}

    def case(name: str, value: Value | tuple[int, ...], *make: Any) -> None:
        draw = Draw(name)
        cases[name] = chain(value, *(m(draw) if callable(m) else m for m in make))

    case("linear", (20,), lambda d: d.linear(7, 20))
    case("linear without bias", (20,), lambda d: d.linear(7, 20, bias=False))
    case("linear sparse", (600,), lambda d: d.linear(40, 600, 0.01), Activation("relu"), lambda d: d.linear(10, 40, 0.2))
    case("linear sparse without bias", (600,), lambda d: d.linear(40, 600, 0.01, bias=False))
    case("linear half full", (200,), lambda d: d.linear(100, 200, 0.4))
    case("linear all zero", (100,), lambda d: Linear(np.zeros((30, 100), np.float32), d.normal(30)))
    case("linear over a sequence", Value((5, 12), 1), lambda d: d.linear(7, 12))
    case("linear sparse over a sequence", Value((5, 300), 1), lambda d: d.linear(60, 300, 0.01))
    case("linear over a grid", Value((3, 4, 12), 2), lambda d: d.linear(7, 12))

    case("conv", (3, 8, 9), lambda d: d.conv(5, 3, 3, 3))
    case("conv without bias", (3, 8, 9), lambda d: d.conv(5, 3, 3, 3, bias=False))
    case("conv padded", (3, 8, 9), lambda d: d.conv(5, 3, 3, 3, padding=pads(1, 1)))
    case("conv padded, stride 2, even size", (3, 8, 8), lambda d: d.conv(5, 3, 3, 3, padding=pads(1, 1), stride=(2, 2)))
    case("conv padded, stride 2, odd size", (3, 9, 9), lambda d: d.conv(5, 3, 3, 3, padding=pads(1, 1), stride=(2, 2)))
    case("conv 7x7, stride 2", (3, 16, 16), lambda d: d.conv(4, 3, 7, 7, padding=pads(3, 3), stride=(2, 2)))
    case("conv oblong", (3, 8, 9), lambda d: d.conv(5, 3, 1, 4, padding=pads(0, 2), stride=(2, 1)))
    case("conv unevenly padded", (3, 8, 9), lambda d: d.conv(5, 3, 3, 3, padding=pads((0, 1), (2, 0)), stride=(2, 2)))
    # As many places as without padding, and nothing read at the end, yet not where even padding would put them.
    case("conv padded before only", (3, 4, 4), lambda d: d.conv(5, 3, 2, 2, padding=pads((1, 0), (1, 0)), stride=(2, 2)))
    case("conv dilated", (3, 9, 9), lambda d: d.conv(5, 3, 3, 3, padding=pads(2, 2), dilation=(2, 2)))
    case(
        "conv dilated with stride", (3, 11, 11), lambda d: d.conv(5, 3, 3, 3, padding=pads(2, 2), dilation=(2, 2), stride=(2, 2))
    )
    case("conv grouped", (6, 8, 8), lambda d: d.conv(9, 6, 3, 3, groups=3, padding=pads(1, 1)))
    case("conv grouped, relu", (8, 8, 8), lambda d: d.conv(8, 8, 3, 3, groups=2, padding=pads(1, 1)), Activation("relu"))
    case("conv grouped 1x1", (8, 4, 4), lambda d: d.conv(4, 8, 1, 1, groups=4))
    case("conv depthwise", (6, 8, 8), lambda d: d.conv(6, 6, 3, 3, groups=6, padding=pads(1, 1)))
    case("conv depthwise, stride 2", (6, 8, 8), lambda d: d.conv(6, 6, 3, 3, groups=6, padding=pads(1, 1), stride=(2, 2)))
    case("conv depthwise multiplied", (4, 8, 8), lambda d: d.conv(8, 4, 3, 3, groups=4, bias=False))
    case("conv depthwise dilated", (4, 9, 9), lambda d: d.conv(4, 4, 3, 3, groups=4, dilation=(2, 2), padding=pads(2, 2)))
    case("conv depthwise sparse", (64, 6, 6), lambda d: d.conv(64, 64, 5, 5, density=0.05, groups=64, padding=pads(2, 2)))
    case("conv sparse", (32, 6, 6), lambda d: d.conv(48, 32, 3, 3, density=0.02, padding=pads(1, 1)))
    case("conv very sparse", (32, 6, 6), lambda d: d.conv(48, 32, 3, 3, density=0.0005, padding=pads(1, 1)))
    case("conv 1x1", (8, 5, 5), lambda d: d.conv(6, 8, 1, 1))
    case("conv 1x1, stride 2", (8, 5, 5), lambda d: d.conv(6, 8, 1, 1, stride=(2, 2)))
    case("conv 1x1 sparse", (64, 5, 5), lambda d: d.conv(48, 64, 1, 1, density=0.02), Activation("relu6"))
    case("conv 1x1 sparse, stride 2", (64, 5, 5), lambda d: d.conv(48, 64, 1, 1, density=0.02, stride=(2, 2)))
    case("conv 1-d", (3, 20), lambda d: d.conv(5, 3, 4, padding=pads(1), stride=(2,)))
    case("conv 1-d dilated depthwise", (4, 20), lambda d: d.conv(4, 4, 3, padding=pads(2), dilation=(2,), groups=4))

    for name, axis, shape in (("map", 0, (6, 4, 5)), ("vector", 0, (6,)), ("sequence", 1, (4, 6))):
        case(f"affine on a {name}", Value(shape, axis), lambda d, axis=axis: Affine(d.normal(6), d.normal(6), axis))
    ones, zeros = np.ones(6, np.float32), np.zeros(6, np.float32)
    case("affine that only shifts", (6, 4, 5), lambda d: Affine(ones, d.normal(6)))
    case("affine that only scales", (6, 4, 5), lambda d: Affine(d.normal(6), zeros))
    case("affine that does nothing", (6, 4, 5), lambda d: Affine(ones, zeros))
    case("batch norm", (6, 4, 5), lambda d: d.batch_norm(6))
    case("batch norm on a vector", (6,), lambda d: d.batch_norm(6))
    case("batch norm on a line", (6, 9), lambda d: d.batch_norm(6))
    return cases


SETTINGS = {"clip": (-0.5, 1.5), "leaky_relu": (0.1, 0.0), "elu": (1.0, 0.0)}


def _activations() -> dict[str, Graph]:
    cases = {}
    for kind in ACTIVATIONS:
        settings = SETTINGS.get(kind, (0.0, 0.0))
        # The square root has no business below zero.
        first = [Activation("abs")] if kind == "sqrt" else []
        cases[f"{kind} on a map"] = chain((3, 4, 5), *first, Activation(kind, *settings))
        cases[f"{kind} on a vector"] = chain((30,), *first, Activation(kind, *settings))
    for a, b in ((-np.inf, 0.5), (0.25, np.inf), (0.0, 6.0), (-1.0, 1.0)):
        cases[f"clip {a} to {b}"] = chain((3, 4, 5), Activation("clip", a, b))
    cases["elu 0.7"] = chain((3, 4, 5), Activation("elu", 0.7))
    for kind, settings in (("relu", ()), ("relu6", ()), ("clip", (-1.0, 1.0)), ("clip", (0.0, 6.0)), ("tanh", ())):
        draw = Draw(kind)
        activation = Activation(kind, *settings)
        cases[f"{kind}{settings} after conv"] = chain((3, 6, 6), draw.conv(5, 3, 3, 3), activation)
        cases[f"{kind}{settings} after sparse linear"] = chain((500,), draw.linear(60, 500, 0.01), activation)
    return cases


def _binary() -> dict[str, Graph]:
    cases = {}
    for op in (Add(), Mul()):
        name = type(op).__name__.lower()
        for what, first, second in (
            ("maps", (4, 5, 6), (4, 5, 6)),
            ("vectors", (7,), (7,)),
            ("map and channels", (4, 5, 6), (4, 1, 1)),
            ("channels and map", (4, 1, 1), (4, 5, 6)),
            ("rows and columns", (4, 5, 1), (4, 1, 6)),
            ("lines", (4, 9), (4, 1)),
        ):
            cases[f"{name} {what}"] = Graph({"a": Value(first), "b": Value(second)}, ("y",), (Node("y", op, ("a", "b")),))
    square = (Node("y", Mul(), ("x", "x")), Node("z", Activation("relu"), ("y",)))
    cases["mul with itself"] = Graph({"x": Value((4, 5, 6))}, ("z",), square)
    return cases


def _pools() -> dict[str, Graph]:
    cases: dict[str, Graph] = {}

    def pool(
        name: str, size: tuple[int, ...], kernel: int, stride: int, padding: Any = 0, dilation: int = 1, **more: Any
    ) -> None:
        axes = len(size) - 1
        settings = ((kernel,) * axes, (stride,) * axes, pads(*(padding,) * axes), (dilation,) * axes)
        cases[f"max pool {name}"] = chain(size, MaxPool(*settings, **more))
        if dilation == 1:
            cases[f"average pool {name}"] = chain(size, AvgPool(*settings, **more))
            cases[f"average pool {name}, padding not counted"] = chain(size, AvgPool(*settings, **more, count_padding=False))

    pool("2x2", (3, 8, 8), 2, 2)
    pool("2x2, odd size", (3, 7, 9), 2, 2)
    pool("3x3, stride 2, padded, even size", (3, 8, 8), 3, 2, 1)
    pool("3x3, stride 2, padded, odd size", (3, 9, 9), 3, 2, 1)
    pool("3x3, stride 1, padded", (3, 8, 8), 3, 1, 1)
    pool("3x3, stride 2, ceil", (3, 8, 8), 3, 2, ceil_mode=True)
    pool("3x3, stride 2, padded, ceil", (3, 8, 8), 3, 2, 1, ceil_mode=True)
    pool("2x2, stride 2, padded, ceil", (3, 7, 7), 2, 2, 1, ceil_mode=True)
    pool("2x2, stride 3, ceil", (3, 7, 8), 2, 3, ceil_mode=True)
    pool("unevenly padded", (3, 8, 8), 3, 2, (0, 1))
    pool("3x3, dilated", (3, 9, 9), 3, 1, dilation=2)
    pool("3x3, dilated, padded, stride 2", (3, 9, 9), 3, 2, 1, dilation=2)
    pool("2x2, dilated, ceil", (3, 8, 8), 2, 3, dilation=4, ceil_mode=True)
    pool("2x2, dilated, ceil, more padding than kernel", (3, 6, 6), 2, 3, dilation=4, ceil_mode=True)
    pool("2x2, stride 2, padded before only", (3, 4, 4), 2, 2, (1, 0))
    pool("1-d", (3, 9), 3, 2)
    pool("1-d padded, ceil", (3, 10), 3, 2, 1, ceil_mode=True)
    zeros, kernel = Pad(pads((1, 0), (0, 2))), ((3, 3), (2, 2), pads(0, 1), (1, 1))
    below = Affine(np.ones(3, np.float32), np.full(3, -9, np.float32))
    cases["max pool of zeros around"] = chain((3, 8, 8), below, zeros, MaxPool(*kernel))
    cases["average pool of zeros around"] = chain((3, 8, 8), below, zeros, AvgPool(*kernel, count_padding=False))
    cases["adaptive pool of zeros around"] = chain((3, 7, 8), below, zeros, AdaptiveAvgPool((2, 5)))
    for size, places in (
        ((3, 8, 8), (1, 1)),
        ((3, 8, 6), (4, 3)),
        ((3, 8, 8), (None, 1)),
        ((3, 8, 8), (None, None)),
        ((3, 7, 7), (3, 2)),
        ((3, 7, 8), (1, 3)),
        ((3, 1, 1), (7, 7)),
        ((3, 2, 5), (4, 5)),
        ((3, 2, 3), (3, 2)),
        ((3, 10), (1,)),
        ((3, 10), (4,)),
    ):
        cases[f"adaptive pool {size} to {places}"] = chain(size, AdaptiveAvgPool(places))
    cases["mean of a map"] = chain((4, 5, 6), Mean())
    cases["mean of a line"] = chain((4, 9), Mean())
    cases["mean of a vector"] = chain((4,), Mean())
    return cases


def _moves() -> dict[str, Graph]:
    cases: dict[str, Graph] = {}
    draw = Draw("moves")
    cases["flatten alone"] = chain((3, 4, 5), Flatten())
    cases["flatten a vector"] = chain((5,), Flatten())
    cases["flatten a line"] = chain((3, 7), Flatten())
    cases["flatten one place"] = chain((9, 1, 1), Flatten(), draw.linear(4, 9))
    cases["flatten one channel"] = chain((1, 4, 5), Flatten(), draw.linear(4, 20))
    cases["flatten, linear"] = chain((3, 4, 5), Flatten(), draw.linear(8, 60, 0.3))
    cases["flatten a line, linear"] = chain((3, 7), Flatten(), draw.linear(8, 21))
    through = (Activation("relu"), Affine(draw.normal(60), draw.normal(60)), draw.batch_norm(60), Activation("tanh"))
    cases["flatten, elementwise, linear"] = chain((3, 4, 5), Flatten(), *through, draw.linear(8, 60))
    cases["flatten, elementwise"] = chain((3, 4, 5), Flatten(), *through)
    cases["flatten, softmax"] = chain((3, 4, 5), Flatten(), Softmax())
    cases["flatten, mean"] = chain((3, 4, 5), Flatten(), Mean())
    cases["flatten, select, linear"] = chain((3, 4, 5), Flatten(), Select(np.array([5, -1, 3, 59, 0])), draw.linear(8, 5))
    cases["flatten, select a range"] = chain((3, 4, 5), Flatten(), Select(np.arange(4, 30)))

    two = {"a": Value((3, 4, 5)), "b": Value((2, 3, 3))}
    flat = (Node("fa", Flatten(), ("a",)), Node("fb", Flatten(), ("b",)), Node("both", Concat(), ("fa", "fb")))
    cases["two flattens, concat"] = Graph(two, ("both",), flat)
    cases["two flattens, concat, linear"] = Graph(two, ("y",), (*flat, Node("y", draw.linear(8, 78), ("both",))))
    pair = (Node("fa", Flatten(), ("a",)), Node("y", Add(), ("fa", "b")))
    cases["add flattened and plain"] = Graph({"a": Value((3, 4, 5)), "b": Value((60,))}, ("y",), pair)
    pair = (Node("fa", Flatten(), ("a",)), Node("fb", Flatten(), ("b",)), Node("y", Add(), ("fa", "fb")))
    cases["add two flattened"] = Graph({"a": Value((3, 4, 5)), "b": Value((3, 4, 5))}, ("y",), pair)
    cases["add two flattened differently"] = Graph({"a": Value((3, 4, 5)), "b": Value((2, 5, 6))}, ("y",), pair)
    cases["add permuted, then output"] = Graph({"a": Value((3, 4, 5)), "b": Value((3, 4, 5))}, ("fa", "y"), pair)

    for name, shapes, axis in (
        ("maps", ((2, 4, 5), (3, 4, 5), (1, 4, 5)), 0),
        ("vectors", ((4,), (6,)), 0),
        ("lines", ((4, 7), (6, 7)), 0),
        ("one", ((4, 5, 5),), 0),
    ):
        inputs = {f"x{i}": Value(shape, axis) for i, shape in enumerate(shapes)}
        cases[f"concat {name}"] = Graph(inputs, ("y",), (Node("y", Concat(), tuple(inputs)),))
    cases["concat with itself"] = Graph({"x": Value((2, 3, 3))}, ("y",), (Node("y", Concat(), ("x", "x")),))

    for name, index in (
        ("a range", [2, 3, 4]),
        ("every second", [1, 3, 5]),
        ("all", [0, 1, 2, 3, 4, 5]),
        ("one", [3]),
        ("padded with zeros", [-1, -1, 0, 1, 2, 3, 4, 5, -1]),
        ("a range padded", [-1, 2, 3, -1]),
        ("shuffled", [0, 3, 1, 4, 2, 5]),
        ("repeated", [1, 1, 1]),
        ("backwards", [3, 2, 1]),
        ("with holes", [5, -1, 0, -1, 2]),
        ("nothing", [-1, -1]),
    ):
        cases[f"select {name}"] = chain((6, 4, 5), Select(np.array(index)))
    cases["select on a vector"] = chain((6,), Select(np.array([4, -1, 2])))
    cases["select on a line"] = chain((6, 5), Select(np.array([-1, 4, 5])))
    cases["select in a sequence"] = chain(Value((4, 6), 1), Select(np.array([5, -1, 2]), 1))

    cases["slice"] = chain((3, 8, 9), Slice((1, 2), (7, None), (2, 3)))
    cases["slice from the end"] = chain((3, 8, 9), Slice((-4, 0), (-1, -2), (1, 1)))
    cases["slice everything"] = chain((3, 8, 9), Slice((0, 0), (None, None), (1, 1)))
    cases["slice backwards"] = chain((3, 8, 9), Slice((-1, 2), (None, 8), (-2, 3)))
    cases["slice a line"] = chain((3, 9), Slice((2,), (8,), (2,)))
    cases["pad"] = chain((3, 4, 5), Pad(pads((1, 2), (0, 3))))
    cases["pad with a number"] = chain((3, 4, 5), Pad(pads((1, 2), (0, 3)), -1.5))
    cases["pad nothing"] = chain((3, 4, 5), Pad(pads(0, 0)))
    cases["pad a line"] = chain((3, 4), Pad(pads((2, 1)), 0.5))

    for log in (False, True):
        name = "log softmax" if log else "softmax"
        cases[name] = chain((10,), Softmax(log=log))
        cases[f"{name} over channels"] = chain((4, 5, 6), Softmax(0, log))
        cases[f"{name} over rows"] = chain((4, 5, 6), Softmax(1, log))
        cases[f"{name} over columns"] = chain((4, 5, 6), Softmax(2, log))
        cases[f"{name} over a line"] = chain((4, 9), Softmax(1, log))
        cases[f"{name} in a sequence"] = chain(Value((5, 7), 1), Softmax(1, log))
        cases[f"{name} along a sequence"] = chain(Value((5, 7), 1), Softmax(0, log))
    return cases


def _networks() -> dict[str, Graph]:
    cases = {}
    d = Draw("residual")
    nodes = (
        Node("conv1", d.conv(8, 3, 3, 3, padding=pads(1, 1)), ("image",)),
        Node("bn1", d.batch_norm(8), ("conv1",)),
        Node("relu1", Activation("relu"), ("bn1",)),
        Node("conv2", d.conv(16, 8, 3, 3, padding=pads(1, 1), stride=(2, 2), bias=False), ("relu1",)),
        Node("relu2", Activation("relu"), ("conv2",)),
        Node("conv3", d.conv(16, 16, 3, 3, padding=pads(1, 1)), ("relu2",)),
        Node("short", Slice((0, 0), (None, None), (2, 2)), ("relu1",)),
        Node("wide", Select(np.array([-1] * 4 + list(range(8)) + [-1] * 4)), ("short",)),
        Node("add", Add(), ("conv3", "wide")),
        Node("relu3", Activation("relu"), ("add",)),
        Node("pool", AdaptiveAvgPool((1, 1)), ("relu3",)),
        Node("flat", Flatten(), ("pool",)),
        Node("logits", d.linear(10, 16), ("flat",)),
    )
    cases["residual network"] = Graph({"image": Value((3, 12, 12))}, ("logits",), nodes)
    cases["residual network, read in the middle"] = Graph(
        {"image": Value((3, 12, 12))}, ("logits", "conv2", "relu2", "add"), nodes
    )
    d = Draw("lenet")
    cases["lenet-5"] = chain(
        (1, 28, 28), d.conv(6, 1, 5, 5, padding=pads(2, 2)), Activation("relu"), MaxPool((2, 2), (2, 2), pads(0, 0), (1, 1)),
        d.conv(16, 6, 5, 5, density=0.1), Activation("relu"), MaxPool((2, 2), (2, 2), pads(0, 0), (1, 1)), Flatten(),
        d.linear(120, 400, 0.02), Activation("relu"), d.linear(84, 120, 0.05), Activation("relu"), d.linear(10, 84),
    )  # fmt: skip
    squeeze = (
        Node("dw", d.conv(8, 8, 3, 3, padding=pads(1, 1), groups=8), ("x",)),
        Node("act", Activation("hard_swish"), ("dw",)),
        Node("pool", AdaptiveAvgPool((1, 1)), ("act",)),
        Node("fc1", d.conv(4, 8, 1, 1), ("pool",)),
        Node("relu", Activation("relu"), ("fc1",)),
        Node("fc2", d.conv(8, 4, 1, 1), ("relu",)),
        Node("gate", Activation("hard_sigmoid"), ("fc2",)),
        Node("scaled", Mul(), ("act", "gate")),
        Node("out", d.conv(8, 8, 1, 1), ("scaled",)),
        Node("sum", Add(), ("out", "x")),
    )
    cases["squeeze and excite"] = Graph({"x": Value((8, 7, 7))}, ("sum",), squeeze)
    x = {"x": Value((3, 4, 4))}
    cases["an output that is the input"] = Graph(x, ("x", "y"), (Node("y", Activation("relu"), ("x",)),))
    cases["one output twice"] = Graph(x, ("y", "y"), (Node("y", Activation("relu"), ("x",)),))
    alias = (Node("y", Activation("relu"), ("x",)), Node("z", Pad(pads(0, 0)), ("y",)), Node("w", Activation("relu6"), ("z",)))
    cases["an output under two names"] = Graph(x, ("y", "z", "w"), alias)
    read_twice = (Node("y", d.conv(5, 3, 3, 3), ("x",)), Node("z", Activation("relu"), ("y",)), Node("w", Add(), ("y", "z")))
    cases["a conv read by its relu and by another"] = Graph(x, ("w",), read_twice)
    aliased = (
        Node("y", d.conv(5, 3, 3, 3), ("x",)),
        Node("same", Pad(pads(0, 0)), ("y",)),
        Node("z", Activation("relu"), ("same",)),
        Node("w", Add(), ("y", "z")),
    )
    cases["a conv read by another and, under a second name, by its relu"] = Graph(x, ("w",), aliased)
    return cases


CASES = {**_layers(), **_activations(), **_binary(), **_pools(), **_moves(), **_networks()}
