"""What an .onnx file is made of."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import pytest
from cases import CASES
from onnx import helper
from test_tflite_file import lenet

from edgeprune.formats import Metadata, read, write
from edgeprune.formats.onnx import encode
from edgeprune.graph import Graph


def model_of(graph: Graph) -> onnx.ModelProto:
    return onnx.load_model_from_string(encode(graph, Metadata(), "size")[0])


@pytest.mark.parametrize("name", CASES)
def test_the_checker_passes_with_full_types_once_sparse_weights_are_constants(name: str) -> None:
    model = model_of(CASES[name])
    onnx.checker.check_model(model)
    # Type inference knows no op that reads a sparse initializer; a Constant holds the same and has a dense type.
    constants = [helper.make_node("Constant", [], [s.values.name], sparse_value=s) for s in model.graph.sparse_initializer]
    nodes = [*constants, *model.graph.node]
    del model.graph.sparse_initializer[:], model.graph.node[:]
    model.graph.node.extend(nodes)
    onnx.checker.check_model(model, full_check=True)


def test_old_runtimes_load_it() -> None:
    model = model_of(CASES["lenet-5"])
    assert model.ir_version == 8
    assert [(o.domain, o.version) for o in model.opset_import] == [("", 13)]


def test_a_sparse_weight_is_a_sparse_initializer_of_flat_int64_places() -> None:
    model = model_of(CASES["linear sparse"])
    sparse = model.graph.sparse_initializer[0]
    assert sparse.values.name == "linear0.weight"
    assert sparse.indices.data_type == onnx.TensorProto.INT64
    assert list(sparse.dims) == [40, 600]
    assert sparse.indices.ByteSize() < 4 * sparse.indices.dims[0]


@pytest.mark.parametrize(
    ("name", "encoding"),
    [("linear sparse", "coo"), ("linear", "dense"), ("conv sparse", "coo"), ("conv", "dense"), ("linear half full", "coo")],
)
def test_each_weight_is_stored_as_promised(name: str, encoding: str, tmp_path: Path) -> None:
    first = write(CASES[name], tmp_path / "m.onnx")[0]
    stored = next(t for t in read(tmp_path / "m.onnx").tensors if t.name == f"{first.layer}.weight")
    assert (first.encoding, stored.encoding) == (encoding, encoding)
    assert (first.nonzeros, first.total) == (stored.nonzeros, stored.total)
    assert abs(first.bytes - stored.bytes) < 64


def test_inputs_and_outputs_carry_the_graphs_names_and_an_open_batch() -> None:
    model = model_of(CASES["residual network, read in the middle"])
    ends = [*model.graph.input, *model.graph.output]
    assert [v.name for v in ends] == ["image", "logits", "conv2", "relu2", "add"]
    assert {v.type.tensor_type.shape.dim[0].dim_param for v in ends} == {"batch"}


def test_lenet_with_259_weights_takes_four_kilobytes() -> None:
    assert model_of(lenet((60, 40), (140, 80, 39))).ByteSize() <= 4096
    assert model_of(lenet((300, 100), (140, 80, 39))).ByteSize() <= 8192


def test_zeros_around_a_map_are_not_merged_into_the_pooling_that_reads_it() -> None:
    made = next(n for n in model_of(CASES["max pool of zeros around"]).graph.node if n.op_type == "Pad")
    assert len(made.input) == 3  # a value that is not exactly zero
    plain = next(n for n in model_of(CASES["pad"]).graph.node if n.op_type == "Pad")
    assert len(plain.input) == 2


def test_a_name_of_the_graph_is_never_taken_for_a_constant(tmp_path: Path) -> None:
    from edgeprune.formats import load
    from edgeprune.graph import Node, Value
    from edgeprune.ops import Activation, Affine

    ones = np.ones(3, np.float32)
    nodes = (Node("c", Affine(2 * ones, 3 * ones), ("t",)), Node("t1", Activation("silu"), ("c",)))
    graph = Graph({"t": Value((3,))}, ("t1",), nodes)
    write(graph, tmp_path / "m.onnx")
    x = np.array([[1, -2, 3]], np.float32)
    assert np.allclose(load(tmp_path / "m.onnx").run(x)[0], graph.run(x), atol=1e-6)


def test_onnxruntime_sees_the_layer_norms_and_gelus_there_are(tmp_path: Path) -> None:
    """They are written as the sums they are, for runtimes older than their ops; in this order they are fused."""
    onnxruntime = pytest.importorskip("onnxruntime")
    write(CASES["vision transformer"], tmp_path / "m.onnx")
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / "optimised.onnx")
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    onnxruntime.InferenceSession(str(tmp_path / "m.onnx"), options, providers=["CPUExecutionProvider"])
    seen = [node.op_type for node in onnx.load(tmp_path / "optimised.onnx").graph.node]
    assert sum("LayerNormalization" in kind for kind in seen) == 3
    assert sum("Gelu" in kind for kind in seen) == 1


def test_a_position_that_is_added_is_not_repeated_for_the_batch() -> None:
    assert [n.op_type for n in model_of(CASES["add of a constant"]).graph.node] == ["Add"]
