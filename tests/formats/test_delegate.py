"""The delegate computes what the stock runtime computes, of the same files, and takes the layers that it says it takes."""

from __future__ import annotations

import subprocess
from pathlib import Path

import numpy as np
import pytest
from cases import CASES, chain
from cases_sparse import SPARSE_CASES
from closeness import assert_close
from drawing import Draw, pads
from older_runtime import errors_in_the_older, older_python
from test_formats import inputs_of, outputs_of
from test_tflite_sparse import write_as

from edgeprune.errors import EdgepruneError
from edgeprune.formats import load, write
from edgeprune.formats.c.compiler import local_compiler
from edgeprune.formats.tflite import delegate
from edgeprune.graph import Graph, Node, Value
from edgeprune.ops import Activation, Add, Mean, Softmax

TOLERANCE = 1e-5


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return delegate.build(tmp_path_factory.mktemp("delegate") / "libdelegate.so", flags=delegate.WARNINGS)


def taken(path: Path, library: Path) -> int:
    """How many parts of the model the delegate runs, with no other delegate beside it."""
    package = pytest.importorskip("ai_edge_litert.interpreter")
    plain = package.OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES
    made = package.Interpreter(
        str(path), experimental_delegates=[package.load_delegate(str(library))], experimental_op_resolver_type=plain
    )
    return sum(op["op_name"] == "DELEGATE" for op in made._get_ops_details())


def check(graph: Graph, path: Path, library: Path, name: str) -> int:
    runner = load(path, delegate=library)
    for batch in (1, 3, 1):
        arrays = inputs_of(graph, batch, name)
        for made, expected in zip(runner.run(*arrays), outputs_of(graph, arrays), strict=True):
            assert_close(made, expected, TOLERANCE)
    return taken(path, library)


@pytest.mark.parametrize("form", ["csr+densify", "csr patches", "csr bands"])
@pytest.mark.parametrize("name", SPARSE_CASES)
def test_a_sparse_convolution_computes_the_same_in_every_form(name: str, form: str, library: Path, tmp_path: Path) -> None:
    write_as(form, SPARSE_CASES[name], tmp_path / "m.tflite")
    check(SPARSE_CASES[name], tmp_path / "m.tflite", library, name)


@pytest.mark.parametrize("name", CASES)
def test_every_other_model_runs_as_before(name: str, library: Path, tmp_path: Path) -> None:
    write(CASES[name], tmp_path / "m.tflite")
    check(CASES[name], tmp_path / "m.tflite", library, name)


@pytest.mark.parametrize("form", ["csr+densify", "csr patches"])
def test_a_chain_of_sparse_layers_is_one_part(form: str, library: Path, tmp_path: Path) -> None:
    draw = Draw("delegated")
    nodes = (
        Node("conv1", draw.conv(16, 8, 3, 3, density=0.1, padding=pads(1, 1)), ("x",)),
        Node("relu1", Activation("relu"), ("conv1",)),
        Node("conv2", draw.conv(16, 16, 3, 3, density=0.1, padding=pads(1, 1)), ("relu1",)),
        Node("add", Add(), ("conv2", "relu1")),
        Node("relu2", Activation("relu"), ("add",)),
        Node("conv3", draw.conv(24, 16, 3, 3, density=0.1, padding=pads(1, 1), stride=(2, 2)), ("relu2",)),
        Node("down", draw.conv(24, 16, 1, 1, density=0.1, stride=(2, 2)), ("relu2",)),
        Node("add2", Add(), ("conv3", "down")),
        Node("mean", Mean(), ("add2",)),
        Node("logits", draw.linear(10, 24, 0.2), ("mean",)),
    )
    graph = Graph({"x": Value((8, 12, 12))}, ("logits",), nodes)
    write_as(form, graph, tmp_path / "m.tflite")
    assert check(graph, tmp_path / "m.tflite", library, "chain") == 1


def test_the_older_runtime_computes_the_same(library: Path, tmp_path: Path) -> None:
    python = older_python()
    cases = {}
    for name, graph in SPARSE_CASES.items():
        for form in ("csr+densify", "csr patches"):
            write_as(form, graph, tmp_path / f"{len(cases)}.tflite")
            arrays = inputs_of(graph, 3, name)
            cases[f"{name} as {form}"] = (arrays, outputs_of(graph, arrays))
    errors = errors_in_the_older(python, tmp_path, cases, library)
    assert not {name: error for name, error in errors.items() if not isinstance(error, float) or error > TOLERANCE}


