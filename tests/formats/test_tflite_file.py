"""What a .tflite file is made of."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cases import CASES, Draw, chain, pads

from edgeprune.formats import Metadata, load, read, write
from edgeprune.formats.tflite import encode
from edgeprune.formats.tflite.flat import unpack
from edgeprune.formats.tflite.schema import OPS, TABLES, TYPES, UNIONS
from edgeprune.graph import Graph, Node, Value
from edgeprune.ops import Activation, Add, Rearrange

SPARSE_VERSION = 8


def model_of(graph: Graph, optimize: str = "size") -> tuple[dict[str, Any], bytes]:
    data, _ = encode(graph, Metadata(), optimize)
    return unpack("Model", data), data


def kinds(graph: Graph, tmp_path: Path) -> list[str]:
    write(graph, tmp_path / "m.tflite")
    return [op.kind for op in read(tmp_path / "m.tflite").operations]


@pytest.mark.parametrize("name", CASES)
def test_nothing_but_densify_and_fully_connected_of_version_8_reads_a_sparse_tensor(name: str) -> None:
    model, _ = model_of(CASES[name])
    graph, codes = model["subgraphs"][0], model["operator_codes"]
    for operator in graph["operators"] or []:
        code = codes[operator["opcode_index"]]
        sparse = any(i >= 0 and graph["tensors"][i]["sparsity"] for i in operator["inputs"])
        if code["builtin_code"] == OPS["FULLY_CONNECTED"][0]:
            assert sparse == (code["version"] == SPARSE_VERSION)
        elif code["builtin_code"] != OPS["DENSIFY"][0]:
            assert not sparse


@pytest.mark.parametrize("name", ["linear sparse", "conv sparse", "lenet-5", "residual network"])
def test_data_is_aligned_as_the_schema_asks(name: str) -> None:
    model, data = model_of(CASES[name])
    start = np.frombuffer(data, np.uint8).__array_interface__["data"][0]

    def place(array: np.ndarray) -> int:
        return int(array.__array_interface__["data"][0]) - start

    assert len(data) % 16 == 0
    assert all(place(b["data"]) % 16 == 0 for b in model["buffers"] if b["data"] is not None)
    for tensor in model["subgraphs"][0]["tensors"]:
        for level in (tensor["sparsity"] or {"dim_metadata": []})["dim_metadata"]:
            for side in ("array_segments", "array_indices"):
                assert level[side] is None or place(level[side][1]["values"]) % 4 == 0


def test_a_sparse_linear_layer_is_csr() -> None:
    model, _ = model_of(CASES["linear sparse"])
    sparsity = [t["sparsity"] for t in model["subgraphs"][0]["tensors"] if t["sparsity"]]
    assert [level["format"] for level in sparsity[0]["dim_metadata"]] == [0, 1]
    assert sparsity[0]["traversal_order"].tolist() == [0, 1]
    assert sparsity[0]["dim_metadata"][1]["array_indices"][0] == "Uint16Vector"  # 600 columns


@pytest.mark.parametrize(
    ("name", "encoding", "op"),
    [
        ("linear sparse", "csr", "FULLY_CONNECTED"),
        ("linear half full", "csr+densify", "DENSIFY"),
        ("linear", "dense", "FULLY_CONNECTED"),
        ("linear all zero", "csr", "FULLY_CONNECTED"),
        ("conv sparse", "csr+densify", "DENSIFY"),
        ("conv depthwise sparse", "csr+densify", "DENSIFY"),
        ("conv 1x1 sparse", "csr", "FULLY_CONNECTED"),
        ("conv 1x1 sparse, stride 2", "csr+densify", "DENSIFY"),
        ("conv", "dense", "CONV_2D"),
    ],
)
def test_each_weight_is_stored_as_promised(name: str, encoding: str, op: str, tmp_path: Path) -> None:
    first = write(CASES[name], tmp_path / "m.tflite")[0]
    artifact = read(tmp_path / "m.tflite")
    stored = next(t for t in artifact.tensors if t.name == f"{first.layer}.weight")
    assert (first.encoding, stored.encoding) == (encoding, encoding)
    assert (first.nonzeros, first.total) == (stored.nonzeros, stored.total)
    assert op in artifact.counts
    assert first.reason


@pytest.mark.parametrize("density", [0.001, 0.02, 0.3])
@pytest.mark.parametrize("kind", ["linear", "conv"])
def test_the_bytes_told_are_the_bytes_saved(kind: str, density: float, tmp_path: Path) -> None:
    draw = Draw(f"{kind}{density}")
    op = draw.linear(200, 500, density) if kind == "linear" else draw.conv(64, 64, 3, 3, density=density, padding=pads(1, 1))
    graph = chain((500,) if kind == "linear" else (64, 8, 8), op)
    full = chain(graph.inputs["x"], type(op)(**{**vars(op), "weight": np.where(op.weight == 0, np.float32(1e-3), op.weight)}))
    sparse, dense = (write(g, tmp_path / f"{i}.tflite")[0] for i, g in enumerate((graph, full)))
    saved = (tmp_path / "1.tflite").stat().st_size - (tmp_path / "0.tflite").stat().st_size
    assert dense.encoding == "dense"
    assert abs(saved - (dense.bytes - sparse.bytes)) <= 64


@pytest.mark.parametrize("name", ["lenet-5", "residual network", "squeeze and excite"])
def test_channels_last_networks_move_nothing(name: str, tmp_path: Path) -> None:
    assert not {"TRANSPOSE", "GATHER"} & set(kinds(CASES[name], tmp_path))


def test_a_relu_is_part_of_the_layer_before_it(tmp_path: Path) -> None:
    assert kinds(CASES["relu() after conv"], tmp_path) == ["CONV_2D"]
    assert kinds(CASES["relu() after sparse linear"], tmp_path) == ["FULLY_CONNECTED"]


def test_a_relu_is_its_own_where_somebody_else_reads_the_layer(tmp_path: Path) -> None:
    assert kinds(CASES["a conv read by its relu and by another"], tmp_path) == ["CONV_2D", "RELU", "ADD"]
    graph = CASES["relu() after conv"]
    assert kinds(graph.with_nodes(graph.nodes, ("conv0", "activation1")), tmp_path) == ["CONV_2D", "RELU"]


def test_ops_are_named_whatever_their_code(tmp_path: Path) -> None:
    assert kinds(CASES["gelu on a map"], tmp_path) == ["GELU"]  # 150: beyond the field of old files
    assert kinds(CASES["tanh on a map"], tmp_path) == ["TANH"]


def test_even_padding_is_said_and_uneven_padding_is_added(tmp_path: Path) -> None:
    assert kinds(CASES["conv padded"], tmp_path) == ["CONV_2D"]
    assert kinds(CASES["conv padded, stride 2, odd size"], tmp_path) == ["CONV_2D"]
    assert kinds(CASES["conv padded, stride 2, even size"], tmp_path) == ["PAD", "CONV_2D"]
    assert kinds(CASES["max pool 3x3, stride 2, padded, even size"], tmp_path) == ["PADV2", "MAX_POOL_2D"]


def test_equal_data_is_stored_once() -> None:
    draw = Draw("twins")
    layer = draw.linear(50, 50)
    one = Graph({"x": Value((50,))}, ("a",), (Node("a", layer, ("x",)),))
    two = Graph({"x": Value((50,))}, ("a", "b"), (Node("a", layer, ("x",)), Node("b", layer, ("x",))))
    assert len(model_of(two)[1]) - len(model_of(one)[1]) < 400
    tensors = model_of(two)[0]["subgraphs"][0]["tensors"]
    assert {"a.weight", "b.weight"} <= {t["name"] for t in tensors}


def test_values_share_the_one_empty_buffer() -> None:
    model, _ = model_of(CASES["residual network"])
    assert [i for i, b in enumerate(model["buffers"]) if b["data"] is None] == [0]


def test_inputs_and_outputs_carry_the_graphs_names_and_any_batch() -> None:
    model, _ = model_of(CASES["residual network, read in the middle"])
    graph, signature = model["subgraphs"][0], model["signature_defs"][0]
    named = [graph["tensors"][i] for i in [*graph["inputs"], *graph["outputs"]]]
    assert [t["name"] for t in named] == ["image", "logits", "conv2", "relu2", "add"]
    assert all(t["shape"][0] == 1 and t["shape_signature"][0] == -1 for t in named)
    assert named[0]["shape"].tolist() == [1, 12, 12, 3]
    assert signature["signature_key"] == "serving_default"
    assert [e["name"] for e in signature["inputs"]] == ["image"]
    assert {e["name"]: e["tensor_index"] for e in signature["outputs"]} == dict(
        zip(("logits", "conv2", "relu2", "add"), graph["outputs"], strict=True)
    )


def test_the_signature_runs_as_an_app_runs_it(tmp_path: Path) -> None:
    interpreter = pytest.importorskip("ai_edge_litert.interpreter")
    graph = CASES["lenet-5"]
    write(graph, tmp_path / "m.tflite")
    run = interpreter.Interpreter(str(tmp_path / "m.tflite")).get_signature_runner("serving_default")
    image = Draw("image").normal(1, 28, 28, 1)
    found = run(x=image)[graph.outputs[0]]
    assert np.abs(found - graph.run(image.transpose(0, 3, 1, 2))).max() < 1e-5


def lenet(hidden: tuple[int, int], nonzeros: tuple[int, int, int]) -> Graph:
    sizes, draw = (784, *hidden, 10), Draw("lenet-300-100")
    layers: list[Any] = []
    for ins, outs, kept in zip(sizes, sizes[1:], nonzeros, strict=False):
        layer = draw.linear(outs, ins)
        chosen = np.zeros(layer.weight.size, bool)
        chosen[draw.rng.choice(layer.weight.size, kept, replace=False)] = True
        weight = np.where(chosen.reshape(layer.weight.shape), layer.weight, np.float32(0))
        layers += [type(layer)(weight, layer.bias), Activation("relu")]
    return chain((784,), *layers[:-1])


def test_lenet_with_259_weights_takes_four_kilobytes() -> None:
    shrunk = lenet((60, 40), (140, 80, 39))
    assert len(model_of(shrunk)[1]) <= 4096
    assert len(model_of(lenet((300, 100), (140, 80, 39)))[1]) <= 8192


def test_the_memory_goal_expands_nothing(tmp_path: Path) -> None:
    write(CASES["lenet-5"], tmp_path / "m.tflite", optimize="memory")
    assert "DENSIFY" not in read(tmp_path / "m.tflite").counts


def test_a_value_of_three_spatial_axes_is_refused_with_the_layer_and_the_way_out(tmp_path: Path) -> None:
    from edgeprune.errors import NotExportable

    op = Draw("3-d").conv(4, 3, 3, 3, 3)
    graph = Graph({"x": Value((3, 5, 5, 5))}, ("y",), (Node("y", op, ("x",), "encoder.stem"),))
    with pytest.raises(NotExportable, match=r"TFLite cannot say Conv \(layer encoder.stem\).*3 spatial axes.*ONNX"):
        write(graph, tmp_path / "m.tflite")


def test_the_runner_turns_layouts_and_a_foreign_file_is_used_as_it_is(tmp_path: Path) -> None:
    graph = CASES["conv"]
    write(graph, tmp_path / "m.tflite")
    runner = load(tmp_path / "m.tflite")
    assert (runner.inputs, runner.outputs) == ({"x": (3, 8, 9)}, {"conv0": (5, 6, 7)})
    data = (tmp_path / "m.tflite").read_bytes()
    (tmp_path / "n.tflite").write_bytes(data.replace(b"edgeprune\0", b"otherwise\0"))
    assert load(tmp_path / "n.tflite").inputs == {"x": (8, 9, 3)}


def test_two_readers_of_a_flattened_map_both_get_its_order(tmp_path: Path) -> None:
    graph = CASES["add permuted, then output"]
    assert isinstance(graph.nodes[-1].op, Add)
    assert kinds(graph, tmp_path).count("TRANSPOSE") == 2


def test_the_schema_agrees_with_the_published_one() -> None:
    package = pytest.importorskip("ai_edge_litert")
    text = (Path(package.__path__[0]) / "schema_py_generated.py").read_text()
    for name, fields in TABLES.items():
        slots = dict(re.findall(rf"def {name}Add(\w+)\(builder, \w+\):\s+builder\.Prepend\w+?Slot\((\d+),", text))
        taken = {int(slot) for slot in slots.values()}
        ours = {f.slot for f in fields} | {f.slot + 1 for f in fields if f.type in UNIONS}
        assert ours <= taken, name
        by_slot = {int(slot): re.sub(r"(?<!^)(?=[A-Z])", "_", field).lower() for field, slot in slots.items()}
        for field in fields:
            # Ours are shorter where the options of an op say the rest.
            assert field.name.split("_")[0] in by_slot[field.slot] or field.name in ("width", "height", "multiplier"), (
                name,
                field,
            )
    for name, (code, options) in OPS.items():
        assert re.search(rf"^    {name} = {code}$", text, re.M), name
        kind = next((k for k, table in UNIONS["BuiltinOptions"].items() if table == options), 0)
        assert not options or re.search(rf"^    {options} = {kind}$", text, re.M), options
    for name, code in TYPES.items():
        assert re.search(rf"^    {name.upper()} = {code}$", text, re.M), name


@pytest.mark.parametrize(
    ("name", "moved"),
    [
        ("channels last", []),
        ("channels first", []),
        ("a map as a sequence", ["RESHAPE"]),
        ("a sequence as a map", ["RESHAPE"]),
        ("one place alone", ["RESHAPE"]),
        ("windows of a map", ["RESHAPE", "TRANSPOSE", "RESHAPE"]),
        ("rows and columns swapped", ["TRANSPOSE"]),
    ],
)
def test_a_reshape_moves_only_what_channels_last_does_not_have_in_place(name: str, moved: list[str], tmp_path: Path) -> None:
    # An input that is an output needs an op of its own: here the relu.
    graph = CASES[f"rearrange: {name}"]
    nodes = (*graph.nodes, Node("y", Activation("relu"), graph.outputs))
    assert kinds(graph.with_nodes(nodes, ("y",)), tmp_path) == [*moved, "RELU"]


def test_features_in_another_order_are_not_moved_for_the_layer_that_reads_them(tmp_path: Path) -> None:
    assert kinds(CASES["rearrange: features in another order, linear"], tmp_path) == ["RESHAPE", "FULLY_CONNECTED"]


def test_more_groups_of_axes_than_runtimes_can_move_are_refused_with_the_way_out(tmp_path: Path) -> None:
    from edgeprune.errors import NotExportable

    op = Rearrange(((2, 2), (2, 2), (2, 2, -1)), (6, 4, 2, 0, 5, 3, 1), (1,) * 7, 2, 0)
    with pytest.raises(NotExportable, match=r"Rearrange \(layer rearrange0\): it moves 7 groups.*ONNX"):
        write(chain(Value((4, 4, 12), 2), op), tmp_path / "m.tflite")


def test_a_position_that_is_added_is_not_repeated_for_the_batch(tmp_path: Path) -> None:
    assert kinds(CASES["add of a constant"], tmp_path) == ["ADD"]
