"""How fast the C target runs a sparse ResNet-18, beside dense onnxruntime on the same weights.

    python benchmarks/c_speed.py [--size 32] [--seconds 20] [--densities 50,25,10,5,1,0.1] [--markdown FILE]

Uniform random masks, every shape kept (nothing is removed), batch 1, one thread. Both run in this process, a few calls of one and
a few of the other in turns, so that each finds the caches as the other left them; the numbers are medians over all calls, in
processor time of the one thread, which other work on the machine disturbs least.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np

from edgeprune.formats import c, load, write
from edgeprune.graph import Graph, Node, Value
from edgeprune.ops import Activation, Add, Conv, Linear, MaxPool, Mean


def resnet18(size: int, density: float, seed: int = 0) -> Graph:
    """ResNet-18 with batch norms folded: 3x3 stem for 32 pixels, 7x7 and a max pooling for 224. Random weights and biases."""
    rng = np.random.default_rng(seed)
    nodes: list[Node] = []

    def add(name: str, op: object, *inputs: str) -> str:
        nodes.append(Node(name, op, inputs))  # type: ignore[arg-type]
        return name

    def masked(*shape: int) -> np.ndarray:
        total = int(np.prod(shape))
        kept = rng.permutation(total)[: max(round(density * total), 1)]
        weight = np.zeros(total, np.float32)
        fan_in = max(density * total / shape[0], 1.0)
        weight[kept] = rng.standard_normal(len(kept)) * np.sqrt(2 / fan_in)
        return weight.reshape(shape)

    def conv(name: str, x: str, ins: int, outs: int, kernel: int, stride: int) -> str:
        pad = kernel // 2
        bias = rng.standard_normal(outs).astype(np.float32) * np.float32(0.1)
        return add(name, Conv(masked(outs, ins, kernel, kernel), bias, (stride, stride), ((pad, pad), (pad, pad))), x)

    def relu(name: str, x: str) -> str:
        return add(name, Activation("relu"), x)

    small = size <= 64
    x = relu("stem_relu", conv("stem", "input", 3, 64, 3 if small else 7, 1 if small else 2))
    if not small:
        x = add("pool", MaxPool((3, 3), (2, 2), ((1, 1), (1, 1)), (1, 1)), x)
    ins = 64
    for stage, outs in enumerate((64, 128, 256, 512)):
        for block in range(2):
            name, stride = f"layer{stage + 1}_{block}", 2 if stage and not block else 1
            y = relu(f"{name}_relu1", conv(f"{name}_conv1", x, ins, outs, 3, stride))
            y = conv(f"{name}_conv2", y, outs, outs, 3, 1)
            shortcut = conv(f"{name}_down", x, ins, outs, 1, stride) if stride != 1 or ins != outs else x
            x = relu(f"{name}_relu2", add(f"{name}_add", Add(), y, shortcut))
            ins = outs
    x = add("mean", Mean(), x)
    classes = 10 if small else 1000
    add("output", Linear(masked(classes, 512), rng.standard_normal(classes).astype(np.float32)), x)
    return Graph({"input": Value((3, size, size))}, ("output",), tuple(nodes))


def medians(candidates: dict[str, object], seconds: float, each: int = 3) -> dict[str, tuple[float, float, float]]:
    """name: (median, 10th percentile, median of the first call of each turn), in milliseconds of the thread's own time."""
    times: dict[str, list[float]] = {name: [] for name in candidates}
    first: dict[str, list[float]] = {name: [] for name in candidates}
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or min(map(len, times.values())) < 5 * each:
        for name, runner in candidates.items():
            for i in range(each):
                begin = time.thread_time_ns()
                runner.invoke()  # type: ignore[attr-defined]
                took = (time.thread_time_ns() - begin) / 1e6
                times[name].append(took)
                if i == 0:
                    first[name].append(took)
    return {name: (float(np.median(t)), float(np.percentile(t, 10)), float(np.median(first[name]))) for name, t in times.items()}


def measure(size: int, density: float, seconds: float, folder: Path) -> dict[str, float]:
    graph = resnet18(size, density)
    x = np.random.default_rng(1).standard_normal((1, 3, size, size)).astype(np.float32)
    path = folder / f"r18_{size}_{density}.c"
    written = c.write(graph, path)
    dense = folder / f"r18_{size}_{density}.onnx"
    write(graph, dense, optimize="latency")
    runners = {"c": c.load(path), "onnxruntime": load(dense, threads=1)}
    results = {}
    for name, runner in runners.items():
        runner.feed(x)
        runner.invoke()
        results[name] = runner.fetch()[0]
    error = float(np.abs(results["c"] - results["onnxruntime"]).max() / np.abs(results["onnxruntime"]).max())
    assert error < 1e-4, f"the two differ by {error}"
    times = medians(runners, seconds)
    row = {"density": density, "arena": written.arena.bytes, "bound": written.arena.lower_bound, "error": error}
    for name, (median, low, first) in times.items():
        row |= {f"{name}_ms": median, f"{name}_warm": low, f"{name}_first": first}
    return row


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=32)
    parser.add_argument("--seconds", type=float, default=15)
    parser.add_argument("--densities", default="50,25,10,5,1,0.1")
    parser.add_argument("--markdown", type=Path)
    options = parser.parse_args()
    lines = [
        f"ResNet-18 at {options.size} px, one thread, batch 1, milliseconds of processor time (median; in brackets the 10th percentile):",
        "",
        "| density | onnxruntime, dense | C | times faster | arena KB (fullest step) |",
        "|---|---|---|---|---|",
    ]
    print("\n".join(lines), flush=True)
    with tempfile.TemporaryDirectory() as folder:
        for percent in options.densities.split(","):
            row = measure(options.size, float(percent) / 100, options.seconds, Path(folder))
            times = " | ".join(f"{row[f'{name}_ms']:.3g} ({row[f'{name}_warm']:.3g})" for name in ("onnxruntime", "c"))
            memory = f"{row['arena'] / 1024:.0f} ({row['bound'] / 1024:.0f})"
            line = f"| {percent} % | {times} | {row['onnxruntime_ms'] / row['c_ms']:.1f} | {memory} |"
            print(line, flush=True)
            lines.append(line)
    if options.markdown:
        options.markdown.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    sys.exit(main())
