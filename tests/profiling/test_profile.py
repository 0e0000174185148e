from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import stat
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgeprune.errors import EdgepruneError
from edgeprune.formats import write
from edgeprune.graph import Graph, Node, Value
from edgeprune.ops import Linear
from edgeprune.profiling import Profile, compare, measure, profile

Maker = Callable[..., Path]
QUICK: dict[str, Any] = {"min_seconds": 0.1, "runs": 20, "warmup": 3}


def test_a_profile_says_how_long_how_large_and_how_much_memory(make_onnx: Maker) -> None:
    path = make_onnx(64, 256, 10)
    found = profile(path, **QUICK)
    t = found.latency_ms
    assert 0 < t.min <= t.p50 <= t.p90 <= t.p95 <= t.p99 <= t.max
    assert t.p50_low <= t.p50 <= t.p50_high
    assert t.n >= 20
    assert t.throughput == pytest.approx(1000 / t.mean)
    assert found.load_ms > 0 < found.first_run_ms
    assert found.bytes == path.stat().st_size
    assert found.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert found.runtime.startswith("onnxruntime ")
    assert found.threads == 1
    assert found.provenance == "measured"
    assert found.device.cpu
    assert found.device.usable_cores >= 1


def test_a_profile_goes_to_json_and_back(make_onnx: Maker) -> None:
    found = profile(make_onnx(8, 4), **QUICK)
    plain = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    assert Profile.from_dict(plain) == found
    assert plain["schema_version"] == 4
    assert plain["peak_memory_bytes"] == found.peak_memory_bytes
    del plain["latency_ms"]["p90"]
    with pytest.raises(EdgepruneError, match=r"profile\.latency_ms lacks the field 'p90'"):
        Profile.from_dict(plain)


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="the peak is read where Linux keeps it")
def test_peak_memory_holds_the_weights_and_not_this_process(make_onnx: Maker) -> None:
    small = profile(make_onnx(8, 4, name="small.onnx"), **QUICK)
    weights = 2048 * 4096 * 4
    ballast = np.ones(100_000_000)  # 800 MB here, which a child's ru_maxrss would inherit
    large = profile(make_onnx(2048, 4096, 4, name="large.onnx"), **QUICK)
    assert ballast.nbytes == 800_000_000
    assert small.memory is not None
    assert large.memory is not None
    assert small.memory.peak_bytes < 200_000_000
    assert large.memory.peak_bytes < 400_000_000
    assert large.memory.anonymous_increase_bytes > weights
    assert large.memory.increase_bytes - small.memory.increase_bytes > weights
    assert small.memory.increase_bytes < weights


def test_runs_go_on_until_there_are_enough_and_long_enough(make_onnx: Maker) -> None:
    path = make_onnx(8, 4)
    assert profile(path, runs=30_000, min_seconds=0.3, warmup=0).latency_ms.n >= 30_000
    longer = profile(path, runs=1, min_seconds=0.5, warmup=0)
    assert longer.latency_ms.n * longer.latency_ms.mean / 1000 > 0.2  # the clock itself takes a share


def test_the_timing_script_sees_neither_this_package_nor_torch(make_onnx: Maker) -> None:
    probe = (
        "import runpy, sys; sys.argv[1:] = [{model!r}, '--min-seconds', '0.01', '--warmup', '0']; sys.path.insert(0, 'x')\n"
        "try: runpy.run_path({runner!r}, run_name='__main__')\n"
        "except SystemExit: pass\n"
        "sys.stderr.write(' '.join(sorted({{m.partition('.')[0] for m in sys.modules}})))"
    )
    runner = measure.__file__.replace("measure.py", "runner.py")
    code = probe.format(model=str(make_onnx(8, 4)), runner=runner)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    modules = set(done.stderr.split())
    assert {"onnxruntime", "numpy"} <= modules
    assert not modules & {"edgeprune", "torch", "tensorflow", "rich", "click", "onnx"}


def test_a_file_in_turns_with_itself_takes_as_long(make_onnx: Maker) -> None:
    path = make_onnx(64, 512, 512, 10)
    found = compare([path, path], min_seconds=0.3, runs=20, warmup=3)
    (ratio,) = found.ratios
    assert 0.7 < ratio.value < 1.4
    assert ratio.low <= ratio.value <= ratio.high
    assert ratio.turns >= 18
    assert len(found.profiles) == 2


