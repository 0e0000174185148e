"""All-alive pruning: exactly the budget, every kept weight alive, every output reached."""

from __future__ import annotations

import itertools
import re
from functools import cache

import pytest
import torch
import torch.nn.functional as F
from nets import VGG16, CifarResNet, LeNet300, made_up, vgg
from torch import Tensor, nn

from edgeprune.errors import EdgepruneError
from edgeprune.pruning import Masks, Probe, Unholdable, all_alive, prunable, reserved, top
from edgeprune.pruning.criteria import CRITERIA, Context
from edgeprune.vision import torchvision

Scores = dict[str, Tensor]


def scored(net: nn.Module, probe: Probe, criterion: str, seed: int = 0) -> Scores:
    return CRITERIA[criterion](net, Context(probe.full(), probe, probe.total, seed=seed))


@cache
def lenet() -> tuple[nn.Module, Probe]:
    torch.manual_seed(0)
    net = LeNet300()
    return net, Probe(net, (torch.zeros(1, 1, 28, 28),))


def small(seed: int = 0) -> tuple[nn.Module, Probe]:
    torch.manual_seed(seed)
    net = LeNet300(16, 16, 8)
    return net, Probe(net, (torch.zeros(1, 16),))


def holds(probe: Probe, masks: Masks, budget: int) -> bool:
    return masks.kept == budget and probe.alive(masks).same(masks) and bool(probe.outputs_reached(masks).all())


@pytest.mark.parametrize("criterion", ["magnitude", "random"])
@pytest.mark.parametrize("ratio", [4**0.5, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096])
def test_the_whole_budget_of_lenet_is_alive(ratio: float, criterion: str) -> None:
    net, probe = lenet()
    budget = int(266_200 / ratio)
    assert holds(probe, all_alive(probe, scored(net, probe, criterion), budget), budget)


def test_a_choice_without_a_single_path_is_mended() -> None:
    net, probe = lenet()
    scores, budget = scored(net, probe, "random"), 266_200 // 4096
    best = top(probe, scores, budget)
    assert (best.kept, probe.alive(best).kept) == (64, 0)
    assert holds(probe, all_alive(probe, scores, budget), budget)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("ratio", "criterion"),
    [
        *itertools.product([4, 128, 1024, 4096], ["magnitude", "random"]),
        *((1024, name) for name in ("lamp", "erk", "igq", "layerwise", "snip", "grasp", "synflow")),
    ],
)
@pytest.mark.parametrize("name", ["resnet18", "vgg16"])
def test_the_whole_budget_of_a_deep_network_is_alive(name: str, ratio: int, criterion: str) -> None:
    torch.manual_seed(0)
    if name == "vgg16":
        net = vgg(VGG16)
    else:
        net = torchvision.models.resnet18(num_classes=10)
        net.conv1, net.maxpool = nn.Conv2d(3, 64, 3, padding=1, bias=False), nn.Identity()
    probe = Probe(net, (torch.zeros(1, 3, 32, 32),))
    budget = probe.total // ratio
    scores = CRITERIA[criterion](net, Context(probe.full(), probe, budget, made_up((3, 32, 32), 200).train))
    assert holds(probe, all_alive(probe, scores, budget), budget)


@pytest.mark.parametrize("ratio", [4, 50, 300])
def test_the_whole_budget_of_a_small_residual_network_is_alive(ratio: int) -> None:
    torch.manual_seed(0)
    net = CifarResNet(1, 4)
    probe = Probe(net, (torch.zeros(1, 3, 8, 8),))
    budget = probe.total // ratio
    assert holds(probe, all_alive(probe, scored(net, probe, "random"), budget), budget)


