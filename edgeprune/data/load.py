"""From a spec to a Data."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..errors import EdgepruneError
from .arrays import read_npz
from .cifar import read_cifar10
from .datasets import AS_IT_IS, call_for_data
from .folders import read_image_folder
from .idx import read_idx_set
from .preprocessing import Preprocessing
from .spec import parse_data_spec
from .splits import ArraySplit, CropAndFlip, Data, spread
from .text import read_text

_DIGITS = tuple("0123456789")
_CLOTHES = ("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot")
_CIFAR10 = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")

# Mean and standard deviation of the training pixels; for image folders those of ImageNet, which most networks were trained with.
MNIST = Preprocessing(1 / 255, (0.1307,), (0.3081,), "gray", (28, 28))
FASHION_MNIST = Preprocessing(1 / 255, (0.2860,), (0.3530,), "gray", (28, 28))
CIFAR10 = Preprocessing(1 / 255, (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616), "rgb", (32, 32))
IMAGENET = Preprocessing(1 / 255, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225), "rgb", (224, 224))


def load_data(
    spec: str,
    *,
    input_shape: tuple[int, ...] | None = None,
    preprocessing: Preprocessing | None = None,
    limit: int | None = None,
) -> Data:
    """The data set that `spec` names, a relative path being taken from the working folder.

    `mnist:DIR`, `fashion-mnist:DIR`, `cifar10:DIR`, `imagefolder:DIR` (train/ and val/ or test/), `text:DIR` (train.tsv, test.tsv
    and vocab.txt, see text.py), `FILE.npz` (x_train, y_train, x_test, y_test; x and y alone are evaluated on),
    `package.module:function` or `path/to/file.py:function`, which run that function. `input_shape` (without batch) is what the
    network takes: image folders are read at that size, texts to that length, arrays are reshaped to it when they have as many
    elements. `preprocessing` replaces the set's own. `limit` takes that many examples of each
    split, evenly spaced.
    Raises EdgepruneError naming the file and the remedy when data is missing, damaged, or does not fit the shape.
    """
    named = parse_data_spec(spec).found_from(".")
    shape = None if input_shape is None else tuple(input_shape)
    if named.kind == "function":
        return _fitting(call_for_data(named, preprocessing, limit), shape)
    path = Path(named.path)
    if named.kind == "imagefolder":
        chosen = _for_folder(preprocessing, shape)
        splits, classes = read_image_folder(path, chosen, limit)
        channels = 1 if chosen.color == "gray" else 3
        found = (channels, *(chosen.size or ()))
        return _fitting(Data(str(named), splits.get("train"), splits["test"], found, classes, chosen), shape)
    if named.kind == "text":
        if preprocessing not in (None, AS_IT_IS) or (shape is not None and len(shape) != 1):
            raise EdgepruneError(f"{named} gives token numbers of shape (tokens,); they take no other shape and no mean or std")
        texts, labels = read_text(path, None if shape is None else shape[0], limit)
        length = tuple(texts["test"].first(1)[0].shape[1:])
        return Data(str(named), texts.get("train"), texts["test"], length, labels, AS_IT_IS)
    augmentation = None
    arrays: Mapping[str, tuple[Any, Any]]
    if named.kind == "npz":
        arrays, classes = read_npz(path, shape)
        default = _for_array(arrays["test"][0])
    elif named.kind == "cifar10":
        arrays, classes, default, augmentation = read_cifar10(path), _CIFAR10, CIFAR10, CropAndFlip()
    else:
        fashion = named.kind == "fashion-mnist"
        found_images = read_idx_set(path, 10)
        arrays = {split: (x[:, None], y) for split, (x, y) in found_images.items()}
        classes, default = (_CLOTHES, FASHION_MNIST) if fashion else (_DIGITS, MNIST)
    return _in_memory(str(named), arrays, classes, preprocessing or default, augmentation, shape, limit)


def _in_memory(
    spec: str,
    arrays: Mapping[str, tuple[Any, Any]],
    classes: tuple[str, ...],
    preprocessing: Preprocessing,
    augmentation: CropAndFlip | None,
    input_shape: tuple[int, ...] | None,
    limit: int | None,
) -> Data:
    shapes = {x.shape[1:] for x, _ in arrays.values()}
    if len(shapes) > 1:
        raise EdgepruneError(f"{spec}: train and test inputs have shapes {' and '.join(map(str, sorted(shapes)))}; make them one")
    stored = shapes.pop()
    shape = stored if input_shape is None else input_shape
    if math.prod(shape) != math.prod(stored):
        raise EdgepruneError(_misfit(spec, stored, shape))
    splits = {}
    for split, (x, y) in arrays.items():
        # A copy that torch may own: arrays over file contents are read-only.
        chosen = spread(len(y), limit).numpy()
        pixels, labels = torch.from_numpy(np.array(x[chosen])), torch.from_numpy(np.array(y[chosen]))
        splits[split] = ArraySplit(pixels, labels, preprocessing, input_shape=shape, augmentation=augmentation)
    splits["test"].first(1)  # a preprocessing of the wrong number of channels is found now, not in an hour
    return Data(spec, splits.get("train"), splits["test"], shape, classes, preprocessing)


def _fitting(data: Data, input_shape: tuple[int, ...] | None) -> Data:
    if input_shape is not None and input_shape != data.input_shape:
        raise EdgepruneError(_misfit(data.spec, data.input_shape, input_shape))
    return data


def _misfit(spec: str, found: tuple[int, ...], wanted: tuple[int, ...]) -> str:
    return f"{spec} gives inputs of shape {found}, the network takes {wanted}; give other data or another --input-shape"


def _for_folder(preprocessing: Preprocessing | None, input_shape: tuple[int, ...] | None) -> Preprocessing:
    chosen = preprocessing or IMAGENET
    if input_shape is None:
        return chosen
    if len(input_shape) != 3 or input_shape[0] not in (1, 3):
        raise EdgepruneError(f"an image folder gives inputs of (1 or 3, height, width), the network takes {input_shape}")
    chosen = replace(chosen, size=(input_shape[1], input_shape[2]))
    if input_shape[0] == 1 and preprocessing is None:
        chosen = replace(chosen, color="gray", mean=(0.449,), std=(0.226,))
    return chosen


def _for_array(x: Any) -> Preprocessing:
    if x.dtype != np.uint8:
        return AS_IT_IS
    images = x.ndim == 4 and x.shape[1] in (1, 3)
    color = ("gray" if x.shape[1] == 1 else "rgb") if images else "none"
    return Preprocessing(1 / 255, (0.0,), (1.0,), color, (x.shape[2], x.shape[3]) if images else None)
