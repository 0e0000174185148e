"""Capture agrees with PyTorch on everything it takes, names what the user knows, and refuses the rest by name."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from closeness import assert_close
from torch import Tensor, nn

from edgeprune.capturing import capture
from edgeprune.capturing.walk import LOWERINGS, PASS_ON
from edgeprune.errors import Unsupported
from edgeprune.graph import Graph
from edgeprune.ops import Activation, Select
from edgeprune.passes.check import check

torch.set_num_threads(1)


class Does(nn.Module):
    """A module whose forward is a function; layers go by the names given."""

    def __init__(self, function: Callable[..., object], **layers: nn.Module) -> None:
        super().__init__()
        self.function = function
        for name, layer in layers.items():
            self.add_module(name, layer)

    def forward(self, *inputs: Tensor) -> object:
        return self.function(*inputs, **dict(self.named_children()))


def rand(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(sum(shape)))


def settled(module: nn.Module) -> nn.Module:
    """In eval mode, with batch norm statistics and weights away from their defaults."""
    generator = torch.Generator().manual_seed(0)
    for m in module.modules():
        if isinstance(m, nn.modules.batchnorm._BatchNorm):
            for t in (m.running_mean, m.bias):
                if t is not None:
                    t.data.normal_(0, 0.3, generator=generator)
            for t in (m.running_var, m.weight):
                if t is not None:
                    t.data.uniform_(0.5, 1.5, generator=generator)
    return module.eval()


def agrees(module: nn.Module, *inputs: Tensor) -> Graph:
    """The captured graph, after checking its promises and, in float64, its outputs against the module's."""
    torch.manual_seed(0)
    module = settled(module)
    graph = check(capture(module, inputs))
    with torch.no_grad():
        expected = module.double()(*(x.double() for x in inputs))
    expected = list(expected.values()) if isinstance(expected, dict) else expected
    expected = [expected] if isinstance(expected, Tensor) else list(expected)
    result = graph.astype(np.float64).run(*(x.double().numpy() for x in inputs))
    for a, b in zip(expected, [result] if isinstance(result, np.ndarray) else result, strict=True):
        assert_close(a.numpy(), b, 1e-12)
    module.float()
    return graph


def overwritten(x: Tensor, c: nn.Module) -> Tensor:
    y = c(x)
    z = F.relu_(y) * 2
    return z + y


MAP, WIDE, ROW, VECTOR = (2, 3, 8, 8), (2, 4, 9, 10), (2, 3, 12), (2, 6)
SCALE = torch.tensor([2.0, 0.5, -4.0, 8.0]).reshape(4, 1, 1)  # quotients by them are exact in every type

