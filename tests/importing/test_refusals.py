"""What is not read is refused: which node, which op, why, and what would do."""

from __future__ import annotations

import builtins
import re
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from onnx_files import onnx, save
from refused_files import MAP, REFUSED, node, weights

from edgeprune.errors import EdgepruneError, MissingExtra, Unsupported
from edgeprune.graph import Graph
from edgeprune.importing import import_onnx


@pytest.mark.parametrize("name", REFUSED)
def test_what_has_no_meaning_is_refused_with_its_node_and_a_way_out(name: str, tmp_path: Path) -> None:
    path = REFUSED[name].save(tmp_path / "m.onnx")
    with pytest.raises(Unsupported, match=REFUSED[name].why) as caught:
        import_onnx(path)
    said = str(caught.value)
    assert "\n" not in said
    # An output, an input and a batch belong to the file, all else to a node; what would do is said last.
    assert re.search(r"m\.onnx.*; ", said) or re.search(r"has no meaning in the graph here: .*Rewrite the layer", said)


def test_the_node_is_named_as_the_users_layer(tmp_path: Path) -> None:
    odd = node("LpNormalization", ["x"], ["y"], name="/stage2/stage2.0/norm/LpNormalization")
    with pytest.raises(Unsupported, match=r"^stage2\.0\.norm: LpNormalization"):
        import_onnx(save(tmp_path / "m.onnx", [odd], {"x": MAP}))


def test_what_no_output_depends_on_is_not_refused(tmp_path: Path) -> None:
    nodes = [node("LpNormalization", ["x"], ["t"]), node("Relu", ["x"], ["y"])]
    assert isinstance(import_onnx(save(tmp_path / "m.onnx", nodes, {"x": MAP})), Graph)


def test_an_input_open_beside_its_batch_needs_a_shape(tmp_path: Path) -> None:
    path = save(tmp_path / "m.onnx", [node("Relu", ["x"], ["y"])], {"x": ("b", 3, "h", "w")})
    with pytest.raises(EdgepruneError, match=r"input 'x' is \[\?, 3, \?, \?\].*--input-shape"):
        import_onnx(path)


@pytest.mark.parametrize(
    ("given", "said"), [([(3, 9, 8)], "does not fit"), ([(4, 9, 8)] * 2, "1 inputs"), ([(4, 9)], "does not fit")]
)
def test_shapes_that_do_not_fit_the_file_are_refused(given: Any, said: str, tmp_path: Path) -> None:
    with pytest.raises(EdgepruneError, match=said):
        import_onnx(save(tmp_path / "m.onnx", [node("Relu", ["x"], ["y"])], {"x": MAP}), given)


@pytest.mark.parametrize(
    "content", [b"", b"x", b"\0" * 100, b"PK\x03\x04" + bytes(range(256)) * 4], ids=["empty", "x", "zeros", "zip"]
)
def test_a_file_that_is_no_model_is_refused_in_one_line(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "m.onnx").write_bytes(content)
    with pytest.raises(EdgepruneError, match=r"m\.onnx") as caught:
        import_onnx(tmp_path / "m.onnx")
    assert "\n" not in str(caught.value)


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(EdgepruneError, match="does not exist"):
        import_onnx(tmp_path / "m.onnx")


def test_weights_that_should_lie_beside_and_do_not_are_refused(tmp_path: Path) -> None:
    path = save(tmp_path / "m.onnx", [node("Conv", ["x", "w0"], ["y"])], {"x": MAP}, weights((6, 4, 3, 3)))
    onnx.save(onnx.load(path), path, save_as_external_data=True, location="weights.bin", size_threshold=0)
    (tmp_path / "weights.bin").unlink()
    with pytest.raises(EdgepruneError, match=r"m\.onnx is not a whole ONNX model.*weights\.bin"):
        import_onnx(path)


def test_a_name_that_is_no_text_is_refused(tmp_path: Path) -> None:
    data = save(tmp_path / "m.onnx", [node("Relu", ["x"], ["answer"])], {"x": MAP}, outputs=["answer"]).read_bytes()
    (tmp_path / "m.onnx").write_bytes(data.replace(b"answer", b"answe\xff", 1))
    with pytest.raises(EdgepruneError, match=r"not a (valid|whole) ONNX model"):
        import_onnx(tmp_path / "m.onnx")


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(changes=st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 255)), min_size=1, max_size=8), end=st.integers(0, 10**6))
def test_a_damaged_file_is_read_or_refused(changes: list[tuple[int, int]], end: int, tmp_path: Path) -> None:
    nodes = [
        node("Conv", ["x", "w0"], ["t"]),
        node("Relu", ["t"], ["u"]),
        node("ReduceMean", ["u"], ["y"], axes=[2, 3], keepdims=0),
    ]
    data = bytearray(save(tmp_path / "m.onnx", nodes, {"x": MAP}, weights((6, 4, 3, 3))).read_bytes())
    for place, value in changes:
        data[place % len(data)] = value
    (tmp_path / "d.onnx").write_bytes(bytes(data if end % 2 else data[: end % len(data)]))
    try:
        assert isinstance(import_onnx(tmp_path / "d.onnx"), Graph)
    except EdgepruneError as error:
        assert "\n" not in str(error)  # noqa: PT017 - either outcome is right


def test_without_the_onnx_package_the_command_that_installs_it_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = save(tmp_path / "m.onnx", [node("Relu", ["x"], ["y"])], {"x": MAP})
    whole = builtins.__import__

    def without(name: str, *args: Any, **kwargs: Any) -> Any:
        if name.partition(".")[0] == "onnx":
            raise ImportError(name)
        return whole(name, *args, **kwargs)

    monkeypatch.setitem(sys.modules, "onnx", None)
    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(MissingExtra, match=r"pip install 'edgeprune\[onnx\]'"):
        import_onnx(path)
