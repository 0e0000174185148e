"""prune(method=...): every method by name, one's own by function or file, and what each refuses."""

from __future__ import annotations

import dataclasses
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from click.testing import CliRunner
from nets import LeNet300, made_up
from torch import Tensor, nn

from edgeprune.cli import main
from edgeprune.data import ArraySplit, Data, Preprocessing, held_out
from edgeprune.errors import EdgepruneError
from edgeprune.pruning import METHODS, Context, Probe, Recipe, find_method, prunable, prune, train
from edgeprune.pruning import run as run_file
from edgeprune.pruning.criteria.force import force
from edgeprune.pruning.criteria.iterative_snip import iterative_snip
from edgeprune.pruning.run import Run

DATA = made_up((16,), 512)
# The others take out whole filters, of networks that have some: test_structured.py.
SINGLE_WEIGHTS = [name for name, method in METHODS.items() if not method.structured]


def net(seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    made = LeNet300(16, 32, 16)
    train(made, DATA.train, Recipe(3, 0.01, batch_size=32))
    return made


@pytest.mark.parametrize("ratio", [4, 20])
@pytest.mark.parametrize("method", SINGLE_WEIGHTS)
def test_every_method_ends_at_the_budget_all_alive_and_trained(method: str, ratio: int) -> None:
    pruned = prune(net(), ratio, data=DATA, method=method, epochs=4, rounds=2, batch_size=32, lr=0.01)
    budget = 1184 // ratio
    assert (pruned.kept, pruned.alive, pruned.masks.kept) == (budget, budget, budget)
    assert all((prunable(pruned.module)[name][~mask] == 0).all() for name, mask in pruned.masks.items())
    assert pruned.rounds[-1].loss is not None


IMAGES = made_up((1, 28, 28), 256)
# In ten steps what nightly runs do in a hundred.
SHORTER = {"force": partial(force, steps=10), "iterative-snip": partial(iterative_snip, steps=10)}


def every_weight_of_lenet_is_alive(method: str, ratio: int, criterion: Any = None) -> None:
    torch.manual_seed(0)
    given: dict[str, Any] = {"method": method, "criterion": criterion, "rounds": 2, "epochs": 1, "batch_size": 32}
    pruned = prune(LeNet300(), ratio, data=IMAGES, **given)
    budget = 266_200 // ratio
    assert (pruned.kept, pruned.alive, pruned.masks.kept) == (budget, budget, budget)
    probe = Probe(LeNet300(), (torch.zeros(1, 1, 28, 28),))
    assert probe.alive(pruned.masks).kept == budget
    assert probe.outputs_reached(pruned.masks).all()


@pytest.mark.parametrize("ratio", [4, 64, 1024])
@pytest.mark.parametrize("method", [name for name in SINGLE_WEIGHTS if name != "obc"])
def test_every_method_spends_the_whole_budget_of_lenet_on_alive_weights(method: str, ratio: int) -> None:
    every_weight_of_lenet_is_alive(method, ratio, SHORTER.get(method))


@pytest.mark.slow
@pytest.mark.parametrize("ratio", [4, 64, 1024])
@pytest.mark.parametrize("method", ["obc", *SHORTER])
def test_the_slow_ones_too_as_they_are(method: str, ratio: int) -> None:
    every_weight_of_lenet_is_alive(method, ratio)


@pytest.mark.parametrize("method", SINGLE_WEIGHTS)
def test_every_method_without_all_alive_pruning_keeps_as_many(method: str) -> None:
    pruned = prune(net(), 20, data=DATA, method=method, aap=False, epochs=2, rounds=2, batch_size=32)
    assert pruned.kept == 1184 // 20
    assert pruned.alive <= pruned.kept


@pytest.mark.parametrize("method", SINGLE_WEIGHTS)
def test_the_same_seed_gives_the_same_network(method: str) -> None:
    a, b = (prune(net(), 10, data=DATA, method=method, epochs=2, rounds=2, batch_size=32, seed=3) for _ in range(2))
    assert a.masks.same(b.masks)
    assert all(torch.equal(value, b.module.state_dict()[name]) for name, value in a.module.state_dict().items())


def by_column(module: nn.Module, context: Context) -> dict[str, Tensor]:
    return {name: weight.abs().sum(0, keepdim=True).expand_as(weight) for name, weight in context.weights(module).items()}


def in_two_cuts(run: Run) -> None:
    for budget in (2 * run.budget, run.budget):
        run.cut(budget, 2)
        run.close_round(run.train(run.plan.last), 1)


def test_a_function_of_two_arguments_is_a_criterion_and_of_one_a_schedule() -> None:
    criterion = prune(net(), 8, data=DATA, method=by_column, schedule="one-shot", epochs=1)
    assert (len(criterion.rounds), criterion.kept) == (1, 148)
    schedule = prune(net(), 8, data=DATA, method=in_two_cuts, epochs=1)
    assert [r.kept for r in schedule.rounds] == [296, 148]


def test_a_function_may_be_named_by_its_file(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text(
        "def smallest_last(module, context):\n    return {name: w.abs() for name, w in context.weights(module).items()}\n"
        "number = 3\ndef three(a, b, c):\n    pass\n"
    )
    given: dict[str, Any] = {"data": DATA, "epochs": 1, "rounds": 2}
    mine = prune(net(), 8, method=f"{file}:smallest_last", **given)
    assert mine.masks.same(prune(net(), 8, **given).masks)
    with pytest.raises(EdgepruneError, match=r"mine\.py:number is a int; give a function of \(module, context\) or of \(run\)"):
        find_method(f"{file}:number")
    with pytest.raises(EdgepruneError, match=r"takes 3 arguments; a criterion takes \(module, context\)"):
        find_method(f"{file}:three")
    with pytest.raises(EdgepruneError, match="has no 'smallest'"):
        find_method(f"{file}:smallest")


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"method": "synflw"}, "did you mean 'synflow'.* or path/to/file.py:function"),
        ({"method": "snip", "data": None}, "method snip looks at training samples"),
        ({"method": "obc", "data": dataclasses.replace(DATA, train=None)}, "method obc looks at training samples"),
        ({"method": "dpf", "data": None}, "the dpf schedule cuts within one training.* needs training data"),
        ({"method": "rigl", "retrain": "fine-tune"}, "retrain='fine-tune' is for others"),
        ({"method": "lamp", "criterion": "size"}, "criterion='size' is not known"),
        ({"distill": 1.5}, "distill=1.5 is not a share of the loss"),
        ({"rewind_to": {"fc1.weight": torch.zeros(2, 2)}}, r"fc1.weight has shape \(2, 2\), here it has shape \(32, 16\)"),
        ({"rewind_to": {}}, "fc1.weight is missing"),
    ],
)
def test_what_a_method_cannot_do_is_refused(given: dict[str, Any], words: str) -> None:
    with pytest.raises(EdgepruneError, match=words):
        prune(LeNet300(16, 32, 16), 4, **{"data": DATA, "example_inputs": (torch.zeros(1, 16),), "epochs": 1, **given})


