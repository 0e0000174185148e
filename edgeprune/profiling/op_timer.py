"""Times the ops of one model file in this process; a script of its own like runner.py, run on the machine that is measured.

    python op_timer.py MODEL [--runtime NAME] [--threads N] [--seed N] [--seconds S]

It needs drivers.py beside it and says one line of JSON: {"by": what timed them, "ops": [[name, kind, milliseconds, shape of its
weight or null], ...]} in running order, or {"why": why there are no times}, or {"error": ...} with exit status 1.
"""

from __future__ import annotations

import sys

if __name__ == "__main__":
    del sys.path[0]  # this folder: its files must not stand in for other modules

import argparse
import ctypes
import importlib.util
import json
import os
import tempfile
import time
from typing import Any

LEAST, MOST = 10, 2000  # runs
MOST_EVENTS = 100_000
# The C interface differs from version to version, and what does not fit crashes.
LITERT = ("2.3.",)


def middle(samples: list[float]) -> float:
    """The mean without the lowest and the highest tenth: a clock of whole microseconds has no use for a median."""
    ordered = sorted(samples)
    cut = len(ordered) // 10
    kept = ordered[cut : len(ordered) - cut]
    return sum(kept) / len(kept)


def rounds_for(run: Any, seconds: float) -> int:
    """How many warm runs fit the seconds."""
    for _ in range(3):
        run()
    start = time.perf_counter()
    run()
    return int(min(max(seconds / max(time.perf_counter() - start, 1e-7), LEAST), MOST))


def time_onnx(drivers: Any, module: Any, version: str, options: Any) -> dict[str, Any]:
    """By onnxruntime's own profile."""
    with tempfile.TemporaryDirectory() as own:
        plain = drivers.ONNX(module, options.model, options.threads)
        given = drivers.make_inputs(plain.inputs(), options.seed)
        plain.feed(given)
        count = rounds_for(plain.run, options.seconds)

        class Profiled(drivers.ONNX):  # type: ignore[misc, name-defined]
            def options(self, module: Any, threads: int) -> Any:
                made = super().options(module, threads)
                made.enable_profiling = True
                made.profile_file_prefix = os.path.join(own, "ort")
                return made

        model = Profiled(module, options.model, options.threads)
        model.feed(given)
        for _ in range(3):
            model.run()
        done = 0
        while done < count and done * max(len(model.session.get_inputs()), 1) < MOST_EVENTS:
            model.run()
            done += 1
        with open(model.session.end_profiling()) as file:
            events = json.load(file)
    return {"by": f"the profile of {version}", "ops": ops_of_profile(events, 3)}


def ops_of_profile(events: list[dict[str, Any]], cold: int) -> list[list[Any]]:
    """[name, kind, milliseconds, shape of its weight or None] of each op in onnxruntime's profile, without its first runs."""
    found: dict[Any, list[float]] = {}
    kinds: dict[Any, str] = {}
    weights: dict[Any, Any] = {}
    for event in events:
        if event.get("cat") == "Node" and event["name"].endswith("_kernel_time"):
            key = (event["args"].get("node_index"), event["name"][: -len("_kernel_time")])
            found.setdefault(key, []).append(event["dur"] / 1e3)
            kinds[key] = event["args"].get("op_name", "")
            weights[key] = weight_shape(event["args"])
    return [[key[1], kinds[key], middle(times[cold:]), weights[key]] for key, times in found.items() if len(times) > cold]


def weight_shape(said: dict[str, Any]) -> list[int] | None:
    """Of the second input, when the op has parameters. A matrix that was packed is no input any more: (out, in) by the others."""
    given = [list(next(iter(each.values()))) for each in said.get("input_type_shape", [])]
    made = [list(next(iter(each.values()))) for each in said.get("output_type_shape", [])]
    if len(given) > 1 and len(given[1]) > 2 and int(said.get("parameter_size", 0)):
        return given[1]
    packed = len(given) == 1 or int(said.get("parameter_size", 0))
    return [made[0][-1], given[0][-1]] if packed and given and given[0] and made and made[0] else None


