"""Training at the size of what is left: the same function, the same training, and nothing left behind."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from nets import CifarResNet, LeNet5, LeNet300, made_up
from torch import Tensor, nn

from edgeprune.data import Split
from edgeprune.pruning import Masks, Probe, Recipe, evaluate, prunable, train
from edgeprune.pruning.compacting import compacted


def sparse_masks(net: nn.Module, share: float = 0.4, seed: int = 0) -> Masks:
    """Masks that empty whole rows and columns, and half of what is left."""
    draw = torch.Generator().manual_seed(seed)
    masks = Masks()
    for name, weight in prunable(net).items():
        rows = torch.rand(weight.shape[0], generator=draw) < share
        columns = torch.rand(weight.shape[1], generator=draw) < share
        rows[0] = columns[0] = True
        spots = torch.rand(weight.shape, generator=draw) < 0.5
        spots[0, 0] = True
        masks[name] = spots & rows.view(-1, *[1] * (weight.dim() - 1)) & columns.view(1, -1, *[1] * (weight.dim() - 2))
    return masks


class Wave(nn.Module):
    """Convolutions along one axis and over two, strided, dilated, padded in every way, with and without biases."""

    def __init__(self) -> None:
        super().__init__()
        self.one = nn.Conv1d(4, 8, 3, padding="same")
        self.two = nn.Conv2d(8, 12, 3, stride=2, padding=(1, 0), dilation=(1, 2))
        self.three = nn.Conv2d(12, 9, (1, 3), bias=False)
        self.head = nn.Linear(9, 10)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.tanh(self.one(x)).unsqueeze(2).expand(-1, -1, 5, -1)
        return self.head(F.relu(self.three(F.relu(self.two(x)))).amax((2, 3)))


NETS = {
    "linear": (lambda: LeNet300(16, 24, 12), (16,)),
    "conv": (lambda: LeNet5(), (1, 28, 28)),
    "conv-norm": (lambda: CifarResNet(1, 8), (3, 8, 8)),
    "wave": (Wave, (4, 20)),
}


@pytest.fixture(params=NETS)
def net(request: pytest.FixtureRequest) -> tuple[nn.Module, tuple[int, ...]]:
    torch.manual_seed(1)
    make, shape = NETS[request.param]
    return make().eval(), shape


def test_the_small_layers_are_the_same_function(net: tuple[nn.Module, tuple[int, ...]]) -> None:
    module, shape = net
    masks = sparse_masks(module)
    masks.apply(module)
    x = torch.randn(5, *shape)
    expected = module(x)
    full = sum(p.numel() for p in module.parameters())
    with compacted(module, masks, x[:2]) as small:
        assert sum(p.numel() for p in module.parameters()) < 0.6 * full
        assert small.kept == masks.kept
        assert all(small[name].shape == weight.shape for name, weight in prunable(module).items())
        torch.testing.assert_close(module(x), expected, rtol=1e-4, atol=1e-5)


def test_leaving_puts_every_bit_back(net: tuple[nn.Module, tuple[int, ...]]) -> None:
    module, shape = net
    masks = sparse_masks(module)
    masks.apply(module)
    before = {name: value.clone() for name, value in module.state_dict().items()}
    owners = dict(module.named_parameters())
    with compacted(module, masks, torch.randn(2, *shape)):
        pass
    assert all(torch.equal(value, before[name]) for name, value in module.state_dict().items())
    assert all(parameter is owners[name] for name, parameter in module.named_parameters())
    assert not any("forward" in vars(layer) for layer in module.modules())


def test_what_is_learned_in_small_layers_stays_when_they_leave() -> None:
    torch.manual_seed(2)
    net = LeNet300(16, 24, 12)
    masks = sparse_masks(net)
    x = torch.randn(7, 16)
    with compacted(net, masks, x[:2]) as small:
        assert small is not masks
        with torch.no_grad():
            for name, weight in prunable(net).items():
                weight.add_(small[name].float())
        expected = net(x)
    torch.testing.assert_close(net(x), expected, rtol=1e-4, atol=1e-5)
    assert all((weight[~masks[name]] == 0).all() for name, weight in prunable(net).items())


def test_an_error_inside_leaves_whole_layers_behind() -> None:
    net = LeNet300(16, 24, 12)
    with pytest.raises(RuntimeError, match="stop"), compacted(net, sparse_masks(net), torch.randn(2, 16)):
        raise RuntimeError("stop")
    assert net.fc1.weight.shape == (24, 16)
    assert net(torch.randn(2, 16)).shape == (2, 10)


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_training_small_equals_training_under_masks(optimizer: str, monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(3)
    data, net = made_up(), LeNet300(16, 24, 12)
    masks = sparse_masks(net)
    recipe = Recipe(2, 0.01, batch_size=64, optimizer=optimizer, weight_decay=0.01)
    small, whole = copy.deepcopy(net), copy.deepcopy(net)
    train(small, data.train, recipe, masks=masks)
    monkeypatch.setattr("edgeprune.pruning.compacting.WORTH_IT", 0.0)
    train(whole, data.train, recipe, masks=masks)
    for name, value in small.state_dict().items():
        torch.testing.assert_close(value, whole.state_dict()[name], rtol=1e-3, atol=1e-5)


def test_training_small_twice_gives_the_same_bits(net: tuple[nn.Module, tuple[int, ...]]) -> None:
    module, shape = net
    data, masks = made_up(shape, 128), sparse_masks(module)
    other = copy.deepcopy(module)
    for one in (module, other):
        train(one, data.train, Recipe(2, 0.01, batch_size=32), masks=masks, seed=4)
    assert all(torch.equal(value, other.state_dict()[name]) for name, value in module.state_dict().items())
    assert all((weight[~masks[name]] == 0).all() for name, weight in prunable(module).items())


class Shared(nn.Module):
    """Two layers with one weight."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(16, 16), nn.Linear(16, 16)
        self.second.weight = self.first.weight

    def forward(self, x: Tensor) -> Tensor:
        return self.second(F.relu(self.first(x)))


