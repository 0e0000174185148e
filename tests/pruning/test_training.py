"""Retraining: repeatable, polite to its caller, and refused where it cannot work."""

from __future__ import annotations

import copy
import logging
from typing import Any

import pytest
import torch
from nets import CifarResNet, LeNet300, Memory, made_up
from torch import Tensor, nn

from edgeprune.errors import CheckFailed, EdgepruneError
from edgeprune.pruning import Place, Probe, Progress, Recipe, all_alive, evaluate, recalibrate, train
from edgeprune.pruning import threads as threads_file
from edgeprune.pruning.threads import Work, enough_threads


def same_bits(a: nn.Module, b: nn.Module) -> bool:
    return all(torch.equal(value, b.state_dict()[name]) for name, value in a.state_dict().items())


def test_a_network_learns() -> None:
    torch.manual_seed(0)
    data, net = made_up(), LeNet300(16, 32, 16)
    train(net, data.train, Recipe(10, 0.01, batch_size=32))
    assert evaluate(net, data.test) > 0.9


def test_the_same_seed_gives_the_same_bits_and_another_does_not() -> None:
    data = made_up()
    nets = []
    for seed in (1, 1, 2):
        torch.manual_seed(0)
        net = nn.Sequential(nn.Linear(16, 32), nn.ReLU(), nn.Dropout(0.3), nn.Linear(32, 10))
        torch.manual_seed(len(nets))  # the caller's random state must not matter
        train(net, data.train, Recipe(2, 0.01, batch_size=32), seed=seed)
        nets.append(net)
    assert same_bits(nets[0], nets[1])
    assert not same_bits(nets[0], nets[2])


def test_training_leaves_the_callers_random_state_alone() -> None:
    data, net = made_up(), nn.Sequential(nn.Linear(16, 10), nn.Dropout(0.5))
    before = torch.get_rng_state()
    train(net, data.train, Recipe(1, 0.01))
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("curve", ["one-cycle", "cosine"])
def test_the_curve_reaches_its_peak_and_falls_to_nothing(curve: str) -> None:
    recipe = Recipe(1, 0.5, curve=curve)
    rates = [recipe.lr_at(step, 100) for step in range(101)]
    assert max(rates) == pytest.approx(0.5)
    assert rates[100] == pytest.approx(0, abs=1e-12)
    assert rates[0] == pytest.approx(0.02 if curve == "one-cycle" else 0.5)


def test_a_constant_curve_stays() -> None:
    recipe = Recipe(1, 0.5, curve="constant")
    assert {recipe.lr_at(step, 100) for step in range(101)} == {0.5}


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"optimizer": "adagrad"}, "adamw, sgd"),
        ({"curve": "step"}, "one-cycle, cosine, linear, constant"),
        ({"epochs": -1}, "epochs=-1"),
        ({"batch_size": 0}, "batch_size=0"),
        ({"lr": 0.0}, "lr=0.0"),
        ({"lr": float("nan")}, "lr=nan"),
    ],
)
def test_a_recipe_that_makes_no_sense_is_refused(given: dict[str, object], words: str) -> None:
    with pytest.raises(EdgepruneError, match=words):
        Recipe(**{"epochs": 1, "lr": 0.1, **given})  # type: ignore[arg-type]


@pytest.mark.parametrize(("device", "precision"), [("cpu", "8-true"), ("cpu", "bf16-true"), ("toaster", "32-true")])
def test_a_place_that_is_not_to_be_had_is_refused(device: str, precision: str) -> None:
    with pytest.raises(EdgepruneError, match=precision if device == "cpu" else device):
        Place(device, precision).fabric()


def test_mixed_precision_is_not_announced_at_every_call(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO):
        Place("cpu", "bf16-mixed").fabric()
    assert not caplog.records


def test_a_loss_that_is_not_finite_names_the_learning_rate() -> None:
    data, net = made_up(), LeNet300(16, 16, 8)
    with pytest.raises(CheckFailed, match=r"smaller --lr than 1e\+20"):
        train(net, data.train, Recipe(3, 1e20, batch_size=32, optimizer="sgd"))


def test_a_last_batch_of_one_sample_does_not_stop_batch_norm() -> None:
    data = made_up(n=66)
    net = nn.Sequential(nn.Linear(16, 10), nn.BatchNorm1d(10))
    assert len(data.train) == 33
    train(net, data.train, Recipe(1, 0.01, batch_size=32))


