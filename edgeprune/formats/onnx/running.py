"""An .onnx file in onnxruntime."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from ...errors import EdgepruneError, MissingExtra
from ...graph import Array
from ..artifact import Runner


def load(path: Path, threads: int, runtime: str | None) -> Runner:
    if runtime not in (None, "onnxruntime"):
        raise EdgepruneError(f"runtime={runtime!r} cannot run .onnx; choose: onnxruntime")
    try:
        import onnxruntime
    except ImportError:
        raise MissingExtra("onnxruntime", "onnx", "running an .onnx file") from None
    return OnnxRunner(path, onnxruntime, threads)


class OnnxRunner(Runner):
    def __init__(self, path: Path, module: Any, threads: int) -> None:
        self.runtime = f"onnxruntime {module.__version__}"
        options = module.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 3  # errors only: they are raised as well
        try:
            self.session = module.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        except Exception as error:
            raise EdgepruneError(f"{self.runtime} cannot load {path}: {_line(error)}") from None
        self.inputs = {each.name: _shape(each.shape) for each in self.session.get_inputs()}
        self.outputs = {each.name: _shape(each.shape) for each in self.session.get_outputs()}
        self._types = [np.int64 if each.type == "tensor(int64)" else np.float32 for each in self.session.get_inputs()]
        self._fed: dict[str, Array] = {}
        self._made: list[Array] = []

    def feed(self, *arrays: Array) -> None:
        arrays = tuple(np.asarray(array) for array in arrays)
        self.check(arrays)
        pairs = zip(self.inputs, arrays, self._types, strict=True)
        self._fed = {name: np.ascontiguousarray(array, dtype=dtype) for name, array, dtype in pairs}

    def invoke(self) -> None:
        try:
            self._made = self.session.run(None, self._fed)
        except Exception as error:
            raise EdgepruneError(f"{self.runtime} failed: {_line(error)}") from None

    def fetch(self) -> list[Array]:
        return list(self._made)


def _shape(shape: list[Any]) -> tuple[int, ...]:
    return tuple(n if isinstance(n, int) else -1 for n in shape[1:])


def _line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__
