"""Data sets by a word: what they give, and what they say when they are damaged."""

from __future__ import annotations

import gzip
import io
import pickle
import struct
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from edgeprune.data import ArraySplit, Preprocessing, Split, load_data, parse_data_spec
from edgeprune.data.cifar import _PlainUnpickler
from edgeprune.data.splits import CropAndFlip
from edgeprune.errors import EdgepruneError

RNG = np.random.default_rng(0)


def idx(array: np.ndarray) -> bytes:
    return struct.pack(f">I{array.ndim}I", 2048 + array.ndim, *array.shape) + array.tobytes()


def write_idx_set(folder: Path, *, zipped: bool = False, n: int = 12) -> dict[str, np.ndarray]:
    folder.mkdir(parents=True, exist_ok=True)
    arrays = {}
    for prefix in ("train", "t10k"):
        arrays[f"{prefix}-images-idx3-ubyte"] = RNG.integers(0, 256, (n, 28, 28), dtype=np.uint8)
        arrays[f"{prefix}-labels-idx1-ubyte"] = (np.arange(n) % 10).astype(np.uint8)
    for name, array in arrays.items():
        raw = idx(array)
        (folder / (name + ".gz" * zipped)).write_bytes(gzip.compress(raw) if zipped else raw)
    return arrays


def refusal(spec: str, **how: object) -> str:
    with pytest.raises(EdgepruneError) as caught:
        load_data(spec, **how)  # type: ignore[arg-type]
    assert "\n" not in str(caught.value)
    return str(caught.value)


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


# --- image folders


def write_images(folder: Path, splits: tuple[str, ...] = ("train", "val"), size: tuple[int, int] = (40, 30), n: int = 3) -> None:
    for split in splits:
        for value, name in ((50, "ant"), (200, "bee")):
            (folder / split / name).mkdir(parents=True)
            for i in range(n):
                Image.new("RGB", size, (value, value, value)).save(folder / split / name / f"{i}.png")


def test_an_image_folder_gives_a_class_a_folder_at_the_networks_size(tmp_path: Path) -> None:
    write_images(tmp_path)
    data = load_data(
        f"imagefolder:{tmp_path}", input_shape=(3, 16, 24), preprocessing=Preprocessing(1 / 255, (0.0,), (1.0,), "rgb")
    )
    x, y = data.test.first(9)
    assert (data.input_shape, x.shape, y.tolist()) == ((3, 16, 24), (6, 3, 16, 24), [0, 0, 0, 1, 1, 1])
    assert float(x[0].mean()) == pytest.approx(50 / 255, abs=1e-3)
    assert data.classes == ("ant", "bee")
    assert data.preprocessing.size == (16, 24)


