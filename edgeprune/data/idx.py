"""The idx files of MNIST and Fashion-MNIST, raw or gzipped."""

from __future__ import annotations

import gzip
import math
import struct
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..errors import EdgepruneError

IMAGES, LABELS = 2051, 2049  # the magic numbers of 8-bit data in three axes and in one
_FOLDERS = ("", "raw", "MNIST/raw", "FashionMNIST/raw")
_AGAIN = "copy or download it again"


def read_idx_set(folder: Path, classes: int) -> dict[str, tuple[NDArray[np.uint8], NDArray[np.uint8]]]:
    """The splits found in `folder` or in its usual subfolders: images [N, H, W] and labels [N] under "train" and "test"."""
    if not folder.is_dir():
        raise EdgepruneError(f"{folder} is not a folder; give the one that holds the idx files")
    found = {}
    for split, prefix in (("train", "train"), ("test", "t10k")):
        images = _find(folder, f"{prefix}-images", "idx3")
        labels = _find(folder, f"{prefix}-labels", "idx1")
        if images is None and labels is None:
            continue
        if images is None or labels is None:
            missing = f"{prefix}-images-idx3-ubyte" if images is None else f"{prefix}-labels-idx1-ubyte"
            raise EdgepruneError(f"{folder} has no {missing} (or {missing}.gz) beside {images or labels}; add it")
        found[split] = _pair(images, labels, classes)
    if "test" not in found:
        raise EdgepruneError(
            f"{folder} has no t10k-images-idx3-ubyte and t10k-labels-idx1-ubyte (raw or .gz); "
            "give the folder that holds the four idx files"
        )
    return found


def read_idx(path: Path, magic: int) -> NDArray[np.uint8]:
    """The array of an idx file that must start with `magic`; EdgepruneError naming the file when it is damaged."""
    try:
        data = path.read_bytes()
        if data[:2] == b"\x1f\x8b":
            data = gzip.decompress(data)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise EdgepruneError(f"{path} is truncated or damaged ({error}); {_AGAIN}") from None
    except OSError as error:
        raise EdgepruneError(f"{path} cannot be read: {error.strerror or error}") from None
    if len(data) < 4:
        raise EdgepruneError(f"{path} is no idx file: it has {len(data)} bytes; {_AGAIN}")
    found = struct.unpack(">I", data[:4])[0]
    if found != magic:
        what = "labels, not images" if found == LABELS else "images, not labels" if found == IMAGES else "something else"
        raise EdgepruneError(f"{path} starts with {found}, not {magic}: it holds {what}; give the right file under this name")
    axes = magic & 0xFF
    start = 4 + 4 * axes
    if len(data) < start:
        raise EdgepruneError(f"{path} is truncated inside its header; {_AGAIN}")
    shape = struct.unpack(f">{axes}I", data[4:start])
    if len(data) - start != math.prod(shape):
        raise EdgepruneError(
            f"{path} is damaged: its header says {' x '.join(map(str, shape))} bytes, it holds {len(data) - start}; {_AGAIN}"
        )
    return np.frombuffer(data, np.uint8, offset=start).reshape(shape)


def _pair(images: Path, labels: Path, classes: int) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    x, y = read_idx(images, IMAGES), read_idx(labels, LABELS)
    if len(x) != len(y):
        raise EdgepruneError(
            f"{images} has {len(x)} images, {labels.name} has {len(y)} labels; they are not of one set: copy both again"
        )
    if len(x) == 0:
        raise EdgepruneError(f"{images} holds no images; {_AGAIN}")
    if int(y.max()) >= classes:
        raise EdgepruneError(f"{labels} has label {int(y.max())}, the classes are 0 to {classes - 1}; {_AGAIN}")
    return x, y


def _find(folder: Path, stem: str, kind: str) -> Path | None:
    for inside in _FOLDERS:
        for dash in ("-", "."):
            for end in ("", ".gz"):
                path = folder / inside / f"{stem}{dash}{kind}-ubyte{end}"
                if path.is_file():
                    return path
    return None
