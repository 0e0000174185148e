"""docs/methods.md: its functions run as they are written."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch
from nets import LeNet300, made_up

from edgeprune.pruning import prune

BLOCKS = re.findall(r"```python\n(.*?)```", (Path(__file__).parents[2] / "docs" / "methods.md").read_text(), re.S)


@pytest.mark.parametrize("name", ["lively", "in_halves"])
def test_the_examples_of_ones_own_method_run(name: str, tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text(next(block for block in BLOCKS if f"def {name}(" in block))
    data = made_up((16,), 256)
    assert data.train is not None
    data.train.x[:, :4] = 1.0
    torch.manual_seed(0)
    pruned = prune(LeNet300(16, 24, 12), 8, data=data, method=f"{file}:{name}", rounds=2, epochs=1)
    assert pruned.kept == pruned.alive == 792 // 8
    if name == "lively":
        assert not pruned.masks["fc1.weight"][:, :4].any()
    else:
        assert [r.kept for r in pruned.rounds] == [198, 99]
