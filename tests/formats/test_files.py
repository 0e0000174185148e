"""What holds for every format: the same bytes, what is read back, metadata, refusals."""

from __future__ import annotations

import builtins
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from cases import CASES, chain
from drawing import SUFFIXES
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edgeprune.errors import EdgepruneError, MissingExtra, NotExportable
from edgeprune.formats import Artifact, Metadata, load, read, write
from edgeprune.graph import Graph, Node, Op, Value
from edgeprune.ops import Activation

both = pytest.mark.parametrize("suffix", SUFFIXES)


@both
@pytest.mark.parametrize("name", ["lenet-5", "residual network", "conv very sparse", "squeeze and excite"])
def test_the_same_graph_gives_the_same_bytes(name: str, suffix: str, tmp_path: Path) -> None:
    for n in (1, 2):
        write(CASES[name], tmp_path / f"{n}{suffix}", metadata=Metadata({"b": 1, "a": 2}))
    assert (tmp_path / f"1{suffix}").read_bytes() == (tmp_path / f"2{suffix}").read_bytes()


@both
@pytest.mark.parametrize("name", ["lenet-5", "residual network", "linear sparse", "linear all zero"])
def test_weights_are_read_back_exactly(name: str, suffix: str, tmp_path: Path) -> None:
    graph = CASES[name]
    write(graph, tmp_path / f"m{suffix}")
    artifact = read(tmp_path / f"m{suffix}")
    stored = {t.name: t.array for t in artifact.tensors}
    for node in graph.nodes:
        if "weight" in node.op.arrays and f"{node.name}.weight" in stored:
            found = stored[f"{node.name}.weight"]
            assert found is not None
            assert np.array_equal(np.sort(found, axis=None), np.sort(node.op.arrays["weight"], axis=None))
    assert artifact.bytes == (tmp_path / f"m{suffix}").stat().st_size
    assert artifact.format == suffix[1:]
    assert list(artifact.inputs) == list(graph.inputs)
    assert next(iter(artifact.inputs.values()))[0] == -1
    assert sum(artifact.counts.values()) == len(artifact.operations)


@both
def test_tensors_are_named_as_the_users_layers(suffix: str, tmp_path: Path) -> None:
    nodes = tuple(Node(n.name, n.op, n.inputs, f"net.{n.name}") for n in CASES["lenet-5"].nodes)
    encodings = write(CASES["lenet-5"].with_nodes(nodes), tmp_path / f"m{suffix}")
    assert "net.linear7.weight" in {t.name for t in read(tmp_path / f"m{suffix}").tensors}
    assert ("linear7", "net.linear7") in {(e.layer, e.source) for e in encodings}


@both
def test_metadata_comes_back(suffix: str, tmp_path: Path) -> None:
    said = Metadata({"mean": [0.5], "std": [0.25], "größe": 28}, ("null", "eins"), {"accuracy": 0.75})
    write(CASES["linear"], tmp_path / f"m{suffix}", metadata=said)
    assert read(tmp_path / f"m{suffix}").metadata == said
    write(CASES["linear"], tmp_path / f"n{suffix}")
    assert read(tmp_path / f"n{suffix}").metadata == Metadata()


@both
@pytest.mark.parametrize("value", [float("nan"), object()])
def test_metadata_that_is_not_json_is_refused(value: Any, suffix: str, tmp_path: Path) -> None:
    with pytest.raises(EdgepruneError, match="metadata is not JSON"):
        write(CASES["linear"], tmp_path / f"m{suffix}", metadata=Metadata({"x": value}))


@dataclass(frozen=True, eq=False)
class Unheard(Op):
    """An op no format knows."""

    def value(self, *ins: Value) -> Value:
        return ins[0]


@both
def test_an_unknown_op_is_refused_with_its_layer_and_what_can_be_said(suffix: str, tmp_path: Path) -> None:
    graph = Graph({"x": Value((3,))}, ("y",), (Node("y", Unheard(), ("x",), "head.odd"),))
    with pytest.raises(NotExportable, match=r"cannot say Unheard \(layer head\.odd\)\. It can say: Activation, .*Softmax"):
        write(graph, tmp_path / f"m{suffix}")
    assert not list(tmp_path.iterdir())


@both
def test_an_unknown_activation_is_refused_with_those_there_are(suffix: str, tmp_path: Path) -> None:
    with pytest.raises(NotExportable, match=r"Activation \(layer activation0\).*'zigzag'.*relu6"):
        write(chain((3,), Activation("zigzag")), tmp_path / f"m{suffix}")


def test_a_suffix_no_format_has_is_refused_with_those_there_are(tmp_path: Path) -> None:
    for use in (lambda p: write(CASES["linear"], p), load, read):
        with pytest.raises(EdgepruneError, match=r"\.xyz.*\.onnx, \.tflite"):
            use(tmp_path / "m.xyz")


def test_a_program_is_not_read_as_a_list_of_ops(tmp_path: Path) -> None:
    (tmp_path / "m.pt2").write_bytes(b"PK")
    with pytest.raises(EdgepruneError, match=r"m\.pt2: .*as a checkpoint instead"):
        read(tmp_path / "m.pt2")


