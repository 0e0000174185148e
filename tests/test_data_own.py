"""Data of the user's own, as image folders, arrays and functions: what it gives, and what is refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from data_files import RNG, refusal, some, write_npz
from PIL import Image

from edgeprune.data import Preprocessing, load_data
from edgeprune.errors import EdgepruneError

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