def test_a_larger_file_takes_longer_and_the_first_is_the_measure(make_onnx: Maker) -> None:
    large = make_onnx(64, 1024, 1024, 10, name="large.onnx")
    small = make_onnx(64, 16, 10, name="small.onnx")
    found = compare([large, small], min_seconds=0.2, runs=20, warmup=3)
    (ratio,) = found.ratios
    assert ratio.path == str(small)
    assert ratio.baseline == str(large)
    assert ratio.high < 0.5
    assert ratio.speedup == pytest.approx(1 / ratio.value)
    p50s = [p.latency_ms.p50 for p in found.profiles]
    assert p50s[1] / p50s[0] == pytest.approx(ratio.value, rel=0.5)
    json.dumps(found.to_dict(), allow_nan=False)


def test_turns_alternate_who_goes_first() -> None:
    order: list[str] = []

    class Fake:
        def __init__(self, name: str) -> None:
            self.name = name

        def ask(self, line: str) -> None:
            order.append(self.name)

        def answer(self) -> dict[str, Any]:
            return {"p50": 1.0, "n": 100}

    measure._take_turns([Fake("A"), Fake("B")], 1, 0.0)  # type: ignore[list-item]
    assert "".join(order) == "ABBA" * 3


def fake_python(tmp_path: Path, script: str) -> Path:
    path = tmp_path / "python"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


@pytest.mark.skipif(os.name != "posix", reason="needs a shell script as the interpreter")
def test_a_child_past_the_time_limit_is_killed(make_onnx: Maker, tmp_path: Path) -> None:
    path = make_onnx(8, 4)
    python = fake_python(tmp_path, f"echo $$ > {tmp_path}/pid; exec sleep 60")
    start = time.monotonic()
    with pytest.raises(EdgepruneError, match=r"model\.onnx took longer than 0\.8 s; allow more time"):
        profile(path, python=python, timeout=0.8)
    assert time.monotonic() - start < 10
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "pid").read_text()), 0)


@pytest.mark.skipif(os.name != "posix", reason="needs a shell script as the interpreter")
@pytest.mark.parametrize(
    ("script", "parts"),
    [
        ("kill -SEGV $$", ["died of SIGSEGV"]),
        ("echo 'no such thing' >&2; exit 3", ["exit status 3", "no such thing"]),
        ("echo hello", ["answered 'hello'"]),
    ],
)
def test_a_child_that_dies_is_one_line(make_onnx: Maker, tmp_path: Path, script: str, parts: list[str]) -> None:
    with pytest.raises(EdgepruneError) as caught:
        profile(make_onnx(8, 4), python=fake_python(tmp_path, script))
    message = str(caught.value)
    assert "model.onnx" in message
    assert "\n" not in message
    assert all(part in message for part in parts), message


def test_an_interpreter_without_a_runtime_is_told_what_to_install(make_onnx: Maker, tmp_path: Path) -> None:
    # -S leaves the installed packages out.
    python = fake_python(tmp_path, f'exec {sys.executable} -S "$@"')
    with pytest.raises(EdgepruneError, match="has no onnxruntime; install it there with pip"):
        profile(make_onnx(8, 4), python=python)


@pytest.mark.parametrize(
    ("name", "arguments", "parts"),
    [
        ("gone.onnx", {}, ["gone.onnx", "does not exist"]),
        ("model.h5", {}, ["model.h5", ".onnx, .pt2 and .tflite"]),
        ("bad.onnx", {}, ["cannot profile", "bad.onnx"]),
        ("bad.onnx", {"threads": 0}, ["threads is 0", "1 or more"]),
        ("bad.onnx", {"min_seconds": float("nan")}, ["min_seconds is nan"]),
        ("bad.onnx", {"runtime": "tensorrt"}, ["tensorrt", "onnxruntime"]),
        ("bad.onnx", {"runtime": "ai-edge-litert"}, ["ai-edge-litert takes .tflite files"]),
        ("bad.onnx", {"python": "/nowhere/python"}, ["cannot start /nowhere/python"]),
    ],
)
def test_what_cannot_be_profiled_is_refused(tmp_path: Path, name: str, arguments: dict[str, Any], parts: list[str]) -> None:
    pytest.importorskip("onnxruntime", reason="profiling an .onnx file needs onnxruntime")
    path = tmp_path / name
    if not name.startswith("gone"):
        path.write_bytes(b"not a model")
    with pytest.raises(EdgepruneError) as caught:
        profile(path, **arguments)
    assert "\n" not in str(caught.value)
    assert all(part in str(caught.value) for part in parts), caught.value


