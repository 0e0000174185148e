"""What runtime.py measured, as a table and as a plot."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

DENSE = ("onnxruntime", "LiteRT", "OpenVINO", "MNN", "ncnn")
SPARSE = ("MNN, sparse", "DeepSparse")
OURS = ("edgeprune .onnx", "edgeprune .tflite", "edgeprune C")
COLOURS = {**dict.fromkeys(DENSE, "#9aa5b1"), **dict.fromkeys(SPARSE, "#d98f2b"), **dict.fromkeys(OURS, "#2f6fde")}


def table(rows: Sequence[dict[str, Any]]) -> str:
    """runtime.md."""
    versions = {label: e["version"] for row in rows for label, e in row["engines"].items() if e["version"]}
    lines = [
        "# Runtimes beside each other",
        "",
        "Made by `python benchmarks/runtime.py`, which says how. Random weights under uniform random masks, every shape kept; one thread,",
        'batch 1. "edgeprune" files hold the same weights in the encodings it chose by file size; the others are dense, or made sparse by',
        "their own tools. Bytes are those of the file; of C those of its constants. Memory is what a process grows by at most, until the",
        "first run is done; of C arena and constants. Calls come from Python, which takes about 1 µs of each.",
        "",
        "Versions: " + ", ".join(f"{label} {version}" for label, version in versions.items()) + ".",
        "",
        "![Latency](runtime.svg)",
    ]
    for row in rows:
        base = row["engines"]["onnxruntime"]
        lines += [
            "",
            f"## {row['network']}, {row['density']:.1%} of the weights".replace(".0%", " %")
            .replace("%", " %")
            .replace("  ", " "),
            "",
            "| | latency, ms (10th to 90th percentile) | over dense onnxruntime | memory, MB | file, KB | load, ms |",
            "|---|---|---|---|---|---|",
        ]
        for label, e in row["engines"].items():
            lines.append(
                f"| {label} | {e['ms']:.3g} ({e['low']:.3g} to {e['high']:.3g}) | {base['ms'] / e['ms']:.3g} | {e['memory'] / 1e6:.3g} | "
                f"{number(e['bytes'] / 1e3)} | {number(e['load_ms'])} |"
            )
        lines += [f"\nNot measured: {why}" for why in row["missing"].values()]
    return "\n".join(lines) + "\n"


def number(x: float) -> str:
    """Three digits, or all of a large number."""
    return f"{x:,.0f}" if x >= 100 else f"{x:.3g}"


def to_svg(rows: Sequence[dict[str, Any]]) -> str:
    """Latency of every engine relative to dense onnxruntime, a panel a row, on a logarithmic axis."""
    import math

    labels = (*DENSE, *SPARSE, *OURS)
    high, width, left, step = 18, 420, 150, 40 + 18 * len(labels)
    parts = []
    for number, row in enumerate(rows):
        top = number * step
        parts.append(
            f'<text x="0" y="{top + 16}" font-weight="bold">{row["network"]}, {100 * row["density"]:g} % of the weights (bars: logarithmic)</text>'
        )
        base = row["engines"]["onnxruntime"]["ms"]
        for i, label in enumerate(labels):
            y = top + 26 + i * high
            parts.append(f'<text x="{left - 8}" y="{y + 12}" text-anchor="end">{label}</text>')
            if label not in row["engines"]:
                parts.append(f'<text x="{left}" y="{y + 12}" fill="#888">not measured</text>')
                continue
            ms = row["engines"][label]["ms"]
            # From a thousandth of onnxruntime's time to four times it.
            share = min(max((math.log10(ms / base) + 3) / 3.6, 0.01), 1.0)
            parts.append(f'<rect x="{left}" y="{y}" width="{share * width:.1f}" height="{high - 4}" fill="{COLOURS[label]}"/>')
            parts.append(f'<text x="{left + share * width + 6:.1f}" y="{y + 12}">{ms:.3g} ms</text>')
    height = len(rows) * step
    style = "font-family: sans-serif; font-size: 12px; background: white"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 660 {height}" style="{style}">\n' + "\n".join(parts) + "\n</svg>\n"
    )
