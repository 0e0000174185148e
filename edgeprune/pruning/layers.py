"""What layers and pools do to a signal: a part of neutral.py's table."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from ..errors import EdgepruneError
from .neutral import Call, Edges, Signal, first, joined, means, plain
from .semiring import Conv

# ---- layers ---------------------------------------------------------------------------------------------------------


def _edges(call: Call, weight: Any) -> Tensor:
    if isinstance(weight, Signal):
        raise EdgepruneError(f"{call.layer}: its weight is computed from the input, which is not known here")
    return weight.value if isinstance(weight, Edges) else (weight != 0).to(call.semiring.dtype)


@means("linear")
def _linear(call: Call) -> Signal:
    x = call.args["input"]
    return Signal(call.semiring.layer(F.linear, None, x.value, _edges(call, call.args["weight"])))


@means("conv1d", "conv2d", "conv3d", "conv_transpose1d", "conv_transpose2d", "conv_transpose3d")
def _convolution(call: Call) -> Signal:
    args, edges = call.args, _edges(call, call.args["weight"])
    x = args["input"].value
    n = edges.dim() - 2

    def each(value: Any) -> tuple[int, ...]:
        value = list(value) if isinstance(value, (list, tuple)) else [value]
        return tuple(value * n if len(value) == 1 else value)

    dilation, transposed = each(args["dilation"]), "output_padding" in args
    if args["padding"] == "same":
        reach = [d * (k - 1) for d, k in zip(dilation, edges.shape[2:], strict=True)]
        padding = tuple((r // 2, r - r // 2) for r in reach)
    else:
        padding = tuple((p, p) for p in each(0 if args["padding"] == "valid" else args["padding"]))
    if transposed:
        padding = tuple((p, q - more) for (p, q), more in zip(padding, each(args["output_padding"]), strict=True))
    conv = Conv(each(args["stride"]), padding, dilation, args["groups"], transposed)
    return Signal(call.semiring.layer(lambda x, w: call.on(input=x, weight=w, bias=None), conv, x, edges))


@means("embedding")
def _embedding(call: Call) -> Signal:
    ids, weight = call.args["indices"].value, plain(call.args["weight"])
    return Signal(torch.full((*ids.shape, weight.shape[1]), call.semiring.source, dtype=call.semiring.dtype))


# ---- places brought together ----------------------------------------------------------------------------------------


@means("max_pool1d", "max_pool2d", "max_pool3d", "avg_pool1d", "avg_pool2d", "avg_pool3d")
def _pool(call: Call) -> Signal:
    x, args = first(call), call.args
    n = int(str(call.target).split("pool")[1][0])
    kernel, padding = args["kernel_size"], args["padding"]
    stride = args["stride"] or kernel
    largest = (F.max_pool1d, F.max_pool2d, F.max_pool3d)[n - 1]
    average = (F.avg_pool1d, F.avg_pool2d, F.avg_pool3d)[n - 1]
    dilation = args.get("dilation", 1)
    if any(d != 1 for d in (dilation if isinstance(dilation, (list, tuple)) else [dilation])):
        raise EdgepruneError(f"{call.layer}: a dilated maximum pool is not known here")

    def mean(value: Tensor) -> Tensor:
        return average(value, kernel, stride, padding, args["ceil_mode"])

    def most(value: Tensor) -> Tensor:
        return largest(value, kernel, stride, padding, ceil_mode=args["ceil_mode"])

    return Signal(call.semiring.pool(mean, most, x.value))


@means(*(f"adaptive_{kind}_pool{n}d" for kind in ("avg", "max") for n in (1, 2, 3)))
def _adaptive_pool(call: Call) -> Any:
    n = int(str(call.target).split("pool")[1][0])
    size = call.args["output_size"]
    largest = (F.adaptive_max_pool1d, F.adaptive_max_pool2d, F.adaptive_max_pool3d)[n - 1]
    average = (F.adaptive_avg_pool1d, F.adaptive_avg_pool2d, F.adaptive_avg_pool3d)[n - 1]
    value = call.semiring.pool(lambda x: average(x, size), lambda x: largest(x, size), first(call).value)
    return [Signal(value), None] if "max" in str(call.target) else Signal(value)


@means("mean", "sum", "amax", "amin", "logsumexp", "linalg_vector_norm", "norm", "var", "std")
def _reduced(call: Call) -> Signal:
    value = first(call).value
    dims = call.args.get("dim")
    dims = list(range(value.dim())) if dims is None or dims == [] else dims
    dims = [dims] if isinstance(dims, int) else dims
    return Signal(call.semiring.reduce(value, dims, bool(call.args.get("keepdim", False))))


@means("max", "min")
def _extreme(call: Call) -> Any:
    if "dim" not in call.args:
        return joined(call) if "other" in call.args else _reduced(call)
    return [_reduced(call), None]
