"""Ops in C that few networks have: transposed convolution, resampling, recurrence, lookup."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from closeness import assert_close
from programs import COMPILERS, run_in_c

sys.path.insert(0, str(Path(__file__).parents[1] / "formats"))
from drawing import Draw, chain, pads

from edgeprune.graph import Graph, Value
from edgeprune.ops import (
    GRU,
    LSTM,
    Activation,
    AdaptiveMaxPool,
    Conv,
    ConvTranspose,
    Embedding,
    PadWith,
    PReLU,
    Upsample,
)
from edgeprune.ops.elementwise import COMING_ACTIVATIONS

d = Draw("rare")


def transposed(ins: int, outs: int, *kernel: int, groups: int = 1, bias: bool = True, **settings: object) -> ConvTranspose:
    weight = d.normal(ins, outs // groups, *kernel)
    weight[d.rng.random(weight.shape) < 0.3] = 0
    return ConvTranspose(weight, d.normal(outs) if bias else None, groups=groups, **settings)  # type: ignore[arg-type]


def conv(outs: int, ins: int) -> Conv:
    return Conv(d.normal(outs, ins, 3, 3), d.normal(outs), (1, 1), pads(1, 1))


def cells(kind: type, gates: int, reverse: bool) -> object:
    return kind(d.normal(gates * 5, 4), d.normal(gates * 5, 5), d.normal(gates * 5), d.normal(gates * 5), reverse)


MAP = (4, 6, 5)
RARE: dict[str, Graph] = {
    "prelu": chain(MAP, PReLU(d.normal(4))),
    "prelu on a sequence": chain(Value((3, 4), 1), PReLU(d.normal(4), 1)),
    "prelu before a conv": chain(MAP, conv(4, 4), PReLU(d.normal(4)), conv(2, 4)),
    "transposed": chain(MAP, transposed(4, 3, 3, 3)),
    "transposed, stride 2": chain(MAP, transposed(4, 3, 3, 3, stride=(2, 2), padding=(1, 1), extra=(1, 1))),
    "transposed, 2x2, stride 2": chain(MAP, conv(4, 4), transposed(4, 3, 2, 2, stride=(2, 2)), conv(2, 3)),
    "transposed, uneven": chain(MAP, transposed(4, 3, 4, 2, stride=(3, 1), padding=(2, 0), extra=(0, 0), bias=False)),
    "transposed, dilated": chain(MAP, transposed(4, 3, 3, 3, stride=(2, 2), dilation=(2, 2), padding=(1, 2))),
    "transposed, grouped": chain(MAP, conv(4, 4), transposed(4, 6, 3, 3, groups=2, stride=(2, 2)), Activation("relu")),
    "transposed, wide gaps": chain(MAP, transposed(4, 3, 1, 1, stride=(3, 3), extra=(2, 1))),
    "transposed from one place": chain((4, 1, 1), transposed(4, 3, 4, 4)),
    "transposed to one place": chain((4, 2, 2), transposed(4, 3, 3, 3, stride=(2, 2), padding=(2, 2))),
    "transposed 1-d": chain((4, 7), transposed(4, 3, 4, stride=(2,), padding=(1,), extra=(0,), dilation=(1,))),
    "largest, adaptive": chain(MAP, AdaptiveMaxPool((3, 2))),
    "largest, adaptive, to one": chain(MAP, AdaptiveMaxPool((1, 1))),
    "lstm": chain(Value((6, 4), 1), cells(LSTM, 4, False)),
    "lstm backwards": chain(Value((6, 4), 1), cells(LSTM, 4, True)),
    "gru": chain(Value((6, 4), 1), cells(GRU, 3, False)),
    "gru backwards": chain(Value((6, 4), 1), cells(GRU, 3, True)),
    "embedding": chain(Value((6,)), Activation("abs"), Activation("floor"), Embedding(d.normal(9, 3))),
}
for mode in ("reflect", "replicate", "circular"):
    RARE[f"padding, {mode}"] = chain(MAP, PadWith(mode, ((2, 1), (0, 3))))
    RARE[f"padding, {mode}, between convs"] = chain(MAP, conv(4, 4), PadWith(mode, ((1, 1), (1, 1))), conv(3, 4))
for kind in ("nearest", "nearest_exact", "linear"):
    RARE[f"{kind} by scale"] = chain(MAP, Upsample(kind, scale=(2.0, 1.5)))
    RARE[f"{kind} to a size"] = chain(MAP, conv(4, 4), Upsample(kind, size=(4, 11)), conv(2, 4))
RARE["linear with corners"] = chain(MAP, Upsample("linear", size=(9, 3), align_corners=True))
for name in COMING_ACTIVATIONS:
    first = [Activation("abs"), Activation("clip", 0.1, 9.0)] if name in ("log", "pow", "reciprocal") else []
    RARE[name] = chain(MAP, *first, Activation(name, 0.4, -0.3))


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    rng = np.random.default_rng(0)
    inputs = [[rng.standard_normal((2, *v.shape)).astype(np.float32) for v in g.inputs.values()] for g in RARE.values()]
    outputs = run_in_c(list(RARE.values()), inputs, tmp_path_factory.mktemp("rare"), COMPILERS[0])
    return {name: (g.run(*x), o[0]) for (name, g), x, o in zip(RARE.items(), inputs, outputs, strict=True)}  # type: ignore[misc]


@pytest.mark.parametrize("name", RARE)
def test_it_means_the_same_in_c(name: str, made: dict[str, tuple[np.ndarray, np.ndarray]]) -> None:
    assert_close(*made[name], 1e-5)
