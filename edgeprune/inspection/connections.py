"""Which channels of an artifact carry signal: forwards from its inputs, backwards from its outputs.

A value's channels are one flag each, or one flag for all of them where an operation may mix channels in a way not known here. So
what is called dead is dead; what is called alive may not be.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ..formats import Artifact, Operation, Tensor
from ..graph import Array, Mask

# Operations whose output channel c depends on channel c of each input that is no constant, and on nothing else.
CHANNELWISE = frozenset((
    "Add", "AveragePool", "BatchNormalization", "Clip", "Div", "Elu", "Gelu", "GlobalAveragePool", "HardSigmoid", "HardSwish",
    "Identity", "LeakyRelu", "Max", "MaxPool", "Min", "Mish", "Mul", "Relu", "Sigmoid", "Softplus", "Sub", "Tanh",
    "Activation", "AdaptiveAvgPool", "AdaptiveMaxPool", "Affine", "AvgPool", "BatchNorm", "Binary", "Mean", "PReLU",
    "ADD", "AVERAGE_POOL_2D", "DEPTHWISE_CONV_2D", "DIV", "ELU", "GELU", "HARD_SWISH", "LEAKY_RELU", "LOGISTIC", "MAXIMUM",
    "MAX_POOL_2D", "MINIMUM", "MUL", "RELU", "RELU6", "RELU_N1_TO_1", "SUB", "TANH",
))  # fmt: skip
UNPACK = ("DENSIFY", "DEQUANTIZE")


@dataclass(frozen=True)
class _Layer:
    """An operation that mixes channels by a constant weight, as [out, in of the group, taps]."""

    tensor: str
    nonzero: Mask

    def groups(self, channels: int) -> int | None:
        """How many groups there are for so many input channels; None when they do not fit."""
        outs, per_group = self.nonzero.shape[:2]
        groups, rest = divmod(channels, per_group)
        return None if rest or outs % groups else groups

    def reads(self, given: Mask) -> Mask | None:
        """[out, in of the group]: whether the input channel that is met there is set in `given`."""
        outs, per_group = self.nonzero.shape[:2]
        if given.ndim == 0:
            return np.full((outs, per_group), bool(given))
        groups = self.groups(len(given))
        return None if groups is None else np.repeat(given.reshape(groups, per_group), outs // groups, axis=0)


def dead_in_artifact(artifact: Artifact) -> dict[str, int]:
    """Per weight tensor, how many of its nonzeros lie on no path; a tensor that is not in it could not be judged."""
    tensors = {tensor.name: tensor for tensor in artifact.tensors}
    for op in artifact.operations:
        if op.kind in UNPACK and op.inputs[0] in tensors:
            tensors[op.outputs[0]] = tensors[op.inputs[0]]
    layers = {i: layer for i, op in enumerate(artifact.operations) if (layer := _layer(op, tensors)) is not None}
    reached: dict[str, Mask] = {name: np.array(True) for name in artifact.inputs}
    for i, op in enumerate(artifact.operations):
        for name in op.outputs:
            reached[name] = _forward(op, layers.get(i), [reached[n] for n in op.inputs if n in reached])
    needed: dict[str, Mask] = {name: np.array(True) for name in artifact.outputs}
    for i, op in reversed(list(enumerate(artifact.operations))):
        wanted = _union([needed.get(name, np.array(False)) for name in op.outputs])
        for name in op.inputs:
            if name in reached:
                less = _backward(op, layers.get(i), wanted, reached[name])
                needed[name] = _union([needed[name], less]) if name in needed else less
    dead: dict[str, int | None] = {}
    for i, op in enumerate(artifact.operations):
        for name in op.inputs:
            if name in tensors and op.kind not in UNPACK:
                found = _dead(op, layers[i], reached, needed) if i in layers and name == op.inputs[1] else None
                # What several operations read is dead only where it is so for all of them: not told here, so the fewest.
                weight = tensors[name].name
                before = dead.get(weight, found)
                dead[weight] = None if found is None or before is None else min(found, before)
    return {name: found for name, found in dead.items() if found is not None}


def _dead(op: Operation, layer: _Layer, reached: dict[str, Mask], needed: dict[str, Mask]) -> int | None:
    """How many of the layer's nonzeros lie on no path; None where the flags do not fit its shape."""
    reads = layer.reads(reached.get(op.inputs[0], np.array(False)))
    wanted = needed.get(op.outputs[0], np.array(False))
    outs = layer.nonzero.shape[0]
    if reads is None or (wanted.ndim and len(wanted) != outs):
        return None
    alive = reads & np.broadcast_to(wanted, outs)[:, None]
    return int(layer.nonzero.sum(2)[~alive].sum())


