"""Cases of norms, attention, and what rearranges and sums up places. A case is a name and a graph."""

from __future__ import annotations

from typing import Any

import numpy as np
from drawing import Draw, chain, pads

from edgeprune.graph import Graph, Node, Op, Value
from edgeprune.ops import (
    BINARY,
    Activation,
    Add,
    Affine,
    Attention,
    Binary,
    Constant,
    Cut,
    Flatten,
    GroupNorm,
    Join,
    LayerNorm,
    Mul,
    Normalize,
    Rearrange,
    Reduce,
    Roll,
    Select,
    Softmax,
    Take,
)

GRID, ROWS, MAP = Value((4, 6, 5), 2), Value((6, 5), 1), Value((5, 4, 6))


def norms() -> dict[str, Graph]:
    cases: dict[str, Graph] = {}
    draw = Draw("norms")
    weight, bias = draw.normal(5), draw.normal(5)
    counted = np.array([True, False, True, True, False])
    absent: dict[str, Any] = {"absent": 3, "absent_mean": 0.4, "absent_spread": 2.5}
    values = {"a sequence": ROWS, "a grid": GRID, "a map": MAP, "a line": Value((5, 7)), "a vector": Value((5,))}
    for what, value in values.items():
        for name, more in (
            ("layer norm", {}),
            ("layer norm without bias", {"bias": None}),
            ("layer norm with absent channels", absent),
            ("layer norm that counts some channels", {"counted": counted}),
            ("layer norm that counts some channels, others absent", {"counted": counted, **absent}),
            ("rms norm", {"centred": False, "bias": None}),
            ("rms norm with absent channels", {"centred": False, **absent}),
        ):
            settings = {"weight": weight, "bias": bias, "eps": 1e-3, "axis": value.axis, **more}
            cases[f"{name} on {what}"] = chain(value, LayerNorm(**settings))
        cases[f"division by the length on {what}"] = chain(value, Normalize(value.axis, 1e-3))
    cases["layer norm of features in another order"] = chain((5, 2, 2), Flatten(), LayerNorm(draw.normal(20), draw.normal(20)))
    flat = LayerNorm(np.ones(5, np.float32), None, 1e-6, 1)
    cases["layer norm that only norms"] = chain(ROWS, flat)
    cases["layer norm of small deviations"] = chain(ROWS, Activation("sigmoid"), LayerNorm(weight, bias, 1e-6, 1))
    for groups, name in ((1, "one group"), (2, "two groups"), (6, "instance norm")):
        norm = GroupNorm(draw.normal(6), draw.normal(6), groups, 1e-3)
        cases[f"group norm, {name}"] = chain((6, 4, 5), norm)
        cases[f"group norm on a line, {name}"] = chain((6, 7), norm)
    cases["group norm on a vector"] = chain((6,), GroupNorm(draw.normal(6), draw.normal(6), 2, 1e-3))
    return cases


