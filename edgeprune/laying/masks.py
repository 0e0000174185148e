"""Comparisons, logic, and choices between values: truth values are numbers, 1 for true and 0 for false."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..graph import Array
from ..ops import Activation, Add, Affine, Binary, Mul
from . import scores as attention
from .arithmetic import both, number, with_constant
from .layout import Laid
from .scores import Closed, Scores
from .trace import Trace
from .views import expanded, shape_of


def affine(walk: Trace, at: Any, x: Laid, scale: float, shift: float) -> Laid:
    """x times a number plus a number."""
    value = walk.values[x.name]
    factors = np.full(value.channels, scale, walk.dtype_of(at))
    return walk.pointwise(at, x, Affine(factors, np.full_like(factors, shift), value.axis))


def negated(walk: Trace, at: Any, x: Laid) -> Laid:
    """1 where x is 0 and 0 where x is 1."""
    return affine(walk, at, x, -1.0, 1.0)


def nonzero(walk: Trace, at: Any, x: Laid) -> Laid:
    """Whether x is not 0."""
    return walk.pointwise(at, walk.pointwise(at, x, Activation("abs")), Activation("sign"))


def compared(walk: Trace, at: Any, kind: str, x: Any, y: Any) -> Laid:
    """Whether x is y, is not, is above, at least, below, at most: "eq", "ne", "gt", "ge", "lt", "le"."""
    if isinstance(x, Laid) and isinstance(y, Laid):
        difference = both(walk, at, x, affine(walk, at, y, -1.0, 0.0), Add())
    elif isinstance(x, Laid):
        bound = number(y)
        if bound is None or not math.isfinite(bound):
            raise walk.unsupported(at, "it compares a value with more than one number, or with one that is not finite")
        difference = x if bound == 0 else affine(walk, at, x, 1.0, -bound)
    else:
        raise walk.unsupported(at, "it compares a constant with a value; write the value first")
    if kind in ("eq", "ne"):
        differs = nonzero(walk, at, difference)
        return differs if kind == "ne" else negated(walk, at, differs)
    if kind in ("lt", "ge"):
        difference = affine(walk, at, difference, -1.0, 0.0)
    above = walk.pointwise(at, walk.pointwise(at, difference, Activation("sign")), Activation("relu"))
    return above if kind in ("gt", "lt") else negated(walk, at, above)


def joined_truth(walk: Trace, at: Any, x: Any, y: Any, *, either: bool) -> Laid:
    """x and y, or x or y, of truth values; one of them may be a constant."""
    if isinstance(x, Laid) and isinstance(y, Laid):
        return both(walk, at, x, y, Binary("max") if either else Mul())
    x, constant = (x, y) if isinstance(x, Laid) else (y, x)
    x = walk.laid(at, x)
    if (constant != either).all():
        laid: Laid = expanded(walk, at, x, tuple(np.broadcast_shapes(shape_of(x), constant.shape)))
        return laid
    constant = constant.astype(np.float32)
    # x or c is x (1 - c) + c, x and c is x c.
    kept = with_constant(walk, at, x, 1 - constant if either else constant, "mul")
    return with_constant(walk, at, kept, constant, "add") if either else kept


def chosen(walk: Trace, at: Any, mask: Any, yes: Any, no: Any) -> Any:
    """`yes` where the mask is true, `no` elsewhere; attention scores are closed where the other side is far below them."""
    if isinstance(yes, Scores) or isinstance(no, Scores):
        return _filled_scores(walk, at, mask, yes, no)
    if not isinstance(mask, Laid):
        raise walk.unsupported(at, "it chooses between values by a constant mask; multiply by the mask as numbers instead")
    if _is(yes, -math.inf) and _is(no, 0.0):
        return Closed(mask)
    if _is(no, -math.inf) and _is(yes, 0.0):
        return Closed(negated(walk, at, mask))
    if any(isinstance(side, np.ndarray) and not np.isfinite(side).all() for side in (yes, no)):
        raise walk.unsupported(at, "it makes values infinite; only the scores of an attention layer may be")
    if _is(no, 0.0):
        return _share(walk, at, mask, yes)
    rest = _share(walk, at, negated(walk, at, mask), no)
    return rest if _is(yes, 0.0) else both(walk, at, _share(walk, at, mask, yes), rest, Add())


def _is(side: Any, number: float) -> bool:
    """Whether a side is a constant, this number everywhere."""
    return isinstance(side, np.ndarray) and bool((side == number).all())


def _share(walk: Trace, at: Any, mask: Laid, side: Any) -> Laid:
    """`side` where the mask is 1, 0 elsewhere."""
    if isinstance(side, np.ndarray):
        return with_constant(walk, at, mask, side, "mul")
    return both(walk, at, mask, walk.laid(at, side), Mul())


def _filled_scores(walk: Trace, at: Any, mask: Any, yes: Any, no: Any) -> Scores:
    scores, fill, closes = (no, yes, True) if isinstance(no, Scores) else (yes, no, False)
    if not isinstance(fill, np.ndarray) or fill.max() > -1e4:
        raise walk.unsupported(at, "it fills attention scores with what is not far below them; fill with -inf")
    if isinstance(mask, np.ndarray):
        constant: Array = mask if closes else ~mask
        return attention.masked(walk, at, scores, constant, float(fill.max()))
    where = walk.laid(at, mask)
    return attention.added(walk, at, scores, Closed(where if closes else negated(walk, at, where)))
