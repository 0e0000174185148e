"""samples/web in real headless Chromium: what is drawn there gets the answer that the same network gives elsewhere."""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import bench
import numpy as np
import pytest
from bench import mnist_images, prepared
from digits import strokes

import edgeprune
from edgeprune.formats import load
from edgeprune.profiling import chromium

WEB = Path(bench.__file__).parent
LIMIT = 100_000  # bytes of the whole page
FILES = ("index.html", "style.css", "model.js", "network.js", "picture.js", "page.js")
DESKTOP = {"width": 1000, "height": 800, "deviceScaleFactor": 1, "mobile": False}
PHONE = {"width": 360, "height": 740, "deviceScaleFactor": 2, "mobile": True}

# One test image of every class that the network knows, by its place among the 10,000.
KNOWN = {0: 3, 1: 2, 2: 35, 3: 30, 4: 4, 5: 15, 6: 21, 7: 26, 8: 61, 9: 16}


def module_bytes() -> int:
    """The size of the committed WebAssembly module."""
    found = re.search(r'wasm: "(.*)"', (WEB / "model.js").read_text())
    assert found is not None
    return len(base64.b64decode(found[1]))


@pytest.fixture(scope="module")
def browser() -> Iterator[chromium.Page]:
    if chromium.found() is None:
        pytest.skip("needs Chromium: apt-get install chromium")
    with chromium.page() as page:
        yield page


@pytest.fixture(scope="module")
def address() -> Iterator[str]:
    with chromium.served(WEB) as address:
        yield f"{address}/index.html"


@pytest.fixture
def page(browser: chromium.Page, address: str) -> Iterator[chromium.Page]:
    """The page, just opened on a desktop in light colours. It must not complain, whatever the test does with it."""
    browser.call("Emulation.setDeviceMetricsOverride", **DESKTOP)
    browser.call("Emulation.setTouchEmulationEnabled", enabled=False)
    browser.call("Emulation.setEmulatedMedia", features=[])
    browser.requests.clear()
    browser.complaints.clear()
    browser.go(address)
    browser.evaluate("ready")
    yield browser
    assert not browser.complaints


def put(page: chromium.Page, image: np.ndarray, size: int = 10, left: int = 0, top: int = 0) -> dict[str, Any]:
    """Puts an image's pixels on the paper as squares; what the page makes of it."""
    return page.evaluate(
        f"""(() => {{
            clear();
            {image.ravel().tolist()}.forEach((amount, i) => {{
                pen.fillStyle = `rgb(0 0 0 / ${{amount / 255}})`;
                pen.fillRect({left} + {size} * (i % 28), {top} + {size} * Math.floor(i / 28), {size}, {size});
            }});
            return look();
        }})()"""
    )


def mouse(page: chromium.Page, walk: list[tuple[float, float]]) -> None:
    for kind, (x, y) in [("mousePressed", walk[0]), *(("mouseMoved", at) for at in walk), ("mouseReleased", walk[-1])]:
        page.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)


def touch(page: chromium.Page, walk: list[tuple[float, float]]) -> None:
    for kind, (x, y) in [("touchStart", walk[0]), *(("touchMove", at) for at in walk)]:
        page.call("Input.dispatchTouchEvent", type=kind, touchPoints=[{"x": x, "y": y}])
    page.call("Input.dispatchTouchEvent", type="touchEnd", touchPoints=[])


def draw(page: chromium.Page, image: np.ndarray, by: Callable[[chromium.Page, list[tuple[float, float]]], None]) -> str:
    """Draws the digit's lines by hand; the digit that the page then shows."""
    left, top, width = page.evaluate("(({left, top, width}) => [left, top, width])(paper.getBoundingClientRect())")
    for walk in strokes(image):
        by(page, [(left + (column + 0.5) * width / 28, top + (row + 0.5) * width / 28) for row, column in walk])
    return page.evaluate("document.getElementById('digit').textContent")


@pytest.mark.parametrize("digit", KNOWN)
def test_a_test_digit_drawn_with_the_mouse_gets_its_class(page: chromium.Page, digit: int) -> None:
    assert draw(page, mnist_images(100)[KNOWN[digit]], mouse) == str(digit)


@pytest.mark.parametrize("digit", [0, 4, 7])
def test_a_test_digit_drawn_with_a_finger_on_a_phone_gets_its_class(page: chromium.Page, digit: int) -> None:
    page.call("Emulation.setDeviceMetricsOverride", **PHONE)
    page.call("Emulation.setTouchEmulationEnabled", enabled=True)
    assert draw(page, mnist_images(100)[KNOWN[digit]], touch) == str(digit)


