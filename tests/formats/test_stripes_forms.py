"""Convolutions whose filters kept some taps, in the stock runtimes: the same function in every form, and the form that pays."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import torch
from closeness import assert_close
from drawing import SUFFIXES, Draw, chain
from hypothesis import given, settings
from hypothesis import strategies as st

from edgeprune.formats import LayerEncoding, load, module_of, read, write
from edgeprune.formats.stripes import Stripes, cropped
from edgeprune.graph import Graph
from edgeprune.importing import import_onnx
from edgeprune.inspection import inspect_artifact
from edgeprune.ops import Activation, Conv
from edgeprune.sparse import Choice

FORMS = ("stripes", "stripes+densify")
TOLERANCE = 1e-5


@dataclass(frozen=True)
class Case:
    op: Conv
    size: tuple[int, ...]
    relu: bool

    @property
    def graph(self) -> Graph:
        channels = self.op.weight.shape[1] * self.op.groups
        return chain((channels, *self.size), self.op, *([Activation("relu")] if self.relu else []))

    def in_torch(self, x: np.ndarray) -> np.ndarray:
        op = self.op
        around = [n for pair in reversed(op.padding) for n in pair]
        given, weight = torch.nn.functional.pad(torch.from_numpy(x).double(), around), torch.from_numpy(op.weight).double()
        bias = None if op.bias is None else torch.from_numpy(op.bias).double()
        made = getattr(torch, f"conv{len(self.size)}d")(given, weight, bias, op.stride, 0, op.dilation, op.groups)
        return (made.relu() if self.relu else made).numpy()


@st.composite
def cases(draw: st.DrawFn) -> Case:
    axes = draw(st.sampled_from([2, 2, 2, 1]))
    several = st.tuples(*[st.integers(1, 4)] * axes)
    kernel, groups = draw(several), draw(st.sampled_from([1, 1, 1, 1, 2]))
    stride, dilation = draw(st.tuples(*[st.integers(1, 3)] * axes)), draw(st.tuples(*[st.integers(1, 2)] * axes))
    padding = draw(st.tuples(*[st.tuples(st.integers(0, 3), st.integers(0, 3))] * axes))
    size = draw(st.tuples(*[st.integers(7, 10)] * axes))
    outs, channels = groups * draw(st.integers(1, 6)), draw(st.integers(1, 5))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    kept = rng.random((outs, 1, *kernel)) < draw(st.sampled_from([0.0, 0.1, 0.4, 0.9]))
    kept &= rng.random((outs, *(1,) * (axes + 1))) < 0.8  # filters that kept nothing
    kept &= rng.random((1, 1, *kernel)) < 0.7  # taps that no filter kept
    weight = (rng.standard_normal((outs, channels, *kernel)) * kept).astype(np.float32)
    bias = rng.standard_normal(outs).astype(np.float32) if draw(st.booleans()) else None
    return Case(Conv(weight, bias, stride, padding, dilation, groups), size, draw(st.booleans()))


def write_as(form: str, graph: Graph, path: Path) -> list[LayerEncoding]:
    """Every layer in this form where it has it, and dense otherwise."""

    def the_form(options: list, *, optimize: str) -> Choice:
        names = [option.encoding for option in options]
        return Choice(form if form in names else "dense", "the test wants it")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(writer_of(path), "choose", the_form)
        return write(graph, path)


def writer_of(path: Path) -> ModuleType:
    return module_of(path).writer


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("form", FORMS)
@settings(max_examples=60, deadline=None)
@given(case=cases())
def test_a_form_computes_what_torch_computes(
    form: str, suffix: str, case: Case, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("m") / f"m{suffix}"
    (encoding,) = write_as(form, case.graph, path)
    if form == "stripes" and (case.op.groups > 1 or (suffix == ".onnx" and len(case.size) == 1)):
        assert encoding.encoding == "dense"
    elif form == "stripes" and Stripes.of(case.op) and Stripes.of(cropped(case.op)):
        assert encoding.encoding == "stripes"
    runner = load(path)
    for batch in (1, 2):
        x = np.random.default_rng(batch).standard_normal((batch, *case.graph.inputs["x"].shape)).astype(np.float32)
        assert_close(runner.run(x)[0], case.in_torch(x), TOLERANCE)


@given(case=cases())
def test_a_cropped_convolution_is_the_same_function(case: Case) -> None:
    less = cropped(case.op)
    assert less.weight.size <= case.op.weight.size
    assert all(n >= 0 for pair in less.padding for n in pair)
    x = np.random.default_rng(0).standard_normal((1, *case.graph.inputs["x"].shape)).astype(np.float32)
    assert_close(less.run(x), case.op.run(x), 1e-6)


def striped(channels: int, share: float, **settings: object) -> Conv:
    draw = Draw(f"{channels} {share}")
    op = draw.conv(channels, channels, 3, 3, **{"padding": ((1, 1), (1, 1)), **settings})
    kept = draw.rng.random((channels, 1, 3, 3)) < share
    return replace(op, weight=op.weight * kept)


def test_taps_at_the_edge_that_no_filter_keeps_leave_with_their_padding() -> None:
    op = striped(16, 0.5)
    op.weight[:, :, 0] = 0
    assert (cropped(op).kernel, cropped(op).padding) == ((2, 3), ((0, 1), (1, 1)))
    op.weight[:, :, :, [0, 2]] = 0
    assert (cropped(op).kernel, cropped(op).padding) == ((2, 1), ((0, 1), (0, 0)))


def test_taps_that_read_no_padding_stay_for_the_places_they_count() -> None:
    op = striped(16, 0.5, padding=((0, 0), (0, 0)))
    op.weight[:, :, 0] = 0
    assert cropped(op) is op


def test_a_small_crop_that_would_need_a_pad_operator_is_left_alone(tmp_path: Path) -> None:
    one_row = striped(4, 0.9)
    one_row.weight[:, :, 2] = 0  # rows before are read, rows behind are not
    write(chain((4, 8, 8), one_row), tmp_path / "m.tflite")
    assert "PAD" not in read(tmp_path / "m.tflite").counts
    wide = striped(64, 0.9)
    wide.weight[:, :, 2] = 0
    write(chain((64, 32, 32), wide), tmp_path / "m.tflite", optimize="dense")
    assert "PAD" in read(tmp_path / "m.tflite").counts


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_wide_layer_with_few_stripes_runs_by_them_where_speed_is_asked_for(suffix: str, tmp_path: Path) -> None:
    (chosen,) = write(chain((64, 16, 16), striped(64, 0.15)), tmp_path / f"m{suffix}", optimize="latency")
    assert chosen.encoding == "stripes"
    assert "µs" in chosen.reason


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_layer_with_most_of_its_stripes_stays_dense_where_speed_is_asked_for(suffix: str, tmp_path: Path) -> None:
    (chosen,) = write(chain((64, 16, 16), striped(64, 0.7)), tmp_path / f"m{suffix}", optimize="latency")
    assert chosen.encoding == "dense"


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_the_smallest_file_stores_stripes_without_an_index_for_each_weight(suffix: str, tmp_path: Path) -> None:
    op = striped(64, 0.5)
    (chosen,) = write(chain((64, 16, 16), op), tmp_path / f"m{suffix}")
    assert chosen.encoding == "stripes+densify"
    assert (tmp_path / f"m{suffix}").stat().st_size < 4.2 * np.count_nonzero(op.weight) + 1500


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_scattered_weights_are_not_stored_as_stripes(suffix: str, tmp_path: Path) -> None:
    op = Draw("scattered").conv(64, 64, 3, 3, density=0.1, padding=((1, 1), (1, 1)))
    (chosen,) = write(chain((64, 16, 16), op), tmp_path / f"m{suffix}")
    assert chosen.encoding in ("csr+densify", "coo")


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("form", [*FORMS, "dense"])
def test_the_bytes_told_are_those_of_the_file(form: str, suffix: str, tmp_path: Path) -> None:
    graph = chain((64, 16, 16), striped(64, 0.3))
    found = {each: write_as(each, graph, tmp_path / f"{each}{suffix}")[0].bytes for each in (form, "dense")}
    sizes = {each: (tmp_path / f"{each}{suffix}").stat().st_size for each in found}
    assert abs((sizes["dense"] - sizes[form]) - (found["dense"] - found[form])) < 600


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("form", FORMS)
def test_inspection_names_the_form_and_counts_its_weights_alone(form: str, suffix: str, tmp_path: Path) -> None:
    op = striped(16, 0.3)
    write_as(form, chain((16, 9, 8), op), tmp_path / f"m{suffix}")
    (layer,) = inspect_artifact(tmp_path / f"m{suffix}").layers
    assert (layer.encoding, layer.nonzeros, layer.dead) == (form, np.count_nonzero(op.weight), 0)
    assert layer.reason


@pytest.mark.parametrize("form", FORMS)
def test_an_onnx_file_of_stripes_is_captured_again(form: str, tmp_path: Path) -> None:
    graph = chain((16, 9, 8), striped(16, 0.3), Activation("relu"))
    write_as(form, graph, tmp_path / "m.onnx")
    x = np.random.default_rng(0).standard_normal((2, 16, 9, 8)).astype(np.float32)
    assert_close(import_onnx(tmp_path / "m.onnx").run(x), graph.run(x), TOLERANCE)


def test_onnxruntime_looks_a_weight_up_once_when_it_loads_the_model(tmp_path: Path) -> None:
    onnxruntime, onnx = pytest.importorskip("onnxruntime"), pytest.importorskip("onnx")
    write_as("stripes+densify", chain((16, 9, 8), striped(16, 0.3)), tmp_path / "m.onnx")
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.optimized_model_filepath = str(tmp_path / "run.onnx")
    onnxruntime.InferenceSession(str(tmp_path / "m.onnx"), options, providers=["CPUExecutionProvider"])
    assert [node.op_type for node in onnx.load(tmp_path / "run.onnx").graph.node] == ["Conv"]
