"""What runs a model file: a driver for each runtime, on the processor or on an accelerator.

Half of the timing script runner.py, which loads this file from beside itself: it imports nothing of this package, needs numpy and
one runtime only, and runs on any Python from 3.8 on.
"""

from __future__ import annotations

import glob
import os
import re
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from importlib import import_module, metadata
from typing import Any

# How far an accelerator may be off the processor, as a part of the largest output: float32 added up in another order, and
# arithmetic of ten bits (float16, tf32), where one rounding in 2000 meets a hundred more on its way.
FLOAT32, TEN_BITS = 1e-3, 5e-2


class Refused(Exception):
    """What cannot be measured, in one line."""


class TFLite:
    """A .tflite file in LiteRT or in the older TensorFlow Lite runtime; both have the same interface."""

    accelerator: dict[str, Any] | None = None

    def __init__(self, module: Any, path: str, threads: int) -> None:
        self.interpreter = module.Interpreter(model_path=path, num_threads=threads)
        self.interpreter.allocate_tensors()
        self.run: Callable[[], Any] = self.interpreter.invoke

    def inputs(self) -> list[tuple[Sequence[int], Any]]:
        return [(each["shape"], each["dtype"]) for each in self.interpreter.get_input_details()]

    def feed(self, arrays: Sequence[Any]) -> None:
        for i, each in enumerate(self.interpreter.get_input_details()):
            self.interpreter.set_tensor(each["index"], arrays[i])

    def outputs(self) -> list[Any]:
        return [self.interpreter.get_tensor(each["index"]) for each in self.interpreter.get_output_details()]


# What may help where an accelerator does not compute what the file says, or does not take it.
DENSE = "LiteRT's GPU engine reads no sparse weights: export the file with --optimize dense"
REMEDIES = {".tflite": f"; {DENSE}"}

# What LiteRT's log calls the GPU that it chose.
ADAPTER = re.compile(r"Selected adapter: (?P<name>.*?), arch=.*backend=(?P<by>\w+), adapterType=(?P<kind>.*)")
NO_GPU = (
    "no GPU answers here, not even a software one: install the GPU's Vulkan driver, or for a try without a GPU "
    "apt-get install libvulkan1 mesa-vulkan-drivers (of Mesa 25 or newer)"
)


class TFLiteGPU:
    """A .tflite file in LiteRT's GPU engine. A run is the model's and reading its outputs back: only then has it run."""

    def __init__(self, module: Any, path: str, threads: int, name: str) -> None:
        try:
            compiled, options, hardware = (
                import_module(f"ai_edge_litert.{each}") for each in ("compiled_model", "options", "hardware_accelerator")
            )
        except ImportError as error:
            raise Refused(f"this ai-edge-litert has no CompiledModel ({error}); install ai-edge-litert 2.1 or newer") from None
        home = os.path.dirname(str(compiled.__file__))
        if not glob.glob(os.path.join(home, "libLiteRt*Accelerator.*")):
            raise Refused(f"{home} holds no GPU accelerator (libLiteRtWebGpuAccelerator.so); install ai-edge-litert 2.1 or newer")
        with overheard() as heard:
            try:
                self.model = compiled.CompiledModel.from_file(
                    path,
                    options=options.Options(
                        hardware_accelerators=hardware.HardwareAccelerator.GPU,
                        gpu_options=options.GpuOptions(enforce_f32=name == "gpu-f32"),
                    ),
                )
            except RuntimeError as error:
                raise Refused(why_no_gpu("".join(heard()), error)) from None
            adapter = ADAPTER.search("".join(heard()))
        if not self.model.is_fully_accelerated():
            raise Refused("LiteRT's GPU engine takes only some of the file's ops; measure it on the CPU: leave out --accelerator")
        signature = next(iter(self.model.get_signature_list()))
        self.given = list(self.model.get_input_tensor_details(signature).values())
        self.made = list(self.model.get_output_tensor_details(signature).values())
        self.fed, self.written = self.model.create_input_buffers(0), self.model.create_output_buffers(0)
        self.results: list[Any] = []
        self.accelerator = {
            "name": name,
            "device": f"{adapter['name']} by {adapter['by']}" if adapter else "a GPU that LiteRT does not name",
            "software": bool(adapter and adapter["kind"].startswith("CPU")),
            "precision": "float32" if name == "gpu-f32" else "float16",
            "tolerance": FLOAT32 if name == "gpu-f32" else TEN_BITS,
        }

    def inputs(self) -> list[tuple[Sequence[int], Any]]:
        return [(each["shape"], each["dtype"]) for each in self.given]

    def feed(self, arrays: Sequence[Any]) -> None:
        for buffer, array in zip(self.fed, arrays):
            buffer.write(array.ravel())

    def run(self) -> None:
        self.model.run_by_index(0, self.fed, self.written)
        self.results = [buffer.read(count_of(each["shape"]), each["dtype"]) for buffer, each in zip(self.written, self.made)]

    def outputs(self) -> list[Any]:
        return self.results


def count_of(shape: Iterable[int]) -> int:
    found = 1
    for each in shape:
        found *= max(int(each), 1)
    return found


