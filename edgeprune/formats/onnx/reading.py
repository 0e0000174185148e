"""What an .onnx file holds, without a runtime."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise
from pathlib import Path
from typing import Any

from ...errors import EdgepruneError, MissingExtra
from ...sparse import scattered
from ..artifact import Artifact, Metadata, Operation, Tensor
from .package import AttributeProto, helper, numpy_helper, onnx


def read(path: Path) -> Artifact:
    if onnx is None:
        raise MissingExtra("onnx", "onnx", "reading an .onnx file")
    data = path.read_bytes()
    try:
        model = onnx.load_model_from_string(data)
        if not model.ir_version or not model.graph.output:
            raise ValueError("it holds no graph")
        return _artifact(model, path, len(data))
    except Exception as error:
        what = " ".join(str(error).split()) or type(error).__name__
        raise EdgepruneError(f"{path} is not a whole ONNX model: {what}; write it or copy it again") from None


def _artifact(model: Any, path: Path, size: int) -> Artifact:
    graph = model.graph
    tensors = [_dense(each, path) for each in graph.initializer] + [_sparse(each) for each in graph.sparse_initializer]
    constants = {each.name for each in tensors}
    nodes, tensors = _looked_up(graph, tensors)
    inputs = {v.name: _shape(v) for v in graph.input if v.name not in constants}
    outputs = {v.name: _shape(v) for v in graph.output}
    operations = tuple(Operation(n.op_type, tuple(n.input), tuple(n.output), _settings(n)) for n in nodes)
    said = {each.key: each.value for each in model.metadata_props}
    metadata, _ = Metadata.from_json(said.get("edgeprune", ""))
    return Artifact("onnx", size, inputs, outputs, tuple(tensors), operations, metadata)


def _looked_up(graph: Any, tensors: list[Tensor]) -> tuple[list[Any], list[Tensor]]:
    """What is run, and the constants: weights that are looked up in a table when the model is loaded are the constants then."""
    held = {tensor.name: tensor for tensor in tensors}
    sizes = {each.name: each.ByteSize() for each in graph.initializer}
    reads = Counter(name for node in graph.node for name in node.input)
    left = list(graph.node)
    for lookup, turn in pairwise(graph.node):
        if (lookup.op_type, turn.op_type, *turn.input) != ("Gather", "Transpose", lookup.output[0]):
            continue
        table, index = (held.get(name) for name in lookup.input)
        order = _settings(turn).get("perm")
        own = all(reads[name] == 1 for name in (*lookup.input, *turn.input))
        if table is None or index is None or table.array is None or index.array is None or order is None or not own:
            continue
        array = table.array[index.array].transpose(order)
        for name in lookup.input:
            del held[name]
        left = [node for node in left if node is not lookup and node is not turn]
        name, size = turn.output[0], sum(sizes.get(name, 0) for name in lookup.input)
        held[name] = Tensor(name, array.shape, array.dtype.name, "stripes+densify", size, array)
    return left, list(held.values())


def _settings(node: Any) -> dict[str, Any]:
    """Numbers, texts and lists of them; subgraphs and tensors are no settings."""
    plain = (AttributeProto.FLOAT, AttributeProto.INT, AttributeProto.STRING, AttributeProto.FLOATS, AttributeProto.INTS)
    return {each.name: helper.get_attribute_value(each) for each in node.attribute if each.type in plain}


def _dense(stored: Any, path: Path) -> Tensor:
    array = numpy_helper.to_array(stored, base_dir=str(path.parent))
    return Tensor(stored.name, array.shape, array.dtype.name, "dense", array.nbytes, array)


def _sparse(stored: Any) -> Tensor:
    shape = tuple(stored.dims)
    array = scattered(shape, numpy_helper.to_array(stored.values), numpy_helper.to_array(stored.indices))
    size = stored.values.ByteSize() + stored.indices.ByteSize()
    return Tensor(stored.values.name, shape, array.dtype.name, "coo", size, array)


def _shape(value: Any) -> tuple[int, ...]:
    return tuple(d.dim_value if d.HasField("dim_value") else -1 for d in value.type.tensor_type.shape.dim)
