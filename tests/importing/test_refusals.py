"""What is not read is refused: which node, which op, why, and what would do."""

from __future__ import annotations

import builtins
import re
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx_files import Array, helper, numbers, onnx, save

from edgeprune.errors import EdgepruneError, MissingExtra, Unsupported
from edgeprune.graph import Graph
from edgeprune.importing import import_onnx

MAP, ROWS = ("b", 4, 9, 8), ("b", 6, 8)
node = helper.make_node
INDEX = np.array([0], np.int64)


def scalar(x: float) -> Array:
    return np.array(x, np.float32)


def weights(*shapes: tuple[int, ...]) -> dict[str, Array]:
    return {f"w{i}": numbers(*shape) for i, shape in enumerate(shapes)}


# name: (nodes, constants, words of the reason)
REFUSED: dict[str, tuple[list[Any], dict[str, Array], str]] = {
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
    "truth values": ([node("Cast", ["x"], ["c"], to=9), node("Cast", ["c"], ["y"], to=1)], {}, "from float32 to bool"),
    "a choice by the input": (
        [node("Greater", ["x", "0"], ["c"]), node("Where", ["c", "0", "x"], ["y"])],
        {"0": scalar(0)},
        "Greater",
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


@pytest.mark.parametrize("name", REFUSED)
def test_what_has_no_meaning_is_refused_with_its_node_and_a_way_out(name: str, tmp_path: Path) -> None:
    nodes, constants, why = REFUSED[name]
    path = save(tmp_path / "m.onnx", nodes, {"x": MAP}, constants)
    with pytest.raises(Unsupported, match=why) as caught:
        import_onnx(path)
    said = str(caught.value)
    assert "\n" not in said
    # An output and a batch belong to the file, all else to a node.
    assert "m.onnx" in said or re.search(r"has no meaning in the graph here: .*Rewrite the layer", said)


def test_the_node_is_named_as_the_users_layer(tmp_path: Path) -> None:
    odd = node("LpNormalization", ["x"], ["y"], name="/stage2/stage2.0/norm/LpNormalization")
    with pytest.raises(Unsupported, match=r"^stage2\.0\.norm: LpNormalization"):
        import_onnx(save(tmp_path / "m.onnx", [odd], {"x": MAP}))


def test_what_no_output_depends_on_is_not_refused(tmp_path: Path) -> None:
    nodes = [node("LpNormalization", ["x"], ["t"]), node("Relu", ["x"], ["y"])]
    assert isinstance(import_onnx(save(tmp_path / "m.onnx", nodes, {"x": MAP})), Graph)


@pytest.mark.parametrize(("opset", "said"), [(12, "opset 12.*reads 13 and newer.*opset_version"), (99, "opset 99.*upgrade onnx")])
def test_opsets_beyond_those_known_are_refused_with_what_would_do(opset: int, said: str, tmp_path: Path) -> None:
    path = save(tmp_path / "m.onnx", [node("Relu", ["x"], ["y"])], {"x": MAP}, opset=opset)
    with pytest.raises(Unsupported, match=said):
        import_onnx(path)


@pytest.mark.parametrize(
    ("shapes", "kind", "said"),
    [
        ({"x": ("b", 3, "h", "w")}, 1, r"input 'x' is \[\?, 3, \?, \?\].*--input-shape"),
        ({"x": ("b",)}, 1, "nothing beside a batch"),
        ({"x": MAP}, 10, "float16"),
        ({"x": MAP}, 9, "bool"),
        ({"x": (1, 4), "z": (2, 4)}, 1, "batches of"),
    ],
)
def test_inputs_that_cannot_be_fed_are_refused(shapes: dict[str, Any], kind: int, said: str, tmp_path: Path) -> None:
    path = save(tmp_path / "m.onnx", [node("Relu", ["x"], ["y"])], shapes, kind=kind)
    with pytest.raises(EdgepruneError, match=said):
        import_onnx(path)


@pytest.mark.parametrize(
    ("given", "said"), [([(3, 9, 8)], "does not fit"), ([(4, 9, 8)] * 2, "1 inputs"), ([(4, 9)], "does not fit")]
)
def test_shapes_that_do_not_fit_the_file_are_refused(given: Any, said: str, tmp_path: Path) -> None:
    with pytest.raises(EdgepruneError, match=said):
        import_onnx(save(tmp_path / "m.onnx", [node("Relu", ["x"], ["y"])], {"x": MAP}), given)


@pytest.mark.parametrize(
    "content", [b"", b"x", b"\0" * 100, b"PK\x03\x04" + bytes(range(256)) * 4], ids=["empty", "x", "zeros", "zip"]
)
def test_a_file_that_is_no_model_is_refused_in_one_line(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "m.onnx").write_bytes(content)
    with pytest.raises(EdgepruneError, match=r"m\.onnx") as caught:
        import_onnx(tmp_path / "m.onnx")
    assert "\n" not in str(caught.value)


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(EdgepruneError, match="does not exist"):
        import_onnx(tmp_path / "m.onnx")


def test_weights_that_should_lie_beside_and_do_not_are_refused(tmp_path: Path) -> None:
    path = save(tmp_path / "m.onnx", [node("Conv", ["x", "w0"], ["y"])], {"x": MAP}, weights((6, 4, 3, 3)))
    onnx.save(onnx.load(path), path, save_as_external_data=True, location="weights.bin", size_threshold=0)
    (tmp_path / "weights.bin").unlink()
    with pytest.raises(EdgepruneError, match=r"m\.onnx is not a whole ONNX model.*weights\.bin"):
        import_onnx(path)


def test_a_name_that_is_no_text_is_refused(tmp_path: Path) -> None:
    data = save(tmp_path / "m.onnx", [node("Relu", ["x"], ["answer"])], {"x": MAP}, outputs=["answer"]).read_bytes()
    (tmp_path / "m.onnx").write_bytes(data.replace(b"answer", b"answe\xff", 1))
    with pytest.raises(EdgepruneError, match=r"not a (valid|whole) ONNX model"):
        import_onnx(tmp_path / "m.onnx")


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(changes=st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 255)), min_size=1, max_size=8), end=st.integers(0, 10**6))
def test_a_damaged_file_is_read_or_refused(changes: list[tuple[int, int]], end: int, tmp_path: Path) -> None:
    nodes = [
        node("Conv", ["x", "w0"], ["t"]),
        node("Relu", ["t"], ["u"]),
        node("ReduceMean", ["u"], ["y"], axes=[2, 3], keepdims=0),
    ]
    data = bytearray(save(tmp_path / "m.onnx", nodes, {"x": MAP}, weights((6, 4, 3, 3))).read_bytes())
    for place, value in changes:
        data[place % len(data)] = value
    (tmp_path / "d.onnx").write_bytes(bytes(data if end % 2 else data[: end % len(data)]))
    try:
        assert isinstance(import_onnx(tmp_path / "d.onnx"), Graph)
    except EdgepruneError as error:
        assert "\n" not in str(error)  # noqa: PT017 - either outcome is right


def test_without_the_onnx_package_the_command_that_installs_it_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = save(tmp_path / "m.onnx", [node("Relu", ["x"], ["y"])], {"x": MAP})
    whole = builtins.__import__

    def without(name: str, *args: Any, **kwargs: Any) -> Any:
        if name.partition(".")[0] == "onnx":
            raise ImportError(name)
        return whole(name, *args, **kwargs)

    monkeypatch.setitem(sys.modules, "onnx", None)
    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(MissingExtra, match=r"pip install 'edgeprune\[onnx\]'"):
        import_onnx(path)
