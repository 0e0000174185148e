"""FORCE: the sensitivity of connections after pruning, so that one cut too early may return (de Jorge et al. 2021)."""

from __future__ import annotations

from torch import Tensor, nn

from ..alive import top
from .context import Context
from .gradients import Gradients, enough_samples
from .snip import sensitivity
from .stepwise import exponential

STEPS = 100


def force(module: nn.Module, context: Context, steps: int = STEPS) -> dict[str, Tensor]:
    """|w · dL/dw| with the gradient taken where all but the best so far are zero, in `steps` steps. Needs labels."""
    weights, gradients = context.weights(module), Gradients(module, context)
    left, scores = context.masks, {}
    for step, budget in enumerate(exponential(context.masks.kept, context.budget, steps)):
        gradients.at({name: weight * left[name] for name, weight in weights.items()})
        # The gradient of a masked weight counts too, with the value that the weight would come back with.
        scores = sensitivity(weights, gradients.mean(context.samples(enough_samples(context), step)))
        # Not all-alive: a dead weight's score is zero, so it gives way by itself, and mending every step gained nothing.
        left = top(context.probe, scores, budget, eligible=context.masks)
    return scores
