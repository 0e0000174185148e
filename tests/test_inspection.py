from __future__ import annotations

import dataclasses
import io
import json
from pathlib import Path

import numpy as np
import pytest

from edgeprune.errors import EdgepruneError
from edgeprune.formats import Artifact, Metadata, Operation, Tensor, write
from edgeprune.graph import Array, Graph, Node, Op, Value
from edgeprune.inspection import inspect_artifact, inspect_graph
from edgeprune.inspection.connections import dead_in_artifact
from edgeprune.ops import Activation, Add, Conv, Flatten, Linear
from edgeprune.passes import shrink
from edgeprune.report import print_inspection

FORMATS = ("tflite", "onnx")


def needs(format: str) -> None:
    for module in {"tflite": ["flatbuffers"], "onnx": ["onnx"]}[format]:
        pytest.importorskip(module, reason=f"writing .{format} files needs {module}")


def sparse(random: np.random.Generator, shape: tuple[int, ...], kept: int) -> Array:
    weight = np.zeros(int(np.prod(shape)), np.float32)
    weight[random.permutation(weight.size)[:kept]] = random.standard_normal(kept)
    return weight.reshape(shape)


def lenet(seed: int = 0, kept: tuple[int, int, int] = (170, 53, 36)) -> Graph:
    random = np.random.default_rng(seed)
    nodes = [Node("flat", Flatten(), ("x",))]
    for i, (fan_in, fan_out) in enumerate(((784, 300), (300, 100), (100, 10))):
        layer = Linear(sparse(random, (fan_out, fan_in), kept[i]), np.full(fan_out, 0.1, np.float32))
        nodes.append(Node(f"fc{i}", layer, (nodes[-1].name,), f"layers.{i}"))
        nodes.append(Node(f"relu{i}", Activation("relu"), (nodes[-1].name,)))
    return Graph({"x": Value((1, 28, 28))}, ("fc2",), tuple(nodes[:-1]))


def dead_by_paths(graph: Graph) -> int:
    """Counted the long way: the product of the absolute 0/1 weights on both sides of each weight, over all layers in a row."""
    masks = [(node.op.arrays["weight"] != 0).astype(float) for node in graph.nodes if "weight" in node.op.arrays]
    dead = 0
    for i, mask in enumerate(masks):
        before = np.ones(masks[0].shape[1])
        for each in masks[:i]:
            before = ((each @ before) > 0).astype(float)
        after = np.ones(masks[-1].shape[0])
        for each in reversed(masks[i + 1 :]):
            after = ((after @ each) > 0).astype(float)
        dead += int((mask * (np.outer(after, before) == 0)).sum())
    return dead


@pytest.mark.parametrize("seed", range(5))
def test_dead_weights_of_a_graph_are_those_on_no_path(seed: int) -> None:
    graph = lenet(seed)
    found = inspect_graph(graph)
    assert found.nonzeros == 259
    assert found.dead == dead_by_paths(graph)
    assert 0 < found.dead < 259


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("seed", range(3))
def test_dead_weights_of_a_file_are_those_of_the_graph(format: str, seed: int, tmp_path: Path) -> None:
    needs(format)
    graph = lenet(seed)
    write(graph, tmp_path / f"model.{format}")
    found = inspect_artifact(tmp_path / f"model.{format}")
    assert [layer.dead for layer in found.layers] == [layer.dead for layer in inspect_graph(graph).layers]
    assert found.nonzeros == 259


@pytest.mark.parametrize("format", FORMATS)
def test_nothing_is_dead_after_shrinking(format: str, tmp_path: Path) -> None:
    needs(format)
    graph = shrink(lenet(kept=(400, 150, 100)))
    assert inspect_graph(graph).dead == 0
    write(graph, tmp_path / f"model.{format}")
    assert inspect_artifact(tmp_path / f"model.{format}").dead == 0


@pytest.mark.parametrize("format", FORMATS)
def test_a_layer_shows_its_shape_fill_and_encoding(format: str, tmp_path: Path) -> None:
    needs(format)
    path = tmp_path / f"model.{format}"
    encodings = write(lenet(), path, metadata=Metadata(classes=("a", "b"), extra={"ratio": 1024}))
    found = inspect_artifact(path)
    assert found.format == format
    assert found.bytes == path.stat().st_size
    assert [layer.shape for layer in found.layers] == [(300, 784), (100, 300), (10, 100)]
    assert [layer.nonzeros for layer in found.layers] == [170, 53, 36]
    assert [layer.encoding for layer in found.layers] == [each.encoding for each in encodings]
    assert all(layer.encoding in ("csr", "coo") for layer in found.layers)
    assert found.layers[0].density == pytest.approx(170 / 235_200)
    assert found.parameters == 266_610
    assert found.metadata == {"classes": ["a", "b"], "ratio": 1024}
    json.dumps(found.to_dict(), allow_nan=False)


