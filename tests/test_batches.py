"""Words for data, preprocessing, and batches that depend on their seed alone."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from data_files import refusal, write_idx_set, write_npz

from edgeprune.data import ArraySplit, Preprocessing, Split, load_data, parse_data_spec
from edgeprune.data.splits import CropAndFlip
from edgeprune.errors import EdgepruneError


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
