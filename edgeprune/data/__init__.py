"""Data sets by a word: `load_data("mnist:DIR")` gives batches of preprocessed tensors, ready for a network.

splits.py    what one part of a data set can do, and the in-memory one
idx.py       MNIST and Fashion-MNIST, raw or gzipped
cifar.py     CIFAR-10 in its four layouts
folders.py   images in a folder a class
arrays.py    an .npz file
text.py      labelled lines of text, as token numbers
datasets.py  whatever a function of the user's gives
"""

from __future__ import annotations

from .load import load_data
from .preprocessing import Preprocessing
from .spec import DataSpec, parse_data_spec
from .splits import ArraySplit, Data, Split, held_out

__all__ = ["ArraySplit", "Data", "DataSpec", "Preprocessing", "Split", "held_out", "load_data", "parse_data_spec"]
