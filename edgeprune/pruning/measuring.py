"""What a network gets right, and batch norms measured anew."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import torch
from torch import nn

from ..errors import EdgepruneError
from .layout import quick_layout
from .places import Place
from .recipe import derived_seed
from .threads import enough_threads
from .training import set_mode

if TYPE_CHECKING:
    from ..data import Split


def evaluate(module: nn.Module, split: Split, *, place: Place | None = None, batch_size: int = 200) -> float:
    """The share of samples in `split` whose largest logit is their label's, 0 to 1. The module ends in eval mode on the CPU."""
    fabric = (place or Place()).fabric()
    device = fabric.device
    module.to(device)
    set_mode(module, training=False)
    right = 0
    if not len(split):
        raise EdgepruneError("there is nothing to evaluate: the test part of the data is empty")
    sample = split.first(2)[0].to(device)
    with torch.no_grad(), enough_threads(module, sample, batch_size), quick_layout(module, sample, batch_size) as laid_out:
        for number, (x, y) in enumerate(split.batches(batch_size, device=device)):
            if number % fabric.world_size == fabric.global_rank:
                right += int((module(laid_out(x)).argmax(1) == y).sum())
    module.to("cpu")
    total = fabric.all_reduce(torch.tensor(right, device=device), reduce_op="sum")
    return int(cast(torch.Tensor, total)) / len(split)


def recalibrate(
    module: nn.Module,
    split: Split,
    *,
    place: Place | None = None,
    batches: int = 100,
    batch_size: int = 128,
    seed: int = 0,
) -> None:
    """Measures every batch norm's mean and variance anew, over `batches` batches of `split`; weights stay as they are.

    Needed after a one-shot cut: the stored statistics are those of the dense network.
    """
    norms = [m for m in module.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm) and m.track_running_stats]
    if not norms:
        return
    device = (place or Place()).fabric().device
    module.to(device)
    set_mode(module, training=False)
    momenta = [norm.momentum for norm in norms]
    sample = split.first(2)[0].to(device)
    with torch.no_grad(), enough_threads(module, sample, batch_size), quick_layout(module, sample, batch_size) as laid_out:
        for norm in norms:
            norm.reset_running_stats()
            norm.momentum = None  # a plain average over all batches
            norm.train()
        for n, (x, _) in enumerate(split.batches(batch_size, shuffle=True, seed=derived_seed(seed, -2), device=device)):
            if n >= batches:
                break
            if len(x) > 1:
                module(laid_out(x))
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    set_mode(module, training=False)
    module.to("cpu")
