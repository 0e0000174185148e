"""Criteria say what their papers say: identities, budgets, and what they do on networks made by hand."""

from __future__ import annotations

import copy
import itertools
from functools import cache

import pytest
import torch
import torch.nn.functional as F
from nets import CifarResNet, LeNet300, made_up
from torch import Tensor, nn

from edgeprune.errors import EdgepruneError, Unsupported
from edgeprune.pruning import Masks, Probe, all_alive, prunable, top
from edgeprune.pruning.criteria import CRITERIA, Context
from edgeprune.pruning.criteria.calibration import input_moments
from edgeprune.pruning.criteria.force import force
from edgeprune.pruning.criteria.gradients import Gradients
from edgeprune.pruning.criteria.iterative_snip import iterative_snip
from edgeprune.pruning.criteria.obc import damped, least_squares, removals
from edgeprune.pruning.criteria.quotas import erk_shares, igq_shares, uniform_shares, whole_numbers, within_quotas
from edgeprune.pruning.criteria.sparsegpt import BLOCK, compensated, swept
from edgeprune.pruning.criteria.stepwise import exponential, step_by_step

DATA = made_up((16,), 512)
IMAGES = made_up((3, 8, 8), 64)


def of(net: nn.Module, budget: int, data: object = DATA, masks: Masks | None = None) -> Context:
    shape = data.input_shape  # type: ignore[attr-defined]
    probe = Probe(net, (torch.zeros(1, *shape, dtype=next(net.parameters()).dtype),))
    return Context(masks or probe.full(), probe, budget, data.train)  # type: ignore[attr-defined]


def small(seed: int = 0) -> LeNet300:
    torch.manual_seed(seed)
    return LeNet300(16, 24, 12)


@cache
def lenet() -> tuple[nn.Module, Probe, object]:
    torch.manual_seed(0)
    net = LeNet300()
    return net, Probe(net, (torch.zeros(1, 1, 28, 28),)), made_up((1, 28, 28), 256)


@pytest.mark.parametrize("ratio", [4, 64, 1024])
@pytest.mark.parametrize("criterion", [name for name in CRITERIA if name != "obc"])
def test_with_all_alive_pruning_every_criterion_spends_the_whole_budget_on_alive_weights(criterion: str, ratio: int) -> None:
    net, probe, data = lenet()
    budget = 266_200 // ratio
    context = Context(probe.full(), probe, budget, data.train)  # type: ignore[attr-defined]
    score = CRITERIA[criterion]
    scores = score(net, context, steps=10) if criterion in ("iterative-snip", "force") else score(net, context)
    masks = all_alive(probe, scores, budget)
    assert (masks.kept, probe.alive(masks).kept) == (budget, budget)
    assert probe.outputs_reached(masks).all()


@pytest.mark.slow
@pytest.mark.parametrize("ratio", [4, 64, 1024])
@pytest.mark.parametrize("criterion", ["obc", "iterative-snip", "force"])
def test_the_slow_ones_too_as_they_are(criterion: str, ratio: int) -> None:
    net, probe, data = lenet()
    budget = 266_200 // ratio
    context = Context(probe.full(), probe, budget, data.train)  # type: ignore[attr-defined]
    masks = all_alive(probe, CRITERIA[criterion](net, context), budget)
    assert (masks.kept, probe.alive(masks).kept) == (budget, budget)


@pytest.mark.parametrize("ratio", [4, 64, 1024])
def test_a_hundred_steps_of_synflow_leave_all_alive_pruning_next_to_nothing_to_mend(ratio: int) -> None:
    net, probe, _ = lenet()
    budget = 266_200 // ratio
    scores = CRITERIA["synflow"](net, Context(probe.full(), probe, budget))
    plain, mended = top(probe, scores, budget), all_alive(probe, scores, budget)
    changed = sum(int((mask & ~mended[name]).sum()) for name, mask in plain.items())
    assert changed <= 0.01 * budget


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


# ---- shares of layers ------------------------------------------------------------------------------------------------


SHAPES = {
    "a": torch.Size((20, 1, 5, 5)),
    "b": torch.Size((50, 20, 5, 5)),
    "c": torch.Size((500, 800)),
    "d": torch.Size((10, 500)),
}


@pytest.mark.parametrize("budget", [43, 1000, 40_000, 400_000])
@pytest.mark.parametrize("shares_of", [uniform_shares, erk_shares, igq_shares])
def test_shares_add_up_to_the_budget_and_no_layer_keeps_more_than_it_has(shares_of: object, budget: int) -> None:
    wanted = {name: share * SHAPES[name].numel() for name, share in shares_of(SHAPES, budget).items()}  # type: ignore[operator]
    limits = {name: shape.numel() for name, shape in SHAPES.items()}
    assert sum(wanted.values()) == pytest.approx(budget, abs=1)
    counts = whole_numbers(wanted, limits, budget)
    assert sum(counts.values()) == budget
    assert all(0 <= counts[name] <= limits[name] and abs(counts[name] - wanted[name]) <= 1 for name in counts)


