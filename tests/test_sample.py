"""The job of the README's first command, with its default settings. Minutes long: runs with --nightly."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch

import edgeprune
from edgeprune.formats import load, read
from edgeprune.pruning import Probe

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def out(mnist_sample: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("demo")
    edgeprune.compress(mnist_sample / "lenet_300_100.pt", 1024, targets="tflite,onnx", out=folder, measure=False)
    return folder


def test_exactly_259_weights_are_kept_and_all_of_them_are_alive(out: Path) -> None:
    loaded = edgeprune.load(out / "pruned.pt")
    assert loaded.masks is not None
    assert sum(int(m.sum()) for m in loaded.masks.values()) == 259
    assert Probe(loaded.module, loaded.example_inputs).alive(loaded.masks).kept == 259


def test_the_accuracy_is_at_least_75_percent(out: Path) -> None:
    loaded = edgeprune.load(out / "pruned.pt")
    assert loaded.data_spec is not None
    x, y = edgeprune.load_data(loaded.data_spec).test.first(10_000)
    with torch.no_grad():
        assert float((loaded.module(x).argmax(1) == y).float().mean()) >= 0.75


@pytest.mark.parametrize("name", ["model.tflite", "model.onnx"])
def test_the_artifact_is_small_sparse_and_says_the_same_on_all_test_images(out: Path, name: str) -> None:
    assert (out / name).stat().st_size <= 8 * 1024
    sparse = [t for t in read(out / name).tensors if t.encoding in ("csr", "coo")]
    assert len(sparse) == 3
    loaded = edgeprune.load(out / "pruned.pt")
    assert loaded.data_spec is not None
    x, _ = edgeprune.load_data(loaded.data_spec).test.first(10_000)
    with torch.no_grad():
        expected = loaded.module(x).numpy()
    (found,) = load(out / name).run(x.numpy())
    assert (found.argmax(1) == expected.argmax(1)).all()
    assert np.abs(found - expected).max() <= 1e-5 * np.abs(expected).max()


def test_tflite_runtime_says_the_same(out: Path, tmp_path: Path) -> None:
    other = os.environ.get("EDGEPRUNE_TFLITE_RUNTIME_PYTHON")
    if not other:
        pytest.skip("set EDGEPRUNE_TFLITE_RUNTIME_PYTHON to a Python that has tflite-runtime and numpy < 2")
    loaded = edgeprune.load(out / "pruned.pt")
    assert loaded.data_spec is not None
    x, _ = edgeprune.load_data(loaded.data_spec).test.first(10_000)
    with torch.no_grad():
        expected = loaded.module(x).numpy()
    np.save(tmp_path / "x.npy", x.permute(0, 2, 3, 1).numpy())
    code = (
        "import numpy, tflite_runtime.interpreter as t\n"
        f"x = numpy.load({str(tmp_path / 'x.npy')!r})\n"
        f"i = t.Interpreter({str(out / 'model.tflite')!r})\n"
        "n = i.get_input_details()[0]['index']\n"
        "i.resize_tensor_input(n, x.shape); i.allocate_tensors(); i.set_tensor(n, x); i.invoke()\n"
        f"numpy.save({str(tmp_path / 'y.npy')!r}, i.get_tensor(i.get_output_details()[0]['index']))\n"
    )
    subprocess.run([other, "-c", code], check=True)
    found = np.load(tmp_path / "y.npy")
    assert (found.argmax(1) == expected.argmax(1)).all()
    assert np.abs(found - expected).max() <= 1e-5 * np.abs(expected).max()