class Read(nn.Module):
    """A layer whose weight is used without calling it."""

    def __init__(self) -> None:
        super().__init__()
        self.read = nn.Linear(16, 16)

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.read.weight)


class Replaced(nn.Module):
    """A layer with a forward of its own."""

    def __init__(self) -> None:
        super().__init__()
        self.replaced = nn.Linear(16, 16)
        self.replaced.forward = lambda x: 2 * F.linear(x, self.replaced.weight)  # type: ignore[method-assign]

    def forward(self, x: Tensor) -> Tensor:
        return self.replaced(x)


@pytest.mark.parametrize("make", [Shared, Read, Replaced])
def test_layers_that_are_more_than_their_own_call_stay_whole(make: type[nn.Module]) -> None:
    net = make()
    masks = sparse_masks(net, 0.3)
    masks.apply(net)
    x = torch.randn(6, 16)
    expected, forwards = net(x), [vars(layer).get("forward") for layer in net.children()]
    with compacted(net, masks, x[:2]) as small:
        assert small.same(masks)
        assert torch.equal(net(x), expected)
    assert [vars(layer).get("forward") for layer in net.children()] == forwards


def test_a_tiny_output_is_still_compared() -> None:
    """A network that reads a weight besides calling its layer must be noticed however small its outputs are."""

    class Mean(nn.Linear):
        def forward(self, x: Tensor) -> Tensor:
            return x * self.inner.weight.std() if hasattr(self, "inner") else super().forward(x)

    net = nn.Sequential(nn.Linear(8, 8, bias=False), Mean(8, 8, bias=False))
    net[1].inner = net[0]
    masks = Masks({"0.weight": torch.zeros(8, 8, dtype=torch.bool)})
    masks["0.weight"][:2, :2] = True
    net[0].weight.data.mul_(1e-4)
    with compacted(net, masks, torch.randn(2, 8)) as inside:
        assert inside is masks