def test_what_rounding_leaves_over_goes_where_most_was_lost() -> None:
    limits = {"a": 10, "b": 10, "c": 2}
    assert whole_numbers({"a": 1.1, "b": 1.9, "c": 2.0}, limits, 5) == {"a": 1, "b": 2, "c": 2}
    assert whole_numbers({"a": 1.1, "b": 1.3, "c": 3.6}, limits, 6) == {"a": 2, "b": 2, "c": 2}


def test_erdos_renyi_shares_are_those_of_the_papers_example() -> None:
    shapes = {
        "stem": torch.Size((16, 3, 3, 3)), "wide": torch.Size((64, 64, 3, 3)), "narrow": torch.Size((64, 64, 1, 1)),
        "head": torch.Size((10, 64)),
    }  # fmt: skip
    shares = erk_shares(shapes, 2000)
    raw = {name: sum(shape) / shape.numel() for name, shape in shapes.items()}
    assert shares["wide"] / shares["narrow"] == pytest.approx(raw["wide"] / raw["narrow"])
    assert shares["stem"] / shares["head"] == pytest.approx(raw["stem"] / raw["head"])
    dense = erk_shares(shapes, 6000)
    assert (dense["stem"], dense["head"]) == (1.0, 1.0)


def test_ideal_gas_shares_follow_their_law() -> None:
    shares = igq_shares(SHAPES, 1000)
    factors = [(1 / share - 1) / SHAPES[name].numel() for name, share in shares.items()]
    assert factors == pytest.approx([factors[0]] * 4, rel=1e-6)


def test_scores_within_quotas_keep_just_those_counts() -> None:
    torch.manual_seed(0)
    values = {"a": torch.rand(10, 10), "b": torch.rand(40) * 1e-6, "c": torch.rand(5)}
    counts = {"a": 7, "b": 30, "c": 0}
    scores = within_quotas(values, Masks.full(values), counts)
    bound = torch.cat([s.reshape(-1) for s in scores.values()]).sort(descending=True).values[36]
    kept = {name: score >= bound for name, score in scores.items()}
    assert {name: int(mask.sum()) for name, mask in kept.items()} == counts
    assert values["a"][kept["a"]].min() > values["a"][~kept["a"]].max()


def test_the_largest_weight_of_every_layer_has_the_lamp_score_one_and_the_order_inside_stays() -> None:
    net = small()
    context = of(net, 50)
    for name, score in CRITERIA["lamp"](net, context).items():
        assert score.max() == 1.0
        assert (score == 1.0).sum() == 1
        size = context.weights(net)[name].abs().reshape(-1)
        assert torch.equal(score.reshape(-1).argsort(), size.argsort())
    w = torch.tensor([[3.0, -2.0, 1.0]])
    net = nn.Sequential(nn.Linear(3, 1, bias=False))
    with torch.no_grad():
        net[0].weight.copy_(w)
    probe = Probe(net, (torch.zeros(1, 3),))
    scores = CRITERIA["lamp"](net, Context(probe.full(), probe, 1))["0.weight"]
    assert scores.tolist()[0] == pytest.approx([1, 4 / 13, 1 / 14])


# ---- calibration: Wanda, OBC, SparseGPT ------------------------------------------------------------------------------


def test_moments_are_those_of_what_each_layer_multiplies() -> None:
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Conv2d(3, 4, 3, stride=2, padding=1, bias=False), nn.ReLU(), nn.Conv2d(4, 6, 2, groups=2, bias=False), nn.Flatten()
    )
    moments = input_moments(net, of(net, 10, IMAGES), samples=8)
    x = net[1](net[0](next(IMAGES.train.batches(8, shuffle=True, seed=0))[0]))
    assert moments["0.weight"].shape == (1, 27, 27)
    assert moments["2.weight"].shape == (2, 8, 8)
    context = of(net, 10, IMAGES)
    x = net[1](net[0](torch.cat([x for x, _ in context.samples(8)])))
    outputs = net[2](x).transpose(0, 1).flatten(1).double()
    rows = net[2].weight.detach().double().reshape(2, 3, 8)
    energy = torch.einsum("grd,gde,gre->gr", rows, moments["2.weight"], rows).reshape(-1)
    assert torch.allclose(energy, outputs.square().sum(1), rtol=1e-5)


def test_removing_weights_one_by_one_adds_up_to_the_error_of_the_outputs() -> None:
    torch.manual_seed(0)
    x, rows = torch.randn(8, 300, dtype=torch.float64), torch.randn(4, 8, dtype=torch.float64)
    moment = x @ x.t()
    order, added = removals(rows, torch.linalg.inv(moment))
    for gone in range(9):
        for row in range(4):
            live = torch.ones(8, dtype=torch.bool)
            live[order[row, :gone]] = False
            new = torch.zeros(8, dtype=torch.float64)
            new[live] = torch.linalg.solve(moment[live][:, live], (moment @ rows[row])[live]) if live.any() else new[live]
            error = float(((rows[row] - new) @ x).square().sum())
            assert float(added[row, :gone].sum()) == pytest.approx(error, rel=1e-8, abs=1e-9)


