"""Time op by op, beside what the ops of the file compute and move."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgeprune.errors import EdgepruneError
from edgeprune.formats import write
from edgeprune.graph import Graph, Node, Value
from edgeprune.ops import Activation, Conv, Flatten, Linear
from edgeprune.profiling import load_target, op_timer, op_times, profile, profile_on
from edgeprune.profiling.c_op_times import marked_source
from edgeprune.profiling.native import read_model
from edgeprune.profiling.op_times import Timed, joined
from edgeprune.profiling.work import Work

QUICK: dict[str, Any] = {"min_seconds": 0.1, "runs": 20, "warmup": 3}


def network() -> Graph:
    """Two convolutions of which the second takes most of the time, then a linear layer."""
    random = np.random.default_rng(0)

    def weight(*shape: int) -> np.ndarray:
        return (random.standard_normal(shape) / np.sqrt(np.prod(shape[1:]))).astype(np.float32)

    nodes = (
        Node("first", Conv(weight(16, 3, 3, 3), np.zeros(16, np.float32), padding=((1, 1), (1, 1))), ("x",)),
        Node("bent", Activation("relu"), ("first",)),
        Node("second", Conv(weight(32, 16, 5, 5), np.zeros(32, np.float32), padding=((2, 2), (2, 2))), ("bent",)),
        Node("flat", Flatten(), ("second",)),
        Node("third", Linear(weight(4, 32 * 24 * 24), np.zeros(4, np.float32)), ("flat",)),
    )
    return Graph({"x": Value((3, 24, 24))}, ("third",), nodes)


MULTIPLY_ADDS = [16 * 27 * 576, 32 * 400 * 576, 4 * 32 * 576]


@pytest.fixture(scope="module", params=["onnx", "tflite", "c"])
def timed(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    path = tmp_path_factory.mktemp("ops") / f"model.{request.param}"
    if request.param == "c":
        if shutil.which("cc") is None:
            pytest.skip("building a C model needs a C compiler")
        write(network(), path)
        return profile_on("host", path, **QUICK, ops=True)
    pytest.importorskip({"onnx": "onnxruntime", "tflite": "ai_edge_litert"}[request.param])
    write(network(), path)
    found = profile(path, **QUICK, ops=True)
    if found.ops_by.startswith("not timed: ai-edge-litert"):
        pytest.skip(found.ops_by)
    return found


def test_what_reads_a_weight_is_known_again_with_its_work(timed: Any) -> None:
    reading = [op for op in timed.ops if op.weight is not None]
    assert [op.weight for op in reading] == [0, 1, 2], timed.ops_by
    assert [op.multiply_adds for op in reading] == MULTIPLY_ADDS
    assert all(op.bytes > 4 * 576 for op in reading)


def test_the_largest_layer_takes_longest_and_all_together_about_a_run(timed: Any) -> None:
    reading = [op.ms for op in timed.ops if op.weight is not None]
    assert max(reading) == reading[1]
    # Two processes, the runtime's own rounding, and a machine that may be busy.
    assert 0.3 < sum(op.ms for op in timed.ops) / timed.latency_ms.p50 < 3


def test_it_goes_to_json(timed: Any) -> None:
    plain = json.loads(json.dumps(timed.to_dict()))
    assert len(plain["ops"]) == len(timed.ops)
    assert type(timed).from_dict(plain) == timed


def test_nobody_asked_means_no_ops(tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime")
    write(network(), tmp_path / "model.onnx")
    found = profile(tmp_path / "model.onnx", **QUICK)
    assert (found.ops, found.ops_by) == ((), "")


def works(*kinds: tuple[str, tuple[int, ...]]) -> list[Work]:
    return [Work(f"op{i}", kind, 100 + i, 10, 5, shape) for i, (kind, shape) in enumerate(kinds)]


CONV, POINT, DENSE = ("conv", (16, 8, 3, 3)), ("pointwise", (16, 8, 1, 1)), ("linear", (10, 64))


def places(timed: Sequence[Timed], work: Sequence[Work]) -> list[int | None]:
    return [op.weight for op in joined(timed, work)]


def test_branches_in_another_order_are_told_apart_by_their_weights() -> None:
    ran = [Timed("a", "Conv", 1.0, (16, 8, 1, 1)), Timed("b", "FusedConv", 1.0, (16, 16, 3, 3))]
    ran.append(Timed("c", "Gemm", 1.0, (10, 64)))
    assert places(ran, works(CONV, POINT, DENSE)) == [1, 0, 2]


def test_a_kernel_that_fits_no_op_leaves_all_unknown() -> None:
    ran = [Timed("a", "Conv", 1.0, (16, 8, 5, 5)), Timed("c", "Gemm", 1.0, (10, 64))]
    assert places(ran, works(CONV, DENSE)) == [None, None]


def test_more_or_fewer_kernels_than_ops_leave_all_unknown() -> None:
    ran = [Timed("Convolution (NHWC, F32) IGEMM", "Convolution (NHWC, F32) IGEMM", 1.0)] * 3
    assert places(ran, works(CONV, CONV)) == [None] * 3
    assert places(ran[:1], works(CONV, CONV)) == [None]
    assert places(ran, works(CONV, CONV, CONV)) == [0, 1, 2]


def test_a_kernel_of_another_kind_is_not_taken_for_the_op() -> None:
    fully = Timed("Fully Connected (NC, F32) GEMM", "Fully Connected (NC, F32) GEMM", 1.0)
    assert places([fully], works(("depthwise", (1, 3, 3, 8)))) == [None]
    assert places([fully], works(("sparse_linear", (10, 64)))) == [0]


def test_another_litert_is_refused_not_tried() -> None:
    for version in ("ai-edge-litert 2.4.0", "ai-edge-litert 1.9.9", "tflite-runtime 2.14.0"):
        said = op_timer.time_litert(None, None, version, None)
        assert said["why"].startswith(f"{version} has no profiler that is known here")


def test_a_timer_that_dies_leaves_the_profile_and_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("onnxruntime")
    write(network(), tmp_path / "model.onnx")
    dying = tmp_path / "timer.py"
    dying.write_text("import os; os.kill(os.getpid(), 11)")
    monkeypatch.setattr(op_times, "TIMER", dying)
    found = profile(tmp_path / "model.onnx", **QUICK, ops=True)
    assert found.ops == ()
    assert found.ops_by.startswith("not timed: ")
    assert "SIGSEGV" in found.ops_by


def test_the_timer_says_what_it_cannot_read(tmp_path: Path) -> None:
    (tmp_path / "broken.onnx").write_bytes(b"nothing")
    words = [sys.executable, str(op_times.TIMER), str(tmp_path / "broken.onnx")]
    done = subprocess.run(words, capture_output=True, text=True)
    assert done.returncode == 1
    assert "error" in json.loads(done.stdout)


def test_c_code_without_steps_is_refused(tmp_path: Path) -> None:
    write(network(), tmp_path / "model.c")
    model = read_model(tmp_path / "model.c")
    assert marked_source(model, tmp_path / "marked.c")[:2] == ["bent", "second"]
    text = model.path.read_text().replace("    /* ", "    /*: ")
    model.path.write_text(text)
    with pytest.raises(EdgepruneError, match="does not say its steps"):
        marked_source(model, tmp_path / "marked.c")


def test_a_target_elsewhere_is_timed_op_by_op_too(tmp_path: Path) -> None:
    """By the way that files take to a device: a fresh folder and a shell."""
    if shutil.which("cc") is None:
        pytest.skip("building a C model needs a C compiler")
    write(network(), tmp_path / "model.c")
    found = profile_on(load_target("host"), tmp_path / "model.c", workdir=str(tmp_path), **QUICK, ops=True)
    assert [op.name for op in found.ops if op.weight is not None] == ["bent", "second", "third"]
    assert sorted(each.name for each in tmp_path.iterdir()) == ["CMakeLists.txt", "model.c", "model.h"]