# (name, module, shapes of the inputs)
CASES: list[tuple[str, nn.Module, list[tuple[int, ...]]]] = [
    ("linear", nn.Linear(6, 4), [VECTOR]),
    ("linear without bias", nn.Linear(6, 4, bias=False), [VECTOR]),
    ("conv", nn.Conv2d(3, 5, 3), [MAP]),
    ("conv, all settings", nn.Conv2d(3, 6, (3, 2), (2, 1), (2, 1), (2, 1), groups=3), [MAP]),
    ("conv, padding same, even kernel", nn.Conv2d(3, 5, (4, 3), padding="same", dilation=(1, 2)), [MAP]),
    ("conv, padding valid", nn.Conv2d(3, 5, 3, padding="valid", bias=False), [MAP]),
    ("depthwise conv", nn.Conv2d(3, 6, 3, padding=1, groups=3), [MAP]),
    ("conv1d", nn.Conv1d(3, 5, 3, 2, 1), [ROW]),
    ("conv1d, padding same", nn.Conv1d(3, 5, 4, padding="same"), [ROW]),
    ("conv3d", nn.Conv3d(2, 3, 2, (1, 2, 1), 1), [(2, 2, 4, 5, 4)]),
    ("functional conv", Does(lambda x, c: F.conv2d(x, c.weight, stride=2), c=nn.Conv2d(3, 4, 3)), [MAP]),
    ("batch norm", nn.BatchNorm2d(3, eps=1e-3), [MAP]),
    ("batch norm without affine", nn.BatchNorm2d(3, affine=False), [MAP]),
    ("batch norm 1d on vectors", nn.BatchNorm1d(6), [VECTOR]),
    ("batch norm 1d on rows", nn.BatchNorm1d(3), [ROW]),
    ("batch norm 3d", nn.BatchNorm3d(2), [(2, 2, 3, 3, 3)]),
    *((f"activation {type(m).__name__}", m, [VECTOR]) for m in (
        nn.ReLU(), nn.ReLU6(), nn.Sigmoid(), nn.Hardsigmoid(), nn.Tanh(), nn.SiLU(), nn.Hardswish(), nn.Mish(), nn.LeakyReLU(0.2),
        nn.ELU(0.5), nn.GELU(), nn.Softplus(), nn.Hardtanh(-0.5, 0.7), nn.Softmax(1), nn.LogSoftmax(-1),
    )),
    ("relu6 called", Does(F.relu6), [VECTOR]),
    ("gelu by tanh", nn.GELU(approximate="tanh"), [VECTOR]),
    ("softmax over channels of a map", nn.Softmax(1), [MAP]),
    ("clamp below only", Does(lambda x: x.clamp(min=-0.3)), [VECTOR]),
    ("clamp_max", Does(lambda x: torch.clamp_max(x, 0.3)), [VECTOR]),
    ("clamp_min and clamp at zero", Does(lambda x: torch.clamp_min(x, 0.1) * x.clamp(min=0)), [VECTOR]),
    ("clamp to six", Does(lambda x: (9 * x).clamp(0, 6)), [VECTOR]),
    ("exp, abs, neg, sqrt", Does(lambda x: -torch.sqrt(torch.abs(x).exp())), [VECTOR]),
    ("max pool", nn.MaxPool2d(3, 2, 1), [WIDE]),
    ("max pool, ceil_mode and dilation", nn.MaxPool2d(2, 3, 1, 2, ceil_mode=True), [WIDE]),
    ("max pool 1d", nn.MaxPool1d(2), [ROW]),
    ("max pool 3d", nn.MaxPool3d(2), [(2, 2, 4, 5, 4)]),
    ("average pool", nn.AvgPool2d(3, 2, 1), [WIDE]),
    ("average pool, ceil_mode, padding not counted", nn.AvgPool2d((3, 2), 2, 1, True, False), [WIDE]),
    ("average pool 1d", nn.AvgPool1d(3, 1, 1), [ROW]),
    ("average pool 3d", nn.AvgPool3d(2, 1), [(2, 2, 4, 5, 4)]),
    ("adaptive average pool", nn.AdaptiveAvgPool2d((3, 2)), [WIDE]),
    ("adaptive average pool, one axis kept", nn.AdaptiveAvgPool2d((None, 2)), [WIDE]),
    ("adaptive average pool 1d", nn.AdaptiveAvgPool1d(5), [ROW]),
    ("adaptive average pool 3d", nn.AdaptiveAvgPool3d(1), [(2, 2, 4, 5, 4)]),
    ("mean over positions", Does(lambda x: x.mean((2, 3))), [MAP]),
    ("mean over positions, kept axes", Does(lambda x: x * x.mean([-1, -2], keepdim=True)), [MAP]),
    ("flatten, and view, and reshape", Does(lambda x: x.flatten(1) + x.view(x.size(0), -1) + x.reshape(len(x), -1)), [MAP]),
    ("squeeze", Does(lambda x: x.mean((2, 3), keepdim=True).squeeze(-1).squeeze(-1)), [MAP]),
    ("squeeze of all ones", Does(lambda x: F.adaptive_avg_pool2d(x, 1).squeeze()), [MAP]),
    ("add and its scale", Does(lambda x, y: torch.add(x, y, alpha=2) + x), [MAP, MAP]),
    ("sub and its scale", Does(lambda x, y: torch.sub(x, y, alpha=3)), [MAP, MAP]),
    ("a number less a value", Does(lambda x: 1 - x), [MAP]),
    ("sums with numbers", Does(lambda x: (x + 2) - 0.5 + torch.add(x, 3, alpha=2)), [MAP]),
    ("products with numbers", Does(lambda x: 3 * x / 8), [MAP]),
    ("product of values, one stretched", Does(lambda x, y: x * y), [MAP, (2, 3, 1, 1)]),
    ("products with constants by channel", Does(lambda x: (x - SCALE.to(x)) / (SCALE.to(x) * 2)), [WIDE]),
    ("cat", Does(lambda x, y: torch.cat([x, y, x], 1)), [MAP, (2, 4, 8, 8)]),
    ("cat over axis -3", Does(lambda x: torch.cat([x, x], -3)), [MAP]),
    ("chunk and shuffle", Does(lambda x: torch.cat(x.chunk(2, 1)[::-1], 1)), [WIDE]),
    ("split in unequal parts, one unused", Does(lambda x: torch.split(x, [1, 2, 1], 1)[1] * 2), [WIDE]),
    ("split in equal parts", Does(lambda x: torch.split(x, 3, 1)[1]), [WIDE]),
    ("slice of channels", Does(lambda x: x[:, 1::2]), [WIDE]),
    ("slice of positions", Does(lambda x: x[:, :, 1::2, :-3]), [WIDE]),
    ("slice of everything", Does(lambda x: x[:, :, :] + 1), [WIDE]),
    ("pad by a constant", Does(lambda x: F.pad(x, (1, 2, 0, 1), value=0.5)), [WIDE]),
    ("pad layer", nn.ZeroPad2d((0, 1, 0, 1)), [WIDE]),
    ("shortcut of zeros", Does(lambda x: F.pad(x[:, :, ::2, ::2], (0, 0, 0, 0, 2, 3))), [WIDE]),
    ("conv, padding constant", nn.Sequential(nn.ConstantPad2d(1, 0.25), nn.Conv2d(3, 4, 3)), [MAP]),
    ("dropout and identity", nn.Sequential(nn.Dropout(), nn.Linear(6, 4), nn.Identity(), nn.AlphaDropout()), [VECTOR]),
    ("contiguous, detach, clone", Does(lambda x: (x + 1).contiguous().detach().clone()), [VECTOR]),
    ("relu in place", nn.Sequential(nn.Linear(6, 4), nn.ReLU(inplace=True), nn.Hardswish(inplace=True)), [VECTOR]),
    ("sum in place", Does(lambda x, c: c(x).add_(x).mul_(2), c=nn.Conv2d(3, 3, 1)), [MAP]),
    ("in place on a view that nobody reads again", Does(lambda x, c: c(x).flatten(1).relu_(), c=nn.Conv2d(3, 3, 1)), [MAP]),
    ("an overwritten value read later means the new one", Does(overwritten, c=nn.Conv2d(3, 3, 1)), [MAP]),
    ("shared layer", Does(lambda x, c: c(F.relu(c(x))), c=nn.Conv2d(3, 3, 3)), [MAP]),
    ("constants computed from weights", Does(lambda x, c: x * (c.weight.detach() * 0 + 0.5).mean(), c=nn.Linear(2, 2)), [MAP]),
    ("a tuple of outputs", Does(lambda x: (x + 1, x.flatten(1))), [MAP]),
    ("an input as output", Does(lambda x: (x, x + 1)), [MAP]),
    ("one tensor twice", Does(lambda x: [x + 1] * 2), [MAP]),
    ("a constant as output", Does(lambda x: (torch.ones(3, 2).expand(x.shape[0], 3, 2), x + 1)), [MAP]),
    ("a dictionary of outputs", Does(lambda x, c: {"far": c(x), "near": x + 1}, c=nn.Conv2d(3, 3, 1)), [MAP]),
]  # fmt: skip


