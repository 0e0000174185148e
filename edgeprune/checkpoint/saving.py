"""From a network to a file that says everything that loading it needs."""

from __future__ import annotations

import io
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ..data import Preprocessing, parse_data_spec
from ..errors import EdgepruneError
from ..files import write_atomic
from ..naming import path_beside
from .loading import FORMAT, VERSION
from .programs import program_bytes


def save_checkpoint(
    path: str | Path,
    module: nn.Module,
    *,
    model: str | None,
    model_args: Mapping[str, Any] | None = None,
    input_shape: tuple[int, ...],
    preprocessing: Preprocessing | None = None,
    data: str | None = None,
    masks: Mapping[str, Tensor] | None = None,
    meta: Mapping[str, Any] | None = None,
) -> None:
    """Writes a checkpoint that `load` takes without further words, whole or not at all.

    `model` says how the network is built (see `edgeprune.models.build_model`); None stores the graph torch.export makes of it.
    `data` is a `--data` spec. Paths in both are taken from the working folder; one inside the checkpoint's folder is kept
    relative to it, so that the two can be moved together. `masks` (by weight name, True where the weight exists) must be zero
    only where the weights are. `meta` is any plain facts: numbers, strings, lists and dicts of them.
    Raises EdgepruneError when something given cannot be kept, or the file cannot be written.
    """
    path = Path(path)
    state = {name: value.detach().cpu().clone() for name, value in module.state_dict().items() if isinstance(value, Tensor)}
    for name, mask in (masks or {}).items():
        if name not in state or mask.shape != state[name].shape:
            raise EdgepruneError(f"cannot save {path}: the mask of {name} fits no weight of the network")
        if (state[name][~mask.cpu().bool()] != 0).any():
            raise EdgepruneError(f"cannot save {path}: {name} is not zero where its mask says so; apply the masks first")
    program = None
    if model is None:
        raw = program_bytes(module, (torch.zeros(1, *input_shape),))
        program = torch.from_numpy(np.frombuffer(raw, np.uint8).copy())
    content = {
        "format": FORMAT,
        "version": VERSION,
        "model": {
            "spec": None if model is None else _model_beside(model, path.parent),
            "args": _plain("model_args", dict(model_args or {})),
        },
        "input_shape": [int(n) for n in input_shape],
        "preprocessing": None if preprocessing is None else preprocessing.to_dict(),
        "data": None if data is None else str(parse_data_spec(data).kept_beside(path.parent)),
        "state_dict": state,
        "masks": None if masks is None else {name: mask.detach().cpu().bool() for name, mask in masks.items()},
        "meta": _plain("meta", dict(meta or {})),
        "program": program,
    }
    buffer = io.BytesIO()
    torch.save(content, buffer)
    write_atomic(path, buffer.getvalue())


def _model_beside(spec: str, folder: Path) -> str:
    head, colon, name = spec.rpartition(":")
    return path_beside(head, folder) + colon + name if head.endswith(".py") else spec


def _plain(where: str, value: Any) -> Any:
    """The value in types that the safe reader takes; EdgepruneError naming the place of any other."""
    if value is None or isinstance(value, (bool, str)):
        return value
    if isinstance(value, (int, np.integer)):
        return int(value)
    if isinstance(value, (float, np.floating)):
        return float(value)
    if isinstance(value, Mapping):
        return {str(key): _plain(f"{where}.{key}", each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(f"{where}[{i}]", each) for i, each in enumerate(value)]
    raise EdgepruneError(f"{where} is a {type(value).__name__}; a checkpoint keeps numbers, strings, lists and dicts of them")
