"""Filters, and the methods that take filters or stripes out."""

from __future__ import annotations

import itertools

import pytest
import torch
from nets import CifarResNet, LeNet300, made_up, residual_network, vgg
from torch import nn

from edgeprune.errors import EdgepruneError
from edgeprune.pruning import Probe, Unholdable, prune
from edgeprune.pruning.structured import filters
from edgeprune.pruning.structured.polarization import gap, make_positive, regularizer, slope
from edgeprune.pruning.structured.tpp import Fading, gram_loss
from edgeprune.vision import torchvision


def test_the_filters_of_a_residual_network_that_can_leave_are_those_inside_its_blocks() -> None:
    net, probe = residual_network()
    found = filters.free_filters(net, probe)
    assert [f.name for f in found] == [f"layer{s}.{b}.conv1.weight" for s in (1, 2, 3) for b in (0, 1)]
    assert all(f.norm is net.get_submodule(f.name.replace("conv1.weight", "bn1")) for f in found)


def test_the_filters_of_a_chain_can_all_leave_but_the_classes() -> None:
    net = vgg((8, "M", 16, "M", 16))
    found = filters.free_filters(net, Probe(net, (torch.zeros(1, 3, 32, 32),)))
    weights = [name for name, p in net.named_parameters() if p.dim() > 1]
    assert [f.name for f in found] == weights[:-1]
    net = LeNet300()
    found = filters.free_filters(net, Probe(net, (torch.zeros(1, 1, 28, 28),)))
    assert [f.name for f in found] == ["fc1.weight", "fc2.weight"]


def test_an_expanded_layer_takes_its_depthwise_one_along() -> None:
    net = torchvision.models.mobilenet_v2(num_classes=10).eval()
    probe = Probe(net, (torch.zeros(1, 3, 32, 32),))
    found = {f.name: f for f in filters.free_filters(net, probe)}
    expand = found["features.2.conv.0.0.weight"]
    keep = torch.ones(len(expand), dtype=torch.bool)
    keep[5] = False
    left = filters.cut(probe.full(), {expand.name: keep}, probe)
    assert not left["features.2.conv.1.0.weight"][5].any()
    assert not left["features.2.conv.2.weight"][:, 5].any()


def test_a_linear_classifier_has_no_filter_that_can_leave() -> None:
    net = nn.Sequential(nn.Flatten(), nn.Linear(16, 10))
    with pytest.raises(EdgepruneError, match="prune single weights instead"):
        filters.free_filters(net, Probe(net, (torch.zeros(1, 16),)))


@pytest.mark.parametrize("ratio", [1.2, 2, 4])
def test_the_same_share_of_every_layer_goes_until_the_budget_holds(ratio: float) -> None:
    net, probe = residual_network()
    layers = filters.free_filters(net, probe)
    scores = {f.name: f.weight.detach().abs().flatten(1).mean(1) for f in layers}
    budget = int(probe.total / ratio)
    keep = filters.same_share(layers, scores, probe.full(), probe, budget)
    left = filters.cut(probe.full(), keep, probe)
    assert left.kept <= budget
    shares = {f.name: float((~keep[f.name]).float().mean()) for f in layers}
    assert max(shares.values()) - min(shares.values()) < 1 / min(len(f) for f in layers)
    for f in layers:
        gone = scores[f.name][~keep[f.name]]
        assert not len(gone) or gone.max() <= scores[f.name][keep[f.name]].min()
    # One filter more in the widest layer would be too many: the budget is used up.
    widest = max(layers, key=len).name
    more = {**keep, widest: keep[widest].clone()}
    more[widest][scores[widest].masked_fill(keep[widest], -1).argmax()] = True
    one = int(probe.full()[widest][0].numel())
    assert left.kept + 60 * one > budget


def test_a_budget_below_one_filter_a_layer_names_the_ratio_that_works() -> None:
    net, probe = residual_network()
    layers = filters.free_filters(net, probe)
    scores = {f.name: torch.rand(len(f)) for f in layers}
    with pytest.raises(Unholdable, match=r"largest ratio that works for whole filters is ([\d.]+)") as refused:
        filters.same_share(layers, scores, probe.full(), probe, 10)
    works = float(str(refused.value).rsplit(" ", 1)[1])
    filters.same_share(layers, scores, probe.full(), probe, int(probe.total / works))


