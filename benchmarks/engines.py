"""One model in one engine in a process of its own, answering a line at a time: what c_speed.py and runtime.py measure in turns.

    python engines.py ENGINE MODEL INPUT.npy OUTPUT.npy

loads MODEL, runs it once on the array in INPUT.npy, stores the first output and says {"version", "load_ms", "memory"}: the peak of
what the process holds beyond what it held with the engine imported and no model. Then it answers every line N with the processor
time of N runs, in nanoseconds, all threads together. It needs numpy and the engine alone, so each engine may live in an environment
of its own.
"""

from __future__ import annotations

import ctypes
import json
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from importlib import import_module, metadata
from pathlib import Path
from typing import Any

# engine: (what is imported, the package that says its version)
ENGINES = {
    "onnxruntime": ("onnxruntime", "onnxruntime"),
    "litert": ("ai_edge_litert.interpreter", "ai-edge-litert"),
    "openvino": ("openvino", "openvino"),
    "mnn": ("MNN", "MNN"),
    "ncnn": ("ncnn", "ncnn"),
    "deepsparse": ("deepsparse", "deepsparse"),
    "c": ("ctypes", ""),
}


class Missing(Exception):
    """An engine that is not installed, or a model that it does not take; in one line."""


class Child:
    """The process of one engine; `name` tells several of one engine apart."""

    def __init__(self, engine: str, python: str, model: Path, fed: Path, name: str = "") -> None:
        self.engine, self.name, self._made = engine, name or engine, model.with_name(f"{model.name}.{engine}.npy")
        command = [python, str(Path(__file__).resolve()), engine, str(model), str(fed), str(self._made)]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment()
        )
        self.said = self._answer()

    def _answer(self) -> Any:
        assert self._process.stdout is not None
        # Engines print what they like; ours begins with a mark.
        for line in self._process.stdout:
            if line.startswith("@"):
                return json.loads(line[1:])
        assert self._process.stderr is not None
        lines = [line.strip() for line in self._process.stderr.read().splitlines() if line.strip()] or ["it said nothing"]
        raise Missing(f"{self.engine}: {lines[-1]}")

    def output(self) -> Any:
        import numpy as np

        return np.load(self._made)

    def run(self, times: int) -> list[int]:
        assert self._process.stdin is not None
        self._process.stdin.write(f"{times}\n")
        self._process.stdin.flush()
        return list(self._answer())

    def close(self) -> None:
        self._process.kill()
        self._process.wait()


def environment() -> dict[str, str]:
    import os

    one = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NM_NUM_THREADS"), "1")
    # An environment of its own must not see the packages of the one that asks.
    return {name: text for name, text in os.environ.items() if name != "PYTHONPATH"} | one


def in_turns(children: Sequence[Child], seconds: float, each: int = 3) -> dict[str, list[int]]:
    """Nanoseconds of every run, a few of one engine and a few of the next, until `seconds` have passed."""
    times: dict[str, list[int]] = {child.name: [] for child in children}
    end = time.perf_counter() + seconds
    while time.perf_counter() < end or min(map(len, times.values())) < 5 * each:
        for child in children:
            times[child.name] += child.run(each)
    return times


# -- in the child ------------------------------------------------------------------------------------------------------


def onnxruntime(module: Any, model: str, x: Any) -> tuple[Callable[[], Any], Callable[[], Any]]:
    options = module.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    session = module.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    binding = session.io_binding()
    binding.bind_cpu_input(session.get_inputs()[0].name, x)
    binding.bind_output(session.get_outputs()[0].name)
    return lambda: session.run_with_iobinding(binding), lambda: binding.copy_outputs_to_cpu()[0]


def litert(module: Any, model: str, x: Any) -> tuple[Callable[[], Any], Callable[[], Any]]:
    interpreter = module.Interpreter(model_path=model, num_threads=1)
    interpreter.allocate_tensors()
    asked, made = interpreter.get_input_details()[0], interpreter.get_output_details()[0]
    if tuple(asked["shape"]) != x.shape:
        x = x.transpose(0, 2, 3, 1)
    interpreter.set_tensor(asked["index"], x)
    return interpreter.invoke, lambda: interpreter.get_tensor(made["index"])


