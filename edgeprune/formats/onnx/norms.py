"""Norms whose statistics are taken while running, as ONNX says them."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ...graph import Array, Node, Value
from ...ops import GroupNorm, LayerNorm, Normalize
from ...ops.elementwise import per_channel
from ..patterns import statistics_of
from .writer import Writer, lower


def _line(numbers: Array, value: Value) -> Array:
    """One number a channel, to be stretched over the value."""
    return numbers if value.axis == len(value.shape) - 1 else per_channel(numbers, len(value.shape), value.axis)


def scale_and_shift(out: Writer, node: Node, x: str, weight: Array, bias: Array | None) -> str:
    value = out.value(node.name)
    if (weight != 1).any():
        x = out.op("Mul", [x, out.numbers(node, "weight", _line(weight, value))])
    if bias is not None and (bias != 0).any():
        x = out.op("Add", [x, out.numbers(node, "bias", _line(bias, value))])
    return x


@lower(LayerNorm)
def _(out: Writer, node: Node) -> None:
    op: Any = node.op
    value = out.value(node.name)
    x, axis, said = out.read(node.inputs[0]), value.axis + 1, statistics_of(op)

    def mean(of: str) -> str:
        if said.share is None:
            return out.op("ReduceMean", [of], axes=[axis])
        weighed = out.op("Mul", [of, out.constant(_line(said.share, value))])
        return out.op("ReduceSum", [weighed, out.integers(axis)])

    centred, centre = x, ""
    if op.centred:
        centre = mean(x)
        if said.mean_shift:
            centre = out.op("Add", [centre, out.scalar(said.mean_shift)])
        centred = out.op("Sub", [x, centre])
    spread = out.op("Add", [mean(out.op("Pow", [centred, out.scalar(2.0)])), out.scalar(said.floor)])
    if said.pull and op.centred:
        distance = out.op("Sub", [centre, out.scalar(said.centre)])
        pull = out.op("Mul", [out.op("Mul", [distance, distance]), out.scalar(said.pull)])
        spread = out.op("Add", [spread, pull])
    elif said.pull:
        spread = out.op("Add", [spread, out.scalar(said.pull * said.centre**2)])
    x = out.op("Div", [centred, out.op("Sqrt", [spread])])
    out.finish_as(scale_and_shift(out, node, x, op.weight, op.bias), node.name)


@lower(GroupNorm)
def _(out: Writer, node: Node) -> None:
    op: Any = node.op
    shape = out.value(node.name).shape
    x = out.reshape(out.read(node.inputs[0]), op.groups, math.prod(shape) // op.groups)
    ones, zeros = (out.constant(np.full(op.groups, n, np.float32)) for n in (1, 0))
    x = out.reshape(out.op("InstanceNormalization", [x, ones, zeros], epsilon=op.eps), *shape)
    out.finish_as(scale_and_shift(out, node, x, op.weight, op.bias), node.name)


@lower(Normalize)
def _(out: Writer, node: Node) -> None:
    op: Any = node.op
    x = out.read(node.inputs[0])
    out.op("Div", [x, length(out, x, op.axis + 1, op.eps)], node.name)


def length(out: Writer, x: str, axis: int, at_least: float) -> str:
    return out.op("Max", [out.op("ReduceL2", [x], axes=[axis]), out.scalar(at_least)])
