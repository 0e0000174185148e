"""Every op that is read, in its settings, against onnxruntime."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx_files import Array, assert_same, fed, helper, in_runtime, numbers, numpy_helper, onnx, save
from op_cases import CASES, KERNEL, MAP, ROWS, VECTOR, ints, node, scalar

from edgeprune.graph import Graph
from edgeprune.importing import import_onnx
from edgeprune.ops import Activation, Attention, Conv, GroupNorm, LayerNorm, Linear, Normalize, Roll, Select, Upsample


@pytest.mark.parametrize("name", CASES)
def test_an_op_computes_what_onnxruntime_does(name: str, tmp_path: Path) -> None:
    nodes, inputs, constants, opset = CASES[name]
    outputs = ("m", "y") if name == "split evenly" else ("y",)
    assert_same(save(tmp_path / "m.onnx", nodes, inputs, constants, outputs, opset))


@pytest.mark.parametrize("name", [n for n, case in CASES.items() if len(case[1]) == 1 and "resize" not in n])
def test_an_op_of_a_file_with_a_fixed_batch_of_one_too(name: str, tmp_path: Path) -> None:
    nodes, inputs, constants, opset = CASES[name]
    outputs = ("m", "y") if name == "split evenly" else ("y",)
    fixed = {n: (1, *shape[1:]) for n, shape in inputs.items()}
    assert_same(save(tmp_path / "m.onnx", nodes, fixed, constants, outputs, opset), batch=1)


def read(tmp_path: Path, nodes: list[Any], shape: Any, constants: dict[str, Array] | None = None, opset: int = 17) -> Graph:
    return assert_same(save(tmp_path / "m.onnx", nodes, {"x": shape}, constants, opset=opset))


def kinds(graph: Graph) -> list[Any]:
    return [n.op.kind if isinstance(n.op, Activation) else type(n.op) for n in graph.nodes]


HALF, ROOT = scalar(0.5), scalar(2**0.5)
SPELLED: dict[str, tuple[list[Any], dict[str, Array], Any]] = {
    "gelu": (
        [
            node("Div", ["x", "r"], ["a"]),
            node("Erf", ["a"], ["e"]),
            node("Add", ["e", "1"], ["s"]),
            node("Mul", ["x", "s"], ["m"]),
            node("Mul", ["m", "h"], ["y"]),
        ],
        {"r": ROOT, "1": scalar(1), "h": HALF},
        "gelu",
    ),
    "gelu, half first": (
        [
            node("Mul", ["x", "h"], ["m"]),
            node("Mul", ["x", "r"], ["a"]),
            node("Erf", ["a"], ["e"]),
            node("Add", ["1", "e"], ["s"]),
            node("Mul", ["s", "m"], ["y"]),
        ],
        {"r": scalar(0.5**0.5), "1": scalar(1), "h": HALF},
        "gelu",
    ),
    "gelu by tanh": (
        [
            node("Pow", ["x", "3"], ["c"]),
            node("Mul", ["c", "k"], ["d"]),
            node("Add", ["x", "d"], ["e"]),
            node("Mul", ["e", "q"], ["f"]),
            node("Tanh", ["f"], ["t"]),
            node("Add", ["t", "1"], ["s"]),
            node("Mul", ["x", "s"], ["m"]),
            node("Mul", ["m", "h"], ["y"]),
        ],
        {"3": scalar(3), "k": scalar(0.044715), "q": scalar((2 / np.pi) ** 0.5), "1": scalar(1), "h": HALF},
        "gelu_tanh",
    ),
    "silu": ([node("Sigmoid", ["x"], ["s"]), node("Mul", ["s", "x"], ["y"])], {}, "silu"),
    "mish": ([node("Softplus", ["x"], ["p"]), node("Tanh", ["p"], ["t"]), node("Mul", ["x", "t"], ["y"])], {}, "mish"),
    "hard swish": (
        [
            node("Add", ["x", "3"], ["a"]),
            node("Clip", ["a", "0", "6"], ["c"]),
            node("Mul", ["x", "c"], ["m"]),
            node("Div", ["m", "6"], ["y"]),
        ],
        {"3": scalar(3), "0": scalar(0), "6": scalar(6)},
        "hard_swish",
    ),
    "hard sigmoid": (
        [node("Add", ["x", "3"], ["a"]), node("Clip", ["a", "0", "6"], ["c"]), node("Div", ["c", "6"], ["y"])],
        {"3": scalar(3), "0": scalar(0), "6": scalar(6)},
        "hard_sigmoid",
    ),
    "layer norm": (
        [
            node("ReduceMean", ["x"], ["m"], axes=[-1]),
            node("Sub", ["x", "m"], ["d"]),
            node("Pow", ["d", "2"], ["q"]),
            node("ReduceMean", ["q"], ["v"], axes=[-1]),
            node("Add", ["v", "e"], ["f"]),
            node("Sqrt", ["f"], ["r"]),
            node("Div", ["d", "r"], ["y"]),
        ],
        {"2": scalar(2), "e": scalar(1e-5)},
        LayerNorm,
    ),
    "rms norm": (
        [
            node("Mul", ["x", "x"], ["q"]),
            node("ReduceMean", ["q"], ["v"], axes=[-1]),
            node("Add", ["v", "e"], ["f"]),
            node("Sqrt", ["f"], ["r"]),
            node("Reciprocal", ["r"], ["o"]),
            node("Mul", ["x", "o"], ["y"]),
        ],
        {"e": scalar(1e-5)},
        LayerNorm,
    ),
    "length": (
        [
            node("ReduceL2", ["x"], ["l"], axes=[-1]),
            node("Clip", ["l", "e"], ["f"]),
            node("Shape", ["x"], ["s"]),
            node("Expand", ["f", "s"], ["g"]),
            node("Div", ["x", "g"], ["y"]),
        ],
        {"e": scalar(1e-6)},
        Normalize,
    ),
}


@pytest.mark.parametrize("name", SPELLED)
def test_a_layer_that_is_spelled_out_is_recognised(name: str, tmp_path: Path) -> None:
    nodes, constants, what = SPELLED[name]
    found = kinds(read(tmp_path, nodes, ROWS, constants))
    assert [k for k in found if str(k) != str(found[0]) or k == what][-1] == what
    assert len([k for k in found if isinstance(k, str) or k not in (Linear,)]) <= 2


@pytest.mark.parametrize(
    ("name", "constant", "other"),
    [("gelu", "h", 0.4), ("gelu", "r", 1.5), ("gelu by tanh", "k", 0.05), ("hard swish", "3", 2.0), ("hard swish", "6", 5.0)],
)
def test_what_is_nearly_a_layer_is_left_spelled_out(name: str, constant: str, other: float, tmp_path: Path) -> None:
    nodes, constants, what = SPELLED[name]
    assert what not in kinds(read(tmp_path, nodes, ROWS, {**constants, constant: scalar(other)}))


def test_a_norm_whose_mean_is_of_something_else_is_left_spelled_out(tmp_path: Path) -> None:
    nodes, constants, _ = SPELLED["layer norm"]
    changed = [node("Abs", ["x"], ["z"]), node("ReduceMean", ["z"], ["m"], axes=[-1]), *nodes[1:]]
    graph = read(tmp_path, changed, ROWS, constants)
    assert not any(isinstance(n.op, LayerNorm) and n.op.centred for n in graph.nodes)


def test_a_division_of_something_else_by_the_same_root_is_no_norm(tmp_path: Path) -> None:
    nodes, constants, _ = SPELLED["layer norm"]
    graph = read(tmp_path, [*nodes[:-1], node("Div", ["x", "r"], ["y"])], ROWS, constants)
    assert not any(isinstance(n.op, LayerNorm) for n in graph.nodes)


def test_a_part_of_a_part_of_the_channels_is_taken(tmp_path: Path) -> None:
    constants = {"s": ints(0, 2, 3, 2), "one": ints(1), "three": ints(3), "axis": ints(2), "flat": ints(0, 8)}
    nodes = [
        node("Reshape", ["x", "s"], ["t"]),
        node("Slice", ["t", "one", "three", "axis"], ["u"]),
        node("Reshape", ["u", "flat"], ["v"]),
        node("Gemm", ["v", "w"], ["y"]),
    ]
    assert kinds(read(tmp_path, nodes, VECTOR, {**constants, "w": numbers(8, 3)})) == [Select, Linear]


@pytest.mark.parametrize("divided", ["q", "k", "qk", "v"])
def test_vectors_divided_by_their_lengths_meet_in_attention(divided: str, tmp_path: Path) -> None:
    """Both q and k are the op's own; anything else stays a division before it."""
    constants = {n: numbers(8, 8, seed=i) for i, n in enumerate("qkv")} | {"s": ints(0, 6, 2, 4), "back": ints(0, 6, 8)}
    nodes = []
    for name in "qkv":
        nodes += [node("MatMul", ["x", name], [f"{name}1"]), node("Reshape", [f"{name}1", "s"], [f"{name}2"])]
        nodes += [node("Transpose", [f"{name}2"], [f"{name}3"], perm=[0, 2, 1, 3])]
        last = f"{name}3"
        if name in divided:
            nodes += [node("ReduceL2", [last], [f"{name}l"], axes=[-1]), node("Div", [last, f"{name}l"], [f"{name}4"])]
            last = f"{name}4"
        nodes += (
            [node("Transpose", [last], ["k5"], perm=[0, 1, 3, 2])] if name == "k" else [node("Identity", [last], [f"{name}5"])]
        )
    nodes += [
        node("MatMul", ["q5", "k5"], ["a"]),
        node("Softmax", ["a"], ["b"], axis=-1),
        node("MatMul", ["b", "v5"], ["c"]),
        node("Transpose", ["c"], ["d"], perm=[0, 2, 1, 3]),
        node("Reshape", ["d", "back"], ["y"]),
    ]
    graph = read(tmp_path, nodes, ROWS, constants)
    (op,) = [n.op for n in graph.nodes if isinstance(n.op, Attention)]
    assert (op.cosine is not None) == (divided == "qk")


