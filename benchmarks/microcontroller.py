"""A real pruned network on a Cortex-M4: what it takes there, whether it says the same, and its time here beside the dense one.

    python benchmarks/microcontroller.py PRUNED.pt [--dense samples/mnist/lenet_300_100.pt] [--data mnist:samples/mnist/data]

`python3 dev.py demo` makes out/mnist-1024x/pruned.pt. The board is qemu's (edgeprune profile --target cortex-m4 --emulate); times are
of this machine: onnxruntime with its inputs bound, and the C model in a loop of C, each in processes of its own, in three rounds.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np

import edgeprune
from edgeprune.formats import c, write
from edgeprune.passes import fold_affine
from edgeprune.profiling import profile, profile_on
from edgeprune.profiling.emulation import emulate
from edgeprune.sources import Source

DIGITS = 100


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pruned")
    parser.add_argument("--dense", default="samples/mnist/lenet_300_100.pt")
    parser.add_argument("--data", default="mnist:samples/mnist/data")
    options = parser.parse_args()
    opened = Source(options.pruned, data=options.data).open()
    graph = edgeprune.shrink(opened.graph())
    digits = opened.inputs(graph, DIGITS)["real"]
    weights = sum(int((a != 0).sum()) for node in graph.nodes for name, a in node.op.arrays.items() if name == "weight")
    with tempfile.TemporaryDirectory() as own:
        model, before = Path(own, "model.c"), Path(own, "dense.onnx")
        written = c.write(graph, model, metadata=opened.metadata())
        write(fold_affine(Source(options.dense).open(with_data=False).graph()), before)
        built = c.build(model, Path(own, "model.o"), "cortex-m4")
        run = emulate("cortex-m4", model, samples=[tuple(a[i] for a in digits) for i in range(DIGITS)])
        # What the board says is compared with this machine's build; that one with what the graph means.
        expected = graph.run(*(a.astype(np.float32) for a in digits))
        here = c.load(model).run(*digits)[0]
        assert not isinstance(expected, tuple)
        same = int((here.argmax(1) == expected.argmax(1)).sum())
        rounds = [(profile(before).latency_ms.p50, profile_on("host", model).latency_ms.p50) for _ in range(3)]
    times = [a / b for a, b in rounds]
    dense, ours = (float(np.median(each)) for each in zip(*rounds, strict=True))
    print(f"| kept weights | {weights} |\n|---|---|")
    print(f"| code and constants for a Cortex-M4 ({built.compiler}) | {built.bytes:,} bytes |")
    print(f"| memory: arena, with inputs and outputs beside it | {written.arena.bytes:,} bytes |")
    print(f"| instructions of a run | {run.instructions:,} |" if run.instructions else f"| instructions | {run.why_not_counted} |")
    print(f"| of {DIGITS} real digits, the same class on the board as here | {'all' if run.same_class else 'not all'} |")
    print(f"| and here as in the graph | {same} |")
    print(f"| largest relative error of the board | {run.largest_relative_error:.1g} |")
    print(f"| here: dense in onnxruntime, median | {dense * 1e3:.1f} µs |")
    print(f"| here: C, median | {ours * 1e3:.2f} µs |")
    print(f"| times faster (three rounds) | {np.median(times):.0f} ({min(times):.0f} to {max(times):.0f}) |")


if __name__ == "__main__":
    main()