class Bytes(ctypes.Structure):
    _fields_ = [(name, ctypes.c_size_t) for name in ("total", "in_use", "private")]


class Event(ctypes.Structure):
    """One of LiteRT's profiler. `microseconds` is how long it took."""

    _fields_ = [
        ("tag", ctypes.c_char_p), ("kind", ctypes.c_int), ("start", ctypes.c_uint64), ("microseconds", ctypes.c_uint64),
        ("memory_before", Bytes), ("memory_after", Bytes), ("first", ctypes.c_uint64), ("second", ctypes.c_uint64),
        ("source", ctypes.c_int),
    ]  # fmt: skip


OPERATOR, IN_DELEGATE = 2, 8  # kinds of events: an op of the file, a kernel of XNNPACK


class LiteRT:
    """A compiled model by the C interface, which alone has the profiler."""

    def __init__(self, library: Any, path: str, threads: int, given: list[Any]) -> None:
        self.library = library
        environment, model, settings = (ctypes.c_void_p() for _ in range(3))
        self.call("CreateEnvironment", 0, None, ctypes.byref(environment))
        self.call("CreateModelFromFile", environment, path.encode(), ctypes.byref(model))
        self.call("CreateOptions", ctypes.byref(settings))
        self.call("SetOptionsHardwareAccelerators", settings, 1)  # the CPU
        self.add(settings, b"runtime_options_string", b"enable_profiling = true\n")
        self.add(settings, b"xnnpack", b"num_threads = %d\n" % threads)
        self.compiled = ctypes.c_void_p()
        self.call("CreateCompiledModel", environment, model, settings, ctypes.byref(self.compiled))
        signature = ctypes.c_void_p()
        self.call("GetModelSignature", model, ctypes.c_size_t(0), ctypes.byref(signature))
        self.inputs = self.buffers(environment, signature, "Input")
        self.outputs = self.buffers(environment, signature, "Output")
        for i, array in enumerate(given):
            self.fill(ctypes.c_void_p(self.inputs[i]), array)
        self.profiler = ctypes.c_void_p()

    def call(self, name: str, *arguments: Any) -> None:
        status = getattr(self.library, f"LiteRt{name}")(*arguments)
        if status:
            raise OSError(f"LiteRt{name} gave status {status}")

    def add(self, settings: Any, name: bytes, text: bytes) -> None:
        """Options travel as text that the library frees."""
        libc = ctypes.CDLL(None)
        libc.strdup.restype = ctypes.c_void_p
        copied, made = ctypes.c_void_p(libc.strdup(text)), ctypes.c_void_p()
        free = ctypes.cast(libc.free, ctypes.c_void_p)
        self.call("CreateOpaqueOptions", name, copied, free, ctypes.byref(made))
        self.call("AddOpaqueOptions", settings, made)

    def buffers(self, environment: Any, signature: Any, side: str) -> Any:
        count = ctypes.c_size_t()
        self.call(f"GetNumSignature{side}s", signature, ctypes.byref(count))
        made = (ctypes.c_void_p * count.value)()
        for i in range(count.value):
            tensor, needs, buffer = (ctypes.c_void_p() for _ in range(3))
            kind = (ctypes.c_uint8 * 512)()  # larger than the structure is
            self.call(f"GetSignature{side}TensorByIndex", signature, ctypes.c_size_t(i), ctypes.byref(tensor))
            self.call("GetRankedTensorType", tensor, kind)
            place = (ctypes.c_size_t(0), ctypes.c_size_t(i))
            self.call(f"GetCompiledModel{side}BufferRequirements", self.compiled, *place, ctypes.byref(needs))
            self.call("CreateManagedTensorBufferFromRequirements", environment, kind, needs, ctypes.byref(buffer))
            made[i] = buffer.value
        return made

    def fill(self, buffer: Any, array: Any) -> None:
        there = ctypes.c_void_p()
        self.call("LockTensorBuffer", buffer, ctypes.byref(there), 1)  # to write
        ctypes.memmove(there, array.ctypes.data, array.nbytes)
        self.call("UnlockTensorBuffer", buffer)

    def run(self) -> None:
        sizes = [ctypes.c_size_t(len(each)) for each in (self.inputs, self.outputs)]
        self.call("RunCompiledModel", self.compiled, ctypes.c_size_t(0), sizes[0], self.inputs, sizes[1], self.outputs)

    def events(self) -> list[tuple[str, int, float]]:
        """(name, kind, milliseconds) of the ops of one run."""
        self.call("ResetProfiler", self.profiler)
        self.call("StartProfiler", self.profiler)
        self.run()
        self.call("StopProfiler", self.profiler)
        count = ctypes.c_int()
        self.call("GetNumProfilerEvents", self.profiler, ctypes.byref(count))
        found = (Event * count.value)()
        self.call("GetProfilerEvents", self.profiler, count.value, found)
        return [
            ((each.tag or b"").decode(errors="replace"), each.kind, each.microseconds / 1e3)
            for each in found
            if each.kind in (OPERATOR, IN_DELEGATE)
        ]


