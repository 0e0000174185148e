"""Projected gradient descent: the worst small change of an image ("Towards deep learning models resistant to adversarial
attacks", Madry et al. 2018)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ...errors import EdgepruneError
from ..places import Place
from ..threads import enough_threads
from ..training import set_mode

if TYPE_CHECKING:
    from ...data import Preprocessing, Split


@dataclass(frozen=True)
class Threat:
    """What an attacker may do: move every pixel by `epsilon`, in parts of the pixels' range 0 to 1, and stay within that range.

    `mean` and `std` are what the network's inputs were normalised with, one per channel or one for all.
    """

    epsilon: float
    mean: Sequence[float] = (0.0,)
    std: Sequence[float] = (1.0,)

    def __post_init__(self) -> None:
        if not 0 <= self.epsilon <= 1:
            raise EdgepruneError(
                f"epsilon={self.epsilon} is not a part of the pixels' range; give a number from 0 to 1, like 8/255"
            )

    @classmethod
    def of(cls, epsilon: float, preprocessing: Preprocessing | None) -> Threat:
        """Against inputs made by `preprocessing`. Raises EdgepruneError for what is no image of pixels 0 to 255."""
        if preprocessing is None or preprocessing.color == "none":
            raise EdgepruneError("robust training moves pixels, and this data is no images with preprocessing; leave out robust")
        return cls(epsilon, preprocessing.mean, preprocessing.std)

    def unit(self, x: Tensor) -> Tensor:
        """How much of the network's input one whole pixel range is, per channel; `x` is a batch of inputs."""
        return 1.0 / _per_channel(self.std, x)

    def within(self, moved: Tensor, x: Tensor) -> Tensor:
        """`moved`, brought back to at most epsilon from `x` and to the pixels' range."""
        reach = self.epsilon * self.unit(x)
        low, high = (0.0 - _per_channel(self.mean, x)) * self.unit(x), (1.0 - _per_channel(self.mean, x)) * self.unit(x)
        # The range last: inputs made of pixels are in it, so that this never leaves the reach.
        return torch.minimum(torch.maximum(torch.minimum(torch.maximum(moved, x - reach), x + reach), low), high)


def _per_channel(values: Sequence[float], x: Tensor) -> Tensor:
    return x.new_tensor(list(values)).view(-1, *[1] * (x.dim() - 2))


def wrong_about(y: Tensor) -> Callable[[Tensor], Tensor]:
    """The summed loss of logits against the labels `y`: what an attacker wants large."""
    return lambda logits: F.cross_entropy(logits, y, reduction="sum")


def pgd(
    model: nn.Module,
    x: Tensor,
    wrong: Callable[[Tensor], Tensor],
    threat: Threat,
    *,
    steps: int = 20,
    step_size: float | None = None,
    start: Tensor | None = None,
) -> Tensor:
    """Inputs near `x` that make `wrong(logits)` large, by sign-gradient steps of `step_size` (by default 2.5 epsilon / steps).

    `start` is where to begin, by default `x`. The model's mode is left as it is, and its parameters get no gradient.
    """
    size = (2.5 * threat.epsilon / max(steps, 1)) if step_size is None else step_size
    moved = threat.within(x if start is None else start, x).detach()
    for _ in range(steps):
        moved.requires_grad_(True)
        with torch.enable_grad():
            (slope,) = torch.autograd.grad(wrong(model(moved)), moved)
        moved = threat.within(moved.detach() + size * threat.unit(x) * slope.sign(), x)
    return moved.detach()


def robust_accuracy(
    module: nn.Module,
    split: Split,
    threat: Threat,
    *,
    steps: int = 20,
    restarts: int = 1,
    samples: int | None = None,
    seed: int = 0,
    place: Place | None = None,
    batch_size: int = 500,
) -> float:
    """The share of the first `samples` of `split` that no attack of PGD, of `restarts` from random points, gets wrong; 0 to 1."""
    device = (place or Place()).fabric().device
    module.to(device)
    set_mode(module, training=False)
    draw = torch.Generator().manual_seed(seed)
    wanted = min(samples or len(split), len(split))
    safe = seen = 0
    with enough_threads(module, split.first(2)[0].to(device), batch_size):
        for x, y in split.batches(min(batch_size, wanted), device=device):
            x, y = x[: wanted - seen], y[: wanted - seen]
            holds = torch.ones(len(y), dtype=torch.bool, device=device)
            for _ in range(restarts):
                noise = (2 * torch.rand(x.shape, generator=draw) - 1).to(device) * threat.epsilon * threat.unit(x)
                attacked = pgd(module, x, wrong_about(y), threat, steps=steps, start=x + noise)
                with torch.no_grad():
                    holds &= module(attacked).argmax(1) == y
            safe, seen = safe + int(holds.sum()), seen + len(y)
            if seen >= wanted:
                break
    module.to("cpu")
    return safe / max(seen, 1)