class TwoHeads(nn.Module):
    """A second output while training, as the auxiliary classifiers of GoogLeNet."""

    def __init__(self) -> None:
        super().__init__()
        self.main, self.side = nn.Linear(16, 10), nn.Linear(16, 10)

    def forward(self, x: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        return (self.main(x), self.side(x)) if self.training else self.main(x)


def test_auxiliary_outputs_are_not_in_the_way() -> None:
    data, net = made_up(), TwoHeads()
    train(net, data.train, Recipe(5, 0.03, batch_size=32))
    assert evaluate(net, data.test) > 0.8


def test_progress_hears_of_every_epoch() -> None:
    heard = []

    class Told(Progress):
        def epoch_finished(self, epoch: int, epochs: int, loss: float, accuracy: float | None) -> None:
            heard.append((epoch, epochs, loss > 0, 0 <= (accuracy or 0) <= 1))

    data = made_up()
    train(LeNet300(16, 16, 8), data.train, Recipe(2, 0.01), progress=Told())
    assert heard == [(1, 2, True, True), (2, 2, True, True)]


def test_accuracy_is_the_share_of_right_answers() -> None:
    split = Memory(torch.eye(4), torch.tensor([0, 1, 2, 0]))
    assert evaluate(nn.Identity(), split) == 0.75
    with pytest.raises(EdgepruneError, match="nothing to evaluate"):
        evaluate(nn.Identity(), Memory(torch.zeros(0, 4), torch.zeros(0, dtype=torch.int64)))


def test_recalibration_measures_batch_norms_and_changes_nothing_else() -> None:
    torch.manual_seed(0)
    data = made_up((3, 8, 8), 256)
    net = nn.Sequential(
        nn.Conv2d(3, 5, 3), nn.BatchNorm2d(5, momentum=0.3), nn.Flatten(), nn.Dropout(), nn.Linear(180, 10)
    ).eval()
    before = {name: value.clone() for name, value in net.state_dict().items()}
    recalibrate(net, data.train, batch_size=32)
    values = net[0](data.train.first(128)[0]).detach()
    torch.testing.assert_close(net[1].running_mean, values.mean((0, 2, 3)), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(net[1].running_var, values.var((0, 2, 3)), rtol=0.1, atol=0.01)
    changed = {name for name, value in net.state_dict().items() if not torch.equal(value, before[name])}
    assert changed == {"1.running_mean", "1.running_var", "1.num_batches_tracked"}
    assert net[1].momentum == 0.3
    assert not any(module.training for module in net.modules())


def test_recalibration_mends_a_network_whose_statistics_are_another_ones() -> None:
    torch.manual_seed(0)
    data, net = made_up((3, 8, 8), 256), CifarResNet(1, 8)
    train(net, data.train, Recipe(8, 0.02, batch_size=32))
    for norm in (net.bn1, net.layer1[0].bn1, net.layer2[0].bn2):
        norm.running_mean.add_(2.0)
        norm.running_var.mul_(9.0)
    broken = evaluate(net, data.test)
    recalibrate(net, data.train)
    assert evaluate(net, data.test) > max(0.9, broken + 0.3)


@pytest.fixture
def two_threads():  # type: ignore[no-untyped-def]
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.mark.parametrize(
    ("layer", "shape", "multiply_adds", "values"),
    [
        (nn.Linear(16, 8, bias=False), (3, 16), 3 * 16 * 8, 3 * 8),
        (nn.Conv2d(4, 6, 3, groups=2, bias=False), (2, 4, 7, 7), 2 * 25 * 6 * 2 * 9, 2 * 25 * 6),
        (nn.ReLU(), (2, 5), 0, 10),
        (nn.Flatten(), (2, 4, 7, 7), 0, 0),
    ],
)
def test_work_counts_multiply_adds_and_values(layer: nn.Module, shape: tuple[int, ...], multiply_adds: int, values: int) -> None:
    x = torch.zeros(shape)
    with torch.no_grad(), Work() as work:
        layer(x)
    assert work.multiply_adds == multiply_adds + threads_file.VALUE * values


def test_a_small_batch_runs_on_one_thread_and_a_large_one_on_all(two_threads: None) -> None:
    net, sample = LeNet300(), torch.zeros(2, 1, 28, 28)
    with enough_threads(net, sample, 256):
        assert torch.get_num_threads() == 1
    assert torch.get_num_threads() == 2
    with enough_threads(net, sample, 4096):
        assert torch.get_num_threads() == 2


def test_the_number_of_threads_is_restored_after_an_error(two_threads: None) -> None:
    with pytest.raises(RuntimeError, match="stop"), enough_threads(LeNet300(), torch.zeros(2, 1, 28, 28), 64):
        raise RuntimeError("stop")
    assert torch.get_num_threads() == 2


def test_a_small_network_trains_and_is_measured_on_one_thread(two_threads: None) -> None:
    seen = set()

    class Watched(LeNet300):
        def forward(self, x: Tensor) -> Tensor:
            seen.add((self.training, len(x) > 2, torch.get_num_threads()))
            return super().forward(x)

    data, net = made_up(), Watched(16, 16, 8)
    train(net, data.train, Recipe(1, 0.01, batch_size=64))
    evaluate(net, data.test)
    assert {threads for _, batch, threads in seen if batch} == {1}
    assert {training for training, batch, _ in seen if batch} == {True, False}
    assert torch.get_num_threads() == 2


def test_the_choice_of_threads_is_float_noise(two_threads: None, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    data, one = made_up(), LeNet300(16, 64, 32)
    many = copy.deepcopy(one)
    train(one, data.train, Recipe(1, 0.01, batch_size=64))
    monkeypatch.setattr(threads_file, "WORTH_SHARING", 0)
    train(many, data.train, Recipe(1, 0.01, batch_size=64))
    for name, value in one.state_dict().items():
        torch.testing.assert_close(value, many.state_dict()[name], rtol=1e-3, atol=1e-5)


def test_the_search_for_alive_weights_of_a_small_network_runs_on_one_thread(
    two_threads: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    probe, seen = Probe(LeNet300(16, 16, 8), (torch.zeros(1, 16),)), set()
    walk = Probe._walk

    def watched(self: Probe, *args: Any, **kwargs: Any) -> Any:
        seen.add(torch.get_num_threads())
        return walk(self, *args, **kwargs)

    monkeypatch.setattr(Probe, "_walk", watched)
    all_alive(probe, {name: torch.rand(shape) for name, shape in probe.shapes.items()}, 40)
    probe.alive(probe.full())
    assert seen == {1}
    assert torch.get_num_threads() == 2
