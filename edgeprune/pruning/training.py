"""The retraining loop: one network, one recipe, any device that lightning-fabric knows."""

from __future__ import annotations

import contextlib
import logging
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from lightning_fabric import Fabric
from lightning_fabric.utilities.exceptions import MisconfigurationException
from torch import Tensor, nn

from ..errors import CheckFailed, EdgepruneError
from .compacting import compacted
from .masks import Masks
from .progress import Progress
from .threads import enough_threads

if TYPE_CHECKING:
    from ..data import Split

OPTIMIZERS = ("adamw", "sgd")
CURVES = ("one-cycle", "cosine", "constant")
PRECISIONS = ("32-true", "bf16-mixed", "16-mixed")  # the parameters themselves stay float32


@dataclass(frozen=True)
class Recipe:
    """How a network is trained. `lr` is the largest learning rate of the `curve`; `warmup` the share of steps up to it.

    Curves: "one-cycle" rises from lr/25 and falls to 0, "cosine" falls from lr to 0, "constant" stays.
    """

    epochs: int
    lr: float
    batch_size: int = 256
    optimizer: str = "adamw"
    curve: str = "one-cycle"
    warmup: float = 0.25
    weight_decay: float = 0.0
    momentum: float = 0.9
    label_smoothing: float = 0.0
    augment: bool = False

    def __post_init__(self) -> None:
        if self.optimizer not in OPTIMIZERS:
            raise EdgepruneError(f"optimizer={self.optimizer!r} is not known; choose one of {', '.join(OPTIMIZERS)}")
        if self.curve not in CURVES:
            raise EdgepruneError(f"curve={self.curve!r} is not known; choose one of {', '.join(CURVES)}")
        if self.epochs < 0 or self.batch_size < 1:
            raise EdgepruneError(f"epochs={self.epochs} and batch_size={self.batch_size} must not be negative or empty")
        if not (math.isfinite(self.lr) and self.lr > 0):
            raise EdgepruneError(f"lr={self.lr} is not a learning rate; give a positive number, for example 0.001")

    def lr_at(self, step: int, steps: int) -> float:
        """The learning rate of this step out of so many."""
        if self.curve == "constant":
            return self.lr
        rise = round(steps * self.warmup) if self.curve == "one-cycle" else 0
        if step < rise:
            return self.lr * (0.04 + 0.96 * 0.5 * (1 - math.cos(math.pi * step / rise)))
        return self.lr * 0.5 * (1 + math.cos(math.pi * (step - rise) / max(1, steps - rise)))


@dataclass(frozen=True)
class Place:
    """Where training runs: a torch device and a Fabric precision."""

    device: str = "cpu"
    precision: str = "32-true"

    def fabric(self) -> Fabric:
        """A Fabric on one device. Raises EdgepruneError naming the device or precision that is not to be had."""
        kind, _, index = str(self.device).partition(":")
        if self.precision not in PRECISIONS:
            raise EdgepruneError(f"precision={self.precision!r} is not known; choose one of {', '.join(PRECISIONS)}")
        chatter = logging.getLogger("lightning_fabric")
        level = chatter.level
        chatter.setLevel(logging.WARNING)  # it announces every mixed precision it is asked for
        try:
            devices: Any = [int(index)] if index and kind != "cpu" else 1
            return Fabric(accelerator=kind, devices=devices, precision=self.precision)  # type: ignore[arg-type]
        except (ValueError, RuntimeError, MisconfigurationException) as error:
            reason = str(error).strip().splitlines()[0]
            raise EdgepruneError(
                f"cannot train on device {self.device} with precision {self.precision}: {reason}; "
                "try device cpu with precision 32-true"
            ) from None
        finally:
            chatter.setLevel(level)


def derived_seed(*parts: int) -> int:
    """One seed out of several numbers; equal numbers give equal seeds in every process."""
    seed = 0
    for part in parts:
        seed = (seed * 1_000_003 + int(part) + 1) % (1 << 62)
    return seed


