"""The retraining loop: one network, one recipe, any device that lightning-fabric knows."""

from __future__ import annotations

import contextlib
import itertools
import math
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, cast

import torch
import torch.nn.functional as F
from lightning_fabric import Fabric
from torch import Tensor, nn

from ..errors import CheckFailed
from .compacting import compacted
from .flow import Probe
from .layout import quick_layout
from .masks import Masks
from .places import Place
from .progress import Progress
from .recipe import Recipe, derived_seed
from .threads import enough_threads

if TYPE_CHECKING:
    from ..data import Split


class Objective:
    """What a training minimises; here the plain loss of the network's answers."""

    def __call__(self, model: nn.Module, x: Tensor, y: Tensor, logits: Tensor, loss: Tensor) -> Tensor:
        """The loss of a batch, from the network's answers to it and their plain loss."""
        return loss


class Steering:
    """What a schedule does around every step of one training; here nothing."""

    def begin(self, module: nn.Module, optimizer: torch.optim.Optimizer, steps: int) -> None:
        """Before the first of so many steps; `module` is on its device."""

    def before(self, step: int) -> None:
        """Before the forward pass of `step`, from 0."""

    def update(self, step: int) -> bool:
        """After the backward pass; False leaves the optimizer's step out."""
        return True

    def end(self) -> None:
        """After the last step, also of a training that failed."""