def test_one_file_is_no_comparison(make_onnx: Maker) -> None:
    with pytest.raises(EdgepruneError, match="two files or more, not 1"):
        compare([make_onnx(8, 4)])


def tflite_model(tmp_path: Path) -> Path:
    pytest.importorskip("flatbuffers", reason="writing a .tflite file needs flatbuffers")
    random = np.random.default_rng(0)
    weight = np.where(random.random((64, 128)) < 0.02, random.standard_normal((64, 128)), 0).astype(np.float32)
    graph = Graph({"x": Value((128,))}, ("y",), (Node("y", Linear(weight), ("x",)),))
    write(graph, tmp_path / "model.tflite")
    return tmp_path / "model.tflite"


def test_a_tflite_file_is_profiled_in_litert(tmp_path: Path) -> None:
    pytest.importorskip("ai_edge_litert", reason="profiling a .tflite file needs ai-edge-litert")
    found = profile(tflite_model(tmp_path), **QUICK)
    assert found.runtime.startswith("ai-edge-litert ")
    assert 0 < found.latency_ms.p50 < 10


def test_a_tflite_file_is_profiled_in_another_interpreter_with_the_older_runtime(tmp_path: Path) -> None:
    python = os.environ.get("EDGEPRUNE_TFLITE_RUNTIME_PYTHON")
    if not python:
        pytest.skip("EDGEPRUNE_TFLITE_RUNTIME_PYTHON names no Python with tflite-runtime")
    found = profile(tflite_model(tmp_path), python=python, **QUICK)
    assert found.runtime.startswith("tflite-runtime ")


def test_two_formats_can_be_compared(tmp_path: Path, make_onnx: Maker) -> None:
    pytest.importorskip("ai_edge_litert", reason="profiling a .tflite file needs ai-edge-litert")
    found = compare([make_onnx(128, 64), tflite_model(tmp_path)], min_seconds=0.1, runs=5, warmup=3)
    assert [p.runtime.split()[0] for p in found.profiles] == ["onnxruntime", "ai-edge-litert"]


def test_a_run_of_microseconds_is_profiled_in_three_processes_of_which_the_middle_one_counts(
    make_onnx: Maker, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[Profile] = []
    slowness = iter([2.1, 2.0, 2.05])

    def slowed(*given: Any) -> Profile:
        found = real(*given)
        t = dataclasses.replace(found.latency_ms, p50=next(slowness) * 1e-3)
        seen.append(dataclasses.replace(found, latency_ms=t))
        return seen[-1]

    real = measure.profile_of
    monkeypatch.setattr(measure, "profile_of", slowed)
    assert profile(make_onnx(8, 4), **QUICK).latency_ms == seen[2].latency_ms
    assert len(seen) == 3


@pytest.mark.parametrize(
    ("medians", "middle"),
    [((2.0, 2.0, 2.1), 2.0), ((3.0, 2.0, 3.1, *[2.0] * 6), 2.0), ((3.0, 2.0, 3.1, 2.0), 2.0)],
    ids=["agreeing", "two slow ones of three", "no time for all nine"],
)
def test_more_processes_are_asked_where_the_first_ones_do_not_agree(
    make_onnx: Maker, monkeypatch: pytest.MonkeyPatch, medians: tuple[float, ...], middle: float
) -> None:
    one = profile(make_onnx(8, 4), **QUICK)
    now = [0.0]
    monkeypatch.setattr(measure.time, "monotonic", lambda: now[0])
    left = iter(medians)

    def trial() -> Profile:
        now[0] += 1.0
        return dataclasses.replace(one, latency_ms=dataclasses.replace(one.latency_ms, p50=next(left) * 1e-3))

    found = measure.middle_of(trial, deadline=5.0 if len(medians) == 4 else 100.0)
    assert found.latency_ms.p50 == middle * 1e-3
    assert found.processes_ms == tuple(1e-3 * each for each in medians)
    said = [each for each in found.warnings if "processes found medians from 2 to 3.1 µs" in each]
    assert len(said) == (len(medians) > 3)


def test_a_longer_run_is_profiled_in_one_process(make_onnx: Maker, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(measure, "SHORT_MS", 0.0)
    calls = []
    real = measure.profile_of
    monkeypatch.setattr(measure, "profile_of", lambda *given: calls.append(given) or real(*given))
    profile(make_onnx(8, 4), **QUICK)
    assert len(calls) == 1
