"""Files that are not read: what is wrong with them, and words of what is said."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from onnx_files import Array, helper, numbers, save

MAP, ROWS = ("b", 4, 9, 8), ("b", 6, 8)
node = helper.make_node
INDEX = np.array([0], np.int64)


def scalar(x: float) -> Array:
    return np.array(x, np.float32)


def weights(*shapes: tuple[int, ...]) -> dict[str, Array]:
    return {f"w{i}": numbers(*shape) for i, shape in enumerate(shapes)}


class Refused(NamedTuple):
    """`why`: a pattern in what is said. `settings`: more of what `save` takes."""

    nodes: list[Any]
    constants: dict[str, Array]
    why: str
    inputs: dict[str, Any] = {"x": MAP}
    settings: dict[str, Any] = {}

    def save(self, path: Path) -> Path:
        return save(path, self.nodes, self.inputs, self.constants, **self.settings)


# name: (nodes, constants, words of the reason), of one map
OPS: dict[str, tuple[list[Any], dict[str, Array], str]] = {
    "an op nobody taught": ([node("LpNormalization", ["x"], ["y"])], {}, "LpNormalization.*nobody has taught it"),
    "an op of a runtime": (
        [node("FusedGelu", ["x"], ["y"], domain="com.example")],
        {},
        r"com\.example\.FusedGelu.*no op of ONNX itself",
    ),
    "a random op": ([node("RandomNormalLike", ["x"], ["t"]), node("Add", ["x", "t"], ["y"])], {}, "another result every time"),
    "a weight made of the input": ([node("Conv", ["x", "x"], ["y"])], {}, "its weight is computed from the input"),
    "a weight that is missing": ([node("Conv", ["x", "nowhere"], ["y"])], {}, "reads 'nowhere', which nothing before it makes"),
    "a weight that does not fit": ([node("Conv", ["x", "w0"], ["y"])], weights((5, 7, 3, 3)), "expected 7 channels"),
    "a weight of halves": (
        [node("Conv", ["x", "h"], ["y"])],
        {"h": numbers(4, 4, 1, 1).astype(np.float16)},
        "weight is float16.*float32",
    ),
    "training": (
        [node("BatchNormalization", ["x", *(f"w{i}" for i in range(4))], ["y", "m", "v"], training_mode=1)],
        weights((4,), (4,), (4,), (4,)),
        r"call eval\(\)",
    ),
    "a part of the batch": ([node("Slice", ["x", "0", "1", "0"], ["y"])], {"0": INDEX, "1": INDEX + 1}, "a part of the batch"),
    "a sum of the batch": ([node("ReduceSum", ["x", "0"], ["y"])], {"0": INDEX}, "sums up the batch"),
    "softmax over the batch": ([node("Softmax", ["x"], ["y"], axis=0)], {}, "runs over the batch"),
    "padding of the batch": ([node("Pad", ["x", "p"], ["y"])], {"p": np.array([1, 0, 0, 0, 0, 0, 0, 0])}, "pads the batch"),
    "a number of the batch in a shape": ([node("Reshape", ["x", "s"], ["y"])], {"s": np.array([2, 288])}, "its batch is open"),
    "elements picked by the input": (
        [node("Cast", ["x"], ["i"], to=7), node("Gather", ["x", "i"], ["y"], axis=2)],
        {},
        "depends on the input",
    ),
    "computing with integers": (
        [node("Cast", ["x"], ["i"], to=7), node("Add", ["i", "0"], ["y"])],
        {"0": INDEX},
        "computes with integers",
    ),
    "another type": ([node("Cast", ["x"], ["y"], to=10)], {}, "from float32 to float16"),
    "truth values of integers": (
        [node("Cast", ["x"], ["i"], to=7), node("Cast", ["i"], ["c"], to=9), node("Cast", ["c"], ["y"], to=1)],
        {},
        "computes with integers",
    ),
    "a choice between integers": (
        [node("Greater", ["x", "0"], ["c"]), node("Where", ["c", "1", "2"], ["i"]), node("Div", ["i", "2"], ["y"])],
        {"0": scalar(0), "1": INDEX + 5, "2": INDEX + 2},
        "chooses between integers; store them as floats",
    ),
    "cubic resampling": (
        [node("Resize", ["x", "", "s"], ["y"], mode="cubic")],
        {"s": np.array([1, 1, 2, 2], np.float32)},
        "'cubic'.*use nearest",
    ),
    "resampling of channels": (
        [node("Resize", ["x", "", "s"], ["y"])],
        {"s": np.array([1, 2, 1, 1], np.float32)},
        "batch or the channels",
    ),
    "places of the largest": ([node("MaxPool", ["x"], ["p", "y"], kernel_shape=[2, 2])], {}, "places of the largest"),
    "a norm over several axes": (
        [node("LayerNormalization", ["x", "w0"], ["y"], axis=2)],
        weights((9, 8)),
        "normalise over the channels only",
    ),
    "a GRU of the other kind": (
        [
            node("Transpose", ["x"], ["t"], perm=[2, 0, 1, 3]),
            node("Reshape", ["t", "s"], ["u"]),
            node("GRU", ["u", "w0", "w1"], ["y"], hidden_size=5),
        ],
        {**weights((1, 15, 32), (1, 15, 5)), "s": np.array([9, -1, 32])},
        "linear_before_reset",
    ),
    "a product of two maps": (
        [node("Transpose", ["x"], ["t"], perm=[0, 1, 3, 2]), node("MatMul", ["x", "t"], ["y"])],
        {},
        "attention",
    ),
    "an output without the batch in front": ([node("Transpose", ["x"], ["y"], perm=[1, 0, 2, 3])], {}, "batch as its first axis"),
    "an output that is a constant": ([node("Identity", ["w0"], ["y"])], weights((3,)), "not computed from the input"),
    "numbers that depend on the batch": (
        [
            node("Shape", ["x"], ["s"]),
            node("Gather", ["s", "i"], ["n"]),
            node("Cast", ["n"], ["f"], to=1),
            node("Div", ["x", "f"], ["y"]),
        ],
        {"i": np.array(0)},
        "depend on how large the batch is",
    ),
}


RELU = [node("Relu", ["x"], ["y"])]
WHOLE = node("Cast", ["x"], ["i"], to=7)
OTHER = node("Relu", ["x"], ["m"])
SEQUENCES = {"x": ("b", 6, 8)}


def resized(**settings: Any) -> list[Any]:
    return [node("Resize", ["x", "", "", "sizes"], ["y"], axes=[2, 3], **settings)]


def lstm(*more: str, outputs: Sequence[str] = ("s",), **settings: Any) -> list[Any]:
    return [
        node("Transpose", ["x"], ["t"], perm=[1, 0, 2]),
        node("LSTM", ["t", "w0", "w1", *more], outputs, hidden_size=5, **settings),
        node("Squeeze", ["s", "one"], ["u"]),
        node("Transpose", ["u"], ["y"], perm=[1, 0, 2]),
    ]


GATES = {**weights((1, 20, 8), (1, 20, 5)), "one": np.array([1])}
BRANCH = helper.make_graph([node("Relu", ["x"], ["z"])], "branch", [], [helper.make_tensor_value_info("z", 1, None)])
SIZES = {"sizes": np.array([5, 4])}

SETTINGS: dict[str, Refused] = {
    "a swish with a slope": Refused([node("Swish", ["x"], ["y"], alpha=2.0)], {}, "alpha=2.0 is not 1"),
    "a shrink by something else": Refused([node("Shrink", ["x"], ["y"], bias=0.3)], {}, "bias=0.3.* is neither 0 nor lambd=0.5"),
    "bounds of the input": Refused([OTHER, node("Clip", ["x", "m"], ["y"])], {}, "its bounds depend on the input"),
    "slopes for every place": Refused([node("PRelu", ["x", "w0"], ["y"])], weights((4, 9, 1)), "slopes.*not one a channel"),
    "exponents by place": Refused([node("Pow", ["x", "w0"], ["y"])], weights((8,)), "exponent is not one number"),
    "a multiple of a value added": Refused(
        [node("Gemm", ["x", "w0", "x"], ["y"], beta=2.0)], weights((6, 6)), "beta=2.0", {"x": ("b", 6)}
    ),
    "rows by what is no integer": Refused([node("Gather", ["w0", "x"], ["y"])], weights((5, 4)), "by what is no integer"),
    "matrices by integers": Refused([WHOLE, node("Gather", ["w0", "i"], ["y"])], weights((5, 4, 3)), "no row of a table"),
    "columns by integers": Refused([WHOLE, node("Gather", ["w0", "i"], ["y"], axis=1)], weights((5, 4)), "another axis"),
    "a convolution that cuts": Refused(
        [node("Conv", ["x", "w0"], ["y"], pads=[-1, 0, 0, 0])], weights((5, 4, 3, 3)), "padding.* is negative"
    ),
    "a transposed convolution that pads": Refused(
        [node("ConvTranspose", ["x", "w0"], ["y"], pads=[-1, 0, 0, 0])], weights((4, 5, 3, 3)), "padding.* is negative"
    ),
    "statistics": Refused(
        [node("LayerNormalization", ["x", "w0"], ["y", "m"])],
        weights((8,)),
        "statistics are outputs",
        settings={"outputs": ["y", "m"]},
    ),
    "a norm of other channels": Refused([node("LayerNormalization", ["x", "w0"], ["y"])], weights((4,)), "not one a channel"),
    "padding by another rule": Refused(
        [node("Pad", ["x", "p"], ["y"], mode="mirror")], {"p": np.array([0, 0, 1, 0, 0, 0, 0, 0])}, "mode 'mirror'; use constant"
    ),
    "padding with the input": Refused(
        [OTHER, node("Pad", ["x", "p", "m"], ["y"])],
        {"p": np.array([0, 0, 1, 0, 0, 0, 0, 0])},
        "pads with depends on the input",
    ),
    "a size by the aspect ratio": Refused(resized(keep_aspect_ratio_policy="not_larger"), SIZES, "aspect ratio"),
    "smooth resampling": Refused(resized(mode="linear", antialias=1), SIZES, "antialias"),
    "nearest places of a region": Refused(
        resized(coordinate_transformation_mode="tf_crop_and_resize"), SIZES, "nearest places by 'tf_crop_and_resize'"
    ),
    "attention with a cap": Refused(
        [node("Attention", ["x", "x", "x"], ["y"], q_num_heads=2, kv_num_heads=2, softcap=3.0)], {}, "caps its scores", SEQUENCES
    ),
    "a cell state": Refused(lstm(outputs=["s", "", "c"]), GATES, "cell state is an output", SEQUENCES, {"outputs": ["y", "c"]}),
    "a first state": Refused(lstm("", "", "w2"), {**GATES, "w2": numbers(1, 1, 5)}, "first state is not zeros", SEQUENCES),
    "lengths": Refused(lstm("", "n"), {**GATES, "n": np.array([3], np.int32)}, "lengths of their own", SEQUENCES),
    "a clipped cell": Refused(lstm(clip=1.0), GATES, "clip", SEQUENCES),
    "steps behind the batch": Refused(
        [node("LSTM", ["x", "w0", "w1"], ["y"], hidden_size=5)], GATES, "batch is not its second axis", SEQUENCES
    ),
    "all axes of size 1": Refused([node("Squeeze", ["x"], ["y"])], {}, "the batch too; name the axes", {"x": (1, 4, 9, 8)}),
    "an axis that is not 1": Refused([node("Squeeze", ["x", "1"], ["y"])], {"1": INDEX + 1}, r"drops axes \[1\]"),
    "dropout in training": Refused(
        [node("Dropout", ["x", "r", "t"], ["y"])], {"r": scalar(0.5), "t": np.array(True)}, r"call eval\(\)"
    ),
    "more axes than there are": Refused([node("Transpose", ["x"], ["y"], perm=[0, 1, 2, 4])], {}, "do not fit each other"),
    "a shape of the input": Refused([WHOLE, node("Reshape", ["x", "i"], ["y"])], {}, "settings depends on the input"),
    "a branch by the input": Refused(
        [OTHER, node("If", ["m"], ["y"], then_branch=BRANCH, else_branch=BRANCH)], {}, "which branch"
    ),
    "a choice by a constant mask": Refused(
        [node("Where", ["c", "x", "0"], ["y"])], {"c": np.arange(8) > 2, "0": scalar(0)}, "chooses between values by a .*mask"
    ),
    # Beyond single nodes: the file.
    "an output named as an input": Refused(
        [node("Relu", ["x"], ["x"])], {}, "'x' has the name of an input.*rename one", settings={"outputs": ["x"]}
    ),
    "no rank": Refused(RELU, {}, "'x' is not a tensor of known rank; export it with one", {"x": None}),
    "nothing beside a batch": Refused(RELU, {}, "nothing beside a batch; give it", {"x": ("b",)}),
    "halves": Refused(RELU, {}, "computes with float16.*store it as float32", settings={"kind": 10}),
    "truths": Refused(RELU, {}, "of bool; edgeprune reads float32", settings={"kind": 9}),
    "batches that differ": Refused(RELU, {}, "batches of .*give all of them the same", {"x": (1, 4), "z": (2, 4)}),
    "no input": Refused([node("Relu", ["w0"], ["y"])], weights((3,)), "has no input", {}),
    "an opset of long ago": Refused(RELU, {}, "opset 12.*reads 13 and newer.*opset_version", settings={"opset": 12}),
    "an opset to come": Refused(RELU, {}, "opset 99.*upgrade onnx", settings={"opset": 99}),
}

REFUSED = {**{name: Refused(*row) for name, row in OPS.items()}, **SETTINGS}
