"""What an application must do to a pixel before the network sees it."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ..errors import EdgepruneError


@dataclass(frozen=True)
class Preprocessing:
    """x = (pixel * scale - mean) / std, per channel.

    `scale` is 1/255 for 8-bit pixels and 1 for float data; `mean` and `std` have one entry per channel, or a single one for all;
    `color` is "gray", "rgb" or "none"; `size` is the (height, width) that images are resized to, None when that does not apply.
    """

    scale: float
    mean: tuple[float, ...]
    std: tuple[float, ...]
    color: str
    size: tuple[int, int] | None = None

    def __post_init__(self) -> None:
        if self.color not in ("gray", "rgb", "none"):
            raise EdgepruneError(f"preprocessing: color {self.color!r} is none of gray, rgb, none")
        if not self.mean or len(self.mean) != len(self.std):
            raise EdgepruneError(
                f"preprocessing: {len(self.mean)} values of mean and {len(self.std)} of std; give one of each per channel"
            )
        if not all(math.isfinite(v) for v in (self.scale, *self.mean, *self.std)) or self.scale == 0 or 0 in self.std:
            raise EdgepruneError("preprocessing: scale, mean and std must be finite numbers, scale and std not zero")

    def to_dict(self) -> dict[str, Any]:
        """As plain numbers, strings and lists, for a checkpoint or an artifact's metadata."""
        fields = dataclasses.asdict(self)
        return {key: list(value) if isinstance(value, tuple) else value for key, value in fields.items()}

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> Preprocessing:
        """What `to_dict` gave, as an object again; EdgepruneError when a field is missing or of another kind."""
        try:
            size = fields["size"]
            return cls(
                scale=float(fields["scale"]),
                mean=tuple(float(v) for v in fields["mean"]),
                std=tuple(float(v) for v in fields["std"]),
                color=str(fields["color"]),
                size=None if size is None else (int(size[0]), int(size[1])),
            )
        except (KeyError, TypeError, ValueError, IndexError) as error:
            raise EdgepruneError(f"preprocessing cannot be read ({type(error).__name__}: {error})") from None

    def apply(self, pixels: Tensor) -> Tensor:
        """Pixels [B, C, ...] (or [B, F] with a single mean) of any dtype as float32 network inputs of the same shape."""
        channels = pixels.shape[1] if pixels.dim() > 1 else 1
        if len(self.mean) not in (1, channels):
            raise EdgepruneError(
                f"preprocessing has {len(self.mean)} values of mean, the data has {channels} channels; give one per channel"
            )
        shape = (1, -1, *[1] * (pixels.dim() - 2))
        # One multiply and one add a pixel: (p * scale - mean) / std = p * (scale / std) - mean / std.
        std = torch.tensor(self.std, dtype=torch.float64)
        factor = (self.scale / std).to(pixels.device, torch.float32).reshape(shape)
        shift = (torch.tensor(self.mean, dtype=torch.float64) / std).to(pixels.device, torch.float32).reshape(shape)
        return pixels.to(torch.float32) * factor - shift