def time_litert(drivers: Any, module: Any, version: str, options: Any) -> dict[str, Any]:
    """By LiteRT's profiler. Another version of the interface is refused, not tried."""
    number = version.split()[-1]
    if not version.startswith("ai-edge-litert") or not number.startswith(LITERT):
        return {"why": f"{version} has no profiler that is known here; ai-edge-litert {LITERT[0]}* has"}
    package = importlib.util.find_spec("ai_edge_litert")
    home = os.path.dirname(str(package.origin)) if package else ""
    try:
        library = ctypes.CDLL(os.path.join(home, "libLiteRt.so"))
    except OSError as error:
        return {"why": f"{version} has no libLiteRt.so to ask: {error}"}
    plain = drivers.TFLite(module, options.model, options.threads)
    given = drivers.make_inputs(plain.inputs(), options.seed)
    model = LiteRT(library, options.model, options.threads, given)
    count = rounds_for(model.run, options.seconds)
    model.call("CompiledModelGetProfiler", model.compiled, ctypes.byref(model.profiler))
    model.events()
    first = model.events()
    names = [each[:2] for each in first]
    times: list[list[float]] = [[] for _ in first]
    for _ in range(count):
        seen = model.events()
        if [each[:2] for each in seen] != names:
            return {"why": "LiteRT's profiler named other ops from run to run"}
        for i, (_, _, ms) in enumerate(seen):
            times[i].append(ms)
    ops = [[name, name, middle(times[i]), None] for i, (name, _) in enumerate(names)]
    return {"by": f"the profiler of {version}, which counts whole microseconds", "ops": ops}


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("model")
    parser.add_argument("--runtime")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--seconds", type=float, default=0.5)
    options = parser.parse_args(arguments)
    place = os.path.join(os.path.dirname(os.path.abspath(__file__)), "drivers.py")
    spec = importlib.util.spec_from_file_location("edgeprune_drivers", place)
    assert spec is not None
    assert spec.loader is not None
    drivers = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(drivers)
    try:
        version, module, driver = drivers.find_runtime(options.model, options.runtime)
        if driver is drivers.Program:
            say({"why": f"{version} is not asked for times op by op"})
            return 0
        timed = time_litert if driver is drivers.TFLite else time_onnx
        say(timed(drivers, module, version, options))
    except Exception as error:
        say({"error": " ".join(f"{type(error).__name__}: {error}".split())})
        return 1
    return 0


def say(what: dict[str, Any]) -> None:
    print(json.dumps(what), file=answers, flush=True)


answers = sys.stdout

if __name__ == "__main__":
    # What a runtime prints goes to the standard error output.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    sys.exit(main(sys.argv[1:]))
