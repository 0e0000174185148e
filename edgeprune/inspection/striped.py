"""Convolutions that a file says as three: of stripes, of ones that shift, of ones that add up (see formats/stripes.py)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..formats import Artifact, Operation
from ..graph import Array
from .connections import UNPACK


@dataclass(frozen=True)
class Three:
    """The tensors that say where stripes belong, and the operation that makes the sums."""

    tensors: tuple[str, str]
    last: Operation


def in_three(artifact: Artifact) -> dict[str, Three]:
    """By the name of a weight of stripes."""
    arrays: dict[str, Array] = {}
    for tensor in artifact.tensors:
        array = tensor.array
        if array is not None and array.ndim > 1:
            arrays[tensor.name] = array
    packed = {op.outputs[0]: op.inputs[0] for op in artifact.operations if op.kind in UNPACK and op.outputs}
    readers: dict[str, list[Operation]] = {}
    for op in artifact.operations:
        for name in op.inputs:
            readers.setdefault(name, []).append(op)

    def weight(op: Operation) -> str:
        return packed.get(op.inputs[1], op.inputs[1]) if len(op.inputs) > 1 else ""

    def reader(op: Operation) -> Operation | None:
        found = readers.get(op.outputs[0], [])
        return found[0] if len(found) == 1 and found[0].inputs[0] == op.outputs[0] else None

    found = {}
    for first in artifact.operations:
        if first.kind not in ("CONV_2D", "Conv") or weight(first) not in arrays:
            continue
        second = reader(first)
        last = reader(second) if second is not None and second.kind in ("DEPTHWISE_CONV_2D", "Conv") else None
        if second is None or last is None or last.kind not in ("CONV_2D", "FULLY_CONNECTED", "Conv"):
            continue
        shifts, sums = (arrays.get(weight(op)) for op in (second, last))
        if shifts is None or sums is None:
            continue
        # Channels first in one format, last in the other.
        by_channel = shifts.reshape(len(shifts), -1) if second.kind == "Conv" else shifts.reshape(-1, shifts.shape[-1]).T
        if len(by_channel) > 1 and _places(by_channel) and _places(sums.reshape(len(sums), -1).T):
            found[weight(first)] = Three((weight(second), weight(last)), last)
    return found


def _places(matrix: Array) -> bool:
    """Whether each row is zeros and at most a single 1."""
    return bool(np.isin(matrix, (0, 1)).all() and ((matrix != 0).sum(1) <= 1).all() and matrix.any())