@pytest.mark.parametrize(("module", "shapes"), [c[1:] for c in CASES], ids=[c[0] for c in CASES])
def test_the_graph_agrees_with_the_module(module: nn.Module, shapes: list[tuple[int, ...]]) -> None:
    agrees(module, *(rand(*s) for s in shapes))


# What the cases above must use; the rest of the vocabulary is tested beside the ops that it needs.
CONVOLUTIONAL = {
    "conv1d", "conv2d", "conv3d", "linear", "batch_norm", "relu", "relu6", "sigmoid", "hardsigmoid", "tanh", "silu", "hardswish",
    "mish", "abs", "neg", "exp", "sqrt", "hardtanh", "clamp", "clamp_min", "clamp_max", "leaky_relu", "elu", "gelu", "softplus",
    "softmax", "log_softmax", "max_pool1d", "max_pool2d", "max_pool3d", "avg_pool1d", "avg_pool2d", "avg_pool3d",
    "adaptive_avg_pool1d", "adaptive_avg_pool2d", "adaptive_avg_pool3d", "mean", "flatten", "view", "reshape", "squeeze", "cat",
    "slice", "chunk", "split", "split_with_sizes", "pad", "add", "sub", "rsub", "mul", "div",
}  # fmt: skip


def test_every_op_of_convolutional_networks_has_a_case() -> None:
    """By running each case and noting the lowerings that it used."""
    used: set[str] = set()
    originals = dict(LOWERINGS)
    try:
        for name, function in originals.items():
            LOWERINGS[name] = lambda *a, name=name, function=function: (used.add(name), function(*a))[1]
        for _, module, shapes in CASES:
            capture(settled(module), [rand(*s) for s in shapes])
    finally:
        LOWERINGS.update(originals)
    assert not CONVOLUTIONAL - used


