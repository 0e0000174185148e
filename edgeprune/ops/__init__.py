"""What each operation means, a file per family.

linear.py       fully connected
conv.py         convolution, grouped, depthwise
conv_transpose.py  transposed convolution
resize.py       upsampling, padding by what the map holds
recurrent.py    LSTM, GRU, embedding
elementwise.py  activations, per-channel affine maps
binary.py       sums and products
norm.py         batch norm
layer_norm.py   layer, RMS, group and instance norm, division by a length
pool.py         pooling and means
shape.py        what moves elements: flatten, concat, channel selection, spatial slices, padding
rearrange.py    reshapes and permutations
positions.py    constants, joins, cuts, rolls and sums along positions
attention.py    attention
softmax.py      softmax
windows.py      attention within windows, the same at every size
"""

from __future__ import annotations

from ..graph import Op
from .attention import Attention
from .binary import BINARY, Add, Binary, Mul
from .conv import Conv
from .conv_transpose import ConvTranspose
from .elementwise import ACTIVATIONS, COMING_ACTIVATIONS, Activation, Affine, PReLU
from .layer_norm import GroupNorm, LayerNorm, Normalize
from .linear import Linear
from .norm import BatchNorm
from .pool import AdaptiveAvgPool, AdaptiveMaxPool, AvgPool, MaxPool, Mean
from .positions import REDUCTIONS, Constant, Cut, Join, Reduce, Roll, Take
from .rearrange import Rearrange
from .recurrent import GRU, LSTM, Embedding
from .resize import PadWith, Upsample
from .shape import Concat, Flatten, Pad, Scatter, Select, Slice
from .softmax import Softmax
from .windows import FromWindows, PadTo, ToWindows, WindowAttention

# Every op there is, in the order the formats list them. Tests read it to say which format lacks what.
OPS = (
    Linear, Conv, ConvTranspose, BatchNorm, Affine, Activation, PReLU, Add, Mul, Binary, MaxPool, AvgPool, AdaptiveAvgPool,
    AdaptiveMaxPool, Mean, Reduce, Flatten, Rearrange, Concat, Join, Select, Slice, Cut, Take, Roll, Pad, PadWith, Upsample,
    Constant, Softmax, LayerNorm, GroupNorm, Normalize, Attention, LSTM, GRU, Embedding,
)  # fmt: skip

# Ops that capture and the passes know and no format writes yet: they join OPS when every format has a word for them.
COMING: tuple[type[Op], ...] = ()

# Ops that formats write as the plain ones that they come down to at one size.
COMPOSED: tuple[type[Op], ...] = (Scatter, PadTo, ToWindows, WindowAttention, FromWindows)

__all__ = [
    "ACTIVATIONS", "BINARY", "COMING", "COMING_ACTIVATIONS", "COMPOSED", "GRU", "LSTM", "OPS", "REDUCTIONS", "Activation",
    "AdaptiveAvgPool", "AdaptiveMaxPool", "Add", "Affine", "Attention", "AvgPool", "BatchNorm", "Binary", "Concat",
    "Constant", "Conv", "ConvTranspose", "Cut", "Embedding", "Flatten", "FromWindows", "GroupNorm", "Join", "LayerNorm",
    "Linear", "MaxPool", "Mean", "Mul", "Normalize", "PReLU", "Pad", "PadTo", "PadWith", "Rearrange", "Reduce", "Roll",
    "Scatter", "Select", "Slice", "Softmax", "Take", "ToWindows", "Upsample", "WindowAttention",
]  # fmt: skip