def attentions() -> dict[str, Graph]:
    cases: dict[str, Graph] = {}
    draw = Draw("attention")

    def case(name: str, op: Attention, lead: tuple[int, ...] = (), queries: int = 4, keys: int = 7, of_v: int = 10) -> None:
        inputs = {"q": Value((*lead, queries, 6)), "k": Value((*lead, keys, 6)), "v": Value((*lead, keys, of_v))}
        inputs = {n: Value(v.shape, len(v.shape) - 1) for n, v in inputs.items()}
        cases[f"attention {name}"] = Graph(inputs, ("y",), (Node("y", op, ("q", "k", "v")),))

    pairs = np.array([True, True, False, True, False, True])
    case("of two heads", Attention(2, 0.5))
    case("of one head", Attention(1, 0.5))
    case("scaled by one", Attention(2, 1.0))
    case("in windows", Attention(2, 0.5), (3,))
    case("in a grid of windows", Attention(2, 0.5), (2, 3))
    case("biased", Attention(2, 0.5, draw.normal(2, 4, 7)))
    case("biased alike in every head", Attention(2, 0.5, draw.normal(1, 4, 7)))
    case("in windows, biased", Attention(2, 0.5, draw.normal(2, 4, 7)), (3,))
    case("in windows, biased apart", Attention(2, 0.5, draw.normal(3, 2, 4, 7)), (3,))
    case("in windows, biased apart, alike in every head", Attention(2, 0.5, draw.normal(3, 1, 4, 7)), (3,))
    case("in a grid of windows, biased by row", Attention(2, 0.5, draw.normal(2, 1, 1, 4, 7)), (2, 3))
    case("of one head, biased", Attention(1, 0.5, draw.normal(1, 4, 7)), (3,))
    case("by a mask", Attention(2, 0.5, np.where(np.tri(4, 7) > 0, 0, np.float32(-1e30)).astype(np.float32)[None]))
    case("with a gain a head", Attention(2, 0.5, None, np.array([0.5, 3], np.float32)))
    case("over some pairs", Attention(2, 0.5, pairs=pairs))
    case("by cosine", Attention(2, 2.0, draw.normal(2, 4, 7), np.array([0.5, 3], np.float32), 1e-6), (3,))
    case("by cosine, floored", Attention(2, 2.0, cosine=3.0))
    case("by cosine over some pairs", Attention(2, 1.0, cosine=1e-6, pairs=pairs))
    shapes = {"q": (4, 6), "k": (7, 6), "v": (7, 10)}
    for name, op, mask in (
        ("masked by the input", Attention(2, 0.5), (1, 7)),
        ("masked by the input, query by query", Attention(2, 0.5, draw.normal(2, 4, 7)), (4, 7)),
        ("of one head, masked by the input", Attention(1, 0.5), (1, 7)),
    ):
        inputs = {n: Value(shape, 1) for n, shape in {**shapes, "mask": mask}.items()}
        cases[f"attention {name}"] = Graph(inputs, ("y",), (Node("y", op, tuple(inputs)),))
    inputs = {"q": Value((3, 4, 6), 2), "k": Value((3, 7, 6), 2), "v": Value((3, 7, 10), 2), "mask": Value((4, 7), 1)}
    cases["attention in windows, masked by the input"] = Graph(inputs, ("y",), (Node("y", Attention(2, 0.5), tuple(inputs)),))
    own = (Node("y", Attention(2, 0.5), ("x", "x", "x")),)
    cases["attention to itself"] = Graph({"x": Value((4, 6), 1)}, ("y",), own)
    learned = (Node("q", Constant(draw.normal(3, 6), 1), ("x",)), Node("y", Attention(2, 0.5), ("q", "x", "x")))
    cases["attention of learned queries"] = Graph({"x": Value((4, 6), 1)}, ("y",), learned)
    return cases


