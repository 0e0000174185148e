"""The structural probe: which connections carry signal."""

from __future__ import annotations

import itertools

import pytest
import torch
import torch.nn.functional as F
from encoder_nets import MASKS
from nets import VGG16, CifarResNet, LeNet5, LeNet300, vgg
from text_nets import reader
from torch import Tensor, nn

from edgeprune.errors import Unsupported
from edgeprune.pruning import Probe, prunable
from edgeprune.pruning.masks import Masks
from edgeprune.vision import torchvision


def random_masks(probe: Probe, density: float, seed: int) -> Masks:
    draw = torch.Generator().manual_seed(seed)
    return Masks({name: torch.rand(shape, generator=draw) < density for name, shape in probe.shapes.items()})


def on_a_path(layers: list[Tensor]) -> list[Tensor]:
    """Brute force: every path of a chain of linear layers, each a mask [outputs, inputs]."""
    alive = [torch.zeros_like(mask) for mask in layers]
    for path in itertools.product(range(layers[0].shape[1]), *(range(mask.shape[0]) for mask in layers)):
        if all(mask[v, u] for mask, u, v in zip(layers, path, path[1:], strict=False)):
            for kept, u, v in zip(alive, path, path[1:], strict=False):
                kept[v, u] = True
    return alive


@pytest.mark.parametrize("seed", range(20))
def test_alive_is_what_lies_on_a_path(seed: int) -> None:
    net = nn.Sequential(nn.Linear(5, 4), nn.ReLU(), nn.Linear(4, 4), nn.Sigmoid(), nn.Linear(4, 3))
    probe = Probe(net, (torch.zeros(1, 5),))
    masks = random_masks(probe, 0.25, seed)
    expected = on_a_path([masks[name] for name in probe.names])
    assert probe.alive(masks).same(dict(zip(probe.names, expected, strict=True)))


CLASSIFIERS = [
    "resnet18",
    "mobilenet_v2",
    "densenet121",
    "shufflenet_v2_x1_0",
    "googlenet",
    "efficientnet_b0",
    "regnet_y_400mf",
    "convnext_tiny",
    "vit_b_32",
    "swin_t",
    "swin_v2_t",
    "maxvit_t",
    "inception_v3",
    "squeezenet1_0",
    "mnasnet1_0",
    "alexnet",
]

NETS = {
    "lenet-300-100": (lambda: LeNet300(), (1, 28, 28)),
    "lenet-5": (lambda: LeNet5(), (1, 28, 28)),
    "cifar-resnet": (lambda: CifarResNet(2, 8), (3, 32, 32)),
    "vgg": (lambda: vgg((8, "M", 16, "M", 16, "M", 16)), (3, 32, 32)),
    "mobilenet-v3": (lambda: torchvision.models.mobilenet_v3_small(num_classes=10), (3, 64, 64)),
    "shufflenet": (lambda: torchvision.models.shufflenet_v2_x0_5(num_classes=10), (3, 64, 64)),
}


@pytest.fixture(params=NETS, scope="module")
def probe(request: pytest.FixtureRequest) -> Probe:
    make, shape = NETS[request.param]
    return Probe(make(), (torch.zeros(1, *shape),))


@pytest.mark.parametrize("density", [0.5, 0.05])
def test_the_alive_weights_of_the_alive_weights_are_all_of_them(probe: Probe, density: float) -> None:
    alive = probe.alive(random_masks(probe, density, 1))
    assert probe.alive(alive).same(alive)


def test_more_weights_never_kill_one(probe: Probe) -> None:
    few = random_masks(probe, 0.1, 2)
    more = Masks({name: few[name] | mask for name, mask in random_masks(probe, 0.1, 3).items()})
    alive, of_more = probe.alive(few), probe.alive(more)
    assert not any((alive[name] & ~of_more[name]).any() for name in alive)


def test_a_revived_weight_with_gradient_is_alive(probe: Probe) -> None:
    masks = probe.alive(random_masks(probe, 0.1, 4))
    gradient = probe.gradient(masks)
    for name, g in gradient.items():
        for place in ((g > 0.5) & ~masks[name]).nonzero()[:1]:
            revived = Masks({n: m.clone() for n, m in masks.items()})
            revived[name][tuple(place)] = True
            assert probe.alive(revived)[name][tuple(place)], (name, place)