def test_a_method_without_data_cuts_once() -> None:
    for method in ("synflow", "lamp", "erk", "igq", "layerwise"):
        pruned = prune(net(), 20, example_inputs=(torch.zeros(1, 16),), method=method)
        assert (pruned.kept, pruned.alive, len(pruned.rounds)) == (59, 59, 1)


def test_weights_rewind_to_a_given_state_bit_for_bit(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    made = LeNet300(16, 32, 16)
    initial = {name: value.clone() for name, value in made.state_dict().items()}
    train(made, DATA.train, Recipe(1, 0.01, batch_size=32))
    early = {name: value.clone() for name, value in made.state_dict().items()}
    train(made, DATA.train, Recipe(3, 0.01, batch_size=32))
    for point in (initial, early):
        starts = []

        def watched(module: nn.Module, split: Any, recipe: Recipe, starts: list[Any] = starts, **given: Any) -> float:
            starts.append(({name: value.clone() for name, value in module.state_dict().items()}, given["masks"]))
            return train(module, split, recipe, **given)

        monkeypatch.setattr(run_file, "train", watched)
        prune(made, 10, data=DATA, retrain="weight-rewind", rewind_to=point, rounds=2, epochs=1)
        assert len(starts) == 2
        for start, masks in starts:
            assert all(torch.equal(value, point[name] * masks.get(name, 1)) for name, value in start.items())


@pytest.mark.parametrize("method", ["magnitude", "synflow", "dpf", "rigl", "ac-dc"])
def test_the_dense_network_teaches_under_every_kind_of_schedule(method: str) -> None:
    """With the teacher's part of the loss at one the labels do not count, so that wrong ones do no harm."""
    wrong = made_up((16,), 512)
    assert wrong.train is not None
    wrong.train.y = torch.zeros_like(wrong.train.y)
    lr = 0.3 if method == "dpf" else 0.01  # of SGD, and of AdamW
    given: dict[str, Any] = {"method": method, "epochs": 12, "rounds": 2, "batch_size": 32, "lr": lr}
    taught = prune(net(), 3, data=wrong, distill=1.0, **given)
    misled = prune(net(), 3, data=wrong, **given)
    assert taught.accuracy_after is not None
    assert misled.accuracy_after is not None
    assert taught.accuracy_after > 0.6 > 0.2 > misled.accuracy_after


def test_the_list_of_methods_names_each_with_its_needs_and_paper() -> None:
    shown = CliRunner().invoke(main, ["methods"]).output
    assert all(name in shown for name in METHODS)
    listed = CliRunner().invoke(main, ["methods", "--json"]).output
    assert '"paper": "Tanaka et al. 2020"' in listed
    assert all(method.when and (method.paper or name == "random") for name, method in METHODS.items())
    assert {method.needs for method in METHODS.values()} == {"nothing", "inputs", "labels", "training"}


def test_a_validation_part_is_taken_off_the_training_data() -> None:
    pixels = torch.arange(50, dtype=torch.uint8).reshape(50, 1)
    whole = ArraySplit(pixels, torch.arange(50), Preprocessing(1.0, (0.0,), (1.0,), "none", None))
    data = Data("numbers", whole, whole, (1,), (), Preprocessing(1.0, (0.0,), (1.0,), "none", None))
    part = held_out(data, 10, seed=1)
    assert part.train is not None
    labels = part.train.first(50)[1].tolist(), part.test.first(50)[1].tolist()
    assert (len(labels[0]), len(labels[1])) == (40, 10)
    assert sorted(labels[0] + labels[1]) == list(range(50))
    assert part.test.first(50)[0].flatten().tolist() == labels[1]
    with pytest.raises(EdgepruneError, match="a validation part of 50 leaves none"):
        held_out(data, 50)
    with pytest.raises(EdgepruneError, match="no training part held in memory"):
        held_out(dataclasses.replace(data, train=None), 5)
