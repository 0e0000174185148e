"""prune(): budgets, what each way of retraining starts from, and what is refused."""

from __future__ import annotations

import copy
import dataclasses
import itertools
import math
import re
from typing import Any

import pytest
import torch
from nets import CifarResNet, LeNet300, made_up
from torch import Tensor, nn

from edgeprune.data import Data
from edgeprune.errors import EdgepruneError
from edgeprune.pruning import Masks, Probe, Progress, Recipe, Round, Unholdable, evaluate, prunable, prune, train
from edgeprune.pruning import run as run_file
from edgeprune.pruning.criteria import Context
from edgeprune.pruning.run import Run, budgets


def net_and_data(seed: int = 0) -> tuple[nn.Module, Data]:
    torch.manual_seed(seed)
    data, net = made_up(), LeNet300(16, 16, 8)
    train(net, data.train, Recipe(3, 0.01, batch_size=32))
    return net, data


def state(module: nn.Module) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in module.state_dict().items()}


def equal(a: dict[str, Tensor], b: dict[str, Tensor]) -> bool:
    return a.keys() == b.keys() and all(torch.equal(value, b[name]) for name, value in a.items())


@pytest.fixture
def cuts(monkeypatch: pytest.MonkeyPatch) -> list[Masks]:
    """The masks after each cut, as they come."""
    seen: list[Masks] = []
    cut = Run.cut

    def watched(self: Run, budget: int, rounds: int) -> None:
        cut(self, budget, rounds)
        seen.append(Masks({name: mask.clone() for name, mask in self.masks.items()}))

    monkeypatch.setattr(Run, "cut", watched)
    return seen


@pytest.fixture
def trainings(monkeypatch: pytest.MonkeyPatch) -> list[tuple[Recipe, dict[str, Tensor], dict[str, Tensor]]]:
    """(recipe, state at its start, state at its end) of each retraining."""
    seen: list[tuple[Recipe, dict[str, Tensor], dict[str, Tensor]]] = []

    def watched(module: nn.Module, split: Any, recipe: Recipe, **given: Any) -> float:
        before = state(module)
        loss = train(module, split, recipe, **given)
        seen.append((recipe, before, state(module)))
        return loss

    monkeypatch.setattr(run_file, "train", watched)
    return seen


@pytest.mark.parametrize(("start", "end", "rounds"), [(1000, 10, 2), (266_200, 259, 15), (464, 463, 5), (7, 7, 1), (20, 3, 40)])
def test_budgets_never_rise_and_end_exactly(start: int, end: int, rounds: int) -> None:
    steps = budgets(start, end, rounds)
    assert (len(steps), steps[-1]) == (rounds, end)
    assert all(a >= b for a, b in itertools.pairwise([start, *steps]))


def test_cuts_grow_gentler_to_a_third_of_the_first() -> None:
    steps = [10**9, *budgets(10**9, 10**3, 9)]
    depths = [math.log(a / b) for a, b in itertools.pairwise(steps)]
    assert all(a > b for a, b in itertools.pairwise(depths))
    assert depths[0] == pytest.approx(3 * depths[-1], rel=0.02)


@pytest.mark.parametrize("ratio", [1.5, 2, 7.3, 20])
@pytest.mark.parametrize("aap", [True, False])
def test_the_ratio_is_met_to_the_weight(ratio: float, aap: bool) -> None:
    net, data = net_and_data()
    pruned = prune(net, ratio, data=data, aap=aap, rounds=2, epochs=1)
    budget = int(464 / ratio)
    assert (pruned.kept, pruned.total, pruned.masks.kept) == (budget, 464, budget)
    weights = prunable(pruned.module)
    assert all((weights[name][~mask] == 0).all() for name, mask in pruned.masks.items())
    if aap:
        assert pruned.alive == budget
    assert pruned.rounds[-1].kept == budget


def test_without_all_alive_pruning_dead_weights_are_kept() -> None:
    net, data = net_and_data()
    pruned = prune(net, 20, data=data, criterion="random", aap=False, rounds=1, epochs=1)
    assert pruned.kept == 23
    assert pruned.alive < 23


