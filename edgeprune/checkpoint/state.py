"""Finds the weights and the stored masks in what a training script saved, and fits them to a network."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ..errors import EdgepruneError

log = logging.getLogger("edgeprune")

# Where training scripts keep the weights, the most usual first.
STATE_KEYS = (
    "state_dict", "model_state_dict", "model_state", "model", "net", "network", "weights", "params", "parameters",
    "module", "model_dict", "net_state_dict", "student", "generator", "ema", "model_ema", "state_dict_ema", "ema_state_dict",
)  # fmt: skip
_WITHOUT_MASKS = "load with --stored-masks ignore to leave masks out"
MASK_KEYS = ("masks", "mask", "masks_dict", "mask_dict", "pruning_masks")
_WRAPPERS = ("module", "_orig_mod", "_fsdp_wrapped_module", "_checkpoint_wrapped_module")


@dataclass(frozen=True)
class Found:
    """A file's weights by name, its masks by name (empty when it has none), and its plain facts such as epoch or accuracy."""

    state: dict[str, Tensor]
    masks: dict[str, Tensor]
    facts: dict[str, Any]


def find_state(where: str, content: Any) -> Found:
    """The weights inside whatever was saved: the object itself, or under a usual key at most two levels down."""
    if not isinstance(content, Mapping):
        raise EdgepruneError(
            f"{where} holds a {type(content).__name__}, not a state dict; write torch.save(module.state_dict(), path)"
        )
    if _is_state(content):
        return Found(dict(content), {}, {})
    candidates = _candidates(content, 2)
    if not candidates:
        keys = ", ".join(repr(key) for key in list(content)[:8]) or "nothing"
        raise EdgepruneError(f"{where} holds no state dict; its keys are {keys}; save torch.save(module.state_dict(), path)")
    key = next((key for key in STATE_KEYS if key in candidates), None)
    if key is None:
        if len(candidates) > 1:
            raise EdgepruneError(
                f"{where} holds several state dicts ({', '.join(candidates)}), none under a usual key; save one of them by itself"
            )
        key = next(iter(candidates))
    others = [other for other in candidates if other != key]
    if others:
        log.warning("%s: took the weights under %r, not those under %s", where, key, ", ".join(map(repr, others)))
    facts = {str(k): v for k, v in content.items() if isinstance(v, (bool, int, float, str))}
    return Found(dict(candidates[key]), _find_masks(content), facts)


def load_state(where: str, module: nn.Module, model: str, found: Found, use_masks: bool) -> dict[str, Tensor] | None:
    """Puts the weights into `module`, times the stored masks unless `use_masks` is False; gives the masks, by weight name.

    Raises EdgepruneError, with counts and the first few names, when the weights are not exactly those of the network, when
    one holds NaN, or when a mask fits no weight.
    """
    wanted = {name: value for name, value in module.state_dict().items() if isinstance(value, Tensor)}
    state, masks = _apart(found, wanted)
    rename = _renaming(state, wanted)
    state = {rename(name): value for name, value in state.items()}
    if "n_averaged" in state and "n_averaged" not in wanted:
        del state["n_averaged"]  # the count that torch.optim.swa_utils keeps beside averaged weights
    for name, value in wanted.items():
        # Files older than torch 0.4.1 lack the counter, which evaluation does not read.
        if name.endswith("num_batches_tracked"):
            state.setdefault(name, value)
    problem = mismatch(state, wanted)
    if problem:
        raise EdgepruneError(f"{where} does not fit {model}: {problem}")
    for name, value in state.items():
        if value.is_floating_point() and not torch.isfinite(value).all():
            raise EdgepruneError(
                f"{where}: {name} holds NaN or infinite values, the training had diverged; give an earlier checkpoint"
            )
    if masks and not use_masks:
        log.warning("%s: %d stored masks ignored as asked; the weights are taken as they stand", where, len(masks))
        masks = {}
    masks = {_masked_weight(where, rename(name), wanted): mask for name, mask in masks.items()}
    for name, mask in masks.items():
        state[name] = _masked(where, name, state[name], mask)
    module.load_state_dict(state, strict=True)
    return {name: mask.bool() for name, mask in masks.items()} or None