def test_shapes_that_are_worked_out_while_running_are_constants(tmp_path: Path) -> None:
    nodes = [
        node("Shape", ["x"], ["s"]),
        node("Gather", ["s", "0"], ["b"]),
        node("Gather", ["s", "1"], ["c"]),
        node("Unsqueeze", ["b", "a"], ["b1"]),
        node("Unsqueeze", ["c", "a"], ["c1"]),
        node("Div", ["c1", "2"], ["h"]),
        node("Concat", ["b1", "2", "h", "r"], ["t"], axis=0),
        node("Reshape", ["x", "t"], ["u"]),
        node("Transpose", ["u"], ["v"], perm=[0, 2, 1, 3]),
        node("Reshape", ["v", "s"], ["y"]),
    ]
    constants = {"0": np.array(0), "1": np.array(1), "a": ints(0), "2": ints(2), "r": ints(-1)}
    graph = read(tmp_path, nodes, MAP, {name: np.asarray(c, np.int64) for name, c in constants.items()})
    # A channel shuffle is a selection of channels and nothing else.
    assert [type(n.op).__name__ for n in graph.nodes] in (["Select"], ["Rearrange"], ["Select", "Rearrange"])


def test_a_branch_that_is_known_is_taken(tmp_path: Path) -> None:
    def branch(kind: str) -> Any:
        made = helper.make_tensor_value_info("z", 1, None)
        return helper.make_graph([node(kind, ["x"], ["z"])], kind, [], [made])

    nodes = [node("If", ["c"], ["y"], then_branch=branch("Relu"), else_branch=branch("Abs"))]
    assert kinds(read(tmp_path, nodes, MAP, {"c": np.array(False)})) == ["abs"]


