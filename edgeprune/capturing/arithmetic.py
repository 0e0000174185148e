"""ATen sums, differences, products and quotients, of two values or of a value and a constant."""

from __future__ import annotations

from typing import Any

import numpy as np
from torch import fx

from ..laying import scores as attention
from ..laying.arithmetic import both, number, over_length, with_constant
from ..laying.layers import times
from ..laying.layout import Laid, with_scale
from ..laying.scores import Scores
from ..ops import Activation, Add, Binary, Mul
from .walk import Length, Walk, lower


@lower("add", "sub", "rsub", "subtract")
def _add(walk: Walk, node: fx.Node, a: dict[str, Any]) -> Any:
    x, y, alpha = walk.constant(a["self"]), walk.constant(a["other"]), a.get("alpha", 1)
    name = str(node.target)
    if "rsub" in name:
        x, y = y, x
    sign = -alpha if "sub" in name else alpha
    if isinstance(x, Scores) or isinstance(y, Scores):
        if isinstance(x, Scores):
            if isinstance(y, Laid):
                y = with_scale(y, sign)
            elif isinstance(y, np.ndarray):
                y = y * sign
        else:
            x, y = attention.scaled(walk, node, y, sign), x
        return attention.plus(walk, node, x, y)
    if isinstance(x, Laid | Length) and isinstance(y, Laid | Length):
        x, y = walk.laid(node, x), walk.laid(node, y)
        if sign != 1:
            y = times(walk, node, y, sign)
        return both(walk, node, x, y, Add())
    if isinstance(x, Laid | Length):
        return with_constant(walk, node, walk.laid(node, x), y if sign == 1 else y * sign, "add")
    y = walk.laid(node, y)
    return with_constant(walk, node, times(walk, node, y, sign) if sign != 1 else y, x, "add")


@lower("mul", "div", "multiply", "divide", "true_divide")
def _mul(walk: Walk, node: fx.Node, a: dict[str, Any]) -> Any:
    x, y = walk.constant(a["self"]), walk.constant(a["other"])
    divides = "div" in str(node.target)
    if a.get("rounding_mode"):
        raise walk.unsupported(node, "it rounds")
    if isinstance(x, Laid) and isinstance(y, Length) and divides and x == y.of:
        return over_length(walk, node, x, y.dim, y.floor)
    if isinstance(x, Scores) or isinstance(y, Scores):
        if not isinstance(x, Scores):
            x, y = y, x
        if divides and isinstance(a["other"], Scores):
            raise walk.unsupported(node, "it scales attention scores by what depends on the input")
        return attention.scaled(walk, node, x, 1 / y if divides else y)
    if isinstance(x, Laid | Length) and isinstance(y, Laid | Length):
        return both(walk, node, walk.laid(node, x), walk.laid(node, y), Binary("div") if divides else Mul())
    if not isinstance(x, Laid | Length):
        y = walk.laid(node, y)
        if divides:
            one_over = walk.pointwise(node, y, Activation("reciprocal"))
            return with_constant(walk, node, one_over, x, "mul")
        x, y = y, x
    return with_constant(walk, node, walk.laid(node, x), 1 / y.astype(np.float64) if divides else y, "mul")


@lower("minimum", "maximum", "pow")
def _binary(walk: Walk, node: fx.Node, a: dict[str, Any]) -> Any:
    x, y = walk.constant(a["self"]), walk.constant(a.get("other", a.get("exponent")))
    kind = {"minimum": "min", "maximum": "max", "pow": "pow"}[node.target._schema.name.split("::")[-1].rstrip("_")]  # type: ignore[union-attr]
    if isinstance(x, Laid) and isinstance(y, Laid):
        return both(walk, node, x, y, Binary(kind))
    if kind == "pow" and isinstance(x, Laid):
        exponent = number(y)
        if exponent is None:
            raise walk.unsupported(node, "its exponent is not one number")
        if exponent == 2:
            return both(walk, node, x, x, Mul())
        return walk.pointwise(node, x, Activation("pow", exponent))
    if kind == "pow":
        raise walk.unsupported(node, "a constant to the power of a value")
    x, constant = (y, x) if isinstance(x, np.ndarray) else (x, y)
    return with_constant(walk, node, walk.laid(node, x), constant, kind)
