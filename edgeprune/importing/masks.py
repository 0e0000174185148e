"""ONNX comparisons, logic, and choices by a mask."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..laying.layout import Laid
from ..laying.masks import chosen, compared, joined_truth, negated
from .walk import Call, Walk, lower

KINDS = {"Equal": "eq", "Greater": "gt", "GreaterOrEqual": "ge", "Less": "lt", "LessOrEqual": "le"}
# The same comparison with its sides the other way round.
TURNED = {"eq": "eq", "gt": "lt", "ge": "le", "lt": "gt", "le": "ge"}


@lower(*KINDS)
def _compare(walk: Walk, call: Call, x: Any, y: Any) -> Laid:
    kind = KINDS[call.kind]
    if isinstance(x, np.ndarray):
        x, y, kind = y, x, TURNED[kind]
    return compared(walk, call, kind, x, y)


@lower("Not")
def _not(walk: Walk, call: Call, x: Any) -> Laid:
    return negated(walk, call, walk.laid(call, x))


@lower("And", "Or")
def _and_or(walk: Walk, call: Call, x: Any, y: Any) -> Laid:
    return joined_truth(walk, call, x, y, either=call.kind == "Or")


@lower("Where")
def _where(walk: Walk, call: Call, mask: Any, x: Any, y: Any) -> Any:
    # Dividing them would cut, and values have no types that tell.
    if any(isinstance(side, np.ndarray) and side.dtype.kind in "iu" for side in (x, y)):
        raise walk.unsupported(call, "it chooses between integers; store them as floats")
    return chosen(walk, call, mask, x, y)
