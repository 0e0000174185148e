"""ONNX recurrent layers: every direction an op of its own."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..graph import Array
from ..laying.layout import Atom, Laid, whole
from ..ops import GRU, LSTM, Cut, Join
from .walk import Call, Walk, lower

# Where the gates of the graph's ops (input, forget, cell, output; reset, update, new) lie in the file.
ORDER = {"LSTM": (0, 2, 3, 1), "GRU": (1, 0, 2)}
USUAL = {"LSTM": ["Sigmoid", "Tanh", "Tanh"], "GRU": ["Sigmoid", "Tanh"]}


@lower("LSTM", "GRU")
def _recurrent(
    walk: Walk, call: Call, x: Any, w: Any, r: Any, b: Any = None, lengths: Any = None, *states: Any
) -> list[Laid | None]:
    """[what every step gives, the last step's]"""
    kind, said = (LSTM if call.kind == "LSTM" else GRU), call.attributes
    laid = walk.laid(call, x)
    w, r = walk.weight(call, w), walk.weight(call, r)
    directions, units = len(w), r.shape[-1]
    if lengths is not None and not (isinstance(lengths, np.ndarray) and (lengths == laid.shape[0]).all()):
        raise walk.unsupported(call, "its sequences have lengths of their own")
    if any(s is not None and (not isinstance(s, np.ndarray) or s.any()) for s in states):
        raise walk.unsupported(call, "its first state is not zeros, or it looks into its cell (peepholes)")
    names = [n.decode() if isinstance(n, bytes) else n for n in said.get("activations", ())]
    if (names and names != USUAL[call.kind] * directions) or said.get("clip") or said.get("input_forget") or said.get("layout"):
        raise walk.unsupported(call, "other activations than the usual ones, clip, input_forget or layout are set")
    if call.kind == "GRU" and not said.get("linear_before_reset"):
        raise walk.unsupported(call, "linear_before_reset=0: the reset gate acts before the product; PyTorch's acts after it")
    if len(call.outputs) > 2 and call.outputs[2] in walk.file.outputs:
        raise walk.unsupported(call, "its cell state is an output")
    bias = np.zeros((directions, 2 * w.shape[1]), w.dtype) if b is None else walk.weight(call, b)
    name, _ = walk.take(call, laid, 2, -1 if walk.batch else 1)
    if walk.batch and laid.dims[1] != walk.batch:
        raise walk.unsupported(call, "the batch is not its second axis")

    def sorted_gates(rows: Array) -> Array:
        by_gate = rows.reshape(len(ORDER[call.kind]), units, *rows.shape[1:])
        return np.ascontiguousarray(by_gate[list(ORDER[call.kind])].reshape(rows.shape))

    made, last = [], []
    steps = walk.values[name].shape[0]
    for i in range(directions):
        weight, recurrent, own, recurrent_bias = (sorted_gates(each) for each in (w[i], r[i], *np.split(bias[i], 2)))
        backwards = i == 1 or said.get("direction") == "reverse"
        made.append(walk.emit(kind(weight, recurrent, own, recurrent_bias, backwards), [name], call))
        last.append(walk.emit(Cut(0, 0, 1) if backwards else Cut(0, steps - 1), [made[-1]], call))
    every = walk.emit(Join(1, 1), made, call) if directions == 2 else made[0]
    end = walk.emit(Join(0, 1), last, call) if directions == 2 else last[0]
    one = (Atom(1, directions, units),) if directions == 2 else ()
    each = (Atom(1, units),) if units > 1 else ()
    y = Laid(every, (whole(0, steps), one, walk.batch, each), call)
    hidden = Laid(end, (whole(0, directions), walk.batch, whole(1, units)), call)
    return [y, hidden, None]
