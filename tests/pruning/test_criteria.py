"""Criteria of gradients and flow say what their papers say, and every criterion spends its budget."""

from __future__ import annotations

import copy
import itertools
from dataclasses import replace
from functools import cache

import pytest
import torch
import torch.nn.functional as F
from criteria_nets import DATA, IMAGES, of, small
from nets import CifarResNet, LeNet300, made_up
from torch import Tensor, nn

from edgeprune.pruning import Masks, Probe, all_alive, prunable, top
from edgeprune.pruning.criteria import CRITERIA, Context
from edgeprune.pruning.criteria.force import force
from edgeprune.pruning.criteria.gradients import Gradients
from edgeprune.pruning.criteria.iterative_snip import iterative_snip
from edgeprune.pruning.criteria.stepwise import exponential, step_by_step


@cache
def lenet() -> tuple[nn.Module, Probe, object]:
    torch.manual_seed(0)
    net = LeNet300()
    return net, Probe(net, (torch.zeros(1, 1, 28, 28),)), made_up((1, 28, 28), 256)


@pytest.mark.parametrize("ratio", [4, 64, 1024])
def test_a_hundred_steps_of_synflow_leave_all_alive_pruning_next_to_nothing_to_mend(ratio: int) -> None:
    net, probe, _ = lenet()
    budget = 266_200 // ratio
    plain = top(probe, CRITERIA["synflow"](net, Context(probe.full(), probe, budget)), budget)
    mended = all_alive(probe, CRITERIA["synflow"](net, Context(probe.full(), probe, budget, aap=True)), budget)
    changed = sum(int((mask & ~mended[name]).sum()) for name, mask in plain.items())
    assert changed <= 0.01 * budget