def test_an_image_of_the_wanted_size_is_left_alone(tmp_path: Path) -> None:
    write_images(tmp_path)
    pixels = RNG.integers(0, 256, (8, 8, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "val" / "ant" / "0.png")
    data = load_data(f"imagefolder:{tmp_path}", preprocessing=Preprocessing(1.0, (0.0,), (1.0,), "rgb", (8, 8)))
    assert np.array_equal(data.test.first(1)[0][0].numpy(), pixels.transpose(2, 0, 1))


def test_gray_inputs_read_images_as_gray(tmp_path: Path) -> None:
    write_images(tmp_path)
    data = load_data(f"imagefolder:{tmp_path}", input_shape=(1, 8, 8))
    assert data.preprocessing.color == "gray"
    assert data.test.first(1)[0].shape == (1, 1, 8, 8)


def test_augmented_images_do_not_depend_on_the_number_of_workers(tmp_path: Path) -> None:
    write_images(tmp_path, n=6)
    for i, path in enumerate(sorted((tmp_path / "train").rglob("*.png"))):
        Image.fromarray(np.random.default_rng(i).integers(0, 256, (30, 40, 3), dtype=np.uint8)).save(path)
    train = load_data(f"imagefolder:{tmp_path}", input_shape=(3, 8, 8)).train
    assert train is not None
    runs = []
    for workers in (0, 2):
        train._workers = workers  # type: ignore[attr-defined]
        runs.append(torch.cat([x for x, _ in train.batches(2, shuffle=True, seed=5, augment=True)]))
    assert torch.equal(*runs)


def test_an_image_folder_without_its_layout_says_what_it_should_be(tmp_path: Path) -> None:
    write_images(tmp_path, ("train",))
    assert "val/<class>/<images>" in refusal(f"imagefolder:{tmp_path}")


def test_a_class_that_only_validation_has_is_named(tmp_path: Path) -> None:
    write_images(tmp_path)
    (tmp_path / "val" / "ant").rename(tmp_path / "val" / "wasp")
    assert "'wasp'" in refusal(f"imagefolder:{tmp_path}")


def test_an_empty_class_folder_is_named(tmp_path: Path) -> None:
    write_images(tmp_path)
    (tmp_path / "train" / "cow").mkdir()
    assert "cow" in refusal(f"imagefolder:{tmp_path}")


@pytest.mark.parametrize("workers", [0, 2])
def test_a_damaged_image_is_named(tmp_path: Path, workers: int) -> None:
    write_images(tmp_path)
    (tmp_path / "val" / "bee" / "1.png").write_bytes(b"no image")
    data = load_data(f"imagefolder:{tmp_path}")
    data.test._workers = workers  # type: ignore[attr-defined]
    with pytest.raises(EdgepruneError, match=r"1\.png is no readable image"):
        list(data.test.batches(1))


# --- arrays


def write_npz(path: Path, **arrays: np.ndarray) -> str:
    np.savez(path, **arrays)
    return str(path)


def some(*shape: int) -> np.ndarray:
    return RNG.random(shape, dtype=np.float32)


@pytest.mark.parametrize(
    ("stored", "input_shape", "found"),
    [
        (some(5, 6), None, (6,)),
        (some(5, 3, 8, 9), None, (3, 8, 9)),
        (some(5, 8, 9, 3), None, (3, 8, 9)),
        (some(5, 8, 9, 4), (4, 8, 9), (4, 8, 9)),
        (some(5, 8, 9), (1, 8, 9), (1, 8, 9)),
        (some(5, 8, 9), None, (8, 9)),
        (some(5, 1, 8, 8), (64,), (64,)),
        ((some(5, 8, 9) * 255).astype(np.uint8), None, (1, 8, 9)),
    ],
)
def test_arrays_take_the_shape_of_the_network(
    tmp_path: Path, stored: np.ndarray, input_shape: tuple[int, ...] | None, found: tuple[int, ...]
) -> None:
    spec = write_npz(tmp_path / "a.npz", x=stored, y=np.arange(5))
    data = load_data(spec, input_shape=input_shape)
    assert data.input_shape == found
    assert data.test.first(2)[0].shape == (2, *found)
    assert data.train is None


def test_channels_last_pixels_keep_their_values(tmp_path: Path) -> None:
    x = RNG.integers(0, 256, (4, 5, 6, 3), dtype=np.uint8)
    spec = write_npz(tmp_path / "a.npz", x_train=x, y_train=np.arange(4), x_test=x, y_test=np.arange(4))
    data = load_data(spec)
    np.testing.assert_allclose(data.test.first(4)[0].numpy(), x.transpose(0, 3, 1, 2) / 255, rtol=1e-6)
    assert data.classes == ("0", "1", "2", "3")
    assert data.preprocessing.color == "rgb"


@pytest.mark.parametrize(
    ("arrays", "part"),
    [
        ({"a": some(3)}, "x_test"),
        ({"x_train": some(3, 2), "y_train": np.arange(3)}, "x_test"),
        ({"x_test": some(3, 2)}, "without y_test"),
        ({"x": some(3, 2), "y": np.arange(4)}, "3 inputs"),
        ({"x": some(3, 2), "y": np.array([0.0, 1, 2])}, "whole number"),
        ({"x": some(3, 2), "y": np.array([0, -1, 2])}, "label -1"),
        ({"x": np.full((3, 2), np.nan, np.float32), "y": np.arange(3)}, "NaN"),
        ({"x": np.zeros((3, 2), np.int64), "y": np.arange(3)}, "int64"),
        ({"x": some(3, 2), "y": np.arange(3), "classes": np.array(["a"])}, "classes has 1"),
        ({"x": np.array([object()] * 3), "y": np.arange(3)}, "plain arrays"),
    ],
)
def test_arrays_that_cannot_be_used_are_named(tmp_path: Path, arrays: dict[str, np.ndarray], part: str) -> None:
    spec = write_npz(tmp_path / "a.npz", **arrays)
    message = refusal(spec)
    assert part in message
    assert "a.npz" in message


@pytest.mark.parametrize("keep", [0, 10, 300])
def test_a_truncated_npz_is_named(tmp_path: Path, keep: int) -> None:
    spec = write_npz(tmp_path / "a.npz", x=some(30, 20), y=np.arange(30))
    Path(spec).write_bytes(Path(spec).read_bytes()[:keep])
    assert "a.npz" in refusal(spec)


def test_a_shape_that_does_not_fit_the_network_is_refused(tmp_path: Path) -> None:
    spec = write_npz(tmp_path / "a.npz", x=some(5, 6), y=np.arange(5))
    message = refusal(spec, input_shape=(7,))
    assert "(6,)" in message
    assert "(7,)" in message


# --- functions

PLAIN = """
import random, torch
class Pairs(torch.utils.data.Dataset):
    classes = ["no", "yes"]
    def __init__(self, n): self.n = n
    def __len__(self): return self.n
    def __getitem__(self, i): return torch.tensor([float(i), random.random(), float(torch.rand(()))]), i % 2
def both(): return Pairs(10), Pairs(4)
def only_test(): return None, Pairs(4)
def whole():
    from edgeprune.data import ArraySplit, Data, Preprocessing
    p = Preprocessing(1.0, (0.0,), (1.0,), "none")
    return Data("", None, ArraySplit(torch.zeros(3, 2), torch.zeros(3), p), (2,), ("a",), p)
def nothing(): return None
def no_test(): return Pairs(3), None
def words(): return None, [("a", "b")]
def numbers(): return None, [(torch.arange(3), 1)]
def fails(): raise RuntimeError("no disk")
value = 3
"""


def test_a_function_may_give_two_datasets(tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text(PLAIN)
    data = load_data(f"{tmp_path}/own.py:both")
    assert data.train is not None
    assert (len(data.train), len(data.test), data.input_shape, data.classes) == (10, 4, (3,), ("no", "yes"))
    assert sorted(x[0, 0].item() for x, _ in data.train.batches(1, shuffle=True)) == list(range(10))


def test_a_function_may_give_a_finished_data(tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text(PLAIN)
    data = load_data(f"{tmp_path}/own.py:whole")
    assert (data.input_shape, data.classes) == ((2,), ("a",))
    assert data.spec == f"{tmp_path}/own.py:whole"
    assert load_data(data.spec, preprocessing=data.preprocessing).input_shape == (2,)
    assert "inside the function" in refusal(data.spec, preprocessing=replace(data.preprocessing, mean=(1.0,)))


def test_a_datasets_own_draws_follow_the_seed_and_disturb_nobody(tmp_path: Path) -> None:
    (tmp_path / "own.py").write_text(PLAIN)
    split = load_data(f"{tmp_path}/own.py:both").train
    assert split is not None
    torch.manual_seed(3)
    before = torch.random.get_rng_state()
    first, again, other = (torch.cat([x for x, _ in split.batches(4, shuffle=True, seed=s)]) for s in (1, 1, 2))
    assert torch.equal(first, again)
    assert not torch.equal(first, other)
    for draws in (1, 2):  # of random, of torch: every item its own
        values = first[:, draws].tolist() + other[:, draws].tolist()
        assert len(set(values)) == len(values)
    assert torch.equal(torch.random.get_rng_state(), before)


@pytest.mark.parametrize(
    ("name", "part"),
    [
        ("nothing", "NoneType"),
        ("no_test", "no test dataset"),
        ("words", "item 0"),
        ("numbers", "int64"),
        ("fails", "no disk"),
        ("value", "not a function"),
        ("bot", "'both'"),
    ],
)
def test_a_function_that_gives_no_data_is_named(tmp_path: Path, name: str, part: str) -> None:
    (tmp_path / "own.py").write_text(PLAIN)
    message = refusal(f"{tmp_path}/own.py:{name}")
    assert part in message
    assert "own.py" in message


# --- specs, preprocessing, batches


@pytest.mark.parametrize(
    ("spec", "part"),
    [
        ("mnist", "mnist:DIR"),
        ("mnist:", "mnist:DIR"),
        ("minst:data", "'mnist'"),
        ("some/where:f", "mnist:DIR"),
        ("cifar10/x", "two parts"),
        ("absent.npz", "does not exist"),
    ],
)
def test_a_spec_that_names_no_data_lists_what_does(spec: str, part: str) -> None:
    assert part in refusal(spec)


@pytest.mark.parametrize("spec", ["mnist:data", "data/a.npz", "own/loader.py:f"])
def test_a_path_inside_the_folder_is_kept_relative_and_found_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, spec: str
) -> None:
    monkeypatch.chdir(tmp_path)
    assert str(parse_data_spec(spec).kept_beside(tmp_path)) == spec
    found = parse_data_spec(spec).found_from(tmp_path)
    assert Path(found.path).is_absolute()
    assert str(found.kept_beside(tmp_path)) == spec


def test_a_path_outside_the_folder_is_kept_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert str(parse_data_spec("mnist:data").kept_beside(tmp_path / "out")) == f"mnist:{tmp_path / 'data'}"


def test_a_module_has_no_path_to_keep(tmp_path: Path) -> None:
    assert str(parse_data_spec("own.loader:f").kept_beside(tmp_path)) == "own.loader:f"


def test_preprocessing_survives_its_dictionary() -> None:
    preprocessing = Preprocessing(1 / 255, (0.1, 0.2, 0.3), (1.0, 2.0, 3.0), "rgb", (4, 5))
    assert Preprocessing.from_dict(preprocessing.to_dict()) == preprocessing


@pytest.mark.parametrize(
    "change", [{"std": (0.0,)}, {"mean": (0.1, 0.2)}, {"color": "blue"}, {"scale": float("nan")}, {"scale": 0.0}, {"mean": ()}]
)
def test_preprocessing_that_no_application_can_do_is_refused(change: dict[str, object]) -> None:
    with pytest.raises(EdgepruneError, match="preprocessing"):
        replace(Preprocessing(1.0, (0.0,), (1.0,), "gray"), **change)  # type: ignore[arg-type]


def test_preprocessing_of_other_channels_is_refused_at_once(tmp_path: Path) -> None:
    write_idx_set(tmp_path)
    message = refusal(f"mnist:{tmp_path}", preprocessing=Preprocessing(1.0, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0), "rgb"))
    assert "3 values of mean" in message


def split_of(n: int = 50) -> Split:
    pixels = torch.arange(n * 3 * 8 * 8).reshape(n, 3, 8, 8).remainder(251).to(torch.uint8)
    plain = Preprocessing(1.0, (0.0,), (1.0,), "rgb", (8, 8))
    return ArraySplit(pixels, torch.arange(n), plain, augmentation=CropAndFlip(padding=2))


@pytest.mark.parametrize("augment", [False, True])
def test_batches_depend_on_the_seed_alone(augment: bool) -> None:
    split = split_of()
    torch.manual_seed(1)
    first = list(split.batches(16, shuffle=True, seed=7, augment=augment))
    torch.manual_seed(2)
    again = list(split.batches(16, shuffle=True, seed=7, augment=augment))
    other = list(split.batches(16, shuffle=True, seed=8, augment=augment))
    assert all(torch.equal(a, b) and torch.equal(c, d) for (a, c), (b, d) in zip(first, again, strict=True))
    assert not torch.equal(first[0][1], other[0][1])


def test_every_example_comes_once_an_epoch() -> None:
    labels = torch.cat([y for _, y in split_of().batches(16, shuffle=True, seed=3)])
    assert sorted(labels.tolist()) == list(range(50))


def test_unshuffled_batches_keep_the_order_and_the_pixels() -> None:
    split = split_of()
    x = torch.cat([x for x, _ in split.batches(7)])
    assert torch.equal(x, split.first(50)[0])
    assert len(split.first(99)[0]) == 50


def test_a_crop_is_a_window_of_the_padded_image_and_flips_are_mirrors() -> None:
    images = torch.randint(1, 255, (200, 3, 8, 8), dtype=torch.uint8)
    got = CropAndFlip(padding=2)(images, torch.Generator().manual_seed(0))
    padded = torch.nn.functional.pad(images, [2] * 4)
    seen = set()
    for image, original in zip(got, padded, strict=True):
        windows = {
            (top, left, flip): original[:, top : top + 8, left : left + 8].flip(2)
            if flip
            else original[:, top : top + 8, left : left + 8]
            for top in range(5)
            for left in range(5)
            for flip in (False, True)
        }
        matching = [key for key, window in windows.items() if torch.equal(window, image)]
        assert matching
        seen.add(matching[0])
    assert {flip for _, _, flip in seen} == {False, True}
    assert {top for top, _, _ in seen} == set(range(5))
    assert {left for _, left, _ in seen} == set(range(5))


def test_mnist_is_not_augmented(tmp_path: Path) -> None:
    write_idx_set(tmp_path)
    train = load_data(f"mnist:{tmp_path}").train
    assert train is not None
    assert torch.equal(next(train.batches(12, augment=True))[0], train.first(12)[0])


def test_a_limit_takes_examples_evenly(tmp_path: Path) -> None:
    spec = write_npz(tmp_path / "a.npz", x=np.arange(10, dtype=np.float32)[:, None], y=np.arange(10))
    assert load_data(spec, limit=5).test.first(9)[1].tolist() == [0, 2, 4, 6, 8]
    assert len(load_data(spec, limit=99).test) == 10
    assert "limit 0" in refusal(spec, limit=0)


def test_a_batch_size_of_nothing_is_refused() -> None:
    with pytest.raises(EdgepruneError, match="batch size 0"):
        list(split_of().batches(0))