def test_functions_of_the_file_are_opened(tmp_path: Path) -> None:
    twice = helper.make_function(
        "com.example", "Twice", ["a"], ["b"], [node("Add", ["a", "a"], ["b"])], [helper.make_opsetid("", 17)]
    )
    path = save(tmp_path / "m.onnx", [node("Twice", ["x"], ["y"], domain="com.example")], {"x": MAP}, functions=[twice])
    assert_same(path)


def test_constants_may_be_sparse_and_may_be_nodes(tmp_path: Path) -> None:
    weight = numbers(12, 5) * (numbers(12, 5, seed=1) > 1)
    places = np.flatnonzero(weight)
    for flat in (True, False):
        index = places if flat else np.stack(np.unravel_index(places, weight.shape), 1)
        stored = onnx.SparseTensorProto(
            values=numpy_helper.from_array(weight.reshape(-1)[places], "w"),
            indices=numpy_helper.from_array(index),
            dims=weight.shape,
        )
        said = [helper.make_tensor_value_info("x", 1, VECTOR)], [helper.make_tensor_value_info("y", 1, ("b", 5))]
        graph = helper.make_graph([node("MatMul", ["x", "w"], ["y"])], "t", *said, sparse_initializer=[stored])
        path = tmp_path / "m.onnx"
        onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
        linear = import_onnx(path).nodes[0].op
        assert isinstance(linear, Linear)
        assert np.array_equal(linear.weight, weight.T)
    made = node("Constant", [], ["w"], value=numpy_helper.from_array(weight))
    again = read(tmp_path, [made, node("Identity", ["w"], ["v"]), node("MatMul", ["x", "v"], ["y"])], VECTOR).nodes[0].op
    assert isinstance(again, Linear)
    assert np.array_equal(again.weight, weight.T)


