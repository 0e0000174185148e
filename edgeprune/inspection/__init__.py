"""What a file or a graph holds, layer by layer: shapes, how full the weights are, how they are stored, which are dead.

A weight is **dead** when it is not zero and yet no path from an input to an output runs through it: the channel it reads holds
a constant, or nothing needs the channel it writes. In a graph that is exact, channel by channel. In a file it is a lower bound:
where an operation may mix channels, such as a reshape, every channel behind it counts as alive when one before it is.

connections.py  which channels of a file carry signal
striped.py      which operations are one convolution together
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ..formats import Artifact, LayerEncoding, Metadata, Tensor, read
from ..graph import Array, Graph, Mask, Node
from ..ops import Conv, Linear
from ..passes import constants, needed_channels
from ..report.contents import Inspection, Stored
from .connections import dead_in_artifact
from .striped import in_three

__all__ = ["Inspection", "Stored", "inspect_artifact", "inspect_graph", "with_choices"]


def inspect_artifact(path: str | os.PathLike[str]) -> Inspection:
    """What a .tflite, .onnx or .c file holds. Raises EdgepruneError when it is not a model of the format its name says."""
    artifact = read(os.fspath(path))
    dead = dead_in_artifact(artifact)
    readers, threes = _readers(artifact), in_three(artifact)
    sizes = {tensor.name: tensor.bytes for tensor in artifact.tensors}
    places = {name for three in threes.values() for name in three.tensors}  # they hold no weights, but where weights go
    layers = []
    for tensor in artifact.tensors:
        if _is_weight(tensor) and tensor.name not in places:
            kind, name = readers.get(tensor.name, ("unused", tensor.name))
            if (three := threes.get(tensor.name)) is not None:
                tensor = replace(tensor, encoding="stripes", bytes=tensor.bytes + sum(sizes[each] for each in three.tensors))
                name = three.last.outputs[0]
            layers.append(_stored(tensor, kind, name, dead.get(tensor.name)))
    return Inspection(
        path=os.fspath(path),
        format=artifact.format,
        bytes=artifact.bytes,
        inputs=dict(artifact.inputs),
        outputs=dict(artifact.outputs),
        layers=tuple(layers),
        parameters=sum(tensor.total for tensor in artifact.tensors if _is_float(tensor)),
        operations=artifact.counts,
        metadata=_plain(artifact.metadata),
    )


def inspect_graph(graph: Graph, path: str | os.PathLike[str] = "", *, bytes: int | None = None) -> Inspection:
    """What a graph holds, captured from the checkpoint at `path`; `bytes` of the graph's numbers when there is no such file."""
    varies = {name: np.isnan(held) for name, held in constants(graph).items()}
    needed = needed_channels(graph)
    layers = []
    for node in graph.nodes:
        weight = node.op.arrays.get("weight")
        if weight is not None and weight.ndim > 1:
            dead = _dead(node, weight, varies[node.inputs[0]], needed[node.name])
            kind = type(node.op).__name__
            name = node.source or node.name
            nonzeros = int((weight != 0).sum())
            layers.append(
                Stored(name, kind, weight.shape, weight.dtype.name, "dense", weight.nbytes, weight.size, nonzeros, dead)
            )
    if bytes is None:
        bytes = Path(path).stat().st_size if os.fspath(path) else sum(a.nbytes for n in graph.nodes for a in n.op.arrays.values())
    kinds = [type(node.op).__name__ for node in graph.nodes]
    return Inspection(
        path=os.fspath(path),
        format="checkpoint",
        bytes=bytes,
        inputs={name: value.shape for name, value in graph.inputs.items()},
        outputs={name: graph.values[name].shape for name in graph.outputs},
        layers=tuple(layers),
        parameters=graph.parameters,
        operations={kind: kinds.count(kind) for kind in sorted(set(kinds), key=lambda kind: (-kinds.count(kind), kind))},
    )


def with_choices(found: Inspection, encodings: Sequence[LayerEncoding]) -> Inspection:
    """What a graph holds, each layer as a format stores it, and why."""
    chosen = {each.source or each.layer: each for each in encodings}
    layers = [
        replace(layer, encoding=chosen[layer.name].encoding, bytes=chosen[layer.name].bytes, reason=chosen[layer.name].reason)
        if layer.name in chosen
        else layer
        for layer in found.layers
    ]
    return replace(found, layers=tuple(layers))


def _dead(node: Node, weight: Array, varies: Mask, needed: Mask) -> int | None:
    if not isinstance(node.op, (Linear, Conv)):
        return None  # another op may lay its weight out in another way
    groups = node.op.groups if isinstance(node.op, Conv) else 1
    outs, per_group = weight.shape[:2]
    # reads[o, i]: whether what output o meets at its i-th input channel varies.
    reads = np.repeat(varies.reshape(groups, per_group), outs // groups, axis=0)
    alive = reads & needed[:, None]
    per_pair = (weight != 0).reshape(outs, per_group, -1).sum(2)
    return int(per_pair[~alive].sum())


def _readers(artifact: Artifact) -> dict[str, tuple[str, str]]:
    """(kind, first output) of the operation that reads each tensor; what only unpacks it is looked through."""
    reads = {name: op for op in reversed(artifact.operations) for name in op.inputs if name}
    found = {}
    for name, op in reads.items():
        while op.kind in ("DENSIFY", "DEQUANTIZE") and op.outputs[0] in reads:
            op = reads[op.outputs[0]]
        found[name] = (op.kind, op.outputs[0])
    return found


# What a runtime makes of an encoding that only its name tells.
MEANING = {
    "csr": "the runtime multiplies the nonzeros alone",
    "stripes": "the runtime multiplies the taps alone that a filter kept, without an index for each weight",
    "stripes+densify": "smaller than csr; expanded when the model loads: as fast as dense, and as much memory",
    "csr+densify": "small in the file; expanded when the model loads: as fast as dense, and as much memory",
    "coo": "small in the file; expanded when the model loads: as fast as dense, and as much memory",
}


def _stored(tensor: Tensor, kind: str, name: str, dead: int | None) -> Stored:
    return Stored(
        name or tensor.name,
        kind,
        tuple(tensor.shape),
        tensor.dtype,
        tensor.encoding,
        tensor.bytes,
        tensor.total,
        tensor.nonzeros,
        dead,
        MEANING.get(tensor.encoding, ""),
    )


def _is_float(tensor: Tensor) -> bool:
    return tensor.held is None or tensor.dtype.startswith("float")


def _is_weight(tensor: Tensor) -> bool:
    """Of a layer: not a bias, nor the numbers that say a shape."""
    return _is_float(tensor) and sum(n > 1 for n in tensor.shape) > 1


def _plain(metadata: Metadata) -> dict[str, Any]:
    said: Mapping[str, Any] = {
        "preprocessing": metadata.preprocessing,
        "classes": None if metadata.classes is None else list(metadata.classes),
        **metadata.extra,
    }
    return {name: value for name, value in said.items() if value is not None}
