"""A .tflite file in its real runtime."""

from __future__ import annotations

import ctypes
import importlib
import importlib.metadata
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import EdgepruneError, MissingExtra
from ...graph import Array, Shape, Value
from ..artifact import Runner
from .layout import restore, store, stored_shape
from .reading import described, parse

# package: the module that holds its interpreter, the preferred one first
RUNTIMES = {"ai-edge-litert": "ai_edge_litert.interpreter", "tflite-runtime": "tflite_runtime.interpreter"}


def load(path: Path, threads: int, runtime: str | None, delegate: Path | None = None) -> Runner:
    if runtime is not None and runtime not in RUNTIMES:
        raise EdgepruneError(f"runtime={runtime!r} cannot run .tflite; choose one of: {', '.join(RUNTIMES)}")
    model, data = parse(path)
    try:
        _, inputs, outputs = described(model, data)
    except (ValueError, KeyError, IndexError, TypeError) as error:
        raise EdgepruneError(f"{path} is damaged: {error}; write it again") from None
    for package in [runtime] if runtime else RUNTIMES:
        try:
            module = importlib.import_module(RUNTIMES[package])
        except ImportError:
            continue
        given = {} if delegate is None else {"experimental_delegates": [_delegate(module, delegate)]}
        return TfliteRunner(path, module, package, threads, inputs, outputs, **given)
    raise MissingExtra(runtime or "ai-edge-litert", "tflite", "running a .tflite file")


def _delegate(module: Any, path: Path) -> Any:
    if not path.is_file():
        raise EdgepruneError(f"{path} does not exist; `edgeprune delegate -o {path}` builds it")
    try:
        # The runtimes' own check comes too late to be caught whole.
        ctypes.CDLL(str(path.absolute())).tflite_plugin_create_delegate  # noqa: B018
        return module.load_delegate(str(path.absolute()))
    except (ValueError, OSError, AttributeError) as error:
        raise EdgepruneError(f"{path} is no delegate for this machine: {_line(error)}; build it again here") from None


class TfliteRunner(Runner):
    """Feeds and fetches in the graph's layout; a file that does not tell it is used as it is stored."""

    def __init__(
        self,
        path: Path,
        module: Any,
        package: str,
        threads: int,
        inputs: dict[str, Value],
        outputs: dict[str, Value],
        **given: Any,
    ) -> None:
        self.runtime = f"{package} {importlib.metadata.version(package)}"
        try:
            self.interpreter = module.Interpreter(model_path=str(path), num_threads=threads, **given)
            self.interpreter.allocate_tensors()
        except (ValueError, RuntimeError) as error:
            raise EdgepruneError(f"{self.runtime} cannot load {path}: {_line(error)}") from None
        self._inputs = self._ends(self.interpreter.get_input_details(), inputs)
        self._outputs = self._ends(self.interpreter.get_output_details(), outputs)
        self.inputs = {name: _shape(value, detail) for name, value, detail in self._inputs}
        self.outputs = {name: _shape(value, detail) for name, value, detail in self._outputs}
        self._batch: int | None = None

    @staticmethod
    def _ends(details: list[dict[str, Any]], values: dict[str, Value]) -> list[tuple[str, Value | None, dict[str, Any]]]:
        return [(detail["name"], values.get(detail["name"]), detail) for detail in details]

    def feed(self, *arrays: Array) -> None:
        arrays = tuple(np.asarray(array) for array in arrays)
        batch = self.check(arrays)
        if batch != self._batch:
            self._batch = None
            try:
                for array, (_, value, detail) in zip(arrays, self._inputs, strict=True):
                    shape = array.shape if value is None else (batch, *stored_shape(value))
                    self.interpreter.resize_tensor_input(detail["index"], shape)
                self.interpreter.allocate_tensors()
            except (ValueError, RuntimeError) as error:
                raise EdgepruneError(f"{self.runtime} cannot take a batch of {batch}: {_line(error)}") from None
            self._batch = batch
        for array, (_, value, detail) in zip(arrays, self._inputs, strict=True):
            stored = array if value is None else store(array, value)
            self.interpreter.set_tensor(detail["index"], np.ascontiguousarray(stored, dtype=detail["dtype"]))

    def invoke(self) -> None:
        try:
            self.interpreter.invoke()
        except (ValueError, RuntimeError) as error:
            raise EdgepruneError(f"{self.runtime} failed: {_line(error)}") from None

    def fetch(self) -> list[Array]:
        arrays = ((value, self.interpreter.get_tensor(detail["index"])) for _, value, detail in self._outputs)
        return [array if value is None else restore(array, value) for value, array in arrays]


def _shape(value: Value | None, detail: dict[str, Any]) -> Shape:
    return tuple(int(n) for n in detail["shape"][1:]) if value is None else value.shape


def _line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__
