"""Images in a folder a class: `DIR/train/<class>/*` and `DIR/val/<class>/*`."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..errors import EdgepruneError, MissingExtra
from .preprocessing import Preprocessing
from .splits import SeededSplit, spread

_SUFFIXES = {".jpg", ".jpeg", ".png", ".webp", ".bmp", ".ppm", ".tif", ".tiff"}
_TEST = ("val", "test", "valid", "validation")
_MARGIN = 0.875  # the centre crop's share of the resized image, as ImageNet networks are evaluated


def read_image_folder(
    folder: Path, preprocessing: Preprocessing, limit: int | None
) -> tuple[dict[str, FolderSplit], tuple[str, ...]]:
    """The splits under "train" and "test", and the class names in the order of the labels."""
    layout = f"{folder}/train/<class>/<images> and {folder}/val/<class>/<images> (or test/)"
    tests = [folder / name for name in _TEST if (folder / name).is_dir()]
    if not tests:
        raise EdgepruneError(f"{folder} holds no val or test folder; it should look like {layout}")
    places = {"test": tests[0]}
    if (folder / "train").is_dir():
        places["train"] = folder / "train"
    names = {split: _classes(place) for split, place in places.items()}
    classes = names.get("train", names["test"])
    for name in names["test"]:
        if name not in classes:
            raise EdgepruneError(f"{tests[0]} has class {name!r}, which {folder / 'train'} has not; rename or remove it")
    splits = {}
    for split, place in places.items():
        files, labels = [], []
        for name in names[split]:
            of_class = sorted(p for p in (place / name).rglob("*") if p.suffix.lower() in _SUFFIXES and p.is_file())
            if not of_class:
                kinds = ", ".join(sorted(_SUFFIXES))
                raise EdgepruneError(f"{place / name} holds no images ({kinds}); add some or remove it")
            files += of_class
            labels += [classes.index(name)] * len(of_class)
        chosen = spread(len(files), limit).tolist()
        splits[split] = FolderSplit([files[i] for i in chosen], [labels[i] for i in chosen], preprocessing)
    return splits, classes


class FolderSplit(SeededSplit):
    """Image files, read a batch at a time by worker processes.

    Evaluation resizes the shorter side and crops the centre (an image that has the wanted size already stays as it is);
    augmentation is a random crop of 8 % to 100 % of the area with an aspect of 3:4 to 4:3, and a random flip. What an image
    becomes depends on the seed and its index alone, not on the number of workers.
    """

    def __init__(
        self, files: Sequence[Path], labels: Sequence[int], preprocessing: Preprocessing, workers: int | None = None
    ) -> None:
        if preprocessing.size is None or preprocessing.color == "none":
            raise EdgepruneError("an image folder needs a size and a color (gray or rgb) in its preprocessing")
        self._files = list(files)
        self._labels = torch.tensor(labels, dtype=torch.int64)
        self._preprocessing = preprocessing
        self._workers = min(4, os.cpu_count() or 1) if workers is None else workers

    def __len__(self) -> int:
        return len(self._files)

    def _in_order(
        self, order: Tensor, batch_size: int, augment: bool, generator: torch.Generator, device: torch.device | str
    ) -> Iterator[tuple[Tensor, Tensor]]:
        draws = torch.randint(2**62, (len(self),), generator=generator)
        keys = [(i, int(draws[i]) if augment else None) for i in order.tolist()]
        # A pool costs more than it saves on a handful of images.
        workers = self._workers if len(self) > 4 * batch_size else 0
        loader = torch.utils.data.DataLoader(
            _Files(self._files, self._preprocessing),
            batch_size=batch_size,
            sampler=keys,
            num_workers=workers,
            generator=generator,
        )
        for start, pixels in zip(range(0, len(self), batch_size), loader, strict=True):
            labels = self._labels[order[start : start + batch_size]]
            yield self._preprocessing.apply(pixels.to(device)), labels.to(device)

    def first(self, n: int) -> tuple[Tensor, Tensor]:
        """The first `n` inputs and labels in their own order, fewer where there are fewer."""
        files = _Files(self._files, self._preprocessing)
        pixels = [files[i, None] for i in range(min(n, len(self)))]
        return self._preprocessing.apply(torch.stack(pixels)), self._labels[:n].clone()


class _Files(torch.utils.data.Dataset[Tensor]):
    """(index, seed or None) -> the image as uint8 [C, H, W], augmented by that seed."""

    def __init__(self, files: Sequence[Path], preprocessing: Preprocessing) -> None:
        self._files = files
        self._size = preprocessing.size or (0, 0)
        self._mode = "L" if preprocessing.color == "gray" else "RGB"

    def __getitem__(self, key: tuple[int, int | None]) -> Tensor:
        index, seed = key
        try:
            from PIL import Image, UnidentifiedImageError
        except ModuleNotFoundError:
            raise MissingExtra("pillow", "torch", "reading images") from None
        path = self._files[index]
        try:
            with Image.open(path) as opened:
                image = opened.convert(self._mode)
        except (UnidentifiedImageError, OSError, SyntaxError, Image.DecompressionBombError) as error:
            raise EdgepruneError(f"{path} is no readable image ({error}); replace or remove it") from None
        image = self._centred(image) if seed is None else self._augmented(image, seed)
        pixels = torch.from_numpy(np.array(image))
        return pixels[None] if pixels.dim() == 2 else pixels.permute(2, 0, 1).contiguous()

    def _centred(self, image: Any) -> Any:
        height, width = self._size
        if image.size == (width, height):
            return image
        scale = max(height / image.height, width / image.width) / _MARGIN
        wide, high = max(width, round(image.width * scale)), max(height, round(image.height * scale))
        left, top = (wide - width) // 2, (high - height) // 2
        return image.resize((wide, high), 2).crop((left, top, left + width, top + height))  # 2: bilinear

    def _augmented(self, image: Any, seed: int) -> Any:
        draw = torch.rand(5, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).tolist()
        area = image.width * image.height * (0.08 + 0.92 * draw[0])
        aspect = math.exp(math.log(3 / 4) + draw[1] * (math.log(4 / 3) - math.log(3 / 4)))
        wide = min(image.width, max(1, round(math.sqrt(area * aspect))))
        high = min(image.height, max(1, round(math.sqrt(area / aspect))))
        left, top = int(draw[2] * (image.width - wide + 1)), int(draw[3] * (image.height - high + 1))
        height, width = self._size
        image = image.resize((width, height), 2, box=(left, top, left + wide, top + high))
        return image.transpose(0) if draw[4] < 0.5 else image  # 0: left and right swapped


def _classes(place: Path) -> tuple[str, ...]:
    names = tuple(sorted(p.name for p in place.iterdir() if p.is_dir() and not p.name.startswith(".")))
    if not names:
        raise EdgepruneError(f"{place} holds no class folders; put the images of each class into a folder of its own")
    return names
