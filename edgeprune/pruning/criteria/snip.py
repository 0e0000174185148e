"""SNIP: how much the loss changes when a connection is switched off (Lee, Ajanthan and Torr 2019)."""

from __future__ import annotations

from torch import Tensor, nn

from .context import Context
from .gradients import Gradients, enough_samples


def snip(module: nn.Module, context: Context) -> dict[str, Tensor]:
    """|w · dL/dw| of the mean loss over ten samples a class. Needs labels."""
    gradients = Gradients(module, context)
    return sensitivity(context.weights(module), gradients.mean(context.samples(enough_samples(context))))


def sensitivity(weights: dict[str, Tensor], gradient: dict[str, Tensor]) -> dict[str, Tensor]:
    """|w · g|, which is the loss's derivative with respect to a gate on that connection."""
    return {name: (weight * gradient[name]).abs() for name, weight in weights.items()}