def places() -> dict[str, Graph]:
    cases: dict[str, Graph] = {}
    draw = Draw("places")
    rest = ((-1,), (-1,), (-1,))
    moves: dict[str, tuple[Value, Op]] = {
        "channels last": (MAP, Rearrange(rest, (1, 2, 0), (1, 1, 1), 0, 2)),
        "channels first": (GRID, Rearrange(rest, (2, 0, 1), (1, 1, 1), 2, 0)),
        "a map as a sequence": (MAP, Rearrange(rest, (1, 2, 0), (2, 1), 0, 1)),
        "a map as a sequence, column by column": (MAP, Rearrange(rest, (2, 1, 0), (2, 1), 0, 1)),
        "a grid as a sequence": (GRID, Rearrange(rest, (0, 1, 2), (2, 1), 2, 1)),
        "a sequence as a map": (Value((24, 5), 1), Rearrange(((-1, 6), (-1,)), (2, 0, 1), (1, 1, 1), 1, 0)),
        "windows of a map": (MAP, Rearrange(((-1,), (-1, 2), (-1, 3)), (1, 3, 2, 4, 0), (2, 2, 1), 0, 2)),
        "windows of a grid": (GRID, Rearrange(((-1, 2), (-1, 3), (-1,)), (0, 2, 1, 3, 4), (1, 1, 2, 1), 2, 3)),
        "windows of a grid, dilated": (GRID, Rearrange(((-1, 2), (-1, 3), (-1,)), (1, 3, 0, 2, 4), (2, 2, 1), 2, 2)),
        "a grid of windows": (Value((4, 6, 5), 2), Rearrange(((2, 2), (2, 3), (-1,)), (0, 2, 1, 3, 4), (2, 2, 1), 2, 2)),
        "patches": (MAP, Rearrange(((-1,), (-1, 2), (-1, 2)), (1, 3, 2, 4, 0), (2, 3), 0, 1)),
        "channels and places swapped": (ROWS, Rearrange(((-1,), (-1,)), (1, 0), (1, 1), 1, 1)),
        "channels become places": (Value((5, 4)), Rearrange(((-1,), (-1,)), (1, 0), (1, 1), 0, 0)),
        "rows and columns swapped": (MAP, Rearrange(rest, (0, 2, 1), (1, 1, 1), 0, 0)),
        "pixel shuffle": (Value((8, 3, 2)), Rearrange(((-1, 2, 2), (-1,), (-1,)), (0, 3, 1, 4, 2), (1, 2, 2), 0, 0)),
        "pixel unshuffle": (Value((3, 4, 6)), Rearrange(((-1,), (-1, 2), (-1, 2)), (0, 2, 4, 1, 3), (3, 1, 1), 0, 0)),
        "a sequence as features": (ROWS, Rearrange(((-1,), (-1,)), (0, 1), (2,), 1, 0)),
        "a sequence as features, channel by channel": (ROWS, Rearrange(((-1,), (-1,)), (1, 0), (2,), 1, 0)),
        "a map as features, column by column": (MAP, Rearrange(rest, (2, 1, 0), (3,), 0, 0)),
        "one place alone": (Value((1, 5), 1), Rearrange(((), (-1,)), (0,), (1,), 1, 0)),
        "features as one place": (Value((5,)), Rearrange(((-1,),), (0,), (0, 1), 0, 1)),
        "features as a sequence": (Value((30,)), Rearrange(((6, -1),), (0, 1), (1, 1), 0, 1)),
        "seven factors": (
            Value((4, 4, 6), 2), Rearrange(((2, 2), (2, 2), (2, -1)), (0, 2, 4, 1, 3, 5), (2, 1, 1, 1, 1), 2, 4),
        ),
    }  # fmt: skip
    for name, (value, op) in moves.items():
        cases[f"rearrange: {name}"] = chain(value, op)
    through = moves["a map as features, column by column"][1]
    cases["rearrange: features in another order, linear"] = chain(MAP, through, draw.linear(7, 120))
    cases["rearrange: a flattened map"] = chain((5, 2, 3), Flatten(), moves["features as a sequence"][1])

    for kind in BINARY:
        first = {"pow": [Activation("abs")], "div": []}.get(kind, [])
        for what, a, b in (("maps", (4, 5, 6), (4, 5, 6)), ("map and channels", (4, 5, 6), (4, 1, 1)), ("vectors", (7,), (7,))):
            # Quotients by numbers away from zero, powers of positive numbers: what is well conditioned.
            safe = (Node("a1", Activation("softplus"), ("a",)), Node("b1", Activation("sigmoid"), ("b",)))
            nodes = (*safe, Node("y", Binary(kind), ("a1" if first else "a", "b1")))
            cases[f"{kind} of {what}"] = Graph({"a": Value(a), "b": Value(b)}, ("y",), nodes)
    both = (Node("fa", Flatten(), ("a",)), Node("y", Binary("max"), ("fa", "b")))
    cases["max of flattened and plain"] = Graph({"a": Value((3, 4, 5)), "b": Value((60,))}, ("y",), both)

    for what, value, along in (
        ("of a sequence", ROWS, 0), ("rows of a grid", GRID, 0), ("columns of a grid", GRID, 1), ("rows of a map", MAP, 1),
        ("of a line", Value((5, 6)), 1),
    ):  # fmt: skip
        cases[f"cut {what}"] = chain(value, Cut(along, 1, -1, 2))
        cases[f"cut all {what}"] = chain(value, Cut(along))
        cases[f"cut backwards {what}"] = chain(value, Cut(along, -1, None, -2))
        cases[f"take {what}"] = chain(value, Take(np.array([3, 0, 2, 3]), along))
        shifts = tuple(2 if i == along else 0 for i in range(len(value.shape)))
        cases[f"roll {what}"] = chain(value, Roll(shifts))
        inputs = {"a": value, "b": Value(tuple(2 if i == along else n for i, n in enumerate(value.shape)), value.axis)}
        cases[f"join {what}"] = Graph(inputs, ("y",), (Node("y", Join(along, value.axis), ("a", "b", "a")),))
        for kind in ("mean", "sum", "max", "min"):
            for keep in (False, True):
                cases[f"{kind} {what}, keep={keep}"] = chain(value, Reduce(kind, (along,), keep))
    cases["roll by two axes"] = chain(GRID, Roll((-1, 8, 0)))
    cases["roll by nothing"] = chain(GRID, Roll((4, -6, 0)))
    cases["sum of all of a map"] = chain(MAP, Reduce("sum", (1, 2)))
    cases["max of all of a grid, kept"] = chain(GRID, Reduce("max", (0, 1), True))
    cases["take one of a sequence, as features"] = chain(ROWS, Cut(0, 0, 1), Rearrange(((), (-1,)), (0,), (1,), 1, 0))
    channels = (Node("y", Join(1, 1), ("a", "b")),)
    cases["join channels of sequences"] = Graph({"a": ROWS, "b": Value((6, 2), 1)}, ("y",), channels)
    cases["join one"] = Graph({"a": ROWS}, ("y",), (Node("y", Join(0, 1), ("a",)),))
    flat = (Node("f", Flatten(), ("a",)), Node("y", Join(0, 0), ("f", "b")), Node("z", draw.linear(4, 62), ("y",)))
    cases["join flattened and plain"] = Graph({"a": Value((3, 4, 5)), "b": Value((2,))}, ("z", "y"), flat)
    return cases