def test_full_layers_stay_with_the_runtime(library: Path, tmp_path: Path) -> None:
    graph = chain((8, 9, 9), Draw("full").conv(12, 8, 3, 3, density=0.6, padding=pads(1, 1)))
    write_as("csr+densify", graph, tmp_path / "m.tflite")
    assert check(graph, tmp_path / "m.tflite", library, "full") == 0


def test_what_lies_between_sparse_layers_may_stay_with_the_runtime(library: Path, tmp_path: Path) -> None:
    draw = Draw("mixed")
    sparse = [draw.conv(8, 8, 3, 3, density=0.1, padding=pads(1, 1)) for _ in range(2)]
    graph = chain((8, 9, 9), sparse[0], Activation("tanh"), sparse[1], Softmax(0, log=False))
    write_as("csr+densify", graph, tmp_path / "m.tflite")
    assert check(graph, tmp_path / "m.tflite", library, "mixed") == 2


@pytest.mark.parametrize("seed", range(12))
def test_random_networks_of_sparse_layers(seed: int, library: Path, tmp_path: Path) -> None:
    rng = np.random.default_rng(seed)
    draw = Draw(f"network {seed}")
    nodes: list[Node] = []
    value, channels, same_as_now, values = "x", 6, ["x"], {"x": Value((6, 17, 14))}
    for i in range(8):
        kind = rng.integers(5)
        if kind == 0:
            other = same_as_now[int(rng.integers(len(same_as_now)))]
            nodes.append(Node(f"v{i}", Add(), (value, other)))
        elif kind == 1:
            nodes.append(Node(f"v{i}", Activation(("relu", "relu6", "tanh")[int(rng.integers(3))]), (value,)))
        else:
            outs = int(rng.integers(4, 20)) if kind == 2 else channels
            k, d = int(rng.integers(1, 4)), int(rng.integers(1, 3))
            stride = (1, 1) if kind == 3 else (int(rng.integers(1, 3)),) * 2
            padding = pads(*[d * (k - 1) // 2] * 2) if rng.random() < 0.7 else pads((k, 0), (0, 1))
            conv = draw.conv(outs, channels, k, k, density=0.15, padding=padding, stride=stride, dilation=(d, d))
            try:
                conv.value(values[value])
            except ValueError:  # the map is too small by now
                continue
            nodes.append(Node(f"v{i}", conv, (value,)))
            channels = outs
        values = Graph({"x": Value((6, 17, 14))}, (nodes[-1].name,), tuple(nodes)).values
        value = nodes[-1].name
        same_as_now = [name for name in ("x", *(n.name for n in nodes)) if values[name] == values[value]]
    graph = Graph({"x": Value((6, 17, 14))}, (value,), tuple(nodes))
    write_as("csr patches" if seed % 2 else "csr+densify", graph, tmp_path / "m.tflite")
    check(graph, tmp_path / "m.tflite", library, f"random {seed}")


@pytest.mark.parametrize("compiler", ["gcc", "clang"])
def test_the_sources_have_no_warnings(compiler: str, tmp_path: Path) -> None:
    import shutil

    if shutil.which(compiler) is None:
        pytest.skip(f"needs {compiler}")
    here, kernels = delegate.folders()
    for name in delegate.SOURCES:
        files = [f"-I{kernels}", "-c", str(here / name), "-o", str(tmp_path / "o")]
        command = [compiler, "-std=c99", "-O1", *delegate.WARNINGS, *files]
        done = subprocess.run(command, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr


def test_what_is_no_delegate_is_refused_and_what_is_missing_is_told(tmp_path: Path) -> None:
    write(CASES["linear"], tmp_path / "m.tflite")
    with pytest.raises(EdgepruneError, match=r"none.so does not exist; `edgeprune delegate"):
        load(tmp_path / "m.tflite", delegate=tmp_path / "none.so")
    (tmp_path / "empty.c").write_text("int ep_nothing;\n")
    subprocess.run([local_compiler(), "-shared", "-fPIC", str(tmp_path / "empty.c"), "-o", str(tmp_path / "e.so")], check=True)
    with pytest.raises(EdgepruneError, match="is no delegate"):
        load(tmp_path / "m.tflite", delegate=tmp_path / "e.so")
    with pytest.raises(EdgepruneError, match=r"\.tflite files alone"):
        load(tmp_path / "m.onnx", delegate=tmp_path / "e.so")
