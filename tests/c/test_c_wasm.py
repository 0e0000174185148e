"""A model as a WebAssembly module: what a page or a server needs is exported, nothing is imported, the answers are the host's."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from closeness import assert_close
from random_graphs import inputs_for

from edgeprune.formats import c
from edgeprune.graph import Graph, Node, Value
from edgeprune.ops import Activation, Conv, Flatten, Linear

pytest.importorskip("ziglang", reason="needs ziglang: pip install ziglang")
wasmtime = pytest.importorskip("wasmtime", reason="needs wasmtime: pip install wasmtime")


def net(activation: str) -> Graph:
    rng = np.random.default_rng(0)

    def weight(*shape: int) -> np.ndarray:
        return (rng.standard_normal(shape) * (rng.random(shape) < 0.2)).astype(np.float32)

    nodes = (
        Node("conv", Conv(weight(8, 3, 3, 3), rng.standard_normal(8).astype(np.float32), (1, 1), ((1, 1), (1, 1))), ("image",)),
        Node("act", Activation(activation), ("conv",)),
        Node("flat", Flatten(), ("act",)),
        Node("scores", Linear(weight(5, 8 * 12 * 12), None), ("flat",)),
    )
    return Graph({"image": Value((3, 12, 12))}, ("scores",), nodes)


# The first needs nothing of the C library, the second takes expf from it.
@pytest.fixture(scope="module", params=["relu", "sigmoid"])
def built(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Graph, Path]:
    folder = tmp_path_factory.mktemp("wasm")
    graph = net(request.param)
    c.write(graph, folder / "model.c")
    return graph, c.build(folder / "model.c", folder / "model.wasm", "wasm32").path


def test_the_module_imports_nothing_and_exports_what_a_caller_needs(built: tuple[Graph, Path]) -> None:
    loaded = wasmtime.Module.from_file(wasmtime.Engine(), str(built[1]))
    assert not loaded.imports
    assert {e.name for e in loaded.exports} >= {"memory", "model_run", "model_arena_bytes", "__heap_base"}


def test_its_memory_before_the_call_is_what_it_needs(built: tuple[Graph, Path]) -> None:
    loaded = wasmtime.Module.from_file(wasmtime.Engine(), str(built[1]))
    (pages,) = (e.type.limits.min for e in loaded.exports if isinstance(e.type, wasmtime.MemoryType))
    assert pages * 65536 <= built[1].stat().st_size + 2 * 65536


def test_it_answers_as_the_graph_does(built: tuple[Graph, Path]) -> None:
    graph, module = built
    (x,) = inputs_for(graph, 5)
    expected = graph.run(x)
    engine = wasmtime.Engine()
    store = wasmtime.Store(engine)
    exports = wasmtime.Instance(store, wasmtime.Module.from_file(engine, str(module)), []).exports(store)
    memory, base = exports["memory"], exports["__heap_base"].value(store)
    at, out = base, base + 4 * x[0].size
    arena = out + 4 * expected[0].size
    missing = arena + exports["model_arena_bytes"](store) - memory.data_len(store)
    memory.grow(store, max(0, -(-missing // 65536)))
    found = []
    for sample in x:
        memory.write(store, np.ascontiguousarray(sample).tobytes(), at)
        assert exports["model_run"](store, at, out, arena) == 0
        found.append(np.frombuffer(memory.read(store, out, arena), np.float32))
    assert_close(np.stack(found), expected, 1e-5)
