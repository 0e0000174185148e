"""samples/web/compare.html: the page's network beside the npm runtimes, with and without them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import bench
import numpy as np
import pytest
from bench import mnist_images, prepared

from edgeprune.formats import load
from edgeprune.profiling import chromium

WEB = Path(bench.__file__).parent
PACKAGES = ("onnxruntime-web", "@litertjs/core")
OURS, ORT, LITERT = "edgeprune, C in WebAssembly", "onnxruntime-web", "LiteRT.js"


@pytest.fixture
def browser() -> Iterator[chromium.Page]:
    if chromium.found() is None:
        pytest.skip("needs Chromium: apt-get install chromium")
    with chromium.page() as page:
        yield page


def compared(browser: chromium.Page, folder: Path) -> dict[str, dict[str, Any]]:
    """What the page says of every runtime it finds in the folder, for three test images."""
    with chromium.served(folder, isolated=True) as address:
        browser.go(f"{address}/compare.html?wait")
        samples = prepared(mnist_images(3)).reshape(3, -1).tolist()
        rows = browser.evaluate(f"compare({samples}.map((sample) => Float32Array.from(sample)))")
    return {row["runtime"]: row for row in rows}


def test_every_runtime_gives_the_scores_of_the_artifact(browser: chromium.Page) -> None:
    missing = [name for name in PACKAGES if not (WEB / "node_modules" / name).is_dir()]
    if missing:
        pytest.skip(f"needs {' and '.join(missing)}: npm install --prefix samples/web")
    rows = compared(browser, WEB)
    expected = load(WEB / "model.onnx").run(prepared(mnist_images(3)))[0]
    assert rows.keys() == {OURS, ORT, LITERT}
    for row in rows.values():
        assert np.abs(np.array(row["scores"]) - expected).max() <= 1e-5 * np.abs(expected).max(), row["runtime"]
        assert 0 < row["low"] <= row["median"] <= row["high"]
    # What a browser fetches for it: the network and its glue here, a whole runtime there.
    assert rows[OURS]["bytes"] == sum((WEB / name).stat().st_size for name in ("network.js", "model.js"))
    assert min(rows[ORT]["bytes"], rows[LITERT]["bytes"]) > 1_000_000
    assert rows[OURS]["median"] < min(rows[ORT]["median"], rows[LITERT]["median"])


def test_without_the_packages_it_measures_its_own_network_and_says_what_to_install(
    browser: chromium.Page, tmp_path: Path
) -> None:
    for path in WEB.iterdir():
        if path.name != "node_modules":
            (tmp_path / path.name).symlink_to(path)
    assert compared(browser, tmp_path).keys() == {OURS}
    said = browser.evaluate("document.getElementById('problem').textContent")
    for name in (ORT, LITERT):
        assert f"{name} is not here" in said
    assert "npm install" in said
