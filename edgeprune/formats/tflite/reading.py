"""What a .tflite file holds, without a runtime."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from ...errors import EdgepruneError
from ...graph import Array, Value
from ...sparse import Level, Sparse, places_of
from ..artifact import Artifact, Metadata, Operation, Tensor
from .flat import unpack
from .schema import OPS, TYPES

_NAMES = {code: name for name, (code, _) in OPS.items()}
_TYPES = {code: name for name, code in TYPES.items()}


def parse(path: Path) -> tuple[dict[str, Any], bytes]:
    """The model's tables and the file's bytes. Raises EdgepruneError when it is not one."""
    data = path.read_bytes()
    try:
        model = unpack("Model", data)
        if not model["subgraphs"]:
            raise ValueError("it has no subgraph")
    except ValueError as error:
        raise EdgepruneError(f"{path} is not a whole TFLite model: {error}; write it or copy it again") from None
    return model, data


def described(model: dict[str, Any], data: bytes) -> tuple[Metadata, dict[str, Value], dict[str, Value]]:
    """The metadata, and the graph's inputs and outputs where the file tells them."""
    for entry in model["metadata"] or []:
        if entry["name"] == "edgeprune":
            metadata, said = Metadata.from_json(bytes(_bytes(model, entry["buffer"], data)))
            return metadata, _values(said.get("inputs", [])), _values(said.get("outputs", []))
    return Metadata(), {}, {}


def _values(described: list[Any]) -> dict[str, Value]:
    return {name: Value(tuple(shape), axis) for name, shape, axis in described}


def read(path: Path) -> Artifact:
    model, data = parse(path)
    try:
        return _artifact(path, model, data)
    except (ValueError, KeyError, IndexError, TypeError) as error:
        raise EdgepruneError(f"{path} is damaged: {error}; write it again") from None


def _artifact(path: Path, model: dict[str, Any], data: bytes) -> Artifact:
    graph = model["subgraphs"][0]
    tensors = graph["tensors"] or []
    operators = graph["operators"] or []
    kinds = [_kind(code) for code in model["operator_codes"] or []]
    expanded = {int(i) for each in operators if kinds[each["opcode_index"]] == "DENSIFY" for i in _numbers(each["inputs"])}
    made = {int(i) for each in operators for i in _numbers(each["outputs"])}
    constants = []
    for number, tensor in enumerate(tensors):
        raw = _bytes(model, tensor["buffer"], data)
        if len(raw) and number not in made:
            constants.append(_constant(tensor, raw, number in expanded))

    def names(numbers: Array | None) -> tuple[str, ...]:
        return tuple(_name(tensors, int(i)) for i in _numbers(numbers))

    def shapes(numbers: Array | None) -> dict[str, tuple[int, ...]]:
        return {_name(tensors, int(i)): _shape(tensors[int(i)]) for i in _numbers(numbers)}

    operations = tuple(
        Operation(kinds[o["opcode_index"]], names(o["inputs"]), names(o["outputs"]), _settings(o)) for o in operators
    )
    metadata, _, _ = described(model, data)
    return Artifact(
        "tflite", len(data), shapes(graph["inputs"]), shapes(graph["outputs"]), tuple(constants), operations, metadata
    )


def _settings(operator: dict[str, Any]) -> dict[str, Any] | None:
    """The options, or None where the operator has some that are not known here."""
    options = operator["builtin_options"]
    return None if options is None else {name: value for name, value in options[1].items() if value}


def _constant(tensor: dict[str, Any], raw: Array, expanded: bool) -> Tensor:
    dtype = _TYPES.get(tensor["type"])
    shape = tuple(int(n) for n in _numbers(tensor["shape"]))
    sparsity = tensor["sparsity"]
    size = len(raw)
    if dtype is None:
        return Tensor(tensor["name"] or "", shape, f"type {tensor['type']}", "csr" if sparsity else "dense", size)
    values = np.frombuffer(bytes(raw), dtype)
    if not sparsity:
        return Tensor(tensor["name"] or "", shape, dtype, "dense", size, values.reshape(shape))
    levels = tuple(_level(each, shape) for each in sparsity["dim_metadata"] or [])
    blocks = any(level.compressed for level in levels[:-1]) and not levels[-1].compressed
    encoding = ("stripes" if blocks else "csr") + ("+densify" if expanded else "")
    size += sum(level.nbytes for level in levels)
    if len(_numbers(sparsity["block_map"])):
        return Tensor(tensor["name"] or "", shape, dtype, f"{encoding} of blocks", size)
    order = tuple(int(i) for i in _numbers(sparsity["traversal_order"]))
    levels = tuple(Level(shape[axis], level.segments, level.indices) for axis, level in zip(order, levels, strict=True))
    held = Sparse(shape, order, levels, values)
    places_of(held)  # refuses what cannot be decoded
    return Tensor(tensor["name"] or "", shape, dtype, encoding, size, held)


def _level(stored: dict[str, Any], shape: tuple[int, ...]) -> Level:
    if stored["format"] == 0:
        return Level(stored["dense_size"])
    segments, indices = (stored[name] for name in ("array_segments", "array_indices"))
    if segments is None or indices is None:
        raise ValueError("a compressed axis has no indices")
    return Level(0, *(_numbers(side[1]["values"]) for side in (segments, indices)))


def _kind(code: dict[str, Any]) -> str:
    number = max(code["builtin_code"], code["deprecated_builtin_code"])
    return code["custom_code"] or _NAMES.get(number, f"op {number}")


def _numbers(vector: Array | None) -> Array:
    return np.empty(0, np.int32) if vector is None else vector


def _bytes(model: dict[str, Any], number: int, data: bytes) -> Array:
    buffer = model["buffers"][number]
    if buffer["size"]:  # large files keep their weights behind the tables
        return np.frombuffer(data, np.uint8, buffer["size"], buffer["offset"])
    return np.empty(0, np.uint8) if buffer["data"] is None else buffer["data"]


def _name(tensors: list[dict[str, Any]], number: int) -> str:
    return "" if number < 0 else tensors[number]["name"] or f"tensor {number}"


def _shape(tensor: dict[str, Any]) -> tuple[int, ...]:
    signature = tensor["shape_signature"]
    return tuple(int(n) for n in _numbers(tensor["shape"] if signature is None else signature))
