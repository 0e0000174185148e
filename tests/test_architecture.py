"""docs/architecture.md says what is so."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
from closeness import assert_close
from test_layers import ALLOWED

import edgeprune

TEXT = (Path(__file__).parents[1] / "docs" / "architecture.md").read_text()


def test_the_table_of_parts_is_the_one_that_is_held() -> None:
    table = TEXT.split("| part | what it is | may import |")[1].split("\n\n")[0]
    written: dict[str, set[str]] = {}
    for line in table.splitlines()[2:]:
        parts, _, imports = (cell.strip() for cell in line.strip("|").split("|"))
        for part in re.findall(r"`([a-z_]+)[./]", parts):
            written[part] = set(re.findall(r"[a-z_]+", imports)) - {"torch"}
    everyone = {"errors", "files", "naming", "_version"}
    held = {part: allowed for part, allowed in ALLOWED.items() if part not in everyone}
    assert written.keys() == held.keys()
    for part, allowed in held.items():
        assert written[part] == allowed, part


def test_the_worked_example_prints_what_is_written(mnist_sample: Path, tmp_path: Path) -> None:
    loaded = edgeprune.load(mnist_sample / "lenet_300_100.pt")
    pruned = edgeprune.prune(loaded.module, 1024, example_inputs=loaded.example_inputs)
    graph = edgeprune.capture(pruned.module, loaded.example_inputs)
    small = edgeprune.shrink(graph)
    for printed in (graph, small):
        assert "\n".join(f"    {line}" for line in str(printed).splitlines()) in TEXT
    for suffix in ("tflite", "onnx"):
        path = tmp_path / f"model.{suffix}"
        edgeprune.write(small, path)
        assert f"{path.stat().st_size:,}" in TEXT, f"{suffix}: {path.stat().st_size:,} bytes"
    images = np.random.default_rng(0).standard_normal((4, 1, 28, 28)).astype(np.float32)
    assert_close(graph.run(images), small.run(images), 1e-5)
