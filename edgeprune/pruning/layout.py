"""How maps lie in memory while a network runs: on a CPU, norms, pools and convolutions are quicker with the channels last."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator

import torch
from torch import Tensor, nn

from .trial import Incomparable, answers


def channels_last(maps: Tensor) -> Tensor:
    """The same maps `[batch, channel, height, width]`, the values of one place side by side."""
    return _copied(maps, torch.channels_last)


def _copied(maps: Tensor, order: torch.memory_format) -> Tensor:
    # Of one channel or place both orders are the same; asking for one leaves the strides as they are, which kernels look at.
    return torch.empty(maps.shape, dtype=maps.dtype, device=maps.device, memory_format=order).copy_(maps)


@contextlib.contextmanager
def quick_layout(module: nn.Module, sample: Tensor, batch_size: int) -> Iterator[Callable[[Tensor], Tensor]]:
    """Gives what lays out a batch for `module`; inside the block the weights of convolutions lie likewise.

    Batches stay as they are on an accelerator, and for a network that cannot run so: a `view` of maps needs the usual order.
    """
    weights = [p for p in module.parameters() if p.dim() == 4 and p.is_contiguous()]
    if sample.device.type != "cpu" or sample.dim() != 4 or not weights:
        yield lambda batch: batch
        return
    try:
        for weight in weights:
            weight.data = channels_last(weight.data)
        # Small batches may go through other kernels, which order their outputs otherwise: a whole one is tried.
        batch = sample[torch.arange(batch_size) % len(sample)]
        if runs := _runs(module, channels_last(batch)):
            yield channels_last
    finally:
        for weight in weights:
            weight.data = _copied(weight.data, torch.contiguous_format)
    if not runs:
        yield lambda batch: batch


def _runs(module: nn.Module, sample: Tensor) -> bool:
    try:
        answers(module, sample)
    except Incomparable:
        return False
    return True
