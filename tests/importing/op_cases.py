"""One op each, in the settings that change what it computes. A case is (nodes, inputs, constants, opset)."""

from __future__ import annotations

from typing import Any

import numpy as np
from onnx_files import Array, helper, numbers

MAP, ROWS, VECTOR = ("b", 4, 9, 8), ("b", 6, 8), ("b", 12)
node = helper.make_node


def ints(*n: int) -> Array:
    return np.array(n, np.int64)


def scalar(x: float) -> Array:
    return np.array(x, np.float32)


def one(kind: str, shape: Any, *constants: Array | None, opset: int = 17, **settings: Any) -> tuple[Any, ...]:
    """A case of one op whose first input is the network's."""
    names = ["" if c is None else f"c{i}" for i, c in enumerate(constants)]
    stored = {n: c for n, c in zip(names, constants, strict=True) if c is not None}
    return [node(kind, ["x", *names], ["y"], **settings)], {"x": shape}, stored, opset


def truth(*nodes: Any, shape: Any = MAP, **constants: Array) -> tuple[Any, ...]:
    """A case of the truth value `c` that these nodes make of "r", the rounded input: as numbers, and as a choice."""
    chosen = [node("Cast", ["c"], ["n"], to=1), node("Where", ["c", "x", "seven"], ["w"]), node("Add", ["n", "w"], ["y"])]
    return [node("Round", ["x"], ["r"]), *nodes, *chosen], {"x": shape}, {"seven": scalar(7), **constants}, 17


def attending(*nodes: Any, **constants: Array) -> tuple[Any, ...]:
    """A case of attention whose scores "s" these nodes make the scores "m" of."""
    before = [node("Transpose", ["x"], ["t"], perm=[0, 2, 1]), node("MatMul", ["x", "t"], ["s"])]
    after = [node("Softmax", ["m"], ["p"], axis=-1), node("MatMul", ["p", "x"], ["y"])]
    return [*before, *nodes, *after], {"x": ROWS}, {"0": scalar(0), "never": scalar(-np.inf), **constants}, 17


