"""Every op beside the same in PyTorch."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
import torch.nn.functional as F

from edgeprune.graph import Op, Value
from edgeprune.ops import (
    GRU,
    LSTM,
    AdaptiveAvgPool,
    AdaptiveMaxPool,
    Add,
    Affine,
    Attention,
    AvgPool,
    BatchNorm,
    Binary,
    Concat,
    Constant,
    Conv,
    ConvTranspose,
    Cut,
    Embedding,
    Flatten,
    GroupNorm,
    Join,
    LayerNorm,
    Linear,
    MaxPool,
    Mean,
    Mul,
    Normalize,
    Pad,
    PadWith,
    PReLU,
    Rearrange,
    Reduce,
    Roll,
    Select,
    Slice,
    Softmax,
    Take,
    Upsample,
)

rng = np.random.default_rng(0)


def a(*shape: int) -> np.ndarray:
    return rng.standard_normal(shape)


def t(x: np.ndarray | None) -> torch.Tensor | None:
    return None if x is None else torch.from_numpy(np.ascontiguousarray(x))


W, W1, WG, WD, W3 = a(5, 3, 3, 3), a(5, 3, 3), a(6, 2, 3, 3), a(8, 1, 3, 3), a(4, 2, 2, 3, 2)
B5, B6, B8 = a(5), a(6), a(8)
BN = [a(4), a(4), a(4), np.abs(a(4)) + 0.1]
LINEAR, LB = a(6, 7), a(6)
LN, LNB, GN = np.array([0.5, -2.0, 0.0, 1.5, 3.0]), a(5), np.array([0.5, -2.0, 0.0, 1.5, 3.0, -1.0])
BIAS, BIAS4, GAIN, PAIRS = a(2, 4, 5), a(3, 2, 4, 5), a(2), np.array([True, False, True, True, True, False])
CONST = np.array([[1.0, 2.0, 3.0, 0.0], [1.0, 2.5, 3.0, 0.0], [1.0, 2.0, 3.0, 0.0]])


WT, WTG = a(3, 5, 3, 2), a(4, 3, 2, 3)


def recurrent_weights(gates: int) -> list[np.ndarray]:
    """A layer of four units from three inputs: nothing enters the last unit, one reads no other unit."""
    made = [a(gates * 4, 3), a(gates * 4, 4), a(gates * 4), a(gates * 4)]
    for array in made:
        array.reshape(gates, 4, -1)[2, 3] = 0
    made[1].reshape(gates, 4, 4)[:, 0, 1:] = 0
    made[0].reshape(gates, 4, 3)[:, [0, 2, 3], 2] = 0
    return made


LSTM_WEIGHTS, GRU_WEIGHTS = recurrent_weights(4), recurrent_weights(3)


def recurrent(kind: type[torch.nn.RNNBase], weights: list[np.ndarray], x: torch.Tensor) -> torch.Tensor:
    layer = kind(3, 4, batch_first=True, dtype=x.dtype)
    for parameter, array in zip(layer.parameters(), weights, strict=True):
        parameter.data = t(array)
    return layer(x)[0].detach()


def heads_of(x: torch.Tensor, heads: int) -> torch.Tensor:
    return x.unflatten(-1, (heads, -1)).transpose(-2, -3)


def attention(
    q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, heads: int, scale: float, bias: torch.Tensor | None = None
) -> torch.Tensor:
    q, k, v = (heads_of(x, heads) for x in (q, k, v))
    return F.scaled_dot_product_attention(q, k, v, bias, scale=scale).transpose(-2, -3).flatten(-2)


def cosine_attention(
    q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, heads: int, gain: torch.Tensor, bias: torch.Tensor, eps: float
) -> torch.Tensor:
    q, k, v = (heads_of(x, heads) for x in (q, k, v))
    scores = F.normalize(q, dim=-1, eps=eps) @ F.normalize(k, dim=-1, eps=eps).mT * gain[:, None, None] + bias
    return (scores.softmax(-1) @ v).transpose(-2, -3).flatten(-2)


# (name, op, shapes of the inputs, the same in torch)
CASES: list[tuple[str, Op, list[tuple[int, ...]], Callable[..., torch.Tensor]]] = [
    ("linear", Linear(LINEAR, LB), [(7,)], lambda x: F.linear(x, t(LINEAR), t(LB))),
    ("linear on sequences", Linear(LINEAR), [(4, 7)], lambda x: F.linear(x, t(LINEAR))),
    ("conv", Conv(W, B5), [(3, 7, 8)], lambda x: F.conv2d(x, t(W), t(B5))),
    (
        "conv strided, padded, dilated",
        Conv(W, B5, (2, 1), ((2, 2), (1, 1)), (2, 1)),
        [(3, 9, 8)],
        lambda x: F.conv2d(x, t(W), t(B5), (2, 1), (2, 1), (2, 1)),
    ),
    (
        "conv with one-sided padding",
        Conv(W, None, (2, 2), ((0, 1), (1, 0))),
        [(3, 8, 8)],
        lambda x: F.conv2d(F.pad(x, (1, 0, 0, 1)), t(W), None, 2),
    ),
    (
        "grouped conv",
        Conv(WG, B6, (1, 1), ((1, 1),) * 2, (1, 1), 3),
        [(6, 5, 5)],
        lambda x: F.conv2d(x, t(WG), t(B6), 1, 1, 1, 3),
    ),
    (
        "depthwise conv, two outputs a channel",
        Conv(WD, B8, (2, 2), ((1, 1),) * 2, (1, 1), 4),
        [(4, 7, 7)],
        lambda x: F.conv2d(x, t(WD), t(B8), 2, 1, 1, 4),
    ),
    ("conv1d", Conv(W1, B5, (2,), ((1, 1),), (1,)), [(3, 9)], lambda x: F.conv1d(x, t(W1), t(B5), 2, 1)),
    (
        "conv3d",
        Conv(W3, None, (1, 2, 1), ((1, 1), (0, 0), (1, 1)), (1, 1, 1)),
        [(2, 4, 6, 5)],
        lambda x: F.conv3d(x, t(W3), None, (1, 2, 1), (1, 0, 1)),
    ),
    ("batch norm", BatchNorm(*BN), [(4, 3, 3)], lambda x: F.batch_norm(x, t(BN[2]), t(BN[3]), t(BN[0]), t(BN[1]))),
    ("affine", Affine(BN[0], BN[1]), [(4, 3, 3)], lambda x: x * t(BN[0]).view(4, 1, 1) + t(BN[1]).view(4, 1, 1)),
    ("affine on sequences", Affine(BN[0], BN[1], 1), [(3, 4)], lambda x: x * t(BN[0]) + t(BN[1])),
    ("add", Add(), [(3, 4, 4), (3, 4, 4)], torch.add),
    ("add, one side stretched", Add(), [(3, 4, 4), (3, 1, 1)], torch.add),
    ("mul, one side stretched", Mul(), [(3, 4, 4), (3, 1, 1)], torch.mul),
    ("max pool", MaxPool((3, 3), (2, 2), ((1, 1),) * 2, (1, 1)), [(2, 7, 8)], lambda x: F.max_pool2d(x, 3, 2, 1)),
    (
        "max pool, ceil_mode",
        MaxPool((3, 3), (2, 2), ((0, 0),) * 2, (1, 1), True),
        [(2, 8, 6)],
        lambda x: F.max_pool2d(x, 3, 2, 0, 1, True),
    ),
    ("max pool, dilated", MaxPool((2, 2), (1, 1), ((0, 0),) * 2, (2, 2)), [(2, 6, 6)], lambda x: F.max_pool2d(x, 2, 1, 0, 2)),
    *(
        (
            f"average pool, ceil_mode={ceil}, count_padding={count}",
            AvgPool((3, 2), (2, 2), ((1, 1), (1, 1)), (1, 1), ceil, count),
            [(2, 8, 7)],
            lambda x, ceil=ceil, count=count: F.avg_pool2d(x, (3, 2), 2, 1, ceil, count),
        )
        for ceil in (False, True)
        for count in (False, True)
    ),
    ("adaptive average pool", AdaptiveAvgPool((3, 2)), [(2, 7, 5)], lambda x: F.adaptive_avg_pool2d(x, (3, 2))),
    (
        "adaptive average pool to more places",
        AdaptiveAvgPool((7, None)),
        [(2, 3, 5)],
        lambda x: F.adaptive_avg_pool2d(x, (7, None)),
    ),
    ("mean", Mean(), [(3, 4, 5)], lambda x: x.mean((2, 3))),
    ("flatten", Flatten(), [(3, 2, 2)], lambda x: x.flatten(1)),
    ("concat", Concat(), [(3, 2, 2), (1, 2, 2)], lambda x, y: torch.cat([x, y], 1)),
    ("select", Select(np.array([2, -1, 0, 0])), [(3, 2, 2)], lambda x: torch.stack([x[:, 2], 0 * x[:, 0], x[:, 0], x[:, 0]], 1)),
    ("slice", Slice((1, 0), (None, 4), (2, 1)), [(3, 5, 5)], lambda x: x[:, :, 1::2, :4]),
    ("pad", Pad(((1, 0), (0, 2)), 1.25), [(3, 2, 2)], lambda x: F.pad(x, (0, 2, 1, 0), value=1.25)),
    ("softmax", Softmax(0), [(5,)], lambda x: x.softmax(1)),
    ("log softmax", Softmax(0, log=True), [(5,)], lambda x: x.log_softmax(1)),
    ("layer norm", LayerNorm(LN, LNB, 1e-3, 1), [(3, 5)], lambda x: F.layer_norm(x, (5,), t(LN), t(LNB), 1e-3)),
    (
        "layer norm on maps",
        LayerNorm(LN, None, 1e-5, 0),
        [(5, 2, 3)],
        lambda x: F.layer_norm(x.permute(0, 2, 3, 1), (5,), t(LN)).permute(0, 3, 1, 2),
    ),
    ("rms norm", LayerNorm(LN, None, 1e-3, 1, centred=False), [(3, 5)], lambda x: F.rms_norm(x, (5,), t(LN), 1e-3)),
    ("group norm", GroupNorm(GN, B6, 2, 1e-3), [(6, 3, 2)], lambda x: F.group_norm(x, 2, t(GN), t(B6), 1e-3)),
    ("instance norm", GroupNorm(GN, B6, 6), [(6, 3, 2)], lambda x: F.instance_norm(x, None, None, t(GN), t(B6))),
    ("division by the length", Normalize(1, 1e-3), [(3, 5)], lambda x: F.normalize(x, dim=-1, eps=1e-3)),
    ("attention", Attention(2, 0.3), [(4, 6), (5, 6), (5, 8)], lambda q, k, v: attention(q, k, v, 2, 0.3)),
    (
        "attention with a bias",
        Attention(2, 0.3, BIAS[:1]),
        [(4, 6), (5, 6), (5, 8)],
        lambda q, k, v: attention(q, k, v, 2, 0.3, t(BIAS[:1])),
    ),
    (
        "attention in windows, biased",
        Attention(2, 0.3, BIAS4),
        [(3, 4, 6), (3, 5, 6), (3, 5, 8)],
        lambda q, k, v: attention(q, k, v, 2, 0.3, t(BIAS4)),
    ),
    (
        "cosine attention",
        Attention(2, 1.0, BIAS, GAIN, 1e-3),
        [(4, 6), (5, 6), (5, 8)],
        lambda q, k, v: cosine_attention(q, k, v, 2, t(GAIN), t(BIAS), 1e-3),
    ),
    (
        "attention masked by the input",
        Attention(2, 0.3, BIAS),
        [(4, 6), (5, 6), (5, 8), (1, 5)],
        lambda q, k, v, m: attention(q, k, v, 2, 0.3, t(BIAS) + m[:, None]),
    ),
    (
        "attention over some pairs",
        Attention(2, 0.3, pairs=PAIRS),
        [(4, 6), (5, 6), (5, 8)],
        lambda q, k, v: attention(q * t(PAIRS), k, v, 2, 0.3),
    ),
    *(
        (f"binary {kind}", Binary(kind), [(3, 4), (3, 4)], lambda x, y, f=f: f(x, y))
        for kind, f in (("div", torch.div), ("min", torch.minimum), ("max", torch.maximum), ("pow", torch.pow))
    ),
    (
        "windows",
        Rearrange(((-1,), (-1, 2), (-1, 3)), (1, 3, 2, 4, 0), (2, 2, 1), 0, 2),
        [(5, 4, 6)],
        lambda x: x.reshape(2, 5, 2, 2, 2, 3).permute(0, 2, 4, 3, 5, 1).reshape(2, 4, 6, 5),
    ),
    ("channels last", Rearrange(((-1,),) * 3, (1, 2, 0), (1, 1, 1), 0, 2), [(5, 4, 6)], lambda x: x.permute(0, 2, 3, 1)),
    (
        "channels become places",
        Rearrange(((-1,), (-1,)), (1, 0), (1, 1), 0, 0),
        [(5, 4)],
        lambda x: x.transpose(1, 2),
    ),
    (
        "pixel shuffle",
        Rearrange(((-1, 2, 2), (-1,), (-1,)), (0, 3, 1, 4, 2), (1, 2, 2), 0, 0),
        [(8, 3, 2)],
        lambda x: F.pixel_shuffle(x, 2),
    ),
    (
        "pixel unshuffle",
        Rearrange(((-1,), (-1, 2), (-1, 2)), (0, 2, 4, 1, 3), (3, 1, 1), 0, 0),
        [(3, 4, 6)],
        lambda x: F.pixel_unshuffle(x, 2),
    ),
    ("constant", Constant(CONST, 1), [(4,)], lambda x: t(CONST).expand(2, 3, 4)),
    ("join of places", Join(0, 1), [(3, 4), (2, 4)], lambda x, y: torch.cat([x, y], 1)),
    ("prelu", PReLU(LN), [(5, 3)], lambda x: F.prelu(x, t(LN))),
    (
        "transposed conv",
        ConvTranspose(WT, B5, (2, 1), (1, 0), (1, 0), (1, 2)),
        [(3, 4, 5)],
        lambda x: F.conv_transpose2d(x, t(WT), t(B5), (2, 1), (1, 0), (1, 0), 1, (1, 2)),
    ),
    (
        "transposed conv, grouped",
        ConvTranspose(WTG, B6, (2, 2), (0, 1), (0, 0), (1, 1), 2),
        [(4, 4, 5)],
        lambda x: F.conv_transpose2d(x, t(WTG), t(B6), 2, (0, 1), 0, 2),
    ),
    *(
        (
            f"upsampling, {mode}, align_corners={align}, {scale or size}",
            Upsample("linear" if mode == "bilinear" else mode.replace("-", "_"), scale, size, bool(align)),
            [(3, 4, 5)],
            lambda x, mode=mode, align=align, scale=scale, size=size: F.interpolate(x, size, scale, mode, align),
        )
        for mode, align in (("nearest", None), ("nearest-exact", None), ("bilinear", False), ("bilinear", True))
        for scale, size in (((2.0, 1.7), None), (None, (7, 3)))
    ),
    *(
        (f"padding by {mode}", PadWith(mode, ((1, 0), (2, 3))), [(3, 4, 5)], lambda x, mode=mode: F.pad(x, (2, 3, 1, 0), mode))
        for mode in ("reflect", "replicate", "circular")
    ),
    ("adaptive max pool", AdaptiveMaxPool((3, 1)), [(2, 7, 5)], lambda x: F.adaptive_max_pool2d(x, (3, 1))),
    ("embedding", Embedding(np.abs(CONST)), [(4,)], lambda x: F.embedding(x.long() % 3, t(np.abs(CONST)))),
    ("lstm", LSTM(*LSTM_WEIGHTS), [(5, 3)], lambda x: recurrent(torch.nn.LSTM, LSTM_WEIGHTS, x)),
    ("lstm backwards", LSTM(*LSTM_WEIGHTS, True), [(5, 3)], lambda x: recurrent(torch.nn.LSTM, LSTM_WEIGHTS, x.flip(1)).flip(1)),
    ("gru", GRU(*GRU_WEIGHTS), [(5, 3)], lambda x: recurrent(torch.nn.GRU, GRU_WEIGHTS, x)),
    ("join of channels", Join(1, 1), [(3, 4), (3, 2)], lambda x, y: torch.cat([x, y], 2)),
    ("cut", Cut(1, 1, None, 2), [(3, 6, 4)], lambda x: x[:, :, 1::2]),
    ("take", Take(np.array([2, 0, 2]), 1), [(3, 6, 4)], lambda x: x[:, :, [2, 0, 2]]),
    ("roll", Roll((0, -2, 1)), [(3, 6, 4)], lambda x: x.roll((-2, 1), (2, 3))),
    *(
        (f"{kind} of places", Reduce(kind, (1, 2), keep), [(3, 6, 4)], lambda x, f=f, keep=keep: f(x, dim=(2, 3), keepdim=keep))
        for kind, f, keep in (
            ("mean", torch.mean, False),
            ("sum", torch.sum, True),
            ("max", torch.amax, False),
            ("min", torch.amin, True),
        )
    ),
]

IN_TORCH: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "relu": F.relu, "relu6": F.relu6, "clip": lambda x: x.clamp(-0.5, 0.7), "leaky_relu": lambda x: F.leaky_relu(x, -0.5),
    "elu": lambda x: F.elu(x, -0.5), "sigmoid": torch.sigmoid, "hard_sigmoid": F.hardsigmoid, "tanh": torch.tanh, "silu": F.silu,
    "hard_swish": F.hardswish, "mish": F.mish, "softplus": F.softplus, "gelu": F.gelu,
    "gelu_tanh": lambda x: F.gelu(x, approximate="tanh"), "abs": torch.abs, "neg": torch.neg, "exp": torch.exp,
    "sqrt": lambda x: torch.sqrt(x), "reciprocal": torch.reciprocal, "pow": lambda x: x**-0.5, "log": torch.log, "erf": torch.erf,
    "sin": torch.sin, "cos": torch.cos, "floor": torch.floor, "round": torch.round, "sign": torch.sign,
    "threshold": lambda x: F.threshold(x, -0.5, 0.7), "softsign": F.softsign, "hard_shrink": lambda x: F.hardshrink(x, -0.5),
    "soft_shrink": lambda x: F.softshrink(x, 0.5),
}  # fmt: skip


def values_of(op: Op, shapes: list[tuple[int, ...]]) -> list[Value]:
    """The inputs of a case, their channels where the op expects them."""
    if isinstance(op, Linear | Attention | LSTM | GRU):
        return [Value(s, len(s) - 1) for s in shapes]
    axis = getattr(op, "before", getattr(op, "channels", getattr(op, "axis", 0)))
    return [Value(s, 0 if isinstance(op, Constant) else axis) for s in shapes]
