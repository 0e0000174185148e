"""All 80 torchvision classifiers, half of their channels dead, shrunk, written and run: the table in zoo_formats.md.

    python benchmarks/zoo_formats.py             what is missing, the smallest first
    python benchmarks/zoo_formats.py resnet18    these, again

A net is made as if trained: weights that all start at one value (norms, layer scales, tokens, some heads) are drawn at
random, and so are the statistics of batch norms. Then half of the output channels of every convolution are set to zero (and
of every linear layer but the last where there are more of these than convolutions), half of the dead ones with their bias.
The truth is the dense net in PyTorch, in float64. `rounding` is how far the dense net in float32 is from it; an artifact
passes within 1e-4, or within 20 times that, with the same arg-max on both images. One process a net, one thread; results are
kept in zoo_formats.json, from which the table is written.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from zoo import SETTINGS, SIZES, by_size

HERE = Path(__file__).parent
STORE, TABLE = HERE / "zoo_formats.json", HERE / "zoo_formats.md"
LIMIT_S = 1800


def as_if_trained_and_pruned(module: Any) -> Any:
    import torch
    from torch import nn

    generator = torch.Generator().manual_seed(1)
    for parameter in module.parameters():
        start = parameter.data.reshape(-1)[0].item()
        if parameter.numel() > 1 and bool((parameter == start).all()):
            if start == 1:
                parameter.data.uniform_(0.5, 1.5, generator=generator)
            elif parameter.ndim > 1 and start == 0:
                parameter.data.normal_(0, 0.05, generator=generator)
            else:
                parameter.data.uniform_(-0.3, 0.3, generator=generator)
    layers = [m for m in module.modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    convs = [m for m in layers if isinstance(m, nn.Conv2d)]
    linears = [m for m in layers if isinstance(m, nn.Linear)]
    for m in module.modules():
        if isinstance(m, nn.BatchNorm2d):
            m.running_mean.uniform_(-0.3, 0.3, generator=generator)
            m.running_var.uniform_(0.5, 1.5, generator=generator)
    for m in convs + (linears[:-1] if len(linears) > len(convs) else []):
        outs = len(m.weight)
        dead = torch.randperm(outs, generator=generator)[: outs // 2]
        m.weight.data[dead] = 0
        if m.bias is not None:
            m.bias.data[dead[::2]] = 0
    return module.eval()


def error(found: Any, exact: Any) -> float:
    import numpy as np

    worst = float(np.abs(found - exact).max() / np.abs(exact).max())
    return worst if np.isfinite(worst) else float("inf")


def measure(name: str) -> dict[str, Any]:
    """One net, in this process."""
    import numpy as np
    import torch

    from edgeprune import capture, shrink
    from edgeprune.formats import load, read, write
    from edgeprune.vision import torchvision

    torch.set_num_threads(1)
    torch.manual_seed(0)
    module = as_if_trained_and_pruned(torchvision.models.get_model(name, weights=None, **SETTINGS.get(name, {})))
    size = SIZES.get(name, 224)
    images = torch.randn(2, 3, size, size, generator=torch.Generator().manual_seed(2))
    begin = time.perf_counter()
    graph = shrink(dense := capture(module, images[:1]))
    row: dict[str, Any] = {"dense": dense.parameters, "left": graph.parameters, "shrink_s": time.perf_counter() - begin}
    del dense
    with torch.no_grad():
        rounded = module(images).numpy()
        exact = module.double()(images.double()).numpy()
    del module
    row["rounding"] = error(rounded, exact)
    allowed = max(1e-4, 20 * row["rounding"])
    with tempfile.TemporaryDirectory() as folder:
        for suffix in ("onnx", "tflite"):
            path = Path(folder) / f"model.{suffix}"
            begin = time.perf_counter()
            write(graph, path)
            wrote = time.perf_counter()
            counts = read(path).counts
            (found,) = load(path).run(images.numpy())
            far = error(found, exact)
            same = bool((found.argmax(1) == exact.argmax(1)).all())
            row[suffix] = {
                "bytes": path.stat().st_size, "error": far, "same": same, "passes": same and far <= allowed,
                "write_s": wrote - begin, "ops": sum(counts.values()),
                "moves": counts.get("TRANSPOSE", 0) + counts.get("Transpose", 0),
            }  # fmt: skip
            path.unlink()
    assert np.isfinite(exact).all()
    return row


def table(rows: dict[str, Any]) -> str:
    done = {name: row for name, row in rows.items() if "left" in row}
    passed = sum(row["onnx"]["passes"] and row["tflite"]["passes"] for row in done.values())
    lines = [
        "# The torchvision classifiers as files",
        "",
        "Written by `python benchmarks/zoo_formats.py`, which says how. Largest error over largest magnitude, against the dense net",
        "in float64; `rounding` is that of the dense net in float32. `transposes` are the TRANSPOSE ops of the .tflite file.",
        "Seconds: capture, shrink and writing both files, one thread of a machine that did other work as well.",
        "",
        f"{len(done)} of {len(rows)} nets run; {passed} of them pass in both formats.",
        "",
        "| net | parameters | left | rounding | ONNX MB | error | TFLite MB | error | transposes | arg-max | seconds |",
        "|---|--:|--:|--:|--:|--:|--:|--:|--:|---|--:|",
    ]
    for name, row in rows.items():
        if "left" not in row:
            lines.append(f"| {name} | {row.get('why', 'not run')} |" + " |" * 9)
            continue
        a, b = row["onnx"], row["tflite"]
        same = "same" if a["same"] and b["same"] else "**other**"
        marks = ["" if each["passes"] else " **fails**" for each in (a, b)]
        seconds = row["shrink_s"] + a["write_s"] + b["write_s"]
        lines.append(
            f"| {name} | {row['dense']:,} | {row['left']:,} | {row['rounding']:.1e} | {a['bytes'] / 1e6:.1f} "
            f"| {a['error']:.1e}{marks[0]} | {b['bytes'] / 1e6:.1f} | {b['error']:.1e}{marks[1]} | {b['moves']} | {same} | {seconds:.1f} |"
        )
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("names", nargs="*")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.one:
        print(json.dumps(measure(asked.one)))
        return
    stored: dict[str, Any] = json.loads(STORE.read_text()) if STORE.exists() else {}
    names = by_size()
    for name in asked.names or [n for n in names if "left" not in stored.get(n, {})]:
        command = [sys.executable, __file__, "--one", name]
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(HERE.parent)}
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT_S, env=environment, check=False)
            lines = (done.stderr if done.returncode else done.stdout).strip().splitlines() or [f"ended with {done.returncode}"]
            stored[name] = {"why": lines[-1][:200]} if done.returncode else json.loads(lines[-1])
        except subprocess.TimeoutExpired:
            stored[name] = {"why": f"took longer than {LIMIT_S} s"}
        STORE.write_text(json.dumps({n: stored[n] for n in names if n in stored}, indent=1) + "\n")
        TABLE.write_text(table({n: stored.get(n, {}) for n in names}))
        print(name, stored[name], flush=True)


if __name__ == "__main__":
    main()
