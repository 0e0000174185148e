"""The C that the app samples call: a static library for phones' processors, on real digits."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

import edgeprune
from edgeprune import formats

SAMPLES = Path(__file__).parents[2] / "samples"
STRICT = ["-std=c99", "-Wall", "-Wextra", "-Werror", "-O2", "-ffp-contract=fast"]
# Reads one image after the other and says the class of each.
PROGRAM = """
#include <stdio.h>
#include "classifier.h"
int main(void) {
    unsigned char image[784];
    while (classifier_image_bytes() == 784 && fread(image, 1, 784, stdin) == 784) printf("%d\\n", classifier_run(image, 0));
    return classifier_classes() != 10;
}
"""


@pytest.fixture(scope="module")
def model(mnist_sample: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The shipped network with the 64th part of its weights, as C with its preprocessing."""
    loaded = edgeprune.load(mnist_sample / "lenet_300_100.pt")
    pruned = edgeprune.prune(loaded.module, 64, data=None, example_inputs=loaded.example_inputs)
    small = edgeprune.shrink(edgeprune.capture(pruned.module, loaded.example_inputs))
    data = edgeprune.load_data(loaded.data_spec)
    path = tmp_path_factory.mktemp("app") / "model.c"
    said = formats.Metadata(preprocessing=data.preprocessing.to_dict(), classes=data.classes)
    edgeprune.write(small, path, metadata=said)
    return path


def expected(model: Path, mnist_sample: Path) -> tuple[bytes, list[int]]:
    """Raw pixels of 20 digits, and the classes that the model's own runner gives them."""
    data = edgeprune.load_data(f"mnist:{mnist_sample / 'data'}")
    inputs = data.test.first(20)[0].numpy()
    p = data.preprocessing
    pixels = np.rint((inputs * p.std[0] + p.mean[0]) / p.scale).astype(np.uint8)
    return pixels.tobytes(), [int(each.argmax()) for each in formats.load(model).run(inputs)[0]]


def test_a_static_library_for_phones_gives_digits_their_classes(model: Path, mnist_sample: Path, tmp_path: Path) -> None:
    compiler, archiver, emulator = "aarch64-linux-gnu-gcc", "aarch64-linux-gnu-ar", "qemu-aarch64"
    for tool in (compiler, archiver, emulator):
        if shutil.which(tool) is None:
            pytest.skip(f"building and running for aarch64 needs {tool}, which is not installed")
    native = SAMPLES / "native"
    for source in (native / "classifier.c", model):
        words = [compiler, *STRICT, "-c", f"-I{native}", f"-I{model.parent}", str(source)]
        subprocess.run([*words, "-o", str(tmp_path / f"{source.stem}.o")], check=True)
    library = tmp_path / "libclassifier.a"
    subprocess.run([archiver, "rcs", str(library), *map(str, tmp_path.glob("*.o"))], check=True)
    (tmp_path / "main.c").write_text(PROGRAM)
    words = [compiler, *STRICT, "-static", f"-I{native}", str(tmp_path / "main.c"), str(library), "-lm"]
    subprocess.run([*words, "-o", str(tmp_path / "app")], check=True)
    pixels, classes = expected(model, mnist_sample)
    words = [emulator, "-cpu", "cortex-a76", str(tmp_path / "app")]
    done = subprocess.run(words, input=pixels, capture_output=True, check=True)
    assert [int(line) for line in done.stdout.split()] == classes
    assert len(set(classes)) > 3


@pytest.mark.parametrize("folder", ["android", "ios"])
def test_what_is_not_built_here_says_so_at_its_top(folder: str) -> None:
    for path in (SAMPLES / folder).iterdir():
        head = path.read_text().split("\n\n")[1 if path.suffix == ".md" else 0]
        assert "ot built here" in head or "ot compiled here" in head, path


def test_the_samples_feed_what_the_shipped_model_expects(mnist_sample: Path) -> None:
    p = edgeprune.load_data(f"mnist:{mnist_sample / 'data'}").preprocessing
    numbers = (p.mean[0], p.std[0])
    for path in (SAMPLES / "android" / "LiteRtClassifier.kt", SAMPLES / "ios" / "LiteRtClassifier.swift"):
        assert all(f"{number:g}" in path.read_text() for number in numbers)
    assert p.scale == pytest.approx(1 / 255)