@pytest.mark.parametrize("aap", [True, False])
def test_what_was_cut_never_comes_back(aap: bool, cuts: list[Masks]) -> None:
    net, data = net_and_data()
    prune(net, 15, data=data, criterion="random", aap=aap, rounds=6, epochs=1)
    assert [masks.kept for masks in cuts] == budgets(464, 30, 6)
    for before, after in itertools.pairwise(cuts):
        assert not any((mask & ~before[name]).any() for name, mask in after.items())


def test_a_pruned_checkpoint_is_pruned_further_and_nothing_comes_back() -> None:
    net, data = net_and_data()
    first = prune(net, 4, data=data, rounds=2, epochs=1)
    second = prune(first.module, 12, data=data, criterion="random", rounds=2, epochs=1, masks=first.masks)
    assert (second.kept, second.alive, second.total) == (38, 38, 464)
    assert not any((mask & ~first.masks[name]).any() for name, mask in second.masks.items())


def test_rounds_start_from_what_is_alive_of_a_checkpoint_that_kept_dead_weights() -> None:
    net, data = net_and_data()
    first = prune(net, 6, data=data, criterion="random", aap=False, rounds=1, epochs=1)
    steps = budgets(first.alive, 50, 6)
    assert steps[0] < first.alive < budgets(first.kept, 50, 6)[0]
    second = prune(first.module, 464 / 50.5, data=data, rounds=6, epochs=1, masks=first.masks)
    assert [each.kept for each in second.rounds] == steps
    assert second.alive == second.kept == 50


def test_a_checkpoint_pruned_beyond_the_ratio_is_refused_with_one_that_works() -> None:
    net, data = net_and_data()
    first = prune(net, 8, data=data, rounds=1, epochs=1)
    with pytest.raises(Unholdable, match=r"only 58 left; a ratio above 8 prunes further"):
        prune(first.module, 4, data=data, masks=first.masks)


def test_a_rewound_learning_rate_leaves_the_weights_as_they_were_trained(trainings: list[Any], cuts: list[Masks]) -> None:
    net, data = net_and_data()
    given = state(net)
    prune(net, 10, data=data, rounds=3, epochs=1)
    previous = given
    for (recipe, before, after), masks in zip(trainings, cuts, strict=True):
        assert equal(before, {name: value * masks[name] if name in masks else value for name, value in previous.items()})
        assert recipe.curve != "constant"
        previous = after


def test_rewound_weights_are_the_given_ones_to_the_bit(trainings: list[Any], cuts: list[Masks]) -> None:
    torch.manual_seed(0)
    data, net = made_up((3, 8, 8), 128), CifarResNet(1, 4)
    train(net, data.train, Recipe(1, 0.01, batch_size=32))
    given = state(net)
    prune(net, 10, data=data, retrain="weight-rewind", rounds=3, epochs=1)
    assert len(trainings) == 3
    for (_, before, after), masks in zip(trainings, cuts, strict=True):
        assert equal(before, {name: value * masks[name] if name in masks else value for name, value in given.items()})
        assert not equal(before, after)


def test_fine_tuning_goes_on_at_a_small_constant_rate(trainings: list[Any], cuts: list[Masks]) -> None:
    net, data = net_and_data()
    prune(net, 10, data=data, retrain="fine-tune", lr=0.01, rounds=2, epochs=1)
    assert all(recipe.curve == "constant" and recipe.lr < 0.01 for recipe, _, _ in trainings)
    (_, _, after), (_, before, _) = trainings
    assert equal(before, {name: value * cuts[1][name] if name in cuts[1] else value for name, value in after.items()})