def test_every_kept_weight_moves_the_output_for_some_input() -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(784, 300), nn.Tanh(), nn.Linear(300, 100), nn.Tanh(), nn.Linear(100, 10)).double()
    probe = Probe(net, (torch.zeros(1, 784, dtype=torch.float64),))
    masks = all_alive(probe, scored(net, probe, "magnitude"), probe.total // 256)
    masks.apply(net)
    for layer in net[::2]:
        nn.init.zeros_(layer.bias)
    (net(torch.randn(4, 784, dtype=torch.float64)) * torch.randn(4, 10)).sum().backward()
    weights = prunable(net)
    assert all((weights[name].grad[mask] != 0).all() for name, mask in masks.items())


@pytest.mark.parametrize("density", [0.3, 0.05, 0.01])
def test_alive_is_what_synaptic_flow_calls_positive(density: float) -> None:
    """An implementation of its own: the plain network in float64 with masks for weights and no biases."""
    torch.manual_seed(3)
    net = LeNet300(40, 30, 20).double()
    probe = Probe(net, (torch.zeros(1, 40, dtype=torch.float64),))
    masks = Masks({name: torch.rand(shape) < density for name, shape in probe.shapes.items()})
    flow = {name: mask.double().requires_grad_() for name, mask in masks.items()}
    x = torch.ones(1, 40, dtype=torch.float64)
    for name in probe.names:
        x = F.relu(F.linear(x, flow[name]))
    x.sum().backward()
    assert probe.alive(masks).same({name: masks[name] & (flow[name].grad > 0) for name in flow})


def channel_graph(probe: Probe, masks: Masks) -> Masks:
    """What is alive where only channels count: a chain of convolutions, whatever taps and places a path would need."""
    layers = [masks[name].flatten(2).any(2) if masks[name].dim() > 2 else masks[name] for name in probe.names]
    from_input, to_output = [torch.ones(layers[0].shape[1], dtype=torch.bool)], [torch.ones(len(layers[-1]), dtype=torch.bool)]
    for layer in layers:
        from_input.append(layer[:, from_input[-1]].any(1))
    for layer in reversed(layers):
        to_output.insert(0, layer[to_output[0]].any(0))
    alive = Masks()
    for name, before, after in zip(probe.names, from_input, to_output[1:], strict=False):
        both = after[:, None] & before[None]
        alive[name] = masks[name] & both.view(*both.shape, *[1] * (masks[name].dim() - 2))
    return alive


@pytest.mark.parametrize(("size", "equal"), [(16, True), (2, False)])
def test_alive_is_within_the_channel_graph_and_equal_on_large_maps(size: int, equal: bool) -> None:
    net = vgg((8, 8, 8, 8))
    probe = Probe(net, (torch.zeros(1, 3, size, size),))
    draw = torch.Generator().manual_seed(4)
    masks = Masks({name: torch.rand(shape, generator=draw) < 0.02 for name, shape in probe.shapes.items()})
    masks[probe.names[-1]][:] = True
    alive, bound = probe.alive(masks), channel_graph(probe, masks)
    assert bound.kept > 20
    assert not any((alive[name] & ~bound[name]).any() for name in alive)
    assert alive.same(bound) == equal


def test_a_neuron_without_inputs_costs_its_weights_their_place() -> None:
    """2-2-1: neuron b's only strong weight leaves it, so the best three by size hold a dead one."""
    probe = Probe(nn.Sequential(nn.Linear(2, 2), nn.ReLU(), nn.Linear(2, 1)), (torch.zeros(1, 2),))
    scores = {"0.weight": torch.tensor([[0.9, 0.3], [0.1, 0.2]]), "2.weight": torch.tensor([[0.8, 0.7]])}
    dead = top(probe, scores, 3)
    assert probe.alive(dead).kept == 2
    masks = all_alive(probe, scores, 3)
    assert masks["0.weight"].tolist() == [[True, True], [False, False]]
    assert masks["2.weight"].tolist() == [[True, False]]


def test_at_ratio_one_everything_stays() -> None:
    net, probe = small()
    assert all_alive(probe, scored(net, probe, "random"), probe.total).same(probe.full())


@pytest.mark.parametrize("ratio", [3, 10, 25])
def test_its_own_result_is_left_as_it_is(ratio: int) -> None:
    net, probe = small()
    scores, budget = scored(net, probe, "random"), probe.total // ratio
    masks = all_alive(probe, scores, budget)
    assert all_alive(probe, scores, budget, eligible=masks).same(masks)
    shown = {name: score * masks[name] for name, score in scores.items()}
    assert all_alive(probe, shown, budget).same(masks)


def test_the_best_weights_are_taken_where_all_are_alive() -> None:
    net, probe = small()
    scores = scored(net, probe, "magnitude")
    budget = probe.total // 2
    assert probe.alive(top(probe, scores, budget)).kept == budget  # nothing to mend
    assert all_alive(probe, scores, budget).same(top(probe, scores, budget))


@pytest.mark.parametrize("choose", [top, all_alive])
def test_equal_scores_keep_exactly_the_budget(choose) -> None:  # type: ignore[no-untyped-def]
    _, probe = small()
    for budget in (30, 77, 200):
        masks = choose(probe, {name: torch.zeros(shape) for name, shape in probe.shapes.items()}, budget)
        assert masks.kept == budget


def test_many_zeros_among_the_scores_neither_add_nor_displace_weights() -> None:
    probe = Probe(nn.Linear(6, 1), (torch.zeros(1, 6),))
    masks = top(probe, {"weight": torch.tensor([[0.0, 0.0, 0.0, 0.0, 1.0, 2.0]])}, 4)
    assert masks["weight"].tolist() == [[True, True, False, False, True, True]]


@pytest.mark.parametrize("choose", [top, all_alive])
@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_scores_that_are_not_finite_are_refused(choose, bad: float) -> None:  # type: ignore[no-untyped-def]
    net, probe = small()
    scores = scored(net, probe, "random")
    scores["fc2.weight"][0, 0] = bad
    with pytest.raises(EdgepruneError, match="not finite"):
        choose(probe, scores, 50)


@pytest.mark.parametrize("choose", [top, all_alive])
def test_nothing_that_is_not_eligible_is_chosen(choose) -> None:  # type: ignore[no-untyped-def]
    net, probe = small()
    eligible = all_alive(probe, scored(net, probe, "random", 1), 100)
    masks = choose(probe, scored(net, probe, "random", 2), 60, eligible=eligible)
    assert masks.kept == 60
    assert not any((mask & ~eligible[name]).any() for name, mask in masks.items())


def test_a_budget_too_small_for_the_outputs_names_the_largest_ratio_that_works() -> None:
    net, probe = small()
    scores = scored(net, probe, "magnitude")
    with pytest.raises(Unholdable, match="5 weights cannot connect every output") as refused:
        all_alive(probe, scores, 5)
    ratio = int(re.search(r"works is (\d+)$", str(refused.value))[1])
    assert holds(probe, all_alive(probe, scores, probe.total // ratio), probe.total // ratio)
    with pytest.raises(Unholdable):
        all_alive(probe, scores, probe.total // (ratio + 1))


def test_a_network_that_is_all_path_says_that_it_cannot_be_pruned() -> None:
    probe = Probe(nn.Sequential(nn.Linear(1, 1), nn.Linear(1, 1), nn.Linear(1, 1)), (torch.zeros(1, 1),))
    with pytest.raises(Unholdable, match="needs 3 of 3; this network is too small to be pruned"):
        all_alive(probe, {name: torch.ones(1, 1) for name in probe.names}, 2)


def test_too_few_eligible_weights_name_the_smallest_ratio_that_works() -> None:
    net, probe = small()
    scores = scored(net, probe, "random")
    eligible = all_alive(probe, scores, 100)
    with pytest.raises(Unholdable, match="only 100 of the 464 can carry signal") as refused:
        all_alive(probe, scores, 101, eligible=eligible)
    ratio = float(re.search(r"works is ([\d.]+)$", str(refused.value))[1])
    assert holds(probe, all_alive(probe, scores, int(464 / ratio), eligible=eligible), int(464 / ratio))
    with pytest.raises(Unholdable, match="only 100 are not masked"):
        top(probe, scores, 101, eligible=eligible)


@pytest.mark.parametrize("seed", range(8))
def test_rounds_down_to_the_bare_paths_always_end(seed: int) -> None:
    """Every cut by other scores, down to the fewest weights that connect all outputs: what it once reserved, it can keep."""
    net, probe = small()
    budget = 12  # one path of three, and nine weights that branch off it
    masks, paths = probe.full(), None
    for step in (300, 200, 130, 90, 60, 40, 28, 20, 15, budget):
        scores = scored(net, probe, "random", 100 * seed + step)
        paths = reserved(probe, scores, budget, masks, paths)
        masks = all_alive(probe, scores, step, eligible=masks, reserve=paths)
        assert (masks.kept, probe.alive(masks).kept) == (step, step)
    assert probe.outputs_reached(masks).all()


def test_reserved_paths_stay_whatever_their_scores() -> None:
    net, probe = small()
    paths = reserved(probe, scored(net, probe, "random", 1), 20)
    assert paths.kept <= 20
    assert probe.outputs_reached(paths).all()
    masks = all_alive(probe, scored(net, probe, "random", 2), 40, reserve=paths)
    assert not any((paths[name] & ~masks[name]).any() for name in masks)


def test_the_loop_ends_alive_and_within_the_budget() -> None:
    net, probe = lenet()
    for ratio in (16, 1024):
        budget = 266_200 // ratio
        masks = all_alive(probe, scored(net, probe, "random"), budget, variant="loop")
        assert probe.alive(masks).same(masks)
        assert 0 < masks.kept <= budget


def test_an_unknown_variant_is_refused_with_the_choices() -> None:
    net, probe = small()
    with pytest.raises(EdgepruneError, match="exact or loop"):
        all_alive(probe, scored(net, probe, "random"), 50, variant="exakt")


@pytest.mark.parametrize("ratio", [2, 8, 16])
def test_the_whole_budget_of_a_one_dimensional_network_is_alive(ratio: int) -> None:
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Conv1d(2, 8, 9, padding=4), nn.ReLU(), nn.MaxPool1d(2), nn.Conv1d(8, 16, 5, groups=2, stride=2), nn.ReLU(),
        nn.ConvTranspose1d(16, 4, 3, stride=2), nn.AdaptiveAvgPool1d(1), nn.Flatten(), nn.Linear(4, 5),
    )  # fmt: skip
    probe = Probe(net, (torch.zeros(1, 2, 64),))
    budget = probe.total // ratio
    assert holds(probe, all_alive(probe, scored(net, probe, "random"), budget), budget)
