"""What an artifact has a runtime do: multiply-adds and bytes, op by op. What an estimate is made of."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import EdgepruneError, MissingExtra
from ..formats.c.reading import note_of
from ..formats.tflite.reading import parse
from ..formats.tflite.reading import read as read_tflite
from ..graph import Shape

FLOAT = 4
LOOSE = {"depthwise": "loose_depthwise", "conv": "loose_groups", "pointwise": "loose_groups"}

# What the runtimes do together with the op before it, in one go.
FUSED = {"Relu", "Clip", "Relu6", "BatchNormalization"}
# What C code does where the layer before it writes.
WRITTEN_THERE = {"Activation", "Flatten"}


@dataclass(frozen=True)
class Work:
    """One op as it is run. `kind` is that of its share in a target's costs, or "other" for what only moves bytes."""

    name: str
    kind: str
    multiply_adds: int
    weight_bytes: int
    moved_bytes: int  # what it reads and writes beside its weights
    weight: Shape | None = None  # of what it multiplies with, as the file has it; None where both factors are values


def work_of(path: str | os.PathLike[str]) -> list[Work]:
    """The ops of a .tflite, .onnx or .c file for one sample. Raises EdgepruneError for another file, or one without shapes."""
    path = Path(path)
    suffix = path.suffix.lower()
    if not path.is_file():
        raise EdgepruneError(f"{path} does not exist or is not a file")
    if suffix == ".tflite":
        return list(_tflite(path))
    if suffix == ".onnx":
        return list(_onnx(path))
    if suffix == ".c":
        return list(_c(path))
    raise EdgepruneError(f"{path} does not say what it does op by op; an estimate takes .tflite, .onnx and .c files, or a graph")


def size_of(shape: Sequence[int]) -> int:
    """Of one sample: an axis of any size counts once."""
    return int(np.prod([max(int(n), 1) for n in shape], dtype=np.int64))


def matrix_kind(rows: int, sparse: bool) -> str:
    """One row is a linear layer; several are the pixels of a pointwise convolution."""
    return ("sparse_" if sparse else "") + ("linear" if rows == 1 else "pointwise")


def conv_kind(kernel: Sequence[int], channels_in_group: int, groups: int, sparse: bool) -> str:
    if groups > 1 and channels_in_group == 1:
        return "depthwise"
    plain = "pointwise" if size_of(kernel) == 1 else "conv"
    return f"sparse_{plain}" if sparse else plain


def in_blocks(weight: Sequence[int], groups: int) -> bool:
    """Whether onnxruntime takes the groups' channels in blocks; where it cannot, it goes through them one by one.

    Found in measurements: with AVX-512 groups are quick when they fill blocks of 16 channels, single channels when there is a
    multiple of 4 of them.
    """
    outs, ins = weight[0] // groups, weight[1]
    return outs % 16 == ins % 16 == 0 if ins > 1 else weight[0] % 4 == 0


