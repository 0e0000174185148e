"""CIFAR-10 (Krizhevsky 2009) in the layouts it is found in."""

from __future__ import annotations

import io
import pickle
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import EdgepruneError, MissingExtra

Images = tuple[NDArray[np.uint8], NDArray[np.uint8]]
LAYOUTS = (
    "data_batch_1..5 and test_batch (Python batches), data_batch_1.bin..5.bin and test_batch.bin (binary), "
    "or cifar10_train_webp.zip and cifar10_test_webp.zip (lossless sheets)"
)
_FOLDERS = ("", "cifar-10-batches-py", "cifar-10-batches-bin")
_AGAIN = "copy or download it again"
_TRAIN = [f"data_batch_{i}" for i in range(1, 6)]


def read_cifar10(folder: Path) -> dict[str, Images]:
    """The splits found in `folder`: images [N, 3, 32, 32] and labels [N] under "train" and "test"."""
    if not folder.is_dir():
        raise EdgepruneError(f"{folder} is not a folder; give the one that holds {LAYOUTS}")
    for inside in _FOLDERS:
        here = folder / inside
        for end, read in (("", _python_batch), (".bin", _binary_batch)):
            if not (here / f"test_batch{end}").is_file():
                continue
            found = {"test": read(here / f"test_batch{end}")}
            train = [here / f"{name}{end}" for name in _TRAIN]
            there = [path for path in train if path.is_file()]
            if there and len(there) < len(train):
                missing = [path.name for path in train if path not in there]
                raise EdgepruneError(f"{here} lacks {', '.join(missing)}; {_AGAIN}")
            if there:
                parts = [read(path) for path in train]
                found["train"] = np.concatenate([x for x, _ in parts]), np.concatenate([y for _, y in parts])
            return found
    if (folder / "cifar10_test_webp.zip").is_file():
        splits = [s for s in ("train", "test") if (folder / f"cifar10_{s}_webp.zip").is_file()]
        return {split: _webp_sheets(folder / f"cifar10_{split}_webp.zip", split) for split in splits}
    raise EdgepruneError(f"{folder} holds no CIFAR-10 test set; give the folder of {LAYOUTS}")


class _PlainUnpickler(pickle.Unpickler):
    """Arrays, and nothing that could run code."""

    def find_class(self, module: str, name: str) -> Any:
        allowed = {"_reconstruct", "ndarray", "dtype", "encode"}
        if module.partition(".")[0] in ("numpy", "_codecs") and name in allowed:
            # The batches were written by a numpy whose core had its older name.
            return super().find_class(module.replace("numpy.core", "numpy._core"), name)
        raise pickle.UnpicklingError(f"it asks for {module}.{name}")


def _python_batch(path: Path) -> Images:
    try:
        with open(path, "rb") as file:
            batch = _PlainUnpickler(file, encoding="latin1").load()
        x, y = batch["data"], np.asarray(batch["labels"])
    except Exception as error:  # a damaged pickle raises nearly anything
        raise EdgepruneError(f"{path} is no readable CIFAR-10 batch ({type(error).__name__}: {error}); {_AGAIN}") from None
    if not isinstance(x, np.ndarray) or x.dtype != np.uint8 or x.ndim != 2 or x.shape[1] != 3072:
        raise EdgepruneError(f"{path} holds no 8-bit images of 3072 values; {_AGAIN}")
    return _checked(path, x.reshape(-1, 3, 32, 32), y)


def _binary_batch(path: Path) -> Images:
    data = np.frombuffer(path.read_bytes(), np.uint8)
    if len(data) % 3073:
        raise EdgepruneError(f"{path} is truncated: {len(data)} bytes are no whole number of records of 3073; {_AGAIN}")
    records = data.reshape(-1, 3073)
    return _checked(path, records[:, 1:].reshape(-1, 3, 32, 32), records[:, 0])


def _webp_sheets(path: Path, split: str) -> Images:
    """A zip of sheets of 10x10 images each, and one byte a label."""
    try:
        from PIL import Image
    except ModuleNotFoundError:
        raise MissingExtra("pillow", "torch", f"reading {path.name}") from None
    sheets = []
    try:
        with zipfile.ZipFile(path) as file:
            y = np.frombuffer(file.read(f"{split}/labels.u8"), np.uint8)
            for i in range(-(-len(y) // 100)):
                with Image.open(io.BytesIO(file.read(f"{split}/{i:03d}.webp"))) as image:
                    sheet = np.asarray(image.convert("RGB"))
                tiles = sheet.reshape(10, 32, 10, 32, 3).transpose(0, 2, 4, 1, 3)
                sheets.append(tiles.reshape(100, 3, 32, 32))
    except (zipfile.BadZipFile, KeyError, ValueError, OSError, EOFError) as error:
        raise EdgepruneError(f"{path} is truncated or damaged ({error}); {_AGAIN}") from None
    x = np.concatenate(sheets)[: len(y)] if sheets else np.zeros((0, 3, 32, 32), np.uint8)
    return _checked(path, x, y)


def _checked(path: Path, x: NDArray[np.uint8], y: NDArray[Any]) -> Images:
    if len(x) != len(y) or len(x) == 0:
        raise EdgepruneError(f"{path} holds {len(x)} images and {len(y)} labels; {_AGAIN}")
    if not 0 <= int(y.min()) <= int(y.max()) <= 9:
        raise EdgepruneError(f"{path} has label {int(y.max())}, the classes are 0 to 9; {_AGAIN}")
    return np.ascontiguousarray(x), y.astype(np.uint8)