def why_no_gpu(log: str, error: Exception) -> str:
    """One line of what LiteRT said while it failed."""
    if "No adapters found" in log or "libvulkan" in log:
        return NO_GPU
    said = [line.strip() for line in log.splitlines() if re.match(r"ERROR|E\d{4} ", line)] or [str(error)]
    last = re.sub(r"^(ERROR: |E\d+ \S+ +\d+ )(\[?\S+\]? )?", "", said[-1])
    return f"LiteRT's GPU engine does not take this file ({last[:200].rstrip(' .:')}); {DENSE}, or leave out --accelerator"


@contextmanager
def overheard() -> Iterator[Callable[[], list[str]]]:
    """What native code says on the error output in this block, which says it afterwards all the same."""
    sys.stderr.flush()
    plain = os.dup(2)
    with tempfile.TemporaryFile("w+", errors="replace") as heard:

        def lines() -> list[str]:
            heard.seek(0)
            return list(heard)

        os.dup2(heard.fileno(), 2)
        try:
            yield lines
        finally:
            os.dup2(plain, 2)
            os.close(plain)
            sys.stderr.writelines(lines())


# accelerator: (onnxruntime's name for it, its arithmetic, how far that may be off, what has it)
PROVIDERS = {
    "cuda": ("CUDAExecutionProvider", "float32, tf32 where the GPU has it", TEN_BITS, "pip install onnxruntime-gpu"),
    "tensorrt": ("TensorrtExecutionProvider", "float32, tf32 where the GPU has it", TEN_BITS, "pip install onnxruntime-gpu"),
    "coreml": ("CoreMLExecutionProvider", "float16", TEN_BITS, "onnxruntime has it on macOS and iOS"),
    "xnnpack": ("XnnpackExecutionProvider", "float32", FLOAT32, "onnxruntime has it on Android and iOS, or where built with it"),
    "webgpu": ("WebGpuExecutionProvider", "float32", FLOAT32, "pip install onnxruntime-webgpu"),
}


class ONNX:
    """An .onnx file in onnxruntime. Inputs and outputs are bound once, in main memory: a run is the model and their transport."""

    def __init__(self, module: Any, path: str, threads: int, name: str | None = None) -> None:
        self.accelerator: dict[str, Any] | None = None
        provider = "CPUExecutionProvider"
        options = self.options(module, threads)
        if name is not None:
            provider, precision, tolerance, source = PROVIDERS[name]
            there = module.get_available_providers()
            if provider not in there:
                has = ", ".join(each.replace("ExecutionProvider", "") for each in there)
                raise Refused(f"this onnxruntime has no {provider}; it has: {has}; {source}")
            # Otherwise what the accelerator does not take runs on the processor without a word.
            options.add_session_config_entry("session.disable_cpu_ep_fallback", "1")
            device = nvidia_gpu() if name in ("cuda", "tensorrt") else ""
            self.accelerator = {"name": name, "device": device or provider, "precision": precision, "tolerance": tolerance}
        try:
            self.session = module.InferenceSession(path, options, providers=[provider])
        except Exception as error:
            if name is None:
                raise
            text = " ".join(str(error).split())[:300]
            raise Refused(f"{provider} does not take this file: {text}; leave out --accelerator to measure on the CPU") from None
        if name is not None and provider not in self.session.get_providers():
            raise Refused(f"{provider} does not start here: onnxruntime fell back on the CPU; are its libraries installed?")
        self.binding = self.session.io_binding()

    def options(self, module: Any, threads: int) -> Any:
        options = module.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3
        return options

    def inputs(self) -> list[tuple[Sequence[int], Any]]:
        names = {"float": "float32", "double": "float64"}
        found: list[tuple[Sequence[int], Any]] = []
        for each in self.session.get_inputs():
            kind = each.type[len("tensor(") : -1]
            # A free axis is a name or None.
            found.append(([n if isinstance(n, int) else 1 for n in each.shape], names.get(kind, kind)))
        return found

    def feed(self, arrays: Sequence[Any]) -> None:
        for i, each in enumerate(self.session.get_inputs()):
            self.binding.bind_cpu_input(each.name, arrays[i])
        for each in self.session.get_outputs():
            self.binding.bind_output(each.name, "cpu")

    def run(self) -> None:
        self.session.run_with_iobinding(self.binding)

    def outputs(self) -> list[Any]:
        return list(self.binding.copy_outputs_to_cpu())


def nvidia_gpu() -> str:
    """What the first NVIDIA GPU calls itself; empty where the driver does not tell."""
    for path in sorted(glob.glob("/proc/driver/nvidia/gpus/*/information")):
        with open(path) as file:
            for line in file:
                if line.startswith("Model:"):
                    return line.partition(":")[2].strip()
    return ""


