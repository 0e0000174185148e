"""One part of a data set, as batches whose order and augmentation depend on a seed alone."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Protocol

import torch
from torch import Tensor

from ..errors import EdgepruneError
from .preprocessing import Preprocessing


class Split(Protocol):
    """One part of a data set; its inputs come preprocessed, as float32, or as int64 where they are numbers of tokens."""

    def __len__(self) -> int:
        """How many examples it has."""

    def batches(
        self,
        batch_size: int,
        *,
        shuffle: bool = False,
        seed: int = 0,
        augment: bool = False,
        device: torch.device | str = "cpu",
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """Every example once: inputs [B, *input_shape] float32 and labels [B] int64; the last batch may be smaller."""

    def first(self, n: int) -> tuple[Tensor, Tensor]:
        """The first `n` inputs and labels in their own order, fewer where there are fewer."""


@dataclass(frozen=True)
class Data:
    """A data set: its two splits and what an application must know of its inputs.

    `train` is None where there is only something to evaluate on; `input_shape` has no batch axis; `classes` are names in the
    order of the labels, empty when nobody said.
    """

    spec: str
    train: Split | None
    test: Split
    input_shape: tuple[int, ...]
    classes: tuple[str, ...]
    preprocessing: Preprocessing


@dataclass(frozen=True)
class CropAndFlip:
    """Random crops of the image padded with zeros, and random left-right flips: the usual augmentation of CIFAR."""

    padding: int = 4
    flip: bool = True

    def __call__(self, images: Tensor, generator: torch.Generator) -> Tensor:
        """Images [B, C, H, W] cropped and flipped, each by its own draw from `generator`, same shape and dtype."""
        count, _, height, width = images.shape
        span = 2 * self.padding + 1
        top = torch.randint(span, (count, 1), generator=generator)
        left = torch.randint(span, (count, 1), generator=generator)
        rows = top + torch.arange(height)
        columns = torch.arange(width).expand(count, width)
        if self.flip:
            mirrored = torch.rand(count, 1, generator=generator) < 0.5
            columns = torch.where(mirrored, width - 1 - columns, columns)
        columns = left + columns
        padded = torch.nn.functional.pad(images, [self.padding] * 4)
        each = torch.arange(count)[:, None, None]
        # Indices around the channel slice put channels last.
        picked = padded[each, :, rows[:, :, None], columns[:, None, :]]
        return picked.permute(0, 3, 1, 2).contiguous()


class SeededSplit(ABC):
    """A split whose order and augmentation follow the seed of its batches; each kind says how it reads examples in an order."""

    @abstractmethod
    def __len__(self) -> int:
        """How many examples it has."""

    def batches(
        self,
        batch_size: int,
        *,
        shuffle: bool = False,
        seed: int = 0,
        augment: bool = False,
        device: torch.device | str = "cpu",
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """Every example once: inputs [B, *input_shape] float32 and labels [B] int64; order and augmentation follow `seed`.

        Raises EdgepruneError unless `batch_size` is positive.
        """
        if batch_size < 1:
            raise EdgepruneError(f"batch size {batch_size} is not positive; give 1 or more")
        generator = torch.Generator().manual_seed(seed)
        order = torch.randperm(len(self), generator=generator) if shuffle else torch.arange(len(self))
        yield from self._in_order(order, batch_size, augment, generator, device)

    @abstractmethod
    def _in_order(
        self, order: Tensor, batch_size: int, augment: bool, generator: torch.Generator, device: torch.device | str
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """The examples with these indices, in batches on `device`; what is random comes from `generator`."""


class ArraySplit(SeededSplit):
    """A split held in memory: `pixels` [N, ...] as they were stored, normalised a batch at a time.

    The inputs take `input_shape` after preprocessing: same number of elements, so (1, 28, 28) may be fed as (784,). Without
    preprocessing they are what is stored, such as token numbers.
    """

    def __init__(
        self,
        pixels: Tensor,
        labels: Tensor,
        preprocessing: Preprocessing | None,
        *,
        input_shape: tuple[int, ...] | None = None,
        augmentation: CropAndFlip | None = None,
    ) -> None:
        if len(pixels) != len(labels):
            raise EdgepruneError(f"{len(pixels)} inputs with {len(labels)} labels; each input needs its label")
        self._pixels = pixels
        self._labels = labels.to(torch.int64)
        self._preprocessing = preprocessing
        self._shape = tuple(pixels.shape[1:]) if input_shape is None else input_shape
        self._augmentation = augmentation

    def __len__(self) -> int:
        return len(self._labels)

    def _in_order(
        self, order: Tensor, batch_size: int, augment: bool, generator: torch.Generator, device: torch.device | str
    ) -> Iterator[tuple[Tensor, Tensor]]:
        for chosen in torch.split(order, batch_size):
            pixels = self._pixels[chosen]
            if augment and self._augmentation is not None:
                pixels = self._augmentation(pixels, generator)
            yield self._input(pixels.to(device)), self._labels[chosen].to(device)

    def first(self, n: int) -> tuple[Tensor, Tensor]:
        """The first `n` inputs and labels in their own order, fewer where there are fewer."""
        return self._input(self._pixels[:n]), self._labels[:n].clone()

    def part(self, chosen: Tensor) -> ArraySplit:
        """The examples with these indices."""
        return ArraySplit(
            self._pixels[chosen],
            self._labels[chosen],
            self._preprocessing,
            input_shape=self._shape,
            augmentation=self._augmentation,
        )

    def _input(self, pixels: Tensor) -> Tensor:
        pixels = pixels if self._preprocessing is None else self._preprocessing.apply(pixels)
        return pixels.reshape(len(pixels), *self._shape)


def held_out(data: Data, count: int, seed: int = 0) -> Data:
    """`data` with `count` of its training examples, drawn by the seed, in place of the test part: what settings are chosen on.

    Raises EdgepruneError where there are not so many, and for data that is not held in memory.
    """
    train = data.train
    if not isinstance(train, ArraySplit):
        raise EdgepruneError(f"{data.spec} has no training part held in memory to take a validation part from")
    if not 0 < count < len(train):
        raise EdgepruneError(f"{data.spec} has {len(train):,} training examples; a validation part of {count:,} leaves none")
    order = torch.randperm(len(train), generator=torch.Generator().manual_seed(seed))
    return replace(data, train=train.part(order[count:]), test=train.part(order[:count]))


def spread(count: int, limit: int | None) -> Tensor:
    """`limit` indices evenly spaced over `count` (all of them for None): sets sorted by class or difficulty stay fair."""
    if limit is None or limit >= count:
        return torch.arange(count)
    if limit < 1:
        raise EdgepruneError(f"limit {limit} is not positive; give 1 or more, or none for all")
    return torch.arange(limit) * count // limit