def openvino(module: Any, model: str, x: Any) -> tuple[Callable[[], Any], Callable[[], Any]]:
    core = module.Core()
    settings = {"INFERENCE_NUM_THREADS": 1, "NUM_STREAMS": 1, "INFERENCE_PRECISION_HINT": "f32"}
    request = core.compile_model(core.read_model(model), "CPU", settings).create_infer_request()
    request.set_input_tensor(module.Tensor(x))
    return request.infer, lambda: request.get_output_tensor().data.copy()


def mnn(module: Any, model: str, x: Any) -> tuple[Callable[[], Any], Callable[[], Any]]:
    interpreter = module.Interpreter(model)
    session = interpreter.createSession({"numThread": 1, "precision": "high"})
    asked = interpreter.getSessionInput(session)
    asked.copyFrom(module.Tensor(x.shape, module.Halide_Type_Float, x, module.Tensor_DimensionType_Caffe))

    def output() -> Any:
        import numpy as np

        made = interpreter.getSessionOutput(session)
        shape = tuple(made.getShape())
        host = module.Tensor(shape, module.Halide_Type_Float, np.zeros(shape, np.float32), module.Tensor_DimensionType_Caffe)
        made.copyToHostTensor(host)
        return np.array(host.getNumpyData(), np.float32).reshape(shape)

    return lambda: interpreter.runSession(session), output


def ncnn(module: Any, model: str, x: Any) -> tuple[Callable[[], Any], Callable[[], Any]]:
    import numpy as np

    net = module.Net()
    net.opt.num_threads = 1
    net.opt.use_fp16_packed = net.opt.use_fp16_storage = net.opt.use_fp16_arithmetic = False
    net.opt.use_bf16_storage = False
    if net.load_param(model) or net.load_model(model.removesuffix(".param") + ".bin"):
        raise Missing("ncnn could not load it")
    held: list[Any] = []

    def run() -> None:
        extractor = net.create_extractor()
        extractor.input("in0", module.Mat(x[0]))
        held[:] = [extractor.extract("out0")[1]]

    return run, lambda: np.array(held[0])


def deepsparse(module: Any, model: str, x: Any) -> tuple[Callable[[], Any], Callable[[], Any]]:
    engine = module.Engine(model=model, batch_size=1, num_cores=1)
    held: list[Any] = []

    def run() -> None:
        held[:] = engine.run([x])

    return run, lambda: held[0]


def c(module: Any, model: str, x: Any) -> tuple[Callable[[], Any], Callable[[], Any]]:
    """`model` is a shared library, its outputs' size beside it in a file."""
    import numpy as np

    library = module.CDLL(model)
    library.model_arena_bytes.restype = module.c_size_t
    arena = np.empty(library.model_arena_bytes(), np.uint8)
    out = np.empty(int(Path(model + ".size").read_text()), np.float32)
    library.model_run.argtypes = [module.c_void_p] * 3
    memory = (x, out, arena)
    pointers = [module.c_void_p(a.ctypes.data) for a in memory]
    return lambda: library.model_run(*pointers), lambda: memory[1]  # which keeps all three alive


def resident(field: str) -> int:
    """Bytes that /proc says of this process: VmRSS now, VmHWM at most."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field + ":"):
            return int(line.split()[1]) * 1024
    return 0


def main(engine: str, model: str, fed: str, made: str) -> None:
    import numpy as np

    imported, package = ENGINES[engine]
    module = ctypes if engine == "c" else import_module(imported)
    x = np.load(fed)
    Path("/proc/self/clear_refs").write_text("5")  # the peak begins here
    before, begin = resident("VmRSS"), time.perf_counter()
    run, output = globals()[engine](module, model, x)
    load_ms = (time.perf_counter() - begin) * 1e3
    run()
    said = {"version": metadata.version(package) if package else "", "load_ms": load_ms, "memory": resident("VmHWM") - before}
    np.save(made, output())
    print("@" + json.dumps(said), flush=True)
    for line in sys.stdin:
        times = []
        for _ in range(int(line)):
            start = time.process_time_ns()
            run()
            times.append(time.process_time_ns() - start)
        print("@" + json.dumps(times), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
