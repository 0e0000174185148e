"""A file as a list of calls, constants and inputs; everything wrong with the file itself is said here."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import EdgepruneError, MissingExtra, Unsupported
from ..graph import Array
from ..sparse import scattered

# From this opset on Squeeze, Unsqueeze and ReduceSum read their axes, and Softmax runs over one axis.
OLDEST = 13
OWN_DOMAINS = ("", "ai.onnx")
# More elements than any constant of a network has.
LARGEST = 2**31


@dataclass(frozen=True, eq=False)
class Call:
    """One node of the file. An input that is left out is ""."""

    kind: str
    name: str
    domain: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: dict[str, Any]
    opset: int
    proto: Any = field(repr=False)

    @property
    def reads(self) -> set[str]:
        """The names it reads, those that only its branches read included."""
        found = {name for name in self.inputs if name}
        for branch in self.branches.values():
            made: set[str] = set()
            for call in branch.calls:
                found |= call.reads - made
                made.update(call.outputs)
            found |= {name for name in branch.outputs if name not in made}
        return found

    @property
    def branches(self) -> dict[str, Branch]:
        return {name: value for name, value in self.attributes.items() if isinstance(value, Branch)}


@dataclass(frozen=True, eq=False)
class Branch:
    """A part of the file that runs or does not."""

    calls: tuple[Call, ...]
    constants: dict[str, Array]
    outputs: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class File:
    """What the walk goes through. `inputs`: by name, every axis with the batch in front, None where any size will do."""

    path: Path
    opset: int
    inputs: dict[str, tuple[int | None, ...]]
    types: dict[str, np.dtype[Any]]
    outputs: tuple[str, ...]
    calls: tuple[Call, ...]
    constants: dict[str, Array]


def read(path: Path) -> File:
    """The file, its constants decoded. Raises EdgepruneError when it is no whole ONNX model, Unsupported for its version."""
    try:
        import onnx
        from onnx import inliner
    except ImportError:
        raise MissingExtra("onnx", "onnx", "reading an .onnx file") from None
    if not path.is_file():
        raise EdgepruneError(f"{path} does not exist" if not path.exists() else f"{path} is not a file")
    try:
        model = onnx.load_model(str(path), load_external_data=True)
        if not model.ir_version or not model.graph.output:
            raise ValueError("it holds no graph")
    except Exception as error:  # protobuf, the package and the file system each raise their own
        raise EdgepruneError(f"{path} is not a whole ONNX model: {_line(error)}; write it or copy it again") from None
    opset = _opset(path, model, onnx.defs.onnx_opset_version())
    try:
        if model.functions:
            model = inliner.inline_local_functions(model)
        return _file(path, model, opset)
    except EdgepruneError:
        raise
    except Exception as error:
        raise EdgepruneError(f"{path} is not a valid ONNX model: {_line(error)}; export it again") from None


def _line(error: Exception) -> str:
    return (" ".join(str(error).split()) or type(error).__name__)[:300]


def _opset(path: Path, model: Any, newest: int) -> int:
    opset = next((int(each.version) for each in model.opset_import if each.domain in OWN_DOMAINS), 0)
    if opset < OLDEST:
        raise Unsupported(
            f"{path} is of ONNX opset {opset}, edgeprune reads {OLDEST} and newer; "
            f"export it again with opset_version={OLDEST} or more, or raise it with onnx.version_converter"
        )
    if opset > newest:
        raise Unsupported(f"{path} is of ONNX opset {opset}, the installed onnx package knows {newest}; upgrade onnx")
    return opset


def _file(path: Path, model: Any, opset: int) -> File:
    graph = model.graph
    constants = _constants(graph)
    inputs: dict[str, tuple[int | None, ...]] = {}
    types: dict[str, np.dtype[Any]] = {}
    if not all(isinstance(value.name, str) for value in (*graph.input, *graph.output)):
        raise ValueError("a name in it is no text")
    for value in graph.input:
        if value.name in constants:
            continue
        inputs[value.name], types[value.name] = _input(path, value)
    if not inputs:
        raise Unsupported(f"{path} has no input: nothing for its outputs to depend on; export it with one")
    opsets = {each.domain: int(each.version) for each in model.opset_import}
    calls = tuple(_call(node, opsets, opset) for node in graph.node)
    return File(path, opset, inputs, types, tuple(v.name for v in graph.output), calls, constants)


def _input(path: Path, value: Any) -> tuple[tuple[int | None, ...], np.dtype[Any]]:
    from onnx import helper

    if not value.type.HasField("tensor_type") or not value.type.tensor_type.HasField("shape"):
        raise Unsupported(f"{path}: input {value.name!r} is not a tensor of known rank; export it with one")
    kind = value.type.tensor_type.elem_type
    dims = value.type.tensor_type.shape.dim
    shape = tuple(int(d.dim_value) if d.HasField("dim_value") and d.dim_value > 0 else None for d in dims)
    return shape, np.dtype(helper.tensor_dtype_to_np_dtype(kind))


def _constants(graph: Any) -> dict[str, Array]:
    from onnx import numpy_helper

    # Copies, which may be written to.
    found = {each.name: np.array(numpy_helper.to_array(each)) for each in graph.initializer}
    found.update((each.values.name, dense(each)) for each in graph.sparse_initializer)
    return found


def dense(stored: Any) -> Array:
    """A tensor in the coordinate form, whose places are flat or by axis."""
    from onnx import numpy_helper

    shape = tuple(int(n) for n in stored.dims)
    return scattered(shape, numpy_helper.to_array(stored.values), numpy_helper.to_array(stored.indices), LARGEST)


def _call(node: Any, opsets: dict[str, int], opset: int) -> Call:
    from onnx import AttributeProto, helper

    attributes: dict[str, Any] = {}
    for each in node.attribute:
        if each.type == AttributeProto.GRAPH:
            calls = tuple(_call(inner, opsets, opset) for inner in each.g.node)
            attributes[each.name] = Branch(calls, _constants(each.g), tuple(v.name for v in each.g.output))
        else:
            value = helper.get_attribute_value(each)
            attributes[each.name] = value.decode("utf-8", "replace") if isinstance(value, bytes) else value
    if not all(isinstance(name, str) for name in (node.op_type, node.name, node.domain, *node.input, *node.output)):
        raise ValueError("a name in it is no text")
    own = node.domain in OWN_DOMAINS
    version = opset if own else opsets.get(node.domain, 0)
    domain = "" if own else node.domain
    return Call(node.op_type, node.name, domain, tuple(node.input), tuple(node.output), attributes, version, node)


def type_of(file: File) -> np.dtype[Any]:
    """The type that the network computes in."""
    kinds = {dtype for dtype in file.types.values() if dtype.kind not in "iu"}
    if not kinds:
        kinds = {a.dtype for a in file.constants.values() if a.dtype.kind == "f"} or {np.dtype(np.float32)}
    if len(kinds) > 1 or next(iter(kinds)) not in (np.float32, np.float64):
        found = ", ".join(sorted(str(kind) for kind in kinds))
        raise Unsupported(f"{file.path} computes with {found}; edgeprune reads float32 and float64: store it as float32")
    return next(iter(kinds))
