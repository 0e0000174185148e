"""ATen recurrent layers: every layer and direction an op of its own."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import torch
from torch import fx

from ..laying.layout import Laid
from ..ops import GRU, LSTM, Cut, Join
from .naming import base_name
from .walk import Walk, lower


@lower("lstm", "gru")
def _recurrent(walk: Walk, node: fx.Node, a: dict[str, Any]) -> list[Laid | None]:
    """(what every step gives, the last step's) and for an LSTM None for its cell state."""
    x = walk.laid(node, a["input"])
    kind = LSTM if base_name(node) == "lstm" else GRU
    states = a["hx"] if isinstance(a["hx"], list | tuple) else [a["hx"]]
    if any(not isinstance(s, torch.Tensor) or bool(s.any()) for s in states):
        raise walk.unsupported(node, "its first state is not zeros")
    if a.get("train") and a["dropout"]:
        raise walk.unsupported(node, "dropout is in training mode; call eval() on the module")
    weights = [walk.weight(node, p) for p in a["params"]]
    directions = 2 if a["bidirectional"] else 1
    each = 4 if a["has_biases"] else 2
    if len(weights) != each * directions * a["num_layers"]:
        raise walk.unsupported(node, "its states are projected (proj_size)")
    name, frame = walk.take(node, x, 2)
    last: list[str] = []
    for layer in range(a["num_layers"]):
        made = []
        for direction in range(directions):
            own = weights[each * (directions * layer + direction) :][:each]
            bias, recurrent_bias = own[2:] if a["has_biases"] else (own[0][:, 0] * 0, own[0][:, 0] * 0)
            made.append(walk.emit(kind(own[0], own[1], bias, recurrent_bias, bool(direction)), [name], node))
            steps = walk.values[made[-1]].shape[0]
            last.append(walk.emit(Cut(0, 0, 1) if direction else Cut(0, steps - 1), [made[-1]], node))
        name = walk.emit(Join(1, 1), made, node) if directions == 2 else made[0]
    out = frame.lay(name, walk.values[name], node)
    states_out = walk.emit(Join(0, 1), last, node) if len(last) > 1 else last[0]
    # The last states are (layers and directions, batch, units) whatever the layout of the sequence.
    laid = walk.lay(states_out, node)
    hidden = replace(laid, dims=(laid.dims[1], laid.dims[0], laid.dims[2]))
    return [out, hidden, None] if kind is LSTM else [out, hidden]
