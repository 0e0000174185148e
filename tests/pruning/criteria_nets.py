"""A small network, made-up data, and what a criterion is given of them."""

from __future__ import annotations

import torch
from nets import LeNet300, made_up
from torch import nn

from edgeprune.pruning import Masks, Probe
from edgeprune.pruning.criteria import Context

DATA = made_up((16,), 512)
IMAGES = made_up((3, 8, 8), 64)


def of(net: nn.Module, budget: int, data: object = DATA, masks: Masks | None = None) -> Context:
    shape = data.input_shape  # type: ignore[attr-defined]
    probe = Probe(net, (torch.zeros(1, *shape, dtype=next(net.parameters()).dtype),))
    return Context(masks or probe.full(), probe, budget, data.train)  # type: ignore[attr-defined]


def small(seed: int = 0) -> LeNet300:
    torch.manual_seed(seed)
    return LeNet300(16, 24, 12)