def test_widest_paths_reach_every_output_and_are_alive(probe: Probe) -> None:
    draw = torch.Generator().manual_seed(5)
    ranks = {name: torch.rand(shape, generator=draw) + 0.01 for name, shape in probe.shapes.items()}
    paths, widths = probe.widest_paths(ranks)
    assert (widths > 0).all()
    assert probe.alive(paths).same(paths)
    assert probe.outputs_reached(paths).all()


def test_widest_paths_are_the_widest() -> None:
    probe = Probe(CifarResNet(1, 4), (torch.zeros(1, 3, 16, 16),))
    draw = torch.Generator().manual_seed(6)
    ranks = {name: torch.rand(shape, generator=draw) for name, shape in probe.shapes.items()}
    _, widths = probe.widest_paths(ranks)
    for output, width in enumerate(widths.tolist()):
        as_wide = Masks({name: rank >= width for name, rank in ranks.items()})
        wider = Masks({name: rank > width for name, rank in ranks.items()})
        assert probe.outputs_reached(as_wide)[output]
        assert not probe.outputs_reached(wider)[output]


def test_a_dead_weight_of_any_size_leaves_the_output_alone_and_an_alive_one_does_not() -> None:
    torch.manual_seed(7)
    net = LeNet300(12, 8, 6)
    for module in (net.fc1, net.fc2, net.fc3):
        nn.init.zeros_(module.bias)
        nn.init.uniform_(module.weight, 0.5, 1.0)
    probe = Probe(net, (torch.zeros(1, 12),))
    masks = random_masks(probe, 0.15, 8)
    masks.apply(net)
    alive = probe.alive(masks)
    x = torch.rand(64, 12)
    weights = prunable(net)
    before = net(x)
    for name in probe.names:
        for place in masks[name].nonzero():
            old = weights[name].data[tuple(place)].item()
            weights[name].data[tuple(place)] = 1e6
            assert torch.equal(net(x), before) != bool(alive[name][tuple(place)]), (name, place)
            weights[name].data[tuple(place)] = old


def test_a_bias_does_not_make_a_neuron_without_inputs_alive() -> None:
    net = nn.Sequential(nn.Linear(2, 2), nn.ReLU(), nn.Linear(2, 1))
    nn.init.ones_(net[0].bias)
    probe = Probe(net, (torch.zeros(1, 2),))
    masks = probe.full()
    masks["0.weight"][1] = False
    assert probe.alive(masks)["2.weight"].tolist() == [[True, False]]


def test_a_tap_that_only_meets_padding_is_dead() -> None:
    net = nn.Sequential(nn.Conv2d(1, 1, 3, padding=1), nn.Flatten(), nn.Linear(1, 2))
    probe = Probe(net, (torch.zeros(1, 1, 1, 1),))
    assert probe.alive(probe.full())["0.weight"].flatten().tolist() == [n == 4 for n in range(9)]


