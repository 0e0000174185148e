"""What a criterion may look at besides the network."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...errors import EdgepruneError
from ..masks import Masks

if TYPE_CHECKING:
    from ...data import Split
    from ..flow import Probe
    from ..training import Objective


@dataclass(frozen=True)
class Context:
    """`masks`: the weights that are not masked yet (scores of others are not read); `data`: the training part, if any.

    `budget` is how many weights the cut will keep, and `probe` follows signals through the network.
    """

    masks: Masks
    probe: Probe
    budget: int
    data: Split | None = None
    loss: Callable[[Tensor, Tensor], Tensor] = field(default=F.cross_entropy)
    device: torch.device | str = "cpu"
    seed: int = 0
    objective: Objective | None = None  # what the run trains for, where it is not the plain loss
    aap: bool = False  # whether cuts that a criterion makes on its way are all-alive too

    def weights(self, module: nn.Module) -> dict[str, Tensor]:
        """The prunable weights of `module` as they are now, by name, on the CPU."""
        weights = dict(module.named_parameters(remove_duplicate=False))
        return {name: weights[name].detach().cpu() for name in self.masks}

    def training_data(self) -> Split:
        """The training part. Raises EdgepruneError where there is none."""
        if self.data is None or not len(self.data):
            raise EdgepruneError(
                "this criterion looks at training samples; give data, or choose one that needs none: magnitude, synflow"
            )
        return self.data

    def samples(self, count: int, step: int = 0) -> list[tuple[Tensor, Tensor]]:
        """About `count` training samples with their labels, drawn by the seed and `step`, in batches on the device.

        Raises EdgepruneError where there is no training data.
        """
        data = self.training_data()
        size = min(128, len(data))
        batches = []
        for x, y in data.batches(size, shuffle=True, seed=self.seed + step, device=self.device):
            batches.append((x, y))
            if len(batches) >= math.ceil(count / size):
                break
        return batches


# (module, context) -> a score per weight, by the names of context.masks; larger is worth more
Criterion = Callable[[nn.Module, Context], dict[str, Tensor]]
# (module, context) where context.masks is what the cut kept: changes the kept weights to make up for the others
Refit = Callable[[nn.Module, Context], None]