# Whether the first channel of each place is above 0; the first place's always is.
OPEN = [
    node("Gather", ["x", "first"], ["g"], axis=2),
    node("Transpose", ["g"], ["k"], perm=[0, 2, 1]),
    node("Add", ["k", "large"], ["a"]),
    node("Greater", ["a", "0"], ["o"]),
]
PLACES = {"first": ints(0), "large": np.array([99, 0, 0, 0, 0, 0], np.float32)}
KERNEL, DEEP = numbers(6, 4, 3, 3), numbers(4, 1, 3, 3)
UP = numbers(4, 5, 3, 3)
CASES: dict[str, tuple[Any, ...]] = {
    **{f"conv {auto}": one("Conv", MAP, KERNEL, auto_pad=auto, strides=[2, 2]) for auto in ("SAME_UPPER", "SAME_LOWER", "VALID")},
    "conv one-sided": one("Conv", MAP, KERNEL, numbers(6), pads=[0, 1, 2, 0], dilations=[1, 2]),
    "conv depthwise": one("Conv", MAP, DEEP, group=4, pads=[1, 1, 1, 1]),
    "conv transpose": one("ConvTranspose", MAP, UP, numbers(5), strides=[2, 2], pads=[1, 1, 1, 1], output_padding=[1, 1]),
    "conv transpose, more in front": one("ConvTranspose", MAP, UP, strides=[2, 2], pads=[2, 1, 0, 1]),
    "conv transpose, more at the end": one("ConvTranspose", MAP, UP, strides=[2, 2], pads=[0, 0, 2, 1]),
    "conv transpose, grouped": one("ConvTranspose", MAP, numbers(4, 3, 2, 2), group=2, dilations=[2, 1]),
    "conv transpose same": one("ConvTranspose", MAP, UP, strides=[2, 2], auto_pad="SAME_UPPER"),
    "conv transpose to a size": one("ConvTranspose", MAP, UP, strides=[2, 2], output_shape=[18, 17]),
    "gemm": one("Gemm", VECTOR, numbers(12, 5), numbers(5), alpha=0.5, beta=2.0),
    "gemm turned, a scalar added": one("Gemm", VECTOR, numbers(5, 12), scalar(0.3), transB=1),
    "matmul of rows": one("MatMul", ROWS, numbers(8, 3)),
    "matmul with one column": one("MatMul", ROWS, numbers(8)),
    "matmul from the left": ([node("MatMul", ["w", "x"], ["y"])], {"x": ROWS}, {"w": numbers(5, 6)}, 17),
    "einsum": ([node("Einsum", ["x", "w"], ["y"], equation="btc,dc->bdt")], {"x": ROWS}, {"w": numbers(5, 8)}, 17),
    "batch norm": one("BatchNormalization", MAP, numbers(4), numbers(4), numbers(4), np.abs(numbers(4)) + 1),
    "layer norm": one("LayerNormalization", ROWS, numbers(8), numbers(8), epsilon=1e-3),
    "instance norm": one("InstanceNormalization", MAP, numbers(4), numbers(4)),
    "group norm": one("GroupNormalization", MAP, numbers(4), numbers(4), opset=21, num_groups=2),
    **{
        f"max pool, ceil {c}": one("MaxPool", MAP, kernel_shape=[3, 2], strides=[2, 3], pads=[1, 0, 1, 1], ceil_mode=c)
        for c in (0, 1)
    },
    "max pool dilated": one("MaxPool", MAP, kernel_shape=[2, 2], dilations=[2, 3]),
    **{
        f"average pool, ceil {c}, counting {i}": one(
            "AveragePool", MAP, opset=19, kernel_shape=[3, 3], strides=[2, 2], pads=[1, 1, 1, 1], ceil_mode=c, count_include_pad=i
        )
        for c in (0, 1)
        for i in (0, 1)
    },
    "average pool same": one("AveragePool", MAP, kernel_shape=[3, 3], strides=[2, 2], auto_pad="SAME_LOWER"),
    "global max pool": one("GlobalMaxPool", MAP),
    "global average pool": one("GlobalAveragePool", MAP),
    **{
        f"{kind} over {axes}": one(kind, MAP, axes=list(axes), keepdims=keep)
        for kind in ("ReduceMean", "ReduceMax", "ReduceMin", "ReduceL2")
        for axes, keep in (((2, 3), 0), ((1,), 1), ((3,), 0), ((-2,), 1))
    },
    "sum over an input": one("ReduceSum", MAP, ints(1, 3)),
    "mean over an input": one("ReduceMean", MAP, ints(2, 3), opset=18),
    "leaky relu": one("LeakyRelu", MAP),
    "elu": one("Elu", MAP, alpha=0.5),
    "selu": one("Selu", MAP),
    "celu": one("Celu", MAP, alpha=2.0),
    "hard sigmoid": one("HardSigmoid", MAP),
    "hard sigmoid by a sixth": one("HardSigmoid", MAP, alpha=1 / 6),
    "hard swish": one("HardSwish", MAP),
    "thresholded": one("ThresholdedRelu", MAP, alpha=0.3),
    "mish": one("Mish", MAP, opset=18),
    "shrink": one("Shrink", MAP, lambd=0.5, bias=0.5),
    "hard shrink": one("Shrink", MAP, lambd=0.5),
    "softsign": one("Softsign", MAP),
    "gelu": one("Gelu", MAP, opset=20),
    "gelu tanh": one("Gelu", MAP, opset=20, approximate="tanh"),
    "prelu by channel": one("PRelu", MAP, numbers(4, 1, 1)),
    "prelu by one": one("PRelu", MAP, numbers(1)),
    "prelu by the last": one("PRelu", ROWS, numbers(8)),
    "clip": one("Clip", MAP, scalar(-0.5), scalar(1)),
    "clip above": one("Clip", MAP, None, scalar(6)),
    "max with a number": one("Max", MAP, scalar(0.2)),
    "min with channels": one("Min", MAP, numbers(4, 1, 1)),
    "pow": ([node("Abs", ["x"], ["t"]), node("Pow", ["t", "c"], ["y"])], {"x": MAP}, {"c": scalar(1.5)}, 17),
    "softmax of channels": one("Softmax", MAP, axis=1),
    "softmax of places": one("LogSoftmax", MAP, axis=2),
    "add rows and columns": one("Add", MAP, numbers(9, 1)),
    "divided": one("Div", MAP, numbers(4, 1, 1) + 3),
    "a number over it": ([node("Exp", ["x"], ["t"]), node("Div", ["c", "t"], ["y"])], {"x": MAP}, {"c": scalar(2)}, 17),
    "a number less it": ([node("Sub", ["c", "x"], ["y"])], {"x": MAP}, {"c": scalar(2)}, 17),
    "a constant that stretches it": one("Mul", ("b", 1, 9, 8), numbers(4, 1, 1)),
    "difference and quotient": (
        [node("Exp", ["z"], ["t"]), node("Sub", ["x", "t"], ["s"]), node("Div", ["s", "t"], ["y"])],
        {"x": MAP, "z": ("b", 4, 1, 1)},
        {},
        17,
    ),
    "sum of three": ([node("Sum", ["x", "z", "c"], ["y"])], {"x": MAP, "z": MAP}, {"c": numbers(4, 1, 1)}, 17),
    "mean of two": ([node("Mean", ["x", "z"], ["y"])], {"x": MAP, "z": MAP}, {}, 17),
    "flatten": one("Flatten", MAP),
    "flatten later": (
        [node("Flatten", ["x"], ["t"], axis=2), node("Reshape", ["t", "s"], ["y"])],
        {"x": MAP},
        {"s": ints(-1, 4, 72)},
        17,
    ),
    "transpose": one("Transpose", MAP, perm=[0, 2, 3, 1]),
    "squeeze and back": (
        [node("ReduceMax", ["x"], ["t"], axes=[2]), node("Squeeze", ["t", "a"], ["u"]), node("Unsqueeze", ["u", "a"], ["y"])],
        {"x": MAP},
        {"a": ints(2)},
        17,
    ),
    "depth to space": one("DepthToSpace", MAP, blocksize=2),
    "depth to space by column": one("DepthToSpace", MAP, blocksize=2, mode="CRD"),
    "space to depth": one("SpaceToDepth", ("b", 3, 8, 6), blocksize=2),
    "slice": one("Slice", MAP, ints(1, -5), ints(99, -1), ints(1, 2), ints(1, 2)),
    "slice backwards": one("Slice", MAP, ints(-1), ints(np.iinfo(np.int64).min), ints(3), ints(-1)),
    "slice channels backwards": one("Slice", MAP, ints(2), ints(0), ints(1), ints(-1)),
    "split": (
        [node("Split", ["x", "s"], ["p", "q"], axis=1), node("Concat", ["q", "p"], ["y"], axis=1)],
        {"x": MAP},
        {"s": ints(1, 3)},
        17,
    ),
    "split evenly": (
        [
            node("Split", ["x"], ["p", "q"], axis=2, num_outputs=2),
            node("ReduceMean", ["p", "a"], ["m"], keepdims=0),
            node("Sigmoid", ["q"], ["y"]),
        ],
        {"x": MAP},
        {"a": ints(2, 3)},
        18,
    ),
    "gather one": one("Gather", MAP, np.array(2), axis=1),
    "gather from behind": one("Gather", MAP, ints(-1, 0, 0), axis=2),
    "gather a table of places": one("Gather", MAP, ints(0, 3, 2, 1).reshape(2, 2), axis=1),
    "tile": one("Tile", MAP, ints(1, 2, 1, 3)),
    "expand": (
        [node("Expand", ["x", "s"], ["t"]), node("Mul", ["t", "c"], ["y"])],
        {"x": ("b", 4, 1, 1)},
        {"s": ints(1, 4, 3, 2), "c": numbers(4, 3, 2)},
        17,
    ),
    **{
        f"a value, {kind} a number": truth(node(kind, ["r", "one"], ["c"]), one=scalar(1))
        for kind in ("Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual")
    },
    **{
        f"a number, {kind} a value": truth(node(kind, ["one", "r"], ["c"]), one=scalar(1))
        for kind in ("Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual")
    },
    "a value above another": truth(node("Abs", ["r"], ["a"]), node("Greater", ["a", "r"], ["c"])),
    "truth of numbers": truth(node("Cast", ["r"], ["c"], to=9)),
    **{
        f"not, {kind}": truth(
            node("Greater", ["r", "0"], ["a"]), node("Not", ["a"], ["i"]), node("Less", ["r", "1"], ["b"]),
            node(kind, ["i", "b"], ["c"]), **{"0": scalar(0), "1": scalar(1)},
        )
        for kind in ("And", "Or")
    },
    "and a constant": truth(
        node("Greater", ["r", "0"], ["a"]), node("And", ["a", "k"], ["c"]), **{"0": scalar(0)}, k=np.arange(8) > 2
    ),
    "a choice between a constant and numbers": (
        [node("Greater", ["x", "0"], ["c"]), node("Where", ["c", "k", "0"], ["y"])],
        {"x": MAP}, {"0": scalar(0), "k": numbers(8)}, 17,
    ),
    "scores closed by a constant": attending(node("Where", ["open", "s", "never"], ["m"]), open=np.tri(6, dtype=bool)),
    "scores closed by the input": attending(*OPEN, node("Where", ["o", "s", "never"], ["m"]), **PLACES),
    "scores plus minus infinity": attending(
        *OPEN, node("Where", ["o", "0", "never"], ["i"]), node("Add", ["s", "i"], ["m"]), **PLACES
    ),
    "minus infinity, an axis later": attending(
        *OPEN, node("Squeeze", ["o", "1"], ["q"]), node("Where", ["q", "0", "never"], ["i"]),
        node("Unsqueeze", ["i", "1"], ["u"]), node("Add", ["s", "u"], ["m"]), **PLACES, **{"1": ints(1)},
    ),
    "pad": one("Pad", MAP, ints(0, 0, 1, 2, 0, 0, 3, 0), scalar(0.5)),
    "pad channels": one("Pad", MAP, ints(0, 1, 0, 0, 0, 2, 0, 0)),
    "pad one axis": one("Pad", MAP, ints(1, 2), None, ints(3), opset=18),
    "pad by less than nothing": one("Pad", MAP, ints(0, 0, -1, 2, 0, 0, 1, -3)),
    **{f"pad {mode}": one("Pad", MAP, ints(0, 0, 1, 2, 0, 0, 2, 1), opset=19, mode=mode) for mode in ("reflect", "edge", "wrap")},
    "concat with a constant": ([node("Concat", ["x", "c"], ["y"], axis=1)], {"x": (1, 4, 9, 8)}, {"c": numbers(1, 2, 9, 8)}, 17),
    **{
        f"resize nearest {place} {rounding} by {s}": one(
            "Resize",
            MAP,
            None,
            np.array([1, 1, *s], np.float32),
            mode="nearest",
            coordinate_transformation_mode=place,
            nearest_mode=rounding,
        )
        for place in ("half_pixel", "asymmetric", "align_corners")
        for rounding in ("round_prefer_floor", "round_prefer_ceil", "floor", "ceil")
        for s in ((2, 2), (0.5, 1.5))
    },
    **{
        f"resize linear {place} to {s}": one(
            "Resize", (3, *MAP[1:]), None, None, ints(3, 4, *s), mode="linear", coordinate_transformation_mode=place
        )
        for place in ("half_pixel", "align_corners", "pytorch_half_pixel")
        for s in ((18, 16), (4, 11))
    },
}