def constants() -> dict[str, Graph]:
    cases: dict[str, Graph] = {}
    draw = Draw("constants")
    inputs = {"x": ROWS}
    position, token = Node("p", Constant(draw.normal(6, 5), 1), ("x",)), Node("t", Constant(draw.normal(1, 5), 1), ("x",))
    cases["constant"] = Graph(inputs, ("p",), (position,))
    cases["constant map"] = Graph({"x": MAP}, ("p",), (Node("p", Constant(draw.normal(5, 4, 6)), ("x",)),))
    cases["constant line"] = Graph({"x": MAP}, ("p",), (Node("p", Constant(draw.normal(5, 4)), ("x",)),))
    cases["constant vector"] = Graph({"x": MAP}, ("p",), (Node("p", Constant(draw.normal(5)), ("x",)),))
    cases["constant whatever the input"] = Graph(
        inputs, ("p",), (Node("l", Affine(np.zeros(5, np.float32), np.full(5, 1e30, np.float32), 1), ("x",)),
        Node("e", Activation("exp"), ("l",)), Node("p", Constant(draw.normal(6, 5), 1), ("e",))),
    )  # fmt: skip
    for op in (Add(), Mul(), Binary("max")):
        name = type(op).__name__.lower()
        cases[f"{name} of a constant"] = Graph(inputs, ("y",), (position, Node("y", op, ("x", "p"))))
        cases[f"{name} of a constant in front"] = Graph(inputs, ("y",), (position, Node("y", op, ("p", "x"))))
        cases[f"{name} of a constant place"] = Graph(inputs, ("y",), (token, Node("y", op, ("x", "t"))))
        cases[f"{name} of two constants"] = Graph(inputs, ("y",), (position, token, Node("y", op, ("p", "t"))))
        cases[f"{name} of a constant and itself"] = Graph(inputs, ("y",), (position, Node("y", op, ("p", "p"))))
    cases["a constant read by two, one stretches it"] = Graph(
        inputs, ("y", "z"), (position, Node("y", Add(), ("x", "p")), Node("z", Join(0, 1), ("p", "y")))
    )
    cases["a constant map added"] = Graph(
        {"x": MAP}, ("y",), (Node("p", Constant(draw.normal(5, 4, 6)), ("x",)), Node("y", Add(), ("x", "p")))
    )
    cases["a constant of a constant"] = Graph(
        inputs, ("z",), (token, Node("p", Constant(draw.normal(6, 5), 1), ("t",)), Node("z", Activation("relu"), ("p",)))
    )
    return cases


