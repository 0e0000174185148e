"""Benchmark programs on a device: stand-ins that print what real ones printed elsewhere, over every transport; and a real one."""

from __future__ import annotations

import json
import os
import shutil
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import daemons
import numpy as np
import pytest
from click.testing import CliRunner

from edgeprune.cli import main
from edgeprune.errors import EdgepruneError
from edgeprune.formats import write
from edgeprune.graph import Graph, Node, Value
from edgeprune.ops import Linear
from edgeprune.profiling import ToolProfile, profile_with_tool
from edgeprune.profiling.documents import records_of
from edgeprune.report.page import Gathered, page

OUTPUTS = Path(__file__).with_name("tool_outputs")
QUICK: dict[str, Any] = {"runs": 5, "min_seconds": 0.1, "warmup": 1}


@dataclass
class Reached:
    """A device: this machine, by itself or over its loopback."""

    over: str
    base: Path
    where: dict[str, Any] = field(default_factory=dict)

    def profile(self, program: Path | str, model: Path, **more: Any) -> ToolProfile:
        return profile_with_tool(program, model, **self.where, workdir=str(self.base), **{**QUICK, **more})


@pytest.fixture(params=["local", "ssh", "adb"])
def reached(request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Reached]:
    base, own = tmp_path / "device", tmp_path / "adb"
    base.mkdir()
    if request.param == "local":
        yield Reached("this machine", base)
    elif request.param == "ssh":
        host = request.getfixturevalue("ssh_host")
        yield Reached(f"{host} over ssh", base, {"target": "x86-64", "host": host})
    else:
        own.mkdir()
        with daemons.adbd(own, monkeypatch.setenv) as (_, serial):
            yield Reached(f"{serial} over adb", base, {"target": daemons.android_like(tmp_path), "host": serial})


@pytest.fixture
def tflite(tmp_path: Path) -> Path:
    pytest.importorskip("flatbuffers", reason="writing a .tflite file needs flatbuffers")
    random = np.random.default_rng(0)
    nodes = (Node("y", Linear(random.standard_normal((512, 1024)).astype(np.float32)), ("x",)),)
    write(Graph({"x": Value((1024,))}, ("y",), nodes), tmp_path / "model.tflite")
    return tmp_path / "model.tflite"


