"""The onnx package, or None where it is not installed: who needs it says so."""

from __future__ import annotations

from typing import Any

onnx: Any
AttributeProto: Any
TensorProto: Any
helper: Any
numpy_helper: Any

try:
    import onnx
    from onnx import AttributeProto, TensorProto, helper, numpy_helper
except ImportError:
    onnx = AttributeProto = TensorProto = helper = numpy_helper = None

__all__ = ["AttributeProto", "TensorProto", "helper", "numpy_helper", "onnx"]
