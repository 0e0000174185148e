"""Criteria that look at one layer at a time say what their papers say: shares of layers, calibration."""

from __future__ import annotations

import copy

import pytest
import torch
from criteria_nets import DATA, IMAGES, of, small
from nets import made_up
from torch import nn

from edgeprune.errors import EdgepruneError, Unsupported
from edgeprune.pruning import Masks, Probe, prunable, top
from edgeprune.pruning.criteria import CRITERIA, Context, Refit
from edgeprune.pruning.criteria.calibration import input_moments
from edgeprune.pruning.criteria.obc import damped, least_squares, removals
from edgeprune.pruning.criteria.quotas import erk_shares, igq_shares, uniform_shares, whole_numbers, within_quotas
from edgeprune.pruning.criteria.sparsegpt import BLOCK, compensated, swept

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


@pytest.mark.parametrize(("criterion", "refit"), [("obc", least_squares), ("sparsegpt", compensated)])
def test_kept_weights_that_make_up_for_what_goes_are_better_than_left_as_they_are(criterion: str, refit: Refit) -> None:
    net = small()
    context = of(net, 200)
    masks = top(context.probe, CRITERIA[criterion](net, context), 200)
    x = DATA.train.x
    wanted = net.fc1(x)
    plain, refitted = copy.deepcopy(net), copy.deepcopy(net)
    masks.apply(plain)
    refit(refitted, of(net, 200, masks=masks))
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
