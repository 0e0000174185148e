"""Lottery tickets of pre-trained encoders: what is cut, what is rewound, what stays, and what the artifacts make of it."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from closeness import assert_close
from nets import LeNet300
from text_nets import SIZES, reader, sentences
from torch import Tensor, nn

from edgeprune.capturing import capture
from edgeprune.errors import EdgepruneError
from edgeprune.formats import load, write
from edgeprune.ops import Attention
from edgeprune.passes import shrink
from edgeprune.pruning import Probe, Pruned, Recipe, head_weights, prune, train
from edgeprune.pruning import run as run_file
from edgeprune.pruning.schedules.bert_tickets import tenths
from edgeprune.pruning.training import snapshot
from edgeprune.vision import torchvision

torch.set_num_threads(1)
DATA = sentences()
TOTAL = 1650
HEAD = {"classes.weight", "classes.bias"}


def tickets(module: nn.Module, ratio: float = 10, **given: Any) -> Pruned:
    settings: dict[str, Any] = {"data": DATA, "method": "bert-tickets", "epochs": 1, "lr": 0.01, **given}
    return prune(module, ratio, **settings)


@pytest.fixture
def starts(monkeypatch: pytest.MonkeyPatch) -> list[tuple[dict[str, Tensor], dict[str, Tensor]]]:
    """What every training began from and ended with."""
    seen: list[tuple[dict[str, Tensor], dict[str, Tensor]]] = []
    real: Callable[..., float] = run_file.train

    def watched(module: nn.Module, *args: Any, **given: Any) -> float:
        before = snapshot(module)
        loss = real(module, *args, **given)
        seen.append((before, snapshot(module)))
        return loss

    monkeypatch.setattr(run_file, "train", watched)
    return seen


@pytest.mark.parametrize("aap", [True, False])
def test_round_i_holds_exactly_so_many_tenths_of_zeros(aap: bool) -> None:
    pruned = tickets(reader(), aap=aap)
    assert pruned.total == TOTAL
    assert [r.total - r.kept for r in pruned.rounds] == [TOTAL * i // 10 for i in range(10)]
    zeros = sum(int((pruned.module.get_parameter(name) == 0).sum()) for name in pruned.masks)
    assert zeros == TOTAL * 9 // 10


def test_every_training_begins_from_the_pretrained_weights_bit_for_bit(starts: list[Any]) -> None:
    pretrained = snapshot(reader())
    pruned = tickets(reader(), 2)
    assert len(starts) == 6
    for number, (before, _) in enumerate(starts):
        zeros = 0
        for name, value in pretrained.items():
            if name in HEAD:
                continue
            kept = before[name] != 0
            zeros += int((~kept).sum()) if name in pruned.masks else 0
            assert torch.equal(before[name][kept], value[kept])
            assert name in pruned.masks or torch.equal(before[name], value)
        assert zeros == TOTAL * number // 10


def test_training_moves_embeddings_and_norms_and_the_head_goes_on_from_where_it_was(starts: list[Any]) -> None:
    tickets(reader(), 1.2)
    for before, after in starts:
        assert all(not torch.equal(before[name], after[name]) for name in ("tokens.weight", "norm.weight", "layers.0.up.bias"))
    for (_, after), (before, _) in itertools.pairwise(starts):
        assert all(torch.equal(after[name], before[name]) for name in HEAD)
        assert not torch.equal(after["classes.weight"], reader().classes.weight)


def test_masks_come_from_the_fine_tuned_weights_and_not_from_the_pretrained_ones(starts: list[Any]) -> None:
    pruned = tickets(reader(), 1.1, aap=False)
    trained = torch.cat([starts[0][1][name].abs().reshape(-1) for name in pruned.masks])
    kept = torch.cat([mask.reshape(-1) for mask in pruned.masks.values()])
    assert trained[~kept].max() <= trained[kept].min()
    given = torch.cat([reader().get_parameter(name).detach().abs().reshape(-1) for name in pruned.masks])
    assert given[~kept].max() > given[kept].min()


def test_masks_only_ever_lose_weights() -> None:
    few, many = (tickets(reader(), ratio, aap=False).masks for ratio in (10, 2))
    assert all((many[name] | ~few[name]).all() for name in few)


@pytest.mark.parametrize(
    ("total", "start", "budget", "expected"),
    [
        (1000, 1000, 100, [900, 800, 700, 600, 500, 400, 300, 200, 100]),
        (1000, 1000, 250, [900, 800, 700, 600, 500, 400, 300, 250]),
        (1009, 1009, 100, [908, 807, 706, 605, 504, 403, 302, 201, 100]),
        (1000, 1000, 20, [900, 800, 700, 600, 500, 400, 300, 200, 100, 20]),
        (1000, 450, 200, [400, 300, 200]),
        (1000, 200, 200, []),
    ],
)
def test_every_cut_takes_a_tenth_of_all_and_the_last_one_ends_at_the_budget(
    total: int, start: int, budget: int, expected: list[int]
) -> None:
    assert tenths(total, start, budget) == expected


def test_other_rounds_cut_equal_numbers() -> None:
    assert [r.kept for r in tickets(reader(), 2.5, rounds=3).rounds] == [1650, 1320, 990, 660]


def test_the_head_is_what_no_weight_stands_behind() -> None:
    image = (torch.zeros(1, 3, 32, 32),)
    vit = torchvision.models.VisionTransformer(32, 8, 2, 4, 32, 48, num_classes=10)
    cases = [
        (reader(), (torch.ones(1, 8, dtype=torch.int64),), {"classes.weight"}),
        (LeNet300(16, 8, 6), (torch.zeros(1, 16),), {"fc3.weight"}),
        (vit, image, {"heads.head.weight"}),
    ]
    for module, inputs, expected in cases:
        assert head_weights(module, Probe(module, inputs)) == expected


def test_masks_of_one_task_are_a_start_for_another_of_other_labels(starts: list[Any]) -> None:
    source = tickets(reader(), 4)
    del starts[:]
    module = reader()
    module.classes = nn.Linear(5, 3)
    target = tickets(module, 4, data=sentences(seed=5, classes=3), masks={**source.masks, "classes.weight": torch.ones(4, 5)})
    assert target.masks.same(source.masks)
    assert [r.kept for r in target.rounds] == [TOTAL // 4]
    pretrained = reader().state_dict()
    (before, _), = starts  # fmt: skip
    assert all(torch.equal(before[name], pretrained[name] * mask) for name, mask in target.masks.items())


def test_a_killed_run_goes_on_to_the_same_ticket(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = tickets(reader(), 2)
    real = run_file.Run.close_round

    def killed(self: run_file.Run, loss: float | None, epochs: int) -> None:
        real(self, loss, epochs)
        if len(self.records) == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr(run_file.Run, "close_round", killed)
    with pytest.raises(KeyboardInterrupt):
        tickets(reader(), 2, work_dir=tmp_path)
    monkeypatch.setattr(run_file.Run, "close_round", real)
    resumed = tickets(reader(), 2, work_dir=tmp_path, resume=True)
    assert resumed.masks.same(whole.masks)
    assert all(torch.equal(value, whole.module.state_dict()[name]) for name, value in resumed.module.state_dict().items())


def test_the_clipped_gradient_is_that_of_the_kept_weights() -> None:
    module = reader()
    masks = Probe(module, (torch.ones(1, 8, dtype=torch.int64),)).full()
    masks["layers.0.up.weight"][3:] = False
    hooks = masks.silence(module)
    module(torch.ones(2, 8, dtype=torch.int64)).sum().backward()
    gradient = module.layers[0].up.weight.grad
    assert gradient is not None
    assert (gradient[3:] == 0).all()
    assert (gradient[:3] != 0).any()
    hooks.remove()
    module.zero_grad()
    module(torch.ones(2, 8, dtype=torch.int64)).sum().backward()
    assert (module.layers[0].up.weight.grad[3:] != 0).any()


@pytest.mark.parametrize("clip", [0.01, 0.1])
def test_a_clipped_step_is_as_long_as_it_may_be(clip: float) -> None:
    module = reader()
    masks = Probe(module, (torch.ones(1, 8, dtype=torch.int64),)).full()
    for mask in masks.values():
        mask[:, 1::2] = False
    masks.apply(module)
    before = snapshot(module)
    recipe = Recipe(1, 1.0, 160, optimizer="sgd", curve="constant", momentum=0.0, clip=clip)
    assert DATA.train is not None
    train(module, DATA.train, recipe, masks=masks)
    step = sum(((value - before[name]) ** 2).sum() for name, value in snapshot(module).items())
    assert float(step) ** 0.5 == pytest.approx(clip, rel=1e-3)


@pytest.mark.parametrize("given", [{"data": None, "example_inputs": (torch.ones(1, 8, dtype=torch.int64),)}, {"retrain": "none"}])
def test_tickets_need_a_task_and_rewind_by_themselves(given: dict[str, Any]) -> None:
    with pytest.raises(EdgepruneError, match=r"tickets schedule .* needs"):
        tickets(reader(), **given)


def test_a_ticket_whose_heads_and_units_died_is_smaller_and_the_same_in_every_runtime(tmp_path: Path) -> None:
    module = reader()
    masks = Probe(module, (torch.ones(1, 8, dtype=torch.int64),)).full()
    masks["layers.0.attention.value.weight"][:5] = False  # the first head
    masks["layers.1.up.weight"][:7] = False
    pruned = tickets(module, 4, masks=masks)
    ids = DATA.test.first(64)[0]
    graph = capture(pruned.module, ids[:2])
    small = shrink(graph)
    heads = [n.op.heads for n in small.nodes if isinstance(n.op, Attention)]
    assert heads == [1, SIZES.heads]
    units = [n.op.weight.shape[0] for n in small.nodes if n.source.endswith(".up")]  # type: ignore[attr-defined]
    assert units[1] <= SIZES.units - 7
    assert small.parameters < graph.parameters
    with torch.no_grad():
        expected = pruned.module(ids).numpy()
    for suffix in ("onnx", "tflite"):
        path, whole = tmp_path / f"small.{suffix}", tmp_path / f"whole.{suffix}"
        write(small, path)
        write(capture(reader(), ids[:2]), whole)
        assert path.stat().st_size < whole.stat().st_size
        (found,) = load(path).run(ids.numpy())
        assert_close(expected, found, 1e-4)
        assert np.array_equal(expected.argmax(1), found.argmax(1))
