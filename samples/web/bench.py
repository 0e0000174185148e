"""Measures the page's network beside the same one in onnxruntime-web and LiteRT.js, in headless Chromium.

    npm install --prefix samples/web
    python samples/web/bench.py             prints the table
    python samples/web/bench.py --write     writes it into README.md

All five run on one thread of one page, in turns. Every one's scores for 100 test images are compared with onnxruntime's here.
"""

from __future__ import annotations

import gzip
import platform
import re
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

import edgeprune
from edgeprune.formats import load
from edgeprune.profiling import chromium

HERE = Path(__file__).parent
MNIST = HERE.parent / "mnist"
SAMPLES = 100
NAMES = {"model": "compressed 1,028x", "dense": "dense"}


def mnist_images(count: int) -> np.ndarray:
    """The first test images: pixels 0 to 255, `[count, 28, 28]`."""
    raw = gzip.decompress((MNIST / "data" / "t10k-images-idx3-ubyte.gz").read_bytes())
    return np.frombuffer(raw, np.uint8, offset=16)[: count * 784].reshape(count, 28, 28)


def prepared(pixels: np.ndarray) -> np.ndarray:
    """Pixels as the network wants them, `[count, 1, 28, 28]`."""
    said = edgeprune.read(HERE / "model.onnx").metadata.preprocessing
    return ((pixels[:, None].astype(np.float32) * said["scale"] - said["mean"][0]) / said["std"][0]).astype(np.float32)


def measure() -> tuple[list[dict[str, Any]], str]:
    """What compare.js says of every runtime, with `error` (of the largest score) and `same` (classes) added; and the browser."""
    inputs = prepared(mnist_images(SAMPLES))
    with tempfile.TemporaryDirectory() as folder:
        for path in HERE.iterdir():
            Path(folder, path.name).symlink_to(path)
        loaded = edgeprune.load(MNIST / "lenet_300_100.pt")
        dense = edgeprune.capture(loaded.module, loaded.example_inputs)
        for suffix in ("onnx", "tflite"):
            edgeprune.write(dense, Path(folder, f"dense.{suffix}"))
        expected = {name: load(Path(folder, f"{name}.onnx")).run(inputs)[0] for name in NAMES}
        with chromium.served(Path(folder), isolated=True) as address, chromium.page() as page:
            page.go(f"{address}/compare.html?wait&dense")
            samples = inputs.reshape(SAMPLES, -1).tolist()
            rows = page.evaluate(f"compare({samples}.map((sample) => Float32Array.from(sample)))")
            browser = page.call("Browser.getVersion")["product"]
    for row in rows:
        scores, right = np.array(row.pop("scores")), expected[row["network"]]
        row["error"] = float(np.abs(scores - right).max() / np.abs(right).max())
        row["same"] = int((scores.argmax(1) == right.argmax(1)).sum())
    return rows, browser


def table(rows: list[dict[str, Any]], browser: str) -> str:
    ours = rows[0]["median"]
    lines = [
        f"By `python samples/web/bench.py --write` in {browser.replace('/', ' ')} on {processor()}, a shared machine; one "
        "thread, medians of 101 readings taken in turns, in brackets the 10th and 90th percentile:",
        "",
        "| runtime | network | download, KB | first answer, ms | one answer, µs | times longer | largest error | same class |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        first = "" if row["firstAnswer"] is None else f"{row['firstAnswer']:.0f}"
        time = f"{row['median']:.3g} ({row['low']:.3g}, {row['high']:.3g})"
        lines.append(
            f"| {row['runtime']} | {NAMES[row['network']]} | {row['bytes'] / 1000:,.0f} | {first} | {time} "
            f"| {row['median'] / ours:.0f} | {row['error']:.0e} | {row['same']} of {SAMPLES} |"
        )
    return "\n".join(lines)


def processor() -> str:
    try:
        found = re.search(r"^model name\s*: (.*)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    except OSError:
        found = None
    return found[1] if found else platform.machine()


if __name__ == "__main__":
    text = table(*measure())
    print(text)
    if "--write" in sys.argv[1:]:
        readme = HERE / "README.md"
        begin, end = "<!-- measured -->", "<!-- end -->"
        before, _, rest = readme.read_text().partition(begin)
        readme.write_text(f"{before}{begin}\n{text}\n{end}{rest.partition(end)[2]}")