@pytest.mark.parametrize("artifact", ["model.onnx", "model.tflite", "model.c"])
def test_100_test_digits_on_the_paper_get_the_answers_of_the_artifact(
    page: chromium.Page, artifact: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    path = WEB / artifact
    if not path.exists():
        path = tmp_path / artifact
        edgeprune.write(edgeprune.shrink(edgeprune.import_onnx(WEB / "model.onnx")), path)
    images = mnist_images(100)
    answers = [put(page, image) for image in images]
    assert (np.array([a["picture"] for a in answers]).reshape(images.shape) == images).all()
    scores = load(path).run(prepared(images))[0]
    assert [a["digit"] for a in answers] == scores.argmax(1).tolist()
    powers = np.exp(scores - scores.max(1, keepdims=True))
    expected = powers / powers.sum(1, keepdims=True)
    assert np.abs(np.array([a["probabilities"] for a in answers]) - expected).max() < 1e-5


def test_a_digit_small_in_a_corner_is_seen_as_one_large_in_the_middle(page: chromium.Page) -> None:
    image = mnist_images(1)[0]
    assert put(page, image, size=4, left=165, top=-5)["picture"] == put(page, image)["picture"]


def test_nothing_is_cut_off_a_digit_whose_weight_lies_to_one_side(page: chromium.Page) -> None:
    image = np.zeros((28, 28), np.uint8)
    image[4:24, 4:7] = 255
    image[4, 4:24] = 200
    picture = np.array(put(page, image)["picture"]).reshape(28, 28)
    assert (picture[picture.any(1)][:, picture.any(0)] == image[4:24, 4:24]).all()
    assert picture[:, 8:28].any(0).all()


def test_the_page_asks_for_nothing_but_its_own_files_and_they_are_under_100_kb(page: chromium.Page, address: str) -> None:
    base = address.removesuffix("index.html")
    assert all(a.startswith((base, "data:")) for a in page.requests)
    files = {a.removeprefix(base) for a in page.requests if a.startswith(base)}
    assert files == set(FILES)
    assert sum((WEB / name).stat().st_size for name in files) < LIMIT


def test_the_page_works_from_a_folder_without_a_server(page: chromium.Page) -> None:
    page.go((WEB / "index.html").as_uri())
    page.evaluate("ready")
    assert put(page, mnist_images(1)[0])["digit"] == 7
    assert all(a.startswith(("file:", "data:")) for a in page.requests[-6:])


def test_the_page_says_what_the_network_weighs_and_how_long_it_takes(page: chromium.Page) -> None:
    draw(page, mnist_images(1)[0], mouse)
    said = page.evaluate("Object.fromEntries(['size', 'latency', 'memory'].map((id) => [id, element(id).textContent]))")
    assert said["size"] == f"{module_bytes() / 1000:.1f} KB"
    assert 0 < float(said["latency"].removesuffix(" µs")) < 1000
    assert said["memory"].endswith(" KB")
    shares = page.evaluate("[...document.querySelectorAll('#bars span')].map((one) => parseFloat(one.textContent))")
    assert len(shares) == 10
    assert sum(shares) == pytest.approx(100, abs=0.5)


@pytest.mark.parametrize("way", ["the button", "the Escape key"])
def test_clearing_takes_drawing_and_answer_away(page: chromium.Page, way: str) -> None:
    draw(page, mnist_images(1)[0], mouse)
    if way == "the button":
        page.evaluate("element('clear').click()")
    else:
        page.evaluate("paper.dispatchEvent(new KeyboardEvent('keydown', {key: 'Escape'}))")
    assert page.evaluate("element('digit').textContent") == "–"
    assert page.evaluate("ink().some((amount) => amount > 0)") is False


def test_on_a_phone_nothing_is_wider_than_the_screen(page: chromium.Page) -> None:
    page.call("Emulation.setDeviceMetricsOverride", **PHONE)
    put(page, mnist_images(1)[0])
    assert page.evaluate("document.documentElement.scrollWidth") == PHONE["width"]


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_ink_and_paper_follow_the_colours_of_the_device(page: chromium.Page, scheme: str, tmp_path: Path) -> None:
    pytest.importorskip("PIL", reason="needs pillow")
    from PIL import Image

    page.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
    full = np.full((28, 28), 0, np.uint8)
    full[10:18, 10:18] = 255
    put(page, full)
    left, top, width = page.evaluate("(({left, top, width}) => [left, top, width])(paper.getBoundingClientRect())")
    page.screenshot(tmp_path / "page.png")
    shown = np.asarray(Image.open(io.BytesIO((tmp_path / "page.png").read_bytes())).convert("L")).astype(int)
    ink = shown[round(top + width / 2), round(left + width / 2)]
    blank = shown[round(top + width / 10), round(left + width / 2)]
    assert ink < 64 < 192 < blank if scheme == "light" else blank < 64 < 192 < ink


def test_a_browser_without_webassembly_is_told_so(browser: chromium.Page, address: str) -> None:
    script = browser.call("Page.addScriptToEvaluateOnNewDocument", source="delete globalThis.WebAssembly")
    try:
        browser.go(address)
        browser.evaluate("ready")
        assert browser.evaluate("element('problem').hidden") is False
        assert "could not start" in browser.evaluate("element('problem').textContent")
    finally:
        browser.call("Page.removeScriptToEvaluateOnNewDocument", identifier=script["identifier"])


def test_the_readme_says_how_large_the_network_and_the_page_are() -> None:
    text = (WEB / "README.md").read_text()
    assert f"the network: {module_bytes() / 1000:.0f} KB of code and weights" in text
    assert f"The page with its network is {sum((WEB / name).stat().st_size for name in FILES) / 1000:.0f} KB" in text
