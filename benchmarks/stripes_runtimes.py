"""Whether a stock runtime is quicker with stripes told apart than with the dense layer: LiteRT and onnxruntime.

    python benchmarks/stripes_runtimes.py [--seconds 3] [--kept 10,20,30,50]

One 3x3 convolution under padding of 1, of whose stripes that share is kept, drawn at random; written as it is ("dense"); with ordinary
operators as a pad, for every tap a slice and a 1x1 convolution of the filters that keep it, and a 1x1 convolution of zeros and ones
that adds up what belongs to one filter ("taps"); as the three convolutions that the exporters write ("three": of the stripes, of
shifts, of sums, the last one CSR in LiteRT where that is faster); and with as many filters in four groups as have most taps in common, each
group a dense convolution of its taps' bounding box and the results in the order of the groups ("groups"). All verified against each
other; one thread, in turns, medians of processor time. "chosen" is what `--optimize latency` takes.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import numpy as np
from c_stripes import Striped
from engines import Child, in_turns

from edgeprune.formats import write
from edgeprune.formats.stripes import Stripes, cropped
from edgeprune.graph import Graph, Node, Value
from edgeprune.ops import Concat, Conv, Pad, Slice

SHAPES = ((16, 32), (32, 16), (64, 8), (64, 32), (128, 28), (256, 14), (512, 7))  # channels, pixels


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


def in_three(dense: Conv, channels: int, pixels: int) -> Graph:
    stripes = Stripes.of(dense)
    assert stripes is not None
    names = ("x", "stripes", "shifts", "out")
    nodes = tuple(Node(to, op, (of,)) for of, to, op in zip(names, names[1:], stripes.convolutions(), strict=False))
    return Graph({"x": Value((channels, pixels, pixels))}, ("out",), nodes)


def in_groups(dense: Conv, channels: int, pixels: int, groups: int = 4) -> tuple[Graph, np.ndarray]:
    """The groups' convolutions side by side, and the filters in their order."""
    kept = (dense.weight != 0).any(1).reshape(channels, -1)
    sets = [[i] for i in range(channels)]
    while len(sets) > groups:  # the two sets whose union reads the fewest taps too many
        unions = np.array([kept[each].any(0) for each in sets])
        sizes, taps = np.array([len(each) for each in sets]), unions.sum(1)
        union = (unions[:, None] | unions[None]).sum(2)
        waste = (sizes[:, None] + sizes[None]) * union - (sizes * taps)[:, None] - (sizes * taps)[None]
        one, other = np.unravel_index(np.argmin(waste + np.eye(len(sets)) * 1e9), waste.shape)
        sets[one] += sets.pop(other)  # the first of two equal places: one is before other
    nodes = [
        Node(
            f"g{i}",
            cropped(replace(dense, weight=dense.weight[each], bias=None if dense.bias is None else dense.bias[each])),
            ("x",),
        )
        for i, each in enumerate(sets)
    ]
    nodes.append(Node("out", Concat(), tuple(node.name for node in nodes)))
    return Graph({"x": Value((channels, pixels, pixels))}, ("out",), tuple(nodes)), np.concatenate(sets)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=3)
    parser.add_argument("--kept", default="10,20,30,50")
    options = parser.parse_args()
    forms = ("dense", "taps", "groups", "three")
    print("Microseconds of processor time (median), and how many times faster the three are than the dense layer:\n")
    columns = [f"{engine}, {form}" for engine in ("LiteRT", "onnxruntime") for form in (*forms, "times", "chosen")]
    print(f"| layer | stripes kept | {' | '.join(columns)} |\n" + "|---" * (2 + len(columns)) + "|")
    for channels, pixels in SHAPES:
        for percent in options.kept.split(","):
            net = Striped(float(percent) / 100)
            net.conv("x", channels, channels, 3)
            dense = net.nodes[0].op
            assert isinstance(dense, Conv)
            plain = Graph({"x": Value((channels, pixels, pixels))}, ("out",), (Node("out", dense, ("x",)),))
            grouped, order = in_groups(dense, channels, pixels)
            graphs = dict(
                zip(forms, (plain, by_taps(dense, channels, pixels), grouped, in_three(dense, channels, pixels)), strict=True)
            )
            cells = []
            with tempfile.TemporaryDirectory() as name:
                folder = Path(name)
                np.save(folder / "x.npy", net.rng.standard_normal((1, channels, pixels, pixels)).astype(np.float32))
                for engine, suffix, axis in (("litert", "tflite", 3), ("onnxruntime", "onnx", 1)):
                    children = []
                    for form, graph in graphs.items():
                        path = folder / f"{form}.{suffix}"
                        sparse = form == "three" and suffix == "tflite"
                        write(graph, path, optimize="latency" if sparse else "dense")
                        children.append(Child(engine, sys.executable, path, folder / "x.npy", form))
                    expected = children[0].output()
                    for child in children[1:]:
                        wanted = expected.take(order, axis) if child.name == "groups" else expected
                        error = np.abs(wanted - child.output()).max() / np.abs(expected).max()
                        assert error < 1e-4, f"{child.name} differs by {error}"
                    times = in_turns(children, options.seconds, 10)
                    for child in children:
                        child.close()
                    took = [float(np.median(times[form])) / 1e3 for form in forms]
                    chosen = write(plain, folder / f"chosen.{suffix}", optimize="latency")[0].encoding
                    cells += [*(f"{each:.3g}" for each in took), f"{took[0] / took[-1]:.2f}", chosen]
            print(f"| {channels} channels, {pixels} px | {percent} % | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
