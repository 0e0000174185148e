"""Cases of pooling and of what moves elements. A case is a name and a graph."""

from __future__ import annotations

from typing import Any

import numpy as np
from drawing import Draw, chain, pads

from edgeprune.graph import Graph, Node, Value
from edgeprune.ops import (
    Activation,
    AdaptiveAvgPool,
    Add,
    Affine,
    AvgPool,
    Concat,
    Flatten,
    MaxPool,
    Mean,
    Pad,
    Select,
    Slice,
    Softmax,
)


def pools() -> dict[str, Graph]:
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


def moves() -> dict[str, Graph]:
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