def test_a_frozen_layer_stays_as_it_is() -> None:
    torch.manual_seed(5)
    data, net = made_up(), LeNet300(16, 24, 12)
    net.fc1.weight.requires_grad_(False)
    masks = sparse_masks(net)
    masks.apply(net)
    before, other = net.fc1.weight.clone(), net.fc2.weight.clone()
    train(net, data.train, Recipe(1, 0.01, batch_size=64), masks=masks)
    assert torch.equal(net.fc1.weight, before)
    assert not torch.equal(net.fc2.weight, other)
    assert not net.fc1.weight.requires_grad


def test_a_layer_without_weights_left_still_gives_its_bias() -> None:
    net = nn.Sequential(nn.Conv2d(3, 8, 3), nn.Tanh(), nn.Conv2d(8, 8, 3), nn.Flatten(), nn.Linear(32, 10))
    masks = sparse_masks(net)
    masks["2.weight"][:] = False
    masks.apply(net)
    x = torch.randn(3, 3, 6, 6)
    expected = net(x)
    with compacted(net, masks, x[:2]) as small:
        assert small["0.weight"].numel() < masks["0.weight"].numel()
        torch.testing.assert_close(net(x), expected)


def stream_masks(net: nn.Module, probe: Probe) -> Masks:
    """As `sparse_masks`, without what these leave dead: channels between two layers are then live for both or for neither."""
    return probe.alive(sparse_masks(net, 0.5))


@pytest.mark.parametrize("name", NETS)
def test_channels_that_nothing_reads_are_left_out_between_layers(name: str) -> None:
    torch.manual_seed(6)
    make, shape = NETS[name]
    module = make().eval()
    for norm in module.modules():
        if isinstance(norm, nn.BatchNorm2d):
            nn.init.uniform_(norm.bias)
            nn.init.uniform_(norm.running_mean)
    probe = Probe(module, (torch.zeros(1, *shape),))
    masks = stream_masks(module, probe)
    masks.apply(module)
    x = torch.randn(5, *shape)
    before, expected = {key: value.clone() for key, value in module.state_dict().items()}, module(x)
    with compacted(module, masks, x[:2], probe) as small:
        narrow = {path: layer for path, layer in module.named_modules() if isinstance(layer, nn.BatchNorm2d)}
        torch.testing.assert_close(module(x), expected, rtol=1e-4, atol=1e-5)
        assert small.kept == masks.kept
        if name == "conv-norm":
            assert any(len(norm.running_mean) < norm.num_features for norm in narrow.values())
    assert all(torch.equal(value, before[key]) for key, value in module.state_dict().items())


@pytest.mark.parametrize("name", NETS)
def test_training_without_the_dead_channels_is_training_under_masks(name: str) -> None:
    torch.manual_seed(7)
    make, shape = NETS[name]
    whole = make().eval().double()
    small = copy.deepcopy(whole)
    probe = Probe(make().eval(), (torch.zeros(1, *shape),))
    masks = stream_masks(whole, probe)
    recipe = Recipe(1, 0.01, batch_size=64, optimizer="sgd", weight_decay=0.01)
    for module, known in ((small, probe), (whole, None)):
        train(module, Doubled(made_up(shape, 192).train), recipe, masks=masks, probe=known)
    x = torch.randn(50, *shape).double()
    torch.testing.assert_close(small(x), whole(x), rtol=1e-6, atol=1e-8)
    for key, weight in prunable(whole).items():
        torch.testing.assert_close(prunable(small)[key], weight, rtol=1e-6, atol=1e-9)


class Doubled:
    """A split in float64, in which the order of sums hardly shows."""

    def __init__(self, split: Split) -> None:
        self.split = split

    def __len__(self) -> int:
        return len(self.split)

    def batches(self, batch_size: int, **how: Any) -> Iterator[tuple[Tensor, Tensor]]:
        for x, y in self.split.batches(batch_size, **how):
            yield x.double(), y

    def first(self, n: int) -> tuple[Tensor, Tensor]:
        x, y = self.split.first(n)
        return x.double(), y