def test_the_outputs_of_a_dictionary_keep_its_keys() -> None:
    assert agrees(Does(lambda x: {"far": x + 1, "near": x * 2}), rand(*MAP)).outputs == ("far", "near")


def test_an_output_that_is_called_as_an_input_gets_a_name_of_its_own() -> None:
    graph = agrees(Does(lambda x: {"input": x + 1, "input_output": x * 2}), rand(*MAP))
    assert (list(graph.inputs), graph.outputs) == (["input"], ("input_output_2", "input_output"))


@pytest.mark.parametrize("places", [(None, 3), (3, None), (8, 3), None, 8], ids=str)
@pytest.mark.parametrize("kind", [nn.AdaptiveAvgPool2d, nn.AdaptiveMaxPool2d])
def test_an_adaptive_layer_knows_which_axes_it_keeps(kind: Callable[..., nn.Module], places: object) -> None:
    if places is None:
        places = (None, None)
    module = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), kind(places)).eval()
    larger = capture(module, rand(*MAP)).at((3, 12, 10))
    x = rand(2, 3, 12, 10)
    with torch.no_grad():
        assert_close(module(x).numpy(), larger.run(x.numpy()), 1e-5)


def test_an_adaptive_layer_that_runs_twice_knows_it_each_time() -> None:
    module = Does(lambda x, pool: pool(pool(x) + 1), pool=nn.AdaptiveAvgPool2d((None, 3))).eval()
    larger = capture(module, rand(*MAP)).at((3, 12, 10))
    x = rand(2, 3, 12, 10)
    assert_close(module(x).numpy(), larger.run(x.numpy()), 1e-6)


def test_a_pooling_call_that_may_keep_an_axis_or_not_runs_at_the_size_it_was_captured_at_alone() -> None:
    graph = agrees(Does(lambda x: F.adaptive_avg_pool2d(x, (None, 3))), rand(*MAP))
    with pytest.raises(ValueError, match=r"captured at \(8, 8\).*nn\.AdaptiveAvgPool2d"):
        graph.at((3, 12, 10))
    # Pooling to one place is what it looks like.
    assert agrees(Does(lambda x: F.adaptive_avg_pool2d(x, 1)), rand(*MAP)).at((3, 12, 10)).values["output"].shape == (3, 1, 1)


def test_one_output_is_called_output_and_one_input_input() -> None:
    graph = agrees(nn.Linear(6, 4), rand(*VECTOR))
    assert (list(graph.inputs), graph.outputs) == (["input"], ("output",))


def test_several_outputs_are_numbered() -> None:
    assert agrees(Does(lambda x: (x + 1, x * 2)), rand(*MAP)).outputs == ("output_0", "output_1")


def test_an_output_may_have_the_name_of_a_layer() -> None:
    module = Does(lambda x, fc1: {"fc1": F.relu(fc1(x)), "other": fc1(x) + 1}, fc1=nn.Linear(6, 4))
    assert agrees(module, rand(*VECTOR)).outputs == ("fc1", "other")


def test_several_inputs_have_the_names_of_the_arguments() -> None:
    class Sum(nn.Module):
        def forward(self, image: Tensor, mask: Tensor) -> Tensor:
            return image * mask

    assert list(agrees(Sum(), rand(*MAP), rand(2, 3, 1, 1)).inputs) == ["image", "mask"]


