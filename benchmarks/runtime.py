"""Networks of random weights in every runtime at hand: latency, memory, file bytes, load time, dense and as edgeprune writes them.

    python benchmarks/runtime.py [--peers PYTHON] [--mnn PYTHON] [--deepsparse PYTHON] [--only NETWORK] [--seconds 6]

One row a network and density, kept in benchmarks/runtime.jsonl: a row that is there is not measured again. Within a row all engines
run in turns, one thread each, each in a process of its own; times are medians of processor time. Memory is what the process's peak
grows by from before loading to after the first run; of C it is arena and constants. Afterwards the table and the plot are written:
benchmarks/runtime.md and runtime.svg. `--peers` is a Python with onnxruntime, ai-edge-litert, openvino, ncnn and pnnx.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from c_speed import mnn_model
from engines import Child, Missing, environment, in_turns
from networks import NETWORKS
from runtime_table import OURS, SPARSE, table, to_svg

from edgeprune.formats import c, footprint, write
from edgeprune.graph import Graph

HERE = Path(__file__).parent
DENSITIES = (0.1, 0.01, 0.001)


# Not random: the sample's trained network, pruned all alive by the default settings, and what removal leaves of it.
PRUNED = {"LeNet-300-100 of the sample, all alive": (1 / 128, 1 / 1024)}


def pruned(density: float) -> tuple[Graph, Graph, Graph]:
    import edgeprune

    loaded = edgeprune.load(HERE.parent / "samples" / "mnist" / "lenet_300_100.pt")
    data = edgeprune.load_data(loaded.data_spec)
    module = edgeprune.prune(loaded.module, 1 / density, data=data).module
    graph, masked = (edgeprune.capture(each, loaded.example_inputs) for each in (loaded.module, module))
    return graph, masked, edgeprune.shrink(masked, optimize="size")


def built(graph: Graph, folder: Path) -> Path:
    c.write(graph, folder / "model.c")
    library = c.build(folder / "model.c", folder / "model.so").path
    library.with_name("model.so.size").write_text(str(int(np.prod(graph.values[graph.outputs[0]].shape))))
    return library


def for_ncnn(python: str, dense: Path, shape: tuple[int, ...]) -> Path:
    """The .onnx as pnnx makes it. Raises Missing when it does not."""
    size = ",".join(map(str, (1, *shape)))
    command = [str(Path(python).with_name("pnnx")), str(dense), f"inputshape=[{size}]", "fp16=0"]
    done = subprocess.run(command, capture_output=True, text=True, env=environment(), cwd=dense.parent)
    made = dense.with_name(dense.stem + ".ncnn.param")
    if done.returncode or not made.exists():
        raise Missing(f"pnnx: {(done.stdout + done.stderr).strip().splitlines()[-1][:200]}")
    return made


def candidates(
    graph: Graph, masked: Graph, small: Graph, folder: Path, pythons: dict[str, str]
) -> list[tuple[str, str, str, Callable[[], Path]]]:
    """(what the table calls it, engine, interpreter, what makes its file).

    The dense network, the same under its masks for engines that look for zeros, and what is left of it.
    """
    shape = next(iter(graph.inputs.values())).shape
    dense, zeros, lite = folder / "dense.onnx", folder / "masked.onnx", folder / "dense.tflite"
    write(graph, dense, optimize="latency")
    write(masked, zeros, optimize="latency")
    write(everywhere(graph), lite, optimize="latency")
    peers, mnn = pythons["peers"], pythons["mnn"]

    def written(name: str, goal: str = "size") -> Path:
        write(small, folder / name, optimize=goal)
        return folder / name

    def sparse() -> Path:
        copied = folder / "sparse.onnx"
        copied.write_bytes(zeros.read_bytes())
        return mnn_model(mnn, copied, "--detectSparseSpeedUp")

    return [
        ("onnxruntime", "onnxruntime", peers, lambda: dense),
        ("LiteRT", "litert", peers, lambda: lite),
        ("OpenVINO", "openvino", peers, lambda: dense),
        ("MNN", "mnn", mnn, lambda: mnn_model(mnn, dense)),
        ("ncnn", "ncnn", peers, lambda: for_ncnn(peers, dense, shape)),
        ("MNN, sparse", "mnn", mnn, sparse),
        ("DeepSparse", "deepsparse", pythons["deepsparse"], lambda: zeros),
        ("edgeprune .onnx", "onnxruntime", peers, lambda: written("small.onnx")),
        ("edgeprune .tflite", "litert", peers, lambda: written("small.tflite")),
        ("edgeprune .tflite, latency", "litert", peers, lambda: written("fast.tflite", "latency")),
        ("edgeprune C", "c", peers, lambda: built(small, folder)),
    ]


def everywhere(graph: Graph) -> Graph:
    """The graph with no zero among its weights, so that a format has no reason to store them sparsely."""
    import dataclasses

    nodes = []
    for node in graph.nodes:
        weight = node.op.arrays.get("weight")
        op = node.op if weight is None else dataclasses.replace(node.op, weight=np.where(weight == 0, np.float32(1e-30), weight))
        nodes.append(dataclasses.replace(node, op=op))
    return graph.with_nodes(nodes)


def measure(name: str, density: float, seconds: float, pythons: dict[str, str]) -> dict[str, Any]:
    graph, masked, small = pruned(density) if name in PRUNED else [NETWORKS[name](density)] * 3
    shape = next(iter(graph.inputs.values())).shape
    row: dict[str, Any] = {"network": name, "density": density, "engines": {}, "missing": {}}
    with tempfile.TemporaryDirectory() as own:
        folder = Path(own)
        np.save(folder / "x.npy", np.random.default_rng(1).standard_normal((1, *shape)).astype(np.float32))
        children: list[Child] = []
        for label, engine, python, make in candidates(graph, masked, small, folder, pythons):
            try:
                path = make()
                child = Child(engine, python, path, folder / "x.npy", label)
            except (Missing, OSError) as error:
                row["missing"][label] = str(error).replace(own, "")
                continue
            takes = footprint(path.with_suffix(".c")) if engine == "c" else None
            files = [path, path.with_name("dense.ncnn.bin")] if engine == "ncnn" else [path]
            row["engines"][label] = {
                "version": child.said["version"],
                "load_ms": child.said["load_ms"],
                "memory": takes.memory if takes else child.said["memory"],
                "bytes": takes.bytes if takes else sum(each.stat().st_size for each in files),
            }
            children.append(child)
        x = np.load(folder / "x.npy")
        for child in children:
            # What an engine must answer: of the pruned network, where it was given that.
            expected = (masked if child.name in (*SPARSE, *OURS) else graph).run(x).reshape(-1)
            found = child.output().reshape(-1)
            row["engines"][child.name]["error"] = float(np.abs(found - expected).max() / max(np.abs(expected).max(), 1e-30))
        for label, times in in_turns(children, seconds, 5).items():
            row["engines"][label] |= {
                "ms": float(np.median(times)) / 1e6,
                "low": float(np.percentile(times, 10)) / 1e6,
                "high": float(np.percentile(times, 90)) / 1e6,
                "runs": len(times),
            }
        for child in children:
            child.close()
    return row


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name in ("peers", "mnn", "deepsparse"):
        parser.add_argument(f"--{name}", metavar="PYTHON", default=sys.executable)
    parser.add_argument("--only", choices=(*NETWORKS, *PRUNED))
    parser.add_argument("--seconds", type=float, default=6)
    options = parser.parse_args()
    pythons = {name: getattr(options, name) for name in ("peers", "mnn", "deepsparse")}
    kept = HERE / "runtime.jsonl"
    rows = [json.loads(line) for line in kept.read_text().splitlines()] if kept.exists() else []
    for name in [options.only] if options.only else (*NETWORKS, *PRUNED):
        for density in PRUNED.get(name, DENSITIES):
            if not any(row["network"] == name and row["density"] == density for row in rows):
                rows.append(measure(name, density, options.seconds, pythons))
                with open(kept, "a") as file:
                    file.write(json.dumps(rows[-1]) + "\n")
                print(name, density, {label: round(e["ms"], 4) for label, e in rows[-1]["engines"].items()}, flush=True)
    (HERE / "runtime.md").write_text(table(rows))
    (HERE / "runtime.svg").write_text(to_svg(rows))


if __name__ == "__main__":
    main()