def test_one_shot_cuts_once_and_measures_batch_norms_anew(cuts: list[Masks]) -> None:
    torch.manual_seed(0)
    data, net = made_up((3, 8, 8), 256), CifarResNet(1, 8)
    train(net, data.train, Recipe(8, 0.02, batch_size=32))
    pruned = prune(net, 3, data=data, schedule="one-shot", retrain="none")
    assert (len(cuts), len(pruned.rounds), pruned.rounds[0].epochs) == (1, 1, 0)
    was = net.state_dict()
    statistics = {n for n, value in state(pruned.module).items() if "running" in n and not torch.equal(value, was[n])}
    assert len(statistics) == 2 * 7
    assert equal(
        {name: value for name, value in state(pruned.module).items() if name in pruned.masks},
        {name: was[name] * mask for name, mask in pruned.masks.items()},
    )
    stale = copy.deepcopy(pruned.module)
    stale.load_state_dict({**pruned.module.state_dict(), **{name: was[name] for name in statistics}})
    assert pruned.accuracy_after == evaluate(pruned.module, data.test) > evaluate(stale, data.test) + 0.1


def test_without_data_it_is_one_cut_and_no_accuracy(cuts: list[Masks]) -> None:
    net, _ = net_and_data()
    pruned = prune(net, 10, example_inputs=(torch.zeros(1, 16),))
    assert len(cuts) == len(pruned.rounds) == 1
    assert (pruned.kept, pruned.alive) == (46, 46)
    assert (pruned.accuracy_before, pruned.accuracy_after, pruned.rounds[0].loss) == (None, None, None)
    assert equal(state(pruned.module), {n: v * pruned.masks[n] if n in pruned.masks else v for n, v in state(net).items()})


def test_without_training_data_it_is_one_cut_that_is_measured(cuts: list[Masks]) -> None:
    net, data = net_and_data()
    pruned = prune(net, 3, data=dataclasses.replace(data, train=None))
    assert len(cuts) == 1
    assert pruned.accuracy_before is not None
    assert pruned.accuracy_after is not None
    assert pruned.rounds[0].loss is None


def test_the_given_network_and_the_process_stay_as_they_were() -> None:
    net, data = net_and_data()
    net.train()
    net.fc2.eval()
    net.fc1.weight.grad = torch.ones_like(net.fc1.weight)
    before, owners, random = state(net), dict(net.named_parameters()), torch.get_rng_state()
    threads = torch.get_num_threads()
    pruned = prune(net, 8, data=data, rounds=2, epochs=1)
    assert equal(state(net), before)
    assert all(parameter is owners[name] for name, parameter in net.named_parameters())
    assert [m.training for m in (net, net.fc1, net.fc2, net.fc3)] == [True, True, False, True]
    assert torch.equal(net.fc1.weight.grad, torch.ones_like(net.fc1.weight))
    assert torch.equal(torch.get_rng_state(), random)
    assert torch.get_num_threads() == threads
    assert not any(vars(layer).get("forward") for layer in net.modules())
    assert not any(module.training for module in pruned.module.modules())


def test_the_same_seed_gives_the_same_network_and_another_another() -> None:
    net, data = net_and_data()
    results = [prune(net, 8, data=data, rounds=2, epochs=1, seed=seed) for seed in (3, 3, 4)]
    assert equal(state(results[0].module), state(results[1].module))
    assert not equal(state(results[0].module), state(results[2].module))


def test_a_pruned_network_recovers_its_accuracy() -> None:
    torch.manual_seed(0)
    data, net = made_up(), LeNet300(16, 64, 32)
    train(net, data.train, Recipe(10, 0.01, batch_size=32))
    pruned = prune(net, 12, data=data, rounds=4, epochs=5, batch_size=32)
    assert pruned.kept == pruned.alive == 282
    assert pruned.accuracy_after is not None
    assert pruned.accuracy_after > 0.85


def test_records_say_what_every_round_left() -> None:
    net, data = net_and_data()
    told: list[Any] = []

    class Told(Progress):
        def round_started(self, number: int, rounds: int, kept: int) -> None:
            told.append((number, rounds, kept))

        def round_finished(self, record: Round) -> None:
            told.append(record)

    pruned = prune(net, 9, data=data, rounds=2, epochs=1, progress=Told())
    (first, second) = pruned.rounds
    assert told == [(1, 2, first.kept), first, (2, 2, 51), second]
    assert (first.number, second.number, second.kept, second.alive, second.total) == (1, 2, 51, 51, 464)
    assert second.accuracy == pruned.accuracy_after
    assert second.loss is not None
    assert second.seconds > 0