def test_nodes_say_which_layer_of_the_user_they_are() -> None:
    block = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU())
    graph = agrees(nn.Sequential(block, nn.Flatten(), nn.Linear(4 * 36, 2)), rand(*MAP))
    assert [n.source for n in graph.nodes] == ["0.0", "0.1", "0.2", "1", "2"]
    assert [n.name for n in graph.nodes] == ["0.0", "0.1", "0.2.relu", "1.flatten", "output"]


def test_a_layer_used_twice_is_two_nodes_with_one_source() -> None:
    graph = agrees(Does(lambda x, c: c(F.relu(c(x))) + 1, c=nn.Conv2d(3, 3, 1)), rand(*MAP))
    convs = [n for n in graph.nodes if hasattr(n.op, "groups")]
    assert [(n.name, n.source) for n in convs] == [("c", "c"), ("c_2", "c")]


def test_an_exported_program_is_taken_as_it_is() -> None:
    module = settled(nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU()))
    program = torch.export.export(module, (torch.zeros(13, 3, 8, 8),))
    assert capture(program, rand(*MAP)) == capture(module, rand(*MAP))


def test_a_mean_over_the_positions_is_the_same_at_another_size() -> None:
    module = settled(nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2)))
    x = rand(2, 3, 11, 6)
    with torch.no_grad():
        assert_close(module(x).numpy(), capture(module, rand(*MAP)).at((3, 11, 6)).run(x.numpy()), 1e-5)


def test_capture_leaves_the_module_as_it_was() -> None:
    module = nn.Sequential(nn.Linear(6, 4), nn.BatchNorm1d(4)).train()
    before = {k: v.clone() for k, v in module.state_dict().items()}
    capture(module, rand(*VECTOR))
    assert module.training
    assert all(torch.equal(before[k], v) for k, v in module.state_dict().items())


def test_weights_of_the_graph_are_not_the_modules_memory_twisted() -> None:
    """A zero in the module is a zero in the graph, place by place."""
    module = nn.Linear(6, 4, bias=False)
    module.weight.data[:, ::2] = 0
    (node,) = capture(module, rand(*VECTOR)).nodes
    assert np.array_equal(node.op.arrays["weight"], module.weight.detach().numpy())


def test_a_double_constant_does_not_change_the_type_of_the_graph() -> None:
    factor = torch.tensor(0.5, dtype=torch.float64)
    graph = check(capture(Does(lambda x: x * factor), rand(*MAP)))
    assert graph.dtype == np.float32


def test_relu6_and_shuffles_are_said_in_the_graphs_words() -> None:
    graph = capture(Does(lambda x: F.hardtanh(x, 0, 6)[:, [0, 1, 2][::2][0] :]), rand(*MAP))
    assert graph.nodes[0].op == Activation("relu6")
    graph = capture(Does(lambda x: x[:, 2:]), rand(*MAP))
    assert graph.nodes[0].op == Select(np.array([2]))


# -- refusals ----------------------------------------------------------------------------------------------------------


def later(function: Callable[..., object]) -> Does:
    return Does(function, c=nn.Conv2d(3, 3, 1))


def written_through_two_views(x: Tensor, c: nn.Module) -> Tensor:
    y = c(x)
    part = y.flatten(1)[:, :5]
    y.relu_()
    return part + 1


def base_of_a_view_overwritten(x: Tensor, c: nn.Module) -> Tensor:
    y = c(x)
    y.flatten(1).relu_()
    return y + 1


def view_of_what_was_overwritten(x: Tensor, c: nn.Module) -> Tensor:
    y = c(x)
    v = y.flatten(1)
    y.relu_()
    return v + 1


def base_of_a_chunk_overwritten(x: Tensor, c: nn.Module) -> Tensor:
    y = c(x)
    y.split([1, 2], 1)[0].relu_()
    return y + 1


