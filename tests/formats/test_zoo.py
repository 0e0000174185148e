"""Real networks with half of their channels dead, as files: what benchmarks/zoo_formats.md says of all of them, for some."""

from __future__ import annotations

import json

import pytest
import zoo
import zoo_formats

FAST = ("mobilenet_v3_small", "resnet18")
SLOW = ("mobilenet_v2", "resnet50", "shufflenet_v2_x0_5", "convnext_tiny", "swin_t", "swin_v2_t", "maxvit_t", "vit_b_32")


@pytest.mark.parametrize("name", [*FAST, *(pytest.param(name, marks=pytest.mark.slow) for name in SLOW)])
def test_a_network_is_the_same_function_in_both_formats(name: str) -> None:
    row = zoo_formats.measure(name)
    for format in ("onnx", "tflite"):
        assert row[format]["passes"], (format, row[format]["error"], row["rounding"])
    if name.startswith(("resnet", "mobilenet", "convnext")):
        assert row["tflite"]["moves"] == 0


def test_the_table_is_what_was_measured() -> None:
    stored = json.loads(zoo_formats.STORE.read_text())
    assert zoo_formats.TABLE.read_text() == zoo_formats.table({name: stored.get(name, {}) for name in zoo.by_size()})
