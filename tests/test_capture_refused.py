"""What capture refuses, it refuses by name."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from test_capture import MAP, VECTOR, Does, rand
from torch import Tensor, nn

from edgeprune.capturing import capture
from edgeprune.errors import Unsupported


def later(function: Callable[..., object]) -> Does:
    return Does(function, c=nn.Conv2d(3, 3, 1))


def written_through_two_views(x: Tensor, c: nn.Module) -> Tensor:
    y = c(x)
    part = y.flatten(1)[:, :5]
    y.relu_()
    return part + 1


def base_of_a_view_overwritten(x: Tensor, c: nn.Module) -> Tensor:
    y = c(x)
    y.flatten(1).relu_()
    return y + 1


def view_of_what_was_overwritten(x: Tensor, c: nn.Module) -> Tensor:
    y = c(x)
    v = y.flatten(1)
    y.relu_()
    return v + 1


def base_of_a_chunk_overwritten(x: Tensor, c: nn.Module) -> Tensor:
    y = c(x)
    y.split([1, 2], 1)[0].relu_()
    return y + 1


class Branches(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x * 2 if x.sum() > 0 else x


class Counts(nn.Module):
    """Writes the input's mean into a buffer."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("seen", torch.zeros(3))

    def forward(self, x: Tensor) -> Tensor:
        self.seen.add_(x.mean((0, 2, 3)))
        return x + 1


# (name, module, shapes, parts of the message)
REFUSED: list[tuple[str, nn.Module, list[tuple[int, ...]], list[str]]] = [
    ("an unknown op, by layer, op and remedy", nn.Sequential(nn.Linear(6, 4), Does(lambda x: x.cumsum(1))), [VECTOR],
     ["1: aten.cumsum.default", "nobody has taught it", "Rewrite the layer", "edgeprune/capturing"]),
    ("an unknown op in the model's own forward", Does(lambda x: x.sort(1)[0]), [VECTOR],
     ["the model's own forward: aten.sort.default"]),
    ("batch norm without running statistics", nn.Sequential(nn.BatchNorm2d(3, track_running_stats=False)), [MAP],
     ["0: aten.batch_norm.default", "the batch's own statistics", "call eval()"]),
    ("control flow on data", Branches(), [MAP], ["Branches cannot be exported", "must not depend on the values of its input"]),
    ("control flow in the middle", later(lambda x, c: c(x) if c(x).max() > 0 else x), [MAP], ["Does cannot be exported"]),
    ("a mean over the batch", Does(lambda x: x - x.mean(0, keepdim=True)), [MAP], ["aten.mean.dim", "Rewrite the layer"]),
    ("a mean over everything", Does(lambda x: x - x.mean()), [MAP], ["aten.mean.default"]),
    ("a softmax over the batch", nn.Softmax(0), [VECTOR], ["aten.softmax.int", "over the batch"]),
    ("a part of the batch", Does(lambda x: x[:1] + 1), [MAP], ["a part of the batch"]),
    ("a cat along the batch", Does(lambda x: torch.cat([x, x])), [MAP], ["aten.cat.default", "Rewrite the layer"]),
    ("a reshape that mixes the batch", Does(lambda x: x.view(-1, 4)), [MAP], ["'output'", "the batch as its first", "give out"]),
    ("a pad of the batch", Does(lambda x: F.pad(x, (0, 0, 0, 0, 0, 0, 1, 0))), [MAP], ["aten.pad.default"]),
    ("a rounding quotient", Does(lambda x: torch.div(x, 2, rounding_mode="floor")), [MAP], ["rounds"]),
    ("another type", Does(lambda x: x.double() + 1), [MAP], ["torch.float32 to torch.float64"]),
    ("a divisor", nn.AvgPool2d(2, divisor_override=3), [MAP], ["divisor_override"]),
    ("softplus with beta", nn.Softplus(2.0), [VECTOR], ["beta=2.0 is not 1"]),
    ("a buffer that learns", Counts(), [MAP], ["aten.mean.dim"]),
    ("a constant without the batch", Does(lambda x: (torch.ones(3, 2), x + 1)), [MAP], ["'output_0'", "the batch as its first"]),
    ("a number as output", Does(lambda x: (torch.tensor(3.0), x + 1)), [MAP], ["'output_0'", "not computed from the input"]),
    ("a view of an overwritten value", later(view_of_what_was_overwritten), [MAP], ["aten.relu_.default", "reads later"]),
    ("a view of a view of an overwritten value", later(written_through_two_views), [MAP], ["aten.relu_.default", "reads later"]),
    ("the base of an overwritten view", later(base_of_a_view_overwritten), [MAP], ["aten.relu_.default", "overwrites conv2d"]),
    ("the base of an overwritten chunk", later(base_of_a_chunk_overwritten), [MAP], ["aten.relu_.default", "overwrites conv2d"]),
]  # fmt: skip


@pytest.mark.parametrize(("module", "shapes", "parts"), [c[1:] for c in REFUSED], ids=[c[0] for c in REFUSED])
def test_what_has_no_meaning_is_refused_by_name(module: nn.Module, shapes: list[tuple[int, ...]], parts: list[str]) -> None:
    with pytest.raises(Unsupported) as caught:
        capture(module, [rand(*s) for s in shapes])
    message = str(caught.value)
    assert "\n" not in message
    assert all(part in message for part in parts), message


def test_dropout_that_is_on_in_an_exported_program_is_refused() -> None:
    program = torch.export.export(nn.Sequential(nn.Linear(6, 4), nn.Dropout()).train(), (torch.zeros(13, 6),))
    with pytest.raises(Unsupported, match="dropout is in training mode"):
        capture(program, rand(*VECTOR))
