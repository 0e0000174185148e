"""A pre-trained encoder of Hugging Face: a folder of weights and configuration, whose task's head is still to be trained."""

from __future__ import annotations

import json
import logging
from dataclasses import replace
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from ..errors import EdgepruneError
from .state import Found

log = logging.getLogger("edgeprune")

SPEC = "transformers:"
WEIGHTS = ("model.safetensors", "pytorch_model.bin")
# What a configuration says of its file, not of its network.
NOT_THE_NETWORK = {"architectures", "model_type", "transformers_version", "dtype", "torch_dtype"}


def weights_in(path: Path) -> Path:
    """The file of weights in a folder as `save_pretrained` writes it; any other path as it is."""
    if not path.is_dir():
        return path
    found = next((path / name for name in WEIGHTS if (path / name).is_file()), None)
    if found is None:
        named = " nor ".join(WEIGHTS)
        raise EdgepruneError(f"{path} holds neither {named}; give a folder as save_pretrained writes it, in one piece")
    return found


def configuration(weights: Path) -> dict[str, Any]:
    """What the config.json beside the weights says, as arguments of the model's configuration; nothing where there is none."""
    path = weights.with_name("config.json")
    if not path.is_file():
        return {}
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        return {str(k): v for k, v in values.items() if k not in NOT_THE_NETWORK and not k.startswith("_")}
    except (OSError, ValueError, AttributeError) as error:
        raise EdgepruneError(f"{path} is no configuration ({type(error).__name__}: {error}); save the model again") from None


def with_new_head(where: str, module: nn.Module, found: Found) -> Found:
    """The same with the module's own values for a head that the file does not have, and without heads of other tasks.

    What is missing in the encoder itself stays missing, but for the pooler, which not every pre-training has.
    """
    encoder = f"{module.base_model_prefix}."
    wanted = {name: value for name, value in module.state_dict().items() if isinstance(value, Tensor)}
    state = {_today(name): value for name, value in found.state.items() if not name.endswith(".position_ids")}
    if not any(name.startswith(encoder) for name in state):
        state = {encoder + name if encoder + name in wanted else name: value for name, value in state.items()}
    new = [n for n in wanted if n not in state and (not n.startswith(encoder) or n.startswith(f"{encoder}pooler."))]
    if len(new) == len(wanted) or not any(name.startswith(encoder) for name in state):
        return found
    if new:
        layers = sorted({name.rpartition(".")[0] for name in new})
        log.warning("%s has no weights of %s: they are new, and to be trained", where, ", ".join(layers))
    others = {name for name in state if name not in wanted and not name.startswith(encoder)}
    kept = {name: value for name, value in state.items() if name not in others}
    return replace(found, state={**kept, **{name: wanted[name] for name in new}})


def _today(name: str) -> str:
    """What a parameter is called now, by the name that the first published checkpoints use."""
    return name.replace("LayerNorm.gamma", "LayerNorm.weight").replace("LayerNorm.beta", "LayerNorm.bias")
