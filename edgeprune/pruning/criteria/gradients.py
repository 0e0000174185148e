"""Gradients of the loss for scoring, taken on a copy: batch norms use the batch, dropout is off, the network is not touched."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from ..training import set_mode
from .context import Context

# Ten samples a class make a gradient steady enough to rank by (Lee et al. 2019; Wang et al. 2020).
SAMPLES_PER_CLASS = 10


def enough_samples(context: Context) -> int:
    """Ten samples for every output of the network."""
    return SAMPLES_PER_CLASS * len(context.probe.outputs_reached(context.probe.full()))


class Gradients:
    """Gradients of the mean loss with respect to the prunable weights, also at weights other than the network's own."""

    def __init__(self, module: nn.Module, context: Context) -> None:
        self._context = context
        self._copy = copy.deepcopy(module).to(context.device)
        set_mode(self._copy, training=False)
        for part in self._copy.modules():
            if isinstance(part, nn.modules.batchnorm._BatchNorm):
                part.train()  # statistics of the dense network would be wrong, and fresh ones let activations explode
        parameters = dict(self._copy.named_parameters(remove_duplicate=False))
        self.weights = {name: parameters[name] for name in context.masks}
        for parameter in self._copy.parameters():
            parameter.requires_grad_(False)
        for weight in self.weights.values():
            weight.requires_grad_()

    def loss(self, x: Tensor, y: Tensor, temperature: float = 1.0) -> Tensor:
        logits = self._copy(x)
        return self._context.loss((logits[0] if isinstance(logits, tuple) else logits) / temperature, y)

    def at(self, weights: Mapping[str, Tensor]) -> None:
        """From now on the prunable weights have these values."""
        with torch.no_grad():
            for name, weight in self.weights.items():
                weight.copy_(weights[name])

    def mean(self, batches: Sequence[tuple[Tensor, Tensor]]) -> dict[str, Tensor]:
        """The gradient of the mean loss over all samples of `batches`, masked weights included, on the CPU."""
        samples = sum(len(y) for _, y in batches)
        total = [torch.zeros_like(weight) for weight in self.weights.values()]
        for x, y in batches:
            found = torch.autograd.grad(self.loss(x, y) * (len(y) / samples), list(self.weights.values()), allow_unused=True)
            for sum_of_one, part in zip(total, found, strict=True):
                if part is not None:
                    sum_of_one += part
        return dict(zip(self.weights, (value.cpu() for value in total), strict=True))
