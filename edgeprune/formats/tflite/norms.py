"""Norms whose statistics are taken while running, as TFLite says them."""

from __future__ import annotations

from typing import Any

from ...graph import Array, Node, Shape
from ...ops import GroupNorm, LayerNorm, Normalize
from ..patterns import statistics_of
from .layout import stored_shape
from .writer import Writer, lower


def _scale_and_shift(out: Writer, node: Node, x: int, weight: Array, bias: Array | None) -> int:
    shape, name = stored_shape(out.value(node.name)), node.source or node.name
    if (weight != 1).any():
        x = out.op("MUL", [x, out.constant(weight, f"{name}.weight")], shape)
    if bias is not None and (bias != 0).any():
        x = out.op("ADD", [x, out.constant(bias, f"{name}.bias")], shape)
    return x


@lower(LayerNorm)
def _(out: Writer, node: Node) -> None:
    op: Any = node.op
    shape = stored_shape(out.value(node.name))
    x, said = out.read(node.inputs[0]), statistics_of(op)
    one, last = (*shape[:-1], 1), out.integers(len(shape))

    def mean(of: int) -> int:
        if said.share is None:
            return out.op("MEAN", [of, last], one, keep_dims=True)
        return out.op("SUM", [out.op("MUL", [of, out.constant(said.share)], shape), last], one, keep_dims=True)

    floor, centred, pull = said.floor, x, None
    if op.centred:
        centre = mean(x)
        if said.mean_shift:
            centre = out.op("ADD", [centre, out.scalar(said.mean_shift)], one)
        centred = out.op("SUB", [x, centre], shape)
        if said.pull:
            distance = out.op("SQUARED_DIFFERENCE", [centre, out.scalar(said.centre)], one)
            pull = out.op("MUL", [distance, out.scalar(said.pull)], one)
    else:
        floor += said.pull * said.centre**2
    spread = out.op("ADD", [mean(out.op("MUL", [centred, centred], shape)), out.scalar(floor)], one)
    spread = spread if pull is None else out.op("ADD", [spread, pull], one)
    x = out.op("MUL", [centred, out.op("RSQRT", [spread], one)], shape)
    out.bind(node.name, _scale_and_shift(out, node, x, op.weight, op.bias))


@lower(GroupNorm)
def _(out: Writer, node: Node) -> None:
    op: Any = node.op
    value = out.value(node.name)
    apart: Shape = (value.positions, op.groups, value.channels // op.groups)
    one: Shape = (1, op.groups, 1)
    x, axes = out.reshape(out.read(node.inputs[0]), apart), out.integers(1, 3)
    centred = out.op("SUB", [x, out.op("MEAN", [x, axes], one, keep_dims=True)], apart)
    spread = out.op("MEAN", [out.op("MUL", [centred, centred], apart), axes], one, keep_dims=True)
    over = out.op("RSQRT", [out.op("ADD", [spread, out.scalar(op.eps)], one)], one)
    x = out.reshape(out.op("MUL", [centred, over], apart), stored_shape(value))
    out.bind(node.name, _scale_and_shift(out, node, x, op.weight, op.bias))


@lower(Normalize)
def _(out: Writer, node: Node) -> None:
    op: Any = node.op
    out.bind(node.name, unit(out, out.read(node.inputs[0]), stored_shape(out.value(node.name)), op.eps))


def unit(out: Writer, x: int, shape: Shape, at_least: float, rows: int = 1) -> int:
    """`x` divided by its length along the last axis."""
    one = (*shape[:-1], 1)
    square = out.op("MUL", [x, x], shape, rows=rows)
    total = out.op("SUM", [square, out.integers(len(shape))], one, rows=rows, keep_dims=True)
    length = out.op("MAXIMUM", [out.op("SQRT", [total], one, rows=rows), out.scalar(at_least)], one, rows=rows)
    return out.op("DIV", [x, length], shape, rows=rows)
