"""What prune is asked for, checked and made into what a run needs."""

from __future__ import annotations

import logging
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import EdgepruneError
from .flow import Probe
from .masks import Masks

log = logging.getLogger("edgeprune")


def checked_ratio(ratio: float) -> float:
    """The ratio as a number above 1."""
    try:
        number = float(ratio)
    except (TypeError, ValueError):
        number = math.nan
    if not math.isfinite(number) or number <= 1:
        hint = f"; did you mean {1 / (1 - number):g} (keep {1 - number:g} of the weights)?" if 0 < number < 1 else ""
        raise EdgepruneError(f"ratio={ratio} is not a compression ratio; give a number above 1, for example 16{hint}")
    return number


def check_settings(rounds: int | None, epochs: int | None, lr: float | None, batch_size: int | None) -> None:
    """Raises EdgepruneError for a setting that no training can have."""
    for name, value, least in (("rounds", rounds, 1), ("epochs", epochs, 0), ("batch_size", batch_size, 1)):
        if value is not None and value < least:
            raise EdgepruneError(f"{name}={value} is too few; give {least} or more")
    if lr is not None and not (math.isfinite(lr) and lr > 0):
        raise EdgepruneError(f"lr={lr} is not a learning rate; give a positive number, for example 0.001")


def named(what: str, choice: Any, table: Mapping[str, Callable[..., Any]]) -> tuple[str, Any]:
    """(the name, the thing) of a choice from a table, or of a function that stands for itself."""
    if callable(choice):
        return getattr(choice, "__name__", repr(choice)), choice
    if choice not in table:
        raise EdgepruneError(f"{what}={choice!r} is not known; choose one of {', '.join(table)}")
    return choice, table[choice]


def example(example_inputs: Sequence[Any] | None, data: Any) -> tuple[Any, ...]:
    """One call's arguments."""
    if example_inputs is not None:
        return tuple(example_inputs)
    if data is None:
        raise EdgepruneError("without data the shape of the input is not known; give example_inputs")
    return (torch.zeros(1, *data.input_shape),)


def rewind_point(module: nn.Module, state: Mapping[str, Tensor] | None) -> dict[str, Tensor]:
    """The state that weights rewind to: the network's own, or the given one if it is one of this network."""
    own = module.state_dict()
    if state is None:
        return {name: value.clone() for name, value in own.items()}
    for name, value in own.items():
        if name not in state or state[name].shape != value.shape:
            found = f"has shape {tuple(state[name].shape)}" if name in state else "is missing"
            raise EdgepruneError(f"rewind_to is of another network: {name} {found}, here it has shape {tuple(value.shape)}")
    return {name: state[name].detach().cpu().clone() for name in own}


def starting_masks(probe: Probe, masks: Mapping[str, Tensor] | None) -> Masks:
    """Of an earlier run, or full."""
    current = probe.full()
    for name, mask in (masks or {}).items():
        if name in current:
            if mask.shape != current[name].shape:
                raise EdgepruneError(f"the mask of {name} has shape {tuple(mask.shape)}, the weight {tuple(current[name].shape)}")
            current[name] = mask.detach().cpu().bool()
        else:
            log.warning("the mask of %s is ignored: the network's output does not depend on such a weight", name)
    return current