def script(path: Path, text: str) -> Path:
    path.parent.mkdir(exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


def printing(path: Path, name: str, more: str = "") -> Path:
    """A program that says what a real one said, and writes down how it was called."""
    text = (OUTPUTS / f"{name}.txt").read_text()
    return script(path, f"echo \"$@\" >>{path.parent}/calls\n{more}\ncat <<'END'\n{text}END")


def test_benchmark_model_is_sent_run_and_read_and_nothing_is_left(reached: Reached, tflite: Path, tmp_path: Path) -> None:
    program = printing(tmp_path / "bin" / "benchmark_model", "benchmark_model-am62x")
    found = reached.profile(program, tflite, threads=2)
    assert (found.provenance, found.reached, found.tool) == ("measured", reached.over, "benchmark_model")
    assert found.latency_ms.p50 == pytest.approx(1239.807)
    assert (found.latency_ms.p90, found.latency_ms.p99) == (None, None)
    assert found.tool_sha256 is not None
    assert found.threads == 2
    (call,) = (program.parent / "calls").read_text().splitlines()
    assert "--num_threads=2 --num_runs=5 --warmup_runs=1" in call
    assert "--graph=DIR/model.tflite" in found.command
    assert list(reached.base.iterdir()) == []
    (read,) = records_of(json.loads(json.dumps(found.to_dict())))
    assert read == found


def test_a_program_that_is_on_the_device_is_run_there(
    reached: Reached, tflite: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = printing(tmp_path / "bin" / "benchmark_model_plus_flex", "benchmark_model-2024-x86-64")
    real = Path.is_file
    # On the loopback the device's files are this machine's.
    monkeypatch.setattr(Path, "is_file", lambda path: path != there and real(path))
    found = reached.profile(there, tflite)
    assert found.latency_ms.mean == pytest.approx(15.5176)
    assert (found.tool_sha256 is None) == (reached.over != "this machine")
    with pytest.raises(EdgepruneError, match=r"is no file here.*; give the path of benchmark_model"):
        reached.profile("/nowhere/benchmark_model", tflite)


def test_a_program_of_the_devices_path_needs_no_file_here(reached: Reached, tflite: Path) -> None:
    # `false` is on every device, and says nothing of times.
    with pytest.raises(EdgepruneError, match=r"running false on .* failed"):
        reached.profile("false", tflite)
    assert list(reached.base.iterdir()) == []


def test_ops_are_timed_in_another_call(reached: Reached, tflite: Path, tmp_path: Path) -> None:
    program = printing(tmp_path / "bin" / "benchmark_model", "benchmark_model-v2.8-riscv64")
    found = reached.profile(program, tflite, ops=True)
    assert [op.kind for op in found.ops][:2] == ["CONV_2D", "DEPTHWISE_CONV_2D"]
    # Another model's ops: nothing is claimed of what they compute.
    assert all(op.multiply_adds is None for op in found.ops)
    calls = (program.parent / "calls").read_text().splitlines()
    assert ["--enable_op_profiling=true" in call for call in calls] == [False, True]


ROW = "FULLY_CONNECTED 0.1 0.2 100.000% 100.000% 0.000 1 [y]:0"


def test_an_op_stands_beside_what_the_file_says_it_computes(tflite: Path, tmp_path: Path) -> None:
    table = f"Operator-wise Profiling Info for Regular Benchmark Runs:\n {ROW}\n\n====== Top by Computation Time ======\n"
    text = (OUTPUTS / "benchmark_model-am62x.txt").read_text()
    program = script(tmp_path / "bin" / "benchmark_model", f"cat <<'END'\n{text}{table}END")
    (op,) = profile_with_tool(program, tflite, ops=True, **QUICK).ops
    assert (op.name, op.ms, op.multiply_adds, op.weight) == ("y", 0.2, 512 * 1024, 0)


def test_perf_test_is_called_again_for_the_runs_that_were_asked_for_and_tells_every_one(
    reached: Reached, make_onnx: Any, tmp_path: Path
) -> None:
    rows = "\n".join(
        f"model,{seconds},35299328,98,{i}" for i, seconds in enumerate([0.0167086] * 5 + [0.0232702, 0.0159831, 0.0190837])
    )
    program = printing(tmp_path / "bin" / "onnxruntime_perf_test", "perf_test-acl", f"cat >result.csv <<'END'\n{rows}\nEND")
    found = reached.profile(program, make_onnx(8, 4), runs=20)
    calls = (program.parent / "calls").read_text().splitlines()
    assert ["-m duration -t 1" in calls[0], "-m times -r 20" in calls[1], len(calls)] == [True, True, 2]
    assert found.latency_ms.n == 8
    assert found.latency_ms.p50 == pytest.approx(16.7086)
    assert found.latency_ms.std is not None
    assert found.memory.peak_bytes == 35299328
    assert found.first_run_ms == 20
    assert list(reached.base.iterdir()) == []


def test_a_profile_of_onnxruntime_tells_the_ops_of_perf_test(make_onnx: Any, tmp_path: Path) -> None:
    runtime = pytest.importorskip("onnxruntime", reason="a real profile of its ops needs onnxruntime")
    model = make_onnx(32, 16)
    options = runtime.SessionOptions()
    options.enable_profiling, options.profile_file_prefix = True, str(tmp_path / "own")
    session = runtime.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])
    for _ in range(5):
        session.run(None, {"x": np.zeros((1, 32), np.float32)})
    real = session.end_profiling()
    write_it = f'case "$*" in *" -p perf "*) cp {real} perf_2026.json ;; esac'
    program = printing(tmp_path / "bin" / "onnxruntime_perf_test", "perf_test-sme2", write_it)
    found = profile_with_tool(program, model, ops=True, **QUICK)
    assert [op.multiply_adds for op in found.ops if op.weight is not None] == [32 * 16], found.ops_by
    without = printing(tmp_path / "bin" / "onnxruntime_perf_test", "perf_test-sme2")
    assert profile_with_tool(without, model, ops=True, **QUICK).ops_by == "not timed: it wrote no profile"


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        (
            "echo unknown option; echo \"benchmark_model: invalid option -- 'I'\" >&2; exit 1",
            ["benchmark_model on this machine does not know -I; take a newer build"],
        ),
        ("echo \"ERROR: Unknown command line flag 'S'\" >&2; exit 1", ["does not know -S; take a newer build"]),
        (
            "echo 'ERROR: Failed to load model x' >&2; echo 'usage: benchmark_model'; exit 1",
            ["failed: ERROR: Failed to load model x"],
        ),
        ("echo hello", ["cannot be read: it printed no times of its runs", "said last: hello"]),
        ("exit 127", ["a program or a library it needs is not there"]),
        (
            "echo 'error while loading shared libraries: libfoo.so: cannot open shared object file' >&2; exit 127",
            ["libfoo.so", "a program or a library it needs is not there"],
        ),
    ],
)
def test_a_program_that_fails_is_one_line_with_its_reason(tflite: Path, tmp_path: Path, text: str, parts: list[str]) -> None:
    program = script(tmp_path / "bin" / "benchmark_model", text)
    with pytest.raises(EdgepruneError) as caught:
        profile_with_tool(program, tflite, **QUICK)
    assert "\n" not in str(caught.value)
    assert all(part in str(caught.value) for part in parts), caught.value


