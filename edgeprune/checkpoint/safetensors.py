"""The safetensors format: a length, a JSON table, and the bytes of the tensors."""

from __future__ import annotations

import json
import math
import struct
from pathlib import Path

import torch
from torch import Tensor

from ..errors import EdgepruneError

_DTYPES = {
    "F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16,
    "I64": torch.int64, "I32": torch.int32, "I16": torch.int16, "I8": torch.int8, "U8": torch.uint8, "BOOL": torch.bool,
}  # fmt: skip


def is_safetensors(path: Path, data: bytes) -> bool:
    """Whether it looks like one: by its suffix, or by a JSON object where the table must start."""
    return path.suffix == ".safetensors" or (len(data) > 9 and data[8:10] == b'{"' and _table_length(data) <= len(data) - 8)


def read_safetensors(path: Path, data: bytes) -> dict[str, Tensor]:
    """The tensors by name; EdgepruneError when the table and the bytes do not agree."""
    try:
        start = 8 + _table_length(data)
        table = json.loads(data[8:start])
        tensors = {}
        for name, entry in table.items():
            if name == "__metadata__":
                continue
            dtype, shape = _DTYPES[entry["dtype"]], [int(n) for n in entry["shape"]]
            first, end = (start + int(n) for n in entry["data_offsets"])
            if not start <= first <= end <= len(data) or min(shape, default=0) < 0:
                raise ValueError(f"{name} lies outside the file")
            if end - first != math.prod(shape) * dtype.itemsize:
                raise ValueError(f"{name} has {end - first} bytes for shape {shape}")
            # bytearray: a copy that torch may own.
            raw = bytearray(data[first:end])
            tensors[name] = torch.frombuffer(raw, dtype=dtype).reshape(shape) if raw else torch.empty(shape, dtype=dtype)
        return tensors
    except (ValueError, KeyError, TypeError, AttributeError, struct.error, RecursionError) as error:
        raise EdgepruneError(
            f"{path} is a truncated or damaged safetensors file ({type(error).__name__}: {error}); copy or save it again"
        ) from None


def _table_length(data: bytes) -> int:
    return int(struct.unpack("<Q", data[:8])[0])
