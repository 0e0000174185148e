"""Checkpoints written for tests, and what loading them refuses."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from edgeprune.checkpoint import load
from edgeprune.errors import EdgepruneError

LENET = "edgeprune.models:lenet_300_100"
SHAPE = (1, 28, 28)
X = torch.randn(3, *SHAPE, generator=torch.Generator().manual_seed(1))


def refusal(path: Path, **how: Any) -> str:
    with pytest.raises(EdgepruneError) as caught:
        load(path, **how)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def saved(path: Path, content: Any) -> Path:
    torch.save(content, path)
    return path


def same(a: nn.Module, b: nn.Module, x: torch.Tensor = X) -> bool:
    with torch.no_grad():
        return torch.equal(a.eval()(x), b.eval()(x))


class Custom(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(4, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.fc(x)  # type: ignore[no-any-return]


class Runs:
    """Unpickling it makes a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return (Path.touch, (self.path,))


def exported(path: Path, module: nn.Module, shape: tuple[int, ...], batch: int | None = None) -> Path:
    x = torch.zeros(batch or 2, *shape)
    dynamic = None if batch else ({0: torch.export.Dim("batch")},)
    torch.export.save(torch.export.export(module.eval(), (x,), dynamic_shapes=dynamic), path)
    return path
