"""Runs on GPUs and other accelerators: what they answer is held against the CPU, and what is not there is refused by name."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from sketch_graph import small_network

from edgeprune.errors import EdgepruneError
from edgeprune.formats import write
from edgeprune.graph import Graph, Node, Value
from edgeprune.ops import Linear
from edgeprune.profiling import Accelerator, Profile, drivers, load_target, profile, profile_on, remote, runner, timing
from edgeprune.profiling.detection import nvidia_gpus

QUICK: dict[str, Any] = {"min_seconds": 0.05, "runs": 5, "warmup": 1}
Maker = Callable[..., Path]


def linear(tmp_path: Path, optimize: str) -> Path:
    """A .tflite file of one layer, 5 % full."""
    pytest.importorskip("flatbuffers", reason="writing a .tflite file needs flatbuffers")
    litert = pytest.importorskip("ai_edge_litert", reason="LiteRT's GPU engine comes with ai-edge-litert")
    if not list(Path(litert.__path__[0]).glob("libLiteRt*Accelerator.*")):
        pytest.skip("this ai-edge-litert has no GPU accelerator")
    random = np.random.default_rng(0)
    weight = np.where(random.random((64, 128)) < 0.05, random.standard_normal((64, 128)), 0).astype(np.float32)
    graph = Graph({"x": Value((128,))}, ("y",), (Node("y", Linear(weight), ("x",)),))
    write(graph, tmp_path / "model.tflite", optimize=optimize)
    return tmp_path / "model.tflite"


def on_gpu(path: Path, name: str) -> Profile:
    try:
        return profile(path, accelerator=name, **QUICK)
    except EdgepruneError as error:
        if drivers.NO_GPU in str(error):
            pytest.skip("no GPU has a Vulkan driver here, nor is there a software one (mesa-vulkan-drivers)")
        raise


@pytest.mark.parametrize(("name", "precision", "error"), [("gpu", "float16", 5e-3), ("gpu-f32", "float32", 1e-5)])
def test_a_tflite_file_runs_in_the_gpu_engine_and_answers_as_the_cpu_does(
    tmp_path: Path, name: str, precision: str, error: float
) -> None:
    found = on_gpu(linear(tmp_path, "dense"), name)
    used = found.accelerator
    assert used is not None
    assert (used.name, used.precision) == (name, precision)
    assert used.largest_relative_error < error
    assert used.device.endswith("by Vulkan") or not used.software
    assert found.latency_ms.p50 > 0
    assert any("is software on this processor" in each for each in found.warnings) == used.software
    assert Profile.from_dict(found.to_dict()) == found


def test_sparse_weights_which_the_gpu_engine_reads_as_dense_ones_are_refused_with_what_would_do(tmp_path: Path) -> None:
    path = linear(tmp_path, "latency")
    with pytest.raises(EdgepruneError, match=r"computes something else than the CPU.*--optimize dense"):
        on_gpu(path, "gpu-f32")


def test_a_machine_without_a_gpu_driver_is_told_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("VK_DRIVER_FILES", "VK_ICD_FILENAMES"):
        monkeypatch.setenv(name, str(tmp_path / "none"))
    with pytest.raises(EdgepruneError, match=r"no GPU answers here.*mesa-vulkan-drivers") as caught:
        profile(linear(tmp_path, "dense"), accelerator="gpu", **QUICK)
    assert "\n" not in str(caught.value)


def test_a_package_without_the_gpu_engine_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = SimpleNamespace(__file__=str(tmp_path / "compiled_model.py"))
    monkeypatch.setattr(drivers, "import_module", lambda name: module)
    with pytest.raises(drivers.Refused, match=r"holds no GPU accelerator .*install ai-edge-litert"):
        drivers.TFLiteGPU(None, "model.tflite", 1, "gpu")


def test_what_litert_says_of_a_file_it_does_not_take_is_one_line() -> None:
    log = "INFO: x\nERROR: [delegate.cc:12] Following operations are not supported by GPU delegate:\nDENSIFY: none\n"
    said = drivers.why_no_gpu(log, RuntimeError("status 3"))
    assert "operations are not supported by GPU delegate)" in said
    assert "--optimize dense" in said


@pytest.mark.parametrize(
    ("file", "name", "parts"),
    [
        ("model.onnx", "gpu", ["no accelerator 'gpu' for", "cuda, tensorrt, coreml, xnnpack, webgpu for .onnx"]),
        ("model.tflite", "cuda", ["no accelerator 'cuda' for", "gpu, gpu-f32 for .tflite"]),
        ("model.pt2", "gpu", ["no accelerator 'gpu' for", "cuda for .pt2"]),
    ],
)
def test_an_accelerator_for_other_files_is_refused(tmp_path: Path, file: str, name: str, parts: list[str]) -> None:
    (tmp_path / file).write_bytes(b"")
    with pytest.raises(EdgepruneError) as caught:
        profile(tmp_path / file, accelerator=name)
    assert all(part in str(caught.value) for part in parts), caught.value


def test_a_c_model_has_no_accelerator(tmp_path: Path) -> None:
    with pytest.raises(EdgepruneError, match=r"no accelerator 'gpu' for .*model\.c; a C model runs on the CPU"):
        profile_on("host", tmp_path / "model.c", accelerator="gpu")


def test_times_op_by_op_are_not_the_accelerators(make_onnx: Maker) -> None:
    with pytest.raises(EdgepruneError, match=r"op by op are taken on the CPU; leave out ops"):
        profile(make_onnx(8, 4), accelerator="cuda", ops=True)


@pytest.mark.parametrize("name", list(drivers.PROVIDERS))
def test_a_provider_that_onnxruntime_lacks_is_refused_with_what_it_has(make_onnx: Maker, name: str) -> None:
    path = make_onnx(8, 4)
    onnxruntime = pytest.importorskip("onnxruntime")
    provider, *_, source = drivers.PROVIDERS[name]
    if provider in onnxruntime.get_available_providers():
        pytest.skip(f"this onnxruntime has {provider}")
    with pytest.raises(EdgepruneError, match=rf"this onnxruntime has no {provider}; it has: .*CPU; .*") as caught:
        profile(path, accelerator=name, **QUICK)
    assert str(caught.value).endswith(source)


class Session:
    """An onnxruntime whose CUDA provider is there but does not start, or takes only a part of the file."""

    def __init__(self, fails: str = "") -> None:
        self.fails = fails
        self.entries: dict[str, str] = {}

    def SessionOptions(self) -> Any:
        return SimpleNamespace(add_session_config_entry=self.entries.__setitem__)

    def get_available_providers(self) -> list[str]:
        return ["CUDAExecutionProvider", "CPUExecutionProvider"]

    def InferenceSession(self, path: str, options: Any, providers: list[str]) -> Any:
        assert providers == ["CUDAExecutionProvider"]
        if self.fails:
            raise RuntimeError(self.fails)
        return SimpleNamespace(get_providers=lambda: ["CPUExecutionProvider"])


def test_a_provider_that_does_not_start_is_no_run_on_the_cpu_instead() -> None:
    with pytest.raises(drivers.Refused, match="CUDAExecutionProvider does not start here: onnxruntime fell back on the CPU"):
        drivers.ONNX(Session(), "model.onnx", 1, "cuda")


def test_a_provider_that_takes_only_a_part_of_a_file_is_refused() -> None:
    module = Session("This session contains graph nodes\nthat are assigned to the default CPU EP")
    with pytest.raises(drivers.Refused, match=r"CUDAExecutionProvider does not take this file: This session .* default CPU EP;"):
        drivers.ONNX(module, "model.onnx", 1, "cuda")
    assert module.entries == {"session.disable_cpu_ep_fallback": "1"}


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("program") / "model.pt2"
    write(small_network(), path)
    return path


def test_a_pt2_file_is_profiled_in_torch(program: Path) -> None:
    found = profile_on("host", program, **QUICK)
    assert found.runtime.startswith("torch ")
    assert found.accelerator is None
    assert found.latency_ms.p50 > 0
    assert found.memory is None or found.memory.peak_bytes > 0


def test_the_program_that_is_timed_computes_what_the_graph_does(program: Path) -> None:
    import torch

    driver = drivers.Program(torch, str(program), torch.get_num_threads())
    given = drivers.make_inputs(driver.inputs(), 0)
    driver.feed(given)
    driver.run()
    expected = small_network().run(*given)
    assert timing.error_of(driver.outputs(), expected if isinstance(expected, (list, tuple)) else [expected]) < 1e-5


def test_a_torch_without_cuda_is_told_what_it_takes(program: Path) -> None:
    import torch

    if torch.cuda.is_available():
        pytest.skip("this torch has a GPU")
    with pytest.raises(EdgepruneError, match=r"torch .* has .*; an NVIDIA GPU takes its driver and a torch built for CUDA"):
        profile(program, accelerator="cuda", **QUICK)


@pytest.mark.skipif(bool(nvidia_gpus()), reason="this machine has an NVIDIA GPU")
def test_a_gpu_target_without_such_a_gpu_is_refused_saying_how_to_reach_one(program: Path) -> None:
    with pytest.raises(EdgepruneError, match=r"this machine has no H100 \(nvidia-smi sees no GPU\); .*--host"):
        profile_on("h100", program)


@pytest.mark.skipif(not nvidia_gpus(), reason="a run on a CUDA GPU takes an NVIDIA GPU")
def test_a_pt2_file_runs_on_a_cuda_gpu(program: Path) -> None:
    used = profile(program, accelerator="cuda", **QUICK).accelerator
    assert used is not None
    assert used.memory_bytes
    assert used.largest_relative_error < 5e-2


def test_what_another_gpu_ran_is_no_profile_of_the_target(a_profile: Profile) -> None:
    h100 = load_target("h100")
    with pytest.raises(EdgepruneError, match=r"ran on NVIDIA L4, but h100 is H100; choose the target that it is"):
        remote.check_gpu(dataclasses.replace(a_profile, accelerator=Accelerator("cuda", "NVIDIA L4", "float32", 0.0)), h100)
    right = dataclasses.replace(a_profile, accelerator=Accelerator("cuda", "NVIDIA H100 80GB HBM3", "float32", 0.0))
    assert remote.check_gpu(right, h100) == right


@pytest.fixture
def a_profile(make_onnx: Maker) -> Profile:
    return profile(make_onnx(8, 4), **QUICK)


def test_an_error_is_of_the_largest_output_and_what_is_no_number_is_infinitely_wrong() -> None:
    assert timing.error_of([np.array([1.0, 4.5])], [np.array([1.0, 5.0])]) == pytest.approx(0.1)
    assert timing.error_of([np.array([1.0, np.nan])], [np.array([1.0, 5.0])]) == math.inf
    assert timing.error_of([np.zeros(2)], [np.zeros(2)]) == 0


@pytest.mark.parametrize(("off", "refused"), [(0.0009, False), (0.002, True), (math.nan, True)])
def test_an_accelerator_that_computes_something_else_is_refused(off: float, refused: bool) -> None:
    processor = SimpleNamespace(feed=lambda given: None, run=lambda: None, outputs=lambda: [np.array([1.0])])
    accelerator = {"name": "x", "device": "the device", "precision": "float32", "tolerance": drivers.FLOAT32}
    if refused:
        with pytest.raises(drivers.Refused, match="the device computes something else than the CPU"):
            runner.compared("m.onnx", accelerator, [np.array([1 + off])], processor, [])
    else:
        found = runner.compared("m.onnx", accelerator, [np.array([1 + off])], processor, [])
        assert found["largest_relative_error"] == pytest.approx(off)
