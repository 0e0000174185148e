"""ResNet-20 pruned by whole stripes, in LiteRT and onnxruntime: bytes and time of each form of its layers. The table is stripes_resnet20.md.

    for RATIO in 2 4 8:
        edgeprune compress resnet20-12fca82f.th --model edgeprune.models:resnet20 --data cifar10:DIR --mean 0.485,0.456,0.406 \\
            --std 0.229,0.224,0.225 --method stripes --ratio RATIO --epochs 1 --precision bf16-mixed -o FOLDER
    python benchmarks/stripes_resnet20.py FOLDER... [--seconds 4]

Each network is exported again for each goal (`edgeprune export --optimize ...`, which verifies the file against the pruned network or
writes none), and all files of one network and one runtime are timed in turns, one thread, processor time. "dense" is the pruned network
with every weight stored dense.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections import Counter
from pathlib import Path

import numpy as np
from engines import Child, in_turns

import edgeprune
from edgeprune.report import Report

HERE = Path(__file__).parent
GOALS = ("dense", "size", "latency")
ENGINES = {"tflite": "litert", "onnx": "onnxruntime"}
HEAD = """# ResNet-20 pruned by stripes, in LiteRT and onnxruntime

Made by `python benchmarks/stripes_resnet20.py`, whose first lines say how, on an AMD EPYC with AVX-512, LiteRT and onnxruntime 1.31.1, one
thread. Accuracy is that of 10,000 test images, 91.73 % before; there was one epoch before the cut and one after it. Microseconds of
processor time (median; in brackets the 10th percentile); "times" are those of the dense file of the same network.

| ratio | accuracy | file | bytes | of dense | µs | times faster | error | layers |
|---|---|---|---|---|---|---|---|---|"""
FOOT = """
Three other networks of these ratios, whose stripes were chosen otherwise, took 671,904, 356,224 and 186,272 bytes in TFLite as CSR, and
556,480, 286,560 and 153,072 in these forms; in ONNX 865,467, 432,199 and 216,843 as coordinates, and 559,609, 289,921 and 155,786."""


def rows(folder: Path, seconds: float) -> list[str]:
    made_by = Report.load(folder / "report.json")
    x = np.random.default_rng(0).standard_normal((1, 3, 32, 32)).astype(np.float32)
    lines = []
    with tempfile.TemporaryDirectory() as name:
        work = Path(name)
        np.save(work / "x.npy", x)
        reports = {
            goal: edgeprune.export(folder / "pruned.pt", targets=tuple(ENGINES), out=work / goal, optimize=goal, measure=False)
            for goal in GOALS
        }
        for suffix, engine in ENGINES.items():
            children = {
                goal: Child(engine, sys.executable, work / goal / f"model.{suffix}", work / "x.npy", goal) for goal in GOALS
            }
            times = in_turns(list(children.values()), seconds, 10)
            for child in children.values():
                child.close()
            for goal, report in reports.items():
                took, dense = (np.array(times[each]) / 1e3 for each in (goal, "dense"))
                artifact = next(each for each in report.artifacts if each.format == suffix)
                whole = next(each.bytes for each in reports["dense"].artifacts if each.format == suffix)
                forms = Counter(layer.encoding[suffix] for layer in report.layers if suffix in layer.encoding)
                said = ", ".join(f"{n} {form}" for form, n in forms.most_common())
                assert artifact.parity is not None
                lines.append(
                    f"| {made_by.ratio.requested:g}x | {made_by.accuracy.after:.1%} | {suffix}, {goal} | {artifact.bytes:,} | {artifact.bytes / whole:.0%} "
                    f"| {np.median(took):.0f} ({np.percentile(took, 10):.0f}) | {np.median(dense) / np.median(took):.2f} "
                    f"| {artifact.parity.max_relative_error:.0e} | {said} |"
                )
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--seconds", type=float, default=4)
    given = parser.parse_args()
    lines = [line for folder in given.folders for line in rows(folder, given.seconds)]
    (HERE / "stripes_resnet20.md").write_text("\n".join([HEAD, *lines, FOOT]) + "\n")


if __name__ == "__main__":
    main()
