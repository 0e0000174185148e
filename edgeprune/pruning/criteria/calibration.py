"""What enters each layer, seen over calibration samples; no labels, no gradients."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...errors import Unsupported
from ..training import set_mode
from .context import Context

SAMPLES = 1024
CHUNK = 32  # samples at a time: a convolution's patches are kernel-size times its input


def input_moments(module: nn.Module, context: Context, *, full: bool = True, samples: int = SAMPLES) -> dict[str, Tensor]:
    """Per prunable weight X Xᵀ, float64, X the columns that its matrix multiplies: [groups, d, d], or the diagonal [groups, d].

    A convolution's columns are its patches, in the order of the weight's flattened input axes. Raises Unsupported for a weight
    that is not of a linear layer or an ordinary convolution.
    """
    layers = {name: _layer_of(module, name) for name in context.masks}
    batches = context.samples(samples)
    found: dict[str, Tensor] = {}

    def watch(name: str, layer: nn.Module) -> Any:
        def seen(layer: nn.Module, inputs: tuple[Tensor, ...]) -> None:
            x = _columns(layer, inputs[0].detach()).double()
            moment = x @ x.transpose(1, 2) if full else x.square().sum(2)
            found[name] = found.get(name, 0) + moment.cpu()

        return layer.register_forward_pre_hook(seen)

    were_training = [part for part in module.modules() if part.training]
    handles = [watch(name, layer) for name, layer in layers.items()]
    was_on = next((p.device for p in module.parameters()), torch.device("cpu"))
    try:
        module.to(context.device)
        set_mode(module, training=False)
        with torch.no_grad():
            for x, _ in batches:
                for part in torch.split(x, CHUNK):
                    module(part)
    finally:
        for handle in handles:
            handle.remove()
        module.to(was_on)
        for was in were_training:
            was.training = True
    return found


def rows_of(weight: Tensor, groups: int) -> Tensor:
    """The weight as matrices [groups, rows, d] of the columns that `input_moments` speaks of."""
    return weight.reshape(groups, weight.shape[0] // groups, -1)


def _layer_of(module: nn.Module, name: str) -> nn.Module:
    path, _, last = name.rpartition(".")
    try:
        layer = module.get_submodule(path)
    except AttributeError:
        layer = None
    if last != "weight" or not isinstance(layer, (nn.Linear, nn.Conv1d, nn.Conv2d)):
        raise Unsupported(
            f"{name}: what enters this weight cannot be watched (no linear layer, Conv1d or Conv2d); try lamp or magnitude"
        )
    return layer


def _columns(layer: nn.Module, x: Tensor) -> Tensor:
    if isinstance(layer, nn.Linear):
        return x.reshape(-1, x.shape[-1]).t().unsqueeze(0)
    assert isinstance(layer, (nn.Conv1d, nn.Conv2d))
    mode = "constant" if layer.padding_mode == "zeros" else layer.padding_mode
    x = F.pad(x, layer._reversed_padding_repeated_twice, mode=mode)
    kernel, stride, dilation = layer.kernel_size, layer.stride, layer.dilation
    if isinstance(layer, nn.Conv1d):
        x, kernel, stride, dilation = x.unsqueeze(2), (1, *kernel), (1, *stride), (1, *dilation)
    patches = F.unfold(x, kernel, dilation=dilation, stride=stride)  # [batch, channels * taps, places]
    return patches.transpose(0, 1).reshape(layer.groups, -1, patches.shape[0] * patches.shape[2])