def train(
    module: nn.Module,
    split: Split,
    recipe: Recipe,
    *,
    masks: Masks | None = None,
    place: Place | None = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> float:
    """Trains `module` in place on `split` and returns the last epoch's mean loss; masked weights stay exactly zero.

    The order of the samples and the dropout depend on `seed` and the epoch alone, so a repeated call repeats its result. The
    optimizer starts fresh. The module ends in eval mode on the CPU. Raises CheckFailed when the loss stops being finite.
    """
    progress = progress or Progress()
    place = place or Place()
    fabric = place.fabric()
    module.to(fabric.device)
    set_mode(module, training=False)
    try:
        with contextlib.ExitStack() as stack:
            sample = split.first(2)[0].to(fabric.device)
            if masks is not None:
                masks = stack.enter_context(compacted(module, masks, sample))
            stack.enter_context(enough_threads(module, sample, recipe.batch_size))
            return _epochs(module, split, recipe, fabric, masks, seed, progress)
    finally:
        set_mode(module, training=False)
        module.zero_grad(set_to_none=True)
        module.to("cpu")


def _epochs(
    module: nn.Module,
    split: Split,
    recipe: Recipe,
    fabric: Fabric,
    masks: Masks | None,
    seed: int,
    progress: Progress,
) -> float:
    optimizer = _optimizer(module, recipe)
    wrapped, fabric_optimizer = fabric.setup(module, optimizer)
    handle = masks.hold(module, optimizer) if masks is not None else None
    steps_per_epoch = -(-len(split) // recipe.batch_size)
    steps, step, loss_mean = recipe.epochs * steps_per_epoch, 0, math.nan
    try:
        for epoch in range(recipe.epochs):
            with _own_randomness(derived_seed(seed, epoch), fabric.device):
                set_mode(module, training=True)
                losses = torch.zeros((), device=fabric.device)
                right = torch.zeros((), dtype=torch.int64, device=fabric.device)
                seen = 0
                for x, y in split.batches(
                    recipe.batch_size,
                    shuffle=True,
                    seed=derived_seed(seed, epoch),
                    augment=recipe.augment,
                    device=fabric.device,
                ):
                    if len(y) == 1 and steps_per_epoch > 1:
                        continue  # batch norm has nothing to measure in a remainder of one sample
                    for group in optimizer.param_groups:
                        group["lr"] = recipe.lr_at(step, steps)
                    fabric_optimizer.zero_grad(set_to_none=True)
                    logits = wrapped(x)
                    if isinstance(logits, tuple):
                        logits = logits[0]  # auxiliary classifiers come second, and are not there in eval mode
                    loss = F.cross_entropy(logits, y, label_smoothing=recipe.label_smoothing)
                    fabric.backward(loss)
                    fabric_optimizer.step()
                    losses += loss.detach().float() * len(y)
                    right += (logits.detach().argmax(1) == y).sum()
                    seen += len(y)
                    step += 1
            loss_mean = float(losses) / max(1, seen)
            if not math.isfinite(loss_mean):
                raise CheckFailed(
                    f"the training loss became {loss_mean} in epoch {epoch + 1}; try a smaller --lr than {recipe.lr:g}"
                )
            progress.epoch_finished(epoch + 1, recipe.epochs, loss_mean, int(right) / max(1, seen))
    finally:
        if handle is not None:
            handle.remove()
    return loss_mean


def evaluate(module: nn.Module, split: Split, *, place: Place | None = None, batch_size: int = 1000) -> float:
    """The share of samples in `split` whose largest logit is their label's, 0 to 1. The module ends in eval mode on the CPU."""
    device = (place or Place()).fabric().device
    module.to(device)
    set_mode(module, training=False)
    right = seen = 0
    if not len(split):
        raise EdgepruneError("there is nothing to evaluate: the test part of the data is empty")
    with enough_threads(module, split.first(2)[0].to(device), batch_size), torch.inference_mode():
        for x, y in split.batches(batch_size, device=device):
            right += int((module(x).argmax(1) == y).sum())
            seen += len(y)
    module.to("cpu")
    return right / seen


def recalibrate(
    module: nn.Module,
    split: Split,
    *,
    place: Place | None = None,
    batches: int = 100,
    batch_size: int = 128,
    seed: int = 0,
) -> None:
    """Measures every batch norm's mean and variance anew, over `batches` batches of `split`; weights stay as they are.

    Needed after a one-shot cut: the stored statistics are those of the dense network.
    """
    norms = [m for m in module.modules() if isinstance(m, nn.modules.batchnorm._BatchNorm) and m.track_running_stats]
    if not norms:
        return
    device = (place or Place()).fabric().device
    module.to(device)
    set_mode(module, training=False)
    momenta = [norm.momentum for norm in norms]
    with enough_threads(module, split.first(2)[0].to(device), batch_size), torch.no_grad():
        for norm in norms:
            norm.reset_running_stats()
            norm.momentum = None  # a plain average over all batches
            norm.train()
        for n, (x, _) in enumerate(split.batches(batch_size, shuffle=True, seed=derived_seed(seed, -2), device=device)):
            if n >= batches:
                break
            if len(x) > 1:
                module(x)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
    set_mode(module, training=False)
    module.to("cpu")


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
