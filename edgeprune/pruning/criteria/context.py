"""What a criterion may look at besides the network."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..masks import Masks


@dataclass(frozen=True)
class Context:
    """`masks`: the weights that are not masked yet; scores of others are not read. `data`: a Split, None without data."""

    masks: Masks
    data: Any = None
    loss: Callable[[Tensor, Tensor], Tensor] = field(default=F.cross_entropy)
    device: torch.device | str = "cpu"
    seed: int = 0


# (module, context) -> a score per weight, by the names of context.masks; larger is worth more
Criterion = Callable[[nn.Module, Context], dict[str, Tensor]]