class Branches(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x * 2 if x.sum() > 0 else x


class Counts(nn.Module):
    """Writes the input's mean into a buffer."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("seen", torch.zeros(3))

    def forward(self, x: Tensor) -> Tensor:
        self.seen.add_(x.mean((0, 2, 3)))
        return x + 1


# (name, module, shapes, parts of the message)
REFUSED: list[tuple[str, nn.Module, list[tuple[int, ...]], list[str]]] = [
    ("an unknown op, by layer, op and remedy", nn.Sequential(nn.Linear(6, 4), Does(lambda x: x.cumsum(1))), [VECTOR],
     ["1: aten.cumsum.default", "nobody has taught it", "Rewrite the layer", "edgeprune/capturing"]),
    ("an unknown op in the model's own forward", Does(lambda x: x.sort(1)[0]), [VECTOR],
     ["the model's own forward: aten.sort.default"]),
    ("batch norm without running statistics", nn.Sequential(nn.BatchNorm2d(3, track_running_stats=False)), [MAP],
     ["0: aten.batch_norm.default", "the batch's own statistics", "call eval()"]),
    ("control flow on data", Branches(), [MAP], ["Branches cannot be exported", "must not depend on the values of its input"]),
    ("control flow in the middle", later(lambda x, c: c(x) if c(x).max() > 0 else x), [MAP], ["Does cannot be exported"]),
    ("a mean over the batch", Does(lambda x: x - x.mean(0, keepdim=True)), [MAP], ["aten.mean.dim", "Rewrite the layer"]),
    ("a mean over everything", Does(lambda x: x - x.mean()), [MAP], ["aten.mean.default"]),
    ("a softmax over the batch", nn.Softmax(0), [VECTOR], ["aten.softmax.int", "over the batch"]),
    ("a part of the batch", Does(lambda x: x[:1] + 1), [MAP], ["a part of the batch"]),
    ("a cat along the batch", Does(lambda x: torch.cat([x, x])), [MAP], ["aten.cat.default", "Rewrite the layer"]),
    ("a reshape that mixes the batch", Does(lambda x: x.view(-1, 4)), [MAP], ["'output'", "the batch as its first", "give out"]),
    ("a pad of the batch", Does(lambda x: F.pad(x, (0, 0, 0, 0, 0, 0, 1, 0))), [MAP], ["aten.pad.default"]),
    ("a rounding quotient", Does(lambda x: torch.div(x, 2, rounding_mode="floor")), [MAP], ["rounds"]),
    ("another type", Does(lambda x: x.double() + 1), [MAP], ["torch.float32 to torch.float64"]),
    ("a divisor", nn.AvgPool2d(2, divisor_override=3), [MAP], ["divisor_override"]),
    ("softplus with beta", nn.Softplus(2.0), [VECTOR], ["beta=2.0 is not 1"]),
    ("a buffer that learns", Counts(), [MAP], ["aten.mean.dim"]),
    ("a constant without the batch", Does(lambda x: (torch.ones(3, 2), x + 1)), [MAP], ["'output_0'", "the batch as its first"]),
    ("a number as output", Does(lambda x: (torch.tensor(3.0), x + 1)), [MAP], ["'output_0'", "not computed from the input"]),
    ("a view of an overwritten value", later(view_of_what_was_overwritten), [MAP], ["aten.relu_.default", "reads later"]),
    ("a view of a view of an overwritten value", later(written_through_two_views), [MAP], ["aten.relu_.default", "reads later"]),
    ("the base of an overwritten view", later(base_of_a_view_overwritten), [MAP], ["aten.relu_.default", "overwrites conv2d"]),
    ("the base of an overwritten chunk", later(base_of_a_chunk_overwritten), [MAP], ["aten.relu_.default", "overwrites conv2d"]),
]  # fmt: skip


@pytest.mark.parametrize(("module", "shapes", "parts"), [c[1:] for c in REFUSED], ids=[c[0] for c in REFUSED])
def test_what_has_no_meaning_is_refused_by_name(module: nn.Module, shapes: list[tuple[int, ...]], parts: list[str]) -> None:
    with pytest.raises(Unsupported) as caught:
        capture(module, [rand(*s) for s in shapes])
    message = str(caught.value)
    assert "\n" not in message
    assert all(part in message for part in parts), message


def test_dropout_that_is_on_in_an_exported_program_is_refused() -> None:
    program = torch.export.export(nn.Sequential(nn.Linear(6, 4), nn.Dropout()).train(), (torch.zeros(13, 6),))
    with pytest.raises(Unsupported, match="dropout is in training mode"):
        capture(program, rand(*VECTOR))


def test_a_reshape_that_only_copies_is_passed_on() -> None:
    assert "contiguous" in PASS_ON
    assert len(agrees(Does(lambda x: (x + 1).view(x.shape).contiguous()), rand(*MAP)).nodes) == 1
