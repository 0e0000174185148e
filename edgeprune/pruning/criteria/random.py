"""Random scores: the floor that every other criterion must beat."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .context import Context


def random(module: nn.Module, context: Context) -> dict[str, Tensor]:
    """Uniform in [0, 1), the same for the same seed. Needs no data."""
    generator = torch.Generator().manual_seed(context.seed)
    return {name: torch.rand(mask.shape, generator=generator) for name, mask in context.masks.items()}