def test_weights_may_lie_in_a_file_beside(tmp_path: Path) -> None:
    path = save(tmp_path / "m.onnx", [node("Gemm", ["x", "w"], ["y"])], {"x": VECTOR}, {"w": numbers(12, 50)})
    onnx.save(onnx.load(path), path, save_as_external_data=True, location="weights.bin", size_threshold=0)
    assert (tmp_path / "weights.bin").is_file()
    assert_same(path)


def test_a_bias_that_is_added_is_the_layers(tmp_path: Path) -> None:
    nodes = [node("MatMul", ["x", "w"], ["t"]), node("Add", ["b", "t"], ["y"])]
    graph = read(tmp_path, nodes, ROWS, {"w": numbers(8, 3), "b": numbers(3)})
    assert [type(n.op) for n in graph.nodes if type(n.op).__name__ != "Rearrange"] == [Linear]


def test_a_bias_read_before_it_is_added_is_not(tmp_path: Path) -> None:
    nodes = [node("Conv", ["x", "w"], ["t"]), node("Add", ["b", "t"], ["u"]), node("Mul", ["u", "t"], ["y"])]
    graph = read(tmp_path, nodes, MAP, {"w": KERNEL, "b": numbers(6, 1, 1)})
    assert [n.op.bias for n in graph.nodes if isinstance(n.op, Conv)] == [None]


def test_slices_along_axes_of_their_own_are_one_and_along_the_same_two(tmp_path: Path) -> None:
    for axes, count in (((2, 3), 1), ((2, 2), 2)):
        constants = {"0": ints(1), "9": ints(99), "a": ints(axes[0]), "b": ints(axes[1])}
        nodes = [node("Slice", ["x", "0", "9", "a"], ["t"]), node("Slice", ["t", "0", "9", "b"], ["y"])]
        assert len(read(tmp_path, nodes, MAP, constants).nodes) == count


def test_a_roll_that_is_cut_and_joined_is_a_roll(tmp_path: Path) -> None:
    cut = [node("Slice", ["x", s, e, "2"], [o]) for s, e, o in (("s", "e", "p"), ("0", "s", "q"))]
    constants = {"s": ints(3), "e": ints(9), "0": ints(0), "2": ints(2)}
    assert kinds(read(tmp_path, [*cut, node("Concat", ["p", "q"], ["y"], axis=2)], MAP, constants)) == [Roll]
    assert Roll not in kinds(read(tmp_path, [*cut, node("Concat", ["q", "p"], ["y"], axis=2)], MAP, constants))


