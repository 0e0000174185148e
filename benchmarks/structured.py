"""Whole filters and stripes taken out of the public ResNet-20 of CIFAR-10, with little retraining. The table is structured.md.

    python benchmarks/structured.py --checkpoint resnet20-12fca82f.th --data cifar10:DIR      what is missing in structured.jsonl
    python benchmarks/structured.py --table                                                   the table alone

Every method has one epoch after the cut; those that train before it one more, polarization one for each of at most five trials.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
STORE, TABLE = HERE / "structured.jsonl", HERE / "structured.md"
JOBS = [(m, 2.0) for m in ("l1-filters", "tpp", "stripes")] + [("l1-filters", 6.0), ("tpp", 6.0), ("stripes", 6.0), ("polarization", 2.0)]


def measured(checkpoint: str, data: str, method: str, ratio: float) -> dict[str, Any]:
    import edgeprune

    with tempfile.TemporaryDirectory() as folder:
        report = edgeprune.compress(
            checkpoint,
            ratio,
            data=data,
            out=folder,
            targets="tflite",
            method=method,
            epochs=1,
            source={"model": "edgeprune.models:resnet20", "mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)},
        )
    artifact, dense = report.artifacts[0], report.dense[0]
    return {
        "method": method,
        "ratio": ratio,
        "kept": report.weights.kept,
        "total": report.weights.total,
        "alive": report.weights.alive,
        "multiply_adds": [report.multiply_adds.before, report.multiply_adds.after],
        "accuracy": [report.accuracy.before, report.accuracy.after],
        "bytes": [dense.bytes, artifact.bytes],
        "latency_ms": [None if each.latency_ms is None else each.latency_ms.p50 for each in (dense, artifact)],
        "error": artifact.parity.max_relative_error,
        "seconds": report.seconds,
    }


def rows() -> list[dict[str, Any]]:
    return [json.loads(line) for line in STORE.read_text().splitlines()] if STORE.exists() else []


def table() -> None:
    lines = [
        "# Whole filters and stripes: ResNet-20 on CIFAR-10",
        "",
        "Written by `python benchmarks/structured.py`, whose first lines say how. Test accuracy of 10,000 images; the TFLite file verified",
        "against the pruned network; latencies of LiteRT on one thread of a shared machine.",
        "",
        "| method | asked | weights kept | multiply-adds (M) | accuracy | tflite | latency (ms) | error | seconds |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for row in sorted(rows(), key=lambda r: (r["ratio"], r["method"])):
        (macs0, macs), (acc0, acc), (b0, b) = row["multiply_adds"], row["accuracy"], row["bytes"]
        (t0, t) = (f"{v:.3f}" if v else "–" for v in row["latency_ms"])
        lines.append(
            f"| {row['method']} | {row['ratio']:g}x | {row['kept']:,} of {row['total']:,} | {macs0 / 1e6:.1f} → {macs / 1e6:.1f} "
            f"| {acc0:.2%} → {acc:.2%} | {b0:,} → {b:,} | {t0} → {t} | {row['error']:.0e} | {row['seconds']:.0f} |"
        )
    TABLE.write_text("\n".join(lines) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--checkpoint", default="resnet20-12fca82f.th")
    parser.add_argument("--data", default="cifar10:.")
    parser.add_argument("--table", action="store_true")
    given = parser.parse_args()
    done = {(row["method"], row["ratio"]) for row in rows()}
    for method, ratio in [] if given.table else JOBS:
        if (method, ratio) not in done:
            row = measured(given.checkpoint, given.data, method, ratio)
            with STORE.open("a") as store:
                store.write(json.dumps(row) + "\n")
            table()
            print(json.dumps(row), flush=True)
    table()


if __name__ == "__main__":
    main()
