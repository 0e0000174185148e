"""Masks that change while a network is trained: held ones, and a dense copy that is trained at its masked point."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .masks import Masks
from .run import Run
from .training import Steering

# Choosing weights all alive takes many walks through the network, so masks change at most so often in one training.
UPDATES = 100


def interval(steps: int, wanted: int) -> int:
    """Steps between two changes of the masks: `wanted`, but at least 20 and at most 100 changes in a training of so many."""
    return max(min(wanted, steps // 20), steps // UPDATES, 1)


def one_training(run: Run, steering: Steering) -> None:
    """The run's one round: a training in which `steering` brings the masks to the budget."""
    run.begin_round(run.budget, 1)
    recipe = run.plan.last
    loss = run.train(recipe, steering)
    if run.masks.kept != run.budget:  # too short a training for the schedule to get there
        run.masks = run.select(run.scores(), run.budget, run.masks)
    run.masks.apply(run.module)
    run.close_round(loss, recipe.epochs if loss is not None else 0)


class Held(Steering):
    """Masked weights stay zero between the changes that a schedule makes by `hold`."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self._held: torch.utils.hooks.RemovableHandle | None = None

    def begin(self, module: nn.Module, optimizer: torch.optim.Optimizer, steps: int) -> None:
        self.module, self.optimizer, self.steps = module, optimizer, steps
        self.hold(self.run.masks)

    def hold(self, masks: Masks) -> None:
        """From now on these weights are there, and the others zero, in the optimizer's memory as well."""
        self.release()
        self.run.masks = masks
        self._held = masks.hold(self.module, self.optimizer)

    def release(self) -> None:
        """From now on every weight is trained."""
        if self._held is not None:
            self._held.remove()
            self._held = None

    def weights(self) -> dict[str, Tensor]:
        """The prunable weights as they are now, on the CPU."""
        return self.run.context().weights(self.module)

    def gradients(self) -> dict[str, Tensor]:
        """Those of this step, masked weights included, on the CPU."""
        parameters = dict(self.module.named_parameters(remove_duplicate=False))
        found = {name: parameters[name].grad for name in self.run.masks}
        return {name: torch.zeros(mask.shape) if (g := found[name]) is None else g.cpu() for name, mask in self.run.masks.items()}

    def end(self) -> None:
        self.release()


class MaskedPoint(Steering):
    """Trains all weights with the gradient at the masked ones: what is masked keeps moving and may come back."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self.eligible = run.masks

    def begin(self, module: nn.Module, optimizer: torch.optim.Optimizer, steps: int) -> None:
        self.module, self.steps = module, steps
        parameters = dict(module.named_parameters(remove_duplicate=False))
        self._weights = {name: parameters[name] for name in self.run.masks}
        self._dense: dict[str, Tensor] = {}

    def masks_at(self, step: int) -> Masks | None:
        """The masks from this step on, where they change; the weights are dense then. For a schedule to say."""
        raise NotImplementedError

    def dense(self) -> dict[str, Tensor]:
        """The sizes of the dense weights, on the CPU."""
        return {name: weight.detach().abs().cpu() for name, weight in self._weights.items()}

    def before(self, step: int) -> None:
        self.run.masks = self.masks_at(step) or self.run.masks
        self._dense = {name: weight.detach().clone() for name, weight in self._weights.items()}
        self.run.masks.apply(self.module)

    def update(self, step: int) -> bool:
        with torch.no_grad():
            for name, weight in self._weights.items():
                weight.copy_(self._dense[name])
        return True

    def end(self) -> None:
        self.run.masks.apply(self.module)