def train(
    module: nn.Module,
    split: Split,
    recipe: Recipe,
    *,
    masks: Masks | None = None,
    probe: Probe | None = None,
    steering: Steering | None = None,
    teacher: nn.Module | None = None,
    objective: Objective | None = None,
    place: Place | None = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> float:
    """Trains `module` in place on `split` and returns the last epoch's mean loss; masked weights stay exactly zero.

    The order of the samples and the dropout depend on `seed` and the epoch alone, so a repeated call repeats its result. The
    optimizer starts fresh. With `probe`, which was made of this network, channels that the masks leave without a reader are left
    out while it trains. `steering` acts around every step, in place of fixed `masks`; what `teacher` answers counts as the
    recipe's `distill` says, and `objective` makes of that loss what is minimised. Under torchrun the processes share every batch.
    The module ends in eval mode on the CPU. Raises CheckFailed when the loss stops being finite.
    """
    progress = progress or Progress()
    place = place or Place()
    fabric = place.fabric()
    module.to(fabric.device)
    set_mode(module, training=False)
    if teacher is not None:
        teacher.to(fabric.device)
        set_mode(teacher, training=False)
    try:
        with contextlib.ExitStack() as stack:
            sample = split.first(2)[0].to(fabric.device)
            if masks is not None:
                masks = stack.enter_context(compacted(module, masks, sample, probe))
            stack.enter_context(enough_threads(module, sample, recipe.batch_size))
            laid_out = stack.enter_context(quick_layout(module, sample, recipe.batch_size))
            optimizer = _optimizer(module, recipe)
            if masks is not None:
                stack.callback(masks.hold(module, optimizer).remove)
            return _epochs(
                module,
                split,
                recipe,
                fabric,
                optimizer,
                steering or Steering(),
                teacher,
                objective or Objective(),
                laid_out,
                seed,
                progress,
            )
    finally:
        set_mode(module, training=False)
        module.zero_grad(set_to_none=True)
        module.to("cpu")


def _epochs(
    module: nn.Module,
    split: Split,
    recipe: Recipe,
    fabric: Fabric,
    optimizer: torch.optim.Optimizer,
    steering: Steering,
    teacher: nn.Module | None,
    objective: Objective,
    laid_out: Callable[[Tensor], Tensor],
    seed: int,
    progress: Progress,
) -> float:
    wrapped, fabric_optimizer = fabric.setup(module, optimizer)
    steps_per_epoch = -(-len(split) // recipe.batch_size)
    if len(split) % recipe.batch_size == 1 and steps_per_epoch > 1:
        steps_per_epoch -= 1  # batch norm has nothing to measure in a remainder of one sample
    steps, step, loss_mean = recipe.epochs * steps_per_epoch, 0, math.nan
    try:
        steering.begin(module, optimizer, steps)
        for epoch in range(recipe.epochs):
            with _own_randomness(derived_seed(seed, epoch), fabric.device):
                set_mode(module, training=True)
                seen = torch.zeros(3, device=fabric.device)  # samples, their losses, right answers
                batches = split.batches(
                    recipe.batch_size, shuffle=True, seed=derived_seed(seed, epoch), augment=recipe.augment, device=fabric.device
                )
                for x, y in itertools.islice(batches, steps_per_epoch):
                    x, y, part = _share(laid_out(x), y, fabric)
                    for group in optimizer.param_groups:
                        group["lr"] = recipe.lr_at(step, steps)
                    steering.before(step)
                    fabric_optimizer.zero_grad(set_to_none=True)
                    logits = wrapped(x)
                    if isinstance(logits, tuple):
                        logits = logits[0]  # auxiliary classifiers come second, and are not there in eval mode
                    loss = objective(wrapped, x, y, logits, _loss(logits, x, y, recipe, teacher))
                    fabric.backward(loss * part)
                    if steering.update(step):
                        fabric_optimizer.step()
                    right = (logits.detach().argmax(1) == y).sum()
                    seen += torch.stack([seen.new_tensor(len(y)), loss.detach().float() * len(y), right.float()])
                    step += 1
            seen = cast(Tensor, fabric.all_reduce(seen, reduce_op="sum"))
            loss_mean = float(seen[1] / seen[0].clamp_min(1))
            if not math.isfinite(loss_mean):
                raise CheckFailed(
                    f"the training loss became {loss_mean} in epoch {epoch + 1}; try a smaller --lr than {recipe.lr:g}"
                )
            progress.epoch_finished(epoch + 1, recipe.epochs, loss_mean, float(seen[2] / seen[0].clamp_min(1)))
    finally:
        steering.end()
    _same_statistics(module, fabric)
    return loss_mean


def _same_statistics(module: nn.Module, fabric: Fabric) -> None:
    """Batch norms measured each process's own part of the last batch: the mean of what they found is what all go on with."""
    for buffer in module.buffers() if fabric.world_size > 1 else ():
        if buffer.is_floating_point():
            buffer.copy_(cast(Tensor, fabric.all_reduce(buffer.clone(), reduce_op="mean")))


def _share(x: Tensor, y: Tensor, fabric: Fabric) -> tuple[Tensor, Tensor, float]:
    """This process's part of a batch, and what its mean loss counts in the mean over the processes."""
    together = fabric.world_size
    if together == 1 or len(y) < 2 * together:  # of a small remainder every process takes all
        return x, y, 1.0
    mine = slice(fabric.global_rank, None, together)
    return x[mine], y[mine], len(y[mine]) * together / len(y)


def _loss(logits: Tensor, x: Tensor, y: Tensor, recipe: Recipe, teacher: nn.Module | None) -> Tensor:
    loss = F.cross_entropy(logits, y, label_smoothing=recipe.label_smoothing)
    if teacher is None or not recipe.distill:
        return loss
    with torch.no_grad():
        wanted = F.log_softmax(teacher(x).float() / recipe.temperature, 1)
    found = F.log_softmax(logits.float() / recipe.temperature, 1)
    # Times T², for a softer target has a gradient smaller by as much.
    imitation = F.kl_div(found, wanted, log_target=True, reduction="batchmean") * recipe.temperature**2
    return (1 - recipe.distill) * loss + recipe.distill * imitation


def _optimizer(module: nn.Module, recipe: Recipe) -> torch.optim.Optimizer:
    # Decay pulls weights only: biases and normalisation have no size to keep down.
    parameters = [p for p in module.parameters() if p.requires_grad]
    groups = [
        {"params": [p for p in parameters if p.dim() > 1], "weight_decay": recipe.weight_decay},
        {"params": [p for p in parameters if p.dim() <= 1], "weight_decay": 0.0},
    ]
    groups = [group for group in groups if group["params"]]
    if recipe.optimizer == "sgd":
        return torch.optim.SGD(groups, lr=recipe.lr, momentum=recipe.momentum, nesterov=recipe.momentum > 0)
    return torch.optim.AdamW(groups, lr=recipe.lr, betas=(0.9, 0.99), foreach=True)


@contextlib.contextmanager
def _own_randomness(seed: int, device: torch.device) -> Iterator[None]:
    """Dropout draws from `seed` inside, and the caller's random state is as before afterwards."""
    devices = [device] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices):
        torch.manual_seed(seed)
        yield


def set_mode(module: nn.Module, *, training: bool) -> None:
    """Train or eval mode; a module made by torch.export stays in the mode it was exported in."""
    with contextlib.suppress(NotImplementedError):
        module.train(training)


def snapshot(module: nn.Module) -> dict[str, Tensor]:
    """A copy of the module's state that later training does not touch."""
    return {name: value.detach().cpu().clone() for name, value in module.state_dict().items()}
