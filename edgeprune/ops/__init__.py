"""What each operation means, a file per family.

linear.py       fully connected
conv.py         convolution, grouped, depthwise
elementwise.py  activations, per-channel affine maps
binary.py       sums and products
norm.py         batch norm
pool.py         pooling and means
shape.py        what moves elements: flatten, concat, channel selection, spatial slices, padding
softmax.py      softmax
"""

from __future__ import annotations

from .binary import Add, Mul
from .conv import Conv
from .elementwise import ACTIVATIONS, Activation, Affine
from .linear import Linear
from .norm import BatchNorm
from .pool import AdaptiveAvgPool, AvgPool, MaxPool, Mean
from .shape import Concat, Flatten, Pad, Select, Slice
from .softmax import Softmax

# Every op there is, in the order the formats list them. Tests read it to say which format lacks what.
OPS = (
    Linear, Conv, BatchNorm, Affine, Activation, Add, Mul, MaxPool, AvgPool, AdaptiveAvgPool, Mean,
    Flatten, Concat, Select, Slice, Pad, Softmax,
)  # fmt: skip

__all__ = [
    "ACTIVATIONS", "OPS", "Activation", "AdaptiveAvgPool", "Add", "Affine", "AvgPool", "BatchNorm", "Concat", "Conv",
    "Flatten", "Linear", "MaxPool", "Mean", "Mul", "Pad", "Select", "Slice", "Softmax",
]  # fmt: skip
