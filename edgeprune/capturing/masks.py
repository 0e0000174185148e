"""ATen comparisons, logic, and choices between values: truth values are numbers, 1 for true and 0 for false."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import fx

from ..ops import Activation, Add, Affine, Binary, Mul
from . import scores as attention
from .arithmetic import both, number, with_constant
from .layout import Laid, dtype_of
from .naming import base_name
from .scores import Closed, Scores
from .views import shape_of, stretched
from .walk import Walk, lower


def affine(walk: Walk, node: fx.Node, x: Laid, scale: float, shift: float) -> Laid:
    """x times a number plus a number."""
    value = walk.values[x.name]
    factors = np.full(value.channels, scale, dtype_of(node))
    return walk.pointwise(node, x, Affine(factors, np.full_like(factors, shift), value.axis))


def negated(walk: Walk, node: fx.Node, x: Laid) -> Laid:
    """1 where x is 0 and 0 where x is 1."""
    return affine(walk, node, x, -1.0, 1.0)


def nonzero(walk: Walk, node: fx.Node, x: Laid) -> Laid:
    """Whether x is not 0."""
    return walk.pointwise(node, walk.pointwise(node, x, Activation("abs")), Activation("sign"))


def positive(walk: Walk, node: fx.Node, x: Laid) -> Laid:
    """Whether x is above 0."""
    return walk.pointwise(node, walk.pointwise(node, x, Activation("sign")), Activation("relu"))


@lower("eq", "ne", "gt", "ge", "lt", "le")
def _compare(walk: Walk, node: fx.Node, a: dict[str, Any]) -> Laid:
    name, x, y = base_name(node), a["self"], a["other"]
    if isinstance(x, Laid) and isinstance(y, Laid):
        difference = both(walk, node, x, affine(walk, node, y, -1.0, 0.0), Add())
    elif isinstance(x, Laid):
        at = number(y)
        if at is None or not math.isfinite(at):
            raise walk.unsupported(node, "it compares a value with more than one number, or with one that is not finite")
        difference = x if at == 0 else affine(walk, node, x, 1.0, -at)
    else:
        raise walk.unsupported(node, "it compares a constant with a value; write the value first")
    if name in ("eq", "ne"):
        differs = nonzero(walk, node, difference)
        return differs if name == "ne" else negated(walk, node, differs)
    if name in ("lt", "ge"):
        difference = affine(walk, node, difference, -1.0, 0.0)
    above = positive(walk, node, difference)
    return above if name in ("gt", "lt") else negated(walk, node, above)


@lower("bool")
def _bool(walk: Walk, node: fx.Node, a: dict[str, Any]) -> Laid:
    return nonzero(walk, node, walk.laid(node, a["self"]))


@lower("logical_not", "bitwise_not")
def _not(walk: Walk, node: fx.Node, a: dict[str, Any]) -> Laid:
    return negated(walk, node, _truth(walk, node, a["self"], 0))


@lower("logical_and", "bitwise_and", "__and__", "logical_or", "bitwise_or", "__or__")
def _and_or(walk: Walk, node: fx.Node, a: dict[str, Any]) -> Laid:
    either = "or" in base_name(node)
    x, y = (_truth(walk, node, side, i) for i, side in enumerate((a["self"], a["other"])))
    if isinstance(x, Laid) and isinstance(y, Laid):
        return both(walk, node, x, y, Binary("max") if either else Mul())
    x, constant = (x, y) if isinstance(x, Laid) else (y, x)
    if constant.all() if not either else not constant.any():
        return replace(x, dims=stretched(x.dims, shape_of(node)), maker=node)
    constant = constant.to(torch.float32)
    # x or c is x (1 - c) + c, x and c is x c.
    kept = with_constant(walk, node, x, 1 - constant if either else constant, "mul")
    return with_constant(walk, node, kept, constant, "add") if either else kept


def is_truth(node: fx.Node, which: int, name: str = "") -> bool:
    """Whether an argument of the call holds truth values."""
    argument = node.args[which] if which < len(node.args) else node.kwargs.get(name)
    made = argument.meta.get("val") if isinstance(argument, fx.Node) else None
    return isinstance(made, torch.Tensor) and made.dtype == torch.bool


def _truth(walk: Walk, node: fx.Node, side: Any, which: int) -> Any:
    if not is_truth(node, which):
        raise walk.unsupported(node, "it is arithmetic on the bits of numbers; compare them first")
    return side if isinstance(side, torch.Tensor) else walk.laid(node, side)


@lower("masked_fill")
def _masked_fill(walk: Walk, node: fx.Node, a: dict[str, Any]) -> Any:
    return chosen(walk, node, a["mask"], a["value"], a["self"])


@lower("where")
def _where(walk: Walk, node: fx.Node, a: dict[str, Any]) -> Any:
    return chosen(walk, node, a["condition"], a["self"], a["other"])


def chosen(walk: Walk, node: fx.Node, mask: Any, yes: Any, no: Any) -> Any:
    """`yes` where the mask is true, `no` elsewhere."""
    if isinstance(yes, Scores) or isinstance(no, Scores):
        return _filled_scores(walk, node, mask, yes, no)
    if not isinstance(mask, Laid):
        raise walk.unsupported(node, "it chooses between values by a constant mask; multiply by the mask as numbers instead")
    x, y = _uniform(yes), _uniform(no)
    if _is(x, -math.inf) and _is(y, 0.0):
        return Closed(mask)
    if _is(y, -math.inf) and _is(x, 0.0):
        return Closed(negated(walk, node, mask))
    if any(isinstance(side, float) and not math.isfinite(side) for side in (x, y)):
        raise walk.unsupported(node, "it makes values infinite; only the scores of an attention layer may be")
    if _is(y, 0.0):
        return _share(walk, node, mask, x)
    rest = _share(walk, node, negated(walk, node, mask), y)
    return rest if _is(x, 0.0) else both(walk, node, _share(walk, node, mask, x), rest, Add())


def _is(side: Any, number: float) -> bool:
    return isinstance(side, float) and side == number


def _share(walk: Walk, node: fx.Node, mask: Laid, side: Any) -> Laid:
    """`side` where the mask is 1, 0 elsewhere."""
    if isinstance(side, float | torch.Tensor):
        return with_constant(walk, node, mask, side, "mul")
    return both(walk, node, mask, walk.laid(node, side), Mul())


def _uniform(side: Any) -> Any:
    """A constant that is the same number everywhere as that number; anything else as it is."""
    if isinstance(side, torch.Tensor) and side.numel() and bool((side == side.reshape(-1)[0]).all()):
        return float(side.reshape(-1)[0])
    return float(side) if isinstance(side, int | float) else side


def _filled_scores(walk: Walk, node: fx.Node, mask: Any, yes: Any, no: Any) -> Scores:
    """Attention scores closed where a mask says so."""
    scores, fill, closes = (no, _uniform(yes), True) if isinstance(no, Scores) else (yes, _uniform(no), False)
    if not isinstance(fill, float) or fill > -1e4:
        raise walk.unsupported(node, "it fills attention scores with what is not far below them; fill with -inf")
    if isinstance(mask, torch.Tensor):
        return attention.masked(walk, node, scores, mask if closes else ~mask, fill)
    where = walk.laid(node, mask)
    return attention.added(walk, node, scores, Closed(where if closes else negated(walk, node, where)))
