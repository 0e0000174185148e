"""Small graphs, at least one an op, that every format must say. A case is a name and a graph."""

from __future__ import annotations

from typing import Any

import numpy as np
from cases_edge import edge
from cases_sequences import sequences
from cases_spatial import moves, pools
from drawing import Draw, chain, pads

from edgeprune.graph import Graph, Node, Value
from edgeprune.ops import (
    ACTIVATIONS,
    COMING_ACTIVATIONS,
    Activation,
    AdaptiveAvgPool,
    Add,
    Affine,
    Flatten,
    Linear,
    MaxPool,
    Mul,
    Pad,
    Select,
    Slice,
)

__all__ = ["CASES", "Draw", "chain", "pads"]


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


SETTINGS = {
    "clip": (-0.5, 1.5), "leaky_relu": (0.1, 0.0), "elu": (1.0, 0.0), "pow": (1.7, 0.0), "threshold": (0.3, -1.0),
    "hard_shrink": (0.7, 0.0), "soft_shrink": (0.7, 0.0),
}  # fmt: skip


def _activations() -> dict[str, Graph]:
    cases = {}
    positive = [Activation("abs"), Activation("clip", 0.1, np.inf)]
    for kind in (*ACTIVATIONS, *COMING_ACTIVATIONS):
        settings = SETTINGS.get(kind, (0.0, 0.0))
        # These have no business below zero, or near it.
        first = {"sqrt": positive[:1], "pow": positive, "log": positive, "reciprocal": positive}.get(kind, [])
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


CASES = {**_layers(), **_activations(), **_binary(), **pools(), **moves(), **sequences(), **edge(), **_networks()}
