"""Frozen dataclasses to plain JSON types and back, checked on the way in.

A record says what it holds by its annotations: bool, int, float, str, None, list-like tuples, dicts with string keys, other
records, and unions with None. `from_plain` refuses a missing field, an unknown one and a wrong type, and says where.
"""

from __future__ import annotations

import dataclasses
import math
import types
import typing
from collections.abc import Mapping
from typing import Any, TypeVar

from ..errors import EdgepruneError

T = TypeVar("T")


def to_plain(value: Any, where: str = "") -> Any:
    """dicts, lists, numbers, strings and None only. Raises ValueError for a number that JSON has no word for, or another type."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: to_plain(getattr(value, f.name), f"{where}.{f.name}") for f in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(key): to_plain(each, f"{where}.{key}") for key, each in value.items()}
    if isinstance(value, (tuple, list)):
        return [to_plain(each, f"{where}[{i}]") for i, each in enumerate(value)]
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"{where.lstrip('.')} is {value}, which JSON cannot say")
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    raise ValueError(f"{where.lstrip('.')} is a {type(value).__name__}, which is no plain value")


def from_plain(cls: type[T], plain: Any, where: str) -> T:
    """The record that `to_plain` made `plain` of. Raises EdgepruneError naming the first field that does not fit."""
    if not isinstance(plain, Mapping):
        raise EdgepruneError(f"{where} is {_shown(plain)}, not an object with fields")
    hints = typing.get_type_hints(cls)
    fields = {f.name: f for f in dataclasses.fields(cls)}  # type: ignore[arg-type]
    unknown = [name for name in plain if name not in fields]
    if unknown:
        raise EdgepruneError(f"{where} has the unknown field {unknown[0]!r}; it can hold: {', '.join(fields)}")
    given = {}
    for name, f in fields.items():
        if name in plain:
            given[name] = _read(hints[name], plain[name], f"{where}.{name}")
        elif f.default is dataclasses.MISSING and f.default_factory is dataclasses.MISSING:
            raise EdgepruneError(f"{where} lacks the field {name!r}")
    try:
        return cls(**given)
    except ValueError as error:
        raise EdgepruneError(f"{where}: {error}") from None


def _read(hint: Any, plain: Any, where: str) -> Any:
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if hint is Any:
        return plain
    if origin in (types.UnionType, typing.Union):
        if plain is None and type(None) in inner:
            return None
        (hint,) = (each for each in inner if each is not type(None))
        return _read(hint, plain, where)
    if dataclasses.is_dataclass(hint):
        return from_plain(typing.cast(type, hint), plain, where)
    if origin is tuple and isinstance(plain, (list, tuple)):
        if inner[-1] is not ... and len(inner) != len(plain):
            raise EdgepruneError(f"{where} holds {len(plain)} entries, not {len(inner)}")
        return tuple(_read(inner[0], each, f"{where}[{i}]") for i, each in enumerate(plain))
    if origin is dict and isinstance(plain, Mapping):
        return {str(key): _read(inner[1], each, f"{where}.{key}") for key, each in plain.items()}
    if hint is float and isinstance(plain, (int, float)) and not isinstance(plain, bool) and math.isfinite(plain):
        return float(plain)
    if hint in (int, bool, str) and type(plain) is hint:
        return plain
    names = {
        tuple: "a list",
        dict: "an object",
        float: "a finite number",
        int: "a whole number",
        bool: "true or false",
        str: "a text",
    }
    raise EdgepruneError(f"{where} is {_shown(plain)}, not {names.get(origin or hint, hint)}")


def _shown(plain: Any) -> str:
    text = repr(plain)
    return text if len(text) <= 40 else f"{text[:37]}..."
