"""Networks, files and graphs that are refused, beyond those that the tests of capture and import hold."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from test_capture import MAP, VECTOR, Does
from test_vocabulary import SEQUENCE
from torch import Tensor, nn

from edgeprune.graph import Graph, Node, Op, Value
from edgeprune.ops import Activation, AvgPool, Binary, Conv, Linear, Mean, Rearrange, Reduce

# A tensor stands for itself.
Shapes = list[tuple[int, ...] | Tensor]
B = torch.arange(13.0)


def scores(x: Tensor) -> Tensor:
    return x @ x.mT


def shared_keys(x: Tensor) -> Tensor:
    keys = x[:, None, :, :4].expand(-1, 2, -1, -1)
    return F.scaled_dot_product_attention(x.view(-1, 5, 2, 4).transpose(1, 2), keys, keys)


def heads(x: Tensor) -> Tensor:
    return x.view(-1, 5, 2, 4).transpose(1, 2)


def dropping(x: Tensor) -> Tensor:
    state = torch.zeros(2, x.shape[0], 5)
    weights = [torch.ones(20, 8), *[torch.ones(20, 5)] * 3]
    return torch.lstm(x, (state, state), weights, False, 2, 0.5, True, False, True)[0]


class Weighs(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, x[:1, :, :].mean(0))


# name: (module, shapes of its inputs)
NETWORKS: dict[str, tuple[nn.Module, Shapes]] = {
    "an ELU of a scaled input": (Does(lambda x: torch.ops.aten.elu.default(x, 1.0, 1.5, 1.0)), [VECTOR]),
    "a pool over the batch": (Does(lambda x: F.max_pool2d(x.transpose(0, 1), 2)), [MAP]),
    "a constant to the power of a value": (Does(lambda x: torch.arange(6.0) ** x), [VECTOR]),
    "a number over attention scores": (Does(lambda x: (1 / scores(x)).softmax(-1) @ x), [SEQUENCE]),
    "exponents by channel": (Does(lambda x: x.abs() ** torch.arange(6.0)), [VECTOR]),
    "a table over a transposed batch": (Does(lambda x: F.embedding(x.long().T, torch.ones(3, 4))), [VECTOR]),
    "logic on numbers": (Does(lambda x: x * torch.bitwise_not(torch.arange(6) + (x > 0)).to(x.dtype)), [VECTOR]),
    "two lists at once": (Does(lambda x: x[:, [0, 1], [1, 2]]), [SEQUENCE]),
    "repeats of different numbers": (
        Does(lambda x: x.repeat_interleave(torch.tensor([1, 2, 1, 1, 1, 1]), 1, output_size=7)), [VECTOR]
    ),
    "a roll of the batch": (Does(lambda x: x.roll(1, 0)), [VECTOR]),
    "a roll as one line": (Does(lambda x: x.roll(1)), [VECTOR]),
    "elements the input picks": (Does(lambda x: torch.index_select(torch.ones(4, 6), 0, (x[:, 0] > 0).int()) + x), [VECTOR]),
    "elements a second input picks": (
        Does(lambda x, i: torch.index_select(x, 1, i[:, 0])), [VECTOR, torch.zeros(2, 1, dtype=torch.int64)]
    ),
    "another length": (Does(lambda x: x / x.norm(1, dim=-1, keepdim=True)), [SEQUENCE]),
    "a sum with a product": (Does(lambda x, y: torch.baddbmm(y, x, x.mT, beta=2.0).softmax(-1) @ x), [SEQUENCE, (2, 5, 5)]),
    "a length multiplied": (Does(lambda x: torch.einsum("btc,bts->bcs", x, x.norm(dim=-1, keepdim=True))), [SEQUENCE]),
    "a length by itself": (Does(lambda x: x.norm(dim=-1, keepdim=True) + x), [SEQUENCE]),
    "a weight made of the input": (Weighs(), [(2, 8, 8)]),
    "a constant of another shape for each example": (Does(lambda x: x + B[:, None] * torch.ones(6)), [VECTOR]),
    "sums with the batch elsewhere": (Does(lambda x: x[:, None] + x[None]), [VECTOR]),
    "the logarithm of attention": (Does(lambda x: scores(x).log_softmax(-1) @ x), [SEQUENCE]),
    "values chosen by a constant": (Does(lambda x: torch.where(torch.arange(6) > 2, x, -x)), [VECTOR]),
    "a constant compared with a value": (Does(lambda x: (torch.arange(6.0) > x).to(x.dtype) * x), [VECTOR]),
    "a value compared with many": (Does(lambda x: (x > torch.arange(6.0)).to(x.dtype) * x), [VECTOR]),
    "scores filled by little": (
        Does(lambda x: scores(x).masked_fill(torch.ones(5, 5).triu(1) > 0, -5.0).softmax(-1) @ x), [SEQUENCE]
    ),
    "infinite values": (Does(lambda x: x.masked_fill(x > 0, float("inf"))), [VECTOR]),
    "channels of ones": (Does(lambda x: F.pad(x, (0, 0, 0, 0, 1, 0), value=1.0)), [MAP]),
    "a constant joined that differs by example": (Does(lambda x: torch.cat([x, B[:, None]], 1)), [VECTOR]),
    "attention scores joined": (Does(lambda x: torch.cat([scores(x), x], -1)), [SEQUENCE]),
    "nothing": (Does(lambda x: torch.cat([x[:, 3:3] * 2, x], 1)), [VECTOR]),
    "values joined with the batch elsewhere": (Does(lambda x: torch.cat([x.T, x[:13]], 0)), [(2, 13)]),
    "a constant matrix for each example": (Does(lambda x: x @ B[:, None, None].expand(13, 8, 3)), [SEQUENCE]),
    "a bias that does not fit": (Does(lambda x: (scores(x) + B[:, None, None]).softmax(-1) @ x), [SEQUENCE]),
    "scores on their side": (Does(lambda x: scores(x).softmax(-1).mT @ x), [SEQUENCE]),
    "a second mask": (Does(lambda x, m: (scores(x) + m + m).softmax(-1) @ x), [SEQUENCE, (2, 1, 5)]),
    "a constant after the softmax": (Does(lambda x: (scores(x).softmax(-1) + 1.0) @ x), [SEQUENCE]),
    "a mask, then a scale": (Does(lambda x, m: ((scores(x) + m) / 2).softmax(-1) @ x), [SEQUENCE, (2, 1, 5)]),
    "a scale for every query": (Does(lambda x: (scores(x) * torch.arange(5.0)[:, None]).softmax(-1) @ x), [SEQUENCE]),
    "scores times the input": (Does(lambda x: (scores(x) * x.mean(-1, keepdim=True)).softmax(-1) @ x), [SEQUENCE]),
    "a scale after the softmax": (Does(lambda x: (scores(x).softmax(-1) * 2) @ x), [SEQUENCE]),
    "heads that share their keys": (Does(shared_keys), [SEQUENCE]),
    "a softmax over queries": (Does(lambda x: scores(x).softmax(-2) @ x), [SEQUENCE]),
    "a repeated value": (Does(lambda x: x[:, None].expand(-1, 3, -1).reshape(-1, 18) + 0), [VECTOR]),
    "a number over attention scores, at once": (Does(lambda x: (torch.ones(5) / scores(x)).softmax(-1) @ x), [SEQUENCE]),
    "a table over integers with the batch elsewhere": (
        Does(lambda i: F.embedding(i.transpose(0, 1), torch.ones(3, 4))), [torch.zeros(2, 5, 7, dtype=torch.int64)]
    ),
    "recurrent dropout": (Does(dropping), [SEQUENCE]),
    "dropout": (Does(lambda x: F.dropout(x, 0.5, True)), [VECTOR]),
    "a convolution by its input": (Does(lambda x: F.conv2d(x, x)), [MAP]),
    "a pool with the batch elsewhere": (Does(lambda x: F.max_pool2d(x.permute(1, 2, 0, 3), 2)), [MAP]),
    "a repeated value times its source": (Does(lambda x: x[:, None].expand(-1, 3, -1) * x[:, None]), [VECTOR]),
    "a value plus itself turned": (Does(lambda x: x + x.permute(2, 1, 0, 3)), [(2, 4, 13, 8)]),
    "a value joined with itself turned": (Does(lambda x: torch.cat([x, x.permute(2, 1, 0, 3)], 3)), [(2, 4, 13, 8)]),
    "a constant line times a value": (Does(lambda x: torch.arange(5.0) @ x), [SEQUENCE]),
    "a product that adds an axis": (Does(lambda x: x @ torch.ones(1, 6, 3)), [VECTOR]),
    "heads that share their values": (Does(lambda x: (heads(x) @ heads(x).mT).softmax(-1) @ x[:, None]), [SEQUENCE]),
    "a unit vector taken apart": (Does(lambda x: F.normalize(x, dim=-1).transpose(1, 2).flatten(1) + 0), [SEQUENCE]),
    "a reshape across factors": (Does(lambda x: x.reshape(-1, 4, 10) + 0), [SEQUENCE]),
    "the batch in another order": (Does(lambda x: torch.index_select(x, 0, torch.arange(13).flip(0))), [VECTOR]),
    "closed places as values": (Does(lambda x: torch.zeros_like(x).masked_fill(x > 0, float("-inf")) + x), [VECTOR]),
}


def alone(op: Op, shape: tuple[int, ...], axis: int = 0, reads: int = 1) -> Graph:
    return Graph({"x": Value(shape, axis)}, ("y",), (Node("y", op, ("x",) * reads, "head.odd"),))


GAPS = AvgPool((2, 2), (2, 2), ((0, 0), (0, 0)), (2, 2))
DEEP = Conv(np.ones((2, 3, 1, 1, 1), np.float32), stride=(1,) * 3, padding=((0, 0),) * 3, dilation=(1,) * 3)
TURNED = Rearrange(((-1,), *[(2,)] * 8), tuple(range(9))[::-1], (1,) * 9, 0, 8)


# The layer that makes a file too large, after one that does not.
LARGE = Graph(
    {"x": Value((4,))},
    ("y",),
    (
        Node("t", Linear(np.ones((3, 4), np.float32)), ("x",), "small"),
        Node("y", Linear(np.ones((50, 3), np.float32)), ("t",), "head.large"),
    ),
)


class Kindly(Activation):
    pass


# name: (graph, suffix of the file)
GRAPHS: dict[str, tuple[Graph, str]] = {
    **{f"an activation without a formula, {s}": (alone(Activation("zigzag"), (3,)), s) for s in (".onnx", ".tflite")},
    **{f"a mean over windows with gaps, {s}": (alone(GAPS, (3, 8, 8)), s) for s in (".onnx", ".tflite")},
    "places along three axes, .tflite": (alone(DEEP, (3, 4, 4, 4)), ".tflite"),
    "a mean over four axes, .c": (alone(Mean(), (3, 2, 2, 2, 2)), ".c"),
    **{f"nine axes the other way round, {s}": (alone(TURNED, (2,) * 9), s) for s in (".tflite", ".c")},
    **{f"an op without a word, {s}": (alone(Kindly("relu"), (3,)), s) for s in (".onnx", ".tflite", ".c")},
    **{f"a function of two without a word, {s}": (alone(Binary("atan2"), (3,), reads=2), s) for s in (".onnx", ".tflite")},
    **{f"a reduction without a word, {s}": (alone(Reduce("median", (0,)), (3, 4), 1), s) for s in (".onnx", ".tflite")},
}