@both
def test_a_file_that_is_not_there_is_refused(suffix: str, tmp_path: Path) -> None:
    for use in (load, read):
        with pytest.raises(EdgepruneError, match="does not exist"):
            use(tmp_path / f"m{suffix}")


@both
@pytest.mark.parametrize(
    "content", [b"", b"x", b"\0" * 100, b"PK\x03\x04" + bytes(range(256)) * 4], ids=["empty", "x", "zeros", "zip"]
)
def test_a_file_that_is_no_model_is_refused_in_one_line(content: bytes, suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"m{suffix}"
    path.write_bytes(content)
    for use in (load, read):
        with pytest.raises(EdgepruneError, match=r"m\.(onnx|tflite)") as caught:
            use(path)
        assert "\n" not in str(caught.value)


@both
@pytest.mark.parametrize("part", [0.1, 0.5, 0.9, 0.999])
def test_a_truncated_file_is_refused_in_one_line(part: float, suffix: str, tmp_path: Path) -> None:
    write(CASES["lenet-5"], tmp_path / f"m{suffix}")
    data = (tmp_path / f"m{suffix}").read_bytes()
    (tmp_path / f"m{suffix}").write_bytes(data[: int(len(data) * part)])
    with pytest.raises(EdgepruneError) as caught:
        load(tmp_path / f"m{suffix}")
    assert "\n" not in str(caught.value)


@both
@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(changes=st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 255)), min_size=1, max_size=8), end=st.integers(0, 10**6))
def test_a_damaged_file_is_read_or_refused(changes: list[tuple[int, int]], end: int, suffix: str, tmp_path: Path) -> None:
    write(CASES["linear sparse"], tmp_path / f"m{suffix}")
    data = bytearray((tmp_path / f"m{suffix}").read_bytes())
    for place, value in changes:
        data[place % len(data)] = value
    damaged = tmp_path / f"d{suffix}"
    damaged.write_bytes(bytes(data if end % 2 else data[: end % len(data)]))
    try:
        assert isinstance(read(damaged), Artifact)
    except EdgepruneError as error:
        assert "\n" not in str(error)  # noqa: PT017 - either outcome is right


@both
def test_arrays_that_do_not_fit_are_refused(suffix: str, tmp_path: Path) -> None:
    write(CASES["linear"], tmp_path / f"m{suffix}")
    runner = load(tmp_path / f"m{suffix}")
    for arrays in ((), (np.zeros((1, 21), np.float32),), (np.zeros(20, np.float32),), (np.zeros((0, 20), np.float32),)):
        with pytest.raises(EdgepruneError, match=r"inputs|input 'x' is \[batch, 20\]"):
            runner.run(*arrays)


@both
def test_outputs_stay_when_the_model_runs_again(suffix: str, tmp_path: Path) -> None:
    write(CASES["linear"], tmp_path / f"m{suffix}")
    runner = load(tmp_path / f"m{suffix}")
    (first,) = runner.run(np.ones((1, 20), np.float32))
    before = first.copy()
    runner.run(np.full((1, 20), 7, np.float32))
    assert np.array_equal(first, before)


@both
def test_an_unknown_runtime_is_refused_with_those_there_are(suffix: str, tmp_path: Path) -> None:
    write(CASES["linear"], tmp_path / f"m{suffix}")
    with pytest.raises(EdgepruneError, match=r"runtime='tensorrt'.*(onnxruntime|tflite-runtime)"):
        load(tmp_path / f"m{suffix}", runtime="tensorrt")


@pytest.mark.parametrize(("suffix", "package"), [(".onnx", "onnxruntime"), (".tflite", "ai_edge_litert|tflite_runtime")])
def test_a_missing_runtime_is_said_with_the_command_that_installs_it(
    suffix: str, package: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(CASES["linear"], tmp_path / f"m{suffix}")
    whole = builtins.__import__

    def without(name: str, *args: Any, **kwargs: Any) -> Any:
        if name.partition(".")[0] in package.split("|"):
            raise ImportError(name)
        return whole(name, *args, **kwargs)

    for name in [n for n in sys.modules if n.partition(".")[0] in package.split("|")]:
        monkeypatch.setitem(sys.modules, name, None)
    for name in package.split("|"):
        monkeypatch.setitem(sys.modules, f"{name}.interpreter", None)
    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(MissingExtra, match=r"pip install 'edgeprune\[(onnx|tflite)\]'"):
        load(tmp_path / f"m{suffix}")


@both
def test_a_failed_write_leaves_what_was_there(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"m{suffix}"
    path.write_bytes(b"before")
    with pytest.raises(NotExportable):
        write(chain((3,), Activation("zigzag")), path)
    assert path.read_bytes() == b"before"
    assert list(tmp_path.iterdir()) == [path]


@both
def test_threads_are_taken(suffix: str, tmp_path: Path) -> None:
    graph = CASES["conv"]
    write(graph, tmp_path / f"m{suffix}")
    x = np.ones((2, 3, 8, 9), np.float32)
    runner = load(tmp_path / f"m{suffix}", threads=2)
    assert np.abs(runner.run(x)[0] - graph.run(x)).max() < 1e-5
    assert runner.runtime.split()[1][0].isdigit()