def test_a_silent_filter_changes_nothing_when_it_leaves() -> None:
    """The small network computes what the big one does, all of whose filters to go are zero (polarization, TPP: last checks)."""
    from edgeprune import capture, shrink

    net, probe = residual_network()
    layers = filters.free_filters(net, probe)
    scores = {f.name: torch.rand(len(f)) for f in layers}
    keep = filters.smallest_first(scores, probe.full(), probe, probe.total // 3)
    filters.silence(layers, keep)
    x = torch.randn(4, 3, 32, 32)
    before = net(x).detach()
    filters.cut(probe.full(), keep, probe).apply(net)
    assert torch.equal(net(x), before)
    small = shrink(capture(net, (x[:1],)))
    assert torch.allclose(torch.from_numpy(small.run(x.numpy())), before, atol=1e-5 * float(before.abs().max()))
    widths = {node.source: len(node.op.arrays["weight"]) for node in small.nodes if "weight" in node.op.arrays}
    for f in layers:
        assert widths[f.name.removesuffix(".weight")] == int(keep[f.name].sum())


# ---- polarization ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("t", [0.8, 1.0, 1.2, 1.4])
def test_the_regularizer_is_least_where_a_share_of_a_half_less_a_quarter_t_is_on(t: float) -> None:
    n = 200
    values = [float(regularizer((torch.arange(n) < on).double(), t)) for on in range(n + 1)]
    assert abs(values.index(min(values)) / n - (0.5 - t / 4)) <= 1 / n
    # It is concave, so that no point inside the box is below all corners.
    draw = torch.Generator().manual_seed(1)
    for _ in range(200):
        a, b = torch.rand(2, n, generator=draw, dtype=torch.float64)
        assert regularizer((a + b) / 2, t) >= (regularizer(a, t) + regularizer(b, t)) / 2 - 1e-9
        assert float(regularizer(a, t)) > min(values)


def test_the_regularizer_s_slope_is_its_gradient() -> None:
    scales = torch.rand(30, dtype=torch.float64, requires_grad=True)
    (expected,) = torch.autograd.grad(regularizer(scales, 1.3), scales)
    assert torch.allclose(slope(scales.detach(), 1.3), expected, atol=1e-12)


def test_the_gap_of_two_heaps_lies_between_them() -> None:
    draw = torch.Generator().manual_seed(0)
    low = (0.02 * torch.randn(300, generator=draw)).abs().clamp(max=0.09)
    high = 0.6 + 0.1 * torch.rand(200, generator=draw)
    assert float(low.max()) <= gap(torch.cat([low, high])) < 0.6
    assert gap(torch.linspace(0.5, 1, 50)) <= 0.01 + 1e-9


def test_negative_scales_are_turned_without_changing_the_function() -> None:
    net, probe = residual_network()
    layers = filters.free_filters(net, probe)
    with torch.no_grad():
        for f in layers:
            f.norm.weight[::2] *= -1
    x = torch.randn(2, 3, 32, 32)
    before = net(x)
    make_positive(layers)
    assert all((f.norm.weight >= 0).all() for f in layers)
    assert torch.allclose(net(x), before, atol=1e-5)


# ---- trainability preserving pruning --------------------------------------------------------------------------------


def test_the_gram_loss_counts_the_pairs_that_touch_what_goes() -> None:
    draw = torch.Generator().manual_seed(2)
    weight = torch.randn(7, 3, 3, 3, generator=draw, dtype=torch.float64)
    pruned = torch.tensor([True, False, False, True, False, False, True])
    rows = weight.flatten(1)
    gram = rows @ rows.T
    expected = 0.0
    for i, j in itertools.product(range(7), repeat=2):
        if pruned[i] or pruned[j]:
            expected += float(gram[i, j]) ** 2 / 49
    assert abs(float(gram_loss(weight, pruned)) - expected) <= 1e-10 * expected


def test_a_filter_that_stays_is_pulled_away_from_those_that_go_and_from_no_other() -> None:
    weight = torch.randn(6, 4, dtype=torch.float64, requires_grad=True)
    pruned = torch.tensor([False, True, False, True, False, False])
    (slope,) = torch.autograd.grad(gram_loss(weight, pruned), weight)
    gram = (weight @ weight.T).detach()
    for k in (0, 2, 4, 5):
        expected = 4 / 36 * sum(gram[k, p] * weight.detach()[p] for p in (1, 3))
        assert torch.allclose(slope[k], expected, rtol=1e-10, atol=0)


def test_fading_ends_with_filters_and_norms_at_zero() -> None:
    net, probe = residual_network()
    layers = filters.free_filters(net, probe)
    keep = {f.name: torch.arange(len(f)) % 2 == 0 for f in layers}
    fading = Fading(layers, keep)
    optimizer = torch.optim.SGD(net.parameters(), lr=1e-3, momentum=0.9)
    fading.begin(net, optimizer, 8)
    assert [fading.strength(step) for step in (0, 3, 6, 7)] == [0.0, 0.5, 1.0, 1.0]
    net.train()
    for step in range(8):
        fading.before(step)
        optimizer.zero_grad()
        net(torch.randn(4, 3, 32, 32)).square().mean().backward()
        assert fading.update(step)
        optimizer.step()
    fading.end()
    for f in layers:
        for parameter in (f.weight, *f.per_filter()):
            assert (parameter[1::2] == 0).all()
            assert (parameter[::2] != 0).any()


# ---- whole runs -----------------------------------------------------------------------------------------------------


def small_residual_network() -> nn.Module:
    torch.manual_seed(3)
    return CifarResNet(1, 8).eval()


@pytest.mark.parametrize("method", ["l1-filters", "tpp", "polarization", "stripes"])
def test_every_method_ends_within_its_budget_alive_and_smaller(method: str) -> None:
    from edgeprune import capture, shrink

    net, data = small_residual_network(), made_up((3, 16, 16), 256)
    before = [p.clone() for p in net.parameters()]
    pruned = prune(net, 1.7, data=data, method=method, epochs=1, batch_size=32)
    assert all(torch.equal(a, b) for a, b in zip(before, net.parameters(), strict=True))
    assert pruned.alive == pruned.kept <= pruned.total // 1.7
    assert pruned.kept > pruned.total / 4
    assert pruned.accuracy_after is not None
    again = prune(net, 1.7, data=data, method=method, epochs=1, batch_size=32)
    assert all(torch.equal(value, again.module.state_dict()[name]) for name, value in pruned.module.state_dict().items())
    x = data.test.first(32)[0]
    small = shrink(capture(pruned.module, (x[:1],)))
    with torch.no_grad():
        expected = pruned.module(x)
    assert torch.allclose(torch.from_numpy(small.run(x.numpy())), expected, atol=1e-5 * float(expected.abs().max()))
    shapes = {node.source: node.op.arrays["weight"].shape for node in small.nodes if "weight" in node.op.arrays}
    inside = [f"layer{s}.0.conv1" for s in (1, 2, 3)]
    if method != "stripes":
        assert any(shapes[name][0] < len(net.get_submodule(name).weight) for name in inside)
        rows = {name: pruned.masks[f"{name}.weight"].flatten(1).any(1) for name in inside}
        assert all(shapes[name][0] == int(row.sum()) for name, row in rows.items())
    else:
        for name, mask in pruned.masks.items():
            if mask.dim() == 4 and mask[0, 0].numel() > 1:
                live = mask.any(2).any(2).any(0)  # input channels with anything left
                assert (mask.any(1, keepdim=True) & live.view(1, -1, 1, 1) == mask).all(), name


@pytest.mark.parametrize("method", ["l1-filters", "tpp", "polarization"])
def test_what_is_left_is_retrained_without_the_filters_that_left(method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    net, widths = CifarResNet(1, 16), []

    def seen(module: nn.Module, *args: object) -> float:
        widths.append(len(module.layer3[0].bn1.running_mean))
        return 0.0

    monkeypatch.setattr("edgeprune.pruning.training._epochs", seen)
    prune(net, 3, data=made_up((3, 8, 8), 64), method=method, epochs=1)
    assert widths[:-1] == [64] * (len(widths) - 1)  # while they are being chosen all filters are there
    assert widths[-1] < 40


@pytest.mark.parametrize("method", ["tpp", "polarization", "stripes"])
def test_methods_that_train_first_say_that_they_need_data(method: str) -> None:
    with pytest.raises(EdgepruneError, match="needs training data"):
        prune(small_residual_network(), 2, method=method, example_inputs=(torch.zeros(1, 3, 16, 16),))


def test_l1_filters_need_no_data() -> None:
    pruned = prune(small_residual_network(), 1.5, method="l1-filters", example_inputs=(torch.zeros(1, 3, 16, 16),))
    assert pruned.kept <= pruned.total / 1.5


def test_polarization_says_what_it_misses() -> None:
    data = made_up((1, 28, 28), 64)
    with pytest.raises(EdgepruneError, match="try l1-filters"):
        prune(LeNet300(), 2, data=data, method="polarization", epochs=1)
