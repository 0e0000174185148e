"""Whether a stock runtime is quicker with stripes told apart than with the dense layer: LiteRT and onnxruntime.

    python benchmarks/stripes_runtimes.py [--seconds 3] [--kept 20,50]

One 3x3 convolution under padding of 1, of whose stripes that share is kept, drawn at random; written as it is ("dense"), and as it
could be said with ordinary operators: a pad, for every tap a slice and a 1x1 convolution of the filters that keep it, and a 1x1
convolution of zeros and ones that adds up what belongs to one filter ("taps"). Both verified against each other; one thread, in
turns, medians of processor time.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

import numpy as np
from c_stripes import Striped
from engines import Child, in_turns

from edgeprune.formats import write
from edgeprune.graph import Graph, Node, Value
from edgeprune.ops import Concat, Conv, Pad, Slice

SHAPES = ((16, 32), (32, 16), (64, 8), (256, 14), (512, 7))  # channels, pixels


def by_taps(dense: Conv, channels: int, pixels: int) -> Graph:
    nodes, made, adds = [Node("padded", Pad(((1, 1), (1, 1))), ("x",))], [], []
    for i, j in np.ndindex(3, 3):
        filters = np.flatnonzero(dense.weight[:, :, i, j].any(1))
        if not len(filters):
            continue
        nodes.append(Node(f"read{i}{j}", Slice((i, j), (i + pixels, j + pixels), (1, 1)), ("padded",)))
        nodes.append(Node(f"tap{i}{j}", Conv(dense.weight[filters, :, i, j][:, :, None, None]), (f"read{i}{j}",)))
        made.append(f"tap{i}{j}")
        adds.append(np.eye(channels, dtype=np.float32)[:, filters])
    nodes.append(Node("sums", Concat(), tuple(made)))
    nodes.append(Node("out", Conv(np.concatenate(adds, 1)[:, :, None, None], dense.bias), ("sums",)))
    return Graph({"x": Value((channels, pixels, pixels))}, ("out",), tuple(nodes))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=3)
    parser.add_argument("--kept", default="20,50")
    options = parser.parse_args()
    print("Microseconds of processor time (median):\n")
    print("| layer | stripes kept | LiteRT, dense | LiteRT, taps | onnxruntime, dense | onnxruntime, taps |\n" + "|---" * 6 + "|")
    for channels, pixels in SHAPES:
        for percent in options.kept.split(","):
            net = Striped(float(percent) / 100)
            net.conv("x", channels, channels, 3)
            dense = net.nodes[0].op
            assert isinstance(dense, Conv)
            graphs = {
                "dense": Graph({"x": Value((channels, pixels, pixels))}, ("out",), (Node("out", dense, ("x",)),)),
                "taps": by_taps(dense, channels, pixels),
            }
            with tempfile.TemporaryDirectory() as name:
                folder = Path(name)
                np.save(folder / "x.npy", net.rng.standard_normal((1, channels, pixels, pixels)).astype(np.float32))
                children = []
                for engine, suffix in (("litert", "tflite"), ("onnxruntime", "onnx")):
                    for form, graph in graphs.items():
                        path = folder / f"{form}.{suffix}"
                        write(graph, path, optimize="latency")
                        children.append(Child(engine, sys.executable, path, folder / "x.npy", f"{engine} {form}"))
                for one, other in (children[:2], children[2:]):
                    error = np.abs(one.output() - other.output()).max() / np.abs(one.output()).max()
                    assert error < 1e-4, f"{other.name} differs by {error}"
                times = in_turns(children, options.seconds, 10)
                for child in children:
                    child.close()
            cells = " | ".join(f"{np.median(times[child.name]) / 1e3:.3g}" for child in children)
            print(f"| 3x3, {channels} to {channels} channels, {pixels} px | {percent} % | {cells} |", flush=True)


if __name__ == "__main__":
    main()
