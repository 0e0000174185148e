"""Compiles the network in model.onnx to WebAssembly and writes model.js, which the page loads, and model.tflite, to compare with.

    python3 dev.py demo                                             compresses the sample network of samples/mnist 1024x
    python samples/web/build.py out/mnist-1024x/model.onnx          takes it
    python samples/web/build.py                                     compiles the one that is here again

Needs ziglang: pip install ziglang.
"""

from __future__ import annotations

import base64
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

import edgeprune
from edgeprune.formats import c
from edgeprune.formats.artifact import Metadata
from edgeprune.pruning import prunable

HERE = Path(__file__).parent
CHECKPOINT = HERE.parent / "mnist" / "lenet_300_100.pt"


def build(model: Path, out: Path) -> None:
    """Writes model.onnx (as given), model.tflite and model.js into `out`."""
    data, graph = model.read_bytes(), edgeprune.shrink(edgeprune.import_onnx(model))
    metadata = edgeprune.read(model).metadata
    (out / "model.onnx").write_bytes(data)
    edgeprune.write(graph, out / "model.tflite", metadata=metadata)
    with tempfile.TemporaryDirectory() as folder:
        c.write(graph, Path(folder, "model.c"))
        c.build(Path(folder, "model.c"), Path(folder, "model.wasm"), "wasm32")
        wasm = Path(folder, "model.wasm").read_bytes()
    said = {**facts(graph, metadata), "wasm": base64.b64encode(wasm).decode()}
    lines = ",\n".join(f"  {name}: {json.dumps(value)}" for name, value in said.items())
    (out / "model.js").write_text(f'"use strict";\n\n/* Written by build.py. */\nconst MODEL = {{\n{lines},\n}};\n')
    print(f"{out / 'model.js'}: a module of {len(wasm):,} bytes")


def facts(graph: edgeprune.Graph, metadata: Metadata) -> dict[str, Any]:
    """What the page feeds the network, and says of it."""
    loaded = edgeprune.load(CHECKPOINT)
    images, labels = edgeprune.load_data(loaded.data_spec).test.first(10_000)
    right = int((graph.run(images.numpy()).argmax(1) == labels.numpy()).sum())
    weights = sum(int((layer != 0).sum()) for layer in weights_of(graph))
    dense = sum(p.numel() for p in prunable(loaded.module).values())
    said = metadata.preprocessing
    return {
        "inputs": images[0].numel(),
        "outputs": len(metadata.classes),
        "classes": metadata.classes,
        "scale": said["scale"],
        "mean": said["mean"][0],
        "std": said["std"][0],
        "weights": weights,
        "dense": dense,
        "ratio": round(dense / weights),
        "images": len(labels),
        "accuracy": right / len(labels),
    }


def weights_of(graph: edgeprune.Graph) -> list[Any]:
    return [node.op.weight for node in graph.nodes if hasattr(node.op, "weight")]


if __name__ == "__main__":
    build(Path(sys.argv[1]) if len(sys.argv) > 1 else HERE / "model.onnx", HERE)
