"""How fast the C target runs a sparse ResNet-18, beside dense onnxruntime and beside the engines that run sparse weights sparsely.

    python benchmarks/c_speed.py [--size 32] [--seconds 20] [--densities 50,25,10,5,1,0.1] [--mnn PYTHON] [--deepsparse PYTHON]
                                 [--markdown FILE]

Uniform random masks, every shape kept (nothing is removed), batch 1, one thread, the same weights for all. Each engine has a process
of its own; they run in turns, a few calls of one and a few of the next, so that each finds the caches as the others left them. The
numbers are medians over all calls in processor time, which other work on the machine disturbs least. `--mnn` and `--deepsparse`
name Python interpreters that have those packages; MNN converts with --detectSparseSpeedUp.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from engines import Child, Missing, environment, in_turns
from networks import resnet18

from edgeprune.formats import c, write
from edgeprune.graph import Graph

TITLES = {"onnxruntime": "onnxruntime, dense", "mnn": "MNN, sparse", "deepsparse": "DeepSparse"}


def models(graph: Graph, folder: Path) -> dict[str, tuple[Path, c.Written | None]]:
    """The network's files: a shared library, and the dense .onnx that every peer begins with."""
    written = c.write(graph, folder / "model.c")
    library = c.build(folder / "model.c", folder / "model.so").path
    library.with_name("model.so.size").write_text(str(int(np.prod(graph.values[graph.outputs[0]].shape))))
    write(graph, folder / "model.onnx", optimize="latency")
    return {"c": (library, written), "onnxruntime": (folder / "model.onnx", None)}


def mnn_model(python: str, onnx: Path, *flags: str) -> Path:
    """The .onnx as MNN's converter makes it. Raises Missing when it does not."""
    made = onnx.with_suffix(".mnn")
    command = [str(Path(python).with_name("mnnconvert")), "-f", "ONNX", "--modelFile", str(onnx), "--MNNModel", str(made)]
    done = subprocess.run([*command, "--bizCode", "x", *flags], capture_output=True, text=True, env=environment())
    if done.returncode or not made.exists():
        raise Missing(f"mnnconvert: {(done.stdout + done.stderr).strip().splitlines()[-1]}")
    return made


def measure(size: int, density: float, seconds: float, folder: Path, pythons: Mapping[str, str]) -> dict[str, Any]:
    graph = resnet18(density, size)
    x = np.random.default_rng(1).standard_normal((1, 3, size, size)).astype(np.float32)
    np.save(folder / "x.npy", x)
    made = models(graph, folder)
    written = made["c"][1]
    assert written is not None
    row: dict[str, Any] = {"arena": written.arena.bytes, "bound": written.arena.lower_bound, "missing": {}}
    children: list[Child] = []
    for engine in ("onnxruntime", "c", *pythons):
        try:
            path = made["c" if engine == "c" else "onnxruntime"][0]
            if engine == "mnn":
                path = mnn_model(pythons[engine], path, "--detectSparseSpeedUp")
            children.append(Child(engine, pythons.get(engine, sys.executable), path, folder / "x.npy"))
        except (Missing, OSError) as error:
            row["missing"][engine] = str(error)
    expected = children[0].output()
    for child in children:
        error = float(np.abs(child.output().reshape(-1) - expected.reshape(-1)).max() / np.abs(expected).max())
        assert error < 1e-3, f"{child.engine} differs by {error}"
        row[f"{child.engine}_error"] = error
        row[f"{child.engine}_version"] = child.said["version"]
    times = in_turns(children, seconds)
    for child in children:
        child.close()
    for engine, each in times.items():
        row |= {f"{engine}_ms": float(np.median(each)) / 1e6, f"{engine}_warm": float(np.percentile(each, 10)) / 1e6}
    return row


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=32)
    parser.add_argument("--seconds", type=float, default=15)
    parser.add_argument("--densities", default="50,25,10,5,1,0.1")
    parser.add_argument("--mnn", metavar="PYTHON", help="An interpreter with the package MNN.")
    parser.add_argument("--deepsparse", metavar="PYTHON", help="An interpreter with the package deepsparse.")
    parser.add_argument("--markdown", type=Path)
    options = parser.parse_args()
    pythons = {name: getattr(options, name) for name in ("mnn", "deepsparse") if getattr(options, name)}
    peers = ["onnxruntime", *pythons]
    lines = [
        f"ResNet-18 at {options.size} px, one thread, batch 1, milliseconds of processor time (median; in brackets the 10th percentile):",
        "",
        f"| density | {' | '.join(TITLES[peer] for peer in peers)} | C | {' | '.join(f'C over {peer}' for peer in peers)} | arena KB (fullest step) |",
        "|---" * (2 * len(peers) + 3) + "|",
    ]
    print("\n".join(lines), flush=True)
    missing: dict[str, str] = {}
    for percent in options.densities.split(","):
        with tempfile.TemporaryDirectory() as folder:
            row = measure(options.size, float(percent) / 100, options.seconds, Path(folder), pythons)
        missing |= row["missing"]
        cells = [f"{row[f'{e}_ms']:.3g} ({row[f'{e}_warm']:.3g})" if f"{e}_ms" in row else "-" for e in (*peers, "c")]
        cells += [f"{row[f'{peer}_ms'] / row['c_ms']:.1f}" if f"{peer}_ms" in row else "-" for peer in peers]
        line = f"| {percent} % | {' | '.join(cells)} | {row['arena'] / 1024:.0f} ({row['bound'] / 1024:.0f}) |"
        print(line, flush=True)
        lines.append(line)
    lines += ["", *(f"Not measured: {said}" for said in missing.values())] if missing else []
    if options.markdown:
        options.markdown.write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
