"""Iterative SNIP: SNIP again and again on what is left (de Jorge et al. 2021; Verdenius et al. 2020)."""

from __future__ import annotations

from torch import Tensor, nn

from ..masks import Masks
from .context import Context
from .gradients import Gradients, enough_samples
from .snip import sensitivity
from .stepwise import step_by_step

STEPS = 100


def iterative_snip(module: nn.Module, context: Context, steps: int = STEPS) -> dict[str, Tensor]:
    """SNIP in `steps` cuts by the same factor; what was cut does not return. Needs labels."""
    weights, gradients = context.weights(module), Gradients(module, context)

    def score(left: Masks, step: int) -> dict[str, Tensor]:
        at = {name: weight * left[name] for name, weight in weights.items()}
        gradients.at(at)
        return sensitivity(at, gradients.mean(context.samples(enough_samples(context), step)))

    return step_by_step(context, steps, score)
