"""What a criterion may look at besides the network."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..masks import Masks

if TYPE_CHECKING:
    from ...data import Split


@dataclass(frozen=True)
class Context:
    """`masks`: the weights that are not masked yet (scores of others are not read); `data`: the training part, if any."""

    masks: Masks
    data: Split | None = None
    loss: Callable[[Tensor, Tensor], Tensor] = field(default=F.cross_entropy)
    device: torch.device | str = "cpu"
    seed: int = 0


# (module, context) -> a score per weight, by the names of context.masks; larger is worth more
Criterion = Callable[[nn.Module, Context], dict[str, Tensor]]
