"""The known data sets: what they give in each layout, and what they say when they are damaged."""

from __future__ import annotations

import gzip
import io
import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from data_files import RNG, idx, refusal, write_idx_set
from PIL import Image

from edgeprune.data import Preprocessing, load_data
from edgeprune.data.cifar import _PlainUnpickler

# --- MNIST


@pytest.mark.parametrize("zipped", [False, True])
@pytest.mark.parametrize("inside", ["", "raw", "MNIST/raw"])
def test_idx_files_are_read_raw_and_zipped_in_their_usual_folders(tmp_path: Path, zipped: bool, inside: str) -> None:
    arrays = write_idx_set(tmp_path / inside, zipped=zipped)
    data = load_data(f"mnist:{tmp_path}")
    x, y = data.test.first(3)
    wanted = (arrays["t10k-images-idx3-ubyte"][:3, None] / 255 - 0.1307) / 0.3081
    np.testing.assert_allclose(x.numpy(), wanted, rtol=1e-5, atol=1e-6)
    assert y.tolist() == [0, 1, 2]
    assert (data.input_shape, data.classes[7], len(data.train or ())) == ((1, 28, 28), "7", 12)
    assert x.dtype == torch.float32
    assert y.dtype == torch.int64


def test_the_shipped_mnist_is_complete(mnist_sample: Path) -> None:
    data = load_data(f"mnist:{mnist_sample / 'data'}")
    assert data.train is not None
    assert (len(data.train), len(data.test)) == (60_000, 10_000)
    pixels = torch.cat([x for x, _ in data.train.batches(10_000)])
    assert abs(float(pixels.mean())) < 1e-3
    assert abs(float(pixels.std()) - 1) < 1e-3


def test_fashion_mnist_has_its_own_names_and_statistics(tmp_path: Path) -> None:
    write_idx_set(tmp_path)
    data = load_data(f"fashion-mnist:{tmp_path}")
    assert data.classes[9] == "Ankle boot"
    assert data.preprocessing.mean == (0.2860,)


def test_a_set_without_training_files_is_only_evaluated_on(tmp_path: Path) -> None:
    write_idx_set(tmp_path)
    for file in tmp_path.glob("train*"):
        file.unlink()
    assert load_data(f"mnist:{tmp_path}").train is None


def damage(path: Path, how: str) -> None:
    raw = path.read_bytes()
    if how == "truncated":
        path.write_bytes(raw[:-5])
    elif how == "longer":
        path.write_bytes(raw + b"x")
    elif how == "header only":
        path.write_bytes(raw[:6])
    elif how == "empty":
        path.write_bytes(b"")
    elif how == "wrong magic":
        path.write_bytes(b"\0\0\x09\x03" + raw[4:])
    elif how == "missing":
        path.unlink()
    elif how == "half a gzip":
        path.write_bytes(gzip.compress(raw)[:-20])
    elif how == "bad gzip":
        path.write_bytes(b"\x1f\x8b" + raw[:100])


@pytest.mark.parametrize(
    "how", ["truncated", "longer", "header only", "empty", "wrong magic", "missing", "half a gzip", "bad gzip"]
)
@pytest.mark.parametrize("name", ["t10k-images-idx3-ubyte", "train-labels-idx1-ubyte"])
def test_a_damaged_idx_file_is_named_with_what_to_do(tmp_path: Path, how: str, name: str) -> None:
    write_idx_set(tmp_path)
    damage(tmp_path / name, how)
    message = refusal(f"mnist:{tmp_path}")
    assert name in message
    assert any(remedy in message for remedy in ("again", "add it", "give the right file"))


def test_labels_under_the_name_of_images_are_told_apart(tmp_path: Path) -> None:
    write_idx_set(tmp_path)
    (tmp_path / "t10k-images-idx3-ubyte").write_bytes((tmp_path / "t10k-labels-idx1-ubyte").read_bytes())
    assert "labels, not images" in refusal(f"mnist:{tmp_path}")


def test_images_and_labels_of_different_counts_are_refused(tmp_path: Path) -> None:
    write_idx_set(tmp_path)
    (tmp_path / "t10k-labels-idx1-ubyte").write_bytes(idx(np.zeros(11, np.uint8)))
    assert "12 images" in refusal(f"mnist:{tmp_path}")


def test_a_label_beyond_the_classes_is_refused(tmp_path: Path) -> None:
    write_idx_set(tmp_path)
    (tmp_path / "t10k-labels-idx1-ubyte").write_bytes(idx(np.full(12, 10, np.uint8)))
    assert "label 10" in refusal(f"mnist:{tmp_path}")


def test_an_empty_or_absent_folder_says_what_it_should_hold(tmp_path: Path) -> None:
    assert "idx" in refusal(f"mnist:{tmp_path}")
    assert "not a folder" in refusal(f"mnist:{tmp_path / 'absent'}")