@pytest.mark.parametrize("aap", [True, False])
def test_with_all_alive_pruning_every_step_of_iterative_snip_looks_at_a_network_that_is_all_alive(
    aap: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without it, some step looks at a network with dead weights or one that has lost an output."""
    seen: list[dict[str, Tensor]] = []
    at = Gradients.at

    def watched(self: Gradients, weights: dict[str, Tensor]) -> None:
        seen.append(weights)
        at(self, weights)

    monkeypatch.setattr(Gradients, "at", watched)
    net = small()
    context = replace(of(net, 30), aap=aap)
    iterative_snip(net, context, steps=20)
    points = [Masks({name: weight != 0 for name, weight in weights.items()}) for weights in seen]
    assert all(0 <= most - point.kept <= aap * 3 for point, most in zip(points, [792, *exponential(792, 30, 20)], strict=False))
    whole = [context.probe.alive(point).same(point) and bool(context.probe.outputs_reached(point).all()) for point in points]
    assert all(whole) == aap


# ---- SNIP, iterative SNIP, FORCE -------------------------------------------------------------------------------------


def test_snip_is_the_derivative_of_the_loss_by_a_gate_on_the_connection() -> None:
    net, data = small().double(), made_up((16,), 512)
    data.train.x = data.train.x.double()
    context = of(net, 100, data)
    scores = CRITERIA["snip"](net, context)
    gates = {name: torch.ones_like(w, requires_grad=True) for name, w in context.weights(net).items()}
    parameters = {name: p.detach() for name, p in net.named_parameters()}
    gated = {name: p * gates[name] if name in gates else p for name, p in parameters.items()}
    ((x, y),) = context.samples(100)
    F.cross_entropy(torch.func.functional_call(net, gated, (x,)), y).backward()
    for name, gate in gates.items():
        assert torch.allclose(scores[name], gate.grad.abs(), rtol=1e-5, atol=1e-12)


def test_the_gradient_is_that_of_the_mean_loss_over_all_batches() -> None:
    net = small().double()
    context = of(net, 100)
    batches = [(DATA.train.x[:5].double(), DATA.train.y[:5]), (DATA.train.x[5:40].double(), DATA.train.y[5:40])]
    whole = [(DATA.train.x[:40].double(), DATA.train.y[:40])]
    scratch = Gradients(net, context)
    one, two = scratch.mean(batches), scratch.mean(whole)
    assert all(torch.allclose(one[name], two[name], rtol=1e-9) for name in one)


@pytest.mark.parametrize("criterion", [force, iterative_snip])
def test_one_step_of_the_iterated_ones_is_snip(criterion: object) -> None:
    net = small()
    context = of(net, 60)
    single = top(context.probe, CRITERIA["snip"](net, context), 60)
    iterated = top(context.probe, criterion(net, context, steps=1), 60)  # type: ignore[operator]
    assert single.same(iterated)
    many = top(context.probe, criterion(net, context, steps=50), 60)  # type: ignore[operator]
    assert not single.same(many)


def test_iterative_snip_never_takes_back_what_it_cut_and_force_may(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Tensor] = []
    at = Gradients.at

    def watched(self: Gradients, weights: dict[str, Tensor]) -> None:
        seen.append(torch.cat([w.reshape(-1) != 0 for w in weights.values()]))
        at(self, weights)

    monkeypatch.setattr(Gradients, "at", watched)
    net = small()
    iterative_snip(net, of(net, 30), steps=20)
    assert [int(at.sum()) for at in seen] == [792, *exponential(792, 30, 20)[:-1]]
    assert all(not (after & ~before).any() for before, after in itertools.pairwise(seen))
    seen.clear()
    force(net, of(net, 30), steps=20)
    assert [int(at.sum()) for at in seen] == [792, *exponential(792, 30, 20)[:-1]]
    assert any((after & ~before).any() for before, after in itertools.pairwise(seen))


def test_scoring_leaves_the_network_as_it_was() -> None:
    torch.manual_seed(0)
    net = CifarResNet(1, 4)
    before = {name: value.clone() for name, value in net.state_dict().items()}
    for name in ("snip", "grasp", "force", "wanda", "sparsegpt", "synflow"):
        CRITERIA[name](net, of(net, 200, IMAGES))
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
    assert all(p.requires_grad and p.grad is None for p in net.parameters())
    assert all(part.training for part in net.modules())


def test_the_steps_of_the_exponential_schedule_have_one_factor_and_end_at_the_budget() -> None:
    steps = [10**9, *exponential(10**9, 10**3, 100)]
    assert len(steps) == 101
    assert steps[-1] == 1000
    factor = 10 ** (6 / 100)
    assert all(a / b == pytest.approx(factor, rel=2e-3) for a, b in itertools.pairwise(steps))


def test_what_went_later_ranks_above_what_went_before() -> None:
    net = small()
    context = of(net, 10)
    sizes: list[int] = []
    remaining: list[Masks] = []

    def score(left: Masks, step: int) -> dict[str, Tensor]:
        sizes.append(left.kept)
        remaining.append(left)
        draw = torch.Generator().manual_seed(step)
        return {name: torch.rand(mask.shape, generator=draw) for name, mask in left.items()}

    scores = step_by_step(context, 5, score)
    assert sizes == [context.masks.kept, *exponential(context.masks.kept, 10, 5)[:-1]]
    for masks in remaining:
        assert top(context.probe, scores, masks.kept).same(masks)


# ---- GraSP -----------------------------------------------------------------------------------------------------------


def test_grasp_scores_add_up_to_how_the_squared_gradient_norm_changes_towards_zero() -> None:
    """Of the loss at the temperature 1, in the linear part of the network so that no activation switches on the way."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(16, 8, bias=False), nn.Tanh(), nn.Linear(8, 10, bias=False)).double()
    data = made_up((16,), 64)
    data.train.x = data.train.x.double()
    context = of(net, 10, data)
    scores = CRITERIA["grasp"](net, context, temperature=1.0)  # type: ignore[call-arg]
    weights = context.weights(net)

    def squared_norm(t: float) -> float:
        scratch = Gradients(net, context)
        scratch.at({name: (1 - t) * w for name, w in weights.items()})
        return sum(float(g.square().sum()) for g in scratch.mean([(data.train.x, data.train.y)]).values())

    slope = (squared_norm(1e-5) - squared_norm(-1e-5)) / 2e-5
    assert -2 * sum(float(s.sum()) for s in scores.values()) == pytest.approx(slope, rel=1e-5)


# ---- SynFlow ---------------------------------------------------------------------------------------------------------


class Conv(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a, self.b, self.c = nn.Conv2d(2, 6, 3, padding=1), nn.Conv2d(6, 4, 3, stride=2), nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = F.max_pool2d(F.relu(self.b(F.relu(self.a(x)))), 2)
        return self.c(x.mean((2, 3)))


@pytest.mark.parametrize("make", [small, Conv])
def test_what_flows_into_a_neuron_flows_out_and_every_layer_carries_the_same(make: type[nn.Module]) -> None:
    torch.manual_seed(1)
    net = make()
    shape = (1, 2, 11, 11) if make is Conv else (1, 16)
    flows = list(Probe(net, (torch.zeros(shape),)).flow(prunable(net)).values())
    totals = [float(flow.sum()) for flow in flows]
    assert totals == pytest.approx([totals[0]] * 3, rel=1e-10)
    for into, out in itertools.pairwise(flows):
        assert torch.allclose(into.flatten(1).sum(1), out.transpose(0, 1).flatten(1).sum(1), rtol=1e-10)


def test_a_weight_carries_flow_just_where_it_is_alive() -> None:
    net, probe, _ = lenet()
    weights = prunable(net)
    masks = top(probe, CRITERIA["random"](net, Context(probe.full(), probe, 2000)), 2000)
    flow = probe.flow({name: weights[name].detach() * mask for name, mask in masks.items()})
    assert Masks({name: value > 0 for name, value in flow.items()}).same(probe.alive(masks))


def test_synflow_looks_at_sizes_only_and_a_rescaled_network_is_the_same_to_it() -> None:
    net = small()
    context = of(net, 60)
    known = top(context.probe, CRITERIA["synflow"](net, context), 60)
    turned, rescaled = copy.deepcopy(net), copy.deepcopy(net)
    with torch.no_grad():
        turned.fc2.weight.neg_()
        rescaled.fc1.weight.mul_(8)
        rescaled.fc2.weight.div_(8)
    assert known.same(top(context.probe, CRITERIA["synflow"](turned, context), 60))
    assert known.same(top(context.probe, CRITERIA["synflow"](rescaled, context), 60))
    assert not top(context.probe, CRITERIA["magnitude"](net, context), 60).same(
        top(context.probe, CRITERIA["magnitude"](rescaled, context), 60)
    )


@pytest.mark.parametrize("ratio", [16, 256, 4096])
def test_synflow_empties_no_layer(ratio: int) -> None:
    net, probe, _ = lenet()
    masks = top(probe, CRITERIA["synflow"](net, Context(probe.full(), probe, 266_200 // ratio)), 266_200 // ratio)
    assert all(mask.any() for mask in masks.values())


def test_synflow_in_one_step_empties_one_that_a_hundred_keep() -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(64, 64, bias=False), nn.ReLU(), nn.Linear(64, 2048, bias=False), nn.ReLU(), nn.Linear(2048, 10))
    probe = Probe(net, (torch.zeros(1, 64),))
    context = Context(probe.full(), probe, 600)
    once = top(probe, CRITERIA["synflow"](net, context, steps=1), 600)  # type: ignore[call-arg]
    assert not all(mask.any() for mask in once.values())
    assert all(mask.any() for mask in top(probe, CRITERIA["synflow"](net, context), 600).values())
