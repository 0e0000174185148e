"""Masks: what is masked stays exactly zero, whatever the optimizer remembers."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from nets import CifarResNet, LeNet300, made_up
from torch import nn

from edgeprune.errors import EdgepruneError
from edgeprune.pruning import Masks, Recipe, prunable, train

OPTIMIZERS = {
    "sgd": lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9, weight_decay=5e-4),
    "nesterov": lambda p: torch.optim.SGD(p, lr=0.1, momentum=0.9, weight_decay=5e-4, nesterov=True),
    "adamw": lambda p: torch.optim.AdamW(p, lr=0.01, weight_decay=0.05, amsgrad=True),
}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_masked_weights_are_exactly_zero_after_every_one_of_ten_steps(name: str) -> None:
    torch.manual_seed(0)
    net, x = LeNet300(16, 12, 8), torch.randn(32, 16)
    optimizer = OPTIMIZERS[name](net.parameters())

    def step() -> None:
        optimizer.zero_grad()
        F.cross_entropy(net(x), torch.arange(32) % 10).backward()
        optimizer.step()

    for _ in range(3):
        step()  # momentum gathers before anything is masked
    masks = Masks({n: torch.rand(w.shape) < 0.3 for n, w in prunable(net).items()})
    masks.hold(net, optimizer)
    before = {n: w.clone() for n, w in prunable(net).items()}
    for _ in range(10):
        step()
        for n, weight in prunable(net).items():
            assert (weight[~masks[n]] == 0).all()
            for memory in optimizer.state[weight].values():
                assert memory.shape != weight.shape or (memory[~masks[n]] == 0).all()
    assert all(not torch.equal(weight, before[n]) for n, weight in prunable(net).items())


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_masked_weights_are_exactly_zero_after_training(optimizer: str) -> None:
    torch.manual_seed(1)
    data, net = made_up((3, 8, 8), 128), CifarResNet(1, 4)
    masks = Masks({n: torch.rand(w.shape) < 0.2 for n, w in prunable(net).items()})
    train(net, data.train, Recipe(5, 0.02, batch_size=32, optimizer=optimizer, weight_decay=1e-2), masks=masks)
    assert all((weight[~masks[n]] == 0).all() and (weight[masks[n]] != 0).any() for n, weight in prunable(net).items())


def test_a_removed_hold_lets_weights_move_again() -> None:
    net = nn.Linear(4, 4)
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1)
    masks = Masks({"weight": torch.zeros(4, 4, dtype=torch.bool)})
    masks.hold(net, optimizer).remove()
    net(torch.ones(1, 4)).sum().backward()
    optimizer.step()
    assert (net.weight != 0).all()


def test_holding_adds_nothing_to_the_state_dict() -> None:
    net = LeNet300(16, 12, 8)
    names = list(net.state_dict())
    Masks.full(prunable(net)).hold(net, torch.optim.SGD(net.parameters(), lr=0.1))
    assert list(net.state_dict()) == names


@pytest.mark.parametrize(("name", "shape"), [("fc9.weight", (12, 16)), ("fc1.weight", (12, 15))])
def test_masks_of_another_network_are_refused(name: str, shape: tuple[int, ...]) -> None:
    with pytest.raises(EdgepruneError, match=rf"{name}.*same checkpoint"):
        Masks({name: torch.ones(shape, dtype=torch.bool)}).apply(LeNet300(16, 12, 8))


def test_a_weight_made_of_others_is_refused_by_its_layer() -> None:
    net = nn.Sequential(nn.Linear(4, 4), nn.utils.parametrizations.weight_norm(nn.Linear(4, 4)))
    with pytest.raises(EdgepruneError, match=r"^1: .*remove_parametrizations"):
        prunable(net)


def test_kept_and_total_count_every_tensor_once() -> None:
    net = nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4), nn.BatchNorm1d(4), nn.Embedding(3, 4))
    net[1].weight = net[0].weight
    masks = Masks.full(prunable(net))
    masks["0.weight"][0] = False
    assert (masks.kept, masks.total) == (12, 16)
