"""What each op means agrees with PyTorch."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from closeness import assert_close
from torch_cases import CASES, IN_TORCH, a, t, values_of

from edgeprune.graph import Graph, Node, Op, Value
from edgeprune.ops import (
    ACTIVATIONS,
    COMING,
    COMING_ACTIVATIONS,
    OPS,
    Activation,
    Binary,
    Conv,
    Embedding,
    Flatten,
    LayerNorm,
    Linear,
    Softmax,
)


@pytest.mark.parametrize(("op", "shapes", "in_torch"), [c[1:] for c in CASES], ids=[c[0] for c in CASES])
def test_an_op_means_what_it_means_in_torch(op: Op, shapes: list[tuple[int, ...]], in_torch: Callable[..., torch.Tensor]) -> None:
    arrays = [a(2, *s) for s in shapes]
    if op == Binary("pow"):
        arrays = [np.abs(x) for x in arrays]
    if isinstance(op, Embedding):
        arrays = [np.floor(np.abs(x)) % 3 for x in arrays]
    result = op.run(*arrays)
    assert result.shape[1:] == op.value(*values_of(op, shapes)).shape
    assert_close(in_torch(*map(t, arrays)).numpy(), result, 1e-12)


@pytest.mark.parametrize("kind", [*ACTIVATIONS, *COMING_ACTIVATIONS])
def test_an_activation_means_what_it_means_in_torch(kind: str) -> None:
    x = np.linspace(-9, 9, 200).reshape(2, 100)
    x = np.abs(x) if kind in ("sqrt", "log", "pow") else x
    a = 0.5 if kind == "soft_shrink" else -0.5
    assert_close(IN_TORCH[kind](torch.from_numpy(x)).numpy(), Activation(kind, a, 0.7).run(x), 1e-12)


@pytest.mark.parametrize("kind", [*ACTIVATIONS, *COMING_ACTIVATIONS])
def test_an_activation_keeps_the_type_of_its_input(kind: str) -> None:
    assert Activation(kind, 0.1, 0.7).run(np.ones((1, 2), np.float32)).dtype == np.float32


def test_every_op_has_a_case() -> None:
    covered = {type(c[1]) for c in CASES} | {Activation}
    assert covered == {*OPS, *COMING}


@pytest.mark.parametrize(("op", "shapes"), [(c[1], c[2]) for c in CASES], ids=[c[0] for c in CASES])
def test_a_constant_channel_holds_that_constant_everywhere(op: Op, shapes: list[tuple[int, ...]]) -> None:
    """What `constant` says of some constant and some varying channels is what running the op shows."""
    values = values_of(op, shapes)
    local = np.random.default_rng(7)
    seen = 0
    for draw in range(24):
        held = [np.where(local.random(v.channels) < 0.6, local.choice([0.0, 1.25, -0.5], v.channels), np.nan) for v in values]
        if draw % 4 == 0:
            held = [np.full(v.channels, 1.25 if draw % 8 else 0.0) for v in values]
        arrays = []
        for v, c in zip(values, held, strict=True):
            x = local.standard_normal((2, *v.shape))
            if isinstance(op, Embedding):
                x, c = np.floor(np.abs(x)) % 3, np.full_like(c, np.nan)
            line = c.reshape([-1 if i == v.axis + 1 else 1 for i in range(len(v.shape) + 1)])
            arrays.append(np.where(np.isnan(line), x, line))
        out = op.value(*values)
        said = op.constant(values, *held)
        by_channel = np.moveaxis(op.run(*arrays), out.axis + 1, 0).reshape(out.channels, -1)
        for channel in np.flatnonzero(~np.isnan(said)):
            seen += 1
            assert np.allclose(by_channel[channel], said[channel], rtol=1e-12, atol=1e-12)
    assert seen or isinstance(op, Softmax | Linear | Conv | LayerNorm), "the op never found a constant"


def draw_masks(op: Op, values: list[Value], local: np.random.Generator) -> tuple[np.ndarray, list[np.ndarray]]:
    """Some output channels, and what they need of each input."""
    wanted = local.random(op.value(*values).channels) < local.choice([0.2, 0.5, 0.8])
    return wanted, list(op.needs(values, wanted))


@pytest.mark.parametrize(("op", "shapes"), [(c[1], c[2]) for c in CASES], ids=[c[0] for c in CASES])
def test_what_an_output_does_not_need_does_not_change_it(op: Op, shapes: list[tuple[int, ...]]) -> None:
    values = values_of(op, shapes)
    local = np.random.default_rng(3)
    for _ in range(12):
        wanted, needed = draw_masks(op, values, local)
        arrays = [np.abs(local.standard_normal((2, *v.shape))) for v in values]
        if isinstance(op, Embedding):
            arrays = [np.floor(x) % 3 for x in arrays]
        others = [
            np.where(m.reshape([-1 if i == v.axis + 1 else 1 for i in range(x.ndim)]), x, x + 1)
            for x, v, m in zip(arrays, values, needed, strict=True)
        ]
        others = [x % 3 for x in others] if isinstance(op, Embedding) else others
        axis = op.value(*values).axis + 1
        assert np.array_equal(np.compress(wanted, op.run(*arrays), axis), np.compress(wanted, op.run(*others), axis))


@pytest.mark.parametrize(("op", "shapes"), [(c[1], c[2]) for c in CASES], ids=[c[0] for c in CASES])
def test_an_op_that_kept_some_channels_makes_the_same_of_them(op: Op, shapes: list[tuple[int, ...]]) -> None:
    values = values_of(op, shapes)
    local = np.random.default_rng(5)
    for _ in range(12):
        wanted, live = draw_masks(op, values, local)
        out = wanted
        for _ in range(8):
            # No runtime takes an empty tensor.
            live = [m if m.any() or op.optional_inputs else np.arange(len(m)) == 0 for m in live]
            out, *live = op.ties(values, out, *live)
        if not out.any():
            continue
        arrays = [np.abs(local.standard_normal((2, *v.shape))) for v in values]
        kept = op.keep(values, out, *live)
        if isinstance(op, Embedding):
            arrays = [np.floor(x) % 3 for x in arrays]
        small = [np.compress(m, x, v.axis + 1) for x, v, m in zip(arrays, values, live, strict=True) if m.any()]
        axis = op.value(*values).axis + 1
        result = kept.run(*small)
        after = kept.value(*(v.with_channels(int(m.sum())) for v, m in zip(values, live, strict=True) if m.any()))
        assert result.shape[1:] == after.shape
        assert_close(np.compress(wanted, op.run(*arrays), axis), np.compress(wanted[out], result, axis), 1e-12)


def test_a_graph_refuses_inputs_of_another_shape() -> None:
    graph = Graph({"input": Value((3, 4, 4))}, ("output",), (Node("output", Flatten(), ("input",)),))
    with pytest.raises(ValueError, match=r"input 'input' is \[batch, 3, 4, 4\], not \(1, 3, 5, 5\)"):
        graph.run(a(1, 3, 5, 5))


def test_a_graph_out_of_order_is_refused() -> None:
    with pytest.raises(ValueError, match="'b' reads 'a' before anything makes it"):
        Graph({"input": Value((3,))}, ("b",), (Node("b", Activation("relu"), ("a",)),))
