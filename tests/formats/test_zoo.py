"""Real networks with half of their channels dead, as files: what benchmarks/zoo_formats.md says of all of them, for some."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture(scope="module")
def zoo() -> Any:
    spec = importlib.util.spec_from_file_location("zoo_formats", BENCHMARKS / "zoo_formats.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


FAST = ("mobilenet_v3_small", "resnet18")
SLOW = ("mobilenet_v2", "resnet50", "shufflenet_v2_x0_5", "convnext_tiny", "swin_t", "swin_v2_t", "maxvit_t", "vit_b_32")


@pytest.mark.parametrize("name", [*FAST, *(pytest.param(name, marks=pytest.mark.slow) for name in SLOW)])
def test_a_network_is_the_same_function_in_both_formats(name: str, zoo: Any) -> None:
    row = zoo.measure(name)
    for format in ("onnx", "tflite"):
        assert row[format]["passes"], (format, row[format]["error"], row["rounding"])
    if name.startswith(("resnet", "mobilenet", "convnext")):
        assert row["tflite"]["moves"] == 0


def test_the_table_is_what_was_measured(zoo: Any) -> None:
    stored = json.loads(zoo.STORE.read_text())
    assert zoo.TABLE.read_text() == zoo.table({name: stored.get(name, {}) for name in zoo.names_by_size()})