def test_groups_of_channels_are_found_in_an_instance_norm(tmp_path: Path) -> None:
    nodes = [
        node("Shape", ["x"], ["s"]),
        node("Reshape", ["x", "g"], ["t"]),
        node("InstanceNormalization", ["t", "1", "0"], ["u"]),
        node("Reshape", ["u", "s"], ["y"]),
    ]
    graph = read(tmp_path, nodes, MAP, {"g": ints(0, 2, -1), "1": numbers(2), "0": numbers(2)})
    assert kinds(graph) == [GroupNorm]


def test_attention_is_one_op(tmp_path: Path) -> None:
    constants = {n: numbers(8, 8, seed=i) for i, n in enumerate("qkvo")}
    constants |= {
        "s": ints(0, 6, 2, 4),
        "back": ints(0, 6, 8),
        "r": scalar(0.5),
        "mask": np.triu(np.full((6, 6), -1e9, np.float32), 1),
    }
    nodes = []
    for name in "qkv":
        nodes += [node("MatMul", ["x", name], [f"{name}1"]), node("Reshape", [f"{name}1", "s"], [f"{name}2"])]
        nodes += [node("Transpose", [f"{name}2"], [f"{name}3"], perm=[0, 2, 3, 1] if name == "k" else [0, 2, 1, 3])]
    nodes += [
        node("MatMul", ["q3", "k3"], ["a"]),
        node("Mul", ["a", "r"], ["b"]),
        node("Add", ["b", "mask"], ["c"]),
        node("Softmax", ["c"], ["d"], axis=-1),
        node("MatMul", ["d", "v3"], ["e"]),
        node("Transpose", ["e"], ["f"], perm=[0, 2, 1, 3]),
        node("Reshape", ["f", "back"], ["g"]),
        node("MatMul", ["g", "o"], ["y"]),
    ]
    graph = read(tmp_path, nodes, ROWS, constants)
    (op,) = [n.op for n in graph.nodes if isinstance(n.op, Attention)]
    assert (op.heads, op.scale) == (2, 0.5)
    assert [type(n.op) for n in graph.nodes].count(Linear) == 4


def test_integers_pick_rows_of_a_table(tmp_path: Path) -> None:
    table = numbers(11, 5)
    path = save(tmp_path / "m.onnx", [node("Gather", ["t", "x"], ["y"])], {"x": ("b", 6)}, {"t": table}, kind=7)
    index = np.random.default_rng(0).integers(11, size=(3, 6))
    graph = import_onnx(path)
    assert np.array_equal(graph.run(index), in_runtime(path, [index])[0])


def test_upsampling_has_its_own_word_only_where_it_reads_the_same_places(tmp_path: Path) -> None:
    for name, own in (("asymmetric floor", True), ("half_pixel ceil", False)):
        place, rounding = name.split()
        nodes, inputs, constants, opset = CASES[f"resize nearest {place} {rounding} by (2, 2)"]
        graph = import_onnx(save(tmp_path / "m.onnx", nodes, inputs, constants, opset=opset))
        assert any(isinstance(n.op, Upsample) for n in graph.nodes) == own


def test_a_fixed_batch_takes_any_batch_as_a_graph(tmp_path: Path) -> None:
    for batch in (1, 5):
        nodes = [node("Reshape", ["x", "s"], ["t"]), node("Gemm", ["t", "w"], ["y"])]
        path = save(tmp_path / "m.onnx", nodes, {"x": (batch, 4, 3)}, {"s": ints(batch, 12), "w": numbers(12, 2)})
        graph = assert_same(path)
        (x,) = fed(path, batch)
        many = np.concatenate([x, x + 1, x])
        assert np.allclose(graph.run(many)[:batch], graph.run(x), atol=1e-5)  # type: ignore[index]
        assert len(graph.run(many)) == 3 * batch


def test_other_open_axes_are_given(tmp_path: Path) -> None:
    path = save(tmp_path / "m.onnx", [node("GlobalMaxPool", ["x"], ["y"])], {"x": ("b", 3, "h", "w")})
    assert import_onnx(path, [(3, 5, 6)]).inputs["x"].shape == (3, 5, 6)
