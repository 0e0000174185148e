"""Cases of transposed convolution, resampling, recurrent layers and lookups. A case is a name and a graph."""

from __future__ import annotations

from typing import Any

import numpy as np
from drawing import Draw, chain

from edgeprune.graph import Graph, Node, Value
from edgeprune.ops import GRU, LSTM, Activation, AdaptiveMaxPool, Add, Affine, ConvTranspose, Embedding, PadWith, PReLU, Upsample


def _transposed() -> dict[str, Graph]:
    cases: dict[str, Graph] = {}
    draw = Draw("transposed")

    def case(name: str, ins: int, outs: int, kernel: tuple[int, ...], size: tuple[int, ...] = (4, 5), **settings: Any) -> None:
        axes, density = len(kernel), settings.pop("density", 1.0)
        groups = settings.get("groups", 1)
        bias = draw.normal(outs) if settings.pop("bias", True) else None
        weight = draw.weight(ins, outs // groups, *kernel, density=density)
        settings = {"stride": (1,) * axes, "padding": (0,) * axes, "extra": (0,) * axes, "dilation": (1,) * axes, **settings}
        cases[f"transposed conv {name}"] = chain((ins, *size), ConvTranspose(weight, bias, **settings))

    case("2x2, stride 2", 3, 4, (2, 2), stride=(2, 2))
    case("3x3, stride 2", 3, 4, (3, 3), stride=(2, 2))
    case("3x3, stride 2, padded", 3, 4, (3, 3), stride=(2, 2), padding=(1, 1), extra=(1, 1))
    case("4x4, stride 2, padded", 3, 4, (4, 4), stride=(2, 2), padding=(1, 1))
    case("3x3, stride 1", 3, 4, (3, 3))
    case("3x3, stride 1, padded", 3, 4, (3, 3), padding=(1, 1), bias=False)
    case("oblong", 3, 4, (3, 2), stride=(3, 2), padding=(1, 0), extra=(0, 1))
    case("oblong, stride 1 down", 3, 4, (1, 4), stride=(1, 2), padding=(0, 2))
    case("stride beyond the kernel", 3, 4, (2, 2), stride=(3, 3), extra=(2, 0))
    case("much padded", 3, 4, (5, 5), stride=(1, 1), padding=(3, 4))
    case("dilated", 3, 4, (3, 3), dilation=(2, 2), padding=(1, 0))
    case("dilated, stride 2", 3, 4, (3, 2), stride=(2, 2), dilation=(2, 3), padding=(0, 1))
    case("grouped", 6, 4, (3, 3), stride=(2, 2), padding=(1, 1), groups=2)
    case("grouped, oblong", 6, 4, (3, 2), stride=(2, 3), groups=2, bias=False)
    case("grouped, stride 1", 6, 4, (3, 3), groups=2)
    case("depthwise", 4, 4, (4, 4), stride=(2, 2), padding=(1, 1), groups=4)
    case("sparse", 32, 48, (3, 3), stride=(2, 2), density=0.02)
    case("on a line", 3, 4, (4,), (7,), stride=(2,), padding=(1,))
    case("on a line, grouped", 4, 4, (3,), (7,), stride=(3,), groups=2)
    return cases


def _resampled() -> dict[str, Graph]:
    cases: dict[str, Graph] = {}
    for kind, align in (("nearest", False), ("nearest_exact", False), ("linear", False), ("linear", True)):
        for name, value, more in (
            ("twice", (3, 4, 5), {"scale": (2.0, 2.0)}),
            ("by fractions", (3, 4, 5), {"scale": (1.5, 2.5)}),
            ("by odd fractions", (3, 5, 7), {"scale": (1.7, 0.6)}),
            ("to a size", (3, 4, 5), {"size": (7, 5)}),
            ("to a smaller size", (3, 9, 8), {"size": (3, 5)}),
            ("to one place", (3, 4, 5), {"size": (1, 1)}),
            ("a line", (3, 6), {"scale": (2.0,)}),
            ("a line to a size", (3, 6), {"size": (11,)}),
            ("nothing", (3, 4, 5), {"size": (4, 5)}),
        ):
            how = f"{kind}{', ends aligned' if align else ''}"
            settings: dict[str, Any] = {"align_corners": align, **more}
            cases[f"upsample {name}, {how}"] = chain(value, Upsample(kind, **settings))
    for mode in ("reflect", "replicate", "circular"):
        cases[f"pad by {mode}"] = chain((3, 4, 5), PadWith(mode, ((1, 2), (3, 0))))
        cases[f"pad a line by {mode}"] = chain((3, 4), PadWith(mode, ((1, 3),)))
        cases[f"pad nothing by {mode}"] = chain((3, 4, 5), PadWith(mode, ((0, 0), (0, 0))))
    for size, places in (((3, 8, 8), (1, 1)), ((3, 8, 6), (4, 3)), ((3, 7, 8), (1, 3)), ((3, 1, 5), (7, None)), ((3, 10), (4,))):
        cases[f"adaptive max pool {size} to {places}"] = chain(size, AdaptiveMaxPool(places))
    draw = Draw("prelu")
    values = {"map": Value((6, 4, 5)), "vector": Value((6,)), "sequence": Value((4, 6), 1), "line": Value((6, 9))}
    for name, value in values.items():
        cases[f"prelu on a {name}"] = chain(value, PReLU(draw.normal(6), value.axis))
    return cases


def _recurrent() -> dict[str, Graph]:
    cases: dict[str, Graph] = {}
    draw = Draw("recurrent")
    for kind, gates in ((LSTM, 4), (GRU, 3)):
        name = kind.__name__.lower()

        def layer(
            units: int, ins: int, reverse: bool = False, density: float = 1.0, kind: type = kind, gates: int = gates
        ) -> LSTM | GRU:
            of_input = draw.weight(gates * units, ins, density=density)
            of_state = draw.weight(gates * units, units, density=density)
            made: LSTM | GRU = kind(of_input, of_state, draw.normal(gates * units), draw.normal(gates * units), reverse)
            return made

        cases[name] = chain(Value((6, 5), 1), layer(4, 5))
        cases[f"{name} backwards"] = chain(Value((6, 5), 1), layer(4, 5, reverse=True))
        cases[f"{name} of one step"] = chain(Value((1, 5), 1), layer(4, 5))
        cases[f"{name} of one unit"] = chain(Value((3, 5), 1), layer(1, 5))
        cases[f"{name} sparse"] = chain(Value((4, 300), 1), layer(40, 300, density=0.01))
        cases[f"two of {name}"] = chain(Value((6, 5), 1), layer(4, 5), layer(3, 4, reverse=True))
    return cases


def _looked_up() -> dict[str, Graph]:
    draw = Draw("embedding")
    # Whole numbers from 0 to 8, whatever the input.
    rows = (Affine(np.full(5, 4, np.float32), draw.normal(5)), Activation("abs"), Activation("clip", 0, 8), Activation("floor"))
    return {"embedding of what is computed": chain((5,), *rows, Embedding(draw.normal(9, 6)))}


def of_integers() -> dict[str, Graph]:
    """Cases whose inputs are rows of a table of nine."""
    cases: dict[str, Graph] = {}
    draw = Draw("embedding of integers")
    table = Embedding(draw.normal(9, 6))
    cases["embedding"] = Graph({"x": Value((5,))}, ("y",), (Node("y", table, ("x",)),))
    cases["embedding of a grid"] = Graph({"x": Value((3, 4))}, ("y",), (Node("y", table, ("x",)),))
    sparse = Embedding(draw.weight(9, 4, density=0.2))
    layers = (Node("e", table, ("x",)), Node("l", draw.linear(4, 6), ("e",)), Node("e2", sparse, ("x",)))
    cases["two embeddings"] = Graph({"x": Value((5,))}, ("y",), (*layers, Node("y", Add(), ("l", "e2"))))
    both = (Node("e", table, ("x",)), Node("y", Activation("relu"), ("x",)))
    cases["an input that is looked up and computed with"] = Graph({"x": Value((5,))}, ("e", "y"), both)
    return cases


def edge() -> dict[str, Graph]:
    return {**_transposed(), **_resampled(), **_recurrent(), **_looked_up()}
