"""Removal against a bound that is worked out apart from the passes, and from what ops say of their ties."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from edgeprune import capture, shrink

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"


def script(name: str) -> Any:
    spec: Any = importlib.util.spec_from_file_location(name, BENCHMARKS / f"{name}.py")
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def zoo() -> Any:
    script("zoo_bound")
    return script("zoo")


@pytest.mark.parametrize("name", ["squeezenet1_1", "resnet18", "mobilenet_v3_small"])
def test_whole_channels_that_no_tie_holds_all_leave(zoo: Any, name: str) -> None:
    graph = capture(zoo.made(name), torch.zeros(1, 3, 64, 64))
    kept, bound = zoo.matrices(shrink(graph)), zoo.tied(graph)
    assert kept == bound < zoo.matrices(graph)