def test_a_program_that_crashes_is_told_of_and_nothing_is_left(reached: Reached, tflite: Path, tmp_path: Path) -> None:
    program = script(tmp_path / "bin" / "benchmark_model", "echo loading; kill -SEGV $$")
    with pytest.raises(EdgepruneError, match=r"running benchmark_model on .* died of SIGSEGV"):
        reached.profile(program, tflite)
    assert list(reached.base.iterdir()) == []


def test_a_program_that_hangs_is_ended_within_the_limit(tflite: Path, tmp_path: Path) -> None:
    program = script(tmp_path / "bin" / "benchmark_model", "exec sleep 60")
    start = time.monotonic()
    with pytest.raises(EdgepruneError, match=r"benchmark_model on this machine took longer than .* s and was stopped"):
        profile_with_tool(program, tflite, timeout=5)
    assert time.monotonic() - start < 25


def test_a_program_for_another_processor_is_refused_before_it_is_sent(tflite: Path, tmp_path: Path) -> None:
    foreign = tmp_path / "benchmark_model"
    foreign.write_bytes(b"\x7fELF\x02\x01\x01" + bytes(9) + b"\x02\x00\xf3\x00" + bytes(44))
    with pytest.raises(EdgepruneError, match=r"benchmark_model is built for riscv64, but host is .*; take a build for that"):
        profile_with_tool(foreign, tflite, **QUICK)


def test_a_program_that_may_not_be_executed_here_is_told(tflite: Path, tmp_path: Path) -> None:
    plain = printing(tmp_path / "benchmark_model", "benchmark_model-am62x")
    plain.chmod(0o644)
    with pytest.raises(EdgepruneError, match=r"may not be executed; allow it: chmod \+x"):
        profile_with_tool(plain, tflite, **QUICK)


def test_a_file_that_no_program_runs_is_refused(tmp_path: Path) -> None:
    with pytest.raises(
        EdgepruneError, match=r"run by no benchmark program .*\.tflite by benchmark_model.*\.onnx by onnxruntime_perf_test"
    ):
        profile_with_tool("benchmark_model", tmp_path / "model.pt2")