def _tflite(path: Path) -> Iterator[Work]:
    model, _ = parse(path)
    graph = model["subgraphs"][0]
    tensors = graph["tensors"]
    shapes = [tuple(int(n) for n in (() if t["shape"] is None else t["shape"])) for t in tensors]
    stored = {tensor.name: tensor for tensor in read_tflite(path).tensors}
    kinds = [operation.kind for operation in read_tflite(path).operations]

    def constant(number: int) -> Any:
        return stored.get(tensors[number]["name"] or f"tensor {number}")

    for kind, operator in zip(kinds, graph["operators"], strict=True):
        if kind == "DENSIFY":  # once, when the model is loaded
            continue
        ins = [int(i) for i in operator["inputs"] if i >= 0]
        outs = [int(i) for i in operator["outputs"]]
        given = [i for i in ins if constant(i) is None]
        moved = FLOAT * sum(size_of(shapes[i]) for i in given + outs)
        weights = sum(constant(i).bytes for i in ins if constant(i) is not None)
        name = tensors[outs[0]]["name"] or kind
        shape = shapes[ins[1]] if len(ins) > 1 else ()
        out = size_of(shapes[outs[0]])
        if kind in ("CONV_2D", "TRANSPOSE_CONV") and len(shape) == 4:
            groups = max(shapes[ins[0]][-1] // shape[-1], 1) if kind == "CONV_2D" else 1
            yield Work(name, conv_kind(shape[1:3], shape[3], groups, False), out * size_of(shape[1:]), weights, moved, shape)
        elif kind == "DEPTHWISE_CONV_2D":
            yield Work(name, "depthwise", out * size_of(shape[1:3]), weights, moved, shape)
        elif kind == "FULLY_CONNECTED":
            rows = out // shape[0]
            weight = constant(ins[1])
            sparse = weight is not None and weight.encoding == "csr"
            count = (weight.nonzeros or 0) if sparse else size_of(shape)
            yield Work(name, matrix_kind(rows, sparse), rows * count, weights, moved, shape)
        elif kind == "BATCH_MATMUL":
            yield Work(name, "pointwise", out * shapes[ins[0]][-1], weights, moved)
        elif kind in ("RESHAPE", "SQUEEZE", "EXPAND_DIMS"):
            yield Work(name, "other", 0, 0, 0)
        else:
            yield Work(name, "other", 0, weights, moved)


def _onnx(path: Path) -> Iterator[Work]:
    try:
        import onnx
    except ImportError:
        raise MissingExtra("onnx", "onnx", "reading an .onnx file") from None
    try:
        model = onnx.shape_inference.infer_shapes(onnx.load(str(path)))
    except Exception as error:
        raise EdgepruneError(f"{path} is not a whole ONNX model: {' '.join(str(error).split())}") from None
    graph = model.graph
    stored = {each.name: tuple(each.dims) for each in graph.initializer}
    stored |= {each.values.name: tuple(each.dims) for each in graph.sparse_initializer}
    shapes: dict[str, Shape] = dict(stored)
    for value in (*graph.input, *graph.value_info, *graph.output):
        shapes[value.name] = tuple(d.dim_value if d.HasField("dim_value") else 1 for d in value.type.tensor_type.shape.dim)
    # What constants are made of, a weight scattered into zeros say, is folded when the model is loaded.
    folded = set(stored)
    heavy = ""
    for node in graph.node:
        if all(name in folded or not name for name in node.input):
            folded |= set(node.output)
            continue
        if node.output[0] not in shapes:
            raise EdgepruneError(f"{path}: the shape of {node.output[0]} is not known, so that no estimate can be made")
        given = [name for name in node.input if name and name not in folded]
        moved = FLOAT * sum(size_of(shapes.get(name, ())) for name in (*given, *node.output) if name)
        weights = FLOAT * sum(size_of(shapes.get(name, ())) for name in node.input if name in folded)
        out = size_of(shapes[node.output[0]])
        weight = shapes.get(node.input[1], ()) if len(node.input) > 1 else ()
        said = {each.name: onnx.helper.get_attribute_value(each) for each in node.attribute}
        name = node.name or node.output[0]
        if node.op_type in ("Conv", "ConvTranspose") and weight:
            groups = said.get("group", 1)
            count = out * size_of(weight[1:]) if node.op_type == "Conv" else size_of(shapes[node.input[0]]) * size_of(weight[1:])
            kind = conv_kind(weight[2:], weight[1], groups, False)
            yield Work(name, kind if groups == 1 or in_blocks(weight, groups) else LOOSE[kind], count, weights, moved, weight)
        elif node.op_type in ("Gemm", "MatMul") and len(weight) >= 2:
            depth = weight[-1] if said.get("transB") else weight[-2]
            rows = out // max(weight[-2] if said.get("transB") else weight[-1], 1)
            held = weight if node.input[1] in folded else None
            yield Work(name, matrix_kind(rows, False), out * depth, weights, moved, held)
        elif node.op_type in ("Reshape", "Flatten", "Squeeze", "Unsqueeze", "Identity", "Shape"):
            yield Work(name, "other", 0, 0, 0)
        elif not (node.op_type in FUSED and node.input[0] == heavy):
            yield Work(name, "other", 0, weights, moved)
        if node.op_type in ("Conv", "Gemm"):
            heavy = node.output[0]


def _c(path: Path) -> Iterator[Work]:
    try:
        said = note_of(path.read_text())
        shapes: dict[str, Any] = {**said["inputs"], **{name: shape for name, (_, shape) in said["work"].items()}}
        weights = {each["node"]: each for each in said["weights"]}
        for op, ins, name in said["operations"]:
            count, shape = said["work"][name]
            moved = FLOAT * (size_of(shape) + sum(size_of(shapes[each]) for each in ins))
            if name in weights:
                weight = weights[name]
                sparse, size = weight["encoding"] == "csr", weight["shape"]  # the blocks of stripes run as dense ones do
                if len(size) > 2:
                    kind = conv_kind(size[2:], size[1], weight["in_groups"], sparse)
                else:
                    kind = matrix_kind(count // size_of(size), sparse)
                yield Work(name, kind, weight["multiply_adds"], weight["bytes"], moved, tuple(size))
            elif op not in WRITTEN_THERE:
                yield Work(name, "other", count, 0, moved)
    except (ValueError, KeyError, TypeError) as error:
        raise EdgepruneError(f"{path} does not say what it does op by op ({error}); write it again with this edgeprune") from None
