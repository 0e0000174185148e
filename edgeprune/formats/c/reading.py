"""What a written model holds, read back from its source.

The source ends with a comment of JSON that says which constants hold which weight, and how their places became indices.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import EdgepruneError
from ...graph import Array
from ...sparse import Block, filled
from ..artifact import Artifact, Metadata, Operation, Tensor
from .rows import unpacked

MARK = "edgeprune: "
_TYPES = {"float": np.float32, "int32_t": np.int32, "uint16_t": np.uint16, "uint8_t": np.uint8}


def note_text(said: dict[str, Any]) -> str:
    """The comment; nothing in it ends it early."""
    text = json.dumps(said, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return f"/* {MARK}{text.replace('/', chr(92) + '/').replace('?', chr(92) + 'u003f')} */"


def note_of(text: str) -> dict[str, Any]:
    """What the comment says. Raises ValueError when there is none."""
    return dict(json.loads(text[text.rindex(f"/* {MARK}") + len(MARK) + 3 : text.rindex(" */")]))


def read(path: Path) -> Artifact:
    """The constants decoded to weights. Raises EdgepruneError when the file is not a model that edgeprune wrote."""
    try:
        text = path.read_text()
        said = note_of(text)
        metadata, _ = Metadata.from_json(said["metadata"])
        tensors = [tensor for weight in said["weights"] for tensor in _tensors(text, weight)]
        weights = {weight["node"]: weight["layer"] + ".weight" for weight in said["weights"]}
        operations = tuple(
            Operation(kind, (*ins, *([weights[out]] if out in weights else [])), (out,)) for kind, ins, out in said["operations"]
        )
        inputs, outputs = ({name: (1, *shape) for name, shape in said[side].items()} for side in ("inputs", "outputs"))
    except (ValueError, KeyError, TypeError, IndexError, OSError) as error:
        raise EdgepruneError(f"{path} is not a C model that edgeprune wrote, or it was changed ({error})") from None
    return Artifact("c", path.stat().st_size, inputs, outputs, tuple(tensors), operations, metadata)


def array_sizes(text: str) -> list[tuple[int, int]]:
    """(elements, bytes of each) of every constant array of a source."""
    found = re.findall(r"^static const (\w+) \w+\[(\d+)\] = ", text, re.MULTILINE)
    return [(int(count), np.dtype(_TYPES[kind]).itemsize) for kind, count in found]


def arena_bytes(path: Path) -> int:
    """What the header beside a model says of its arena. Raises EdgepruneError where it says nothing."""
    header = path.with_suffix(".h")
    found = re.findall(r"^#define \w+_ARENA_BYTES (\d+)$", header.read_text() if header.is_file() else "", re.MULTILINE)
    if len(found) != 1:
        raise EdgepruneError(f"{header} is not the header of a model that edgeprune wrote")
    return int(found[0])


def _constant(text: str, name: str) -> Array:
    found = re.search(rf"^static const (\w+) {re.escape(name)}\[\d+\] = \{{([^}}]*)\}};", text, re.MULTILINE)
    if found is None:
        raise ValueError(f"the constant {name} is missing")
    return np.array(found[2].replace("f", "").split(","), np.float64).astype(_TYPES[found[1]])


def _tensors(text: str, said: dict[str, Any]) -> list[Tensor]:
    weight = np.zeros(said["shape"], np.float32)
    if "block_count" in said:
        bias = _constant(text, said["bias"])[: len(weight)]
        _fill(text, said, weight)
    elif said["encoding"] == "dense":
        weight[:] = _constant(text, said["weight"])[: weight.size].reshape(weight.shape)
        bias = _constant(text, said["bias"])
    else:
        groups = _constant(text, said["groups"])[: 2 * said["group_count"]].reshape(-1, 2).astype(np.int64)
        counts = np.repeat(groups[:, 1], groups[:, 0])
        rows, total = _constant(text, said["rows"])[: len(counts)].astype(np.int64), int(counts.sum())
        bias = np.zeros(len(weight), np.float32)
        bias[rows] = _constant(text, said["bias"])[: len(counts)]
        flat = weight.reshape(len(weight), -1)
        columns = _columns(text, said, _places(text, said, counts, total))
        flat[np.repeat(rows, counts), columns] = _constant(text, said["values"])[:total]
    stored = int(said["bytes"])
    made = [Tensor(said["layer"] + ".weight", tuple(weight.shape), "float32", said["encoding"], stored, weight)]
    if bias.any():
        made.append(Tensor(said["layer"] + ".bias", tuple(bias.shape), "float32", "dense", bias.nbytes, bias))
    return made


def _fill(text: str, said: dict[str, Any], weight: Array) -> None:
    """Puts the dense blocks of a convolution into its weight."""
    sizes = _constant(text, said["blocks"])[: 2 * said["block_count"]].reshape(-1, 2).astype(np.int64)
    rows, places = _constant(text, said["rows"]).astype(np.int64), _constant(text, said["places"]).astype(np.int64)
    columns, numbers = _columns(text, said, places[: sizes[:, 1].sum()]), _constant(text, said["weight"])
    of_rows, of_columns, values = (np.cumsum(part) - part for part in (sizes[:, 0], sizes[:, 1], sizes.prod(1)))
    blocks = []
    for (outs, ins), row, column, value in zip(sizes.tolist(), of_rows, of_columns, values, strict=True):
        block = unpacked(numbers[value : value + outs * ins], outs, ins)
        blocks.append(Block(rows[row : row + outs], columns[column : column + ins], block))
    flat = weight.reshape(len(weight), -1)
    flat[:] = filled(blocks, flat.shape)


def _places(text: str, said: dict[str, Any], counts: Array, total: int) -> Array:
    """Where every stored weight reads; `counts` says how many of them each row has."""
    if "starts" not in said:
        columns: Array = _constant(text, said["columns"])[:total].astype(np.int64)
        return columns
    steps = _constant(text, said["steps"])[:total].astype(np.int64)
    begins = (np.cumsum(counts) - counts)[counts > 0]
    places: Array = np.cumsum(steps) - steps
    places += np.repeat(_constant(text, said["starts"])[: len(begins)] - places[begins], counts[counts > 0])
    return places


def _columns(text: str, said: dict[str, Any], places: Array) -> Array:
    """For weights that read at `places`, their index in the flattened [in / groups, *kernel] of their row."""
    taps = np.array(said["taps"], np.int64).reshape(-1, 3)
    plane, lowest = int(said["plane"]), int(taps[:, 1].min(initial=0))
    slots = (places - lowest) // plane
    reach = places - slots * plane
    channels, phases = slots, np.zeros_like(slots)
    if "channels" in said:
        channels = _constant(text, said["channels"]).astype(np.int64)[slots]
        phases = _constant(text, said["phases"]).astype(np.int64)[slots] if said["phases"] != "NULL" else phases
    by_place = {(phase, place): tap for phase, place, tap in taps.tolist()}
    tap = np.array([by_place[pair] for pair in zip(phases.tolist(), reach.tolist(), strict=True)], np.int64)
    kernel, inner = int(np.prod(said["shape"][2:])), int(said["shape"][1])
    columns: Array = channels % inner * kernel + tap
    return columns