def test_a_program_of_a_library_beside_it_finds_it_on_the_device(tflite: Path, tmp_path: Path, ssh_host: str) -> None:
    own, seen = tmp_path / "own", tmp_path / "seen"
    program = printing(own / "benchmark_litert_model", "benchmark_litert_model-2025", f'ls "$LD_LIBRARY_PATH" >{seen}')
    (own / "libLiteRt.so").write_bytes(b"library")
    profile_with_tool(program, tflite, target="x86-64", host=ssh_host, **QUICK)
    assert "libLiteRt.so" in seen.read_text().split()


def test_the_real_program_of_the_litert_package_is_measured_with(tmp_path: Path) -> None:
    pytest.importorskip("ai_edge_litert", reason="litert-benchmark is in the package ai-edge-litert")
    program = Path(sys.executable).with_name("litert-benchmark")
    if not program.exists():
        pytest.skip("this ai-edge-litert has no litert-benchmark")
    pytest.importorskip("flatbuffers", reason="writing a .tflite file needs flatbuffers")
    random = np.random.default_rng(0)
    nodes = (Node("y", Linear(random.standard_normal((2048, 4096)).astype(np.float32)), ("x",)),)
    write(Graph({"x": Value((4096,))}, ("y",), nodes), tmp_path / "large.tflite")
    found = profile_with_tool(program, tmp_path / "large.tflite", runs=30, ops=True)
    t = found.latency_ms
    assert t.n == 30
    assert 0.1 < t.min <= t.p50 <= t.max
    assert found.load_ms > 0
    assert "does not know --enable_op_profiling" in found.ops_by


def test_a_run_too_short_for_its_clock_is_refused_or_warned_of(tflite: Path, tmp_path: Path) -> None:
    short = script(
        tmp_path / "bin" / "benchmark_model", "echo 'count=1 curr=9'; echo 'count=50 first=9 curr=9 min=8 max=11 avg=9.1 std=1'"
    )
    (warning,) = profile_with_tool(short, tflite, **QUICK).warnings
    assert warning == "benchmark_model counts in steps of 1 µs, and a run takes about 9.1 µs"
    none = script(tmp_path / "own" / "litert-benchmark", "echo 'Inference (avg):       0.00 ms (50 runs)'")
    with pytest.raises(EdgepruneError, match=r"counts in steps of 10 µs, and a run takes less"):
        profile_with_tool(none, tflite, **QUICK)


def test_the_command_shows_what_was_said_and_what_was_not(tflite: Path, tmp_path: Path) -> None:
    program = printing(tmp_path / "bin" / "benchmark_model", "benchmark_model-2024-x86-64")
    out = tmp_path / "profile.json"
    result = CliRunner().invoke(main, ["profile", str(tflite), "--binary", str(program), "--ops", "-o", str(out)])
    assert result.exit_code == 0, result.output
    assert "benchmark_model does not say: p50, p90, p99" in result.stdout
    assert "15.5 ms" in result.stdout
    (found,) = records_of(json.loads(out.read_text()))
    assert isinstance(found, ToolProfile)
    html = page(Gathered("run", None, (found,)))
    assert "mean of 64 runs" in html
    assert "Convolution (NHWC, QC8) IGEMM" in html


@pytest.mark.parametrize(
    "words", [["--estimate"], ["--runtime", "onnxruntime"], ["--accelerator", "gpu"], ["--compare", "other.tflite"]]
)
def test_a_program_does_not_go_with_options_of_the_own_runtimes(tflite: Path, words: list[str]) -> None:
    result = CliRunner().invoke(main, ["profile", str(tflite), "--binary", "benchmark_model", *words])
    assert result.exit_code == 2
    assert "--binary names what measures one file" in result.stderr


def test_a_browser_is_named_for_a_browser_only(tmp_path: Path) -> None:
    (tmp_path / "model.c").write_text("")
    result = CliRunner().invoke(main, ["profile", str(tmp_path / "model.c"), "--binary", shutil.which("sh") or os.devnull])
    assert result.exit_code == 2
    assert "host is no browser" in result.stderr
