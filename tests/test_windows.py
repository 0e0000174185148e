"""Attention within moving windows: the same network at every size of the image."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from closeness import assert_close
from torch import nn

from edgeprune.capturing import capture
from edgeprune.formats import load, write
from edgeprune.graph import Graph, Node, Op, Value
from edgeprune.ops import COMPOSED, Attention, FromWindows, Linear, PadTo, ToWindows, WindowAttention
from edgeprune.passes import shrink
from edgeprune.passes.check import check
from edgeprune.vision import torchvision

SWIN = torchvision.models.swin_transformer
# 32 makes maps of 8 and 4: two windows a side, then one. 40: 10 and 5, both padded, both moved. 36 merges an odd map of 9.
SIZES = [(32, 32), (40, 24), (36, 52), (8, 20)]


def swin(second: bool = False, part: nn.Module | None = None) -> nn.Module:
    torch.manual_seed(0)
    more = {"block": SWIN.SwinTransformerBlockV2, "downsample_layer": SWIN.PatchMergingV2} if second else {}
    net = torchvision.models.SwinTransformer([4, 4], 16, [2, 2], [2, 4], [4, 4], num_classes=5, **more)
    for parameter in net.parameters():
        nn.init.uniform_(parameter, -0.5, 0.5)
    for module in net.modules():
        if isinstance(module, nn.Linear):
            module.weight.data[::2] = 0
    return net.eval()


def through(module: nn.Module, x: np.ndarray) -> np.ndarray:
    with torch.no_grad():
        return module(torch.from_numpy(x)).numpy()  # type: ignore[no-any-return]


@pytest.mark.parametrize("seen", [(32, 32), (36, 24)])
@pytest.mark.parametrize("second", [False, True])
def test_a_shrunk_network_of_windows_takes_images_of_other_sizes(second: bool, seen: tuple[int, int]) -> None:
    net = swin(second)
    graph = capture(net, torch.zeros(1, 3, *seen))
    small = check(shrink(graph, optimize="size"))
    assert small.parameters < 0.8 * graph.parameters
    for size in SIZES:
        x = np.random.default_rng(0).standard_normal((2, 3, *size)).astype(np.float32)
        assert_close(through(net, x), small.at((3, *size)).run(x), 1e-5)  # type: ignore[arg-type]


def test_masks_of_windows_are_not_stored() -> None:
    graph = capture(swin(), torch.zeros(1, 3, 64, 64))
    assert graph.parameters == capture(swin(), torch.zeros(1, 3, 32, 32)).parameters
    assert graph.plain().parameters > graph.parameters


@pytest.mark.parametrize("suffix", [".onnx", ".tflite", ".c"])
def test_a_file_is_written_for_one_size_in_plain_ops(suffix: str, tmp_path: Path) -> None:
    net = swin()
    small = shrink(capture(net, torch.zeros(1, 3, 32, 32))).at((3, 40, 24))
    assert not any(isinstance(n.op, COMPOSED) for n in small.plain().nodes)
    write(small, tmp_path / f"net{suffix}")
    x = np.random.default_rng(0).standard_normal((1, 3, 40, 24)).astype(np.float32)
    (found,) = load(tmp_path / f"net{suffix}").run(x)
    assert_close(through(net, x), found, 1e-5)


def test_a_layer_of_another_class_stays_as_traced_and_keeps_its_size() -> None:
    """Nobody knows what it does with a map of another size."""

    class Own(SWIN.ShiftedWindowAttention):  # type: ignore[misc, name-defined]
        pass

    net = swin()
    for module in net.modules():
        if type(module) is SWIN.ShiftedWindowAttention:
            module.__class__ = Own
    graph = capture(net, torch.zeros(1, 3, 32, 32))
    x = np.random.default_rng(0).standard_normal((1, 3, 32, 32)).astype(np.float32)
    assert_close(through(net, x), graph.run(x), 1e-5)  # type: ignore[arg-type]
    assert not any(isinstance(n.op, ToWindows | WindowAttention | FromWindows) for n in graph.nodes)
    with pytest.raises(ValueError, match="attn"):
        graph.at((3, 40, 40))


def test_a_layer_that_does_not_do_what_its_class_does_stays_as_traced() -> None:
    net = swin()
    for module in net.modules():
        if type(module) is SWIN.ShiftedWindowAttention:
            module.window_size = [2, 2]  # after tables for windows of four were made
            module.relative_position_bias_table.data = module.relative_position_bias_table.data[:9]
            module.define_relative_position_index()
    at_once = capture(net, torch.zeros(1, 3, 32, 32))
    assert sum(isinstance(n.op, WindowAttention) for n in at_once.nodes) == 4
    wrong = [m for m in net.modules() if type(m) is SWIN.ShiftedWindowAttention]
    wrong[1].forward = lambda x, f=wrong[1].forward: f(x.roll(1, 1))
    graph = capture(net, torch.zeros(1, 3, 32, 32))
    assert sum(isinstance(n.op, WindowAttention) for n in graph.nodes) == 3


def numbers(*shape: int) -> np.ndarray:
    return np.random.default_rng(1).standard_normal(shape)


@pytest.mark.parametrize("size", [(4, 8), (5, 7), (3, 9), (4, 4)])
@pytest.mark.parametrize("shift", [(0, 0), (2, 1), (0, 3)])
def test_windows_put_together_again_are_the_map(size: tuple[int, int], shift: tuple[int, int]) -> None:
    x = numbers(2, *size, 3)
    into = ToWindows((4, 4), shift)
    assert np.array_equal(FromWindows((4, 4), shift).run(into.run(x), x), x)


@pytest.mark.parametrize("op", [PadTo((4, 4)), ToWindows((4, 4), (1, 1))])
@pytest.mark.parametrize("size", [(8, 8), (7, 8)])
def test_what_may_be_padded_holds_no_constant_but_zero(op: Op, size: tuple[int, int]) -> None:
    """Also at a size that needs no padding: at another one it does."""
    held = op.constant((Value((*size, 3), 2),), np.array([0.0, 2.0, np.nan]))
    assert held[0] == 0
    assert np.isnan(held[1:]).all()


def test_dead_heads_and_dead_channels_of_windows_leave() -> None:
    rng = np.random.default_rng(0)

    def linear(outs: int, ins: int, dead: list[int]) -> Linear:
        weight = rng.standard_normal((outs, ins))
        weight[dead] = 0
        return Linear(weight, np.where(np.isin(np.arange(outs), dead), 0.0, rng.standard_normal(outs)))

    last = linear(3, 8, [])
    last = replace(last, weight=np.where(np.arange(8) < 4, 0.0, last.weight))  # nobody reads the first of two heads
    nodes = (
        Node("windows", ToWindows((4, 4), (2, 2)), ("input",)),
        Node("q", linear(8, 6, [5]), ("windows",)),
        Node("k", linear(8, 6, []), ("windows",)),
        Node("v", linear(8, 6, []), ("windows",)),
        Node("attention", WindowAttention(2, 0.5, rng.standard_normal((2, 16, 16)), window=(4, 4), shift=(2, 2)),
             ("q", "k", "v", "input")),
        Node("back", FromWindows((4, 4), (2, 2)), ("attention", "input")),
        Node("output", last, ("back",)),
    )  # fmt: skip
    graph = check(Graph({"input": Value((8, 8, 6), 2)}, ("output",), nodes))
    small = check(shrink(graph))
    attention = next(n.op for n in small.nodes if isinstance(n.op, WindowAttention))
    assert attention.heads == 1
    assert small.values["q"].channels == 3
    assert isinstance(attention.plain(small.ins(small.nodes[4]))[0][0], Attention)  # type: ignore[index]
    for size in ((8, 8), (5, 9), (3, 4)):
        x = rng.standard_normal((2, *size, 6))
        expected = graph.at((*size, 6)).run(x)
        assert_close(expected, small.at((*size, 6)).run(x), 1e-12)  # type: ignore[arg-type]
        assert_close(expected, small.at((*size, 6)).plain().run(x), 1e-12)  # type: ignore[arg-type]
