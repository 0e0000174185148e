"""The masks of a finished run, to begin another with."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from ..errors import EdgepruneError
from .loading import FORMAT
from .reading import read_bytes, unpickle


def load_masks(path: str | Path) -> dict[str, Tensor]:
    """The masks that a run kept in its folder, or in the pruned.pt there: bool, by weight name, True where the weight exists."""
    file = Path(path) / "pruned.pt" if Path(path).is_dir() else Path(path)
    content = unpickle(file, read_bytes(file), False)
    masks = content.get("masks") if isinstance(content, Mapping) and content.get("format") == FORMAT else None
    if not isinstance(masks, Mapping) or not all(isinstance(mask, Tensor) for mask in masks.values()):
        raise EdgepruneError(f"--masks {path} holds no masks; give the folder of a run of edgeprune compress, or its pruned.pt")
    return {str(name): mask.bool() for name, mask in masks.items()}
