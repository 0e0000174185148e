"""Comparisons, logic and choices by a mask: truth values are the numbers 0 and 1."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from test_capture import Does, agrees, rand
from torch import Tensor, nn

from edgeprune.capturing import capture
from edgeprune.graph import Graph, Node, Value
from edgeprune.ops import Affine, Embedding

SHAPE = (2, 3, 4)
CONSTANT = torch.arange(4.0) / 2 - 0.5


def truth(flags: Tensor, like: Tensor) -> Tensor:
    return flags.to(like.dtype)


def every_entry(x: Tensor) -> Tensor:
    return x[torch.arange(len(x))[:, None, None], torch.arange(3)[:, None], torch.arange(4)] * 2


BY_NUMBER = {"eq": torch.eq, "ne": torch.ne, "gt": torch.gt, "ge": torch.ge, "lt": torch.lt, "le": torch.le}

CASES = [
    *((f"a value and a number, {name}", Does(lambda x, f=f: truth(f(x.round(), 0.0), x) + truth(f(x.round(), 1.0), x)), 1)
      for name, f in BY_NUMBER.items()),
    *((f"two values, {name}", Does(lambda x, y, f=f: truth(f(x.round(), y.round()), x)), 2)
      for name, f in BY_NUMBER.items()),
    ("not", Does(lambda x: truth(~(x > 0), x) + truth(torch.logical_not(x > 0.5), x)), 1),
    ("and", Does(lambda x, y: truth((x > 0) & (y > 0), x)), 2),
    ("or", Does(lambda x, y: truth((x > 0) | (y > 0), x)), 2),
    ("and a constant", Does(lambda x: truth((x > 0) & (CONSTANT > 0), x)), 1),
    ("or a constant", Does(lambda x: truth((x > 0) | (CONSTANT > 0), x)), 1),
    ("filled by a number", Does(lambda x: x.masked_fill(x > 0.3, 2.5)), 1),
    ("filled by nothing", Does(lambda x: x.masked_fill(x > 0.3, 0.0)), 1),
    ("one or the other value", Does(lambda x, y: torch.where(x > y, x, y * 2)), 2),
    ("a value or a constant", Does(lambda x: torch.where(x > 0, x, CONSTANT.to(x))), 1),
    ("one or the other number", Does(lambda x: torch.where(x > 0, 3.0, -1.0)), 1),
    ("truth of a number", Does(lambda x: truth(x.round().bool(), x)), 1),
    ("every entry by lists", Does(every_entry), 1),
]  # fmt: skip


@pytest.mark.parametrize(("module", "inputs"), [c[1:] for c in CASES], ids=[c[0] for c in CASES])
def test_the_graph_agrees_with_the_module(module: nn.Module, inputs: int) -> None:
    agrees(module, *(rand(*SHAPE) + i / 4 for i in range(inputs)))


def test_what_is_always_true_makes_no_node() -> None:
    def forward(x: Tensor) -> Tensor:
        return torch.where((x > 0) & torch.ones(3, 1, dtype=torch.bool), x, 0.0)

    graph = agrees(Does(forward), rand(*SHAPE))
    assert [type(n.op).__name__ for n in graph.nodes] == ["Activation", "Activation", "Mul"]


def test_whole_numbers_and_truth_values_are_numbers_of_the_network() -> None:
    module = Does(lambda n, flags, x: n * x + (~flags) * 2 * x)
    n, flags, x = torch.arange(24).reshape(SHAPE), torch.arange(24).reshape(SHAPE) % 3 == 0, rand(*SHAPE)
    graph = capture(module, (n, flags, x))
    made = graph.run(n.numpy(), flags.numpy(), x.numpy())
    assert isinstance(made, np.ndarray)
    assert made.dtype == np.float32
    assert np.allclose(made, module(n, flags, x).numpy(), 1e-6)


def test_a_graph_in_float64_takes_whole_numbers_in_float64() -> None:
    nodes = (
        Node("a", Embedding(np.arange(6.0).reshape(3, 2)), ("input",)),
        Node("output", Affine(np.full(2, 0.1), np.zeros(2), 1), ("a",)),
    )
    graph = Graph({"input": Value((2,))}, ("output",), nodes)
    made = graph.run(np.array([[2, 0]]))
    assert isinstance(made, np.ndarray)
    assert made.dtype == np.float64
    assert made.tolist() == [[[4 * 0.1, 5 * 0.1], [0.0, 0.1]]]