def test_many_removals_are_the_same_when_the_matrix_is_made_smaller_on_the_way() -> None:
    torch.manual_seed(0)
    x, rows = torch.randn(150, 400, dtype=torch.float64), torch.randn(2, 150, dtype=torch.float64)
    moment = x @ x.t()
    order, added = removals(rows, torch.linalg.inv(moment))
    assert all(sorted(order[row].tolist()) == list(range(150)) for row in range(2))
    assert torch.allclose(added.sum(1), (rows @ x).square().sum(1), rtol=1e-8)


def test_least_squares_on_the_kept_weights_is_better_than_leaving_them() -> None:
    net = small()
    context = of(net, 200)
    masks = top(context.probe, CRITERIA["obc"](net, context), 200)
    x = DATA.train.x
    wanted = net.fc1(x)
    plain, refitted = copy.deepcopy(net), copy.deepcopy(net)
    masks.apply(plain)
    least_squares(refitted, of(net, 200, masks=masks))
    assert all((prunable(refitted)[name][~mask] == 0).all() for name, mask in masks.items())
    assert (refitted.fc1(x) - wanted).square().sum() < 0.9 * (plain.fc1(x) - wanted).square().sum()


def test_with_unit_moments_sparsegpt_is_magnitude_inside_each_block() -> None:
    torch.manual_seed(0)
    rows = torch.randn(6, BLOCK + 40, dtype=torch.float64)
    new, worth = swept(rows, torch.eye(BLOCK + 40, dtype=torch.float64), torch.ones_like(rows, dtype=torch.bool), share=0.25)
    for part in (slice(0, BLOCK), slice(BLOCK, None)):
        size = rows[:, part].abs()
        bound = size.reshape(-1).sort(descending=True).values[round(0.25 * size.numel()) - 1]
        assert torch.equal(new[:, part], rows[:, part] * (size >= bound))
    assert torch.allclose(worth, rows.square() * 1.01, rtol=1e-6)


def test_sparsegpt_makes_up_for_what_goes() -> None:
    net = small()
    context = of(net, 200)
    masks = top(context.probe, CRITERIA["sparsegpt"](net, context), 200)
    x = DATA.train.x
    wanted = net.fc1(x)
    plain, refitted = copy.deepcopy(net), copy.deepcopy(net)
    masks.apply(plain)
    compensated(refitted, of(net, 200, masks=masks))
    assert all((prunable(refitted)[name][~mask] == 0).all() for name, mask in masks.items())
    assert (refitted.fc1(x) - wanted).square().sum() < 0.9 * (plain.fc1(x) - wanted).square().sum()


def test_wanda_with_inputs_of_one_size_is_magnitude_in_every_row() -> None:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(16, 10, bias=False))
    data = made_up((16,), 64)
    data.train.x = torch.eye(16).repeat(4, 1)[: len(data.train)]
    context = of(net, 40, data)
    masks = top(context.probe, CRITERIA["wanda"](net, context), 40)
    size = net[0].weight.detach().abs()
    assert torch.equal(masks["0.weight"], size >= size.sort(1, descending=True).values[:, 3:4])


def test_inputs_that_never_come_are_dropped_first() -> None:
    net = small()
    data = made_up((16,), 256)
    data.train.x[:, :4] = 0
    for name in ("wanda", "obc", "sparsegpt"):
        masks = top(of(net, 100, data).probe, CRITERIA[name](net, of(net, 500, data)), 500)
        assert not masks["fc1.weight"][:, :4].any(), name


def test_a_weight_whose_input_cannot_be_watched_is_refused_by_name() -> None:
    net = nn.Sequential(nn.ConvTranspose2d(3, 4, 2), nn.Flatten(), nn.LazyLinear(10))
    net(torch.zeros(1, 3, 8, 8))
    with pytest.raises(Unsupported, match=r"0\.weight: .* try lamp or magnitude"):
        CRITERIA["wanda"](net, of(net, 100, IMAGES))


def test_a_layer_too_wide_for_obc_is_refused_with_what_is_not() -> None:
    net = nn.Sequential(nn.Flatten(), nn.Linear(3000, 10))
    with pytest.raises(EdgepruneError, match=r"1\.weight has 3,000 inputs.* try sparsegpt"):
        CRITERIA["obc"](net, of(net, 100, made_up((3000,), 32)))


@pytest.mark.parametrize("name", ["snip", "wanda"])
def test_a_criterion_that_needs_samples_says_so(name: str) -> None:
    net = small()
    probe = Probe(net, (torch.zeros(1, 16),))
    with pytest.raises(EdgepruneError, match="give data, or choose one that needs none"):
        CRITERIA[name](net, Context(probe.full(), probe, 100))


def test_damping_is_a_share_of_the_mean_diagonal() -> None:
    assert torch.allclose(damped(torch.diag(torch.tensor([1.0, 3.0])), 0.5), torch.diag(torch.tensor([2.0, 4.0])))