def transformers() -> dict[str, Graph]:
    cases: dict[str, Graph] = {}
    d = Draw("vit")
    eps = 1e-6

    def norm(n: int) -> LayerNorm:
        return LayerNorm(1 + d.normal(n, scale=0.2), d.normal(n, scale=0.1), eps, 1)

    nodes = (
        Node("patch", d.conv(12, 3, 4, 4, stride=(4, 4)), ("image",)),
        Node("seq", Rearrange(((-1,), (-1,), (-1,)), (1, 2, 0), (2, 1), 0, 1), ("patch",)),
        Node("token", Constant(d.normal(1, 12), 1), ("image",)),
        Node("all", Join(0, 1), ("token", "seq")),
        Node("where", Constant(d.normal(10, 12), 1), ("image",)),
        Node("x", Add(), ("all", "where")),
        Node("n1", norm(12), ("x",)),
        Node("q", d.linear(8, 12), ("n1",)),
        Node("k", d.linear(8, 12), ("n1",)),
        Node("v", d.linear(12, 12), ("n1",)),
        Node("att", Attention(2, 0.5), ("q", "k", "v")),
        Node("proj", d.linear(12, 12), ("att",)),
        Node("x1", Add(), ("x", "proj")),
        Node("n2", norm(12), ("x1",)),
        Node("up", d.linear(24, 12), ("n2",)),
        Node("act", Activation("gelu"), ("up",)),
        Node("down", d.linear(12, 24), ("act",)),
        Node("x2", Add(), ("x1", "down")),
        Node("n3", norm(12), ("x2",)),
        Node("first", Cut(0, 0, 1), ("n3",)),
        Node("flat", Rearrange(((), (-1,)), (0,), (1,), 1, 0), ("first",)),
        Node("logits", d.linear(10, 12), ("flat",)),
    )
    cases["vision transformer"] = Graph({"image": Value((3, 12, 12))}, ("logits",), nodes)
    d = Draw("swin")
    nodes = (
        Node("patch", d.conv(12, 3, 2, 2, stride=(2, 2)), ("image",)),
        Node("x", Rearrange(((-1,), (-1,), (-1,)), (1, 2, 0), (1, 1, 1), 0, 2), ("patch",)),
        Node("n1", LayerNorm(1 + d.normal(12, scale=0.2), d.normal(12), eps, 2), ("x",)),
        Node("shifted", Roll((-2, -2, 0)), ("n1",)),
        Node("windows", Rearrange(((-1, 4), (-1, 4), (-1,)), (0, 2, 1, 3, 4), (2, 2, 1), 2, 2), ("shifted",)),
        Node("qkv", d.linear(36, 12), ("windows",)),
        *(Node(name, Select(np.arange(12) + 12 * i, 2), ("qkv",)) for i, name in enumerate("qkv")),
        Node("att", Attention(3, 0.5, d.normal(4, 3, 16, 16)), ("q", "k", "v")),
        Node("proj", d.linear(12, 12), ("att",)),
        Node("back", Rearrange(((-1, 2), (4, 4), (-1,)), (0, 2, 1, 3, 4), (2, 2, 1), 2, 2), ("proj",)),
        Node("unshifted", Roll((2, 2, 0)), ("back",)),
        Node("x1", Add(), ("x", "unshifted")),
        Node("map", Rearrange(((-1,), (-1,), (-1,)), (2, 0, 1), (1, 1, 1), 2, 0), ("x1",)),
        Node("dw", d.conv(12, 12, 3, 3, groups=12, padding=pads(1, 1)), ("map",)),
        Node("mean", Reduce("mean", (1, 2)), ("dw",)),
        Node("logits", d.linear(5, 12), ("mean",)),
        Node("y", Softmax(), ("logits",)),
    )
    cases["window transformer"] = Graph({"image": Value((3, 16, 16))}, ("y",), nodes)
    return cases


def sequences() -> dict[str, Graph]:
    return {**norms(), **attentions(), **places(), **constants(), **transformers()}