def _forward(op: Operation, layer: _Layer | None, given: Sequence[Mask]) -> Mask:
    if not given:
        return np.array(False)  # made of constants alone
    if layer is not None and len(given) == 1:
        reads = layer.reads(given[0])
        if reads is not None:
            return np.asarray((layer.nonzero.any(2) & reads).any(1))
    if op.kind in CHANNELWISE:
        return _union(given)
    return np.array(any(bool(flags.any()) for flags in given))


def _backward(op: Operation, layer: _Layer | None, wanted: Mask, like: Mask) -> Mask:
    """What the operation needs of an input whose forward flags are `like`."""
    if layer is not None and like.ndim and (not wanted.ndim or len(wanted) == layer.nonzero.shape[0]):
        groups = layer.groups(len(like))
        if groups is not None:
            outs, per_group = layer.nonzero.shape[:2]
            used = layer.nonzero.any(2) & np.broadcast_to(wanted, outs)[:, None]
            return np.asarray(used.reshape(groups, outs // groups, per_group).any(1).reshape(-1))
    if op.kind in CHANNELWISE and (not wanted.ndim or wanted.shape == like.shape):
        return wanted
    return np.array(bool(wanted.any()))


def _union(flags: Sequence[Mask]) -> Mask:
    sizes = {len(each) for each in flags if each.ndim}
    if len(sizes) > 1:
        return np.array(any(bool(each.any()) for each in flags))
    return np.asarray(np.logical_or.reduce(np.broadcast_arrays(*flags)))


def _layer(op: Operation, tensors: dict[str, Tensor]) -> _Layer | None:
    """The operation's weight in a known orientation, or None."""
    if len(op.inputs) < 2 or op.inputs[1] not in tensors or op.inputs[0] in tensors:
        return None
    tensor = tensors[op.inputs[1]]
    array = tensor.array
    if array is None:
        return None
    bias = tensors.get(op.inputs[2]) if len(op.inputs) > 2 else None
    weight = _oriented(op, array, None if bias is None else bias.total)
    return None if weight is None else _Layer(tensor.name, (weight != 0).reshape(*weight.shape[:2], -1))


def _oriented(op: Operation, weight: Array, outputs: int | None) -> Array | None:
    """[out, in of the group, ...]."""
    kind = op.kind
    if kind == "FULLY_CONNECTED" and weight.ndim == 2:
        return weight
    if kind == "CONV_2D" and weight.ndim == 4:
        return np.moveaxis(weight, -1, 1)
    if kind == "Conv" or (kind == "Linear" and weight.ndim == 2):
        return weight
    if kind == "MatMul" and weight.ndim == 2:
        return weight.T
    if kind == "Gemm" and weight.ndim == 2 and op.attributes is not None:
        return None if op.attributes.get("transA") else weight if op.attributes.get("transB") else weight.T
    # Where the attributes are not known, the length of the bias tells which side is out unless the weight is square.
    if kind == "Gemm" and weight.ndim == 2 and outputs in weight.shape and weight.shape[0] != weight.shape[1]:
        return weight if outputs == weight.shape[0] else weight.T
    return None