def test_a_graph_names_the_users_layers() -> None:
    found = inspect_graph(lenet())
    assert [layer.name for layer in found.layers] == ["layers.0", "layers.1", "layers.2"]
    assert found.operations == {"Linear": 3, "Activation": 2, "Flatten": 1}
    assert found.bytes == 4 * 266_610


def conv_net(groups: int = 1) -> Graph:
    """Two convolutions around a sum; channel 1 of the first reads nothing, channel 2 of the second is read by nothing."""
    random = np.random.default_rng(0)
    first = random.standard_normal((4, 4 // groups, 3, 3)).astype(np.float32)
    second = random.standard_normal((4, 4 // groups, 3, 3)).astype(np.float32)
    first[1] = 0
    last = random.standard_normal((3, 4, 1, 1)).astype(np.float32)
    last[:, 2] = 0
    nodes = (
        Node("a", Conv(first, None, groups=groups), ("x",)),
        Node("r", Activation("relu"), ("a",)),
        Node("b", Conv(second, None, padding=((1, 1), (1, 1)), groups=groups), ("r",)),
        Node("y", Conv(last), ("b",)),
    )
    return Graph({"x": Value((4, 8, 8))}, ("y",), nodes)


@pytest.mark.parametrize("format", ["graph", *FORMATS])
@pytest.mark.parametrize("groups", [1, 2])
def test_convolutions_are_followed_channel_by_channel(format: str, groups: int, tmp_path: Path) -> None:
    graph = conv_net(groups)
    # Kernels of b that read channel 1, or write channel 2; the one that does both counts once.
    if groups == 1:
        expected = [0, 9 * (4 + 4 - 1), 0]
    else:
        # Channel 3 of a goes on, so its other group stays; b's outputs 0 and 1 read channels 0 and 1, 2 and 3 read 2 and 3.
        expected = [0, 9 * (2 + 2), 0]
    if format == "graph":
        assert [layer.dead for layer in inspect_graph(graph).layers] == expected
        return
    needs(format)
    write(graph, tmp_path / f"model.{format}")
    found = inspect_artifact(tmp_path / f"model.{format}")
    if len(found.layers) == 3:
        assert [layer.dead for layer in found.layers] == expected
    else:
        assert groups > 1  # a format without groups says them in parts
        assert sum(layer.dead or 0 for layer in found.layers) <= sum(expected)


def an_artifact(*operations: Operation, **weights: Array) -> Artifact:
    tensors = tuple(Tensor(name, a.shape, "float32", "dense", a.nbytes, a) for name, a in weights.items())
    return Artifact("tflite", 0, {"x": (-1, 2)}, {"y": (-1, 2)}, tensors, operations, Metadata())


HALF = np.array([[1, 0], [0, 0]], np.float32)  # channel 1 neither reads nor is read
FULL = np.ones((2, 2), np.float32)


def test_a_sum_carries_what_either_side_carries() -> None:
    other = np.array([[0, 0], [1, 0]], np.float32)
    artifact = an_artifact(
        Operation("FULLY_CONNECTED", ("x", "half"), ("a",)),
        Operation("FULLY_CONNECTED", ("x", "other"), ("b",)),
        Operation("ADD", ("a", "b"), ("s",)),
        Operation("FULLY_CONNECTED", ("s", "full"), ("y",)),
        half=HALF, other=other, full=FULL,
    )  # fmt: skip
    assert dead_in_artifact(artifact) == {"half": 0, "other": 0, "full": 0}


def test_an_unknown_operation_hides_what_is_dead_but_never_makes_it_up() -> None:
    def network(kind: str) -> dict[str, int]:
        return dead_in_artifact(
            an_artifact(
                Operation("FULLY_CONNECTED", ("x", "half"), ("a",)),
                Operation(kind, ("a",), ("b",)),
                Operation("FULLY_CONNECTED", ("b", "full"), ("y",)),
                half=HALF, full=FULL,
            )
        )  # fmt: skip

    assert network("RELU") == {"half": 0, "full": 2}
    assert network("SOMETHING_NEW") == {"half": 0, "full": 0}


def test_a_weight_that_is_alive_in_one_place_is_alive() -> None:
    artifact = an_artifact(
        Operation("FULLY_CONNECTED", ("x", "full"), ("a",)),
        Operation("FULLY_CONNECTED", ("a", "half"), ("b",)),
        Operation("FULLY_CONNECTED", ("b", "full"), ("c",)),
        Operation("ADD", ("a", "c"), ("y",)),
        half=HALF, full=FULL,
    )  # fmt: skip
    assert dead_in_artifact(artifact) == {"half": 0, "full": 0}


def test_a_weight_that_something_unknown_reads_too_is_not_judged() -> None:
    artifact = an_artifact(
        Operation("FULLY_CONNECTED", ("x", "half"), ("a",)),
        Operation("FULLY_CONNECTED", ("a", "full"), ("b",)),
        Operation("SOMETHING_NEW", ("b", "full"), ("y",)),
        half=HALF, full=FULL,
    )  # fmt: skip
    assert dead_in_artifact(artifact) == {"half": 0}


def test_a_branch_that_no_output_needs_is_dead() -> None:
    artifact = an_artifact(
        Operation("FULLY_CONNECTED", ("x", "half"), ("a",)),
        Operation("FULLY_CONNECTED", ("x", "full"), ("y",)),
        half=HALF, full=FULL,
    )  # fmt: skip
    assert dead_in_artifact(artifact) == {"half": 1, "full": 0}


def test_a_square_product_whose_orientation_is_not_known_is_not_judged() -> None:
    artifact = an_artifact(Operation("Gemm", ("x", "full"), ("y",)), full=FULL)
    assert dead_in_artifact(artifact) == {}


@pytest.mark.parametrize(("attributes", "dead"), [({"transB": 1}, 2), ({}, 1), ({"transB": 1, "transA": 1}, None)])
def test_a_square_product_is_judged_by_its_attribute(attributes: dict[str, int], dead: int | None) -> None:
    # Rows or columns are the outputs; the third of them, which nobody reads, holds two nonzeros or one.
    first = np.array([[1, 1, 0], [1, 1, 0], [1, 0, 1]], np.float32)
    second = np.array([[1, 0, 0], [0, 1, 0], [0, 0, 0]], np.float32)
    artifact = an_artifact(
        Operation("Gemm", ("x", "first"), ("a",), attributes), Operation("Gemm", ("a", "second"), ("y",), {"transB": 1}),
        first=first, second=second,
    )  # fmt: skip
    assert dead_in_artifact(artifact).get("first") == dead


def test_an_op_with_another_weight_layout_is_not_judged_in_a_graph() -> None:
    @dataclasses.dataclass(frozen=True, eq=False)
    class Turned(Op):
        weight: Array

        def value(self, *ins: Value) -> Value:
            return Value((self.weight.shape[1],))

    graph = Graph({"x": Value((2,))}, ("y",), (Node("y", Turned(FULL), ("x",)),))
    found = inspect_graph(graph)
    assert found.layers[0].dead is None
    assert found.dead is None


def test_a_residual_sum_in_a_graph_is_followed() -> None:
    nodes = (
        Node("a", Linear(HALF), ("x",)),
        Node("s", Add(), ("a", "x")),
        Node("y", Linear(FULL), ("s",)),
    )
    assert inspect_graph(Graph({"x": Value((2,))}, ("y",), nodes)).dead == 0


def test_the_table_shows_layers_and_sums() -> None:
    stream = io.StringIO()
    found = inspect_graph(lenet())
    print_inspection(found, stream)
    lines = [line.split() for line in stream.getvalue().splitlines()]
    assert [
        "layers.0",
        "Linear",
        "300×784",
        "170",
        "235,200",
        "0.0723",
        "%",
        "dense",
        "940,800",
        str(found.layers[0].dead),
    ] in lines
    assert ["all", "259", "266,200", "0.0973", "%", "1,064,800", str(found.dead)] in lines
    assert "\x1b" not in stream.getvalue()


@pytest.mark.parametrize("format", FORMATS)
def test_what_is_no_model_is_refused(format: str, tmp_path: Path) -> None:
    needs(format)
    path = tmp_path / f"model.{format}"
    path.write_bytes(b"nothing of the kind")
    with pytest.raises(EdgepruneError, match=rf"model\.{format}"):
        inspect_artifact(path)


def test_a_checkpoint_is_shown_as_it_would_be_written_and_why(tmp_path: Path) -> None:
    from edgeprune.formats import write
    from edgeprune.inspection import with_choices

    rng = np.random.default_rng(0)
    weight = np.where(rng.random((60, 400)) < 0.01, 1, 0).astype(np.float32)
    weight[0, 0] = 1
    graph = Graph({"x": Value((400,))}, ("y",), (Node("y", Linear(weight), ("x",), "classifier.fc"),))
    (layer,) = with_choices(inspect_graph(graph), write(graph, tmp_path / "m.tflite")).layers
    assert (layer.name, layer.encoding) == ("classifier.fc", "csr")
    assert "instead of 96,000" in layer.reason
    stream = io.StringIO()
    print_inspection(with_choices(inspect_graph(graph), write(graph, tmp_path / "m.tflite")), stream)
    assert "only nonzeros are multiplied" in " ".join(stream.getvalue().split())
