"""ATen comparisons, logic, and choices by a mask."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import fx

from ..laying.layout import Laid
from ..laying.masks import chosen, compared, joined_truth, negated, nonzero
from .naming import base_name
from .walk import Walk, lower


@lower("eq", "ne", "gt", "ge", "lt", "le")
def _compare(walk: Walk, node: fx.Node, a: dict[str, Any]) -> Laid:
    return compared(walk, node, base_name(node), walk.constant(a["self"]), walk.constant(a["other"]))


@lower("bool")
def _bool(walk: Walk, node: fx.Node, a: dict[str, Any]) -> Laid:
    return nonzero(walk, node, walk.laid(node, a["self"]))


@lower("logical_not", "bitwise_not")
def _not(walk: Walk, node: fx.Node, a: dict[str, Any]) -> Laid:
    return negated(walk, node, _truth(walk, node, a["self"], 0))


@lower("logical_and", "bitwise_and", "__and__", "logical_or", "bitwise_or", "__or__")
def _and_or(walk: Walk, node: fx.Node, a: dict[str, Any]) -> Laid:
    x, y = (_truth(walk, node, side, i) for i, side in enumerate((a["self"], a["other"])))
    return joined_truth(walk, node, x, y, either="or" in base_name(node))


def is_truth(node: fx.Node, which: int, name: str = "") -> bool:
    """Whether an argument of the call holds truth values."""
    argument = node.args[which] if which < len(node.args) else node.kwargs.get(name)
    made = argument.meta.get("val") if isinstance(argument, fx.Node) else None
    return isinstance(made, torch.Tensor) and made.dtype == torch.bool


def _truth(walk: Walk, node: fx.Node, side: Any, which: int) -> Any:
    if not is_truth(node, which):
        raise walk.unsupported(node, "it is arithmetic on the bits of numbers; compare them first")
    side = walk.constant(side)
    return side if isinstance(side, np.ndarray) else walk.laid(node, side)


@lower("masked_fill")
def _masked_fill(walk: Walk, node: fx.Node, a: dict[str, Any]) -> Any:
    return chosen(walk, node, *(walk.constant(a[name]) for name in ("mask", "value", "self")))


@lower("where")
def _where(walk: Walk, node: fx.Node, a: dict[str, Any]) -> Any:
    return chosen(walk, node, *(walk.constant(a[name]) for name in ("condition", "self", "other")))