def test_a_criterion_sees_masks_and_training_data_and_may_be_any_function() -> None:
    net, data = net_and_data()
    seen: list[Context] = []

    def smallest(module: nn.Module, context: Context) -> dict[str, Tensor]:
        seen.append(context)
        weights = dict(module.named_parameters())
        return {name: -weights[name].detach().abs() for name in context.masks}

    pruned = prune(net, 4, data=data, criterion=smallest, rounds=2, epochs=1)
    assert all(context.data is data.train for context in seen)
    assert seen[-1].masks.kept == pruned.rounds[0].kept
    assert len({context.seed for context in seen}) == 2


def test_a_ratio_beyond_the_network_names_one_that_works_to_the_end() -> None:
    net, data = net_and_data()
    with pytest.raises(Unholdable, match="one path into each") as refused:
        prune(net, 200, data=data)
    ratio = int(re.search(r"largest ratio that works is (\d+)$", str(refused.value))[1])
    for retrain in ("lr-rewind", "weight-rewind"):
        pruned = prune(net, ratio, data=data, rounds=8, epochs=1, retrain=retrain)
        assert pruned.kept == pruned.alive == 464 // ratio
    with pytest.raises(Unholdable):
        prune(net, ratio + 1, data=data)


def test_a_ratio_that_keeps_nothing_is_refused_without_all_alive_pruning_too() -> None:
    net, data = net_and_data()
    with pytest.raises(Unholdable, match="keeps nothing; the network has 464"):
        prune(net, 465, data=data, aap=False)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"ratio": 0}, "ratio=0 is not"),
        ({"ratio": 1}, "ratio=1 is not"),
        ({"ratio": -3}, "ratio=-3 is not"),
        ({"ratio": float("nan")}, "ratio=nan is not"),
        ({"ratio": float("inf")}, "ratio=inf is not"),
        ({"ratio": "many"}, "ratio=many is not"),
        ({"ratio": 0.98}, "did you mean 50 "),
        ({"criterion": "size"}, "criterion='size' is not known; choose one of magnitude, random"),
        ({"schedule": "twice"}, "schedule='twice' is not known; choose one of iterative, one-shot"),
        ({"retrain": "hard"}, "lr-rewind, fine-tune, weight-rewind, none"),
        ({"rounds": 0}, "rounds=0"),
        ({"epochs": -1}, "epochs=-1"),
        ({"batch_size": 0}, "batch_size=0"),
        ({"lr": 0.0}, "lr=0.0"),
        ({"lr": float("nan")}, "lr=nan"),
        ({"precision": "4-true"}, "32-true, bf16-mixed, 16-mixed"),
        ({"device": "toaster"}, "toaster"),
        ({"resume": True}, "resume needs work_dir"),
        ({"data": None, "schedule": "iterative"}, "needs training data"),
        ({"data": None}, "give example_inputs"),
        ({"masks": {"fc1.weight": torch.ones(3, 3)}}, r"fc1.weight has shape \(3, 3\), the weight \(16, 16\)"),
    ],
)
def test_what_cannot_be_done_is_refused_with_what_can(given: dict[str, Any], words: str) -> None:
    data, net = made_up(), LeNet300(16, 16, 8)
    with pytest.raises(EdgepruneError, match=words):
        prune(net, **{"ratio": 4, "data": data, "rounds": 1, "epochs": 1, **given})


def test_masks_of_weights_the_output_does_not_depend_on_are_ignored_aloud(caplog: pytest.LogCaptureFixture) -> None:
    net, data = net_and_data()
    pruned = prune(net, 4, data=data, rounds=1, epochs=1, masks={"old.weight": torch.ones(2, 2)})
    assert "old.weight is ignored" in caplog.text
    assert set(pruned.masks) == set(Probe(net, (torch.zeros(1, 16),)).names)
