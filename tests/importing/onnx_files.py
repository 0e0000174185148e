"""Files made node by node, and what onnxruntime makes of them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from closeness import assert_close

from edgeprune.graph import Graph
from edgeprune.importing import import_onnx

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")
helper, numpy_helper = onnx.helper, onnx.numpy_helper

Array = np.ndarray[Any, Any]


def numbers(*shape: int, seed: int = 0) -> Array:
    return np.random.default_rng([seed, *shape]).standard_normal(shape).astype(np.float32)


def save(
    path: Path,
    nodes: Sequence[Any],
    inputs: dict[str, Sequence[int | str]],
    constants: dict[str, Array] | None = None,
    outputs: Sequence[str] = ("y",),
    opset: int = 17,
    kind: int = 1,
    **more: Any,
) -> Path:
    """A file of these nodes; `inputs` with the batch in front, a text where the size is open. `kind`: the inputs' type."""
    stored = [numpy_helper.from_array(a, name) for name, a in (constants or {}).items()]
    said = [helper.make_tensor_value_info(name, kind, shape) for name, shape in inputs.items()]
    made = [helper.make_tensor_value_info(name, 1, None) for name in outputs]
    graph = helper.make_graph(list(nodes), "test", said, made, stored)
    imports = [helper.make_opsetid("", opset), helper.make_opsetid("com.example", 1)]
    onnx.save(helper.make_model(graph, opset_imports=imports, ir_version=8, **more), path)
    return path


def fed(path: Path, batch: int) -> list[Array]:
    stored = onnx.load(path)
    constants = {each.name for each in stored.graph.initializer}
    shapes = [
        [batch if i == 0 and not d.dim_value else d.dim_value for i, d in enumerate(v.type.tensor_type.shape.dim)]
        for v in stored.graph.input if v.name not in constants
    ]  # fmt: skip
    return [numbers(*shape, seed=i) * 2 for i, shape in enumerate(shapes)]


def in_runtime(path: Path, arrays: Sequence[Array]) -> list[Array]:
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return session.run(None, dict(zip((i.name for i in session.get_inputs()), arrays, strict=True)))  # type: ignore[no-any-return]


def outputs_of(graph: Graph, arrays: Sequence[Array]) -> list[Array]:
    made = graph.run(*arrays)
    return list(made) if isinstance(made, tuple) else [made]


def assert_same(path: Path, graph: Graph | None = None, tolerance: float = 1e-5, batch: int = 3) -> Graph:
    """The file's graph, which computes what the file does."""
    graph = graph or import_onnx(path)
    arrays = fed(path, batch)
    for found, expected in zip(outputs_of(graph, arrays), in_runtime(path, arrays), strict=True):
        assert_close(expected, found, tolerance)
    return graph