class Gated(nn.Module):
    """Squeeze and excitation: x * sigmoid(linear(mean(x)))."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.gate, self.head = nn.Conv2d(1, 2, 1), nn.Linear(2, 2), nn.Linear(2, 1)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(x)
        x = x * torch.sigmoid(self.gate(x.mean((2, 3))))[:, :, None, None]
        return self.head(x.mean((2, 3)))


def test_a_dead_gate_lets_its_factor_through() -> None:
    probe = Probe(Gated(), (torch.zeros(1, 1, 4, 4),))
    masks = probe.full()
    masks["gate.weight"][:] = False
    assert probe.alive(masks).same(masks)


def test_a_gate_on_a_dead_channel_is_dead() -> None:
    probe = Probe(Gated(), (torch.zeros(1, 1, 4, 4),))
    masks = probe.full()
    masks["conv.weight"][1] = False
    alive = probe.alive(masks)
    assert alive["gate.weight"].tolist() == [[True, False], [False, False]]


class Attention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.q, self.k, self.v, self.o = (nn.Linear(4, 4, bias=False) for _ in range(4))

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = (f(x).unflatten(-1, (2, 2)).transpose(1, 2) for f in (self.q, self.k, self.v))
        return self.o(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)).mean(1)


def test_queries_of_a_head_without_values_are_dead() -> None:
    probe = Probe(Attention(), (torch.zeros(1, 3, 4),))
    masks = probe.full()
    masks["v.weight"][:2] = False  # the first head's values
    alive = probe.alive(masks)
    assert [alive[n][:2].any().item() for n in ("q.weight", "k.weight")] == [False, False]
    assert [alive[n][2:].all().item() for n in ("q.weight", "k.weight")] == [True, True]


def test_a_head_without_queries_still_passes_its_values() -> None:
    probe = Probe(Attention(), (torch.zeros(1, 3, 4),))
    masks = probe.full()
    masks["q.weight"][:] = False
    alive = probe.alive(masks)
    assert alive["v.weight"].all()
    assert not alive["k.weight"].any()


def test_very_deep_and_wide_nets_neither_overflow_nor_underflow() -> None:
    net = nn.Sequential(*(nn.Linear(64, 64) for _ in range(300)), nn.Linear(64, 10))
    probe = Probe(net, (torch.zeros(1, 64),))
    full = probe.full()
    assert probe.alive(full).same(full)
    thin = Masks({name: torch.eye(64, dtype=torch.bool)[: mask.shape[0]] for name, mask in full.items()})
    assert probe.alive(thin).kept == 10 * 301


def test_an_operation_nobody_taught_is_refused_with_layer_and_name() -> None:
    class Odd(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = nn.Sequential(nn.Linear(4, 4))

        def forward(self, x: Tensor) -> Tensor:
            return torch.cumsum(self.inner(x), 1)

    with pytest.raises(Unsupported, match=r"cumsum.*aten\.cumsum"):
        Probe(Odd(), (torch.zeros(1, 4),))


def test_a_shared_weight_is_counted_once() -> None:
    net = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 4), nn.Linear(4, 2))
    net[2].weight = net[0].weight
    assert list(prunable(net)) == ["0.weight", "3.weight"]
    assert Probe(net, (torch.zeros(1, 4),)).total == 16 + 8


def test_an_exported_module_has_the_weights_of_its_layers() -> None:
    net = CifarResNet(1, 4)
    exported = torch.export.export(net.eval(), (torch.zeros(1, 3, 16, 16),), strict=False).module()
    assert list(prunable(exported)) == list(prunable(net))
    assert Probe(exported, (torch.zeros(1, 3, 16, 16),)).names == list(prunable(net))


@pytest.mark.parametrize("mask", [mask for mask in MASKS if mask != "layer"])
def test_a_mask_made_of_the_tokens_closes_nothing_and_carries_nothing(mask: str) -> None:
    probe = Probe(reader(mask), (torch.ones(1, 8, dtype=torch.int64),))
    masks = probe.full()
    assert probe.alive(masks).same(masks)
    masks["layers.0.attention.value.weight"][:5] = False
    alive = probe.alive(masks)
    # Without the values of the first head nobody reads its queries and keys, and nothing arrives at its columns behind.
    for name in ("query", "key"):
        assert alive[f"layers.0.attention.{name}.weight"].sum(1).tolist() == [0] * 5 + [10] * 5
    assert alive["layers.0.attention.out.weight"].sum(0).tolist() == [0] * 5 + [10] * 5
    assert alive.kept == masks.kept - 150


def test_the_probe_leaves_the_module_as_it_was() -> None:
    net = CifarResNet(1, 4).train()
    before = {name: value.clone() for name, value in net.state_dict().items()}
    probe = Probe(net, (torch.zeros(1, 3, 16, 16),))
    probe.alive(probe.full())
    assert net.training
    assert all(torch.equal(value, before[name]) for name, value in net.state_dict().items())
    assert all(p.grad is None for p in net.parameters())


@pytest.mark.slow
@pytest.mark.parametrize("name", CLASSIFIERS)
def test_every_weight_of_a_dense_classifier_is_alive(name: str) -> None:
    options = {"init_weights": False} if name in ("googlenet", "inception_v3") else {}
    net = torchvision.models.get_model(name, weights=None, **options)
    size = 299 if name == "inception_v3" else 224
    probe = Probe(net, (torch.zeros(1, 3, size, size),))
    full = probe.full()
    assert probe.alive(full).same(full)


def test_vgg16_has_the_weights_the_literature_counts() -> None:
    assert sum(weight.numel() for weight in prunable(vgg(VGG16)).values()) == 14_715_584
