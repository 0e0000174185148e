"""Global magnitude: a weight matters as much as it is large, whatever its layer (Han et al. 2015)."""

from __future__ import annotations

from torch import Tensor, nn

from .context import Context


def magnitude(module: nn.Module, context: Context) -> dict[str, Tensor]:
    """|w|, comparable across layers. Needs no data."""
    return {name: weight.abs() for name, weight in context.weights(module).items()}