class Maps(nn.Module):
    """Two convolutions with something in between that a test puts there, and a head on whatever `rows` makes of the maps."""

    def __init__(self, between: nn.Module) -> None:
        super().__init__()
        self.one, self.between, self.two, self.head = nn.Conv2d(3, 16, 3), between, nn.Conv2d(16, 16, 3), nn.Linear(16, 10)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(F.relu(self.two(self.between(self.one(x)))).mean((2, 3)))


class Rolled(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x.roll(1, 1)


class Loud(nn.Module):
    """Noise as wide as the maps, in training alone: the exported graph does not show it."""

    def forward(self, x: Tensor) -> Tensor:
        return x + torch.randn_like(x) if self.training else x


class Counted(nn.Module):
    """A layer that only training calls, at the full width."""

    def __init__(self) -> None:
        super().__init__()
        self.extra = nn.Conv2d(16, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.extra(x) if self.training else x


def width_inside(between: nn.Module) -> int:
    torch.manual_seed(8)
    module = Maps(between).eval()
    probe = Probe(module, (torch.zeros(1, 3, 8, 8),))
    masks = probe.full()
    masks["one.weight"][8:] = False
    masks["two.weight"][:, 8:] = False
    masks.apply(module)
    with compacted(module, masks, torch.randn(2, 3, 8, 8), probe):
        seen = module.between.register_forward_pre_hook(lambda layer, args: widths.append(args[0].shape[1]))
        widths: list[int] = []
        module(torch.randn(4, 3, 8, 8))
        seen.remove()
    return widths[0]


PASSING = {
    "relu": nn.ReLU,
    "norm": lambda: nn.BatchNorm2d(16),
    "pool": lambda: nn.MaxPool2d(2),
    "none left out": lambda: nn.Dropout(0.0),
}
MIXING = {
    "roll": Rolled, "softmax": lambda: nn.Softmax(1), "dropout": lambda: nn.Dropout(0.5), "noise": Loud, "extra": Counted,
    "group norm": lambda: nn.GroupNorm(4, 16), "norm over rows": lambda: nn.LayerNorm(6),
}  # fmt: skip


@pytest.mark.parametrize("between", PASSING)
def test_what_keeps_channels_apart_sees_only_the_live_ones(between: str) -> None:
    assert width_inside(PASSING[between]()) == 8


@pytest.mark.parametrize("between", MIXING)
def test_what_mixes_channels_or_draws_for_them_sees_all(between: str) -> None:
    assert width_inside(MIXING[between]()) == 16


def test_a_bias_without_weights_still_reaches_its_reader() -> None:
    torch.manual_seed(9)
    module = Maps(nn.BatchNorm2d(16)).eval()
    nn.init.uniform_(module.between.bias)
    probe = Probe(module, (torch.zeros(1, 3, 8, 8),))
    masks = probe.full()
    masks["one.weight"][4:] = False
    masks["two.weight"][:, 4:12] = False  # the last 4 channels hold a constant that is read
    masks.apply(module)
    x = torch.randn(4, 3, 8, 8)
    expected = module(x)
    with compacted(module, masks, x[:2], probe):
        assert len(module.between.weight) == 8
        torch.testing.assert_close(module(x), expected)


def test_a_view_of_maps_keeps_the_usual_order_in_memory() -> None:
    """`view` cannot read maps whose channels lie last; the network is trained all the same, and its weights lie as before."""
    torch.manual_seed(10)
    net, data = LeNet5(), made_up((1, 28, 28), 300)
    before = [weight.stride() for weight in net.parameters()]
    train(net, data.train, Recipe(1, 0.01, batch_size=128))
    assert evaluate(net, data.test) >= 0
    assert [weight.stride() for weight in net.parameters()] == before
