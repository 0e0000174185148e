"""Whatever a function of the user's gives: a Data, or (train, test) datasets of torch."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ..errors import EdgepruneError
from ..naming import find_object
from .preprocessing import Preprocessing
from .spec import DataSpec
from .splits import Data, SeededSplit, spread

AS_IT_IS = Preprocessing(scale=1.0, mean=(0.0,), std=(1.0,), color="none")


def call_for_data(spec: DataSpec, preprocessing: Preprocessing | None, limit: int | None) -> Data:
    """Calls the function that `spec` names, without arguments. `preprocessing` only says what its datasets did already."""
    function = find_object(spec.path, spec.name, "--data", Path())
    where = f"--data {spec}"
    if not callable(function):
        raise EdgepruneError(f"{where} is a {type(function).__name__}, not a function that gives data")
    try:
        given = function()
    except EdgepruneError:
        raise
    except Exception as error:
        raise EdgepruneError(f"{where} failed: {type(error).__name__}: {error}") from error
    if isinstance(given, Data):
        # The preprocessing that a checkpoint kept of this very data is no wish to change it.
        if limit is not None or preprocessing not in (None, given.preprocessing):
            raise EdgepruneError(f"{where} gives a finished Data; apply limit and preprocessing inside the function")
        return replace(given, spec=str(spec))
    if not isinstance(given, tuple) or len(given) != 2:
        raise EdgepruneError(f"{where} gave a {type(given).__name__}; return edgeprune.data.Data or (train, test) datasets")
    train, test = given
    if test is None:
        raise EdgepruneError(f"{where} gave no test dataset; the second one is what accuracy is measured on")
    test_split = DatasetSplit(test, f"{where}, test dataset", limit)
    train_split = None if train is None else DatasetSplit(train, f"{where}, train dataset", limit)
    shape = tuple(test_split.first(1)[0].shape[1:])
    if train_split is not None and tuple(train_split.first(1)[0].shape[1:]) != shape:
        raise EdgepruneError(f"{where}: train inputs have another shape than test inputs {shape}; make them one")
    classes = tuple(str(name) for name in getattr(test, "classes", ()))
    return Data(str(spec), train_split, test_split, shape, classes, preprocessing or AS_IT_IS)


class DatasetSplit(SeededSplit):
    """A map-style dataset of (input tensor, class) pairs, read in this process.

    Augmentation is the dataset's own business; its draws (torch, numpy, random) follow the seed of the batch.
    """

    def __init__(self, dataset: Any, where: str, limit: int | None = None) -> None:
        if not hasattr(dataset, "__getitem__") or not hasattr(dataset, "__len__"):
            kind = type(dataset).__name__
            raise EdgepruneError(f"{where} is a {kind} without __getitem__ and __len__; give a map-style dataset")
        if len(dataset) == 0:
            raise EdgepruneError(f"{where} is empty")
        self._dataset, self._where = dataset, where
        self._indices = spread(len(dataset), limit)

    def __len__(self) -> int:
        return len(self._indices)

    def _in_order(
        self, order: Tensor, batch_size: int, augment: bool, generator: torch.Generator, device: torch.device | str
    ) -> Iterator[tuple[Tensor, Tensor]]:
        for chosen in torch.split(self._indices[order], batch_size):
            draw = int(torch.randint(2**31, (1,), generator=generator))
            x, y = self._read(chosen.tolist(), draw)
            yield x.to(device), y.to(device)

    def first(self, n: int) -> tuple[Tensor, Tensor]:
        """The first `n` inputs and labels in their own order, fewer where there are fewer."""
        return self._read(self._indices[:n].tolist(), 0)

    def _read(self, indices: list[int], seed: int) -> tuple[Tensor, Tensor]:
        # The caller's own random numbers go on as if nothing had been drawn here.
        before, numpy_before = random.getstate(), np.random.get_state()  # noqa: NPY002 - datasets draw from the global one
        try:
            with torch.random.fork_rng(devices=[]):
                torch.manual_seed(seed)
                random.seed(seed)
                np.random.seed(seed)  # noqa: NPY002
                pairs = [self._pair(index) for index in indices]
        finally:
            random.setstate(before)
            np.random.set_state(numpy_before)  # noqa: NPY002
        try:
            return torch.stack([x for x, _ in pairs]), torch.tensor([y for _, y in pairs], dtype=torch.int64)
        except RuntimeError as error:
            raise EdgepruneError(f"{self._where}: inputs of different shapes ({error}); resize them in the dataset") from None

    def _pair(self, index: int) -> tuple[Tensor, int]:
        try:
            x, y = self._dataset[index]
            x, y = torch.as_tensor(x), int(y)
        except EdgepruneError:
            raise
        except Exception as error:
            raise EdgepruneError(
                f"{self._where}, item {index} is no (input tensor, class) pair ({type(error).__name__}: {error})"
            ) from error
        if not x.is_floating_point():
            raise EdgepruneError(f"{self._where}, item {index} has dtype {x.dtype}; give float tensors, already normalised")
        return x.to(torch.float32), y
