"""Arrays of an .npz file: x_train, y_train, x_test, y_test; or x, y to evaluate on."""

from __future__ import annotations

import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import EdgepruneError

Arrays = tuple[NDArray[Any], NDArray[np.int64]]


def read_npz(path: Path, input_shape: tuple[int, ...] | None) -> tuple[dict[str, Arrays], tuple[str, ...]]:
    """The splits under "train" and "test" as inputs and labels, and the class names (the array `classes` where there is one).

    Images may have their channels last, or none: [N, H, W] becomes (1, H, W), [N, H, W, C] becomes (C, H, W).
    """
    if not path.is_file():
        raise EdgepruneError(f"{path} does not exist")
    try:
        with np.load(path, allow_pickle=False) as file:
            arrays = {name: file[name] for name in file.files}
    except (ValueError, OSError, EOFError, zipfile.BadZipFile, zlib.error, KeyError, AttributeError) as error:
        raise EdgepruneError(
            f"{path} cannot be read as plain arrays ({_first_line(error)}); "
            "write it with numpy.savez(path, x_train=..., y_train=..., ...)"
        ) from None
    splits = {}
    for split, suffix in (("train", "_train"), ("test", "_test"), ("test", "")):
        x, y = arrays.get(f"x{suffix}"), arrays.get(f"y{suffix}")
        if x is None and y is None:
            continue
        if x is None or y is None:
            there, lacking = ("y", "x") if x is None else ("x", "y")
            raise EdgepruneError(f"{path} has {there}{suffix} without {lacking}{suffix}; add it")
        if split in splits:
            raise EdgepruneError(f"{path} has x_test and x; keep one of them")
        where = f"{path}: x{suffix}"
        splits[split] = _inputs(where, x, input_shape), _labels(f"{path}: y{suffix}", y)
        if len(x) != len(y) or len(x) == 0:
            raise EdgepruneError(f"{where} has {len(x)} inputs, y{suffix} {len(y)} labels; each input needs its label")
    if "test" not in splits:
        raise EdgepruneError(
            f"{path} has no x_test and y_test (nor x and y), which accuracy is measured on; "
            f"it has: {', '.join(arrays) or 'nothing'}"
        )
    count = 1 + max(int(y.max()) for _, y in splits.values())
    named = tuple(str(name) for name in arrays["classes"].ravel()) if "classes" in arrays else ()
    if named and len(named) < count:
        raise EdgepruneError(f"{path}: classes has {len(named)} names, the labels go up to {count - 1}; name all of them")
    return splits, named or tuple(str(i) for i in range(count))


def _inputs(where: str, x: NDArray[Any], input_shape: tuple[int, ...] | None) -> NDArray[Any]:
    if x.dtype != np.uint8 and not np.issubdtype(x.dtype, np.floating):
        raise EdgepruneError(f"{where} has dtype {x.dtype}; store 8-bit pixels as uint8, anything else as float32")
    if x.dtype != np.uint8:
        x = x.astype(np.float32)
        if not np.isfinite(x).all():
            raise EdgepruneError(f"{where} holds NaN or infinite values; clean the data first")
    shape = x.shape[1:]
    if input_shape is not None and shape == input_shape:
        return x
    if len(shape) == 2 and (input_shape is None or input_shape == (1, *shape)):
        return x[:, None] if x.dtype == np.uint8 or input_shape is not None else x
    if len(shape) == 3:
        first = (shape[2], *shape[:2])
        # Without a word from the user, only what can be nothing but channels-last is turned.
        if input_shape == first or (input_shape is None and shape[2] in (1, 3) and shape[0] not in (1, 3)):
            return np.ascontiguousarray(x.transpose(0, 3, 1, 2))
    return x


def _labels(where: str, y: NDArray[Any]) -> NDArray[np.int64]:
    if y.ndim == 2 and y.shape[1] == 1:
        y = y[:, 0]
    if y.ndim != 1 or not np.issubdtype(y.dtype, np.integer):
        raise EdgepruneError(f"{where} has shape {y.shape} and dtype {y.dtype}; give one whole number per input, its class")
    if len(y) and int(y.min()) < 0:
        raise EdgepruneError(f"{where} has label {int(y.min())}; classes are counted from 0")
    return y.astype(np.int64)


def _first_line(error: Exception) -> str:
    return str(error).split("\n")[0] or type(error).__name__
