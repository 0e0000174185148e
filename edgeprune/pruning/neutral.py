"""What each ATen operation does to a signal: one table for every walk through an exported graph.

A network is followed in its neutral form (the structural probe of all-alive pruning, Kim, Shim and Lee 2021; the same
network as in SynFlow, Tanaka et al. 2020, with masks for weights): biases are left out, activations and normalisations pass
their input on, a maximum becomes a sum. So nothing cancels, nothing is clipped, and a channel is zero only where nothing arrives.
An operation missing in the table is refused by name. Products are in products.py, layers and pools in layers.py, which fill the
same table.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor

from ..errors import EdgepruneError
from .semiring import Semiring


@dataclass(frozen=True)
class Signal:
    """A value that depends on the network's input. An open one lets a factor through even where nothing reaches it."""

    value: Tensor
    open: bool = False


@dataclass(frozen=True)
class Edges:
    """A prunable weight: what the walk puts in its place, and the parameter itself for constant arithmetic."""

    name: str
    value: Tensor
    parameter: Tensor


@dataclass(frozen=True)
class Call:
    """One node of the graph with its arguments, by the names of the operator's schema."""

    target: Any
    args: dict[str, Any]
    positions: Sequence[str]
    semiring: Semiring
    learned: bool  # a constant among the arguments comes from parameters
    layer: str

    def on(self, **values: Any) -> Any:
        """The operation itself, with these arguments in place of the recorded ones and signals as plain tensors."""
        args = {key: plain(value) for key, value in {**self.args, **values}.items()}
        in_order = [args.pop(key) for key in self.positions]
        return self.target(*in_order, **args)


def plain(value: Any) -> Any:
    if isinstance(value, (Signal, Edges)):
        return value.value
    return [plain(v) for v in value] if isinstance(value, (list, tuple)) else value


Meaning = Callable[[Call], Any]
TABLE: dict[str, Meaning] = {}


def meaning(name: str) -> Meaning | None:
    """What the operator of this schema name means; an in-place one means the same as its twin."""
    name = name.removeprefix("aten::")
    return TABLE.get(name) or TABLE.get(name.removesuffix("_"))


def means(*names: str) -> Callable[[Meaning], Meaning]:
    """Enters a function in the table under these schema names."""

    def add(function: Meaning) -> Meaning:
        TABLE.update(dict.fromkeys(names, function))
        return function

    return add


def first(call: Call) -> Any:
    """The first argument."""
    return next(iter(call.args.values()))


# ---- values passed on -----------------------------------------------------------------------------------------------


@means(
    "relu", "relu6", "hardtanh", "hardswish", "silu", "gelu", "mish", "elu", "selu", "celu", "leaky_relu", "prelu", "rrelu",
    "tanh", "softsign", "hardshrink", "softshrink", "tanhshrink", "abs", "neg", "square", "sqrt", "pow", "clamp", "clamp_max",
    "dropout", "alpha_dropout", "feature_dropout", "dropout1d", "dropout2d", "batch_norm", "layer_norm", "group_norm",
    "instance_norm", "rms_norm", "local_response_norm", "clone", "contiguous", "alias", "detach", "to", "_to_copy", "type_as",
    "float", "lift_fresh_copy", "log_softmax", "round", "floor", "sign", "nan_to_num",
)  # fmt: skip
def _same(call: Call) -> Any:
    return first(call)


@means(
    "sigmoid",
    "hardsigmoid",
    "softmax",
    "softplus",
    "exp",
    "clamp_min",
    "rsqrt",
    "reciprocal",
    "cos",
    "logsigmoid",
)
def _never_closed(call: Call) -> Signal:
    return Signal(first(call).value, open=True)


