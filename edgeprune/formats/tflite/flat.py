"""FlatBuffers by table: nested dicts to bytes and back, for any schema given as data.

A table is a dict by field name; a union is a pair (table name, dict); a vector of scalars is a numpy array, a
sequence, or its bytes.
"""

from __future__ import annotations

import struct
from typing import Any

import numpy as np

from ...errors import MissingExtra
from .schema import IDENTIFIER, TABLES, UNIONS, Field

try:
    import flatbuffers
except ImportError:  # reading needs no package, and writing says so itself
    flatbuffers = None

# scalar type: (numpy type, flatbuffers' name for it)
SCALARS = {
    "i8": ("<i1", "Int8"), "u8": ("<u1", "Uint8"), "bool": ("?", "Bool"), "u16": ("<u2", "Uint16"), "i32": ("<i4", "Int32"),
    "u32": ("<u4", "Uint32"), "u64": ("<u8", "Uint64"), "f32": ("<f4", "Float32"),
}  # fmt: skip


class _Packer:
    """Writes each different table, vector and text once: whatever is equal is stored once and pointed to."""

    def __init__(self, size: int) -> None:
        self.builder = flatbuffers.Builder(size)
        self.offsets: dict[Any, int] = {}

    def table(self, name: str, content: dict[str, Any]) -> int:
        slots: list[tuple[int, str, Any, int]] = []
        for field in TABLES[name]:
            value = content.get(field.name)
            if value is None:
                continue
            if field.vector:
                slots.append((field.slot, "UOffsetTRelative", self.vector(field, value), 0))
            elif field.type in SCALARS:
                slots.append((field.slot, SCALARS[field.type][1], value, field.default))
            elif field.type == "text":
                slots.append((field.slot, "UOffsetTRelative", self.text(value), 0))
            elif field.type in UNIONS:
                kind = next(k for k, table in UNIONS[field.type].items() if table == value[0])
                slots.append((field.slot, "Uint8", kind, 0))
                slots.append((field.slot + 1, "UOffsetTRelative", self.table(*value), 0))
            else:
                slots.append((field.slot, "UOffsetTRelative", self.table(field.type, value), 0))
        key = (name, tuple(slots))
        if key not in self.offsets:
            self.builder.StartObject(1 + max((slot for slot, *_ in slots), default=-1))
            for slot, kind_name, number, default in slots:
                getattr(self.builder, f"Prepend{kind_name}Slot")(slot, number, default)
            self.offsets[key] = self.builder.EndObject()
        return self.offsets[key]

    def text(self, value: str) -> int:
        key = ("text", value)
        if key not in self.offsets:
            self.offsets[key] = self.builder.CreateString(value)
        return self.offsets[key]

    def vector(self, field: Field, value: Any) -> int:
        if field.type in SCALARS:
            dtype = SCALARS[field.type][0]
            array = np.frombuffer(value, dtype) if isinstance(value, bytes) else np.ascontiguousarray(value, dtype=dtype)
        else:
            array = np.array([self.table(field.type, each) for each in value], dtype=np.int64)
        key = (field.type, field.align, array.tobytes())
        if key not in self.offsets:
            self.offsets[key] = self._scalars(array, field.align) if field.type in SCALARS else self._references(array.tolist())
        return self.offsets[key]

    def _scalars(self, array: np.ndarray[Any, Any], align: int) -> int:
        raw = array.tobytes()
        self.builder.StartVector(array.itemsize, array.size, max(align, array.itemsize))
        head = self.builder.head - len(raw)
        self.builder.head = head
        self.builder.Bytes[head : head + len(raw)] = raw
        return int(self.builder.EndVector())

    def _references(self, offsets: list[int]) -> int:
        self.builder.StartVector(4, len(offsets), 4)
        for offset in reversed(offsets):
            self.builder.PrependUOffsetTRelative(offset)
        return int(self.builder.EndVector())


def pack(name: str, content: dict[str, Any], size: int = 1024) -> bytes:
    """The content as a FlatBuffers file whose root is the table `name`; `size` is a guess at its bytes."""
    if flatbuffers is None:
        raise MissingExtra("flatbuffers", "tflite", "writing a .tflite file")
    packer = _Packer(size)
    packer.builder.Finish(packer.table(name, content), file_identifier=IDENTIFIER)
    return bytes(packer.builder.Output())


class _Reader:
    def __init__(self, data: bytes) -> None:
        self.data = data
        self.tables = 0

    def number(self, code: str, at: int) -> int:
        if at < 0:
            raise ValueError("an offset points before the file")
        return int(struct.unpack_from(code, self.data, at)[0])

    def table(self, name: str, at: int) -> dict[str, Any]:
        self.tables += 1
        if self.tables > len(self.data):
            raise ValueError("tables point to each other in circles")
        vtable = at - self.number("<i", at)
        slots = (self.number("<H", vtable) - 4) // 2
        found: dict[str, Any] = {}
        for field in TABLES[name]:
            place = self.number("<H", vtable + 4 + 2 * field.slot) if field.slot < slots else 0
            if field.type in UNIONS:
                inner = self.number("<H", vtable + 6 + 2 * field.slot) if field.slot + 1 < slots else 0
                found[field.name] = self.union(field, at + place, at + inner) if place and inner else None
            elif not place:
                found[field.name] = field.default if field.type in SCALARS and not field.vector else None
            elif field.vector:
                found[field.name] = self.vector(field, at + place)
            elif field.type in SCALARS:
                found[field.name] = np.frombuffer(self.data, SCALARS[field.type][0], 1, at + place)[0].item()
            elif field.type == "text":
                start, count = self.span(at + place, 1)
                found[field.name] = self.data[start : start + count].decode("utf-8", "replace")
            else:
                found[field.name] = self.table(field.type, self.follow(at + place))
        return found

    def follow(self, at: int) -> int:
        return at + self.number("<I", at)

    def span(self, at: int, itemsize: int) -> tuple[int, int]:
        start = self.follow(at)
        count = self.number("<I", start)
        if start + 4 + count * itemsize > len(self.data):
            raise ValueError("a vector is longer than the file")
        return start + 4, count

    def union(self, field: Field, kind_at: int, at: int) -> tuple[str, dict[str, Any]] | None:
        table = UNIONS[field.type].get(self.number("<B", kind_at))
        return (table, self.table(table, self.follow(at))) if table else None

    def vector(self, field: Field, at: int) -> Any:
        if field.type in SCALARS:
            dtype = np.dtype(SCALARS[field.type][0])
            start, count = self.span(at, dtype.itemsize)
            return np.frombuffer(self.data, dtype, count, start)
        start, count = self.span(at, 4)
        return [self.table(field.type, self.follow(start + 4 * i)) for i in range(count)]


def unpack(name: str, data: bytes) -> dict[str, Any]:
    """The root table of a FlatBuffers file; vectors of scalars are views of `data`. Raises ValueError when it is not one."""
    if len(data) < 8 or data[4:8] != IDENTIFIER:
        raise ValueError(f"it does not carry the mark {IDENTIFIER.decode()}")
    reader = _Reader(data)
    try:
        return reader.table(name, reader.follow(0))
    except (struct.error, IndexError, RecursionError) as error:
        raise ValueError(f"it ends too early or is damaged ({error})") from None
