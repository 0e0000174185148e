"""Networks, files and graphs that are refused, beyond those that the tests of capture and import hold."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from test_capture import MAP, VECTOR, Does
from test_vocabulary import SEQUENCE
from torch import Tensor, nn

from edgeprune.graph import Graph, Node, Op, Value
from edgeprune.ops import Activation, Binary, Reduce

Shapes = list[tuple[int, ...]]
B = torch.arange(13.0)


def scores(x: Tensor) -> Tensor:
    return x @ x.mT


def shared_keys(x: Tensor) -> Tensor:
    keys = x[:, None, :, :4].expand(-1, 2, -1, -1)
    return F.scaled_dot_product_attention(x.view(-1, 5, 2, 4).transpose(1, 2), keys, keys)


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
    "closed places as values": (Does(lambda x: torch.zeros_like(x).masked_fill(x > 0, float("-inf")) + x), [VECTOR]),
}


def alone(op: Op, shape: tuple[int, ...], axis: int = 0, reads: int = 1) -> Graph:
    return Graph({"x": Value(shape, axis)}, ("y",), (Node("y", op, ("x",) * reads, "head.odd"),))


class Kindly(Activation):
    pass


# name: (graph, suffix of the file)
GRAPHS: dict[str, tuple[Graph, str]] = {
    **{f"an activation without a formula, {s}": (alone(Activation("zigzag"), (3,)), s) for s in (".onnx", ".tflite")},
    **{f"an op without a word, {s}": (alone(Kindly("relu"), (3,)), s) for s in (".onnx", ".tflite", ".c")},
    **{f"a function of two without a word, {s}": (alone(Binary("atan2"), (3,), reads=2), s) for s in (".onnx", ".tflite")},
    **{f"a reduction without a word, {s}": (alone(Reduce("median", (0,)), (3, 4), 1), s) for s in (".onnx", ".tflite")},
}