# --- CIFAR-10


def cifar_pixels(n: int) -> tuple[np.ndarray, np.ndarray]:
    return RNG.integers(0, 256, (n, 3, 32, 32), dtype=np.uint8), RNG.integers(0, 10, n).astype(np.uint8)


def write_cifar(folder: Path, layout: str, x: np.ndarray, y: np.ndarray) -> None:
    if layout == "webp":
        for split in ("train", "test"):
            with zipfile.ZipFile(folder / f"cifar10_{split}_webp.zip", "w") as file:
                file.writestr(f"{split}/labels.u8", y.tobytes())
                padded = np.concatenate([x, np.zeros((-len(x) % 100, 3, 32, 32), np.uint8)])
                for i in range(len(padded) // 100):
                    tiles = padded[100 * i : 100 * i + 100].transpose(0, 2, 3, 1).reshape(10, 10, 32, 32, 3)
                    sheet = io.BytesIO()
                    Image.fromarray(tiles.transpose(0, 2, 1, 3, 4).reshape(320, 320, 3)).save(sheet, "webp", lossless=True)
                    file.writestr(f"{split}/{i:03d}.webp", sheet.getvalue())
        return
    for name in ["test_batch", *(f"data_batch_{i}" for i in range(1, 6))]:
        if layout == "python":
            inside = folder / "cifar-10-batches-py"
            inside.mkdir(exist_ok=True)
            (inside / name).write_bytes(pickle.dumps({"data": x.reshape(len(x), -1), "labels": y.tolist()}, protocol=2))
        else:
            (folder / f"{name}.bin").write_bytes(np.concatenate([y[:, None], x.reshape(len(x), -1)], axis=1).tobytes())


@pytest.mark.parametrize("layout", ["python", "binary", "webp"])
def test_cifar10_is_read_in_each_layout(tmp_path: Path, layout: str) -> None:
    x, y = cifar_pixels(130)
    write_cifar(tmp_path, layout, x, y)
    data = load_data(f"cifar10:{tmp_path}", preprocessing=Preprocessing(1.0, (0.0,), (1.0,), "rgb", (32, 32)))
    found, labels = data.test.first(130)
    assert np.array_equal(found.numpy(), x)
    assert labels.tolist() == y.tolist()
    assert len(data.train or ()) == (130 if layout == "webp" else 650)
    assert data.classes[3] == "cat"


def test_the_batches_as_their_authors_wrote_them_are_read() -> None:
    # Python 2 and a numpy of its time: the names of the module and the reconstruction differ.
    old = (
        b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(I0\ntS'b'\ntR(I1\n(I2\ntcnumpy\ndtype\n(S'u1'\nI0\nI1\ntR"
        b"(I3\nS'|'\nNNNI-1\nI-1\nI0\ntbI00\nS'\\x01\\xff'\ntb."
    )
    array = _PlainUnpickler(io.BytesIO(old), encoding="latin1").load()
    assert array.tolist() == [1, 255]


def test_a_batch_that_would_run_code_is_refused(tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> tuple[object, ...]:
            return (Path.touch, (tmp_path / "ran",))

    (tmp_path / "test_batch").write_bytes(pickle.dumps({"data": Evil()}))
    assert "test_batch" in refusal(f"cifar10:{tmp_path}")
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("layout", "name"),
    [
        ("python", "cifar-10-batches-py/test_batch"),
        ("binary", "test_batch.bin"),
        ("binary", "data_batch_3.bin"),
        ("webp", "cifar10_test_webp.zip"),
    ],
)
def test_a_truncated_cifar_file_is_named(tmp_path: Path, layout: str, name: str) -> None:
    write_cifar(tmp_path, layout, *cifar_pixels(10))
    path = tmp_path / name
    path.write_bytes(path.read_bytes()[:-100])
    assert str(path) in refusal(f"cifar10:{tmp_path}")


def test_a_missing_cifar_batch_is_named(tmp_path: Path) -> None:
    write_cifar(tmp_path, "binary", *cifar_pixels(10))
    (tmp_path / "data_batch_4.bin").unlink()
    assert "data_batch_4.bin" in refusal(f"cifar10:{tmp_path}")


def test_a_folder_without_cifar_names_the_layouts(tmp_path: Path) -> None:
    message = refusal(f"cifar10:{tmp_path}")
    assert all(part in message for part in ("data_batch_1", "test_batch.bin", "cifar10_test_webp.zip"))


def test_the_real_cifar10_test_set_is_complete(shared_data: Path) -> None:
    data = load_data(f"cifar10:{shared_data / 'cifar10'}", limit=1000)
    assert len(data.test) == 1000
    x = torch.cat([x for x, _ in data.test.batches(500)])
    assert abs(float(x.mean())) < 0.05
    assert abs(float(x.std()) - 1) < 0.05
