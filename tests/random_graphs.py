"""Random graphs over the whole vocabulary that hold every situation removal has to get right, for hypothesis.

random_builder.py    numbers, layers of any value, inputs and outputs
random_maps.py       layers on maps
random_sequences.py  layers on sequences
"""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st
from random_maps import Maps
from random_sequences import Sequences

from edgeprune.graph import Graph, Value
from edgeprune.ops import Add, Flatten, Mean, Rearrange


class Layers(Maps, Sequences):
    pass


def _map(b: Layers, depth: int) -> str:
    """A map, of one spatial axis now and then; sometimes it ends as a sequence or in windows."""
    rng = b.rng
    plain = [
        b.conv, b.conv, b.conv, b.batch_norm, b.activation, b.pool, b.residual, b.residual, b.gate, b.branch, b.move, b.affine,
        lambda x: b.shared(x, lambda y: b.conv(y, b.values[y].channels, keep_size=True)),
    ]  # fmt: skip
    lines = [*plain, b.group_norm, b.layer_norm, b.prelu, b.functions, b.other_input, b.bottleneck]
    steps = [*lines, b.pixels, b.two_values, b.transposed, b.resize, b.sized, b.sized, b.nothing, b.softmax] if b.whole else plain
    if b.whole and b.chance(0.15):
        x, steps = b.input(Value((int(rng.integers(1, 4)), int(rng.integers(6, 12))))), lines
    else:
        x = b.a_map()
    for _ in range(depth):
        x = b.small_enough(steps[int(rng.integers(len(steps)))](x))
    if b.whole and b.spatial(x) == 2 and b.values[x].positions < 40 and b.chance(0.4):
        b.mild = True
        if b.chance(0.6):
            x = b.add(Rearrange(((-1,), (-1,), (-1,)), (1, 2, 0), (1, 1, 1), 0, 2), x)
            x = b.add(Rearrange(((-1,), (-1,), (-1,)), (2, 0, 1), (1, 1, 1), 2, 0), b.moved_windows(x))
        else:
            return b.vector(b.residual_of(b.sequence(x), b.attention))
    x = b.add(Flatten(), x) if b.chance(0.6) else b.add(Mean(), x)
    return b.add(Flatten(), x) if b.whole and b.chance(0.05) else x


def _sequence(b: Layers, depth: int) -> str:
    b.mild, rng = True, b.rng
    start = rng.random()
    if start < 0.4:
        x = b.sequence(b.conv(b.input(Value((2, 4, 3)))))
    elif start < 0.7:
        x = b.tokens(int(rng.integers(1, 6)))
    else:
        x = b.input(Value((int(rng.integers(2, 6)), int(rng.integers(2, 6))), 1))
    x = b.linear(x, int(rng.integers(2, 7)))
    steps = [
        lambda x: b.residual_of(x, b.attention),
        lambda x: b.residual_of(x, b.attention),
        lambda x: b.residual_of(x, lambda x: b.attention(b.layer_norm(x))),
        lambda x: b.residual_of(x, b.units),
        lambda x: b.residual_of(x, b.windows),
        lambda x: b.attention(x, b.places(x)),
        lambda x: b.attention(x, b.input(Value((3, 4), 1), "memory")) if len(b.inputs) < 3 else x,
        lambda x: b.shared(x, lambda y: b.linear(y, b.values[y].channels)),
        b.layer_norm, b.places, b.swap, b.recurrent, b.prelu, b.activation, b.affine, b.linear, b.functions, b.other_input,
        b.over_places, b.softmax,
    ]  # fmt: skip
    for _ in range(depth):
        x = steps[int(rng.integers(len(steps)))](x)
    return b.vector(x)


def build(
    seed: int,
    depth: int,
    *,
    convolutional: bool = True,
    coming: bool = False,
    several: bool = False,
    dtype: type = np.float64,
) -> Graph:
    """One random graph: a trunk of `depth` random steps on a map, a sequence or a vector, then a classifier.

    `coming`: the whole vocabulary, and sequences. `several`: more outputs than the one.
    """
    rng = np.random.default_rng(seed)
    b = Layers(rng, dtype, whole=coming)
    if not convolutional:
        x = b.input(Value((int(rng.integers(2, 9)),)))
    elif coming and rng.random() < 0.5:
        x = _sequence(b, depth)
    else:
        x = _map(b, depth)
    for _ in range(int(rng.integers(0, 3)) if convolutional else depth):
        y = b.linear(x)
        if rng.random() < 0.3:
            y = b.add(Add(), y, b.linear(x, b.values[y].channels))
        x = b.activation(y)
    also = b.some_of([n.name for n in b.nodes], 2) if several and b.nodes and b.chance(0.4) else []
    return b.graph(b.linear(x, 4), *also)


def random_graphs(**settings: object) -> st.SearchStrategy[Graph]:
    """Graphs by seed and depth; hypothesis reports the smallest depth that fails, and its seed."""
    return st.builds(
        lambda depth, seed, conv: build(seed, depth, convolutional=conv, coming=True, **settings),  # type: ignore[arg-type]
        st.integers(1, 8),
        st.integers(0, 2**32 - 1),
        st.sampled_from([True, True, True, True, False]),
    )


def inputs_for(graph: Graph, batch: int = 2, seed: int = 0) -> list[np.ndarray]:
    """Random arrays: whole numbers below 4 for tokens, 0 or 1 for masks."""
    rng = np.random.default_rng(seed)
    arrays = []
    for name, value in graph.inputs.items():
        shape = (batch, *value.shape)
        most = {"tokens": 4, "mask": 2}.get(name.rstrip("0123456789"))
        array = rng.integers(most, size=shape) if most else rng.standard_normal(shape)
        arrays.append(array.astype(graph.dtype))
    return arrays


def outputs_of(graph: Graph, arrays: list[np.ndarray]) -> list[np.ndarray]:
    """What the graph makes of them, output by output."""
    made = graph.run(*arrays)
    return list(made) if isinstance(made, tuple) else [made]