@means(
    "view", "reshape", "flatten", "unflatten", "permute", "transpose", "t", "swapaxes", "movedim", "unsqueeze", "squeeze",
    "expand", "expand_as", "repeat", "select", "slice", "narrow", "chunk", "split", "split_with_sizes", "tensor_split",
    "unbind", "roll", "flip", "index", "index_select", "repeat_interleave", "pixel_shuffle", "pixel_unshuffle", "im2col",
    "channel_shuffle", "native_channel_shuffle", "view_as", "reshape_as", "rot90", "tile", "numpy_T", "mT", "_unsafe_view",
    "upsample_nearest1d", "upsample_nearest2d", "upsample_nearest3d", "reflection_pad1d", "reflection_pad2d",
    "replication_pad1d", "replication_pad2d",
)  # fmt: skip
def moved(call: Call) -> Any:
    """The same values at other places; also of a weight on its way to its layer."""
    source = first(call)
    if str(call.target).startswith("aten.view"):
        # The walk's values may lie in memory otherwise than the network's.
        call = replace(call, target=torch.ops.aten.reshape.default, args={"self": source, "shape": call.args["size"]})
        call = replace(call, positions=["self", "shape"])

    def wrapped(value: Any, parameter: Any) -> Any:
        if isinstance(value, (list, tuple)):
            parameters = parameter if parameter is not None else [None] * len(value)
            return [wrapped(v, p) for v, p in zip(value, parameters, strict=True)]
        return replace(source, value=value) if isinstance(source, Signal) else Edges(source.name, value, parameter)

    if isinstance(source, Edges):
        return wrapped(call.on(), call.on(**{call.positions[0]: source.parameter}))
    if not isinstance(source, Signal):
        raise EdgepruneError(f"{call.layer}: {call.target} reads a constant at places that depend on the input")
    return wrapped(call.on(), None)


@means("pad", "constant_pad_nd")
def _padded(call: Call) -> Signal:
    # The value of the border is a constant like a bias: no signal.
    value = call.on(value=0.0) if call.args.get("value") else call.on()
    return Signal(value, open=first(call).open)


@means("cat", "concat", "stack")
def _joined_in_a_row(call: Call) -> Signal:
    parts = call.args["tensors"]
    like = next(part.value for part in parts if isinstance(part, Signal))
    values = [p.value if isinstance(p, Signal) else like.new_zeros(p.shape) for p in parts]
    return Signal(call.on(tensors=values), open=all(isinstance(p, Signal) and p.open for p in parts))


@means(
    "upsample_bilinear2d",
    "upsample_bicubic2d",
    "upsample_linear1d",
    "_upsample_bilinear2d_aa",
    "_upsample_bicubic2d_aa",
)
def _resized(call: Call) -> Signal:
    x = call.args["self" if "self" in call.args else "input"].value
    shape = call.on().shape
    return Signal(F.interpolate(x, size=shape[2:], mode="nearest"))


# ---- values brought together ----------------------------------------------------------------------------------------


def two(call: Call) -> tuple[Any, Any]:
    values = list(call.args.values())
    return values[0], values[1]


def _broadcast_shape(*shapes: torch.Size) -> torch.Size:
    return cast(torch.Size, torch.broadcast_shapes(*shapes))  # type: ignore[no-untyped-call]


def broadcast(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    shape = _broadcast_shape(a.shape, b.shape)
    return a.expand(shape), b.expand(shape)


def stretched(signal: Signal, other: Any) -> Signal:
    if isinstance(other, Tensor):
        shape = _broadcast_shape(signal.value.shape, other.shape)
        return replace(signal, value=signal.value.expand(shape))
    return signal


@means("add", "sub", "rsub", "maximum", "minimum", "fmod", "remainder", "atan2", "masked_fill")
def joined(call: Call) -> Signal:
    a, b = two(call)
    if isinstance(a, Signal) and isinstance(b, Signal):
        return Signal(call.semiring.join(a.value, b.value), open=a.open and b.open)
    return stretched(a, b) if isinstance(a, Signal) else stretched(b, a)


@means("where")
def _chosen(call: Call) -> Signal:
    parts = [v for v in call.args.values() if isinstance(v, Signal)]
    shape = _broadcast_shape(*(plain(v).shape for v in call.args.values() if isinstance(plain(v), Tensor)))
    value = parts[0].value.expand(shape)
    for part in parts[1:]:
        value = call.semiring.join(value, part.value.expand(shape))
    return Signal(value)


@means("new_zeros", "new_ones", "new_full", "zeros_like", "ones_like", "full_like", "new_empty", "empty_like")
def _fresh(call: Call) -> Tensor:
    value = call.on()
    assert isinstance(value, Tensor)
    return value.clone()


@means("_assert_tensor_metadata", "_assert_async", "sym_size", "sym_numel", "_assert_scalar")
def _nothing(call: Call) -> None:
    return None


PLAIN = {operator.getitem: lambda values, index: values[index]}
