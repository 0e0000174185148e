"""The attack, what robust training minimises, and HYDRA's scores."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from nets import LeNet5, Memory, made_up, mnist
from torch import nn

from edgeprune.checkpoint import load
from edgeprune.data import Preprocessing
from edgeprune.errors import EdgepruneError
from edgeprune.pruning import Context, Criterion, Probe, Recipe, prune, robust_accuracy, top
from edgeprune.pruning.criteria.hydra import Scored, best, first_scores, hydra, hydra_global, layer_counts
from edgeprune.pruning.criteria.layerwise import layerwise
from edgeprune.pruning.criteria.magnitude import magnitude
from edgeprune.pruning.robust import Adversarial, Threat, Trades, pgd

EPSILON = 8 / 255


def images(threat: Threat, count: int = 6, channels: int = 3, size: int = 8) -> torch.Tensor:
    pixels = torch.rand(count, channels, size, size, generator=torch.Generator().manual_seed(0))
    mean, std = (torch.tensor(v).view(-1, 1, 1) for v in (threat.mean, threat.std))
    return (pixels - mean) / std


@pytest.mark.parametrize("steps", [1, 7])
def test_an_attack_stays_within_its_reach_and_the_pixels_range(steps: int) -> None:
    threat = Threat(EPSILON, (0.4, 0.5, 0.6), (0.2, 0.3, 0.25))
    net = nn.Sequential(nn.Flatten(), nn.Linear(192, 5))
    x, y = images(threat), torch.arange(6) % 5
    noise = 10 * torch.randn_like(x)
    moved = pgd(net, x, lambda found: F.cross_entropy(found, y), threat, steps=steps, step_size=0.5, start=x + noise)
    mean, std = (torch.tensor(v).view(-1, 1, 1) for v in (threat.mean, threat.std))
    pixels, before = moved * std + mean, x * std + mean
    assert float((pixels - before).abs().max()) <= EPSILON + 1e-6
    assert pixels.min() >= -1e-6
    assert pixels.max() <= 1 + 1e-6
    assert all(p.grad is None for p in net.parameters())


def test_against_a_linear_network_the_attack_is_the_best_there_is() -> None:
    """There the worst change is known: epsilon against the sign of the weights, and the margin falls by epsilon |w|_1."""
    threat = Threat(0.05)
    net = nn.Linear(20, 1)
    x = 0.3 + 0.4 * torch.rand(9, 20)
    moved = pgd(net, x, lambda found: -found.sum(), threat, steps=10)
    fall = (net(x) - net(moved)).detach().squeeze(1)
    assert torch.allclose(fall, torch.full_like(fall, 0.05 * float(net.weight.detach().abs().sum())), rtol=1e-4)


def test_no_reach_moves_nothing_and_trades_without_beta_is_the_plain_loss() -> None:
    net = nn.Sequential(nn.Flatten(), nn.Linear(192, 5))
    x, y = images(Threat(0.0, (0.0,) * 3, (1.0,) * 3)), torch.arange(6) % 5
    logits = net(x)
    loss = F.cross_entropy(logits, y)
    still = Threat(0.0)
    assert torch.equal(pgd(net, x, lambda found: F.cross_entropy(found, y), still, steps=3), x)
    assert Trades(Threat(EPSILON), beta=0.0)(net, x, y, logits, loss) is loss
    assert torch.allclose(Trades(still)(net, x, y, logits, loss), loss, atol=1e-6)
    assert torch.allclose(Adversarial(still)(net, x, y, logits, loss), loss, atol=1e-6)


def test_trades_asks_for_more_than_the_plain_loss_and_leaves_statistics_to_training() -> None:
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(144, 5)).train()
    x, y = images(Threat(0.0, (0.0,) * 3, (1.0,) * 3)), torch.arange(6) % 5
    logits = net(x)
    seen = int(net[1].num_batches_tracked)
    loss = F.cross_entropy(logits, y)
    found = Trades(Threat(0.2), steps=5)(net, x, y, logits, loss)
    assert float(found) > float(loss)
    assert net.training
    assert int(net[1].num_batches_tracked) == seen + 1  # by the forward pass of the loss, none by the attack
    found.backward()
    assert all(p.grad is not None for p in net.parameters())


def test_a_threat_needs_images() -> None:
    with pytest.raises(EdgepruneError, match="leave out robust"):
        Threat.of(EPSILON, None)
    with pytest.raises(EdgepruneError, match="8/255"):
        Threat(8)
    said = Preprocessing(1 / 255, (0.1,), (0.3,), "gray")
    assert Threat.of(0.1, said).unit(torch.zeros(1, 1, 2, 2)).item() == pytest.approx(1 / 0.3)


# ---- scores ---------------------------------------------------------------------------------------------------------


def test_first_scores_choose_by_magnitude_in_every_layer() -> None:
    weight = torch.randn(30, 20)
    scores = first_scores(weight)
    assert float(scores.abs().max()) == pytest.approx(math.sqrt(6 / 20))
    for count in (1, 17, 599):
        chosen = best(scores, count)
        assert int(chosen.sum()) == count
        assert torch.equal(chosen.bool(), best(weight, count).bool())


def test_the_gradient_of_a_score_is_the_sign_times_weight_times_slope_also_where_it_is_cut() -> None:
    weight = torch.randn(8, 5, dtype=torch.float64)
    part = Scored(weight, torch.ones_like(weight).bool(), 10)
    out = part(weight)
    slope = torch.randn_like(out)
    out.backward(slope)
    expected = part.scores.detach().sign() * weight * slope
    assert torch.allclose(part.scores.grad, expected, rtol=1e-12)
    assert int((out == 0).sum()) == 30
    assert (part.scores.grad[out == 0] != 0).all()


def test_counts_are_the_same_share_of_every_layer() -> None:
    net = LeNet5()
    probe = Probe(net, (torch.zeros(1, 1, 28, 28),))
    counts = layer_counts(probe.full(), probe.total // 10)
    assert sum(counts.values()) == probe.total // 10
    for name, count in counts.items():
        assert abs(count - probe.shapes[name].numel() / 10) <= 1


@pytest.mark.parametrize(("method", "by_size"), [(hydra, layerwise), (hydra_global, magnitude)])
def test_before_its_scores_are_trained_hydra_is_magnitude(method: Criterion, by_size: Criterion) -> None:
    torch.manual_seed(0)
    net, data = LeNet5(), made_up((1, 28, 28), 64)
    probe = Probe(net, (torch.zeros(1, 1, 28, 28),))
    context = Context(probe.full(), probe, probe.total // 5, data.train)  # at which no layer is empty
    untrained = method(net, context, Recipe(0, 0.1))  # type: ignore[call-arg]
    assert top(probe, untrained, context.budget).same(top(probe, by_size(net, context), context.budget))


# ---- whole runs -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("robust", ["trades", "adversarial"])
def test_training_against_an_attack_holds_better(mnist_sample: Path, robust: str) -> None:
    data = mnist(mnist_sample / "data")
    few = dataclasses.replace(data, train=Memory(*data.train.first(3000)), test=Memory(*data.test.first(300)))
    net = load(mnist_sample / "lenet_300_100.pt").module
    settings = {"data": few, "schedule": "one-shot", "epochs": 1, "batch_size": 64, "lr": 1e-3}
    plain = prune(net, 1.5, **settings)
    held = prune(net, 1.5, **settings, robust=robust, epsilon=0.1)
    threat = Threat.of(0.1, few.preprocessing)
    assert held.robust_after == robust_accuracy(held.module, few.test, threat)
    assert held.robust_before is not None
    assert plain.robust_after is None
    assert held.robust_after > robust_accuracy(plain.module, few.test, threat) + 0.05
    assert held.robust_after <= held.accuracy_after


def test_hydra_keeps_the_budget_all_alive_and_leaves_the_weights_to_the_retraining(mnist_sample: Path) -> None:
    data = mnist(mnist_sample / "data")
    few = dataclasses.replace(data, train=Memory(*data.train.first(256)), test=Memory(*data.test.first(50)))
    net = load(mnist_sample / "lenet_300_100.pt").module
    pruned = prune(net, 20, data=few, method="hydra", robust="trades", epsilon=0.1, retrain="none")
    assert pruned.kept == pruned.alive == pruned.total // 20
    weights = dict(net.named_parameters())
    for name, mask in pruned.masks.items():
        assert torch.equal(dict(pruned.module.named_parameters())[name], weights[name] * mask)
    by_size = prune(net, 20, data=few, method="layerwise", schedule="one-shot", retrain="none")
    assert not pruned.masks.same(by_size.masks)


def test_unknown_ways_of_robust_training_are_refused() -> None:
    with pytest.raises(EdgepruneError, match="trades, adversarial"):
        prune(LeNet5(), 2, data=made_up((1, 28, 28), 64), robust="fgsm")
    with pytest.raises(EdgepruneError, match="no images"):
        prune(LeNet5(), 2, data=made_up((1, 28, 28), 64), robust="trades")
