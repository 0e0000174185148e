"""SynFlow: how much of an all-ones signal flows through each weight, in many small cuts (Tanaka et al. 2020)."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor, nn

from ...errors import EdgepruneError
from ..masks import Masks
from .context import Context
from .stepwise import step_by_step

STEPS = 100


def synflow(module: nn.Module, context: Context, steps: int = STEPS) -> dict[str, Tensor]:
    """|w| · dR/d|w|, R the sum of all outputs of the network with absolute weights and no nonlinearity. Needs no data.

    What enters a neuron leaves it, so that a layer's scores add up to R whatever its size, and in small steps no layer empties.
    """
    weights = context.weights(module)

    def score(left: Masks, step: int) -> dict[str, Tensor]:
        scores = context.probe.flow({name: weight * left[name] for name, weight in weights.items()})
        if not all(torch.isfinite(value).all() for value in scores.values()):
            raise EdgepruneError("synflow's products of weights leave the range of 64-bit numbers in this network; try lamp")
        return scores

    # A dead weight has no flow, so it goes with the next cut by itself; mending every cut would only change what the flow chose.
    return step_by_step(replace(context, aap=False), steps, score)
