"""How fast the C target runs filters that keep some of their taps: as dense blocks a tap, as CSR, and as the dense layer.

    python benchmarks/c_stripes.py [--seconds 3] [--kept 20,30,40,50] [--markdown FILE]

The layer shapes of ResNet-20 on 32 px, four such layers one after the other; of every layer that share of the stripes is kept, drawn
at random, all channels of each. One thread; the same weights in each form, each in a process of its own, in turns; medians of
processor time. onnxruntime runs the dense layer, for comparison.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
from engines import Child, in_turns
from networks import Net

from edgeprune.formats import c, write
from edgeprune.formats.c import convolutions
from edgeprune.graph import Graph
from edgeprune.ops import Conv

SHAPES = ((16, 32), (32, 16), (64, 8))  # channels, pixels
LAYERS = 4
INTRODUCTION = """# Stripes in the C target

Made by `python benchmarks/c_stripes.py --markdown benchmarks/c_stripes.md`, whose first lines say how, on an AMD EPYC with AVX-512, gcc 12,
-O3 -march=native. The bytes are those of the weights with their indices.
"""
FORMS = ("stripes", "csr", "dense")


class Striped(Net):
    """Of every filter's taps some are kept as a whole."""

    def masked(self, *shape: int) -> np.ndarray:
        whole = self.rng.standard_normal(shape).astype(np.float32)
        stripes = shape[0] * int(np.prod(shape[2:]))
        kept = self.rng.permutation(stripes) < max(round(self.density * stripes), 1)
        return whole * kept.reshape(shape[0], 1, *shape[2:]) / np.float32(np.sqrt(self.density * whole[0].size))


def network(channels: int, pixels: int, share: float) -> Graph:
    net, x = Striped(share), "input"
    for _ in range(LAYERS):
        x = net.act(net.conv(x, channels, channels, 3))
    return net.graph(channels, pixels, pixels)


def written(graph: Graph, form: str, folder: Path) -> tuple[Path, int]:
    """(a shared library with every convolution in this form, what their weights take in bytes)."""
    folder.mkdir()
    with mock.patch.object(convolutions, "cost", lambda name, *rest: float(name != form)):
        made = c.write(graph, folder / "model.c")
    assert {e.encoding for e in made.encodings} == {form}
    library = c.build(folder / "model.c", folder / "model.so").path
    library.with_name("model.so.size").write_text(str(int(np.prod(graph.values[graph.outputs[0]].shape))))
    return library, sum(e.bytes for e in made.encodings)


def measure(channels: int, pixels: int, share: float, seconds: float, folder: Path) -> dict[str, Any]:
    graph = network(channels, pixels, share)
    assert all(isinstance(node.op, Conv) or not node.op.arrays for node in graph.nodes)
    x = np.random.default_rng(1).standard_normal((1, channels, pixels, pixels)).astype(np.float32)
    np.save(folder / "x.npy", x)
    write(graph, folder / "model.onnx", optimize="latency")
    children = [Child("onnxruntime", sys.executable, folder / "model.onnx", folder / "x.npy")]
    row: dict[str, Any] = {}
    for form in FORMS:
        library, row[f"{form}_bytes"] = written(graph, form, folder / form)
        children.append(Child("c", sys.executable, library, folder / "x.npy", form))
    expected = children[0].output()
    for child in children:
        error = float(np.abs(child.output().reshape(-1) - expected.reshape(-1)).max() / np.abs(expected).max())
        assert error < 1e-4, f"{child.name} differs by {error}"
    for name, each in in_turns(children, seconds, 20).items():
        row[name] = float(np.median(each)) / 1e3 / LAYERS
    for child in children:
        child.close()
    return row


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=3)
    parser.add_argument("--kept", default="20,30,40,50")
    parser.add_argument("--markdown", type=Path)
    options = parser.parse_args()
    lines = [
        "One layer, microseconds of processor time (median):",
        "",
        "| layer | stripes kept | stripes | CSR | dense | onnxruntime, dense | CSR over stripes | dense over stripes "
        "| bytes: stripes, CSR, dense |",
        "|---" * 9 + "|",
    ]
    print("\n".join(lines), flush=True)
    for channels, pixels in SHAPES:
        for percent in options.kept.split(","):
            with tempfile.TemporaryDirectory() as folder:
                row = measure(channels, pixels, float(percent) / 100, options.seconds, Path(folder))
            times = [f"{row[name]:.3g}" for name in (*FORMS, "onnxruntime")]
            ratios = [f"{row[name] / row['stripes']:.2f}" for name in ("csr", "dense")]
            sizes = ", ".join(f"{row[f'{form}_bytes'] // LAYERS:,}" for form in FORMS)
            layer = f"3x3, {channels} to {channels} channels, {pixels} px"
            lines.append(f"| {layer} | {percent} % | {' | '.join((*times, *ratios))} | {sizes} |")
            print(lines[-1], flush=True)
    if options.markdown:
        options.markdown.write_text("\n".join([INTRODUCTION, *lines]) + "\n")


if __name__ == "__main__":
    main()
