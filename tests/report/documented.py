"""The fields of a record, as its document lists them and as its dataclasses do."""

from __future__ import annotations

import dataclasses
import re
import types
import typing
from pathlib import Path
from typing import Any


def documented(document: Path) -> dict[str, str]:
    """The type of each field in a document's table, by its path."""
    rows = re.findall(r"^\| `([^`]+)` \| ([^|]+) \|", document.read_text(encoding="utf-8"), re.MULTILINE)
    assert len(rows) == len({path for path, _ in rows})
    return dict(rows)


def fields_of(cls: type, prefix: str = "") -> dict[str, str]:
    """The same from the dataclasses. Only objects that can be null have a row of their own."""
    words = {int: "integer", str: "text", float: "number", bool: "true or false"}
    found: dict[str, str] = {}
    for name, hint in typing.get_type_hints(cls).items():
        null = ""
        if typing.get_origin(hint) is types.UnionType:
            null = " or null"
            (hint,) = (each for each in typing.get_args(hint) if each is not type(None))
        origin, inner = typing.get_origin(hint), typing.get_args(hint)
        path = prefix + name
        if origin is tuple and dataclasses.is_dataclass(inner[0]):
            found |= fields_of(typing.cast(type, inner[0]), f"{path}[].")
        elif dataclasses.is_dataclass(hint):
            found |= ({path: "object" + null} if null else {}) | fields_of(typing.cast(type, hint), f"{path}.")
        elif origin is tuple:
            found[path] = {int: "list of integers", float: "list of numbers", str: "list of text"}[inner[0]] + null
        elif origin is dict:
            by = "format" if name in ("encoding", "place") else "name"
            found[path] = ("anything" if inner[1] is Any else words[inner[1]]) + f" by {by}"
        else:
            found[path] = words[hint] + null
    return found
