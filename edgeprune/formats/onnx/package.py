"""The onnx package, or None where it is not installed: who needs it says so."""

from __future__ import annotations

from typing import Any

onnx: Any
TensorProto: Any
helper: Any
numpy_helper: Any

try:
    import onnx
    from onnx import TensorProto, helper, numpy_helper
except ImportError:
    onnx = TensorProto = helper = numpy_helper = None

__all__ = ["TensorProto", "helper", "numpy_helper", "onnx"]