def mismatch(state: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> str:
    """What keeps `state` from being exactly the weights of a network that wants `wanted`; "" when nothing does."""
    missing = [name for name in wanted if name not in state]
    extra = [name for name in state if name not in wanted]
    shapes = [
        f"{name} is {_spoken(state[name])} in the file, {_spoken(wanted[name])} in the network"
        for name in wanted
        if name in state and state[name].shape != wanted[name].shape
    ]
    parts = [
        f"{len(names)} {what} ({', '.join(names[:3])}{', ...' if len(names) > 3 else ''})"
        for what, names in (("missing", missing), ("unexpected", extra), ("of another shape", shapes))
        if names
    ]
    if not parts:
        return ""
    classes = _other_classes(state, wanted)
    remedy = f"pass --model-arg num_classes={classes}" if classes else "check --model and --model-arg"
    return f"of its {len(wanted)} tensors, {'; '.join(parts)}; {remedy}"


def classes_in_file(found: Found, module: nn.Module) -> int | None:
    """The number of classes to build the network with, where one layer's width is all that keeps the file from fitting."""
    wanted = {name: value for name, value in module.state_dict().items() if isinstance(value, Tensor)}
    state, _ = _apart(found, wanted)
    rename = _renaming(state, wanted)
    return _other_classes({rename(name): value for name, value in state.items()}, wanted)


def _other_classes(state: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> int | None:
    counted = {name for name in wanted if not name.endswith("num_batches_tracked")}
    if not counted <= set(state) <= set(wanted):
        return None
    differing = {name: (state[name].shape, wanted[name].shape) for name in counted if state[name].shape != wanted[name].shape}
    if any(len(a) == 0 or len(a) != len(b) or a[1:] != b[1:] for a, b in differing.values()):
        return None
    # Other widths in two layers are no matter of classes.
    layers = {name.rpartition(".")[0] for name in differing}
    widths = {a[0] for a, _ in differing.values()}
    return widths.pop() if len(layers) == 1 and len(widths) == 1 else None


def _is_state(value: Any) -> bool:
    return (
        isinstance(value, Mapping)
        and len(value) > 0
        and all(isinstance(k, str) and isinstance(v, Tensor) for k, v in value.items())
    )


def _candidates(content: Mapping[Any, Any], depth: int) -> dict[str, Mapping[str, Tensor]]:
    found: dict[str, Mapping[str, Tensor]] = {}
    for key, value in content.items():
        if not isinstance(key, str) or key in MASK_KEYS or "optim" in key or not isinstance(value, Mapping):
            continue
        if _is_state(value):
            found[key] = value
        elif depth > 1:
            inner = _candidates(value, depth - 1)
            # Deeper down only the usual names count: optimizers and loggers hold dicts of tensors too.
            usual = next((name for name in STATE_KEYS if name in inner), None)
            if usual is not None:
                found[key] = inner[usual]
    return found


def _find_masks(content: Mapping[Any, Any]) -> dict[str, Tensor]:
    for place in (content, *(v for v in content.values() if isinstance(v, Mapping))):
        for key in MASK_KEYS:
            masks = place.get(key)
            if isinstance(masks, Mapping):
                present = {name: mask for name, mask in masks.items() if mask is not None}
                if _is_state(present):
                    return present
    return {}


def _apart(found: Found, wanted: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Weights and masks: `weight_orig` with `weight_mask` (torch.nn.utils.prune), or `weight` with `weight_mask`, parted."""
    own = {name.rpartition(".")[2] for name in wanted}  # a network may have a buffer called attention_mask
    state, masks = dict(found.state), dict(found.masks)
    for key in found.state:
        name = key.removesuffix("_mask")
        if name == key or key.rpartition(".")[2] in own:
            continue
        if f"{name}_orig" in state:
            state[name] = state.pop(f"{name}_orig")
        if name in state:
            masks[name] = state.pop(key)
    return state, masks


def _renaming(state: Mapping[str, Tensor], wanted: Mapping[str, Tensor]) -> Callable[[str], str]:
    """The renaming (wrappers off, a common prefix off) under which most names are the network's."""
    segments = {part for name in wanted for part in name.split(".")}
    wrappers = [part for part in _WRAPPERS if part not in segments]
    pattern = re.compile("|".join(rf"(?:(?<=\.)|^){part}\." for part in wrappers) or "(?!)")

    def unwrapped(name: str) -> str:
        return pattern.sub("", name)

    renamings: list[Callable[[str], str]] = [lambda name: name, unwrapped]
    heads = {unwrapped(name).partition(".")[0] for name in state if name != "n_averaged"}
    if len(heads) == 1:
        prefix = heads.pop() + "."
        renamings.append(lambda name: unwrapped(name).removeprefix(prefix))
    # max takes the first of equals, so the least change wins.
    return max(renamings, key=lambda rename: len({rename(name) for name in state} & set(wanted)))


def _masked_weight(where: str, name: str, wanted: Mapping[str, Tensor]) -> str:
    for guess in (name, name.removesuffix("_mask"), name.removesuffix(".mask") + ".weight", f"{name}.weight"):
        if guess in wanted:
            return guess
    raise EdgepruneError(f"{where} has a mask for {name}, which the network has not; {_WITHOUT_MASKS}")


def _masked(where: str, name: str, weight: Tensor, mask: Tensor) -> Tensor:
    if mask.shape != weight.shape:
        raise EdgepruneError(f"{where}: the mask of {name} is {_spoken(mask)}, the weight {_spoken(weight)}; {_WITHOUT_MASKS}")
    if not ((mask == 0) | (mask == 1)).all():
        raise EdgepruneError(f"{where}: the mask of {name} holds other values than 0 and 1; {_WITHOUT_MASKS}")
    lost = int(((weight != 0) & (mask == 0)).sum())
    if lost:
        log.info("%s: %s had %d nonzero weights under its mask; they are zero now", where, name, lost)
    return torch.where(mask.bool(), weight, torch.zeros((), dtype=weight.dtype))


def _spoken(tensor: Tensor) -> str:
    return str(tuple(tensor.shape))