class Program:
    """A .pt2 file in PyTorch. On a GPU a run is the program and copying its outputs back: only then has it run."""

    def __init__(self, module: Any, path: str, threads: int, name: str | None = None) -> None:
        self.torch = module
        self.name = name
        module.set_num_threads(threads)
        if name == "cuda" and not module.cuda.is_available():
            has = f"CUDA {module.version.cuda}, but no GPU that it can use" if module.version.cuda else "no CUDA built in"
            raise Refused(f"torch {module.__version__} has {has}; an NVIDIA GPU takes its driver and a torch built for CUDA")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            program = module.export.load(path)
            users = [n for n in program.graph.nodes if n.op == "placeholder" and n.name in program.graph_signature.user_inputs]
            self.values = [n.meta["val"] for n in users]
            if name is not None:
                import_module("torch.export.passes")
                program = module.export.passes.move_to_device_pass(program, name)
            self.program = program.module()
        self.fed: tuple[Any, ...] = ()
        self.made: list[Any] = []

    @property
    def accelerator(self) -> dict[str, Any] | None:
        if self.name is None:
            return None
        return {
            "name": self.name,
            "device": self.torch.cuda.get_device_name(),
            "precision": "float32, tf32 in convolutions where the GPU has it",
            "tolerance": TEN_BITS,
            "memory_bytes": self.torch.cuda.max_memory_allocated(),
        }

    def inputs(self) -> list[tuple[Sequence[int], Any]]:
        # A size that the program leaves open is no number.
        sizes = [[n if isinstance(n, int) else 1 for n in each.shape] for each in self.values]
        return [(size, str(each.dtype).rpartition(".")[2]) for size, each in zip(sizes, self.values)]

    def feed(self, arrays: Sequence[Any]) -> None:
        self.fed = tuple(self.torch.from_numpy(each).to(self.name or "cpu") for each in arrays)

    def run(self) -> None:
        with self.torch.inference_mode():
            made = self.program(*self.fed)
        self.made = [each.cpu() for each in (made if isinstance(made, (tuple, list)) else (made,))]

    def outputs(self) -> list[Any]:
        return [each.numpy() for each in self.made]


# Each runtime: what it is installed as, its module, its files, how it is driven. For a file the first installed one is used.
RUNTIMES: dict[str, tuple[str, str, str, Any]] = {
    "ai-edge-litert": ("ai-edge-litert", "ai_edge_litert.interpreter", ".tflite", TFLite),
    "tflite-runtime": ("tflite-runtime", "tflite_runtime.interpreter", ".tflite", TFLite),
    "onnxruntime": ("onnxruntime", "onnxruntime", ".onnx", ONNX),
    "torch": ("torch", "torch", ".pt2", Program),
}
# The same module as other packages, which have the accelerators.
ALSO = {"onnxruntime": ("onnxruntime-gpu", "onnxruntime-webgpu", "onnxruntime-silicon")}

# accelerator: what drives it, by what the file ends in
ACCELERATORS: dict[str, dict[str, Any]] = {
    ".tflite": {"gpu": TFLiteGPU, "gpu-f32": TFLiteGPU},
    ".onnx": dict.fromkeys(PROVIDERS, ONNX),
    ".pt2": {"cuda": Program},
}


def find_runtime(path: str, wanted: str | None) -> tuple[str, Any, Any]:
    """(name and version, module, driver) of the runtime for this file."""
    suffix = os.path.splitext(path)[1].lower()
    rows = [row for name, row in RUNTIMES.items() if row[2] == suffix and wanted in (None, name)]
    if not rows:
        raise Refused(f"{wanted or 'no runtime'} takes {suffix or 'such'} files; a runtime and its files: {pairs()}")
    for package, name, _, driver in rows:
        for installed in (package, *ALSO.get(package, ())):
            try:
                version = metadata.version(installed)
            except metadata.PackageNotFoundError:
                continue
            try:
                return f"{installed} {version}", import_module(name), driver
            except ImportError as error:
                raise Refused(f"{installed} {version} does not import in {sys.executable}: {error}") from error
    raise Refused(f"{sys.executable} has no {' or '.join(row[0] for row in rows)}; install it there with pip")


def on_accelerator(path: str, runtime: str, name: str) -> Any:
    """What drives the accelerator of this name for this file, like the driver that `find_runtime` gives for the processor."""
    suffix = os.path.splitext(path)[1].lower()
    if name not in ACCELERATORS.get(suffix, {}) or runtime.startswith("tflite-runtime"):
        raise Refused(f"{runtime} has no accelerator {name!r} for {suffix} files; {accelerators()}")
    driver = ACCELERATORS[suffix][name]
    return lambda module, path, threads: driver(module, path, threads, name)


def pairs() -> str:
    return ", ".join(f"{name} {row[2]}" for name, row in RUNTIMES.items())


def accelerators() -> str:
    return "there are: " + "; ".join(f"{', '.join(names)} for {suffix}" for suffix, names in ACCELERATORS.items())


def make_inputs(specs: Iterable[tuple[Sequence[int], Any]], seed: int) -> list[Any]:
    """Random numbers between 0 and 1; zeros and ones where the model takes whole numbers, which are often indices."""
    import numpy as np

    random = np.random.default_rng(seed)
    made = []
    for shape, kind in specs:
        size = [max(int(n), 1) for n in shape]
        dtype = np.dtype(kind)
        values = random.random(size, np.float32) if dtype.kind == "f" else random.integers(0, 2, size)
        made.append(np.ascontiguousarray(values, dtype))
    return made
